// Package money represents exact decimal amounts, as numeric stores them, and never as floating-point numbers.
package money

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/shopspring/decimal"
)

// Amount is a decimal that keeps its scale: 12000.0000 stays 12000.0000. Queries select it as column::text, because
// pgx drops trailing zeros from the binary form of numeric.
type Amount struct {
	d       decimal.Decimal // apd supports the special values too, but its tables add 0.5 ms to every start
	special string          // one of specials, or ""
}

// specials are the values of numeric that are not numbers, in PostgreSQL's order; "" represents all numbers.
var specials = []string{"-Infinity", "", "Infinity", "NaN"}

// maxText is the maximum length of the text that Parse accepts: longer than any amount in a column, and short enough
// for numeric.
const maxText = 100

// Parse parses a plain decimal such as 12000.0000. It refuses exponents, NaN, infinities and thousands separators,
// which are ambiguous.
func Parse(s string) (Amount, error) {
	var a Amount
	if len(s) > maxText {
		return a, fmt.Errorf("a decimal number of %d characters is too long; the maximum is %d", len(s), maxText)
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

// String returns the amount with all digits of its scale and without an exponent.
func (a Amount) String() string {
	if a.special != "" {
		return a.special
	}
	return a.d.StringFixed(max(0, -a.d.Exponent()))
}

// Fixed returns the amount rounded to a number of decimal places.
func (a Amount) Fixed(places int) string {
	if a.special != "" {
		return a.special
	}
	return a.d.StringFixed(int32(places))
}

// Cmp compares values and returns -1, 0 or 1; 1.0 and 1.00 are equal.
func (a Amount) Cmp(b Amount) int {
	if a.special != "" || b.special != "" {
		return cmp.Compare(slices.Index(specials, a.special), slices.Index(specials, b.special))
	}
	return a.d.Cmp(b.d)
}

// MarshalText implements encoding.TextMarshaler, so that JSON contains a string.
func (a Amount) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText parses the result of MarshalText.
func (a *Amount) UnmarshalText(b []byte) error {
	v, err := Parse(string(b))
	*a = v
	return err
}

// Scan implements sql.Scanner for the text of a numeric. It accepts NaN, which Parse refuses but a database may
// contain.
func (a *Amount) Scan(src any) error {
	s, ok := src.(string)
	if !ok {
		return fmt.Errorf("cannot scan %T into an amount", src)
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

// Add returns the exact sum. With an infinity or NaN, the sum is not finite.
func (a Amount) Add(b Amount) Amount {
	if !a.Finite() || !b.Finite() {
		return Amount{special: "NaN"}
	}
	return Amount{d: a.d.Add(b.d)}
}

// Sub returns the exact difference. With an infinity or NaN, the difference is not finite.
func (a Amount) Sub(b Amount) Amount {
	if !a.Finite() || !b.Finite() {
		return Amount{special: "NaN"}
	}
	return Amount{d: a.d.Sub(b.d)}
}

// NumericValue implements pgtype.NumericValuer, keeping the scale.
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

// Finite reports whether the amount is a number; a database may contain NaN and infinities.
func (a Amount) Finite() bool { return a.special == "" }

// Places returns the number of digits before and after the decimal point, without leading and trailing zeros.
// numeric(p,s) stores the amount unchanged if there are at most p − s before and s after it.
func (a Amount) Places() (before, after int) {
	whole, fraction, _ := strings.Cut(strings.TrimPrefix(a.String(), "-"), ".")
	return len(strings.TrimLeft(whole, "0")), len(strings.TrimRight(fraction, "0"))
}
