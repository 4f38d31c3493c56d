package audit_test

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/audit/audittest"
)

// fillLog creates a log of twenty thousand rows, a tenth of them from cxgctl.
const fillLog = `
INSERT INTO audt.audit_logs (id, created_at, user_id, event_type, event_category, description, resource, resource_id, action_performed, result, extra_data)
SELECT gen_random_uuid(), '2026-01-01'::timestamptz + i * interval '1 minute',
       CASE WHEN i % 7 > 0 THEN ('00000000-0000-4000-8000-' || lpad((i % 500)::text, 12, '0'))::uuid END, 'API_CALL', 'DATA_MODIFICATION', 'x',
       'USER_ACCOUNT', i % 3000, (ARRAY['CREATE', 'READ', 'UPDATE', 'LOGIN', 'DELETE'])[1 + (i % 1000) / 249], CASE WHEN i % 997 = 0 THEN 'BLOCKED' ELSE 'SUCCESS' END,
       CASE WHEN i % 10 = 0 THEN jsonb_build_object('tool', 'cxgctl', 'op_id', gen_random_uuid(), 'operator', 'stranger' || i % 50, 'resource', CASE WHEN i % 100 = 0 THEN 'invoice' ELSE 'user' END) END
  FROM generate_series(1, 20000) i`

// Every filter of audit list uses an index, and for filters with many rows in the list's order, so that a page takes
// milliseconds in a log of any size.
func TestLog_FiltersUseIndex(t *testing.T) {
	t.Parallel()
	w := audittest.New(t, audittest.Migrated)
	w.Exec(fillLog)
	w.Exec("ANALYZE audt.audit_logs")
	log, err := audit.NewLog(w.Cat)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 10, 0, 0, 0, 0, time.UTC)
	for name, f := range map[string]audit.Filter{
		"none": {}, "operator": {Operator: "00000000-0000-4000-8000-000000000007"}, "a name without a user": {Operator: "stranger20"},
		"resource": {Resource: "invoice", Nouns: []string{"invoice"}}, "resource id": {ResourceID: "77"}, "action": {Actions: []string{"DELETE"}}, "result": {Results: []string{"BLOCKED"}},
		"success": {Results: []string{"SUCCESS"}}, "op": {Op: "00000000-0000-4000-8000-000000000007"}, "time": {Since: at, Until: at.Add(time.Hour)},
		"two": {Operator: "00000000-0000-4000-8000-000000000007", Actions: []string{"DELETE"}},
	} {
		s, err := log.Matching(t.Context(), w.DB, f)
		if err != nil {
			t.Fatal(err)
		}
		q, err := s.All()
		if err != nil {
			t.Fatal(err)
		}
		rows, err := w.DB.Query(t.Context(), "EXPLAIN "+q.SQL+" LIMIT 20", q.Args)
		if err != nil {
			t.Fatal(err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		plan := strings.Join(lines, "\n")
		// few rows match these filters, so that sorting them is cheap
		few := name == "op" || name == "result" || name == "resource id" || name == "a name without a user" || name == "two"
		if strings.Contains(plan, "Seq Scan on audit_logs") || !few && strings.Contains(plan, "Sort") {
			t.Errorf("%s:\n%s", name, plan)
		}
	}
}
