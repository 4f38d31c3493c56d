package db

import (
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// H7: whether the client or the server is at fault depends on which side lacks the character, whatever the language of the
// message.
func TestUntranslatableText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		code, message, want string
		is                  fault.Code
	}{
		{untranslatable, `character with byte sequence 0xe2 0x82 0xac in encoding "UTF8" has no equivalent in encoding "LATIN1"`, `the database's encoding LATIN1 has no character "€"`, fault.Validation},
		{untranslatable, `0xc9 0xfe 바이트로 조합된 문자(인코딩: "EUC_KR")와 대응되는 문자 코드가 "UTF8" 인코딩에는 없습니다`, "idam.users holds text in the database's encoding EUC_KR that cannot be converted to UTF-8", fault.Database},
		{invalidText, `invalid byte sequence for encoding "UTF8": 0xe9 0x20`, "idam.users holds text that is not UTF-8", fault.Database},
	} {
		err := &pgconn.PgError{Code: c.code, Message: c.message}
		role("cxgctl").complete(err, "SELECT u.full_name\n  FROM idam.users u")
		if got := Translate(err); got.Error() != c.want || !fault.Is(got, c.is) {
			t.Errorf("%s\n got %v\nwant %s", c.message, got, c.want)
		}
	}
}

// D21: an unsupported server version is reported before the first statement.
func TestTooOld(t *testing.T) {
	t.Parallel()
	for version, old := range map[string]bool{"12.22": true, "9.6.24": true, "13.0": false, "15.10 (Debian 15.10-0+deb12u1)": false, "18beta1": false, "": false} {
		if err := tooOld(version); (err != nil) != old || err != nil && !fault.Is(err, fault.Database) {
			t.Errorf("%s: %v", version, err)
		}
	}
}
