package db

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// The errors are those of Citus 13.2: of a shard on another node, and of one on the coordinator.
func TestErrors_OfShards(t *testing.T) {
	t.Parallel()
	for want, pe := range map[string]*pgconn.PgError{
		"a value in the table already exists (users_username_key)": {
			Code: "23505", Message: `duplicate key value violates unique constraint "users_username_key_102008"`,
		},
		"a value in idam.users already exists (users_email_key)": {
			Code: "23505", Message: `duplicate key value violates unique constraint "users_email_key_102009"`,
			SchemaName: "idam", TableName: "users_102009", ConstraintName: "users_email_key_102009",
		},
		"a value in the table already exists (invoices_invoice_no_key)": { // by COPY
			Code: "XX000", Message: `duplicate key value violates unique constraint "invoices_invoice_no_key_102023"`,
		},
		"the table.subscription_id requires a value": {
			Code: "XX000", Message: `null value in column "subscription_id" of relation "invoices_102023" violates not-null constraint`,
		},
		"a value in the table already exists (unknown)": {Code: "23505", Message: "doppelter Schlüsselwert"},
		"the database refuses a value in the table (check users_email_check)": {
			Code: "23514", Message: `new row for relation "users_102008" violates check constraint "users_email_check"`,
		},
		"a row that the table references does not exist or is still referenced (invoices_tenant_id_fkey)": {
			Code: "23503", Message: `insert or update on table "invoices_102040" violates foreign key constraint "invoices_tenant_id_fkey_102040"`,
		},
		"the table.username requires a value": {
			Code: "23502", Message: `null value in column "username" of relation "users_102008" violates not-null constraint`,
		},
	} {
		if got := Translate(pe).Error(); got != want {
			t.Errorf("%s, not %s", got, want)
		}
	}
	if err := Translate(&pgconn.PgError{Code: "XX000", Message: "could not read block 7"}); !strings.Contains(err.Error(), "XX000") {
		t.Errorf("another internal error: %v", err)
	}
}
