-- As in the manager database, as far as these tables allow.

INSERT INTO sys.users (id, created_by, user_code, username, email, password_hash, first_name, last_name, last_login_at, is_active, is_deleted) VALUES
('bad00000-0000-4000-8000-000000000901', NULL, 'U1', 'nasty-sound', 'sound@nasty.example', 'none', 'Sound', 'Person', NULL, true, false),
('bad00000-0000-4000-8000-000000000902', 'bad00000-0000-4000-8000-000000000901', 'U2', 'nasty-mail-1', 'Case.Mail@nasty.example', 'none', 'Case', NULL, NULL, true, false),
('bad00000-0000-4000-8000-000000000903', 'bad00000-0000-4000-8000-000000000901', 'U3', 'nasty-mail-2', 'case.mail@nasty.example', 'none', NULL, 'Mail', NULL, true, false), -- nasty: tenant-email-case
('bad00000-0000-4000-8000-000000000904', NULL, 'U4', 'Nasty-Case', 'name-1@nasty.example', 'none', NULL, NULL, NULL, true, false),
('bad00000-0000-4000-8000-000000000905', NULL, 'U5', 'nasty-case', 'name-2@nasty.example', 'none', '', '', NULL, true, false), -- nasty: tenant-username-case
('bad00000-0000-4000-8000-000000000906', NULL, 'U6', 'bad00000-0000-4000-8000-000000000901', 'id@nasty.example', 'none', NULL, NULL, NULL, true, false), -- nasty: tenant-username-is-id
('bad00000-0000-4000-8000-000000000907', NULL, 'U7', 'nasty-tab', 'tab@nasty.example', 'none', E'Tab\there', 'Tab', NULL, true, false), -- nasty: tenant-hostile-name
('bad00000-0000-4000-8000-000000000912', NULL, 'U12', 'nasty-formula', 'formula@nasty.example', 'none', '=1+1', NULL, NULL, true, false), -- nasty: tenant-hostile-name
('bad00000-0000-4000-8000-000000000913', NULL, 'U13', 'nasty-password', 'password@nasty.example', '', NULL, NULL, NULL, true, false), -- nasty: tenant-empty-password
('bad00000-0000-4000-8000-000000000915', NULL, 'U15', 'nasty-never', 'never@nasty.example', 'none', NULL, NULL, '-infinity', true, false), -- nasty: tenant-infinite-time
('bad00000-0000-4000-8000-000000000916', NULL, 'U16', 'nasty-null-active', 'null-active@nasty.example', 'none', NULL, NULL, NULL, NULL, false), -- nasty: tenant-null-flag
('bad00000-0000-4000-8000-000000000917', NULL, 'U17', 'nasty-null-deleted', 'null-deleted@nasty.example', 'none', NULL, NULL, NULL, true, NULL), -- nasty: tenant-null-flag
('bad00000-0000-4000-8000-000000000920', NULL, 'U20', 'nasty-deleted', 'deleted@nasty.example', 'none', 'Had', 'It', NULL, true, true), -- nasty: tenant-deleted-user
('bad00000-0000-4000-8000-000000000921', NULL, 'U21', 'nasty-inactive', 'inactive@nasty.example', 'none', NULL, NULL, NULL, false, false) -- nasty: tenant-inactive-user
ON CONFLICT (id) DO NOTHING;
