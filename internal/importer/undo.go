package importer

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/rowreader"
	"github.com/cxgctl/cxgctl/internal/rowupdate"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Undone is the result of Undo.
type Undone struct {
	OpID     uuid.UUID   `json:"op_id"` // the latest undone operation
	Deleted  int         `json:"deleted"`
	Before   int         `json:"deleted_before"` // deleted by someone else or by an earlier attempt
	Touched  []Failure   `json:"touched"`        // records that have changed since the import and stay
	Restored int         `json:"restored"`       // changed records that have their former values again
	Links    int         `json:"links"`          // reversed memberships and grants
	Ops      []uuid.UUID `json:"operations"`
}

// Undoing describes the imported noun to Undo.
type Undoing[T any] struct {
	Table   rowupdate.Table[T]
	Fields  []string                                    // the compared fields
	Command string                                      // the import command, for hints
	Links   map[string]audit.Reverser                   // reversers of memberships and grants, by noun
	May     func(resource string, a audit.Action) error // checks the operator's permission to undo
}

const (
	filesOf     = `SELECT DISTINCT sha256 FROM cxg_import.rows WHERE op_id = $1`
	runsOf      = `SELECT op_id FROM cxg_import.rows WHERE sha256 = $1 GROUP BY op_id ORDER BY max(created_at) DESC, op_id DESC`
	runsKnown   = `SELECT op_id FROM cxg_import.files WHERE sha256 = $1`
	forgetRows  = `DELETE FROM cxg_import.rows WHERE op_id = ANY ($1::uuid[])`
	reopenFiles = `
UPDATE cxg_import.files SET finished_at = NULL, created = 0, updated = 0, skipped = 0, failed = 0
 WHERE sha256 IN (SELECT sha256 FROM cxg_import.rows WHERE op_id = ANY ($1::uuid[]))`
)

// RunsOfFile returns the operations that applied rows of a file, latest first, none if all were undone. The error is
// RESOURCE_NOT_FOUND if the file was never imported.
func RunsOfFile(ctx context.Context, r db.Reader, cat schema.Catalog, f *rowreader.File, home Database, resource string) ([]uuid.UUID, error) {
	if err := home.missing(cat); err != nil {
		return nil, err
	}
	ops, err := db.CollectAs(ctx, r, pgx.RowTo[uuid.UUID], runsOf, home.key(f, resource))
	if err != nil || len(ops) > 0 {
		return ops, err
	}
	known, err := db.CollectAs(ctx, r, pgx.RowTo[uuid.UUID], runsKnown, home.key(f, resource))
	if err == nil && len(known) == 0 {
		err = fault.New(fault.NotFound, "no rows of %s have been applied", f.Name).
			WithHint("to finish undoing an operation, pass its id; list operations with: cxgctl audit list")
	}
	return nil, err
}

// RunsWith returns all operations that applied rows of the file that op imported, latest first.
func RunsWith(ctx context.Context, r db.Reader, cat schema.Catalog, op uuid.UUID) ([]uuid.UUID, error) {
	if err := (Database{}).missing(cat); err != nil {
		return nil, err
	}
	files, err := db.CollectAs(ctx, r, pgx.RowTo[[]byte], filesOf, op)
	if err != nil || len(files) == 0 {
		return []uuid.UUID{op}, err
	}
	return db.CollectAs(ctx, r, pgx.RowTo[uuid.UUID], runsOf, files[0])
}

// RowsOf returns the number of rows that runs applied.
func RowsOf(ctx context.Context, r db.Reader, runs []uuid.UUID) (n int, err error) {
	err = r.QueryRow(ctx, `SELECT coalesce(sum(records), 0)::int FROM cxg_import.rows WHERE op_id = ANY ($1)`, runs).Scan(&n)
	return n, err
}

// Undo reverses everything that runs did, latest first. Created records are soft-deleted, with their memberships and
// grants, and changed records get their former values. A record that has changed since the import stays and is named.
// The rows no longer count as applied, so the file can be imported again. Each batch is a transaction; an interrupted
// undo continues when it is run again.
func Undo[T any](ctx context.Context, l *audit.Ledger, cat schema.Catalog, u Undoing[T], ops []uuid.UUID) (Undone, error) {
	done := Undone{OpID: ops[0], Touched: []Failure{}, Ops: ops}
	if _, err := u.Table.Shape.SetDeleted(false); err != nil {
		return done, err
	}
	log, err := audit.NewLog(cat)
	if err != nil {
		return done, err
	}
	l.DiscardEntries = true
	seen := 0
	for _, op := range ops {
		for last := uuid.Max; ; {
			entries, err := log.Done(ctx, l.Reader(), op, last, batchRows)
			if err != nil {
				return done, err
			}
			if len(entries) == 0 {
				break
			}
			last = entries[len(entries)-1].ID
			n, err := u.batch(ctx, l, entries, &done)
			if err != nil {
				return done, err
			}
			seen += n
		}
	}
	if seen == 0 {
		return done, fault.New(fault.NotFound, "no %s was created by operation %s", u.Table.Noun.Name, ops[0]).
			WithHint("%s prints the id of its operation; show its changes with: cxgctl audit list --op %s", u.Command, ops[0])
	}
	return done, l.WriteUnaudited(ctx, func(last *pgx.Batch) error {
		last.Queue(reopenFiles, ops)
		last.Queue(forgetRows, ops)
		return nil
	})
}

// batch reverses the changes of audit rows: first memberships and grants, then records. It returns how many of the
// audit rows it handled.
func (u *Undoing[T]) batch(ctx context.Context, l *audit.Ledger, entries []audit.Entry, done *Undone) (seen int, err error) {
	noun := u.Table.Noun.Name
	var made, changed []audit.Reversal
	links := map[string][]audit.Reversal{}
	for _, e := range entries {
		if e.Resource == nil || *e.Resource != noun && u.Links[*e.Resource] == nil {
			continue
		}
		seen++
		action := audit.Action(*e.Action)
		if err := u.May(*e.Resource, action); err != nil {
			return seen, err
		}
		r, err := audit.Reversible(e)
		switch {
		case err != nil && *e.Resource == noun && e.ResourceID != nil:
			done.Touched = append(done.Touched, Failure{Code: fault.From(err).Code, Message: fault.From(err).Message})
		case err != nil:
			return seen, err
		case *e.Resource != noun:
			keep(r.Is, []string{"status", "user_id"})
			links[*e.Resource] = append(links[*e.Resource], r)
		case action == audit.Create:
			keep(r.Is, u.Fields)
			made = append(made, r)
		default:
			keep(r.Is, u.Fields)
			different(r.Was, r.Is)
			changed = append(changed, r)
		}
	}
	for _, noun := range []string{"role", "member"} {
		taken, _, err := u.reverse(ctx, l, noun, u.Links[noun], links[noun])
		if err != nil {
			return seen, err
		}
		done.Links += taken
	}
	restored, touched, err := u.reverse(ctx, l, noun, u.Table, changed)
	if err != nil {
		return seen, err
	}
	done.Restored += restored
	done.Touched = append(done.Touched, touched...)
	live, err := u.live(ctx, l.Reader(), made)
	if err != nil {
		return seen, err
	}
	done.Before += len(made) - len(live)
	deleted, touched, err := u.reverse(ctx, l, noun, u.Table, live)
	done.Deleted += deleted
	done.Touched = append(done.Touched, touched...)
	return seen, err
}

// live returns those of the created records that are not deleted.
func (u *Undoing[T]) live(ctx context.Context, r db.Reader, made []audit.Reversal) ([]audit.Reversal, error) {
	ids := make([]uuid.UUID, len(made))
	for i, m := range made {
		ids[i] = m.ID
	}
	rows, err := u.Table.Read(ctx, r, ids)
	live := map[uuid.UUID]bool{}
	for _, row := range rows {
		live[u.Table.Noun.ID(row)] = u.Table.Noun.IsLive(row)
	}
	return slices.DeleteFunc(made, func(m audit.Reversal) bool { return !live[m.ID] }), err
}

// keep removes all fields from an image except the named ones.
func keep(image map[string]json.RawMessage, fields []string) {
	for name := range image {
		if !slices.Contains(fields, name) {
			delete(image, name)
		}
	}
}

// different removes the fields from two images that are equal or missing in one.
func different(was, is map[string]json.RawMessage) {
	for name, v := range was {
		if now, there := is[name]; !there || audit.SameJSON(v, now) {
			delete(was, name)
			delete(is, name)
		}
	}
	for name := range is {
		if _, there := was[name]; !there {
			delete(is, name)
		}
	}
}

// reverse reverses rows of a noun in one transaction and returns how many. Rows that already have their former values
// are skipped; rows that have changed since are left alone and returned.
func (u *Undoing[T]) reverse(ctx context.Context, l *audit.Ledger, noun string, to audit.Reverser, rows []audit.Reversal) (int, []Failure, error) {
	if len(rows) == 0 {
		return 0, nil, nil
	}
	count := 0
	var touched []Failure
	err := l.Write(ctx, audit.Intent{Subject: audit.Subject{Resource: noun}, Action: audit.Update}, func(ctx context.Context, tx *audit.Tx) ([]audit.Change, error) {
		touched = nil
		rest := rows
		changes, drifted, err := to.Reverse(ctx, tx, rest, false)
		if err == nil && len(drifted) > 0 {
			if touched, rest = u.since(rows, drifted, noun); len(rest) > 0 {
				changes, _, err = to.Reverse(ctx, tx, rest, false)
			}
		}
		count = len(changes)
		return changes, err
	})
	return count, touched, err
}

// since splits rows into those that someone has changed and those that can be reversed. Rows that already have their
// former values are in neither, and neither are new memberships and grants that have changed.
func (u *Undoing[T]) since(rows []audit.Reversal, drifted []audit.Drift, noun string) (touched []Failure, rest []audit.Reversal) {
	of := map[uuid.UUID][]audit.Drift{}
	for _, d := range drifted {
		of[d.ID] = append(of[d.ID], d)
	}
	for _, r := range rows {
		list := of[r.ID]
		if len(list) == 0 {
			rest = append(rest, r)
			continue
		}
		changed := slices.IndexFunc(list, func(d audit.Drift) bool {
			return d.Field != "" && (r.Created || !audit.SameJSON(d.Found, r.Was[d.Field]))
		})
		if changed < 0 || r.Created && noun != u.Table.Noun.Name {
			continue
		}
		d := list[changed]
		touched = append(touched, Failure{
			Field: d.Field, Code: fault.Conflict, Holder: &d.ID, Value: d.Name,
			Message: noun + " \"" + d.Name + "\" was changed since: " + d.Field + " differs from what the import stored",
		})
	}
	return touched, rest
}
