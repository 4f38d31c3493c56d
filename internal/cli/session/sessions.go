// Package session implements the sessions, logins and keys commands.
package session

import (
	"context"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/cli/listcmd"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/sessions"
)

var (
	sessionView = output.View{
		Name:  "sessions",
		Table: []string{"id", "username", "session_type", "status", "ip_address", "last_activity_at", "expires_at"},
		Wide:  []string{"id", "username", "tenant_id", "session_type", "status", "ip_address", "user_agent", "created_at", "last_activity_at", "expires_at"},
	}
	loginLogView = output.View{
		Name:  "logins",
		Table: []string{"created_at", "username", "attempt_type", "success", "failure_reason", "ip_address"},
		Wide:  []string{"id", "created_at", "username", "user_type", "attempt_type", "success", "failure_reason", "ip_address", "user_agent", "mfa_used"},
	}
	keyView = output.View{
		Name:  "keys",
		Table: []string{"key_name", "username", "status", "expires_at", "scopes", "last_used_at", "id"},
		Wide:  []string{"id", "key_id", "key_name", "username", "tenant_id", "service_account", "scopes", "status", "expires_at", "last_used_at", "usage_count", "created_at"},
	}
)

// revocable is a kind of row that its commands list and revoke.
type revocable[T any] struct {
	sessions.Kind[T]
	view output.View
	word func(T) (id string, notes []*string) // for completion
}

var (
	sessionKind = revocable[sessions.Session]{sessions.SessionKind, sessionView, func(x sessions.Session) (string, []*string) {
		return x.ID.String(), []*string{x.Username, x.Type, x.IPAddress}
	}}
	keyKind = revocable[sessions.Key]{sessions.KeyKind, keyView, func(x sessions.Key) (string, []*string) {
		return x.ID.String(), []*string{x.KeyName, x.Username}
	}}
)

// NewCommand returns the commands about sessions.
func NewCommand(env *cmdutil.Env) *cobra.Command {
	return cmdutil.Group("sessions", "List and revoke sessions",
		cmdutil.Describe(revocableList(env, "List sessions, newest first", sessionKind), "Sessions of the platform and logins of cxgctl.",
			"  cxgctl sessions list --user ada\n  cxgctl sessions list --live -o csv"),
		newRevoke(env))
}

// NewKeysCommand returns the commands about API keys.
func NewKeysCommand(env *cmdutil.Env) *cobra.Command {
	return cmdutil.Group("keys", "Manage API keys of services",
		cmdutil.Describe(revocableList(env, "List keys, newest first", keyKind),
			"A key lets a service work without a password. Expired and revoked keys stay in the list.", "  cxgctl keys list\n  cxgctl keys list --live -o csv"),
		newKeysRotate(env), newKeysRevoke(env))
}

// NewLoginsCommand returns the commands about login attempts.
func NewLoginsCommand(env *cmdutil.Env) *cobra.Command {
	return cmdutil.Group("logins", "List login attempts", newLoginsList(env))
}

// completion completes the ids of live rows.
func (k revocable[T]) completion(env *cmdutil.Env) cobra.CompletionFunc {
	spec := cmdutil.Spec{Permission: "API_KEY_LIST", Tables: []string{k.Table}}
	return cmdutil.CompleteRecent(env, spec, func(_ context.Context, s *cmdutil.Session, _ *cobra.Command) (db.ListQuery[T], error) {
		t, err := k.Open(s.Catalog)
		if err != nil {
			return db.ListQuery[T]{}, err
		}
		return t.Matching(sessions.Filter{Live: true}), nil
	}, k.word)
}

// revocableList returns the list command of sessions or keys.
func revocableList[T any](env *cmdutil.Env, short string, k revocable[T]) *cobra.Command {
	var f sessions.Filter
	var user string
	var page listcmd.PageFlags
	cmd := &cobra.Command{Use: "list", Short: short, Args: cmdutil.ExactArgs()}
	var made cliflag.RangeFlags
	cmd.RunE = cmdutil.RunRead(env, listcmd.List(env, k.view, &page, func(ctx context.Context, s *cmdutil.Session, _ db.Increment) (q db.ListQuery[T], err error) {
		if user != "" {
			u, err := cmdutil.Users.Lookup(ctx, s, cmdutil.RefFlags{}, user)
			if err != nil {
				return q, err
			}
			f.User = u.ID
		}
		t, err := k.Open(s.Catalog)
		f.Since, f.Until = made.Since.Time(), made.Until.Time()
		return t.Matching(f), err
	}))
	cmd.Flags().StringVar(&user, "user", "", "only those of this `user`")
	cmd.Flags().StringSliceVar(&f.Statuses, "status", nil, "only these `statuses`: ACTIVE, EXPIRED, INACTIVE, REVOKED")
	cliflag.MarkFlags(cmd.Flags(), cliflag.Recorded, "user", "status")
	cliflag.CompleteFlag(cmd, "status", k.Statuses...)
	made.Bind(cmd, "created")
	cmd.Flags().BoolVar(&f.Live, "live", false, "only those that are valid now")
	cmdutil.Users.CompleteFlag(env, cmd, "user")
	page.Bind(cmd)
	env.Specify(cmd, cmdutil.Spec{Permission: "API_KEY_LIST", Resource: k.Noun, Tables: []string{k.Table}})
	return cmdutil.AddOutputFlags[T](env, cmd)
}

func newLoginsList(env *cmdutil.Env) *cobra.Command {
	var f sessions.Filter
	var user string
	var success bool
	var made cliflag.RangeFlags
	var page listcmd.PageFlags
	cmd := &cobra.Command{
		Use: "list", Short: "List attempts to log in and out, newest first", Long: "The platform's attempts are shown together with those of cxgctl.", Args: cmdutil.ExactArgs(),
		Example: "  cxgctl logins list --success=false --since 7d\n  cxgctl logins list --user ada --address 192.0.2.0/24",
	}
	cmd.RunE = cmdutil.RunRead(env, listcmd.List(env, loginLogView, &page, func(_ context.Context, s *cmdutil.Session, _ db.Increment) (db.ListQuery[sessions.Login], error) {
		t, err := sessions.LoginKind.Open(s.Catalog)
		f.Username, f.Since, f.Until = user, made.Since.Time(), made.Until.Time()
		if cmd.Flags().Changed("success") {
			f.Success = &success
		}
		return t.Matching(f), err
	}))
	cmd.Flags().StringVar(&user, "user", "", "only attempts with this `username`, which need not exist")
	cmd.Flags().BoolVar(&success, "success", false, "only successful attempts; with --success=false only failed ones")
	cmd.Flags().StringVar(&f.Address, "address", "", "only from this `address` or network: 192.0.2.7, 192.0.2.0/24")
	cliflag.MarkFlags(cmd.Flags(), cliflag.Recorded, "user", "success", "address")
	made.Bind(cmd, "created")
	cmdutil.Users.CompleteFlag(env, cmd, "user")
	page.Bind(cmd)
	env.Specify(cmd, cmdutil.Spec{Permission: "AUDIT_LIST", Resource: sessions.LoginKind.Noun, Tables: []string{sessions.LoginKind.Table}})
	return cmdutil.AddOutputFlags[sessions.Login](env, cmd)
}

func newRevoke(env *cmdutil.Env) *cobra.Command {
	var user string
	var expired bool
	cmd := revokeCommand(env, "revoke ID… | --user REF | --all-expired", "End sessions", sessionKind,
		func(ctx context.Context, s *cmdutil.Session, refs []string) (sessions.Ended, error) {
			e := sessions.Ended{Expired: expired}
			given := 0
			for _, is := range []bool{len(refs) > 0, user != "", expired} {
				if is {
					given++
				}
			}
			if given != 1 {
				return e, fault.New(fault.Usage, "which sessions? Give ids, --user or --all-expired").
					WithHint("ids are listed by: cxgctl sessions list")
			}
			if user != "" {
				u, err := cmdutil.Users.Lookup(ctx, s, cmdutil.RefFlags{}, user)
				e.Users = []uuid.UUID{u.ID}
				return e, err
			}
			return e, nil
		})
	cmd.Example = "  cxgctl sessions revoke --user ada --reason 'lost the laptop'\n  cxgctl sessions revoke --all-expired"
	cmd.Flags().StringVar(&user, "user", "", "every ACTIVE session of this `user`")
	cmd.Flags().BoolVar(&expired, "all-expired", false, "mark ACTIVE sessions whose time is over as EXPIRED")
	cliflag.MarkFlags(cmd.Flags(), cliflag.Recorded, "user", "all-expired")
	cmdutil.Users.CompleteFlag(env, cmd, "user")
	return cmd
}

func newKeysRevoke(env *cmdutil.Env) *cobra.Command {
	cmd := revokeCommand(env, "revoke KEY…", "End keys, given by id, key id or name", keyKind,
		func(_ context.Context, _ *cmdutil.Session, refs []string) (sessions.Ended, error) {
			if len(refs) == 0 {
				return sessions.Ended{}, fault.New(fault.Usage, "which key?").WithHint("give its id, key id or name; to list keys: cxgctl keys list")
			}
			return sessions.Ended{}, nil
		})
	cmd.Long = "A revoked key is refused from the next command on."
	cmd.Example = "  cxgctl keys revoke nightly-export --reason 'job removed'\n  cxgctl keys revoke 3f2a9c1d00b4e6f7"
	return cmd
}

// revokeCommand returns a command that ends the sessions or keys given by id and those that more selects.
func revokeCommand[T any](env *cmdutil.Env, use, short string, k revocable[T],
	more func(context.Context, *cmdutil.Session, []string) (sessions.Ended, error),
) *cobra.Command {
	var flags cmdutil.ChangeFlags
	cmd := &cobra.Command{Use: use, Short: short, Args: cobra.ArbitraryArgs, ValidArgsFunction: cliflag.CompleteRefs(k.completion(env))}
	cmd.RunE = cmdutil.RunWrite(env, &flags, func(ctx context.Context, w *cmdutil.Writer, cmd *cobra.Command, args []string) error {
		t, err := k.Open(w.Catalog)
		if err != nil {
			return err
		}
		e, err := more(ctx, w.Session, args)
		if fault.Is(err, fault.NotFound) {
			return cmdutil.FailedOn(ctx, w, cmd.Flag("user").Value.String(), err)
		} else if err != nil {
			return err
		}
		if len(args) > 0 {
			if e.IDs, err = t.Find(ctx, w.DB, cmdutil.Unique(args)); fault.Is(err, fault.NotFound) {
				return cmdutil.FailedOn(ctx, w, args[0], err)
			} else if err != nil {
				return err
			}
		}
		due, err := t.Due(ctx, w.DB, e)
		if err != nil {
			return err
		}
		if err := w.Guard.Check(due); err != nil {
			return cmdutil.FailedOn(ctx, w, "", err)
		}
		if due == 0 {
			env.Note("%s", nothingToRevoke(k.Noun, args))
			return cmdutil.PrintResult(env, w.Ledger, func() error { return cmdutil.PrintWhole(env, k.view, []T{}) })
		}
		ask := cmdutil.ConfirmChange
		if e.Expired {
			ask = cmdutil.ConfirmIfProtected // expired sessions are unusable already
		}
		if err := ask(ctx, env, w.Ledger, revokeQuestion(cmd, k.Noun, args), due); err != nil {
			return err
		}
		gone, err := t.Revoke(ctx, w.Ledger, e)
		if err != nil {
			return err
		}
		return cmdutil.PrintResult(env, w.Ledger, func() error {
			if len(gone) == 1 && len(args) == 1 {
				return output.One(env.Printer, k.view, gone[0])
			}
			return cmdutil.PrintWhole(env, k.view, append([]T{}, gone...))
		})
	})
	flags.BindBatch(cmd)
	env.Specify(cmd, cmdutil.Spec{Permission: "API_KEY_DELETE", Resource: k.Noun, Tables: []string{k.Table}, Audit: cmdutil.Always, Action: audit.Update})
	return cmdutil.AddOutputFlags[T](env, cmd)
}

// nothingToRevoke returns the note for a revocation without effect.
func nothingToRevoke(noun string, named []string) string {
	if len(named) == 1 {
		return noun + " " + named[0] + " has already ended; nothing changed"
	}
	if len(named) > 1 {
		return "all " + fault.Plural(len(named), noun) + " have already ended; nothing changed"
	}
	return "no " + noun + " to end; nothing changed"
}

// revokeQuestion returns the confirmation question of a revocation.
func revokeQuestion(cmd *cobra.Command, noun string, named []string) string {
	if user := cmd.Flags().Lookup("user"); user != nil && user.Changed {
		return "end the sessions of " + user.Value.String()
	}
	if len(named) == 1 {
		return "end " + noun + " " + named[0]
	}
	return "end " + fault.Plural(len(named), noun)
}
