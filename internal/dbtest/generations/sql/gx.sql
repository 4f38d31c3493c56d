-- The CHECKs that contradicted the default were dropped, so any value is allowed.
ALTER TABLE idam.users
    DROP CONSTRAINT users_user_type_check,
    DROP CONSTRAINT users_status_check;

ALTER TABLE audt.audit_logs RENAME COLUMN resource TO resource_type;
