-- Gx: other names for code, name and kind, without level and soft-delete column.
CREATE TABLE idam.roles (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at  timestamptz NOT NULL DEFAULT now(),
    created_by  uuid,
    updated_at  timestamptz,
    updated_by  uuid,
    role_code   varchar(100) NOT NULL UNIQUE,
    role_name   varchar(100) NOT NULL,
    role_type   varchar(50) NOT NULL DEFAULT 'USER' CHECK (role_type IN ('SYSTEM', 'PLATFORM', 'ADMIN', 'MANAGER', 'USER', 'GUEST')),
    description text,
    scope       varchar(20) NOT NULL CHECK (scope IN ('GLOBAL', 'TENANT')),
    is_default  boolean NOT NULL,
    priority    integer NOT NULL DEFAULT 100,
    status      varchar(20) NOT NULL CHECK (status IN ('ACTIVE', 'INACTIVE'))
);

CREATE TABLE idam.permissions (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at      timestamptz NOT NULL DEFAULT now(),
    created_by      uuid,
    updated_at      timestamptz,
    updated_by      uuid,
    permission_code varchar(100) NOT NULL UNIQUE,
    permission_name varchar(100) NOT NULL,
    resource_type   varchar(50) NOT NULL,
    description     text,
    category        varchar(50) NOT NULL,
    action          varchar(50) NOT NULL CHECK (action IN ('CREATE', 'READ', 'UPDATE', 'DELETE', 'LIST', 'MANAGE')),
    scope           varchar(20) NOT NULL,
    applies_to      varchar(20) NOT NULL CHECK (applies_to IN ('ALL', 'MASTER', 'TENANT', 'SYSTEM')),
    is_system       boolean NOT NULL,
    status          varchar(20) NOT NULL
);
