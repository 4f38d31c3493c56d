package importer

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/cxgctl/cxgctl/internal/rowreader"
)

// thing is a row with a unique name and a unique number.
type thing struct {
	Row
	name, number string
}

func claimed(in *thing, list []UniqueKey) []UniqueKey {
	return append(list, UniqueKey{Field: "name", Value: in.name}, UniqueKey{Field: "number", Value: in.number})
}

// full replaces the tables by a tiny Bloom filter.
func full(s *seen) *seen {
	s.blocks = make([]block, 16)
	return s
}

// A duplicate fails and names the first line, whichever pass finds it and however small the set is. The first row
// does not fail.
func TestDuplicates_NameFirstLine(t *testing.T) {
	t.Parallel()
	const rows = 20_000
	read := func() []*thing {
		list := make([]*thing, rows)
		for i := range list {
			list[i] = &thing{Row: Row{Raw: rowreader.Row{Line: int64(i + 2)}, Ordinal: int64(i + 1)}, name: fmt.Sprint("n", i), number: fmt.Sprint(i)}
		}
		for i := 500; i < rows; i += 1000 { // a second row with the name, and a third with the number
			list[i].name = list[i-100].name
			list[i+7].number = list[i-100].number
		}
		return list
	}
	for _, m := range []*seen{
		newSeen(64*rows, maxPlaces), // one table
		newSeen(0, maxPlaces),       // several tables
		newSeen(0, 3*minPlaces/2),   // tables, then a filter
		full(newSeen(0, minPlaces)), // a filter that is far too small for the file
	} {
		d := newDuplicates(0, claimed)
		d.seen = m
		seen := map[int64]string{}
		note := func(in *thing) {
			if seen[in.Raw.Line] = ""; in.Failure != nil {
				seen[in.Raw.Line] = in.Failure.Message
			}
		}
		for _, in := range read() {
			if d.putOff(in) {
				note(in)
			}
		}
		for _, in := range read() {
			if err := d.resolve(in); err != nil {
				t.Fatal(err)
			}
		}
		for _, in := range read() {
			if d.judge(in) {
				note(in)
			}
		}
		if len(seen) != rows {
			t.Errorf("%d of %d rows were chosen", len(seen), rows)
		}
		failed := 0
		for line, message := range seen {
			want := ""
			switch i := line - 2; i % 1000 {
			case 500:
				want = fmt.Sprintf("name \"n%d\" is already on line %d", i-100, line-100)
			case 507:
				want = fmt.Sprintf("number \"%d\" is already on line %d", i-107, line-107)
			}
			if message != want {
				t.Errorf("line %d: %q, want %q", line, message, want)
			}
			if message != "" {
				failed++
			}
		}
		if failed != 2*rows/1000 {
			t.Errorf("%d rows failed", failed)
		}
	}
}

// With enough room, a file of distinct rows needs no second pass.
func TestDuplicates_FewFalsePositives(t *testing.T) {
	t.Parallel()
	s := newSeen(0, maxPlaces)
	mistakes := 0
	for i := range 1_000_000 {
		if s.add(UniqueKey{Field: "name", Value: strconv.Itoa(i)}) {
			mistakes++
		}
	}
	if mistakes > 10 { // a few happen with a rare seed of the hash; a filter that is too small makes thousands
		t.Errorf("%d false positives", mistakes)
	}
	if s.blocks != nil {
		t.Error("the tables overflowed")
	}
}

// Applied rows are recorded as spans of lines, which contain no other rows.
func TestSpans_OnlyAppliedLines(t *testing.T) {
	t.Parallel()
	var rows []*thing
	for i, outcome := range []Outcome{Created, Created, Failed, Updated, Skipped, Unchanged, Created, Created} {
		rows = append(rows, &thing{Row: Row{Raw: rowreader.Row{Line: int64(10 * (i + 1))}, Ordinal: int64(i + 1), Outcome: outcome}})
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
