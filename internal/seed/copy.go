package seed

import (
	"context"
	"encoding/hex"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// copyJob loads one table with up to n rows. line appends the i-th row, with one value per column, or nothing to omit
// it.
type copyJob struct {
	table   string
	columns string // names separated by spaces
	n       int
	line    func(r *row, i int)
}

// run copies the rows in text form. Appending text is faster than pgx's binary CopyFrom, which boxes every value, and
// the server parses on another core.
func (c copyJob) run(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.PgConn().CopyFrom(ctx, &lines{n: c.n, line: c.line},
		"COPY "+c.table+" ("+strings.Join(strings.Fields(c.columns), ", ")+") FROM STDIN")
	return err
}

// lines is a reader that generates rows as they are read, so that memory does not depend on the number of rows.
type lines struct {
	n, next int
	line    func(r *row, i int)
	row     row
	sent    int // bytes of row.b that have been read
}

// batch is the number of bytes generated at a time.
const batch = 64 << 10

func (l *lines) Read(p []byte) (int, error) {
	if l.sent == len(l.row.b) {
		l.row.b, l.sent = l.row.b[:0], 0
		for l.next < l.n && len(l.row.b) < batch {
			before := len(l.row.b)
			l.line(&l.row, l.next)
			l.next++
			if len(l.row.b) > before {
				l.row.b[len(l.row.b)-1] = '\n' // replaces the tab after the last value
			}
		}
		if len(l.row.b) == 0 {
			return 0, io.EOF
		}
	}
	n := copy(p, l.row.b[l.sent:])
	l.sent += n
	return n, nil
}

// row appends values in PostgreSQL's text COPY format, each followed by a tab
// (https://www.postgresql.org/docs/current/sql-copy.html, "Text Format").
type row struct{ b []byte }

func (r *row) tab() { r.b = append(r.b, '\t') }

func (r *row) null() { r.b = append(r.b, '\\', 'N', '\t') }

// text appends s, or NULL if s is empty. The demo data contains no character that the format escapes; a test checks
// this.
func (r *row) text(s string) {
	if s == "" {
		r.null()
		return
	}
	r.b = append(r.b, s...)
	r.tab()
}

// texts appends its arguments as one value.
func (r *row) texts(parts ...string) {
	for _, s := range parts {
		r.b = append(r.b, s...)
	}
	r.tab()
}

func (r *row) int(n int) {
	r.b = strconv.AppendInt(r.b, int64(n), 10)
	r.tab()
}

func (r *row) bool(v bool) {
	c := byte('f')
	if v {
		c = 't'
	}
	r.b = append(r.b, c, '\t')
}

// id appends an id, or NULL if it is zero.
func (r *row) id(id uuid) {
	if id == (uuid{}) {
		r.null()
		return
	}
	for i, part := range [...][]byte{id[:4], id[4:6], id[6:8], id[8:10], id[10:]} {
		if i > 0 {
			r.b = append(r.b, '-')
		}
		r.b = hex.AppendEncode(r.b, part)
	}
	r.tab()
}

// time appends a time, or NULL if t is zero.
func (r *row) time(t time.Time) {
	if t.IsZero() {
		r.null()
		return
	}
	r.b = t.AppendFormat(r.b, "2006-01-02 15:04:05.999999Z")
	r.tab()
}

// date appends t's day, or NULL if t is zero.
func (r *row) date(t time.Time) {
	if t.IsZero() {
		r.null()
		return
	}
	r.b = t.AppendFormat(r.b, time.DateOnly)
	r.tab()
}

// money appends an amount in ten-thousandths, so that sums are exact.
func (r *row) money(m int64) {
	r.b = strconv.AppendInt(r.b, m/10_000, 10)
	f := m%10_000 + 10_000 // keeps leading zeros
	r.b = append(r.b, '.')
	r.b = append(r.b, strconv.FormatInt(f, 10)[1:]...)
	r.tab()
}
