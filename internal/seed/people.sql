-- Functions that draw the rows of both databases. A draw depends only on the row's number and a salt, so all loads are
-- the same. OFFSET 0 keeps the planner from evaluating an expression again for each of its uses.

-- Checking foreign keys would take a fifth of the load. Only superusers can omit it.
SELECT set_config('session_replication_role', 'replica', true) FROM pg_roles WHERE rolname = current_user AND rolsuper;

CREATE FUNCTION pg_temp.roll(i bigint, salt bigint, n bigint) RETURNS int IMMUTABLE LANGUAGE sql AS $$
    SELECT abs(hashint8extended(i, salt) % n)::int -- 0 to n - 1
$$;

-- one_of draws an element of a list.
CREATE FUNCTION pg_temp.one_of(list text[], i bigint, salt bigint) RETURNS text IMMUTABLE LANGUAGE sql AS $$
    SELECT list[1 + pg_temp.roll(i, salt, cardinality(list))]
$$;

-- pick draws an element of the Korean (0) or the English half (1) of a list.
CREATE FUNCTION pg_temp.pick(list text[], half int, i bigint, salt bigint) RETURNS text IMMUTABLE LANGUAGE sql AS $$
    SELECT list[1 + half * cardinality(list) / 2 + pg_temp.roll(i, salt, cardinality(list) / 2)]
$$;

-- id returns a UUID of version 7, whose order makes the load faster.
CREATE FUNCTION pg_temp.id(kind text, i bigint) RETURNS uuid IMMUTABLE LANGUAGE sql AS $$
    SELECT ('0' || to_hex(1698796800000 + i * 1000) || '7' || right(md5(kind || i::text), 19))::uuid
$$;

-- between draws a time from a to b, or a if b is not later.
CREATE FUNCTION pg_temp.between(a timestamptz, b timestamptz, i bigint, salt bigint) RETURNS timestamptz
    STABLE LANGUAGE sql AS $$
    SELECT a + greatest(b - a, interval '0') * (pg_temp.roll(i, salt, 1000000) / 1000000.0::float8)
$$;

-- created draws a time in the i-th of n equal parts of the last three years.
CREATE FUNCTION pg_temp.created(i bigint, n bigint, salt bigint) RETURNS timestamptz STABLE LANGUAGE sql AS $$
    SELECT {start} + interval '1095 days' * ((i + pg_temp.roll(i, salt, 1000000) / 1000000.0::float8) / n)
$$;

-- person draws a name and what depends on its language; two of three are Korean. The telephone numbers are unassigned:
-- Korea has no mobile numbers with 0 after 010, and North America reserves 555-01xx for fiction.
CREATE FUNCTION pg_temp.person(i bigint) RETURNS TABLE (full_name text, login text, domain text, phone text,
    timezone text, locale text, department text, "position" text) STABLE LANGUAGE sql AS $$
    SELECT CASE english WHEN 0 THEN family[1] || given[1] ELSE given[1] || ' ' || family[1] END,
           given[2] || '.' || family[2] || i % 1000000000,
           pg_temp.pick('{example.kr,example.co.kr,example.com,example.com,example.org,example.net}', english, i, 104),
           CASE WHEN pg_temp.roll(i, 105, 5) = 0 THEN NULL
                WHEN english = 0 THEN '010-0' || left(digits, 3) || '-' || right(digits, 4)
                ELSE '+1-' || 200 + pg_temp.roll(i, 106, 700) || '-555-01' || left(digits, 2) END,
           place[1],
           place[2],
           pg_temp.pick('{개발팀,영업팀,재무팀,인사팀,고객지원팀,기획팀,정보보안팀,
                Engineering,Sales,Finance,People,Support,Product,Security}', english, i, 107),
           pg_temp.pick('{사원,대리,과장,차장,부장,이사,
                Associate,Specialist,Manager,Senior Manager,Director,Vice President}', english, i, 108)
      FROM (SELECT CASE WHEN pg_temp.roll(i, 100, 100) < 34 THEN 1 ELSE 0 END AS english OFFSET 0) l,
   LATERAL (SELECT string_to_array(pg_temp.pick('{
                민준 minjun,서연 seoyeon,도윤 doyun,하은 haeun,지호 jiho,수아 sua,예준 yejun,지우 jiwoo,
                시우 siwoo,채원 chaewon,현우 hyunwoo,다은 daeun,건우 gunwoo,은지 eunji,준호 junho,유진 yujin,
                성민 sungmin,미경 mikyung,영수 youngsoo,정희 junghee,솔 sol,빛나 bitna,태양 taeyang,가람 garam,
                James james,Mary mary,Robert robert,Linda linda,Zoë zoe,David david,Sarah sarah,Thomas thomas,
                Nancy nancy,Daniel daniel,Emily emily,Mark mark,Laura laura,Paul paul,Anna anna,Kevin kevin,
                Grace grace,Oliver oliver,Chloé chloe,Jack jack,Ruth ruth,Simon simon,Ada ada,Peter peter
                }', english, i, 101), ' ') AS given,
            string_to_array(pg_temp.pick('{
                김 kim,이 lee,박 park,최 choi,정 jung,강 kang,조 cho,윤 yoon,장 jang,임 lim,
                한 han,오 oh,서 seo,신 shin,권 kwon,황 hwang,안 ahn,송 song,남궁 namgung,선우 sunwoo,
                Smith smith,Johnson johnson,O''Brien obrien,García garcia,Müller muller,Taylor taylor,Nguyen nguyen,
                Wilson wilson,Evans evans,Walker walker,Ferrari ferrari,Clark clark,Lewis lewis,Young young,
                Smith-Jones smith-jones,Baker baker,Dubois dubois,Novak novak,Larsen larsen,Kowalski kowalski
                }', english, i, 102), ' ') AS family,
            string_to_array(pg_temp.pick('{Asia/Seoul ko-KR,Asia/Seoul ko-KR,Asia/Seoul ko-KR,Asia/Seoul ko-KR,
                UTC en-US,America/New_York en-US,Europe/London en-GB,Europe/Berlin en-DE
                }', english, i, 103), ' ') AS place,
            lpad(pg_temp.roll(i, 109, 1000000)::text, 6, '0') AS digits
            OFFSET 0) n
$$;

-- account draws a consistent state: only locked users have a lock, which ends years ahead, and the failed logins that
-- led to it. The addresses are reserved for documentation.
CREATE FUNCTION pg_temp.account(i bigint, created timestamptz, deleted boolean) RETURNS TABLE (status text,
    updated_at timestamptz, last_login_at timestamptz, last_login_ip text, attempts int, locked_until timestamptz)
    STABLE LANGUAGE sql AS $$
    SELECT status,
           CASE WHEN status <> 'ACTIVE' OR pg_temp.roll(i, 111, 10) < 6
                THEN pg_temp.between(created, {today}, i, 112) END,
           CASE WHEN pg_temp.roll(i, 113, 100) < 85 THEN pg_temp.between(created, {today}, i, 114) END,
           CASE WHEN pg_temp.roll(i, 113, 100) < 9 THEN '2001:db8::' || to_hex(1 + pg_temp.roll(i, 115, 65535))
                WHEN pg_temp.roll(i, 113, 100) < 85
                THEN pg_temp.one_of('{192.0.2.,198.51.100.,203.0.113.}', i, 116) || 1 + pg_temp.roll(i, 115, 254) END,
           CASE WHEN status = 'LOCKED' THEN 5 + pg_temp.roll(i, 117, 4)
                WHEN pg_temp.roll(i, 118, 10) = 0 THEN 1 + pg_temp.roll(i, 117, 4) ELSE 0 END,
           CASE WHEN status = 'LOCKED'
                THEN {today} + interval '10 years' + interval '1 hour' * pg_temp.roll(i, 119, 8760) END
      FROM (SELECT CASE WHEN deleted OR n < 8 THEN 'INACTIVE' WHEN n < 13 THEN 'LOCKED' WHEN n < 17 THEN 'SUSPENDED'
                        ELSE 'ACTIVE' END AS status
              FROM (SELECT pg_temp.roll(i, 110, 100) AS n) n
            OFFSET 0) s
$$;

