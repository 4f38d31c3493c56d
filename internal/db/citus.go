package db

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// Layout says where Citus keeps the tables of a database: by name, as kinds. It is nil without Citus.
type Layout map[string]TableKind

// TableKind is how Citus keeps a table.
type TableKind struct {
	Kind   string `db:"kind"`   // one of the constants below
	Column string `db:"column"` // of a distributed table: its distribution column; "" if a whole schema is one shard
	Worker bool   `db:"worker"` // the session's server is not the coordinator
}

// Kinds of tables.
const (
	Plain       = "plain"       // Citus does not know it
	Managed     = "managed"     // on the coordinator only, with two-phase commits
	Reference   = "reference"   // a copy on every node
	Distributed = "distributed" // in shards
)

// onCitus is whether the database has Citus. Like every extension's catalog, it is looked up by name.
const onCitus = `pg_catalog.to_regclass('pg_catalog.pg_dist_partition') IS NOT NULL`

// readLayout reads Citus's catalog instead of the view citus_tables, which asks every node for the sizes of tables.
const readLayout = `
SELECT c.oid::pg_catalog.regclass::text AS name,
       CASE WHEN p.logicalrelid IS NULL THEN 'plain' WHEN p.repmodel = 't' THEN 'reference'
            WHEN p.partkey IS NULL AND p.colocationid = 0 THEN 'managed' ELSE 'distributed' END AS kind,
       coalesce(a.attname, '') AS column,
       EXISTS (SELECT FROM pg_catalog.pg_dist_local_group g WHERE g.groupid <> 0) AS worker
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_dist_partition p ON p.logicalrelid = c.oid
  LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = substring(p.partkey, ':varattno (\d+)')::int
 WHERE n.nspname IN ('idam', 'tnnt', 'bill', 'audt', 'sys', 'cxg_audit', 'cxg_import') AND c.relkind IN ('r', 'p') AND NOT c.relispartition`

// distributable are the tables that may be distributed, by tenantID only.
var distributable = []string{"sys.users", "bill.invoices"}

const tenantID = "tenant_id"

// CheckLayout returns a DATABASE_ERROR if changes would not be safe with the tables as Citus keeps them.
func CheckLayout(ctx context.Context, r Reader) error {
	l, err := ReadLayout(ctx, r)
	if err != nil {
		return err
	}
	return l.Check()
}

// ReadLayout returns nil without Citus.
func ReadLayout(ctx context.Context, r Reader) (Layout, error) {
	var found bool
	if err := r.QueryRow(ctx, `SELECT `+onCitus).Scan(&found); err != nil || !found {
		return nil, err
	}
	return layout(ctx, r)
}

func layout(ctx context.Context, r Reader) (Layout, error) {
	rows, err := r.Query(ctx, readLayout)
	if err != nil {
		return nil, err
	}
	l := Layout{}
	var name string
	var t TableKind
	_, err = pgx.ForEachRow(rows, []any{&name, &t.Kind, &t.Column, &t.Worker}, func() error {
		l[name] = t
		return nil
	})
	return l, err
}

// Check returns a DATABASE_ERROR if changes would not be safe with this layout of the tables on Citus. The rules
// were measured, see cxgctl help engines.
func (l Layout) Check() error {
	refuse := func(message, hint string) error {
		return fault.New(fault.Database, "%s", message).WithHint("nothing was changed; %s; see: cxgctl help engines", hint)
	}
	names := slices.Sorted(maps.Keys(l))
	spread := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !l.Spread(name) })
	for _, name := range spread {
		t := l[name]
		switch {
		case t.Worker:
			return refuse("the server is a worker of Citus, through which changes are not made", "connect to the coordinator")
		case t.Kind == Reference:
		case t.Column == "":
			return refuse("table "+name+" is in a schema that Citus keeps on one node", "a schema per tenant is not supported")
		case recordsChanges(name):
			return refuse("table "+name+" is distributed by Citus, which breaks the audit log or imports", "SELECT undistribute_table('"+name+"')")
		case t.Column != tenantID || !slices.Contains(distributable, name):
			return refuse("table "+name+" is distributed by "+t.Column, "only "+strings.Join(distributable, " and ")+" may be, by "+tenantID)
		}
	}
	unknown := slices.DeleteFunc(names, func(name string) bool { return l[name].Kind != Plain || !recordsChanges(name) })
	if len(spread) > 0 && len(unknown) > 0 {
		return refuse("Citus does not commit "+unknown[0]+" together with "+spread[0]+", so a crash can lose audit rows",
			"SELECT citus_add_local_table_to_metadata(t) FROM unnest('{"+strings.Join(unknown, ",")+"}'::regclass[]) t")
	}
	return nil
}

// Spread reports whether a table is on several nodes.
func (l Layout) Spread(table string) bool {
	return l[table].Kind == Distributed || l[table].Kind == Reference
}

// recordsChanges reports whether a table must be committed together with the changes of others.
func recordsChanges(table string) bool {
	return table == "audt.audit_logs" || strings.HasPrefix(table, "cxg_audit.") || strings.HasPrefix(table, "cxg_import.")
}

// LookUp calls look if Citus distributes a table, whose unique indexes then hold within a tenant only. look returns the
// given unique violation if no row of any tenant has the names that are about to be stored. Until the transaction ends,
// others wait in LookUp.
func (w *Write) LookUp(ctx context.Context, table string, look func(violation error) error) error {
	if w.Layout[table].Kind != Distributed {
		return nil
	}
	if _, err := w.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('cxgctl: names in ' || $1::text, 0))`, table); err != nil {
		return err
	}
	none := &pgconn.PgError{Code: uniqueViolation, ConstraintName: "unknown"}
	if err := look(none); err != error(none) { //nolint:errorlint // an error about a holder wraps it
		return err
	}
	return nil
}

// Role returns what the session's server is: coordinator or worker.
func (l Layout) Role() string {
	for _, t := range l {
		if t.Worker {
			return "worker"
		}
	}
	return "coordinator"
}

// Count describes the tables: "1 distributed, 4 reference, 9 plain tables".
func (l Layout) Count() string {
	var parts []string
	for _, kind := range []string{Distributed, Reference, Managed, Plain} {
		if n := l.count(kind); n > 0 {
			parts = append(parts, strconv.Itoa(n)+" "+kind)
		}
	}
	return strings.Join(parts, ", ") + " tables"
}

func (l Layout) count(kind string) (n int) {
	for _, t := range l {
		if t.Kind == kind {
			n++
		}
	}
	return n
}

// Copied reports whether tables are copied to every node, but none is distributed.
func (l Layout) Copied() bool { return l.count(Reference) > 0 && l.count(Distributed) == 0 }

// ofNode maps what errors about a row say to their code. Citus reports those of a COPY as internal errors.
var ofNode = map[string]string{
	"unique constraint": uniqueViolation, "check constraint": checkViolation, "foreign key constraint": foreignKeyViolation,
	"not-null constraint": notNullViolation, "value too long": stringTooLong,
}

var (
	ofConstraint = regexp.MustCompile(`constraint "([^"]+)"`)
	ofColumn     = regexp.MustCompile(`column "([^"]+)"`)
	ofShard      = regexp.MustCompile(`_\d{6,}$`)
)

// serverError returns the server's error behind err. The errors of Citus's nodes about a row have names in their message
// only, and those of shards: users_username_key_102008.
func serverError(err error) (*pgconn.PgError, bool) {
	pe, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return nil, false
	}
	for says, code := range ofNode {
		if pe.Code == internalError && strings.Contains(pe.Message, says) {
			pe.Code = code
		}
	}
	if strings.HasPrefix(pe.Code, "23") {
		named := func(re *regexp.Regexp) string { return append(re.FindStringSubmatch(pe.Message), "", "unknown")[1] }
		pe.ConstraintName = ofShard.ReplaceAllString(cmp.Or(pe.ConstraintName, named(ofConstraint)), "")
		pe.ColumnName = cmp.Or(pe.ColumnName, named(ofColumn))
		pe.TableName = ofShard.ReplaceAllString(pe.TableName, "")
	}
	return pe, true
}
