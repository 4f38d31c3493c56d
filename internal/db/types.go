package db

import (
	"cmp"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// Time is a timestamptz, including infinities, which time.Time cannot represent.
type Time struct {
	Instant  time.Time // in UTC; the zero time if infinite
	Infinity pgtype.InfinityModifier
}

// At returns t as a Time, truncated to the database's microseconds.
func At(t time.Time) Time { return Time{Instant: t.UTC().Truncate(time.Microsecond)} }

// After reports whether t is later than u. Infinities sort as in PostgreSQL.
func (t Time) After(u time.Time) bool {
	if t.Infinity != pgtype.Finite {
		return t.Infinity == pgtype.Infinity
	}
	return t.Instant.After(u)
}

// Equal reports whether t and u are the same instant.
func (t Time) Equal(u Time) bool {
	return t.Infinity == u.Infinity && t.Instant.Equal(u.Instant)
}

// ScanTimestamptz implements pgtype.TimestamptzScanner.
func (t *Time) ScanTimestamptz(v pgtype.Timestamptz) error {
	if !v.Valid {
		return fmt.Errorf("cannot scan NULL into a db.Time")
	}
	*t = Time{Infinity: v.InfinityModifier}
	if t.Infinity == pgtype.Finite {
		t.Instant = v.Time.UTC()
	}
	return nil
}

// TimestamptzValue implements pgtype.TimestamptzValuer.
func (t Time) TimestamptzValue() (pgtype.Timestamptz, error) {
	return pgtype.Timestamptz{Time: t.Instant, InfinityModifier: t.Infinity, Valid: true}, nil
}

// String returns RFC 3339 in UTC without trailing zeros, or infinity or -infinity.
func (t Time) String() string {
	if t.Infinity != pgtype.Finite {
		return t.Infinity.String()
	}
	return t.Instant.UTC().Format(time.RFC3339Nano)
}

// MarshalText implements encoding.TextMarshaler with String.
func (t Time) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText parses the result of MarshalText.
func (t *Time) UnmarshalText(b []byte) error {
	v, err := ParseTime(string(b))
	if err != nil {
		return err
	}
	*t = v
	return nil
}

// Date is a calendar day, including infinities.
type Date struct {
	Day      time.Time // midnight UTC; the zero time if infinite
	Infinity pgtype.InfinityModifier
}

// On returns the UTC day of t.
func On(t time.Time) Date { return Date{Day: t.UTC().Truncate(24 * time.Hour)} }

// ScanDate implements pgtype.DateScanner.
func (d *Date) ScanDate(v pgtype.Date) error {
	if !v.Valid {
		return fmt.Errorf("cannot scan NULL into a db.Date")
	}
	*d = Date{Infinity: v.InfinityModifier}
	if d.Infinity == pgtype.Finite {
		d.Day = v.Time
	}
	return nil
}

// DateValue implements pgtype.DateValuer.
func (d Date) DateValue() (pgtype.Date, error) {
	return pgtype.Date{Time: d.Day, InfinityModifier: d.Infinity, Valid: true}, nil
}

// String returns YYYY-MM-DD, or infinity or -infinity.
func (d Date) String() string {
	if d.Infinity != pgtype.Finite {
		return d.Infinity.String()
	}
	if d.Day.Year() <= 0 {
		return fmt.Sprintf("%04d-%02d-%02d BC", 1-d.Day.Year(), d.Day.Month(), d.Day.Day())
	}
	return d.Day.Format(time.DateOnly)
}

// MarshalText implements encoding.TextMarshaler with String.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// Cmp compares days as PostgreSQL does. It returns -1, 0 or 1.
func (d Date) Cmp(e Date) int {
	if d.Infinity != e.Infinity || d.Infinity != pgtype.Finite {
		return cmp.Compare(d.Infinity, e.Infinity)
	}
	return d.Day.Compare(e.Day)
}

// DateOrTime is the value of a column that is a date in some databases and a timestamptz in others.
type DateOrTime struct {
	Time
	Day *Date // nil unless the column is a date
}

// ScanDate implements pgtype.DateScanner.
func (v *DateOrTime) ScanDate(d pgtype.Date) error {
	v.Day = &Date{}
	return v.Day.ScanDate(d)
}

// String returns the date, or the instant as Time.String does.
func (v DateOrTime) String() string {
	if v.Day != nil {
		return v.Day.String()
	}
	return v.Time.String()
}

// MarshalText implements encoding.TextMarshaler with String.
func (v DateOrTime) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText parses the result of MarshalText.
func (v *DateOrTime) UnmarshalText(b []byte) error {
	if day, err := time.Parse(time.DateOnly, string(b)); err == nil {
		v.Day = &Date{Day: day}
		return nil
	}
	return v.Time.UnmarshalText(b)
}
