-- Intended changes in tenant databases, which do not share a transaction with the audit log. The row is committed
-- before the change, and marked once the outcome is in the audit log (see `cxgctl audit reconcile`).

-- +goose Up
CREATE TABLE IF NOT EXISTS cxg_audit.intent (
    id          uuid        NOT NULL,
    op_id       uuid        NOT NULL,
    created_at  timestamptz NOT NULL,
    created_by  uuid,
    tenant_id   uuid        NOT NULL,
    tenant_code varchar(20) NOT NULL,
    action      varchar(20) NOT NULL,
    resource    varchar(50) NOT NULL,
    resource_id uuid,
    name        text        NOT NULL,
    -- the operator and origin of the command, for audit rows written by another process
    origin      jsonb       NOT NULL,
    outcome     varchar(10),
    settled_at  timestamptz,
    CONSTRAINT intent_pkey PRIMARY KEY (id),
    CONSTRAINT intent_outcome_check CHECK (outcome IN ('applied', 'void'))
);

CREATE INDEX IF NOT EXISTS intent_op_id_idx ON cxg_audit.intent (op_id);
CREATE INDEX IF NOT EXISTS intent_unsettled_idx ON cxg_audit.intent (created_at, id) WHERE outcome IS NULL;

-- Index for `tenants list`: there may be a hundred thousand tenants.
CREATE INDEX IF NOT EXISTS tenants_created_at_idx ON tnnt.tenants (created_at, id);
