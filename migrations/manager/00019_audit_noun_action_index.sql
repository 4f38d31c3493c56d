-- Index for `audit list --resource user --action UPDATE`, a common combination of filters. Each has its own index, but
-- the server has no statistics for expressions of partial indexes, underestimated the rows of a resource, and read
-- hundreds of thousands of entries for a page of twenty.

-- +goose Up
CREATE INDEX IF NOT EXISTS audit_logs_noun_action_created_at_idx ON audt.audit_logs ((extra_data ->> 'resource'), action_performed, created_at, id)
    WHERE extra_data ->> 'resource' IS NOT NULL;
