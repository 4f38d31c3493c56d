package importer

import (
	"fmt"
	"testing"

	"github.com/cxgctl/cxgctl/internal/rowreader"
)

// thing is a row with a unique name and a unique number.
type thing struct{ Record[struct{}] }

// A duplicate fails and names the first line. The first row does not fail.
func TestDuplicates_NameFirstLine(t *testing.T) {
	t.Parallel()
	s := newSeen()
	for line, c := range []struct {
		name, number string
		done         bool
		want         string
	}{
		{"a", "1", false, ""},
		{"b", "2", true, ""},
		{"a", "3", false, `name "a" is already on line 0`},
		{"c", "2", false, `number "2" is already on line 1`},
		{"2", "b", false, ""},
		{"a", "1", true, ""},
		{"a", "3", false, `name "a" is already on line 0`},
	} {
		row := Row{Raw: rowreader.Row{Line: int64(line)}, Done: c.done}
		s.check(&row, []UniqueKey{{Field: "name", Value: c.name}, {Field: "number", Value: c.number}})
		got := ""
		if row.Failure != nil {
			got = row.Failure.Message
		}
		if got != c.want {
			t.Errorf("line %d: %q, want %q", line, got, c.want)
		}
	}
}

// Applied rows are recorded as spans of lines, which contain no other rows.
func TestSpans_OnlyAppliedLines(t *testing.T) {
	t.Parallel()
	var rows []*thing
	for i, outcome := range []Outcome{Created, Created, Failed, Updated, Skipped, Unchanged, Created, Created} {
		rows = append(rows, &thing{Record[struct{}]{Row: Row{Raw: rowreader.Row{Line: int64(10 * (i + 1))}, Ordinal: int64(i + 1), Outcome: outcome}}})
	}
	rows[6].Done = true // applied and recorded by an earlier run
	rows[7].Ordinal++   // a row in between was deferred
	list := spans(rows)
	if got, want := fmt.Sprint(list), "[{10 20 2 2 0} {40 40 1 0 1} {60 60 1 0 0} {80 80 1 1 0}]"; got != want {
		t.Errorf("spans %s, want %s", got, want)
	}
	l := lease{applied: list}
	for pass := range 2 { // files are read more than once
		for _, c := range []struct {
			line int64
			done bool
		}{{10, true}, {20, true}, {30, false}, {40, true}, {50, false}, {60, true}, {70, false}, {80, true}, {90, false}} {
			if got := l.done(c.line); got != c.done {
				t.Errorf("pass %d: line %d done: %t", pass, c.line, got)
			}
		}
	}
}
