package db

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// ParseTime reads an instant as Time and PostgreSQL print it: RFC 3339, years before Christ and of more than four
// digits included, or an infinity.
func ParseTime(s string) (Time, error) {
	if inf, ok := infinity(s); ok {
		return Time{Infinity: inf}, nil
	}
	t, err := parseYears(s, time.RFC3339Nano)
	if err != nil {
		return Time{}, err
	}
	return At(t), nil
}

// ParseDate reads a day as Date and PostgreSQL print it.
func ParseDate(s string) (Date, error) {
	if inf, ok := infinity(s); ok {
		return Date{Infinity: inf}, nil
	}
	t, err := parseYears(s, time.DateOnly)
	if err != nil {
		return Date{}, err
	}
	return Date{Day: t}, nil
}

func infinity(s string) (pgtype.InfinityModifier, bool) {
	switch s {
	case "infinity":
		return pgtype.Infinity, true
	case "-infinity":
		return pgtype.NegativeInfinity, true
	}
	return pgtype.Finite, false
}

// lastYear is the last that PostgreSQL keeps.
const lastYear = 294276

// parseYears is time.Parse of a layout that begins with the year, for every year that PostgreSQL keeps: "0044-03-15 BC"
// and "-0043-03-15" are the same day.
func parseYears(s, layout string) (time.Time, error) {
	rest, bc := strings.CutSuffix(s, " BC")
	rest, negative := strings.CutPrefix(rest, "-")
	digits, tail, found := strings.Cut(rest, "-")
	year, err := strconv.Atoi(digits)
	if !found || err != nil || len(digits) < 4 || year > lastYear || bc && (negative || year == 0) {
		return time.Time{}, fmt.Errorf("%.40q is not a time", s)
	}
	switch {
	case bc:
		year = 1 - year
	case negative:
		year = -year
	}
	// A year of four digits with the same calendar takes its place: the calendar repeats after 400 years.
	same := 2000 + ((year%400)+400)%400
	t, err := time.Parse(layout, fmt.Sprintf("%04d-%s", same, tail))
	if err != nil {
		return time.Time{}, err
	}
	return t.AddDate(year-same, 0, 0), nil
}
