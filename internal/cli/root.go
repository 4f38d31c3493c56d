package cli

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/buildinfo"
	auditcmd "github.com/cxgctl/cxgctl/internal/cli/audit"
	authcmd "github.com/cxgctl/cxgctl/internal/cli/auth"
	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	configcmd "github.com/cxgctl/cxgctl/internal/cli/config"
	"github.com/cxgctl/cxgctl/internal/cli/dev"
	doctorcmd "github.com/cxgctl/cxgctl/internal/cli/doctor"
	"github.com/cxgctl/cxgctl/internal/cli/invoice"
	"github.com/cxgctl/cxgctl/internal/cli/listcmd"
	migratecmd "github.com/cxgctl/cxgctl/internal/cli/migrate"
	"github.com/cxgctl/cxgctl/internal/cli/role"
	sessioncmd "github.com/cxgctl/cxgctl/internal/cli/session"
	"github.com/cxgctl/cxgctl/internal/cli/tenant"
	"github.com/cxgctl/cxgctl/internal/cli/user"
	"github.com/cxgctl/cxgctl/internal/fault"
)

// newRoot builds the command tree. Each noun has one line here.
func newRoot(env *cmdutil.Env) *cobra.Command {
	root := &cobra.Command{
		Use:   "cxgctl",
		Short: "Administer the CXG platform's databases",
		Long: "cxgctl administers the CXG platform: users, invoices, tenants and the audit log, directly in its\n" +
			"PostgreSQL databases. Every change and its audit row, under the operator's name, are one transaction.",
		Version:           buildinfo.Version(),
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true, DefaultShellCompDirective: new(cobra.ShellCompDirectiveNoFileComp)},
		Args:              cobra.ArbitraryArgs,
		RunE:              cmdutil.GroupHelp,
	}
	root.SetVersionTemplate(buildinfo.Line())
	f := root.PersistentFlags()
	f.StringVar(&env.Global.ConfigFile, "config", "", "configuration `file` (default: see cxgctl config path)")
	cliflag.MarkFile(root, "config", cliflag.FileRead)
	f.StringVar(&env.Global.Profile, "profile", "", "`name` of the profile to use")
	f.StringVar(&env.Global.Operator, "operator", "", "`username` of the operator under whose name changes are recorded")
	f.StringVar(&env.Global.TimeZone, "tz", "", "time `zone` for dates, months and ages, and for times in tables on a terminal, such as Asia/Seoul (default UTC; CXGCTL_TZ)")
	f.DurationVar(&env.Global.Timeout, "timeout", 0, "how long to wait for the database (default 30s; with --all, for the next row)")
	f.BoolVar(&env.Global.NoInput, "no-input", false, "never prompt, even on a terminal")
	f.BoolVar(&env.Global.NoPager, "no-pager", false, "do not show long output through PAGER (default less -FRSX)")
	f.BoolVarP(&env.Global.Yes, "yes", "y", false, "answer yes to every question")
	cliflag.MarkFlags(f, cliflag.Recorded, "profile", "yes")
	f.BoolVarP(&env.Global.Quiet, "quiet", "q", false, "print only errors: no notes or hints, and after a change no record unless -o, --columns or --output-file is given")
	f.BoolVarP(&env.Global.Verbose, "verbose", "v", false, "print what is used: configuration, server, operator, statements and their time; and details of errors")
	f.Func("color", "when to color tables and messages: auto, always or never (default auto)", func(when string) error {
		env.Global.Color = when
		if colors := []string{"auto", "always", "never"}; !slices.Contains(colors, when) {
			return fault.New(fault.Validation, "--color: %q is not one of %s", when, strings.Join(colors, ", "))
		}
		return nil
	})
	cliflag.CompleteFlagWith(root, "operator", cmdutil.CompleteOperators(env))
	cliflag.CompleteFlagWith(root, "profile", env.CompleteProfiles)
	cliflag.CompleteZone(root, "tz")
	cliflag.CompleteFlag(root, "color", "auto", "always", "never")
	root.AddCommand(
		user.NewCommand(env), invoice.NewCommand(env), tenant.NewCommand(env), listcmd.NewExportsCommand(env),
		authcmd.NewCommand(env), role.NewCommand(env), sessioncmd.NewCommand(env), sessioncmd.NewLoginsCommand(env), sessioncmd.NewKeysCommand(env),
		migratecmd.NewCommand(env), env.Anonymous(dev.NewCommand(env)), env.Anonymous(configcmd.NewCommand(env)), env.Anonymous(doctorcmd.NewCommand(env)),
		env.Anonymous(newCompletion(env)), env.Anonymous(newVersion(env)), env.Anonymous(newDocs(env)),
		auditcmd.NewCommand(env), // last: audit undo needs what the other nouns can undo
	)
	addHelp(env, root)
	addSynonyms(root)
	root.SetGlobalNormalizationFunc(synonymsOfFlags)
	cmdutil.StrictFlags(env, root)
	return root
}
