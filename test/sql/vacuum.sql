-- VACUUM: removes the entries of removed rows, uses their space again, counts
-- rightly, and harms no other row.
\getenv abs_srcdir PG_ABS_SRCDIR
\set answer :abs_srcdir '/include/check_answers.sql'
\set ECHO none
\i :answer
\set ECHO all

-- Everything is inspected, so that an answer is the exact one.
SET annoy.search_k = 1000000;

--
-- What is counted: NULLs and zeroes too, but only once; the table's number is
-- its own.
--
CREATE TABLE t (id int, e vector(7));
INSERT INTO t SELECT i, CASE WHEN i % 50 = 0 THEN NULL WHEN i % 50 = 1 THEN array_fill(0, ARRAY[7])::vector ELSE even_vector(7, i) END
	FROM generate_series(1, 6000) AS i;
CREATE INDEX t_l2 ON t USING annoy (e vector_l2_ops) WITH (n_trees = 3);
CREATE INDEX t_cosine ON t USING annoy (e);
CREATE INDEX t_partial ON t USING annoy (e vector_ip_ops) WHERE id % 4 = 0;
CREATE VIEW counts AS
	SELECT relname, reltuples, CASE relkind WHEN 'i' THEN relpages = pg_relation_size(oid) / 8192 END AS pages
	FROM pg_class WHERE relname IN ('t', 't_l2', 't_cosine', 't_partial');
VACUUM t;
SELECT * FROM counts ORDER BY 1;
INSERT INTO t SELECT i, CASE WHEN i % 10 > 0 THEN even_vector(7, i) END FROM generate_series(6001, 8000) AS i;
VACUUM t;
SELECT * FROM counts ORDER BY 1;
DELETE FROM t WHERE id % 3 > 0;
SELECT check_answers('t', '<->', even_vector(7, 5)), check_answers('t', '<=>', even_vector(7, 5));
-- Left to later.
VACUUM (INDEX_CLEANUP off) t;
SELECT check_answers('t', '<->', even_vector(7, 5)), check_answers('t', '<=>', even_vector(7, 5));
VACUUM (INDEX_CLEANUP on) t;
SELECT * FROM counts ORDER BY 1;
SELECT check_answers('t', '<->', even_vector(7, 5)), check_answers('t', '<=>', even_vector(7, 5));
SELECT * FROM check_trees('t_l2', 't') UNION ALL SELECT * FROM check_trees('t_cosine', 't') UNION ALL SELECT * FROM check_trees('t_partial', 't');
-- Nothing to do, twice; and statistics.
VACUUM (INDEX_CLEANUP on) t;
VACUUM ANALYZE t;
SELECT * FROM counts ORDER BY 1;
ANALYZE t;
SELECT relname, reltuples FROM counts ORDER BY 1;
-- Nothing is left.
DELETE FROM t;
VACUUM (INDEX_CLEANUP on, TRUNCATE off) t;
SELECT * FROM counts ORDER BY 1;
SELECT check_answers('t', '<->', even_vector(7, 5)), check_answers('t', '<=>', even_vector(7, 5));
SELECT count(*) FROM annoy_leaf_items('t_l2');
-- And all comes again.
INSERT INTO t SELECT i, CASE WHEN i % 50 = 0 THEN NULL WHEN i % 50 = 1 THEN array_fill(0, ARRAY[7])::vector ELSE even_vector(7, -i) END
	FROM generate_series(1, 6000) AS i;
SELECT check_answers('t', '<->', even_vector(7, 5)), check_answers('t', '<=>', even_vector(7, 5));
-- From 19 on pages are known to be all visible as soon as they are read, and the
-- table's rows are estimated from those that are not.
VACUUM (DISABLE_PAGE_SKIPPING) t;
SELECT * FROM counts ORDER BY 1;
SELECT * FROM check_trees('t_l2', 't') UNION ALL SELECT * FROM check_trees('t_cosine', 't') UNION ALL SELECT * FROM check_trees('t_partial', 't');
-- By several processes, one for each index.
SET min_parallel_index_scan_size = 0;
DELETE FROM t WHERE id % 2 = 0;
VACUUM (INDEX_CLEANUP on, PARALLEL 2) t;
SELECT * FROM counts ORDER BY 1;
SELECT check_answers('t', '<->', even_vector(7, 5)), check_answers('t', '<=>', even_vector(7, 5));
SELECT * FROM check_trees('t_l2', 't') UNION ALL SELECT * FROM check_trees('t_cosine', 't') UNION ALL SELECT * FROM check_trees('t_partial', 't');
INSERT INTO t SELECT i, even_vector(7, i) FROM generate_series(6001, 7000) AS i;
VACUUM (PARALLEL 2) t;
SELECT * FROM counts ORDER BY 1;
RESET min_parallel_index_scan_size;
-- Rows that were never there: of a statement that failed, and rolled back.
INSERT INTO t SELECT i, even_vector(7 + i / 7500, i) FROM generate_series(7001, 7500) AS i;
BEGIN;
INSERT INTO t SELECT i, even_vector(7, i) FROM generate_series(7001, 7500) AS i;
ROLLBACK;
VACUUM (INDEX_CLEANUP on) t;
SELECT * FROM counts ORDER BY 1;
SELECT check_answers('t', '<->', even_vector(7, 5)), check_answers('t', '<=>', even_vector(7, 5));
DROP VIEW counts;
DROP TABLE t;

-- More dead rows than fit into memory at once.
CREATE TABLE t (id int, e vector(2));
CREATE INDEX t_l2 ON t USING annoy (e vector_l2_ops);
INSERT INTO t SELECT i, ARRAY[sin(i), cos(i * 1.1)] FROM generate_series(1, 120000) AS i;
DELETE FROM t WHERE id % 10 > 0;
SET maintenance_work_mem = '1MB';
VACUUM (INDEX_CLEANUP on) t;
RESET maintenance_work_mem;
SELECT relname, reltuples FROM pg_class WHERE relname ~ '^t_l2' ORDER BY 1;
SELECT * FROM check_trees('t_l2', 't');
SELECT complete_answer(query), same_answer(query || ' LIMIT 5000')
	FROM (VALUES ('SELECT id, e <-> ''[0.1,0.2]'' AS d FROM t ORDER BY e <-> ''[0.1,0.2]''')) AS queries (query);
DROP TABLE t;

--
-- Recall at default settings: after half of the rows are gone, and after the
-- others have come in their place.  Queries are not rows of the table, and the
-- neighbours of fewer rows are farther: a fresh index is no better.  The budget
-- is that of the calibration, which saw other rows, in leaves that were better
-- than those which inserts make.
--
RESET annoy.search_k;
CREATE TABLE source AS SELECT i AS id, clustered_vector(48, i) AS e FROM generate_series(1, 12000) AS i;
CREATE TABLE queries AS SELECT array_agg(clustered_vector(48, i)) AS q FROM generate_series(20001, 20025) AS i;
CREATE TABLE t (id int, e vector(48));
INSERT INTO t SELECT * FROM source WHERE id <= 8000;
CREATE INDEX t_l2 ON t USING annoy (e vector_l2_ops);
CREATE INDEX t_cosine ON t USING annoy (e);
CREATE INDEX t_ip ON t USING annoy (e vector_ip_ops);
CREATE FUNCTION recalls() RETURNS TABLE (operator text, at_least text)
	LANGUAGE sql AS $$
	SELECT operator, CASE WHEN r >= 0.75 THEN '0.75' ELSE r::text END
	FROM unnest('{<->,<=>,<#>}'::text[]) AS operator,
		recall(format('SELECT id, e %1$s $q AS d FROM t ORDER BY e %1$s $q LIMIT 10', operator), (SELECT q FROM queries)) AS r
	ORDER BY operator
$$;
DELETE FROM t WHERE id % 2 = 0;
SELECT * FROM recalls();
VACUUM (INDEX_CLEANUP on) t;
SELECT * FROM recalls();
INSERT INTO t SELECT * FROM source WHERE id > 8000;
SELECT * FROM recalls();
-- Whole clusters gone, and others come.
DELETE FROM t WHERE id % 40 < 20;
VACUUM (INDEX_CLEANUP on) t;
SELECT * FROM recalls();
INSERT INTO t SELECT id, e FROM source WHERE id % 40 < 20;
SELECT * FROM recalls();
DROP TABLE t, source, queries;
DROP FUNCTION recalls;
SET annoy.search_k = 1000000;

--
-- Size: ten times half of the rows go, VACUUM, and others come; the index then
-- has at most 1.3 times the size of a fresh one of the same rows.
--
-- A table of the first half of source's vectors, with an index.
CREATE PROCEDURE start_cycles(trees int)
	LANGUAGE plpgsql AS $$
BEGIN
	CREATE TABLE t (LIKE source INCLUDING STORAGE);
	INSERT INTO t SELECT * FROM source WHERE id <= (SELECT count(*) / 2 FROM source);
	EXECUTE format('CREATE INDEX t_l2 ON t USING annoy (e vector_l2_ops) WITH (n_trees = %s)', trees);
END
$$;
-- Rows that were deleted come again with other vectors.
CREATE PROCEDURE refill(round int)
	LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO t SELECT missing.id, source.e
		FROM (SELECT id FROM source WHERE id <= (SELECT count(*) / 2 FROM source) EXCEPT SELECT id FROM t) AS missing
		JOIN source ON source.id = (missing.id + round * 977) % (SELECT count(*) FROM source) + 1
		ORDER BY missing.id;
END
$$;
CREATE VIEW cycles AS
	SELECT command
	FROM generate_series(1, 10) AS round,
		LATERAL (VALUES (1, format('DELETE FROM t WHERE hashint8(id * 100 + %s) %% 2 = 0', round)),
				 (2, 'VACUUM (INDEX_CLEANUP on) t'), (3, format('CALL refill(%s)', round))) AS steps (step, command)
	ORDER BY round, step;
-- The index's size, relative to a fresh one.
CREATE FUNCTION growth() RETURNS numeric
	LANGUAGE plpgsql AS $$
DECLARE
	size bigint := pg_relation_size('t_l2');
BEGIN
	REINDEX INDEX t_l2;
	RETURN round(size::numeric / pg_relation_size('t_l2'), 2);
END
$$;

-- Clusters.
CREATE TABLE source AS SELECT i AS id, clustered_vector(48, i) AS e FROM generate_series(1, 12000) AS i;
CALL start_cycles(2);
\set ECHO none
SELECT * FROM cycles \gexec
\set ECHO all
SELECT check_answers('t', '<->', clustered_vector(48, 7));
SELECT * FROM check_trees('t_l2', 't');
SELECT greatest(growth(), 1.3) AS growth;
DROP TABLE t, source;
-- Long vectors, whose leaves are small; items divided over pages.
CREATE TABLE source (id int, e vector(784));
ALTER TABLE source ALTER e SET STORAGE plain;
INSERT INTO source SELECT i, even_vector(196, i) || even_vector(196, i % 30) || (even_vector(196, i % 30) || even_vector(196, i / 30)) FROM generate_series(1, 3000) AS i;
CALL start_cycles(1);
\set ECHO none
SELECT * FROM cycles \gexec
\set ECHO all
SELECT check_answers('t', '<->', even_vector(784, 7));
SELECT * FROM check_trees('t_l2', 't');
SELECT greatest(growth(), 1.3) AS growth;
DROP TABLE t, source;
-- Vectors of more dimensions than a sketch has: leaves of few entries, and few of them.
CREATE TABLE source (id int, e vector(5000));
ALTER TABLE source ALTER e SET STORAGE external;
INSERT INTO source SELECT i, even_vector(2500, i) || even_vector(2500, i % 30) FROM generate_series(1, 300) AS i;
CALL start_cycles(1);
\set ECHO none
SELECT * FROM cycles \gexec
\set ECHO all
SELECT check_answers('t', '<->', even_vector(5000, 7));
SELECT * FROM check_trees('t_l2', 't');
DROP TABLE t, source;
-- Equal ones.
CREATE TABLE source AS SELECT i AS id, even_vector(16, 0) AS e FROM generate_series(1, 12000) AS i;
CALL start_cycles(1);
\set ECHO none
SELECT * FROM cycles \gexec
\set ECHO all
SELECT check_answers('t', '<->', even_vector(16, 7));
SELECT * FROM check_trees('t_l2', 't');
SELECT greatest(growth(), 1.3) AS growth;
DROP TABLE t, source;
-- Many without a distance.
CREATE TABLE source AS SELECT i AS id, CASE WHEN i % 4 = 0 THEN even_vector(16, i) END AS e FROM generate_series(1, 20000) AS i;
CALL start_cycles(1);
\set ECHO none
SELECT * FROM cycles \gexec
\set ECHO all
SELECT check_answers('t', '<->', even_vector(16, 7));
SELECT greatest(growth(), 1.3) AS growth;
DROP TABLE t, source;
-- Emptied and filled again, ten times, also with vectors from elsewhere: leaves
-- that are empty stay where they are, for rows that come near them.
CREATE TABLE source AS SELECT i AS id, clustered_vector(48, i) AS e FROM generate_series(1, 6000) AS i;
CALL start_cycles(1);
\set ECHO none
SELECT command
	FROM generate_series(1, 10) AS round,
		LATERAL (VALUES (1, 'DELETE FROM t'), (2, 'VACUUM (INDEX_CLEANUP on, TRUNCATE off) t'),
				 (3, format('INSERT INTO t SELECT id, e + %L FROM source WHERE id %% 2 = %s',
							array_fill(round / 10.0, ARRAY[48])::vector, round % 2))) AS steps (step, command)
	ORDER BY round, step \gexec
\set ECHO all
SELECT check_answers('t', '<->', clustered_vector(48, 7));
SELECT * FROM check_trees('t_l2', 't');
SELECT greatest(growth(), 3.0) AS growth;
DROP TABLE t, source;
-- Every row updated ten times, with VACUUM between: there is room for two
-- versions of each.
CREATE TABLE source AS SELECT i AS id, clustered_vector(48, i) AS e FROM generate_series(1, 6000) AS i;
CALL start_cycles(1);
\set ECHO none
SELECT command
	FROM generate_series(1, 10) AS round,
		LATERAL (VALUES (1, format('UPDATE t SET e = e + %L', even_vector(48, round) * array_fill(0.01, ARRAY[48])::vector)),
				 (2, 'VACUUM (INDEX_CLEANUP on) t')) AS steps (step, command)
	ORDER BY round, step \gexec
\set ECHO all
SELECT check_answers('t', '<->', clustered_vector(48, 7));
SELECT * FROM check_trees('t_l2', 't');
SELECT greatest(growth(), 2.1) AS growth;
-- A temporary table, whose pages are never locked: two parts of one item must
-- not go to one page all the same.
CREATE TEMPORARY TABLE t_temporary (id int, e vector(768));
ALTER TABLE t_temporary ALTER e SET STORAGE PLAIN;
CREATE INDEX t_temporary_l2 ON t_temporary USING annoy (e vector_l2_ops);
INSERT INTO t_temporary SELECT i, even_vector(768, i) FROM generate_series(1, 15) AS i;
VACUUM t_temporary;
INSERT INTO t_temporary SELECT i, even_vector(768, i) FROM generate_series(16, 40) AS i;
SELECT annoy_index_check('t_temporary_l2', true);
DROP TABLE t_temporary;
DROP TABLE t, source;

DROP VIEW cycles;
DROP FUNCTION check_answers, check_trees, growth;
DROP PROCEDURE start_cycles, refill;
RESET annoy.search_k;
DROP FUNCTION even_vector, clustered_vector, answer, disorder, same_answer, complete_answer, recall;
