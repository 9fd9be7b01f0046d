-- When the planner takes the index: ORDER BY distance LIMIT on small tables and
-- large ones, at any number of dimensions, and never without a distance.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS annoy;
RESET client_min_messages;

-- Default costs, whatever the server was started with; no parallel plans.
SET max_parallel_workers_per_gather = 0;
SET random_page_cost = 4;
SET effective_cache_size = '4GB';

CREATE FUNCTION plan_vector(dimensions int, i int) RETURNS vector
	LANGUAGE sql IMMUTABLE
	RETURN (SELECT array_agg(sin(i * j + j % 7))::vector FROM generate_series(1, dimensions) AS j);

-- The lines of a plan that name a scan or a sort.
CREATE FUNCTION plan(query text) RETURNS SETOF text
	LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query
	LOOP
		IF line ~ 'Scan|Sort$' THEN
			RETURN NEXT regexp_replace(line, '^[ ]*(-> *)?', '');
		END IF;
	END LOOP;
END
$$;

CREATE PROCEDURE plan_table(dimensions int, rows int)
	LANGUAGE plpgsql AS $$
BEGIN
	DROP TABLE IF EXISTS plan_items;
	EXECUTE format('CREATE TABLE plan_items (id int, category int, e vector(%s))', dimensions);
	INSERT INTO plan_items
		SELECT i, i % 1000, plan_vector(dimensions, i % 5000) FROM generate_series(1, rows) AS i;
	CREATE INDEX plan_index ON plan_items USING annoy (e vector_l2_ops);
	CREATE INDEX plan_category ON plan_items (category);
	ANALYZE plan_items;
END
$$;

SET client_min_messages = warning;

-- 2,000 rows: vectors in the table's own pages, and out of line.
CALL plan_table(3, 2000);
SELECT plan('SELECT id FROM plan_items ORDER BY e <-> (SELECT plan_vector(3, 1)) LIMIT 10');
SELECT plan('SELECT id FROM plan_items ORDER BY e <-> ''[1,2,3]'' LIMIT 1');
SELECT plan('SELECT id, e, e <-> ''[1,2,3]'' FROM plan_items ORDER BY e <-> ''[1,2,3]'' LIMIT 100');

-- Other orders and other distances.
SELECT plan('SELECT id FROM plan_items ORDER BY e <=> ''[1,2,3]'' LIMIT 10');
SELECT plan('SELECT id FROM plan_items ORDER BY e <-> ''[1,2,3]'' DESC LIMIT 10');

-- Without a distance.
SELECT plan('SELECT count(*) FROM plan_items');
SELECT plan('SELECT * FROM plan_items WHERE e IS NOT NULL');
SELECT plan('SELECT id FROM plan_items ORDER BY id LIMIT 10');
SELECT plan('SELECT id FROM plan_items WHERE e <-> ''[1,2,3]'' < 1');
BEGIN;
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
SELECT plan('SELECT sum(id) FROM plan_items');
ROLLBACK;

-- Rows chosen by a selective condition are sorted; a weak one is checked on
-- the way.
SELECT plan('SELECT id FROM plan_items WHERE category = 5 ORDER BY e <-> ''[1,2,3]'' LIMIT 10');
SELECT plan('SELECT id FROM plan_items WHERE category < 900 ORDER BY e <-> ''[1,2,3]'' LIMIT 10');

-- Once for each row of another table.
SELECT plan('SELECT * FROM generate_series(1, 10) AS i,
	LATERAL (SELECT id FROM plan_items ORDER BY e <-> plan_vector(3, i) LIMIT 5) AS n');

-- A partial index: with its condition and a distance only.
CREATE INDEX plan_partial ON plan_items USING annoy (e vector_cosine_ops) WHERE category < 500;
SELECT plan('SELECT id FROM plan_items WHERE category < 500 ORDER BY e <=> ''[1,2,3]'' LIMIT 10');
SELECT plan('SELECT id FROM plan_items ORDER BY e <=> ''[1,2,3]'' LIMIT 10');
SELECT plan('SELECT id FROM plan_items WHERE category < 500');

CALL plan_table(64, 2000);
SELECT plan('SELECT id FROM plan_items ORDER BY e <-> (SELECT plan_vector(64, 1)) LIMIT 10');
CALL plan_table(128, 2000);
SELECT plan('SELECT id FROM plan_items ORDER BY e <-> (SELECT plan_vector(128, 1)) LIMIT 10');
CALL plan_table(480, 2000);
SELECT plan('SELECT id FROM plan_items ORDER BY e <-> (SELECT plan_vector(480, 1)) LIMIT 10');
CALL plan_table(784, 2000);
SELECT plan('SELECT id FROM plan_items ORDER BY e <-> (SELECT plan_vector(784, 1)) LIMIT 10');
SELECT plan('SELECT id FROM plan_items WHERE category = 5 ORDER BY e <-> (SELECT plan_vector(784, 1)) LIMIT 10');
SELECT plan('SELECT count(*) FROM plan_items');

-- Many rows.
CALL plan_table(3, 100000);
SELECT plan('SELECT id FROM plan_items ORDER BY e <-> ''[1,2,3]'' LIMIT 10');
SELECT plan('SELECT id FROM plan_items WHERE category < 100 ORDER BY e <-> ''[1,2,3]'' LIMIT 10');
SELECT plan('SELECT id FROM plan_items WHERE category = 5 ORDER BY e <-> ''[1,2,3]'' LIMIT 10');
SELECT plan('SELECT count(*) FROM plan_items');

DROP TABLE plan_items;
DROP PROCEDURE plan_table(int, int);
DROP FUNCTION plan(text);
DROP FUNCTION plan_vector(int, int);
