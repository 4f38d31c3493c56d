package db

import (
	"context"
	"errors"
	"reflect"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// A connection string may name several servers, of which one takes writes. pgx asks each for that with a
// statement of its own; from PostgreSQL 14 on a server says by itself whether it is a standby. And pgx's own
// test for read-write sessions would refuse every server, since our sessions are read-only by default.

// standing is which of several servers a session is wanted with.
type serverRole int

const (
	anyServer     serverRole = iota
	primary                  // no other will do
	preferPrimary            // a standby where there is no primary: see Open
	standby
	standbyBefore
)

// wanted returns what a connection string asks for by target_session_attrs. One that does not say and names
// several servers gets the one that serves its purpose, if that is up.
func wanted(cfg *pgx.ConnConfig, replica bool) serverRole {
	asked := map[uintptr]serverRole{}
	for s, fn := range map[serverRole][]pgconn.ValidateConnectFunc{
		primary:       {pgconn.ValidateConnectTargetSessionAttrsReadWrite, pgconn.ValidateConnectTargetSessionAttrsPrimary},
		standby:       {pgconn.ValidateConnectTargetSessionAttrsReadOnly, pgconn.ValidateConnectTargetSessionAttrsStandby},
		standbyBefore: {pgconn.ValidateConnectTargetSessionAttrsPreferStandby},
	} {
		for _, f := range fn {
			asked[reflect.ValueOf(f).Pointer()] = s
		}
	}
	several := slices.ContainsFunc(cfg.Fallbacks, func(f *pgconn.FallbackConfig) bool { return f.Host != cfg.Host || f.Port != cfg.Port })
	switch {
	case cfg.ValidateConnect != nil:
		return asked[reflect.ValueOf(cfg.ValidateConnect).Pointer()]
	case !several:
		return anyServer
	case replica:
		return standbyBefore
	}
	return preferPrimary
}

var (
	errStandby = errors.New("the server is a standby")
	errPrimary = errors.New("the server is a primary")
)

// validate returns what refuses a server that is not the one wanted. behind says that a pooler stands before the
// server: it repeats what a server said long ago.
func (s serverRole) validate(behind bool) pgconn.ValidateConnectFunc {
	switch s {
	case anyServer:
		return nil
	case standbyBefore:
		if behind {
			return preferStandbyBehindPooler
		}
		return pgconn.ValidateConnectTargetSessionAttrsPreferStandby
	}
	return func(ctx context.Context, c *pgconn.PgConn) error {
		is := c.ParameterStatus("in_hot_standby")
		if is == "" || behind {
			results, err := c.Exec(ctx, "SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN 'on' ELSE 'off' END").ReadAll()
			if err != nil {
				return err
			}
			is = string(results[0].Rows[0][0])
		}
		switch {
		case s == standby && is == "off":
			return errPrimary
		case s != standby && is == "on":
			return errStandby
		}
		return nil
	}
}

// preferStandbyBehindPooler asks by pgx's statement, which names no schema, in a transaction that pins its search path.
func preferStandbyBehindPooler(ctx context.Context, c *pgconn.PgConn) error {
	if _, err := c.Exec(ctx, "BEGIN READ ONLY"+setPinned()).ReadAll(); err != nil {
		return err
	}
	preferred := pgconn.ValidateConnectTargetSessionAttrsPreferStandby(ctx, c)
	if _, err := c.Exec(ctx, "ROLLBACK").ReadAll(); err != nil {
		return err
	}
	return preferred
}

// isStandby says whether a server answers that it cannot write since it follows another: to the first
// statement that does so, or already to the beginning of a transaction that could.
func isStandby(err error) bool {
	pe, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (pe.Code == readOnlyTransaction || pe.Code == featureNotSupported)
}

// readOnlyServer is the error of a server that takes no writes.
func readOnlyServer(err error) *fault.Error {
	return fault.New(fault.Database, "the server is read-only (a standby?)").
		WithHint("point manager_database_url at the primary, or name every server in it: the one that takes writes is found").Because(err)
}
