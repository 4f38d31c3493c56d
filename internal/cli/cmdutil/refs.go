package cmdutil

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
)

// RefFlags are the flags that control how a REF is resolved.
type RefFlags struct {
	By      string
	Deleted bool
	Ignore  bool // REFs that match nothing are left out
}

// Bind adds --by for a noun with these keys.
func (r *RefFlags) Bind(cmd *cobra.Command, keys ...string) {
	cmd.Flags().StringVar(&r.By, "by", "", "interpret REF as: "+strings.Join(keys, ", ")+" (default: any)")
	cliflag.MarkFlags(cmd.Flags(), cliflag.Recorded, "by")
	cliflag.CompleteFlag(cmd, "by", keys...)
}

// BindDeleted adds --include-deleted.
func (r *RefFlags) BindDeleted(cmd *cobra.Command, nouns string) {
	cliflag.BindDeleted(cmd, &r.Deleted, nouns)
}

// BindIgnore adds --ignore-not-found.
func (r *RefFlags) BindIgnore(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&r.Ignore, "ignore-not-found", false, "leave out REFs that match nothing, so that they are not errors")
	cliflag.MarkFlags(cmd.Flags(), cliflag.Recorded, "ignore-not-found")
}
