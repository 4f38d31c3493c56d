-- +goose Up
CREATE TABLE IF NOT EXISTS idam.roles (
    id          uuid         NOT NULL DEFAULT gen_random_uuid(),
    created_at  timestamptz  NOT NULL DEFAULT now(),
    created_by  uuid,
    updated_at  timestamptz,
    updated_by  uuid,
    code        varchar(100) NOT NULL,
    name        varchar(100) NOT NULL,
    description text,
    category    varchar(50)  NOT NULL,
    level       integer      NOT NULL DEFAULT 100,
    scope       varchar(20)  NOT NULL,
    is_default  boolean      NOT NULL DEFAULT false,
    priority    integer      NOT NULL DEFAULT 100,
    status      varchar(20)  NOT NULL DEFAULT 'ACTIVE',
    is_deleted  boolean      NOT NULL DEFAULT false,
    CONSTRAINT roles_pkey PRIMARY KEY (id),
    CONSTRAINT roles_code_key UNIQUE (code),
    CONSTRAINT roles_category_check CHECK (category IN ('MANAGER_ADMIN', 'PLATFORM_SUPPORT', 'TENANT_ADMIN', 'TENANT_USER')),
    CONSTRAINT roles_level_check CHECK (level BETWEEN 1 AND 200),
    CONSTRAINT roles_scope_check CHECK (scope IN ('GLOBAL', 'TENANT')),
    CONSTRAINT roles_category_scope_check CHECK (
        CASE category
            WHEN 'MANAGER_ADMIN' THEN scope = 'GLOBAL'
            WHEN 'PLATFORM_SUPPORT' THEN scope = 'GLOBAL'
            WHEN 'TENANT_USER' THEN scope = 'TENANT'
            ELSE true
        END),
    CONSTRAINT roles_status_check CHECK (status IN ('ACTIVE', 'INACTIVE'))
);

CREATE TABLE IF NOT EXISTS idam.permissions (
    id          uuid         NOT NULL DEFAULT gen_random_uuid(),
    created_at  timestamptz  NOT NULL DEFAULT now(),
    created_by  uuid,
    updated_at  timestamptz,
    updated_by  uuid,
    code        varchar(100) NOT NULL,
    name        varchar(100) NOT NULL,
    description text,
    category    varchar(50)  NOT NULL,
    resource    varchar(50)  NOT NULL,
    action      varchar(50)  NOT NULL,
    scope       varchar(20)  NOT NULL,
    applies_to  varchar(20)  NOT NULL DEFAULT 'ALL',
    is_system   boolean      NOT NULL DEFAULT false,
    is_hidden   boolean      NOT NULL DEFAULT false,
    status      varchar(20)  NOT NULL DEFAULT 'ACTIVE',
    is_deleted  boolean      NOT NULL DEFAULT false,
    CONSTRAINT permissions_pkey PRIMARY KEY (id),
    CONSTRAINT permissions_code_key UNIQUE (code),
    CONSTRAINT permissions_action_check CHECK (action IN ('CREATE', 'READ', 'UPDATE', 'DELETE', 'LIST', 'MANAGE')),
    CONSTRAINT permissions_scope_check CHECK (scope IN ('GLOBAL', 'TENANT')),
    CONSTRAINT permissions_applies_to_check CHECK (applies_to IN ('ALL', 'MASTER', 'TENANT', 'SYSTEM')),
    CONSTRAINT permissions_status_check CHECK (status IN ('ACTIVE', 'INACTIVE'))
);

CREATE TABLE IF NOT EXISTS idam.role_permissions (
    id            uuid        NOT NULL DEFAULT gen_random_uuid(),
    created_at    timestamptz NOT NULL DEFAULT now(),
    created_by    uuid,
    updated_at    timestamptz,
    updated_by    uuid,
    role_id       uuid        NOT NULL,
    permission_id uuid        NOT NULL,
    granted_at    timestamptz NOT NULL DEFAULT now(),
    granted_by    uuid,
    CONSTRAINT role_permissions_pkey PRIMARY KEY (id),
    CONSTRAINT role_permissions_role_id_permission_id_key UNIQUE (role_id, permission_id),
    CONSTRAINT role_permissions_role_id_fkey FOREIGN KEY (role_id) REFERENCES idam.roles (id) ON DELETE CASCADE,
    CONSTRAINT role_permissions_permission_id_fkey FOREIGN KEY (permission_id) REFERENCES idam.permissions (id) ON DELETE CASCADE
);

CREATE INDEX IF NOT EXISTS role_permissions_permission_id_idx ON idam.role_permissions (permission_id);

-- A NULL tenant_context allows duplicate grants, as in the field, so they are checked before granting.
CREATE TABLE IF NOT EXISTS idam.user_roles (
    id             uuid        NOT NULL DEFAULT gen_random_uuid(),
    created_at     timestamptz NOT NULL DEFAULT now(),
    created_by     uuid,
    updated_at     timestamptz,
    updated_by     uuid,
    user_id        uuid        NOT NULL,
    role_id        uuid        NOT NULL,
    scope          varchar(20) NOT NULL DEFAULT 'GLOBAL',
    tenant_context uuid,
    granted_at     timestamptz NOT NULL DEFAULT now(),
    granted_by     uuid,
    expires_at     timestamptz,
    status         varchar(20) NOT NULL DEFAULT 'ACTIVE',
    CONSTRAINT user_roles_pkey PRIMARY KEY (id),
    CONSTRAINT user_roles_user_id_role_id_tenant_context_key UNIQUE (user_id, role_id, tenant_context),
    CONSTRAINT user_roles_user_id_fkey FOREIGN KEY (user_id) REFERENCES idam.users (id) ON DELETE CASCADE,
    CONSTRAINT user_roles_role_id_fkey FOREIGN KEY (role_id) REFERENCES idam.roles (id) ON DELETE CASCADE,
    CONSTRAINT user_roles_scope_check CHECK (scope IN ('GLOBAL', 'TENANT')),
    CONSTRAINT user_roles_status_check CHECK (status IN ('ACTIVE', 'INACTIVE', 'EXPIRED'))
);

CREATE INDEX IF NOT EXISTS user_roles_role_id_idx ON idam.user_roles (role_id);
