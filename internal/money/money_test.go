package money

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
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

func TestSumsAreExact(t *testing.T) {
	t.Parallel()
	// random amounts as integers of ten-thousandths, to compare with the results of apd
	rnd := rand.New(rand.NewPCG(1, 2))
	draw := func() (Amount, *big.Int) {
		n := rnd.Int64N(999_999_999_999_999_999) >> rnd.IntN(60)
		a, err := Parse(fmt.Sprintf("%d.%04d", n/10_000, n%10_000))
		if err != nil {
			t.Fatal(err)
		}
		return a, big.NewInt(n)
	}
	for range 10_000 {
		a, x := draw()
		b, y := draw()
		if got, want := a.Add(b).String(), shifted(new(big.Int).Add(x, y)); got != want {
			t.Fatalf("%s + %s = %s, want %s", a, b, got, want)
		}
		if got, want := a.Sub(b).String(), shifted(new(big.Int).Sub(x, y)); got != want {
			t.Fatalf("%s - %s = %s, want %s", a, b, got, want)
		}
	}
}

// shifted formats an integer with its last four digits after the decimal point.
func shifted(n *big.Int) string {
	s := fmt.Sprintf("%05s", new(big.Int).Abs(n))
	s = s[:len(s)-4] + "." + s[len(s)-4:]
	if n.Sign() < 0 {
		s = "-" + s
	}
	return s
}

func TestWhatIsNoNumberMakesNoSum(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"NaN", "Infinity", "-Infinity"} {
		var odd Amount
		if err := odd.Scan(text); err != nil {
			t.Fatal(err)
		}
		one, err := Parse("1")
		if err != nil {
			t.Fatal(err)
		}
		if odd.Finite() || !one.Finite() || odd.Add(one).Finite() || one.Sub(odd).Finite() {
			t.Errorf("%s is reported as finite", text)
		}
		if odd.Sub(odd).Finite() {
			t.Errorf("%s minus itself is reported as finite", text)
		}
	}
}

func TestPlacesCountWhatNumericKeeps(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][2]int{
		"0": {0, 0}, "0.0000": {0, 0}, "-0": {0, 0}, "1": {1, 0}, "1.0000000": {1, 0}, "10": {2, 0}, "100.10": {3, 1},
		"0.0001": {0, 4}, "0.00001": {0, 5}, "99999999999999.9999": {14, 4}, "100000000000000": {15, 0}, "-12.5": {2, 1},
	} {
		a, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if before, after := a.Places(); before != want[0] || after != want[1] {
			t.Errorf("%s has %d and %d, want %v", text, before, after, want)
		}
	}
}

func TestNumericValueIsExact(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		amount, digits string
		exp            int32
	}{{"10.50", "1050", -2}, {"-0.0001", "-1", -4}, {"0", "0", 0}, {"99999999999999.9999", "999999999999999999", -4}} {
		a, err := Parse(c.amount)
		if err != nil {
			t.Fatal(err)
		}
		n, err := a.NumericValue()
		if err != nil || !n.Valid || n.Int.String() != c.digits || n.Exp != c.exp {
			t.Errorf("%s is sent as %s × 10^%d: %v", a, n.Int, n.Exp, err)
		}
	}
}
