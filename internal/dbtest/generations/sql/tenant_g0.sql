-- The tenants of the design document share one database.
ALTER TABLE sys.users ADD COLUMN tenant_id uuid;
CREATE INDEX ON sys.users (tenant_id);
