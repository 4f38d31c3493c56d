package session

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/auth"
	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
)

func newKeysRotate(env *cmdutil.Env) *cobra.Command {
	var flags cmdutil.ChangeFlags
	var grace, ttl cliflag.LifetimeValue
	var out string
	cmd := &cobra.Command{
		Use: "rotate KEY", Short: "Replace a key, given by id, key id or name, by one with a new secret", Args: cmdutil.ExactArgs("KEY"),
		ValidArgsFunction: cliflag.CompleteRefs(keyKind.completion(env)),
		Long: "The new key has the service, the permissions and the lifetime of the old one, and is printed once. You need its\n" +
			"permissions yourself. The old key is revoked, or with --grace stays valid until the jobs have the new one.",
		Example: "  cxgctl keys rotate nightly-export --grace 1d --token-out key.new",
	}
	run := cmdutil.RunWrite(env, &flags, func(ctx context.Context, w *cmdutil.Writer, _ *cobra.Command, args []string) error {
		if err := w.Require("API_KEY_DELETE"); err != nil {
			return cmdutil.FailedOn(ctx, w, args[0], err)
		}
		t, err := keyKind.Open(w.Catalog)
		if err != nil {
			return err
		}
		ids, err := t.Find(ctx, w.DB, args)
		if fault.Is(err, fault.NotFound) {
			return cmdutil.FailedOn(ctx, w, args[0], err)
		} else if err != nil {
			return err
		}
		old, err := t.Get(ctx, w.DB, ids[0])
		if err != nil {
			return err
		}
		if err := cmdutil.ConfirmIfProtected(ctx, env, w.Ledger, "replace key "+args[0], 1); err != nil {
			return err
		}
		if err := cmdutil.RefuseExisting("--token-out", out); err != nil {
			return err
		}
		keys, err := auth.NewKeys(w.Catalog)
		if err != nil {
			return err
		}
		made, err := keys.Rotate(ctx, w.Ledger, w.Identity, old, auth.Rotation{Grace: time.Duration(grace), TTL: time.Duration(ttl)})
		if err != nil {
			return err
		}
		if made.Bounded {
			env.Note("the key expires with the role that grants its permissions: %s", db.At(made.Expires))
		}
		return cmdutil.PrintResult(env, w.Ledger, func() error { return cmdutil.PrintToken(env, made, "key", out) })
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if out == "" || out == cliflag.StandardStream {
			if err := cmdutil.CheckPrinted(env, cmd, "token", "the token", "--token-out F"); err != nil {
				return err
			}
		}
		return run(cmd, args)
	}
	f := cmd.Flags()
	f.Var(&grace, "grace", "how `long` the old key stays valid, at most 7d (default: it is revoked now)")
	f.Var(&ttl, "ttl", "how `long` the new key is valid: 90d, 2w, 3mo (default: as long as the old one was)")
	f.StringVar(&out, "token-out", "", "write the token to `file` (0600, must not exist) instead of printing it")
	cliflag.MarkFlags(f, cliflag.Recorded, "grace", "ttl")
	cliflag.MarkFile(cmd, "token-out", cliflag.FileField)
	flags.Bind(cmd)
	env.Specify(cmd, cmdutil.Spec{
		Permission: "API_KEY_CREATE", Resource: keyKind.Noun, Optional: []string{"API_KEY_DELETE"}, Tables: []string{schema.APIKeys, schema.Sessions},
		Audit: cmdutil.Always, Action: audit.Update,
	})
	return cmdutil.AddOutputFlags[cmdutil.Token](env, cmd)
}
