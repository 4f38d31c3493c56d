package users

import (
	"cmp"
	"context"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/rowupdate"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Edit is a change of existing users. Functions of this package build one and Apply makes it.
type Edit = rowupdate.Update[User]

// Patch is a partial change of one user: a nil field keeps its value, and the fields named in Unset become NULL.
type Patch struct {
	User
	Unset        []string
	AllowVariant bool     // accept an e-mail that is a variant of another user's
	IfUpdatedAt  *db.Time // the updated_at that the caller last saw
}

// SortFields are the fields that users can be sorted by, and Unsettable those that can be NULL.
var (
	SortFields = fields.Sorts()
	Unsettable = fields.Unsets()
)

// Change returns the edit that a patch describes, or the patch's problems. An empty patch is a USAGE_ERROR.
func (t *Table) Change(patch Patch) (Edit, error) {
	var p fault.Problems
	given := fields.Given(&patch.User)
	names := given.Names()
	for _, name := range patch.Unset {
		names = append(names, strings.TrimSpace(name))
	}
	if t.refuse(&p, names); p.Err() != nil {
		return Edit{}, p.Err()
	}
	status := patch.Status
	patch.Status = nil // tenants store it in other columns
	fields.CheckTexts(&p, &patch.User, false)
	if status != nil {
		*status = p.Choices("status", []string{*status}, t.statuses())[0]
	}
	var unset schema.FieldsOf[User]
	rowupdate.ApplyUnset(&p, patch.Unset, Unsettable, func(name string) bool { return len(given.Named(name)) > 0 }, func(name string) {
		unset = append(unset, fields.Named(name)...)
	})
	e := rowupdate.SetFields(append(fields.Given(&patch.User), unset...), &patch.User, nil)
	if status != nil {
		set, needs := t.assignStatus(*status, e.Args)
		e.Set, e.Columns = strings.TrimPrefix(e.Set+", "+set, ", "), append(e.Columns, needs...)
		others := e.IsNoop
		e.IsNoop = func(u User) bool { return u.Status != nil && *u.Status == *status && others(u) }
	}
	if err := p.Err(); err != nil {
		return e, err
	}
	if e.Set == "" {
		return e, rowupdate.ErrNothingToChange("users update")
	}
	if patch.Email != "" {
		e.Precheck = func(ctx context.Context, tx *audit.Tx, rows []User) error {
			for _, u := range rows {
				if err := t.distinct(ctx, tx, identity{ID: u.ID, Email: patch.Email}, patch.AllowVariant); err != nil {
					return err
				}
			}
			return nil
		}
	}
	if want := patch.IfUpdatedAt; want != nil {
		e.Check = rowupdate.IfUpdatedAt(&Kind, *want, func(u User) (updated, created *db.Time) { return u.UpdatedAt, u.CreatedAt })
	}
	return e, nil
}

// SetStatus returns the edit that sets a status, or an error if the status is not allowed.
func (t *Table) SetStatus(status string) (Edit, error) {
	var p fault.Problems
	v := p.Choices("set", []string{status}, t.statuses())[0]
	e := Edit{Action: audit.Update, Args: pgx.NamedArgs{}, IsNoop: func(u User) bool { return u.Status != nil && *u.Status == v }}
	e.Set, e.Columns = t.assignStatus(v, e.Args)
	return e, p.Err()
}

// Unlock returns the edit that lets a user log in again: it resets the failure counter and the end of the lock, and
// changes LOCKED to ACTIVE. INACTIVE and SUSPENDED were set deliberately, so they stay.
func (t *Table) Unlock() Edit {
	e := Edit{
		Action: audit.Update, Set: "failed_login_attempts = 0, locked_until = NULL",
		Columns: []string{"failed_login_attempts", "locked_until"},
		IsNoop: func(u User) bool {
			return (u.Status == nil || *u.Status != "LOCKED") && u.LockedUntil == nil &&
				(u.FailedLoginAttempts == nil || *u.FailedLoginAttempts == 0)
		},
	}
	if t.tenant == nil {
		e.Set += ", status = CASE WHEN u.status = 'LOCKED' THEN 'ACTIVE' ELSE u.status END"
		e.Columns = append(e.Columns, "status")
	}
	return e
}

// SetPasswords returns the edit that stores bcrypt hashes by user, or removes the passwords of users whose hash is
// empty. With force the users must choose new passwords at the next login. Users of a tenant always have a password and
// cannot be forced.
func (t *Table) SetPasswords(hashes map[uuid.UUID]string, force bool) (Edit, error) {
	column := t.passwordColumn()
	var ids []uuid.UUID
	var texts []string
	for id, hash := range hashes {
		ids, texts = append(ids, id), append(texts, hash)
	}
	hash := "nullif((@set_hashes::text[])[array_position(@set_users::uuid[], u.id)], '')"
	e := Edit{
		Action: audit.Update, Event: audit.PasswordChange, Secrets: []string{"password"},
		Set:     column + " = " + hash,
		Holds:   "u." + column + " IS NOT DISTINCT FROM " + hash,
		Args:    pgx.NamedArgs{"set_users": ids, "set_hashes": texts},
		Columns: []string{cmp.Or(column, "password")},
	}
	if t.tenant != nil {
		var p fault.Problems
		if force {
			t.refuse(&p, []string{"force_password_change"})
		}
		for _, hash := range texts {
			if err := t.needsPassword(hash); p.Err() == nil && err != nil {
				return e, err
			}
		}
		return e, p.Err()
	}
	e.Set += ", password_changed_at = @now, force_password_change = @set_force"
	e.Holds += " AND u.password_changed_at = @now AND u.force_password_change = @set_force"
	e.Args["set_force"] = force
	e.Columns = append(e.Columns, "password_changed_at", "force_password_change")
	return e, nil
}

// closed lists the columns that a deletion sets besides the flag, because the platform checks only the status at
// login.
var closed = [][2]string{{"status", "'INACTIVE'"}}

// SetDeleted returns the edit that marks users as deleted or restores them. A deletion sets the status to INACTIVE; a
// restore sets it to the status in the audit row of the deletion. A table without a soft-delete column is a
// DATABASE_ERROR, because rows are never deleted physically.
func (t *Table) SetDeleted(deleted bool) (Edit, error) {
	e, err := rowupdate.SetDeleted(t.Shape, deleted, func(u User) bool { return u.Deleted })
	switch {
	case t.tenant != nil: // is_active holds the status in that table
		e.Set, e.Columns, err = "is_deleted = "+strconv.FormatBool(deleted), []string{"is_deleted"}, nil
	case deleted:
		e.Set += ", status = " + closed[0][1]
		e.IsNoop = func(u User) bool { return u.Deleted && (u.Status == nil || *u.Status != "ACTIVE") }
	default:
		e.Set += ", status = " + t.reopened("u.status")
	}
	return e, err
}

// reopened returns the expression for the status of a restored row: the former status if the deletion set INACTIVE,
// otherwise status.
func (t *Table) reopened(status string) string {
	return "CASE WHEN u.status = " + closed[0][1] + " THEN coalesce(" + t.former + ", " + status + ") ELSE " + status + " END"
}

// rows describes the table to rowupdate.
func (t *Table) rows() rowupdate.Table[User] {
	rows := rowupdate.Table[User]{
		Noun: &Kind, Shape: t.Shape, Alias: "u", Columns: t.Columns, AuditView: t.image(), ByRef: t.sql(findByRef), ByPrefix: t.sql(completeUsernames),
		Tenant: func(User) *uuid.UUID { return t.subject("").TenantID },
		TranslateError: func(ctx context.Context, r db.Reader, err error, e Edit) error {
			email, _ := e.Args["set_email"].(string)
			return t.taken(ctx, r, err, "", email)
		},
	}
	if t.tenant == nil {
		rows.Closed, rows.Search = closed, "cxgctl users list --search"
	}
	return rows
}
