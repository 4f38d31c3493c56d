-- The invoice permissions of 00015 for databases that it skipped, because columns of idam.permissions have other names
-- or are missing. Each value is given under every name of its column; the table uses those it has.

-- +goose Up
INSERT INTO idam.permissions
SELECT p.*
  FROM (VALUES ('CREATE'), ('READ'), ('UPDATE'), ('DELETE'), ('LIST')) AS a (action),
       jsonb_populate_record(NULL::idam.permissions, jsonb_build_object(
           'id', encode(substring(sha256(convert_to('cxgctl permission INVOICE_' || a.action, 'UTF8')) FOR 16), 'hex')::uuid,
           'created_at', now(),
           'code', 'INVOICE_' || a.action,
           'permission_code', 'INVOICE_' || a.action,
           'name', initcap(a.action) || ' invoices',
           'permission_name', initcap(a.action) || ' invoices',
           'category', 'INVOICE',
           'resource', 'INVOICE',
           'resource_type', 'INVOICE',
           'action', a.action,
           'scope', 'GLOBAL',
           'applies_to', 'ALL',
           'is_system', true,
           'is_hidden', false,
           'status', 'ACTIVE',
           'is_deleted', false)) AS p
 WHERE NOT to_jsonb(p) ?& ARRAY['code', 'name', 'resource', 'is_hidden', 'is_deleted']
   AND NOT EXISTS (
       SELECT
         FROM idam.permissions AS x
        WHERE coalesce(to_jsonb(x) ->> 'code', to_jsonb(x) ->> 'permission_code') = 'INVOICE_' || a.action)
ON CONFLICT DO NOTHING;

-- Only permissions added by the statement above are granted, to the same roles as in 00015.
INSERT INTO idam.role_permissions (role_id, permission_id)
SELECT DISTINCT rp.role_id, n.id
  FROM idam.role_permissions rp
  JOIN idam.roles r ON r.id = rp.role_id AND r.scope = 'GLOBAL'
  JOIN idam.permissions p ON p.id = rp.permission_id
  JOIN idam.permissions n ON coalesce(to_jsonb(n) ->> 'code', to_jsonb(n) ->> 'permission_code') =
       replace(coalesce(to_jsonb(p) ->> 'code', to_jsonb(p) ->> 'permission_code'), 'TENANT_', 'INVOICE_')
 WHERE coalesce(to_jsonb(p) ->> 'code', to_jsonb(p) ->> 'permission_code')
       IN ('TENANT_CREATE', 'TENANT_READ', 'TENANT_UPDATE', 'TENANT_DELETE', 'TENANT_LIST')
   AND coalesce((to_jsonb(rp) ->> 'is_deleted')::boolean, false) = false
   AND n.created_at = now()
   AND NOT to_jsonb(n) ?& ARRAY['code', 'name', 'resource', 'is_hidden', 'is_deleted']
ON CONFLICT DO NOTHING;
