package config

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// maxDepth limits the nesting, because the YAML parser's time grows with the cube of the depth.
const maxDepth = 16

// document is a decoded configuration file.
type document struct {
	path     string
	chosen   string // the default profile; may be empty
	profiles map[string]profile
}

type profile struct {
	Settings
	lines map[string]int // line numbers of the keys that it sets
}

// refuse returns an error about a line of the file. Its text may contain keys and plain names, but never a
// value, which may be a password in the wrong place.
func refuse(path string, line int, format string, args ...any) *fault.Error {
	return fault.New(fault.Validation, "%s:%d: %s", path, line, fmt.Sprintf(format, args...)).
		With("file", path).With("line", line)
}

// decode decodes a configuration file. The error names a problem and its line.
func decode(s source) (doc document, err error) {
	doc = document{path: s.path, profiles: map[string]profile{}}
	if s.path == "" {
		return doc, nil
	}
	defer func() {
		if recover() != nil {
			err = fault.New(fault.Validation, "configuration %s is not valid YAML", s.path)
		}
	}()
	root, err := syntax(s)
	if err != nil || root == nil {
		return doc, err
	}
	if err := checkPermissions(s, root); err != nil {
		return doc, err
	}
	var file struct {
		Profile  ast.Node            `yaml:"profile"`
		Profiles map[string]ast.Node `yaml:"profiles"`
	}
	if err := yaml.NodeToValue(root, &file, yaml.Strict()); err != nil {
		return doc, doc.refuseDecoding(err, root, "")
	}
	for _, name := range slices.Sorted(maps.Keys(file.Profiles)) {
		if !isPlain(name) {
			return doc, refuse(s.path, line(lookup(root, "profiles")), "the name of a profile contains other characters "+
				"than letters, digits and . _ -")
		}
		if doc.profiles[name], err = doc.decodeProfile(name, file.Profiles[name]); err != nil {
			return doc, err
		}
	}
	if file.Profile != nil {
		name, ok := file.Profile.(*ast.StringNode)
		if !ok || !isPlain(name.Value) {
			return doc, refuse(s.path, line(file.Profile), "profile must be the name of a profile")
		}
		doc.chosen = name.Value
	}
	if _, known := doc.profiles[doc.chosen]; doc.chosen != "" && !known {
		return doc, refuse(s.path, line(file.Profile), "profile %q is not among the profiles", doc.chosen).
			WithHint("%s", doc.suggestProfile(doc.chosen))
	}
	return doc, nil
}

// decodeProfile decodes a profile and checks its values.
func (d document) decodeProfile(name string, root ast.Node) (profile, error) {
	p := profile{lines: map[string]int{}}
	if root == nil {
		return p, nil
	}
	undecoded := yaml.NodeToValue(root, &p.Settings, yaml.Strict())
	for _, s := range settings {
		n := lookup(root, strings.Split(s.key, ".")...)
		if n == nil {
			continue
		}
		p.lines[s.key] = line(n)
		if s.key == keyDatabases {
			continue
		}
		value, problem := s.read(n, s.in(&p.Settings).Interface())
		if problem != "" {
			return p, refuse(d.path, line(n), "%s in profile %s %s", s.key, name, problem)
		}
		s.in(&p.Settings).Set(reflect.ValueOf(value))
	}
	if undecoded != nil {
		return p, d.refuseDecoding(undecoded, root, name)
	}
	for code := range p.TenantDatabases {
		n := lookup(root, keyDatabases, code)
		if !isPlain(code) || n == nil {
			return p, refuse(d.path, p.lines[keyDatabases], "%s in profile %s has a key that is not a tenant code",
				keyDatabases, name)
		}
		url, problem := setting{key: keyDatabases}.read(n, p.TenantDatabases[code])
		if problem != "" {
			return p, refuse(d.path, line(n), "%s of %s in profile %s %s", code, keyDatabases, name, problem)
		}
		p.TenantDatabases[code] = url.(string)
	}
	if line := max(p.lines[keyPassword], p.lines[keyCommand]); p.lines[keyPassword] > 0 && p.lines[keyCommand] > 0 {
		return p, refuse(d.path, line, "%s and %s cannot be combined in profile %s", keyPassword, keyCommand, name).
			WithHint("remove one of them")
	}
	return p, d.checkEmbedded(name, p)
}

// read checks the value that was decoded from a node. The problem is like that of check.
func (s setting) read(n ast.Node, value any) (checked any, problem string) {
	if n.Type() == ast.NullType {
		return nil, "has no value"
	}
	switch value.(type) {
	case bool:
		if n.Type() != ast.BoolType {
			return nil, "must be true or false"
		}
	case int:
		if n.Type() != ast.IntegerType {
			return nil, "must be a whole number"
		}
	case time.Duration:
		if text, ok := n.(*ast.StringNode); !ok || !isDuration(text.Value) {
			return nil, "must be a duration such as 30s or 2m"
		}
	case []string:
		list, ok := n.(*ast.SequenceNode)
		if !ok || slices.ContainsFunc(list.Values, func(v ast.Node) bool { return v.Type() != ast.StringType }) {
			return nil, "must be a list of a program and its arguments, such as [pass, show, db/cxgctl]"
		}
	case string:
		switch n.Type() {
		case ast.StringType, ast.LiteralType:
		case ast.IntegerType, ast.FloatType, ast.BoolType:
			return nil, "must be text; put it in quotes"
		default:
			return nil, "must be one line of text"
		}
	}
	return s.check(value)
}

func isDuration(text string) bool {
	_, err := time.ParseDuration(text)
	return err == nil
}

// refuseDecoding returns the error of a strict decode of a profile, or of the file, without its text, which quotes
// the file.
func (d document) refuseDecoding(err error, root ast.Node, profile string) error {
	at := tokenOf(err, root)
	where, section, valid := "", "", []string{"profile", "profiles"}
	if profile != "" {
		where, valid = " in profile "+profile, nil
		if lookup(root, "auth", at.Value) != nil {
			where, section = where+", auth", "auth."
		}
	}
	if _, ok := errors.AsType[*yaml.UnknownFieldError](err); !ok || !isPlain(at.Value) {
		return refuse(d.path, at.Position.Line, "keys with values are expected%s", where)
	}
	e := refuse(d.path, at.Position.Line, "unknown key %q%s", at.Value, where).With("key", at.Value)
	for _, s := range settings {
		if key, inside := strings.CutPrefix(s.key, section); profile != "" && inside {
			valid = append(valid, key)
		}
		if profile == "" && s.key == at.Value {
			return e.WithHint("%s belongs in a profile, under profiles", s.key)
		}
	}
	if strings.Contains(strings.ToLower(at.Value), "passw") {
		return e.WithHint("put the password in a file of mode 0600 and name that in password_file")
	}
	return e.WithHint("%s", suggest(at.Value, "valid here", valid))
}

// checkEmbedded refuses a profile that combines the embedded PostgreSQL with another database, because users
// would have to guess which of the two a write reaches.
func (d document) checkEmbedded(name string, p profile) error {
	for _, s := range settings {
		line := p.lines[s.key]
		if p.Embedded && s.isURL() && line > 0 {
			line = max(line, p.lines[keyEmbedded])
			return refuse(d.path, line, "embedded and %s cannot be combined in profile %s", s.key, name).
				WithHint("remove one of them")
		}
	}
	return nil
}

func (d document) suggestProfile(wrong string) string {
	if len(d.profiles) == 0 {
		return "the file has no profiles"
	}
	return suggest(wrong, "profiles", slices.Sorted(maps.Keys(d.profiles)))
}

// checkPermissions refuses a file with a password in it that others may read or write.
func checkPermissions(s source, root ast.Node) error {
	if s.info == nil {
		return nil
	}
	why, chmod := whyExposed(s.info)
	if why == "" || !slices.ContainsFunc(ast.Filter(ast.StringType, root), func(n ast.Node) bool {
		return holdsPassword(n.(*ast.StringNode).Value)
	}) {
		return nil
	}
	e := fault.New(fault.Validation, "configuration %s holds a password and %s", s.path, why).With("file", s.path)
	if chmod {
		return e.WithHint("chmod 600 %s", fault.Word(s.path))
	}
	return e.WithHint("use a copy of your own with mode 0600")
}

// syntax returns the root of the syntax tree, or nil for an empty file. Only the line of the parser's messages is
// used, because their text quotes the file.
func syntax(s source) (ast.Node, error) {
	if bytes.IndexByte(s.text, 0) >= 0 || !utf8.Valid(s.text) {
		at := bytes.IndexFunc(s.text, func(r rune) bool { return r == 0 || r == utf8.RuneError })
		return nil, refuse(s.path, 1+bytes.Count(s.text[:at], []byte("\n")), "not text in UTF-8")
	}
	tokens := lexer.Tokenize(string(bytes.TrimPrefix(s.text, []byte("\ufeff"))))
	if err := checkTokens(s, tokens); err != nil {
		return nil, err
	}
	file, err := parser.Parse(tokens, 0)
	if err != nil {
		at := tokenOf(err, nil)
		if _, first, found := strings.Cut(err.Error(), "already defined at ["); found && isPlain(at.Value) {
			first, _, _ = strings.Cut(first, ":")
			return nil, refuse(s.path, at.Position.Line, "key %q is duplicate, first on line %s", at.Value, first)
		}
		return nil, refuse(s.path, at.Position.Line, "not valid YAML").
			WithHint("look for a missing space after a colon, an open quote or a wrong indent on this line or the one before")
	}
	var root ast.Node
	for i, d := range file.Docs {
		switch {
		case d.Body == nil || d.Body.Type() == ast.CommentType || d.Body.Type() == ast.NullType:
		case i > 0:
			return nil, refuse(s.path, line(d.Body), "only one YAML document is allowed")
		default:
			root = d.Body
		}
	}
	return root, nil
}

// checkTokens refuses what a configuration does not need, and nesting deeper than maxDepth.
func checkTokens(s source, tokens token.Tokens) error {
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
		case token.SequenceEntryType, token.MappingKeyType, token.MappingValueType:
			dashes++
		case token.TagType, token.AnchorType, token.AliasType, token.MergeKeyType:
			return refuse(s.path, last, "tags, anchors, aliases and merge keys are not supported").
				WithHint("put text that begins with ! & or * in quotes")
		}
		if brackets > maxDepth || dashes > maxDepth {
			return refuse(s.path, last, "nested too deeply")
		}
	}
	return nil
}

// lookup returns the value at a path of keys, or nil.
func lookup(root ast.Node, keys ...string) ast.Node {
	path := (&yaml.PathBuilder{}).Root()
	for _, key := range keys {
		path = path.Child(key)
	}
	n, err := path.Build().FilterNode(root)
	if err != nil {
		return nil
	}
	return n
}

// tokenOf returns the token that an error of the YAML library is about, else that of a node, else that of line 1.
func tokenOf(err error, root ast.Node) *token.Token {
	at, ok := errors.AsType[yaml.Error](err)
	if ok && at.GetToken() != nil && at.GetToken().Position != nil {
		return at.GetToken()
	}
	if root != nil && root.GetToken() != nil && root.GetToken().Position != nil {
		return root.GetToken()
	}
	return &token.Token{Position: &token.Position{Line: 1}}
}

func line(n ast.Node) int { return tokenOf(nil, n).Position.Line }
