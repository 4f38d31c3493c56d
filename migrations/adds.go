package migrations

import (
	"io/fs"
	"regexp"
	"sync"
)

// addedColumns are the columns, as schema.table.column, that migrations add to existing tables.
var addedColumns = sync.OnceValue(func() map[string]bool {
	added := map[string]bool{}
	form := regexp.MustCompile(`(?m)^ALTER TABLE (\S+) ADD COLUMN IF NOT EXISTS (\w+) `)
	for _, files := range []fs.FS{Manager, Tenant} {
		names, _ := fs.Glob(files, "*/*.sql") // the pattern is valid
		for _, name := range names {
			text, _ := fs.ReadFile(files, name) // embedded files can be read
			for _, m := range form.FindAllSubmatch(text, -1) {
				added[string(m[1])+"."+string(m[2])] = true
			}
		}
	}
	return added
})

// AddsColumn reports whether a migration adds the column to a table that lacks it.
func AddsColumn(table, column string) bool { return addedColumns()[table+"."+column] }
