-- +goose Up
CREATE SCHEMA IF NOT EXISTS tnnt;

CREATE TABLE IF NOT EXISTS tnnt.tenants (
    id               uuid         NOT NULL DEFAULT gen_random_uuid(),
    created_at       timestamptz  NOT NULL DEFAULT now(),
    created_by       uuid,
    updated_at       timestamptz,
    updated_by       uuid,
    code             varchar(20)  NOT NULL,
    name             varchar(100) NOT NULL,
    type             varchar(20)  NOT NULL DEFAULT 'STANDARD',
    biz_no           varchar(20),
    biz_name         varchar(100),
    biz_type         char(1),
    ceo_name         varchar(100),
    biz_kind         varchar(100),
    biz_item         varchar(100),
    postcode         varchar(10),
    address1         varchar(255),
    address2         varchar(255),
    phone_no         varchar(20),
    employee_count   integer,
    start_date       date         NOT NULL DEFAULT CURRENT_DATE,
    close_date       date,
    timezone         varchar(50)  DEFAULT 'Asia/Seoul',
    locale           varchar(10)  DEFAULT 'ko-KR',
    currency         char(3)      DEFAULT 'KRW',
    extra_data       jsonb,
    status           varchar(20)  NOT NULL DEFAULT 'ACTIVE',
    is_suspended     boolean      NOT NULL DEFAULT false,
    suspended_reason text,
    suspended_date   date,
    is_deleted       boolean      NOT NULL DEFAULT false,
    CONSTRAINT tenants_pkey PRIMARY KEY (id),
    CONSTRAINT tenants_code_check CHECK (code ~ '^[A-Za-z0-9_-]{3,20}$'),
    CONSTRAINT tenants_type_check CHECK (type IN ('TRIAL', 'STANDARD', 'PREMIUM', 'ENTERPRISE')),
    CONSTRAINT tenants_start_date_check CHECK (start_date <= CURRENT_DATE),
    CONSTRAINT tenants_status_check CHECK (status IN ('TRIAL', 'ACTIVE', 'SUSPENDED', 'TERMINATED')),
    CONSTRAINT tenants_suspended_date_check CHECK (NOT is_suspended OR suspended_date IS NOT NULL)
);

-- Unlike usernames, the code and business number of a deleted tenant can be reused.
CREATE UNIQUE INDEX IF NOT EXISTS tenants_code_key ON tnnt.tenants (code) WHERE NOT is_deleted;
CREATE UNIQUE INDEX IF NOT EXISTS tenants_biz_no_key ON tnnt.tenants (biz_no) WHERE NOT is_deleted;

CREATE TABLE IF NOT EXISTS tnnt.tenant_users (
    id          uuid        NOT NULL DEFAULT gen_random_uuid(),
    created_at  timestamptz NOT NULL DEFAULT now(),
    created_by  uuid,
    updated_at  timestamptz,
    updated_by  uuid,
    tenant_id   uuid        NOT NULL,
    user_id     uuid        NOT NULL,
    role        varchar(50),
    department  varchar(100),
    position    varchar(100),
    employee_id varchar(50),
    start_date  date        NOT NULL DEFAULT CURRENT_DATE,
    close_date  date,
    status      varchar(20) NOT NULL DEFAULT 'ACTIVE',
    is_primary  boolean     NOT NULL DEFAULT false,
    is_admin    boolean     NOT NULL DEFAULT false,
    CONSTRAINT tenant_users_pkey PRIMARY KEY (id),
    CONSTRAINT tenant_users_tenant_id_user_id_key UNIQUE (tenant_id, user_id),
    CONSTRAINT tenant_users_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tnnt.tenants (id) ON DELETE CASCADE,
    CONSTRAINT tenant_users_user_id_fkey FOREIGN KEY (user_id) REFERENCES idam.users (id) ON DELETE CASCADE,
    CONSTRAINT tenant_users_status_check CHECK (status IN ('ACTIVE', 'INACTIVE', 'SUSPENDED', 'LEFT')),
    CONSTRAINT tenant_users_primary_check CHECK (NOT is_primary OR is_admin)
);

CREATE INDEX IF NOT EXISTS tenant_users_user_id_idx ON tnnt.tenant_users (user_id);
