-- Objects that another user planted in a schema ahead of pg_catalog: each function, operator, relation and type of pg_catalog
-- that can be made again. Whoever uses one fails.
CREATE SCHEMA evil;
GRANT USAGE ON SCHEMA evil TO public;
CREATE FUNCTION evil.called() RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'a planted object was used'; END $$;
DO $do$
DECLARE f record;
BEGIN
  FOR f IN SELECT p.proname, pg_catalog.pg_get_function_arguments(p.oid) AS args, pg_catalog.format_type(p.prorettype, NULL) AS result, p.proretset AS many
             FROM pg_catalog.pg_proc p WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f'
              AND NOT 'internal'::regtype = ANY (p.proargtypes) AND NOT 'cstring'::regtype = ANY (p.proargtypes)
  LOOP
    BEGIN
      EXECUTE pg_catalog.format('CREATE FUNCTION evil.%I(%s) RETURNS %s %s LANGUAGE plpgsql AS %L', f.proname, f.args,
        CASE WHEN f.many THEN 'SETOF' ELSE '' END, f.result, 'BEGIN PERFORM evil.called(); END');
    EXCEPTION WHEN OTHERS THEN NULL;
    END;
  END LOOP;
END $do$;
DO $do$
DECLARE o record;
BEGIN
  FOR o IN SELECT op.oprname, op.oprleft, op.oprright, pg_catalog.format_type(op.oprleft, NULL) AS l, pg_catalog.format_type(op.oprright, NULL) AS r, pg_catalog.format_type(op.oprresult, NULL) AS result
             FROM pg_catalog.pg_operator op WHERE op.oprnamespace = 'pg_catalog'::regnamespace
  LOOP
    BEGIN
      EXECUTE pg_catalog.format('CREATE FUNCTION evil.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L', 'op_' || o.oprleft || '_' || o.oprright || '_' || o.oprname,
        CASE WHEN o.oprleft = 0 THEN o.r ELSE o.l || ', ' || o.r END, o.result, 'BEGIN PERFORM evil.called(); END');
      EXECUTE pg_catalog.format('CREATE OPERATOR evil.%s (%s rightarg = %s, function = evil.%I)', o.oprname,
        CASE WHEN o.oprleft = 0 THEN '' ELSE 'leftarg = ' || o.l || ',' END, o.r, 'op_' || o.oprleft || '_' || o.oprright || '_' || o.oprname);
    EXCEPTION WHEN OTHERS THEN NULL;
    END;
  END LOOP;
END $do$;

-- exact overloads, which beat a VARIADIC "any" function wherever they are on the path
DO $do$
DECLARE
  name text;
  args text;
BEGIN
  FOREACH name IN ARRAY ARRAY['concat', 'concat_ws', 'format', 'jsonb_build_object', 'json_build_object', 'jsonb_build_array', 'json_build_array', 'num_nulls', 'num_nonnulls'] LOOP
    FOREACH args IN ARRAY ARRAY['text', 'text, text', 'text, name', 'text, uuid', 'text, jsonb', 'text, boolean', 'text, bigint', 'text, timestamptz', 'text, text, text',
      'text, text, text, text', 'text, name, text, name', 'text, text, text, name', 'text, text, text, text, text', 'text, text, text, text, text, text'] LOOP
      BEGIN
        EXECUTE pg_catalog.format('CREATE FUNCTION evil.%I(%s) RETURNS text LANGUAGE plpgsql AS %L', name, args, 'BEGIN PERFORM evil.called(); END');
      EXCEPTION WHEN duplicate_function THEN NULL;
      END;
    END LOOP;
  END LOOP;
END $do$;
-- relations and types of the same names
DO $do$
DECLARE r record;
BEGIN
  FOR r IN SELECT c.relname FROM pg_catalog.pg_class c WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind IN ('r', 'v') LOOP
    EXECUTE pg_catalog.format('CREATE TABLE evil.%I ()', r.relname);
  END LOOP;
  FOR r IN SELECT t.typname FROM pg_catalog.pg_type t
            WHERE t.typname IN ('text', 'uuid', 'name', 'jsonb', 'json', 'bytea', 'date', 'regclass', 'inet', 'timestamptz', 'bool', 'int8', 'int4', 'numeric') LOOP
    EXECUTE pg_catalog.format('CREATE DOMAIN evil.%I AS pg_catalog.%I CHECK (false)', r.typname, r.typname);
  END LOOP;
END $do$;
