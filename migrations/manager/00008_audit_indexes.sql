-- Indexes for `audit list`, newest first. Every change updates each of them, so those that only match cxgctl's own
-- rows are partial and omit the backend's rows.

-- +goose Up
CREATE INDEX IF NOT EXISTS audit_logs_created_at_idx ON audt.audit_logs (created_at, id);
CREATE INDEX IF NOT EXISTS audit_logs_user_id_created_at_idx ON audt.audit_logs (user_id, created_at, id);
CREATE INDEX IF NOT EXISTS audit_logs_resource_id_created_at_idx ON audt.audit_logs (resource_id, created_at, id);
CREATE INDEX IF NOT EXISTS audit_logs_action_performed_created_at_idx ON audt.audit_logs (action_performed, created_at, id);
-- nearly every row is a SUCCESS, for which created_at is sufficient
CREATE INDEX IF NOT EXISTS audit_logs_result_created_at_idx ON audt.audit_logs (result, created_at, id)
    WHERE result <> 'SUCCESS';
CREATE INDEX IF NOT EXISTS audit_logs_op_id_idx ON audt.audit_logs ((extra_data ->> 'op_id'))
    WHERE extra_data ->> 'op_id' IS NOT NULL;
CREATE INDEX IF NOT EXISTS audit_logs_noun_created_at_idx ON audt.audit_logs ((extra_data ->> 'resource'), created_at, id)
    WHERE extra_data ->> 'resource' IS NOT NULL;
