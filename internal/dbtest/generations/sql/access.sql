CREATE TABLE idam.role_permissions (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at    timestamptz NOT NULL DEFAULT now(),
    created_by    uuid,
    updated_at    timestamptz,
    updated_by    uuid,
    role_id       uuid NOT NULL REFERENCES idam.roles (id) ON DELETE CASCADE,
    permission_id uuid NOT NULL REFERENCES idam.permissions (id) ON DELETE CASCADE,
    granted_at    timestamptz,
    granted_by    uuid,
    UNIQUE (role_id, permission_id)
);

CREATE TABLE idam.user_roles (
    id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at     timestamptz NOT NULL DEFAULT now(),
    created_by     uuid,
    updated_at     timestamptz,
    updated_by     uuid,
    user_id        uuid NOT NULL REFERENCES idam.users (id) ON DELETE CASCADE,
    role_id        uuid NOT NULL REFERENCES idam.roles (id) ON DELETE CASCADE,
    scope          varchar(20) NOT NULL DEFAULT 'GLOBAL',
    tenant_context uuid,
    granted_at     timestamptz,
    granted_by     uuid,
    expires_at     timestamptz,
    status         varchar(20) NOT NULL CHECK (status IN ('ACTIVE', 'INACTIVE', 'EXPIRED')),
    UNIQUE (user_id, role_id, tenant_context)
);

CREATE TABLE idam.sessions (
    id               uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at       timestamptz NOT NULL DEFAULT now(),
    created_by       uuid,
    updated_at       timestamptz,
    updated_by       uuid,
    session_id       varchar(255) NOT NULL UNIQUE,
    user_id          uuid NOT NULL REFERENCES idam.users (id) ON DELETE CASCADE,
    tenant_context   uuid,
    session_type     varchar(20) NOT NULL CHECK (session_type IN ('WEB', 'API', 'MOBILE')),
    fingerprint      varchar(255),
    user_agent       text,
    ip_address       inet NOT NULL,
    country_code     varchar(2),
    city             varchar(100),
    status           varchar(20) NOT NULL CHECK (status IN ('ACTIVE', 'EXPIRED', 'REVOKED')),
    expires_at       timestamptz NOT NULL,
    last_activity_at timestamptz NOT NULL,
    mfa_verified     boolean NOT NULL,
    mfa_verified_at  timestamptz
);

CREATE TABLE idam.login_logs (
    id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at     timestamptz NOT NULL DEFAULT now(),
    created_by     uuid,
    updated_at     timestamptz,
    updated_by     uuid,
    user_id        uuid,
    user_type      varchar(20),
    tenant_context uuid,
    username       varchar(100),
    attempt_type   varchar(20) NOT NULL CHECK (attempt_type IN ('LOGIN', 'LOGOUT', 'FAILED_LOGIN', 'LOCKED', 'PASSWORD_RESET')),
    success        boolean NOT NULL,
    failure_reason varchar(100),
    session_id     varchar(255),
    ip_address     inet NOT NULL,
    user_agent     text,
    country_code   varchar(2),
    city           varchar(100),
    mfa_used       boolean NOT NULL,
    mfa_method     varchar(50)
);

CREATE TABLE idam.api_keys (
    id                    uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at            timestamptz NOT NULL DEFAULT now(),
    created_by            uuid,
    updated_at            timestamptz,
    updated_by            uuid,
    key_id                varchar(100) NOT NULL UNIQUE,
    key_hash              varchar(255) NOT NULL,
    key_name              varchar(100) NOT NULL,
    user_id               uuid NOT NULL REFERENCES idam.users (id) ON DELETE CASCADE,
    tenant_context        uuid,
    service_account       varchar(100),
    scopes                text[],
    allowed_ips           inet[],
    rate_limit_per_minute integer,
    rate_limit_per_hour   integer,
    rate_limit_per_day    integer,
    status                varchar(20) NOT NULL CHECK (status IN ('ACTIVE', 'INACTIVE', 'REVOKED')),
    expires_at            timestamptz,
    last_used_at          timestamptz,
    last_used_ip          inet,
    usage_count           bigint NOT NULL
);
