package cmdutil

import (
	"cmp"
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
)

// Lists and exports read from a replica if one is configured. Authentication, authorization and changes use the
// primary.

// replicaTimeout limits the time to connect to a replica; after that the primary is read.
const replicaTimeout = 3 * time.Second

// BindReplica adds --max-lag and --primary to a command that reads the replica.
func BindReplica(cmd *cobra.Command) {
	cmd.Flags().Duration("max-lag", 0, "read from the primary if the replica is further behind than this `duration`")
	cmd.Flags().Bool("primary", false, "read from the primary, which shows every change, not from the replica")
	cliflag.MarkFlags(cmd.Flags(), cliflag.Printing, "max-lag", "primary")
	cliflag.ExplainIn(cmd.Flags(), "exports", "max-lag", "primary")
	cmd.MarkFlagsMutuallyExclusive("max-lag", "primary")
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
	primary, err := cmd.Flags().GetBool("primary")
	cliflag.Must(err)
	if primary {
		return nil, ""
	}
	opening, cancel := context.WithTimeout(ctx, replicaTimeout)
	defer cancel()
	if d, err = env.Open(opening, ReplicaOptions(env, cmd.CommandPath())); err != nil {
		return nil, fault.From(err).Message
	}
	maxLag, err := cmd.Flags().GetDuration("max-lag")
	cliflag.Must(err)
	hasMaxLag := cmd.Flags().Changed("max-lag")
	written := "0/0"
	if hasMaxLag {
		if written, err = db.Written(ctx, s.DB); err != nil {
			return nil, "cannot read the position of the primary: " + fault.From(db.Translate(err)).Message
		}
	}
	state, err := db.Replayed(ctx, d, written)
	if err != nil {
		return nil, "cannot read the position of the replica: " + fault.From(db.Translate(err)).Message
	}
	lag, known := state.Lag()
	switch {
	case !state.Standby:
		return nil, "the replica does not follow a primary"
	case !hasMaxLag, known && lag <= maxLag:
		return d, ""
	case !known:
		return nil, "the lag of the replica is unknown"
	default:
		return nil, "the replica is " + lag.Round(time.Millisecond).String() + " behind"
	}
}

// ReplicaOptions returns the options of a connection to the replica.
func ReplicaOptions(env *Env, program string) db.Options {
	o := env.options("replica", "replica_database_url", env.Config.ReplicaURL, program)
	o.Replica = true
	return o
}

// PrimaryDB returns the database to which audit rows of reads are written.
func (s *Session) PrimaryDB() *db.DB { return cmp.Or(s.primary, s.DB) }
