package user

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/outfile"
	"github.com/cxgctl/cxgctl/internal/password"
)

// passwordsFile is the file of --passwords-out, a csv of usernames and their generated passwords.
type passwordsFile struct {
	name  string
	to    io.Writer // nil in a dry run
	sync  func() error
	close func() error
	mu    sync.Mutex // Known and Store are called concurrently
	known map[string]string
}

const passwordsHeader = "username,password\n"

// openPasswords opens or creates the file. If an earlier run of the same command created it, its passwords are used
// again. Another user may have created the file, so it must belong to the caller, and its passwords must
// meet the password rules.
func openPasswords(env *cmdutil.Env, path string, dry bool) (*passwordsFile, error) {
	const flag = "--passwords-out"
	p := &passwordsFile{known: map[string]string{}, name: path}
	var place *outfile.Place
	if path != cliflag.StandardStream {
		var err error
		if place, err = outfile.Locate(path); err != nil {
			return nil, cmdutil.WriteError(flag, path, err)
		}
		defer place.Close()
	}
	if place != nil && place.Exists() && !place.IsPipe() && !place.Is(env.Stdout) {
		return p, p.resume(place, dry)
	}
	if dry {
		return p, nil
	}
	f, err := cmdutil.OpenSecretFile(env, flag, path)
	if err != nil {
		return nil, err
	}
	if _, err := io.WriteString(f, passwordsHeader); err != nil {
		return nil, cmdutil.WriteError(flag, path, errors.Join(err, f.Close(), f.Remove()))
	}
	p.to, p.sync, p.close = f, f.Sync, f.Close
	return p, nil
}

// resume opens the file of an earlier run.
func (p *passwordsFile) resume(place *outfile.Place, dry bool) error {
	const flag = "--passwords-out"
	f, err := place.Resume()
	if err != nil {
		return cmdutil.WriteError(flag, p.name, err)
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return errors.Join(cmdutil.WriteError(flag, p.name, err), f.Close())
	}
	whole := text[:bytes.LastIndexByte(text, '\n')+1] // a killed run may have left half a line
	if err := p.load(whole); err != nil || dry {
		return errors.Join(err, f.Close())
	}
	if err := f.Truncate(int64(len(whole))); err != nil {
		return errors.Join(cmdutil.WriteError(flag, p.name, err), f.Close())
	}
	p.to, p.sync, p.close = f, f.Sync, f.Close
	return nil
}

// load reads the passwords of an earlier run.
func (p *passwordsFile) load(text []byte) error {
	if !bytes.HasPrefix(text, []byte(passwordsHeader)) {
		return fault.New(fault.Validation, "--passwords-out: %s exists and was not written by an import", p.name).
			WithHint("name a new file; existing files are not overwritten")
	}
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		return fault.New(fault.Validation, "--passwords-out: cannot parse %s", p.name).WithHint("name a new file")
	}
	for i, r := range rows[1:] {
		if password.Check(r[1]) != nil {
			return fault.New(fault.Validation, "--passwords-out: %s, line %d: the password does not meet the password rules", p.name, i+2).
				WithHint("name a new file")
		}
		p.known[r[0]] = r[1]
	}
	return nil
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
			continue // already written
		}
		fmt.Fprintf(&b, "%s,%s\n", name, made[i])
		p.known[name] = made[i]
	}
	if _, err := io.WriteString(p.to, b.String()); err != nil {
		return cmdutil.WriteError("--passwords-out", p.name, err)
	}
	return p.sync()
}

// Close closes the file.
func (p *passwordsFile) Close() {
	if p.close != nil {
		_ = p.close() // Store has already synced it
	}
}
