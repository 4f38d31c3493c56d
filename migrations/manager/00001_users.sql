-- +goose Up
CREATE SCHEMA IF NOT EXISTS idam;

CREATE TABLE IF NOT EXISTS idam.users (
    id                    uuid         NOT NULL DEFAULT gen_random_uuid(),
    created_at            timestamptz  NOT NULL DEFAULT now(),
    created_by            uuid,
    updated_at            timestamptz,
    updated_by            uuid,
    -- every database in the field has the default 'USER', which its own CHECK refuses
    user_type             varchar(20)  NOT NULL DEFAULT 'TENANT',
    full_name             varchar(100) NOT NULL,
    email                 varchar(255) NOT NULL,
    phone                 varchar(20),
    username              varchar(100) NOT NULL,
    password              varchar(255),
    salt_key              varchar(100),
    sso_provider          varchar(50),
    sso_subject           varchar(255),
    mfa_enabled           boolean      NOT NULL DEFAULT false,
    mfa_secret            varchar(255),
    backup_codes          text[],
    status                varchar(20)  NOT NULL DEFAULT 'ACTIVE',
    last_login_at         timestamptz,
    last_login_ip         inet,
    failed_login_attempts integer      NOT NULL DEFAULT 0,
    locked_until          timestamptz,
    password_changed_at   timestamptz,
    force_password_change boolean      NOT NULL DEFAULT false,
    timezone              varchar(50)  DEFAULT 'UTC',
    locale                varchar(10)  DEFAULT 'ko-KR',
    department            varchar(100),
    position              varchar(100),
    email_verified        boolean      NOT NULL DEFAULT false,
    phone_verified        boolean      NOT NULL DEFAULT false,
    -- false = deleted
    is_active             boolean      NOT NULL DEFAULT true,
    CONSTRAINT users_pkey PRIMARY KEY (id),
    CONSTRAINT users_username_key UNIQUE (username),
    CONSTRAINT users_email_key UNIQUE (email),
    CONSTRAINT users_sso_key UNIQUE (sso_provider, sso_subject),
    CONSTRAINT users_sso_check CHECK ((sso_provider IS NULL) = (sso_subject IS NULL)),
    CONSTRAINT users_user_type_check CHECK (user_type IN ('MASTER', 'TENANT', 'SYSTEM')),
    CONSTRAINT users_status_check CHECK (status IN ('ACTIVE', 'INACTIVE', 'LOCKED', 'SUSPENDED'))
);

-- Columns that existing tables may lack. They have constant defaults, so that existing rows are not rewritten and the
-- backend's INSERTs, which do not name them, still work.
ALTER TABLE idam.users ADD COLUMN IF NOT EXISTS email_verified boolean NOT NULL DEFAULT false;
ALTER TABLE idam.users ADD COLUMN IF NOT EXISTS phone_verified boolean NOT NULL DEFAULT false;
-- omitted from tables with is_deleted or deleted
ALTER TABLE idam.users ADD COLUMN IF NOT EXISTS is_active boolean NOT NULL DEFAULT true;
