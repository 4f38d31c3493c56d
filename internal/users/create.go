package users

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// New describes a user to create.
type New struct {
	User                // the given fields
	PasswordHash string // a bcrypt hash, or empty for an account without a password
	AllowVariant bool   // accept a variant of another user's e-mail or username
}

// Check normalizes the values and returns all problems at once.
func (n *New) Check() error { return (&Table{}).Check(n) }

// Check normalizes the values of a new user, and refuses invalid ones and fields that this table does not have.
func (t *Table) Check(n *New) error {
	var p fault.Problems
	t.refuse(&p, fields.Given(&n.User).Names())
	t.check(&p, &n.User)
	return p.Err()
}

// values returns the columns of a new user and their arguments. Insert skips those that this database does not have.
func (t *Table) values(tx *audit.Tx, n New) ([][2]string, pgx.NamedArgs) {
	list := [][2]string{
		{"id", "@id"},
		{"status", "'ACTIVE'"},
		{"failed_login_attempts", "0"},
		{"password", "nullif(@password, '')"},
		{"password_hash", "nullif(@password, '')"},
		{"user_code", "@username::text"},
		{"password_changed_at", "CASE WHEN @password <> '' THEN @now::timestamptz END"},
		{"created_at", "@now"},
		{"created_by", "@by"},
		{"is_system_user", "false"},
	}
	args := pgx.NamedArgs{"password": n.PasswordHash, "now": tx.Now, "by": tx.ByID()}
	if t.tenant != nil {
		list = append(list, [2]string{"tenant_id", "@tenant"})
		args["tenant"] = t.tenant.ID
	}
	for _, flag := range []**bool{&n.MFAEnabled, &n.ForcePasswordChange} {
		if *flag == nil {
			*flag = new(bool)
		}
	}
	for _, f := range fields.Given(&n.User) {
		list = append(list, [2]string{f.Name, "@" + f.Name + "::" + f.Cast()})
		args[f.Name] = f.Arg(&n.User)
	}
	return append(list, schema.LiveValues()...), args
}

// Create inserts a user. If the username or e-mail is taken, it returns RESOURCE_ALREADY_EXISTS and names the holder.
// The unique indexes decide that, not a query beforehand.
func (t *Table) Create(ctx context.Context, l *audit.Ledger, n New) (User, error) {
	var made User
	if err := t.Check(&n); err != nil {
		return made, err
	}
	if err := t.needsPassword(n.PasswordHash); err != nil {
		return made, err
	}
	intent := audit.Intent{Subject: t.subject(n.Username), Action: audit.Create}
	of := identity{Username: n.Username, Email: n.Email}
	var others []identity
	var holders []User
	err := l.Write(ctx, intent, func(ctx context.Context, tx *audit.Tx) ([]audit.Change, error) {
		if err := of.against(others, n.AllowVariant); err != nil {
			return nil, err
		}
		u, change, err := t.insert(ctx, tx, n, holders)
		made = u
		return []audit.Change{change}, err
	}, func(db.Layout) []db.PipelineQuery {
		q := t.holders(n.Username, n.Email)
		return []db.PipelineQuery{
			t.findVariants(of, &others),
			{SQL: q.SQL, Args: []any{q.Args}, Read: db.Into(&holders, pgx.RowToStructByName[User])},
		}
	})
	return made, err
}

// CreateTx is Create inside a transaction of Ledger.Write, for a user that has passed Check.
func (t *Table) CreateTx(ctx context.Context, tx *audit.Tx, n New) (User, audit.Change, error) {
	if err := t.distinct(ctx, tx, identity{Username: n.Username, Email: n.Email}, n.AllowVariant); err != nil {
		return User{}, audit.Change{}, err
	}
	return t.insert(ctx, tx, n, nil)
}

// insert inserts a user. holders explain why the username or e-mail is taken.
func (t *Table) insert(ctx context.Context, tx *audit.Tx, n New, holders []User) (u User, change audit.Change, err error) {
	change = audit.Change{Subject: t.subject(n.Username), Action: audit.Create}
	values, args := t.values(tx, n)
	args["id"] = tx.NewID()
	readBack := db.PipelineQuery{
		SQL: t.sql("SELECT {columns} FROM {table} u WHERE u.id = @id"), Args: []any{pgx.NamedArgs{"id": args["id"]}},
		Read: func(rows pgx.Rows) (err error) {
			if u, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[User]); errors.Is(err, pgx.ErrNoRows) {
				err = nil // Insert says why
			}
			return err
		},
	}
	look := func(violation error) error { return t.taken(ctx, tx, violation, n.Username, n.Email) }
	if err := tx.LookUp(ctx, t.Shape.Name, look); err != nil {
		return u, change, err
	}
	err = tx.Insert(ctx, t.Shape, fmt.Sprintf("user %q", n.Username), values, args, readBack)
	switch {
	case err != nil && db.UniqueViolation(err) != "" && len(holders) > 0:
		return u, change, t.TakenBy(err, holders, uniqueNames, &User{Username: n.Username, Email: n.Email})
	case err != nil:
		return u, change, audit.ExplainLater(err, func(ctx context.Context, r db.Reader) error { return t.taken(ctx, r, err, n.Username, n.Email) })
	}
	change.ID, change.After = u.ID, u
	if image := t.image(); image != nil {
		change.After = image(u)
	}
	if n.PasswordHash != "" {
		change.Secrets = []string{"password"}
	}
	return u, change, nil
}

const findHolders = `
SELECT {columns} FROM {table} u WHERE (u.username = @username OR u.email = @email) AND {holding} ORDER BY u.id`

var uniqueNames = fields.Named("username", "email")

// taken turns a unique violation into an error that names every taken name and its holder.
func (t *Table) taken(ctx context.Context, r db.Reader, cause error, username, email string) error {
	return t.Taken(ctx, r, cause, t.holders(username, email), uniqueNames, &User{Username: username, Email: email})
}

func (t *Table) holders(username, email string) db.Query {
	return db.Query{SQL: t.sql(findHolders), Args: pgx.NamedArgs{"username": username, "email": email}}
}
