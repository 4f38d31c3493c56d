package audit

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/cxgctl/cxgctl/internal/db"
	"github.com/cxgctl/cxgctl/internal/fault"
)

// H6: a change reported by a tenant's database is accepted only if it matches its intent.
func TestAccept_MatchesIntent(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	id, op, tenant, boss := uuid.New(), uuid.New(), uuid.New(), uuid.New()
	o := intentOrigin{Operator{ID: boss, Name: "boss"}, Origin{Reason: "moved", Ticket: "T-1"}}
	honest := func() map[string]any {
		return map[string]any{
			"id": id, "created_at": "2026-02-01T00:00:01Z", "operator_id": boss, "operator": "boss", "event_type": "ADMIN_ACTION",
			"event_category": "DATA_MODIFICATION", "action": "UPDATE", "resource": "user", "resource_id": id.String(), "tenant_id": tenant,
			"result": "SUCCESS", "risk_level": "LOW", "op_id": op.String(), "reason": "moved", "ticket": "T-1",
			"before": map[string]any{"phone": "1"}, "after": map[string]any{"phone": "2"},
		}
	}
	of := func(entries ...map[string]any) []byte {
		doc, err := json.Marshal(entries)
		if err != nil {
			t.Fatal(err)
		}
		return doc
	}
	older := Unsettled{ID: uuid.New(), OpID: op, CreatedAt: db.At(at), TenantID: tenant, TenantCode: "acme", Action: "UPDATE", Resource: "user", ResourceID: &id}
	sum, err := digestOf(of(honest()))
	if err != nil {
		t.Fatal(err)
	}
	digested := older
	digested.Digest = sum
	empty := older
	empty.Digest = []byte{}
	now := at.Add(time.Hour)
	for name, u := range map[string]Unsettled{"with a digest": digested, "from an older client": older} {
		if list, err := u.accept(of(honest()), o, now); err != nil || len(list) != 1 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := empty.accept(of(honest()), o, now); !fault.Is(err, fault.PartialFailure) {
		t.Errorf("with an empty digest: %v", err)
	}
	forged := map[string]any{
		"id": uuid.Nil, "created_at": "2020-01-01T00:00:00Z", "operator_id": uuid.New(), "operator": "boss2", "event_type": nil, "event_category": nil,
		"action": "DELETE", "resource": "tenant", "resource_id": uuid.NewString(), "tenant_id": nil, "result": "FAILURE", "risk_level": nil,
		"op_id": uuid.NewString(), "reason": "x", "ticket": "x",
	}
	for field, value := range forged {
		entry := honest()
		entry[field] = value
		for name, u := range map[string]Unsettled{"with a digest": digested, "from an older client": older} {
			if _, err := u.accept(of(entry), o, now); !fault.Is(err, fault.PartialFailure) {
				t.Errorf("%s, another %s: %v", name, field, err)
			}
		}
	}
	for name, doc := range map[string][]byte{
		"in the future": func() []byte { e := honest(); e["created_at"] = "2026-02-02T00:00:00Z"; return of(e) }(),
		"two entries":   of(honest(), honest()), "none": []byte("[]"), "no list": []byte("{}"),
	} {
		for _, u := range []Unsettled{digested, older} {
			if _, err := u.accept(doc, o, now); !fault.Is(err, fault.PartialFailure) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	image := honest()
	image["after"] = map[string]any{"phone": "3"}
	if _, err := digested.accept(of(image), o, now); !fault.Is(err, fault.PartialFailure) {
		t.Errorf("another image: %v", err)
	}
}
