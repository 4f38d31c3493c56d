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

// Lists and exports read from a replica if one is configured. Authentication, authorization and changes use the
// primary. To let users see their own changes, a replica that has not replayed them is skipped.

const (
	// replicaTimeout limits the time to connect to a replica; after that the primary is read.
	replicaTimeout = 3 * time.Second
	// catchUpTimeout limits the wait for a replica to replay the required position.
	catchUpTimeout = 250 * time.Millisecond
	// positionTTL is how long the position of a change is kept.
	positionTTL = 24 * time.Hour
)

// bindMaxLag adds --max-lag to a command that reads the replica.
func bindMaxLag(cmd *cobra.Command) {
	cmd.Flags().Duration("max-lag", 0, "read from the primary if the replica is further behind than this `duration`")
	markFlags(cmd.Flags(), printing, "max-lag")
}

// withReplica returns a session that reads from the replica if it is usable, else s. A note gives the reason for
// reading from the primary.
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

// filtered returns a session for reading the platform's data, which row policies may filter if the profile allows it.
// Audit rows go to the unfiltered primary.
func (s *session) filtered() *session {
	other := *s
	other.db, other.primary = s.db.Filtered(), s.primaryDB()
	if s.home != nil {
		other.home = s.home.filtered()
	}
	return &other
}

// replica returns the replica. It is nil if none is configured or it is not usable. In the second case why is the
// reason.
func (a *app) replica(ctx context.Context, s *session, cmd *cobra.Command) (d *db.DB, why string) {
	if a.cfg.ReplicaURL == "" || s.place != nil { // only the manager database has a replica
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
	var needed db.Position // position that the replica must have replayed
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
			return nil, "cannot read the position of the primary: " + fault.From(db.Translate(err)).Message
		}
		written = max(written, needed)
	}
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		x, err := db.Replayed(ctx, d)
		if err != nil {
			return nil, "cannot read the position of the replica: " + fault.From(db.Translate(err)).Message
		}
		lag, known := x.Lag(written)
		late := time.Since(began) > catchUpTimeout || ctx.Err() != nil
		switch {
		case !x.Standby:
			return nil, "the replica does not follow a primary"
		case x.At < needed && late:
			return nil, "the replica does not show your last change yet"
		case x.At < needed:
		case !limited, known && lag <= most:
			if needed > 0 {
				_ = os.Remove(mark) // a replayed change stays visible
			}
			return d, ""
		case late && !known:
			return nil, "the lag of the replica is unknown"
		case late:
			return nil, "the replica is " + lag.Round(time.Millisecond).String() + " behind"
		}
	}
}

// replicaOptions returns how to connect to the replica.
func (a *app) replicaOptions() (db.Options, error) {
	password, err := a.cfg.Password()
	return db.Options{
		Name:     "replica",
		From:     a.cfg.From("replica_database_url"),
		URL:      a.cfg.ReplicaURL,
		Password: password,
		Timeout:  a.cfg.Timeout,
		Pooled:   a.cfg.Pooled,
		Filtered: a.cfg.RowSecurity,
		Replica:  true,
	}, err
}

// primaryDB returns the database to which audit rows of reads are written.
func (s *session) primaryDB() *db.DB { return cmp.Or(s.primary, s.db) }

// recordPosition stores the position that a replica must have replayed to show the command's change. If the position
// is unknown it stores the maximum, so that replicas are skipped.
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
		_ = output.WriteFile(mark, []byte(at.String()+"\n")) // without the file, lists may be as old as the replica
	}
}

// positionFile returns the path of the file with the position for a database, or "" without a state directory.
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
