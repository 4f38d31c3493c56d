package output

import (
	"strconv"
	"strings"

	"golang.org/x/text/currency"

	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/money"
)

// Thousands returns n with commas between its thousands: 4,683.
func Thousands(n int64) string { return grouped(strconv.FormatInt(n, 10), 0) }

// grouped returns a decimal with commas between its thousands. It omits trailing zeros after the first places decimal
// places, and no other digit.
func grouped(text string, places int) string {
	whole, fraction, _ := strings.Cut(text, ".")
	digits := strings.TrimPrefix(whole, "-")
	sign := whole[:len(whole)-len(digits)]
	if strings.Trim(digits+fraction, "0123456789") != "" { // NaN
		return text
	}
	fraction = strings.TrimRight(fraction, "0")
	fraction += strings.Repeat("0", max(0, places-len(fraction)))
	if fraction != "" {
		fraction = "." + fraction
	}
	return sign + fault.Thousands(digits) + fraction
}

// Amount returns an amount as tables show it.
func Amount(a money.Amount, code string) string { return inCurrency(a, code, false) }

// inCurrency returns an amount rounded to the decimal places of its currency. Exact amounts keep more places if they
// have them, and so do amounts in unknown currencies.
func inCurrency(a money.Amount, code string, exact bool) string {
	places, known := currencyPlaces(code)
	if !known {
		return grouped(a.String(), 4)
	}
	if exact {
		return grouped(a.String(), places)
	}
	return grouped(a.Fixed(places), places)
}

// currencyPlaces returns the decimal places of a currency.
func currencyPlaces(code string) (places int, known bool) {
	unit, err := currency.ParseISO(code)
	if err != nil {
		return 0, false
	}
	places, _ = currency.Standard.Rounding(unit)
	return places, true
}

// percentage returns a fraction of one as a percentage with one decimal place.
func percentage(text string) string {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f != f {
		return text
	}
	return strconv.FormatFloat(100*f, 'f', 1, 64) + " %"
}
