package tenants

import (
	"strings"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/validate"
)

// Values are the fields of a tenant to create or change. A nil field was not given.
type Values struct {
	Code, Name, Type                      *string
	BizNo, BizName, BizType               *string
	CEOName, BizKind, BizItem             *string
	Postcode, Address1, Address2, PhoneNo *string
	Timezone, Locale, Currency            *string
	EmployeeCount                         *int64
	StartDate, CloseDate                  *db.Date
}

// textual describes the text fields: the maximum length, an optional check, and the value.
var textual = []struct {
	name string
	most int
	kind func(p *fault.Problems, field, value string)
	of   func(*Values) **string
}{
	{"name", 100, nil, func(v *Values) **string { return &v.Name }},
	{"biz_no", 20, nil, func(v *Values) **string { return &v.BizNo }},
	{"biz_name", 100, nil, func(v *Values) **string { return &v.BizName }},
	{"biz_type", 1, nil, func(v *Values) **string { return &v.BizType }},
	{"ceo_name", 100, nil, func(v *Values) **string { return &v.CEOName }},
	{"biz_kind", 100, nil, func(v *Values) **string { return &v.BizKind }},
	{"biz_item", 100, nil, func(v *Values) **string { return &v.BizItem }},
	{"postcode", 10, nil, func(v *Values) **string { return &v.Postcode }},
	{"address1", 255, nil, func(v *Values) **string { return &v.Address1 }},
	{"address2", 255, nil, func(v *Values) **string { return &v.Address2 }},
	{"phone_no", 20, validate.CheckPhone, func(v *Values) **string { return &v.PhoneNo }},
	{"timezone", 50, validate.CheckZone, func(v *Values) **string { return &v.Timezone }},
	{"locale", 10, validate.CheckLocale, func(v *Values) **string { return &v.Locale }},
}

// Unsettable are the fields that can be NULL.
var Unsettable = []string{
	"biz_no", "biz_name", "biz_type", "ceo_name", "biz_kind", "biz_item", "postcode", "address1", "address2", "phone_no",
	"employee_count", "close_date",
}

// check normalizes the values and adds what is wrong with them.
func (v *Values) check(p *fault.Problems) {
	for _, f := range textual {
		if field := f.of(v); *field != nil {
			s := validate.Normalize(**field)
			validate.Length(p, f.name, s, 1, f.most)
			if f.kind != nil && !p.Has(f.name) {
				f.kind(p, f.name, s)
			}
			*field = &s
		}
	}
	if v.Code != nil {
		if err := CheckCode(*v.Code); err != nil {
			p.Add("code", "%s", err)
		}
	}
	if v.Type != nil {
		kind := p.Choices("type", []string{*v.Type}, Types)[0]
		v.Type = &kind
	}
	if v.Currency != nil {
		c := strings.ToUpper(strings.TrimSpace(*v.Currency))
		if len(c) != 3 || strings.Trim(c, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
			p.Add("currency", "%.60q is not a currency code (want one such as KRW)", *v.Currency)
		}
		v.Currency = &c
	}
	if v.EmployeeCount != nil && (*v.EmployeeCount < 0 || *v.EmployeeCount > 1<<31-1) {
		p.Add("employee_count", "%d is out of range; 0 to %d are allowed", *v.EmployeeCount, 1<<31-1)
	}
}

// args returns the given values, by field.
func (v *Values) args() map[string]any {
	args := map[string]any{}
	for _, f := range textual {
		if field := *f.of(v); field != nil {
			args[f.name] = *field
		}
	}
	for name, field := range map[string]*string{"code": v.Code, "type": v.Type, "currency": v.Currency} {
		if field != nil {
			args[name] = *field
		}
	}
	for name, field := range map[string]*db.Date{"start_date": v.StartDate, "close_date": v.CloseDate} {
		if field != nil {
			args[name] = *field
		}
	}
	if v.EmployeeCount != nil {
		args["employee_count"] = *v.EmployeeCount
	}
	return args
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
