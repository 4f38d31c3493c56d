package invoice

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cxgctl/cxgctl/internal/cli/cliflag"
	"github.com/cxgctl/cxgctl/internal/cli/cmdutil"
	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/invoices"
	"github.com/cxgctl/cxgctl/internal/money"
	"github.com/cxgctl/cxgctl/internal/output"
)

//go:embed page.html
var pageTemplate string

// topTenants is the number of tenants that the page names per currency; the others are one line.
const topTenants = 10

// page is what the template shows.
type page struct {
	StyleHash  string // of the only style that the browser may apply
	AsOf       string
	Filters    []string
	Currencies []section
}

// section is the part of the page about one currency.
type section struct {
	Currency string
	Total    invoices.Summary
	Months   []invoices.Summary
	Ages     []age
	Debtors  []invoices.Summary

	TotalChart, MonthChart, AgeChart, DebtorChart chart
}

// age is the unpaid amount of one age.
type age struct {
	Name   string
	Amount money.Amount
}

// chart is a list of horizontal bars with a common scale.
type chart struct {
	ID, Title, Description string
	Height                 int
	Bars                   []bar
}

// bar is one bar of a chart: its parts, one after another.
type bar struct {
	Label, Value string
	Y            int
	Parts        []part
}

// part is one part of a bar. Amounts that are negative or not finite have the width 0.
type part struct {
	Class    string // of the style
	Amount   money.Amount
	X, Width float64
}

const (
	chartWidth = 400 // in units of the view box; page.html has the same
	barHeight  = 34  // with its label
)

// printPage prints the report as a page. All figures come from one snapshot.
func printPage(ctx context.Context, env *cmdutil.Env, d *db.DB, cmd *cobra.Command, t *invoices.Table, f invoices.Filter) error {
	sums := map[string][]invoices.Summary{}
	err := d.Snapshot(ctx, func(r db.Reader) error {
		for _, by := range []string{"currency", "month", "tenant"} {
			var err error
			if sums[by], err = t.Summarize(ctx, r, f, []string{by}, cmdutil.Today(env)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	p := page{StyleHash: styleHash(), AsOf: asOf(env), Filters: filtersOf(cmd)}
	for i, total := range sums["currency"] {
		months, tenants := inCurrency(sums["month"], total), inCurrency(sums["tenant"], total)
		p.Currencies = append(p.Currencies, newSection(i, total, months, tenants))
	}
	parsed, err := template.New("page").Funcs(template.FuncMap{"digits": digits, "text": text}).Parse(pageTemplate)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := parsed.Execute(&b, p); err != nil {
		return err
	}
	return env.Printer.Document(b.Bytes())
}

// inCurrency returns the sums that are in the currency of total.
func inCurrency(sums []invoices.Summary, total invoices.Summary) (list []invoices.Summary) {
	for _, s := range sums {
		if isSame(s.Currency, total.Currency) {
			list = append(list, s)
		}
	}
	return list
}

// isSame reports whether two stored values are equal or both NULL.
func isSame(a, b *string) bool { return a == b || a != nil && b != nil && *a == *b }

func newSection(n int, total invoices.Summary, months, tenants []invoices.Summary) section {
	x := section{
		Currency: cmp.Or(text(total.Currency), "without currency"),
		Total:    total,
		Months:   months,
		Debtors:  debtors(tenants),
	}
	x.Ages = []age{
		{"not yet due", total.Current},
		{"1-30 days", total.Days1To30},
		{"31-60 days", total.Days31To60},
		{"61-90 days", total.Days61To90},
		{"over 90 days", total.DaysOver90},
	}
	x.TotalChart = newChart(fmt.Sprintf("totals-%d", n), x.Currency+": paid, unpaid and canceled", []bar{
		newBar("Paid", part{Class: "paid", Amount: total.Paid}),
		newBar("Unpaid", part{Class: "unpaid", Amount: total.Unpaid}),
		newBar("Canceled", part{Class: "canceled", Amount: total.Canceled}),
	})
	var bars []bar
	for _, m := range months {
		bars = append(bars, totalBar(text(m.Group), m))
	}
	x.MonthChart = newChart(fmt.Sprintf("months-%d", n), x.Currency+": invoiced by month", bars)
	bars = nil
	for _, a := range x.Ages {
		bars = append(bars, newBar(a.Name, part{Class: "unpaid", Amount: a.Amount}))
	}
	x.AgeChart = newChart(fmt.Sprintf("ages-%d", n), x.Currency+": unpaid by days past due", bars)
	bars = nil
	for _, d := range x.Debtors {
		bars = append(bars, newBar(text(d.Group), part{Class: "unpaid", Amount: d.Unpaid}))
	}
	x.DebtorChart = newChart(fmt.Sprintf("tenants-%d", n), x.Currency+": unpaid by tenant", bars)
	return x
}

// debtors returns the tenants with unpaid invoices, those that owe most first. The last line is the sum of those after
// topTenants.
func debtors(tenants []invoices.Summary) []invoices.Summary {
	list := slices.DeleteFunc(tenants, func(s invoices.Summary) bool { return s.UnpaidCount == 0 })
	slices.SortStableFunc(list, func(a, b invoices.Summary) int { return b.Unpaid.Cmp(a.Unpaid) })
	if len(list) <= topTenants+1 {
		return list
	}
	name := fmt.Sprintf("%d other tenants", len(list)-topTenants)
	others := list[topTenants]
	for _, s := range list[topTenants+1:] {
		others.Unpaid = others.Unpaid.Add(s.Unpaid)
		others.Current = others.Current.Add(s.Current)
		others.Days1To30 = others.Days1To30.Add(s.Days1To30)
		others.Days31To60 = others.Days31To60.Add(s.Days31To60)
		others.Days61To90 = others.Days61To90.Add(s.Days61To90)
		others.DaysOver90 = others.DaysOver90.Add(s.DaysOver90)
	}
	others.Group, others.TenantName = &name, nil
	return append(list[:topTenants], others)
}

// newBar returns a bar with the amount of its first part as its value.
func newBar(label string, parts ...part) bar {
	return bar{Label: cmp.Or(label, "none"), Value: parts[0].Amount.String(), Parts: parts}
}

// totalBar returns a bar of all amounts of a sum.
func totalBar(label string, s invoices.Summary) bar {
	b := newBar(label,
		part{Class: "paid", Amount: s.Paid}, part{Class: "unpaid", Amount: s.Unpaid}, part{Class: "canceled", Amount: s.Canceled})
	b.Value = s.Total.String()
	return b
}

// newChart places the bars below each other, the longest in full width.
func newChart(id, title string, bars []bar) chart {
	longest := 0.0
	var values []string
	for i := range bars {
		b := &bars[i]
		b.Y = i * barHeight
		end := 0.0
		for j := range b.Parts {
			b.Parts[j].X, b.Parts[j].Width = end, length(b.Parts[j].Amount)
			end += b.Parts[j].Width
		}
		longest = max(longest, end)
		values = append(values, b.Label+": "+b.Value)
	}
	for _, b := range bars {
		for j := range b.Parts {
			b.Parts[j].X *= chartWidth / max(longest, 1e-9)
			b.Parts[j].Width *= chartWidth / max(longest, 1e-9)
		}
	}
	return chart{ID: id, Title: title, Description: strings.Join(values, "; "), Height: len(bars) * barHeight, Bars: bars}
}

// length returns an amount as the length of a bar, which need not be exact.
func length(a money.Amount) float64 {
	f, err := strconv.ParseFloat(a.String(), 64)
	if err != nil || !a.Finite() {
		return 0
	}
	return max(f, 0)
}

// digits splits a decimal between its thousands, without decimals that are all 0. The page sets the parts apart without
// a character between them, so that a copied figure is exact.
func digits(amount string) (parts []string) {
	end := strings.IndexByte(amount, '.')
	if end < 0 || strings.Trim(amount, "-.0123456789") != "" {
		return []string{amount}
	}
	start := strings.LastIndexByte(amount, '-') + 1
	first := start + (end-start)%3
	if first > start {
		parts = append(parts, amount[:first])
	}
	for i := first; i < end; i += 3 {
		parts = append(parts, amount[i:i+3])
	}
	if first == start { // the sign belongs to the first digits
		parts[0] = amount[:start] + parts[0]
	}
	if strings.Trim(amount[end:], ".0") != "" {
		parts[len(parts)-1] += amount[end:]
	}
	return parts
}

// text returns a stored value as harmless text, "" for NULL.
func text(s *string) string {
	if s == nil {
		return ""
	}
	return output.Sanitize(*s)
}

// filtersOf returns the flags that select invoices, as they were typed.
func filtersOf(cmd *cobra.Command) (list []string) {
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if !cliflag.Printing.Has(f) && !cliflag.Shaping.Has(f) && cmd.InheritedFlags().Lookup(f.Name) == nil {
			list = append(list, "--"+f.Name+" "+output.Sanitize(strings.Join(cliflag.ValuesOf(cmd, f.Name), ",")))
		}
	})
	return list
}

// styleHash returns the hash of the style in the template for the page's content security policy.
func styleHash() string {
	_, style, _ := strings.Cut(pageTemplate, "<style>")
	style, _, _ = strings.Cut(style, "</style>")
	sum := sha256.Sum256([]byte(style))
	return base64.StdEncoding.EncodeToString(sum[:])
}
