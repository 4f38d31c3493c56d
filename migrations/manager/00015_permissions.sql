-- Permission codes for invoices, which all generations lack. Roles of the whole platform get those that correspond to
-- their permissions on tenants. Roles of a single tenant get none, because its administrator receives the invoices.

-- +goose Up
INSERT INTO idam.permissions (id, code, name, description, category, resource, action, scope, applies_to,
                              is_system, is_hidden, status, is_deleted)
SELECT encode(substring(sha256(convert_to('cxgctl permission INVOICE_' || a.action, 'UTF8')) FOR 16), 'hex')::uuid,
       'INVOICE_' || a.action,
       initcap(a.action) || ' invoices',
       NULL,
       'INVOICE',
       'INVOICE',
       a.action,
       'GLOBAL',
       'ALL',
       true,
       false,
       'ACTIVE',
       false
  FROM (VALUES ('CREATE'), ('READ'), ('UPDATE'), ('DELETE'), ('LIST')) AS a (action)
 WHERE NOT EXISTS (SELECT FROM idam.permissions AS x WHERE x.code = 'INVOICE_' || a.action)
ON CONFLICT DO NOTHING;

-- Only codes added by the statement above are granted. Existing codes were granted deliberately.
INSERT INTO idam.role_permissions (role_id, permission_id)
SELECT DISTINCT rp.role_id, n.id
  FROM idam.role_permissions rp
  JOIN idam.roles r ON r.id = rp.role_id AND r.scope = 'GLOBAL'
  JOIN idam.permissions p ON p.id = rp.permission_id
  JOIN idam.permissions n ON n.code = replace(p.code, 'TENANT_', 'INVOICE_')
 WHERE p.code = ANY (ARRAY['TENANT_CREATE', 'TENANT_READ', 'TENANT_UPDATE', 'TENANT_DELETE', 'TENANT_LIST'])
   AND n.id = encode(substring(sha256(convert_to('cxgctl permission ' || n.code, 'UTF8')) FOR 16), 'hex')::uuid
ON CONFLICT DO NOTHING;
