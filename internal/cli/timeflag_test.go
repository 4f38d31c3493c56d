package cli

import (
	"os"
	"slices"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// A-29, B-25, B-38, A-58: each form of a time, at 15:05 UTC, which is the next day in Seoul.
func TestParseTime_Forms(t *testing.T) {
	seoul, err := time.LoadLocation("Asia/Seoul")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 5, 31, 15, 5, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"2026-11-23T08:00:00+09:00": "2026-11-22T23:00:00Z",
		"2026-11-28":                "2026-11-27T15:00:00Z",
		"2026-11":                   "2026-10-31T15:00:00Z",
		"now":                       "2026-05-31T15:05:00Z",
		"today":                     "2026-05-31T15:00:00Z",
		"yesterday":                 "2026-05-30T15:00:00Z",
		"this-month":                "2026-05-31T15:00:00Z",
		"last-month":                "2026-04-30T15:00:00Z",
		"12h":                       "2026-05-31T03:05:00Z",
		"30d":                       "2026-05-01T15:05:00Z",
		"2w":                        "2026-05-17T15:05:00Z",
		"1mo":                       "2026-04-30T15:05:00Z",
		"3mo":                       "2026-02-28T15:05:00Z",
		"1y":                        "2025-05-31T15:05:00Z",
		"1d12h":                     "2026-05-30T03:05:00Z",
		"infinity":                  "infinity",
		"-infinity":                 "-infinity",
		"10000-01-01T00:00:00Z":     "10000-01-01T00:00:00Z",
		"0044-03-15T00:00:00Z BC":   "-0043-03-15T00:00:00Z",
		"-0043-03-15T00:00:00Z":     "-0043-03-15T00:00:00Z",
	} {
		at, err := parseTime(text, now, seoul, false)
		if err != nil || at.String() != want {
			t.Errorf("%s: %s, %v, want %s", text, at, err, want)
		}
	}
	if at, err := parseTime("1w", now, seoul, true); err != nil || at.String() != "2026-06-07T15:05:00Z" {
		t.Errorf("1w ahead: %s, %v", at, err)
	}
	for _, text := range []string{"", "1", "w", "-1d", "1x", "tomorrow", "2026-13", "2026-02-30", "+1h", "0d", "1d-1h", "999999999y"} {
		if at, err := parseTime(text, now, seoul, false); err == nil {
			t.Errorf("%q is parsed as %s, want an error", text, at)
		}
	}
}

// Every time or date flag accepts every form, and every list has --since and --until.
func TestTimeFlags_EveryFlagTakesEveryForm(t *testing.T) {
	leaves((&app{getenv: os.Getenv}).root(), func(cmd *cobra.Command) {
		_ = cmd.ParseFlags(nil)
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if kind := f.Value.Type(); kind != "time" && kind != "date" {
				return
			}
			for _, text := range []string{
				"2026-11-28T15:05:00Z", "2026-11-28", "2026-11", "30d", "12h", "2w", "3mo", "1y", "now", "today", "yesterday", "this-month",
				"last-month", "infinity", "0044-03-15 BC",
			} {
				f.Value.(*strictValue).given = false
				if err := f.Value.Set(text); err != nil {
					t.Errorf("%s --%s %s: %v", cmd.CommandPath(), f.Name, text, err)
				}
				var p fault.Problems
				if d, ok := f.Value.(*strictValue).Value.(*dateFlag); ok && (d.read("day", &p) == nil || p.Err() != nil) {
					t.Errorf("%s --%s %s: %v", cmd.CommandPath(), f.Name, text, p.Err())
				}
			}
		})
		if cmd.Flags().Lookup("page-size") != nil && !slices.Contains([]string{
			"cxgctl roles list", "cxgctl roles grants", "cxgctl tenants subscriptions list", // short lists that are not ordered by time
		}, cmd.CommandPath()) {
			for _, name := range []string{"since", "until"} {
				if cmd.Flags().Lookup(name) == nil {
					t.Errorf("%s has no --%s", cmd.CommandPath(), name)
				}
			}
		}
	})
}
