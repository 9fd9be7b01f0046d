-- The automatic search_k: what a build finds for it.
\getenv abs_srcdir PG_ABS_SRCDIR
\set answer :abs_srcdir '/include/answer.sql'
\set ECHO none
\i :answer
\set ECHO all
SET enable_seqscan = off;
SET enable_sort = off;

-- One near a point of a grid.
CREATE FUNCTION grid_vector(i int) RETURNS vector LANGUAGE sql IMMUTABLE
	RETURN ARRAY[i % 97, i % 89]::vector || even_vector(6, i);

-- Items that a scan inspects before its first row.
CREATE FUNCTION budget(relation regclass) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('SELECT FROM %s ORDER BY e <-> %L LIMIT 1', relation, grid_vector(0));
	RETURN (SELECT items_inspected FROM annoy_last_scan());
END
$$;

-- Of equal vectors any will do: every tenth row has one and the same vector, or
-- every row has some copies.
CREATE TABLE distinct_rows (id int, e vector(8));
INSERT INTO distinct_rows SELECT i, grid_vector(i) FROM generate_series(1, 50000) AS i;
CREATE TABLE tenth_equal (id int, e vector(8));
INSERT INTO tenth_equal SELECT id, CASE WHEN id % 10 = 0 THEN grid_vector(50) ELSE e END FROM distinct_rows;
CREATE TABLE copies (id int, e vector(8));
INSERT INTO copies SELECT i, grid_vector(i % 50) FROM generate_series(1, 10000) AS i;
CREATE TABLE all_equal (id int, e vector(8));
INSERT INTO all_equal SELECT i, grid_vector(0) FROM generate_series(1, 10000) AS i;
CREATE INDEX ON distinct_rows USING annoy (e vector_l2_ops) WITH (seed = 1);
CREATE INDEX ON tenth_equal USING annoy (e vector_l2_ops) WITH (seed = 1);
CREATE INDEX ON copies USING annoy (e vector_l2_ops) WITH (seed = 1);
CREATE INDEX ON all_equal USING annoy (e vector_l2_ops) WITH (seed = 1);
SELECT budget('tenth_equal') < 1.5 * budget('distinct_rows') AS tenth_equal,
	budget('copies') < 2000 AS copies, budget('all_equal') < 2000 AS all_equal;
-- An item counts once, also if it comes through several trees.
CREATE INDEX ON copies USING annoy (e vector_l2_ops) WITH (seed = 1, n_trees = 3);
SELECT same_answer(format('SELECT id, e <-> %1$L AS d FROM copies ORDER BY e <-> %1$L LIMIT 10', grid_vector(7)));

-- Rows that the command which builds has written itself count as others do.
CREATE TABLE rewritten AS SELECT * FROM distinct_rows;
CREATE INDEX rewritten_index ON rewritten USING annoy (e vector_l2_ops) WITH (seed = 1);
SELECT annoy_info('rewritten_index')->>'search_k_calibrated' AS calibrated \gset
ALTER TABLE rewritten ALTER id TYPE bigint;
SELECT (annoy_info('rewritten_index')->>'search_k_calibrated')::float8 / :calibrated BETWEEN 0.5 AND 2 AS as_before;

DROP TABLE distinct_rows, tenth_equal, copies, all_equal, rewritten;
DROP FUNCTION budget, grid_vector;

DROP FUNCTION even_vector, clustered_vector, answer, disorder, same_answer, complete_answer, recall;
