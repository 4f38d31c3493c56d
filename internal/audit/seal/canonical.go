package seal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/cxgctl/cxgctl/internal/schema"
)

// The canonical form of an audit row is the input of its seal:
//
//	version, one byte; origin, one byte: 'c' for cli, 'f' for foreign
//	sealed_at, eight bytes
//	the number of fields, then each sealed column in the order of the names:
//	  the length of its name and the name; 0 for NULL, or 1, the length of the value and the value
//
// Counts and lengths are unsigned varints. A uuid is 16 bytes, a boolean one byte, and a timestamptz its microseconds
// since 1970 in UTC in eight bytes, with the smallest and largest number for the infinities. jsonb is canonical JSON
// (CanonicalJSON). Text, and the text form of any other type, is its bytes. Nothing depends on session settings or on how
// a server release prints values.
//
// Version 1 covers every column of the table. Version 2 omits the life-cycle columns, which the platform changes when
// it archives a row. Verification ignores these columns in both.
const canonVersion = 2

// lifeCycle are the columns of the log that may change after a row is written.
var lifeCycle = []string{"status", "deleted", "is_deleted", "updated_at", "updated_by"}

// Origins of a seal: cli for rows written by cxgctl and sealed in the same transaction, foreign for rows of other
// software, sealed when found.
const (
	originCLI     = "cli"
	originForeign = "foreign"
)

// kind selects the canonical form of a column's values.
type kind int

const (
	kindText kind = iota
	kindUUID
	kindTime
	kindBool
	kindJSON
)

// sealedField is a sealed column of the audit log.
type sealedField struct {
	name string
	kind kind
	expr string // over the alias l
}

// sealedFields returns the table's sealed columns, sorted by name.
func sealedFields(t *schema.Table) []sealedField {
	fields := make([]sealedField, 0, len(t.Columns))
	for _, c := range t.Columns {
		if !slices.Contains(lifeCycle, c.Name) {
			fields = append(fields, fieldOf(c))
		}
	}
	slices.SortFunc(fields, func(a, b sealedField) int { return strings.Compare(a.name, b.name) })
	return fields
}

func fieldOf(c schema.Column) sealedField {
	f := sealedField{name: c.Name, expr: "l." + pgx.Identifier{c.Name}.Sanitize()}
	typ, _, _ := strings.Cut(c.Type, "(")
	switch typ {
	case "uuid":
		f.kind = kindUUID
	case "timestamp with time zone":
		f.kind = kindTime
	case "boolean":
		f.kind = kindBool
	case "jsonb", "json":
		f.kind = kindJSON
	case "text", "character varying", "character":
	default:
		f.expr += "::text"
	}
	return f
}

func selectList(fields []sealedField) string {
	list := make([]string, len(fields))
	for i, f := range fields {
		list[i] = f.expr
	}
	return strings.Join(list, ", ")
}

// appendHeader appends the header of a canonical form.
func appendHeader(b []byte, origin string, sealedAt int64, fields int) []byte {
	by := byte('?') // not a valid origin
	switch origin {
	case originCLI:
		by = 'c'
	case originForeign:
		by = 'f'
	}
	b = append(b, canonVersion, by)
	b = binary.BigEndian.AppendUint64(b, uint64(sealedAt))
	return binary.AppendUvarint(b, uint64(fields))
}

// appendField appends a field with its value as sent by the server; nil is NULL.
func appendField(b []byte, f sealedField, format int16, v []byte) ([]byte, error) {
	b = binary.AppendUvarint(b, uint64(len(f.name)))
	b = append(b, f.name...)
	if v == nil {
		return append(b, 0), nil
	}
	b = append(b, 1)
	var fixed [16]byte
	switch f.kind {
	case kindUUID:
		if format == pgx.TextFormatCode {
			id, err := uuid.ParseBytes(v)
			if err != nil {
				return nil, err
			}
			fixed = id
			v = fixed[:]
		}
	case kindTime:
		micros, err := microsOf(format, v)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		binary.BigEndian.PutUint64(fixed[:8], uint64(micros))
		v = fixed[:8]
	case kindBool:
		if format == pgx.TextFormatCode {
			fixed[0] = 0
			if string(v) == "t" {
				fixed[0] = 1
			}
			v = fixed[:1]
		}
	case kindJSON:
		if format == pgx.BinaryFormatCode && len(v) > 0 && v[0] == jsonbVersion { // JSON never starts with this byte
			v = v[1:]
		}
		doc, err := CanonicalJSON(v)
		if err != nil {
			return nil, err
		}
		v = doc
	case kindText:
	}
	b = binary.AppendUvarint(b, uint64(len(v)))
	return append(b, v...), nil
}

// microsOf returns a timestamptz as the server sent it, in microseconds since 1970. The infinities are the smallest and
// the largest number.
func microsOf(format int16, v []byte) (int64, error) {
	if format == pgx.BinaryFormatCode {
		if len(v) != 8 {
			return 0, fmt.Errorf("a time of %d bytes", len(v))
		}
		return unixMicros(int64(binary.BigEndian.Uint64(v))), nil
	}
	var t pgtype.Timestamptz
	if err := timeText.Scan(v, &t); err != nil {
		return 0, err
	}
	switch t.InfinityModifier {
	case pgtype.Infinity:
		return math.MaxInt64, nil
	case pgtype.NegativeInfinity:
		return math.MinInt64, nil
	case pgtype.Finite:
	}
	return t.Time.UnixMicro(), nil
}

// timeText parses a timestamptz in text format.
var timeText = (&pgtype.TimestamptzCodec{}).PlanScan(nil, pgtype.TimestamptzOID, pgx.TextFormatCode, (*pgtype.Timestamptz)(nil))

// jsonbVersion is the first byte of jsonb in binary format.
const jsonbVersion = 1

// unixMicros converts PostgreSQL's microseconds since 2000 to microseconds since 1970. The infinities stay the smallest
// and the largest number.
func unixMicros(pg int64) int64 {
	if pg == math.MaxInt64 || pg == math.MinInt64 {
		return pg
	}
	return pg + 946_684_800_000_000
}

// appendRow appends the canonical form of a row whose values come in the order of the fields.
func (s *Sealer) appendRow(b []byte, origin string, sealedAt int64, values [][]byte, formats []pgconn.FieldDescription) ([]byte, error) {
	b = appendHeader(b, origin, sealedAt, len(s.fields))
	var err error
	for i, f := range s.fields {
		if b, err = appendField(b, f, formats[i].Format, values[i]); err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return b, nil
}

// parsedCanon is a parsed canonical form.
type parsedCanon struct {
	origin   byte
	sealedAt int64
	names    []string
	fields   map[string][]byte // each including its NULL marker
}

var errCanon = errors.New("malformed canonical form")

// parseCanon parses a canonical form, so that it can be compared field by field.
func parseCanon(b []byte) (parsedCanon, error) {
	p := parsedCanon{fields: map[string][]byte{}}
	if len(b) < 10 || b[0] < 1 || b[0] > canonVersion {
		return p, errCanon
	}
	p.origin, p.sealedAt = b[1], int64(binary.BigEndian.Uint64(b[2:10]))
	b = b[10:]
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)) {
		return p, errCanon
	}
	b = b[size:]
	chunk := func() ([]byte, bool) {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > uint64(len(b)-size) {
			return nil, false
		}
		v := b[size : size+int(n)]
		b = b[size+int(n):]
		return v, true
	}
	for range n {
		name, ok := chunk()
		if !ok || len(b) == 0 {
			return p, errCanon
		}
		from := b
		marker := b[0]
		b = b[1:]
		if marker > 1 {
			return p, errCanon
		}
		if marker == 1 {
			if _, ok := chunk(); !ok {
				return p, errCanon
			}
		}
		if len(p.names) > 0 && p.names[len(p.names)-1] >= string(name) {
			return p, errCanon
		}
		p.names = append(p.names, string(name))
		p.fields[string(name)] = from[:len(from)-len(b)]
	}
	if len(b) > 0 {
		return p, errCanon
	}
	return p, nil
}

// changed names the fields that differ between a row's sealed canonical form and its current one. It ignores the
// life-cycle columns and columns added since. Sealed columns that the table no longer has cannot be compared; dropped
// names those that held a value.
func changed(sealed, now []byte) (names, dropped []string, err error) {
	was, err := parseCanon(sealed)
	if err != nil {
		return nil, nil, err
	}
	is, err := parseCanon(now)
	if err != nil {
		return nil, nil, err
	}
	if was.origin != is.origin {
		names = append(names, "the seal's origin")
	}
	if was.sealedAt != is.sealedAt {
		names = append(names, "the seal's time")
	}
	for _, name := range was.names {
		v, ok := is.fields[name]
		switch {
		case slices.Contains(lifeCycle, name):
		case !ok && was.fields[name][0] == 1:
			dropped = append(dropped, name)
		case ok && !sameField(was.fields[name], v):
			names = append(names, name)
		}
	}
	return names, dropped, nil
}

// sameField compares two fields, including their NULL markers. After a change of the column's type the same value has
// another form: text instead of a uuid, time, boolean, JSON or address, or the reverse.
func sameField(was, is []byte) bool {
	if bytes.Equal(was, is) {
		return true
	}
	if was[0] == 0 || is[0] == 0 {
		return false
	}
	a, b := fieldValue(was), fieldValue(is)
	return sameAsText(a, b) || sameAsText(b, a)
}

// fieldValue returns the value of a field that is not NULL.
func fieldValue(field []byte) []byte {
	_, size := binary.Uvarint(field[1:])
	return field[1+size:]
}

// timeLayouts are the server's output formats of times and dates under the session settings of cxgctl.
var timeLayouts = []string{"2006-01-02 15:04:05.999999Z07", "2006-01-02 15:04:05.999999Z07:00", "2006-01-02 15:04:05.999999", "2006-01-02"}

// sameAsText reports whether text represents value, the canonical form of a value of another type.
func sameAsText(text, value []byte) bool {
	s := string(text)
	isText := utf8.Valid(value) && !bytes.ContainsFunc(value, unicode.IsControl)
	switch n := len(value); {
	case isText:
	case n == 16:
		if id, err := uuid.Parse(s); err == nil && bytes.Equal(id[:], value) {
			return true
		}
	case n == 8:
		for _, layout := range timeLayouts {
			if t, err := time.Parse(layout, s); err == nil && t.UnixMicro() == int64(binary.BigEndian.Uint64(value)) {
				return true
			}
		}
	case n == 1:
		if is, err := strconv.ParseBool(s); err == nil && (value[0] == 1) == is && value[0] <= 1 {
			return true
		}
	}
	if form, err := CanonicalJSON(text); err == nil && bytes.Equal(form, value) {
		return true
	}
	address, prefix := parseAddress(s), parseAddress(string(value))
	return address.IsValid() && address == prefix
}

// parseAddress parses an IP address, with or without a netmask.
func parseAddress(s string) netip.Prefix {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a, a.BitLen())
	}
	p, _ := netip.ParsePrefix(s) // on error the zero Prefix, which is not valid
	return p
}
