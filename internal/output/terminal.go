package output

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"
)

// Terminal is what a stream is connected to. The zero value is no terminal: plain, whole and exact.
type Terminal struct {
	IsTTY bool
	Width int            // columns; 0 is unknown, and nothing is cut
	Color bool           // may be forced off a terminal by CLICOLOR_FORCE
	Now   time.Time      // what relative times are relative to
	Zone  *time.Location // of times; nil is UTC
}

// DetectTerminal looks at w and at the environment: NO_COLOR before CLICOLOR_FORCE before TERM=dumb.
func DetectTerminal(w io.Writer, getenv func(string) string) Terminal {
	t := Terminal{Now: time.Now()}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		t.IsTTY = true
		t.Width, _, _ = term.GetSize(int(f.Fd()))
		if t.Width <= 0 {
			t.Width, _ = strconv.Atoi(getenv("COLUMNS"))
		}
		if t.Width <= 0 {
			t.Width = 80
		}
	}
	forced := getenv("CLICOLOR_FORCE")
	switch {
	case getenv("NO_COLOR") != "":
	case forced != "" && forced != "0":
		t.Color = true
	default:
		t.Color = t.IsTTY && getenv("TERM") != "dumb" && getenv("CLICOLOR") != "0"
	}
	return t
}

// The colours of messages and of a status column.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	gray   = "90"
)

func (t Terminal) paint(color, s string) string {
	if !t.Color || color == "" || s == "" {
		return s
	}
	return "\x1b[" + color + "m" + s + "\x1b[0m"
}

// Old and New paint the sides of a difference: what was, and what comes in its place.
func (t Terminal) Old(s string) string { return t.paint(red, s) }

// New paints what comes.
func (t Terminal) New(s string) string { return t.paint(green, s) }

// statusColor returns the colour for a value of a status column, "" for one that says nothing.
func statusColor(status string) string {
	switch strings.ToUpper(status) {
	case "ACTIVE", "PAID", "SUCCESS", "OK", "APPLIED", "RUNNING":
		return green
	case "LOCKED", "SUSPENDED", "OVERDUE", "TERMINATED", "FAILURE", "FAILED", "BLOCKED", "ERROR":
		return red
	case "PENDING", "SENT", "TRIAL", "WARNING", "WARN":
		return yellow
	case "INACTIVE", "CANCELED", "STOPPED", "SKIPPED":
		return gray
	}
	return ""
}

// relativeTime returns how long before or after now t is, rounded, in the largest unit of which it is one at least.
func relativeTime(t, now time.Time) string {
	d := now.Sub(t)
	future := d < 0
	if d = d.Abs(); d < time.Minute {
		return "just now"
	}
	const day, year = 24 * time.Hour, 8766 * time.Hour // on average
	var n time.Duration
	var unit string
	for _, u := range []struct {
		name string
		span time.Duration
		next time.Duration // how many make the next unit
	}{{"minute", time.Minute, 60}, {"hour", time.Hour, 24}, {"day", day, 30}, {"month", year / 12, 12}, {"year", year, 0}} {
		n, unit = d.Round(u.span)/u.span, u.name
		if u.next == 0 || n < u.next {
			break
		}
	}
	if n > 1 {
		unit += "s"
	}
	if future {
		return fmt.Sprintf("in %d %s", n, unit)
	}
	return fmt.Sprintf("%d %s ago", n, unit)
}
