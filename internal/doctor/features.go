package doctor

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5"

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
	// probe returns a server error or an unable error if the ability is missing.
	probe   func(ctx context.Context, s *subject) error
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
	{name: "utc", probe: probeUTC, vital: true, without: "times would be shown in another time zone"},
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
}

// features tries every ability. Missing privileges are left to the rights check, and what Citus does with its tables to
// the version check.
func features(ctx context.Context, s *subject) (Finding, error) {
	f := Finding{Status: Warn}
	var missing, remedies []string
	tried := 0
	for _, a := range abilities {
		if a.writes && s.session.Standby || a.table && (s.catalog[s.accountsTable()] == nil || s.layout.Spread(s.accountsTable())) {
			continue
		}
		err := a.probe(ctx, s)
		state, _ := db.State(err)
		_, lacks := errors.AsType[unable](err)
		switch {
		case state == db.InsufficientRights:
			continue
		case err == nil:
		case state == "" && !lacks:
			return Finding{}, err
		default:
			missing = append(missing, a.name+": "+fault.From(db.Translate(err)).Message)
			remedies = append(remedies, a.without)
			if a.vital {
				f.Status = Fail
			}
		}
		tried++
	}
	if len(missing) == 0 {
		return fine("the server has the features that commands use; %d of %d were tried", tried, len(abilities)), nil
	}
	f.Found, f.Remedy = "the server lacks features: "+strings.Join(missing, "; "), strings.Join(remedies, "; ")
	return f.of(missing), nil
}

// accountsTable returns the table used by probes. They do not change its rows.
func (s *subject) accountsTable() string {
	if s.Database == migrate.Tenants {
		return schema.SysUsers
	}
	return schema.Users
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
