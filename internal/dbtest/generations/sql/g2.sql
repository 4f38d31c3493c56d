-- G1 after custom migrations. Existing rows have NULL in the new flag.
ALTER TABLE idam.users
    ADD COLUMN is_deleted                      boolean,
    ADD COLUMN password_reset_token            varchar(255),
    ADD COLUMN password_reset_token_expires_at timestamptz;

ALTER TABLE bill.invoices RENAME COLUMN deleted TO is_deleted;

ALTER TABLE idam.user_roles ADD COLUMN is_deleted boolean DEFAULT false;
ALTER TABLE idam.role_permissions ADD COLUMN is_deleted boolean DEFAULT false;
ALTER TABLE idam.api_keys ADD COLUMN is_deleted boolean DEFAULT false;
ALTER TABLE idam.sessions ADD COLUMN is_deleted boolean DEFAULT false;
ALTER TABLE tnnt.tenant_users ADD COLUMN is_deleted boolean DEFAULT false;

-- The DBA replaced the audit log's reference to a missing table, with a worse one.
ALTER TABLE audt.audit_logs ADD FOREIGN KEY (tenant_id) REFERENCES tnnt.tenants (id) ON DELETE CASCADE; -- nasty: audit-cascade
ALTER TABLE audt.audit_logs ADD FOREIGN KEY (user_id) REFERENCES idam.users (id) ON DELETE CASCADE; -- nasty: audit-cascade
