package cli

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/cxgctl/cxgctl/internal/dbtest"
	"github.com/cxgctl/cxgctl/internal/dbtest/torture"
)

// hostileSettings change what statements find, read or print. Settings of the role override those of the database.
const (
	hostileDatabase = `
DO $do$
DECLARE
  name text;
  value text;
BEGIN
  FOR name, value IN VALUES ('client_encoding', 'EUC_KR'), ('datestyle', 'German, DMY'), ('intervalstyle', 'iso_8601'), ('bytea_output', 'escape'),
      ('timezone', 'America/Caracas'), ('quote_all_identifiers', 'on'), ('extra_float_digits', '-15'), ('standard_conforming_strings', 'off'),
      ('synchronous_commit', 'off'), ('row_security', 'on'), ('array_nulls', 'off'), ('transform_null_equals', 'on'), ('gin_fuzzy_search_limit', '1'),
      ('xmlbinary', 'hex'), ('default_transaction_isolation', 'serializable'), ('default_transaction_read_only', 'on'), ('check_function_bodies', 'off'),
      ('lc_messages', 'C'), ('application_name', 'x') LOOP
    EXECUTE pg_catalog.format('ALTER DATABASE %I SET %s = %L', pg_catalog.current_database(), name, value);
  END LOOP;
  EXECUTE pg_catalog.format('ALTER DATABASE %I SET search_path = evil, pg_catalog, public', pg_catalog.current_database());
END $do$`

	hostileRole = `
CREATE ROLE cxg_hostile SUPERUSER LOGIN;
ALTER ROLE cxg_hostile SET search_path = evil, public, pg_catalog;
ALTER ROLE cxg_hostile SET client_encoding = 'LATIN1';
ALTER ROLE cxg_hostile SET datestyle = 'SQL, DMY';
ALTER ROLE cxg_hostile SET intervalstyle = 'sql_standard';
ALTER ROLE cxg_hostile SET timezone = 'Asia/Kathmandu';
ALTER ROLE cxg_hostile SET synchronous_commit = 'local'`
)

//go:embed testdata/planted.sql
var planted string

// makeHostileRole creates the role once for all processes on a server.
var makeHostileRole = sync.OnceValue(func() error {
	ctx := context.Background()
	pair, err := dbtest.Create(ctx, dbtest.Template{Name: "empty"})
	if err != nil {
		return err
	}
	defer pair.Drop()
	_, err = query(ctx, pair.Manager, "SELECT pg_advisory_xact_lock(7167592466615722349); "+hostileRole)
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok && pe.Code == "42710" { // it exists
		return nil
	}
	return err
})

// turnHostile gives both databases hostile settings, and returns connection strings of a role with hostile settings.
func turnHostile(ctx context.Context, pair dbtest.Pair) (dbtest.Pair, error) {
	if err := makeHostileRole(); err != nil {
		return pair, err
	}
	for _, dsn := range []*string{&pair.Manager, &pair.Tenants} {
		if _, err := query(ctx, *dsn, hostileDatabase); err != nil {
			return pair, err
		}
		idleConns.leave(*dsn)
		u, err := url.Parse(*dsn)
		if err != nil {
			return pair, err
		}
		u.User = url.User("cxg_hostile")
		*dsn = u.String()
	}
	return pair, nil
}

// withPlanted is our own world, with objects planted ahead of pg_catalog in the search path.
func withPlanted() world {
	w := ours()
	build := w.template.Build
	w.template.Name, w.template.Key = "planted", w.template.Key+planted
	w.template.Build = func(ctx context.Context, manager, tenants string) error {
		if err := build(ctx, manager, tenants); err != nil {
			return err
		}
		for _, dsn := range []string{manager, tenants} {
			_, err := query(ctx, dsn, planted)
			idleConns.leave(dsn)
			if err != nil {
				return err
			}
		}
		return nil
	}
	w.hostile = true
	return w
}

// TestHostileSettings runs the scripts as a role and on databases whose settings are all hostile, with a schema of
// planted objects ahead of pg_catalog in the search path (C1, F01 to F04, H7, D10). A command that used one of these
// would fail.
func TestHostileSettings(t *testing.T) {
	t.Parallel()
	files := scripts(t, "hostile")
	torture.Report(t, 14, "scripts beside planted objects and settings").Attempts.Add(int64(len(files)))
	runScripts(t, withPlanted(), files)
}

// C1, F01: commands of a superuser never call operators and functions that another role planted in public or in a schema ahead of
// pg_catalog, not even through a pooler. They would make that role a superuser. A short run tries each search path in one
// of the two ways.
func TestPlantedObjectsAreNotCalled(t *testing.T) {
	t.Parallel()
	result := torture.Report(t, 14, "commands beside operators of another role")
	bouncer := dbtest.NewPgBouncer(t)
	pair := dbtest.New(t, migrated)
	role := "low_" + strings.ToLower(rand.Text()[:12])
	for _, dsn := range []string{pair.Manager, pair.Tenants} {
		for _, schema := range []string{"public", "ahead"} {
			if _, err := query(t.Context(), dsn, `CREATE SCHEMA IF NOT EXISTS `+schema+`;
CREATE FUNCTION `+schema+`.eqv(varchar, varchar) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
  BEGIN EXECUTE 'ALTER ROLE `+role+` SUPERUSER'; EXCEPTION WHEN OTHERS THEN NULL; END;
  RETURN $1::text OPERATOR(pg_catalog.=) $2::text; END $$;
CREATE OPERATOR `+schema+`.= (leftarg = varchar, rightarg = varchar, function = `+schema+`.eqv);
CREATE FUNCTION `+schema+`.jsonb_build_object(text, name) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN
  BEGIN EXECUTE 'ALTER ROLE `+role+` SUPERUSER'; EXCEPTION WHEN OTHERS THEN NULL; END;
  RETURN pg_catalog.jsonb_build_object($1, $2); END $$;
CREATE FUNCTION `+schema+`.lower(varchar) RETURNS text LANGUAGE plpgsql AS $$ BEGIN
  BEGIN EXECUTE 'ALTER ROLE `+role+` SUPERUSER'; EXCEPTION WHEN OTHERS THEN NULL; END;
  RETURN pg_catalog.lower($1::text); END $$`); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := query(t.Context(), pair.Manager, `CREATE ROLE `+role); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = query(context.Background(), pair.Manager, `DROP ROLE `+role) })
	through, err := bouncer.Through(pair)
	if err != nil {
		t.Fatal(err)
	}
	for i, path := range []string{`"$user", public`, `ahead, pg_catalog`} {
		database := ask(t, pair.Manager, "SELECT current_database()")
		if _, err := query(t.Context(), pair.Manager, `ALTER DATABASE `+database+` SET search_path = `+path); err != nil {
			t.Fatal(err)
		}
		for k, reached := range []dbtest.Pair{pair, through} {
			if testing.Short() && k != i {
				continue
			}
			way := []string{"direct", "pooled"}[k]
			name := strings.ToLower(rand.Text()[:8])
			for _, args := range []string{
				"users create --username " + name + " --email " + name + "@example.com --full-name X --no-password", "users update " + name + " --department x", "users list --search " + name,
				"users get " + name + "@example.com", "users status " + name + " --set LOCKED", "users unlock " + name, "roles list", "audit list", "audit verify",
				"invoices list", "tenants list", "sessions list", "users delete " + name + " --yes", "users history " + name + " --include-deleted", "__complete users get " + name,
			} {
				result.Attempts.Add(1)
				cxgctl(t, reached, strings.Fields(args)...).exits(t, 0)
			}
			if got := ask(t, pair.Manager, "SELECT rolsuper FROM pg_roles WHERE rolname = '"+role+"'"); got != "f" {
				t.Fatalf("%s, search_path %s: the role became a superuser", way, path)
			}
		}
	}
}
