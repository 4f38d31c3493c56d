-- Behind `audit list --operator` for a name that no user has: refused claims, and the OS users who migrate.
-- Such rows are few, and those of the backend stay out of the index.

-- +goose Up
CREATE INDEX IF NOT EXISTS audit_logs_operator_created_at_idx ON audt.audit_logs ((extra_data ->> 'operator'), created_at, id)
    WHERE user_id IS NULL AND extra_data ->> 'operator' IS NOT NULL;
