package cli

import (
	"strings"
	"testing"
)

// A-32, N37: questions, differences and the history have names beside ids, and times without fractions of a second in
// the zone of --tz.
func TestNames_InQuestionsAndDifferences(t *testing.T) {
	t.Parallel()
	const byAda = "UPDATE idam.users SET updated_by = id, updated_at = '2026-01-02T03:04:05.678Z' WHERE username = 'ada'"
	for name, c := range map[string]struct {
		before, args string
		sees         []string
		answer       string
	}{
		"overdue": {invoiceOne, "invoices overdue --set --config PROTECTED", []string{"mark 1 invoice as overdue: INV-1 ("}, "y\n"},
		"undo": {
			"cxgctl users update ada --phone 7", "audit undo OPERATION --config PROTECTED",
			[]string{"undo the change of 1 row: user ada ("},
			"y\n",
		},
		"a difference": {
			byAda, "users update ada --phone 7 --dry-run --tz Asia/Seoul",
			[]string{`updated_at: "2026-01-02T12:04:05+09:00" → `, `(ada) → "`, `(admin)`},
			"",
		},
		"a tenant": {tenantBilled, "invoices create --invoice-no INV-2 --tenant acme --invoice-date 2026-01-01 --due-date 2026-01-31 " +
			"--start-date 2026-01-01 --close-date 2026-01-31 --base-amount 10 --user-count 1 --dry-run", []string{`tenant_id: "`, `(acme)`}, ""},
		"history": {
			byAda + "; cxgctl users update ada --phone 7", "users history ada --tz Asia/Seoul",
			[]string{"+09:00  admin  UPDATE", "operation "},
			"",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pair, files := withAda(t), confirmFiles(t)
			for _, step := range strings.Split(c.before, "; ") {
				if args, ok := strings.CutPrefix(files.Replace(step), "cxgctl "); ok {
					cxgctl(t, pair, strings.Fields(args)...).exits(t, 0)
				} else if _, err := query(t.Context(), pair.Manager, step); err != nil {
					t.Fatal(err)
				}
			}
			op := ask(t, pair.Manager, `SELECT coalesce(max(extra_data->>'op_id'), '') FROM audt.audit_logs`)
			args := strings.NewReplacer("OPERATION", op, "PROTECTED", protected(t)).Replace(c.args)
			p := cxgctl(t, pair, strings.Fields(args)...)
			p.Env = append(p.Env, "NO_COLOR=1")
			p.columns = 200
			sitting := p.onTerminal(t)
			for _, text := range c.sees {
				sitting.awaits(t, text)
			}
			if c.answer != "" {
				sitting.awaits(t, "[y/N] ").types(t, c.answer, false)
			}
			sitting.leaves(t, 0)
		})
	}
}

// the question about the users of several tenants has their names.
func TestNames_OfUsersInTenants(t *testing.T) {
	t.Parallel()
	e := newEstate(t, 2)
	p := e.run(t, "users", "unlock", "--all-tenants", "--search", "bea").onTerminal(t)
	p.awaits(t, "unlock 2 users in 2 tenants: bea of t-01, bea of t-02 (").awaits(t, "[y/N] ").types(t, "n\n", false).leaves(t, 10)
}
