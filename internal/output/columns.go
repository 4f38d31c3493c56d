package output

import (
	"bytes"
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// kind determines how a field's value is formatted.
type kind uint8

const (
	text      kind = iota // a string, which users may have typed
	marshaled             // an id, a time, a decimal: its own MarshalText, a string in JSON
	instant               // time.Time, which MarshalText formats in its own zone
	boolean
	signed
	unsigned
	composite // formatted by encoding/json
)

var (
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
	timeType      = reflect.TypeFor[time.Time]()
	stringsType   = reflect.TypeFor[[]string]()
)

// column is one field of a record type.
type column struct {
	name  string
	index []int
	kind  kind
	mask  bool // contains personal data to be masked
}

// columnsOf returns the fields of t in order. Like encoding/json, it replaces an embedded struct with its
// fields.
func columnsOf(t reflect.Type) ([]column, error) {
	if t.Kind() != reflect.Struct {
		return nil, fault.New(fault.Internal, "cannot print a %s: it is not a struct", t)
	}
	return appendColumns(nil, t, nil), nil
}

func appendColumns(cols []column, t reflect.Type, parent []int) []column {
	for i := range t.NumField() {
		f := t.Field(i)
		tag, tagged := f.Tag.Lookup("json")
		index := append(slices.Clip(parent), i)
		if f.Anonymous && !tagged && f.Type.Kind() == reflect.Struct {
			cols = appendColumns(cols, f.Type, index)
			continue
		}
		name, _, _ := strings.Cut(tag, ",")
		if !f.IsExported() || tag == "-" {
			continue
		}
		if name == "" {
			name = f.Name
		}
		cols = append(cols, column{name: name, index: index, kind: kindOf(f.Type)})
	}
	return cols
}

func kindOf(t reflect.Type) kind {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == timeType {
		return instant
	}
	if reflect.PointerTo(t).Implements(textMarshaler) {
		return marshaled
	}
	switch t.Kind() {
	case reflect.String:
		return text
	case reflect.Bool:
		return boolean
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return signed
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return unsigned
	}
	return composite
}

// value returns the field's value in rec, which is addressable, or false if it is absent.
func (c *column) value(rec reflect.Value) (reflect.Value, bool) {
	v := rec.FieldByIndex(c.index)
	switch v.Kind() {
	case reflect.Pointer:
		return v.Elem(), !v.IsNil()
	case reflect.Map, reflect.Slice, reflect.Interface:
		return v, !v.IsNil()
	}
	return v, true
}

// appendText appends the value as in csv, nothing if it is absent.
func (c *column) appendText(b []byte, rec reflect.Value) ([]byte, error) {
	v, present := c.value(rec)
	if !present {
		return b, nil
	}
	if c.mask && c.kind == text {
		return append(b, mask(c.name, v.String())...), nil
	}
	switch c.kind {
	case text:
		return append(b, v.String()...), nil
	case marshaled:
		t, err := v.Addr().Interface().(encoding.TextMarshaler).MarshalText()
		if err != nil {
			return b, c.failed(err)
		}
		return append(b, t...), nil
	case instant:
		return v.Addr().Interface().(*time.Time).UTC().AppendFormat(b, time.RFC3339Nano), nil
	case boolean:
		return strconv.AppendBool(b, v.Bool()), nil
	case signed:
		return strconv.AppendInt(b, v.Int(), 10), nil
	case unsigned:
		return strconv.AppendUint(b, v.Uint(), 10), nil
	}
	if v.Kind() == reflect.Interface && v.Elem().Kind() == reflect.String {
		return append(b, v.Elem().String()...), nil
	}
	n := len(b)
	b, err := c.appendJSON(b, rec)
	if err == nil && string(b[n:]) == "null" {
		b = b[:n]
	}
	return b, err
}

// appendJSON appends the value as JSON, null if it is absent.
func (c *column) appendJSON(b []byte, rec reflect.Value) ([]byte, error) {
	v, present := c.value(rec)
	if !present {
		return append(b, "null"...), nil
	}
	switch c.kind {
	case text:
		if c.mask {
			return appendJSONString(b, mask(c.name, v.String())), nil
		}
		return appendJSONString(b, v.String()), nil
	case marshaled, instant:
		t, err := c.appendText(nil, rec)
		if err != nil {
			return b, err
		}
		return appendJSONString(b, string(t)), nil
	case composite:
		n := len(b)
		b, err := appendJSONAny(b, v.Interface())
		if err != nil {
			return b, c.failed(err)
		}
		if c.mask {
			b = appendJSONEscaped(b[:n], MaskJSON(c.name, bytes.Clone(b[n:])))
		}
		return b, nil
	}
	return c.appendText(b, rec)
}

func (c *column) failed(err error) error {
	return fault.New(fault.Internal, "cannot print the field %s: %s", c.name, err).Because(err)
}

// appendRecord appends rec as a JSON object of the columns, in their order.
func appendRecord(b []byte, cols []column, rec reflect.Value) ([]byte, error) {
	for i := range cols {
		if i == 0 {
			b = append(b, '{')
		} else {
			b = append(b, ',')
		}
		b = appendJSONString(b, cols[i].name)
		b = append(b, ':')
		var err error
		if b, err = cols[i].appendJSON(b, rec); err != nil {
			return b, err
		}
	}
	return append(b, '}'), nil
}

// appendJSONAny appends v as encoded by encoding/json, without HTML escapes and without characters that
// act on a terminal. An empty RawMessage is null.
func appendJSONAny(b []byte, v any) ([]byte, error) {
	if raw, ok := v.(json.RawMessage); ok && len(raw) == 0 {
		return append(b, "null"...), nil
	}
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return b, err
	}
	return appendJSONEscaped(b, bytes.TrimSuffix(buf.Bytes(), []byte("\n"))), nil
}

// Fields returns the names of T's fields in order, for help and completion.
func Fields[T any]() []string {
	cols, err := columnsOf(reflect.TypeFor[T]())
	if err != nil {
		return nil
	}
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
