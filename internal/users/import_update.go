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

// change applies the updates of a batch.
func (im *importSpec) change(ctx context.Context, tx *audit.Tx, rows []*incoming) error {
	var list []*incoming
	for _, in := range rows {
		if in.Outcome != importer.Matched {
			continue
		}
		if in.madeUp {
			in.hash, in.Secrets = "", nil // existing users keep their password
		}
		if in.Holder.IsActive && !in.New.IsActive {
			in.Fail("is_active", "false", fault.New(fault.Conflict, "user %q is not deleted, and an import deletes no users", in.Holder.Username).
				WithHint("cxgctl users delete %s", fault.Word(in.Holder.Username)), &in.Holder.ID)
			continue
		}
		next := *in.Holder
		for _, f := range im.update {
			if in.given[f.Name] {
				f.Copy(&next, &in.New)
			}
		}
		in.New = next
		stored := in.Holder.UpdatedAt
		if reflect.DeepEqual(next, *in.Holder) && in.hash == "" && in.Holder.IsActive {
			in.Outcome = importer.Unchanged
			continue
		}
		if in.stamped && stored != nil && (in.stamp == nil || stored.Instant.After(in.stamp.Instant)) {
			in.Fail("updated_at", "", fault.New(fault.Conflict, "user %q was changed at %s, after the row's updated_at", in.Holder.Username, stored).
				WithHint("export the user again and repeat the edit"), &in.Holder.ID)
			continue
		}
		list = append(list, in)
	}
	return im.updateAll(ctx, tx, list)
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
			err = im.t.taken(ctx, tx, err, "", in.New.Email)
		}
		in.Fail("email", in.New.Email, fault.From(db.Translate(err)), nil)
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
	live, err := im.t.Shape.SetDeleted(true)
	if !im.Restore {
		live, err = "", nil
	}
	if err != nil {
		return err
	}
	args := pgx.NamedArgs{"now": tx.Now, "by": tx.By.ID}
	ids, hashes := make([]uuid.UUID, len(list)), make([]*string, len(list))
	for i, in := range list {
		ids[i] = in.New.ID
		if in.hash != "" {
			hashes[i] = &in.hash
		}
	}
	args["ids"], args["hashes"] = ids, hashes
	names, arrays, set := []string{"id", "new_password"}, []string{"@ids::uuid[]", "@hashes::text[]"}, []string{}
	for _, f := range im.update {
		values := make([]any, len(list))
		for i, in := range list {
			values[i] = f.Value(&in.New)
		}
		args["set_"+f.Name] = values
		names = append(names, "new_"+f.Name)
		arrays = append(arrays, fmt.Sprintf("@set_%s::%s[]", f.Name, f.Cast()))
		set = append(set, fmt.Sprintf("%s = v.new_%s", f.Name, f.Name))
	}
	if live != "" {
		set = append(set, live)
	}
	if live != "" && im.t.tenant == nil {
		former := make([]bool, len(list)) // the row is restored and the file has no status for it
		for i, in := range list {
			former[i] = !in.Holder.IsActive && !in.given["status"]
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
	if _, err := save.Exec(ctx, im.t.sql(sql), db.Described, args); err != nil {
		return err
	}
	batch := &pgx.Batch{}
	batch.Queue(db.SettleConstraints)
	back := im.target.ReadBack(list)
	for _, q := range append(im.NotStored(list, &back.Others), back.Question()) {
		q.Queue(batch)
	}
	if err := save.SendBatch(ctx, batch).Close(); err != nil {
		return err
	}
	if err := back.Check(ctx, save, db.Update); err != nil {
		return err
	}
	again := false
	for _, in := range list {
		if in.Failure == nil && reflect.DeepEqual(*in.Stored, *in.Holder) {
			refused := db.NotStored(ctx, save, im.t.Shape.Name, db.Update, "kept the row from being stored as it was sent")
			in.Fail("username", in.New.Username, refused, nil)
		}
		again = again || in.Failure != nil
	}
	if again {
		return importer.ErrAgain
	}
	for _, in := range list {
		in.New, in.Outcome = *in.Stored, importer.Updated
	}
	return nil
}
