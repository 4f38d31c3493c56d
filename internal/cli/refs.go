package cli

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/output"
)

// refFlags are the flags that control how a REF is resolved.
type refFlags struct {
	by      string
	deleted bool
}

// bind adds --by for a noun with these keys.
func (r *refFlags) bind(cmd *cobra.Command, keys ...string) {
	cmd.Flags().StringVar(&r.by, "by", "", "interpret REF as: "+strings.Join(keys, ", ")+" (default: any)")
	markFlags(cmd.Flags(), recorded, "by")
	must(cmd.RegisterFlagCompletionFunc("by", complete(keys...)))
}

// bindDeleted adds --include-deleted.
func (r *refFlags) bindDeleted(cmd *cobra.Command, nouns string) {
	cmd.Flags().BoolVar(&r.deleted, "include-deleted", false, "include deleted "+nouns)
	markFlags(cmd.Flags(), recorded, "include-deleted")
}

// completeLive completes with the words that find returns. It ignores errors and writes no audit row.
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
