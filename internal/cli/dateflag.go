package cli

import (
	"strconv"
	"time"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/money"
)

// textFlag holds the text of a flag until the command runs, so that its problems are reported together with those of
// other values, as one VALIDATION_ERROR.
type textFlag struct {
	text  string
	given bool
}

func (t *textFlag) String() string { return t.text }

// Set keeps the text.
func (t *textFlag) Set(s string) error {
	t.text, t.given = s, true
	return nil
}

// Type names the flag's values in help.
func (t *textFlag) Type() string { return "string" }

// value returns the text, nil when the flag was not given.
func (t *textFlag) value() *string {
	if !t.given {
		return nil
	}
	return &t.text
}

// dateFlag is a calendar day in any form that parseTime accepts: the day in the command's time zone.
type dateFlag struct{ timeFlag }

// Type names the flag's values in help.
func (d *dateFlag) Type() string { return "date" }

// String is the text that was given.
func (d *dateFlag) String() string { return d.text }

// Set keeps the text.
func (d *dateFlag) Set(s string) error { return d.textFlag.Set(s) }

// read returns the day, or nil if the flag was not given. Invalid text is added to problems.
func (d *dateFlag) read(field string, problems *fault.Problems) *db.Date {
	if !d.given {
		return nil
	}
	if day, err := db.ParseDate(d.text); err == nil {
		return &day
	}
	if _, err := parseTime(d.text, time.Now(), time.UTC, false); err != nil {
		problems.Add(field, "%.60q is not a date (want YYYY-MM-DD)", d.text)
		return nil
	}
	day := dayOf(d.exact().Instant, d.timing.location())
	return &day
}

// amountFlag is an exact decimal amount.
type amountFlag struct{ textFlag }

// Type names the flag's values in help.
func (m *amountFlag) Type() string { return "amount" }

// read returns the amount, or nil if the flag was not given. Invalid text is added to problems.
func (m *amountFlag) read(field string, problems *fault.Problems) *money.Amount {
	if !m.given {
		return nil
	}
	v, err := money.Parse(m.text)
	if err != nil {
		problems.Add(field, "%s", err)
		return nil
	}
	return &v
}

// countFlag is a whole number.
type countFlag struct{ textFlag }

// Type names the flag's values in help.
func (c *countFlag) Type() string { return "n" }

// read returns the number, or nil if the flag was not given. Invalid text is added to problems.
func (c *countFlag) read(field string, problems *fault.Problems) *int64 {
	if !c.given {
		return nil
	}
	n, err := strconv.ParseInt(c.text, 10, 64)
	if err != nil {
		problems.Add(field, "%.60q is not a whole number", c.text)
		return nil
	}
	return &n
}
