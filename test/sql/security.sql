-- Whose code runs as whom: the functions that read rows through an index run
-- its expression and condition as the table's owner, and nobody else's code as
-- him, whatever the caller has set or made in his session; and they run nobody's
-- code with the caller's rights.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS annoy;
RESET client_min_messages;

CREATE ROLE annoy_boss SUPERUSER;
CREATE ROLE annoy_reader;
CREATE ROLE annoy_thief;
CREATE ROLE annoy_author;
DO $$BEGIN EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO annoy_reader', current_database()); END$$;
GRANT EXECUTE ON FUNCTION annoy_index_check(regclass, boolean) TO annoy_reader;
GRANT pg_write_server_files TO annoy_reader;
SELECT current_setting('data_directory') || '/annoy_security' AS file \gset

CREATE SCHEMA app AUTHORIZATION annoy_boss;
CREATE SCHEMA trap AUTHORIZATION annoy_reader;
GRANT USAGE ON SCHEMA app, trap TO PUBLIC;

-- What a query does: its state, its message, or its first column, rows joined.
CREATE FUNCTION app.attempt(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text;
BEGIN
	EXECUTE format('SELECT string_agg(left(t.*::text, 60), '' '') FROM (%s) AS t', query) INTO answer;
	RETURN answer;
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || ' ' || SQLERRM;
END
$$;
-- All functions that read rows through an index, first those that only count.
CREATE FUNCTION app.attempt_all(index text, calls text DEFAULT '') RETURNS TABLE (call text, answer text) LANGUAGE plpgsql AS $$
BEGIN
	FOR call IN SELECT c FROM unnest(ARRAY[
		'annoy_n_items(%L)', 'annoy_info(%L)->''n_items''', 'substring(annoy_repr_info(%L), ''n_items=\d+'')',
		'item FROM annoy_nns_by_item(%L, ''(0,1)'', 2)', 'annoy_distance(%L, ''(0,1)'', ''(0,2)'')',
		'item FROM annoy_transform_items(%L, ''{"(0,1)"}'', 2)', 'length(annoy_serialize(%L, ''canonical'')) > 0',
		'annoy_index_check(%L, true)']) AS c WHERE c ~ calls
	LOOP
		answer := app.attempt(format('SELECT ' || call, index));
		RETURN NEXT;
	END LOOP;
END
$$;

-- The reader's trap remembers who ran it, and makes the reader a superuser.
-- He has to call it immutable in places, hence the function inside.
SET SESSION AUTHORIZATION annoy_reader;
CREATE TABLE trap.caught (who name);
GRANT ALL ON trap.caught TO PUBLIC;
CREATE FUNCTION trap.spring() RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
	INSERT INTO trap.caught VALUES (current_user);
	ALTER ROLE annoy_reader SUPERUSER;
EXCEPTION WHEN insufficient_privilege THEN
	INSERT INTO trap.caught VALUES (current_user);
END
$$;
CREATE FUNCTION trap.norm(body text) RETURNS public.vector LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	PERFORM trap.spring();
	RETURN '[1,1]';
END
$$;
CREATE FUNCTION trap.holds(public.vector) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	PERFORM trap.spring();
	RETURN true;
END
$$;
-- needs no other function, and tells also if what it does is rolled back
CREATE FUNCTION trap.strikes(public.vector) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
	RAISE NOTICE 'strikes as %', current_user;
	RETURN true;
END
$$;
CREATE FUNCTION trap.triggered() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO trap.caught VALUES (current_user);
	RETURN NEW;
END
$$;
CREATE FUNCTION trap.caught() RETURNS TABLE (who name, count bigint, superuser boolean) LANGUAGE sql AS $$
	SELECT c.who, count(*), (SELECT rolsuper FROM pg_roles WHERE rolname = 'annoy_reader') FROM trap.caught AS c GROUP BY 1 ORDER BY 1
$$;

--
-- 1. Names that the owner's function does not qualify.
--
SET SESSION AUTHORIZATION annoy_boss;
SET search_path = app, public;
CREATE FUNCTION norm(body text) RETURNS vector LANGUAGE sql IMMUTABLE STRICT RETURN ARRAY[length(body), 1]::vector;
CREATE FUNCTION emb(body text) RETURNS vector LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN norm(body); END';
CREATE FUNCTION emb_qualified(body text) RETURNS vector LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN app.norm(body); END';
CREATE FUNCTION emb_sql(body text) RETURNS vector LANGUAGE sql IMMUTABLE AS 'SELECT app.norm($1)';
CREATE TABLE docs (id int PRIMARY KEY, body text);
CREATE INDEX docs_emb ON docs USING annoy (emb(body) vector_l2_ops) WITH (n_trees = 2);
CREATE INDEX docs_qualified ON docs USING annoy (emb_qualified(body) vector_l2_ops);
CREATE INDEX docs_sql ON docs USING annoy (emb_sql(body) vector_l2_ops);
CREATE INDEX docs_part ON docs USING annoy (norm(body) vector_l2_ops) WHERE vector_norm(emb(body)) < 5;
CREATE OR REPLACE FUNCTION emb_sql(body text) RETURNS vector LANGUAGE sql IMMUTABLE AS 'SELECT norm($1)';
INSERT INTO docs SELECT i, repeat('x', i) FROM generate_series(1, 8) AS i;
INSERT INTO docs VALUES (9, NULL);
GRANT SELECT ON docs TO annoy_reader;

SET SESSION AUTHORIZATION annoy_reader;
SET search_path = trap, app, public;
SELECT * FROM attempt_all('docs_emb');
SELECT attempt(format('SELECT annoy_save(%L, %L)', 'docs_emb', :'file'));
SELECT * FROM attempt_all('docs_part');
SELECT * FROM trap.caught();
SELECT current_user, current_setting('search_path');

-- The relation cache of a new session has the expression with emb_sql expanded,
-- to trap.norm, since the planner sees it under this search path.
\c -
SET SESSION AUTHORIZATION annoy_reader;
SET search_path = trap, app, public;
SELECT count(*) FROM (SELECT id FROM docs ORDER BY emb_sql(body) <-> '[3,1]' LIMIT 3) AS t;
DELETE FROM trap.caught;
SELECT * FROM attempt_all('docs_sql');
SELECT * FROM trap.caught();

-- Names that are qualified are found.
SELECT * FROM attempt_all('docs_qualified');

--
-- 2. The caller's settings; who the owner's code runs as, and what of its
--	  changes lasts.
--
SET SESSION AUTHORIZATION annoy_boss;
SET search_path = app, public;
CREATE FUNCTION told(body text) RETURNS vector LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	IF current_setting('app.tell', true) = 'on' THEN
		PERFORM set_config('app.tell', 'off', false);
		RAISE NOTICE 'user %, search_path %', current_user, current_setting('search_path');
		RAISE NOTICE '%', (SELECT pg_catalog.string_agg(name || ' ' || setting, ', ' ORDER BY name COLLATE "C") FROM pg_catalog.pg_settings
			WHERE name = ANY ('{row_security,standard_conforming_strings,transform_null_equals,array_nulls,xmloption,bytea_output,xmlbinary,DateStyle,IntervalStyle,TimeZone,extra_float_digits,lc_monetary,lc_numeric,lc_time,plpgsql.check_asserts}'));
	END IF;
	RETURN app.norm(body);
END
$$;
CREATE INDEX docs_told ON docs USING annoy (told(body) vector_l2_ops);

SET SESSION AUTHORIZATION annoy_reader;
SET app.tell = on;
SET row_security = off;
SET transform_null_equals = on;
SET array_nulls = off;
SET xmloption = document;
SET bytea_output = escape;
SET xmlbinary = hex;
SET DateStyle = 'SQL, DMY';
SET IntervalStyle = sql_standard;
SET TimeZone = 'Asia/Tokyo';
SET extra_float_digits = -5;
SET plpgsql.check_asserts = off;
CREATE FUNCTION trap.settings() RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(name || ' ' || setting, ', ' ORDER BY name COLLATE "C") FROM pg_settings
		WHERE name = ANY ('{row_security,transform_null_equals,array_nulls,xmloption,bytea_output,xmlbinary,DateStyle,IntervalStyle,TimeZone,extra_float_digits,plpgsql.check_asserts,search_path,app.tell}')
$$;
SELECT item FROM annoy_nns_by_item('docs_told', '(0,1)', 2);
SELECT trap.settings(), current_user;
SELECT attempt($$SELECT annoy_distance('docs_told', '(0,1)', '(9,9)')$$);
SELECT trap.settings(), current_user;
BEGIN;
SAVEPOINT a;
SELECT annoy_distance('docs_told', '(0,1)', '(9,9)');
ROLLBACK TO a;
SELECT trap.settings(), current_user;
COMMIT;
\c -

--
-- 3. What the reader has made in a session of his own: a domain that comes
--	  before the type vector, though the owner's function sets its search path;
--	  one that the function was compiled with; a view.
--
SET SESSION AUTHORIZATION annoy_boss;
SET search_path = app, public;
CREATE FUNCTION emb_path(body text) RETURNS vector LANGUAGE plpgsql IMMUTABLE SET search_path = app, public AS $$
DECLARE
	v vector;
BEGIN
	v := norm(body);
	RETURN v;
END
$$;
CREATE FUNCTION emb_type(body text) RETURNS vector LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
	v vector;
BEGIN
	v := app.norm(body);
	RETURN v;
END
$$;
CREATE TABLE weights (v vector(2));
INSERT INTO weights VALUES ('[1,1]');
CREATE FUNCTION emb_view(body text) RETURNS vector LANGUAGE plpgsql IMMUTABLE SET search_path = app, public
	AS 'BEGIN RETURN (SELECT app.norm(body) + v FROM weights); END';
CREATE TABLE log (body text);
CREATE FUNCTION note(body text) RETURNS void LANGUAGE plpgsql VOLATILE SET search_path = app, public
	AS 'BEGIN INSERT INTO log VALUES (body); END';
CREATE FUNCTION emb_log(body text) RETURNS vector LANGUAGE plpgsql IMMUTABLE
	AS 'BEGIN PERFORM app.note(body); RETURN app.norm(body); END';
-- on the empty table, since from 17 on builds have a search path of their own
CREATE TABLE more (id int, body text);
CREATE INDEX more_path ON more USING annoy (emb_path(body) vector_l2_ops);
CREATE INDEX more_type ON more USING annoy (emb_type(body) vector_l2_ops);
CREATE INDEX more_view ON more USING annoy (emb_view(body) vector_l2_ops);
CREATE INDEX more_log ON more USING annoy (emb_log(body) vector_l2_ops);
INSERT INTO more SELECT id, body FROM docs;
GRANT SELECT ON more TO annoy_reader;
\c -
SET SESSION AUTHORIZATION annoy_reader;
SET search_path = app, public;
SELECT * FROM attempt_all('more_path');
SELECT * FROM attempt_all('more_view', 'nns');
SELECT * FROM attempt_all('more_log', 'nns');
\c -
SET SESSION AUTHORIZATION annoy_reader;
SET search_path = app, public;
CREATE DOMAIN pg_temp.vector AS public.vector CHECK (trap.holds(VALUE));
CREATE TEMPORARY VIEW weights AS SELECT trap.norm('') AS v;
CREATE TEMPORARY TABLE log (body text);
CREATE TRIGGER log BEFORE INSERT ON pg_temp.log FOR EACH ROW EXECUTE FUNCTION trap.triggered();
GRANT ALL ON pg_temp.log TO PUBLIC;
SELECT * FROM attempt_all('more_path');
SELECT * FROM attempt_all('more_view', 'nns');
SELECT * FROM attempt_all('more_log', 'nns');
SELECT * FROM trap.caught();
\c -
SET SESSION AUTHORIZATION annoy_reader;
CREATE DOMAIN trap.vector AS public.vector CHECK (trap.holds(VALUE));
SET search_path = trap, app, public;
SELECT emb_type('xxx');
SELECT * FROM trap.caught();
DELETE FROM trap.caught;
SELECT * FROM attempt_all('more_type');
SELECT * FROM trap.caught();
-- In one transaction, for which PL/pgSQL keeps the conversion to the domain.
\c -
SET SESSION AUTHORIZATION annoy_reader;
DROP DOMAIN trap.vector;
CREATE DOMAIN trap.vector AS public.vector CHECK (trap.strikes(VALUE));
SET search_path = trap, app, public;
BEGIN;
SELECT emb_type('xxx');
SELECT * FROM attempt_all('more_type', 'annoy_distance');
COMMIT;
\c -
-- A function of the owner's that runs as him does not make the caller trusted.
SET SESSION AUTHORIZATION annoy_boss;
CREATE FUNCTION app.like_first() RETURNS SETOF tid LANGUAGE sql SECURITY DEFINER SET search_path = app, public, pg_temp
	AS $$SELECT item FROM annoy_nns_by_item('more_path', '(0,1)', 2)$$;
SET SESSION AUTHORIZATION annoy_reader;
CREATE DOMAIN pg_temp.vector AS public.vector CHECK (trap.holds(VALUE));
SELECT app.attempt('SELECT app.like_first()');
SELECT * FROM trap.caught();
SET annoy.trusted_authors = '10';

--
-- 4. A third role's function in an index is its owner's decision, and may call
--	  others of that role.
--
RESET SESSION AUTHORIZATION;
CREATE SCHEMA lib AUTHORIZATION annoy_author;
GRANT USAGE ON SCHEMA lib TO PUBLIC;
SET SESSION AUTHORIZATION annoy_author;
CREATE FUNCTION lib.inner(body text) RETURNS public.vector LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN app.norm(body); END';
CREATE FUNCTION lib.outer(body text) RETURNS public.vector LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN lib.inner(body); END';
SET SESSION AUTHORIZATION annoy_boss;
CREATE INDEX docs_lib ON app.docs USING annoy (lib.outer(body) vector_l2_ops);
SET SESSION AUTHORIZATION annoy_reader;
SELECT * FROM app.attempt_all('app.docs_lib');

--
-- 5. A superuser asks something of a thief's index.
--
RESET SESSION AUTHORIZATION;
CREATE SCHEMA den AUTHORIZATION annoy_thief;
GRANT USAGE ON SCHEMA den TO PUBLIC;
SET SESSION AUTHORIZATION annoy_thief;
CREATE TABLE den.armed ();
CREATE TABLE den.caught (who name, what text);
CREATE FUNCTION den.act() RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	statement text;
BEGIN
	IF NOT EXISTS (SELECT FROM den.armed) THEN
		RETURN;
	END IF;
	FOREACH statement IN ARRAY ARRAY['ALTER ROLE annoy_thief SUPERUSER', 'RESET ROLE', 'SET ROLE annoy_boss',
		'SET SESSION AUTHORIZATION annoy_boss', 'CREATE TEMPORARY TABLE remains ()', 'SET search_path = den']
	LOOP
		BEGIN
			EXECUTE statement;
			INSERT INTO den.caught VALUES (current_user, statement || ': done');
		EXCEPTION WHEN OTHERS THEN
			INSERT INTO den.caught VALUES (current_user, statement || ': ' || SQLSTATE);
		END;
	END LOOP;
	PERFORM pg_catalog.set_config('annoy.search_k', '7', false);
END
$$;
CREATE FUNCTION den.emb(body text) RETURNS public.vector LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	PERFORM den.act();
	RETURN app.norm(body);
END
$$;
CREATE TABLE den.docs (body text);
CREATE INDEX docs_emb ON den.docs USING annoy (den.emb(body) public.vector_l2_ops) WHERE den.emb(body) IS NOT NULL;
INSERT INTO den.docs SELECT repeat('x', i) FROM generate_series(1, 8) AS i;
INSERT INTO den.armed DEFAULT VALUES;
SET SESSION AUTHORIZATION annoy_boss;
SELECT * FROM app.attempt_all('den.docs_emb', 'n_items');
SELECT count(*) FROM den.caught;
SELECT * FROM app.attempt_all('den.docs_emb');
SELECT who, what FROM den.caught GROUP BY 1, 2 ORDER BY 1, what COLLATE "C";
SELECT rolsuper FROM pg_roles WHERE rolname = 'annoy_thief';
SELECT current_user, current_setting('search_path'), current_setting('annoy.search_k');

--
-- 6. Privileges that a query would need: of the table's schema, of functions.
--
SET SESSION AUTHORIZATION annoy_boss;
SELECT 'app.docs_qualified'::regclass::oid AS qualified \gset
REVOKE EXECUTE ON FUNCTION app.emb_qualified(text), app.emb(text) FROM PUBLIC;
SET SESSION AUTHORIZATION annoy_reader;
SET search_path = app, public;
SELECT attempt($$SELECT id FROM docs ORDER BY emb_qualified(body) <-> '[1,1]' LIMIT 1$$);
RESET search_path;
SELECT DISTINCT answer FROM app.attempt_all('app.docs_qualified', '^(?!annoy_index_check)');
SELECT DISTINCT answer FROM app.attempt_all('app.docs_part', '^(?!annoy_index_check)');
SELECT app.attempt($$SELECT annoy_nns_by_vector('app.docs_qualified', '[1,1]'::public.vector)$$);
RESET SESSION AUTHORIZATION;
GRANT EXECUTE ON FUNCTION app.emb_qualified(text) TO PUBLIC;
REVOKE USAGE ON SCHEMA app FROM PUBLIC;
SET SESSION AUTHORIZATION annoy_reader;
SELECT annoy_n_items(:qualified);

-- Functions of operator classes run as whoever searches or builds: only
-- superusers make such classes, for all access methods.
CREATE OPERATOR CLASS trap.ops FOR TYPE public.vector USING annoy AS STORAGE public.vector;

RESET SESSION AUTHORIZATION;
SET client_min_messages = warning;
DROP SCHEMA app, trap, den, lib CASCADE;
DROP OWNED BY annoy_reader;
DROP ROLE annoy_boss, annoy_reader, annoy_thief, annoy_author;
