-- Gx after the first of its two migrations: some columns have their new names, and a new column will be renamed later.
ALTER TABLE idam.permissions RENAME COLUMN permission_code TO code;
ALTER TABLE idam.permissions RENAME COLUMN permission_name TO name;
ALTER TABLE tnnt.tenants RENAME COLUMN business_no TO biz_no;
ALTER TABLE tnnt.tenants RENAME COLUMN tenant_type TO type;
ALTER TABLE tnnt.tenants ADD COLUMN suspension_date timestamptz;
