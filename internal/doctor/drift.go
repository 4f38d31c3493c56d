package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/cxgctl/cxgctl/internal/migrate"
	"github.com/cxgctl/cxgctl/internal/schema"
)

// sign is a column that identifies a table's generation; "" matches any table.
type sign struct{ column, generation string }

// shapes lists the tables that differ between generations, with their signs in order of reliability, and other columns
// that only some generations have.
var shapes = []struct {
	table  string
	signs  []sign
	extras string
}{
	{
		schema.Users,
		[]sign{{"is_active", "G0"}, {"is_deleted", "G2"}, {"deleted", "of no known generation"}, {"", "G1 or Gx"}},
		"email_verified phone_verified password_reset_token password_reset_token_expires_at",
	},
	{schema.Invoices, []sign{{"is_deleted", "G2"}, {"deleted", "G1 or Gx"}, {"", "of no known generation"}}, ""},
	{
		schema.Tenants,
		[]sign{{"tenant_code", "Gx"}, {"code", "G1 or G2"}, {"", "of no known generation"}},
		"business_no is_deleted deleted",
	},
	{
		schema.Roles,
		[]sign{{"role_code", "Gx"}, {"code", "G1 or G2"}, {"", "of no known generation"}},
		"role_name role_type is_deleted",
	},
	{
		schema.AuditLogs,
		[]sign{{"request_path", "in the backend's ORM form"}, {"event_type", "G1 to Gx"}, {"", "of no known generation"}},
		"action deleted is_deleted",
	},
	{schema.SysUsers, []sign{{"tenant_id", "G0, shared by tenants"}, {"password_hash", "of old tenants"}, {"", "G1 or later, without tenant_id"}}, ""},
}

// generation reports the generation of each table. A database may contain tables of several generations.
func generation(_ context.Context, s *subject) (Finding, error) {
	var list []string
	for _, shape := range shapes {
		t := s.catalog[shape.table]
		if t == nil {
			continue
		}
		has := func(column string) bool { return column == "" || t.Has(column) }
		told := shape.signs[slices.IndexFunc(shape.signs, func(x sign) bool { return has(x.column) })]
		seen := slices.DeleteFunc(strings.Fields(told.column+" "+shape.extras), func(c string) bool { return !has(c) })
		list = append(list, strings.TrimSpace(fmt.Sprintf("%s %s %s", t.Name, told.generation, bracketed(seen))))
	}
	if len(list) == 0 {
		return skipped("no tables were found"), nil
	}
	return fine("%s", strings.Join(list, "; ")), nil
}

func bracketed(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return "(" + strings.Join(list, ", ") + ")"
}

// expected returns the tables that migrations create in this database.
func (s *subject) expected() []schema.Expectation {
	if s.Database == migrate.Tenants {
		return schema.TenantTables()
	}
	return schema.ManagerTables(s.catalog)
}

// drift compares the tables with those created by our migrations. It omits what the schema, soft-delete, audit-log and
// roles checks report.
func drift(ctx context.Context, s *subject) (Finding, error) {
	if len(s.catalog) == 0 {
		return skipped("no tables were found"), nil
	}
	reported := slices.Concat(missing(s.catalog, s.needed()), schema.Grants)
	var harmless, minded, known, written []string
	differences := 0
	for _, e := range s.expected() {
		t := s.catalog[e.Name]
		if t == nil {
			if !slices.Contains(reported, e.Name) {
				harmless, differences = append(harmless, e.Name+" is missing"), differences+1
			}
			continue
		}
		d := compare(t, e)
		i := slices.IndexFunc(needs[s.Database], func(n need) bool { return n.table == t.Name })
		used := i >= 0
		flagless := used && needs[s.Database][i].marks && t.NotDeleted("") == "true"
		d.lacks = slices.DeleteFunc(d.lacks, func(c string) bool {
			return slices.Contains(reported, t.Name+"."+c) || flagless && isFlag(c)
		})
		for _, r := range d.retyped {
			if used && r.matters {
				minded = append(minded, t.Name+"."+r.text)
			}
		}
		differences += len(d.lacks) + len(d.has) + len(d.retyped)
		if text := d.String(); text != "" {
			harmless = append(harmless, t.Name+" "+text)
		}
		// a required column unknown to us makes our INSERTs fail; the audit log has its own check
		if used && t.Name != schema.AuditLogs {
			written = append(written, t.Name)
		}
		for _, c := range t.Columns {
			if !slices.Contains(d.has, c.Name) || isFlag(c.Name) || t.Name == schema.SysUsers && c.Name == "user_code" {
				known = append(known, t.Name+"."+c.Name)
			}
		}
	}
	demanded, err := s.demanded(ctx, written, known)
	if err != nil {
		return Finding{}, err
	}
	for _, c := range demanded {
		minded = append(minded, c+" is required but has no default")
	}
	switch {
	case len(minded) > 0:
		return wrong(Warn, "%s from what cxgctl's migrations make; %d affect commands: %s", differ(differences), len(minded), abridged(minded)).of(minded).
			remedied("check that each is intended; change a type with ALTER TABLE … ALTER COLUMN … TYPE, and add a default with SET DEFAULT"), nil
	case differences > 0:
		return fine("%s from what cxgctl's migrations make; none affects commands: %s", differ(differences), strings.Join(harmless, "; ")), nil
	}
	return fine("the columns match cxgctl's migrations"), nil
}

// isFlag reports whether the column marks deleted rows.
func isFlag(column string) bool {
	return slices.ContainsFunc(schema.LiveValues(), func(v [2]string) bool { return v[0] == column })
}

func differ(n int) string {
	if n == 1 {
		return "1 difference"
	}
	return fmt.Sprintf("%d differences", n)
}

// difference is how a table differs from its expectation. A column with another generation's name is not a difference.
type difference struct {
	lacks, has []string
	retyped    []retyped
}

type retyped struct {
	text    string
	matters bool
}

func compare(t *schema.Table, e schema.Expectation) difference {
	var d difference
	var met []string
	for _, want := range e.Columns {
		c, ok := want.In(t)
		if !ok {
			d.lacks = append(d.lacks, want.Names[0])
			continue
		}
		met = append(met, c.Name)
		if c.Type != want.Type && (want.Names[0] != "suspended_date" || c.Kind() != "timestamptz") {
			d.retyped = append(d.retyped, retyped{c.Name + " is " + c.Type + ", not " + want.Type, !compatible(c.Type, want.Type)})
		}
	}
	for _, c := range t.Columns {
		if !slices.Contains(met, c.Name) {
			d.has = append(d.has, c.Name)
		}
	}
	return d
}

// String describes the difference, to follow the table's name.
func (d difference) String() string {
	var parts []string
	if len(d.lacks) > 0 {
		parts = append(parts, "lacks "+strings.Join(d.lacks, ", "))
	}
	if len(d.has) > 0 {
		parts = append(parts, "also has "+strings.Join(d.has, ", "))
	}
	for _, r := range d.retyped {
		parts = append(parts, r.text)
	}
	return strings.Join(parts, ", ")
}

// families are types that statements and records treat alike. The server refuses values that are too long or too
// large, so nothing is lost.
var families = [][]string{
	{"character varying", "character", "text", "citext"},
	{"smallint", "integer", "bigint"},
}

// compatible reports whether commands work with one type in place of the other. A numeric with a smaller scale would
// silently round amounts.
func compatible(have, want string) bool {
	haveName, havePrecision, sized := strings.Cut(have, "(")
	wantName, wantPrecision, _ := strings.Cut(want, "(")
	if haveName == "numeric" && wantName == "numeric" {
		return !sized || scale(havePrecision) >= scale(wantPrecision)
	}
	return slices.ContainsFunc(families, func(f []string) bool {
		return slices.Contains(f, haveName) && slices.Contains(f, wantName)
	})
}

// scale returns the scale in a numeric's modifier: 18,4).
func scale(precision string) int {
	var digits, places int
	// numeric(18) has a scale of 0
	_, _ = fmt.Sscanf(precision, "%d,%d", &digits, &places)
	return places
}
