package db

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/dbtest"
)

// writing opens a transaction in a database with a table of items, checked at COMMIT. ask runs a query and returns its
// single value.
func writing(t *testing.T, d *DB) (w *Write, ask func(sql string) string) {
	t.Helper()
	w, err := d.BeginWrite(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Rollback(t.Context()) })
	return w, func(sql string) (got string) {
		t.Helper()
		if err := d.QueryRow(t.Context(), sql).Scan(&got); err != nil {
			t.Fatal(err)
		}
		return got
	}
}

// add returns a statement that adds items.
func add(name string, items ...string) Statement {
	return Statement{Name: name, SQL: "INSERT INTO public.item (name) SELECT unnest(string_to_array($1, ','))", Args: [][]byte{[]byte(strings.Join(items, ","))}, Types: []uint32{25}}
}

func TestCommitAfter(t *testing.T) {
	t.Parallel()
	bouncer := dbtest.NewPgBouncer(t)
	for _, c := range []struct {
		name  string
		last  []Statement
		done  int
		fails string // text of the expected error
		items string // the items afterwards
	}{
		{"all succeed", []Statement{add("", "a"), add("", "b")}, 2, "", "a,b"},
		{"prepared twice", []Statement{add("add", "a"), add("add", "b")}, 2, "", "a,b"},
		{"one fails", []Statement{add("add", "a"), add("add", "a"), add("add", "b")}, 1, "item_pkey", ""},
		{"the first cannot be prepared", []Statement{{Name: "none", SQL: "INSERT INTO public.none VALUES (1)"}, add("add", "b")}, 0, "none", ""},
		{"the commit fails", []Statement{add("", "bad")}, 1, "refused", ""},
	} {
		for _, way := range []string{"direct", "pooled"} {
			t.Run(c.name+"/"+way, func(t *testing.T) {
				t.Parallel()
				pair := dbtest.New(t, items)
				url := pair.Manager
				if way == "pooled" {
					through, err := bouncer.Through(pair)
					if err != nil {
						t.Fatal(err)
					}
					url = through.Manager
				}
				d := opened(t, Options{URL: url})
				w, ask := writing(t, d)
				done, err := w.CommitAfter(t.Context(), c.last...)
				if done != c.done || (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) || Lost(err) {
					t.Errorf("%d run, %v; want %d, %q", done, err, c.done, c.fails)
				}
				_ = w.Rollback(t.Context())
				if got := ask("SELECT coalesce(string_agg(name, ',' ORDER BY name), '') FROM public.item"); got != c.items {
					t.Errorf("items are %q, want %q", got, c.items)
				}
				// the session can be used again
				again, _ := writing(t, d)
				if _, err := again.CommitAfter(t.Context(), add("add", "z")); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// A commit is on disk when it returns, whatever synchronous_commit the database or the connection string sets; a
// stronger setting is kept.
func TestCommitIsSynchronous(t *testing.T) {
	t.Parallel()
	bouncer := dbtest.NewPgBouncer(t)
	for setting, want := range map[string]string{"off": "on", "local": "on", "remote_write": "on", "on": "on", "remote_apply": "remote_apply"} {
		pair := dbtest.New(t, items)
		through, err := bouncer.Through(pair)
		if err != nil {
			t.Fatal(err)
		}
		set(t, pair.Manager, "synchronous_commit", setting)
		for way, url := range map[string]string{"direct": pair.Manager, "pooled": through.Manager} {
			w, _ := writing(t, opened(t, Options{URL: url}))
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

var items = dbtest.Template{Name: "items", Build: func(ctx context.Context, manager, _ string) error {
	conn, err := pgx.Connect(ctx, manager)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, `
CREATE TABLE item (name text PRIMARY KEY);
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN IF NEW.name = 'bad' THEN RAISE EXCEPTION 'refused'; END IF; RETURN NULL; END$$;
CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON item DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()`)
	return err
}}
