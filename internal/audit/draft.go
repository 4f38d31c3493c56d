package audit

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit/seal"
	"github.com/cxgctl/cxgctl/internal/db"
)

// Drafter builds audit rows and their seals ahead of the transaction that writes them, for changes whose outcome is
// known in advance. It is safe for use concurrently with the ledger's transactions.
//
// In a profile of imports, the server was idle while the client encoded, read back, hashed and compressed rows. With
// drafts, the client does this while the server works on the previous batch.
type Drafter struct {
	writer    *writer
	columns   []string // the columns of COPY
	args      []string // the name of each column's argument
	seals     *seal.Builder
	positions []int // index into columns of each sealed column, or -1
	buffers   sync.Pool
}

// Drafter returns a Drafter for this ledger. It returns nil if drafts are impossible: the changes are made in another
// database than the log's, or the log has columns whose values the server may store differently than they were sent.
func (l *Ledger) Drafter(ctx context.Context) (*Drafter, error) {
	if l.tenantTarget != nil || !l.DiscardEntries {
		return nil, nil
	}
	w := *l.writer
	d := &Drafter{writer: &w}
	d.columns, d.args = w.copied()
	for _, name := range d.columns {
		if c, ok := w.table.Column(name); !ok || !storedAsSent(c.Type) {
			return nil, nil
		}
	}
	d.seals = seal.NewBuilder(w.table)
	for _, name := range d.seals.Columns() {
		d.positions = append(d.positions, slices.Index(d.columns, name))
	}
	if w.server == nil {
		var err error
		if w.server, err = readServer(ctx, l.db); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// keptAsSent reports whether a table stores values of a type unchanged.
func storedAsSent(typ string) bool {
	switch typ {
	case "uuid", "timestamp with time zone", "boolean", "jsonb", "text":
		return true
	}
	return strings.HasPrefix(typ, "character varying") // values that are too long are refused
}

// Draft holds the audit rows of changes, and their seals, which are not yet linked to the chain.
type Draft struct {
	at      time.Time
	drafter *Drafter
	rows    map[uuid.UUID]drafted // by the id of the changed row
	buffers *draftBuffers
}

// draftBuffers are reused because they take megabytes.
type draftBuffers struct{ rows, packed []byte }

// Done releases the draft's buffers once it is committed.
func (d *Draft) Done() {
	if d != nil {
		d.drafter.buffers.Put(d.buffers)
	}
}

// drafted is a drafted audit row.
type drafted struct {
	change Change
	id     uuid.UUID // of the audit row
	copy   []byte    // encoded for COPY
	seal   seal.Link
	sealed bool // if false, the row has to be read back
}

// isFor reports whether the row was drafted for change c.
func (r *drafted) isFor(c Change) bool {
	return r.change.Action == c.Action && r.change.After == c.After && c.Before == nil && r.change.Event == c.Event &&
		len(c.Undoes) == 0 && slices.Equal(r.change.Secrets, c.Secrets)
}

// Draft builds the audit rows of changes that create records, given as pointers. at is the time of the transaction that
// will write them.
func (d *Drafter) Draft(changes []Change, at time.Time) (*Draft, error) {
	at = at.UTC().Truncate(time.Microsecond)
	draft := &Draft{at: at, drafter: d, rows: make(map[uuid.UUID]drafted, len(changes))}
	values := make([][]byte, len(d.columns))
	inOrder := make([][]byte, len(d.positions))
	var scratch []byte
	b, ok := d.buffers.Get().(*draftBuffers)
	if !ok {
		b = &draftBuffers{make([]byte, 0, rowSize*len(changes)), make([]byte, 0, packedSize*len(changes))}
	}
	rows, packed := b.rows[:0], b.packed[:0]
	for _, c := range changes {
		e, err := d.writer.entry(c, at)
		if err != nil {
			return nil, err
		}
		args, err := d.writer.copyArgs(e)
		if err != nil {
			return nil, err
		}
		if scratch, err = d.values(scratch[:0], values, args); err != nil {
			return nil, err
		}
		row := drafted{change: c, id: e.ID}
		from := len(rows)
		rows = db.AppendCopyRow(rows, values...)
		row.copy = rows[from:len(rows):len(rows)]
		for i, at := range d.positions {
			inOrder[i] = nil
			if at >= 0 {
				inOrder[i] = values[at]
			}
		}
		if row.seal, packed, row.sealed, err = d.seals.Build(packed, e.ID, at, inOrder); err != nil {
			return nil, err
		}
		draft.rows[c.ID] = row
	}
	draft.buffers = &draftBuffers{rows, packed}
	return draft, nil
}

// Typical sizes of an encoded row and of its compressed canonical form.
const rowSize, packedSize = 1280, 416

// values encodes a row's columns in binary format, nil for NULL. The values are slices of b.
func (d *Drafter) values(b []byte, values [][]byte, args pgx.NamedArgs) ([]byte, error) {
	b = slices.Grow(b, 1<<12) // growing later reallocates, which leaves earlier values valid
	for i, name := range d.args {
		from := len(b)
		null := false
		switch v := args[name].(type) {
		case nil:
			null = true
		case string:
			b = d.appendText(b, d.columns[i], v)
		case *string:
			if null = v == nil; !null {
				b = d.appendText(b, d.columns[i], *v)
			}
		case uuid.UUID:
			b = append(b, v[:]...)
		case *uuid.UUID:
			if null = v == nil; !null {
				b = append(b, v[:]...)
			}
		case *db.Time:
			b = db.AppendTime(b, v.Instant)
		case bool:
			b = appendBool(b, v)
		default:
			return nil, fmt.Errorf("cannot draft %s from a %T", name, v)
		}
		values[i] = nil
		if !null {
			values[i] = b[from:len(b):len(b)]
		}
	}
	return b, nil
}

func (d *Drafter) appendText(b []byte, column, v string) []byte {
	if c, _ := d.writer.table.Column(column); c.Type == "jsonb" {
		b = append(b, db.JSONBVersion)
	}
	return append(b, v...)
}

// Take sets the transaction's time to the draft's and makes it write the drafted rows for the changes that they were
// drafted for. It must come first in a transaction.
func (tx *Tx) Take(d *Draft) {
	if d != nil {
		tx.draft, tx.Now = d, d.at
	}
}

// logDrafted writes the drafted rows of changes, and returns the changes without one.
func (tx *Tx) logDrafted(ctx context.Context, changes []Change) ([]Change, error) {
	if tx.draft == nil {
		return changes, nil
	}
	var rest []Change
	rows := net.Buffers{db.CopyHeader()}
	var ids []uuid.UUID
	for _, c := range changes {
		row, ok := tx.draft.rows[c.ID]
		if !ok || !row.isFor(c) {
			rest = append(rest, c)
			continue
		}
		rows, ids = append(rows, row.copy), append(ids, row.id)
		if row.sealed {
			tx.drafted = append(tx.drafted, row.seal)
		} else {
			tx.unsealed.IDs = append(tx.unsealed.IDs, row.id)
		}
	}
	if len(ids) == 0 {
		return rest, nil
	}
	tx.count(ids)
	rows = append(rows, db.CopyTrailer())
	n, err := db.CopyBinary(ctx, tx, tx.ledger.writer.table.Name, tx.draft.drafter.columns, &rows)
	if err == nil && n != int64(len(ids)) {
		err = seal.RowsDropped(int(n), len(ids))
	}
	return rest, err
}

// storesAsSent reports, after rows were sent, whether the log stored them unchanged. It does unless the table has
// triggers, another kind than a plain table, or generated or default values for columns that were not sent. COPY locks
// the table, which prevents such additions until the transaction ends.
const storesAsSent = `
SELECT NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = to_regclass($1) AND NOT t.tgisinternal)
   AND NOT EXISTS (SELECT FROM pg_attribute a
                    WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped
                      AND (a.attgenerated <> '' OR (a.atthasdef OR a.attidentity <> '') AND a.attname <> ALL ($2::text[])))
   AND EXISTS (SELECT FROM pg_class c WHERE c.oid = to_regclass($1) AND c.relkind = 'r')`

// seal seals the rows that the transaction has written. It returns the statements to send with COMMIT.
func (tx *Tx) seal(ctx context.Context) ([]db.Statement, error) {
	if _, err := tx.Exec(ctx, db.SettleConstraints); err != nil { // so that the rows no longer change
		return nil, err
	}
	s := tx.ledger.sealer
	if s == nil {
		return nil, nil
	}
	if len(tx.drafted) > 0 {
		unchanged := false
		if err := tx.QueryRow(ctx, storesAsSent, tx.ledger.writer.table.Name, tx.draft.drafter.columns).Scan(&unchanged); err != nil {
			return nil, err
		}
		if unchanged {
			tx.unsealed.Seals = append(tx.unsealed.Seals, tx.drafted...)
		} else {
			for _, ready := range tx.drafted {
				tx.unsealed.IDs = append(tx.unsealed.IDs, ready.AuditID)
			}
		}
	}
	return s.Seal(ctx, tx.Write, tx.unsealed, tx.Now)
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}
