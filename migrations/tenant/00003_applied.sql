-- The changes announced in the manager database (cxg_audit.intent) that were made here. The row is committed with the
-- change, and contains the data for the audit log. The outcome void replaces a change that can no longer happen.

-- +goose Up
CREATE SCHEMA IF NOT EXISTS cxg_audit;

CREATE TABLE IF NOT EXISTS cxg_audit.applied (
    intent_id  uuid        NOT NULL,
    op_id      uuid        NOT NULL,
    applied_at timestamptz NOT NULL,
    outcome    varchar(10) NOT NULL,
    changes    jsonb       NOT NULL,
    CONSTRAINT applied_pkey PRIMARY KEY (intent_id),
    CONSTRAINT applied_outcome_check CHECK (outcome IN ('applied', 'void'))
);

CREATE INDEX IF NOT EXISTS applied_op_id_idx ON cxg_audit.applied (op_id);
