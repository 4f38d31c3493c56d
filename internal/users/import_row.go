package users

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/intake"
	"github.com/cxgctl/cxgctl/internal/password"
)

// ImportFields are the headers that an import knows: the record's fields, and what a record does not
// show.
var ImportFields = func() []string {
	list := make([]string, 0, len(fields)+7)
	for _, f := range fields {
		list = append(list, f.Name)
		if f.Name == "position" {
			list = append(list, "is_active")
		}
	}
	return append(list, "sso_subject", "password", "password_hash", "tenant", "tenant_role", "roles")
}()

// secretFields have values that no message repeats.
var secretFields = []string{"password", "password_hash"}

// incoming is one row of the file: what it says, and what becomes of it.
type incoming struct {
	row     intake.Row
	ordinal int64 // of the record in the file
	done    bool  // by an earlier run

	user       User // as it would be made
	sso        string
	given      map[string]bool // nil unless users are updated: the fields that the row has a value for
	password   string          // in clear only until it is hashed, or stored where it was made up
	madeUp     bool
	hash       string
	tenant     string
	tenantRole string
	roles      []string
	links      links // what tenant and roles lead to

	failure *Failure
	unfit   bool // failed before any transaction
	outcome outcome
	holder  *User // whom an update changes

	bornNow, changedNow bool // created_at, password_changed_at are the transaction's time
}

// outcome is what became of a row in its transaction.
type outcome uint8

const (
	pending outcome = iota
	created
	updated
	unchanged
	skipped
	failed
)

// fail notes why a row is not applied; the first reason stands.
func (in *incoming) fail(field, value string, err error, holder *User) {
	in.outcome = failed
	if in.failure != nil {
		return
	}
	if slices.Contains(secretFields, field) {
		value = ""
	}
	f := fault.From(err)
	in.failure = &Failure{Line: in.row.Line, Field: field, Value: value, Code: f.Code, Message: f.Message}
	if f.Hint != "" {
		in.failure.Message += " (" + f.Hint + ")"
	}
	if holder != nil {
		in.failure.Holder = &holder.ID
	}
}

// rowReader turns a file's rows into users.
type rowReader struct {
	t        *Table
	file     *intake.File
	opts     ImportOptions
	defaults map[string]*string
	columns  map[string]int // the field's column in a row
	json     bool           // each row has fields of its own
}

// Reading returns how the file is read: with the fields that users have.
func (o ImportOptions) Reading() intake.Options {
	r := o.Read
	r.Fields, r.Verbatim = ImportFields, secretFields
	if o.OnConflict != ConflictUpdate { // whoever is there already has them
		r.Required = []string{"username", "email", "full_name"}
	}
	return r
}

func newRowReader(t *Table, f *intake.File, o ImportOptions, defaults map[string]*string) (*rowReader, error) {
	o.Read = o.Reading()
	r := &rowReader{t: t, file: f, opts: o, defaults: defaults, columns: map[string]int{}}
	in, err := f.Rows(o.Read)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	for i, c := range in.Columns {
		if c != "" {
			r.columns[c] = i
		}
	}
	r.json = in.Format == intake.JSON || in.Format == intake.JSONL
	if r.json {
		return r, nil
	}
	return r, r.checkHeader()
}

// checkHeader refuses a file whose columns do not say what a run needs to know.
func (r *rowReader) checkHeader() error {
	hasPassword := r.has("password") || r.has("password_hash")
	switch {
	case r.opts.OnConflict == ConflictUpdate && !r.has("username") && !r.has("id"):
		return fault.New(fault.Validation, "header: \"username\" is missing; users are found by it, or by \"id\"").With("valid", ImportFields)
	case hasPassword && (r.opts.NoPasswords || r.opts.Passwords != nil):
		return fault.New(fault.Validation, "the file has a column of passwords, and the flags say that it has none").
			WithHint("leave out --no-passwords or --generate-passwords, or the column with --map 'password=-'")
	case !hasPassword && !r.opts.NoPasswords && r.opts.Passwords == nil && r.opts.OnConflict != ConflictUpdate:
		return fault.New(fault.Validation, "the file has neither password nor password_hash").
			WithHint("add --no-passwords for accounts without one, or --generate-passwords --passwords-out F").With("valid", ImportFields)
	}
	return nil
}

// has says whether rows may have the field.
func (r *rowReader) has(field string) bool {
	_, ok := r.columns[field]
	return ok
}

// each calls fn for every row of the file, in order; done says which were applied by an earlier run.
func (r *rowReader) each(ctx context.Context, done func(line int64) bool, fn func(*incoming) error) error {
	in, err := r.file.Rows(r.opts.Read)
	if err != nil {
		return err
	}
	defer in.Close()
	for n := int64(1); ; n++ {
		row, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil && n%256 == 0 {
			err = context.Cause(ctx)
		}
		if err != nil {
			return err
		}
		if err := fn(r.read(row, n, done(row.Line))); err != nil {
			return err
		}
	}
}

// problems collects what is wrong with a row.
type problems struct {
	fault.Problems
	r     *rowReader
	row   intake.Row
	given map[string]bool
}

// text returns the row's value of a field, normalised.
func (p *problems) text(field string) string {
	i, ok := p.r.columns[field]
	if !ok || i >= len(p.row.Values) {
		return ""
	}
	v := p.row.Values[i]
	if !slices.Contains(secretFields, field) {
		v = normal(v)
	}
	if v == "" {
		return ""
	}
	if p.given != nil {
		p.given[field] = true
	}
	return v
}

// optional returns a text of at most so many characters, else the table's default; nil where there is
// neither, or no such column.
func (p *problems) optional(field string, most int) *string {
	v := p.text(field)
	if !p.column(field, v) {
		return nil
	}
	if v == "" {
		return p.r.defaults[field]
	}
	checkText(&p.Problems, field, v, 0, most)
	return &v
}

// column says whether the table has the column, and refuses a value that would have no place.
func (p *problems) column(field, value string) bool {
	if p.r.t.shape.Has(field) {
		return true
	}
	if value != "" {
		p.Add(field, "this database's %s has no such column", p.r.t.shape.Name)
	}
	return false
}

func (p *problems) choice(field, fallback string, valid []string) *string {
	v := p.text(field)
	if !p.column(field, v) {
		return nil
	}
	if v == "" {
		return &fallback
	}
	if v = strings.ToUpper(v); !slices.Contains(valid, v) {
		p.Choices(field, []string{v}, valid)
	}
	return &v
}

func (p *problems) flag(field string, fallback bool) *bool {
	v := p.text(field)
	if !p.column(field, v) {
		return nil
	}
	b := p.boolean(field, v, fallback)
	return &b
}

func (p *problems) boolean(field, v string, fallback bool) bool {
	switch strings.ToLower(v) {
	case "":
		return fallback
	case "true", "t", "yes", "y", "1":
		return true
	case "false", "f", "no", "n", "0":
		return false
	}
	p.Add(field, "%.60q is neither true nor false", v)
	return fallback
}

func (p *problems) instant(field string) *db.Time {
	v := p.text(field)
	if !p.column(field, v) || v == "" {
		return nil
	}
	var at db.Time
	if err := at.UnmarshalText([]byte(v)); err != nil {
		p.Add(field, "%.60q is no time, it reads like 2026-01-31T09:30:00Z", v)
		return nil
	}
	at.Instant = at.Instant.UTC().Truncate(time.Microsecond)
	return &at
}

func (p *problems) id(field string) *uuid.UUID {
	v := p.text(field)
	if !p.column(field, v) || v == "" {
		return nil
	}
	id, err := uuid.Parse(v)
	if err != nil || len(v) != 36 || id == uuid.Nil {
		p.Add(field, "%.60q is no id", v)
		return nil
	}
	return &id
}

// read makes a user of a row, or says everything that is wrong with it.
func (r *rowReader) read(row intake.Row, ordinal int64, done bool) *incoming {
	in := &incoming{row: row, ordinal: ordinal, done: done}
	if row.Err != nil {
		in.fail(row.Err.Field, "", fault.New(fault.Validation, "%s", row.Err), nil)
		return in
	}
	p := &problems{r: r, row: row}
	if r.opts.OnConflict == ConflictUpdate {
		in.given = map[string]bool{}
		p.given = in.given
	}
	u := &in.user
	r.identity(p, in)
	u.Phone = p.optional("phone", 20)
	u.UserType = p.choice("user_type", "TENANT", Types)
	if r.t.tenant == nil {
		u.Status = p.choice("status", "ACTIVE", Statuses)
	}
	u.MFAEnabled = p.flag("mfa_enabled", false)
	u.SSOProvider = p.optional("sso_provider", 50)
	if in.sso = p.text("sso_subject"); p.column("sso_subject", in.sso) && in.sso != "" {
		checkText(&p.Problems, "sso_subject", in.sso, 1, 255)
	}
	if (u.SSOProvider == nil) != (in.sso == "") && p.r.t.shape.Has("sso_provider") {
		p.Add("sso_provider", "sso_provider and sso_subject go together: both or neither")
	}
	u.EmailVerified = p.flag("email_verified", false)
	u.PhoneVerified = p.flag("phone_verified", false)
	u.LastLoginAt = p.instant("last_login_at")
	if v := p.text("last_login_ip"); p.column("last_login_ip", v) && v != "" {
		if a, err := netip.ParseAddr(v); err != nil || a.Zone() != "" {
			p.Add("last_login_ip", "%.60q is no IP address", v)
		} else {
			v = a.String()
			u.LastLoginIP = &v
		}
	}
	if v := p.text("failed_login_attempts"); p.column("failed_login_attempts", v) {
		n, err := strconv.ParseInt("0"+v, 10, 32)
		if err != nil {
			p.Add("failed_login_attempts", "%.60q is no number of attempts", v)
		}
		attempts := int(n)
		u.FailedLoginAttempts = &attempts
	}
	u.LockedUntil = p.instant("locked_until")
	u.PasswordChangedAt = p.instant("password_changed_at")
	u.ForcePasswordChange = p.flag("force_password_change", r.opts.Passwords != nil)
	u.Timezone = p.optional("timezone", 50)
	u.Locale = p.optional("locale", 10)
	u.Department = p.optional("department", 100)
	u.Position = p.optional("position", 100)
	u.IsActive = p.boolean("is_active", p.text("is_active"), true)
	if r.t.tenant != nil {
		p.tenantStatus(u)
	}
	u.CreatedAt, u.UpdatedAt = p.instant("created_at"), p.instant("updated_at")
	u.CreatedBy, u.UpdatedBy = p.id("created_by"), p.id("updated_by")
	r.secrets(p, in)
	in.tenant, in.tenantRole = p.text("tenant"), p.text("tenant_role")
	checkText(&p.Problems, "tenant_role", in.tenantRole, 0, 50)
	if in.tenantRole != "" && in.tenant == "" {
		p.Add("tenant", "it is missing, and tenant_role needs it")
	}
	in.roles = strings.FieldsFunc(p.text("roles"), func(c rune) bool { return c == ',' || c == ';' || c == ' ' })
	if err := p.Err(); err != nil {
		field := err.(*fault.Error).Detail["fields"].([]fault.Problem)[0].Field //nolint:errorlint,forcetypeassert // Problems.Err makes nothing else
		in.fail(field, p.text(field), err, nil)
	}
	return in
}

// identity reads who a row is about. A row that may be an update need not name everything.
func (r *rowReader) identity(p *problems, in *incoming) {
	u := &in.user
	if id := p.id("id"); id != nil {
		u.ID = *id
	}
	partial := r.opts.OnConflict == ConflictUpdate
	u.Username, u.Email = p.text("username"), p.text("email")
	name := p.text("full_name")
	u.FullName = &name
	if u.Username != "" || !partial || u.ID == uuid.Nil {
		checkUsername(&p.Problems, u.Username)
	}
	if u.Email != "" || !partial {
		checkEmail(&p.Problems, u.Email)
	}
	if name != "" || !partial {
		checkText(&p.Problems, "full_name", name, 1, 100)
	}
}

// secrets reads the password, or its hash.
func (r *rowReader) secrets(p *problems, in *incoming) {
	in.password, in.hash = p.text("password"), p.text("password_hash")
	switch {
	case in.password != "" && in.hash != "":
		p.Add("password", "a row has a password or a password_hash, not both")
	case in.password != "":
		if err := password.Check(in.password); err != nil {
			p.Add("password", "%s", strings.ReplaceAll(err.Error(), "password: ", ""))
		}
	case in.hash != "":
		if err := password.CheckHash(in.hash); err != nil {
			p.Add("password_hash", "%s", err)
		}
	case !r.opts.NoPasswords && r.opts.Passwords == nil && r.opts.OnConflict != ConflictUpdate:
		// an account that had no password when it was exported has none now
		if !r.has("password_hash") || r.json && !p.row.Names("password_hash") {
			p.Add("password", "it is missing")
		}
	}
}

// makeUp gives a row its made-up password.
func (im *importer) makeUp(in *incoming) error {
	if im.Passwords == nil || in.password != "" || in.hash != "" {
		return nil
	}
	in.madeUp = true
	if in.password = im.Passwords.Known(in.user.Username); in.password != "" {
		return nil
	}
	var err error
	in.password, err = password.Generate()
	return err
}
