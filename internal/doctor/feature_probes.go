package doctor

import (
	"context"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
)

// holds runs a query that returns a boolean.
func (s *subject) holds(ctx context.Context, sql string, args ...any) error {
	var yes bool
	if err := s.db.QueryRow(ctx, sql, args...).Scan(&yes); err != nil {
		return err
	}
	if !yes {
		return unable("the server's answer differs from PostgreSQL's")
	}
	return nil
}

// refusedWith succeeds if err has the expected SQLSTATE.
func refusedWith(err error, state, instead string) error {
	got, _ := db.State(err)
	switch got {
	case state:
		return nil
	case "":
		return unable(instead)
	}
	return err
}

func probeUTC(ctx context.Context, s *subject) error {
	return s.holds(ctx, `SELECT '2026-01-01T09:00:00+09'::timestamptz::text = '2026-01-01 00:00:00+00'`)
}

func probeReadOnly(ctx context.Context, s *subject) error {
	var n int
	err := s.db.QueryRow(ctx, `UPDATE `+s.accountsTable()+` SET id = id WHERE false RETURNING 1`).Scan(&n)
	return refusedWith(err, db.ReadOnlyTransaction, "a change in a read-only transaction is not refused")
}

func probeSnapshot(ctx context.Context, s *subject) error {
	return s.db.Snapshot(ctx, func(r db.Reader) error {
		var level string
		if err := r.QueryRow(ctx, `SELECT current_setting('transaction_isolation')`).Scan(&level); err != nil {
			return err
		}
		if level != "repeatable read" {
			return unable("the transaction's isolation level is " + level)
		}
		return nil
	})
}

func probeTimeouts(ctx context.Context, s *subject) error {
	err := s.db.Snapshot(ctx, func(r db.Reader) error {
		var ignored string
		if err := r.QueryRow(ctx, `SELECT set_config('statement_timeout', '20', true)`).Scan(&ignored); err != nil {
			return err
		}
		return r.QueryRow(ctx, `SELECT pg_sleep(1)::text`).Scan(&ignored)
	})
	return refusedWith(err, db.QueryCanceled, "statement_timeout is ignored")
}

func probeArrays(ctx context.Context, s *subject) error {
	return s.holds(ctx, `SELECT count(*) = 1 FROM unnest($1::uuid[], $2::text[]) AS x(id, name) WHERE x.id = ANY ($1::uuid[])`, []uuid.UUID{uuid.Max}, []string{"x"})
}

func probeJSON(ctx context.Context, s *subject) error {
	return s.holds(ctx, `SELECT ($1::text::jsonb || jsonb_build_object('b', session_user::text))->>'b' = session_user::text`, `{"a":1}`)
}

func probeCollation(ctx context.Context, s *subject) error {
	return s.holds(ctx, `SELECT '강은지' COLLATE "C" LIKE '%은%'`)
}

func probeReturning(ctx context.Context, s *subject) error {
	return s.rehearse(ctx, `WITH x AS (UPDATE `+s.accountsTable()+` SET id = id WHERE false RETURNING id) SELECT count(*) FROM x`)
}

// probeRowLocks locks an unlocked row, if there is one, and tries to lock it again in another session.
func probeRowLocks(ctx context.Context, s *subject) error {
	lock := `SELECT id FROM ` + s.accountsTable() + ` LIMIT 1 FOR UPDATE SKIP LOCKED`
	again := `SELECT id FROM ` + s.accountsTable() + ` WHERE id = $1 FOR UPDATE NOWAIT`
	return audit.Rehearse(ctx, s.db, func(ctx context.Context, tx pgx.Tx) error {
		ids, err := db.CollectAs(ctx, tx, pgx.RowTo[uuid.UUID], lock)
		if err != nil || len(ids) == 0 {
			return err
		}
		second := audit.Rehearse(ctx, s.db, func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Exec(ctx, again, ids[0])
			return err
		})
		return refusedWith(second, db.LockNotAvailable, "FOR UPDATE does not lock a row")
	})
}

func probeAdvisoryLocks(ctx context.Context, s *subject) error {
	key := int64(uuid.New().ID())
	return audit.Rehearse(ctx, s.db, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, key); err != nil {
			return err
		}
		return audit.Rehearse(ctx, s.db, func(ctx context.Context, tx pgx.Tx) error {
			var got bool
			if err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock($1)`, key).Scan(&got); err != nil {
				return err
			}
			if got {
				return unable("two transactions get the same lock")
			}
			return nil
		})
	})
}

func probeConstraints(ctx context.Context, s *subject) error {
	return s.rehearse(ctx, `SET CONSTRAINTS ALL IMMEDIATE`)
}

func probeSavepoints(ctx context.Context, s *subject) error {
	return audit.Rehearse(ctx, s.db, func(ctx context.Context, tx pgx.Tx) error {
		save, err := tx.Begin(ctx)
		if err != nil {
			return err
		}
		var n int
		failed := save.QueryRow(ctx, `SELECT 1 / count(*) FROM pg_class WHERE false`).Scan(&n)
		if state, _ := db.State(failed); state != "22012" { // division_by_zero
			return failed
		}
		if err := save.Rollback(ctx); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `SELECT 1`).Scan(&n)
	})
}

func probeOnConflict(ctx context.Context, s *subject) error {
	return s.rehearse(ctx,
		`INSERT INTO `+s.accountsTable()+` (id) SELECT NULL::uuid WHERE false ON CONFLICT (id) DO NOTHING`,
		`INSERT INTO `+s.accountsTable()+` (id) SELECT NULL::uuid WHERE false ON CONFLICT DO NOTHING`)
}

func probeCopy(ctx context.Context, s *subject) error {
	return audit.Rehearse(ctx, s.db, func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.CopyFrom(ctx, pgx.Identifier(strings.Split(s.accountsTable(), ".")), []string{"id"}, pgx.CopyFromRows(nil))
		return err
	})
}

func probeXmin(ctx context.Context, s *subject) error {
	if err := s.holds(ctx, `SELECT count(*) >= 0 FROM (SELECT age(r.xmin), r.xmin::text FROM `+s.accountsTable()+` r LIMIT 1) x`); err != nil {
		return err
	}
	if err := s.holds(ctx, `SELECT pg_snapshot_xmin(s) <= pg_snapshot_xmax(s) FROM pg_current_snapshot() s`); err != nil {
		return err
	}
	_, err := db.Server(ctx, s.db)
	return err
}

func probeActivity(ctx context.Context, s *subject) error {
	return audit.Rehearse(ctx, s.db, func(ctx context.Context, tx pgx.Tx) error {
		var found bool
		if _, err := tx.Exec(ctx, `SELECT txid_current()`); err != nil { // assigns a transaction id
			return err
		}
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = pg_backend_pid() AND a.xact_start IS NOT NULL
			AND a.backend_xid = (txid_current() & 4294967295)::text::xid)`).Scan(&found); err != nil {
			return err
		}
		if !found {
			return unable("running transactions are not visible")
		}
		return nil
	})
}

func probeSearchIndex(ctx context.Context, s *subject) error {
	return s.holds(ctx, `SELECT EXISTS (SELECT FROM pg_am WHERE amname = 'gin') AND string_to_array('ab|bc', '|') @> ARRAY['bc']`)
}
