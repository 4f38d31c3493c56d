package cmdutil

import (
	"io"
	"io/fs"

	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/auth"
	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/outfile"
	"github.com/cxgctl/cxgctl/internal/output"
)

// Token is the record of a new token, which is shown only once.
type Token struct {
	ID        uuid.UUID `json:"id"` // of the session or the key, for revoking it
	Type      string    `json:"type"`
	Username  string    `json:"username"`
	ExpiresAt *db.Time  `json:"expires_at"`
	Token     *string   `json:"token"` // null if written to a file
}

var tokenView = output.View{Table: []string{"id", "type", "username", "expires_at", "token"}}

// PrintToken prints a token, or writes it to its file. The table format prints the bare token on a line.
func PrintToken(env *Env, made auth.Issued, kind, file string) error {
	r := Token{ID: made.ID, Type: kind, Username: made.User, Token: &made.Token}
	if !made.Expires.IsZero() {
		at := db.At(made.Expires)
		r.ExpiresAt = &at
	}
	if file != "" && file != cliflag.StandardStream {
		if _, err := StoreSecret(env, "--token-out", file, made.Token); err != nil {
			return err
		}
		r.Token = nil
		return output.One(env.Printer, tokenView, r)
	}
	if env.Printer.Format == output.Table && env.Printer.File == "" && len(env.Printer.Columns) == 0 {
		_, err := io.WriteString(env.Printer.Stdout, made.Token+"\n")
		return err
	}
	env.Printer.Secret = true
	return output.One(env.Printer, tokenView, r)
}

// RefuseExisting returns an error if the file for a secret already exists.
func RefuseExisting(flag, path string) error {
	if path == "" || path == cliflag.StandardStream {
		return nil
	}
	place, err := outfile.Locate(path)
	if err != nil {
		return WriteError(flag, path, err)
	}
	defer place.Close()
	if place.Exists() && !place.IsPipe() {
		return WriteError(flag, path, fs.ErrExist)
	}
	return nil
}
