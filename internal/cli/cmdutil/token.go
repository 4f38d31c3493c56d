package cmdutil

import (
	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/auth"
	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/db"
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

// TokenFlags select where a new token goes.
type TokenFlags struct {
	file    string
	written bool // to standard output
}

// Bind adds --token-out and the output flags.
func (t *TokenFlags) Bind(env *Env, cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVar(&t.file, "token-out", "", "write the token to `file` (0600, must not exist) instead of printing it")
	cliflag.MarkFile(cmd, "token-out", cliflag.FileField)
	return BindOutput(env, cmd, func(columns []string) error {
		if t.isPrinted() {
			if err := CheckPrinted(env, cmd, "token", "the token", "--token-out F"); err != nil {
				return err
			}
		}
		return output.CheckColumns[Token](columns)
	})
}

func (t *TokenFlags) isPrinted() bool { return t.file == "" || t.file == cliflag.StandardStream }

// Keep returns the function that writes a token before the change that makes it valid: to its file, or as a bare line to
// standard output, unless that is a terminal.
func (t *TokenFlags) Keep(env *Env, l *audit.Ledger) auth.Keep {
	return func(token string, change func() error) error {
		if !l.DryRun && t.isBare(env) && !env.Printer.Terminal.IsTTY {
			t.written = true
			if err := env.Printer.Document([]byte(token + "\n")); err != nil {
				return err
			}
			err := change()
			if err != nil && !audit.OutcomeUnknown(err) {
				env.Note("the token on standard output is not valid")
			}
			return err
		}
		return KeepSecret(env, l, "--token-out", t.file, token, change)
	}
}

// isBare reports whether a token is printed without a record.
func (t *TokenFlags) isBare(env *Env) bool {
	return t.isPrinted() && env.Printer.Format == output.Table && env.Printer.File == "" && len(env.Printer.Columns) == 0
}

// Print prints a new token, or its record only if the token was written to a file. The table format prints the bare
// token on a line.
func (t *TokenFlags) Print(env *Env, l *audit.Ledger, made auth.Issued, kind string) error {
	if made.Bounded {
		env.Note("the key expires with the role that grants its permissions: %s", db.At(made.Expires))
	}
	return PrintResult(env, l, func() error {
		r := Token{ID: made.ID, Type: kind, Username: made.User}
		if !made.Expires.IsZero() {
			at := db.At(made.Expires)
			r.ExpiresAt = &at
		}
		if !t.isPrinted() {
			return output.One(env.Printer, tokenView, r)
		}
		if t.written {
			return nil
		}
		env.Renew = "cxgctl auth token --" + kind
		if kind == "key" {
			env.Renew = "cxgctl keys rotate " + made.ID.String()
		}
		if t.isBare(env) {
			return env.Printer.Document([]byte(made.Token + "\n"))
		}
		env.Printer.Secret = true
		r.Token = &made.Token
		return output.One(env.Printer, tokenView, r)
	})
}
