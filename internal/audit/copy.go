package audit

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// copyRowsFrom is how many rows are worth a COPY, which takes two round trips.
const copyRowsFrom = 50

// server is what INSERT has the server fill in, so that the client cannot choose it. It is the same for
// every row of a session; COPY cannot compute, so it is asked for.
type server struct {
	sessionUser json.RawMessage
	address     *string // nil over a unix socket
}

const askServer = `SELECT session_user::text, host(inet_client_addr())`

// copyNames are, by column, where a row's value is found among the args where the name differs.
var copyNames = map[string]string{"extra_data": "extra"}

// copy writes the rows by COPY, with the values that insert's statement would have given them.
func (w *writer) copy(ctx context.Context, tx pgx.Tx, entries []Entry) error {
	if w.server == nil {
		s, name := &server{}, ""
		if err := tx.QueryRow(ctx, askServer).Scan(&name, &s.address); err != nil {
			return err
		}
		var err error
		if s.sessionUser, err = json.Marshal(name); err != nil {
			return err
		}
		w.server = s
	}
	var columns, names []string
	for _, v := range w.columns {
		if !w.table.Has(v[0]) {
			continue
		}
		columns = append(columns, v[0])
		name := v[0]
		if n, ok := copyNames[name]; ok {
			name = n
		}
		names = append(names, name)
	}
	address := "127.0.0.1"
	if w.server.address != nil {
		address = *w.server.address
	}
	i := 0
	row := make([]any, len(names))
	source := pgx.CopyFromFunc(func() ([]any, error) {
		if i == len(entries) {
			return nil, nil
		}
		args, err := w.args(entries[i])
		if err != nil {
			return nil, err
		}
		i++
		args["source_ip"], args["ip_address"] = w.server.address, address
		args["status"], args["deleted"], args["is_deleted"], args["request_method"] = "ACTIVE", false, false, "CLI"
		doc := args["extra"].(string)
		args["extra"] = doc[:len(doc)-1] + `,"session_user":` + string(w.server.sessionUser) + "}"
		for j, name := range names {
			row[j] = copied(args[name])
		}
		return row, nil
	})
	_, err := tx.CopyFrom(ctx, pgx.Identifier(strings.Split(w.table.Name, ".")), columns, source)
	return err
}

// copied is a value as pgx encodes it without detours: a uuid.UUID would become text, fail, and come back.
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
