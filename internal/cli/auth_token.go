package cli

import (
	"context"
	"io"
	"io/fs"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/auth"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/outfile"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// tokenRecord is the record of a new token, which is shown only once.
type tokenRecord struct {
	ID        uuid.UUID `json:"id"` // of the session or the key, for revoking it
	Type      string    `json:"type"`
	Username  string    `json:"username"`
	ExpiresAt *db.Time  `json:"expires_at"`
	Token     *string   `json:"token"` // null if written to a file
}

var tokenView = output.View{Table: []string{"id", "type", "username", "expires_at", "token"}}

func (a *app) authToken() *cobra.Command {
	var n auth.NewKey
	var create, access, refresh bool
	var ttl lifetimeFlag
	var out string
	var flags changeFlags
	cmd := &cobra.Command{
		Use: "token --create --name N | --access | --refresh", Short: "Create an API key of a service, or a token for the backend's API", Args: exactly(),
		Long: `Create an API key of a service, or a token for the backend's API. It is printed once.

--create creates a key for unattended jobs, which read it from CXGCTL_TOKEN_FILE. It belongs to the SYSTEM user
svc-NAME, which is created if needed. It has only the permissions in --permissions, which must be among your own, and
expires with the roles that give them to you. cxgctl keys list and keys revoke manage keys.

--access and --refresh create a token like those of the backend, valid for 15 minutes or 7 days and signed with the
secret in auth.jwt_secret_file. The table format prints the token alone, for scripts.`,
		Example: "  cxgctl auth token --create --name nightly-export --ttl 90d --permissions AUDIT_LIST,INVOICE_LIST --token-out key\n" +
			"  curl -H \"Authorization: Bearer $(cxgctl auth token --access)\" https://api.example.com/api/v1/users",
	}
	spec := Spec{
		Permission: anyOperator, Optional: []string{"API_KEY_CREATE"}, Tables: []string{schema.APIKeys, schema.Sessions, schema.LoginLogs}, Audit: always,
	}
	run := a.runWrite(&flags, func(ctx context.Context, w *writer, _ *cobra.Command, _ []string) error {
		var made auth.Issued
		kind := "key"
		issue := func() (err error) {
			if create {
				n.TTL = time.Duration(ttl)
				made, err = a.makeKey(ctx, w, n)
				return err
			}
			if kind = "access"; refresh {
				kind = "refresh"
			}
			made, err = a.issueToken(ctx, w, refresh)
			return err
		}
		if err := a.confirmIfProtected(ctx, w.Ledger, "create a token"); err != nil {
			return err
		}
		if err := a.refuseExisting("--token-out", out); err != nil {
			return err
		}
		if err := issue(); err != nil {
			return err
		}
		if made.Bounded {
			a.note("the key expires with the role that grants its permissions: %s", db.At(made.Expires))
		}
		return a.printResult(w.Ledger, func() error { return a.printToken(made, kind, out) })
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if out == "" || out == standardStream {
			if err := a.checkPrinted(cmd, "token", "the token", "--token-out F"); err != nil {
				return err
			}
		}
		if create {
			spec.Permission = "API_KEY_CREATE"
			a.specify(cmd, spec)
		}
		return run(cmd, args)
	}
	f := cmd.Flags()
	f.BoolVar(&create, "create", false, "create an API key for the service --name")
	f.BoolVar(&access, "access", false, "create an access token of the backend, valid for 15 minutes")
	f.BoolVar(&refresh, "refresh", false, "create a refresh token of the backend, valid for 7 days")
	f.StringVar(&n.Name, "name", "", "name of the service, whose user is svc-`NAME`")
	f.Var(&ttl, "ttl", "how `long` the key is valid: 90d, 2w, 3mo (default: until revoked)")
	f.StringSliceVar(&n.Scopes, "permissions", nil, "permission `codes` of the key")
	markFlags(f, recorded, "create", "access", "refresh", "name", "ttl", "permissions")
	f.StringVar(&out, "token-out", "", "write the token to `file` (0600, must not exist) instead of printing it")
	names(cmd, "token-out", fileField)
	cmd.MarkFlagsOneRequired("create", "access", "refresh")
	cmd.MarkFlagsMutuallyExclusive("create", "access", "refresh")
	cmd.MarkFlagsRequiredTogether("create", "name", "permissions")
	flags.bind(cmd)
	a.specify(cmd, spec)
	return addOutputFlags[tokenRecord](a, cmd)
}

func (a *app) makeKey(ctx context.Context, w *writer, n auth.NewKey) (auth.Issued, error) {
	keys, err := auth.NewKeys(w.cat)
	if err != nil {
		return auth.Issued{}, err
	}
	return keys.Make(ctx, w.Ledger, w.who, n)
}

func (a *app) issueToken(ctx context.Context, w *writer, refresh bool) (auth.Issued, error) {
	secret, err := a.jwtSecret()
	if err != nil {
		return auth.Issued{}, err
	}
	door, err := auth.NewLogin(w.cat, userAgent(), auth.Lock{})
	if err != nil {
		return auth.Issued{}, err
	}
	return door.Issue(ctx, w.Ledger, w.who, secret, refresh)
}

// printToken prints a token, or writes it to its file. The table format prints the bare token on a line.
func (a *app) printToken(made auth.Issued, kind, file string) error {
	r := tokenRecord{ID: made.ID, Type: kind, Username: made.User, Token: &made.Token}
	if !made.Expires.IsZero() {
		at := db.At(made.Expires)
		r.ExpiresAt = &at
	}
	if file != "" && file != standardStream {
		if _, err := a.storeSecret("--token-out", file, made.Token); err != nil {
			return err
		}
		r.Token = nil
		return output.One(a.print, tokenView, r)
	}
	if a.print.Format == output.Table && a.print.File == "" && len(a.print.Columns) == 0 {
		_, err := io.WriteString(a.print.Stdout, made.Token+"\n")
		return err
	}
	a.print.Secret = true
	return output.One(a.print, tokenView, r)
}

// refuseExisting returns an error if the file for a secret already exists.
func (a *app) refuseExisting(flag, path string) error {
	if path == "" || path == standardStream {
		return nil
	}
	place, err := outfile.Locate(path)
	if err != nil {
		return writeError(flag, path, err)
	}
	defer place.Close()
	if place.Exists() && !place.IsPipe() {
		return writeError(flag, path, fs.ErrExist)
	}
	return nil
}

// lifetimeFlag is a duration such as 90d, 12h or 30m.
type lifetimeFlag time.Duration

func (l *lifetimeFlag) String() string {
	if *l == 0 {
		return ""
	}
	return time.Duration(*l).String()
}

// Type names the flag's values in help.
func (l *lifetimeFlag) Type() string { return "span" }

// Set parses a duration. Months and years are counted from now.
func (l *lifetimeFlag) Set(s string) error {
	months, span, err := parseSpan(s)
	if err != nil {
		return err
	}
	now := time.Now()
	*l = lifetimeFlag(addMonths(now, months).Add(span).Sub(now))
	return nil
}
