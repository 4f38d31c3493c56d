package money

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestParseKeepsEveryDigit(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"0", "0.0000", "12000.0000", "99999999999999.9999", "0.0001", "-0.5000", "100000000000000000000000000000.1",
	} {
		a, err := Parse(s)
		if err != nil {
			t.Errorf("Parse(%q): %v", s, err)
		}
		if a.String() != s {
			t.Errorf("Parse(%q) reads back as %q", s, a)
		}
	}
}

func TestParseRefusesWhatIsNoPlainDecimal(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"", "-", ".", "--1", "1-", "+1", "1e3", "1E3", "NaN", "Infinity", "1,000", "1.000,00", "1_000", "0x10", " 1", "1 ", "١٢", "1.2.3",
		strings.Repeat("9", 101),
	} {
		if a, err := Parse(s); err == nil {
			t.Errorf("Parse(%.20q) is accepted as %s", s, a)
		}
	}
}

func TestCmpComparesByValue(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"1.0", "1.0000", 0},
		{"0.1", "0.2", -1},
		{"99999999999999.9999", "99999999999999.9998", 1},
		{"-1", "1", -1},
		{"NaN", "Infinity", 1},
		{"-Infinity", "-1", -1},
		{"NaN", "NaN", 0},
	} {
		var a, b Amount
		if err := errors.Join(a.Scan(c.a), b.Scan(c.b)); err != nil {
			t.Fatal(err)
		}
		if got := a.Cmp(b); got != c.want {
			t.Errorf("%s compared to %s is %d, want %d", a, b, got, c.want)
		}
	}
}

func TestScanReadsWhatADatabaseMayHold(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"NaN", "Infinity", "-Infinity", "12.3400", "-1"} {
		var a Amount
		if err := a.Scan(s); err != nil || a.String() != s {
			t.Errorf("Scan(%q) = %s, %v", s, a, err)
		}
	}
	var a Amount
	if err := a.Scan(1.5); err == nil {
		t.Error("a float is accepted")
	}
}

func TestJSONHasAStringWithEveryDigit(t *testing.T) {
	t.Parallel()
	a, _ := Parse("99999999999999.9999")
	b, err := json.Marshal(struct{ A *Amount }{&a})
	if err != nil || string(b) != `{"A":"99999999999999.9999"}` {
		t.Errorf("%s, %v", b, err)
	}
	var back struct{ A Amount }
	if err := json.Unmarshal(b, &back); err != nil || back.A.Cmp(a) != 0 {
		t.Errorf("reads back as %s, %v", back.A, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"0", "-1.50", "99999999999999.9999", ".5", "5.", "1e9", "-0", "NaN", "--1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := Parse(s)
		if err != nil {
			return
		}
		b, err := Parse(a.String())
		if err != nil || a.Cmp(b) != 0 || a.String() != b.String() {
			t.Errorf("Parse(%q) gives %s, which reads back as %s, %v", s, a, b, err)
		}
	})
}
