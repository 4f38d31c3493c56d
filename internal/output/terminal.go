package output

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/clipperhouse/displaywidth"
	"golang.org/x/term"
)

// Terminal describes the terminal of a stream. The zero value means that it is not a terminal.
type Terminal struct {
	IsTTY bool
	Width int            // columns; 0 if unknown, and then tables are not fitted
	Rows  int            // lines; 0 if unknown
	Color bool           // CLICOLOR_FORCE sets it without a terminal
	Now   time.Time      // reference of relative times
	Zone  *time.Location // of times; nil is UTC
}

// DetectTerminal examines w and the environment. The color "always" or "never" overrides NO_COLOR, which overrides
// CLICOLOR_FORCE, which overrides TERM=dumb.
func DetectTerminal(w io.Writer, getenv func(string) string, color string) Terminal {
	t := Terminal{Now: time.Now()}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		t.IsTTY = true
		t.Width, t.Rows, _ = term.GetSize(int(f.Fd()))
		if t.Width <= 0 {
			t.Width, _ = strconv.Atoi(getenv("COLUMNS"))
		}
		if t.Width <= 0 {
			t.Width = 80
		}
	}
	forced := getenv("CLICOLOR_FORCE")
	switch {
	case color == "always":
		t.Color = true
	case color == "never", getenv("NO_COLOR") != "":
	case forced != "" && forced != "0":
		t.Color = true
	default:
		t.Color = t.IsTTY && getenv("TERM") != "dumb" && getenv("CLICOLOR") != "0"
	}
	return t
}

// Time returns a time as text: on a terminal in its zone and without fractions of a second, else exact and in UTC.
func (t Terminal) Time(at time.Time) string {
	if !t.IsTTY {
		return at.UTC().Format(time.RFC3339Nano)
	}
	return at.In(cmp.Or(t.Zone, time.UTC)).Format(time.RFC3339)
}

// Fold continues lines that are wider than the terminal on the next line, after indent spaces, and removes spaces at the
// ends of lines. It breaks lines between words, and words that are too long for a line.
func (t Terminal) Fold(text string, indent int) string {
	var b []byte
	for line := range strings.Lines(text) {
		column := 0
		word, before := 0, 0 // the last word begins at b[word], with this number of columns before it
		g := displaywidth.Options{ControlSequences: true}.StringGraphemes(strings.TrimRight(line, " \n"))
		for g.Next() {
			if t.IsTTY && t.Width > indent+2 && column+g.Width() > t.Width {
				if before <= indent || indent+column-before+g.Width() > t.Width {
					word, before = len(b), column
				}
				moved := string(b[word:])
				b = append(bytes.TrimRight(b[:word], " "), "\n"+strings.Repeat(" ", indent)+moved...)
				column += indent - before
				before = 0
			}
			b = append(b, g.Value()...)
			column += g.Width()
			if g.Value() == " " {
				word, before = len(b), column
			}
		}
		b = append(b, '\n')
	}
	return string(b)
}

// Overwrite returns the text that replaces the current line of the terminal by another, cut to its width.
func (t Terminal) Overwrite(line string) string {
	return "\r" + displaywidth.TruncateString(line, max(t.Width-1, 0), "…") + "\x1b[K"
}

// Colors of messages and of the status column.
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

// Colors are the names that Named knows.
var Colors = []string{"red", "green", "yellow", "blue", "magenta", "cyan"}

// Named colors text by the name of a color, or makes it bold without one.
func (t Terminal) Named(color, s string) string {
	code := "1"
	if i := slices.Index(Colors, color); i >= 0 {
		code = "1;" + strconv.Itoa(31+i)
	}
	return t.paint(code, s)
}

// Old colors the old value in a diff.
func (t Terminal) Old(s string) string { return t.paint(red, s) }

// New colors the new value in a diff.
func (t Terminal) New(s string) string { return t.paint(green, s) }

// statusColor returns the color of a status, or "".
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

// relativeTime returns the rounded difference of t and now in the largest unit that fits, such as "2 hours ago".
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
		next time.Duration // number of them in the next unit
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
