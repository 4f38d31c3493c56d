package tenants

import (
	"strings"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// check normalizes the given values and adds what is wrong with them.
func check(p *fault.Problems, t *Tenant) {
	fields.Where(func(f *schema.FieldOf[Tenant]) bool {
		return f.Name != "code" && f.Name != "type" && f.Name != "currency"
	}).CheckTexts(p, t, false)
	if t.Code != nil {
		if err := CheckCode(*t.Code); err != nil {
			p.Add("code", "%s", err)
		}
	}
	fields.Named("type", "currency").CheckTexts(p, t, false)
	if n := t.EmployeeCount; n != nil && (*n < 0 || *n > 1<<31-1) {
		p.Add("employee_count", "%d is out of range; 0 to %d are allowed", *n, 1<<31-1)
	}
}

func checkCurrency(p *fault.Problems, field, value string) {
	if len(value) != 3 || strings.Trim(strings.ToUpper(value), "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		p.Add(field, "%.60q is not a currency code (want one such as KRW)", value)
	}
}

// checkDates refuses a start in the future, as the tables do, and an end before the start. today is a day in UTC.
func checkDates(p *fault.Problems, start, end *db.Date, today db.Date) {
	if start != nil && start.Cmp(today) > 0 {
		p.Add("start_date", "%s is in the future", start)
	}
	if start != nil && end != nil && end.Cmp(*start) < 0 {
		p.Add("close_date", "%s is before the start date, %s", end, start)
	}
}
