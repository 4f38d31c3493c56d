package cliflag

import (
	"testing"
	"time"
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
