-- Records what users import has applied here, as in the manager database: each row of a file is applied once to a
-- tenant's users, however often it is imported. These rows are committed together with the imported rows.

-- +goose Up
CREATE SCHEMA IF NOT EXISTS cxg_import;

-- An imported file and the run that owns it. Tenants that share a database have one row each: sha256 is over the ids
-- of the file and the tenant.
CREATE TABLE IF NOT EXISTS cxg_import.files (
    id           uuid        NOT NULL DEFAULT gen_random_uuid(),
    created_at   timestamptz NOT NULL DEFAULT now(),
    created_by   uuid,
    updated_at   timestamptz,
    updated_by   uuid,
    sha256       bytea       NOT NULL,
    name         text        NOT NULL,
    bytes        bigint      NOT NULL,
    op_id        uuid        NOT NULL,
    host         text        NOT NULL,
    process      text        NOT NULL,
    leased_until timestamptz,
    started_at   timestamptz NOT NULL,
    finished_at  timestamptz,
    created      bigint      NOT NULL DEFAULT 0,
    updated      bigint      NOT NULL DEFAULT 0,
    skipped      bigint      NOT NULL DEFAULT 0,
    failed       bigint      NOT NULL DEFAULT 0,
    CONSTRAINT files_pkey PRIMARY KEY (id),
    CONSTRAINT files_sha256_key UNIQUE (sha256)
);

-- Lines of a file that were applied: all records that start between line and last_line.
CREATE TABLE IF NOT EXISTS cxg_import.rows (
    id         uuid        NOT NULL DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by uuid,
    updated_at timestamptz,
    updated_by uuid,
    sha256     bytea       NOT NULL,
    line       bigint      NOT NULL,
    last_line  bigint      NOT NULL,
    records    bigint      NOT NULL,
    op_id      uuid        NOT NULL,
    CONSTRAINT rows_pkey PRIMARY KEY (id),
    CONSTRAINT rows_sha256_line_key UNIQUE (sha256, line),
    CONSTRAINT rows_line_check CHECK (line <= last_line)
);

CREATE INDEX IF NOT EXISTS rows_op_id_idx ON cxg_import.rows (op_id);
