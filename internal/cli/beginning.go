package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"

	"github.com/cxgctl/cxgctl/internal/config"
)

// beginning says, once per database, how permissions come into force where nobody holds a role yet. The mark is
// there where it was told.
func (a *app) beginning(s *session, mark string, told bool) {
	switch {
	case s.who.Enforced && told: // they have come
		_ = os.Remove(mark)
	case s.who.Enforced || told || s.who.Scopes != nil || a.global.quiet:
	default:
		a.note("permissions are not enforced here, since no operator holds a role; begin with: cxgctl auth bootstrap, then cxgctl roles grant")
		if mark == "" || os.MkdirAll(filepath.Dir(mark), 0o700) != nil {
			return // it will be said again
		}
		_ = os.WriteFile(mark, nil, 0o600)
	}
}

// beginningMark is the file that says that it was said.
func beginningMark(getenv func(string) string, database string) string {
	dir := config.StateDir(getenv)
	if dir == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(database))
	return filepath.Join(dir, "told", hex.EncodeToString(sum[:8]))
}
