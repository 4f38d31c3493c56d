// Package pgtext defines the rows that cxgctl prints, and converts PostgreSQL's binary values to their text without
// structs, reflection or allocations. The record types of the nouns print the same text for the same values.
package pgtext

import (
	"encoding/binary"
	"math"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// Kind classifies the text of a column, so that formats know what to escape.
type Kind uint8

// The kinds.
const (
	Text    Kind = iota // text that users may have typed
	Plain               // an id, a date, a time or a decimal: a string without characters to escape
	Literal             // an integer or a boolean, which JSON does not quote
	JSON                // JSON as the server stores it
	Strings             // a JSON array of strings, which tables join with commas
)

// Row is one row of a list.
type Row interface {
	Kind(i int) Kind
	IsNull(i int) bool
	// Append appends the text of the value in column i, which is not NULL.
	Append(b []byte, i int) []byte
}

// BinaryRow is a Row of values in PostgreSQL's binary form.
type BinaryRow struct {
	Columns []Column
	Values  [][]byte // nil for NULL
}

// Kind returns the kind of a column.
func (r *BinaryRow) Kind(i int) Kind { return r.Columns[i].Kind }

// IsNull reports whether a value is NULL.
func (r *BinaryRow) IsNull(i int) bool { return r.Values[i] == nil }

// Append appends the text of a value that is not NULL.
func (r *BinaryRow) Append(b []byte, i int) []byte { return r.Columns[i].Append(b, r.Values[i]) }

// Column is one column of a query's result.
type Column struct {
	Name string
	Kind Kind
	// Append appends the text of a value that is not NULL. It panics on bytes that are not a value of the
	// column's type, which servers do not send.
	Append func(b, value []byte) []byte
}

// ColumnFor returns the column of a type by its OID, or false for an unknown type.
func ColumnFor(name string, oid uint32) (Column, bool) {
	switch oid {
	case pgtype.TextOID, pgtype.VarcharOID, pgtype.NameOID:
		return Column{name, Text, appendText}, true
	case pgtype.BPCharOID:
		return Column{name, Text, appendPadded}, true
	case pgtype.UUIDOID:
		return Column{name, Plain, appendUUID}, true
	case pgtype.NumericOID:
		return Column{name, Plain, appendNumeric}, true
	case pgtype.DateOID:
		return Column{name, Plain, appendDate}, true
	case pgtype.TimestamptzOID:
		return Column{name, Plain, appendTime}, true
	case pgtype.BoolOID:
		return Column{name, Literal, appendBool}, true
	case pgtype.Int2OID:
		return Column{name, Literal, appendInt2}, true
	case pgtype.Int4OID:
		return Column{name, Literal, appendInt4}, true
	case pgtype.Int8OID:
		return Column{name, Literal, appendInt8}, true
	case pgtype.JSONOID:
		return Column{name, JSON, appendText}, true
	case pgtype.JSONBOID:
		return Column{name, JSON, appendJSONB}, true
	}
	return Column{}, false
}

// typeFamilies maps kinds of fields to the types that they are decoded from, without type modifiers.
var typeFamilies = map[string][]string{
	"text":        {"text", "character varying", "name"},
	"character":   {"character"},
	"uuid":        {"uuid"},
	"numeric":     {"numeric"},
	"date":        {"date"},
	"timestamptz": {"timestamp with time zone"},
	"boolean":     {"boolean"},
	"integer":     {"smallint", "integer"},
	"bigint":      {"smallint", "integer", "bigint"},
	"jsonb":       {"json", "jsonb"},
}

// CanDecode reports whether binary values of a type, as format_type prints it, can be decoded to a field of a
// kind.
func CanDecode(kind, typ string) bool {
	for _, family := range typeFamilies[kind] {
		if typ == family || len(typ) > len(family) && typ[:len(family)] == family && typ[len(family)] == '(' {
			return true
		}
	}
	return false
}

func appendText(b, v []byte) []byte { return append(b, v...) }

// appendPadded omits the padding of character(n).
func appendPadded(b, v []byte) []byte {
	for len(v) > 0 && v[len(v)-1] == ' ' {
		v = v[:len(v)-1]
	}
	return append(b, v...)
}

// appendJSONB omits the version before the text.
func appendJSONB(b, v []byte) []byte { return append(b, v[1:]...) }

func appendBool(b, v []byte) []byte {
	if v[0] != 0 {
		return append(b, "true"...)
	}
	return append(b, "false"...)
}

func appendInt2(b, v []byte) []byte {
	return strconv.AppendInt(b, int64(int16(binary.BigEndian.Uint16(v))), 10)
}

func appendInt4(b, v []byte) []byte {
	return strconv.AppendInt(b, int64(int32(binary.BigEndian.Uint32(v))), 10)
}

func appendInt8(b, v []byte) []byte {
	return strconv.AppendInt(b, int64(binary.BigEndian.Uint64(v)), 10)
}

const hex = "0123456789abcdef"

func appendUUID(b, v []byte) []byte {
	_ = v[15]
	var s [36]byte
	at := 0
	for i, c := range v[:16] {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			s[at] = '-'
			at++
		}
		s[at], s[at+1] = hex[c>>4], hex[c&15]
		at += 2
	}
	return append(b, s[:]...)
}

// The signs of a binary numeric (src/backend/utils/adt/numeric.c).
const (
	numericNegative    = 0x4000
	numericNaN         = 0xC000
	numericInfinity    = 0xD000
	numericNegInfinity = 0xF000
)

// appendNumeric appends all digits of the value's scale. The value consists of groups of four decimal digits; the
// first has the place value 10000 to the power of weight.
func appendNumeric(b, v []byte) []byte {
	groups, weight := int(binary.BigEndian.Uint16(v)), int(int16(binary.BigEndian.Uint16(v[2:])))
	scale := int(binary.BigEndian.Uint16(v[6:]))
	switch binary.BigEndian.Uint16(v[4:]) {
	case numericNaN:
		return append(b, "NaN"...)
	case numericInfinity:
		return append(b, "Infinity"...)
	case numericNegInfinity:
		return append(b, "-Infinity"...)
	case numericNegative:
		b = append(b, '-')
	}
	group := func(i int) int {
		if i < 0 || i >= groups {
			return 0
		}
		return int(binary.BigEndian.Uint16(v[8+2*i:]))
	}
	if weight < 0 {
		b = append(b, '0')
	} else {
		b = strconv.AppendInt(b, int64(group(0)), 10)
		for i := 1; i <= weight; i++ {
			b = append4(b, group(i))
		}
	}
	if scale == 0 {
		return b
	}
	b = append(b, '.')
	end := len(b) + scale
	for i := weight + 1; len(b) < end; i++ {
		b = append4(b, group(i))
	}
	return b[:end]
}

func append2(b []byte, n int) []byte { return append(b, byte('0'+n/10), byte('0'+n%10)) }

func append4(b []byte, n int) []byte {
	hi, lo := n/100, n%100
	return append(b, byte('0'+hi/10), byte('0'+hi%10), byte('0'+lo/10), byte('0'+lo%10))
}

// secondsTo2000 is the Unix time of PostgreSQL's epoch, 2000-01-01.
const secondsTo2000 = 946684800

func appendDay(b []byte, year int, month time.Month, day int) []byte {
	b = append4(b, year)
	b = append(b, '-')
	b = append2(b, int(month))
	b = append(b, '-')
	return append2(b, day)
}

// appendDate appends YYYY-MM-DD, YYYY-MM-DD BC, infinity or -infinity.
func appendDate(b, v []byte) []byte {
	n := int32(binary.BigEndian.Uint32(v))
	switch n {
	case math.MaxInt32:
		return append(b, "infinity"...)
	case math.MinInt32:
		return append(b, "-infinity"...)
	}
	t := time.Unix(int64(n)*86400+secondsTo2000, 0).UTC()
	year, month, day := t.Date()
	switch {
	case year > 9999:
		return t.AppendFormat(b, time.DateOnly)
	case year <= 0:
		return append(appendDay(b, 1-year, month, day), " BC"...)
	}
	return appendDay(b, year, month, day)
}

// appendTime appends RFC 3339 in UTC without trailing zeros of the fraction, infinity or -infinity.
func appendTime(b, v []byte) []byte {
	micros := int64(binary.BigEndian.Uint64(v))
	switch micros {
	case math.MaxInt64:
		return append(b, "infinity"...)
	case math.MinInt64:
		return append(b, "-infinity"...)
	}
	t := time.Unix(micros/1e6+secondsTo2000, micros%1e6*1000).UTC()
	year, month, day := t.Date()
	if year < 0 || year > 9999 {
		return t.AppendFormat(b, time.RFC3339Nano)
	}
	b = append(appendDay(b, year, month, day), 'T')
	hour, minute, second := t.Clock()
	b = append(append2(b, hour), ':')
	b = append(append2(b, minute), ':')
	b = append2(b, second)
	if fraction := t.Nanosecond() / 1000; fraction != 0 {
		b = append(b, '.')
		b = append2(b, fraction/10000)
		b = append4(b, fraction%10000)
		for b[len(b)-1] == '0' {
			b = b[:len(b)-1]
		}
	}
	return append(b, 'Z')
}
