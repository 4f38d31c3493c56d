package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/devdb"
)

const (
	tenantUsers    = 20 // per tenant database
	tenantParallel = 8
)

// measureTenants compares `users list --all-tenants` over growing numbers of databases in one cluster with a loop that
// only connects and runs the SELECT, with the same parallelism; then it measures `tenants list` with many tenants.
// sizes are ascending.
func measureTenants(ctx context.Context, w io.Writer, tool, dir string, s devdb.Status, sizes []int, many, rounds int) error {
	owner, err := pgx.Connect(ctx, s.DSN("mgmt"))
	if err != nil {
		return err
	}
	defer owner.Close(ctx)
	// the demo tenants have no databases of their own
	if _, err := owner.Exec(ctx, `UPDATE tnnt.tenants SET is_deleted = true`); err != nil {
		return err
	}
	template, err := pgx.Connect(ctx, s.DSN("tnnt"))
	if err != nil {
		return err
	}
	_, err = template.Exec(ctx, fmt.Sprintf(`TRUNCATE sys.users; INSERT INTO sys.users (username, password, full_name, email, is_system_user)
		SELECT 'user' || n, 'x', 'User ' || n, 'user' || n || '@example.com', false FROM generate_series(1, %d) n`, tenantUsers))
	if cerr := template.Close(ctx); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	env := append(os.Environ(), "HOME="+dir, "CXGCTL_OPERATOR=admin", "CXGCTL_MANAGER_DATABASE_URL="+s.DSN("mgmt"),
		"CXGCTL_TENANTS_DATABASE_URL="+strings.Replace(s.DSN("CODE"), "CODE", "{code}", 1))
	if err := quieten(ctx, owner); err != nil {
		return err
	}
	if _, err := silently(ctx, env, tool, filepath.Join(dir, "users.csv"), "users", "list"); err != nil {
		return err
	}
	for _, n := range sizes {
		if err := makeTenants(ctx, owner, n); err != nil {
			return err
		}
		if _, err := connectLoop(ctx, s, n); err != nil { // first sessions write files that later ones read
			return err
		}
		var loop, ours []float64
		var rss int64
		for range rounds {
			took, err := connectLoop(ctx, s, n)
			if err != nil {
				return err
			}
			began := time.Now()
			kb, err := silently(ctx, env, tool, filepath.Join(dir, "users.csv"), "users", "list", "--all-tenants", "-o", "csv", "--timeout", "5m")
			if err != nil {
				return err
			}
			loop, ours, rss = append(loop, took.Seconds()*1000), append(ours, time.Since(began).Seconds()*1000), max(rss, kb)
		}
		base, mine := median(loop), median(ours)
		_, _ = fmt.Fprintf(w, "%d tenants' databases, %d at once\tconnect and SELECT in a loop\t%.0f ms\t%.1f ms each\t1.00\t\n", n, tenantParallel, base, base/float64(n))
		_, _ = fmt.Fprintf(w, "\tcxgctl users list --all-tenants -o csv\t%.0f ms\t%.1f ms each, %d MB\t%.2f\t≤ 1.3 at 1,000\n", mine, mine/float64(n), rss>>10, mine/base)
	}
	if many == 0 {
		return nil
	}
	if _, err := owner.Exec(ctx, `INSERT INTO tnnt.tenants (code, name, created_at) SELECT 'many-' || n, 'Tenant ' || n, now() - n * interval '1 minute' FROM generate_series(1, $1::int) n`, many); err != nil {
		return err
	}
	if _, err := owner.Exec(ctx, `ANALYZE tnnt.tenants`); err != nil {
		return err
	}
	psql := filepath.Join(s.BinDir, "psql")
	for _, c := range []struct {
		name string
		argv []string
	}{
		{"psql -c count -c SELECT … LIMIT 20", []string{psql, "-X", "-q", s.DSN("mgmt"), "-c", "SELECT count(*) FROM tnnt.tenants WHERE NOT is_deleted", "-c", "SELECT * FROM tnnt.tenants WHERE NOT is_deleted ORDER BY created_at DESC, id DESC LIMIT 20"}},
		{"cxgctl tenants list", []string{tool, "tenants", "list"}},
		{"psql \\copy of all", []string{psql, "-X", "-q", s.DSN("mgmt"), "-c", "COPY (SELECT * FROM tnnt.tenants WHERE NOT is_deleted ORDER BY created_at DESC, id DESC) TO STDOUT CSV"}},
		{"cxgctl tenants list --all -o csv", []string{tool, "tenants", "list", "--all", "-o", "csv"}},
	} {
		var times []float64
		var rss int64
		for round := range rounds + 1 {
			began := time.Now()
			kb, err := silently(ctx, env, c.argv[0], filepath.Join(dir, "tenants.csv"), c.argv[1:]...)
			if err != nil {
				return err
			}
			if round > 0 { // the first warms the caches
				times, rss = append(times, time.Since(began).Seconds()*1000), max(rss, kb)
			}
		}
		_, _ = fmt.Fprintf(w, "%d tenants\t%s\t%.0f ms\t%d MB\t\t\n", many, c.name, median(times), rss>>10)
	}
	return nil
}

// quieten makes the server copy databases without syncing them, and keeps autovacuum from visiting a thousand
// databases during the measurement. The cluster is discarded afterwards.
func quieten(ctx context.Context, owner *pgx.Conn) error {
	for _, sql := range []string{"ALTER SYSTEM SET fsync = off", "ALTER SYSTEM SET autovacuum = off", "SELECT pg_reload_conf()"} {
		if _, err := owner.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}

// makeTenants creates missing tenants and their databases, up to the n-th.
func makeTenants(ctx context.Context, owner *pgx.Conn, n int) error {
	var made int
	if err := owner.QueryRow(ctx, `SELECT count(*) FROM tnnt.tenants WHERE NOT is_deleted`).Scan(&made); err != nil {
		return err
	}
	for ; made < n; made++ {
		code := tenantCode(made)
		if _, err := owner.Exec(ctx, `CREATE DATABASE "`+code+`" TEMPLATE tnnt STRATEGY FILE_COPY`); err != nil {
			return err
		}
		if _, err := owner.Exec(ctx, `INSERT INTO tnnt.tenants (code, name) VALUES ($1, $1)`, code); err != nil {
			return err
		}
	}
	_, err := owner.Exec(ctx, `CHECKPOINT`)
	return err
}

func tenantCode(i int) string { return fmt.Sprintf("bench-%04d", i) }

// connectLoop is the baseline: it connects to each database and reads the same rows, with cxgctl's parallelism.
func connectLoop(ctx context.Context, s devdb.Status, n int) (time.Duration, error) {
	began := time.Now()
	next := make(chan int)
	failed := make(chan error, tenantParallel)
	var wg sync.WaitGroup
	for range tenantParallel {
		wg.Go(func() {
			for i := range next {
				if err := readTenant(ctx, s.DSN(tenantCode(i))); err != nil {
					select {
					case failed <- err:
					default:
					}
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
	select {
	case err := <-failed:
		return 0, err
	default:
		return time.Since(began), nil
	}
}

func readTenant(ctx context.Context, dsn string) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, `SELECT id, username, full_name, email, phone, last_login_at, last_login_ip, failed_login_attempts, locked_until,
		is_active, created_at, updated_at, created_by, updated_by FROM sys.users WHERE is_deleted IS NOT TRUE ORDER BY created_at DESC, id DESC`, pgx.QueryExecModeExec)
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

// silently runs a command with its output in a file, and returns its peak memory in KiB.
func silently(ctx context.Context, env []string, program, file string, args ...string) (int64, error) {
	out, err := os.Create(file)
	if err != nil {
		return 0, err
	}
	defer func() { _ = out.Close() }() // not read
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env, cmd.Stdout = env, out
	peak, err := quietly(cmd)
	return peak >> 10, err
}
