package users

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/importer"
)

// updateColumn is a field of an existing user that an import can change. set copies a row's value into the record,
// get reads the record's value for an array.
type updateColumn struct {
	name, typ string
	set       func(u, from *User)
	get       func(*User) any
}

// updateColumns returns the fields that rows can change. What systems recorded about a user, such as the last login,
// is imported only for new users.
func updateColumns(t *Table, named func(string) bool) []updateColumn {
	list := []updateColumn{
		{"username", "text", func(u, f *User) { u.Username = f.Username }, func(u *User) any { return u.Username }},
		{"full_name", "text", func(u, f *User) { u.FullName = f.FullName }, func(u *User) any { return u.FullName }},
		{"email", "text", func(u, f *User) { u.Email = f.Email }, func(u *User) any { return u.Email }},
		{"phone", "text", func(u, f *User) { u.Phone = f.Phone }, func(u *User) any { return u.Phone }},
		{"user_type", "text", func(u, f *User) { u.UserType = f.UserType }, func(u *User) any { return u.UserType }},
		{"status", "text", func(u, f *User) { u.Status = f.Status }, func(u *User) any { return u.Status }},
		{"mfa_enabled", "boolean", func(u, f *User) { u.MFAEnabled = f.MFAEnabled }, func(u *User) any { return u.MFAEnabled }},
		{"email_verified", "boolean", func(u, f *User) { u.EmailVerified = f.EmailVerified }, func(u *User) any { return u.EmailVerified }},
		{"phone_verified", "boolean", func(u, f *User) { u.PhoneVerified = f.PhoneVerified }, func(u *User) any { return u.PhoneVerified }},
		{"force_password_change", "boolean", func(u, f *User) { u.ForcePasswordChange = f.ForcePasswordChange }, func(u *User) any { return u.ForcePasswordChange }},
		{"timezone", "text", func(u, f *User) { u.Timezone = f.Timezone }, func(u *User) any { return u.Timezone }},
		{"locale", "text", func(u, f *User) { u.Locale = f.Locale }, func(u *User) any { return u.Locale }},
		{"department", "text", func(u, f *User) { u.Department = f.Department }, func(u *User) any { return u.Department }},
		{"position", "text", func(u, f *User) { u.Position = f.Position }, func(u *User) any { return u.Position }},
	}
	var have []updateColumn
	for _, c := range list {
		if named(c.name) && t.shape.Has(c.name) {
			have = append(have, c)
		}
	}
	return have
}

// change applies the updates of a batch and returns the users as they were before.
func (im *importSpec) change(ctx context.Context, tx *audit.Tx, rows []*incoming) (map[uuid.UUID]User, error) {
	before := map[uuid.UUID]User{}
	var list []*incoming
	for _, in := range rows {
		if in.Outcome != importer.Matched {
			continue
		}
		if in.madeUp {
			in.hash = "" // existing users keep their password
		}
		if in.holder.IsActive && !in.user.IsActive {
			in.Fail("is_active", "false", fault.New(fault.Conflict, "user %q is not deleted, and an import deletes no users", in.holder.Username).
				WithHint("cxgctl users delete %s", fault.Word(in.holder.Username)), &in.holder.ID)
			continue
		}
		next := *in.holder
		for _, c := range im.update {
			if in.given[c.name] {
				c.set(&next, &in.user)
			}
		}
		before[in.holder.ID] = *in.holder
		in.user = next
		stored := in.holder.UpdatedAt
		if reflect.DeepEqual(next, *in.holder) && in.hash == "" && in.holder.IsActive {
			in.Outcome = importer.Unchanged
			continue
		}
		if in.stamped && stored != nil && (in.stamp == nil || stored.Instant.After(in.stamp.Instant)) {
			in.Fail("updated_at", "", fault.New(fault.Conflict, "user %q was changed at %s, after the row's updated_at", in.holder.Username, stored).
				WithHint("export the user again and repeat the edit"), &in.holder.ID)
			continue
		}
		list = append(list, in)
	}
	return before, im.updateAll(ctx, tx, list)
}

// updateAll applies updates together, or one by one if the server refuses one.
func (im *importSpec) updateAll(ctx context.Context, tx *audit.Tx, list []*incoming) error {
	if len(list) == 0 {
		return nil
	}
	err := pgx.BeginFunc(ctx, tx, func(save pgx.Tx) error { return im.updateRows(ctx, tx, save, list) })
	if err == nil {
		return nil
	}
	if errors.Is(err, importer.ErrAgain) {
		return im.updateAll(ctx, tx, slices.DeleteFunc(list, func(in *incoming) bool { return in.Failure != nil }))
	}
	of, failed := importer.OfRow(ctx, tx, err, func(save pgx.Tx) error { return im.updateRows(ctx, tx, save, nil) })
	if failed != nil {
		return failed
	}
	switch {
	case !of:
		return err
	case len(list) == 1:
		in := list[0]
		if db.UniqueViolation(err) != "" {
			err = im.t.taken(ctx, tx, err, "", in.user.Email)
		}
		in.Fail("email", in.user.Email, fault.From(db.Translate(err)), nil)
		return nil
	}
	for i := range list {
		if err := im.updateAll(ctx, tx, list[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

func (im *importSpec) updateRows(ctx context.Context, tx *audit.Tx, save pgx.Tx, list []*incoming) error {
	live, err := im.t.shape.SetDeleted(true)
	if !im.Restore {
		live, err = "", nil
	}
	if err != nil {
		return err
	}
	args := pgx.NamedArgs{"now": tx.Now, "by": tx.By.ID}
	ids, hashes := make([]uuid.UUID, len(list)), make([]*string, len(list))
	for i, in := range list {
		ids[i] = in.user.ID
		if in.hash != "" {
			hashes[i] = &in.hash
		}
	}
	args["ids"], args["hashes"] = ids, hashes
	names, arrays, set := []string{"id", "new_password"}, []string{"@ids::uuid[]", "@hashes::text[]"}, []string{}
	for _, c := range im.update {
		values := make([]any, len(list))
		for i, in := range list {
			values[i] = c.get(&in.user)
		}
		args["set_"+c.name] = values
		names = append(names, "new_"+c.name)
		arrays = append(arrays, fmt.Sprintf("@set_%s::%s[]", c.name, c.typ))
		set = append(set, fmt.Sprintf("%s = v.new_%s", c.name, c.name))
	}
	if live != "" {
		set = append(set, live)
	}
	if live != "" && im.t.tenant == nil {
		former := make([]bool, len(list)) // the row is restored and the file has no status for it
		for i, in := range list {
			former[i] = !in.holder.IsActive && !in.given["status"]
		}
		args["former"] = former
		names, arrays = append(names, "former"), append(arrays, "@former::boolean[]")
		status, given := "u.status", "status = v.new_status"
		if i := slices.Index(set, given); i >= 0 {
			status, set = "v.new_status", slices.Delete(set, i, i+1)
		}
		set = append(set, "status = CASE WHEN v.former THEN "+im.t.reopened("u.status")+" ELSE "+status+" END")
	}
	set = append(set, "password = coalesce(v.new_password, u.password)",
		"password_changed_at = CASE WHEN v.new_password IS NULL THEN u.password_changed_at ELSE @now END",
		"updated_at = @now", "updated_by = @by")
	sql := "UPDATE {table} u SET " + strings.Join(set, ", ") +
		" FROM unnest(" + strings.Join(arrays, ", ") + ") AS v (" + strings.Join(names, ", ") + ")" +
		" WHERE u.id = v.id"
	if _, err := save.Exec(ctx, im.t.sql(sql), args); err != nil {
		return err
	}
	if _, err := save.Exec(ctx, "SET CONSTRAINTS ALL IMMEDIATE"); err != nil {
		return err
	}
	now, err := im.readBack(ctx, save, db.Update, list)
	if err != nil {
		return err
	}
	again := false
	for _, in := range list {
		if in.Failure == nil && reflect.DeepEqual(*now[in.user.ID], *in.holder) {
			refused := db.NotStored(ctx, save, im.t.shape.Name, db.Update, "kept the row from being stored as it was sent")
			in.Fail("username", in.user.Username, refused, nil)
		}
		again = again || in.Failure != nil
	}
	if again {
		return importer.ErrAgain
	}
	for _, in := range list {
		in.user, in.Outcome = *now[in.user.ID], importer.Updated
	}
	return nil
}
