package cli

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/csv"
	"fmt"
	"html"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/shopspring/decimal"

	"github.com/cxgctl/cxgctl/internal/dbtest"
	"github.com/cxgctl/cxgctl/internal/seed"
)

var (
	pageRow  = regexp.MustCompile(`<tr>(<th scope="row">.*)</tr>`)
	pageBar  = regexp.MustCompile(`(?s)<text x="0".*?>(.*?)</text><text x="400".*?>(.*?)</text>`)
	pageDesc = regexp.MustCompile(`<desc [^>]*>(.*?)</desc>`)
	pageRect = regexp.MustCompile(`<rect class="\w+" x="([0-9.]+)" y="\d+" width="([0-9.]+)"`)
	pageTag  = regexp.MustCompile(`<[^>]*>`)
	// The page leaves out decimals of an amount that are all 0.
	zeroDecimals = regexp.MustCompile(`(-?\d)\.0+\b`)

	pageStyle = regexp.MustCompile(`style-src 'sha256-([^']+)'`)
)

// summaryCSV returns the records of invoices summary by one grouping.
func summaryCSV(t *testing.T, pair dbtest.Pair, by string) (list []map[string]string) {
	t.Helper()
	out := cxgctl(t, pair, "invoices", "summary", "--by", by, "-o", "csv").exits(t, 0).out.String()
	rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows[1:] {
		record := map[string]string{}
		for i, name := range rows[0] {
			record[name] = row[i]
		}
		if record["paid_rate"] == "" {
			record["paid_rate"] = "–"
		}
		list = append(list, record)
	}
	return list
}

func fields(record map[string]string, names ...string) string {
	for i, name := range names {
		names[i] = record[name]
	}
	return strings.Join(names, "|")
}

// Every figure of the page, in its tables and its charts, is one of invoices summary, or the sum of those of the tenants
// that are not named.
func TestReport_FiguresEqualSummary(t *testing.T) {
	t.Parallel()
	pair := dbtest.New(t, migrated)
	if _, err := query(t.Context(), pair.Manager, "DELETE FROM idam.users"); err != nil {
		t.Fatal(err)
	}
	if _, err := seed.Load(t.Context(), pair.Manager, pair.Tenants, seed.Size{Users: 60, Invoices: 600}); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		`INSERT INTO tnnt.tenants (code, name) SELECT 'more-' || n, '더 ' || n FROM generate_series(1, 30) n`,
		`UPDATE bill.invoices i SET currency = (ARRAY['KRW', 'USD', 'EUR'])[1 + abs(hashtext(invoice_no)) % 3], total_amount = total_amount + 0.0001,
		   tenant_id = coalesce((SELECT t.id FROM tnnt.tenants t WHERE t.code = 'more-' || abs(hashtext(i.id::text)) % 40), tenant_id)`,
	} {
		if _, err := query(t.Context(), pair.Manager, sql); err != nil {
			t.Fatal(err)
		}
	}
	page := cxgctl(t, pair, "invoices", "report", "--html", "-").exits(t, 0).out.String()

	var rows, bars, descriptions []string
	currencies := summaryCSV(t, pair, "currency")
	months := summaryCSV(t, pair, "month")
	tenants := summaryCSV(t, pair, "tenant")
	sums := []string{"count", "total", "paid", "unpaid", "canceled", "paid_rate"}
	for _, c := range currencies {
		rows = append(rows, c["currency"]+"|"+fields(c, slices.Clone(sums)...))
	}
	ages := []string{"current", "days_1_30", "days_31_60", "days_61_90", "days_over_90"}
	for _, c := range currencies {
		chart := func(list ...string) {
			bars = append(bars, list...)
			descriptions = append(descriptions, strings.ReplaceAll(strings.Join(list, "; "), "|", ": "))
		}
		rows = append(rows, "Paid|"+fields(c, "paid_count", "paid"), "Unpaid|"+fields(c, "unpaid_count", "unpaid"),
			"Canceled|"+fields(c, "canceled_count", "canceled"), "Total|"+fields(c, "count", "total"), "Paid rate||"+c["paid_rate"])
		chart("Paid|"+c["paid"], "Unpaid|"+c["unpaid"], "Canceled|"+c["canceled"])

		var list []string
		for _, m := range months {
			if m["currency"] == c["currency"] {
				rows = append(rows, m["group"]+"|"+fields(m, slices.Clone(sums)...))
				list = append(list, m["group"]+"|"+m["total"])
			}
		}
		chart(list...)

		list = nil
		for i, name := range []string{"not yet due", "1-30 days", "31-60 days", "61-90 days", "over 90 days"} {
			list = append(list, name+"|"+c[ages[i]])
		}
		rows = append(append(rows, list...), "Total|"+c["unpaid"])
		chart(list...)

		list = nil
		debtors := owing(t, tenants, c["currency"], append(slices.Clone(ages), "unpaid"))
		for _, d := range debtors {
			rows = append(rows, fields(d, append([]string{"group", "tenant_name", "unpaid"}, ages...)...))
			list = append(list, d["group"]+"|"+d["unpaid"])
		}
		chart(list...)
	}
	if len(currencies) != 3 || len(months) < 12 || !strings.Contains(page, " other tenants<") {
		t.Errorf("%d currencies, %d months: the data are too few\n%s", len(currencies), len(months), page)
	}

	compare := func(what string, re *regexp.Regexp, want []string) {
		t.Helper()
		var got []string
		for _, m := range re.FindAllStringSubmatch(page, -1) {
			cells := strings.NewReplacer("</th><td", "</th>|<td", "</td><td", "</td>|<td").Replace(strings.Join(m[1:], "|"))
			got = append(got, html.UnescapeString(pageTag.ReplaceAllString(cells, "")))
		}
		for i := range want {
			want[i] = zeroDecimals.ReplaceAllString(want[i], "$1")
		}
		for i := range got {
			got[i] = zeroDecimals.ReplaceAllString(got[i], "$1")
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s of the page:\n%s\nof the summaries:\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	compare("rows", pageRow, rows)
	compare("bars", pageBar, bars)
	compare("descriptions", pageDesc, descriptions)
	checkPage(t, page)
}

// owing returns the ten tenants that owe most in a currency, and the sums of the others.
func owing(t *testing.T, tenants []map[string]string, currency string, amounts []string) (list []map[string]string) {
	t.Helper()
	for _, d := range tenants {
		if d["currency"] == currency && d["unpaid_count"] != "0" {
			list = append(list, d)
		}
	}
	slices.SortStableFunc(list, func(a, b map[string]string) int {
		return decimal.RequireFromString(b["unpaid"]).Cmp(decimal.RequireFromString(a["unpaid"]))
	})
	if len(list) <= 11 {
		return list
	}
	others := map[string]string{"group": fmt.Sprintf("%d other tenants", len(list)-10)}
	for _, name := range amounts {
		sum := decimal.Zero
		for _, d := range list[10:] {
			sum = sum.Add(decimal.RequireFromString(d[name]))
		}
		others[name] = sum.StringFixed(4)
	}
	return append(list[:10], others)
}

// checkPage checks that browsers apply the style of a page, and that its bars end within the chart.
func checkPage(t *testing.T, page string) {
	t.Helper()
	_, style, _ := strings.Cut(page, "<style>")
	style, _, _ = strings.Cut(style, "</style>")
	sum := sha256.Sum256([]byte(style))
	m := pageStyle.FindStringSubmatch(page)
	if want := base64.StdEncoding.EncodeToString(sum[:]); m == nil || html.UnescapeString(m[1]) != want {
		t.Errorf("the policy allows the style %q; its hash is %s", m, want)
	}
	widest := 0.0
	for _, m := range pageRect.FindAllStringSubmatch(page, -1) {
		x, _ := strconv.ParseFloat(m[1], 64)
		width, _ := strconv.ParseFloat(m[2], 64)
		widest = max(widest, x+width)
	}
	if widest < 399.9 || widest > 400.1 {
		t.Errorf("the longest bar ends at %g of 400", widest)
	}
}
