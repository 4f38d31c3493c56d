package main

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/sync/errgroup"
)

// baseline runs a baseline that psql cannot provide: bench baseline hash N, bench baseline connect N DSN.
func baseline(ctx context.Context, args []string) error {
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	if args[0] == "hash" {
		group.SetLimit(runtime.NumCPU())
		for i := range n {
			group.Go(func() error {
				_, err := bcrypt.GenerateFromPassword(fmt.Appendf(nil, "Correct-Horse-%d", i), 12)
				return err
			})
		}
		return group.Wait()
	}
	group.SetLimit(8) // as many as cxgctl's
	for i := range n {
		group.Go(func() error { return readTenant(ctx, strings.Replace(args[2], "CODE", tenantCode(i), 1)) })
	}
	return group.Wait()
}

func readTenant(ctx context.Context, dsn string) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	rows, err := conn.Query(ctx, `SELECT id, username, full_name, email, phone, last_login_at, last_login_ip, failed_login_attempts,
		locked_until, is_active, created_at, updated_at, created_by, updated_by FROM sys.users WHERE is_deleted IS NOT TRUE
		ORDER BY created_at DESC, id DESC`, pgx.QueryExecModeExec)
	if err != nil {
		return err
	}
	for rows.Next() {
		if _, err := rows.Values(); err != nil {
			return err
		}
	}
	return rows.Err()
}

func tenantCode(i int) string { return fmt.Sprintf("bench-%04d", i) }

// prepareTenants deletes the demo tenants, which have no databases of their own, makes the tenants' database a
// template with 20 users, and lets the server copy it quickly. The server is discarded afterwards.
func (b *bench) prepareTenants() error {
	_, err := b.sql("mgmt", `UPDATE tnnt.tenants SET is_deleted = true;
		ALTER SYSTEM SET fsync = off; ALTER SYSTEM SET autovacuum = off; SELECT pg_reload_conf();`)
	if err != nil {
		return err
	}
	_, err = b.sql("tnnt", `TRUNCATE sys.users;
		INSERT INTO sys.users (username, password, full_name, email, is_system_user)
		SELECT 'user' || n, 'x', 'User ' || n, 'user' || n || '@example.com', false FROM generate_series(1, 20) n;`)
	return err
}

// makeTenants creates missing tenants and their databases, up to the n-th.
func (b *bench) makeTenants(n int) error {
	text, err := b.sql("mgmt", "SELECT count(*) FROM tnnt.tenants WHERE NOT is_deleted AND code LIKE 'bench-%'")
	if err != nil {
		return err
	}
	made, err := strconv.Atoi(text)
	if err != nil || made >= n {
		return err
	}
	var script strings.Builder
	for ; made < n; made++ {
		fmt.Fprintf(&script, "CREATE DATABASE \"%[1]s\" TEMPLATE tnnt;\nINSERT INTO tnnt.tenants (code, name) VALUES ('%[1]s', '%[1]s');\n", tenantCode(made))
	}
	_, err = b.sql("mgmt", script.String()+"CHECKPOINT;\n")
	return err
}
