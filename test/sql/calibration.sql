-- The automatic search_k: what a build finds for it.
\getenv abs_srcdir PG_ABS_SRCDIR
\set answer :abs_srcdir '/include/answer.sql'
\set ECHO none
\i :answer
\set ECHO all
SET enable_seqscan = off;
SET enable_sort = off;

-- Items that a scan inspects before its first row.
CREATE FUNCTION budget(relation regclass) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('SELECT FROM %s ORDER BY e <-> %L LIMIT 1', relation, clustered_vector(16, 0));
	RETURN (SELECT items_inspected FROM annoy_last_scan());
END
$$;

-- Rows of equal vectors do not count as neighbours that have to be found one by
-- one: every second row has one and the same vector, or every row has some
-- copies.
CREATE TABLE distinct_rows (id int, e vector(16));
INSERT INTO distinct_rows SELECT i, clustered_vector(16, i) FROM generate_series(1, 10000) AS i;
CREATE TABLE half_equal (id int, e vector(16));
INSERT INTO half_equal SELECT id, CASE WHEN id % 2 = 0 THEN clustered_vector(16, 0) ELSE e END FROM distinct_rows;
CREATE TABLE copies (id int, e vector(16));
INSERT INTO copies SELECT i, clustered_vector(16, i % 50) FROM generate_series(1, 10000) AS i;
CREATE TABLE all_equal (id int, e vector(16));
INSERT INTO all_equal SELECT i, clustered_vector(16, 0) FROM generate_series(1, 10000) AS i;
CREATE INDEX ON distinct_rows USING annoy (e vector_l2_ops) WITH (seed = 1);
CREATE INDEX ON half_equal USING annoy (e vector_l2_ops) WITH (seed = 1);
CREATE INDEX ON copies USING annoy (e vector_l2_ops) WITH (seed = 1);
CREATE INDEX ON all_equal USING annoy (e vector_l2_ops) WITH (seed = 1);
SELECT budget('half_equal') < 1.5 * budget('distinct_rows') AS half_equal,
	budget('copies') < 500 AS copies, budget('all_equal') < 500 AS all_equal;
-- An item counts once, also if it comes through several trees.
CREATE INDEX ON copies USING annoy (e vector_l2_ops) WITH (seed = 1, n_trees = 3);
SELECT same_answer(format('SELECT id, e <-> %1$L AS d FROM copies ORDER BY e <-> %1$L LIMIT 10', clustered_vector(16, 7)));

DROP TABLE distinct_rows, half_equal, copies, all_equal;
DROP FUNCTION budget;
