package db

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Position is a place in a cluster's log of changes; later changes have greater ones. It is PostgreSQL's pg_lsn.
type Position uint64

// String is PostgreSQL's form: 16/B374D848.
func (p Position) String() string { return fmt.Sprintf("%X/%X", uint64(p)>>32, uint64(p)&0xffffffff) }

// ParsePosition reads PostgreSQL's form.
func ParsePosition(s string) (Position, error) {
	var high, low uint64
	if _, err := fmt.Sscanf(s, "%X/%X", &high, &low); err != nil || high > 0xffffffff || low > 0xffffffff {
		return 0, fmt.Errorf("%q is no position in the log", s)
	}
	return Position(high<<32 | low), nil
}

const readWritten = `SELECT pg_catalog.pg_current_wal_insert_lsn()::text`

// Written returns where a primary's log stands: everything that was committed before is before it.
func Written(ctx context.Context, primary Reader) (Position, error) {
	var text string
	if err := primary.QueryRow(ctx, readWritten, pgx.QueryExecModeExec).Scan(&text); err != nil {
		return 0, err
	}
	return ParsePosition(text)
}

// Replica is how far a server is that follows a primary.
type Replica struct {
	Standby bool     // it follows one; what it was promoted from knows nothing of its changes
	At      Position // what it shows has everything before
	// Age is how long ago the last change was made that it shows; nil where it has shown none since its start.
	Age *time.Duration
}

const readReplayed = `
SELECT r, coalesce(CASE WHEN r THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END, '0/0')::text,
       (extract(epoch FROM now() - pg_last_xact_replay_timestamp()) * 1000000)::bigint
  FROM pg_is_in_recovery() r`

// Replayed asks a replica how far it is.
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
	x.At, err = ParsePosition(at)
	return x, err
}

// Lag is how old what a replica shows may be, where the primary's log stood at written before it was asked. It
// is 0 where the replica has everything; that it lacks something without a commit in it is not known, and then
// counts. ok is false where nothing is known.
func (x Replica) Lag(written Position) (lag time.Duration, ok bool) {
	switch {
	case x.At >= written:
		return 0, true
	case x.Age == nil:
		return 0, false
	}
	return *x.Age, true
}
