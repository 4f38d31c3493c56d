package pgtext_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/dbtest"
)

// same checks that the query's first column in binary form is decoded to the text of its second column.
func same(t *testing.T, r db.Reader, sql string) int {
	t.Helper()
	rows := 0
	for row, err := range (db.Query{SQL: sql}).Rows(t.Context(), r) {
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		rows++
		if got, want := string(row.Append([]byte("x"), 0)), string(row.Append([]byte("x"), 1)); got != want {
			t.Errorf("%s: %s, want %s", sql, got, want)
		}
	}
	return rows
}

func open(t *testing.T) *db.DB {
	t.Helper()
	d, err := db.Open(t.Context(), db.Options{Name: "manager", URL: dbtest.New(t, dbtest.Template{Name: "empty"}).Manager})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// Numerics of every sign, weight and scale, and special values, have the same digits as in PostgreSQL.
func TestColumn_Numerics(t *testing.T) {
	t.Parallel()
	d := open(t)
	for _, v := range []string{
		"0", "0.0000", "-0.0001", "0.00000000000000000001", "-1e-30", "1", "9999", "10000", "10000.0000", "100000000", "1e40", "-1e131000",
		"99999999999999.9999", "-99999999999999.9999", "0.1", "0.12", "0.123", "0.12345", "10000.00001", "1.50", "NaN", "Infinity", "-Infinity",
	} {
		if strings.Contains(v, "Infinity") && strings.HasPrefix(d.Version(), "13.") {
			continue // a numeric cannot be infinite
		}
		same(t, d, "SELECT '"+v+"'::numeric, '"+v+"'::numeric::text")
	}
	n := same(t, d, `SELECT v, v::text FROM (
  SELECT round(((random() - 0.5) * 10 ^ (n % 45 - 22))::numeric, n % 23) AS v FROM generate_series(1, 5000) n) x`)
	n += same(t, d, `SELECT v, v::text FROM (
  SELECT (repeat((n % 10)::text, n % 40 + 1) || '.' || repeat('0', n % 11) || n)::numeric * (CASE n % 2 WHEN 0 THEN 1 ELSE -1 END) AS v
    FROM generate_series(1, 5000) n) x`)
	if n != 10000 {
		t.Errorf("%d values were compared", n)
	}
}

// Dates and times over the whole range of the types are formatted like those of records.
func TestColumn_Times(t *testing.T) {
	t.Parallel()
	d := open(t)
	for _, sql := range []string{
		"SELECT v FROM unnest('{infinity,-infinity,4713-01-01 BC,0001-12-31 BC,0044-03-15 BC,0001-01-01,1969-12-31,1970-01-01,1999-12-31,2000-02-29,2100-03-01,9999-12-31,10000-01-01,5874897-12-31}'::date[]) v",
		"SELECT '4713-01-01 BC'::date + n * 997 FROM generate_series(1, 6000) n",
		"SELECT v FROM unnest('{infinity,-infinity,4713-01-01 00:00:00+00 BC,0001-12-31 23:59:59.999999+00 BC,0001-01-01,1969-12-31 23:59:59.999999+00,2000-01-01 00:00:00+00,1999-12-31 23:59:59.000001+00,2026-02-03 04:05:06.7+09,9999-12-31 23:59:59+00,10000-01-01,294276-12-31 23:59:59+00}'::timestamptz[]) v",
		"SELECT '4713-01-01 00:00:00+00 BC'::timestamptz + n * interval '997 days 1 hour 1 minute 1.010101 seconds' FROM generate_series(1, 6000) n",
	} {
		var got []string
		for row, err := range (db.Query{SQL: sql}).Rows(t.Context(), d) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(row.Append(nil, 0)))
		}
		for i, want := range records(t, d, sql) {
			if got[i] != want {
				t.Errorf("%s, want %s", got[i], want)
			}
		}
	}
}

// records returns the values as db.Date and db.Time print them.
func records(t *testing.T, r db.Reader, sql string) []string {
	t.Helper()
	rows, err := r.Query(context.Background(), sql)
	if err != nil {
		t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
		if strings.Contains(sql, "timestamptz") {
			var v db.Time
			err := row.Scan(&v)
			return v.String(), err
		}
		var v db.Date
		err := row.Scan(&v)
		return v.String(), err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestColumn_OtherTypes(t *testing.T) {
	t.Parallel()
	d := open(t)
	for _, sql := range []string{
		"SELECT v, v::text FROM (SELECT gen_random_uuid() AS v FROM generate_series(1, 100)) x",
		"SELECT v, v::text FROM unnest('{t,f}'::bool[]) v",
		"SELECT v, v::text FROM unnest('{-32768,0,32767}'::int2[]) v",
		"SELECT v, v::text FROM unnest('{-2147483648,0,2147483647}'::int4[]) v",
		"SELECT v, v::text FROM unnest('{-9223372036854775808,0,9223372036854775807}'::int8[]) v",
		"SELECT v, v::text FROM unnest(ARRAY['', ' ', E'\\t홍길동\\n', E'\\u202e']) v",
		"SELECT v, rtrim(v) FROM unnest('{KRW,US,usd,\"\",\"   \"}'::char(3)[]) v",
		`SELECT v, v::text FROM unnest(ARRAY['{"b": 1.10, "a": "<\u2028>"}', 'null', '[]']::jsonb[]) v`,
		`SELECT v, v::text FROM unnest(ARRAY['{"b":  1.10}', 'null']::json[]) v`,
	} {
		if same(t, d, sql) == 0 {
			t.Errorf("%s: no rows", sql)
		}
	}
}
