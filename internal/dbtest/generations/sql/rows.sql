INSERT INTO idam.users (id, username, email, full_name, user_type, status, created_at{{with .UserFlag}}, {{.}}{{end}})
VALUES ('{{.Operator}}', 'admin', 'admin@cxg.example', 'Administrator', 'MASTER', 'ACTIVE', '2026-01-01T00:00:00Z'{{with .UserFlag}}, {{$.UserLive}}{{end}})
ON CONFLICT (id) DO NOTHING;
