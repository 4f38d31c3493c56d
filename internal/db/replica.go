package db

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Position is a location in the write-ahead log, PostgreSQL's pg_lsn. Later changes have greater positions.
type Position uint64

// String returns PostgreSQL's form: 16/B374D848.
func (p Position) String() string { return fmt.Sprintf("%X/%X", uint64(p)>>32, uint64(p)&0xffffffff) }

func parsePosition(s string) (Position, error) {
	var high, low uint64
	if _, err := fmt.Sscanf(s, "%X/%X", &high, &low); err != nil || high > 0xffffffff || low > 0xffffffff {
		return 0, fmt.Errorf("%q is not a WAL position", s)
	}
	return Position(high<<32 | low), nil
}

const readWritten = `SELECT pg_catalog.pg_current_wal_insert_lsn()::text`

// Written returns the primary's current position. Everything committed so far is before it.
func Written(ctx context.Context, primary Reader) (Position, error) {
	var text string
	if err := primary.QueryRow(ctx, readWritten, pgx.QueryExecModeExec).Scan(&text); err != nil {
		return 0, err
	}
	return parsePosition(text)
}

// Replica is the replay state of a server.
type Replica struct {
	Standby bool     // the server follows a primary; a promoted one has diverged
	At      Position // everything before is visible
	// Age is the time since the last replayed commit; nil if none was replayed since the start.
	Age *time.Duration
}

const readReplayed = `
SELECT r, coalesce(CASE WHEN r THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END, '0/0')::text,
       (extract(epoch FROM now() - pg_last_xact_replay_timestamp()) * 1000000)::bigint
  FROM pg_is_in_recovery() r`

// Replayed reads the replay state of a replica.
func Replayed(ctx context.Context, replica Reader) (Replica, error) {
	var x Replica
	var at string
	var age *int64
	err := replica.QueryRow(ctx, readReplayed, pgx.QueryExecModeExec).Scan(&x.Standby, &at, &age)
	if err != nil {
		return x, err
	}
	if age != nil {
		d := time.Duration(max(*age, 0)) * time.Microsecond
		x.Age = &d
	}
	x.At, err = parsePosition(at)
	return x, err
}

// Lag returns how stale the replica's data may be, if the primary was at written before the replica was asked. It is 0
// if the replica has replayed everything. Missing log without a commit cannot be told apart and counts as lag. ok is
// false if the lag is unknown.
func (x Replica) Lag(written Position) (lag time.Duration, ok bool) {
	switch {
	case x.At >= written:
		return 0, true
	case x.Age == nil:
		return 0, false
	}
	return *x.Age, true
}
