package cli

import (
	"os"
	"slices"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/fault"
)

// Every time or date flag accepts every form, and every list has --since and --until.
func TestTimeFlags_EveryFlagTakesEveryForm(t *testing.T) {
	cmdutil.Leaves(newRoot((&cmdutil.Env{Getenv: os.Getenv})), func(cmd *cobra.Command) {
		_ = cmd.ParseFlags(nil)
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if kind := f.Value.Type(); kind != "time" && kind != "date" {
				return
			}
			for _, text := range []string{
				"2026-11-28T15:05:00Z", "2026-11-28", "2026-11", "30d", "12h", "2w", "3mo", "1y", "now", "today", "yesterday", "this-month",
				"last-month", "infinity", "0044-03-15 BC",
			} {
				f.Value.(*cliflag.StrictValue).Given = false
				if err := f.Value.Set(text); err != nil {
					t.Errorf("%s --%s %s: %v", cmd.CommandPath(), f.Name, text, err)
				}
				var p fault.Problems
				if d, ok := f.Value.(*cliflag.StrictValue).Value.(*cliflag.DateValue); ok && (d.Read("day", &p) == nil || p.Err() != nil) {
					t.Errorf("%s --%s %s: %v", cmd.CommandPath(), f.Name, text, p.Err())
				}
			}
		})
		if cmd.Flags().Lookup("page-size") != nil && !slices.Contains([]string{
			"cxgctl roles list", "cxgctl roles grants", "cxgctl tenants subscriptions list", // short lists that are not ordered by time
		}, cmd.CommandPath()) {
			for _, name := range []string{"since", "until"} {
				if cmd.Flags().Lookup(name) == nil {
					t.Errorf("%s has no --%s", cmd.CommandPath(), name)
				}
			}
		}
	})
}
