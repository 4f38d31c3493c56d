// Package credstore stores the operator's login: in the desktop's keyring or, without one, as on most
// servers, in a file that only its owner can read.
package credstore

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/google/renameio/v2"
	"github.com/zalando/go-keyring"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// Login is a stored login.
type Login struct {
	Username string    `json:"username"`
	Expires  time.Time `json:"expires_at"`
	Keyring  bool      `json:"keyring"`         // the token is in the keyring
	Token    string    `json:"token,omitempty"` // if it is not in the keyring
}

// Store stores the login of one profile to one database.
type Store struct {
	dir, name string
	getenv    func(string) string
}

// New returns the store of a profile and a database in the user's state folder. If the folder is "", which
// means that the user has no home folder, nothing can be stored.
func New(dir, profile, database string, getenv func(string) string) Store {
	sum := sha256.Sum256([]byte(profile + "\x00" + database))
	return Store{dir, hex.EncodeToString(sum[:8]), getenv}
}

// File returns the path of the file.
func (p Store) File() string { return filepath.Join(p.dir, "logins", p.name+".json") }

// service is the name of cxgctl in the keyring.
const service = "cxgctl"

// keyringTimeout limits each call of the keyring, which may wait for the user to unlock it.
const keyringTimeout = 3 * time.Second

var errNoAnswer = errors.New("the keyring does not answer")

// withTimeout calls the keyring, whose library has no time-out.
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

// hasKeyring reports whether a keyring may exist. Without a session bus the library would try to start one.
func (p Store) hasKeyring() bool { return p.getenv("DBUS_SESSION_BUS_ADDRESS") != "" }

// Save stores a login, in the keyring if possible.
func (p Store) Save(l Login) (Login, error) {
	if p.dir == "" {
		return l, fault.New(fault.Validation, "no folder to store the login in").WithHint("set HOME or XDG_STATE_HOME")
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

// Load returns the stored login with its token, or nil if none is stored.
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
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, p.refuse(fmt.Sprintf("is open to others (mode %04o)", mode), nil).WithHint("chmod 600 %s", fault.Word(p.File()))
	}
	if known && int(stat.Uid) != os.Geteuid() {
		return nil, p.refuse("belongs to another user", nil).WithHint("log in again: cxgctl auth login")
	}
	var l Login
	if err := json.NewDecoder(f).Decode(&l); err != nil {
		return nil, p.refuse("is damaged", err).WithHint("log in again: cxgctl auth login")
	}
	if l.Keyring {
		l.Token, err = withTimeout(func() (string, error) { return keyring.Get(service, p.name) })
		if err != nil {
			return nil, fault.New(fault.Unauthenticated, "cannot read the login from the keyring").
				WithHint("unlock the keyring, or log in again: cxgctl auth login").Because(err)
		}
	}
	return &l, nil
}

// LoadInfo returns the stored login without the keyring's token, or nil.
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

// Protect makes a file that others can read or write the user's alone, and reports whether it did.
func (p Store) Protect() bool {
	info, err := os.Lstat(p.File())
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 && os.Chmod(p.File(), 0o600) == nil
}

// Delete removes the login, if any.
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
	return fault.New(fault.Validation, "the stored login %s %s", p.File(), why).Because(cause)
}
