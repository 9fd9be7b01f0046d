-- The estimator's functions: the answers of SQL, in the original library's units,
-- for whom SQL would give them.
\getenv abs_srcdir PG_ABS_SRCDIR
\set answer :abs_srcdir '/include/answer.sql'
\set ECHO none
\i :answer
\set ECHO all
CREATE SCHEMA estimator;
SET search_path = estimator, public;

-- Rows in clusters, some of them copies, NULLs and zeroes.
CREATE TABLE points (id int PRIMARY KEY, category int, e vector(8));
INSERT INTO points SELECT i, i % 10, clustered_vector(8, i) FROM generate_series(1, 2000) AS i;
INSERT INTO points SELECT 2000 + i, 0, clustered_vector(8, 17) FROM generate_series(1, 50) AS i;
INSERT INTO points SELECT 2050 + i, 0, NULL FROM generate_series(1, 5) AS i;
INSERT INTO points SELECT 2055 + i, 0, array_fill(0, ARRAY[8])::vector FROM generate_series(1, 5) AS i;
CREATE INDEX points_cosine ON points USING annoy (e) WITH (n_trees = 2, n_neighbors = 7);
CREATE INDEX points_l2 ON points USING annoy (e vector_l2_ops);
CREATE INDEX points_ip ON points USING annoy (e vector_ip_ops);
VACUUM ANALYZE points;
CREATE TABLE queries (id int, q vector(8));
INSERT INTO queries SELECT i, clustered_vector(8, 100000 + i) FROM generate_series(1, 10) AS i;

-- The exact unit of each metric, beside the operator that orders by it.
CREATE FUNCTION unit(index regclass, a vector, b vector) RETURNS float8
	LANGUAGE sql IMMUTABLE
	RETURN CASE index::text WHEN 'points_cosine' THEN angular_distance(a, b)
		WHEN 'points_l2' THEN l2_distance(a, b) ELSE inner_product(a, b) END;
CREATE VIEW indexes AS SELECT index::regclass, operator
	FROM (VALUES ('points_cosine', '<=>'), ('points_l2', '<->'), ('points_ip', '<#>')) AS i (index, operator);

--
-- By vector: the rows of ORDER BY ... LIMIT through the index, in their order,
-- each at its own distance.
--
CREATE FUNCTION sql_items(operator text, q vector, n int) RETURNS tid[]
	LANGUAGE plpgsql AS $$
DECLARE
	items tid[];
BEGIN
	PERFORM set_config('enable_seqscan', 'off', true), set_config('enable_sort', 'off', true);
	EXECUTE format('SELECT array_agg(ctid) FROM (SELECT ctid FROM points ORDER BY e %s %L LIMIT %s) AS p',
		operator, q, n) INTO items;
	RETURN items;
END
$$;
SELECT index, n, count(*) FILTER (WHERE same) AS same, count(*) FILTER (WHERE right_unit) AS right_unit, count(*)
	FROM indexes, (VALUES (1), (10), (300)) AS n (n), queries,
		LATERAL (SELECT array_agg(item ORDER BY ordinality) = sql_items(operator, q, n) AS same,
					bool_and(distance = unit(index, e, q)) AND count(*) = n AS right_unit
				 FROM annoy_nns_by_vector(index, q, n) WITH ORDINALITY JOIN points ON points.ctid = item) AS a
	GROUP BY index, n ORDER BY 1, 2;

-- In order: nearest first, the largest product first.
SELECT index, bool_and(CASE index::text WHEN 'points_ip' THEN distance <= previous ELSE distance >= previous END) AS ordered
	FROM (SELECT index, distance, lag(distance) OVER (PARTITION BY index ORDER BY ordinality) AS previous
		  FROM indexes, queries, annoy_nns_by_vector(index, q, 100) WITH ORDINALITY WHERE id = 1) AS a
	GROUP BY index ORDER BY 1;

-- All items, each once: without the NULLs, zero vectors last, at the square
-- root of 2.
SELECT index, count(*), count(DISTINCT item) FROM indexes, queries, annoy_nns_by_vector(index, q, 100000)
	WHERE id = 2 GROUP BY index ORDER BY 1;
SELECT count(*), min(ordinality), max(ordinality), bool_and(distance = sqrt(2::float8)) AS root
	FROM queries, annoy_nns_by_vector('points_cosine', q, 100000) WITH ORDINALITY
		JOIN points ON points.ctid = item AND e = array_fill(0, ARRAY[8])::vector
	WHERE queries.id = 2;

-- A vector without direction is as far from everything.
SELECT count(*), min(distance) = sqrt(2::float8) AS least, max(distance) = sqrt(2::float8) AS most
	FROM annoy_nns_by_vector('points_cosine', array_fill(0, ARRAY[8])::vector, 100);

-- The number of neighbors: the index's own by default.
SELECT count(*) FROM annoy_nns_by_vector('points_cosine', clustered_vector(8, 1));
SELECT count(*) FROM annoy_nns_by_vector('points_cosine', clustered_vector(8, 1), NULL, NULL);
SELECT count(*) FROM annoy_nns_by_vector('points_l2', clustered_vector(8, 1));

-- search_k: given, else the setting, else automatic and never less than one for
-- each tree and neighbor.
CREATE FUNCTION inspected(n int, k int) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
	PERFORM annoy_nns_by_vector('points_cosine', clustered_vector(8, 1), n, k);
	RETURN (annoy_last_scan()).items_inspected;
END
$$;
SET annoy.iterative_scan = off;
SELECT inspected(1, 1) < 1000 AS little, inspected(1, 2147483647) = 2 * 2050 AS everything,
	inspected(1500, -1) >= 3000 AS at_least, inspected(1, -1) < 3000 AS automatic;
SET annoy.search_k = 1;
SELECT inspected(1, -1) < 1000 AS setting, inspected(1, 2147483647) = 2 * 2050 AS given_wins;
RESET annoy.search_k;
RESET annoy.iterative_scan;

-- As in SQL, the scan goes on until there are enough.
SELECT count(*) FROM annoy_nns_by_vector('points_cosine', clustered_vector(8, 1), 1000, 1);
SET annoy.iterative_scan = off;
SELECT count(*) < 1000 AS ends FROM annoy_nns_by_vector('points_cosine', clustered_vector(8, 1), 1000, 1);
RESET annoy.iterative_scan;

-- NULL has no neighbors, and is none.
SELECT * FROM annoy_nns_by_vector('points_l2', NULL::vector);
SELECT * FROM annoy_nns_by_vector(NULL, '[1]'::vector);
SELECT * FROM annoy_nns_by_item('points_l2', NULL);
SELECT annoy_distance('points_l2', NULL, '(0,1)') IS NULL;

--
-- By item: the item itself comes first, or another one like it.
--
SELECT index, count(*) FILTER (WHERE n.item = points.ctid) AS self, max(abs(distance)) < 1e-6 AS near
	FROM indexes, points, annoy_nns_by_item(index, ctid, 1) AS n
	WHERE id IN (1, 500, 1000, 1999) AND operator <> '<#>' GROUP BY index ORDER BY 1;
SELECT index, count(*), bool_and(distance = unit(index, p.e, points.e)) AS right_unit
	FROM points, indexes, annoy_nns_by_item(index, points.ctid, 20) JOIN points AS p ON p.ctid = item
	WHERE points.id IN (3, 4) GROUP BY index ORDER BY 1;
SELECT count(*) FROM points, annoy_nns_by_item('points_cosine', ctid) WHERE id = 1;

-- Distances of two items.
SELECT index, count(*), bool_and(annoy_distance(index, a.ctid, b.ctid) = unit(index, a.e, b.e)) AS right_unit
	FROM indexes, points AS a, points AS b
	WHERE a.id IN (1, 2, 2056) AND b.id IN (1, 3, 2056, 2057) GROUP BY index ORDER BY 1;

--
-- Transform: a row for each query and rank.
--
SELECT index, count(*), bool_and(a = b) AS same
	FROM indexes, LATERAL (SELECT array_agg(q ORDER BY id) AS q FROM queries) AS queries,
		annoy_transform(index, queries.q, 6) AS t (query, rank, a)
		JOIN LATERAL (SELECT item AS b, ordinality AS r FROM annoy_nns_by_vector(index, queries.q[query], 6) WITH ORDINALITY) AS n
			ON rank = r
	GROUP BY index ORDER BY 1;
SELECT query, array_agg(rank ORDER BY rank) FROM annoy_transform('points_cosine', ARRAY(SELECT q FROM queries WHERE id <= 2))
	GROUP BY query ORDER BY 1;

-- Elements of an array are counted as unnest does; NULL has no neighbors.
SELECT query, count(*) FROM annoy_transform('points_l2', ARRAY[NULL, '[1,2,3,4,5,6,7,8]', NULL, '[0,0,0,0,0,0,0,1]']::vector[], 2)
	GROUP BY query ORDER BY 1;
SELECT query, count(*) FROM annoy_transform('points_l2', '[7:8]={"[1,2,3,4,5,6,7,8]","[0,0,0,0,0,0,0,1]"}'::vector[], 2)
	GROUP BY query ORDER BY 1;
SELECT query, count(*) FROM annoy_transform('points_l2', '{{"[1,2,3,4,5,6,7,8]"},{"[0,0,0,0,0,0,0,1]"}}'::vector[], 2)
	GROUP BY query ORDER BY 1;
SELECT count(*) FROM annoy_transform('points_l2', '{}'::vector[]);
SELECT count(*) FROM annoy_transform('points_l2', NULL::vector[]);

-- Excluded items make room for the next ones.
SELECT (SELECT array_agg(item ORDER BY rank) FROM annoy_transform('points_l2', ARRAY[q], 3, -1, all_items[2:4] || NULL::tid || '(4000000000,1)'::tid))
		= all_items[1:1] || all_items[5:6] AS skipped
	FROM queries, LATERAL (SELECT array_agg(item ORDER BY ordinality) AS all_items
						   FROM annoy_nns_by_vector('points_l2', q, 6) WITH ORDINALITY) AS n
	WHERE id = 3;

-- Items as queries, with and without themselves.
CREATE VIEW some_items AS SELECT array_agg(ctid ORDER BY id) AS items FROM points WHERE id IN (1, 2, 900);
SELECT query, rank, item = items[query] AS self, distance = annoy_distance('points_l2', item, items[query]) AS right_distance
	FROM some_items, annoy_transform_items('points_l2', items, 2) ORDER BY 1, 2;
SELECT query, rank, item = items[query] AS self, distance = annoy_distance('points_l2', item, items[query]) AS right_distance
	FROM some_items, annoy_transform_items('points_l2', items, 2, exclude_self => true) ORDER BY 1, 2;
SELECT count(*) FILTER (WHERE a.item = b.item) AS same
	FROM some_items, annoy_transform_items('points_l2', items, 4, exclude_self => true) AS a
		JOIN (SELECT * FROM some_items, annoy_transform_items('points_l2', items, 5)) AS b ON a.query = b.query AND a.rank + 1 = b.rank;
SELECT count(*) FILTER (WHERE item = ANY (items)) AS excluded
	FROM some_items, annoy_transform_items('points_l2', items, 10, exclude_items => items);
SELECT query, count(*) FROM some_items, annoy_transform_items('points_l2', NULL::tid || items[1:1], 3) GROUP BY 1;

-- Too few neighbors are an error.
CREATE TABLE few (e vector(2));
INSERT INTO few VALUES ('[1,1]'), ('[2,1]'), ('[3,1]'), (NULL);
CREATE INDEX few_index ON few USING annoy (e vector_l2_ops);
CREATE FUNCTION failure(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	state text;
	message text;
	detail text;
	hint text;
BEGIN
	EXECUTE query;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
		detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(' | ', state, message, nullif(detail, ''), nullif(hint, ''));
END
$$;
SELECT * FROM annoy_transform('few_index', '{"[0,1]"}'::vector[], 3);
SELECT failure($$SELECT annoy_transform('few_index', '{NULL,"[0,1]"}'::vector[], 4)$$);
SELECT failure($$SELECT annoy_transform('few_index', '{"[0,1]"}'::vector[])$$);
SELECT failure($$SELECT annoy_transform('few_index', '{"[0,1]"}'::vector[], 3, -1, '{"(0,2)"}')$$);
SELECT failure($$SELECT annoy_transform_items('few_index', '{"(0,2)"}', 3, exclude_self => true)$$);
SELECT item FROM annoy_nns_by_vector('few_index', '[0,1]'::vector, 4);

--
-- What is refused, with its SQLSTATE.
--
SELECT failure(format('SELECT annoy_nns_by_vector(%L, %s, %s)', 'points_l2', v, rest))
	FROM (VALUES ($$'[1,2]'::vector$$, '5'), ($$'{1,2,3,4,5,6,7,8}'::real[]$$, '5'), ($$1$$, '5'),
				 ($$'[1,2,3,4,5,6,7,8]'::vector$$, '0'), ($$'[1,2,3,4,5,6,7,8]'::vector$$, '-1'),
				 ($$'[1,2,3,4,5,6,7,8]'::vector$$, '5, 0'), ($$'[1,2,3,4,5,6,7,8]'::vector$$, '5, -2')) AS a (v, rest);
SELECT failure($$SELECT annoy_transform('points_l2', '{"[1,2]"}'::vector[])$$);
SELECT failure($$SELECT annoy_transform('points_l2', '{{1,2}}'::real[])$$);
SELECT failure($$SELECT annoy_transform('points_l2', '{}'::vector[], 0)$$);
SELECT failure($$SELECT annoy_transform_items('points_l2', '{}', 0)$$);
SELECT failure($$SELECT annoy_transform_items('points_l2', '{}', 1, 0)$$);

-- Items that are not there: never were, NULL, deleted, replaced, not committed.
SELECT failure(format('SELECT annoy_nns_by_item(%L, %L)', 'few_index', tid))
	FROM (VALUES ('(0,4)'), ('(0,5)'), ('(0,0)'), ('(7,1)'), ('(4294967295,0)'), ('(4294967294,1)')) AS a (tid);
SELECT failure($$SELECT annoy_transform_items('few_index', '{"(0,1)","(0,4)"}', 1)$$);
SELECT failure($$SELECT annoy_distance('few_index', '(0,1)', '(0,4)')$$);
BEGIN;
DELETE FROM few WHERE e = '[1,1]';
UPDATE few SET e = '[2,2]' WHERE e = '[2,1]' RETURNING ctid;
SELECT failure($$SELECT annoy_nns_by_item('few_index', '(0,1)')$$);
SELECT failure($$SELECT annoy_nns_by_item('few_index', '(0,2)')$$);
SELECT item, distance FROM annoy_nns_by_item('few_index', '(0,5)');
ROLLBACK;
SELECT failure($$SELECT annoy_nns_by_item('few_index', '(0,5)')$$);
SELECT item, distance FROM annoy_nns_by_item('few_index', '(0,1)');

-- After a change that the index does not hear of (HOT), an item is the row's
-- new place, as ctid has it.
CREATE TABLE hot (n int, e vector(2)) WITH (fillfactor = 50);
INSERT INTO hot VALUES (1, '[1,1]'), (2, '[2,1]');
CREATE INDEX hot_index ON hot USING annoy (e vector_l2_ops);
UPDATE hot SET n = 3 WHERE n = 1;
SELECT item, distance, item = (SELECT ctid FROM hot WHERE n = 3) AS current FROM annoy_nns_by_vector('hot_index', '[1,1]'::vector, 1);
SELECT item, distance FROM annoy_nns_by_item('hot_index', (SELECT ctid FROM hot WHERE n = 3), 1);
SELECT failure($$SELECT annoy_nns_by_item('hot_index', '(0,1)')$$);

-- Other indexes.
CREATE TABLE parts (id int, e vector(2)) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
INSERT INTO parts VALUES (1, '[1,1]');
CREATE INDEX parts_e ON parts USING annoy (e);
CREATE TABLE invalid (e vector(2));
CREATE INDEX invalid_e ON invalid USING annoy (e);
UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'invalid_e'::regclass;
SELECT failure(format(query, index))
	FROM (VALUES ('points_pkey'), ('points'), ('parts_e'), ('invalid_e')) AS a (index),
		(VALUES ('SELECT annoy_nns_by_vector(%L, ''[1,1]''::vector)'), ('SELECT annoy_info(%L)'),
				('SELECT annoy_get_params(%L)'), ('SELECT annoy_n_items(%L)')) AS q (query);
SELECT failure($$SELECT annoy_n_trees(1::regclass)$$);
SELECT item FROM annoy_nns_by_vector('parts_1_e_idx', '[1,1]'::vector, 1);

--
-- Expression and partial indexes: an item is what the index holds.
--
CREATE INDEX points_part ON points USING annoy (e vector_l2_ops) WHERE category = 3;
CREATE INDEX points_expression ON points USING annoy ((subvector(e, 1, 2)) vector_l2_ops);
SELECT count(*), count(*) FILTER (WHERE category = 3) AS inside FROM annoy_nns_by_vector('points_part', clustered_vector(8, 3), 1000) JOIN points ON ctid = item;
SELECT item = ctid AS self, distance FROM points, annoy_nns_by_item('points_part', ctid, 1) WHERE id = 13;
SELECT failure(format('SELECT annoy_nns_by_item(%L, %L)', 'points_part', ctid)) ~ '^P0002' AS outside FROM points WHERE id = 14;
SELECT count(*), bool_and(distance = subvector(e, 1, 2) <-> '[0.5,0.25]') AS right_distance
	FROM annoy_nns_by_vector('points_expression', '[0.5,0.25]'::vector, 10) JOIN points ON ctid = item;
SELECT item = ctid AS self, distance FROM points, annoy_nns_by_item('points_expression', ctid, 1) WHERE id = 13;
SELECT annoy_distance('points_expression', a.ctid, b.ctid) = subvector(a.e, 1, 2) <-> subvector(b.e, 1, 2) AS right_distance
	FROM points AS a, points AS b WHERE a.id = 3 AND b.id = 4;
SELECT annoy_n_items('points_l2'), annoy_n_items('points_part'), annoy_n_items('points_expression'), annoy_n_items('few_index');
SELECT failure($$SELECT annoy_nns_by_vector('points_expression', '[1,2,3,4,5,6,7,8]'::vector)$$);

-- What is counted through the index: not rows that are deleted or not seen, once
-- those updated in place; not NULL, but a vector without direction.
CREATE TABLE counted (id int PRIMARY KEY, n int, e vector(2)) WITH (fillfactor = 50);
CREATE INDEX counted_expression ON counted USING annoy ((l2_normalize(e)::vector(2)));
CREATE INDEX counted_part ON counted USING annoy (e) WHERE id % 3 = 0;
SELECT annoy_n_items('counted_expression'), annoy_n_items('counted_part');
INSERT INTO counted SELECT i, 0, CASE i % 10 WHEN 0 THEN NULL WHEN 1 THEN '[0,0]' ELSE ARRAY[i, 1]::vector END FROM generate_series(1, 3000) AS i;
DELETE FROM counted WHERE id % 7 = 0;
UPDATE counted SET n = 1 WHERE id % 5 < 3;
UPDATE counted SET e = NULL WHERE id % 11 = 0;
BEGIN;
DECLARE before CURSOR FOR SELECT annoy_n_items('counted_expression'), annoy_n_items('counted_part'),
	count(e), count(e) FILTER (WHERE id % 3 = 0) FROM counted;
DELETE FROM counted WHERE id < 100;
FETCH before;
SELECT annoy_n_items('counted_expression'), annoy_n_items('counted_part'), count(e), count(e) FILTER (WHERE id % 3 = 0) FROM counted;
ROLLBACK;

-- Their functions run as the table's owner, and cannot leave traces.
CREATE ROLE annoy_owner;
CREATE ROLE annoy_reader;
CREATE SCHEMA owned AUTHORIZATION annoy_owner;
GRANT USAGE ON SCHEMA owned, estimator TO annoy_reader;
SET ROLE annoy_owner;
CREATE TABLE owned.t (n int, secret int, e vector(2));
INSERT INTO owned.t SELECT i, i, ARRAY[i, 1] FROM generate_series(1, 20) AS i;
CREATE FUNCTION owned.f(vector) RETURNS vector LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	IF current_user <> 'annoy_owner' THEN
		RAISE EXCEPTION 'run by %', current_user;
	END IF;
	RETURN $1;
END
$$;
CREATE INDEX e ON owned.t USING annoy (e vector_l2_ops);
CREATE INDEX e_part ON owned.t USING annoy (e vector_l2_ops) WHERE secret > 10;
CREATE INDEX e_expression ON owned.t USING annoy (owned.f(e) vector_l2_ops);
RESET ROLE;
SELECT distance FROM annoy_nns_by_item('owned.e_expression', '(0,3)', 3);
SELECT annoy_n_items('owned.e_expression'), annoy_distance('owned.e_expression', '(0,3)', '(0,5)'), current_user = session_user AS restored;
-- An error while they are in force leaves nothing behind, either.
SELECT failure($$SELECT annoy_nns_by_item('owned.e_expression', '(9,9)')$$);
SELECT current_user = session_user AS restored, current_setting('search_path') AS search_path;

--
-- Privileges: SELECT on the table, or on the columns that the index is made of.
--
CREATE FUNCTION as_reader(index text) RETURNS TABLE (query text, answer text) LANGUAGE plpgsql AS $$
BEGIN
	SET LOCAL ROLE annoy_reader;
	RETURN QUERY SELECT q, failure(format(q, index)) FROM unnest(ARRAY[
		'SELECT annoy_nns_by_vector(%L, ''[1,1]''::vector)', 'SELECT annoy_nns_by_item(%L, ''(0,11)'')',
		'SELECT annoy_distance(%L, ''(0,11)'', ''(0,12)'')', 'SELECT annoy_transform(%L, ''{"[1,1]"}''::vector[])',
		'SELECT annoy_transform_items(%L, ''{"(0,11)"}'')', 'SELECT annoy_n_items(%L)', 'SELECT annoy_info(%L)',
		'SELECT annoy_info(%L, include_n_items => false)', 'SELECT annoy_n_trees(%L)', 'SELECT annoy_memory_usage(%L)',
		'SELECT annoy_get_params(%L)']) AS q;
	RESET ROLE;
END
$$;
SELECT * FROM as_reader('owned.e');
GRANT SELECT (n, secret) ON owned.t TO annoy_reader;
SELECT answer, count(*) FROM as_reader('owned.e') GROUP BY 1 ORDER BY 1;
GRANT SELECT (e) ON owned.t TO annoy_reader;
REVOKE SELECT (secret) ON owned.t FROM annoy_reader;
SELECT answer, count(*) FROM as_reader('owned.e') GROUP BY 1 ORDER BY 1;
SELECT answer, count(*) FROM as_reader('owned.e_expression') GROUP BY 1 ORDER BY 1;
SELECT answer, count(*) FROM as_reader('owned.e_part') GROUP BY 1 ORDER BY 1;
GRANT SELECT (secret) ON owned.t TO annoy_reader;
SELECT answer, count(*) FROM as_reader('owned.e_part') GROUP BY 1 ORDER BY 1;
REVOKE SELECT (e, n, secret) ON owned.t FROM annoy_reader;
SELECT answer, count(*) FROM as_reader('owned.e_part') GROUP BY 1 ORDER BY 1;
GRANT SELECT ON owned.t TO annoy_reader;
SELECT answer, count(*) FROM as_reader('owned.e_part') GROUP BY 1 ORDER BY 1;

-- A whole-row expression needs all columns.
SET ROLE annoy_owner;
CREATE FUNCTION owned.row_vector(owned.t) RETURNS vector LANGUAGE sql IMMUTABLE RETURN ARRAY[($1).n, ($1).secret]::vector;
CREATE INDEX e_row ON owned.t USING annoy (owned.row_vector(t) vector_l2_ops);
RESET ROLE;
REVOKE SELECT ON owned.t FROM annoy_reader;
GRANT SELECT (n, secret) ON owned.t TO annoy_reader;
SELECT answer, count(*) FROM as_reader('owned.e_row') GROUP BY 1 ORDER BY 1;
GRANT SELECT (e) ON owned.t TO annoy_reader;
SELECT answer, count(*) FROM as_reader('owned.e_row') GROUP BY 1 ORDER BY 1;

-- Row security is refused where it applies.
ALTER TABLE owned.t ENABLE ROW LEVEL SECURITY;
CREATE POLICY few_rows ON owned.t USING (n < 5);
SELECT answer, count(*) FROM as_reader('owned.e') GROUP BY 1 ORDER BY 1;
SET row_security = off;
SELECT answer, count(*) FROM as_reader('owned.e') GROUP BY 1 ORDER BY 1;
RESET row_security;
SELECT count(*) FROM annoy_nns_by_vector('owned.e', '[1,1]'::vector, 20);
SET client_min_messages = warning;
DROP SCHEMA owned CASCADE;
RESET client_min_messages;
REVOKE USAGE ON SCHEMA estimator FROM annoy_reader;
DROP ROLE annoy_owner, annoy_reader;

--
-- Rows are those that the calling statement sees.
--
CREATE FUNCTION snapshots() RETURNS TABLE (step text, items tid[]) LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY SELECT 'before', array_agg(item) FROM annoy_nns_by_vector('few_index', '[0,1]'::vector, 10);
	INSERT INTO few VALUES ('[0,1]');
	RETURN QUERY SELECT 'after', array_agg(item) FROM annoy_nns_by_vector('few_index', '[0,1]'::vector, 10);
END
$$;
SELECT * FROM snapshots();
WITH new AS (INSERT INTO few VALUES ('[0,2]') RETURNING ctid)
	SELECT count(*), count(*) FILTER (WHERE item = new.ctid) AS new FROM new, annoy_nns_by_vector('few_index', '[0,1]'::vector, 10);
SELECT count(*) FROM annoy_nns_by_vector('few_index', '[0,1]'::vector, 10);

-- An index made from rows that were updated within older transactions' sight
-- cannot be used by those.
CREATE TABLE broken (n int, e vector(2)) WITH (fillfactor = 50);
INSERT INTO broken VALUES (1, '[1,1]');
BEGIN ISOLATION LEVEL REPEATABLE READ;
UPDATE broken SET e = '[2,1]';
CREATE INDEX broken_index ON broken USING annoy (e vector_l2_ops);
SELECT indcheckxmin FROM pg_index WHERE indexrelid = 'broken_index'::regclass;
SELECT failure($$SELECT annoy_nns_by_vector('broken_index', '[1,1]'::vector)$$);
SELECT failure($$SELECT annoy_n_items('broken_index')$$), annoy_n_trees('broken_index');
COMMIT;
SELECT item, distance FROM annoy_nns_by_vector('broken_index', '[1,1]'::vector);

--
-- What it tells about itself.
--
CREATE TABLE told (e vector);
CREATE INDEX told_index ON told USING annoy (e vector_ip_ops) WITH (n_trees = 3, seed = 18446744073709551615, n_neighbors = 9, search_k = 77);
SELECT annoy_info('told_index') - '{on_disk_path,memory_usage_byte,memory_usage_mib,leaf_fill,bytes_per_row}'::text[];
INSERT INTO told VALUES ('[1,2,3]'), (NULL), ('[1,2,4]');
SELECT annoy_info('told_index') - '{on_disk_path,memory_usage_byte,memory_usage_mib,leaf_fill,bytes_per_row}'::text[];
SELECT annoy_get_params('told_index') - 'on_disk_path';
SELECT i ->> 'on_disk_path' = pg_relation_filepath('told_index') AS path, p ->> 'on_disk_path' = pg_relation_filepath('told_index') AS path,
		(i -> 'memory_usage_byte')::bigint = pg_relation_size('told_index') AS bytes, annoy_memory_usage('told_index') = pg_relation_size('told_index') AS bytes,
		(i -> 'memory_usage_mib')::float8 = pg_relation_size('told_index') / 1048576.0 AS mib
	FROM annoy_info('told_index') AS i, annoy_get_params('told_index') AS p;
SELECT annoy_n_items('told_index'), annoy_n_trees('told_index');

-- Set values that differ from the built ones.
ALTER INDEX told_index SET (n_trees = 5, seed = 0);
-- They take effect at REINDEX.
SELECT i -> 'n_trees' AS built, i -> 'n_trees_after_reindex' AS set, i -> 'seed' AS built_seed, i -> 'seed_after_reindex' AS set_seed,
		p -> 'n_trees' AS parameter, p -> 'seed' AS seed_parameter
	FROM annoy_info('told_index') AS i, annoy_get_params('told_index') AS p;
ALTER INDEX told_index RESET (n_trees);
SELECT i -> 'n_trees' AS built, i -> 'n_trees_after_reindex' AS set, p -> 'n_trees' AS parameter
	FROM annoy_info('told_index') AS i, annoy_get_params('told_index') AS p;
REINDEX INDEX told_index;
SELECT annoy_n_trees('told_index'), i -> 'n_trees_after_reindex' AS set, i -> 'seed_after_reindex' AS set_seed
	FROM annoy_info('told_index') AS i;
-- So do bits of codes.  What they are already, or stands for it, changes nothing.
ALTER INDEX told_index SET (code_bits = 1);
SELECT i -> 'code_bits' AS built, i -> 'code_bits_after_reindex' AS set, i -> 'needs_reindex' AS needs_reindex
	FROM annoy_info('told_index') AS i;
REINDEX INDEX told_index;
SELECT i -> 'code_bits' AS built, i ? 'code_bits_after_reindex' AS differs, i -> 'needs_reindex' AS needs_reindex
	FROM annoy_info('told_index') AS i;
ALTER INDEX told_index SET (code_bits = 3);
REINDEX INDEX told_index;
ALTER INDEX told_index RESET (code_bits);
SELECT i -> 'code_bits' AS built, i ? 'code_bits_after_reindex' AS differs, i -> 'needs_reindex' AS needs_reindex
	FROM annoy_info('told_index') AS i;

-- What its pages hold: an entry for each row and tree, of rows that are gone,
-- too, until VACUUM; NULLs are rows as well.
CREATE TABLE filled (id int, e vector(100));
INSERT INTO filled SELECT i, clustered_vector(100, i) FROM generate_series(1, 2000) AS i;
INSERT INTO filled VALUES (2001, NULL), (2002, NULL);
CREATE INDEX filled_index ON filled USING annoy (e vector_l2_ops) WITH (n_trees = 2);
CREATE VIEW filled_info AS
	SELECT i -> 'code_bits' AS code_bits, i -> 'entries' AS entries,
		(i -> 'leaves')::int = (SELECT count(DISTINCT (tree, leaf)) FROM annoy_leaf_items('filled_index')) AS leaves,
		(i -> 'leaf_fill')::numeric BETWEEN 0.3 AND 1 AS fill,
		(i -> 'bytes_per_row')::numeric = round(pg_relation_size('filled_index')::numeric /
												((i -> 'entries')::int / 2 + 2), 1) AS bytes
	FROM annoy_info('filled_index') AS i;
SELECT * FROM filled_info;
DELETE FROM filled WHERE id % 4 = 0;
SELECT entries FROM filled_info;
VACUUM (INDEX_CLEANUP on) filled;
SELECT entries, bytes FROM filled_info;
DELETE FROM filled;
VACUUM (INDEX_CLEANUP on) filled;
SELECT i -> 'entries' AS entries, i -> 'leaf_fill' AS fill, i -> 'bytes_per_row' AS bytes FROM annoy_info('filled_index') AS i;
DROP TABLE filled CASCADE;

-- Flags.
SELECT array_agg(key ORDER BY key) FROM jsonb_object_keys(annoy_info('told_index')) AS key;
-- Only who has the table's rows counted has the index's pages read.
SELECT array_agg(key ORDER BY key) FROM jsonb_object_keys(annoy_info('told_index')) AS key
	WHERE NOT annoy_info('told_index', include_n_items => false) ? key;
SELECT n_items, n_trees, memory, array_agg(key ORDER BY key)
	FROM (VALUES (true), (false)) AS a (n_items), (VALUES (true), (false)) AS b (n_trees), (VALUES (true), (false), (NULL)) AS c (memory),
		jsonb_object_keys(annoy_info('told_index', n_items, n_trees, memory)) AS key
	WHERE key ~ '^(n_items|n_trees|memory.*)$' GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
SET annoy.verbosity = 2;
SELECT regexp_replace(annoy_repr_info('told_index'), '''[^'']*/[^'']*''', '''...''') ~ '^Annoy\(f=3, metric=''dot'', n_neighbors=9, on_disk_path=''...'', prefault=false, schema_version=\d+, seed=1234567890987654321, verbose=2, n_items=2, n_trees=1, memory_usage_byte=\d+, memory_usage_mib=[0-9.]+\)$' AS all_of_it,
	annoy_repr_info('told_index', false, false, false) ~ 'verbose=2\)$' AS nothing_more;
RESET annoy.verbosity;
SELECT annoy_info('points_cosine', false) ->> 'metric', annoy_info('points_l2', false) ->> 'metric', annoy_info('points_l2', false) -> 'f';
CREATE TABLE empty (e vector(5));
CREATE INDEX empty_index ON empty USING annoy (e);
SELECT i -> 'f' AS f, i -> 'n_items' AS n_items FROM annoy_info('empty_index') AS i;
SELECT * FROM annoy_nns_by_vector('empty_index', '[1,2,3,4,5]'::vector);
SELECT annoy_info(NULL), annoy_repr_info(NULL), annoy_get_params(NULL), annoy_n_items(NULL), annoy_n_trees(NULL), annoy_memory_usage(NULL);
SELECT annoy_version() ~ ('^annoy ' || extversion || ', compiled by (gcc|clang) \d.* for PostgreSQL .*, kernel (plain|avx2|avx512|neon)$')
	FROM pg_extension WHERE extname = 'annoy';
SELECT position(' PostgreSQL ' || split_part(current_setting('server_version'), '.', 1) IN annoy_version()) > 0 AS server;

-- Other metrics and types: each index answers in the operator's order, and says
-- the operator's distance.
CREATE TABLE others (id int, e vector(8), b bit(128));
INSERT INTO others SELECT i, clustered_vector(8, i), (hashint8(i)::bit(32) || hashint8(-i)::bit(32) || hashint8(i % 9)::bit(32) || hashint8(i % 7)::bit(32))
	FROM generate_series(1, 500) AS i;
CREATE INDEX others_l1 ON others USING annoy (e vector_l1_ops);
CREATE INDEX others_hamming ON others USING annoy (b);
CREATE INDEX others_jaccard ON others USING annoy (b bit_jaccard_ops);
SELECT i.index, annoy_info(i.index) ->> 'metric' AS metric, annoy_info(i.index) -> 'f' AS f, annoy_info(i.index) -> 'n_items' AS n_items
	FROM unnest('{others_l1,others_hamming,others_jaccard}'::regclass[]) AS i (index);
SET annoy.search_k = 1000;
SELECT count(*), bool_and(distance = (e <+> q)) AS right_distance, array_agg(distance ORDER BY distance) = array_agg(distance ORDER BY ordinality) AS ordered,
		max(distance) = (SELECT e <+> q FROM others ORDER BY e <+> q OFFSET 9 LIMIT 1) AS nearest
	FROM clustered_vector(8, 999) AS q, annoy_nns_by_vector('others_l1', q, 10) WITH ORDINALITY JOIN others ON ctid = item GROUP BY q;
SELECT count(*), bool_and(distance = (b <~> q)) AS right_distance, array_agg(distance ORDER BY distance) = array_agg(distance ORDER BY ordinality) AS ordered,
		max(distance) = (SELECT b <~> q FROM others ORDER BY b <~> q OFFSET 9 LIMIT 1) AS nearest
	FROM CAST(repeat('01101', 26)::bit(128) AS bit(128)) AS q, annoy_nns_by_vector('others_hamming', q, 10) WITH ORDINALITY JOIN others ON ctid = item GROUP BY q;
SELECT count(*), bool_and(distance = (b <%> q)) AS right_distance, array_agg(distance ORDER BY distance) = array_agg(distance ORDER BY ordinality) AS ordered,
		max(distance) = (SELECT b <%> q FROM others ORDER BY b <%> q OFFSET 9 LIMIT 1) AS nearest
	FROM CAST(repeat('01101', 26)::bit(128) AS bit(128)) AS q, annoy_nns_by_vector('others_jaccard', q, 10) WITH ORDINALITY JOIN others ON ctid = item GROUP BY q;
RESET annoy.search_k;
SELECT bool_and(annoy_distance('others_hamming', a.ctid, b.ctid) = (a.b <~> b.b)) AS hamming, bool_and(annoy_distance('others_jaccard', a.ctid, b.ctid) = (a.b <%> b.b)) AS jaccard,
		bool_and(annoy_distance('others_l1', a.ctid, b.ctid) = (a.e <+> b.e)) AS manhattan
	FROM others AS a, others AS b WHERE a.id < 5 AND b.id < 5;
SELECT count(*), bool_and(distance = (b <~> ('{1,2}'::int[])[query]::bit(128))) AS right_distance
	FROM annoy_transform('others_hamming', ARRAY[1::bit(128), 2::bit(128)], 4) JOIN others ON ctid = item;
SELECT item = ctid AS self, distance FROM others, annoy_nns_by_item('others_hamming', ctid, 1) WHERE id = 77;
SELECT failure($$SELECT annoy_nns_by_vector('others_hamming', B'101')$$);
SELECT failure($$SELECT annoy_nns_by_vector('others_hamming', '[1,2,3,4,5,6,7,8]'::vector)$$);

-- Unlogged and temporary tables; domains over the type.
CREATE UNLOGGED TABLE unlogged (e vector(2));
INSERT INTO unlogged VALUES ('[1,1]');
CREATE INDEX unlogged_index ON unlogged USING annoy (e);
CREATE TEMPORARY TABLE temporary (e vector(2));
INSERT INTO temporary VALUES ('[1,1]');
CREATE INDEX temporary_index ON temporary USING annoy (e);
CREATE DOMAIN short_vector AS vector(2);
SELECT u.item, t.item FROM annoy_nns_by_vector('unlogged_index', '[1,1]'::vector) AS u, annoy_nns_by_vector('temporary_index', '[1,1]'::short_vector) AS t;
SELECT query, item FROM annoy_transform('temporary_index', ARRAY['[1,1]', '[1,0]']::short_vector[], 1);

-- As the argument of something else, more than once in a statement, and in a
-- cursor that is left open.
SELECT id, (SELECT count(*) FROM annoy_nns_by_vector('points_l2', q, id)) FROM queries WHERE id < 4;
BEGIN;
DECLARE c CURSOR FOR SELECT ordinality FROM queries, annoy_nns_by_vector('points_l2', q, 5) WITH ORDINALITY WHERE id = 1;
FETCH 2 FROM c;
COMMIT;

-- Locks stay until the end of the transaction: the items keep their places.
BEGIN;
SELECT count(*) FROM annoy_nns_by_vector('points_l2', clustered_vector(8, 1));
SELECT relation::regclass, mode FROM pg_locks WHERE pid = pg_backend_pid()
	AND relation IN ('points'::regclass, 'points_l2'::regclass) ORDER BY 1;
ROLLBACK;

SET client_min_messages = warning;
DROP TABLE temporary;
DROP SCHEMA estimator CASCADE;
DROP FUNCTION even_vector, clustered_vector, answer, disorder, same_answer, complete_answer, recall;
