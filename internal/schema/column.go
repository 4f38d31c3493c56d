package schema

import (
	"reflect"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/money"
	"github.com/cxgctl/cxgctl/internal/validate"
)

// FieldOf declares a field of the record T. What a noun reads, inserts, updates, imports, sorts, unsets and checks
// follows from its declarations.
type FieldOf[T any] struct {
	Name string
	Type string       // the type of the column in our migrations: uuid, varchar(100); "" if the field is derived from others
	Also []string     // the column's names in other generations
	Of   func(*T) any // returns a pointer to the field

	Choices []string // the values that a CHECK allows
	Default string   // what a new record has in place of an empty value
	// Check adds what is wrong with a text, besides its length.
	Check func(p *fault.Problems, field, value string)
	Min   int  // the least length of a text
	Upper bool // texts are stored in upper case, and only Check checks them

	Required bool // every record has it
	Sort     bool // lists can be sorted by it
	Change   bool // create and update set it
	Unset    bool // update can set it to NULL
	Access   bool // it affects who can log in
}

// FieldsOf are the declarations of a record, in its order.
type FieldsOf[T any] []*FieldOf[T]

// Where returns the fields that fit.
func (list FieldsOf[T]) Where(fits func(*FieldOf[T]) bool) FieldsOf[T] {
	fit := make(FieldsOf[T], 0, len(list))
	for _, f := range list {
		if fits(f) {
			fit = append(fit, f)
		}
	}
	return fit
}

// Names returns the names of all fields.
func (list FieldsOf[T]) Names() []string {
	names := make([]string, len(list))
	for i, f := range list {
		names[i] = f.Name
	}
	return names
}

// Named returns the fields with these names, in their order.
func (list FieldsOf[T]) Named(names ...string) FieldsOf[T] {
	var named FieldsOf[T]
	for _, name := range names {
		if i := slices.IndexFunc(list, func(f *FieldOf[T]) bool { return f.Name == name }); i >= 0 {
			named = append(named, list[i])
		}
	}
	return named
}

// Stored returns the fields that are columns of the table.
func (list FieldsOf[T]) Stored() FieldsOf[T] {
	return list.Where(func(f *FieldOf[T]) bool { return f.Type != "" })
}

// Declaration is a column as our migrations declare it.
type Declaration struct {
	Names []string // the field's, followed by those of other generations
	Type  string   // as in FieldOf; "" if commands read several types
}

// FullType returns the type as printed by format_type.
func (d Declaration) FullType() string { return inFull(d.Type) }

// Declarations returns the columns of the fields.
func (list FieldsOf[T]) Declarations() []Declaration {
	var columns []Declaration
	for _, f := range list.Stored() {
		d := Declaration{append([]string{f.Name}, f.Also...), f.Type}
		if f.isDateOrTime() {
			d.Type = ""
		}
		columns = append(columns, d)
	}
	return columns
}

func (f *FieldOf[T]) isDateOrTime() bool {
	var record T
	_, either := f.Of(&record).(**db.DateOrTime)
	return either
}

// Required returns the names of the fields that every record has.
func (list FieldsOf[T]) Required() []string {
	return list.Where(func(f *FieldOf[T]) bool { return f.Required }).Names()
}

// Sorts returns the names of the fields that lists can be sorted by, the id last.
func (list FieldsOf[T]) Sorts() []string {
	names := list.Where(func(f *FieldOf[T]) bool { return f.Sort && f.Name != "id" }).Names()
	return append(names, "id")
}

// Unsets returns the names of the fields that can be NULL.
func (list FieldsOf[T]) Unsets() []string {
	return list.Where(func(f *FieldOf[T]) bool { return f.Unset }).Names()
}

// Given returns the fields that create and update set and that have a value in the record.
func (list FieldsOf[T]) Given(record *T) FieldsOf[T] {
	return list.Where(func(f *FieldOf[T]) bool { return f.Change && f.IsSet(record) })
}

// Differing returns the fields that create and update set and whose values differ between two records.
func (list FieldsOf[T]) Differing(a, b *T) FieldsOf[T] {
	return list.Where(func(f *FieldOf[T]) bool { return f.Change && !f.Equal(a, b) })
}

// CheckTexts normalizes the texts that the record has, and adds what is wrong with them. A whole record has all
// required ones.
func (list FieldsOf[T]) CheckTexts(p *fault.Problems, record *T, whole bool) {
	for _, f := range list {
		text := f.text(record)
		switch {
		case !f.Change:
		case text == nil && whole && f.Required && !f.IsSet(record) && !p.Has(f.Name):
			p.Add(f.Name, "it is missing")
		case text == nil:
		case validate.Normalize(*text) == "":
			p.Add(f.Name, "it is missing")
		case f.Choices != nil:
			*text = p.Choices(f.Name, []string{*text}, f.Choices)[0]
		case f.Upper:
			f.Check(p, f.Name, validate.Normalize(*text))
			*text = strings.ToUpper(validate.Normalize(*text))
		default:
			*text = validate.Normalize(*text)
			f.CheckText(p, *text)
		}
	}
}

// text returns a pointer to a text of the record, or nil if it has none.
func (f *FieldOf[T]) text(record *T) *string {
	if f.Of == nil {
		return nil
	}
	switch p := f.Of(record).(type) {
	case *string:
		if *p != "" {
			return p
		}
	case **string:
		if *p != nil {
			s := **p
			*p = &s
			return &s
		}
	}
	return nil
}

// CheckText adds what is wrong with a text.
func (f *FieldOf[T]) CheckText(p *fault.Problems, value string) {
	least := f.Min
	if f.Required {
		least = max(least, 1)
	}
	validate.Length(p, f.Name, value, least, f.Max())
	if f.Check != nil && !p.Has(f.Name) {
		f.Check(p, f.Name, value)
	}
}

// Max returns the maximum length of a text, in characters.
func (f *FieldOf[T]) Max() int { return Column{Type: inFull(f.Type)}.MaxLength() }

// Value returns the record's value in a type that pgx encodes directly; nil is NULL.
func (f *FieldOf[T]) Value(record *T) any {
	if f.Of == nil {
		return nil
	}
	v := reflect.Indirect(f.of(record)) // invalid for a nil pointer
	if !v.IsValid() {
		return nil
	}
	value := v.Interface()
	if id, ok := value.(uuid.UUID); ok {
		return pgtype.UUID{Bytes: id, Valid: true} // pgx would first try uuid.UUID as text
	}
	return value
}

func (f *FieldOf[T]) of(record *T) reflect.Value { return reflect.ValueOf(f.Of(record)).Elem() }

// Cast returns the type that arguments are cast to.
func (f *FieldOf[T]) Cast() string {
	switch kind, _, _ := strings.Cut(f.Type, "("); kind {
	case "varchar", "char":
		return "text"
	default:
		return kind
	}
}

// Arg returns the record's value as an argument of a query. An amount is a text, which numeric reads exactly.
func (f *FieldOf[T]) Arg(record *T) any {
	v := f.Value(record)
	if a, ok := v.(money.Amount); ok {
		return a.String()
	}
	return v
}

// IsSet reports whether the record has a value.
func (f *FieldOf[T]) IsSet(record *T) bool {
	if f.Of == nil {
		return false
	}
	switch v := f.of(record); v.Kind() {
	case reflect.Pointer:
		return !v.IsNil()
	case reflect.String:
		return v.Len() > 0
	}
	return true
}

// Copy sets the value in one record to that of another.
func (f *FieldOf[T]) Copy(to, from *T) { f.of(to).Set(f.of(from)) }

// Equal reports whether two records have the same value. Amounts are compared by value: 10 equals 10.0000.
func (f *FieldOf[T]) Equal(a, b *T) bool {
	x, y := f.Value(a), f.Value(b)
	switch x := x.(type) {
	case money.Amount:
		y, ok := y.(money.Amount)
		return ok && (x == y || x.Finite() && y.Finite() && x.Cmp(y) == 0)
	case db.Date:
		y, ok := y.(db.Date)
		return ok && x.Cmp(y) == 0
	case db.Time:
		y, ok := y.(db.Time)
		return ok && x.Equal(y)
	}
	return x == y
}

// Fields returns how the fields are read from the table.
func (list FieldsOf[T]) Fields(t *Table) []Field {
	var fields []Field
	for _, f := range list.Stored() {
		field := Field{Name: f.Name, Also: f.Also}
		c, _ := t.Column(t.of(field))
		switch kind, _, _ := strings.Cut(f.Type, "("); {
		case kind == "varchar":
			field.Type = "text"
		case kind == "numeric": // as text, to keep the scale
			field.Type, field.Expr, field.Binary = "text", "%s::text", "numeric"
		case kind == "char":
			field.Type, field.Expr, field.Binary = "text", "rtrim(%s)", "character"
		case kind == "inet" && c.Type == "inet":
			field.Type, field.Expr = "text", "host(%s)"
		case kind == "inet":
			field.Type = "text"
		case kind == "integer":
			field.Type = "bigint"
		default:
			field.Type = kind
		}
		if f.isDateOrTime() && c.Name != "" {
			field.Type = c.Kind()
		}
		fields = append(fields, field)
	}
	return fields
}

// inFull expands a short type name to the one printed by format_type.
func inFull(typ string) string {
	name, length, sized := strings.Cut(typ, "(")
	switch name {
	case "varchar":
		name = "character varying"
	case "char":
		name = "character"
	case "timestamptz":
		name = "timestamp with time zone"
	}
	if sized {
		return name + "(" + length
	}
	return name
}
