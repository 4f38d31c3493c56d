package cli

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/db"
)

// timeFlag is a flag that takes a point in time: RFC 3339, a date (midnight UTC), or an age such as
// 30d, 12h or 90m, counted back from now.
type timeFlag time.Time

func (t *timeFlag) String() string {
	if time.Time(*t).IsZero() {
		return ""
	}
	return time.Time(*t).UTC().Format(time.RFC3339Nano)
}

// Type names the flag's values in help.
func (t *timeFlag) Type() string { return "time" }

// Set reads one of the three forms.
func (t *timeFlag) Set(s string) error {
	if v, err := time.Parse(time.RFC3339Nano, s); err == nil {
		*t = timeFlag(v)
		return nil
	}
	if v, err := time.Parse(time.DateOnly, s); err == nil {
		*t = timeFlag(v)
		return nil
	}
	if days, found := strings.CutSuffix(s, "d"); found {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			*t = timeFlag(time.Now().Add(-time.Duration(n) * 24 * time.Hour))
			return nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d > 0 {
		*t = timeFlag(time.Now().Add(-d))
		return nil
	}
	return errors.New("a time is RFC 3339 (2026-11-23T08:00:00Z), a date (2026-11-23), or an age (30d, 12h)")
}

// exact is the time as the database compares it.
func (t timeFlag) exact() db.Time { return db.At(time.Time(t)) }

// seenFlag is --if-updated-at.
type seenFlag struct{ timeFlag }

func (s *seenFlag) bind(cmd *cobra.Command) {
	cmd.Flags().Var(s, "if-updated-at", "change nothing unless updated_at is still this `time`")
}

// value is the time that was given, or nil.
func (s *seenFlag) value(cmd *cobra.Command) *db.Time {
	if !cmd.Flags().Changed("if-updated-at") {
		return nil
	}
	at := s.exact()
	return &at
}
