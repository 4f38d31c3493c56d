-- +goose Up
CREATE SCHEMA IF NOT EXISTS audt;

-- No foreign key on user_id or tenant_id: audit rows outlive their subjects.
CREATE TABLE IF NOT EXISTS audt.audit_logs (
    id               uuid        NOT NULL DEFAULT gen_random_uuid(),
    created_at       timestamptz NOT NULL DEFAULT now(),
    created_by       uuid,
    updated_at       timestamptz,
    updated_by       uuid,
    tenant_id        uuid,
    user_id          uuid,
    event_type       varchar(50) NOT NULL,
    event_category   varchar(50) NOT NULL,
    description      text        NOT NULL,
    source_ip        varchar(45),
    user_agent       text,
    session_id       varchar(255),
    resource         varchar(50),
    resource_id      varchar(255),
    action_performed varchar(50),
    result           varchar(20) NOT NULL DEFAULT 'SUCCESS',
    failure_reason   text,
    risk_level       varchar(20) NOT NULL DEFAULT 'LOW',
    extra_data       jsonb,
    status           varchar(20) NOT NULL DEFAULT 'ACTIVE',
    deleted          boolean     NOT NULL DEFAULT false,
    CONSTRAINT audit_logs_pkey PRIMARY KEY (id),
    CONSTRAINT audit_logs_event_type_check CHECK (event_type IN ('LOGIN', 'LOGOUT', 'API_CALL', 'DATA_ACCESS', 'ADMIN_ACTION', 'PASSWORD_CHANGE', 'PERMISSION_CHANGE')),
    CONSTRAINT audit_logs_event_category_check CHECK (event_category IN ('AUTHENTICATION', 'AUTHORIZATION', 'DATA_MODIFICATION', 'SYSTEM_CHANGE', 'SECURITY_VIOLATION')),
    CONSTRAINT audit_logs_resource_check CHECK (resource IN ('TABLE', 'API_ENDPOINT', 'FILE', 'CONFIGURATION', 'USER_ACCOUNT', 'TENANT_SETTINGS')),
    CONSTRAINT audit_logs_action_performed_check CHECK (action_performed IN ('CREATE', 'READ', 'UPDATE', 'DELETE', 'EXECUTE', 'LOGIN', 'LOGOUT')),
    CONSTRAINT audit_logs_result_check CHECK (result IN ('SUCCESS', 'FAILURE', 'BLOCKED')),
    CONSTRAINT audit_logs_risk_level_check CHECK (risk_level IN ('LOW', 'MEDIUM', 'HIGH')),
    CONSTRAINT audit_logs_status_check CHECK (status IN ('ACTIVE', 'ARCHIVED', 'PURGED'))
);
