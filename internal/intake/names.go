package intake

import (
	"slices"
	"strings"

	"github.com/cxgctl/cxgctl/internal/fault"
)

// names says which field a header or a key is.
type names struct {
	mapped map[string]string
	fields []string
}

func newNames(o Options) names { return names{o.Map, o.Fields} }

// field returns the field that a header names, "" for a column that is left out.
func (n names) field(header string) (field string, known bool) {
	if to, ok := n.mapped[header]; ok {
		if to == "-" {
			return "", true
		}
		return to, slices.Contains(n.fields, to)
	}
	name := strings.ToLower(strings.TrimSpace(header))
	if name == ErrorField {
		return "", true
	}
	return name, slices.Contains(n.fields, name)
}

// columns checks a header row, and lists everything that is wrong with it at once.
func (n names) columns(headers, required []string) ([]string, error) {
	columns := make([]string, len(headers))
	var p fault.Problems
	for i, h := range headers {
		field, known := n.field(h)
		switch {
		case !known && strings.TrimSpace(h) == "":
			p.Add("header", "column %d has no name", i+1)
		case !known:
			p.Add("header", "%q is unknown", h)
		case field != "" && slices.Contains(columns[:i], field):
			p.Add("header", "%q is there twice", field)
		default:
			columns[i] = field
		}
	}
	for h := range n.mapped {
		if !slices.Contains(headers, h) {
			p.Add("map", "the file has no column %q", h)
		}
	}
	for _, r := range required {
		if !slices.Contains(columns, r) {
			p.Add("header", "%q is missing", r)
		}
	}
	if err := p.Err(); err != nil {
		return nil, fault.From(err).With("valid", n.fields).
			WithHint("valid headers: %s; --map 'Their name=ours' renames one, --map 'Name=-' leaves one out", strings.Join(n.fields, ", "))
	}
	return columns, nil
}

// ParseMap reads --map: each is HEADER=FIELD. A field that there is not is refused with the list.
func ParseMap(pairs, fields []string) (map[string]string, error) {
	m := map[string]string{}
	for _, p := range pairs {
		i := strings.LastIndexByte(p, '=')
		if i <= 0 {
			return nil, fault.New(fault.Validation, "--map %q is refused, it reads HEADER=FIELD", p)
		}
		header, field := p[:i], strings.TrimSpace(p[i+1:])
		if field != "-" && !slices.Contains(fields, field) {
			return nil, fault.New(fault.Validation, "--map %q names no field", p).WithHint("valid fields: %s", strings.Join(fields, ", ")).With("valid", fields)
		}
		m[header] = field
	}
	return m, nil
}
