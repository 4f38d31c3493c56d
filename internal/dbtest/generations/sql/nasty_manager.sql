-- A comment "nasty:" with one or more labels marks one defect each; see the constants of type Defect. In a set, such
-- as two e-mails that differ only in case, the row that completes it has the label. Rows without a label are valid.

INSERT INTO idam.users (id, created_by, updated_at, user_type, status, username, email, password, full_name,
                        failed_login_attempts, last_login_at, locked_until) VALUES
('bad00000-0000-4000-8000-000000000101', NULL, NULL, 'MASTER', 'ACTIVE', 'nasty-creator', 'creator@nasty.example', NULL, 'Creator', 0, NULL, NULL),
('bad00000-0000-4000-8000-000000000102', 'bad00000-0000-4000-8000-000000000101', '2026-02-01T00:00:00Z', 'TENANT', 'ACTIVE', 'nasty-mail-1', 'Case.Mail@nasty.example', NULL, 'Case Mail', 0, NULL, NULL),
('bad00000-0000-4000-8000-000000000103', 'bad00000-0000-4000-8000-000000000101', NULL, 'TENANT', 'ACTIVE', 'nasty-mail-2', 'case.mail@nasty.example', NULL, 'Case Mail', 0, NULL, NULL), -- nasty: email-case
('bad00000-0000-4000-8000-000000000104', NULL, NULL, 'TENANT', 'ACTIVE', 'Nasty-Case', 'name-1@nasty.example', NULL, 'Case Name', 0, NULL, NULL),
('bad00000-0000-4000-8000-000000000105', NULL, NULL, 'TENANT', 'ACTIVE', 'nasty-case', 'name-2@nasty.example', NULL, 'Case Name', 0, NULL, NULL), -- nasty: username-case
('bad00000-0000-4000-8000-000000000106', NULL, NULL, 'TENANT', 'ACTIVE', 'bad00000-0000-4000-8000-000000000101', 'id@nasty.example', NULL, 'Someone Else', 0, NULL, NULL), -- nasty: username-is-id
('bad00000-0000-4000-8000-000000000107', NULL, NULL, 'TENANT', 'ACTIVE', 'nasty-tab', 'tab@nasty.example', NULL, E'Tab\there', 0, NULL, NULL), -- nasty: hostile-name
('bad00000-0000-4000-8000-000000000108', NULL, NULL, 'TENANT', 'ACTIVE', 'nasty-newline', 'newline@nasty.example', NULL, E'New\nline', 0, NULL, NULL), -- nasty: hostile-name
('bad00000-0000-4000-8000-000000000109', NULL, NULL, 'TENANT', 'ACTIVE', 'nasty-escape', 'escape@nasty.example', NULL, E'\u001b[31mRed\u001b[0m', 0, NULL, NULL), -- nasty: hostile-name
('bad00000-0000-4000-8000-000000000110', NULL, NULL, 'TENANT', 'ACTIVE', 'nasty-rtl', 'rtl@nasty.example', NULL, E'Right\u202Etfel', 0, NULL, NULL), -- nasty: hostile-name
('bad00000-0000-4000-8000-000000000111', NULL, NULL, 'TENANT', 'ACTIVE', 'nasty-emoji', 'emoji@nasty.example', NULL, E'Emoji \U0001F469\u200D\U0001F4BB', 0, NULL, NULL), -- nasty: hostile-name
('bad00000-0000-4000-8000-000000000112', NULL, NULL, 'TENANT', 'ACTIVE', 'nasty-formula', 'formula@nasty.example', NULL, '=1+1', 0, NULL, NULL), -- nasty: hostile-name
('bad00000-0000-4000-8000-000000000113', NULL, NULL, 'TENANT', 'ACTIVE', 'nasty-password', 'password@nasty.example', '', 'Empty Password', 0, NULL, NULL), -- nasty: empty-password
('bad00000-0000-4000-8000-000000000114', NULL, NULL, 'TENANT', 'LOCKED', 'nasty-forever', 'forever@nasty.example', NULL, 'Locked Forever', 5, NULL, 'infinity'), -- nasty: infinite-time
('bad00000-0000-4000-8000-000000000115', NULL, NULL, 'TENANT', 'ACTIVE', 'nasty-never', 'never@nasty.example', NULL, 'Before All Time', 0, '-infinity', NULL), -- nasty: infinite-time
('bad00000-0000-4000-8000-000000000116', NULL, NULL, 'TENANT', 'ACTIVE', 'nasty-active-1', 'active-1@nasty.example', NULL, 'Active Locked', 5, NULL, '2999-01-01T00:00:00Z'), -- nasty: active-locked
('bad00000-0000-4000-8000-000000000117', NULL, NULL, 'TENANT', 'ACTIVE', 'nasty-active-2', 'active-2@nasty.example', NULL, 'Active Locked', 5, NULL, 'infinity'), -- nasty: active-locked, infinite-time
('bad00000-0000-4000-8000-000000000118', NULL, NULL, 'TENANT', 'LOCKED', 'nasty-locked', 'locked@nasty.example', NULL, 'Locked Without', 5, NULL, NULL), -- nasty: locked-without-lock
('bad00000-0000-4000-8000-000000000119', NULL, NULL, 'TENANT', 'ACTIVE', 'nasty-expired', 'expired@nasty.example', NULL, 'Lock Is Over', 0, NULL, '2020-01-01T00:00:00Z'),
('bad00000-0000-4000-8000-000000000120', 'dead0000-0000-4000-8000-000000000001', NULL, 'TENANT', 'ACTIVE', 'nasty-orphan-1', 'orphan-1@nasty.example', NULL, 'Orphan', 0, NULL, NULL), -- nasty: dangling-user-creator
('bad00000-0000-4000-8000-000000000121', 'dead0000-0000-4000-8000-000000000002', NULL, 'SYSTEM', 'ACTIVE', 'nasty-orphan-2', 'orphan-2@nasty.example', NULL, 'Orphan', 0, NULL, NULL), -- nasty: dangling-user-creator
('bad00000-0000-4000-8000-000000000122', NULL, NULL, 'TENANT', 'INACTIVE', 'nasty-inactive', 'inactive@nasty.example', NULL, 'Deleted As The Web Does', 0, NULL, NULL)
ON CONFLICT (id) DO NOTHING;
{{- if .Unguarded}}

-- The first has the default that the dropped CHECK refused.
INSERT INTO idam.users (id, username, email, full_name) VALUES
('bad00000-0000-4000-8000-000000000130', 'nasty-default', 'default@nasty.example', 'By Default') -- nasty: unknown-user-type
ON CONFLICT (id) DO NOTHING;
INSERT INTO idam.users (id, user_type, status, username, email, full_name) VALUES
('bad00000-0000-4000-8000-000000000131', 'TENANT', 'PENDING', 'nasty-pending', 'pending@nasty.example', 'Pending'), -- nasty: unknown-status
('bad00000-0000-4000-8000-000000000132', 'master', 'active', 'nasty-lower', 'lower@nasty.example', 'Lower Case') -- nasty: unknown-user-type, unknown-status
ON CONFLICT (id) DO NOTHING;
{{- end}}
{{- if .UserFlag}}

INSERT INTO idam.users (id, user_type, username, email, full_name) VALUES
('bad00000-0000-4000-8000-000000000140', 'TENANT', 'nasty-deleted', 'deleted@nasty.example', 'Deleted'), -- nasty: deleted-user
('bad00000-0000-4000-8000-000000000141', 'TENANT', 'nasty-flagless', 'flagless@nasty.example', 'Neither Dead Nor Alive') -- nasty: null-user-flag
ON CONFLICT (id) DO NOTHING;
UPDATE idam.users
   SET {{.UserFlag}} = CASE username WHEN 'nasty-deleted' THEN NOT {{.UserLive}} WHEN 'nasty-flagless' THEN NULL ELSE {{.UserLive}} END
 WHERE id::text LIKE 'bad00000-%';
{{- end}}

INSERT INTO idam.roles (id, {{.RoleCode}}, {{.RoleName}}, {{.RoleKind}}, scope, is_default, status{{with .RoleFlag}}, {{.}}{{end}}) VALUES
('bad00000-0000-4000-8000-000000000601', 'NASTY_SUPPORT', 'Support', {{if .Ranked}}'PLATFORM'{{else}}'PLATFORM_SUPPORT'{{end}}, 'GLOBAL', false, 'ACTIVE'{{if .RoleFlag}}, false{{end}}),
('bad00000-0000-4000-8000-000000000602', 'NASTY_USER', 'User', {{if .Ranked}}'USER'{{else}}'TENANT_USER'{{end}}, 'TENANT', false, 'ACTIVE'{{if .RoleFlag}}, false{{end}})
ON CONFLICT (id) DO NOTHING;

INSERT INTO idam.user_roles (id, user_id, role_id, tenant_context, status) VALUES
('bad00000-0000-4000-8000-000000000701', 'bad00000-0000-4000-8000-000000000101', 'bad00000-0000-4000-8000-000000000601', NULL, 'ACTIVE'),
('bad00000-0000-4000-8000-000000000702', 'bad00000-0000-4000-8000-000000000101', 'bad00000-0000-4000-8000-000000000601', NULL, 'ACTIVE'), -- nasty: duplicate-grant
('bad00000-0000-4000-8000-000000000703', 'bad00000-0000-4000-8000-000000000102', 'bad00000-0000-4000-8000-000000000602', NULL, 'ACTIVE'),
('bad00000-0000-4000-8000-000000000704', 'bad00000-0000-4000-8000-000000000102', 'bad00000-0000-4000-8000-000000000602', NULL, 'ACTIVE'), -- nasty: duplicate-grant
('bad00000-0000-4000-8000-000000000705', 'bad00000-0000-4000-8000-000000000102', 'bad00000-0000-4000-8000-000000000602', 'bad00000-0000-4000-8000-000000000201', 'ACTIVE'),
('bad00000-0000-4000-8000-000000000706', 'bad00000-0000-4000-8000-000000000102', 'bad00000-0000-4000-8000-000000000602', 'bad00000-0000-4000-8000-000000000202', 'ACTIVE')
ON CONFLICT (id) DO NOTHING;

INSERT INTO tnnt.tenants (id, {{.TenantCode}}, {{.TenantName}}, {{.TenantType}}, start_date, status, {{if .Suspends}}is_suspended, {{end}}{{.TenantFlag}}) VALUES
('bad00000-0000-4000-8000-000000000201', 'nasty-1', E'Nasty\t\u202E\U0001F4A5', 'STANDARD', '2025-01-01', 'ACTIVE', {{if .Suspends}}false, {{end}}false),
('bad00000-0000-4000-8000-000000000202', 'nasty-2', '=cmd', 'TRIAL', '2025-01-01', 'TRIAL', {{if .Suspends}}false, {{end}}false),
('bad00000-0000-4000-8000-000000000203', 'nasty-1', 'Had The Code Before', 'STANDARD', '2024-01-01', 'TERMINATED', {{if .Suspends}}false, {{end}}true) -- nasty: reused-tenant-code
ON CONFLICT (id) DO NOTHING;

INSERT INTO tnnt.tenants (id, {{.TenantCode}}, {{.TenantName}}, {{.TenantType}}, start_date, status{{with .SuspendedDate}}, {{.}}{{end}}{{if .Suspends}}, is_suspended, suspended_reason{{end}}, {{.TenantFlag}}) VALUES
('bad00000-0000-4000-8000-000000000204', 'nasty-late', 'Does Not Pay', 'PREMIUM', '2025-01-01', 'SUSPENDED'{{if .SuspendedDate}}, '2026-03-04T05:06:07.89Z'{{end}}{{if .Suspends}}, true, 'unpaid'{{end}}, false) -- nasty: suspended-tenant
ON CONFLICT (id) DO NOTHING;

UPDATE idam.users SET last_login_ip = '192.0.2.0/24' WHERE username = 'nasty-creator';

INSERT INTO idam.sessions (id, session_id, user_id, tenant_context, session_type, ip_address, status, expires_at, last_activity_at, mfa_verified) VALUES
('bad00000-0000-4000-8000-000000000901', 'nasty-session', 'bad00000-0000-4000-8000-000000000103', 'dead0000-0000-4000-8000-000000000003', 'WEB', '192.0.2.0/24', 'ACTIVE', '2999-01-01', now(), false) -- nasty: dangling-context
ON CONFLICT (id) DO NOTHING;

INSERT INTO idam.api_keys (id, key_id, key_hash, key_name, user_id, scopes, status, usage_count) VALUES
('bad00000-0000-4000-8000-000000000911', 'nasty-key', 'none', 'nasty', 'bad00000-0000-4000-8000-000000000103', '{USER_LIST,NULL}', 'ACTIVE', 0) -- nasty: null-scope
ON CONFLICT (id) DO NOTHING;

INSERT INTO tnnt.tenant_users (id, tenant_id, user_id, start_date, status, is_primary, is_admin) VALUES
('bad00000-0000-4000-8000-000000000921', 'bad00000-0000-4000-8000-000000000201', 'bad00000-0000-4000-8000-000000000102', '2025-01-01', 'ACTIVE', false, false),
('bad00000-0000-4000-8000-000000000922', 'bad00000-0000-4000-8000-000000000201', 'bad00000-0000-4000-8000-000000000103', '2025-01-01', 'ACTIVE', false, false)
ON CONFLICT (id) DO NOTHING;
{{- if .SoftGrants}}

UPDATE idam.user_roles SET is_deleted = true WHERE id = 'bad00000-0000-4000-8000-000000000705'; -- nasty: deleted-grant
{{- end}}
{{- if eq .UserFlag "is_deleted"}}
UPDATE tnnt.tenant_users SET is_deleted = true WHERE id = 'bad00000-0000-4000-8000-000000000922'; -- nasty: deleted-member
UPDATE idam.sessions SET is_deleted = true WHERE id = 'bad00000-0000-4000-8000-000000000901';
UPDATE idam.api_keys SET is_deleted = true WHERE id = 'bad00000-0000-4000-8000-000000000911';
{{- end}}

INSERT INTO bill.plans (id, code, name, billing_cycle, base_amount, currency, status, deleted) VALUES
('bad00000-0000-4000-8000-000000000301', 'NASTY', 'Nasty', 'MONTHLY', 10, 'KRW', 'ACTIVE', false)
ON CONFLICT (id) DO NOTHING;

INSERT INTO tnnt.subscriptions (id, tenant_id, plan_id, start_date, billing_cycle, base_amount, currency, status, is_deleted) VALUES
('bad00000-0000-4000-8000-000000000401', 'bad00000-0000-4000-8000-000000000201', 'bad00000-0000-4000-8000-000000000301', '2025-01-01', 'MONTHLY', 10, 'KRW', 'ACTIVE', false)
ON CONFLICT (id) DO NOTHING;

INSERT INTO bill.invoices (id, tenant_id, subscription_id, invoice_date, due_date, start_date, close_date, user_count,{{if .Model}} used_storage, api_calls,{{end}}
                           created_by, invoice_no, base_amount, usage_amount, discount_amount, tax_amount, total_amount,
                           currency, paid_at, payment_method, status, {{.InvoiceFlag}})
SELECT v.id::uuid, 'bad00000-0000-4000-8000-000000000201', 'bad00000-0000-4000-8000-000000000401',
       '2026-01-31', '2026-02-28', '2026-01-01', '2026-01-31', 3,{{if .Model}} 0, 0,{{end}}
       v.created_by::uuid, v.invoice_no, v.base, v.usage, v.discount, v.tax, v.total,
       v.currency, v.paid_at::timestamptz, v.payment_method, v.status, v.deleted
  FROM (VALUES
('bad00000-0000-4000-8000-000000000501', NULL, 'NASTY-SOUND', 100000.0000, 2500.5000, 1000.0000, 10150.0500, 111650.5500, 'KRW', NULL, NULL, 'PENDING', false),
{{- if not .Model}}
('bad00000-0000-4000-8000-000000000502', NULL, 'NASTY-NULL-1', 10.0000, NULL, 1.0000, 2.0000, 11.0000, 'USD', NULL, NULL, 'SENT', false), -- nasty: null-amount
{{- end}}
{{- if not .Model}}
('bad00000-0000-4000-8000-000000000503', NULL, 'NASTY-NULL-3', 10.0000, NULL, NULL, NULL, 10.0000, 'USD', NULL, NULL, 'OVERDUE', false), -- nasty: null-amount
{{- end}}
('bad00000-0000-4000-8000-000000000504', NULL, 'NASTY-LOWER', 10.0000, 0, 0, 0, 10.0000, 'usd', NULL, NULL, 'PENDING', false), -- nasty: odd-currency
('bad00000-0000-4000-8000-000000000505', NULL, 'NASTY-PADDED', 10.0000, 0, 0, 0, 10.0000, 'US ', NULL, NULL, 'PENDING', false), -- nasty: odd-currency
('bad00000-0000-4000-8000-000000000506', NULL, 'NASTY-TOTAL-1', 10.0000, 5.0000, 0, 1.5000, 16.5001, 'USD', NULL, NULL, 'PENDING', false), -- nasty: wrong-total
{{- if not .Model}}
('bad00000-0000-4000-8000-000000000507', NULL, 'NASTY-TOTAL-2', 10.0000, NULL, 3.0000, NULL, 10.0000, 'USD', NULL, NULL, 'CANCELED', false), -- nasty: wrong-total, null-amount
{{- end}}
('bad00000-0000-4000-8000-000000000508', NULL, 'NASTY-HUGE', 99999999999999.9999, 0, 0, 0, 99999999999999.9999, 'KRW', NULL, NULL, 'PENDING', false), -- nasty: huge-amount
('bad00000-0000-4000-8000-000000000509', NULL, 'NASTY-PAID-1', 10.0000, 0, 0, 0, 10.0000, 'KRW', NULL, NULL, 'PAID', false), -- nasty: paid-without-date, paid-without-method
('bad00000-0000-4000-8000-000000000510', NULL, 'NASTY-PAID-2', 10.0000, 0, 0, 0, 10.0000, 'KRW', NULL, 'PAYPAL', 'PAID', false), -- nasty: paid-without-date
('bad00000-0000-4000-8000-000000000511', NULL, 'NASTY-PAID-3', 10.0000, 0, 0, 0, 10.0000, 'KRW', '2026-02-01T00:00:00Z', NULL, 'PAID', false), -- nasty: paid-without-method
('bad00000-0000-4000-8000-000000000512', NULL, 'NASTY-PAID-4', 10.0000, 0, 0, 0, 10.0000, 'KRW', '2026-02-01T00:00:00Z', 'CHECK', 'PAID', false),
('bad00000-0000-4000-8000-000000000513', NULL, 'NASTY-DELETED-1', 10.0000, 0, 0, 0, 10.0000, 'KRW', NULL, NULL, 'PENDING', true), -- nasty: deleted-invoice
('bad00000-0000-4000-8000-000000000514', NULL, 'NASTY-DELETED-2', 10.0000, 0, 0, 0, 10.0000, 'KRW', '2026-02-01T00:00:00Z', 'CREDIT_CARD', 'PAID', true), -- nasty: deleted-invoice
('bad00000-0000-4000-8000-000000000515', 'dead0000-0000-4000-8000-000000000001', 'NASTY-ORPHAN', 10.0000, 0, 0, 0, 10.0000, 'KRW', NULL, NULL, 'PENDING', false) -- nasty: dangling-invoice-creator
       ) AS v (id, created_by, invoice_no, base, usage, discount, tax, total, currency, paid_at, payment_method, status, deleted)
ON CONFLICT (id) DO NOTHING;
{{- if eq .Audit "event"}}

INSERT INTO audt.audit_logs (id, created_at, tenant_id, user_id, event_type, event_category, description, source_ip, user_agent, session_id,
                             {{.AuditResource}}, resource_id, action_performed, result, failure_reason, risk_level, extra_data, status, deleted) VALUES
('bad00000-0000-4000-8000-000000000801', '2026-01-05T00:00:00Z', 'bad00000-0000-4000-8000-000000000201', 'bad00000-0000-4000-8000-000000000101', 'LOGIN', 'AUTHENTICATION', 'User logged in', '192.0.2.7', 'Mozilla/5.0', 'session-1',
 'API_ENDPOINT', '/api/v1/auth/login', 'LOGIN', 'SUCCESS', NULL, 'LOW', NULL, 'ACTIVE', false), -- nasty: backend-audit
('bad00000-0000-4000-8000-000000000802', '2026-01-05T00:01:00Z', 'bad00000-0000-4000-8000-000000000201', 'bad00000-0000-4000-8000-000000000101', 'DATA_ACCESS', 'DATA_MODIFICATION', E'Renamed to Tab\there\u202E', '2001:db8::7', NULL, NULL,
 'TABLE', 'users', 'UPDATE', 'FAILURE', E'line one\nline two', 'HIGH', NULL, 'ARCHIVED', false), -- nasty: backend-audit
('bad00000-0000-4000-8000-000000000803', '2026-01-05T00:02:00Z', 'bad00000-0000-4000-8000-000000000202', 'bad00000-0000-4000-8000-000000000102', 'API_CALL', 'SYSTEM_CHANGE', '', NULL, NULL, NULL,
 NULL, NULL, NULL, 'BLOCKED', NULL, 'MEDIUM', NULL, 'ACTIVE', true) -- nasty: backend-audit
ON CONFLICT (id) DO NOTHING;
{{- else if eq .Audit "action"}}

INSERT INTO audt.audit_logs (id, created_at, user_id, tenant_id, action, target_entity, target_id, request_path, request_method,
                             ip_address, user_agent, risk_level, extra_data, status, deleted) VALUES
('bad00000-0000-4000-8000-000000000801', '2026-01-05T00:00:00Z', 'bad00000-0000-4000-8000-000000000101', 'bad00000-0000-4000-8000-000000000201', 'user.login', 'users', 'bad00000-0000-4000-8000-000000000101', '/api/v1/auth/login', 'POST',
 '192.0.2.7', 'Mozilla/5.0', 'LOW', NULL, 'ACTIVE', false), -- nasty: backend-audit
('bad00000-0000-4000-8000-000000000802', '2026-01-05T00:01:00Z', 'bad00000-0000-4000-8000-000000000101', 'bad00000-0000-4000-8000-000000000201', E'user.update\tTab', 'users', 'bad00000-0000-4000-8000-000000000107', '/api/v1/users', 'PATCH',
 '2001:db8::7', NULL, 'HIGH', NULL, 'ARCHIVED', false), -- nasty: backend-audit
('bad00000-0000-4000-8000-000000000803', '2026-01-05T00:02:00Z', 'bad00000-0000-4000-8000-000000000102', 'bad00000-0000-4000-8000-000000000202', '', '', NULL, '', 'GET',
 '198.51.100.0/24', NULL, 'MEDIUM', NULL, 'ACTIVE', true) -- nasty: backend-audit
ON CONFLICT (id) DO NOTHING;
{{- end}}
