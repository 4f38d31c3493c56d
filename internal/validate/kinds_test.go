package validate

import (
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// T10, F50, F31: accepted and refused values of each kind.
func TestKinds(t *testing.T) {
	t.Parallel()
	type check func(*fault.Problems, string, string)
	for _, c := range []struct {
		name  string
		check check
		value string
		want  string // "" where it is accepted
	}{
		{"zone", CheckZone, "Asia/Seoul", ""},
		{"zone", CheckZone, "UTC", ""},
		{"zone", CheckZone, "America/Argentina/Buenos_Aires", ""},
		{"zone", CheckZone, "Asia/Soul", `f: "Asia/Soul" is not a time zone; did you mean Asia/Seoul?`},
		{"zone", CheckZone, "Asia/Seuol", `f: "Asia/Seuol" is not a time zone; did you mean Asia/Seoul?`},
		{"zone", CheckZone, "seoul", `f: "seoul" is not a time zone; did you mean Asia/Seoul?`},
		{"zone", CheckZone, "Local", `f: "Local" is not a time zone; use an IANA name such as Asia/Seoul`},
		{"zone", CheckZone, "../../etc/passwd", `f: "../../etc/passwd" is not a time zone; use an IANA name such as Asia/Seoul`},
		{"locale", CheckLocale, "ko-KR", ""},
		{"locale", CheckLocale, "en", ""},
		{"locale", CheckLocale, "zh-Hant-TW", ""},
		{"locale", CheckLocale, "es-419", ""},
		{"locale", CheckLocale, "xx-QQ", `f: "xx-QQ" is not a locale (want one such as ko-KR)`},
		{"locale", CheckLocale, "ko-QQ", `f: "ko-QQ" is not a locale; did you mean ko-KR?`},
		{"locale", CheckLocale, "english", `f: "english" is not a locale (want one such as ko-KR)`},
		{"locale", CheckLocale, "x-klingon", `f: "x-klingon" is not a locale (want one such as ko-KR)`},
		{"locale", CheckLocale, "und", `f: "und" is not a locale (want one such as ko-KR)`},
		{"phone", CheckPhone, "+82 2 1234 5678", ""},
		{"phone", CheckPhone, "(02) 123-4567 x12", ""},
		{"phone", CheckPhone, "02.123.4567", ""},
		{"phone", CheckPhone, "8.21012E+11", `f: "8.21012E+11" is a number that a spreadsheet rounded, not a phone number; format the column as text`},
		{"phone", CheckPhone, "821012345678.0", `f: "821012345678.0" is not a phone number (want one such as +82 2 1234 5678)`},
		{"phone", CheckPhone, "none", `f: "none" is not a phone number (want one such as +82 2 1234 5678)`},
		{"phone", CheckPhone, "+-", `f: "+-" is not a phone number (want one such as +82 2 1234 5678)`},
	} {
		t.Run(c.name+" "+c.value, func(t *testing.T) {
			t.Parallel()
			var p fault.Problems
			c.check(&p, "f", c.value)
			got := ""
			if err := p.Err(); err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	for _, v := range append([]string{"####", "##########", "1.23E+10", "1E+05", "8.21012E+11", "-1.5E-07"}, spoilt...) {
		var p fault.Problems
		if Length(&p, "f", v, 1, 100); p.Err() == nil {
			t.Errorf("%q is accepted", v)
		}
	}
}

// Every zone in the list exists in Go's database.
func TestZonesLoad(t *testing.T) {
	t.Parallel()
	if len(zones()) < 500 {
		t.Errorf("%d zones", len(zones()))
	}
	for _, z := range zones() {
		if _, err := time.LoadLocation(z); err != nil {
			t.Errorf("%s: %v", z, err)
		}
	}
}
