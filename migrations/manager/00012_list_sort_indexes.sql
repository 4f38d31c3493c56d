-- Indexes for increments by time (`--changed-since`), and for sorts by nullable columns, whose NULLs come last in both
-- directions.

-- +goose Up
CREATE INDEX IF NOT EXISTS users_updated_at_idx ON idam.users (updated_at, id) WHERE updated_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS users_last_login_at_desc_idx ON idam.users (last_login_at DESC NULLS LAST, id DESC);
CREATE INDEX IF NOT EXISTS invoices_updated_at_idx ON bill.invoices (updated_at, id) WHERE updated_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS invoices_paid_at_desc_idx ON bill.invoices (paid_at DESC NULLS LAST, id DESC);
