package cli

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// passwordsFile is --passwords-out: a csv of usernames and the passwords that were made up for them.
type passwordsFile struct {
	file  *os.File   // nil in a dry run
	mu    sync.Mutex // the reader asks while the writer stores
	known map[string]string
}

const passwordsHeader = "username,password\n"

// openPasswords opens or makes the file. One that a run of the same command left behind is read, so that
// who was to get a password gets that one.
func openPasswords(path string, dry bool) (*passwordsFile, error) {
	p := &passwordsFile{known: map[string]string{}}
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if dry {
			return p, nil
		}
		if p.file, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err == nil {
			_, err = p.file.WriteString(passwordsHeader)
		}
		if err != nil {
			return nil, unwritableFlag("--passwords-out", path, err)
		}
		return p, nil
	}
	if err != nil {
		return nil, unwritableFlag("--passwords-out", path, err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return nil, fault.New(fault.Validation, "--passwords-out %s exists, and is no file that only you can read", path).WithHint("name a new file")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, unwritableFlag("--passwords-out", path, err)
	}
	if !strings.HasPrefix(string(text), passwordsHeader) {
		return nil, fault.New(fault.Validation, "--passwords-out %s exists, and holds no passwords of an import", path).
			WithHint("name a new file; nothing is overwritten")
	}
	whole := text[:strings.LastIndexByte(string(text), '\n')+1] // a killed run may have left half a line
	rows, err := csv.NewReader(strings.NewReader(string(whole))).ReadAll()
	if err != nil {
		return nil, fault.New(fault.Validation, "--passwords-out %s cannot be read", path).WithHint("name a new file")
	}
	for _, r := range rows[1:] {
		p.known[r[0]] = r[1]
	}
	if dry {
		return p, nil
	}
	if p.file, err = os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0); err == nil {
		err = p.file.Truncate(int64(len(whole)))
	}
	if err != nil {
		return nil, unwritableFlag("--passwords-out", path, err)
	}
	return p, nil
}

// Known implements users.PasswordFile.
func (p *passwordsFile) Known(username string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.known[username]
}

// Store implements users.PasswordFile.
func (p *passwordsFile) Store(usernames, made []string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var b strings.Builder
	for i, name := range usernames {
		if p.known[name] != "" {
			continue // written before
		}
		fmt.Fprintf(&b, "%s,%s\n", name, made[i])
		p.known[name] = made[i]
	}
	if _, err := io.WriteString(p.file, b.String()); err != nil {
		return unwritableFlag("--passwords-out", p.file.Name(), err)
	}
	return p.file.Sync()
}

// Close ends the writing.
func (p *passwordsFile) Close() {
	if p.file != nil {
		_ = p.file.Close() // what counts was synced
	}
}
