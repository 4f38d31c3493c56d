package rowreader

import (
	"slices"
	"strings"

	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/validate"
)

// names maps headers and keys to fields.
type names struct {
	mapped map[string]string
	fields []string
}

func newNames(o Options) names { return names{o.Map, o.Fields} }

// field returns the field that a header names, or "" for an ignored column.
func (n names) field(header string) (field string, known bool) {
	header = validate.Normalize(header)
	if to, ok := n.mapped[header]; ok {
		if to == "-" {
			return "", true
		}
		return to, slices.Contains(n.fields, to)
	}
	name := strings.ToLower(header)
	if name == ErrorField {
		return "", true
	}
	return name, slices.Contains(n.fields, name)
}

// known counts the headers that name a field or an ignored column.
func (n names) known(headers []string) (count int) {
	for _, h := range headers {
		if _, known := n.field(h); known {
			count++
		}
	}
	return count
}

// columns checks a header row and reports all problems at once. It does not repeat text of the file, which is
// personal data if the header is missing. A column without a name is "" and must be empty.
func (n names) columns(headers, required []string) ([]string, error) {
	hint := "valid headers: " + strings.Join(n.fields, ", ") + "; rename one with --map 'Their name=ours', ignore one with --map 'Name=-'"
	if n.known(headers) == 0 {
		return nil, fault.New(fault.Validation, "header: none of the %d columns has a known name; is the header row missing?", len(headers)).
			With("valid", n.fields).WithHint("%s", hint)
	}
	columns := make([]string, len(headers))
	var p fault.Problems
	for i, h := range headers {
		field, known := n.field(h)
		switch {
		case validate.Normalize(h) == "":
		case !known:
			near := ""
			if to := validate.Near(validate.Normalize(h), n.fields); to != "" {
				near = "; did you mean " + to + "?"
			}
			p.Add("header", "the name of column %d is unknown%s", i+1, near)
		case field != "" && slices.Contains(columns[:i], field):
			p.Add("header", "%q appears twice", field)
		default:
			columns[i] = field
		}
	}
	for h := range n.mapped {
		if !slices.ContainsFunc(headers, func(have string) bool { return validate.Normalize(have) == h }) {
			p.Add("--map", "the file has no column %q", h)
		}
	}
	for _, r := range required {
		if !slices.Contains(columns, r) {
			p.Add("header", "%q is missing", r)
		}
	}
	if err := p.Err(); err != nil {
		return nil, fault.From(err).With("valid", n.fields).WithHint("%s", hint)
	}
	return columns, nil
}

// ParseMap parses --map, a list of HEADER=FIELD. It refuses unknown fields.
func ParseMap(pairs, fields []string) (map[string]string, error) {
	m := map[string]string{}
	for _, p := range pairs {
		i := strings.LastIndexByte(p, '=')
		if i <= 0 {
			return nil, fault.New(fault.Validation, "--map: %q does not have the form HEADER=FIELD", p)
		}
		header, field := validate.Normalize(p[:i]), strings.ToLower(validate.Normalize(p[i+1:]))
		if field != "-" && !slices.Contains(fields, field) {
			return nil, fault.New(fault.Validation, "--map: %q is not a field", field).WithHint("valid fields: %s", strings.Join(fields, ", ")).With("valid", fields)
		}
		m[header] = field
	}
	return m, nil
}
