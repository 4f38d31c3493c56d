-- The administrator is the same in every load.
INSERT INTO idam.users (
       id, created_at, user_type, full_name, email, username,
       password, password_changed_at, timezone, locale, department, position, email_verified)
VALUES (
       pg_temp.id('user', 0), {start}, 'MASTER', 'CXG Administrator', 'admin@cxg.example', {admin},
       {password}, {start}, 'Asia/Seoul', 'ko-KR', 'Platform', 'Administrator', true);

-- One user per tenant, who manages it, then all others.
CREATE FUNCTION pg_temp.user_type(i bigint) RETURNS text IMMUTABLE LANGUAGE sql AS $$
    SELECT CASE WHEN i <= {tenants} THEN 'TENANT'
                WHEN pg_temp.roll(i, 1, 33) = 0 THEN 'MASTER'
                WHEN pg_temp.roll(i, 1, 33) = 1 THEN 'SYSTEM'
                ELSE 'TENANT' END
$$;

CREATE FUNCTION pg_temp.user_deleted(i bigint) RETURNS boolean IMMUTABLE LANGUAGE sql AS $$
    SELECT i > {tenants} AND pg_temp.roll(i, 2, 25) = 0
$$;

INSERT INTO idam.users (
       id, created_at, created_by, updated_at, updated_by,
       user_type, full_name, email, phone, username,
       password, sso_provider, sso_subject,
       mfa_enabled, mfa_secret,
       status, last_login_at, last_login_ip, failed_login_attempts, locked_until,
       password_changed_at, force_password_change,
       timezone, locale, department, position,
       email_verified, phone_verified, is_active)
SELECT pg_temp.id('user', i), u.created_at, CASE WHEN pg_temp.roll(i, 3, 5) > 0 THEN admin.id END, a.updated_at,
       CASE WHEN a.updated_at IS NOT NULL AND pg_temp.roll(i, 4, 10) > 2 THEN admin.id END,
       u.user_type, n.full_name, n.login || '@' || n.domain, n.phone, n.login,
       CASE WHEN u.sso IS NULL THEN {password} END, u.sso, 'sub-' || CASE WHEN u.sso IS NOT NULL THEN 100000000 + i END,
       u.mfa, CASE WHEN u.mfa THEN upper(translate(md5('mfa' || i::text), '0189', 'WXYZ')) END,
       a.status, a.last_login_at, a.last_login_ip::inet, a.attempts, a.locked_until,
       CASE WHEN u.sso IS NULL THEN pg_temp.between(u.created_at, {today}, i, 5) END,
       u.sso IS NULL AND pg_temp.roll(i, 6, 33) = 0,
       p.timezone, p.locale, CASE WHEN u.works THEN p.department END, CASE WHEN u.works THEN p.position END,
       pg_temp.roll(i, 7, 10) > 0, n.phone IS NOT NULL AND pg_temp.roll(i, 8, 10) < 6, NOT u.deleted
  FROM generate_series(1, {users} - 1) i,
       LATERAL (SELECT t AS user_type, pg_temp.user_deleted(i) AS deleted, pg_temp.created(i, {users}, 9) AS created_at,
                       t <> 'SYSTEM' AND pg_temp.roll(i, 10, 5) = 0 AS mfa,
                       t <> 'SYSTEM' AND pg_temp.roll(i, 11, 10) > 0 AS works,
                       CASE WHEN t <> 'SYSTEM' AND pg_temp.roll(i, 12, 10) = 0
                            THEN pg_temp.one_of('{google,azure-ad,okta,kakao}', i, 13) END AS sso
                  FROM (SELECT pg_temp.user_type(i) AS t OFFSET 0) t
                OFFSET 0) u,
       LATERAL pg_temp.person(i) p,
       LATERAL (SELECT p.full_name, p.login, p.domain, p.phone WHERE u.user_type <> 'SYSTEM'
                 UNION ALL
                SELECT service || ' service ' || i, 'svc-' || service || '-' || i, 'example.com', NULL
                  FROM pg_temp.one_of('{billing,report,backup,mail,sync,monitor}', i, 14) service
                 WHERE u.user_type = 'SYSTEM') n,
       LATERAL pg_temp.account(i, u.created_at, u.deleted) a,
       (SELECT pg_temp.id('user', 0)) admin(id);

INSERT INTO bill.plans (
       id, created_at, created_by, code, name, description,
       base_amount, user_amount, currency, max_users, max_storage, max_api_calls)
SELECT pg_temp.id('plan', users), {start}, pg_temp.id('user', 0), code, initcap(code), 'Up to ' || users || ' users',
       99000 * factor, 5500, 'KRW', users, users * 10, users * 20000
  FROM (VALUES ('TRIAL', 0, 5), ('STANDARD', 1, 50), ('PREMIUM', 5, 500), ('ENTERPRISE', 20, 5000)
       ) p(code, factor, users);

-- Tenants with their plans and currencies. Amounts are monthly, per_call for a thousand calls; won and yen have no
-- hundredths. The statuses take turns, so that five tenants already have all of them.
CREATE TEMP TABLE tenant ON COMMIT DROP AS
SELECT k, pg_temp.id('tenant', k) AS id, pg_temp.id('subscription', k) AS subscription, c.*, t.status,
       p.id AS plan, p.code AS plan_code, p.max_users, p.base_amount / 99000 AS factor,
       t.name[1] || CASE WHEN k >= 16 THEN '-' || k / 16 + 1 ELSE '' END AS code,
       replace(t.name[2], '_', ' ') || CASE WHEN k >= 16 THEN ' ' || k / 16 + 1 ELSE '' END AS name,
       {today}::date - 1126 - pg_temp.roll(k, 20, 700) AS start_date,
       CASE WHEN t.status = 'TERMINATED' THEN {today}::date - 1 - pg_temp.roll(k, 21, 30) END AS close_date
  FROM generate_series(0, {tenants} - 1) k
 CROSS JOIN LATERAL (
       SELECT CASE k % 17 WHEN 2 THEN 'TRIAL' WHEN 3 THEN 'SUSPENDED' WHEN 4 THEN 'TERMINATED'
                     ELSE 'ACTIVE' END AS status,
              string_to_array(('{
                acme Acme_Corporation,haneulbit 하늘빛전자,saebyeok 새벽물류,globex Globex_Trading,dalnim 달님식품,
                pureunsol 푸른솔건설,initech Initech_Systems,noraeul 노래울미디어,byeolmuri 별무리게임즈,
                umbra Umbra_Analytics,onsaemiro 온새미로교육,dasom 다솜메디칼,zephyr Zephyr_Airlines,
                gaonnuri 가온누리상사,hanulgaram 한울가람에너지,quill Quill_&_Sons
                }'::text[])[1 + k % 16], ' ') AS name
       OFFSET 0) t
  JOIN bill.plans p
    ON p.code = CASE t.status WHEN 'TRIAL' THEN 'TRIAL' ELSE pg_temp.one_of('{STANDARD,PREMIUM,ENTERPRISE}', k, 22) END
  JOIN (VALUES ('KRW', 99000, 5500, 130, 0, 0.10, '{BANK_TRANSFER,CREDIT_CARD}'::text[]),
               ('USD', 79, 4.5, 0.1037, 2, 0, '{CREDIT_CARD,PAYPAL,WIRE_TRANSFER,CHECK}'),
               ('EUR', 74, 4.2, 0.0973, 2, 0.19, '{CREDIT_CARD,PAYPAL,WIRE_TRANSFER}'),
               ('JPY', 9900, 500, 15, 0, 0.10, '{BANK_TRANSFER,CREDIT_CARD}')
       ) c(currency, base, per_user, per_call, digits, tax_rate, payments)
    ON c.currency = pg_temp.one_of('{KRW,KRW,KRW,KRW,KRW,KRW,KRW,USD,EUR,JPY}', k, 23);
ANALYZE tenant;

INSERT INTO tnnt.tenants (
       id, created_at, created_by, updated_at, updated_by,
       code, name, type, biz_no, biz_name, ceo_name, postcode, phone_no, employee_count,
       start_date, close_date, timezone, locale, currency,
       status, is_suspended, suspended_reason, suspended_date, is_deleted)
SELECT t.id, t.start_date + interval '9 hours', admin.id, c.at, CASE WHEN c.at IS NOT NULL THEN admin.id END,
       t.code, t.name, t.plan_code, '999-00-' || lpad(k::text, 5, '0'), t.name, p.full_name,
       10000 + pg_temp.roll(k, 24, 88000), p.phone, 5 + pg_temp.roll(k, 25, 2000),
       t.start_date, t.close_date, p.timezone, p.locale, t.currency,
       t.status, s.suspended, CASE WHEN s.suspended THEN 'payment overdue for more than 60 days' END,
       CASE WHEN s.suspended THEN c.at::date END, t.status = 'TERMINATED' AND pg_temp.roll(k, 26, 2) = 0
  FROM tenant t,
       LATERAL pg_temp.person(1000000000 + k::bigint) p,
       LATERAL (SELECT t.status = 'SUSPENDED') s(suspended),
       LATERAL (SELECT CASE WHEN s.suspended THEN {today} - interval '7 days' ELSE t.close_date END) c(at),
       (SELECT pg_temp.id('user', 0)) admin(id);

-- Users of the platform itself are not members.
INSERT INTO tnnt.tenant_users (
       id, created_at, created_by, tenant_id,
       user_id, role, employee_id,
       start_date, close_date, status, is_primary, is_admin)
SELECT pg_temp.id('member', i), s.since, pg_temp.id('user', 0), pg_temp.id('tenant', (i - 1) % {tenants}),
       pg_temp.id('user', i), CASE WHEN i <= {tenants} THEN 'ADMIN' ELSE 'MEMBER' END, 'E' || lpad(i::text, 7, '0'),
       s.since::date, CASE WHEN s.left THEN {today}::date END, CASE WHEN s.left THEN 'LEFT' ELSE 'ACTIVE' END,
       i <= {tenants}, i <= {tenants}
  FROM generate_series(1, {users} - 1) i,
       LATERAL (SELECT pg_temp.created(i, {users}, 9), pg_temp.user_deleted(i) OFFSET 0) s(since, "left")
 WHERE pg_temp.user_type(i) = 'TENANT';

INSERT INTO tnnt.subscriptions (
       id, created_at, created_by, tenant_id, plan_id, start_date, close_date,
       max_users, max_storage, max_api_calls, base_amount, user_amount, currency, auto_renewal,
       status)
SELECT subscription, start_date + interval '10 hours', pg_temp.id('user', 0), id, plan, start_date, close_date,
       max_users, max_users * 10, max_users * 20000, base * factor, per_user, currency, close_date IS NULL,
       CASE status WHEN 'SUSPENDED' THEN 'SUSPENDED' WHEN 'TERMINATED' THEN 'CANCELED' ELSE 'ACTIVE' END
  FROM tenant;

-- Each invoice is for the month before its date, and numbered from the oldest on. Of two drawn tenants the first gets
-- it, so that a few have many. Some that are past due are not marked yet.
INSERT INTO bill.invoices (
       id, created_at, created_by,
       updated_at,
       updated_by, tenant_id, subscription_id,
       invoice_no,
       invoice_date, due_date, start_date, close_date,
       base_amount, usage_amount, discount_amount, tax_amount, total_amount,
       currency, user_count, used_storage,
       api_calls, paid_at, payment_method,
       status, deleted)
SELECT pg_temp.id('invoice', i), d.created_at, CASE WHEN pg_temp.roll(i, 30, 4) = 0 THEN admin.id END,
       CASE WHEN p.touched THEN pg_temp.between(coalesce(p.paid_at, d.created_at), {today}, i, 31) ELSE p.paid_at END,
       CASE WHEN p.touched THEN admin.id END, t.id, t.subscription,
       'INV-' || to_char(d.day, 'YYYYMM') || '-'
           || CASE WHEN i < 999999 THEN right((10000001 + i)::text, 6) ELSE (i + 1)::text END,
       d.day, d.due, d.month - interval '1 month', d.month - interval '1 day',
       a.base, a.usage, a.discount, x.tax, a.base + a.usage - a.discount + x.tax,
       t.currency, d.users, CASE WHEN d.metered THEN pg_temp.roll(i, 33, d.users * 100000) / 10000.0 END,
       CASE WHEN d.metered THEN d.calls END, p.paid_at,
       CASE WHEN p.paid_at IS NOT NULL THEN pg_temp.one_of(t.payments, i, 34) END,
       d.status, d.deleted
  FROM generate_series(0, {invoices} - 1) i
  JOIN tenant t ON t.k = least(pg_temp.roll(i, 35, {tenants}), pg_temp.roll(i, 36, {tenants})),
       LATERAL (SELECT created_at, day, due, date_trunc('month', day::timestamp) AS month,
                       pg_temp.roll(i, 37, 33) = 0 AS deleted, pg_temp.roll(i, 32, 10) > 0 AS metered,
                       1 + pg_temp.roll(i, 38, t.max_users) AS users, pg_temp.roll(i, 39, 200000) AS calls,
                       CASE WHEN n < 4 THEN 'CANCELED'
                            WHEN n < 6 THEN 'PENDING'
                            WHEN n < 45 OR due < {today} AND n < 90 THEN 'PAID'
                            WHEN due < {today} AND n < 99 THEN 'OVERDUE'
                            WHEN due >= {today} AND n < 60 THEN 'PENDING'
                            ELSE 'SENT' END AS status
                  FROM (SELECT pg_temp.created(i, {invoices}, 40) AS created_at, pg_temp.roll(i, 41, 100) AS n
                        OFFSET 0) c,
                       LATERAL (SELECT created_at::date AS day, created_at::date
                                       + ('{14,30,30,45}'::int[])[1 + pg_temp.roll(i, 42, 4)] AS due
                                OFFSET 0) e
                OFFSET 0) d,
       LATERAL (SELECT base,
                       CASE WHEN pg_temp.roll(i, 43, 10) < 7 THEN trunc(t.per_call * d.calls / 1000, t.digits * 2)
                            ELSE 0 END AS usage,
                       CASE WHEN pg_temp.roll(i, 44, 5) = 0 THEN trunc(base / 10, t.digits) ELSE 0 END AS discount
                  FROM (SELECT t.base * t.factor + t.per_user * d.users AS base OFFSET 0) b
                OFFSET 0) a,
       LATERAL (SELECT trunc((a.base + a.usage - a.discount) * t.tax_rate, t.digits) OFFSET 0) x(tax),
       LATERAL (SELECT CASE WHEN d.status = 'PAID'
                            THEN pg_temp.between(d.created_at, least(d.due + interval '10 days', {today}), i, 45)
                       END AS paid_at,
                       d.deleted OR d.status IN ('CANCELED', 'OVERDUE') AS touched
                OFFSET 0) p,
       (SELECT pg_temp.id('user', 0)) admin(id);
