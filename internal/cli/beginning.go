package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"

	"github.com/cxgctl/cxgctl/internal/config"
)

// beginning notes, once per database, how to enforce permissions if no operator holds a role yet. The file mark exists
// once the note was shown.
func (a *app) beginning(s *session, mark string, told bool) {
	switch {
	case s.who.Enforced && told:
		_ = os.Remove(mark)
	case s.who.Enforced || told || s.who.Scopes != nil || a.global.quiet:
	default:
		a.note("permissions are not enforced, since no operator holds a role; to start: cxgctl auth bootstrap, then cxgctl roles grant")
		if mark == "" || os.MkdirAll(filepath.Dir(mark), 0o700) != nil {
			return // the note is shown again next time
		}
		_ = os.WriteFile(mark, nil, 0o600)
	}
}

// beginningMark returns the path of the file that records that the note was shown for a database.
func beginningMark(getenv func(string) string, database string) string {
	dir := config.StateDir(getenv)
	if dir == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(database))
	return filepath.Join(dir, "told", hex.EncodeToString(sum[:8]))
}
