-- The tenants' own users. The first created the others; the first of each tenant is the platform's.
INSERT INTO sys.users (
       id, created_at, created_by, updated_at, updated_by,
       tenant_id, username, password, full_name, email, phone, is_system_user,
       last_login_at, last_login_ip, failed_login_attempts, locked_until, is_active, is_deleted)
SELECT pg_temp.id('tenant user', i), u.created_at, CASE WHEN i > 0 THEN a0.id END, a.updated_at,
       CASE WHEN a.updated_at IS NOT NULL THEN a0.id END,
       pg_temp.id('tenant', i % {tenants}), p.login, {password}, p.full_name, p.login || '@' || p.domain, p.phone,
       i < {tenants},
       a.last_login_at, a.last_login_ip, a.attempts, a.locked_until, a.status IN ('ACTIVE', 'LOCKED'), u.deleted
  FROM generate_series(0, greatest(5, {users} / 10) - 1) i,
       LATERAL (SELECT pg_temp.created(i, greatest(5, {users} / 10), 1) AS created_at,
                       i > 0 AND pg_temp.roll(i, 2, 33) = 0 AS deleted
                OFFSET 0) u,
       LATERAL pg_temp.person(2000000000 + i::bigint) p,
       LATERAL pg_temp.account(2000000000 + i::bigint, u.created_at, u.deleted) a,
       (SELECT pg_temp.id('tenant user', 0)) a0(id);
