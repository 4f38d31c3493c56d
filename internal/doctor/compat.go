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

// Servers that speak PostgreSQL's protocol differ in what they can do, and so does one server behind a pooler. Each
// ability that cxgctl needs is tried, not looked up in a list of versions: by reading, or in a transaction that is
// rolled back. What a server is said to be counts for nothing.

// ability is something that cxgctl needs of a server.
type ability struct {
	name string
	// probe tries it, and returns what was seen. Its error, an answer of the server or unable, is why it is not there.
	probe   func(ctx context.Context, s *subject) (string, error)
	writes  bool   // it takes a transaction that could change something
	table   bool   // it takes the table of accounts
	without string // what falls back where it is not there, or is refused
	vital   bool   // nothing that matters goes without
}

// unable is why a server cannot do something though it did not refuse it.
type unable string

func (u unable) Error() string { return string(u) }

// abilities are tried in this order.
var abilities = []ability{
	{name: "sessions", probe: probeSessions, without: "migrate needs the server itself: name it in direct_database_url, for the tenants in direct_tenants_database_url"},
	{name: "utc", probe: probeUTC, vital: true, without: "times would be shown in another zone"},
	{name: "catalog", probe: probeCatalog, table: true, vital: true, without: "every command is refused, since the shape of no table is known"},
	{name: "read-only", probe: probeReadOnly, table: true, vital: true, without: "nothing holds commands that read to reading: use a role that may only read for them"},
	{name: "snapshot", probe: probeSnapshot, without: "a long export may show rows of different moments"},
	{name: "time-outs", probe: probeTimeouts, without: "cxgctl keeps --timeout by itself, and cuts the connection"},
	{name: "arrays", probe: probeArrays, vital: true, without: "commands on several rows are refused"},
	{name: "json", probe: probeJSON, vital: true, without: "changes are refused, since no audit row can be made"},
	{name: "collation", probe: probeCollation, without: "--search is refused"},
	{name: "returning", probe: probeReturning, writes: true, table: true, vital: true, without: "changes are refused"},
	{name: "row-locks", probe: probeRowLocks, writes: true, table: true, vital: true, without: "changes are not safe from those of others at the same time: make none"},
	{name: "advisory-locks", probe: probeAdvisoryLocks, writes: true, without: "changes of MASTERs and their roles are refused, since two operators at once could remove the last"},
	{name: "constraints", probe: probeConstraints, writes: true, without: "--dry-run is refused"},
	{name: "savepoints", probe: probeSavepoints, writes: true, without: "users import is refused"},
	{name: "on-conflict", probe: probeOnConflict, writes: true, table: true, without: "users import is refused, and so are seals"},
	{name: "copy", probe: probeCopy, writes: true, table: true, without: "users import is refused, and so is a change of 50 rows and more"},
	{name: "xmin", probe: probeXmin, table: true, without: "users list --state is refused; --changed-since does without"},
	{name: "activity", probe: probeActivity, writes: true, without: "a commit whose answer is lost ends as not known (exit 8); audit list --op tells later"},
	{name: "search-index", probe: probeSearchIndex, without: "migrate up --with search is refused; --search reads the whole table"},
	{name: "trigram", probe: probeTrigram},
}

// compatibility are the checks of doctor --compat.
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
		return skipped("a standby takes no changes; it is tried on the primary"), nil
	case a.table && !s.accounts(ctx):
		return skipped("there is no %s to try it with", s.accountsTable()), nil
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

// accountsTable is the table that abilities are tried with: no row of it is changed.
func (s *subject) accountsTable() string {
	if s.Database == migrate.Tenants {
		return "sys.users"
	}
	return schema.Users
}

func (s *subject) accounts(ctx context.Context) bool {
	var there bool
	err := s.db.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", pgx.QueryExecModeExec, s.accountsTable()).Scan(&there)
	return err != nil || there // a server that cannot say fails the probe
}

// rehearse runs statements without arguments, one after the other, in a transaction that is rolled back.
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
