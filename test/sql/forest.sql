-- The same table and seed give the same forest, whatever memory the build has.
\getenv abs_srcdir PG_ABS_SRCDIR
\set answer :abs_srcdir '/include/answer.sql'
\set ECHO none
\i :answer
\set ECHO all

-- What the forest of an index is: which rows share a leaf.
CREATE PROCEDURE keep_forest(kept text, index regclass)
	LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE TEMPORARY TABLE %I AS SELECT * FROM annoy_leaf_items(%L)', kept, index);
END
$$;

-- Whether two forests are the same in the trees that both have.
CREATE FUNCTION same_forest(a text, b text) RETURNS boolean
	LANGUAGE plpgsql AS $$
DECLARE
	different bigint;
BEGIN
	EXECUTE format('SELECT count(*) FROM (SELECT * FROM %1$I EXCEPT SELECT * FROM %2$I) AS d
					WHERE tree IN (SELECT tree FROM %2$I)', a, b)
		INTO different;
	RETURN different = 0;
END
$$;

-- Each row of the table once in each tree; leaves that are neither empty nor
-- all alike.
CREATE FUNCTION check_forest(kept text, relation text)
	RETURNS TABLE (trees bigint, whole boolean, leaves boolean)
	LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY EXECUTE format(
		'SELECT count(*), bool_and(items = rows AND different = rows AND known), bool_and(leaves > 20)
		 FROM (SELECT count(*) AS items, count(DISTINCT item) AS different, count(DISTINCT leaf) AS leaves,
					  bool_and(item IN (SELECT ctid FROM %2$I)) AS known
			   FROM %1$I GROUP BY tree) AS trees,
			  (SELECT count(*) AS rows FROM %2$I) AS rows', kept, relation);
END
$$;

-- 12,000 rows of 700 dimensions: 34 MB, and twice what is split at once in
-- memory.  The vectors are put together from 150 pieces.
CREATE TABLE items (id int, e vector(700));
ALTER TABLE items ALTER e SET STORAGE external;
WITH pieces AS (SELECT array_agg(even_vector(70, i)) AS piece FROM generate_series(1, 150) AS i),
	-- three choices of 150 name a row
	rows AS (SELECT i, i % 150 AS a, i / 150 % 150 AS b, (i * 7 + i / 150 * 31) % 150 AS c FROM generate_series(1, 12000) AS i)
INSERT INTO items
	SELECT i, (piece[a + 1] || piece[b + 1] || piece[c + 1] || piece[(a + b) % 150 + 1] || piece[(a + c) % 150 + 1])
		|| (piece[(b + c) % 150 + 1] || piece[(a + 2 * b) % 150 + 1] || piece[(b + 2 * c) % 150 + 1]
			|| piece[(a + b + c) % 150 + 1] || piece[(3 * a + c) % 150 + 1])
	FROM rows, pieces;

-- Enough memory for all, and the least that a build accepts.
SET maintenance_work_mem = '256MB';
CREATE INDEX items_large ON items USING annoy (e vector_l2_ops) WITH (n_trees = 2);
CALL keep_forest('large', 'items_large');
SELECT * FROM check_forest('large', 'items');
SET maintenance_work_mem = '1MB';
DO $$
DECLARE
	detail text;
BEGIN
	CREATE INDEX items_small ON items USING annoy (e vector_l2_ops) WITH (n_trees = 2);
EXCEPTION WHEN insufficient_resources THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
	PERFORM set_config('maintenance_work_mem', substring(detail FROM 'at least (\d+ kB)'), false);
END
$$;
SELECT pg_size_bytes(current_setting('maintenance_work_mem')) < 0.7 * pg_total_relation_size('items') AS less_than_data;
CREATE INDEX items_small ON items USING annoy (e vector_l2_ops) WITH (n_trees = 2);
CALL keep_forest('small', 'items_small');
SELECT same_forest('large', 'small'), same_forest('small', 'large');
-- Again is the same again, and further trees do not change the first.
SET maintenance_work_mem = '40MB';
ALTER INDEX items_small SET (n_trees = 1);
REINDEX INDEX items_small;
CALL keep_forest('single', 'items_small');
SELECT * FROM check_forest('single', 'items');
SELECT same_forest('large', 'single'), same_forest('single', 'large');
-- Trees differ from each other, and forests by their seeds.
SELECT count(*) > 0 AS different
	FROM (SELECT leaf, item FROM large WHERE tree = 0 EXCEPT SELECT leaf, item FROM large WHERE tree = 1) AS d;
ALTER INDEX items_small SET (seed = 4711, n_trees = 2);
REINDEX INDEX items_small;
CALL keep_forest('seeded', 'items_small');
SELECT * FROM check_forest('seeded', 'items');
SELECT same_forest('large', 'seeded'), same_forest('seeded', 'large');
-- The default seed, by its number and by 0.
ALTER INDEX items_small SET (seed = 1234567890987654321);
REINDEX INDEX items_small;
CALL keep_forest('named', 'items_small');
SELECT same_forest('large', 'named'), same_forest('named', 'large');
ALTER INDEX items_small SET (seed = 0);
REINDEX INDEX items_small;
CALL keep_forest('zero', 'items_small');
SELECT same_forest('large', 'zero'), same_forest('zero', 'large');
-- All of them answer alike.
DROP INDEX items_large;
SELECT complete_answer(query), disorder(query || ' LIMIT 50'), recall('SELECT id, e <-> $q AS d FROM items ORDER BY e <-> $q LIMIT 10',
		(SELECT array_agg(e) FROM items WHERE id % 1000 = 77)) > 0.8 AS good
	FROM (SELECT format('SELECT id, e <-> %1$L AS d FROM items ORDER BY e <-> %1$L', e) AS query FROM items WHERE id = 1234) AS query;

-- More copies of one vector than are split at once in memory: they cannot be
-- divided, and hide nobody.
DROP INDEX items_small;
TRUNCATE items;
INSERT INTO items SELECT i, even_vector(700, 0) FROM generate_series(1, 7000) AS i;
INSERT INTO items SELECT i, even_vector(700, i % 100 + 1) FROM generate_series(7001, 7200) AS i;
SET maintenance_work_mem = '256MB';
CREATE INDEX items_large ON items USING annoy (e) WITH (n_trees = 2);
CALL keep_forest('copies_large', 'items_large');
SELECT trees, whole FROM check_forest('copies_large', 'items');
SET maintenance_work_mem = '25MB';
CREATE INDEX items_small ON items USING annoy (e) WITH (n_trees = 2);
CALL keep_forest('copies_small', 'items_small');
SELECT same_forest('copies_large', 'copies_small'), same_forest('copies_small', 'copies_large');
SELECT complete_answer(query) FROM format('SELECT id, e <=> %1$L AS d FROM items ORDER BY e <=> %1$L', even_vector(700, 5)) AS query;
SELECT count(*), bool_and(d < 1e-6) AS itself
	FROM answer(format('SELECT id, e <=> %1$L AS d FROM items ORDER BY e <=> %1$L LIMIT 2', even_vector(700, 5)), true);

DROP TABLE items, large, small, single, seeded, named, zero, copies_large, copies_small;
DROP FUNCTION same_forest, check_forest;
DROP PROCEDURE keep_forest;
RESET maintenance_work_mem;

-- Only indexes of this access method have a forest.
SELECT * FROM annoy_leaf_items('pg_class_oid_index');
SELECT * FROM annoy_leaf_items('pg_class');

DROP FUNCTION even_vector, clustered_vector, answer, disorder, same_answer, complete_answer, recall;
