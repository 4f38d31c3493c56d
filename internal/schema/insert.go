package schema

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// RowInsert is an INSERT of several rows, which are its only argument, a JSON array of objects. It can be part of a batch,
// and so needs no round trip of its own.
type RowInsert struct {
	SQL   string
	Names []string // of the values of a row, in their order
}

// InsertMost is the number of rows above which COPY pays off: it takes the server two thirds of the time, but
// three round trips.
const InsertMost = 1000

// InsertRows returns the statement for pairs of a column and an expression, in which @name is a value of the row, followed
// by its type unless it is the whole expression. It omits columns that the table lacks.
func (t *Table) InsertRows(values [][2]string) RowInsert {
	var s RowInsert
	var columns, exprs, record []string
	for _, v := range values {
		column, ok := t.Column(v[0])
		if !ok {
			continue
		}
		expr := v[1]
		if before, rest, found := strings.Cut(expr, "@"); found {
			end := strings.IndexFunc(rest+" ", func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') })
			name, after := rest[:end], rest[end:]
			kind := column.Type
			switch {
			case after != "":
				kind, _, _ = strings.Cut(strings.TrimPrefix(after, "::"), " ")
			case strings.HasPrefix(kind, "character"): // a cast would truncate a text; the assignment fails
				kind = "text"
			case strings.HasPrefix(kind, "json"): // of the document in the text, not of the text
				kind, after = "text", "::"+kind
			}
			s.Names = append(s.Names, name)
			name = pgx.Identifier{name}.Sanitize()
			record = append(record, name+" "+kind)
			expr = before + "r." + name + after
		}
		columns, exprs = append(columns, pgx.Identifier{v[0]}.Sanitize()), append(exprs, expr)
	}
	s.SQL = "INSERT INTO " + t.Name + " (" + strings.Join(columns, ", ") + ")\nSELECT " + strings.Join(exprs, ", ") +
		"\n  FROM json_to_recordset($1::json) AS r (" + strings.Join(record, ", ") + ")"
	return s
}

// Rows returns the argument for n rows. row returns the values of one, which it may reuse.
func (s RowInsert) Rows(n int, row func(i int) ([]any, error)) (string, error) {
	types := pgtype.NewMap()
	doc := []byte{'['}
	for i := range n {
		values, err := row(i)
		if err != nil {
			return "", err
		}
		if i > 0 {
			doc = append(doc, ',')
		}
		separator := byte('{')
		for j, v := range values {
			start := len(doc)
			doc = append(append(append(doc, separator, '"'), s.Names[j]...), `":`...)
			value := len(doc)
			if doc, err = appendValue(doc, types, v); err != nil {
				return "", err
			}
			if len(doc) == value { // NULL
				doc = doc[:start]
				continue
			}
			separator = ','
		}
		if separator == '{' {
			doc = append(doc, '{')
		}
		doc = append(doc, '}')
	}
	return string(append(doc, ']')), nil
}

// appendValue appends a value as JSON, or nothing if it is NULL. A json.RawMessage is a document already.
func appendValue(doc []byte, types *pgtype.Map, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return doc, nil
	case string:
		return jsontext.AppendQuote(doc, v)
	case bool:
		return strconv.AppendBool(doc, v), nil
	case json.RawMessage:
		return append(doc, v...), nil
	case time.Time:
		return append(v.AppendFormat(append(doc, '"'), time.RFC3339Nano), '"'), nil
	}
	if r := reflect.ValueOf(v); r.Kind() == reflect.Pointer {
		if r.IsNil() {
			return doc, nil
		}
		return appendValue(doc, types, r.Elem().Interface())
	}
	if _, ok := v.(pgtype.TimestamptzValuer); ok { // RFC 3339 has no years BC
		doc, err := types.Encode(pgtype.TimestamptzOID, pgtype.TextFormatCode, v, append(doc, '"'))
		return append(doc, '"'), err
	}
	return jsontext.AppendQuote(doc, fmt.Sprint(v))
}
