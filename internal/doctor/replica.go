package doctor

import (
	"context"
	"time"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
)

// maxLag is the lag from which on a replica is reported.
const maxLag = time.Minute

// readCluster identifies the cluster; a standby has the identity of its primary.
const readCluster = `SELECT system_identifier::text FROM pg_control_system()`

// replica checks that the replica follows the primary, and how far behind it is.
func replica(ctx context.Context, s *subject) (Finding, error) {
	if s.Replica == nil {
		return skipped("no replica is configured; lists read the primary"), nil
	}
	const instead = "lists read the primary until then, with a warning; fix the replica, or correct replica_database_url"
	d, err := db.Open(ctx, *s.Replica)
	if err != nil {
		f := failure(err)
		f.Status = Warn
		return f.remedied(instead), nil
	}
	defer d.Close()
	written, err := db.Written(ctx, s.db)
	if err != nil {
		return Finding{}, err
	}
	x, err := db.Replayed(ctx, d, written)
	if err != nil {
		return Finding{}, err
	}
	var ours, theirs string
	for reader, into := range map[db.Reader]*string{s.db: &ours, d: &theirs} {
		if err := reader.QueryRow(ctx, readCluster).Scan(into); err != nil {
			return Finding{}, err
		}
	}
	f := judgeReplica(x, ours == theirs)
	if f.Bad() {
		f = f.remedied(instead)
	}
	return f, nil
}

// judgeReplica returns the finding for the measured state of a replica.
func judgeReplica(x db.Replica, same bool) Finding {
	switch {
	case !same:
		return wrong(Fail, "the replica belongs to another cluster, so lists would show other rows")
	case !x.Standby:
		return wrong(Warn, "the replica does not follow a primary")
	}
	lag, known := x.Lag()
	switch {
	case lag == 0 && known:
		return fine("the replica is up to date")
	case !known:
		return wrong(Warn, "the replica is %s behind and has replayed no change since its start", fault.Plural(x.Behind, "byte"))
	}
	f := fine("the replica is %s behind; its latest change is %s old", fault.Plural(x.Behind, "byte"), span(lag))
	if lag > maxLag {
		f.Status, f.Count = Warn, 1
	}
	return f
}
