package auth

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/pquerna/otp/totp"
	"golang.org/x/crypto/bcrypt"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
)

func TestBackupCode_StoredForms(t *testing.T) {
	t.Parallel()
	hash := func(code string) string {
		b, err := bcrypt.GenerateFromPassword([]byte(code), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	s256, s512 := sha256.Sum256([]byte("ABCD-1234")), sha512.Sum512([]byte("ABCD1234"))
	for name, stored := range map[string]string{
		"plain": "ABCD-1234", "plain lower": "abcd1234", "bcrypt": hash("ABCD-1234"), "bcrypt compact": hash("abcd1234"),
		"SHA-256": hex.EncodeToString(s256[:]), "SHA-512": strings.ToUpper(hex.EncodeToString(s512[:])),
	} {
		for _, typed := range []string{"ABCD-1234", " abcd-1234 "} {
			if got, ok := backupCode([]string{"other", stored}, typed); !ok || got != stored {
				t.Errorf("%s: %q does not match", name, typed)
			}
		}
		for _, typed := range []string{"", "-", "ABCD-1235", "abcd"} {
			if got, ok := backupCode([]string{"", stored}, typed); ok {
				t.Errorf("%s: %q matches %q", name, typed, got)
			}
		}
		if name != "plain" && name != "plain lower" {
			if _, ok := backupCode([]string{stored}, stored); ok {
				t.Errorf("%s: the stored hash is accepted as a code", name)
			}
		}
	}
}

// M8, M2
func TestErrCode(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	at := func(d time.Duration) string {
		code, err := totp.GenerateCode("JBSWY3DPEHPK3PXP", now.Add(d))
		if err != nil {
			t.Fatal(err)
		}
		return code
	}
	yes, no := true, false
	key := func(s string) *string { return &s }
	for name, c := range map[string]struct {
		mfa    *bool
		secret *string
		codes  []string
		typed  *string
		want   string // "" for none
		counts bool
	}{
		"no second factor":     {&no, nil, nil, nil, "", false},
		"unknown":              {nil, nil, nil, nil, "", false},
		"no code typed":        {&yes, key("JBSWY3DPEHPK3PXP"), nil, nil, "no code was given", false},
		"right":                {&yes, key("JBSWY3DPEHPK3PXP"), nil, key(at(0)), "", false},
		"grouped digits":       {&yes, key("JBSWY3DPEHPK3PXP"), nil, key(at(0)[:3] + " " + at(0)[3:]), "", false},
		"lower case secret":    {&yes, key("jbswy3dpehpk3pxp"), nil, key(at(0)), "", false},
		"previous code":        {&yes, key("JBSWY3DPEHPK3PXP"), nil, key(at(-30 * time.Second)), "", false},
		"two codes back":       {&yes, key("JBSWY3DPEHPK3PXP"), nil, key(at(-61 * time.Second)), "wrong code", true},
		"wrong":                {&yes, key("JBSWY3DPEHPK3PXP"), nil, key("x"), "wrong code", true},
		"empty":                {&yes, key("JBSWY3DPEHPK3PXP"), []string{""}, key(""), "wrong code", true},
		"backup code":          {&yes, key("JBSWY3DPEHPK3PXP"), []string{"one", "two"}, key("two"), "", false},
		"no secret":            {&yes, nil, []string{"one"}, key("one"), "cannot be checked", false},
		"empty secret":         {&yes, key(""), nil, key(""), "cannot be checked", false},
		"secret is not base32": {&yes, key("gAAAAAB!"), nil, key("000000"), "cannot be checked", false},
	} {
		a := &account{Username: "ada", MFA: c.mfa, Secret: c.secret, Backup: c.codes}
		attempt := Attempt{seen: a}
		if c.typed != nil {
			attempt.Code(*c.typed)
		}
		err, counts := a.errCode(attempt, now)
		if got := err != nil; got != (c.want != "") || got && (!fault.Is(err, fault.Unauthenticated) || !strings.Contains(err.Message, c.want)) || counts != c.counts {
			t.Errorf("%s: %v, counted %t", name, err, counts)
		}
	}
	a := &account{MFA: &yes, Secret: key("JBSWY3DPEHPK3PXP"), Backup: []string{"one", "two"}}
	attempt := Attempt{seen: a}
	attempt.Code("ONE")
	if left, used := a.usedBackup(attempt, now); !used || len(left) != 1 || left[0] != "two" {
		t.Errorf("left %v, used %t", left, used)
	}
	attempt.Code(at(0))
	if _, used := a.usedBackup(attempt, now); used {
		t.Error("a TOTP used up a backup code")
	}
	attempt.Code("one")
	a.Backup = []string{"two"} // used up by another login meanwhile
	if err, _ := a.errCode(attempt, now); err == nil {
		t.Error("a backup code was used twice")
	}
}

// M2: an access token requires a live session, verified by the second factor if the user has one.
func TestJudgeSession(t *testing.T) {
	t.Parallel()
	now := time.Now()
	yes, no, active := true, false, "ACTIVE"
	end := db.At(now.Add(time.Hour))
	for name, c := range map[string]struct {
		exp           time.Time
		known         bool
		mfa, verified *bool
		want          string
	}{
		"good":                  {now.Add(time.Minute), true, &no, &no, ""},
		"issued at the end":     {now.Add(time.Hour + AccessLife - time.Second), true, &no, &no, ""},
		"outlives its session":  {time.Unix(1e18, 0), true, &no, &no, "ends after its session"},
		"without a session":     {now.Add(time.Minute), false, &no, nil, "is unknown"},
		"factor not verified":   {now.Add(time.Minute), true, &yes, &no, "without the second factor"},
		"factor unknown":        {now.Add(time.Minute), true, &yes, nil, "without the second factor"},
		"factor verified":       {now.Add(time.Minute), true, &yes, &yes, ""},
		"verified without need": {now.Add(time.Minute), true, nil, &yes, ""},
	} {
		u := candidate{Username: "ada", MFA: c.mfa, Verified: c.verified}
		if c.known {
			u.Session, u.SessionStatus, u.Expires = &uuid.UUID{1}, &active, &end
		}
		err := Credential{Access: &Access{Expires: c.exp}}.checkSession(u)
		if got := err != nil; got != (c.want != "") || got && (!fault.Is(err, fault.Unauthenticated) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
