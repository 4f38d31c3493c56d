package db

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/dbtest"
)

// writing opens a transaction and rolls it back at the end of the test.
func writing(t *testing.T, d *DB) *Write {
	t.Helper()
	w, err := d.BeginWrite(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Rollback(t.Context()) })
	return w
}

// A commit is on disk when it returns, whatever synchronous_commit the database or the connection string sets; a
// stronger setting is kept.
func TestCommitIsSynchronous(t *testing.T) {
	t.Parallel()
	bouncer := dbtest.NewPgBouncer(t)
	for setting, want := range map[string]string{"off": "on", "local": "on", "remote_write": "on", "on": "on", "remote_apply": "remote_apply"} {
		pair := dbtest.New(t, dbtest.Template{Name: "empty"})
		through, err := bouncer.Through(pair)
		if err != nil {
			t.Fatal(err)
		}
		set(t, pair.Manager, "synchronous_commit", setting)
		for way, url := range map[string]string{"direct": pair.Manager, "pooled": through.Manager} {
			w := writing(t, opened(t, Options{URL: url}))
			var got string
			if err := w.QueryRow(t.Context(), "SHOW synchronous_commit").Scan(&got); err != nil || got != want {
				t.Errorf("%s, %s: %q, %v; want %q", setting, way, got, err, want)
			}
		}
	}
}

// set changes a setting of a database.
func set(t *testing.T, url, name, value string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	sql := "ALTER DATABASE " + pgx.Identifier{conn.Config().Database}.Sanitize() + " SET " + name + " = "
	if name == "search_path" { // a list
		sql += value
	} else {
		sql += "'" + value + "'"
	}
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}
