package db

import (
	"context"
	"time"
)

// Written returns the primary's current position in the write-ahead log, PostgreSQL's pg_lsn as text. Everything
// committed so far is before it.
func Written(ctx context.Context, primary Reader) (position string, err error) {
	const sql = `SELECT pg_catalog.pg_current_wal_insert_lsn()::text`
	err = primary.QueryRow(ctx, sql).Scan(&position)
	return position, err
}

// Replica is the replay state of a server.
type Replica struct {
	Standby bool  // the server follows a primary; a promoted one has diverged
	Behind  int64 // bytes of the log that are not visible yet
	// Age is the time since the last replayed commit; nil if none was replayed since the start.
	Age *time.Duration
}

const readReplayed = `
SELECT r, pg_wal_lsn_diff($1::text::pg_lsn,
         coalesce(CASE WHEN r THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END, '0/0'))::bigint,
       (extract(epoch FROM now() - pg_last_xact_replay_timestamp()) * 1000000)::bigint
  FROM pg_is_in_recovery() r`

// Replayed reads the replay state of a replica. written is the primary's position before.
func Replayed(ctx context.Context, replica Reader, written string) (Replica, error) {
	var x Replica
	var age *int64
	err := replica.QueryRow(ctx, readReplayed, written).Scan(&x.Standby, &x.Behind, &age)
	if err == nil && age != nil {
		d := time.Duration(max(*age, 0)) * time.Microsecond
		x.Age = &d
	}
	return x, err
}

// Lag returns how stale the replica's data may be. It is 0 if the replica has replayed everything. Missing log without
// a commit cannot be told apart and counts as lag. ok is false if the lag is unknown.
func (x Replica) Lag() (lag time.Duration, ok bool) {
	switch {
	case x.Behind <= 0:
		return 0, true
	case x.Age == nil:
		return 0, false
	}
	return *x.Age, true
}
