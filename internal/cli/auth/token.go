package auth

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/auth"
	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/roles"
	"github.com/cxgctl/cxgctl/internal/schema"
)

func newToken(env *cmdutil.Env) *cobra.Command {
	var n auth.NewKey
	var create, access, refresh bool
	var ttl cliflag.LifetimeValue
	var out cmdutil.TokenFlags
	var flags cmdutil.ChangeFlags
	cmd := &cobra.Command{
		Use: "token --create --name N | --access | --refresh", Short: "Create an API key of a service, or a token for the backend's API", Args: cmdutil.ExactArgs(),
		Long: `Create an API key of a service, or a token for the backend's API. It is printed once.

--create creates a key for unattended jobs, which read it from CXGCTL_TOKEN_FILE. It belongs to the SYSTEM user
svc-NAME, which is created if needed. It has only the permissions in --permissions, which must be among your own, and
expires with the roles that give them to you. cxgctl keys list and keys revoke manage keys.

--access and --refresh create a token like those of the backend, valid for 15 minutes or 7 days and signed with the
secret in auth.jwt_secret_file. The table format prints the token alone, for scripts.`,
		Example: "  cxgctl auth token --create --name nightly-export --ttl 90d --permissions AUDIT_LIST,INVOICE_LIST --token-out key\n" +
			"  curl -H \"Authorization: Bearer $(cxgctl auth token --access)\" https://api.example.com/api/v1/users",
	}
	spec := cmdutil.Spec{
		Permission: cmdutil.AnyOperator, Resource: "auth", Optional: []string{"API_KEY_CREATE"}, Tables: []string{schema.APIKeys, schema.Sessions, schema.LoginLogs}, Audit: cmdutil.Always,
	}
	run := cmdutil.RunWrite(env, &flags, func(ctx context.Context, w *cmdutil.Writer, _ *cobra.Command, _ []string) error {
		if err := cmdutil.ConfirmIfProtected(ctx, env, w.Ledger, "create a token", 1); err != nil {
			return err
		}
		keep := out.Keep(env, w.Ledger)
		if create {
			n.TTL = time.Duration(ttl)
			made, err := makeKey(ctx, w, n, keep)
			if err != nil {
				return err
			}
			return out.Print(env, w.Ledger, made, "key")
		}
		kind := auth.AccessToken
		if refresh {
			kind = auth.RefreshToken
		}
		made, err := issueToken(ctx, env, w, kind, keep)
		if err != nil {
			return err
		}
		return out.Print(env, w.Ledger, made, kind)
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if create {
			spec.Permission = "API_KEY_CREATE"
			env.Specify(cmd, spec)
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
	cliflag.CompleteFlagWith(cmd, "permissions", completePermissions(env))
	cliflag.MarkFlags(f, cliflag.Recorded, "create", "access", "refresh", "name", "ttl", "permissions")
	cmd.MarkFlagsOneRequired("create", "access", "refresh")
	cmd.MarkFlagsMutuallyExclusive("create", "access", "refresh")
	cmd.MarkFlagsRequiredTogether("create", "name", "permissions")
	flags.Bind(cmd)
	env.Specify(cmd, spec)
	return out.Bind(env, cmd)
}

// completePermissions completes the codes of the permissions that roles grant.
func completePermissions(env *cmdutil.Env) cobra.CompletionFunc {
	spec := cmdutil.Spec{Permission: "ROLE_LIST"}
	return cmdutil.CompleteLive(env, spec, func(ctx context.Context, s *cmdutil.Session, _ *cobra.Command, _ string) ([]db.Word, error) {
		t, err := roles.NewTable(s.Catalog)
		if err != nil {
			return nil, err
		}
		list, err := t.Matching(roles.Filter{}).First(ctx, s.DB, 1000)
		var codes []string
		for _, r := range list {
			codes = append(codes, r.Permissions...)
		}
		slices.Sort(codes)
		return db.Words(codes), err
	})
}

func makeKey(ctx context.Context, w *cmdutil.Writer, n auth.NewKey, keep auth.Keep) (auth.Issued, error) {
	keys, err := auth.NewKeys(w.Catalog)
	if err != nil {
		return auth.Issued{}, err
	}
	return keys.Make(ctx, w.Ledger, w.Identity, n, keep)
}

func issueToken(ctx context.Context, env *cmdutil.Env, w *cmdutil.Writer, kind string, keep auth.Keep) (auth.Issued, error) {
	secret, err := cmdutil.JWTSecret(env)
	if err != nil {
		return auth.Issued{}, err
	}
	door, err := auth.NewLogin(w.Catalog, cmdutil.UserAgent(), auth.Lock{})
	if err != nil {
		return auth.Issued{}, err
	}
	return door.Issue(ctx, w.Ledger, w.Identity, secret, kind, keep)
}
