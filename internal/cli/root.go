package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/buildinfo"
	"github.com/cxgctl/cxgctl/internal/fault"
)

// root builds the command tree. Each noun has one line here.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "cxgctl",
		Short: "Administer the CXG platform's databases",
		Long: "cxgctl administers the CXG platform: users, invoices, tenants and the audit log, directly in its\n" +
			"PostgreSQL databases. Every change and its audit row, under the operator's name, are one transaction.",
		Version:           buildinfo.Version(),
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		Args:              cobra.ArbitraryArgs,
		RunE:              a.groupHelp,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if f, ok := errors.AsType[*fault.Error](err); ok {
			return f
		}
		if bad, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
			return fault.New(fault.Validation, "--%s: %q is not valid: %s", bad.GetFlag().Name, bad.GetValue(), flagProblem(bad.GetFlag(), errors.Unwrap(bad)))
		}
		return fault.New(fault.Usage, "%s", err.Error()).WithHint("see: %s --help", cmd.CommandPath())
	})
	root.SetVersionTemplate(buildinfo.Line())
	root.SetUsageTemplate(root.UsageTemplate() + "{{with index .Annotations \"permissions\"}}\nPermissions: {{.}}\n{{end}}")
	f := root.PersistentFlags()
	f.StringVar(&a.global.config, "config", "", "configuration `file` (default: see cxgctl config path)")
	must(f.SetAnnotation("config", fileUse, []string{fileRead}))
	f.StringVar(&a.global.profile, "profile", "", "`name` of the profile to use")
	f.StringVar(&a.global.operator, "operator", "", "`username` of the operator under whose name changes are recorded")
	f.StringVar(&a.global.tz, "tz", "", "time `zone` for dates, months and ages, and for times in tables on a terminal, such as Asia/Seoul (default UTC; CXGCTL_TZ)")
	f.DurationVar(&a.global.timeout, "timeout", 0, "how long to wait for the database (default 30s; with --all, for the next row)")
	f.BoolVar(&a.global.noInput, "no-input", false, "never prompt, even on a terminal")
	f.BoolVarP(&a.global.yes, "yes", "y", false, "answer yes to every question")
	markFlags(f, recorded, "profile", "yes")
	f.BoolVarP(&a.global.quiet, "quiet", "q", false, "print only errors to standard error, not notes")
	f.BoolVarP(&a.global.verbose, "verbose", "v", false, "print details of errors")
	root.AddCommand(
		a.usersCommand(), a.invoicesCommand(), a.tenantsCommand(), a.auditCommand(),
		a.authCommand(), a.rolesCommand(), a.sessionsCommand(), a.loginsCommand(), a.keysCommand(),
		a.migrateCommand(), a.anonymous(a.devCommand()), a.anonymous(a.configCommand()), a.anonymous(a.doctorCommand()),
		a.anonymous(a.completionCommand()), a.anonymous(a.versionCommand()),
	)
	root.AddCommand(a.helpTopics()...)
	root.InitDefaultHelpCmd()
	help, _, err := root.Find([]string{"help"})
	must(err)
	help.Run, help.RunE = nil, a.help
	a.anonymous(help)
	a.strictFlags(root)
	return root
}

// group returns a command that only has subcommands.
func (a *app) group(use, short string, children ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: cobra.ArbitraryArgs, RunE: a.groupHelp}
	cmd.AddCommand(children...)
	return cmd
}

// groupHelp prints the help of a group. Arguments are unknown subcommands, and an error.
func (a *app) groupHelp(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	f := fault.New(fault.Usage, "unknown command %q for %q", args[0], cmd.CommandPath())
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return f.WithHint("did you mean %s", strings.Join(near, ", "))
	}
	return f.WithHint("see: %s --help", cmd.CommandPath())
}

// exactly requires one argument per name.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < len(names) {
			return fault.New(fault.Usage, "%s: %s is missing", cmd.CommandPath(), names[len(args)]).
				WithHint("usage: %s", cmd.UseLine())
		}
		if len(args) > len(names) {
			return fault.New(fault.Usage, "%s: unexpected argument %q", cmd.CommandPath(), args[len(names)]).
				WithHint("usage: %s", cmd.UseLine())
		}
		return nil
	}
}

// commandLine returns the command for the audit row.
func commandLine(cmd *cobra.Command) string {
	words := []string{strings.TrimPrefix(cmd.CommandPath(), "cxgctl ")}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		switch {
		case !recorded.has(f):
		case f.Value.Type() == "bool" && f.Value.String() == "true":
			words = append(words, "--"+f.Name)
		default:
			words = append(words, fmt.Sprintf("--%s=%s", f.Name, strings.Trim(f.Value.String(), "[]")))
		}
	})
	return strings.Join(words, " ")
}

// complete completes fixed words.
func complete(words ...string) cobra.CompletionFunc {
	return cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
}

// must panics on errors that only a bug can cause, such as an undefined flag.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// runRead returns a RunE for a command that reads the platform's data as the operator.
func (a *app) runRead(fn func(ctx context.Context, s *session, cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return a.runUnfiltered(func(ctx context.Context, s *session, cmd *cobra.Command, args []string) error {
		return fn(ctx, s.filtered(), cmd, args)
	})
}

// runUnfiltered is runRead without row policies, for commands that change or verify data.
func (a *app) runUnfiltered(fn func(ctx context.Context, s *session, cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return a.wrap(func(ctx context.Context, cmd *cobra.Command, args []string) error {
		if err := a.printer(cmd); err != nil {
			return err
		}
		if err := a.refuseUnrecorded(cmd); err != nil {
			return err
		}
		ctx, cancel := a.clock.start(ctx, a.cfg.Timeout)
		defer cancel()
		s, err := a.session(ctx, cmd, args...)
		if err == nil {
			s, err = a.enterTenant(ctx, cmd, s)
		}
		if err == nil {
			a.askedOn = s.db.Addr()
			if err = s.requireSeparable(); err != nil {
				a.recordBlocked(ctx, s.manager(), cmd, audit.Intent{Subject: audit.Subject{Resource: nounOf(cmd)}, Action: a.specOf(cmd).action()}, err)
			}
		}
		if err == nil {
			err = fn(ctx, s, cmd, args)
		}
		return a.clock.verdict(err)
	})
}

// flagProblem replaces parse errors that mention Go types with a description of the expected value.
func flagProblem(flag *pflag.Flag, err error) string {
	switch kind := flag.Value.Type(); {
	case errors.Is(err, strconv.ErrRange):
		return "the number is too large"
	case strings.HasPrefix(kind, "int"):
		return "want a whole number"
	case kind == "bool":
		return "want true or false"
	case kind == "duration":
		return "want a duration with a unit, such as 30s or 5m"
	}
	return err.Error()
}
