package db

import (
	"slices"
	"strings"
	"testing"
)

func TestSpellings(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"":            "",
		"A":           "A a",
		"us":          "us US uS Us",
		"USD":         "USD usd uSD UsD usD USd uSd Usd",
		"PAID":        strings.Join(Spellings([]string{"paid"}), " "),
		"ACTIVE":      "ACTIVE active Active",
		"CREDIT_CARD": "CREDIT_CARD credit_card Credit_card",
	} {
		got, wanted := Spellings([]string{value}), strings.Split(want, " ")
		slices.Sort(got)
		slices.Sort(wanted)
		if !slices.Equal(got, wanted) {
			t.Errorf("%q: %q, want %q", value, got, wanted)
		}
	}
}
