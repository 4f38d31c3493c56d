package audit

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/cxgctl/cxgctl/internal/db"
)

// server holds the values that an INSERT has the server compute, so that the client cannot choose them. COPY cannot
// compute values, so they are read once per session.
type server struct {
	sessionUser json.RawMessage
	address     *string // nil over a unix socket
}

const readServerValues = `SELECT session_user::text, host(inet_client_addr())`

// askServer reads the server's values once.
func (w *writer) askServer(db.Layout) []db.PipelineQuery {
	if w.server != nil {
		return nil
	}
	return []db.PipelineQuery{{SQL: readServerValues, Read: func(rows pgx.Rows) (err error) {
		s, name := &server{}, ""
		if _, err = pgx.ForEachRow(rows, []any{&name, &s.address}, func() error { return nil }); err != nil {
			return err
		}
		s.sessionUser, err = json.Marshal(name)
		w.server = s
		return err
	}}}
}

// copyArgs returns the values of a row, including those that an INSERT would compute.
func (w *writer) copyArgs(e Entry) (pgx.NamedArgs, error) {
	args, err := w.args(e)
	if err != nil {
		return nil, err
	}
	address := "127.0.0.1"
	if w.server.address != nil {
		address = *w.server.address
	}
	args["source_ip"], args["ip_address"] = w.server.address, address
	args["status"], args["deleted"], args["is_deleted"], args["request_method"] = "ACTIVE", false, false, "CLI"
	doc := args["extra_data"].(json.RawMessage)
	args["extra_data"] = string(doc[:len(doc)-1]) + `,"session_user":` + string(w.server.sessionUser) + "}"
	return args, nil
}

func (w *writer) copy(ctx context.Context, tx pgx.Tx, entries []Entry) error {
	for _, q := range w.askServer(nil) {
		if err := q.Ask(ctx, tx); err != nil {
			return err
		}
	}
	var columns []string
	for _, c := range w.columns {
		if w.table.Has(c[0]) {
			columns = append(columns, c[0])
		}
	}
	i := 0
	row := make([]any, len(columns))
	source := pgx.CopyFromFunc(func() ([]any, error) {
		if i == len(entries) {
			return nil, nil
		}
		args, err := w.copyArgs(entries[i])
		if err != nil {
			return nil, err
		}
		i++
		for j, name := range columns {
			row[j] = copied(args[name])
		}
		return row, nil
	})
	_, err := tx.CopyFrom(ctx, pgx.Identifier(strings.Split(w.table.Name, ".")), columns, source)
	return err
}

// copied converts a value so that pgx encodes it directly, without trying the text form of a uuid.UUID first.
func copied(v any) any {
	switch v := v.(type) {
	case uuid.UUID:
		return pgtype.UUID{Bytes: v, Valid: true}
	case *uuid.UUID:
		if v == nil {
			return nil
		}
		return pgtype.UUID{Bytes: *v, Valid: true}
	case *string:
		if v == nil {
			return nil
		}
		return *v
	}
	return v
}
