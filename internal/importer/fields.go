package importer

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/money"
	"github.com/cxgctl/cxgctl/internal/rowreader"
	"github.com/cxgctl/cxgctl/internal/schema"
	"github.com/cxgctl/cxgctl/internal/validate"
)

// Fields reads the fields of one row and collects their problems.
type Fields struct {
	fault.Problems
	Given   map[string]bool // fields that were read and have a value; may be nil
	Altered []Alteration    // how stored values differ from the file
	Filled  []Alteration    // what a new record gets for empty values

	src *Input
	row rowreader.Row
}

// value returns the row's value of a field as in the file, and normalized. Both are equal for a field that is read
// verbatim.
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

// Text returns the row's value of a field: normalized, or as is if it is read verbatim.
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

// Stored returns the row's value of a field as is, for a record that is restored as it was stored. A blank value
// becomes "".
func (c *Fields) Stored(field string) string {
	raw, v := c.value(field)
	if v == "" {
		return ""
	}
	return raw
}

// Names reports whether the row has the field, even with an empty value.
func (c *Fields) Names(field string) bool {
	return c.src.Has(field) && (!c.src.Objects || c.row.Names(field))
}

// Alter records how the stored value of a field differs from the file.
func (c *Fields) Alter(field, how string) { c.Altered = noted(c.Altered, Alteration{field, how}) }

// Fill records what a new record gets for an empty value.
func (c *Fields) Fill(field, as string) {
	if _, v := c.value(field); v == "" && c.Names(field) && c.src.shape.Has(field) {
		c.Filled = noted(c.Filled, Alteration{field, "with " + as + " for an empty value"})
	}
}

// FillBirth records what a new record gets if the row has no id, creation time or creator.
func (c *Fields) FillBirth() {
	c.Fill("id", "a new id")
	c.Fill("created_at", "the time of the import")
	c.Fill("created_by", "the operator")
}

// FillNull records that a blank text, or one that is empty but not null, is stored as null. Only json distinguishes
// the latter two.
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

// Fits reports whether the table has the column, and refuses a value for one that it does not have.
func (c *Fields) Fits(field, value string) bool {
	if c.src.shape.Has(field) {
		return true
	}
	if value != "" {
		c.Add(field, "table %s has no such column", c.src.shape.Name)
	}
	return false
}

// Read reads a field of the record from the row, or its default. A value that does not fit is a problem; texts are not
// checked.
func Read[T any](c *Fields, f *schema.FieldOf[T], record *T) {
	switch p := f.Of(record).(type) {
	case *string:
		*p = c.Text(f.Name)
	case **string:
		if f.Choices != nil && f.Default != "" {
			*p = c.choice(f.Name, f.Default, f.Choices)
		} else {
			*p = c.optional(f.Name, f.Default)
		}
	case *uuid.UUID:
		if id := c.ID(f.Name); id != nil {
			*p = *id
		}
	case **uuid.UUID:
		*p = c.ID(f.Name)
	case *bool:
		*p = c.Bool(f.Name, f.Default == "true")
	case **bool:
		if *p = nil; c.Fits(f.Name, c.Text(f.Name)) {
			b := c.Bool(f.Name, f.Default == "true")
			*p = &b
		}
	case **db.Time:
		*p = c.Time(f.Name)
	case **db.Date:
		*p = parse(c, f.Name, f.Default, func(v string) (db.Date, error) {
			day, err := time.Parse(time.DateOnly, v)
			if err != nil {
				err = fmt.Errorf("%.60q is not a date (want YYYY-MM-DD)", v)
			}
			return db.Date{Day: day}, err
		})
	case **money.Amount:
		*p = parse(c, f.Name, f.Default, money.Parse)
	case **int64:
		*p = parse(c, f.Name, f.Default, func(v string) (int64, error) {
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil {
				err = fmt.Errorf("%.60q is not a whole number", v)
			}
			return n, err
		})
	}
}

// parse returns the row's value, or the default; nil if there is neither, or the table has no such column.
func parse[V any](c *Fields, field, fallback string, read func(string) (V, error)) *V {
	v := c.Text(field)
	if v == "" && fallback == "" || !c.Fits(field, v) {
		return nil
	}
	if v == "" {
		c.Fill(field, fallback)
		v = fallback
	}
	value, err := read(v)
	if err != nil {
		c.Add(field, "%s", err)
		return nil
	}
	return &value
}

// optional returns the row's text, or the table's default; nil if there is neither, or no such column.
func (c *Fields) optional(field, fallback string) *string {
	read := c.Text
	if c.src.Has(field) && c.Restored() {
		read = c.Stored
	}
	v := read(field)
	if !c.Fits(field, v) {
		return nil
	}
	switch def := c.src.Defaults[field]; {
	case v != "":
		return &v
	case def != nil:
		c.Fill(field, *def)
		return def
	case fallback == "":
		c.FillNull(field)
	}
	return nil
}

// Restored reports whether the row is a record that an export wrote: it has its id and creation time. Its texts are
// taken as stored, without the checks for new ones.
func (c *Fields) Restored() bool { return c.Text("id") != "" && c.Text("created_at") != "" }

// choice returns one of the valid values, in upper case, or nil if the table has no such column.
func (c *Fields) choice(field, fallback string, valid []string) *string {
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

// Bool returns a boolean.
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

// Time returns an instant, or nil if the row has none or the table has no such column.
func (c *Fields) Time(field string) *db.Time {
	v := c.Text(field)
	if v == "" || !c.Fits(field, v) {
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

// ID returns an id, or nil if the row has none or the table has no such column.
func (c *Fields) ID(field string) *uuid.UUID {
	return parse(c, field, "", func(v string) (uuid.UUID, error) {
		id, err := uuid.Parse(v)
		if err != nil || len(v) != 36 || id == uuid.Nil {
			err = fmt.Errorf("%.60q is not a UUID", v)
		}
		return id, err
	})
}

// quoted matches a value in a message.
var quoted = regexp.MustCompile(`"(\\.|[^"\\])*"`)

// Refuse fails a row with an error, and with the first field that the error names. If the file has secrets, values
// are removed from the message, because a secret may have ended up in another column.
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
