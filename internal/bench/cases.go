package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// sections are measured in this order; tenants comes last, because it deletes the demo tenants.
var sections = []section{
	{"commands", commands},
	{"exports", exports},
	{"search", searches},
	{"imports", imports},
	{"passwords", passwords},
	{"seals", seals},
	{"tenants", manyTenants},
}

// What cxgctl selects, as a person would write it.
const (
	userColumns = "id, username, full_name, email, phone, user_type, status, mfa_enabled, sso_provider, email_verified, " +
		"phone_verified, last_login_at, host(last_login_ip), failed_login_attempts, locked_until, password_changed_at, " +
		"force_password_change, timezone, locale, department, position, is_active, created_at, updated_at, created_by, updated_by"

	invoiceSelect = "SELECT i.id, i.invoice_no, i.tenant_id, t.code AS tenant_code, i.subscription_id, i.invoice_date, i.due_date, " +
		"i.start_date, i.close_date, i.base_amount, i.usage_amount, i.discount_amount, i.tax_amount, i.total_amount, i.currency, " +
		"i.user_count, i.used_storage, i.api_calls, i.status, i.paid_at, i.payment_method, i.deleted, i.created_at, i.updated_at, " +
		"i.created_by, i.updated_by FROM bill.invoices i LEFT JOIN tnnt.tenants t ON t.id = i.tenant_id " +
		"WHERE NOT i.deleted ORDER BY i.invoice_date DESC, i.id DESC"
)

// query returns psql's command line for statements in the manager's database.
func (b *bench) query(statements ...string) []string {
	argv := []string{b.psql, "-X", "-q", "-P", "pager=off", b.server.DSN("mgmt")}
	for _, sql := range statements {
		argv = append(argv, "-c", sql)
	}
	return argv
}

// copied returns psql's command line for a \copy of a query to a file.
func (b *bench) copied(query, name, options string) []string {
	return b.query(`\copy (` + query + `) TO '` + b.file(name) + `'` + options)
}

func (b *bench) cxgctl(args ...string) []string { return append([]string{b.tool, "-q"}, args...) }

func (b *bench) export(format, name string, args ...string) []string {
	return append(b.cxgctl("invoices", "list", "--all", "-o", format, "--output-file", b.file(name)), args...)
}

func commands(b *bench) ([]testCase, error) {
	get := "SELECT " + userColumns + " FROM idam.users WHERE username = 'admin'"
	list := "SELECT " + userColumns + " FROM idam.users WHERE is_active ORDER BY created_at DESC, id DESC LIMIT 100"
	return []testCase{
		{title: "one user", contenders: []contender{
			{name: "psql -c SELECT", argv: b.query(get)},
			{name: "cxgctl users get", argv: b.cxgctl("users", "get", "admin"), goal: "≤ 1.3"},
		}},
		{title: "a page of 100 users, with their count", contenders: []contender{
			{name: "psql -c count -c SELECT", argv: b.query("SELECT count(*) FROM idam.users WHERE is_active", list)},
			{name: "cxgctl users list --page-size 100", argv: b.cxgctl("users", "list", "--page-size", "100")},
			{name: "… -o json", argv: b.cxgctl("users", "list", "--page-size", "100", "-o", "json")},
			{name: "… -o csv", argv: b.cxgctl("users", "list", "--page-size", "100", "-o", "csv")},
		}},
	}, nil
}

func exports(b *bench) ([]testCase, error) {
	// the newest 100,000 users, the newest tenth of the invoices, and all of them
	facts, err := b.sql("mgmt", `VACUUM ANALYZE bill.invoices, idam.users, tnnt.tenants;
		SELECT coalesce(to_char(min(created_at) - interval '1 microsecond', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), '2000-01-01')
		  FROM (SELECT created_at FROM idam.users WHERE is_active ORDER BY created_at DESC LIMIT 100000) u;
		SELECT invoice_date FROM bill.invoices WHERE NOT deleted ORDER BY invoice_date DESC
		OFFSET (SELECT count(*) / 10 FROM bill.invoices) LIMIT 1 \gset
		SELECT :'invoice_date', count(*) FILTER (WHERE invoice_date >= :'invoice_date'), count(*) FROM bill.invoices WHERE NOT deleted;`)
	if err != nil {
		return nil, err
	}
	since, rest, _ := strings.Cut(facts, "\n")
	var day string
	var few, all int
	if _, err := fmt.Sscan(strings.ReplaceAll(rest, "|", " "), &day, &few, &all); err != nil {
		return nil, err
	}
	users := "SELECT username, full_name, email, user_type, status, last_login_at, created_at FROM idam.users " +
		"WHERE is_active AND created_at > '" + since + "' ORDER BY created_at DESC, id DESC"
	return []testCase{
		{title: "every invoice, 26 columns, csv", contenders: []contender{
			{name: `psql \copy`, argv: b.copied(invoiceSelect, "p.csv", " CSV HEADER")},
			{name: "cxgctl invoices list --all -o csv", argv: b.export("csv", "c.csv"), goal: "≤ 0.77 (1.3 × as fast), 32 MB"},
			{name: "… to .csv.gz", argv: b.export("csv", "c.csv.gz")},
			{name: "… to .csv.zst", argv: b.export("csv", "c.csv.zst")},
		}},
		{title: "every invoice, jsonl", contenders: []contender{
			{name: `psql \copy (SELECT row_to_json …)`, argv: b.copied("SELECT row_to_json(r) FROM ("+invoiceSelect+") r", "p.jsonl", "")},
			{name: "cxgctl … -o jsonl", argv: b.export("jsonl", "c.jsonl"), goal: "≤ 0.40 (2.5 × as fast), 32 MB"},
			{name: "… -o json", argv: b.export("json", "c.json"), goal: "≤ 0.40, 32 MB"},
			{name: "… to .jsonl.gz", argv: b.export("jsonl", "c.jsonl.gz")},
			{name: "… to .jsonl.zst", argv: b.export("jsonl", "c.jsonl.zst")},
		}},
		{title: "100,000 users as a table", contenders: []contender{
			{name: "psql aligned", argv: b.query(users)},
			{name: "cxgctl users list --all", argv: b.cxgctl("users", "list", "--all", "--created-after", since), goal: "≤ 1.5, 64 MB"},
		}},
		{title: "a row of csv", contenders: []contender{
			{name: "among few", argv: b.export("csv", "c.csv", "--from", day), rows: few, less: 2},
			{name: "among all", argv: b.export("csv", "c.csv"), rows: all, less: 2, goal: "≤ 1.1"},
			{name: "the start of the command", argv: b.export("csv", "c.csv", "--from", "2999-01-01")},
		}},
	}, nil
}

// searches compares searches with ILIKE, which the backend uses, without and with the optional indexes.
func searches(b *bench) ([]testCase, error) {
	name, err := b.sql("mgmt", `SELECT right(full_name, 2) FROM idam.users
		WHERE full_name ~ '^[가-힣]{3}$' GROUP BY 1 ORDER BY count(*) LIMIT 1`)
	if err != nil {
		return nil, err
	}
	search := func(title, goal string) testCase {
		where := strings.ReplaceAll(" FROM idam.users WHERE is_active AND (username ILIKE '%X%' OR full_name ILIKE '%X%' OR email ILIKE '%X%')", "X", name)
		page := "SELECT " + userColumns + where + " ORDER BY created_at DESC, id DESC LIMIT 20"
		return testCase{title: title, contenders: []contender{
			{name: "psql: count and page by ILIKE", argv: b.query("SELECT count(*)"+where, page), less: 2},
			{name: "cxgctl users list --search " + name, argv: b.cxgctl("users", "list", "--search", name), less: 3, goal: goal},
			{name: "the start of psql", argv: b.query("SELECT 1")},
			{name: "the start of cxgctl", argv: b.cxgctl("users", "get", "admin")},
		}}
	}
	indexed := search("two syllables, optional index", "≤ 0.02 (50 × as fast)")
	indexed.prepare = func() error {
		up := contender{name: "migrate up", argv: b.cxgctl("migrate", "up", "--database", "manager", "--with", "search", "--timeout", "1h", "--yes")}
		if _, err := b.start(up); err != nil {
			return err
		}
		_, err := b.sql("mgmt", "VACUUM ANALYZE idam.users")
		return err
	}
	return []testCase{search("two syllables, no index", "≤ 0.33 (3 × as fast)"), indexed}, nil
}

// byHand does the work of an import in psql: the file into a staging table, the users from there, and an audit row
// with the same content as cxgctl's for each. One transaction.
const byHand = `
BEGIN;
CREATE TEMP TABLE staging (username text, email text, full_name text, phone text, department text, position text) ON COMMIT DROP;
\copy staging FROM '%s' WITH (FORMAT csv, HEADER)
WITH made AS (
  INSERT INTO idam.users (username, email, full_name, phone, department, position, user_type, status, created_at, created_by)
  SELECT username, email, full_name, phone, department, position, 'TENANT', 'ACTIVE', now(), (SELECT id FROM idam.users WHERE username = 'admin')
    FROM staging ON CONFLICT DO NOTHING RETURNING *)
INSERT INTO audt.audit_logs (created_at, created_by, user_id, event_type, event_category, description, user_agent, resource,
       resource_id, action_performed, result, risk_level, extra_data, status, deleted)
SELECT now(), m.created_by, m.created_by, 'ADMIN_ACTION', 'DATA_MODIFICATION', 'users import: user ' || m.username, 'psql', 'USER_ACCOUNT',
       m.id::text, 'CREATE', 'SUCCESS', 'LOW',
       jsonb_build_object('tool', 'psql', 'op_id', '01a20d33-1586-7ac7-950f-f901c6da3694', 'resource', 'user', 'operator', 'admin',
         'auth_method', 'claim', 'claimed', 'admin', 'os_user', 'root', 'host', 'bench', 'pid', 1, 'client_version', 'psql',
         'command', 'users import', 'session_user', session_user, 'after', to_jsonb(m) - '{password,salt_key,mfa_secret,backup_codes}'::text[]),
       'ACTIVE', false
  FROM made m;
COMMIT;
`

// people writes a file of n users to import, with passwords or without, and returns its path.
func (b *bench) people(n int, passwords bool) (string, error) {
	f, err := os.Create(filepath.Join(b.dir, fmt.Sprintf("people%d.csv", n)))
	if err != nil {
		return "", err
	}
	w := bufio.NewWriter(f) // the peaks of processes include the memory of this one
	header, password := "username,email,full_name,phone,department,position", ""
	if passwords {
		header, password = header+",password", ",Correct-Horse-%[1]d"
	}
	_, _ = w.WriteString(header + "\n") // Flush returns the errors
	for i := range n {
		_, _ = fmt.Fprintf(w, "person%[1]d,person%[1]d@example.co.kr,김 사용자 %[1]d,+82 2 %07[1]d,Sales,Manager"+password+"\n", i)
	}
	return f.Name(), errors.Join(w.Flush(), f.Close())
}

// in returns the environment for another database than the manager's.
func (b *bench) in(database string) []string {
	return []string{"CXGCTL_MANAGER_DATABASE_URL=" + b.server.DSN(database)}
}

// imports runs each contender in a new copy of the database. The shell loop is what an import replaces.
func imports(b *bench) ([]testCase, error) {
	const db, looped = "bench_import", 100
	loop := `i=0; while [ $i -lt ` + strconv.Itoa(looped) + ` ]; do i=$((i+1)); "$0" -X -q "$1" -c "
		INSERT INTO idam.users (username, email, full_name, user_type, status, created_at)
		VALUES ('loop$i', 'loop$i@example.com', 'Loop', 'TENANT', 'ACTIVE', now());
		INSERT INTO audt.audit_logs (event_type, event_category, description, result, risk_level, status, deleted)
		VALUES ('ADMIN_ACTION', 'DATA_MODIFICATION', 'loop$i', 'SUCCESS', 'LOW', 'ACTIVE', false)" || exit; done`
	var cases []testCase
	for _, n := range b.imports {
		file, err := b.people(n, false)
		if err != nil {
			return nil, err
		}
		script := filepath.Join(b.dir, fmt.Sprintf("import%d.sql", n))
		if err := os.WriteFile(script, fmt.Appendf(nil, byHand, file), 0o600); err != nil {
			return nil, err
		}
		cases = append(cases, testCase{title: fmt.Sprintf("import of %d users", n), before: func() error { return b.copyDatabase(db) }, contenders: []contender{
			{name: "psql: COPY, INSERT … SELECT twice", argv: []string{b.psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", script, b.server.DSN(db)}, rows: n},
			{name: "cxgctl users import", argv: b.cxgctl("users", "import", file, "--no-passwords"), env: b.in(db), rows: n, goal: "≤ 1.0, 64 MB"},
			{name: "a shell loop of psql -c", argv: []string{"sh", "-c", loop, b.psql, b.server.DSN(db)}, rows: looped, goal: "≥ 200 × the import"},
		}})
	}
	return cases, nil
}

func passwords(b *bench) ([]testCase, error) {
	const db, n = "bench_passwords", 32
	file, err := b.people(n, true)
	if err != nil {
		return nil, err
	}
	crypt, err := b.sql("mgmt", "SELECT count(*) FROM pg_available_extensions WHERE name = 'pgcrypto'")
	if err != nil {
		return nil, err
	}
	c := testCase{
		title: fmt.Sprintf("%d passwords, bcrypt 12", n),
		contenders: []contender{
			{name: fmt.Sprintf("x/crypto on %d cores", runtime.NumCPU()), argv: []string{b.self, "baseline", "hash", strconv.Itoa(n)}},
			{name: "cxgctl users import", argv: b.cxgctl("users", "import", file), env: b.in(db), goal: "≤ 1.05, less than crypt()"},
		},
		before: func() error { return b.copyDatabase(db) },
	}
	if crypt == "1" {
		hash := "CREATE EXTENSION pgcrypto; SELECT count(crypt('Correct-Horse-' || n, gen_salt('bf', 12))) FROM generate_series(1, " + strconv.Itoa(n) + ") n"
		c.contenders = append(c.contenders, contender{name: "crypt() in one session", argv: []string{b.psql, "-X", "-q", b.server.DSN(db), "-c", hash}})
	}
	return []testCase{c}, nil
}

// seals compares scripts that change one user after another, one process each, without and with seals.
func seals(b *bench) ([]testCase, error) {
	user, err := b.sql("mgmt", "SELECT username FROM idam.users WHERE user_type = 'TENANT' AND is_active AND status = 'ACTIVE' ORDER BY id LIMIT 1")
	if err != nil {
		return nil, err
	}
	for _, db := range []string{"bench_plain", "bench_sealed"} {
		if err := b.copyDatabase(db); err != nil {
			return nil, err
		}
	}
	if _, err := b.sql("bench_plain", "DROP SCHEMA cxg_audit CASCADE"); err != nil {
		return nil, err
	}
	const changes = 30
	script := `i=100; while [ $i -lt ` + strconv.Itoa(100+changes) + ` ]; do i=$((i+1)); "$0" -q users update ` + user + ` --phone "+82 2 555 0$i" || exit; done`
	change := []string{"sh", "-c", script, b.tool}
	return []testCase{{title: "single changes, one process each", contenders: []contender{
		{name: "without seals", argv: change, env: b.in("bench_plain"), rows: changes},
		{name: "with seals", argv: change, env: b.in("bench_sealed"), rows: changes, goal: "≤ 1.1"},
	}}}, nil
}

// manyTenants lists the users of growing numbers of databases in one server.
func manyTenants(b *bench) ([]testCase, error) {
	if err := b.prepareTenants(); err != nil {
		return nil, err
	}
	pattern := strings.Replace(b.server.DSN("CODE"), "CODE", "{code}", 1)
	env := []string{"CXGCTL_TENANTS_DATABASE_URL=" + pattern}
	var cases []testCase
	for _, n := range b.tenants {
		cases = append(cases, testCase{
			title:   fmt.Sprintf("users of %d tenants' databases, 8 at once", n),
			prepare: func() error { return b.makeTenants(n) },
			contenders: []contender{
				{name: "connect and SELECT in a loop", argv: []string{b.self, "baseline", "connect", strconv.Itoa(n), b.server.DSN("CODE")}, rows: n},
				{name: "cxgctl users list --all-tenants", argv: b.cxgctl("users", "list", "--all-tenants", "-o", "csv", "--timeout", "5m"), env: env, rows: n, goal: "≤ 1.3 for 1,000"},
			},
		})
	}
	return cases, nil
}
