package config

import (
	"bytes"
	"errors"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// maxDepth limits the nesting, because the YAML parser's time grows with the cube of the depth.
const maxDepth = 16

// syntax returns the root of the syntax tree, or nil for an empty file. It uses only the line of the parser's
// messages, because their text quotes the file.
func syntax(s source) (root ast.Node, err error) {
	if at := firstInvalid(s.text); at >= 0 {
		return nil, refuse(s.path, 1+bytes.Count(s.text[:at], []byte("\n")), "not text in UTF-8")
	}
	defer func() {
		if recover() != nil {
			root, err = nil, fault.New(fault.Validation, "configuration %s is not valid YAML", s.path)
		}
	}()
	tokens := lexer.Tokenize(string(bytes.TrimPrefix(s.text, []byte("\ufeff"))))
	if line := tooDeep(tokens); line > 0 {
		return nil, refuse(s.path, line, "nested too deeply")
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		line := 1
		if at, ok := errors.AsType[interface {
			error
			GetToken() *token.Token
		}](err); ok && at.GetToken() != nil && at.GetToken().Position != nil {
			line = at.GetToken().Position.Line
		}
		return nil, refuse(s.path, line, "not valid YAML").
			WithHint("look for a missing space after a colon, an open quote or a wrong indent on this line or the one before")
	}
	for i, d := range file.Docs {
		if i > 0 && d.Body != nil {
			return nil, refuse(s.path, line(d.Body), "only one YAML document is allowed")
		}
		if d.Body != nil {
			root = d.Body
		}
	}
	return root, nil
}

// firstInvalid returns the index of the first byte that is not UTF-8 text, or -1.
func firstInvalid(text []byte) int {
	if i := bytes.IndexByte(text, 0); i >= 0 {
		return i
	}
	if utf8.Valid(text) {
		return -1
	}
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}

// tooDeep returns the line where brackets, or dashes on one line, nest deeper than maxDepth, or 0.
func tooDeep(tokens token.Tokens) int {
	brackets, dashes, last := 0, 0, 0
	for _, t := range tokens {
		if t.Position.Line != last {
			dashes, last = 0, t.Position.Line
		}
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			brackets++
		case token.SequenceEndType, token.MappingEndType:
			brackets--
		case token.SequenceEntryType, token.MappingKeyType, token.MappingValueType, token.TagType, token.AnchorType:
			dashes++
		}
		if brackets > maxDepth || dashes > maxDepth {
			return last
		}
	}
	return 0
}
