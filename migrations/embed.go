// Package migrations embeds the schema of both databases as SQL files in the order in which they are applied. In an
// empty database, goose or psql can apply them as well.
//
// A file's number is its version. The statements of a released file never change; mistakes are corrected by a later
// file. The same files complete databases created by other software, so package migrate examines each statement and
// its table before running it. Only these forms of statements are supported:
//
//	CREATE SCHEMA IF NOT EXISTS …
//	CREATE TABLE IF NOT EXISTS …          with every constraint named: errors are translated by name
//	CREATE [UNIQUE] INDEX IF NOT EXISTS … UNIQUE only for a table that the same file creates; USING gin or nothing
//	ALTER TABLE … ADD COLUMN IF NOT EXISTS …
//	ALTER TABLE … ADD CONSTRAINT … CHECK (…) NOT VALID
//	INSERT INTO … ON CONFLICT DO NOTHING  into tables with an id
//
// An INSERT names the columns that it needs, or selects from jsonb_populate_record with a key on a separate line for
// each name that a column may have. It is skipped if a required column would get no value.
//
// Each statement ends with a semicolon at the end of a line, and comments are on separate lines. An added column is
// nullable or has a constant default. The line
//
//	-- +unless is_deleted, deleted
//
// before an ALTER TABLE omits the column if the table has one of those. The line
//
//	-- +optional search
//
// makes the whole file optional: it is applied only on request, by that name. Files do not have Down sections: what
// a run added is recorded in the database, and only that is removed.
package migrations

import "embed"

// Manager contains the manager database's migrations, in the directory "manager".
//
//go:embed manager/*.sql
var Manager embed.FS

// Tenant contains the tenant database's migrations, in the directory "tenant".
//
//go:embed tenant/*.sql
var Tenant embed.FS
