package devdb

import (
	"testing"
)

func TestComplaintQuotesTheReason(t *testing.T) {
	t.Parallel()
	for log, want := range map[string]string{
		"": "it logged nothing",
		"2026-01-01 [1] LOG:  starting\n2026-01-01 [1] FATAL:  no space\n2026-01-01 [1] LOG:  bye\n": "no space",
		"running\ninitdb: error: invalid locale\ninitdb: hint: choose\n":                             "invalid locale",
		"a\nsegmentation fault\n": "segmentation fault",
	} {
		if got := complaint(log); got != want {
			t.Errorf("complaint(%q) = %q, want %q", log, got, want)
		}
	}
}
