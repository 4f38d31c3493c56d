package validate

import (
	_ "embed"
	"regexp"
	"slices"
	"strings"
	"sync"

	"golang.org/x/text/language"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// zoneList has the names of the IANA time zone database (2026), one a line.
//
//go:embed zones.txt
var zoneList string

var zones = sync.OnceValue(func() []string { return strings.Fields(zoneList) })

// Zones returns the names of the time zones, sorted. The caller must not change them.
func Zones() []string { return zones() }

// CheckZone adds a problem if value is not a time zone, with the most similar name.
func CheckZone(p *fault.Problems, field, value string) {
	if _, known := slices.BinarySearch(zones(), value); known {
		return
	}
	near := Near(value, zones())
	for _, z := range zones() {
		if near == "" && strings.EqualFold(z[strings.LastIndexByte(z, '/')+1:], strings.ReplaceAll(value, " ", "_")) { // only the city
			near = z
		}
	}
	p.Add(field, "%.60q is not a time zone%s", value, meant(near, "; use an IANA name such as Asia/Seoul"))
}

func meant(near, otherwise string) string {
	if near == "" {
		return otherwise
	}
	return "; did you mean " + near + "?"
}

// CheckLocale adds a problem if value is not a BCP 47 language tag such as ko-KR.
func CheckLocale(p *fault.Problems, field, value string) {
	if tag, err := language.Parse(value); err == nil && !strings.HasPrefix(strings.ToLower(value), "x-") {
		_, sureBase := tag.Base()
		region, sureRegion := tag.Region()
		if sureBase == language.Exact && (sureRegion != language.Exact || region.IsCountry() || region.IsGroup()) {
			return
		}
	}
	near := ""
	word, _, _ := strings.Cut(strings.ReplaceAll(value, "_", "-"), "-")
	if base, err := language.ParseBase(word); err == nil && base.String() != "und" {
		if tag, err := language.Compose(base); err == nil {
			region, _ := tag.Region()
			near = base.String() + "-" + region.String()
		}
	}
	p.Add(field, "%.60q is not a locale%s", value, meant(near, " (want one such as ko-KR)"))
}

var (
	phoneForm   = regexp.MustCompile(`^\+?[0-9() ./-]*[0-9][0-9() ./-]*((x|ext\.?|#) ?[0-9]+)?$`)
	phoneNumber = regexp.MustCompile(`^[0-9]+\.0*$`)
)

// CheckPhone adds a problem if value is not a phone number: digits with spaces, dots, hyphens, slashes and
// parentheses, an optional leading + and an optional extension.
func CheckPhone(p *fault.Problems, field, value string) {
	switch {
	case !phoneForm.MatchString(value) && strings.ContainsAny(value, "Ee") && strings.Contains(value, "+") && strings.Trim(value, "0123456789.Ee+") == "":
		p.Add(field, "%.60q is a number that a spreadsheet rounded, not a phone number; format the column as text", value)
	case !phoneForm.MatchString(value), phoneNumber.MatchString(value):
		p.Add(field, "%.60q is not a phone number (want one such as +82 2 1234 5678)", value)
	}
}

// CheckKind checks a value against the format of its field: a phone number, a time zone or a locale.
func CheckKind(p *fault.Problems, field, value string) {
	switch field {
	case "phone", "phone_no":
		CheckPhone(p, field, value)
	case "timezone":
		CheckZone(p, field, value)
	case "locale":
		CheckLocale(p, field, value)
	}
}

// spoilt lists what spreadsheets and databases print in place of a missing value.
var spoilt = []string{
	"#REF!", "#NAME?", "#N/A", "#VALUE!", "#DIV/0!", "#NUM!", "#NULL!", "#SPILL!", "#CALC!", "#FIELD!", "#BLOCKED!", "#UNKNOWN!", "#CONNECT!",
	"#GETTING_DATA", "#ERROR!", "NULL", "(null)", `\N`,
}

var (
	narrow  = regexp.MustCompile(`^#{2,}$`)                                // a number in a column that is too narrow
	rounded = regexp.MustCompile(`^[+-]?[0-9](\.[0-9]+)?E[+-][0-9]{2,3}$`) // a long number as a spreadsheet prints it
)
