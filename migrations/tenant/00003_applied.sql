-- Which of the changes that cxgctl announced in the manager database (cxg_audit.intent there) took place here. The
-- row commits with the change, and holds what the audit log is to say of it. One that says void was put there in a
-- change's place: that change can no longer take place.

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
