package cli

import (
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// narrows is the annotation of a flag that selects rows.
const narrows = "narrows"

// narrowing declares flags that select rows. Such a flag without a value is refused: it comes of a script's unset
// variable, and would select everything.
func narrowing(cmd *cobra.Command, names ...string) {
	for _, name := range names {
		must(cmd.Flags().SetAnnotation(name, narrows, nil))
	}
}

// refuseEmpty returns a VALIDATION_ERROR that names the flags of narrowing that were given without a value.
func refuseEmpty(cmd *cobra.Command) error {
	var p fault.Problems
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if _, ok := f.Annotations[narrows]; !ok {
			return
		}
		empty := f.Value.String() == ""
		if list, ok := f.Value.(pflag.SliceValue); ok {
			values := list.GetSlice()
			empty = len(values) == 0 || slices.Contains(values, "")
		}
		if empty {
			p.Add("--"+f.Name, selectsAll)
		}
	})
	return p.Err()
}

const selectsAll = "it is empty, and would select everything"

// emptyFilter is the error of one such flag.
func emptyFilter(name string) error {
	var p fault.Problems
	p.Add("--"+name, selectsAll)
	return p.Err()
}
