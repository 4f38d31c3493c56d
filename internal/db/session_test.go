package db

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/dbtest"
)

// hostile has a value for each pinned setting that changes what statements find, read or print.
var hostile = map[string]string{
	"search_path":                 "public, pg_catalog",
	"client_encoding":             "LATIN1",
	"datestyle":                   "German, DMY",
	"intervalstyle":               "iso_8601",
	"timezone":                    "Asia/Seoul",
	"bytea_output":                "escape",
	"extra_float_digits":          "-15",
	"quote_all_identifiers":       "on",
	"standard_conforming_strings": "off",
	"array_nulls":                 "off",
	"transform_null_equals":       "on",
	"gin_fuzzy_search_limit":      "1",
	"row_security":                "on",
}

// F02, F03, F04, D10: pinned settings cannot be changed by options, start-up parameters or ALTER ROLE and DATABASE.
func TestSessionIsPinned(t *testing.T) {
	t.Parallel()
	bouncer := dbtest.NewPgBouncer(t)
	var options []string
	upper := url.Values{}
	for name, value := range hostile {
		options = append(options, "-c", name+"="+strings.ReplaceAll(value, " ", `\ `))
		upper.Set(strings.ToUpper(name), value)
	}
	for _, c := range []struct {
		name  string
		alter bool   // set in the database
		query string // added to the connection string
	}{
		{"nothing", false, ""},
		{"ALTER DATABASE", true, ""},
		{"options", false, "&options=" + strings.ReplaceAll(url.QueryEscape(strings.Join(options, " ")), "+", "%20")},
		{"start-up parameters in capitals", false, "&" + strings.ReplaceAll(upper.Encode(), "+", "%20")},
	} {
		pair := dbtest.New(t, dbtest.Template{Name: "empty"})
		through, err := bouncer.Through(pair)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range hostile {
			if c.alter {
				set(t, pair.Manager, name, value)
			}
		}
		for way, dsn := range map[string]string{"direct": pair.Manager + c.query, "pooled": through.Manager} {
			if way == "pooled" && c.query != "" {
				continue // poolers refuse these
			}
			t.Run(c.name+"/"+way, func(t *testing.T) {
				d := opened(t, Options{URL: dsn, Timeout: time.Minute, Filtered: true})
				w := writing(t, d.Filtered()) // writes are never filtered
				for _, p := range pinned {
					for kind, r := range map[string]Reader{"read": d, "filtered read": d.Filtered(), "write": w} {
						want := p.value
						if p.name == rowSecurity && r == d.Filtered() {
							want = "on"
						}
						var got string
						if err := r.QueryRow(t.Context(), "SELECT current_setting($1)", p.name).Scan(&got); err != nil || got != want {
							t.Errorf("%s in a %s is %q, %v; want %q", p.name, kind, got, err, want)
						}
					}
				}
			})
		}
	}
	for _, p := range pinned {
		if hostile[p.name] == "" {
			t.Errorf("no hostile value for %s", p.name)
		}
	}
}

// Together pins the settings of its transaction, too.
func TestTogetherIsPinned(t *testing.T) {
	t.Parallel()
	pair := dbtest.New(t, dbtest.Template{Name: "empty"})
	through, err := dbtest.NewPgBouncer(t).Through(pair)
	if err != nil {
		t.Fatal(err)
	}
	set(t, pair.Manager, "search_path", "public, pg_catalog")
	for _, dsn := range []string{pair.Manager, through.Manager} {
		d := opened(t, Options{URL: dsn})
		err := d.Pipeline(t.Context(), PipelineQuery{SQL: "SHOW search_path", Read: func(rows pgx.Rows) error {
			got, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[string])
			if got != "pg_catalog, pg_temp" {
				t.Errorf("the search path is %q", got)
			}
			return err
		}})
		if err != nil {
			t.Error(err)
		}
	}
}

// A read that a policy would filter fails and names the table and the role, unless the options allow it.
func TestFilteredReadIsRefused(t *testing.T) {
	t.Parallel()
	pair := dbtest.New(t, dbtest.Template{Name: "empty"})
	conn, err := pgx.Connect(t.Context(), pair.Manager)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(t.Context(), `CREATE TABLE item (name text PRIMARY KEY); INSERT INTO item VALUES ('shown'), ('hidden')`); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), `ALTER TABLE item ENABLE ROW LEVEL SECURITY;
		CREATE POLICY a_part ON item USING (name = 'shown'); GRANT ALL ON item TO pg_monitor`); err != nil {
		t.Fatal(err)
	}
	read := func(r Reader) (n int, err error) {
		err = r.QueryRow(t.Context(), "SELECT count(*) FROM public.item").Scan(&n)
		return n, err
	}
	d := opened(t, Options{URL: pair.Manager + "&role=pg_monitor", Filtered: true})
	if n, err := read(d.Filtered()); n != 1 || err != nil {
		t.Errorf("a filtered read: %d, %v", n, err)
	}
	for name, r := range map[string]Reader{
		"a read of a session that may filter": d,
		"a read of any other session":         opened(t, Options{URL: pair.Manager + "&role=pg_monitor"}).Filtered(),
	} {
		n, err := read(r)
		if err == nil || !strings.Contains(Translate(err).Error(), "row security hides rows of public.item from role pg_monitor") {
			t.Errorf("%s: %d, %v", name, n, Translate(err))
		}
	}
}
