// Package seed fills empty databases with realistic demo data: users, tenants, subscriptions and invoices. The rows
// are the same on every machine.
package seed

import (
	"context"
	_ "embed"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
)

// Password is the password of the demo users.
const Password = "Demo-Passw0rd"

// hash is a bcrypt hash of Password with the backend's cost of 12 and its prefix. Hashing takes a quarter of a second
// per user and would make loads differ.
const hash = "$2b$12$56seWwsLZalvl7XAcF6A1.dAquOnFAOIW.RcOTCDw5BKw6thWLVhG"

// today is the current day in the demo data. It is fixed, so that all loads are the same.
const today = "timestamptz '2026-11-01 00:00Z'"

// Admin is the username of the first demo user, a MASTER.
const Admin = "admin"

// Size is the number of rows to load.
type Size struct {
	Users    int // idam.users, at least the administrator
	Invoices int // bill.invoices
}

// The statements that fill the databases, with {names} for the values of Size.statements.
var (
	//go:embed people.sql
	people string
	//go:embed manager.sql
	manager string
	//go:embed tenants.sql
	tenants string
)

// statements completes the functions of people.sql and the statements of one database.
func (s Size) statements(sql string) string {
	users := max(1, s.Users)
	return strings.NewReplacer(
		"{users}", strconv.Itoa(users),
		"{invoices}", strconv.Itoa(s.Invoices),
		"{tenants}", strconv.Itoa(min(max(5, users/20), 2000)),
		"{today}", today,
		"{start}", "("+today+" - interval '1095 days')", // of the oldest users and invoices
		"{admin}", "'"+Admin+"'",
		"{password}", "'"+hash+"'",
	).Replace(people + sql)
}

// lockKey is the advisory lock of a load; it spells "cxgdata".
const lockKey = 0x63786764617461

// Load fills both databases, which must be migrated, in one transaction each, and returns true. It returns false
// immediately if they already contain a load of the same size. Concurrent calls wait for each other. It returns
// CONFLICT if they contain a load of another size, or rows that the demo data would duplicate.
func Load(ctx context.Context, managerDSN, tenantDSN string, s Size) (loaded bool, err error) {
	if s.Users < 0 || s.Invoices < 0 {
		return false, fault.New(fault.Validation, "the number of demo users and invoices cannot be negative")
	}
	managerConn, err := connect(ctx, "manager", managerDSN)
	if err != nil {
		return false, err
	}
	defer managerConn.Close(context.WithoutCancel(ctx)) // rolls back an open transaction
	tenantConn, err := connect(ctx, "tenants", tenantDSN)
	if err != nil {
		return false, err
	}
	defer tenantConn.Close(context.WithoutCancel(ctx))
	// released at the end of the session
	if _, err := managerConn.Exec(ctx, `SELECT pg_advisory_lock($1)`, int64(lockKey)); err != nil {
		return false, db.Translate(err)
	}

	var jobs []*job
	for _, j := range []*job{
		{name: "tenants", conn: tenantConn, sql: s.statements(tenants), tables: "sys.users"},
		{
			name: "manager", conn: managerConn, sql: s.statements(manager),
			tables: "idam.users, tnnt.tenants, tnnt.tenant_users, bill.plans, tnnt.subscriptions, bill.invoices",
		},
	} {
		has, err := loadedSize(ctx, j.conn)
		if err != nil {
			return false, db.Translate(err)
		}
		if has == nil {
			jobs = append(jobs, j)
		} else if *has != s {
			return false, fault.New(fault.Conflict, "the %s database holds demo data of another size: %d users and %d invoices",
				j.name, has.Users, has.Invoices).
				WithHint("keep it, or start over with: cxgctl dev reset").
				With("users", has.Users).With("invoices", has.Invoices)
		}
	}
	// Both are filled before either is committed, so that a failure leaves neither half loaded. If the process dies
	// between the two commits, the next call completes the second.
	for _, j := range jobs {
		if err := j.fill(ctx, s); err != nil {
			return false, j.translate(err)
		}
	}
	for _, j := range jobs {
		if err := j.tx.Commit(ctx); err != nil {
			return false, j.translate(err)
		}
	}
	for _, j := range jobs {
		// Statistics and visibility maps now, instead of autovacuum competing with the developer's next steps for minutes.
		if _, err := j.conn.Exec(ctx, "VACUUM (ANALYZE) "+j.tables); err != nil {
			return true, j.translate(err)
		}
	}
	return len(jobs) > 0, nil
}

func connect(ctx context.Context, name, dsn string) (*pgx.Conn, error) {
	cfg, err := db.Config(db.Options{Name: name, URL: dsn})
	if err != nil {
		return nil, err
	}
	cfg.RuntimeParams["default_transaction_read_only"] = "off"
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, db.Translate(err)
	}
	return conn, nil
}

// loadedSize returns the size of the existing load, or nil.
func loadedSize(ctx context.Context, conn *pgx.Conn) (*Size, error) {
	var exists bool
	err := conn.QueryRow(ctx, `SELECT to_regclass('cxg_dev.loads') IS NOT NULL`).Scan(&exists)
	if err != nil || !exists {
		return nil, err
	}
	var s Size
	if err := conn.QueryRow(ctx, `SELECT users, invoices FROM cxg_dev.loads`).Scan(&s.Users, &s.Invoices); err != nil {
		return nil, err
	}
	return &s, nil
}

// job is the load of one database.
type job struct {
	name   string
	conn   *pgx.Conn
	tx     pgx.Tx
	sql    string
	tables string // names separated by commas
}

// fill inserts all rows and records the size, in a transaction that stays open.
func (j *job) fill(ctx context.Context, s Size) (err error) {
	if j.tx, err = j.conn.Begin(ctx); err != nil {
		return err
	}
	if _, err := j.tx.Exec(ctx, j.sql); err != nil {
		return err
	}
	_, err = j.tx.Exec(ctx, `
		CREATE SCHEMA IF NOT EXISTS cxg_dev;
		CREATE TABLE cxg_dev.loads (users integer NOT NULL, invoices integer NOT NULL, loaded_at timestamptz NOT NULL DEFAULT now())`)
	if err != nil {
		return err
	}
	_, err = j.tx.Exec(ctx, `INSERT INTO cxg_dev.loads (users, invoices) VALUES ($1, $2)`, s.Users, s.Invoices)
	return err
}

func (j *job) translate(err error) error {
	if db.UniqueViolation(err) != "" {
		return fault.New(fault.Conflict, "the %s database contains rows that the demo data would duplicate", j.name).
			WithHint("demo data belongs in an empty database; start over with: cxgctl dev reset").Because(err)
	}
	return db.Translate(err)
}
