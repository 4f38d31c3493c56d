package importer

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/rowreader"
	"github.com/cxgctl/cxgctl/internal/validate"
)

// Cells reads the fields of one row, and collects what is wrong with them.
type Fields struct {
	fault.Problems
	Given   map[string]bool // where it is not nil: the fields that were read and have a value
	Altered []Alteration    // how values that were read are stored otherwise than they came
	Filled  []Alteration    // what a new record gets for empty values

	src *Input
	row rowreader.Row
}

// value returns the row's value of a field as the file has it, and in the form that text is stored in. The two are
// the same for a field that is read verbatim.
func (c *Fields) value(field string) (raw, normal string) {
	i, ok := c.src.columns[field]
	if !ok || i >= len(c.row.Values) {
		return "", ""
	}
	raw = c.row.Values[i]
	normal = raw
	if !slices.Contains(c.src.opts.Verbatim, field) {
		normal = validate.Normalize(raw)
	}
	if normal != "" && c.Given != nil {
		c.Given[field] = true
	}
	return raw, normal
}

// Text returns the row's value of a field, in the form that text is stored in; one that is read verbatim, as
// it is.
func (c *Fields) Text(field string) string {
	raw, v := c.value(field)
	switch {
	case raw == v || v == "" || !c.src.shape.Has(field):
	case strings.TrimSpace(raw) != raw:
		c.Alter(field, "without surrounding blanks")
	default:
		c.Alter(field, "in Unicode form NFC")
	}
	return v
}

// Stored returns the row's value of a field as it is, for a record that is restored as it was stored. A blank one is "".
func (c *Fields) Stored(field string) string {
	raw, v := c.value(field)
	if v == "" {
		return ""
	}
	return raw
}

// Names says whether the row has a value of the field, if only an empty one.
func (c *Fields) Names(field string) bool {
	return c.src.Has(field) && (!c.src.Objects || c.row.Names(field))
}

// Alter notes how the value of a field is stored otherwise than it came.
func (c *Fields) Alter(field, how string) { c.Altered = noted(c.Altered, Alteration{field, how}) }

// Fill notes what a new record gets for a value that is empty, if it is.
func (c *Fields) Fill(field, as string) {
	if _, v := c.value(field); v == "" && c.Names(field) && c.src.shape.Has(field) {
		c.Filled = noted(c.Filled, Alteration{field, "with " + as + " for an empty value"})
	}
}

// FillBirth notes what a new record gets where the row does not say which id it has, and when and by whom it was made.
func (c *Fields) FillBirth() {
	c.Fill("id", "a new id")
	c.Fill("created_at", "the time of the import")
	c.Fill("created_by", "the operator")
}

// FillNull notes that a text which is blank, or empty and not null, is stored as null. Only json can tell the latter two
// apart.
func (c *Fields) FillNull(field string) {
	raw, v := c.value(field)
	if v == "" && (raw != "" || c.row.HasEmpty(field)) && c.src.shape.Has(field) {
		c.Filled = noted(c.Filled, Alteration{field, "with null for an empty text"})
	}
}

func noted(list []Alteration, a Alteration) []Alteration {
	if slices.Contains(list, a) {
		return list
	}
	return append(list, a)
}

// Fits says whether the table has the column, and refuses a value that would have no place.
func (c *Fields) Fits(field, value string) bool {
	if c.src.shape.Has(field) {
		return true
	}
	if value != "" {
		c.Add(field, "table %s has no such column", c.src.shape.Name)
	}
	return false
}

// Choice returns one of the valid values, in upper case; nil where the table has no such column.
func (c *Fields) Choice(field, fallback string, valid []string) *string {
	v := c.Text(field)
	if !c.Fits(field, v) {
		return nil
	}
	if v == "" {
		c.Fill(field, fallback)
		return &fallback
	}
	upper := strings.ToUpper(v)
	switch {
	case !slices.Contains(valid, upper):
		c.Choices(field, []string{upper}, valid)
	case upper != v:
		c.Alter(field, "in upper case")
	}
	return &upper
}

// Bool returns a yes or no.
func (c *Fields) Bool(field string, fallback bool) bool {
	v := c.Text(field)
	switch strings.ToLower(v) {
	case "":
		c.Fill(field, strconv.FormatBool(fallback))
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
func (c *Fields) Time(field string) *db.Time {
	v := c.Text(field)
	if !c.Fits(field, v) || v == "" {
		return nil
	}
	var at db.Time
	if err := at.UnmarshalText([]byte(v)); err != nil {
		c.Add(field, "%.60q is not a time (want 2026-01-31T09:30:00Z)", v)
		return nil
	}
	exact := at.Instant
	at.Instant = exact.UTC().Truncate(time.Microsecond)
	if !at.Instant.Equal(exact) {
		c.Alter(field, "to the microsecond")
	}
	return &at
}

// ID returns an id, nil where the row has none or the table no such column.
func (c *Fields) ID(field string) *uuid.UUID {
	v := c.Text(field)
	if !c.Fits(field, v) || v == "" {
		return nil
	}
	id, err := uuid.Parse(v)
	if err != nil || len(v) != 36 || id == uuid.Nil {
		c.Add(field, "%.60q is not a UUID", v)
		return nil
	}
	return &id
}

// quoted is a value that a message repeats.
var quoted = regexp.MustCompile(`"(\\.|[^"\\])*"`)

// Refuse fails a row for an error that names fields, with the first of them, or for any other. Of a file that has
// secrets no value is repeated: where cells have slid, a secret is in another column.
func (c *Fields) Refuse(r *Row, err error) {
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
