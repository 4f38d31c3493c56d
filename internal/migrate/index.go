package migrate

import (
	"context"
	"database/sql"
	"strings"
	"time"
)

// buildTimeout limits how long an index build waits for earlier transactions. Other sessions are not blocked by that
// wait, but it should end at some point.
const buildTimeout = "10min"

// finish builds the indexes recorded as unfinished: those of this run, and those of an interrupted run, which may have
// left an invalid index.
func finish(ctx context.Context, d *sql.DB, list []*migration, unfinished []Item, building []func(string)) error {
	for _, i := range unfinished {
		text, table := indexOf(list, i.Object)
		if text == "" {
			continue // from a newer cxgctl
		}
		for _, fn := range building {
			fn(i.Object)
		}
		if err := build(ctx, d, i.Object, text, table); err != nil {
			return &failure{i.Object, err}
		}
		if _, err := d.ExecContext(ctx, `UPDATE `+Added+` SET unfinished = false WHERE kind = $1 AND object = $2`, string(KindIndex), i.Object); err != nil {
			return err
		}
	}
	return nil
}

// indexOf returns the statement that creates an index, and its table.
func indexOf(list []*migration, object string) (text, table string) {
	for _, m := range list {
		for _, s := range m.statements {
			if found := indexForm.FindStringSubmatch(s.text); found != nil && found[3]+"."+found[1] == object {
				return s.text, found[2]
			}
		}
	}
	return "", ""
}

// indexState reports whether the index's table is gone and whether the index exists and is valid.
const indexState = `
SELECT to_regclass($2) IS NULL,
       coalesce((SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1) AND indrelid = to_regclass($2)), false)`

// build builds one index, after removing what an interrupted run left of it.
func build(ctx context.Context, d *sql.DB, object, text, table string) error {
	var gone, done bool
	if err := d.QueryRowContext(ctx, indexState, object, table).Scan(&gone, &done); err != nil || gone || done {
		return err
	}
	// A session that locks the whole table would make the build wait for buildTimeout and leave an invalid index.
	// Taking the lock first fails within lockTimeout and leaves nothing behind.
	err := within(ctx, d, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `LOCK TABLE `+table+` IN SHARE UPDATE EXCLUSIVE MODE`)
		return err
	})
	if err != nil {
		return err
	}
	if _, err := d.ExecContext(ctx, `SET lock_timeout = '`+buildTimeout+`'`); err != nil {
		return err
	}
	defer func() {
		// the session and its setting may be gone
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_, _ = d.ExecContext(ctx, `SET lock_timeout = '`+lockTimeout+`'`)
	}()
	if _, err := d.ExecContext(ctx, `DROP INDEX CONCURRENTLY IF EXISTS `+object); err != nil {
		return err
	}
	_, err = d.ExecContext(ctx, strings.Replace(text, "INDEX IF NOT EXISTS", "INDEX CONCURRENTLY", 1))
	return err
}
