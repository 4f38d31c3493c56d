package migrate

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/pressly/goose/v3"

	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/migrations"
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
	KindSchema     Kind = "schema"
	KindTable      Kind = "table"
	KindColumn     Kind = "column"
	KindIndex      Kind = "index"
	KindRows       Kind = "rows"
	KindConstraint Kind = "constraint"
)

// statement is one statement of a file. A rehearsal determines what it adds, except for schemas and rows.
type statement struct {
	text   string // without the semicolon
	kind   Kind   // "" for a column that another statement always adds first
	object string // qualified; for rows, their table; for a constraint, its table and name
	table  string // the table concerned; "" for a schema

	// the outcome of the rehearsal in this database, for pending migrations
	adds   bool   // it added its object
	code   string // SQLSTATE of the error, or ""
	reason string // the error
	action Action
}

var (
	schemaForm   = regexp.MustCompile(`^CREATE SCHEMA IF NOT EXISTS (\w+)$`)
	rowsForm     = regexp.MustCompile(`^INSERT INTO (\w+\.\w+)\s`)
	indexForm    = regexp.MustCompile(`^CREATE (?:UNIQUE )?INDEX IF NOT EXISTS (\w+) ON ((\w+)\.\w+)\s`)
	optionalForm = regexp.MustCompile(`(?m)^-- \+optional (\w+)$`)
	commentForm  = regexp.MustCompile(`(?m)^\s*--.*\n`)
)

// load reads a database's migrations by version.
func load(which Database) ([]*migration, error) {
	files := migrations.Manager
	if which == Tenants {
		files = migrations.Tenant
	}
	names, err := fs.Glob(files, "*/*.sql") // sorted by name
	if err != nil {
		return nil, err
	}
	list := make([]*migration, len(names))
	for i, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		name = path.Base(name)
		m := &migration{name: name, statements: split(string(text))}
		if found := optionalForm.FindSubmatch(text); found != nil {
			m.optional = string(found[1])
		}
		if m.version, err = goose.NumericComponent(name); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		list[i] = m
	}
	return list, nil
}

func split(text string) []*statement {
	var list []*statement
	for part := range strings.SplitSeq(commentForm.ReplaceAllString(text, ""), ";\n") {
		s := &statement{text: strings.TrimSpace(part)}
		if m := schemaForm.FindStringSubmatch(s.text); m != nil {
			s.kind, s.object = KindSchema, m[1]
		} else if m := rowsForm.FindStringSubmatch(s.text); m != nil {
			s.kind, s.object, s.table = KindRows, m[1], m[1]
		}
		if s.text != "" {
			list = append(list, s)
		}
	}
	return list
}

// selected returns the migrations that are required, applied or named in with.
func selected(list []*migration, with []string, state *state) []*migration {
	return slices.DeleteFunc(slices.Clone(list), func(m *migration) bool {
		return m.optional != "" && !state.has(m) && !slices.Contains(with, m.optional)
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
			return fault.New(fault.Validation, "--with: %q is not an optional migration", name).WithHint("optional migrations: %s", strings.Join(valid, ", "))
		}
	}
	return nil
}
