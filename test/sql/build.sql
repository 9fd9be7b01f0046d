-- Builds: every kind of data, table and command; each index answers as a sort
-- does.
\getenv abs_srcdir PG_ABS_SRCDIR
\set answer :abs_srcdir '/include/check_answers.sql'
\set ECHO none
\i :answer
\set ECHO all

-- Everything is inspected, so that an answer is the exact one.
SET annoy.search_k = 1000000;

CREATE TABLE t (id int, e vector(3));

--
-- Little data
--
CREATE INDEX t_l2 ON t USING annoy (e vector_l2_ops);
SELECT check_answers('t', '<->', '[1,2,3]');
-- Nothing to compare with, so any query will do.
SELECT count(*) FROM answer('SELECT id, 0::float8 AS d FROM t ORDER BY e <-> ''[1,2]''', true);
DROP INDEX t_l2;

INSERT INTO t VALUES (1, '[1,2,3]');
CREATE INDEX t_l2 ON t USING annoy (e vector_l2_ops);
CREATE INDEX t_cosine ON t USING annoy (e);
CREATE INDEX t_ip ON t USING annoy (e vector_ip_ops);
SELECT check_answers('t', '<->', '[1,2,3]'), check_answers('t', '<=>', '[1,2,3]'), check_answers('t', '<#>', '[1,2,3]');
DELETE FROM t;
SELECT check_answers('t', '<->', '[1,2,3]');
TRUNCATE t;
SELECT check_answers('t', '<->', '[1,2,3]');
DROP INDEX t_l2, t_cosine, t_ip;

-- All NULL.
INSERT INTO t SELECT i, NULL FROM generate_series(1, 3000) AS i;
CREATE INDEX t_l2 ON t USING annoy (e vector_l2_ops);
CREATE INDEX t_cosine ON t USING annoy (e);
CREATE INDEX t_ip ON t USING annoy (e vector_ip_ops);
SELECT check_answers('t', '<->', '[1,2,3]'), check_answers('t', '<=>', '[1,2,3]'), check_answers('t', '<#>', '[1,2,3]');
TRUNCATE t;
DROP INDEX t_l2, t_cosine, t_ip;

-- All equal, and all zero.
INSERT INTO t SELECT i, '[1,2,3]' FROM generate_series(1, 3000) AS i;
CREATE INDEX t_l2 ON t USING annoy (e vector_l2_ops);
CREATE INDEX t_cosine ON t USING annoy (e);
CREATE INDEX t_ip ON t USING annoy (e vector_ip_ops);
SELECT check_answers('t', '<->', '[1,2,4]'), check_answers('t', '<=>', '[1,2,4]'), check_answers('t', '<#>', '[1,2,4]');
TRUNCATE t;
DROP INDEX t_l2, t_cosine, t_ip;
INSERT INTO t SELECT i, '[0,0,0]' FROM generate_series(1, 3000) AS i;
CREATE INDEX t_l2 ON t USING annoy (e vector_l2_ops);
CREATE INDEX t_cosine ON t USING annoy (e);
CREATE INDEX t_ip ON t USING annoy (e vector_ip_ops);
SELECT check_answers('t', '<->', '[1,2,4]'), check_answers('t', '<=>', '[1,2,4]'), check_answers('t', '<#>', '[1,2,4]');
DROP TABLE t;

-- 5,000 copies of one vector, more than a leaf holds, among 2,000 others; two
-- such heaps close to each other.
CREATE TABLE t (id int, e vector(8));
INSERT INTO t SELECT i, even_vector(8, CASE WHEN i % 7 < 5 THEN 0 ELSE i END) FROM generate_series(1, 7000) AS i;
INSERT INTO t SELECT i, even_vector(8, 0) + even_vector(8, 1) * array_fill(1e-6, ARRAY[8])::vector FROM generate_series(7001, 8000) AS i;
CREATE INDEX t_l2 ON t USING annoy (e vector_l2_ops) WITH (n_trees = 2);
CREATE INDEX t_cosine ON t USING annoy (e);
CREATE INDEX t_ip ON t USING annoy (e vector_ip_ops);
SELECT operator, check_answers('t', operator, even_vector(8, i))
	FROM unnest('{<->,<=>,<#>}'::text[]) AS operator, unnest('{0,3,8001}'::int[]) AS i;
-- A budget of one leaf still comes to every copy.
SET annoy.search_k = 1;
SELECT operator, complete_answer(format('SELECT id, e %1$s %2$L AS d FROM t ORDER BY e %1$s %2$L', operator, even_vector(8, 0)))
	FROM unnest('{<->,<=>,<#>}'::text[]) AS operator;
SET annoy.search_k = 1000000;
-- Every row in every tree, once.
SELECT tree, count(*), count(DISTINCT item) FROM annoy_leaf_items('t_l2') GROUP BY tree ORDER BY 1;
DROP TABLE t;

--
-- Numbers of dimensions
--
CREATE FUNCTION check_dimensions(dimensions int, rows int) RETURNS SETOF text
	LANGUAGE plpgsql AS $$
DECLARE
	operator text;
	opclass text;
BEGIN
	EXECUTE format('CREATE TEMPORARY TABLE sized (id int, e vector(%s))', dimensions);
	INSERT INTO sized SELECT i, even_vector(dimensions, i) FROM generate_series(1, rows) AS i;
	FOR operator, opclass IN VALUES ('<->', 'vector_l2_ops'), ('<=>', 'vector_cosine_ops'), ('<#>', 'vector_ip_ops')
	LOOP
		EXECUTE format('CREATE INDEX ON sized USING annoy (e %s)', opclass);
		RETURN NEXT operator || ': ' || check_answers('sized', operator, even_vector(dimensions, rows / 2));
	END LOOP;
	DROP TABLE sized;
END
$$;
SELECT check_dimensions(1, 2000);
SELECT check_dimensions(2, 2000);
SELECT check_dimensions(15, 1000);
SELECT check_dimensions(16, 1000);
SELECT check_dimensions(17, 1000);
SELECT check_dimensions(1536, 200);
SELECT check_dimensions(1537, 200);
SELECT check_dimensions(2000, 200);
-- A vector over many pages.
SET maintenance_work_mem = '128MB';
SELECT check_dimensions(16000, 40);
RESET maintenance_work_mem;

-- Toasted values: compressed, out of line, both and short.
CREATE TABLE t (id int, e vector);
INSERT INTO t SELECT i, array_fill(i, ARRAY[3000])::vector FROM generate_series(1, 20) AS i;
INSERT INTO t SELECT i, even_vector(3000, i) FROM generate_series(21, 40) AS i;
ALTER TABLE t ALTER e SET STORAGE external;
INSERT INTO t SELECT i, array_fill(i, ARRAY[3000])::vector FROM generate_series(41, 60) AS i;
CREATE INDEX ON t USING annoy (e vector_l2_ops);
SELECT check_answers('t', '<->', even_vector(3000, 30));
SELECT check_answers('t', '<->', array_fill(5, ARRAY[3000])::vector);
DROP TABLE t;

-- A column that tells no number of dimensions has that of its first vector.
CREATE TABLE t (id int, e vector);
INSERT INTO t VALUES (0, NULL), (1, '[1,2,3]'), (2, '[1,2,4]'), (3, '[1,2]');
CREATE INDEX t_l2 ON t USING annoy (e vector_l2_ops);
SELECT count(*) FROM pg_index WHERE indrelid = 't'::regclass;
DELETE FROM t WHERE id = 3;
CREATE INDEX t_l2 ON t USING annoy (e vector_l2_ops);
SELECT check_answers('t', '<->', '[1,2,4]');
SELECT id FROM answer('SELECT id, 0::float8 AS d FROM t ORDER BY e <-> ''[1,2,3,4]''', true);
DROP TABLE t;

--
-- Extreme values
--
CREATE TABLE t (id int, e vector(4));
INSERT INTO t SELECT i, even_vector(4, i) FROM generate_series(1, 500) AS i;
INSERT INTO t SELECT i, l2_normalize(even_vector(4, i)) * array_fill(1e38, ARRAY[4])::vector FROM generate_series(501, 600) AS i;
INSERT INTO t SELECT i, '[3.4e38,-3.4e38,3.4e38,-3.4e38]' FROM generate_series(601, 610) AS i;
CREATE INDEX t_l2 ON t USING annoy (e vector_l2_ops);
CREATE INDEX t_cosine ON t USING annoy (e);
CREATE INDEX t_ip ON t USING annoy (e vector_ip_ops);
SELECT operator, complete_answer(query), disorder(query) <= 1 AS two_runs, disorder(query || ' LIMIT 10') AS disorder
	FROM unnest('{<->,<=>,<#>}'::text[]) AS operator, unnest('{3,550,605}'::int[]) AS i,
		format('SELECT id, e %1$s (SELECT e FROM t WHERE id = %2$s) AS d FROM t ORDER BY e %1$s (SELECT e FROM t WHERE id = %2$s)',
			   operator, i) AS query;
DROP TABLE t;

CREATE TABLE t (id int, e vector(4));
INSERT INTO t SELECT i, (array_fill(i::float4 * 1e-45::float4, ARRAY[3]) || (i % 10) * 1e-40::float4)::vector FROM generate_series(1, 500) AS i;
CREATE INDEX t_l2 ON t USING annoy (e vector_l2_ops);
CREATE INDEX t_cosine ON t USING annoy (e);
CREATE INDEX t_ip ON t USING annoy (e vector_ip_ops);
SELECT operator, check_answers('t', operator, q)
	FROM unnest('{<->,<=>,<#>}'::text[]) AS operator,
		unnest('{"[1e-43,1e-43,1e-43,1e-44]","[1,0,-1,1e-38]"}'::vector[]) AS q;
DROP TABLE t;

-- Zero vectors under cosine: NaN, after all numbers and before NULL; enough of
-- both to fill several pages.
CREATE TABLE t (id int, e vector(2));
INSERT INTO t SELECT i, CASE WHEN i % 3 = 0 THEN NULL WHEN i % 3 = 1 THEN '[0,0]' ELSE even_vector(2, i) END
	FROM generate_series(1, 6000) AS i;
CREATE INDEX t_cosine ON t USING annoy (e);
SELECT check_answers('t', '<=>', '[1,1]');
SELECT min(n) FILTER (WHERE d = 'NaN') AS first_nan, min(n) FILTER (WHERE d IS NULL) AS first_null
	FROM answer('SELECT id, e <=> ''[1,1]'' AS d FROM t ORDER BY e <=> ''[1,1]''', true);
DROP TABLE t;

--
-- Number of trees, of which several pages of roots
--
CREATE TABLE t (id int, e vector(5));
CREATE INDEX t_l2 ON t USING annoy (e vector_l2_ops) WITH (n_trees = 1000);
SELECT check_answers('t', '<->', even_vector(5, 3));
DROP INDEX t_l2;
INSERT INTO t SELECT i, even_vector(5, i) FROM generate_series(1, 60) AS i;
CREATE FUNCTION check_trees(trees int) RETURNS text
	LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE INDEX t_l2 ON t USING annoy (e vector_l2_ops) WITH (n_trees = %s)', trees);
	RETURN format('%s trees, each of all rows %s; %s',
				  (SELECT count(DISTINCT tree) FROM annoy_leaf_items('t_l2')),
				  (SELECT bool_and(items = 60 AND different = 60)
				   FROM (SELECT count(*) AS items, count(DISTINCT item) AS different
						 FROM annoy_leaf_items('t_l2') GROUP BY tree) AS trees),
				  check_answers('t', '<->', even_vector(5, 3)));
END
$$;
SELECT check_trees(1);
DROP INDEX t_l2;
SELECT check_trees(3);
DROP INDEX t_l2;
SELECT check_trees(700);

--
-- Commands
--
-- Options of an index that exists: search_k at once, those of the build with
-- the next one.
ALTER INDEX t_l2 SET (n_trees = 4, seed = 7);
SELECT count(DISTINCT tree) FROM annoy_leaf_items('t_l2');
REINDEX INDEX t_l2;
SELECT count(DISTINCT tree) FROM annoy_leaf_items('t_l2');
ALTER INDEX t_l2 SET (n_trees = 2);
REINDEX INDEX CONCURRENTLY t_l2;
SELECT count(DISTINCT tree) FROM annoy_leaf_items('t_l2');
SELECT check_answers('t', '<->', even_vector(5, 3));
DROP INDEX t_l2;
CREATE INDEX CONCURRENTLY t_l2 ON t USING annoy (e vector_l2_ops) WITH (n_trees = 3);
SELECT check_answers('t', '<->', even_vector(5, 3));
SELECT indisvalid FROM pg_index WHERE indexrelid = 't_l2'::regclass;
-- Rewritten tables.
VACUUM FULL t;
SELECT check_answers('t', '<->', even_vector(5, 3));
ALTER TABLE t ADD COLUMN filler int DEFAULT random() * 1000;
SELECT check_answers('t', '<->', even_vector(5, 3));
ALTER TABLE t ALTER e TYPE vector(2) USING subvector(e, 1, 2);
SELECT check_answers('t', '<->', '[0.5,0]');
-- Rolled back.
BEGIN;
CREATE INDEX t_other ON t USING annoy (e);
SELECT check_answers('t', '<=>', '[0.5,0]');
SAVEPOINT s;
DROP INDEX t_l2;
ROLLBACK TO s;
REINDEX TABLE t;
DELETE FROM t WHERE id > 30;
SELECT check_answers('t', '<->', '[0.5,0]');
ROLLBACK;
SELECT check_answers('t', '<->', '[0.5,0]');
-- Copied definitions.
CREATE TABLE t_like (LIKE t INCLUDING INDEXES);
SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 't_like'::regclass;
SELECT check_answers('t_like', '<->', '[0.5,0]');
-- What the access method does not do.
CREATE INDEX ON t USING annoy (e, id);
CREATE INDEX ON t USING annoy (e) INCLUDE (id);
CREATE UNIQUE INDEX ON t USING annoy (e);
CREATE INDEX ON t USING annoy (id);
-- The message names the operator with its schema from 17 on.
\set VERBOSITY sqlstate
ALTER TABLE t ADD EXCLUDE USING annoy (e WITH =);
\set VERBOSITY default
CLUSTER t USING t_l2;
DROP TABLE t, t_like;

--
-- Memory: 1 MB is enough for a small table of 2,000 dimensions.  At least what
-- more dimensions, or more rows (forest.sql), need, and the error says it.
--
CREATE TABLE t (id int, e vector(2000));
INSERT INTO t SELECT i, even_vector(2000, i) FROM generate_series(1, 400) AS i;
SET maintenance_work_mem = '1MB';
CREATE INDEX t_l2 ON t USING annoy (e vector_l2_ops) WITH (n_trees = 2);
SELECT check_answers('t', '<->', even_vector(2000, 3));
DROP TABLE t;
CREATE TABLE t (id int, e vector(16000));
INSERT INTO t SELECT i, even_vector(16000, i) FROM generate_series(1, 20) AS i;
CREATE INDEX t_l2 ON t USING annoy (e vector_l2_ops);
DO $$
DECLARE
	detail text;
BEGIN
	CREATE INDEX t_l2 ON t USING annoy (e vector_l2_ops);
EXCEPTION WHEN insufficient_resources THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
	PERFORM set_config('maintenance_work_mem', substring(detail FROM 'at least (\d+ kB)'), false);
END
$$;
SELECT pg_size_bytes(current_setting('maintenance_work_mem')) <= 4 * 1024 * 1024 AS little;
CREATE INDEX t_l2 ON t USING annoy (e vector_l2_ops);
SELECT check_answers('t', '<->', even_vector(16000, 3));
RESET maintenance_work_mem;
DROP TABLE t;

-- Steps are told on request.
CREATE TABLE t (id int, e vector(100));
INSERT INTO t VALUES (1, even_vector(100, 1)), (2, NULL);
SET annoy.verbosity = 1;
CREATE INDEX t_l2 ON t USING annoy (e vector_l2_ops) WITH (n_trees = 2);
RESET annoy.verbosity;
DROP TABLE t;

--
-- Partial indexes, and indexes of expressions
--
CREATE TABLE t (id int, category int, e vector(6), a real[]);
INSERT INTO t SELECT i, i % 10, even_vector(6, i), even_vector(6, i)::real[] FROM generate_series(1, 3000) AS i;
CREATE INDEX t_partial ON t USING annoy (e vector_l2_ops) WHERE category = 3;
SELECT check_answers('t', '<->', even_vector(6, 5), 'category = 3');
SELECT count(*) FROM annoy_leaf_items('t_partial') WHERE tree = 0;
DROP INDEX t_partial;

CREATE INDEX t_cast ON t USING annoy ((a::vector(6)) vector_l2_ops);
SELECT same_answer(format('SELECT id, a::vector(6) <-> %1$L AS d FROM t ORDER BY a::vector(6) <-> %1$L LIMIT 50', even_vector(6, 5)));
CREATE INDEX t_function ON t USING annoy (subvector(e, 2, 3));
SELECT same_answer('SELECT id, subvector(e, 2, 3) <=> ''[1,2,3]'' AS d FROM t ORDER BY subvector(e, 2, 3) <=> ''[1,2,3]'' LIMIT 50');
CREATE INDEX t_normalized ON t USING annoy (l2_normalize(e) vector_l2_ops) WHERE category > 5;
SELECT same_answer('SELECT id, l2_normalize(e) <-> ''[1,2,3,4,5,6]'' AS d FROM t WHERE category > 5
	ORDER BY l2_normalize(e) <-> ''[1,2,3,4,5,6]'' LIMIT 50');
DROP TABLE t;
-- A cast that fixes the number of dimensions.
CREATE TABLE t (id int, e vector);
INSERT INTO t SELECT i, even_vector(3, i) FROM generate_series(1, 1000) AS i;
INSERT INTO t VALUES (1001, '[1,2]');
CREATE INDEX t_three ON t USING annoy ((e::vector(3)) vector_l2_ops) WHERE vector_dims(e) = 3;
SELECT same_answer('SELECT id, e::vector(3) <-> ''[1,2,3]'' AS d FROM t WHERE vector_dims(e) = 3 ORDER BY e::vector(3) <-> ''[1,2,3]''');
CREATE INDEX ON t USING annoy ((e::vector(3)) vector_l2_ops);
DROP TABLE t;

--
-- Kinds of tables
--
-- Partitions: one index each, merged in order.
CREATE TABLE t (id int, e vector(4)) PARTITION BY RANGE (id);
CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM (0) TO (1000);
CREATE TABLE t_2 PARTITION OF t FOR VALUES FROM (1000) TO (1500);
CREATE TABLE t_3 PARTITION OF t FOR VALUES FROM (3000) TO (4000);
INSERT INTO t SELECT i, even_vector(4, i) FROM generate_series(0, 1499) AS i;
CREATE INDEX t_index ON t USING annoy (e vector_l2_ops) WITH (n_trees = 3);
CREATE TABLE t_4 (id int, e vector(4));
INSERT INTO t_4 SELECT i, CASE WHEN i % 4 > 0 THEN even_vector(4, i) END FROM generate_series(4000, 4099) AS i;
ALTER TABLE t ATTACH PARTITION t_4 FOR VALUES FROM (4000) TO (5000);
SELECT relid::regclass, reloptions FROM pg_partition_tree('t_index') JOIN pg_class ON relid = oid ORDER BY 1;
SELECT check_answers('t', '<->', even_vector(4, 77));
SELECT check_answers('t', '<->', even_vector(4, 77), 'id >= 1000');
ALTER TABLE t DETACH PARTITION t_2;
SELECT check_answers('t', '<->', even_vector(4, 77)), check_answers('t_2', '<->', even_vector(4, 77));
REINDEX TABLE t;
SELECT check_answers('t', '<->', even_vector(4, 77));
DROP TABLE t, t_2;

-- Unlogged, and back and forth.
CREATE UNLOGGED TABLE t (id int, e vector(4));
INSERT INTO t SELECT i, even_vector(4, i) FROM generate_series(1, 1000) AS i;
CREATE INDEX t_index ON t USING annoy (e vector_l2_ops);
SELECT check_answers('t', '<->', even_vector(4, 77));
ALTER TABLE t SET LOGGED;
SELECT check_answers('t', '<->', even_vector(4, 77));
ALTER TABLE t SET UNLOGGED;
SELECT check_answers('t', '<->', even_vector(4, 77));
DELETE FROM t WHERE id > 500;
VACUUM (INDEX_CLEANUP on) t;
SELECT check_answers('t', '<->', even_vector(4, 77));
-- Its empty twin, which a crash leaves, is there.
SELECT pg_relation_size('t_index', 'init') > 0 AS init_fork;
DROP TABLE t;

-- Temporary; also emptied by commits.
CREATE TEMPORARY TABLE t (id int, e vector(4));
INSERT INTO t SELECT i, even_vector(4, i) FROM generate_series(1, 1000) AS i;
CREATE INDEX t_index ON t USING annoy (e vector_l2_ops);
SELECT check_answers('t', '<->', even_vector(4, 77));
DELETE FROM t WHERE id > 500;
VACUUM (INDEX_CLEANUP on) t;
SELECT check_answers('t', '<->', even_vector(4, 77));
DROP TABLE t;
CREATE TEMPORARY TABLE t (id int, e vector(4)) ON COMMIT DELETE ROWS;
BEGIN;
INSERT INTO t SELECT i, even_vector(4, i) FROM generate_series(1, 1000) AS i;
CREATE INDEX t_index ON t USING annoy (e vector_l2_ops);
SELECT check_answers('t', '<->', even_vector(4, 77));
COMMIT;
SELECT check_answers('t', '<->', even_vector(4, 77));
DROP TABLE t;

-- A materialized view.
CREATE MATERIALIZED VIEW t AS SELECT i AS id, even_vector(4, i) AS e FROM generate_series(1, 1000) AS i;
CREATE INDEX t_index ON t USING annoy (e vector_l2_ops);
REFRESH MATERIALIZED VIEW t;
SELECT check_answers('t', '<->', even_vector(4, 77));
DROP MATERIALIZED VIEW t;

--
-- An expression that is not what it says
--
-- Each step of a build evaluates it again, and has to look again at what it gets.
CREATE SEQUENCE calls;
CREATE FUNCTION inconstant_bits(last_call int) RETURNS bit varying LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	RETURN repeat('1', CASE WHEN nextval('public.calls') <= last_call THEN 100 ELSE 60000 END)::bit varying;
END
$$;
CREATE FUNCTION build_inconstant(last_call int) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM setval('calls', 1, false);
	EXECUTE format('CREATE INDEX ON t USING annoy ((inconstant_bits(%s + id * 0)::bit varying) bit_hamming_ops)', last_call);
	RETURN 'built';
EXCEPTION WHEN data_exception THEN
	RETURN 'rejected';
END
$$;
CREATE TABLE t (id int);
INSERT INTO t SELECT i FROM generate_series(1, 100) AS i;
-- Changes while rows are counted, while their mean is found, while the sample
-- is sketched, while rows are loaded.
SET client_min_messages = warning;
SELECT calls, build_inconstant(calls) FROM generate_series(50, 350, 100) AS calls;
RESET client_min_messages;
DROP TABLE t;
DROP FUNCTION build_inconstant, inconstant_bits;
DROP SEQUENCE calls;

--
-- Deleted rows
--
CREATE TABLE t (id int, e vector(7));
INSERT INTO t SELECT i, CASE WHEN i % 50 = 0 THEN NULL WHEN i % 50 = 1 THEN array_fill(0, ARRAY[7])::vector ELSE even_vector(7, i % 3000) END
	FROM generate_series(1, 6000) AS i;
CREATE INDEX t_l2 ON t USING annoy (e vector_l2_ops);
CREATE INDEX t_cosine ON t USING annoy (e);
VACUUM t;
SELECT relname, reltuples FROM pg_class WHERE relname IN ('t_l2', 't_cosine') ORDER BY 1;
DELETE FROM t WHERE id % 3 > 0;
SELECT check_answers('t', '<->', even_vector(7, 5)), check_answers('t', '<=>', even_vector(7, 5));
VACUUM (INDEX_CLEANUP on) t;
SELECT check_answers('t', '<->', even_vector(7, 5)), check_answers('t', '<=>', even_vector(7, 5));
SELECT relname, reltuples FROM pg_class WHERE relname IN ('t_l2', 't_cosine') ORDER BY 1;
SELECT count(*), count(DISTINCT item), bool_and(item = ANY (ARRAY(SELECT ctid FROM t))) AS live
	FROM annoy_leaf_items('t_l2') WHERE tree = 0;
SET annoy.search_k = 1;
SELECT count(*) FROM answer(format('SELECT id, e <-> %1$L AS d FROM t ORDER BY e <-> %1$L LIMIT 100', even_vector(7, 5)), true);
SET annoy.search_k = 1000000;
DELETE FROM t;
VACUUM (INDEX_CLEANUP on, TRUNCATE off) t;
SELECT check_answers('t', '<->', even_vector(7, 5)), check_answers('t', '<=>', even_vector(7, 5));
SELECT count(*) FROM annoy_leaf_items('t_l2');
VACUUM (INDEX_CLEANUP on) t;
SELECT relname, reltuples FROM pg_class WHERE relname IN ('t_l2', 't_cosine') ORDER BY 1;
REINDEX TABLE t;
SELECT check_answers('t', '<->', even_vector(7, 5)), check_answers('t', '<=>', even_vector(7, 5));
DROP TABLE t;

DROP FUNCTION check_answers, check_dimensions, check_trees(int), check_trees(regclass, regclass);
RESET annoy.search_k;

DROP FUNCTION even_vector, clustered_vector, answer, disorder, same_answer, complete_answer, recall;
