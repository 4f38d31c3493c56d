// Package torture runs tests of reliability in full form, and collects what they found. `make torture` names the file
// for the results in CXGCTL_TORTURE. Without it the same tests run with fewer repetitions.
package torture

import (
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"
)

const variable = "CXGCTL_TORTURE"

// Full reports whether tests run in full form.
func Full() bool { return os.Getenv(variable) != "" }

// Count returns a number of repetitions: that of the full form, of `.ci/run`, or of a -short run.
func Count(full, usual, short int) int {
	switch {
	case Full():
		return full
	case testing.Short():
		return short
	}
	return usual
}

// Result counts what a test did and what went wrong.
type Result struct {
	Attempts, Faults atomic.Int64 // commands or cases, and the faults injected into them
	Lost, Doubled    atomic.Int64 // changes that were reported but are missing, and those made twice
	Unaudited        atomic.Int64 // changes without exactly one audit row
	Wrong            atomic.Int64 // false reports and exit codes, and everything else that fails the test
}

// Report returns the result of a test, which is logged at the end of the test, and added to the table of `make torture`.
// The number is that of a test in reliability.md. The test fails if anything went wrong.
func Report(t testing.TB, number int, subject string) *Result {
	r := &Result{}
	began := time.Now()
	t.Cleanup(func() {
		if r.Lost.Load()+r.Doubled.Load()+r.Unaudited.Load()+r.Wrong.Load() > 0 {
			t.Errorf("%d lost, %d doubled, %d unaudited, %d wrong", r.Lost.Load(), r.Doubled.Load(), r.Unaudited.Load(), r.Wrong.Load())
		} else if t.Failed() {
			r.Wrong.Add(1)
		}
		line := fmt.Sprintf("%d\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%.0f s\n", number, subject, r.Attempts.Load(), r.Faults.Load(),
			r.Lost.Load(), r.Doubled.Load(), r.Unaudited.Load(), r.Wrong.Load(), time.Since(began).Seconds())
		t.Log(line)
		if !Full() {
			return
		}
		f, err := os.OpenFile(os.Getenv(variable), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err == nil {
			_, err = f.WriteString(line)
			_ = f.Close()
		}
		if err != nil {
			t.Error(err)
		}
	})
	return r
}

// Rows adds to the result how many of the wanted rows are lost or doubled. The second number counts distinct rows.
func (r *Result) Rows(t testing.TB, rows, distinct, want int) {
	t.Helper()
	if rows == want && distinct == want {
		return
	}
	t.Errorf("%d rows, %d of them distinct, want %d", rows, distinct, want)
	r.Lost.Add(int64(max(0, want-distinct)))
	r.Doubled.Add(int64(max(0, rows-want)))
}
