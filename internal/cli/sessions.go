package cli

import (
	"context"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/schema"
	"github.com/cxgctl/cxgctl/internal/sessions"
)

var (
	sessionView = output.View{
		Table: []string{"id", "username", "session_type", "status", "ip_address", "last_activity_at", "expires_at"},
		Wide:  []string{"id", "username", "tenant_id", "session_type", "status", "ip_address", "user_agent", "created_at", "last_activity_at", "expires_at"},
	}
	loginLogView = output.View{
		Table: []string{"created_at", "username", "attempt_type", "success", "failure_reason", "ip_address"},
		Wide:  []string{"id", "created_at", "username", "user_type", "attempt_type", "success", "failure_reason", "ip_address", "user_agent", "mfa_used"},
	}
	keyView = output.View{
		Table: []string{"id", "key_name", "username", "scopes", "status", "expires_at", "last_used_at"},
		Wide:  []string{"id", "key_id", "key_name", "username", "tenant_id", "service_account", "scopes", "status", "expires_at", "last_used_at", "usage_count", "created_at"},
	}
)

func (a *app) sessionsCommand() *cobra.Command {
	return a.group("sessions", "List and revoke sessions",
		revocableList(a, "List sessions, newest first", schema.Sessions, sessionView, sessions.NewSessions),
		a.sessionsRevoke())
}

func (a *app) keysCommand() *cobra.Command {
	return a.group("keys", "Manage API keys of services",
		revocableList(a, "List keys, newest first", schema.APIKeys, keyView, sessions.NewKeys),
		a.keysRevoke())
}

func (a *app) loginsCommand() *cobra.Command {
	return a.group("logins", "List login attempts", a.loginsList())
}

// revocableList returns the list command of sessions or keys.
func revocableList[T any](a *app, short, table string, view output.View, in func(schema.Catalog) (sessions.Table[T], error)) *cobra.Command {
	var f sessions.Filter
	var user string
	var page pageFlags
	cmd := &cobra.Command{Use: "list", Short: short, Args: exactly()}
	var made rangeFlags
	run := listOf(a, view, &page, &f, &user, in)
	cmd.RunE = a.runRead(func(ctx context.Context, s *session, cmd *cobra.Command, args []string) error {
		f.Since, f.Until = made.since.Time(), made.until.Time()
		return run(ctx, s, cmd, args)
	})
	cmd.Flags().StringVar(&user, "user", "", "only those of this `user`")
	cmd.Flags().StringSliceVar(&f.Statuses, "status", nil, "only these `statuses`: ACTIVE, EXPIRED, INACTIVE, REVOKED")
	markFlags(cmd.Flags(), recorded, "user", "status")
	made.bind(cmd, "created")
	cmd.Flags().BoolVar(&f.Live, "live", false, "only those that are valid now")
	must(cmd.RegisterFlagCompletionFunc("user", userNoun.completion(a, true)))
	page.bind(cmd)
	a.specify(cmd, Spec{Permission: "API_KEY_LIST", Tables: []string{table}})
	return addOutputFlags[T](a, cmd)
}

// listOf returns the RunE of a list that --user can limit to one user.
func listOf[T any](a *app, view output.View, page *pageFlags, f *sessions.Filter, user *string, in func(schema.Catalog) (sessions.Table[T], error)) func(context.Context, *session, *cobra.Command, []string) error {
	return func(ctx context.Context, s *session, cmd *cobra.Command, args []string) error {
		if *user != "" {
			u, err := userNoun.lookup(ctx, s, refFlags{}, *user)
			if err != nil {
				return err
			}
			f.User = u.ID
		}
		return list(a, view, page, func(_ context.Context, s *session) (listing[T], error) {
			t, err := in(s.cat)
			return listing[T]{
				matching: func(context.Context, db.Increment) (db.ListQuery[T], error) { return t.Matching(*f), nil },
			}, err
		})(ctx, s, cmd, args)
	}
}

func (a *app) loginsList() *cobra.Command {
	var f sessions.Filter
	var user string
	var success bool
	var made rangeFlags
	var page pageFlags
	cmd := &cobra.Command{
		Use: "list", Short: "List attempts to log in and out, newest first", Args: exactly(),
		Example: "  cxgctl logins list --success=false --since 7d\n  cxgctl logins list --user ada --address 192.0.2.0/24",
	}
	run := listOf(a, loginLogView, &page, &f, new(string), sessions.NewLogins)
	cmd.RunE = a.runRead(func(ctx context.Context, s *session, cmd *cobra.Command, args []string) error {
		f.Username, f.Since, f.Until = user, made.since.Time(), made.until.Time()
		if cmd.Flags().Changed("success") {
			f.Success = &success
		}
		return run(ctx, s, cmd, args)
	})
	cmd.Flags().StringVar(&user, "user", "", "only attempts with this `username`, which need not exist")
	cmd.Flags().BoolVar(&success, "success", false, "only successful attempts; with --success=false only failed ones")
	cmd.Flags().StringVar(&f.Address, "address", "", "only from this `address` or network: 192.0.2.7, 192.0.2.0/24")
	markFlags(cmd.Flags(), recorded, "user", "success", "address")
	made.bind(cmd, "created")
	must(cmd.RegisterFlagCompletionFunc("user", userNoun.completion(a, true)))
	page.bind(cmd)
	a.specify(cmd, Spec{Permission: "AUDIT_LIST", Tables: []string{schema.LoginLogs}})
	return addOutputFlags[sessions.Login](a, cmd)
}

func (a *app) sessionsRevoke() *cobra.Command {
	var user string
	var expired bool
	cmd := revokeCommand(a, "revoke ID… | --user REF | --all-expired", "End sessions", schema.Sessions, sessionView, sessions.NewSessions,
		func(ctx context.Context, s *session, refs []string) (sessions.Ended, error) {
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
				u, err := userNoun.lookup(ctx, s, refFlags{}, user)
				e.Users = []uuid.UUID{u.ID}
				return e, err
			}
			return e, nil
		})
	cmd.Example = "  cxgctl sessions revoke --user ada --reason 'lost the laptop'\n  cxgctl sessions revoke --all-expired"
	cmd.Flags().StringVar(&user, "user", "", "every ACTIVE session of this `user`")
	cmd.Flags().BoolVar(&expired, "all-expired", false, "mark ACTIVE sessions whose time is over as EXPIRED")
	markFlags(cmd.Flags(), recorded, "user", "all-expired")
	must(cmd.RegisterFlagCompletionFunc("user", userNoun.completion(a, true)))
	return cmd
}

func (a *app) keysRevoke() *cobra.Command {
	cmd := revokeCommand(a, "revoke KEY…", "End keys, given by id, key id or name", schema.APIKeys, keyView, sessions.NewKeys,
		func(_ context.Context, _ *session, refs []string) (sessions.Ended, error) {
			if len(refs) == 0 {
				return sessions.Ended{}, fault.New(fault.Usage, "which key?").WithHint("give its id, key id or name; to list keys: cxgctl keys list")
			}
			return sessions.Ended{}, nil
		})
	cmd.Example = "  cxgctl keys revoke nightly-export --reason 'job removed'\n  cxgctl keys revoke 3f2a9c1d00b4e6f7"
	return cmd
}

// revokeCommand returns a command that ends the sessions or keys given by id and those that more selects.
func revokeCommand[T any](a *app, use, short, table string, view output.View, in func(schema.Catalog) (sessions.Table[T], error),
	more func(context.Context, *session, []string) (sessions.Ended, error),
) *cobra.Command {
	var flags changeFlags
	cmd := &cobra.Command{Use: use, Short: short, Args: cobra.ArbitraryArgs}
	cmd.RunE = a.runWrite(&flags, func(ctx context.Context, w *writer, cmd *cobra.Command, args []string) error {
		t, err := in(w.cat)
		if err != nil {
			return err
		}
		e, err := more(ctx, w.session, args)
		if fault.Is(err, fault.NotFound) {
			return a.failedOn(ctx, w, nounOf(cmd), cmd.Flag("user").Value.String(), err)
		} else if err != nil {
			return err
		}
		if len(args) > 0 {
			if e.IDs, err = t.Find(ctx, w.db, unique(args)); fault.Is(err, fault.NotFound) {
				return a.failedOn(ctx, w, nounOf(cmd), args[0], err)
			} else if err != nil {
				return err
			}
		}
		due, err := t.Due(ctx, w.db, e)
		if err != nil {
			return err
		}
		if err := w.Guard.Check(due); err != nil {
			return a.failedOn(ctx, w, nounOf(cmd), "", err)
		}
		if due == 0 {
			a.note("%s", nothingToRevoke(cmd, args))
			return a.printResult(w.Ledger, func() error { return printWhole(a, view, []T{}) })
		}
		ask := a.confirmChange
		if e.Expired {
			ask = a.confirmIfProtected // expired sessions are unusable already
		}
		if err := ask(ctx, w.Ledger, revokeQuestion(cmd, args)); err != nil {
			return err
		}
		gone, err := t.Revoke(ctx, w.Ledger, e)
		if err != nil {
			return err
		}
		return a.printResult(w.Ledger, func() error {
			if len(gone) == 1 && len(args) == 1 {
				return output.One(a.print, view, gone[0])
			}
			return printWhole(a, view, append([]T{}, gone...))
		})
	})
	flags.bindBatch(cmd)
	a.specify(cmd, Spec{Permission: "API_KEY_DELETE", Tables: []string{table}, Audit: always, Action: audit.Update})
	return addOutputFlags[T](a, cmd)
}

// nothingToRevoke returns the note for a revocation without effect.
func nothingToRevoke(cmd *cobra.Command, named []string) string {
	if len(named) == 1 {
		return nounOf(cmd) + " " + named[0] + " has already ended; nothing changed"
	}
	if len(named) > 1 {
		return "all " + plural(len(named), nounOf(cmd)) + " have already ended; nothing changed"
	}
	return "no " + nounOf(cmd) + " to end; nothing changed"
}

// revokeQuestion returns the confirmation question of a revocation.
func revokeQuestion(cmd *cobra.Command, named []string) string {
	if user := cmd.Flags().Lookup("user"); user != nil && user.Changed {
		return "end the sessions of " + user.Value.String()
	}
	if len(named) == 1 {
		return "end " + nounOf(cmd) + " " + named[0]
	}
	return "end " + plural(len(named), nounOf(cmd))
}

// failedOn writes the audit row of a failed attempt and returns err.
func (a *app) failedOn(ctx context.Context, w *writer, resource, name string, err error) error {
	w.RecordFailure(ctx, audit.Intent{Subject: audit.Subject{Resource: resource, Name: name}, Action: w.action}, err)
	return err
}
