package db

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// ParseTime parses an instant as printed by Time and by PostgreSQL: RFC 3339, including years BC, years of more than
// four digits and infinities.
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

// ParseDate parses a day as printed by Date and by PostgreSQL.
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

// lastYear is the last year that PostgreSQL supports.
const lastYear = 294276

// parseYears is time.Parse for a layout that begins with the year and for every year that PostgreSQL supports.
// "0044-03-15 BC" and "-0043-03-15" are the same day.
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
	// The calendar repeats every 400 years, so a four-digit year with the same calendar is parsed instead.
	same := 2000 + ((year%400)+400)%400
	t, err := time.Parse(layout, fmt.Sprintf("%04d-%s", same, tail))
	if err != nil {
		return time.Time{}, err
	}
	return t.AddDate(year-same, 0, 0), nil
}
