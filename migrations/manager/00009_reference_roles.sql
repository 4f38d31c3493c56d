-- The permission codes in use and the four roles that every installation starts from. The ids are
-- derived from the codes, so that Down can tell the rows that Up added from rows that were there
-- before under the same code.

-- +goose Up
INSERT INTO idam.permissions (id, code, name, description, category, resource, action, scope, applies_to, is_system)
SELECT encode(substring(sha256(convert_to('cxgctl permission ' || p.resource || '_' || p.action, 'UTF8')) FOR 16), 'hex')::uuid,
       p.resource || '_' || p.action,
       initcap(p.action) || ' ' || p.label,
       NULL,
       p.resource,
       p.resource,
       p.action,
       p.scope,
       'ALL',
       true
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
ON CONFLICT DO NOTHING;

INSERT INTO idam.roles (id, code, name, description, category, level, scope, is_default, priority)
SELECT encode(substring(sha256(convert_to('cxgctl role ' || r.code, 'UTF8')) FOR 16), 'hex')::uuid,
       r.code, r.name, r.description, r.category, r.level, r.scope, r.is_default, r.level
  FROM (VALUES ('SUPER_ADMIN', 'Super administrator', 'Everything, on the whole platform', 'MANAGER_ADMIN', 1, 'GLOBAL', false),
               ('PLATFORM_SUPPORT', 'Platform support', 'Looks at everything, helps users', 'PLATFORM_SUPPORT', 50, 'GLOBAL', false),
               ('TENANT_ADMIN', 'Tenant administrator', 'Runs one tenant', 'TENANT_ADMIN', 100, 'TENANT', false),
               ('TENANT_USER', 'Tenant user', 'Works in one tenant', 'TENANT_USER', 200, 'TENANT', true))
       AS r (code, name, description, category, level, scope, is_default)
ON CONFLICT DO NOTHING;

-- Only roles that the statement above added are filled: a role of that code which was there before
-- keeps the permissions that someone chose for it.
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

-- +goose Down
DELETE FROM idam.roles
 WHERE id = encode(substring(sha256(convert_to('cxgctl role ' || code, 'UTF8')) FOR 16), 'hex')::uuid
   AND code IN ('SUPER_ADMIN', 'PLATFORM_SUPPORT', 'TENANT_ADMIN', 'TENANT_USER');

DELETE FROM idam.permissions
 WHERE id = encode(substring(sha256(convert_to('cxgctl permission ' || code, 'UTF8')) FOR 16), 'hex')::uuid
   AND split_part(code, '_', 1) IN ('USER', 'ROLE', 'TENANT', 'API', 'PERMISSION', 'AUDIT', 'SYSTEM', 'DASHBOARD');
