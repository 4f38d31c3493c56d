package invoice

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/clipperhouse/displaywidth"

	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/invoices"
	"github.com/cxgctl/cxgctl/internal/output"
)

// barMarks draw the parts of a bar in ASCII, because terminals disagree on the width of block characters.
var barMarks = map[string]string{"paid": "#", "unpaid": "=", "canceled": "."}

const (
	plainWidth = 80 // of bars that do not go to a terminal
	leastWidth = 10 // of a bar
)

// printBars prints sums as bars. Each currency has a scale of its own.
func printBars(env *cmdutil.Env, list []invoices.Summary) error {
	screen := env.Printer.Terminal
	var b strings.Builder
	slices.SortStableFunc(list, func(x, y invoices.Summary) int { return cmp.Compare(text(x.Currency), text(y.Currency)) })
	for len(list) > 0 {
		first := list[0]
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		writeBars(&b, inCurrency(list, first), cmp.Or(screen.Width, plainWidth))
		list = slices.DeleteFunc(list, func(s invoices.Summary) bool { return isSame(s.Currency, first.Currency) })
	}
	env.Note("%s", asOf(env))
	return env.Printer.Document([]byte(screen.Fold(b.String(), 2)))
}

// writeBars writes the bars of one currency: label, amount, bar.
func writeBars(b *strings.Builder, list []invoices.Summary, width int) {
	code := text(list[0].Currency)
	var bars []bar
	labels, amounts := 0, 0
	for _, s := range list {
		label := cmp.Or(text(s.Group), "none")
		if s.Subgroup != nil {
			label += " " + text(s.Subgroup)
		}
		x := totalBar(label, s)
		x.Value = output.Amount(s.Total, code)
		bars = append(bars, x)
		labels, amounts = max(labels, displaywidth.String(label)), max(amounts, len(x.Value))
	}
	b.WriteString(cmp.Or(code, "without currency") + "  # paid  = unpaid  . canceled\n")
	space := max(width-labels-amounts-4, leastWidth)
	for _, x := range newChart("", "", bars).Bars {
		label := x.Label + strings.Repeat(" ", labels-displaywidth.String(x.Label))
		b.WriteString(label + "  " + strings.Repeat(" ", amounts-len(x.Value)) + x.Value + "  ")
		drawn := 0
		for _, p := range x.Parts {
			end := int(math.Round((p.X + p.Width) / chartWidth * float64(space)))
			b.WriteString(strings.Repeat(barMarks[p.Class], end-drawn))
			drawn = end
		}
		b.WriteByte('\n')
	}
}
