// Package money holds exact decimal amounts, digit for digit as numeric holds them, and never as a
// floating-point number.
package money

import (
	"fmt"

	"github.com/cockroachdb/apd/v3"
)

// Amount is a decimal that keeps its scale: 12000.0000 stays 12000.0000. Queries select it as
// column::text, since the binary form of numeric comes back from pgx without trailing zeros.
type Amount struct{ d apd.Decimal }

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
	if _, _, err := a.d.SetString(s); err != nil {
		return a, fmt.Errorf("%q is not a decimal number", s)
	}
	return a, nil
}

// String returns the amount with every digit of its scale and no exponent.
func (a Amount) String() string { return a.d.Text('f') }

// Cmp compares by value: -1, 0 or 1; 1.0 and 1.00 are equal.
func (a Amount) Cmp(b Amount) int { return a.d.Cmp(&b.d) }

// MarshalText implements encoding.TextMarshaler with String, so JSON has it as a string.
func (a Amount) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (a *Amount) UnmarshalText(b []byte) error {
	v, err := Parse(string(b))
	*a = v
	return err
}

// Scan implements sql.Scanner: it reads the text of a
// numeric, NaN included, which a database may hold although no form lets it in.
func (a *Amount) Scan(src any) error {
	s, ok := src.(string)
	if !ok {
		return fmt.Errorf("cannot read %T as an amount", src)
	}
	_, _, err := a.d.SetString(s)
	return err
}
