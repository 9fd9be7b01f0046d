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
	EXECUTE format('SELECT FROM %s ORDER BY e <-> %L LIMIT 1', relation, clustered_vector(8, 0));
	RETURN (SELECT items_inspected FROM annoy_last_scan());
END
$$;

-- Of equal vectors any will do: every third row has one and the same vector, or
-- every row has some copies.
CREATE TABLE distinct_rows (id int, e vector(8));
INSERT INTO distinct_rows SELECT i, clustered_vector(8, i) FROM generate_series(1, 30000) AS i;
CREATE TABLE third_equal (id int, e vector(8));
INSERT INTO third_equal SELECT id, CASE WHEN id % 3 = 0 THEN clustered_vector(8, 0) ELSE e END FROM distinct_rows;
CREATE TABLE copies (id int, e vector(8));
INSERT INTO copies SELECT i, clustered_vector(8, i % 50) FROM generate_series(1, 10000) AS i;
CREATE TABLE all_equal (id int, e vector(8));
INSERT INTO all_equal SELECT i, clustered_vector(8, 0) FROM generate_series(1, 10000) AS i;
CREATE INDEX ON distinct_rows USING annoy (e vector_l2_ops) WITH (seed = 1);
CREATE INDEX ON third_equal USING annoy (e vector_l2_ops) WITH (seed = 1);
CREATE INDEX ON copies USING annoy (e vector_l2_ops) WITH (seed = 1);
CREATE INDEX ON all_equal USING annoy (e vector_l2_ops) WITH (seed = 1);
SELECT budget('third_equal') < 1.5 * budget('distinct_rows') AS third_equal,
	budget('copies') < 500 AS copies, budget('all_equal') < 500 AS all_equal;
-- An item counts once, also if it comes through several trees.
CREATE INDEX ON copies USING annoy (e vector_l2_ops) WITH (seed = 1, n_trees = 3);
SELECT same_answer(format('SELECT id, e <-> %1$L AS d FROM copies ORDER BY e <-> %1$L LIMIT 10', clustered_vector(8, 7)));

DROP TABLE distinct_rows, third_equal, copies, all_equal;
DROP FUNCTION budget;

DROP FUNCTION even_vector, clustered_vector, answer, disorder, same_answer, complete_answer, recall;
