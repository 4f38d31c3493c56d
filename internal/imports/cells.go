package imports

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/intake"
	"github.com/cxgctl/cxgctl/internal/text"
)

// Cells reads the fields of one row, and collects what is wrong with them.
type Cells struct {
	fault.Problems
	Given map[string]bool // where it is not nil: the fields that were read and have a value

	src *Source
	row intake.Row
}

// Text returns the row's value of a field, in the form that text is stored in; one that is read verbatim, as
// it is.
func (c *Cells) Text(field string) string {
	i, ok := c.src.columns[field]
	if !ok || i >= len(c.row.Values) {
		return ""
	}
	v := c.row.Values[i]
	if !slices.Contains(c.src.opts.Verbatim, field) {
		v = text.Normal(v)
	}
	if v != "" && c.Given != nil {
		c.Given[field] = true
	}
	return v
}

// Stored returns the row's value of a field as it is, for a record that is restored as it was stored.
func (c *Cells) Stored(field string) string {
	v := c.Text(field)
	if i, ok := c.src.columns[field]; ok && i < len(c.row.Values) && v != "" {
		return c.row.Values[i]
	}
	return v
}

// Named says whether a row, of those that name their fields, names this one.
func (c *Cells) Named(field string) bool { return c.row.Names(field) }

// Fits says whether the table has the column, and refuses a value that would have no place.
func (c *Cells) Fits(field, value string) bool {
	if c.src.shape.Has(field) {
		return true
	}
	if value != "" {
		c.Add(field, "this database's %s has no such column", c.src.shape.Name)
	}
	return false
}

// Choice returns one of the valid values, in upper case; nil where the table has no such column.
func (c *Cells) Choice(field, fallback string, valid []string) *string {
	v := c.Text(field)
	if !c.Fits(field, v) {
		return nil
	}
	if v == "" {
		return &fallback
	}
	if v = strings.ToUpper(v); !slices.Contains(valid, v) {
		c.Choices(field, []string{v}, valid)
	}
	return &v
}

// Bool returns a yes or no.
func (c *Cells) Bool(field string, fallback bool) bool {
	v := c.Text(field)
	switch strings.ToLower(v) {
	case "":
		return fallback
	case "true", "t", "yes", "y", "1":
		return true
	case "false", "f", "no", "n", "0":
		return false
	}
	c.Add(field, "%.60q is neither true nor false", v)
	return fallback
}

// Time returns an instant, nil where the row has none or the table no such column.
func (c *Cells) Time(field string) *db.Time {
	v := c.Text(field)
	if !c.Fits(field, v) || v == "" {
		return nil
	}
	var at db.Time
	if err := at.UnmarshalText([]byte(v)); err != nil {
		c.Add(field, "%.60q is no time, it reads like 2026-01-31T09:30:00Z", v)
		return nil
	}
	at.Instant = at.Instant.UTC().Truncate(time.Microsecond)
	return &at
}

// ID returns an id, nil where the row has none or the table no such column.
func (c *Cells) ID(field string) *uuid.UUID {
	v := c.Text(field)
	if !c.Fits(field, v) || v == "" {
		return nil
	}
	id, err := uuid.Parse(v)
	if err != nil || len(v) != 36 || id == uuid.Nil {
		c.Add(field, "%.60q is no id", v)
		return nil
	}
	return &id
}

// quoted is a value that a message repeats.
var quoted = regexp.MustCompile(`"(\\.|[^"\\])*"`)

// Refuse fails a row for an error that names fields, with the first of them, or for any other. Of a file that has
// secrets no value is repeated: where cells have slid, a secret is in another column.
func (c *Cells) Refuse(r *Row, err error) {
	secret := slices.ContainsFunc(c.src.opts.Verbatim, c.src.Has)
	field, value := "", ""
	if list, ok := fault.From(err).Detail["fields"].([]fault.Problem); ok {
		field = list[0].Field
		if !secret {
			value = c.Text(field)
		}
	}
	if secret && !c.src.Objects {
		f := *fault.From(err)
		f.Message = quoted.ReplaceAllString(f.Message, `"…"`)
		err = &f
	}
	r.Fail(field, value, err, nil)
}
