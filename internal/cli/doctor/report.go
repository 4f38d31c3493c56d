package doctor

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/doctor"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/output"
)

// line is the result of a check in the report for people.
type line struct {
	section, check string
	doctor.Finding
}

// printReport prints the results of the checks. The table is a report for people: the findings, the worst first, and
// then a line per section that counts its checks. It leaves out the finding that the error of the command repeats.
func printReport[T any](env *cmdutil.Env, v output.View, results []T, lines []line, verdict error) error {
	if env.Printer.Format != output.Table || env.Printer.File != "" || len(env.Printer.Columns) > 0 {
		return cmdutil.PrintWhole(env, v, results)
	}
	var b strings.Builder
	terminal := env.Printer.Terminal
	found := slices.DeleteFunc(slices.Clone(lines), func(l line) bool { return !l.Bad() })
	slices.SortStableFunc(found, func(x, y line) int { return cmp.Compare(x.Status, y.Status) }) // FAIL, WARN
	for _, l := range found {
		if verdict != nil && fault.From(verdict).Message == l.Found {
			continue
		}
		color := "yellow"
		if l.Status == doctor.Fail {
			color = "red"
		}
		fmt.Fprintf(&b, "%s  %s, %s: %s\n", terminal.Named(color, string(l.Status)), l.section, l.check, output.Sanitize(l.Found))
		if l.Remedy != "" {
			fmt.Fprintf(&b, "      remedy: %s\n", output.Sanitize(l.Remedy))
		}
	}
	if b.Len() > 0 {
		b.WriteString("\n")
	}
	for len(lines) > 0 {
		section := lines[0].section
		n := slices.IndexFunc(lines, func(l line) bool { return l.section != section })
		if n < 0 {
			n = len(lines)
		}
		fmt.Fprintf(&b, "%-8s %s\n", section, counted(lines[:n]))
		lines = lines[n:]
	}
	if len(found) == 0 && verdict == nil {
		b.WriteString("all is well (-o wide lists every check)\n")
	}
	_, err := io.WriteString(env.Printer.Stdout, terminal.Fold(b.String(), 6))
	return err
}

// counted returns how many checks of a section found something, passed or were skipped, such as "12 checks passed". It
// has the reason of skipped checks if all have the same.
func counted(lines []line) string {
	count := map[doctor.Status]int{}
	var reasons []string
	for _, l := range lines {
		count[l.Status]++
		if l.Status == doctor.Skip && !slices.Contains(reasons, l.Found) {
			reasons = append(reasons, output.Sanitize(l.Found))
		}
	}
	var parts []string
	if n := count[doctor.Fail] + count[doctor.Warn]; n > 0 {
		parts = append(parts, fault.Plural(n, "finding"))
	}
	if n := count[doctor.OK]; n > 0 {
		parts = append(parts, fault.Plural(n, "check")+" passed")
	}
	if n := count[doctor.Skip]; n > 0 {
		skipped := fmt.Sprintf("%d skipped", n)
		if len(reasons) == 1 {
			skipped += ": " + reasons[0]
		}
		parts = append(parts, skipped)
	}
	return strings.Join(parts, ", ")
}
