package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// entry is a value of the file and the line of its key.
type entry struct {
	value any
	line  int
}

// document is a checked configuration file.
type document struct {
	path     string
	chosen   string                      // the default profile; may be empty
	profiles map[string]map[string]entry // name → setting's key → value
	names    []string                    // of the profiles, in the file's order
}

// refuse returns an error about a line of the file. Its text may contain keys and plain names, but never a
// value, which may be a password in the wrong place.
func refuse(path string, line int, format string, args ...any) *fault.Error {
	return fault.New(fault.Validation, "%s:%d: %s", path, line, fmt.Sprintf(format, args...)).
		With("file", path).With("line", line)
}

// parse decodes a configuration file. The error names the first problem and its line.
func parse(s source) (document, error) {
	doc := document{path: s.path, profiles: map[string]map[string]entry{}}
	if s.path == "" {
		return doc, nil
	}
	body, err := syntax(s)
	if err != nil || body == nil {
		return doc, err
	}
	if err := checkPermissions(s, body); err != nil {
		return doc, err
	}
	pairs, err := doc.mapping(body, "the file")
	if err != nil {
		return doc, err
	}
	chosenLine := 0
	for _, p := range pairs {
		switch p.key {
		case keyProfile:
			text, ok := scalar(p.value)
			if !ok || !isPlain(text) {
				return doc, refuse(doc.path, p.line, "profile must be the name of a profile")
			}
			doc.chosen, chosenLine = text, p.line
		case keyProfiles:
			if err := doc.readProfiles(p.value); err != nil {
				return doc, err
			}
		default:
			return doc, doc.unknownKey(p, "", []string{keyProfile, keyProfiles})
		}
	}
	if _, known := doc.profiles[doc.chosen]; doc.chosen != "" && !known {
		return doc, refuse(doc.path, chosenLine, "profile %q is not among the profiles", doc.chosen).
			WithHint("%s", doc.suggestProfile(doc.chosen))
	}
	return doc, nil
}

// passwordFinder looks for a value that contains a password.
type passwordFinder struct{ found bool }

func (f *passwordFinder) Visit(n ast.Node) ast.Visitor {
	if s, ok := n.(*ast.StringNode); ok && holdsPassword(s.Value) {
		f.found = true
	}
	return f
}

// checkPermissions refuses a file with a password in it that others may read or write.
func checkPermissions(s source, root ast.Node) error {
	if s.info == nil {
		return nil
	}
	why, chmod := whyExposed(s.info)
	if why == "" {
		return nil
	}
	var f passwordFinder
	ast.Walk(&f, root)
	if !f.found {
		return nil
	}
	e := fault.New(fault.Validation, "configuration %s holds a password and %s", s.path, why).With("file", s.path)
	if chmod {
		return e.WithHint("chmod 600 %s", fault.Word(s.path))
	}
	return e.WithHint("use a copy of your own with mode 0600")
}

// pair is a key and its value.
type pair struct {
	key   string
	line  int
	value ast.Node
}

func line(n ast.Node) int {
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 1
}

// mapping returns the pairs of a node in order, none for an empty node.
func (d *document) mapping(n ast.Node, what string) ([]pair, error) {
	var values []*ast.MappingValueNode
	switch n := n.(type) {
	case nil, *ast.NullNode, *ast.CommentGroupNode:
		return nil, nil
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	default:
		return nil, refuse(d.path, line(n), "%s must contain keys with values", what)
	}
	pairs := make([]pair, 0, len(values))
	seen := make(map[string]int, len(values))
	for _, v := range values {
		at := line(v)
		key, ok := v.Key.(*ast.StringNode)
		if !ok {
			return nil, refuse(d.path, at, "%s has a key that is not a plain name", what)
		}
		at = line(key)
		if !isPlain(key.Value) {
			return nil, refuse(d.path, at, "%s has a key that is not a plain name", what)
		}
		if first, twice := seen[key.Value]; twice {
			return nil, refuse(d.path, at, "key %q is duplicate, first on line %d", key.Value, first)
		}
		seen[key.Value] = at
		pairs = append(pairs, pair{key.Value, at, v.Value})
	}
	return pairs, nil
}

// readProfiles reads the section "profiles".
func (d *document) readProfiles(n ast.Node) error {
	pairs, err := d.mapping(n, keyProfiles)
	if err != nil {
		return err
	}
	for _, p := range pairs {
		entries := map[string]entry{}
		if err := d.readSection(p.value, p.key, "", entries); err != nil {
			return err
		}
		if err := d.checkEmbedded(p.key, entries); err != nil {
			return err
		}
		d.profiles[p.key] = entries
		d.names = append(d.names, p.key)
	}
	return nil
}

// readSection reads a profile (section "") or one of its sections into entries.
func (d *document) readSection(n ast.Node, profile, section string, into map[string]entry) error {
	keys, sections := keysIn(section)
	what := strings.TrimSuffix("profile "+profile+", "+section, ", ")
	pairs, err := d.mapping(n, what)
	if err != nil {
		return err
	}
	for _, p := range pairs {
		if section == "" && p.key == keyDatabases {
			list, err := d.readTenantDatabases(p.value, profile)
			if err != nil {
				return err
			}
			into[keyDatabases] = entry{list, p.line}
			continue
		}
		if !slices.Contains(keys, p.key) {
			return d.unknownKey(p, what, append(keys, keyDatabases))
		}
		key := strings.TrimPrefix(section+"."+p.key, ".")
		if sections[p.key] {
			if err := d.readSection(p.value, profile, key, into); err != nil {
				return err
			}
			continue
		}
		value, problem := find(key).read(p.value)
		if problem != "" {
			return refuse(d.path, p.line, "%s in profile %s %s", key, profile, problem)
		}
		into[key] = entry{value, p.line}
	}
	return nil
}

// read returns a setting's value from the file. The problem is like that of parse.
func (s setting) read(n ast.Node) (value any, problem string) {
	if _, null := n.(*ast.NullNode); null || n == nil {
		return nil, "has no value"
	}
	if s.kind == boolean {
		if b, ok := n.(*ast.BoolNode); ok {
			return b.Value, ""
		}
		return nil, "must be true or false"
	}
	text, ok := scalar(n)
	if i, digits := n.(*ast.IntegerNode); digits && s.kind == number {
		text, ok = i.GetToken().Value, true
	}
	if !ok {
		if _, number := n.(*ast.IntegerNode); number && s.kind != duration {
			return nil, "must be text; put it in quotes"
		}
		if s.kind == name || s.kind == path {
			return nil, "must be one line of text"
		}
		text = "" // parse returns the problem
	}
	return s.parse(text)
}

// scalar returns the text of a text node.
func scalar(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return strings.TrimRight(n.Value.Value, "\n"), true
	}
	return "", false
}

// checkEmbedded refuses a profile that combines the embedded PostgreSQL with another database, because users
// would have to guess which of the two a write reaches.
func (d *document) checkEmbedded(profile string, entries map[string]entry) error {
	on := entries[keyEmbedded]
	if on.value != true {
		return nil
	}
	for _, key := range []string{keyManager, keyTenants, keyReplica, keyDatabases, keyDirect, keyDirectTen} {
		if e, given := entries[key]; given {
			return refuse(d.path, max(on.line, e.line), "embedded and %s cannot be combined in profile %s", key, profile).
				WithHint("remove one of them")
		}
	}
	return nil
}

func (d *document) unknownKey(p pair, where string, valid []string) *fault.Error {
	message := fmt.Sprintf("unknown key %q", p.key)
	if where != "" {
		message += " in " + where
	}
	e := refuse(d.path, p.line, "%s", message).With("key", p.key)
	if strings.Contains(strings.ToLower(p.key), "passw") {
		return e.WithHint("put the password in a file of mode 0600 and name that in password_file")
	}
	if keys, _ := keysIn(""); where == "" && slices.Contains(keys, p.key) {
		return e.WithHint("%s belongs in a profile, under profiles", p.key)
	}
	return e.WithHint("%s", suggest(p.key, "valid here", valid))
}

func (d *document) suggestProfile(wrong string) string {
	if len(d.names) == 0 {
		return "the file has no profiles"
	}
	return suggest(wrong, "profiles", d.names)
}
