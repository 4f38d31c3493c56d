package cli

import (
	"cmp"
	"embed"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/output"
	"github.com/cxgctl/cxgctl/internal/validate"
)

// Help is laid out for the terminal, within these widths in columns.
const (
	helpWidth    = 80 // off a terminal
	maxHelpWidth = 100
)

// Groups of commands in the root command's help.
var groups = []*cobra.Group{
	{ID: "data", Title: "Data:"},
	{ID: "access", Title: "Access and audit:"},
	{ID: "operation", Title: "Databases and configuration:"},
	{ID: "other", Title: "Other:"},
}

// groupOf is the group of each command below the root; the others are in the last one.
var groupOf = map[string]string{
	"users": "data", "invoices": "data", "tenants": "data", "roles": "access", "sessions": "access", "keys": "access", "logins": "access",
	"auth": "access", "audit": "access", "migrate": "operation", "doctor": "operation", "dev": "operation", "config": "operation",
}

//go:embed help/*.md
var topicFiles embed.FS

func topics() (names []string) {
	files, err := topicFiles.ReadDir("help")
	cliflag.Must(err)
	for _, f := range files {
		names = append(names, strings.TrimSuffix(f.Name(), path.Ext(f.Name())))
	}
	return names
}

// topic returns the text of a help topic, in Markdown, or false if there is none of the name.
func topic(name string) (string, bool) {
	text, err := topicFiles.ReadFile("help/" + name + ".md")
	if err != nil {
		return "", false
	}
	if name == "exit-codes" {
		return string(text) + "\n" + exitCodes(), true
	}
	return string(text), true
}

// title returns the heading of a help topic.
func title(name string) string {
	text, _ := topic(name)
	first, _, _ := strings.Cut(text, "\n")
	return strings.TrimPrefix(first, "# ")
}

// exitCodes returns the table of exit codes in Markdown.
func exitCodes() string {
	b := strings.Builder{}
	b.WriteString("| CODE | SEMANTIC CODE | MEANING |\n|---|---|---|\n")
	for _, x := range fault.Exits {
		names := make([]string, len(x.Codes))
		for i, c := range x.Codes {
			names[i] = string(c)
		}
		fmt.Fprintf(&b, "| %d | %s | %s |\n", x.Status, strings.Join(names, ", "), x.Meaning)
	}
	fmt.Fprintf(&b, "| %d | | the reader of standard output closed it; nothing was to be changed |\n", brokenPipe)
	return b.String()
}

// permissions returns the table of the permissions of each command in Markdown.
func permissions(root *cobra.Command) string {
	b := strings.Builder{}
	b.WriteString("| COMMAND | PERMISSIONS |\n|---|---|\n")
	cmdutil.Leaves(root, func(cmd *cobra.Command) {
		if text := cmd.Annotations["permissions"]; text != "" {
			fmt.Fprintf(&b, "| %s | %s |\n", strings.TrimPrefix(cmd.CommandPath(), root.Name()+" "), text)
		}
	})
	return b.String()
}

// helper lays out help pages.
type helper struct {
	env   *cmdutil.Env
	root  *cobra.Command
	width int // of the pages, in columns
}

// addHelp gives the tree its help pages, and the command help its topics.
func addHelp(env *cmdutil.Env, root *cobra.Command) {
	h := helper{env, root, helpWidth}
	if w := env.TerminalOf(env.Stdout).Width; w > 0 {
		h.width = min(w, maxHelpWidth)
	}
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { h.write(h.page(cmd)) })
	root.InitDefaultHelpCmd()
	help, _, err := root.Find([]string{"help"})
	cliflag.Must(err)
	help.Use, help.Short, help.Long = "help [COMMAND | TOPIC]", "Show the help of a command or a topic", ""
	help.Example = "  cxgctl help users import\n  cxgctl help exit-codes"
	help.Run, help.RunE = nil, func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return cmdutil.HelpOn(root, args)
		}
		text, ok := topic(args[0])
		if !ok {
			err := cmdutil.HelpOn(root, args)
			if near := validate.Near(args[0], topics()); near != "" && err != nil {
				return fault.New(fault.Usage, "%q is not a command or a topic", args[0]).WithHint("did you mean: cxgctl help %s", near)
			}
			return err
		}
		page := h.topicPage(args[0], text)
		for _, c := range root.Commands() {
			if c.Name() == args[0] {
				page = h.page(c) + "\n" + page
			}
		}
		h.write(page)
		return nil
	}
	commands := help.ValidArgsFunction
	help.ValidArgsFunction = func(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
		words, directive := commands(cmd, args, word)
		for _, name := range topics() {
			if len(args) == 0 && strings.HasPrefix(name, word) {
				words = append(words, cobra.CompletionWithDesc(name, title(name)))
			}
		}
		return words, directive
	}
	env.Anonymous(help)
	root.AddGroup(groups...)
	for _, c := range root.Commands() {
		c.GroupID = cmp.Or(groupOf[c.Name()], "other")
	}
}

// write prints a page. Main reports errors of the writer.
func (h helper) write(page string) {
	pager := h.env.Pager()
	if pager == nil {
		_, _ = io.WriteString(h.root.OutOrStdout(), page)
		return
	}
	_, _ = io.WriteString(pager, page)
	_ = pager.Close()
}

// topicPage returns a topic's page, with the flags that commands leave to it.
func (h helper) topicPage(name, text string) string {
	var b strings.Builder
	if name == "permissions" {
		text += "\nWhat each command requires:\n\n" + permissions(h.root)
	}
	output.WriteMarkdown(&b, text, h.width)
	fs := pflag.NewFlagSet(name, pflag.ContinueOnError)
	if name == "flags" {
		fs = h.root.PersistentFlags()
	}
	cmdutil.Leaves(h.root, func(cmd *cobra.Command) {
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if cliflag.TopicOf(f) == name && fs.Lookup(f.Name) == nil {
				fs.AddFlag(f)
			}
		})
	})
	if fs.HasFlags() {
		b.WriteString("\nFlags:\n" + fs.FlagUsagesWrapped(h.width))
	}
	return b.String()
}

func (h helper) page(cmd *cobra.Command) string {
	var b strings.Builder
	width := h.width
	text := cmd.Long
	if lead := strings.TrimSuffix(cmd.Short, "."); !strings.HasPrefix(text, lead) {
		text = lead + ".\n\n" + text
	}
	output.WriteMarkdown(&b, text, width)
	section := func(title string) { b.WriteString("\n" + title + "\n") }

	section("Usage:")
	if cmd.HasSubCommands() {
		b.WriteString("  " + cmd.CommandPath() + " COMMAND\n")
	} else {
		b.WriteString("  " + output.Wrap(cmd.UseLine(), "      ", width-2))
	}
	if by := cmd.Flags().Lookup("by"); by != nil {
		b.WriteString("\n" + output.Wrap("REF: "+strings.TrimPrefix(by.Usage, "interpret REF as: "), "     ", width))
	}
	if len(cmd.Aliases) > 0 {
		b.WriteString("\nAlso: " + strings.Join(cmd.Aliases, ", ") + "\n")
	}
	if cmd.Example != "" {
		section("Examples:")
		for line := range strings.SplitSeq(cmd.Example, "\n") {
			b.WriteString(output.WrapCommand(line, width))
		}
	}
	h.commands(&b, cmd, width)
	h.flags(&b, cmd, width)
	return b.String()
}

// commands lists the subcommands by group, and for the root the topics.
func (h helper) commands(b *strings.Builder, cmd *cobra.Command, width int) {
	list := func(title string, in func(*cobra.Command) bool) {
		text := ""
		for _, c := range cmd.Commands() {
			if c.IsAvailableCommand() && in(c) || c.Name() == "help" && in(c) {
				text += fmt.Sprintf("  %-*s ", cmd.Commands()[0].NamePadding(), c.Name()) + output.Wrap(c.Short, strings.Repeat(" ", c.NamePadding()+3), width)
			}
		}
		if text != "" {
			b.WriteString("\n" + title + "\n" + text)
		}
	}
	if cmd.HasParent() {
		list("Commands:", func(*cobra.Command) bool { return true })
	} else {
		for _, g := range groups {
			list(g.Title, func(c *cobra.Command) bool { return c.GroupID == g.ID })
		}
		b.WriteString("\nTopics (cxgctl help TOPIC):\n  " + output.Wrap(strings.Join(topics(), ", "), "  ", width))
	}
	if cmd.HasSubCommands() {
		b.WriteString("\n" + output.Wrap("Help of a command: "+cmd.CommandPath()+" COMMAND --help", "  ", width))
		if _, ok := topic(cmd.Name()); ok {
			b.WriteString("\nMore about " + cmd.Name() + ": cxgctl help " + cmd.Name() + "\n")
		}
	}
}

// flags lists a command's flags. Those that many commands have are only named, with their topic.
func (h helper) flags(b *strings.Builder, cmd *cobra.Command, width int) {
	own := pflag.NewFlagSet(cmd.Name(), pflag.ContinueOnError)
	shared := map[string][]string{}
	cmd.NonInheritedFlags().VisitAll(func(f *pflag.Flag) {
		switch topic := cliflag.TopicOf(f); {
		case f.Hidden || f.Name == "help":
		case topic != "":
			shared[topic] = append(shared[topic], "--"+f.Name)
		case cmd.HasParent():
			own.AddFlag(f)
		}
	})
	if own.HasFlags() {
		b.WriteString("\nFlags:\n" + own.FlagUsagesWrapped(width))
	}
	b.WriteString("\n")
	for _, name := range topics() {
		if len(shared[name]) > 0 {
			b.WriteString(output.Wrap(strings.Join(shared[name], " ")+": cxgctl help "+name, "  ", width))
		}
	}
	b.WriteString("Global flags: cxgctl help flags\n")
	if cmd.HasSubCommands() {
		return
	}
	if text := cmd.Annotations["permissions"]; text != "" {
		b.WriteString(output.Wrap("Permissions: "+text, "  ", width))
	}
	b.WriteString(output.Wrap("Exit codes: "+strings.Join(exitCodesOf(h.env, cmd), ", ")+" (cxgctl help exit-codes)", "  ", width))
}

// exitCodesOf returns the exit codes that a command can end with, besides those of signals and closed pipes. They follow
// from its flags and arguments; the command states the others with cliflag.Exits.
func exitCodesOf(env *cmdutil.Env, cmd *cobra.Command) (codes []string) {
	has := func(flags ...string) bool {
		return slices.ContainsFunc(flags, func(name string) bool { return cmd.Flags().Lookup(name) != nil })
	}
	isAnonymous := env.SpecOf(cmd).Permission == cmdutil.NoOperator
	for _, x := range []struct {
		code string
		ends bool
	}{
		{"0", true},
		{"2", true},
		{"3", has("by", "tenant", "dry-run", "user", "actor") || !isAnonymous && cmd.ValidArgsFunction != nil},
		{"4", has("dry-run")},
		{"5", true},
		{"6", !isAnonymous},
		{"7", !isAnonymous},
		{"8", !isAnonymous || has("dry-run")},
		{"9", has("fail-if-empty", "stdin", "expect", "all-tenants") || strings.Contains(cmd.Use, "…")},
		{"10", has("dry-run")},
		{"74", true}, // standard output
		{"75", has("lock")},
	} {
		if x.ends || slices.Contains(cliflag.ExitsOf(cmd), x.code) {
			codes = append(codes, x.code)
		}
	}
	return codes
}
