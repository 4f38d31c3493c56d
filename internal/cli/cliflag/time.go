package cliflag

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/db"
)

// LifetimeValue is a duration such as 90d, 12h or 30m.
type LifetimeValue time.Duration

func (l *LifetimeValue) String() string {
	if *l == 0 {
		return ""
	}
	return time.Duration(*l).String()
}

// Type names the flag's values in help.
func (l *LifetimeValue) Type() string { return "span" }

// Set parses a duration. Months and years are counted from now.
func (l *LifetimeValue) Set(s string) error {
	months, span, err := parseSpan(s)
	if err != nil {
		return err
	}
	now := time.Now()
	*l = LifetimeValue(addMonths(now, months).Add(span).Sub(now))
	return nil
}

// TimeContext holds the clock and the zone of a command. Both become known only after the flags are parsed.
type TimeContext struct {
	Zone *time.Location   // --tz, CXGCTL_TZ or the profile's; nil is UTC
	Now  func() time.Time // the server's clock once connected
}

// location returns the zone, UTC by default.
func (t *TimeContext) location() *time.Location {
	if t == nil || t.Zone == nil {
		return time.UTC
	}
	return t.Zone
}

func (t *TimeContext) time() time.Time {
	if t == nil || t.Now == nil {
		return time.Now()
	}
	return t.Now()
}

// Today returns the current date in the zone.
func (t *TimeContext) Today() db.Date { return dayOf(t.time(), t.location()) }

func dayOf(at time.Time, zone *time.Location) db.Date {
	year, month, day := at.In(zone).Date()
	return db.Date{Day: time.Date(year, month, day, 0, 0, 0, 0, time.UTC)}
}

// timeForms lists the valid forms of a time, for errors.
const timeForms = "want RFC 3339 (2026-11-23T08:00:00Z), a date (2026-11-23), a month (2026-11), an age (30d, 12h, 2w, 3mo, 1y), " +
	"now, today, yesterday, this-month, last-month or infinity"

// parseTime parses a time in any form. Dates and words are in the zone. Ages are before now, or after it if ahead is
// set.
func parseTime(s string, now time.Time, zone *time.Location, ahead bool) (db.Time, error) {
	if at, err := db.ParseTime(s); err == nil {
		return at, nil
	}
	now = now.In(zone)
	day := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, zone)
	month := day.AddDate(0, 0, 1-day.Day())
	switch s {
	case "now":
		return db.At(now), nil
	case "today":
		return db.At(day), nil
	case "yesterday":
		return db.At(day.AddDate(0, 0, -1)), nil
	case "this-month":
		return db.At(month), nil
	case "last-month":
		return db.At(month.AddDate(0, -1, 0)), nil
	}
	if t, err := time.ParseInLocation("2006-01", s, zone); err == nil {
		return db.At(t), nil
	}
	if d, err := db.ParseDate(s); err == nil {
		y, m, n := d.Day.Date()
		return db.At(time.Date(y, m, n, 0, 0, 0, 0, zone)), nil
	}
	months, span, err := parseSpan(s)
	if err != nil {
		return db.Time{}, errors.New(timeForms)
	}
	if !ahead {
		months, span = -months, -span
	}
	return db.At(addMonths(now, months).Add(span)), nil
}

// addMonths adds months. If the resulting day does not exist it returns the last day of the month.
func addMonths(t time.Time, months int) time.Time {
	moved := t.AddDate(0, months, 0)
	if moved.Day() != t.Day() {
		moved = moved.AddDate(0, 0, -moved.Day())
	}
	return moved
}

var spanParts = regexp.MustCompile(`^(\d{1,5})(y|mo|w|d)`)

// parseSpan parses a duration: 30d, 12h, 2w, 3mo, 1y, 1h30m. Months and years are returned as months, because their
// length varies.
func parseSpan(s string) (months int, span time.Duration, err error) {
	rest := s
	wrong := errors.New("want a length of time such as 30d, 12h, 2w, 3mo or 1y")
	for m := spanParts.FindStringSubmatch(rest); m != nil; m = spanParts.FindStringSubmatch(rest) {
		n, _ := strconv.Atoi(m[1]) // digits
		switch m[2] {
		case "y":
			months += 12 * n
		case "mo":
			months += n
		case "w":
			span += time.Duration(n) * 7 * 24 * time.Hour
		case "d":
			span += time.Duration(n) * 24 * time.Hour
		}
		rest = rest[len(m[0]):]
	}
	if rest != "" {
		d, err := time.ParseDuration(rest)
		if err != nil || d < 0 || strings.HasPrefix(rest, "+") {
			return 0, 0, wrong
		}
		span += d
	}
	if s == "" || months == 0 && span == 0 {
		return 0, 0, wrong
	}
	return months, span, nil
}

// TimeValue is a point in time in any form that parseTime accepts.
type TimeValue struct {
	TextValue
	Ahead bool // durations are after now, not before
	Times *TimeContext
}

// String returns the instant, or the text until the zone is known.
func (t *TimeValue) String() string {
	if !t.given || t.Times == nil || t.Times.Zone == nil {
		return t.Text
	}
	return t.Exact().String()
}

// Type names the flag's values in help.
func (t *TimeValue) Type() string { return "time" }

// Set validates the value.
func (t *TimeValue) Set(s string) error {
	if _, err := parseTime(s, time.Now(), time.UTC, t.Ahead); err != nil {
		return err
	}
	return t.TextValue.Set(s)
}

// Exact returns the time with infinities.
func (t *TimeValue) Exact() db.Time {
	at, _ := parseTime(t.Text, t.Times.time(), t.Times.location(), t.Ahead) // Set checked it
	return at
}

// lastInstant replaces infinity in comparisons.
var lastInstant = time.Date(294276, 12, 31, 23, 59, 59, 999999000, time.UTC)

// Time returns the instant, or the zero time if the flag is not set.
func (t *TimeValue) Time() time.Time {
	if !t.given {
		return time.Time{}
	}
	switch at := t.Exact(); at.Infinity {
	case pgtype.Infinity:
		return lastInstant
	case pgtype.NegativeInfinity:
		return time.Date(-4712, 1, 1, 0, 0, 0, 0, time.UTC)
	default:
		return at.Instant
	}
}

// Follow sets the clock and the zone of the flag.
func (t *TimeValue) Follow(when *TimeContext) { t.Times = when }

// Timed is a flag that depends on the clock and the zone.
type Timed interface{ Follow(*TimeContext) }

// IfUpdatedAtFlag is --if-updated-at.
type IfUpdatedAtFlag struct{ TimeValue }

// Bind adds --if-updated-at.
func (s *IfUpdatedAtFlag) Bind(cmd *cobra.Command) {
	cmd.Flags().Var(s, "if-updated-at", "change the row only if updated_at is still this `time`")
	MarkFlags(cmd.Flags(), Recorded, "if-updated-at")
	CompleteFlag(cmd, "if-updated-at")
}

// Value returns the time, or nil if the flag is not set.
func (s *IfUpdatedAtFlag) Value(cmd *cobra.Command) *db.Time {
	if !cmd.Flags().Changed("if-updated-at") {
		return nil
	}
	at := s.Exact()
	return &at
}

// RangeFlags are --since and --until of a list.
type RangeFlags struct{ Since, Until TimeValue }

// Bind adds --since and --until for what happened to the rows.
func (r *RangeFlags) Bind(cmd *cobra.Command, what string) {
	cmd.Flags().Var(&r.Since, "since", what+" at or after this `time`: "+ShortForms)
	cmd.Flags().Var(&r.Until, "until", what+" before this `time`")
}

// ShortForms lists the forms of a time for help texts.
const ShortForms = "RFC 3339, a date or month in the zone of --tz, an age such as 7d, today, last-month, …"
