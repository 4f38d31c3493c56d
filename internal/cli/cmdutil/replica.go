package cmdutil

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
	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
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

// BindMaxLag adds --max-lag to a command that reads the replica.
func BindMaxLag(cmd *cobra.Command) {
	cmd.Flags().Duration("max-lag", 0, "read from the primary if the replica is further behind than this `duration`")
	cliflag.MarkFlags(cmd.Flags(), cliflag.Printing, "max-lag")
}

// WithReplica returns a session that reads from the replica if it is usable, else s. A note gives the reason for
// reading from the primary.
func WithReplica(ctx context.Context, env *Env, s *Session, cmd *cobra.Command) *Session {
	d, reason := replica(ctx, env, s, cmd)
	if reason != "" {
		env.Note("%s; reading from the primary", reason)
	}
	if d == nil {
		return s
	}
	other := *s
	other.DB, other.primary = d.Filtered(), s.PrimaryDB()
	return &other
}

// filtered returns a session for reading the platform's data, which row policies may filter if the profile allows it.
// Audit rows go to the unfiltered primary.
func (s *Session) filtered() *Session {
	other := *s
	other.DB, other.primary = s.DB.Filtered(), s.PrimaryDB()
	if s.managerSession != nil {
		other.managerSession = s.managerSession.filtered()
	}
	return &other
}

// replica returns the replica. It is nil if none is configured or it is not usable; in the second case,
// reason says why.
func replica(ctx context.Context, env *Env, s *Session, cmd *cobra.Command) (d *db.DB, reason string) {
	if env.Config.ReplicaURL == "" || s.Tenant != nil { // only the manager database has a replica
		return nil, ""
	}
	o, err := ReplicaOptions(env)
	if err != nil {
		return nil, "the replica cannot be used: " + fault.From(err).Message
	}
	opening, cancel := context.WithTimeout(ctx, replicaTimeout)
	defer cancel()
	if d, err = env.Open(opening, o); err != nil {
		return nil, fault.From(err).Message
	}
	var needed db.Position // position that the replica must have replayed
	mark := positionFile(env, s.DB.Addr())
	if position, ok := readPosition(mark); ok {
		needed = position
	}
	hasMaxLag := cmd.Flags().Changed("max-lag")
	maxLag, err := cmd.Flags().GetDuration("max-lag")
	cliflag.Must(err)
	written := needed
	if hasMaxLag {
		if written, err = db.Written(ctx, s.DB); err != nil {
			return nil, "cannot read the position of the primary: " + fault.From(db.Translate(err)).Message
		}
		written = max(written, needed)
	}
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		state, err := db.Replayed(ctx, d)
		if err != nil {
			return nil, "cannot read the position of the replica: " + fault.From(db.Translate(err)).Message
		}
		lag, known := state.Lag(written)
		timedOut := time.Since(began) > catchUpTimeout || ctx.Err() != nil
		switch {
		case !state.Standby:
			return nil, "the replica does not follow a primary"
		case state.At < needed && timedOut:
			return nil, "the replica does not show your last change yet"
		case state.At < needed:
		case !hasMaxLag, known && lag <= maxLag:
			if needed > 0 {
				_ = os.Remove(mark) // a replayed change stays visible
			}
			return d, ""
		case timedOut && !known:
			return nil, "the lag of the replica is unknown"
		case timedOut:
			return nil, "the replica is " + lag.Round(time.Millisecond).String() + " behind"
		}
	}
}

// ReplicaOptions returns the options of a connection to the replica.
func ReplicaOptions(env *Env) (db.Options, error) {
	password, err := env.Config.Password()
	return db.Options{
		Name:     "replica",
		From:     env.Config.From("replica_database_url"),
		URL:      env.Config.ReplicaURL,
		Password: password,
		Timeout:  env.Config.Timeout,
		Pooled:   env.Config.Pooled,
		Filtered: env.Config.RowSecurity,
		Replica:  true,
	}, err
}

// PrimaryDB returns the database to which audit rows of reads are written.
func (s *Session) PrimaryDB() *db.DB { return cmp.Or(s.primary, s.DB) }

// recordPosition stores the position that a replica must have replayed to show the command's change. If the position
// is unknown it stores the maximum, so that replicas are skipped.
func recordPosition(ctx context.Context, env *Env, l *audit.Ledger, database string) {
	mark := positionFile(env, database)
	if env.Config.ReplicaURL == "" || mark == "" {
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
func positionFile(env *Env, database string) string {
	dir := config.StateDir(env.Getenv)
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
