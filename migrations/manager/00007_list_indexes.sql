-- Indexes for the filters and sorts of `users list` and `invoices list`. Each filter's index continues with the list's
-- default order and the id, so that pages are read in order, without a sort, in either direction. They omit the
-- soft-delete column, which differs between databases.

-- +goose Up
CREATE INDEX IF NOT EXISTS users_created_at_idx ON idam.users (created_at, id);
CREATE INDEX IF NOT EXISTS users_status_created_at_idx ON idam.users (status, created_at, id);
CREATE INDEX IF NOT EXISTS users_user_type_created_at_idx ON idam.users (user_type, created_at, id);
CREATE INDEX IF NOT EXISTS users_last_login_at_idx ON idam.users (last_login_at, id);
-- few users are ever locked, and other rows add nothing to a partial index
CREATE INDEX IF NOT EXISTS users_locked_until_idx ON idam.users (locked_until, id) WHERE locked_until IS NOT NULL;

CREATE INDEX IF NOT EXISTS invoices_invoice_date_idx ON bill.invoices (invoice_date, id);
CREATE INDEX IF NOT EXISTS invoices_tenant_id_invoice_date_idx ON bill.invoices (tenant_id, invoice_date, id);
CREATE INDEX IF NOT EXISTS invoices_status_invoice_date_idx ON bill.invoices (status, invoice_date, id);
CREATE INDEX IF NOT EXISTS invoices_payment_method_invoice_date_idx ON bill.invoices (payment_method, invoice_date, id);
CREATE INDEX IF NOT EXISTS invoices_currency_invoice_date_idx ON bill.invoices (currency, invoice_date, id);
CREATE INDEX IF NOT EXISTS invoices_subscription_id_idx ON bill.invoices (subscription_id);
CREATE INDEX IF NOT EXISTS invoices_due_date_idx ON bill.invoices (due_date, id);
CREATE INDEX IF NOT EXISTS invoices_total_amount_idx ON bill.invoices (total_amount, id);
CREATE INDEX IF NOT EXISTS invoices_created_at_idx ON bill.invoices (created_at, id);
