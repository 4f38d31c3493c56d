-- The seals of the audit log (see `cxgctl audit verify`). They stand beside the log, which stays as
-- other software knows it, and no trigger keeps them: whoever writes a row of the log seals it in the
-- same transaction. The first seal makes the only row of head.

-- +goose Up
CREATE SCHEMA IF NOT EXISTS cxg_audit;

CREATE TABLE IF NOT EXISTS cxg_audit.head (
    id         integer     NOT NULL,
    seq        bigint      NOT NULL,
    chain      bytea       NOT NULL,
    created_at timestamptz NOT NULL,
    -- up to where the rows of other software were looked through for some without a seal, and when
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
