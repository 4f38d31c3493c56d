package cli

import (
	"bufio"
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/ref"
	"github.com/cxgctl/cxgctl/internal/users"
)

// batch is a command that changes many users alike: those whom REFs name, standard input lists, or a
// filter selects.
type batch struct {
	a           *app
	verb        string // as a question asks it: "delete"
	action      audit.Action
	destructive bool // asks even for one
	deleted     bool // looks at deleted users: restore
	edit        func(t *users.Table) (users.Edit, error)

	ref    refFlags
	filter userFilter
	stdin  bool
	flags  changeFlags
}

func (b *batch) command(use, short, example string) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Example: example,
		ValidArgsFunction: func(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
			return b.a.completeUsername(cmd, prefix, !b.deleted)
		},
	}
	cmd.RunE = b.a.changing(&b.flags, b.run)
	cmd.Flags().BoolVar(&b.stdin, "stdin", false, "read REFs from standard input, one a line")
	b.ref.bind(cmd, "id", "username", "email")
	b.filter.bind(cmd)
	b.flags.bindBatch(cmd)
	return records[users.User](b.a, cmd)
}

func (b *batch) run(ctx context.Context, w *writer, _ *cobra.Command, args []string) error {
	t, err := users.In(w.cat)
	if err != nil {
		return err
	}
	edit, err := b.edit(t)
	if err != nil {
		return err
	}
	targets, failures, err := b.targets(ctx, w, t, args)
	if err != nil {
		return err
	}
	var after []users.User
	if len(targets) > 0 || len(failures) == 0 {
		if err := b.ask(ctx, targets); err != nil {
			return err
		}
		if after, err = t.Apply(ctx, w.Ledger, targets, edit); err != nil {
			return err
		}
	}
	for _, f := range failures {
		_ = b.a.failed(ctx, w, f.Ref, f.Err)
	}
	single := len(args) == 1 && !b.stdin
	if len(after) > 0 || (len(failures) == 0 && !single) {
		err = b.a.finish(w.Ledger, func() error {
			if single {
				return output.One(b.a.print, userView, after[0])
			}
			return printWhole(b.a, userView, after)
		})
		if err != nil {
			return err
		}
	}
	return b.verdict(failures, len(after))
}

// targets finds the users to change. A REF that leads nowhere is a failure of its own, and the others
// go ahead.
func (b *batch) targets(ctx context.Context, w *writer, t *users.Table, args []string) (targets []users.User, failures []ref.Found[users.User], err error) {
	refs := args
	if b.stdin {
		lines, err := b.a.lines()
		if err != nil {
			return nil, nil, err
		}
		refs = append(refs, lines...)
	}
	filter := b.filter.filter()
	switch {
	case (len(refs) > 0 || b.stdin) && !filter.Empty():
		return nil, nil, fault.New(fault.Usage, "REFs and filters exclude each other").WithHint("name users, or select them")
	case len(refs) == 0 && b.stdin:
		return nil, nil, nil
	case len(refs) == 0 && filter.Empty():
		return nil, nil, fault.New(fault.Usage, "no user is named").
			WithHint("name users as REFs, list them on standard input with --stdin, or select them with the filters of users list")
	case len(refs) == 0:
		targets, err = t.Select(ctx, w.db, w.idle, filter, b.deleted)
		return targets, nil, err
	}
	by, err := users.Noun.By(b.ref.by)
	if err != nil {
		return nil, nil, err
	}
	found, err := t.Find(ctx, w.db, unique(refs), by, b.deleted)
	if err != nil {
		return nil, nil, err
	}
	seen := map[string]bool{}
	for _, f := range found {
		switch {
		case f.Err != nil:
			failures = append(failures, f)
		case !seen[f.Row.ID.String()]:
			seen[f.Row.ID.String()] = true
			targets = append(targets, f.Row)
		}
	}
	return targets, failures, nil
}

// ask says how many users a command is about to change and has a person confirm what is destructive,
// selected by a filter, or in a protected profile.
func (b *batch) ask(ctx context.Context, targets []users.User) error {
	byFilter := !b.filter.filter().Empty()
	if b.flags.dryRun || len(targets) == 0 {
		return nil
	}
	if b.a.cfg.Protected {
		b.a.printf("profile %s is protected", b.a.cfg.Profile)
	}
	if byFilter {
		b.a.note("the filter selects %s", plural(len(targets), "user"))
	}
	if !b.destructive && !byFilter && !b.a.cfg.Protected {
		return nil
	}
	what := plural(len(targets), "user")
	if len(targets) == 1 {
		what = "user " + targets[0].Username
	}
	return b.a.confirm(ctx, b.verb+" "+what)
}

// verdict is the command's end: a lone failure is itself, several are a partial failure that lists them.
func (b *batch) verdict(failures []ref.Found[users.User], done int) error {
	if len(failures) == 0 {
		return nil
	}
	if len(failures) == 1 && done == 0 {
		return failures[0].Err
	}
	items := make([]map[string]any, len(failures))
	for i, f := range failures {
		e := fault.From(f.Err)
		items[i] = map[string]any{"ref": f.Ref, "code": e.Code, "message": e.Message}
		if !structured(b.a.print.Format) {
			b.a.printf("cxgctl: error: %s", e.Message)
		}
	}
	if done == 0 && !slices.ContainsFunc(failures, func(f ref.Found[users.User]) bool {
		return fault.From(f.Err).Code != fault.From(failures[0].Err).Code
	}) {
		return fault.New(fault.From(failures[0].Err).Code, "all %d failed; nothing was changed", len(failures)).With("failed", items)
	}
	return fault.New(fault.PartialFailure, "%d of %d failed; the rest is done", len(failures), len(failures)+done).
		With("failed", items)
}

// failed leaves the audit row of an attempt on a user that was not found, and passes the error on.
func (a *app) failed(ctx context.Context, w *writer, ref string, err error) error {
	w.Failed(ctx, audit.Intent{Subject: audit.Subject{Resource: "user", Name: ref}, Action: audit.Update}, err)
	return err
}

// lines reads standard input's lines that are not empty.
func (a *app) lines() ([]string, error) {
	in, resume := a.input()
	defer resume()
	var list []string
	sc := bufio.NewScanner(in)
	for n := 1; sc.Scan(); n++ {
		line := strings.TrimSpace(strings.TrimPrefix(sc.Text(), "\ufeff"))
		if strings.ContainsRune(line, 0) {
			return nil, fault.New(fault.Validation, "standard input, line %d: it holds a NUL character", n)
		}
		if line != "" {
			list = append(list, line)
		}
	}
	if err := sc.Err(); err != nil {
		return nil, fault.New(fault.Validation, "standard input cannot be read: %s", err).Because(err)
	}
	return list, nil
}

func (a *app) usersDelete() *cobra.Command {
	b := &batch{a: a, verb: "delete", action: audit.Delete, destructive: true}
	b.edit = func(t *users.Table) (users.Edit, error) { return t.SetDeleted(true) }
	return b.command("delete REF…", "Delete users; restore brings them back", "  cxgctl users delete ada bob --yes")
}

func (a *app) usersRestore() *cobra.Command {
	b := &batch{a: a, verb: "restore", action: audit.Update, deleted: true}
	b.edit = func(t *users.Table) (users.Edit, error) { return t.SetDeleted(false) }
	return b.command("restore REF…", "Bring deleted users back", "  cxgctl users restore ada")
}

func (a *app) usersUnlock() *cobra.Command {
	b := &batch{a: a, verb: "unlock", action: audit.Update}
	b.edit = func(*users.Table) (users.Edit, error) { return users.Unlock(), nil }
	return b.command("unlock REF…", "Let users log in again: status, failure counter and lock together",
		"  cxgctl users unlock ada\n  cxgctl users unlock --locked --search @example.com --max-affected 10")
}

func (a *app) usersStatus() *cobra.Command {
	var status string
	b := &batch{a: a, verb: "change the status of", action: audit.Update}
	b.edit = func(*users.Table) (users.Edit, error) {
		if status == "" {
			return users.Edit{}, fault.New(fault.Usage, "--set is missing").WithHint("--set ACTIVE, INACTIVE, LOCKED or SUSPENDED")
		}
		return users.SetStatus(status)
	}
	cmd := b.command("status REF… --set STATUS", "Set the status of users",
		"  cxgctl users status ada --set SUSPENDED --reason 'left the company'\n  cut -d, -f1 leavers.csv | cxgctl users status --stdin --set INACTIVE --expect 12")
	cmd.Flags().StringVar(&status, "set", "", "ACTIVE, INACTIVE, LOCKED or SUSPENDED")
	must(cmd.RegisterFlagCompletionFunc("set", complete(users.Statuses...)))
	return cmd
}
