package migrate

import (
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/pressly/goose/v3"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// migration is one embedded file.
type migration struct {
	version    int64
	name       string // file name
	optional   string // name for --with; "" unless optional
	statements []*statement
}

// Kind is the kind of object that a migration adds.
type Kind string

// The kinds. Rows are reference rows, which every installation starts with.
const (
	KindSchema Kind = "schema"
	KindTable  Kind = "table"
	KindColumn Kind = "column"
	KindIndex  Kind = "index"
	KindRows   Kind = "rows"

	KindConstraint Kind = "constraint"
)

// statement is one statement of a file, and what it adds.
type statement struct {
	kind   Kind
	object string // qualified; for rows, their table; for a constraint, its table and name
	table  string // the table concerned; "" for a schema
	text   string // without the semicolon

	columns []definition // all of a table, the added one, or those named by an index
	unless  []string     // columns that make the added one unnecessary
	needs   []string     // columns that an index or rows require
	keys    []string     // keys of rows inserted with jsonb_populate_record
	unique  bool         // index is unique
	plain   bool         // index covers every row by plain columns in default order
}

// definition is a column definition in a file.
type definition struct {
	name, typ, fallback string // the type as printed by format_type; the default's expression, or ""
	notNull             bool
}

// lazily compiles a pattern on first use, to keep program start fast.
func lazily(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}

var (
	schemaForm = lazily(`^CREATE SCHEMA IF NOT EXISTS (\w+)$`)
	tableForm  = lazily(`(?s)^CREATE TABLE IF NOT EXISTS (\w+\.\w+) \((.+)\)$`)
	indexForm  = lazily(`(?s)^CREATE (UNIQUE )?INDEX IF NOT EXISTS (\w+) ON (\w+\.\w+) ((?:USING gin )?\(.+)$`)
	columnForm = lazily(`^ALTER TABLE (\w+\.\w+) ADD COLUMN IF NOT EXISTS (.+)$`)
	// not validated, so that existing rows cannot make the migration fail
	constraintForm = lazily(`^ALTER TABLE (\w+\.\w+) ADD CONSTRAINT (\w+) CHECK \(.+\) NOT VALID$`)
	rowsForm       = lazily(`(?s)^INSERT INTO (\w+\.\w+) \(([\w\s,]+)\)\s.+ ON CONFLICT DO NOTHING$`)
	recordsForm    = lazily(`(?s)^INSERT INTO (\w+\.\w+)\s+SELECT .+ jsonb_populate_record\(.+ ON CONFLICT DO NOTHING$`)
	keyForm        = lazily(`(?m)^\s*'(\w+)', `)

	definitionForm = lazily(`^(\w+)\s+(.+?)(\s+NOT NULL)?(?:\s+DEFAULT\s+(.+))?$`)
	plainForm      = lazily(`^\(\w+(, \w+)*\)$`)
	identifier     = lazily(`'[^']*'|\w+`)
)

// load reads a database's migrations by version.
func load(which Database) ([]*migration, error) {
	files, err := which.files()
	if err != nil {
		return nil, err
	}
	names, err := which.names()
	if err != nil {
		return nil, err
	}
	tables := map[string][]definition{}
	var list []*migration
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		m := &migration{name: name}
		m.optional = optionalName(string(text))
		if m.version, err = goose.NumericComponent(name); err != nil {
			return nil, err
		}
		if m.statements, err = parse(string(text)); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for _, s := range m.statements {
			switch s.kind {
			case KindTable:
				tables[s.table] = s.columns
			case KindIndex:
				s.columns = named(s.text, tables[s.table])
				for _, d := range s.columns {
					s.needs = append(s.needs, d.name)
				}
			}
		}
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b *migration) int { return int(a.version - b.version) })
	return list, nil
}

// optionalName returns the name of an optional file, or "".
func optionalName(text string) string {
	for line := range strings.Lines(text) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "-- +optional "); ok {
			return name
		}
	}
	return ""
}

// selected returns the migrations that are required, applied or named in with.
func selected(list []*migration, with []string, applied map[int64]bool) []*migration {
	return slices.DeleteFunc(slices.Clone(list), func(m *migration) bool {
		return m.optional != "" && !applied[m.version] && !slices.Contains(with, m.optional)
	})
}

// checkOptions refuses names that are not optional migrations of any database.
func checkOptions(with []string) error {
	var valid []string
	for _, which := range Databases {
		list, err := load(which)
		if err != nil {
			return err
		}
		for _, m := range list {
			if m.optional != "" {
				valid = append(valid, m.optional)
			}
		}
	}
	for _, name := range with {
		if !slices.Contains(valid, name) {
			return fault.New(fault.Validation, "%q is not an optional migration", name).WithHint("optional migrations: %s", strings.Join(valid, ", "))
		}
	}
	return nil
}

// parse splits a file into statements. Package migrations defines the format.
func parse(text string) ([]*statement, error) {
	var list []*statement
	var lines, unless []string
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		bare := strings.TrimSpace(line)
		if rest, ok := strings.CutPrefix(bare, "-- +unless "); ok {
			unless = strings.Split(rest, ", ")
		}
		if bare == "" || strings.HasPrefix(bare, "--") {
			continue
		}
		last, ends := strings.CutSuffix(line, ";")
		lines = append(lines, last)
		if !ends {
			continue
		}
		s, err := parseStatement(strings.Join(lines, "\n"))
		if err != nil {
			return nil, err
		}
		s.unless = unless
		list = append(list, s)
		lines, unless = nil, nil
	}
	if len(lines) > 0 {
		return nil, fmt.Errorf("no semicolon ends %q", lines[0])
	}
	return list, nil
}

// parseStatement determines what a statement adds.
func parseStatement(text string) (*statement, error) {
	s := &statement{text: text}
	if m := schemaForm().FindStringSubmatch(text); m != nil {
		s.kind, s.object = KindSchema, m[1]
		return s, nil
	}
	if m := tableForm().FindStringSubmatch(text); m != nil {
		s.kind, s.object, s.table = KindTable, m[1], m[1]
		for _, part := range topLevel(m[2]) {
			if strings.HasPrefix(part, "CONSTRAINT ") {
				continue
			}
			d, err := define(part)
			if err != nil {
				return nil, err
			}
			s.columns = append(s.columns, d)
		}
		return s, nil
	}
	if m := indexForm().FindStringSubmatch(text); m != nil {
		schema, _, _ := strings.Cut(m[3], ".")
		s.kind, s.object, s.table = KindIndex, schema+"."+m[2], m[3]
		s.unique, s.plain = m[1] != "", plainForm().MatchString(m[4])
		return s, nil
	}
	if m := columnForm().FindStringSubmatch(text); m != nil {
		d, err := define(m[2])
		s.kind, s.object, s.table, s.columns = KindColumn, m[1]+"."+d.name, m[1], []definition{d}
		return s, err
	}
	if m := constraintForm().FindStringSubmatch(text); m != nil {
		s.kind, s.object, s.table = KindConstraint, m[1]+"."+m[2], m[1]
		return s, nil
	}
	flat := strings.ReplaceAll(text, "\nON CONFLICT", " ON CONFLICT")
	if m := rowsForm().FindStringSubmatch(flat); m != nil {
		s.kind, s.object, s.table = KindRows, m[1], m[1]
		s.needs = identifier().FindAllString(m[2], -1)
		return s, nil
	}
	if m := recordsForm().FindStringSubmatch(flat); m != nil {
		s.kind, s.object, s.table = KindRows, m[1], m[1]
		for _, key := range keyForm().FindAllStringSubmatch(text, -1) {
			s.keys = append(s.keys, key[1])
		}
		return s, nil
	}
	return nil, fmt.Errorf("unsupported statement: %.60q", text)
}

// topLevel splits the body of a table at the commas outside parentheses.
func topLevel(body string) []string {
	var parts []string
	depth, start := 0, 0
	for i, r := range body {
		switch {
		case r == '(':
			depth++
		case r == ')':
			depth--
		case r == ',' && depth == 0:
			parts = append(parts, strings.TrimSpace(body[start:i]))
			start = i + 1
		}
	}
	return append(parts, strings.TrimSpace(body[start:]))
}

// define parses a column definition.
func define(text string) (definition, error) {
	m := definitionForm().FindStringSubmatch(text)
	if m == nil {
		return definition{}, fmt.Errorf("not a column definition: %q", text)
	}
	return definition{name: m[1], typ: catalogType(m[2]), notNull: m[3] != "", fallback: m[4]}, nil
}

// catalogType expands a type to the form printed by format_type.
func catalogType(typ string) string {
	switch base, rest, _ := strings.Cut(typ, "("); base {
	case "varchar":
		return "character varying(" + rest
	case "char":
		return "character(" + rest
	case "timestamptz":
		return "timestamp with time zone"
	}
	return typ
}

// family groups types for which an index serves the same purpose.
func family(typ string) string {
	base, _, _ := strings.Cut(typ, "(")
	switch base {
	case "character varying", "character", "text":
		return "text"
	case "timestamp with time zone", "timestamp without time zone", "date":
		return "time"
	case "smallint", "integer", "bigint", "numeric":
		return "number"
	}
	return typ
}

// named returns the table's columns named in an index definition, in its order.
func named(text string, columns []definition) []definition {
	var out []definition
	_, text, _ = strings.Cut(text, "(") // skip the names of the index and the table
	for _, w := range identifier().FindAllString(text, -1) {
		is := func(d definition) bool { return d.name == w }
		if i := slices.IndexFunc(columns, is); i >= 0 && !slices.ContainsFunc(out, is) {
			out = append(out, columns[i])
		}
	}
	return out
}
