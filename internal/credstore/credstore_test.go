package credstore

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/zalando/go-keyring"
)

func noBus(string) string { return "" }

func aBus(name string) string {
	if name == "DBUS_SESSION_BUS_ADDRESS" {
		return "unix:path=/nowhere"
	}
	return ""
}

var login = Login{Username: "ada", Expires: time.Date(2026, 11, 24, 18, 0, 0, 0, time.UTC), Token: "canary"}

// The order matters: the library has one mock for the whole process.
func TestStore(t *testing.T) {
	for name, c := range map[string]struct {
		getenv  func(string) string
		mock    func()
		keyring bool
	}{
		"a file without a bus":          {noBus, keyring.MockInit, false},
		"the keyring":                   {aBus, keyring.MockInit, true},
		"a file when the keyring fails": {aBus, func() { keyring.MockInitWithError(errors.New("no")) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			c.mock()
			p := New(t.TempDir(), "prod", "db1:5432/mgmt", c.getenv)
			if l, err := p.Load(); l != nil || err != nil || p.LoadInfo() != nil || p.Delete() != nil {
				t.Fatalf("nothing is stored yet: %v, %v", l, err)
			}
			kept, err := p.Save(login)
			if err != nil || kept.Keyring != c.keyring {
				t.Fatalf("%+v, %v", kept, err)
			}
			doc, err := os.ReadFile(p.File())
			if err != nil || strings.Contains(string(doc), "canary") == c.keyring {
				t.Errorf("the file holds %s, %v", doc, err)
			}
			if info, err := os.Stat(p.File()); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%v, %v", info.Mode(), err)
			}
			got, err := p.Load()
			if err != nil || got.Token != "canary" || got.Username != "ada" || !got.Expires.Equal(login.Expires) {
				t.Errorf("%+v, %v", got, err)
			}
			if other, err := New(p.dir, "dev", "db1:5432/mgmt", c.getenv).Load(); other != nil || err != nil {
				t.Errorf("another profile has it: %+v, %v", other, err)
			}
			if err := os.Chmod(p.File(), 0o640); err != nil {
				t.Fatal(err)
			}
			if _, err := p.Load(); err == nil || !strings.Contains(err.Error(), "is open to others") {
				t.Errorf("a file that others read: %v", err)
			}
			if err := p.Delete(); err != nil || p.LoadInfo() != nil {
				t.Errorf("after Delete: %v", err)
			}
		})
	}
}

func TestStore_NoFolder(t *testing.T) {
	t.Parallel()
	p := New("", "prod", "x", noBus)
	if l, err := p.Load(); l != nil || err != nil || p.Delete() != nil {
		t.Errorf("%v, %v", l, err)
	}
	if _, err := p.Save(login); err == nil {
		t.Error("saved without a folder")
	}
}

func TestSave_NotWritable(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/logins", nil, 0o600); err != nil { // where the folder would be
		t.Fatal(err)
	}
	if _, err := New(dir, "prod", "x", noBus).Save(login); err == nil || !strings.Contains(err.Error(), "cannot be written") {
		t.Errorf("%v", err)
	}
}
