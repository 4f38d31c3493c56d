-- +goose Up
CREATE SCHEMA IF NOT EXISTS sys;

CREATE TABLE IF NOT EXISTS sys.users (
    id                                    uuid         NOT NULL DEFAULT gen_random_uuid(),
    created_at                            timestamptz  NOT NULL DEFAULT now(),
    created_by                            uuid,
    updated_at                            timestamptz,
    updated_by                            uuid,
    -- the tenant of the row if tenants share a database; otherwise NULL
    tenant_id                             uuid,
    username                              varchar(100) NOT NULL,
    password                              varchar(255) NOT NULL,
    full_name                             varchar(100),
    email                                 varchar(255) NOT NULL,
    phone                                 varchar(50),
    role_id                               uuid,
    default_conflict_resolution_policy_id uuid,
    is_system_user                        boolean      NOT NULL DEFAULT false,
    last_login_at                         timestamptz,
    last_login_ip                         varchar(45),
    failed_login_attempts                 integer      DEFAULT 0,
    locked_until                          timestamptz,
    is_active                             boolean      DEFAULT true,
    is_deleted                            boolean      DEFAULT false,
    CONSTRAINT users_pkey PRIMARY KEY (id),
    CONSTRAINT users_created_by_fkey FOREIGN KEY (created_by) REFERENCES sys.users (id),
    CONSTRAINT users_updated_by_fkey FOREIGN KEY (updated_by) REFERENCES sys.users (id),
    CONSTRAINT users_email_check CHECK (email ~ '^[^@[:space:]]+@[^@[:space:]]+\.[^@[:space:].]+$'),
    CONSTRAINT users_phone_check CHECK (phone ~ '^[+]?[0-9][0-9 ().-]{3,48}$')
);

-- The username and e-mail of a deleted row can be reused.
CREATE UNIQUE INDEX IF NOT EXISTS users_username_key ON sys.users (username) WHERE is_deleted = false;
CREATE UNIQUE INDEX IF NOT EXISTS users_email_key ON sys.users (email) WHERE is_deleted = false;
CREATE INDEX IF NOT EXISTS users_tenant_id_created_at_idx ON sys.users (tenant_id, created_at, id);
