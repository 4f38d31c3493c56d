package cli

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
)

// B-30, B-36: every list takes --since and --until, every filter of invoices --month, and filters by a word of a known
// set take several.
func TestLists_TakeTheSameFilters(t *testing.T) {
	several := []string{"action", "currency", "payment-method", "result", "role", "status", "tenant", "type", "user-type"}
	cmdutil.Leaves(newRoot(&cmdutil.Env{Getenv: os.Getenv}), func(cmd *cobra.Command) {
		path := strings.TrimPrefix(cmd.CommandPath(), "cxgctl ")
		f := cmd.Flags()
		if f.Lookup("page") == nil && cmd.Name() != "export" && f.Lookup("month") == nil {
			return
		}
		for _, name := range []string{"since", "until"} {
			if f.Lookup(name) == nil {
				t.Errorf("%s has no --%s", path, name)
			}
		}
		if strings.HasPrefix(path, "invoices ") && cmd.Name() != "history" && f.Lookup("month") == nil {
			t.Errorf("%s has no --month", path)
		}
		f.VisitAll(func(f *pflag.Flag) {
			v := f.Value
			if strict, ok := v.(*cliflag.StrictValue); ok {
				v = strict.Value
			}
			set := path == "invoices status" && f.Name == "payment-method" // of the payment
			if _, many := v.(pflag.SliceValue); slices.Contains(several, f.Name) && !many && !set {
				t.Errorf("%s --%s takes one value", path, f.Name)
			}
		})
	})
}
