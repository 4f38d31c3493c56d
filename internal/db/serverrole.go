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

// A connection string may name several servers, one of which is the primary. pgx would run a statement on each to find
// it; from PostgreSQL 14 on, the server reports at start-up whether it is a standby. pgx's own read-write check would
// also refuse every server, because our sessions default to read-only.

// serverRole is the role that a server must or should have.
type serverRole int

const (
	anyServer     serverRole = iota
	primary                  // required
	preferPrimary            // falls back to a standby, see Open
	standby
	standbyBefore
)

// wanted returns the role that target_session_attrs asks for. Without that setting and with several servers, it is the
// role that suits the purpose, if available.
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

// validate returns the check that refuses a server in another role. pooled means that the reported parameters may be
// stale.
func (s serverRole) validate(pooled bool) pgconn.ValidateConnectFunc {
	switch s {
	case anyServer:
		return nil
	case standbyBefore:
		if pooled {
			return preferStandbyBehindPooler
		}
		return pgconn.ValidateConnectTargetSessionAttrsPreferStandby
	}
	return func(ctx context.Context, c *pgconn.PgConn) error {
		is := c.ParameterStatus("in_hot_standby")
		if is == "" || pooled {
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

// preferStandbyBehindPooler runs pgx's check, whose statement does not qualify names, in a transaction that pins its
// search path.
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

// isStandby reports whether the server refused to write because it is a standby, either at the first statement or at
// BEGIN READ WRITE.
func isStandby(err error) bool {
	pe, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (pe.Code == ReadOnlyTransaction || pe.Code == featureNotSupported)
}

// readOnlyServer is the error for a server that refuses writes.
func readOnlyServer(err error) *fault.Error {
	return fault.New(fault.Database, "the server is read-only (a standby?)").
		WithHint("point manager_database_url at the primary, or list every server in it so that the primary is found").Because(err)
}
