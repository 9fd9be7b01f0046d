-- What the documents say of plans, of the order of rows, and of settings, but
-- do not show in examples, since it differs between versions of the server.
\getenv abs_srcdir PG_ABS_SRCDIR
\set answer :abs_srcdir '/include/answer.sql'
\set ECHO none
\i :answer
\set ECHO all

CREATE TABLE items (id int, tenant int, e vector(24));
INSERT INTO items SELECT i, i % 200, clustered_vector(24, i) FROM generate_series(1, 5000) AS i;
CREATE INDEX items_e ON items USING annoy (e vector_l2_ops);
CREATE TABLE queries (id int, q vector(24));
INSERT INTO queries SELECT i, even_vector(24, 900000 + i) FROM generate_series(1, 20) AS i;
VACUUM ANALYZE items, queries;

-- A query's plan, and the index of items that orders its rows, if one does.
CREATE FUNCTION plan_of(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	plan text := '';
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		plan := plan || line || E'\n';
	END LOOP;
	RETURN plan;
END
$$;
CREATE FUNCTION ordering_index(query text) RETURNS text LANGUAGE sql
	RETURN substring(plan_of(query) FROM 'Index Scan using (\w+) on items[^>]*Order By: ');

--
-- docs/operations.md, "The index is not used".
--
SELECT quote_literal(q) AS q FROM queries WHERE id = 1 \gset
CREATE TABLE reasons (n serial, reason text, query text);
INSERT INTO reasons (reason, query) VALUES
	('(none)', 'SELECT id FROM items ORDER BY e <-> $q LIMIT 5'),
	('DESC', 'SELECT id FROM items ORDER BY e <-> $q DESC LIMIT 5'),
	('NULLS FIRST', 'SELECT id FROM items ORDER BY e <-> $q NULLS FIRST LIMIT 5'),
	('another operator', 'SELECT id FROM items ORDER BY e <+> $q LIMIT 5'),
	('a function', 'SELECT id FROM items ORDER BY l2_distance(e, $q) LIMIT 5'),
	('an expression', 'SELECT id FROM items ORDER BY 1 - (e <-> $q) LIMIT 5'),
	('a joined CTE', 'WITH query AS MATERIALIZED (SELECT q FROM queries WHERE id = 1)
		SELECT items.id FROM items, query ORDER BY e <-> query.q LIMIT 5'),
	('a joined table', 'SELECT items.id FROM items, queries WHERE queries.id = 1 ORDER BY e <-> queries.q LIMIT 5'),
	('(a scalar subquery)', 'WITH query AS MATERIALIZED (SELECT q FROM queries WHERE id = 1)
		SELECT id FROM items ORDER BY e <-> (SELECT q FROM query) LIMIT 5'),
	('(LATERAL)', 'SELECT found.id FROM queries, LATERAL (SELECT id FROM items ORDER BY e <-> queries.q LIMIT 5) AS found');
SELECT reason, ordering_index(replace(query, '$q', :'q')) FROM reasons ORDER BY n;
-- more to order by: an incremental sort, from version 17 on
SELECT ordering_index('SELECT id FROM items ORDER BY e <-> ' || :'q' || ', id LIMIT 5') IS NOT NULL =
	(current_setting('server_version_num')::int >= 170000) AS as_documented;
-- another index, which the planner finds cheaper
CREATE INDEX items_costly ON items USING annoy (e vector_l2_ops) WITH (search_k = 4000);
SELECT ordering_index('SELECT id FROM items ORDER BY e <-> ' || :'q' || ' LIMIT 5');
ALTER INDEX items_costly SET (search_k = 1);
SELECT ordering_index('SELECT id FROM items ORDER BY e <-> ' || :'q' || ' LIMIT 5');
DROP INDEX items_costly;

--
-- docs/guide.md, "Operators and metrics": min() is planned through the index,
-- ORDER BY with a larger search_k or the function gives the exact one.
--
SELECT ordering_index('SELECT min(e <-> ' || :'q' || ') FROM items');
SET annoy.search_k = 5000;
SELECT count(*) FROM queries
	WHERE (SELECT e <-> q FROM items ORDER BY e <-> q LIMIT 1) IS DISTINCT FROM (SELECT min(l2_distance(e, q)) FROM items);
RESET annoy.search_k;

--
-- docs/guide.md, "The order of rows": under relaxed_order rows come out of
-- order, but the recipe sorts, which from 17 on it does not without "+ 0".
--
SET annoy.iterative_scan = relaxed_order;
SET annoy.search_k = 50;
SET enable_seqscan = off;
CREATE FUNCTION out_of_order(query text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	disorder bigint;
BEGIN
	EXECUTE 'SELECT count(*) FROM (SELECT d, lag(d) OVER (ORDER BY n) AS previous
		FROM (SELECT row_number() OVER () AS n, d FROM (' || query || ') AS rows) AS numbered) AS neighbours
		WHERE d < previous' INTO disorder;
	RETURN disorder;
END
$$;
CREATE TABLE recipes (n serial, recipe text, query text);
INSERT INTO recipes (recipe, query) VALUES
	('(none)', 'SELECT e <-> $q AS d FROM items WHERE tenant < 20 ORDER BY e <-> $q LIMIT 40'),
	('CTE', 'WITH nearest AS MATERIALIZED (SELECT e <-> $q AS d FROM items WHERE tenant < 20 ORDER BY e <-> $q LIMIT 40)
		SELECT d FROM nearest ORDER BY d + 0'),
	('subquery', 'SELECT d FROM (SELECT e <-> $q AS d FROM items WHERE tenant < 20 ORDER BY e <-> $q LIMIT 40) AS nearest ORDER BY d + 0'),
	('window', 'SELECT d FROM (SELECT d, row_number() OVER (ORDER BY d + 0) AS rank
		FROM (SELECT e <-> $q AS d FROM items WHERE tenant < 20 ORDER BY e <-> $q LIMIT 40) AS nearest) AS ranked ORDER BY rank');
SELECT recipe, bool_and(ordering_index(text) IS NOT NULL) AS by_index, sum(out_of_order(text)) > 0 AS out_of_order
	FROM recipes, LATERAL (SELECT replace(query, '$q', quote_literal(q)) AS text FROM queries) AS texts
	GROUP BY n, recipe ORDER BY n;
SELECT recipe, plan_of(replace(query, '$q', :'q')) ~ 'Sort Key: .* \+ ''0''::double precision' AS sorted
	FROM recipes WHERE recipe <> '(none)' ORDER BY n;
RESET enable_seqscan;
RESET annoy.search_k;
RESET annoy.iterative_scan;

--
-- docs/operations.md, "Settings for roles, databases and functions": in a
-- session that has not loaded the library, only superusers and those with the
-- right may store them.
--
DROP TABLE items, queries, reasons, recipes;
DROP FUNCTION plan_of, ordering_index, out_of_order;
DROP FUNCTION even_vector, clustered_vector, answer, disorder, same_answer, complete_answer, recall;
CREATE ROLE regress_annoy_app;
GRANT CREATE ON SCHEMA public TO regress_annoy_app;
\c -
SET SESSION AUTHORIZATION regress_annoy_app;
SET annoy.search_k = 500;
ALTER ROLE regress_annoy_app SET annoy.search_k = 500;
CREATE FUNCTION public.annoy_setting() RETURNS text LANGUAGE sql SET annoy.search_k = 500
	AS $$SELECT current_setting('annoy.search_k')$$;
LOAD 'annoy';
-- after a first use of the library it works
SELECT annoy_version() IS NOT NULL AS used;
ALTER ROLE regress_annoy_app SET annoy.search_k = 500;
CREATE FUNCTION public.annoy_setting() RETURNS text LANGUAGE sql SET annoy.search_k = 600
	AS $$SELECT current_setting('annoy.search_k')$$;
SELECT setconfig FROM pg_db_role_setting WHERE setrole = 'regress_annoy_app'::regrole;
-- what was stored works in a session that has not
\c -
SELECT public.annoy_setting();
-- so does a granted right
GRANT SET ON PARAMETER annoy.search_k TO regress_annoy_app;
SET SESSION AUTHORIZATION regress_annoy_app;
ALTER ROLE regress_annoy_app SET annoy.search_k = 700;
ALTER ROLE regress_annoy_app SET annoy.iterative_scan = off;
SELECT setconfig FROM pg_db_role_setting WHERE setrole = 'regress_annoy_app'::regrole;
RESET SESSION AUTHORIZATION;
-- and preloading
ALTER DATABASE :DBNAME SET session_preload_libraries = 'annoy';
\c -
SET SESSION AUTHORIZATION regress_annoy_app;
ALTER ROLE regress_annoy_app SET annoy.iterative_scan = off;
RESET SESSION AUTHORIZATION;
ALTER DATABASE :DBNAME RESET session_preload_libraries;
DROP FUNCTION public.annoy_setting();
REVOKE SET ON PARAMETER annoy.search_k FROM regress_annoy_app;
REVOKE CREATE ON SCHEMA public FROM regress_annoy_app;
DROP ROLE regress_annoy_app;
