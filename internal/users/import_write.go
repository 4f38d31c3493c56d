package users

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// write applies a batch in a transaction of its own and counts what became of its rows.
func (im *importer) write(ctx context.Context, b *batch) error {
	err := im.ledger.Write(ctx, im.intent(), func(ctx context.Context, tx *audit.Tx) ([]audit.Change, error) {
		if err := im.lease.claim(ctx, tx); err != nil {
			return nil, err
		}
		return im.apply(ctx, tx, b)
	})
	if err != nil {
		return err
	}
	return im.count(b)
}

func (im *importer) intent() audit.Intent {
	return audit.Intent{Subject: audit.Subject{Resource: "user", Name: im.file.Name}, Action: audit.Create}
}

// count adds a batch that has committed to the report, and tells of its failures.
func (im *importer) count(b *batch) error {
	for _, in := range b.rows {
		if in.failure != nil && !in.done && im.Failed != nil {
			if err := im.Failed(*in.failure, in.row); err != nil {
				return err
			}
		}
	}
	im.tally(b)
	return nil
}

// tally adds a batch to the report.
func (im *importer) tally(b *batch) {
	r := &im.report
	for _, in := range b.rows {
		r.Rows++
		switch {
		case in.done:
			r.Before++
		case in.failure != nil:
			r.Failed++
		case in.outcome == created:
			r.Created++
		case in.outcome == updated:
			r.Updated++
		case in.outcome == unchanged:
			r.Same++
		case in.outcome == skipped:
			r.Skipped++
		}
	}
	if im.Progress != nil {
		im.Progress(*r)
	}
}

// apply does the work of a batch. It may be called again for the same batch, after a rollback.
func (im *importer) apply(ctx context.Context, tx *audit.Tx, b *batch) ([]audit.Change, error) {
	var open []*incoming
	for _, in := range b.rows {
		if in.done || in.unfit {
			continue
		}
		in.outcome, in.failure, in.holder = pending, nil, nil
		open = append(open, in)
	}
	if err := im.tenancy.resolve(ctx, tx, open); err != nil {
		return nil, err
	}
	open = pendingOf(open)
	if im.look && len(open) > 0 {
		if _, err := im.conflicts(ctx, tx, open); err != nil {
			return nil, err
		}
	}
	im.complete(open)
	if err := im.insert(ctx, tx, pendingOf(open)); err != nil {
		return nil, err
	}
	before, err := im.change(ctx, tx, open)
	if err != nil {
		return nil, err
	}
	changes := im.changes(open, before)
	more, err := im.tenancy.link(ctx, tx, open)
	if err != nil {
		return nil, err
	}
	changes = append(changes, more...)
	if len(changes) > 0 {
		if err := im.keepPasswords(open); err != nil {
			return nil, err
		}
		if err := im.lease.record(ctx, tx, b.rows); err != nil {
			return nil, err
		}
	}
	return changes, nil
}

// pendingOf returns the rows that nothing has been decided about.
func pendingOf(rows []*incoming) []*incoming {
	var list []*incoming
	for _, in := range rows {
		if in.outcome == pending && in.holder == nil {
			list = append(list, in)
		}
	}
	return list
}

// complete fails rows of an updating import that name nobody and do not say all that a new user needs.
func (im *importer) complete(rows []*incoming) {
	if im.OnConflict != ConflictUpdate {
		return
	}
	for _, in := range pendingOf(rows) {
		u := &in.user
		switch {
		case u.Username == "":
			in.fail("id", u.ID.String(), fault.New(fault.NotFound, "there is no user of this id, and without a username none is made"), nil)
		case u.Email == "":
			in.fail("email", "", fault.New(fault.Validation, "user %q is new, and email is missing", u.Username), nil)
		case *u.FullName == "":
			in.fail("full_name", "", fault.New(fault.Validation, "user %q is new, and full_name is missing", u.Username), nil)
		case in.hash == "" && !im.NoPasswords && !im.reader.has("password_hash"):
			in.fail("password", "", fault.New(fault.Validation, "user %q is new, and has no password", u.Username).
				WithHint("--no-passwords makes accounts without one"), nil)
		}
	}
}

// copyColumn is a column of a new user's row, and its value.
type copyColumn struct {
	name  string
	value func(*incoming) any
}

// copyColumns are those that this database has.
func (t *Table) copyColumns() []copyColumn {
	list := []copyColumn{
		{"id", func(in *incoming) any { return binaryID(&in.user.ID) }},
		{"username", func(in *incoming) any { return in.user.Username }},
		{"full_name", func(in *incoming) any { return bare(in.user.FullName) }},
		{"email", func(in *incoming) any { return in.user.Email }},
		{"phone", func(in *incoming) any { return bare(in.user.Phone) }},
		{"user_type", func(in *incoming) any { return bare(in.user.UserType) }},
		{"status", func(in *incoming) any { return bare(in.user.Status) }},
		{"mfa_enabled", func(in *incoming) any { return in.user.MFAEnabled }},
		{"sso_provider", func(in *incoming) any { return bare(in.user.SSOProvider) }},
		{"sso_subject", func(in *incoming) any { return orNil(in.sso) }},
		{"email_verified", func(in *incoming) any { return in.user.EmailVerified }},
		{"phone_verified", func(in *incoming) any { return in.user.PhoneVerified }},
		{"last_login_at", func(in *incoming) any { return in.user.LastLoginAt }},
		{"last_login_ip", func(in *incoming) any { return bare(in.user.LastLoginIP) }},
		{"failed_login_attempts", func(in *incoming) any { return in.user.FailedLoginAttempts }},
		{"locked_until", func(in *incoming) any { return in.user.LockedUntil }},
		{"password", func(in *incoming) any { return orNil(in.hash) }},
		{"password_changed_at", func(in *incoming) any { return in.user.PasswordChangedAt }},
		{"force_password_change", func(in *incoming) any { return in.user.ForcePasswordChange }},
		{"timezone", func(in *incoming) any { return bare(in.user.Timezone) }},
		{"locale", func(in *incoming) any { return bare(in.user.Locale) }},
		{"department", func(in *incoming) any { return bare(in.user.Department) }},
		{"position", func(in *incoming) any { return bare(in.user.Position) }},
		{"created_at", func(in *incoming) any { return in.user.CreatedAt }},
		{"created_by", func(in *incoming) any { return binaryID(in.user.CreatedBy) }},
		{"updated_at", func(in *incoming) any { return in.user.UpdatedAt }},
		{"updated_by", func(in *incoming) any { return binaryID(in.user.UpdatedBy) }},
	}
	if t.tenant != nil {
		return t.having(append(list, t.tenantColumns()...))
	}
	for _, v := range schema.LiveValues() {
		whenLive, err := strconv.ParseBool(v[1])
		if err == nil {
			list = append(list, copyColumn{v[0], func(in *incoming) any { return in.user.IsActive == whenLive }})
		}
	}
	return t.having(list)
}

// having are those columns that the table has.
func (t *Table) having(list []copyColumn) []copyColumn {
	return slices.DeleteFunc(list, func(c copyColumn) bool { return !t.shape.Has(c.name) })
}

// binaryID is an id as pgx encodes it without detours over text.
func binaryID(id *uuid.UUID) any {
	if id == nil {
		return nil
	}
	return pgtype.UUID{Bytes: *id, Valid: true}
}

func bare(s *string) any {
	if s == nil {
		return nil
	}
	return *s
}

func orNil(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// born fills what a new user has from this transaction, unless the file says it.
func (im *importer) born(in *incoming, tx *audit.Tx) error {
	u := &in.user
	if u.ID == uuid.Nil {
		id, err := uuid.NewV7()
		if err != nil {
			return err
		}
		u.ID = id
	}
	now := db.At(tx.Now)
	if u.CreatedAt == nil || in.bornNow {
		u.CreatedAt, in.bornNow = &now, true
	}
	if u.CreatedBy == nil {
		u.CreatedBy = tx.ByID()
	}
	if in.hash != "" && u.PasswordChangedAt == nil && im.t.shape.Has("password_changed_at") || in.changedNow {
		u.PasswordChangedAt, in.changedNow = &now, true
	}
	return nil
}

// insert makes the users of the rows. COPY fails as a whole on the first row that the server refuses;
// then the rows at fault are found: by looking for who has their values, else by halving.
func (im *importer) insert(ctx context.Context, tx *audit.Tx, rows []*incoming) error {
	for len(rows) > 0 {
		err := im.copyIn(ctx, tx, rows)
		if err == nil {
			for _, in := range rows {
				in.outcome = created
			}
			return nil
		}
		if !db.OfRow(err) {
			return err
		}
		if db.UniqueViolation(err) != "" {
			n, err := im.conflicts(ctx, tx, rows)
			if err != nil {
				return err
			}
			if n > 0 {
				im.look = true
				im.complete(rows)
				rows = pendingOf(rows)
				continue
			}
		}
		if len(rows) == 1 {
			im.refused(rows[0], err)
			return nil
		}
		half := len(rows) / 2
		if err := im.insert(ctx, tx, rows[:half]); err != nil {
			return err
		}
		rows = rows[half:]
	}
	return nil
}

// refused fails a row for what the server says of it.
func (im *importer) refused(in *incoming, err error) {
	field := ""
	f := fault.From(db.Translate(err))
	if column, ok := f.Detail["column"].(string); ok {
		field = column
	}
	in.fail(field, "", f, nil)
}

// copyIn sends the rows by COPY behind a savepoint.
func (im *importer) copyIn(ctx context.Context, tx *audit.Tx, rows []*incoming) error {
	columns := make([]string, len(im.copy))
	for i, c := range im.copy {
		columns[i] = c.name
	}
	for _, in := range rows {
		if err := im.born(in, tx); err != nil {
			return err
		}
	}
	return pgx.BeginFunc(ctx, tx, func(save pgx.Tx) error {
		i := 0
		row := make([]any, len(im.copy))
		_, err := save.CopyFrom(ctx, pgx.Identifier(strings.Split(im.t.shape.Name, ".")), columns, pgx.CopyFromFunc(func() ([]any, error) {
			if i == len(rows) {
				return nil, nil
			}
			for j, c := range im.copy {
				row[j] = c.value(rows[i])
			}
			i++
			return row, nil
		}))
		return err
	})
}

// changes are the audit rows' content for a batch.
func (im *importer) changes(rows []*incoming, before map[uuid.UUID]User) []audit.Change {
	list := make([]audit.Change, 0, len(rows))
	for _, in := range rows {
		c := audit.Change{Subject: audit.Subject{Resource: "user", ID: in.user.ID, Name: in.user.Username}}
		if in.hash != "" {
			c.Secrets = []string{"password"}
		}
		switch in.outcome {
		case created:
			c.Action, c.After = audit.Create, &in.user
		case updated:
			was := before[in.user.ID]
			c.Action, c.Before, c.After = audit.Update, &was, &in.user
		default:
			continue
		}
		list = append(list, c)
	}
	return list
}

// keepPasswords stores the made-up passwords of the accounts that were made, before they are committed:
// one that is stored and has no account is made up again as the same by the next run.
func (im *importer) keepPasswords(rows []*incoming) error {
	if im.Passwords == nil || im.ledger.DryRun {
		return nil
	}
	var names, made []string
	for _, in := range rows {
		if in.madeUp && in.hash != "" && (in.outcome == created) {
			names, made = append(names, in.user.Username), append(made, in.password)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return im.Passwords.Store(names, made)
}

const readDefaults = `
SELECT a.attname, pg_get_expr(d.adbin, d.adrelid)
  FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
 WHERE d.adrelid = to_regclass($1) AND a.attname IN ('timezone', 'locale', 'phone', 'department', 'position')`

// defaults are the values that the table gives to optional texts: COPY names every column, and an audit
// row says what the new user has.
func (t *Table) defaults(ctx context.Context, r db.Reader) (map[string]*string, error) {
	rows, err := r.Query(ctx, readDefaults, t.shape.Name)
	if err != nil {
		return nil, err
	}
	var names, exprs []string
	var name, expr string
	if _, err := pgx.ForEachRow(rows, []any{&name, &expr}, func() error {
		names, exprs = append(names, name), append(exprs, "("+expr+")::text")
		return nil
	}); err != nil || len(names) == 0 {
		return nil, err
	}
	values := make([]*string, len(names))
	into := make([]any, len(names))
	for i := range values {
		into[i] = &values[i]
	}
	// the catalog's own expressions, not anybody's input
	if err := r.QueryRow(ctx, "SELECT "+strings.Join(exprs, ", ")).Scan(into...); err != nil {
		return nil, err
	}
	m := map[string]*string{}
	for i, n := range names {
		m[n] = values[i]
	}
	return m, nil
}
