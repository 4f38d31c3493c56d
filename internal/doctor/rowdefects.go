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

// defect is something that can be wrong with a row by itself, in SQL over the alias r. All the defects
// of a table are counted in one pass. Rows that are marked as deleted count for nothing: no command
// shows them.
type defect struct {
	table   string // schema.Users stands for the accounts of either database
	what    string // the rows that have it, in the plural
	columns string // those without which nobody can tell
	wrong   string
	example string
	remedy  string
}

var (
	activeLocked = defect{
		schema.Users, "ACTIVE users with a lock in the future", "username status locked_until",
		"r.status::text = 'ACTIVE' AND r.locked_until > now() + {lock for}", "r.username::text", // the others are of auth login
		"only the status blocks a login: cxgctl users status REF --set LOCKED makes the lock hold, cxgctl users unlock REF ends it",
	}
	emptyPassword = defect{
		schema.Users, "users with an empty password", "username password",
		"r.password::text = ''", "r.username::text",
		"the backend fails on what is no bcrypt hash: cxgctl users password REF gives a password, or with --no-password none",
	}
	unknownUserType = defect{
		schema.Users, "users of a type other than " + strings.Join(userTypes, ", "), "username user_type",
		"(r.user_type::text = ANY ('{" + strings.Join(userTypes, ",") + "}')) IS NOT TRUE", "r.username || ' (' || coalesce(r.user_type::text, 'NULL') || ')'",
		"set user_type to one of them, then keep others out by a CHECK on " + schema.Users + ", NOT VALID and validated later",
	}
	unknownUserStatus = defect{
		schema.Users, "users of a status other than " + strings.Join(userStatuses, ", "), "username status",
		"(r.status::text = ANY ('{" + strings.Join(userStatuses, ",") + "}')) IS NOT TRUE", "r.username || ' (' || coalesce(r.status::text, 'NULL') || ')'",
		"cxgctl users status REF --set one of them, then keep others out by a CHECK on " + schema.Users + ", NOT VALID and validated later",
	}
	wrongTotal = defect{
		schema.Invoices, "invoices whose total does not add up", "invoice_no base_amount usage_amount discount_amount tax_amount total_amount",
		"r.total_amount <> " + sum, "r.invoice_no || ' (' || r.total_amount || ' instead of ' || " + sum + " || ')'",
		"look at each with cxgctl invoices get REF, and correct the amount that is wrong",
	}
	paidWithoutDate = defect{
		schema.Invoices, "PAID invoices without paid_at", "invoice_no status paid_at",
		"r.status::text = 'PAID' AND r.paid_at IS NULL", "r.invoice_no::text",
		"look at each with cxgctl invoices get REF, and set when it was paid",
	}
	paidWithoutMethod = defect{
		schema.Invoices, "PAID invoices without payment_method", "invoice_no status payment_method",
		"r.status::text = 'PAID' AND r.payment_method IS NULL", "r.invoice_no::text",
		"look at each with cxgctl invoices get REF, and set how it was paid",
	}
	unknownInvoiceStatus = defect{
		schema.Invoices, "invoices of a status other than " + strings.Join(invoiceStatuses, ", "), "invoice_no status",
		"(r.status::text = ANY ('{" + strings.Join(invoiceStatuses, ",") + "}')) IS NOT TRUE", "r.invoice_no || ' (' || coalesce(r.status::text, 'NULL') || ')'",
		"set status to one of them, then keep others out by a CHECK on " + schema.Invoices + ", NOT VALID and validated later",
	}
)

// sum is what an invoice's total has to be. A part that is NULL is none.
const sum = "(r.base_amount + coalesce(r.usage_amount, 0) - coalesce(r.discount_amount, 0) + coalesce(r.tax_amount, 0))"

// defects are all of them. Each has its line among the checks.
var defects = []*defect{
	&activeLocked, &emptyPassword, &unknownUserType, &unknownUserStatus,
	&wrongTotal, &paidWithoutDate, &paidWithoutMethod, &unknownInvoiceStatus,
}

// pass is what one pass over a table found.
type pass struct {
	counts   map[*defect]int
	examples map[*defect][]string
	err      error
}

// rowsWith makes the check of a defect.
func rowsWith(d *defect) func(ctx context.Context, s *subject) (Finding, error) {
	return func(ctx context.Context, s *subject) (Finding, error) {
		t, lacking := s.lookup(d.table, d.columns)
		if lacking != "" {
			return skipped("there is no %s to look at", lacking), nil
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

// lookup returns the table, or what is lacking of it and its columns.
func (s *subject) lookup(table, columns string) (t *schema.Table, lacking string) {
	if table == schema.Users && s.Database == migrate.Tenants {
		table = sysUsers
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

// hashed says whether the users are those of an old tenant, whose password is password_hash.
func hashed(t *schema.Table) bool { return !t.Has("password") && t.Has("password_hash") }

// closed is the finding where rows could not be read. That our role may not read them the rights check
// reports.
func closed(err error) (Finding, error) {
	if state, _ := db.State(err); state == insufficientRights {
		return skipped("%s", failure(err).Found), nil
	}
	return Finding{}, err
}

// judgeRows is the finding of so many rows, three of which are at hand.
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

// pass counts every defect of the table in one parallel scan, and only where there are any fetches
// examples. It takes no lock but the one that every SELECT takes.
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

// rare is up to how many rows are gathered, to pick the first three of them.
const rare = 10_000

// examplesOf is the query for three examples of each defect. The rows with rare ones are gathered in one
// more scan; three with a common one are met soon after its beginning.
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
	// without an aggregate there would be no row
	return "SELECT " + strings.Join(append(list, "count(*)"), ", ") + from + " AND (" + strings.Join(wrong, " OR ") + ")"
}

// readRow reads the first n values of a query's only row.
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
