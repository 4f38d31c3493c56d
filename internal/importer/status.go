package importer

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/rowreader"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// Status is the progress of an import of a file. Applied is the sum of created, updated and unchanged, and of the
// rows of the operations.
type Status struct {
	File       string      `json:"file"`
	SHA256     string      `json:"sha256"`
	State      string      `json:"state" db:"state"` // new, running, unfinished, finished, or done with the number that failed
	Applied    int64       `json:"applied" db:"applied"`
	LastLine   *int64      `json:"last_line" db:"last_line"` // the last applied line, since the last --again
	Created    int64       `json:"created" db:"created"`     // by all runs
	Updated    int64       `json:"updated" db:"updated"`
	Failed     int64       `json:"failed" db:"failed"` // in the last run
	Unchanged  int64       `json:"unchanged"`
	OpID       *uuid.UUID  `json:"op_id" db:"op_id"` // the last run
	StartedAt  *db.Time    `json:"started_at" db:"started_at"`
	FinishedAt *db.Time    `json:"finished_at" db:"finished_at"`
	Operations []Operation `json:"operations"` // runs that applied rows, oldest first
	host       string
	process    string
}

const readStatus = `
SELECT CASE WHEN f.leased_until > now() THEN 'running' WHEN f.finished_at IS NULL THEN 'unfinished'
            WHEN f.failed > 0 THEN 'done, ' || f.failed || ' failed' ELSE 'finished' END AS state,
       (SELECT coalesce(sum(r.records), 0)::bigint FROM cxg_import.rows r WHERE r.sha256 = f.sha256) AS applied,
       (SELECT max(r.last_line) FROM cxg_import.rows r WHERE r.sha256 = f.sha256 AND r.line > 0) AS last_line,
       f.created, f.updated, f.failed, f.op_id, f.started_at, f.finished_at, f.host, f.process
  FROM cxg_import.files f WHERE f.sha256 = $1`

// StatusOf returns the progress of the import of a file. A file that was never imported is "new".
func StatusOf(ctx context.Context, r db.Reader, cat schema.Catalog, f *rowreader.File, home Database, resource string) (Status, error) {
	s := Status{File: f.Name, SHA256: f.SumText(), State: "new", Operations: []Operation{}}
	if err := home.missing(cat); err != nil {
		return s, err
	}
	rows, err := r.Query(ctx, readStatus, home.key(f, resource))
	if err != nil {
		return s, err
	}
	_, err = pgx.ForEachRow(rows, []any{
		&s.State, &s.Applied, &s.LastLine, &s.Created, &s.Updated, &s.Failed, &s.OpID, &s.StartedAt, &s.FinishedAt, &s.host, &s.process,
	}, func() error { return nil })
	if err != nil {
		return s, err
	}
	if s.State == "running" && here(s.host) && gone(s.process) {
		s.State = "unfinished" // it was killed
	}
	s.Unchanged = max(s.Applied-s.Created-s.Updated, 0)
	if s.Applied > 0 {
		s.Operations, err = home.operations(ctx, r, home.key(f, resource))
	}
	return s, err
}
