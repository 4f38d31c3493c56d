package cli

import (
	"os"
	"path/filepath"
	"testing"
)

// Kind 44 (H2a): a role that is revoked during the confirmation no longer counts.
func TestPermissions_RevokedDuringConfirmation(t *testing.T) {
	t.Parallel()
	pair := withOperators(t)
	file := filepath.Join(t.TempDir(), "prod.yaml")
	if err := os.WriteFile(file, []byte("profile: prod\nprofiles:\n  prod: {protected: true, operator: mid}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const held = `SELECT count(*) FROM idam.user_roles WHERE user_id = md5('plain2')::uuid`
	if _, err := query(t.Context(), pair.Manager, `INSERT INTO idam.user_roles (user_id, role_id) SELECT md5('mid')::uuid, id FROM idam.roles WHERE code = 'SUPER_ADMIN'`); err != nil {
		t.Fatal(err)
	}
	p := startOnTerminal(t, pair, "roles", "grant", "SUPER_ADMIN", "plain2", "--operator", "mid", "--config", file).awaits(t, "[y/N] ")
	if code, out := runInProcess(t, pair, map[string]string{"CXGCTL_OPERATOR": "boss"}, "roles", "revoke", "SUPER_ADMIN", "mid", "--yes"); code != 0 {
		t.Fatalf("exit code %d: %s", code, out)
	}
	p.types(t, "y\n", false).awaits(t, "role SUPER_ADMIN is stronger than every role of operator")
	p.leaves(t, 7)
	if got := ask(t, pair.Manager, held); got != "1" {
		t.Errorf("plain2 holds %s roles", got)
	}
	if got := ask(t, pair.Manager, `SELECT count(*) FROM audt.audit_logs WHERE result = 'BLOCKED'`); got != "1" {
		t.Errorf("%s BLOCKED rows", got)
	}
}
