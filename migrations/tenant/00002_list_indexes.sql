-- Indexes for `users list --tenant`, and for the two foreign keys of sys.users to itself.

-- +goose Up
CREATE INDEX IF NOT EXISTS users_created_at_idx ON sys.users (created_at, id);
CREATE INDEX IF NOT EXISTS users_last_login_at_idx ON sys.users (last_login_at, id);
CREATE INDEX IF NOT EXISTS users_locked_until_idx ON sys.users (locked_until, id) WHERE locked_until IS NOT NULL;
CREATE INDEX IF NOT EXISTS users_created_by_idx ON sys.users (created_by) WHERE created_by IS NOT NULL;
CREATE INDEX IF NOT EXISTS users_updated_by_idx ON sys.users (updated_by) WHERE updated_by IS NOT NULL;
