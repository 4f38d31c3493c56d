-- The seals of the audit log (see `cxgctl audit verify`). They are separate from the log, whose table other software
-- uses, and do not use triggers: each writer seals its rows in the same transaction. The first seal creates the only
-- row of head.

-- +goose Up
CREATE SCHEMA IF NOT EXISTS cxg_audit;

CREATE TABLE IF NOT EXISTS cxg_audit.head (
    id         integer     NOT NULL,
    seq        bigint      NOT NULL,
    chain      bytea       NOT NULL,
    created_at timestamptz NOT NULL,
    -- up to which row, and when, unsealed rows of other software were looked for
    swept_at   timestamptz NOT NULL,
    swept_id   uuid        NOT NULL,
    looked_at  timestamptz NOT NULL,
    CONSTRAINT head_pkey PRIMARY KEY (id),
    CONSTRAINT head_id_check CHECK (id = 1)
);

CREATE TABLE IF NOT EXISTS cxg_audit.seal (
    seq       bigint      NOT NULL,
    audit_id  uuid        NOT NULL,
    ver       smallint    NOT NULL,
    origin    varchar(10) NOT NULL,
    sealed_at timestamptz NOT NULL,
    canon     bytea       NOT NULL,
    leaf      bytea       NOT NULL,
    chain     bytea       NOT NULL,
    CONSTRAINT seal_pkey PRIMARY KEY (seq),
    CONSTRAINT seal_audit_id_key UNIQUE (audit_id),
    CONSTRAINT seal_origin_check CHECK (origin IN ('cli', 'foreign'))
);
