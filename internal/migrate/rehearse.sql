-- A rehearsal runs migrations in temporary tables, which are named "schema.table", in a transaction that is rolled back.
-- It reads only system catalogs of existing tables, so it waits for no lock on them. pg_get_expr would lock a given
-- table; defaults do not refer to columns, so it needs none.

CREATE TEMP VIEW relations AS
SELECT c.oid, c.relkind::text AS kind, n.oid = pg_my_temp_schema() AS rehearsed,
       CASE WHEN n.oid = pg_my_temp_schema() THEN c.relname ELSE n.nspname || '.' || c.relname END AS name
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
   AND (n.oid <> pg_my_temp_schema() OR c.relname LIKE '%.%');

CREATE TEMP VIEW columns AS
SELECT r.rehearsed, r.name AS belongs_to, r.kind, a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS type,
       a.attnotnull AS not_null,
       CASE WHEN a.attidentity <> '' OR a.attgenerated <> '' THEN 'generated'
            ELSE coalesce(pg_get_expr(d.adbin, 0), '') END AS fallback
  FROM relations r
  JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_attrdef d ON d.adrelid = r.oid AND d.adnum = a.attnum
 ORDER BY r.oid, a.attnum;

-- plain has the columns of a full B-tree over plain columns in default order, each followed by a comma.
CREATE TEMP VIEW indexes AS
SELECT r.rehearsed, CASE WHEN r.rehearsed THEN split_part(r.name, '.', 1) ELSE n.nspname END || '.' || c.relname AS name,
       r.name AS belongs_to, x.indisvalid AS valid, x.indisunique AS uniq,
       CASE WHEN am.amname = 'btree' AND x.indpred IS NULL AND x.indexprs IS NULL
             AND NOT EXISTS (SELECT FROM unnest(x.indoption::int2[]) AS o WHERE o <> 0)
             AND NOT EXISTS (SELECT FROM unnest(x.indclass::oid[]) AS o JOIN pg_opclass p ON p.oid = o WHERE NOT p.opcdefault)
            THEN (SELECT string_agg(a.attname || ',', '' ORDER BY k.pos)
                    FROM unnest(x.indkey::int2[]) WITH ORDINALITY AS k (num, pos)
                    JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.num
                   WHERE k.pos <= x.indnkeyatts)
            ELSE '' END AS plain
  FROM relations r
  JOIN pg_index x ON x.indrelid = r.oid
  JOIN pg_class c ON c.oid = x.indexrelid
  JOIN pg_am am ON am.oid = c.relam
  JOIN pg_namespace n ON n.oid = c.relnamespace;

CREATE TEMP VIEW objects AS
WITH mine AS MATERIALIZED (SELECT oid, name FROM relations WHERE rehearsed)
SELECT 'table' AS kind, name AS object, name AS belongs_to FROM mine
UNION ALL
SELECT 'column', r.name || '.' || a.attname, r.name
  FROM mine r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0
UNION ALL
SELECT 'constraint', r.name || '.' || k.conname, r.name
  FROM mine r JOIN pg_constraint k ON k.conrelid = r.oid AND k.contype <> 'n'
UNION ALL
SELECT 'index', split_part(r.name, '.', 1) || '.' || c.relname, r.name
  FROM mine r JOIN pg_index x ON x.indrelid = r.oid JOIN pg_class c ON c.oid = x.indexrelid;

CREATE TEMP TABLE seen (kind text, object text, belongs_to text);

-- Creates empty copies of relations for the rehearsal. A copy has what decides whether a statement fits: the columns,
-- what is unique, and the names of CHECK constraints. A column that the server fills is nullable in the copy, because
-- evaluating its default would use up a value of the sequence.
CREATE FUNCTION pg_temp.copy_relations(names text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    copied record;
BEGIN
    FOR copied IN
        SELECT format('CREATE VIEW pg_temp.%I AS SELECT ', c.belongs_to)
               || string_agg(format('NULL::%s AS %I', type, name), ', ') AS statement
          FROM pg_temp.columns c
         WHERE belongs_to = ANY (names) AND NOT rehearsed AND kind NOT IN ('r', 'p')
         GROUP BY c.belongs_to
        UNION ALL
        SELECT format('CREATE TABLE pg_temp.%I (', c.belongs_to)
               || string_agg(format('%I %s', name, type)
                             || CASE WHEN fallback = 'generated' OR fallback LIKE '%nextval(%' THEN ''
                                     ELSE CASE WHEN not_null THEN ' NOT NULL' ELSE '' END
                                          || coalesce(' DEFAULT ' || nullif(fallback, ''), '') END, ', ')
               || coalesce((SELECT string_agg(format(', CONSTRAINT %I CHECK (true)', k.conname), '')
                              FROM pg_temp.relations r JOIN pg_constraint k ON k.conrelid = r.oid AND k.contype = 'c'
                             WHERE r.name = c.belongs_to AND NOT r.rehearsed), '')
               || coalesce((SELECT string_agg(format(', UNIQUE (%s)', (
                                       SELECT string_agg(quote_ident(a.attname), ', ') FROM pg_attribute a
                                        WHERE a.attrelid = r.oid AND a.attnum = ANY (x.indkey))), '')
                              FROM pg_temp.relations r JOIN pg_index x ON x.indrelid = r.oid AND x.indisunique
                               AND x.indisvalid AND x.indpred IS NULL AND x.indexprs IS NULL
                             WHERE r.name = c.belongs_to AND NOT r.rehearsed), '')
               || ')'
          FROM pg_temp.columns c
         WHERE belongs_to = ANY (names) AND NOT rehearsed AND kind IN ('r', 'p')
         GROUP BY c.belongs_to
    LOOP
        EXECUTE copied.statement;
    END LOOP;
    INSERT INTO pg_temp.seen SELECT o.* FROM pg_temp.objects o;
END $$;

-- Runs each statement, and compares the catalog before and after. Returns what each statement added, without the parts
-- of an added table, and the error of each statement that failed.
CREATE FUNCTION pg_temp.rehearse(statements text[])
RETURNS TABLE (statement integer, added_kind text, added text, added_to text, code text, problem text)
LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. cardinality(statements) LOOP
        CONTINUE WHEN statements[i] = '';
        BEGIN
            EXECUTE statements[i];
            RETURN QUERY
            WITH new AS (
                INSERT INTO pg_temp.seen
                SELECT o.* FROM pg_temp.objects o WHERE (o.kind, o.object) NOT IN (SELECT s.kind, s.object FROM pg_temp.seen s)
                RETURNING *
            )
            SELECT i, n.kind, n.object, n.belongs_to, '', '' FROM new n
             WHERE n.kind = 'table' OR NOT EXISTS (SELECT FROM new t WHERE t.kind = 'table' AND t.object = n.belongs_to);
        EXCEPTION WHEN OTHERS THEN
            RETURN QUERY SELECT i, '', '', '', SQLSTATE, SQLERRM;
        END;
    END LOOP;
END $$;

SAVEPOINT new_database;
