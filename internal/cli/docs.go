package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cpuguy83/go-md2man/v2/md2man"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/cxgctl/cxgctl/internal/buildinfo"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/fault"
)

func newDocs(env *cmdutil.Env) *cobra.Command {
	return cmdutil.Group("docs", "Write the manual as files",
		newDocsOf(env, "man", "Write a man page for each command and topic",
			"Commands are in section 1, topics in section 7: man -l DIR/cxgctl-users-create.1", writeMan),
		newDocsOf(env, "markdown", "Write a Markdown file for each command and topic", "", writeMarkdown))
}

// newDocsOf returns a command that writes the pages of one format into a folder.
func newDocsOf(env *cmdutil.Env, format, short, long string, write func(root *cobra.Command, dir string) error) *cobra.Command {
	return &cobra.Command{
		Use: format + " DIR", Short: short, Long: strings.TrimPrefix(long+"\n\nThe folder is made if it does not exist.", "\n\n"),
		Args: cmdutil.ExactArgs("DIR"), Example: "  cxgctl docs " + format + " ./" + format,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: env.Wrap(func(_ context.Context, cmd *cobra.Command, args []string) error {
			err := os.MkdirAll(args[0], 0o755)
			if err == nil {
				cmd.Root().DisableAutoGenTag = true // it has the date of the run
				err = write(cmd.Root(), args[0])
			}
			if err != nil {
				return fault.New(fault.FileCode(err), "cannot write the manual to %s: %s", args[0], fault.Reason(err)).Because(err)
			}
			return nil
		}),
	}
}

func writeMan(root *cobra.Command, dir string) error {
	date, _ := time.Parse(time.RFC3339, buildinfo.Current().Date)
	header := doc.GenManHeader{Section: "1", Date: &date, Source: "cxgctl " + buildinfo.Version(), Manual: "cxgctl manual"}
	if err := doc.GenManTree(root, &header, dir); err != nil {
		return err
	}
	return writeTopics(dir, "cxgctl-", ".7", func(name string, text []byte) []byte {
		page := "% cxgctl-" + name + "(7) | cxgctl manual\n\n# NAME\ncxgctl-" + name + " - " + title(name) + "\n\n# DESCRIPTION\n"
		_, body, _ := bytes.Cut(text, []byte("\n"))
		return md2man.Render(append([]byte(page), body...))
	})
}

func writeMarkdown(root *cobra.Command, dir string) error {
	if err := doc.GenMarkdownTree(root, dir); err != nil {
		return err
	}
	return writeTopics(dir, "cxgctl_help_", ".md", func(_ string, text []byte) []byte { return text })
}

// writeTopics writes a file for each help topic.
func writeTopics(dir, prefix, suffix string, render func(name string, text []byte) []byte) error {
	for _, name := range topics() {
		text, _ := topic(name)
		if err := os.WriteFile(filepath.Join(dir, prefix+name+suffix), render(name, []byte(text)), 0o644); err != nil {
			return err
		}
	}
	return nil
}
