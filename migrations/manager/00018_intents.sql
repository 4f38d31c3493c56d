-- What commands are about to change in tenants' databases, which share no transaction with the audit log. The row
-- is there before the change is; once the outcome stands in the audit log it says so (see `cxgctl audit reconcile`).

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
    -- who it is for and where the command came from, for the audit rows that somebody else has to write
    origin      jsonb       NOT NULL,
    outcome     varchar(10),
    settled_at  timestamptz,
    CONSTRAINT intent_pkey PRIMARY KEY (id),
    CONSTRAINT intent_outcome_check CHECK (outcome IN ('applied', 'void'))
);

CREATE INDEX IF NOT EXISTS intent_op_id_idx ON cxg_audit.intent (op_id);
CREATE INDEX IF NOT EXISTS intent_unsettled_idx ON cxg_audit.intent (created_at, id) WHERE outcome IS NULL;

-- Behind `tenants list`: there may be a hundred thousand.
CREATE INDEX IF NOT EXISTS tenants_created_at_idx ON tnnt.tenants (created_at, id);
