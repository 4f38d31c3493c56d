-- The backend's ORM form.
CREATE TABLE audt.audit_logs (
    id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at     timestamptz NOT NULL DEFAULT now(),
    created_by     uuid,
    updated_at     timestamptz,
    updated_by     uuid,
    user_id        uuid,
    tenant_id      uuid,
    action         varchar(255) NOT NULL,
    target_entity  varchar(255) NOT NULL,
    target_id      uuid,
    request_path   varchar(255) NOT NULL,
    request_method varchar(10) NOT NULL,
    ip_address     inet NOT NULL,
    user_agent     text,
    risk_level     varchar(20) NOT NULL CHECK (risk_level IN ('LOW', 'MEDIUM', 'HIGH')),
    extra_data     jsonb,
    status         varchar(20) NOT NULL CHECK (status IN ('ACTIVE', 'ARCHIVED', 'PURGED')),
    deleted        boolean NOT NULL
);
