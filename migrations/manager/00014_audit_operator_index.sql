-- Index for `audit list --operator` with a name that does not belong to a user: refused logins, and OS users who
-- migrate. Such rows are few; the backend's rows are omitted.

-- +goose Up
CREATE INDEX IF NOT EXISTS audit_logs_operator_created_at_idx ON audt.audit_logs ((extra_data ->> 'operator'), created_at, id)
    WHERE user_id IS NULL AND extra_data ->> 'operator' IS NOT NULL;
