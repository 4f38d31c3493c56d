package db

import (
	"context"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/dbtest"
)

// writing is a transaction of a database with a table of items, which are checked at the COMMIT, and a function that
// asks for one thing.
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

// add is the statement that adds items.
func add(name string, items ...string) Statement {
	return Statement{Name: name, SQL: "INSERT INTO item (name) SELECT unnest(string_to_array($1, ','))", Args: [][]byte{[]byte(strings.Join(items, ","))}, Types: []uint32{25}}
}

func TestCommitAfter(t *testing.T) {
	t.Parallel()
	bouncer := dbtest.NewBouncer(t)
	for _, c := range []struct {
		name  string
		early bool
		last  []Statement
		done  int
		fails string // what the error says
		items string // what there is afterwards
	}{
		{"all is done", false, []Statement{add("", "a"), add("", "b")}, 2, "", "a,b"},
		{"early", true, []Statement{add("", "a"), add("", "b")}, 2, "", "a,b"},
		{"prepared twice", true, []Statement{add("add", "a"), add("add", "b")}, 2, "", "a,b"},
		{"one fails", true, []Statement{add("add", "a"), add("add", "a"), add("add", "b")}, 1, "item_pkey", ""},
		{"the first fails to be prepared", true, []Statement{{Name: "none", SQL: "INSERT INTO none VALUES (1)"}, add("add", "b")}, 0, "none", ""},
		{"the commit fails", false, []Statement{add("", "bad")}, 1, "refused", ""},
		{"the commit fails early", true, []Statement{add("", "bad")}, 1, "refused", ""},
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
				if c.early {
					if err := w.Do(t.Context(), w.AskEarly()...); err != nil || !w.Early() {
						t.Fatalf("early %v: %v", w.Early(), err)
					}
				}
				done, err := w.CommitAfter(t.Context(), c.last...)
				if done != c.done || (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) || Lost(err) {
					t.Errorf("%d done, %v; want %d, %q", done, err, c.done, c.fails)
				}
				_ = w.Rollback(t.Context())
				if got := ask("SELECT coalesce(string_agg(name, ',' ORDER BY name), '') FROM item"); got != c.items {
					t.Errorf("there is %q, want %q", got, c.items)
				}
				// the session is as good as new
				again, _ := writing(t, d)
				if _, err := again.CommitAfter(t.Context(), add("add", "z")); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// What was committed early is on the disk when that is reported.
func TestAnEarlyCommitIsOnTheDisk(t *testing.T) {
	t.Parallel()
	d := opened(t, Options{URL: dbtest.New(t, items).Manager + "&synchronous_commit=on"})
	for i := range 20 {
		w, ask := writing(t, d)
		if err := w.Do(t.Context(), w.AskEarly()...); err != nil {
			t.Fatal(err)
		}
		before := ask("SELECT pg_current_wal_insert_lsn()::text") // the commit comes behind it
		if _, err := w.CommitAfter(t.Context(), add("add", strconv.Itoa(i))); err != nil {
			t.Fatal(err)
		}
		if ask("SELECT (pg_current_wal_flush_lsn() > '"+before+"')::text") != "true" {
			t.Fatal("it is not")
		}
	}
}

// Where nothing can be made to wait for the disk, the commit itself waits; where that fails once the commit is made,
// the error says no more than that.
func TestACommitThatMayNotBeEarly(t *testing.T) {
	t.Parallel()
	pair := dbtest.New(t, items)
	conn, err := pgx.Connect(t.Context(), pair.Manager)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(t.Context(), "REVOKE EXECUTE ON FUNCTION pg_logical_emit_message(boolean, text, text) FROM public; GRANT ALL ON item TO pg_monitor"); err != nil {
		t.Fatal(err)
	}
	d := opened(t, Options{URL: pair.Manager + "&role=pg_monitor"})
	w, ask := writing(t, d)
	if err := w.Do(t.Context(), w.AskEarly()...); err != nil || w.Early() {
		t.Fatalf("early %v: %v", w.Early(), err)
	}
	if _, err := w.CommitAfter(t.Context(), add("", "a")); err != nil {
		t.Error(err)
	}
	w, _ = writing(t, d)
	w.early = true
	if done, err := w.CommitAfter(t.Context(), add("", "b")); done != 1 || !Lost(err) {
		t.Errorf("%d done, %v", done, err)
	}
	if got := ask("SELECT string_agg(name, ',' ORDER BY name) FROM item"); got != "a,b" {
		t.Errorf("there is %q", got)
	}
	if d.ToDisk(t.Context()) == nil {
		t.Error("it may not, and did")
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
