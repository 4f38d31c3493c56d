CREATE TABLE idam.roles (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at  timestamptz NOT NULL DEFAULT now(),
    created_by  uuid,
    updated_at  timestamptz,
    updated_by  uuid,
    code        varchar(100) NOT NULL UNIQUE,
    name        varchar(100) NOT NULL,
    description text,
    category    varchar(50) NOT NULL CHECK (category IN ('MANAGER_ADMIN', 'PLATFORM_SUPPORT', 'TENANT_ADMIN', 'TENANT_USER')),
    level       integer NOT NULL DEFAULT 100 CHECK (level >= 1 AND level <= 200),
    scope       varchar(20) NOT NULL CHECK (scope IN ('GLOBAL', 'TENANT')),
    is_default  boolean NOT NULL,
    priority    integer NOT NULL DEFAULT 100,
    status      varchar(20) NOT NULL CHECK (status IN ('ACTIVE', 'INACTIVE')),
    is_deleted  boolean NOT NULL,
    CHECK (category NOT IN ('MANAGER_ADMIN', 'PLATFORM_SUPPORT') OR scope = 'GLOBAL'),
    CHECK (category <> 'TENANT_USER' OR scope = 'TENANT')
);

CREATE TABLE idam.permissions (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at  timestamptz NOT NULL DEFAULT now(),
    created_by  uuid,
    updated_at  timestamptz,
    updated_by  uuid,
    code        varchar(100) NOT NULL UNIQUE,
    name        varchar(100) NOT NULL,
    description text,
    category    varchar(50) NOT NULL,
    resource    varchar(50) NOT NULL,
    action      varchar(50) NOT NULL CHECK (action IN ('CREATE', 'READ', 'UPDATE', 'DELETE', 'LIST', 'MANAGE')),
    scope       varchar(20) NOT NULL,
    applies_to  varchar(20) NOT NULL CHECK (applies_to IN ('ALL', 'MASTER', 'TENANT', 'SYSTEM')),
    is_system   boolean NOT NULL,
    is_hidden   boolean NOT NULL,
    status      varchar(20) NOT NULL,
    is_deleted  boolean NOT NULL
);
