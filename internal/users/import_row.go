package users

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/importer"
	"github.com/cxgctl/cxgctl/internal/rowreader"
	"github.com/cxgctl/cxgctl/internal/schema"
	"github.com/cxgctl/cxgctl/internal/validate"
)

// ImportFields are the headers that an import accepts: the fields of the record, and those that a record does not
// show.
var ImportFields = append(fields.Names(), "sso_subject", "password", "password_hash", "tenant", "tenant_role", "roles")

// secretFields are the fields whose values messages never repeat.
var secretFields = []string{"password", "password_hash"}

// incoming is one row of the file and its outcome.
type incoming struct {
	importer.Record[User]
	sso        string
	given      map[string]bool // fields that the row has a value for; nil unless users are updated
	password   string          // plain text, until it is hashed or (if generated) stored
	madeUp     bool
	hash       string
	tenant     string
	tenantRole string
	roles      []string
	links      links // the resolved tenant and roles

	stamp   *db.Time // the row's updated_at
	stamped bool     // the row has an updated_at, or an empty one and a created_at

	changedNow bool // password_changed_at is the transaction's time
}

// rowReader turns rows of a file into users.
type rowReader struct {
	t      *Table
	source *importer.Input
	opts   ImportOptions
	fields schema.FieldsOf[User] // those that a row has under their own name
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
	source, err := importer.Open(f, reading, t.Shape)
	if err != nil {
		return nil, err
	}
	source.Defaults = defaults
	r := &rowReader{t: t, source: source, opts: o, fields: fields.Where(func(f *schema.FieldOf[User]) bool {
		return f.Name != "status" || t.tenant == nil
	})}
	for i, f := range r.fields {
		if f.Name == "force_password_change" && o.Passwords != nil {
			forced := *f
			forced.Default = "true"
			r.fields[i] = &forced
		}
	}
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

// read turns a row into a user, or collects everything that is wrong with it.
func (r *rowReader) read(row importer.Row, c *importer.Fields) *incoming {
	in := &incoming{Record: importer.Record[User]{Row: row}}
	if in.Failure != nil {
		return in
	}
	if r.opts.OnConflict == importer.Update {
		in.given = map[string]bool{}
		c.Given = in.given
	}
	u := &in.New
	u.IsActive = true
	for _, f := range r.fields {
		importer.Read(c, f, u)
	}
	r.check(c, u)
	if in.sso = c.Text("sso_subject"); c.Fits("sso_subject", in.sso) && in.sso != "" {
		validate.Length(&c.Problems, "sso_subject", in.sso, 1, 255)
	}
	if (u.SSOProvider == nil) != (in.sso == "") && r.t.Shape.Has("sso_provider") {
		c.Add("sso_provider", "sso_provider and sso_subject go together: both or neither")
	}
	if r.t.tenant != nil {
		tenantStatus(c, u, r.t.statuses())
	} else {
		u.Deleted = !u.IsActive
	}
	in.stamp = u.UpdatedAt
	in.stamped = in.stamp != nil || c.Names("updated_at") && u.CreatedAt != nil
	c.FillBirth()
	r.secrets(c, in)
	in.tenant, in.tenantRole = c.Text("tenant"), c.Text("tenant_role")
	validate.Length(&c.Problems, "tenant_role", in.tenantRole, 0, 50)
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

// check adds what is wrong with the texts and numbers of a row. A row that may be an update can leave out what every
// user has.
func (r *rowReader) check(c *importer.Fields, u *User) {
	restored := c.Restored()
	partial := r.opts.OnConflict == importer.Update
	for _, f := range r.fields {
		v, text := f.Value(u).(string)
		switch {
		case f.Name == "full_name" && r.t.namesInParts():
		case f.Required && !f.IsSet(u) && (!partial || f.Name == "username" && u.ID == uuid.Nil):
			c.Add(f.Name, "it is missing")
		case !text || v == "" || f.Choices != nil || f.Max() == 0:
		case restored && f.Name != "username" && f.Name != "email":
			validate.CheckStored(&c.Problems, f.Name, v, 1, f.Max())
		default:
			f.CheckText(&c.Problems, v)
		}
	}
	if n := u.FailedLoginAttempts; n != nil && *n < 0 {
		c.Add("failed_login_attempts", "%d is less than 0", *n)
	}
	if u.LastLoginIP != nil {
		a, err := netip.ParseAddr(*u.LastLoginIP)
		if err != nil || a.Zone() != "" {
			c.Add("last_login_ip", "%.60q is not an IP address", *u.LastLoginIP)
		} else if canonical := a.String(); canonical != *u.LastLoginIP {
			u.LastLoginIP = &canonical
			c.Alter("last_login_ip", "in canonical form")
		}
	}
}
