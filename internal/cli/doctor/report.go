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
// then a line per section that counts its checks. It refers to the error of the command for the finding that it repeats.
func printReport[T any](env *cmdutil.Env, v output.View, results []T, lines []line, verdict error) error {
	if env.Printer.Format != output.Table || env.Printer.File != "" || len(env.Printer.Columns) > 0 {
		return cmdutil.PrintWhole(env, v, results)
	}
	var b strings.Builder
	terminal := env.Printer.Terminal
	say := func(format string, args ...any) { b.WriteString(terminal.Message(fmt.Sprintf(format, args...)) + "\n") }
	found := slices.DeleteFunc(slices.Clone(lines), func(l line) bool { return !l.Bad() })
	slices.SortStableFunc(found, func(x, y line) int { return cmp.Compare(x.Status, y.Status) }) // FAIL, WARN
	for _, l := range found {
		if verdict != nil && fault.From(verdict).Message == l.Found {
			l.Found, l.Remedy = "see the error", ""
		}
		color := "yellow"
		if l.Status == doctor.Fail {
			color = "red"
		}
		say("%s  %s, %s: %s", terminal.Named(color, string(l.Status)), l.section, l.check, output.Sanitize(l.Found))
		if l.Remedy != "" {
			say("      remedy: %s", output.Sanitize(l.Remedy))
		}
	}
	if b.Len() > 0 {
		say("")
	}
	for len(lines) > 0 {
		section := lines[0].section
		n := slices.IndexFunc(lines, func(l line) bool { return l.section != section })
		if n < 0 {
			n = len(lines)
		}
		say("%-8s %s", section, counted(lines[:n]))
		lines = lines[n:]
	}
	if len(found) == 0 && verdict == nil {
		say("all is well (-o wide lists every check)")
	}
	_, err := io.WriteString(env.Printer.Stdout, b.String())
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
