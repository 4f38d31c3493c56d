-- Tables created by SQLAlchemy's metadata use its naming convention instead of PostgreSQL's, which is sometimes the
-- same as ours.
DO $$
DECLARE
    c record;
BEGIN
    FOR c IN
        SELECT con.conrelid::regclass AS tab, con.conname AS old,
               left(CASE con.contype WHEN 'p' THEN 'pk_' || t.relname
                                     WHEN 'u' THEN 'uq_' || t.relname || '_' || k.columns
                                     WHEN 'c' THEN 'ck_' || t.relname || '_' || k.columns
                                     ELSE 'fk_' || t.relname || '_' || k.columns || '_' || f.relname END, 63) AS new
          FROM pg_constraint con
          JOIN pg_class t ON t.oid = con.conrelid
          LEFT JOIN pg_class f ON f.oid = con.confrelid
         CROSS JOIN LATERAL (SELECT string_agg(a.attname, '_' ORDER BY u.n) AS columns
                               FROM unnest(con.conkey) WITH ORDINALITY AS u (attnum, n)
                               JOIN pg_attribute a ON a.attrelid = con.conrelid AND a.attnum = u.attnum) k
         WHERE con.connamespace::regnamespace::text IN ('idam', 'tnnt', 'bill', 'audt', 'sys')
           AND con.contype IN ('p', 'u', 'c', 'f')
         ORDER BY 1, 2
    LOOP
        -- two CHECKs on the same columns cannot have the same name; the second keeps its own
        IF NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = c.tab AND conname = c.new) THEN
            EXECUTE format('ALTER TABLE %s RENAME CONSTRAINT %I TO %I', c.tab, c.old, c.new);
        END IF;
    END LOOP;
END
$$;
