// Package keep holds the operator's login between two runs: in the desktop's keyring, or where there is
// none, as on most servers, in a file that only its owner can read.
package credstore

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/google/renameio/v2"
	"github.com/zalando/go-keyring"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// Login is what is kept of a login.
type Login struct {
	Username string    `json:"username"`
	Expires  time.Time `json:"expires_at"`
	Keyring  bool      `json:"keyring"`         // the token is there, and not here
	Token    string    `json:"token,omitempty"` // where it is here
}

// Place is where the login to one database is kept, for one profile.
type Store struct {
	dir, name string
	getenv    func(string) string
}

// At returns the place for a profile and a database in the state folder of this user; "" for the folder
// where there is no home, and then nothing can be kept.
func New(dir, profile, database string, getenv func(string) string) Store {
	sum := sha256.Sum256([]byte(profile + "\x00" + database))
	return Store{dir, hex.EncodeToString(sum[:8]), getenv}
}

// File is the file of this place.
func (p Store) File() string { return filepath.Join(p.dir, "logins", p.name+".json") }

// service is the keyring's name for us.
const service = "cxgctl"

// patience is how long a keyring may take to answer: one that waits for somebody to unlock it is none.
const keyringTimeout = 3 * time.Second

var errNoAnswer = errors.New("the keyring does not answer")

// within runs what talks to the keyring, which knows no time-out of its own.
func withTimeout[T any](ask func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	done := make(chan answer, 1)
	go func() {
		v, err := ask()
		done <- answer{v, err}
	}()
	select {
	case a := <-done:
		return a.value, a.err
	case <-time.After(keyringTimeout):
		var none T
		return none, errNoAnswer
	}
}

// hasKeyring says whether a keyring may be there. Without a session bus the library would try to start one.
func (p Store) hasKeyring() bool { return p.getenv("DBUS_SESSION_BUS_ADDRESS") != "" }

// Put keeps a login, in the keyring if it takes it.
func (p Store) Save(l Login) (Login, error) {
	if p.dir == "" {
		return l, fault.New(fault.Validation, "there is no folder to keep a login in").WithHint("set HOME or XDG_STATE_HOME")
	}
	kept := l
	if p.hasKeyring() {
		_, err := withTimeout(func() (struct{}, error) { return struct{}{}, keyring.Set(service, p.name, l.Token) })
		if err == nil {
			kept.Keyring, kept.Token = true, ""
		}
	}
	doc, err := json.Marshal(kept)
	if err != nil {
		return kept, err
	}
	if err = os.MkdirAll(filepath.Dir(p.File()), 0o700); err == nil {
		err = renameio.WriteFile(p.File(), doc, 0o600, renameio.WithPermissions(0o600))
	}
	if err != nil {
		return kept, p.refuse("cannot be written", err)
	}
	return kept, nil
}

// Get returns the login that is kept, with its token; none is no error.
func (p Store) Load() (*Login, error) {
	if p.dir == "" {
		return nil, nil
	}
	f, err := os.OpenFile(p.File(), os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, p.refuse("cannot be read", err)
	}
	defer f.Close() //nolint:errcheck // nothing was written to it
	info, err := f.Stat()
	if err != nil {
		return nil, p.refuse("cannot be read", err)
	}
	stat, known := info.Sys().(*syscall.Stat_t)
	if info.Mode().Perm()&0o077 != 0 || known && int(stat.Uid) != os.Geteuid() {
		return nil, p.refuse("is open to others", nil).WithHint("chmod 600 %s, or log in again", p.File())
	}
	var l Login
	if err := json.NewDecoder(f).Decode(&l); err != nil {
		return nil, p.refuse("is damaged", err).WithHint("log in again: cxgctl auth login")
	}
	if l.Keyring {
		l.Token, err = withTimeout(func() (string, error) { return keyring.Get(service, p.name) })
		if err != nil {
			return nil, fault.New(fault.Unauthenticated, "the keyring does not give the login out").
				WithHint("unlock the keyring, or log in again: cxgctl auth login").Because(err)
		}
	}
	return &l, nil
}

// Peek is Get without asking the keyring: who is logged in, and until when.
func (p Store) LoadInfo() *Login {
	if p.dir == "" {
		return nil
	}
	doc, err := os.ReadFile(p.File())
	if err != nil {
		return nil
	}
	var l Login
	if json.Unmarshal(doc, &l) != nil {
		return nil
	}
	return &l
}

// Forget removes the login; none is no error.
func (p Store) Delete() error {
	l := p.LoadInfo()
	if l != nil && l.Keyring {
		_, _ = withTimeout(func() (struct{}, error) { return struct{}{}, keyring.Delete(service, p.name) })
	}
	err := os.Remove(p.File())
	if p.dir == "" || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return p.refuse("cannot be removed", err)
	}
	return nil
}

func (p Store) refuse(why string, cause error) *fault.Error {
	return fault.New(fault.Validation, "the kept login %s %s", p.File(), why).Because(cause)
}
