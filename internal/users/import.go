package users

import (
	"context"
	"strings"

	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/importer"
	"github.com/cxgctl/cxgctl/internal/rowreader"
	"github.com/cxgctl/cxgctl/internal/schema"
	"github.com/cxgctl/cxgctl/internal/validate"
)

// Conflicts lists the values of ImportOptions.OnConflict, for help and completion. What a row claims is its
// username, e-mail and id; an update is of the user of that username, or id.
var Conflicts = []string{importer.Fail, importer.Skip, importer.Update}

// importCommand is what a person runs to import users.
const importCommand = "cxgctl users import"

// ImportOptions say how a file of users is imported.
type ImportOptions struct {
	importer.Options
	OfTenant     bool         // the users are a tenant's
	Restore      bool         // imports.Update brings deleted users back
	NoPasswords  bool         // accounts without one
	AllowVariant bool         // of the e-mail or username of another user
	Passwords    PasswordFile // where made-up passwords go; nil makes none up
	Hash         Hasher

	// Need asks for permissions that the file's columns, or an object's fields, turn out to need.
	Need func(codes ...string) error
}

// Hasher hashes passwords on all cores, in order.
type Hasher func(ctx context.Context, passwords []string) ([]string, error)

// PasswordFile keeps the passwords that an import makes up, so that no account is left with one that
// nobody knows.
type PasswordFile interface {
	Known(username string) string                  // made up by an earlier run that did not come to its end; or ""
	Store(usernames []string, made []string) error // on disk when it returns
}

// importer is one run of Import.
type importSpec struct {
	ImportOptions
	t       *Table
	ledger  *audit.Ledger
	reader  *rowReader
	update  []updateColumn
	tenancy *tenancy
	names   *names
	hashed  map[int64]hashedPassword // by the row's ordinal, where the file is read twice
}

// Import reads a file of users and makes them: see imports.Run.
func (t *Table) Import(ctx context.Context, l *audit.Ledger, cat schema.Catalog, f *rowreader.File, o ImportOptions) (importer.Report, error) {
	if o.OnConflict == "" {
		o.OnConflict = importer.Fail
	}
	im := &importSpec{ImportOptions: o, t: t, ledger: l}
	if o.Atomic {
		im.hashed = map[int64]hashedPassword{}
	}
	defaults, err := t.defaults(ctx, l.Reader())
	if err != nil {
		return importer.Report{}, err
	}
	if im.names, err = t.names(ctx, l.Reader()); err != nil {
		return importer.Report{}, err
	}
	if im.reader, err = newRowReader(t, f, o, defaults); err != nil {
		return importer.Report{}, err
	}
	if err := t.importable(o, im.reader); err != nil {
		return importer.Report{}, err
	}
	has := im.reader.source.Has
	im.update, im.tenancy = t.updateColumns(has), newTenancy(cat, has)
	objects := im.reader.source.Objects
	if err := im.need(!objects && has("tenant"), !objects && has("roles")); err != nil {
		action := audit.Create
		if o.OnConflict == importer.Update {
			action = audit.Update
		}
		l.RecordFailure(ctx, audit.Intent{Subject: audit.Subject{Resource: Kind.Name, Name: f.Name}, Action: action}, err)
		return importer.Report{}, err
	}
	im.tenancy.need = func(tenant, roles bool) error { return im.need(tenant, roles) }
	return importer.Run(ctx, l, cat, im.reader.source, importer.Spec[*incoming]{
		Resource: Kind.Name, Command: importCommand, Home: t.importHome(),
		Read: im.reader.read, Claims: im.claims, Slow: im.slow, Prepare: im.hash,
		Resolve: im.resolve, Conflicts: im.conflicts, Defaults: im.born, CreatedChange: made, Held: im.held, Stored: im.stored, AfterInsert: im.finish,
		Table: t.shape.Name, Columns: t.copyColumns(),
	}, o.Options)
}

// need asks for what rows that name a tenant, or roles, need. A file whose header has the columns is refused for
// them, and of objects the first that has the fields ends the import.
func (im *importSpec) need(tenant, roles bool) error {
	var codes []string
	if im.OnConflict == importer.Update {
		codes = append(codes, "USER_UPDATE")
	}
	if tenant {
		codes = append(codes, "TENANT_UPDATE")
	}
	if roles {
		codes = append(codes, "PERMISSION_MANAGE")
	}
	if im.Need == nil || len(codes) == 0 {
		return nil
	}
	return im.Need(codes...)
}

// UndoImport takes back what runs did, and deletes as users delete does those whom they created: see imports.Undo.
func (t *Table) UndoImport(ctx context.Context, l *audit.Ledger, cat schema.Catalog, ops []uuid.UUID, links map[string]audit.Reverser,
	may func(string, audit.Action) error,
) (importer.Undone, error) {
	gone, err := t.SetDeleted(true)
	if err != nil {
		return importer.Undone{}, err
	}
	return importer.Undo(ctx, l, cat, importer.Undoing[User]{
		Table: t.rows(), Delete: gone, Fields: ImportFields, Command: importCommand, Links: links, May: may,
	}, ops)
}

// resolve finds what rows name in other tables, and fails those that are too like a user.
func (im *importSpec) resolve(ctx context.Context, tx *audit.Tx, rows []*incoming) error {
	if err := im.tenancy.resolve(ctx, tx, rows); err != nil {
		return err
	}
	return im.distinct(ctx, tx, rows)
}

// claims are what only one user may have, as a row names them: variants of an e-mail or a username are one claim.
func (im *importSpec) claims(in *incoming, list []importer.UniqueKey) []importer.UniqueKey {
	u := &in.user
	key := validate.Folded
	if im.AllowVariant {
		key = func(s string) string { return s }
	}
	if u.ID != uuid.Nil {
		list = append(list, importer.UniqueKey{Field: "id", Value: u.ID.String()})
	}
	if u.Username != "" {
		list = append(list, importer.UniqueKey{Field: "username", Value: u.Username, Key: key(u.Username)})
		if strings.Contains(u.Username, "@") && key(u.Username) != key(u.Email) { // nor may it be another user's e-mail
			list = append(list, importer.UniqueKey{Field: "email", Value: u.Username, Key: key(u.Username)})
		}
	}
	if u.Email != "" {
		list = append(list, importer.UniqueKey{Field: "email", Value: u.Email, Key: key(u.Email)})
	}
	if u.SSOProvider != nil && in.sso != "" {
		list = append(list, importer.UniqueKey{Field: "sso_subject", Value: in.sso, Key: *u.SSOProvider + "\x00" + in.sso})
	}
	return list
}

// finish makes the updates of rows, and the memberships and grants of all that were applied.
func (im *importSpec) finish(ctx context.Context, tx *audit.Tx, rows []*incoming) ([]audit.Change, error) {
	before, err := im.change(ctx, tx, rows)
	if err != nil {
		return nil, err
	}
	changes := changes(rows, before)
	more, err := im.tenancy.link(ctx, tx, rows)
	if err != nil {
		return nil, err
	}
	if changes = append(changes, more...); len(changes) == 0 {
		return nil, nil
	}
	return changes, im.keepPasswords(rows)
}

// complete fails rows of an updating import that name nobody and do not say all that a new user needs.
func (im *importSpec) complete(rows []*incoming) {
	if im.OnConflict != importer.Update {
		return
	}
	for _, in := range importer.Undecided(rows) {
		u := &in.user
		switch {
		case u.Username == "":
			in.Fail("id", u.ID.String(), fault.New(fault.NotFound, "there is no user of this id, and without a username none is made"), nil)
		case u.Email == "":
			in.Fail("email", "", fault.New(fault.Validation, "user %q is new, and email is missing", u.Username), nil)
		case *u.FullName == "":
			in.Fail("full_name", "", fault.New(fault.Validation, "user %q is new, and full_name is missing", u.Username), nil)
		case in.hash == "" && !im.NoPasswords && !im.reader.source.Has("password_hash"):
			in.Fail("password", "", fault.New(fault.Validation, "user %q is new, and has no password", u.Username).
				WithHint("--no-passwords makes accounts without one"), nil)
		}
	}
}
