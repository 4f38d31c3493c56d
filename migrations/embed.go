// Package migrations embeds the schema of both databases as SQL files in the order in which they are applied. In an
// empty database, goose or psql can apply them as well.
//
// A file's number is its version. The statements of a released file never change; mistakes are corrected by a later
// file. The same files complete databases created by other software: package migrate first runs them in temporary tables,
// to find out what each statement adds and whether it fits the tables that exist. So each statement adds one object:
//
//	CREATE SCHEMA IF NOT EXISTS …
//	CREATE TABLE IF NOT EXISTS …          with every constraint named: errors are translated by name
//	CREATE [UNIQUE] INDEX IF NOT EXISTS … UNIQUE only for a table that the same file creates
//	ALTER TABLE … ADD COLUMN IF NOT EXISTS …
//	ALTER TABLE … ADD CONSTRAINT … CHECK (…) NOT VALID
//	INSERT INTO … ON CONFLICT DO NOTHING  into tables with an id
//
// Statements with an error about a table of other software, such as one about a missing column, are skipped. An added
// column is nullable or has a constant default. A column that marks deleted rows is omitted from tables with another one.
//
// Each statement ends with a semicolon at the end of a line, and comments are on separate lines. The line
//
//	-- +optional search
//
// makes the whole file optional: it is applied only on request, by that name. Files do not have Down sections: what
// a run added is recorded in the database, and only that is removed.
package migrations

import (
	"embed"
	"io/fs"
	"strings"
)

// Manager contains the manager database's migrations, in the directory "manager".
//
//go:embed manager/*.sql
var Manager embed.FS

// Tenant contains the tenant database's migrations, in the directory "tenant".
//
//go:embed tenant/*.sql
var Tenant embed.FS

// AddsColumn reports whether a migration adds the column to a table, as schema.table, that lacks it.
func AddsColumn(table, column string) bool {
	for _, files := range []fs.FS{Manager, Tenant} {
		names, _ := fs.Glob(files, "*/*.sql") // the pattern is valid
		for _, name := range names {
			text, _ := fs.ReadFile(files, name) // embedded files can be read
			if strings.Contains(string(text), "ALTER TABLE "+table+" ADD COLUMN IF NOT EXISTS "+column+" ") {
				return true
			}
		}
	}
	return false
}
