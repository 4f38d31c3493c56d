package session

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/auth"
	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
)

func newKeysRotate(env *cmdutil.Env) *cobra.Command {
	var flags cmdutil.ChangeFlags
	var grace, ttl cliflag.LifetimeValue
	var out cmdutil.TokenFlags
	cmd := &cobra.Command{
		Use: "rotate KEY", Short: "Replace a key, given by id, key id or name, by one with a new secret", Args: cmdutil.ExactArgs("KEY"),
		ValidArgsFunction: cliflag.CompleteRefs(keyKind.completion(env)),
		Long: "The new key has the service, the permissions and the lifetime of the old one, and is printed once. You need its\n" +
			"permissions yourself. The old key is revoked, or with --grace stays valid until the jobs have the new one.",
		Example: "  cxgctl keys rotate nightly-export --grace 1d --token-out key.new",
	}
	cmd.RunE = cmdutil.RunWrite(env, &flags, func(ctx context.Context, w *cmdutil.Writer, _ *cobra.Command, args []string) error {
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
		keys, err := auth.NewKeys(w.Catalog)
		if err != nil {
			return err
		}
		r := auth.Rotation{Grace: time.Duration(grace), TTL: time.Duration(ttl)}
		made, err := keys.Rotate(ctx, w.Ledger, w.Identity, old, r, out.Keep(env, w.Ledger))
		if err != nil {
			return err
		}
		return out.Print(env, w.Ledger, made, "key")
	})
	f := cmd.Flags()
	f.Var(&grace, "grace", "how `long` the old key stays valid, at most 7d (default: it is revoked now)")
	f.Var(&ttl, "ttl", "how `long` the new key is valid: 90d, 2w, 3mo (default: as long as the old one was)")
	cliflag.MarkFlags(f, cliflag.Recorded, "grace", "ttl")
	flags.Bind(cmd)
	env.Specify(cmd, cmdutil.Spec{
		Permission: "API_KEY_CREATE", Resource: keyKind.Noun, Optional: []string{"API_KEY_DELETE"}, Tables: []string{schema.APIKeys, schema.Sessions},
		Audit: cmdutil.Always, Action: audit.Update,
	})
	return out.Bind(env, cmd)
}
