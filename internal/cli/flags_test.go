package cli

import (
	"errors"
	"os"
	"slices"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/fault"
)

// sampleOf returns a valid value of a flag.
func sampleOf(f *pflag.Flag) string {
	if f.Name == "color" {
		return "never"
	}
	switch f.Value.Type() {
	case "bool":
		return "true"
	case "int", "int64", "n", "amount":
		return "1"
	case "duration", "span":
		return "90s"
	case "time", "date":
		return "2026-11-28"
	}
	return "x"
}

// TestFlags_SaidOnceAndNotEmpty walks the command tree.
// A second value of a single-valued flag, or an empty value of any flag, is exit 2. Lists accumulate.
func TestFlags_SaidOnceAndNotEmpty(t *testing.T) {
	cmdutil.Leaves(newRoot((&cmdutil.Env{Getenv: os.Getenv})), func(cmd *cobra.Command) {
		_ = cmd.ParseFlags(nil) // merges the global flags
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Name == "help" {
				return
			}
			value := f.Value.(*cliflag.StrictValue)
			list, many := value.Value.(pflag.SliceValue)
			parse := func(args ...string) error {
				value.Given = false
				if many {
					_ = list.Replace(nil)
				}
				return cmd.ParseFlags(args)
			}
			one := "--" + f.Name + "=" + sampleOf(f)
			err := parse(one, one)
			switch {
			case many && (err != nil || len(list.GetSlice()) != 2):
				t.Errorf("%s %s, twice, does not add up: %v", cmd.CommandPath(), one, err)
			case !many && !isUsage(err):
				t.Errorf("%s %s, twice: %v", cmd.CommandPath(), one, err)
			}
			if err := parse("--" + f.Name + "="); !isUsage(err) {
				t.Errorf("%s --%s= : %v", cmd.CommandPath(), f.Name, err)
			}
			if many && f.Value.Type() != "stringArray" && !isUsage(parse(one+",")) {
				t.Errorf("%s %s, takes an empty element", cmd.CommandPath(), one)
			}
		})
	})
}

func isUsage(err error) bool {
	f, ok := errors.AsType[*fault.Error](err)
	return ok && f.Code == fault.Usage
}

// --reason and --ticket exist only for commands that write an audit row.
func TestFlags_ReasonOnlyWhereAnAuditRowIsWritten(t *testing.T) {
	reading := []string{ // with --reveal, or for all rows of personal data
		"cxgctl users get", "cxgctl users list", "cxgctl users export", "cxgctl users history", "cxgctl invoices get", "cxgctl invoices history",
		"cxgctl tenants history", "cxgctl tenants members list", "cxgctl audit get",
	}
	cmdutil.Leaves(newRoot((&cmdutil.Env{Getenv: os.Getenv})), func(cmd *cobra.Command) {
		_ = cmd.ParseFlags(nil)
		writes := cmd.Flags().Lookup("dry-run") != nil && cmd.CommandPath() != "cxgctl audit seal" || slices.Contains(reading, cmd.CommandPath())
		if has := cmd.Flags().Lookup("reason") != nil; has != writes {
			t.Errorf("%s: --reason is registered: %t, and an audit row is written: %t", cmd.CommandPath(), has, writes)
		}
	})
}

// A flag that names a file declares how the command uses the file, so that collisions are detected.
func TestFlags_FilesAreDeclared(t *testing.T) {
	cmdutil.Leaves(newRoot((&cmdutil.Env{Getenv: os.Getenv})), func(cmd *cobra.Command) {
		_ = cmd.ParseFlags(nil)
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			kind, _ := pflag.UnquoteUsage(f)
			if named := kind == "file" || kind == "folder"; named != (f.Annotations[cliflag.FileUse] != nil) {
				t.Errorf("%s --%s takes a %s, and declares %v", cmd.CommandPath(), f.Name, kind, f.Annotations[cliflag.FileUse])
			}
		})
	})
}
