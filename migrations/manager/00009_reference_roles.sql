-- The permission codes in use, and the four roles that every installation starts with. Existing codes are not changed,
-- even without a unique constraint. The ids are derived from the codes, so that the last statement can tell the roles
-- added here from existing ones with the same code. Columns with a default in our tables are named as well, because
-- other tables have no default.

-- +goose Up
INSERT INTO idam.permissions (id, code, name, description, category, resource, action, scope, applies_to,
                              is_system, is_hidden, status, is_deleted)
SELECT encode(substring(sha256(convert_to('cxgctl permission ' || p.resource || '_' || p.action, 'UTF8')) FOR 16), 'hex')::uuid,
       p.resource || '_' || p.action,
       initcap(p.action) || ' ' || p.label,
       NULL,
       p.resource,
       p.resource,
       p.action,
       p.scope,
       'ALL',
       true,
       false,
       'ACTIVE',
       false
  FROM (SELECT r.resource, r.label, a.action,
               CASE WHEN r.resource = 'TENANT' AND a.action NOT IN ('READ', 'UPDATE') THEN 'GLOBAL' ELSE r.scope END AS scope
          FROM (VALUES ('USER', 'users', 'TENANT'),
                       ('ROLE', 'roles', 'TENANT'),
                       ('TENANT', 'tenants', 'TENANT'),
                       ('API_KEY', 'API keys', 'TENANT')) AS r (resource, label, scope)
         CROSS JOIN (VALUES ('CREATE'), ('READ'), ('UPDATE'), ('DELETE'), ('LIST')) AS a (action)
        UNION ALL
        VALUES ('PERMISSION', 'permissions', 'READ', 'TENANT'),
               ('PERMISSION', 'permissions', 'UPDATE', 'GLOBAL'),
               ('PERMISSION', 'permissions', 'LIST', 'TENANT'),
               ('PERMISSION', 'permissions', 'MANAGE', 'GLOBAL'),
               ('AUDIT', 'the audit log', 'READ', 'GLOBAL'),
               ('AUDIT', 'the audit log', 'LIST', 'GLOBAL'),
               ('SYSTEM', 'the system', 'MANAGE', 'GLOBAL'),
               ('DASHBOARD', 'the dashboard', 'READ', 'TENANT')) AS p (resource, label, action, scope)
 WHERE NOT EXISTS (SELECT FROM idam.permissions AS x WHERE x.code = p.resource || '_' || p.action)
ON CONFLICT DO NOTHING;

INSERT INTO idam.roles (id, code, name, description, category, level, scope, is_default, priority, status, is_deleted)
SELECT encode(substring(sha256(convert_to('cxgctl role ' || r.code, 'UTF8')) FOR 16), 'hex')::uuid,
       r.code, r.name, r.description, r.category, r.level, r.scope,
       -- new users get the default role, so a second one would change the backend's behavior
       r.is_default AND NOT EXISTS (SELECT FROM idam.roles AS x WHERE x.is_default),
       r.level, 'ACTIVE', false
  FROM (VALUES ('SUPER_ADMIN', 'Super administrator', 'Everything, on the whole platform', 'MANAGER_ADMIN', 1, 'GLOBAL', false),
               ('PLATFORM_SUPPORT', 'Platform support', 'Looks at everything, helps users', 'PLATFORM_SUPPORT', 50, 'GLOBAL', false),
               ('TENANT_ADMIN', 'Tenant administrator', 'Runs one tenant', 'TENANT_ADMIN', 100, 'TENANT', false),
               ('TENANT_USER', 'Tenant user', 'Works in one tenant', 'TENANT_USER', 200, 'TENANT', true))
       AS r (code, name, description, category, level, scope, is_default)
 WHERE NOT EXISTS (SELECT FROM idam.roles AS x WHERE x.code = r.code)
ON CONFLICT DO NOTHING;

-- Only roles added by the statement above get permissions. Existing roles with these codes keep theirs.
INSERT INTO idam.role_permissions (role_id, permission_id)
SELECT r.id, p.id
  FROM idam.roles r
  JOIN idam.permissions p ON CASE r.code
           WHEN 'SUPER_ADMIN' THEN p.code = ANY (ARRAY[
               'USER_CREATE', 'USER_READ', 'USER_UPDATE', 'USER_DELETE', 'USER_LIST',
               'ROLE_CREATE', 'ROLE_READ', 'ROLE_UPDATE', 'ROLE_DELETE', 'ROLE_LIST',
               'TENANT_CREATE', 'TENANT_READ', 'TENANT_UPDATE', 'TENANT_DELETE', 'TENANT_LIST',
               'API_KEY_CREATE', 'API_KEY_READ', 'API_KEY_UPDATE', 'API_KEY_DELETE', 'API_KEY_LIST',
               'PERMISSION_READ', 'PERMISSION_UPDATE', 'PERMISSION_LIST', 'PERMISSION_MANAGE',
               'AUDIT_READ', 'AUDIT_LIST', 'SYSTEM_MANAGE', 'DASHBOARD_READ'])
           WHEN 'PLATFORM_SUPPORT' THEN p.code = ANY (ARRAY[
               'USER_READ', 'USER_UPDATE', 'USER_LIST', 'ROLE_READ', 'ROLE_LIST', 'TENANT_READ', 'TENANT_LIST',
               'API_KEY_READ', 'API_KEY_LIST', 'PERMISSION_READ', 'PERMISSION_LIST',
               'AUDIT_READ', 'AUDIT_LIST', 'DASHBOARD_READ'])
           WHEN 'TENANT_ADMIN' THEN p.code = ANY (ARRAY[
               'USER_CREATE', 'USER_READ', 'USER_UPDATE', 'USER_DELETE', 'USER_LIST', 'ROLE_READ', 'ROLE_LIST',
               'TENANT_READ', 'TENANT_UPDATE',
               'API_KEY_CREATE', 'API_KEY_READ', 'API_KEY_UPDATE', 'API_KEY_DELETE', 'API_KEY_LIST',
               'PERMISSION_READ', 'PERMISSION_LIST', 'DASHBOARD_READ'])
           WHEN 'TENANT_USER' THEN p.code = ANY (ARRAY['USER_READ', 'TENANT_READ', 'DASHBOARD_READ'])
           ELSE false
       END
 WHERE r.id = encode(substring(sha256(convert_to('cxgctl role ' || r.code, 'UTF8')) FOR 16), 'hex')::uuid
ON CONFLICT DO NOTHING;
