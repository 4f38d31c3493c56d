package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/cxgctl/cxgctl/internal/invoices"
	"github.com/cxgctl/cxgctl/internal/schema"
	"github.com/cxgctl/cxgctl/internal/tenants"
	"github.com/cxgctl/cxgctl/internal/users"
)

// declared are the columns that commands read and write, by table.
var declared = map[string][]schema.Declaration{
	schema.Users:    users.Columns,
	schema.SysUsers: users.Columns,
	schema.Invoices: invoices.Columns,
	schema.Tenants:  tenants.Columns,
	schema.AuditLogs: {
		{Names: []string{"created_at"}, Type: "timestamptz"},
		{Names: []string{"user_id"}, Type: "uuid"},
		{Names: []string{"tenant_id"}, Type: "uuid"},
		{Names: []string{"extra_data"}, Type: "jsonb"},
	},
}

// written are the columns that new rows have besides the declared ones.
var written = []string{"password", "password_hash", "user_code", "first_name", "last_name", "tenant_id", "is_system_user"}

// drift looks for columns that commands cannot use: of another type, or required but unknown. The schema check reports
// missing columns.
func drift(ctx context.Context, s *subject) (Finding, error) {
	var minded, inserted, known []string
	for _, n := range needs[s.Database] {
		t := s.catalog[n.table]
		if t == nil {
			continue
		}
		if t.Name != schema.AuditLogs { // which has its own check
			inserted = append(inserted, t.Name)
		}
		for _, want := range declared[t.Name] {
			for _, name := range want.Names {
				known = append(known, t.Name+"."+name)
			}
			c, ok := t.Column(t.FirstOf(want.Names...))
			if ok && want.Type != "" && !compatible(c.Type, want.FullType()) {
				minded = append(minded, t.Name+"."+c.Name+" is "+c.Type+", not "+want.FullType())
			}
		}
		for _, name := range written {
			known = append(known, t.Name+"."+name)
		}
		for _, flag := range schema.LiveValues() {
			known = append(known, t.Name+"."+flag[0])
		}
	}
	demanded, err := s.demanded(ctx, inserted, known)
	if err != nil {
		return Finding{}, err
	}
	for _, c := range demanded {
		minded = append(minded, c+" is required but has no default")
	}
	switch {
	case len(minded) > 0:
		return wrong(Warn, "columns that commands cannot use (%d): %s", len(minded), abridged(minded)).of(minded).
			remedied("check that each is intended; change a type with ALTER TABLE … ALTER COLUMN … TYPE, and add a default with SET DEFAULT"), nil
	case len(inserted) == 0:
		return skipped("no tables were found"), nil
	}
	return fine("commands can use the columns of %s", strings.Join(inserted, ", ")), nil
}

// families are types that statements and records treat alike. The server refuses values that are too long or too
// large, so nothing is lost.
var families = [][]string{
	{"character varying", "character", "text", "citext", "inet"},
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
	return haveName == wantName || slices.ContainsFunc(families, func(f []string) bool {
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
