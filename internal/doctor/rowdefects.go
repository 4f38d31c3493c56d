package doctor

import (
	"context"
	"fmt"
	"strings"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/invoices"
	"github.com/cxgctl/cxgctl/internal/migrate"
	"github.com/cxgctl/cxgctl/internal/schema"
	"github.com/cxgctl/cxgctl/internal/users"
)

// defect is a defect of a single row, in SQL over the alias r. Deleted rows are ignored, because commands do not show
// them.
type defect struct {
	table   string // schema.Users means the accounts of either database
	what    string // the defective rows, in the plural
	columns string // required columns
	wrong   string
	example string
	remedy  string
}

var (
	activeLocked = defect{
		schema.Users, "ACTIVE users with a lock in the future", "username status locked_until",
		"r.status::text = 'ACTIVE' AND r.locked_until > now() + {lock for}", "r.username::text", // shorter locks come from failed logins
		"only the status blocks a login: lock with cxgctl users status REF --set LOCKED, unlock with cxgctl users unlock REF",
	}
	emptyPassword = defect{
		schema.Users, "users with an empty password", "username password",
		"r.password::text = ''", "r.username::text",
		"the backend fails on values that are not bcrypt hashes: set a password with cxgctl users password REF, or remove it with --no-password",
	}
	wrongTotal = defect{
		schema.Invoices, "invoices with a wrong total", "invoice_no base_amount usage_amount discount_amount tax_amount total_amount",
		"r.total_amount <> " + sum, "r.invoice_no || ' (' || r.total_amount || ' instead of ' || " + sum + " || ')'",
		"check each with cxgctl invoices get REF, and correct the wrong amount",
	}
	paidWithoutDate = defect{
		schema.Invoices, "PAID invoices without paid_at", "invoice_no status paid_at",
		"r.status::text = 'PAID' AND r.paid_at IS NULL", "r.invoice_no::text",
		"check each with cxgctl invoices get REF, and set when it was paid",
	}
	paidWithoutMethod = defect{
		schema.Invoices, "PAID invoices without payment_method", "invoice_no status payment_method",
		"r.status::text = 'PAID' AND r.payment_method IS NULL", "r.invoice_no::text",
		"check each with cxgctl invoices get REF, and set how it was paid",
	}
	unknownUserType      = unknown(schema.Users, "users of a type", "username", "user_type", users.Types, "set user_type to one of them")
	unknownUserStatus    = unknown(schema.Users, "users of a status", "username", "status", users.Statuses, "cxgctl users status REF --set one of them")
	unknownInvoiceStatus = unknown(schema.Invoices, "invoices of a status", "invoice_no", "status", invoices.Statuses, "set status to one of them")
)

// unknown returns the defect of a value that commands do not know, in a column without a CHECK.
func unknown(table, what, name, column string, values []string, remedy string) defect {
	return defect{
		table, what + " other than " + strings.Join(values, ", "), name + " " + column,
		"(r." + column + "::text = ANY ('{" + strings.Join(values, ",") + "}')) IS NOT TRUE",
		"r." + name + " || ' (' || coalesce(r." + column + "::text, 'NULL') || ')'",
		remedy + ", then enforce it by a CHECK on " + table + ", NOT VALID and validated later",
	}
}

// sum is the correct total of an invoice. NULL amounts count as 0.
const sum = "(r.base_amount + coalesce(r.usage_amount, 0) - coalesce(r.discount_amount, 0) + coalesce(r.tax_amount, 0))"

const findRows = `
SELECT count(*) OVER () AS count, e.example
  FROM (SELECT coalesce({example}, 'NULL') AS example FROM {table} r WHERE {live} AND ({wrong})) e
 ORDER BY e.example COLLATE "C"
 LIMIT 3`

// rowsWith returns the check for a defect.
func rowsWith(d *defect) func(ctx context.Context, s *subject) (Finding, error) {
	return func(ctx context.Context, s *subject) (Finding, error) {
		t, lacking := s.lookup(d.table, d.columns)
		if lacking != "" {
			return skipped("%s does not exist", lacking), nil
		}
		from, example := t.Name, d.example
		if hashed(t) {
			from = "(SELECT x.*, x.password_hash AS password FROM " + t.Name + " x)"
		}
		if !s.in.Names {
			example = strings.ReplaceAll(example, "r.username", "r.id")
		}
		sql := strings.NewReplacer("{example}", example, "{table}", from, "{live}", t.NotDeleted("r"), "{wrong}", d.wrong).Replace(findRows)
		sql = strings.ReplaceAll(sql, "{lock for}", fmt.Sprintf("interval '%d microseconds'", s.in.LockFor.Microseconds()))
		return s.hits(ctx, d.what, d.remedy, sql)
	}
}

// lookup returns the table, or the name of the table or column that is missing.
func (s *subject) lookup(table, columns string) (t *schema.Table, lacking string) {
	if table == schema.Users && s.Database == migrate.Tenants {
		table = schema.SysUsers
	}
	t = s.catalog[table]
	if t == nil {
		return nil, table
	}
	for c := range strings.FieldsSeq(columns) {
		if !t.Has(c) && (c != "password" || !hashed(t)) {
			return nil, table + "." + c
		}
	}
	return t, ""
}

// hashed reports whether the table is of an old tenant, whose column is password_hash.
func hashed(t *schema.Table) bool { return !t.Has("password") && t.Has("password_hash") }

// closed returns the finding if rows could not be read. Missing privileges are reported by the rights check.
func closed(err error) (Finding, error) {
	if state, _ := db.State(err); state == db.InsufficientRights {
		return skipped("%s", failure(err).Found), nil
	}
	return Finding{}, err
}

// judgeRows returns the finding for count rows with up to three examples.
func judgeRows(what string, count int, examples []string, remedy string) Finding {
	if count == 0 {
		return fine("no %s", what)
	}
	more := ""
	if count > len(examples) {
		more = ", …"
	}
	f := wrong(Warn, "%s (%d): %s%s", what, count, strings.Join(examples, ", "), more).of(examples).remedied("%s", remedy)
	f.Count = count
	return f
}
