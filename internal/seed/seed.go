// Package devdata fills an empty CXG installation with demo data: users, tenants, subscriptions and
// invoices that look like real ones and are the same on every machine, row for row.
package seed

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
)

// Password is what every demo user who has a password logs in with.
const Password = "Demo-Passw0rd"

// Admin is the user name of the first demo user, a MASTER, whom every load makes.
const Admin = "admin"

// Size says how much is loaded.
type Size struct {
	Users    int // idam.users, the administrator among them; at least that one is made
	Invoices int // bill.invoices
}

// lockKey is the advisory lock of a load; it spells "cxgdata".
const lockKey = 0x63786764617461

// Load fills both databases, which must be migrated, in one transaction each, and returns true; or
// returns false at once when they hold a load of the same size. Concurrent calls wait for each other.
// CONFLICT: they hold a load of another size, or rows that the demo data would repeat.
func Load(ctx context.Context, managerDSN, tenantDSN string, s Size) (loaded bool, err error) {
	if s.Users < 0 || s.Invoices < 0 {
		return false, fault.New(fault.Validation, "the number of demo users and invoices cannot be negative")
	}
	manager, err := connect(ctx, "manager", managerDSN)
	if err != nil {
		return false, err
	}
	defer closeSession(ctx, manager)
	tenants, err := connect(ctx, "tenants", tenantDSN)
	if err != nil {
		return false, err
	}
	defer closeSession(ctx, tenants)
	// the session's end releases it
	if _, err := manager.Exec(ctx, `SELECT pg_advisory_lock($1)`, int64(lockKey)); err != nil {
		return false, db.Translate(err)
	}

	var jobs []*job
	d := newDataset(s)
	for _, j := range []*job{
		{name: "tenants", conn: tenants, copies: d.tenantDatabase()},
		{name: "manager", conn: manager, copies: d.managerDatabase()},
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
				WithHint("keep it, or start afresh with: cxgctl dev reset").
				With("users", has.Users).With("invoices", has.Invoices)
		}
	}
	// Both are filled before either commits, so that a load that fails leaves neither of them half
	// loaded; should the process die between the two commits, the next call completes the second.
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
		if err := j.tidy(ctx); err != nil {
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

// closeSession ends a session even when ctx has ended; an open transaction is rolled back by that.
func closeSession(ctx context.Context, conn *pgx.Conn) {
	_ = conn.Close(context.WithoutCancel(ctx))
}

// loadedSize returns the size of the load that the database holds, or nil.
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
	copies []copyJob
}

// fill copies every table's rows and notes the size, in a transaction that it leaves open.
func (j *job) fill(ctx context.Context, s Size) (err error) {
	if j.tx, err = j.conn.Begin(ctx); err != nil {
		return err
	}
	for _, c := range j.copies {
		if err := c.run(ctx, j.conn); err != nil {
			return err
		}
	}
	for _, sql := range []string{
		`CREATE SCHEMA IF NOT EXISTS cxg_dev`,
		`CREATE TABLE cxg_dev.loads (users integer NOT NULL, invoices integer NOT NULL, loaded_at timestamptz NOT NULL DEFAULT now())`,
	} {
		if _, err := j.tx.Exec(ctx, sql); err != nil {
			return err
		}
	}
	_, err = j.tx.Exec(ctx, `INSERT INTO cxg_dev.loads (users, invoices) VALUES ($1, $2)`, s.Users, s.Invoices)
	return err
}

// tidy gives the planner its statistics and index-only scans their visibility map, instead of some
// minutes of an autovacuum that competes with what the developer does next.
func (j *job) tidy(ctx context.Context) error {
	for _, c := range j.copies {
		if _, err := j.conn.Exec(ctx, `VACUUM (ANALYZE) `+c.table); err != nil {
			return err
		}
	}
	return nil
}

func (j *job) translate(err error) error {
	if db.UniqueViolation(err) != "" {
		return fault.New(fault.Conflict, "the %s database holds rows that the demo data would repeat", j.name).
			WithHint("demo data belongs in an empty database; start afresh with: cxgctl dev reset").Because(err)
	}
	return db.Translate(err)
}
