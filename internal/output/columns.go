package output

import (
	"bytes"
	"cmp"
	"encoding"
	"encoding/json"
	"iter"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/money"
	"github.com/cxgctl/cxgctl/internal/pgtext"
)

var (
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
	timeType      = reflect.TypeFor[time.Time]()
	stringsType   = reflect.TypeFor[[]string]()
	amountType    = reflect.TypeFor[money.Amount]()
)

// column is one field of a record type.
type column struct {
	name    string
	index   []int
	kind    pgtext.Kind
	append  func(b []byte, v reflect.Value) ([]byte, error) // appends the text of a value
	look    look
	heading string // in tables; from the tag "heading", or the name
}

// look says how tables show a field, from its tag "table". Numbers need no tag. On narrow terminals text without a tag
// is shortened, and then columns are left out.
type look string

const (
	asKey      look = "key"      // names the row: never shortened or left out, like the first column
	asWhole    look = "whole"    // never shortened
	asCurrency look = "currency" // the currency of the row's amounts, a key
	asAmount   look = "amount"   // an amount in the row's currency
	asSum      look = "sum"      // an amount that is added up below the table
	asPercent  look = "percent"  // a fraction of one
	asUser     look = "user"     // a user's id, shown as the username
	asNumber   look = "number"
	asCount    look = "count" // a number that is added up below the table
)

func (c *column) isKey() bool { return c.look == asKey || c.look == asCurrency }

func (c *column) isAmount() bool { return c.look == asSum || c.look == asAmount }

func (c *column) isAddedUp() bool { return c.look == asSum || c.look == asCount }

func (c *column) isFlexible() bool {
	return c.look == "" && (c.kind == pgtext.Text || isJSON(c.kind))
}

func (c *column) isRight() bool {
	return slices.Contains([]look{asAmount, asSum, asPercent, asNumber, asCount}, c.look)
}

// columnsOf returns the fields of t in order. Like encoding/json, it replaces an embedded struct with its
// fields.
func columnsOf(t reflect.Type) ([]column, error) {
	if t.Kind() != reflect.Struct {
		return nil, fault.New(fault.Internal, "cannot print a %s: it is not a struct", t)
	}
	var cols []column
	for _, f := range reflect.VisibleFields(t) {
		tag, tagged := f.Tag.Lookup("json")
		if f.Anonymous && !tagged && f.Type.Kind() == reflect.Struct {
			continue // its fields follow
		}
		name, _, _ := strings.Cut(tag, ",")
		if !f.IsExported() || tag == "-" {
			continue
		}
		if name == "" {
			name = f.Name
		}
		kind, text := format(f.Type)
		shown := look(f.Tag.Get("table"))
		if shown == "" && isNumber(f.Type) {
			shown = asNumber
		}
		cols = append(cols, column{
			name:    name,
			index:   f.Index,
			kind:    kind,
			append:  text,
			look:    shown,
			heading: cmp.Or(f.Tag.Get("heading"), strings.ToUpper(name)),
		})
	}
	return cols, nil
}

// isNumber reports whether t is, or points to, an integer or an amount.
func isNumber(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t == amountType || t.Kind() >= reflect.Int && t.Kind() <= reflect.Uint64
}

// format returns the kind of a type's text, and the function that appends it.
func format(t reflect.Type) (pgtext.Kind, func(b []byte, v reflect.Value) ([]byte, error)) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == timeType: // MarshalText would format it in its own zone
		return pgtext.Plain, func(b []byte, v reflect.Value) ([]byte, error) {
			return v.Addr().Interface().(*time.Time).UTC().AppendFormat(b, time.RFC3339Nano), nil
		}
	case reflect.PointerTo(t).Implements(textMarshaler):
		return pgtext.Plain, func(b []byte, v reflect.Value) ([]byte, error) {
			text, err := v.Addr().Interface().(encoding.TextMarshaler).MarshalText()
			return append(b, text...), err
		}
	case t == stringsType:
		return pgtext.Strings, appendJSONAny
	}
	switch t.Kind() {
	case reflect.String:
		return pgtext.Text, func(b []byte, v reflect.Value) ([]byte, error) { return append(b, v.String()...), nil }
	case reflect.Bool:
		return pgtext.Literal, func(b []byte, v reflect.Value) ([]byte, error) { return strconv.AppendBool(b, v.Bool()), nil }
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return pgtext.Literal, func(b []byte, v reflect.Value) ([]byte, error) { return strconv.AppendInt(b, v.Int(), 10), nil }
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return pgtext.Literal, func(b []byte, v reflect.Value) ([]byte, error) { return strconv.AppendUint(b, v.Uint(), 10), nil }
	}
	return pgtext.JSON, appendJSONAny
}

// appendJSONAny appends v as encoded by encoding/json, without HTML escapes. An empty RawMessage is null.
func appendJSONAny(b []byte, v reflect.Value) ([]byte, error) {
	if raw, ok := v.Interface().(json.RawMessage); ok && len(raw) == 0 {
		return append(b, "null"...), nil
	}
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	err := e.Encode(v.Interface())
	return append(b, buf.Bytes()...), err
}

// recordRow is the Row of a struct.
type recordRow struct {
	cols  []column
	cells []cell
}

type cell struct {
	kind pgtext.Kind
	null bool
	text []byte
}

func (r *recordRow) Kind(i int) pgtext.Kind        { return r.cells[i].kind }
func (r *recordRow) IsNull(i int) bool             { return r.cells[i].null }
func (r *recordRow) Append(b []byte, i int) []byte { return append(b, r.cells[i].text...) }

// read reads the fields of rec, which is addressable.
func (r *recordRow) read(rec reflect.Value) (err error) {
	for i := range r.cols {
		col, c := &r.cols[i], &r.cells[i]
		v := rec.FieldByIndex(col.index)
		c.kind, c.null, c.text = col.kind, false, c.text[:0]
		switch v.Kind() {
		case reflect.Pointer, reflect.Interface:
			if c.null = v.IsNil(); c.null {
				continue
			}
			if v = v.Elem(); v.Kind() == reflect.String && col.kind == pgtext.JSON {
				c.kind, c.text = pgtext.Text, append(c.text, v.String()...)
				continue
			}
		case reflect.Map, reflect.Slice:
			if c.null = v.IsNil(); c.null {
				continue
			}
		}
		if c.text, err = col.append(c.text, v); err != nil {
			return fault.New(fault.Internal, "cannot print the field %s: %s", col.name, err).Because(err)
		}
		if c.kind == pgtext.Plain && !isPlainCell(c.text) {
			c.kind = pgtext.Text
		}
	}
	return nil
}

// rowsOf converts records to rows.
func rowsOf[T any](cols []column, seq iter.Seq2[T, error]) iter.Seq2[pgtext.Row, error] {
	return func(yield func(pgtext.Row, error) bool) {
		var cur T // one variable for all rows, to avoid reflection and an allocation per row
		rec := reflect.ValueOf(&cur).Elem()
		row := &recordRow{cols, make([]cell, len(cols))}
		for item, err := range seq {
			cur = item
			if err == nil {
				err = row.read(rec)
			}
			if !yield(row, err) || err != nil {
				return
			}
		}
	}
}

// Fields returns the names of T's fields in order, for help and completion.
func Fields[T any]() []string {
	cols, _ := columnsOf(reflect.TypeFor[T]()) // fails only for what is not a record
	return names(cols)
}

// CheckColumns returns a VALIDATION_ERROR if columns contains an unknown or duplicate field of T. Printing
// checks the same; commands call CheckColumns before they connect.
func CheckColumns[T any](columns []string) error {
	all, err := columnsOf(reflect.TypeFor[T]())
	if err != nil {
		return err
	}
	_, err = selectColumns(all, columns)
	return err
}

func names(cols []column) []string {
	list := make([]string, len(cols))
	for i := range cols {
		list[i] = cols[i].name
	}
	return list
}

// currencyColumn returns the index of the column with the currency of the amounts, or -1.
func currencyColumn(cols []column) int {
	return slices.IndexFunc(cols, func(c column) bool { return c.look == asCurrency })
}

func find(all []column, name string) (column, bool) {
	i := slices.IndexFunc(all, func(c column) bool { return c.name == name })
	if i < 0 {
		return column{}, false
	}
	return all[i], true
}

// selectColumns returns the columns that the user named, or all.
func selectColumns(all []column, wanted []string) ([]column, error) {
	if len(wanted) == 0 {
		return all, nil
	}
	cols := make([]column, 0, len(wanted))
	for _, name := range wanted {
		name = strings.TrimSpace(name)
		c, ok := find(all, name)
		if !ok {
			return nil, fault.New(fault.Validation, "unknown column %q", name).
				WithHint("valid columns: %s", strings.Join(names(all), ", ")).With("valid", names(all))
		}
		if _, again := find(cols, name); again {
			// A JSON object with one key twice means different things to different readers.
			return nil, fault.New(fault.Validation, "column %q is named twice", name)
		}
		cols = append(cols, c)
	}
	return cols, nil
}

// viewColumns returns the columns that a View names. An unknown one is a programming error.
func viewColumns(all []column, wanted []string) ([]column, error) {
	cols, err := selectColumns(all, wanted)
	if err != nil {
		return nil, fault.New(fault.Internal, "cannot show this record: %s", err).Because(err)
	}
	return cols, nil
}
