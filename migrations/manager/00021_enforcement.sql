-- When permissions became enforced. The row is created by the first grant of a role to an operator, by auth bootstrap,
-- or by the first command that finds such a grant. It outlives the grants, so enforcement never ends. Every role may
-- read it, because every command does.

-- +goose Up
CREATE TABLE IF NOT EXISTS cxg_audit.enforcement (
    id    integer     NOT NULL,
    since timestamptz NOT NULL,
    CONSTRAINT enforcement_pkey PRIMARY KEY (id),
    CONSTRAINT enforcement_id_check CHECK (id = 1)
);
