package doctor

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/migrate"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Servers that speak PostgreSQL's protocol differ in what they support, and a pooler changes it further. Each required
// ability is therefore tried, by reading or in a transaction that is rolled back, instead of looked up by version or
// vendor.

// ability is a feature of the server that cxgctl uses.
type ability struct {
	name string
	// probe tries the ability and describes what it found. It returns a server error or an unable error if the ability
	// is missing.
	probe   func(ctx context.Context, s *subject) (string, error)
	writes  bool   // needs a read-write transaction
	table   bool   // needs the accounts table
	without string // consequence of a missing ability
	vital   bool   // commands that matter depend on it
}

// unable explains why a server lacks an ability, although it returned no error.
type unable string

func (u unable) Error() string { return string(u) }

// abilities are tried in this order.
var abilities = []ability{
	{name: "sessions", probe: probeSessions, without: "migrate needs a direct connection: set direct_database_url, and direct_tenants_database_url for the tenants"},
	{name: "utc", probe: probeUTC, vital: true, without: "times would be shown in another time zone"},
	{name: "catalog", probe: probeCatalog, table: true, vital: true, without: "every command is refused, because the tables cannot be examined"},
	{name: "read-only", probe: probeReadOnly, table: true, vital: true, without: "commands that read are not prevented from writing: use a read-only role for them"},
	{name: "snapshot", probe: probeSnapshot, without: "a long export may not be consistent"},
	{name: "time-outs", probe: probeTimeouts, without: "cxgctl enforces --timeout itself, by closing the connection"},
	{name: "arrays", probe: probeArrays, vital: true, without: "commands on several rows are refused"},
	{name: "json", probe: probeJSON, vital: true, without: "changes are refused, because audit rows cannot be written"},
	{name: "collation", probe: probeCollation, without: "--search is refused"},
	{name: "returning", probe: probeReturning, writes: true, table: true, vital: true, without: "changes are refused"},
	{name: "row-locks", probe: probeRowLocks, writes: true, table: true, vital: true, without: "concurrent changes are not safe: do not change anything"},
	{name: "advisory-locks", probe: probeAdvisoryLocks, writes: true, without: "changes to MASTERs and their roles are refused, because two operators at once could remove the last one"},
	{name: "constraints", probe: probeConstraints, writes: true, without: "--dry-run is refused"},
	{name: "savepoints", probe: probeSavepoints, writes: true, without: "users import is refused"},
	{name: "on-conflict", probe: probeOnConflict, writes: true, table: true, without: "users import and seals are refused"},
	{name: "copy", probe: probeCopy, writes: true, table: true, without: "users import and changes of 50 rows or more are refused"},
	{name: "xmin", probe: probeXmin, table: true, without: "users list --state is refused; use --changed-since instead"},
	{name: "activity", probe: probeActivity, writes: true, without: "a commit whose answer is lost is reported as unknown (exit 8); find out later with audit list --op"},
	{name: "search-index", probe: probeSearchIndex, without: "migrate up --with search is refused; --search scans the whole table"},
	{name: "trigram", probe: probeTrigram},
}

// compatibility returns the checks of doctor --compat.
func compatibility() []check {
	list := []check{{name: "connection", run: connection}, {name: "version", run: version}}
	for _, a := range abilities {
		list = append(list, check{name: a.name, run: a.check})
	}
	return list
}

func (a ability) check(ctx context.Context, s *subject) (Finding, error) {
	switch {
	case a.writes && s.session.Standby:
		return skipped("a standby refuses changes; try the primary"), nil
	case a.table && !s.accounts(ctx):
		return skipped("%s does not exist", s.accountsTable()), nil
	}
	seen, err := a.probe(ctx, s)
	if err == nil {
		return fine("%s", seen), nil
	}
	if _, missing := errors.AsType[unable](err); !missing {
		if _, answered := errors.AsType[*pgconn.PgError](err); !answered {
			return Finding{}, err
		}
	} else {
		err = fault.New(fault.Database, "%s", err).Because(err)
	}
	status := Warn
	if a.vital {
		status = Fail
	}
	return wrong(status, "%s", fault.From(db.Translate(err)).Message).remedied("%s", a.without), nil
}

// accountsTable returns the table used by probes. They do not change its rows.
func (s *subject) accountsTable() string {
	if s.Database == migrate.Tenants {
		return schema.SysUsers
	}
	return schema.Users
}

func (s *subject) accounts(ctx context.Context) bool {
	var there bool
	err := s.db.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", s.accountsTable()).Scan(&there)
	return err != nil || there // if this fails, the probe fails too
}

// rehearse runs statements without arguments in a transaction that is rolled back.
func (s *subject) rehearse(ctx context.Context, statements ...string) error {
	return audit.Rehearse(ctx, s.db, func(ctx context.Context, tx pgx.Tx) error {
		for _, sql := range statements {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return err
			}
		}
		return nil
	})
}
