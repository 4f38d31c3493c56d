-- Somebody dropped the lists that stood in the way of the default, so anything may stand here.
ALTER TABLE idam.users
    DROP CONSTRAINT users_user_type_check,
    DROP CONSTRAINT users_status_check;

ALTER TABLE audt.audit_logs RENAME COLUMN resource TO resource_type;
