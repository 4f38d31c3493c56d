package db

import (
	"context"
	"encoding/binary"
	"io"
	"math"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// CopyHeader returns the header of a binary COPY.
func CopyHeader() []byte { return []byte("PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00") }

// CopyTrailer returns the trailer of a binary COPY.
func CopyTrailer() []byte { return []byte{0xff, 0xff} }

// AppendCopyRow appends a row of a binary COPY. The values are in binary format; nil is NULL.
func AppendCopyRow(b []byte, values ...[]byte) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(values)))
	for _, v := range values {
		if v == nil {
			b = append(b, 0xff, 0xff, 0xff, 0xff)
			continue
		}
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(v))), v...)
	}
	return b
}

// CopyBinary sends the rows of a binary COPY, with header and trailer, and returns how many the server stored. table is
// schema.table.
func CopyBinary(ctx context.Context, tx pgx.Tx, table string, columns []string, rows io.Reader) (int64, error) {
	quoted := make([]string, len(columns))
	for i, c := range columns {
		quoted[i] = pgx.Identifier{c}.Sanitize()
	}
	sql := "COPY " + pgx.Identifier(strings.Split(table, ".")).Sanitize() + " (" + strings.Join(quoted, ", ") + ") FROM STDIN BINARY"
	tag, err := tx.Conn().PgConn().CopyFrom(ctx, rows, sql)
	return tag.RowsAffected(), err
}

// JSONBVersion is the first byte of jsonb in binary format.
const JSONBVersion = 1

// betweenEpochs is the number of microseconds between 1970 and 2000, when PostgreSQL's time begins.
const betweenEpochs = 946_684_800_000_000

// AppendTime appends a timestamptz in binary format: microseconds since 2000 in eight bytes.
func AppendTime(b []byte, t time.Time) []byte {
	return binary.BigEndian.AppendUint64(b, uint64(t.UnixMicro()-betweenEpochs))
}

// UnixMicros converts PostgreSQL's microseconds since 2000 to microseconds since 1970. The infinities stay the smallest
// and the largest number.
func UnixMicros(pg int64) int64 {
	if pg == math.MaxInt64 || pg == math.MinInt64 {
		return pg
	}
	return pg + betweenEpochs
}
