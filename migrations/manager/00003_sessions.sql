-- +goose Up
CREATE TABLE IF NOT EXISTS idam.sessions (
    id               uuid         NOT NULL DEFAULT gen_random_uuid(),
    created_at       timestamptz  NOT NULL DEFAULT now(),
    created_by       uuid,
    updated_at       timestamptz,
    updated_by       uuid,
    session_id       varchar(255) NOT NULL,
    user_id          uuid         NOT NULL,
    tenant_context   uuid,
    session_type     varchar(20)  NOT NULL DEFAULT 'WEB',
    fingerprint      varchar(255),
    user_agent       text,
    ip_address       inet         NOT NULL,
    country_code     char(2),
    city             varchar(100),
    status           varchar(20)  NOT NULL DEFAULT 'ACTIVE',
    expires_at       timestamptz  NOT NULL,
    last_activity_at timestamptz  NOT NULL DEFAULT now(),
    mfa_verified     boolean      NOT NULL DEFAULT false,
    mfa_verified_at  timestamptz,
    CONSTRAINT sessions_pkey PRIMARY KEY (id),
    CONSTRAINT sessions_session_id_key UNIQUE (session_id),
    CONSTRAINT sessions_user_id_fkey FOREIGN KEY (user_id) REFERENCES idam.users (id) ON DELETE CASCADE,
    CONSTRAINT sessions_session_type_check CHECK (session_type IN ('WEB', 'API', 'MOBILE')),
    CONSTRAINT sessions_status_check CHECK (status IN ('ACTIVE', 'EXPIRED', 'REVOKED'))
);

CREATE INDEX IF NOT EXISTS sessions_user_id_created_at_idx ON idam.sessions (user_id, created_at);
CREATE INDEX IF NOT EXISTS sessions_expires_at_idx ON idam.sessions (expires_at);

-- No foreign key: attempts may name users that do not exist, and records outlive their users.
CREATE TABLE IF NOT EXISTS idam.login_logs (
    id             uuid        NOT NULL DEFAULT gen_random_uuid(),
    created_at     timestamptz NOT NULL DEFAULT now(),
    created_by     uuid,
    updated_at     timestamptz,
    updated_by     uuid,
    user_id        uuid,
    user_type      varchar(20),
    tenant_context uuid,
    username       varchar(100),
    attempt_type   varchar(20) NOT NULL,
    success        boolean     NOT NULL,
    failure_reason varchar(100),
    session_id     varchar(255),
    ip_address     inet        NOT NULL,
    user_agent     text,
    country_code   char(2),
    city           varchar(100),
    mfa_used       boolean     NOT NULL DEFAULT false,
    mfa_method     varchar(50),
    CONSTRAINT login_logs_pkey PRIMARY KEY (id),
    CONSTRAINT login_logs_attempt_type_check CHECK (attempt_type IN ('LOGIN', 'LOGOUT', 'FAILED_LOGIN', 'LOCKED', 'PASSWORD_RESET'))
);

CREATE INDEX IF NOT EXISTS login_logs_created_at_idx ON idam.login_logs (created_at, id);
CREATE INDEX IF NOT EXISTS login_logs_user_id_created_at_idx ON idam.login_logs (user_id, created_at);
CREATE INDEX IF NOT EXISTS login_logs_username_created_at_idx ON idam.login_logs (username, created_at);

CREATE TABLE IF NOT EXISTS idam.api_keys (
    id                    uuid         NOT NULL DEFAULT gen_random_uuid(),
    created_at            timestamptz  NOT NULL DEFAULT now(),
    created_by            uuid,
    updated_at            timestamptz,
    updated_by            uuid,
    key_id                varchar(100) NOT NULL,
    key_hash              varchar(255) NOT NULL,
    key_name              varchar(100) NOT NULL,
    user_id               uuid         NOT NULL,
    tenant_context        uuid,
    service_account       varchar(100),
    scopes                text[],
    allowed_ips           inet[],
    rate_limit_per_minute integer,
    rate_limit_per_hour   integer,
    rate_limit_per_day    integer,
    status                varchar(20)  NOT NULL DEFAULT 'ACTIVE',
    expires_at            timestamptz,
    last_used_at          timestamptz,
    last_used_ip          inet,
    usage_count           bigint       NOT NULL DEFAULT 0,
    CONSTRAINT api_keys_pkey PRIMARY KEY (id),
    CONSTRAINT api_keys_key_id_key UNIQUE (key_id),
    CONSTRAINT api_keys_user_id_fkey FOREIGN KEY (user_id) REFERENCES idam.users (id) ON DELETE CASCADE,
    CONSTRAINT api_keys_status_check CHECK (status IN ('ACTIVE', 'INACTIVE', 'REVOKED'))
);

CREATE INDEX IF NOT EXISTS api_keys_user_id_idx ON idam.api_keys (user_id);
