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
	"github.com/cxgctl/cxgctl/internal/users"
)

// identity measures how much finding the operator and their permissions adds to a one-off command, users get. It runs
// in this process, with a new session each time. The baseline is the same command without an operator: it connects,
// reads the shape of its table, and finds the same user.
func identity(ctx context.Context, w io.Writer, s devdb.Status, dir string, rounds int) error {
	const (
		none  = "DELETE FROM idam.user_roles"
		grant = none + "; INSERT INTO idam.user_roles (user_id, role_id) SELECT u.id, r.id FROM idam.users u, idam.roles r WHERE u.username = 'admin' AND "
		super = grant + "r.code = 'SUPER_ADMIN'"
		other = grant + "r.id = (SELECT role_id FROM idam.role_permissions JOIN idam.roles x ON x.id = role_id WHERE x.code <> 'SUPER_ADMIN' GROUP BY role_id ORDER BY count(*) DESC LIMIT 1)"
	)
	ways := []struct {
		name, goal string
		find       func(context.Context, string) error
		grants     string
	}{
		{"users get without an operator", "", alone, none},
		{"operator, nothing enforced", "≤ +2 ms, +1 trip", known, none},
		{"operator, SUPER_ADMIN", "≤ +2 ms, +1 trip", known, super},
		{"operator, a role with permissions", "≤ +2 ms, +1 trip", known, other},
	}
	owner, err := pgx.Connect(ctx, s.DSN("mgmt"))
	if err != nil {
		return err
	}
	defer owner.Close(ctx)
	counter, err := count(dir, s)
	if err != nil {
		return err
	}
	defer counter.close()
	times, trips := make([][]time.Duration, len(ways)), make([]int, len(ways))
	for round := range rounds + 1 {
		for i, way := range ways {
			if _, err := owner.Exec(ctx, way.grants); err != nil {
				return err
			}
			if round == 0 {
				if err := way.find(ctx, counter.dsn); err != nil {
					return err
				}
				trips[i] = counter.taken()
				continue
			}
			start := time.Now()
			if err := way.find(ctx, s.DSN("mgmt")); err != nil {
				return err
			}
			times[i] = append(times[i], time.Since(start))
		}
	}
	if _, err := owner.Exec(ctx, none); err != nil {
		return err
	}
	var yardstick time.Duration
	for i, way := range ways {
		slices.Sort(times[i])
		median := times[i][len(times[i])/2]
		title, more := "", fmt.Sprintf("%+.2f ms, %+d trips", float64((median-yardstick).Microseconds())/1000, trips[i]-trips[0])
		if i == 0 {
			title, yardstick, more = "who, and may they, unix socket", median, fmt.Sprint(trips[0], " trips")
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%.1f ms\t%.1f ms\t%s\t%s\n", title, way.name,
			float64(median.Microseconds())/1000, float64(times[i][0].Microseconds())/1000, more, way.goal)
	}
	return nil
}

// alone is users get without an operator.
func alone(ctx context.Context, dsn string) error {
	return get(ctx, dsn, func(d *db.DB) (schema.Catalog, error) { return schema.Read(ctx, d, schema.Users) })
}

// known is users get as cxgctl runs it.
func known(ctx context.Context, dsn string) error {
	return get(ctx, dsn, func(d *db.DB) (schema.Catalog, error) {
		who, cat, err := auth.Identify(ctx, d, auth.Credential{Name: "admin"}, []string{schema.Users}, time.Now())
		if err == nil {
			err = who.Require(nil, "USER_READ")
		}
		return cat, err
	})
}

func get(ctx context.Context, dsn string, begin func(*db.DB) (schema.Catalog, error)) error {
	d, err := db.Open(ctx, db.Options{Name: "manager", URL: dsn, Timeout: 30 * time.Second})
	if err != nil {
		return err
	}
	defer func() { go d.Close() }() // waits for the server, which is not part of the command
	cat, err := begin(d)
	if err != nil {
		return err
	}
	t, err := users.NewTable(cat)
	if err != nil {
		return err
	}
	found, err := t.Find(ctx, d, []string{"admin"}, "", false)
	if err != nil {
		return err
	}
	return found[0].Err
}
