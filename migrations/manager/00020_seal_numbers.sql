-- Seals with a number below 1 are not part of the chain; audit verify reports existing ones. An intent stores the
-- digest of the change's record in the tenant's database, so that the audit log can be compared with it.

-- +goose Up
ALTER TABLE cxg_audit.seal ADD CONSTRAINT seal_seq_check CHECK (seq > 0) NOT VALID;

ALTER TABLE cxg_audit.intent ADD COLUMN IF NOT EXISTS digest bytea;
