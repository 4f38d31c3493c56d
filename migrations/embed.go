// Package migrations has the schema of both databases, as SQL files in the order in which they are
// applied. They are carried in the binary, and a database that holds nothing can be made from them by
// goose or psql alone.
//
// A file's number is its version. A file that has been released is never edited: what it got wrong is
// mended by a later one. The same files complete databases that other software made, so cxgctl looks
// at each statement, and at the table that it is for, before it runs it (package migrate). Hence the
// forms that a statement may have, and no other:
//
//	CREATE SCHEMA IF NOT EXISTS …
//	CREATE TABLE IF NOT EXISTS …          with every constraint named: errors are translated by name
//	CREATE [UNIQUE] INDEX IF NOT EXISTS … UNIQUE only for a table that the same file creates; USING gin or nothing
//	ALTER TABLE … ADD COLUMN IF NOT EXISTS …
//	ALTER TABLE … ADD CONSTRAINT … CHECK (…) NOT VALID
//	INSERT INTO … ON CONFLICT DO NOTHING  into tables with an id
//
// An INSERT names the columns that it needs, or selects from jsonb_populate_record with a key on a line of its own for
// each name that a column may have. It is left out where a column that must have a value gets none.
//
// Each ends with a semicolon at a line's end, and comments have lines of their own. A column that is
// added is nullable or has a constant default. The line
//
//	-- +unless is_deleted, deleted
//
// before an ALTER TABLE leaves the column out where the table has one of those. The line
//
//	-- +optional search
//
// makes the whole file optional: it is applied only where it is asked for by that name. There are no Down
// sections: what a run added is recorded in the database, and only that is taken back.
package migrations

import "embed"

// Manager is the manager database's migrations, in the folder "manager".
//
//go:embed manager/*.sql
var Manager embed.FS

// Tenant is the tenant database's migrations, in the folder "tenant".
//
//go:embed tenant/*.sql
var Tenant embed.FS
