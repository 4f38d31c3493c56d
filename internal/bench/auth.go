package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/auth"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/devdb"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// identity measures what a one-off command pays to know its operator and what they may do, in a session of
// its own each time, as a command has: the tables' shape and the statement. The yardstick is the same
// command without: the shape of its own table alone.
func identity(ctx context.Context, w io.Writer, s devdb.Status, rounds int) error {
	ways := []struct {
		name, goal string
		tables     []string
		check      bool
		grants     string
	}{
		{"connect, shape of one table, no operator", "", []string{schema.Users}, false, "DELETE FROM idam.user_roles"},
		{"operator, nothing enforced", "≤ +2 ms", auth.Tables, true, "DELETE FROM idam.user_roles"},
		{"operator, SUPER_ADMIN", "≤ +2 ms", auth.Tables, true, "INSERT INTO idam.user_roles (user_id, role_id) SELECT u.id, r.id FROM idam.users u, idam.roles r WHERE u.username = 'admin' AND r.code = 'SUPER_ADMIN' AND NOT EXISTS (SELECT FROM idam.user_roles)"},
	}
	owner, err := pgx.Connect(ctx, s.DSN("mgmt"))
	if err != nil {
		return err
	}
	defer owner.Close(ctx)
	times := make([][]time.Duration, len(ways))
	for round := range rounds + 1 {
		for i, way := range ways {
			if _, err := owner.Exec(ctx, way.grants); err != nil {
				return err
			}
			took, err := check(ctx, s.DSN("mgmt"), way.tables, way.check)
			if err != nil {
				return err
			}
			if round > 0 {
				times[i] = append(times[i], took)
			}
		}
	}
	if _, err := owner.Exec(ctx, "DELETE FROM idam.user_roles"); err != nil {
		return err
	}
	var yardstick time.Duration
	for i, way := range ways {
		slices.Sort(times[i])
		median := times[i][len(times[i])/2]
		title, more := "", fmt.Sprintf("%+.2f ms", float64((median-yardstick).Microseconds())/1000)
		if i == 0 {
			title, yardstick, more = "who, and may they, unix socket", median, ""
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%.1f ms\t%.1f ms\t%s\t%s\n", title, way.name,
			float64(median.Microseconds())/1000, float64(times[i][0].Microseconds())/1000, more, way.goal)
	}
	return nil
}

// check does what a command does before its own work, and says how long that took.
func check(ctx context.Context, dsn string, tables []string, operator bool) (time.Duration, error) {
	start := time.Now()
	d, err := db.Open(ctx, db.Options{Name: "manager", URL: dsn, Timeout: 30 * time.Second})
	if err != nil {
		return 0, err
	}
	defer d.Close() // which waits, and is nobody's cost
	cat, err := schema.Read(ctx, d, tables...)
	if err == nil && operator {
		_, err = auth.Claim(ctx, d, cat, "admin", time.Now())
	}
	return time.Since(start), err
}
