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

// tokenRecord is a token that was made. It is shown this once.
type tokenRecord struct {
	ID        uuid.UUID `json:"id"` // of the session or the key, by which it is revoked
	Type      string    `json:"type"`
	Username  string    `json:"username"`
	ExpiresAt *db.Time  `json:"expires_at"`
	Token     *string   `json:"token"` // null where it went to a file
}

var tokenView = output.View{Table: []string{"id", "type", "username", "expires_at", "token"}}

func (a *app) authToken() *cobra.Command {
	var n auth.NewKey
	var create, access, refresh bool
	var ttl lifetimeFlag
	var out string
	var flags changeFlags
	cmd := &cobra.Command{
		Use: "token --create --name N | --access | --refresh", Short: "Make a service's key, or a token for the backend's API", Args: exactly(),
		Long: `Make a service's key, or a token for the backend's API. It is printed once.

--create makes a key for jobs that run by themselves, named by CXGCTL_TOKEN_FILE. It belongs to the SYSTEM user
svc-NAME, who is made where there is none, and may do what --permissions says and nothing else: nothing that
you may not do yourself, and no longer than your roles last that allow it. cxgctl keys list and keys revoke are about these.

--access and --refresh make a token as the backend makes them, for 15 minutes or 7 days, signed with the secret
in auth.jwt_secret_file. In the format table it is printed alone, for scripts.`,
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
		if err := a.confirmIfProtected(ctx, w.Ledger, "make a token"); err != nil {
			return err
		}
		if err := a.refuseExisting("--token-out", out); err != nil {
			return err
		}
		if err := issue(); err != nil {
			return err
		}
		if made.Bounded {
			a.note("the key ends with the role that its permissions come from: %s", db.At(made.Expires))
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
	f.BoolVar(&create, "create", false, "a key for the service --name")
	f.BoolVar(&access, "access", false, "an access token of the backend, for 15 minutes")
	f.BoolVar(&refresh, "refresh", false, "a refresh token of the backend, for 7 days")
	f.StringVar(&n.Name, "name", "", "of the service: its user is svc-`NAME`")
	f.Var(&ttl, "ttl", "how `long` the key is good: 90d, 2w, 3mo (default: until it is revoked)")
	f.StringSliceVar(&n.Scopes, "permissions", nil, "the `codes` of what the key may do")
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

// printToken shows a token, or writes it to its file. People and scripts that asked for no other form get it
// alone, on a line.
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

// refuseExisting refuses a file that a secret is to be written to and that is there already.
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

// lifeFlag is how long something lasts: 90d, 12h, 30m.
type lifetimeFlag time.Duration

func (l *lifetimeFlag) String() string {
	if *l == 0 {
		return ""
	}
	return time.Duration(*l).String()
}

// Type names the flag's values in help.
func (l *lifetimeFlag) Type() string { return "span" }

// Set reads a length of time; months and years are those from now on.
func (l *lifetimeFlag) Set(s string) error {
	months, span, err := parseSpan(s)
	if err != nil {
		return err
	}
	now := time.Now()
	*l = lifetimeFlag(addMonths(now, months).Add(span).Sub(now))
	return nil
}
