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
		"an operation": {
			"cxgctl users update ada --phone 7", "audit get OPERATION --tz Asia/Seoul",
			[]string{"created_at ", "+09:00 (just now)", "updated user ada (", `phone: "old" → "7"`},
			"",
		},
		"a failure": {
			"exits 4 users update ada --email admin@cxg.example", "audit get OPERATION", []string{"result ", "FAILURE", "failed to update user ada"}, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pair, files := withAda(t), confirmFiles(t)
			for _, step := range strings.Split(c.before, "; ") {
				if args, ok := strings.CutPrefix(files.Replace(step), "cxgctl "); ok {
					cxgctl(t, pair, strings.Fields(args)...).exits(t, 0)
				} else if args, ok := strings.CutPrefix(step, "exits 4 "); ok {
					cxgctl(t, pair, strings.Fields(args)...).exits(t, 4)
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

// after a change a person sees a new record on a screen of 24 lines, without fields that have no value. With -o it
// is whole.
func TestCreate_ShowsShortRecord(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before, args string
		sees, hides  []string
	}{
		"user": {
			"", "users create --username bob --email bob@example.com --full-name Bob --generate-password",
			[]string{"\nid ", "\nusername ", "\ncreated_by ", " (admin)", "\npassword ", "created user bob (undo: "},
			[]string{"\nphone ", "\nmfa_enabled ", "failed_login_attempts"},
		},
		"user, whole": {
			"", "users create --username bob --email bob@example.com --full-name Bob --no-password -o table",
			[]string{"\nphone\n", "\nfailed_login_attempts  0"},
			nil,
		},
		"tenant": {"", "tenants create --code acme --name Acme", []string{"\ncode ", "\nstatus "}, []string{"\nbiz_no", "\ndeleted"}},
		"invoice": {tenantBilled, "invoices create --invoice-no INV-2 --tenant acme --invoice-date 2026-01-01 --due-date 2026-01-31 " +
			"--start-date 2026-01-01 --close-date 2026-01-31 --base-amount 10 --user-count 1", []string{"\ntotal_amount ", "\nsubscription_id "}, []string{"\npaid_at", "\nusage_amount"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pair := withAda(t)
			for _, step := range strings.Split(c.before, "; ") {
				if step == "" {
					continue
				}
				if _, err := query(t.Context(), pair.Manager, step); err != nil {
					t.Fatal(err)
				}
			}
			p := cxgctl(t, pair, strings.Fields(c.args)...)
			p.Env = append(p.Env, "NO_COLOR=1")
			sitting := p.onTerminal(t)
			sitting.leaves(t, 0)
			screen := strings.ReplaceAll(sitting.sees(), "\r", "")
			for _, text := range c.sees {
				if !strings.Contains(screen, text) {
					t.Errorf("%q is missing:\n%s", text, screen)
				}
			}
			for _, text := range c.hides {
				if strings.Contains(screen, text) {
					t.Errorf("%q is shown:\n%s", text, screen)
				}
			}
			if lines := strings.Count(screen, "\n"); c.hides != nil && lines > 20 {
				t.Errorf("%d lines:\n%s", lines, screen)
			}
		})
	}
}
