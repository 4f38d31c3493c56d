package cli

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/output"
)

// refFlags say how a REF is read.
type refFlags struct {
	by      string
	deleted bool
}

// bind adds --by for a noun that is named by any of the keys.
func (r *refFlags) bind(cmd *cobra.Command, keys ...string) {
	cmd.Flags().StringVar(&r.by, "by", "", "what a REF is: "+strings.Join(keys, ", ")+" (default: any of them)")
	markFlags(cmd.Flags(), recorded, "by")
	must(cmd.RegisterFlagCompletionFunc("by", complete(keys...)))
}

// bindDeleted adds --include-deleted.
func (r *refFlags) bindDeleted(cmd *cobra.Command, nouns string) {
	cmd.Flags().BoolVar(&r.deleted, "include-deleted", false, "deleted "+nouns+" too")
	markFlags(cmd.Flags(), recorded, "include-deleted")
}

// completeLive offers what a query finds. It stays silent wherever it cannot know anything, in the audit log too:
// nobody tried anything who pressed TAB.
func (a *app) completeLive(cmd *cobra.Command, find func(context.Context, *session) ([]string, error)) ([]string, cobra.ShellCompDirective) {
	a.global.quiet, a.completing = true, true
	s, err := a.session(cmd.Context(), cmd)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	words, err := find(cmd.Context(), s)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	hostile := func(word string) bool { return output.Sanitize(word) != word || strings.ContainsAny(word, "\t\n") }
	return slices.DeleteFunc(words, hostile), cobra.ShellCompDirectiveNoFileComp
}
