-- Behind `audit list --resource user --action UPDATE`, the two filters that people put together. Each has an index
-- of its own, but the server knows no statistics of a partial one, takes the rows of a noun for few, and went through
-- the hundreds of thousands of its entries to show a page of twenty.

-- +goose Up
CREATE INDEX IF NOT EXISTS audit_logs_noun_action_created_at_idx ON audt.audit_logs ((extra_data ->> 'resource'), action_performed, created_at, id)
    WHERE extra_data ->> 'resource' IS NOT NULL;
