package doctor

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/migrate"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// defect is a defect of a single row, in SQL over the alias r. All defects of a table are counted in one pass. Deleted
// rows are ignored, because commands do not show them.
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
	unknownUserType = defect{
		schema.Users, "users of a type other than " + strings.Join(userTypes, ", "), "username user_type",
		"(r.user_type::text = ANY ('{" + strings.Join(userTypes, ",") + "}')) IS NOT TRUE", "r.username || ' (' || coalesce(r.user_type::text, 'NULL') || ')'",
		"set user_type to one of them, then enforce it by a CHECK on " + schema.Users + ", NOT VALID and validated later",
	}
	unknownUserStatus = defect{
		schema.Users, "users of a status other than " + strings.Join(userStatuses, ", "), "username status",
		"(r.status::text = ANY ('{" + strings.Join(userStatuses, ",") + "}')) IS NOT TRUE", "r.username || ' (' || coalesce(r.status::text, 'NULL') || ')'",
		"cxgctl users status REF --set one of them, then enforce it by a CHECK on " + schema.Users + ", NOT VALID and validated later",
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
	unknownInvoiceStatus = defect{
		schema.Invoices, "invoices of a status other than " + strings.Join(invoiceStatuses, ", "), "invoice_no status",
		"(r.status::text = ANY ('{" + strings.Join(invoiceStatuses, ",") + "}')) IS NOT TRUE", "r.invoice_no || ' (' || coalesce(r.status::text, 'NULL') || ')'",
		"set status to one of them, then enforce it by a CHECK on " + schema.Invoices + ", NOT VALID and validated later",
	}
)

// sum is the correct total of an invoice. NULL amounts count as 0.
const sum = "(r.base_amount + coalesce(r.usage_amount, 0) - coalesce(r.discount_amount, 0) + coalesce(r.tax_amount, 0))"

// defects lists all defects. Each has an entry in checks.
var defects = []*defect{
	&activeLocked, &emptyPassword, &unknownUserType, &unknownUserStatus,
	&wrongTotal, &paidWithoutDate, &paidWithoutMethod, &unknownInvoiceStatus,
}

// pass is the result of one scan of a table.
type pass struct {
	counts   map[*defect]int
	examples map[*defect][]string
	err      error
}

// rowsWith returns the check for a defect.
func rowsWith(d *defect) func(ctx context.Context, s *subject) (Finding, error) {
	return func(ctx context.Context, s *subject) (Finding, error) {
		t, lacking := s.lookup(d.table, d.columns)
		if lacking != "" {
			return skipped("%s does not exist", lacking), nil
		}
		s.mu.Lock()
		count, ok := s.passes[t.Name]
		if !ok {
			count = sync.OnceValue(func() pass { return s.pass(ctx, t, d.table) })
			s.passes[t.Name] = count
		}
		s.mu.Unlock()
		p := count()
		if p.err != nil {
			return closed(p.err)
		}
		return judgeRows(d.what, p.counts[d], p.examples[d], d.remedy), nil
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
	if state, _ := db.State(err); state == insufficientRights {
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

// pass counts every defect of the table in one parallel scan, and fetches examples only if there are any.
func (s *subject) pass(ctx context.Context, t *schema.Table, table string) pass {
	p := pass{counts: map[*defect]int{}, examples: map[*defect][]string{}}
	var looked, found []*defect
	var counts []string
	lockFor := fmt.Sprintf("interval '%d microseconds'", s.in.LockFor.Microseconds())
	for _, d := range defects {
		if _, lacking := s.lookup(d.table, d.columns); d.table == table && lacking == "" {
			looked = append(looked, d)
			counts = append(counts, strings.ReplaceAll("count(*) FILTER (WHERE "+d.wrong+")", "{lock for}", lockFor))
		}
	}
	from := " FROM " + t.Name + " r WHERE " + t.NotDeleted("r")
	if hashed(t) {
		from = " FROM (SELECT x.*, x.password_hash AS password FROM " + t.Name + " x) r WHERE " + t.NotDeleted("r")
	}
	numbers, err := readRow[int](ctx, s.db, "SELECT "+strings.Join(counts, ", ")+from, len(looked))
	if err != nil {
		p.err = err
		return p
	}
	for i, d := range looked {
		if p.counts[d] = numbers[i]; numbers[i] > 0 {
			found = append(found, d)
		}
	}
	if len(found) == 0 {
		return p
	}
	lists, err := readRow[[]string](ctx, s.db, strings.ReplaceAll(examplesOf(found, p.counts, from, s.in.Names), "{lock for}", lockFor), len(found))
	p.err = err
	for i, d := range found {
		if err == nil {
			p.examples[d] = lists[i]
		}
	}
	return p
}

// rare is the number of rows up to which all are gathered to sort out the first three.
const rare = 10_000

// examplesOf returns the query for three examples of each defect. Rows with rare defects are gathered in one more
// scan; for a common defect, three rows are found soon.
func examplesOf(found []*defect, counts map[*defect]int, from string, names bool) string {
	list := make([]string, len(found))
	wrong := []string{"false"}
	for i, d := range found {
		example := "coalesce(" + d.example + ", 'NULL')"
		if !names {
			example = strings.ReplaceAll(example, "r.username", "r.id")
		}
		if counts[d] > rare {
			list[i] = "ARRAY(SELECT " + example + from + " AND " + d.wrong + " LIMIT 3)"
			continue
		}
		list[i] = "(array_agg(" + example + " ORDER BY " + example + ` COLLATE "C") FILTER (WHERE ` + d.wrong + "))[1:3]"
		wrong = append(wrong, "("+d.wrong+")")
	}
	// without an aggregate there would not be a row
	return "SELECT " + strings.Join(append(list, "count(*)"), ", ") + from + " AND (" + strings.Join(wrong, " OR ") + ")"
}

// readRow returns the n columns of a query's only row.
func readRow[T any](ctx context.Context, r db.Reader, sql string, n int) ([]T, error) {
	result, err := r.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	return pgx.CollectExactlyOneRow(result, func(row pgx.CollectableRow) ([]T, error) {
		values := make([]T, n)
		into := make([]any, len(row.FieldDescriptions()))
		for i := range values {
			into[i] = &values[i]
		}
		return values, row.Scan(into...)
	})
}
