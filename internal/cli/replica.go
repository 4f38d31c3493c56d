package cli

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/config"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/output"
)

// Lists and exports read a replica where one is configured; who the operator is, what they may do and every
// change are the primary's matter. Whoever changed something sees it in what they list next: a replica that has
// not got there yet is passed over.

const (
	// replicaPatience is how long a replica may take to answer at all: the primary has the same rows.
	replicaTimeout = 3 * time.Second
	// catchUp is how long a replica is given to get to where it is wanted.
	catchUpTimeout = 250 * time.Millisecond
	// remembered is how long a change is looked for in a replica.
	positionTTL = 24 * time.Hour
)

// bindMaxLag adds --max-lag to a command that reads the replica.
func bindMaxLag(cmd *cobra.Command) {
	cmd.Flags().Duration("max-lag", 0, "read the primary where the replica is further behind than this `duration`")
	markFlags(cmd.Flags(), printing, "max-lag")
}

// replicated returns the session as a list or an export reads: from the replica, where there is one that is good
// enough. A note says why it is not.
func (a *app) withReplica(ctx context.Context, s *session, cmd *cobra.Command) *session {
	d, why := a.replica(ctx, s, cmd)
	if why != "" {
		a.note("%s; reading from the primary", why)
	}
	if d == nil {
		return s
	}
	other := *s
	other.db, other.primary = d.Filtered(), s.primaryDB()
	return &other
}

// filtered returns the session as a command reads the platform's data: row policies may filter it where the profile
// says so. Who the operator is and what they may do is settled before, and audit rows are written as ever.
func (s *session) filtered() *session {
	other := *s
	other.db, other.primary = s.db.Filtered(), s.primaryDB()
	if s.home != nil {
		other.home = s.home.filtered()
	}
	return &other
}

// replica returns the replica, nil where none is configured, or it is passed over for the reason why.
func (a *app) replica(ctx context.Context, s *session, cmd *cobra.Command) (d *db.DB, why string) {
	if a.cfg.ReplicaURL == "" || s.place != nil { // a replica is the manager's
		return nil, ""
	}
	o, err := a.replicaOptions()
	if err != nil {
		return nil, "the replica cannot be used: " + fault.From(err).Message
	}
	opening, cancel := context.WithTimeout(ctx, replicaTimeout)
	defer cancel()
	if d, err = a.open(opening, o); err != nil {
		return nil, fault.From(err).Message
	}
	var needed db.Position // what the replica has to show at least
	mark := a.positionFile(s.db.Addr())
	if wrote, ok := readPosition(mark); ok {
		needed = wrote
	}
	limited := cmd.Flags().Changed("max-lag")
	most, err := cmd.Flags().GetDuration("max-lag")
	must(err)
	written := needed
	if limited {
		if written, err = db.Written(ctx, s.db); err != nil {
			return nil, "how far the primary is cannot be read: " + fault.From(db.Translate(err)).Message
		}
		written = max(written, needed)
	}
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		x, err := db.Replayed(ctx, d)
		if err != nil {
			return nil, "how far the replica is cannot be read: " + fault.From(db.Translate(err)).Message
		}
		lag, known := x.Lag(written)
		late := time.Since(began) > catchUpTimeout || ctx.Err() != nil
		switch {
		case !x.Standby:
			return nil, "the replica follows no primary (any more)"
		case x.At < needed && late:
			return nil, "the replica does not show your last change yet"
		case x.At < needed:
		case !limited, known && lag <= most:
			if needed > 0 {
				_ = os.Remove(mark) // what it shows once it does not lose
			}
			return d, ""
		case late && !known:
			return nil, "how far the replica is behind is not known"
		case late:
			return nil, "the replica is " + lag.Round(time.Millisecond).String() + " behind"
		}
	}
}

// replicaOptions say how to reach the replica.
func (a *app) replicaOptions() (db.Options, error) {
	password, err := a.cfg.Password()
	return db.Options{
		Name: "replica", From: a.cfg.From("replica_database_url"), URL: a.cfg.ReplicaURL, Password: password, Timeout: a.cfg.Timeout, Pooled: a.cfg.Pooled, Filtered: a.cfg.RowSecurity, Replica: true,
	}, err
}

// writable is the database that audit rows of readings go to.
func (s *session) primaryDB() *db.DB { return cmp.Or(s.primary, s.db) }

// wrote writes down how far a replica has to be to show what the command changed. Where that cannot be found out
// no replica is far enough.
func (a *app) recordPosition(ctx context.Context, l *audit.Ledger, database string) {
	mark := a.positionFile(database)
	if a.cfg.ReplicaURL == "" || mark == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), replicaTimeout)
	defer cancel()
	at, err := db.Written(ctx, l.Reader())
	if err != nil {
		at = ^db.Position(0)
	}
	if os.MkdirAll(filepath.Dir(mark), 0o700) == nil {
		_ = output.WriteFile(mark, []byte(at.String()+"\n")) // else lists may be as old as the replica is
	}
}

// wroteMark is the file with how far a database's replica has to be; "" where there is no home.
func (a *app) positionFile(database string) string {
	dir := config.StateDir(a.getenv)
	if dir == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(database))
	return filepath.Join(dir, "wrote", hex.EncodeToString(sum[:8]))
}

func readPosition(mark string) (db.Position, bool) {
	info, err := os.Stat(mark)
	if err != nil || time.Since(info.ModTime()) > positionTTL {
		return 0, false
	}
	text, err := os.ReadFile(mark)
	if err != nil {
		return 0, false
	}
	at, err := db.ParsePosition(string(text))
	return at, err == nil
}
