package db

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// meddlers lists everything that can change a row before it is stored: triggers and rules for an event, row policies,
// and the view if the table is one. $2 is the event's bit in pg_trigger.tgtype, $3 its letter in pg_rewrite.ev_type.
const meddlers = `
SELECT 'trigger ' || t.tgname
  FROM pg_catalog.pg_trigger t
 WHERE t.tgrelid = pg_catalog.to_regclass($1) AND NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgtype & $2 <> 0
UNION ALL
SELECT 'rule ' || r.rulename
  FROM pg_catalog.pg_rewrite r
 WHERE r.ev_class = pg_catalog.to_regclass($1) AND r.rulename <> '_RETURN' AND r.ev_enabled <> 'D' AND r.ev_type::text = $3
UNION ALL
SELECT 'row policy ' || p.polname
  FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid = p.polrelid
 WHERE p.polrelid = pg_catalog.to_regclass($1) AND c.relrowsecurity
UNION ALL
SELECT 'the view' FROM pg_catalog.pg_class c WHERE c.oid = pg_catalog.to_regclass($1) AND c.relkind = 'v'
ORDER BY 1`

// Event is a kind of write in the catalogs of triggers and rules.
type Event struct {
	bit    int16
	letter string
}

// The writes that NotStored tells apart.
var (
	Insert = Event{4, "3"}
	Update = Event{16, "2"}
)

// NotStored returns the DATABASE_ERROR for a write that the server accepted but did not store as sent. It names the
// triggers, rules and row policies of the table that may be the cause. did describes the effect, such as "kept user
// \"ada\" from changing".
func NotStored(ctx context.Context, r Reader, table string, e Event, did string) error {
	names, err := CollectAs(ctx, r, pgx.RowTo[string], meddlers, table, e.bit, e.letter)
	if err != nil {
		return err
	}
	who := "the database"
	if len(names) > 0 {
		who = strings.Join(names, " or ") + " on " + table
	}
	return fault.New(fault.Database, "%s %s", who, did).
		WithHint("ask the owner of %s about its triggers, rules and row policies", table).
		With("table", table).With("causes", names)
}
