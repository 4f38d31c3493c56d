-- When permissions came into force. The row is left by the first grant of a role to an operator, by auth bootstrap, and
-- by the first command that finds such a grant. It outlives the grants: enforcement does not end with them. Every role
-- may read it, since every command asks for it.

-- +goose Up
CREATE TABLE IF NOT EXISTS cxg_audit.enforcement (
    id    integer     NOT NULL,
    since timestamptz NOT NULL,
    CONSTRAINT enforcement_pkey PRIMARY KEY (id),
    CONSTRAINT enforcement_id_check CHECK (id = 1)
);
