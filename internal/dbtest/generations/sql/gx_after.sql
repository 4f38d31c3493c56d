-- Gx after both of its migrations: new names almost everywhere, and a few leftovers.
ALTER TABLE idam.permissions RENAME COLUMN resource_type TO resource;
ALTER TABLE idam.roles RENAME COLUMN role_code TO code;
ALTER TABLE idam.roles RENAME COLUMN role_name TO name;
ALTER TABLE idam.user_roles ADD COLUMN is_deleted boolean NOT NULL DEFAULT false;
ALTER TABLE tnnt.tenants RENAME COLUMN tenant_code TO code;
ALTER TABLE tnnt.tenants RENAME COLUMN tenant_name TO name;
ALTER TABLE tnnt.tenants RENAME COLUMN business_name TO biz_name;
ALTER TABLE tnnt.tenants RENAME COLUMN business_kind TO biz_kind;
ALTER TABLE tnnt.tenants RENAME COLUMN suspension_date TO suspended_date;
ALTER TABLE tnnt.tenants ADD COLUMN is_suspended boolean NOT NULL DEFAULT false, ADD COLUMN suspended_reason text,
    ADD CHECK (is_suspended = false OR suspended_date IS NOT NULL);
ALTER TABLE audt.audit_logs RENAME COLUMN resource_type TO resource;
