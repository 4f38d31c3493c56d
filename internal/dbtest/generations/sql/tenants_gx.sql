-- Gx: other names for most columns, one soft-delete column, and no reason for suspension.
CREATE TABLE tnnt.tenants (
    id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at     timestamptz NOT NULL DEFAULT now(),
    created_by     uuid,
    updated_at     timestamptz,
    updated_by     uuid,
    tenant_code    varchar(20) NOT NULL CHECK (tenant_code ~ '^[A-Za-z0-9_-]{3,20}$'),
    tenant_name    varchar(100) NOT NULL,
    tenant_type    varchar(20) NOT NULL CHECK (tenant_type IN ('TRIAL', 'STANDARD', 'PREMIUM', 'ENTERPRISE')),
    business_no    varchar(20),
    business_name  varchar(100),
    business_type  char(1),
    ceo_name       varchar(100),
    business_kind  varchar(100),
    business_item  varchar(100),
    postcode       varchar(10),
    address1       varchar(255),
    address2       varchar(255),
    phone_no       varchar(20),
    employee_count integer,
    start_date     date NOT NULL CHECK (start_date <= CURRENT_DATE),
    close_date     date,
    timezone       varchar(50) DEFAULT 'Asia/Seoul',
    locale         varchar(10) DEFAULT 'ko-KR',
    currency       char(3) DEFAULT 'KRW',
    extra_data     jsonb,
    status         varchar(20) NOT NULL CHECK (status IN ('TRIAL', 'ACTIVE', 'SUSPENDED', 'TERMINATED')),
    deleted        boolean NOT NULL
);

CREATE UNIQUE INDEX ON tnnt.tenants (tenant_code) WHERE deleted = false;
CREATE UNIQUE INDEX ON tnnt.tenants (business_no) WHERE deleted = false;
