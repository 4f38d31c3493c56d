// Package migrations carries the schema changes of both databases in the binary, as goose SQL files.
//
// A file's number is its version. A file that has been released is never edited: what it got wrong is
// mended by a later one. Statements only add (CREATE … IF NOT EXISTS), because the same files also
// complete databases that other software made, and constraints and indexes are all named, because
// errors are translated by name. Down leaves the schemas standing: they may have been there before,
// or hold someone else's tables by now, and an empty one harms nobody.
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
