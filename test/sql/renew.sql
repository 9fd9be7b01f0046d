-- Only what a living row has is fixed for good in an index: dimensions, centre,
-- M.  Rows that were rolled back, deleted or replaced leave nothing behind.
\getenv abs_srcdir PG_ABS_SRCDIR
\set answer :abs_srcdir '/include/answer.sql'
\set ECHO none
\i :answer
\set ECHO all
SET enable_seqscan = off;
SET enable_sort = off;

--
-- Inserts
--
-- At once after a rollback, for each type and also when NULLs are there.
CREATE TABLE t (id int, e vector, b varbit);
INSERT INTO t VALUES (0, NULL, NULL);
CREATE INDEX t_l2 ON t USING annoy (e vector_l2_ops) WITH (n_trees = 3);
CREATE INDEX t_bits ON t USING annoy ((b::bit varying) bit_hamming_ops);
BEGIN;
INSERT INTO t VALUES (1, '[1,2,3]', B'101');
ROLLBACK;
INSERT INTO t VALUES (2, '[1,2]', B'10101'), (3, '[2,2]', NULL);
SELECT id, e <-> '[1,2]' AS d FROM t ORDER BY e <-> '[1,2]';
SELECT id, b <~> B'10100' AS d FROM t ORDER BY b::bit varying <~> B'10100';
SELECT annoy_index_check('t_l2', true), annoy_index_check('t_bits', true);
-- Not while somebody has, or may get back, a row of another length.
INSERT INTO t VALUES (4, '[1,2,3]', NULL);
BEGIN;
DELETE FROM t WHERE e IS NOT NULL;
SAVEPOINT s;
INSERT INTO t VALUES (4, '[1,2,3]', NULL);
ROLLBACK TO s;
ROLLBACK;
-- A savepoint, and several statements, of one transaction.
TRUNCATE t;
BEGIN;
SAVEPOINT s;
INSERT INTO t VALUES (1, '[1,2,3]', B'1');
ROLLBACK TO s;
INSERT INTO t VALUES (2, '[1,2]', B'10');
INSERT INTO t VALUES (3, '[1,1]', B'11');
INSERT INTO t VALUES (4, '[1,2,3]', B'101');
ROLLBACK;
INSERT INTO t VALUES (5, '[4]', B'1111');
SELECT annoy_index_check('t_l2', true), annoy_index_check('t_bits', true);
-- Many, removed by VACUUM; what their trees took is used again.
INSERT INTO t SELECT i, even_vector(1, i), NULL FROM generate_series(1, 3000) AS i;
DELETE FROM t;
VACUUM t;
INSERT INTO t SELECT i, even_vector(3, i), NULL FROM generate_series(1, 2000) AS i;
SELECT annoy_index_check('t_l2', true), annoy_index_check('t_bits', true);
SET annoy.search_k = 1000000;
SELECT same_answer('SELECT id, e <-> ''[0,0,0]'' AS d FROM t ORDER BY e <-> ''[0,0,0]'' LIMIT 50');
RESET annoy.search_k;
SELECT pg_relation_size('t_l2') AS size \gset
DELETE FROM t;
INSERT INTO t SELECT i, even_vector(2, i), NULL FROM generate_series(1, 2000) AS i;
DELETE FROM t;
VACUUM t;
INSERT INTO t SELECT i, even_vector(3, i), NULL FROM generate_series(1, 2000) AS i;
SELECT pg_relation_size('t_l2') < 2 * :size AS reused, annoy_index_check('t_l2', true);
-- Of an index that was built with rows, and when nothing was vacuumed.
DELETE FROM t WHERE id > 10;
REINDEX INDEX t_l2;
DELETE FROM t;
INSERT INTO t VALUES (1, '[1,2]', NULL);
SELECT id FROM t ORDER BY e <-> '[1,2]';
SELECT annoy_index_check('t_l2', true);
-- While a scan of ours is open its trees stay.
DELETE FROM t;
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM t ORDER BY e <-> '[1,2]';
FETCH c;
INSERT INTO t VALUES (1, '[1,2,3]', NULL);
ROLLBACK;
DROP TABLE t;

-- Same length: M is not that of a first row that was rolled back, or deleted.
-- With an M of millions the sketches would say nothing, and every item would
-- be ranked exactly.
CREATE TABLE t (id int, e vector(8));
CREATE INDEX t_ip ON t USING annoy (e vector_ip_ops) WITH (seed = 1);
CREATE FUNCTION exact_distances() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
	PERFORM id FROM t ORDER BY e <#> even_vector(8, 0) LIMIT 1;
	RETURN (SELECT exact_distances FROM annoy_last_scan());
END
$$;
INSERT INTO t SELECT i, even_vector(8, i) FROM generate_series(1, 1000) AS i;
SELECT exact_distances() AS usual \gset
TRUNCATE t;
BEGIN;
INSERT INTO t VALUES (0, array_fill(1e6, ARRAY[8])::vector);
ROLLBACK;
INSERT INTO t SELECT i, even_vector(8, i) FROM generate_series(1, 1000) AS i;
SELECT exact_distances() <= 2 * :usual AS after_rollback;
TRUNCATE t;
INSERT INTO t SELECT i, array_fill(1e6, ARRAY[8])::vector FROM generate_series(1, 10000) AS i;
DELETE FROM t;
VACUUM t;
INSERT INTO t SELECT i, even_vector(8, i) FROM generate_series(1, 1000) AS i;
SELECT exact_distances() <= 2 * :usual AS after_vacuum;
SELECT annoy_index_check('t_ip', true);
DROP FUNCTION exact_distances;
DROP TABLE t;

--
-- Builds
--
-- Versions of rows that only old snapshots could see, here those that the
-- transaction itself has replaced: of another length, which are left out, and of a
-- larger norm, which does not fix M.
CREATE TABLE t (id int, e vector);
BEGIN;
INSERT INTO t VALUES (1, '[1,2,3]'), (2, '[1,2]'), (3, '[1e9,1e9]'), (4, NULL);
CREATE INDEX t_id ON t (e);
UPDATE t SET e = ARRAY[3, id]::vector WHERE id <> 2;
CREATE INDEX t_l2 ON t USING annoy (e vector_l2_ops);
CREATE INDEX t_ip ON t USING annoy (e vector_ip_ops);
COMMIT;
SELECT id, e <-> '[1,0]' AS d FROM t ORDER BY e <-> '[1,0]';
SELECT annoy_index_check('t_l2', true), annoy_index_check('t_ip', true);
-- There are only such ones.
BEGIN;
DELETE FROM t;
REINDEX INDEX t_l2;
COMMIT;
INSERT INTO t VALUES (1, '[1,2,3,4]');
SELECT id FROM t ORDER BY e <-> '[1,2,3,4]';
-- Living rows of several lengths are an error.
DROP INDEX t_l2, t_ip;
INSERT INTO t VALUES (1, '[1,2,3]');
CREATE INDEX t_l2 ON t USING annoy (e vector_l2_ops);
DROP TABLE t;

-- Values without any dimension are none that can be indexed.
CREATE TABLE t (id int, b varbit);
CREATE INDEX t_empty ON t USING annoy ((b::bit varying) bit_hamming_ops);
INSERT INTO t VALUES (1, B'');
DROP INDEX t_empty;
INSERT INTO t VALUES (1, B'');
CREATE INDEX ON t USING annoy ((b::bit varying) bit_hamming_ops);
CREATE INDEX ON t USING annoy ((b::bit varying) bit_jaccard_ops);
SELECT hamming_distance(b, b), jaccard_distance(b, b) FROM t;
DROP TABLE t;

DROP FUNCTION even_vector, clustered_vector, answer, disorder, same_answer, complete_answer, recall;
