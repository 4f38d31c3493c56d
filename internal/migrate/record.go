package migrate

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pressly/goose/v3/database"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// Added records what Up added to a database, so that Down removes nothing else.
const Added = "public.cxgctl_added"

// createAdded creates the record. An index built outside a transaction is unfinished until its build succeeds, so that
// an interrupted run can be detected.
const createAdded = `
CREATE TABLE IF NOT EXISTS ` + Added + ` (
    id         bigint      GENERATED ALWAYS AS IDENTITY,
    version    bigint      NOT NULL,
    kind       text        NOT NULL,
    object     text        NOT NULL,
    row_id     uuid,
    unfinished boolean     NOT NULL DEFAULT false,
    added_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT cxgctl_added_pkey PRIMARY KEY (id)
)`

// tablesExist reports whether the version table and the record exist.
const tablesExist = `SELECT to_regclass('` + Table + `') IS NOT NULL, to_regclass('` + Added + `') IS NOT NULL`

// ensureTables creates the version table and the record if they are missing. goose would create the first itself, but
// hides a refusal behind three retries of a second each.
func ensureTables(ctx context.Context, d *sql.DB) error {
	return within(ctx, d, func(tx *sql.Tx) error {
		var versions, added bool
		if err := tx.QueryRowContext(ctx, tablesExist).Scan(&versions, &added); err != nil {
			return err
		}
		if !added {
			if _, err := tx.ExecContext(ctx, createAdded); err != nil {
				return err
			}
		}
		if versions {
			return nil
		}
		store, err := database.NewStore(database.DialectPostgres, Table)
		if err != nil {
			return err
		}
		if err := store.CreateVersionTable(ctx, tx); err != nil {
			return err
		}
		// goose expects this row in a version table
		return store.Insert(ctx, tx, database.InsertRequest{Version: 0})
	})
}

// reader is implemented by transactions and handles.
type reader interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// each runs a query and calls fn after scanning each row into dest.
func each(ctx context.Context, r reader, query string, args, dest []any, fn func()) error {
	rows, err := r.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // Err has the error
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		fn()
	}
	return rows.Err()
}

// within runs fn in a transaction and commits it unless fn fails.
func within(ctx context.Context, d *sql.DB, fn func(*sql.Tx) error) error {
	tx, err := d.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // a no-op after the commit
	if err := fn(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// state is the content of a database's records.
type state struct {
	applied    map[int64]time.Time // UTC
	recorded   bool                // the record exists
	unfinished []Item              // indexes whose build was interrupted
}

const readApplied = `SELECT version_id, tstamp AT TIME ZONE 'UTC' FROM ` + Table + ` WHERE version_id > 0 AND is_applied`

const readUnfinished = `SELECT version, object FROM ` + Added + ` WHERE unfinished ORDER BY id`

// readState reads the records that exist.
func readState(ctx context.Context, r reader) (*state, error) {
	s := &state{applied: map[int64]time.Time{}}
	var versions bool
	if err := r.QueryRowContext(ctx, tablesExist).Scan(&versions, &s.recorded); err != nil {
		return nil, err
	}
	if versions {
		var v int64
		var at time.Time
		if err := each(ctx, r, readApplied, nil, []any{&v, &at}, func() { s.applied[v] = at.UTC() }); err != nil {
			return nil, err
		}
	}
	if s.recorded {
		i := Item{Action: Add, Kind: KindIndex, Detail: interrupted}
		err := each(ctx, r, readUnfinished, nil, []any{&i.Version, &i.Object}, func() { s.unfinished = append(s.unfinished, i) })
		if err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *state) has(m *migration) bool { return !s.applied[m.version].IsZero() }

// newer refuses a database with an unknown migration.
func newer(which Database, list []*migration, s *state) error {
	for _, step := range slices.Backward(steps(list, s.applied)) {
		if step.Name == "" {
			return fault.New(fault.Database, "the %s database has migration %d, which is unknown to this cxgctl", which, step.Version).
				WithHint("use the newer cxgctl that applied it; list applied migrations with: cxgctl migrate status").
				With("database", string(which)).With("version", step.Version)
		}
	}
	return nil
}

// up runs the statements that planned chose.
func (m *migration) up(ctx context.Context, tx *sql.Tx) error {
	// Records of a migration that is not applied are left over from a database that was emptied by hand. Its objects
	// may belong to other software by now.
	if _, err := tx.ExecContext(ctx, `DELETE FROM `+Added+` WHERE version = $1`, m.version); err != nil {
		return err
	}
	if m.statements[0].kind == KindRows { // then all of them are
		if _, err := tx.ExecContext(ctx, `SAVEPOINT rows`); err != nil {
			return err
		}
	}
	made := map[string]bool{}
	for _, s := range m.statements {
		if s.action != Add {
			continue
		}
		err := m.add(ctx, tx, s, made[s.table])
		if pe, ok := errors.AsType[*pgconn.PgError](err); ok && s.kind == KindRows && unfit(pe.Code) {
			// The rehearsal had no rows for the statement to select. The rows of a file refer to each other.
			_, err = tx.ExecContext(ctx, `ROLLBACK TO SAVEPOINT rows`)
			return err
		}
		if err != nil {
			return &failure{s.object, err}
		}
		made[s.table] = made[s.table] || s.kind == KindTable
	}
	return nil
}

const recordAdded = `INSERT INTO ` + Added + ` (version, kind, object, unfinished) VALUES ($1, $2, $3, $4)`

const recordRows = `
WITH added AS (%s RETURNING id)
INSERT INTO ` + Added + ` (version, kind, object, row_id)
SELECT $1, $2, $3, id FROM added`

// add runs a statement and records what it added. For an index of a table with rows, it only adds the record; finish
// builds the index outside a transaction, without blocking writers. made is true for a table that the same file created.
func (m *migration) add(ctx context.Context, tx *sql.Tx, s *statement, made bool) error {
	if s.kind == KindRows {
		_, err := tx.ExecContext(ctx, strings.Replace(recordRows, "%s", s.text, 1), m.version, string(s.kind), s.object)
		return err
	}
	later := false
	if s.kind == KindIndex && !made {
		err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM `+s.table+`)`).Scan(&later)
		if err != nil {
			return err
		}
	}
	if !later {
		// Without IF NOT EXISTS: an object created since the rehearsal is not ours, so it must be an error.
		if _, err := tx.ExecContext(ctx, strings.Replace(s.text, "IF NOT EXISTS ", "", 1)); err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, recordAdded, m.version, string(s.kind), s.object, later)
	return err
}

// failure is a database error and the object it concerns.
type failure struct {
	object string
	err    error
}

func (f *failure) Error() string { return f.object + ": " + f.err.Error() }
func (f *failure) Unwrap() error { return f.err }
