-- As in the manager database. Rows with a NULL is_deleted are outside the unique indexes.

INSERT INTO sys.users (id, created_by, username, email, password, full_name, is_system_user, failed_login_attempts,
                       last_login_at, locked_until, is_active, is_deleted) VALUES
('bad00000-0000-4000-8000-000000000901', NULL, 'nasty-sound', 'sound@nasty.example', 'none', 'Sound', true, 0, NULL, NULL, true, false),
('bad00000-0000-4000-8000-000000000902', 'bad00000-0000-4000-8000-000000000901', 'nasty-mail-1', 'Case.Mail@nasty.example', 'none', 'Case Mail', false, NULL, NULL, NULL, true, false),
('bad00000-0000-4000-8000-000000000903', 'bad00000-0000-4000-8000-000000000901', 'nasty-mail-2', 'case.mail@nasty.example', 'none', 'Case Mail', false, NULL, NULL, NULL, true, false), -- nasty: tenant-email-case
('bad00000-0000-4000-8000-000000000904', NULL, 'Nasty-Case', 'name-1@nasty.example', 'none', NULL, false, NULL, NULL, NULL, true, false),
('bad00000-0000-4000-8000-000000000905', NULL, 'nasty-case', 'name-2@nasty.example', 'none', NULL, false, NULL, NULL, NULL, true, false), -- nasty: tenant-username-case
('bad00000-0000-4000-8000-000000000906', NULL, 'bad00000-0000-4000-8000-000000000901', 'id@nasty.example', 'none', NULL, false, NULL, NULL, NULL, true, false), -- nasty: tenant-username-is-id
('bad00000-0000-4000-8000-000000000907', NULL, 'nasty-tab', 'tab@nasty.example', 'none', E'Tab\there', false, NULL, NULL, NULL, true, false), -- nasty: tenant-hostile-name
('bad00000-0000-4000-8000-000000000908', NULL, 'nasty-newline', 'newline@nasty.example', 'none', E'New\nline', false, NULL, NULL, NULL, true, false), -- nasty: tenant-hostile-name
('bad00000-0000-4000-8000-000000000909', NULL, 'nasty-escape', 'escape@nasty.example', 'none', E'\u001b[31mRed\u001b[0m', false, NULL, NULL, NULL, true, false), -- nasty: tenant-hostile-name
('bad00000-0000-4000-8000-000000000910', NULL, 'nasty-rtl', 'rtl@nasty.example', 'none', E'Right\u202Etfel', false, NULL, NULL, NULL, true, false), -- nasty: tenant-hostile-name
('bad00000-0000-4000-8000-000000000911', NULL, 'nasty-emoji', 'emoji@nasty.example', 'none', E'Emoji \U0001F469\u200D\U0001F4BB', false, NULL, NULL, NULL, true, false), -- nasty: tenant-hostile-name
('bad00000-0000-4000-8000-000000000912', NULL, 'nasty-formula', 'formula@nasty.example', 'none', '=1+1', false, NULL, NULL, NULL, true, false), -- nasty: tenant-hostile-name
('bad00000-0000-4000-8000-000000000913', NULL, 'nasty-password', 'password@nasty.example', '', NULL, false, NULL, NULL, NULL, true, false), -- nasty: tenant-empty-password
('bad00000-0000-4000-8000-000000000914', NULL, 'nasty-forever', 'forever@nasty.example', 'none', NULL, false, 5, NULL, 'infinity', true, false), -- nasty: tenant-infinite-time
('bad00000-0000-4000-8000-000000000915', NULL, 'nasty-never', 'never@nasty.example', 'none', NULL, false, NULL, '-infinity', NULL, true, false), -- nasty: tenant-infinite-time
('bad00000-0000-4000-8000-000000000916', NULL, 'nasty-null-active', 'null-active@nasty.example', 'none', NULL, false, NULL, NULL, NULL, NULL, false), -- nasty: tenant-null-flag
('bad00000-0000-4000-8000-000000000917', NULL, 'nasty-null-deleted', 'null-deleted@nasty.example', 'none', NULL, false, NULL, NULL, NULL, true, NULL), -- nasty: tenant-null-flag
('bad00000-0000-4000-8000-000000000918', NULL, 'nasty-twin', 'twin@nasty.example', 'none', NULL, false, NULL, NULL, NULL, true, false),
('bad00000-0000-4000-8000-000000000919', NULL, 'nasty-twin', 'twin@nasty.example', 'none', NULL, false, NULL, NULL, NULL, NULL, NULL), -- nasty: tenant-null-flag, tenant-twin
('bad00000-0000-4000-8000-000000000920', NULL, 'nasty-sound', 'sound@nasty.example', 'none', 'Had The Name Before', false, NULL, NULL, NULL, true, true), -- nasty: tenant-deleted-user
('bad00000-0000-4000-8000-000000000921', NULL, 'nasty-inactive', 'inactive@nasty.example', 'none', NULL, false, NULL, NULL, NULL, false, false) -- nasty: tenant-inactive-user
ON CONFLICT (id) DO NOTHING;
{{- if .SharedTenants}}

-- One of them belongs to another tenant, one to none.
UPDATE sys.users
   SET tenant_id = CASE username WHEN 'nasty-formula' THEN 'bad00000-0000-4000-8000-000000000202'::uuid
                                 WHEN 'nasty-password' THEN NULL
                                 ELSE 'bad00000-0000-4000-8000-000000000201' END
 WHERE id::text LIKE 'bad00000-%';
{{- end}}
