-- A seal with a number below 1 is none of the chain's, and audit verify names those that are there already. An intent keeps
-- the digest of what its change will say of itself in the tenant's database, so that the log can be held against it.

-- +goose Up
ALTER TABLE cxg_audit.seal ADD CONSTRAINT seal_seq_check CHECK (seq > 0) NOT VALID;

ALTER TABLE cxg_audit.intent ADD COLUMN IF NOT EXISTS digest bytea;
