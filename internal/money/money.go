// Package money holds exact decimal amounts, digit for digit as numeric holds them, and never as a
// floating-point number.
package money

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/shopspring/decimal"
)

// Amount is a decimal that keeps its scale: 12000.0000 stays 12000.0000. Queries select it as
// column::text, since the binary form of numeric comes back from pgx without trailing zeros.
type Amount struct {
	d       decimal.Decimal // apd knows the special values too, but takes 0.5 ms of every start for its tables
	special string          // one of specials, else ""
}

// specials are the values of numeric that are no numbers. They are ordered as PostgreSQL orders them, and
// every number stands in the place of "".
var specials = []string{"-Infinity", "", "Infinity", "NaN"}

// maxText is the longest text of an amount that Parse reads: more than any column of money holds, and
// little enough that a server takes it for numeric.
const maxText = 100

// Parse reads a plain decimal such as 12000.0000; exponents, NaN and infinities are refused, and so are
// thousands separators, which mean something else elsewhere.
func Parse(s string) (Amount, error) {
	var a Amount
	if len(s) > maxText {
		return a, fmt.Errorf("a decimal number of %d characters is refused, it has at most %d", len(s), maxText)
	}
	for _, c := range s {
		if (c < '0' || c > '9') && c != '.' && c != '-' {
			return a, fmt.Errorf("%q is not a decimal number", s)
		}
	}
	var err error
	if a.d, err = decimal.NewFromString(s); err != nil {
		return a, fmt.Errorf("%q is not a decimal number", s)
	}
	return a, nil
}

// String returns the amount with every digit of its scale and no exponent.
func (a Amount) String() string {
	if a.special != "" {
		return a.special
	}
	return a.d.StringFixed(max(0, -a.d.Exponent()))
}

// Cmp compares by value: -1, 0 or 1; 1.0 and 1.00 are equal.
func (a Amount) Cmp(b Amount) int {
	if a.special != "" || b.special != "" {
		return cmp.Compare(slices.Index(specials, a.special), slices.Index(specials, b.special))
	}
	return a.d.Cmp(b.d)
}

// MarshalText implements encoding.TextMarshaler with String, so JSON has it as a string.
func (a Amount) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (a *Amount) UnmarshalText(b []byte) error {
	v, err := Parse(string(b))
	*a = v
	return err
}

// Scan implements sql.Scanner: it reads the text of a numeric, NaN included, which a database may hold
// although no form lets it in.
func (a *Amount) Scan(src any) error {
	s, ok := src.(string)
	if !ok {
		return fmt.Errorf("cannot read %T as an amount", src)
	}
	*a = Amount{}
	if s != "" && slices.Contains(specials, s) {
		a.special = s
		return nil
	}
	var err error
	a.d, err = decimal.NewFromString(s)
	return err
}

// Add returns a + b, exactly. What is no number makes a sum that is none.
func (a Amount) Add(b Amount) Amount {
	if !a.Finite() || !b.Finite() {
		return Amount{special: "NaN"}
	}
	return Amount{d: a.d.Add(b.d)}
}

// Sub returns a − b, exactly. What is no number makes a difference that is none.
func (a Amount) Sub(b Amount) Amount {
	if !a.Finite() || !b.Finite() {
		return Amount{special: "NaN"}
	}
	return Amount{d: a.d.Sub(b.d)}
}

// NumericValue implements pgtype.NumericValuer, exactly and with the scale.
func (a Amount) NumericValue() (pgtype.Numeric, error) {
	switch a.special {
	case "NaN":
		return pgtype.Numeric{NaN: true, Valid: true}, nil
	case "Infinity":
		return pgtype.Numeric{InfinityModifier: pgtype.Infinity, Valid: true}, nil
	case "-Infinity":
		return pgtype.Numeric{InfinityModifier: pgtype.NegativeInfinity, Valid: true}, nil
	}
	return pgtype.Numeric{Int: a.d.Coefficient(), Exp: a.d.Exponent(), Valid: true}, nil
}

// Finite says whether the amount is a number at all: a database may hold NaN and infinities.
func (a Amount) Finite() bool { return a.special == "" }

// Places returns how many digits the amount has before and after the decimal point, zeros at the outer
// ends left out: what numeric(p,s) takes unchanged has at most s after and p − s before it.
func (a Amount) Places() (before, after int) {
	whole, fraction, _ := strings.Cut(strings.TrimPrefix(a.String(), "-"), ".")
	return len(strings.TrimLeft(whole, "0")), len(strings.TrimRight(fraction, "0"))
}
