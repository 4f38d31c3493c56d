package users

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/importer"
	"github.com/cxgctl/cxgctl/internal/rowreader"
	"github.com/cxgctl/cxgctl/internal/validate"
)

// ImportFields are the headers that an import accepts: the fields of the record, and those that a record does not
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

// secretFields are the fields whose values messages never repeat.
var secretFields = []string{"password", "password_hash"}

// incoming is one row of the file and its outcome.
type incoming struct {
	importer.Row
	user       User // as it would be created
	sso        string
	given      map[string]bool // fields that the row has a value for; nil unless users are updated
	password   string          // plain text, until it is hashed or (if generated) stored
	madeUp     bool
	hash       string
	tenant     string
	tenantRole string
	roles      []string
	links      links // the resolved tenant and roles
	holder     *User // the user that a matched row changes
	stored     *User // user as stored, if the database changed it

	stamp   *db.Time // the row's updated_at
	stamped bool     // the row has an updated_at, or an empty one and a created_at

	bornNow, changedNow bool // created_at and password_changed_at are set to the transaction's time
}

// rowReader turns rows of a file into users.
type rowReader struct {
	t        *Table
	source   *importer.Input
	opts     ImportOptions
	defaults map[string]*string
}

// Reading returns the options for reading the file, with the fields of users.
func (o ImportOptions) Reading() rowreader.Options {
	r := o.Read
	r.Fields, r.Verbatim = ImportFields, secretFields
	if o.OnConflict != importer.Update { // existing users already have them
		r.Required = []string{"username", "email", "full_name"}
	}
	if o.OfTenant { // the table may have first_name and last_name instead
		r.Required = slices.DeleteFunc(r.Required, func(f string) bool { return f == "full_name" })
	}
	return r
}

func newRowReader(t *Table, f *rowreader.File, o ImportOptions, defaults map[string]*string) (*rowReader, error) {
	reading := o.Reading()
	if o.OfTenant && len(reading.Required) > 0 && !t.namesInParts() {
		reading.Required = append(reading.Required, "full_name")
	}
	source, err := importer.Open(f, reading, t.shape)
	if err != nil {
		return nil, err
	}
	r := &rowReader{t: t, source: source, opts: o, defaults: defaults}
	if source.Objects {
		return r, nil
	}
	return r, r.checkHeader()
}

// checkHeader refuses a file that lacks columns which the run needs.
func (r *rowReader) checkHeader() error {
	hasPassword := r.source.Has("password") || r.source.Has("password_hash")
	switch {
	case r.opts.OnConflict == importer.Update && !r.source.Has("username") && !r.source.Has("id"):
		return fault.New(fault.Validation, "header: \"username\" is missing; users are matched by it or by \"id\"").With("valid", ImportFields)
	case hasPassword && (r.opts.NoPasswords || r.opts.Passwords != nil):
		return fault.New(fault.Validation, "the file has a password column, which --no-passwords and --generate-passwords exclude").
			WithHint("remove the flag, or ignore the column with --map 'password=-'")
	case !hasPassword && !r.opts.NoPasswords && r.opts.Passwords == nil && r.opts.OnConflict != importer.Update:
		return fault.New(fault.Validation, "the file has no password or password_hash column").
			WithHint("add --no-passwords to create accounts without passwords, or --generate-passwords --passwords-out FILE").With("valid", ImportFields)
	}
	return nil
}

// optional returns a text of at most so many characters, or the table's default. It returns nil if there is neither,
// or no such column.
func (r *rowReader) optional(c *importer.Fields, field string, most int) *string {
	old := restored(c)
	v := ""
	if old {
		v = c.Stored(field)
	} else {
		v = c.Text(field)
	}
	if !c.Fits(field, v) {
		return nil
	}
	if v == "" {
		if d := r.defaults[field]; d != nil {
			c.Fill(field, *d)
			return d
		}
		c.FillNull(field)
		return nil
	}
	if old {
		validate.CheckStored(&c.Problems, field, v, 0, most)
		return &v
	}
	checkOptional(&c.Problems, field, v, 0, most)
	return &v
}

// flag returns a boolean; NULL if the table has no such column.
func flag(c *importer.Fields, field string, fallback bool) *bool {
	if !c.Fits(field, c.Text(field)) {
		return nil
	}
	b := c.Bool(field, fallback)
	return &b
}

// read turns a row into a user, or collects everything that is wrong with it.
func (r *rowReader) read(row importer.Row, c *importer.Fields) *incoming {
	in := &incoming{Row: row}
	if in.Failure != nil {
		return in
	}
	if r.opts.OnConflict == importer.Update {
		in.given = map[string]bool{}
		c.Given = in.given
	}
	u := &in.user
	r.identity(c, in)
	u.Phone = r.optional(c, "phone", 20)
	u.UserType = c.Choice("user_type", "TENANT", Types)
	if r.t.tenant == nil {
		u.Status = c.Choice("status", "ACTIVE", Statuses)
	}
	u.MFAEnabled = flag(c, "mfa_enabled", false)
	u.SSOProvider = r.optional(c, "sso_provider", 50)
	if in.sso = c.Text("sso_subject"); c.Fits("sso_subject", in.sso) && in.sso != "" {
		checkText(&c.Problems, "sso_subject", in.sso, 1, 255)
	}
	if (u.SSOProvider == nil) != (in.sso == "") && r.t.shape.Has("sso_provider") {
		c.Add("sso_provider", "sso_provider and sso_subject go together: both or neither")
	}
	u.EmailVerified = flag(c, "email_verified", false)
	u.PhoneVerified = flag(c, "phone_verified", false)
	u.LastLoginAt = c.Time("last_login_at")
	if v := c.Text("last_login_ip"); c.Fits("last_login_ip", v) && v != "" {
		if a, err := netip.ParseAddr(v); err != nil || a.Zone() != "" {
			c.Add("last_login_ip", "%.60q is not an IP address", v)
		} else {
			u.LastLoginIP = new(a.String())
			if *u.LastLoginIP != v {
				c.Alter("last_login_ip", "in canonical form")
			}
		}
	}
	if v := c.Text("failed_login_attempts"); c.Fits("failed_login_attempts", v) {
		n, err := strconv.ParseInt("0"+v, 10, 32)
		if err != nil {
			c.Add("failed_login_attempts", "%.60q is not a number of attempts", v)
		}
		attempts := int(n)
		u.FailedLoginAttempts = &attempts
		c.Fill("failed_login_attempts", "0")
	}
	u.LockedUntil = c.Time("locked_until")
	u.PasswordChangedAt = c.Time("password_changed_at")
	u.ForcePasswordChange = flag(c, "force_password_change", r.opts.Passwords != nil)
	u.Timezone = r.optional(c, "timezone", 50)
	u.Locale = r.optional(c, "locale", 10)
	u.Department = r.optional(c, "department", 100)
	u.Position = r.optional(c, "position", 100)
	u.IsActive = c.Bool("is_active", true)
	if r.t.tenant != nil {
		tenantStatus(c, u, r.t.statuses())
	}
	u.CreatedAt, u.UpdatedAt = c.Time("created_at"), c.Time("updated_at")
	u.CreatedBy, u.UpdatedBy = c.ID("created_by"), c.ID("updated_by")
	in.stamp = u.UpdatedAt
	in.stamped = in.stamp != nil || c.Names("updated_at") && u.CreatedAt != nil
	c.FillBirth()
	r.secrets(c, in)
	in.tenant, in.tenantRole = c.Text("tenant"), c.Text("tenant_role")
	checkText(&c.Problems, "tenant_role", in.tenantRole, 0, 50)
	if in.tenantRole != "" && in.tenant == "" {
		c.Add("tenant", "it is missing, but tenant_role requires it")
	}
	in.roles = strings.FieldsFunc(c.Text("roles"), func(x rune) bool { return x == ',' || x == ';' || x == ' ' })
	in.Altered, in.Filled = c.Altered, c.Filled
	if err := c.Err(); err != nil {
		c.Refuse(&in.Row, err)
	}
	return in
}

// restored reports whether a row is a record that an export wrote: it has its id and creation time. Its texts are
// taken as stored, without the checks for new ones.
func restored(c *importer.Fields) bool { return c.Text("id") != "" && c.Text("created_at") != "" }

// identity reads the fields that identify the row's user. A row that may be an update can leave some out.
func (r *rowReader) identity(c *importer.Fields, in *incoming) {
	u := &in.user
	if id := c.ID("id"); id != nil {
		u.ID = *id
	}
	partial := r.opts.OnConflict == importer.Update
	u.Username, u.Email = c.Text("username"), c.Text("email")
	var name string
	if restored(c) {
		name = c.Stored("full_name")
	} else {
		name = c.Text("full_name")
	}
	u.FullName = &name
	if r.t.namesInParts() {
		c.Fits("full_name", name)
		u.FullName = nil
	}
	if u.Username != "" || !partial || u.ID == uuid.Nil {
		checkUsername(&c.Problems, u.Username)
	}
	if u.Email != "" || !partial {
		checkEmail(&c.Problems, u.Email)
	}
	switch {
	case r.t.namesInParts():
	case name != "" && restored(c):
		validate.CheckStored(&c.Problems, "full_name", name, 1, 100)
	case name != "" || !partial:
		checkText(&c.Problems, "full_name", name, 1, 100)
	}
}
