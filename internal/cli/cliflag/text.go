package cliflag

import (
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/money"
)

// TextValue holds the text of a flag until the command runs, so that its problems are reported together with those of
// other values, as one VALIDATION_ERROR.
type TextValue struct {
	Text  string
	given bool
}

func (t *TextValue) String() string { return t.Text }

// Set keeps the text. An empty one, which only a person who is asked can give, does not count as given.
func (t *TextValue) Set(s string) error {
	t.Text, t.given = s, s != ""
	return nil
}

// Type names the flag's values in help.
func (t *TextValue) Type() string { return "string" }

// Value returns the text, nil when the flag was not given.
func (t *TextValue) Value() *string {
	if !t.given {
		return nil
	}
	return &t.Text
}

// DateValue is a calendar day in any form that parseTime accepts: the day in the command's time zone.
type DateValue struct{ TimeValue }

// Type names the flag's values in help.
func (d *DateValue) Type() string { return "date" }

// String is the text that was given.
func (d *DateValue) String() string { return d.Text }

// Set keeps the text.
func (d *DateValue) Set(s string) error { return d.TextValue.Set(s) }

// Read returns the day, or nil if the flag was not given. Invalid text is added to problems.
func (d *DateValue) Read(field string, problems *fault.Problems) *db.Date {
	if !d.given {
		return nil
	}
	if day, err := db.ParseDate(d.Text); err == nil {
		return &day
	}
	if _, err := parseTime(d.Text, time.Now(), time.UTC, false); err != nil {
		problems.Add(field, "%.60q is not a date (want YYYY-MM-DD, an age such as 30d, or today)", d.Text)
		return nil
	}
	day := dayOf(d.Exact().Instant, d.Times.location())
	return &day
}

// ReadMonth returns the first day of the month and of the next, or nil if the flag was not given. Invalid text is added
// to problems.
func (d *DateValue) ReadMonth(field string, problems *fault.Problems) (first, next *db.Date) {
	var p fault.Problems
	day := d.Read(field, &p)
	if p.Err() != nil || day != nil && day.Infinity != pgtype.Finite {
		problems.Add(field, "%.60q is not a month (want YYYY-MM, this-month or last-month)", d.Text)
		return nil, nil
	}
	if day == nil {
		return nil, nil
	}
	begin := day.Day.AddDate(0, 0, 1-day.Day.Day())
	return &db.Date{Day: begin}, &db.Date{Day: begin.AddDate(0, 1, 0)}
}

// AmountValue is an exact decimal amount.
type AmountValue struct{ TextValue }

// Type names the flag's values in help.
func (m *AmountValue) Type() string { return "amount" }

// Read returns the amount, or nil if the flag was not given. Invalid text is added to problems.
func (m *AmountValue) Read(field string, problems *fault.Problems) *money.Amount {
	if !m.given {
		return nil
	}
	v, err := money.Parse(m.Text)
	if err != nil {
		problems.Add(field, "%s", err)
		return nil
	}
	return &v
}

// CountValue is a whole number.
type CountValue struct{ TextValue }

// Type names the flag's values in help.
func (c *CountValue) Type() string { return "n" }

// Read returns the number, or nil if the flag was not given. Invalid text is added to problems.
func (c *CountValue) Read(field string, problems *fault.Problems) *int64 {
	if !c.given {
		return nil
	}
	n, err := strconv.ParseInt(c.Text, 10, 64)
	if err != nil {
		problems.Add(field, "%.60q is not a whole number", c.Text)
		return nil
	}
	return &n
}
