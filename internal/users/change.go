package users

import (
	"bytes"
	"context"
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
)

// Edit is a change of existing users, made by one of the functions below and applied by Apply.
type Edit struct {
	action  audit.Action
	event   audit.Event
	set     string // assignments, constants over args
	args    pgx.NamedArgs
	needs   []string        // columns that the assignments name
	done    func(User) bool // says that a row is as wanted already
	secrets []string
	check   func(User) error
}

// Patch is a partial change of one user: nil leaves a field as it is. Unset names optional fields
// that become NULL.
type Patch struct {
	FullName, Email, Phone, Status         *string
	Department, Position, Timezone, Locale *string
	MFA                                    *bool
	Unset                                  []string
	IfUpdatedAt                            *db.Time // the updated_at that the caller saw
}

var unsettable = []string{"phone", "department", "position", "timezone", "locale"}

// Change returns the edit that a patch describes, or what is wrong with it. An empty patch is a
// USAGE_ERROR.
func Change(patch Patch) (Edit, error) {
	var p fault.Problems
	e := Edit{action: audit.Update, args: pgx.NamedArgs{}}
	var set []string
	wanted := map[string]any{}
	assign := func(column string, v any) {
		wanted[column] = v
		set = append(set, column+" = @set_"+column)
		e.args["set_"+column] = v
		e.needs = append(e.needs, column)
	}
	texts := []struct {
		column string
		value  *string
		check  func(string)
	}{
		{"full_name", patch.FullName, func(v string) { checkText(&p, "full_name", v, 1, 100) }},
		{"email", patch.Email, func(v string) { checkEmail(&p, v) }},
		{"phone", patch.Phone, func(v string) { checkText(&p, "phone", v, 1, 20) }},
		{"department", patch.Department, func(v string) { checkText(&p, "department", v, 1, 100) }},
		{"position", patch.Position, func(v string) { checkText(&p, "position", v, 1, 100) }},
		{"timezone", patch.Timezone, func(v string) { checkText(&p, "timezone", v, 1, 50) }},
		{"locale", patch.Locale, func(v string) { checkText(&p, "locale", v, 1, 10) }},
	}
	for _, f := range texts {
		if f.value == nil {
			continue
		}
		v := normal(*f.value)
		f.check(v)
		assign(f.column, v)
	}
	if patch.Status != nil {
		assign("status", p.Choices("status", []string{*patch.Status}, Statuses)[0])
	}
	if patch.MFA != nil {
		assign("mfa_enabled", *patch.MFA)
	}
	for _, name := range patch.Unset {
		name = strings.TrimSpace(name)
		switch {
		case !slices.Contains(unsettable, name):
			p.Add("unset", "%q cannot be unset, these can: %s", name, strings.Join(unsettable, ", "))
		case slices.Contains(e.needs, name):
			p.Add("unset", "%q is given a value and unset at once", name)
		default:
			set = append(set, name+" = NULL")
			wanted[name] = nil
			e.needs = append(e.needs, name)
		}
	}
	if err := p.Err(); err != nil {
		return e, err
	}
	if len(set) == 0 {
		return e, fault.New(fault.Usage, "nothing to change: name at least one field").WithHint("see the fields with: cxgctl users update --help")
	}
	e.set = strings.Join(set, ", ")
	e.done = func(u User) bool { return has(u, wanted) }
	if want := patch.IfUpdatedAt; want != nil {
		e.check = func(u User) error {
			have := u.UpdatedAt
			if have == nil {
				have = u.CreatedAt // updated_at is NULL until the first update
			}
			if have != nil && have.Equal(*want) {
				return nil
			}
			return fault.New(fault.Conflict, "user %q was changed at %s, after the time that --if-updated-at gives", u.Username, have).
				WithHint("nothing was changed; look at the row again").With("username", u.Username).With("updated_at", have)
		}
	}
	return e, nil
}

// has says whether the user's record has these values already.
func has(u User, wanted map[string]any) bool {
	record, err := audit.Fields(u)
	if err != nil {
		return false
	}
	for name, v := range wanted {
		doc, err := json.Marshal(v)
		if err != nil || !bytes.Equal(doc, record[name]) {
			return false
		}
	}
	return true
}

// SetStatus returns the edit that gives users a status, or why that status is refused.
func SetStatus(status string) (Edit, error) {
	var p fault.Problems
	v := p.Choices("set", []string{status}, Statuses)[0]
	return Edit{
		action: audit.Update, set: "status = @set_status", args: pgx.NamedArgs{"set_status": v}, needs: []string{"status"},
		done: func(u User) bool { return u.Status != nil && *u.Status == v },
	}, p.Err()
}

// Unlock returns the edit after which a user can log in again: the failure counter and the lock's
// end are reset, and LOCKED becomes ACTIVE. INACTIVE and SUSPENDED are decisions of somebody, and stay.
func Unlock() Edit {
	return Edit{
		action: audit.Update,
		set: "status = CASE WHEN u.status = 'LOCKED' THEN 'ACTIVE' ELSE u.status END, " +
			"failed_login_attempts = 0, locked_until = NULL",
		needs: []string{"status", "failed_login_attempts", "locked_until"},
		done: func(u User) bool {
			return (u.Status == nil || *u.Status != "LOCKED") && u.LockedUntil == nil &&
				(u.FailedLoginAttempts == nil || *u.FailedLoginAttempts == 0)
		},
	}
}

// SetPassword returns the edit that stores a bcrypt hash, or none at all where hash is empty.
func SetPassword(hash string, force bool) Edit {
	return Edit{
		action: audit.Update, event: audit.PasswordChange, secrets: []string{"password"},
		set:   "password = nullif(@set_password, ''), password_changed_at = @now, force_password_change = @set_force",
		args:  pgx.NamedArgs{"set_password": hash, "set_force": force},
		needs: []string{"password", "password_changed_at", "force_password_change"},
	}
}

// SetDeleted returns the edit that marks users as deleted, or brings them back. A table without a
// column for that gives a DATABASE_ERROR: no row is ever deleted physically.
func (t *Table) SetDeleted(deleted bool) (Edit, error) {
	set, err := t.shape.SetLive(!deleted)
	e := Edit{action: audit.Delete, set: set, done: func(u User) bool { return u.IsActive != deleted }}
	if !deleted {
		e.action = audit.Update
	}
	return e, err
}

const (
	lockUsers = `SELECT {columns} FROM {table} u WHERE u.id = ANY (@ids::uuid[]) ORDER BY u.id FOR UPDATE`
	editUsers = `UPDATE {table} u SET {set}, updated_at = @now, updated_by = @by WHERE u.id = ANY (@ids::uuid[]) RETURNING {columns}`
)

// Apply makes the edit on the users as the caller saw them, in one transaction, and returns them as
// they are afterwards, in the same order. A row that somebody changed since it was seen is a
// CONFLICT, and nothing is changed; a row that is as wanted already is left alone.
func (t *Table) Apply(ctx context.Context, l *audit.Ledger, seen []User, e Edit) ([]User, error) {
	for _, column := range e.needs {
		if !t.shape.Has(column) {
			return nil, fault.New(fault.Database, "table %s has no column %s", t.shape.Name, column).
				WithHint("cxgctl migrate up --database manager adds it").With("column", column)
		}
	}
	intent := audit.Intent{Subject: audit.Subject{Resource: "user"}, Action: e.action}
	if len(seen) == 1 {
		intent.ID, intent.Name = seen[0].ID, seen[0].Username
	}
	var after map[uuid.UUID]User
	err := l.Write(ctx, intent, func(ctx context.Context, tx *audit.Tx) ([]audit.Change, error) {
		locked, err := t.lock(ctx, tx, seen)
		if err != nil {
			return nil, err
		}
		var ids []uuid.UUID
		for _, u := range seen {
			if e.check != nil {
				if err := e.check(locked[u.ID]); err != nil {
					return nil, err
				}
			}
			if e.done == nil || !e.done(locked[u.ID]) {
				ids = append(ids, u.ID)
			}
		}
		after = locked
		if len(ids) == 0 {
			return nil, nil
		}
		args := pgx.NamedArgs{"ids": ids, "now": tx.Now, "by": tx.By.ID}
		for k, v := range e.args {
			args[k] = v
		}
		rows, err := db.Collect[User](ctx, tx, t.sql(strings.Replace(editUsers, "{set}", e.set, 1)), args)
		if err != nil {
			email, _ := e.args["set_email"].(string)
			return nil, t.taken(ctx, l.Reader(), err, "", email)
		}
		changes := make([]audit.Change, len(rows))
		for i, u := range rows {
			changes[i] = audit.Change{
				Subject: audit.Subject{Resource: "user", ID: u.ID, Name: u.Username},
				Action:  e.action, Event: e.event, Before: locked[u.ID], After: u, Secrets: e.secrets,
			}
			after[u.ID] = u
		}
		return changes, nil
	})
	if err != nil {
		return nil, err
	}
	out := make([]User, len(seen))
	for i, u := range seen {
		out[i] = after[u.ID]
	}
	return out, nil
}

// lock takes the rows' locks, in the order of their ids so that two batches cannot deadlock, and
// refuses rows that are not as they were seen.
func (t *Table) lock(ctx context.Context, tx *audit.Tx, seen []User) (map[uuid.UUID]User, error) {
	ids := make([]uuid.UUID, len(seen))
	for i, u := range seen {
		ids[i] = u.ID
	}
	rows, err := db.Collect[User](ctx, tx, t.sql(lockUsers), pgx.NamedArgs{"ids": ids})
	if err != nil {
		return nil, err
	}
	locked := make(map[uuid.UUID]User, len(rows))
	for _, u := range rows {
		locked[u.ID] = u
	}
	for _, u := range seen {
		if now, ok := locked[u.ID]; !ok || !reflect.DeepEqual(now, u) {
			return nil, fault.New(fault.Conflict, "user %q was changed by somebody else at this moment", u.Username).
				WithHint("nothing was changed; run the command again").With("username", u.Username).With("id", u.ID.String())
		}
	}
	return locked, nil
}
