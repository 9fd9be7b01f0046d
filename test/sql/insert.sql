-- Inserts: a row that comes into a table later is found as if the index had
-- been built with it, by every way in which rows come and go.
\getenv abs_srcdir PG_ABS_SRCDIR
\set answer :abs_srcdir '/include/check_answers.sql'
\set ECHO none
\i :answer
\set ECHO all

-- Everything is inspected, so that an answer is the exact one.
SET annoy.search_k = 1000000;

--
-- One row after the other, from an empty table on
--
CREATE TABLE t (id int PRIMARY KEY, note text, e vector(3));
CREATE INDEX t_l2 ON t USING annoy (e vector_l2_ops);
CREATE INDEX t_cosine ON t USING annoy (e) WITH (n_trees = 3);
CREATE INDEX t_ip ON t USING annoy (e vector_ip_ops);
CREATE VIEW t_answers AS
	SELECT operator, check_answers('t', operator, '[1,2,4]') FROM unnest('{<->,<=>,<#>}'::text[]) AS operator;
INSERT INTO t VALUES (1, 'first', '[1,2,3]');
SELECT * FROM t_answers;
INSERT INTO t VALUES (2, 'null', NULL);
SELECT * FROM t_answers;
INSERT INTO t VALUES (3, 'zero', '[0,0,0]');
SELECT * FROM t_answers;
INSERT INTO t VALUES (4, 'copy', '[1,2,3]'), (5, 'opposite', '[-1,-2,-3]');
SELECT * FROM t_answers;
COPY t FROM stdin;
6	copied	[1,1,1]
7	null	\N
8	zero	[0,0,0]
\.
SELECT * FROM t_answers;
SELECT id, e <-> '[1,1,0]' AS d FROM answer('SELECT id, e <-> ''[1,1,0]'' AS d FROM t ORDER BY e <-> ''[1,1,0]'' LIMIT 2', true) AS a JOIN t USING (id);

-- Updates: of the vector, to NULL and back, to zero and back; of another
-- column, with and without a new version in the index; of the key.
UPDATE t SET e = '[7,8,9]' WHERE id = 1;
UPDATE t SET e = NULL WHERE id = 4;
UPDATE t SET e = '[4,4,4]' WHERE id = 2;
UPDATE t SET e = '[0,0,0]' WHERE id = 5;
UPDATE t SET e = '[1,0,0]' WHERE id = 3;
SELECT * FROM t_answers;
UPDATE t SET note = note || ', changed';
UPDATE t SET id = id + 10;
UPDATE t SET id = id - 10;
SELECT * FROM t_answers;
SELECT id, note FROM t ORDER BY e <-> '[7,8,9]' LIMIT 1;

-- Conflicts: rows given up at once, and ones changed instead.
INSERT INTO t VALUES (1, 'again', '[1,1,2]'), (20, 'new', '[1,1,3]') ON CONFLICT DO NOTHING;
INSERT INTO t VALUES (1, 'again', '[1,1,2]'), (21, 'new', '[1,1,4]')
	ON CONFLICT (id) DO UPDATE SET e = EXCLUDED.e, note = EXCLUDED.note;
INSERT INTO t VALUES (1, 'again', '[1,1,2]');
SELECT * FROM t_answers;
SELECT id, note FROM t ORDER BY e <-> '[1,1,2]' LIMIT 1;
MERGE INTO t USING (VALUES (20, '[9,1,1]'::vector), (22, '[9,2,1]')) AS source (id, e) ON t.id = source.id
	WHEN MATCHED THEN UPDATE SET e = source.e WHEN NOT MATCHED THEN INSERT VALUES (source.id, 'merged', source.e);
SELECT * FROM t_answers;

-- Deleted and inserted again, in one statement.
WITH gone AS (DELETE FROM t WHERE id < 5 RETURNING *) INSERT INTO t SELECT id + 100, note, e FROM gone;
SELECT * FROM t_answers;

-- Within a transaction rows are found at once; rolled back, they are gone.
BEGIN;
INSERT INTO t SELECT i, 'rolled back', even_vector(3, i) FROM generate_series(1000, 3000) AS i;
SELECT * FROM t_answers;
ROLLBACK;
SELECT * FROM t_answers;
BEGIN;
INSERT INTO t VALUES (200, 'kept', '[1,3,1]');
SAVEPOINT a;
INSERT INTO t VALUES (201, 'rolled back', '[1,3,2]');
UPDATE t SET e = '[1,3,3]' WHERE id = 200;
SELECT * FROM t_answers;
ROLLBACK TO a;
SAVEPOINT b;
INSERT INTO t VALUES (202, 'kept', '[1,3,4]');
RELEASE b;
COMMIT;
SELECT * FROM t_answers;
VACUUM (INDEX_CLEANUP on) t;
SELECT * FROM t_answers;

-- Emptied, and filled again.
TRUNCATE t;
INSERT INTO t VALUES (1, 'one', '[1,2,3]'), (2, 'two', NULL);
SELECT * FROM t_answers;
BEGIN;
TRUNCATE t;
INSERT INTO t SELECT i, 'rolled back', even_vector(3, i) FROM generate_series(1, 10) AS i;
SELECT * FROM t_answers;
ROLLBACK;
SELECT * FROM t_answers;
DELETE FROM t;
VACUUM (INDEX_CLEANUP on) t;
INSERT INTO t SELECT i, 'all new', even_vector(3, i) FROM generate_series(1, 3000) AS i;
SELECT * FROM t_answers;
SELECT * FROM check_trees('t_l2', 't') UNION ALL SELECT * FROM check_trees('t_cosine', 't') UNION ALL SELECT * FROM check_trees('t_ip', 't');
DROP VIEW t_answers;
DROP TABLE t;

--
-- Numbers of dimensions: the column's, else that of the first vector that has
-- a direction; a failed statement leaves nothing.
--
CREATE TABLE t (id int, e vector);
CREATE INDEX t_l2 ON t USING annoy (e vector_l2_ops);
CREATE INDEX t_cosine ON t USING annoy (e);
CREATE VIEW t_answers AS
	SELECT operator, check_answers('t', operator, '[1,2,4]') FROM unnest('{<->,<=>}'::text[]) AS operator;
INSERT INTO t VALUES (1, NULL);
SELECT * FROM t_answers;
INSERT INTO t VALUES (2, '[1,2,3]'), (3, NULL);
SELECT * FROM t_answers;
INSERT INTO t VALUES (4, '[1,2,5]'), (5, '[1,2]'), (6, '[1,2,6]');
INSERT INTO t VALUES (4, '[1,2,3,4]');
UPDATE t SET e = '[1]' WHERE id = 2;
COPY t FROM stdin;
4	[1,2,6]
5	[1,2]
\.
SELECT id FROM t ORDER BY id;
SELECT * FROM t_answers;
SELECT id FROM answer('SELECT id, e <-> ''[1,2]'' AS d FROM t ORDER BY e <-> ''[1,2]''', true);
-- Emptied, the index starts anew; truncated, too.
DELETE FROM t;
VACUUM (INDEX_CLEANUP on) t;
INSERT INTO t VALUES (1, '[1,2]');
TRUNCATE t;
INSERT INTO t VALUES (1, '[1,2]');
SELECT check_answers('t', '<->', '[1,3]'), check_answers('t', '<=>', '[1,3]');
DROP VIEW t_answers;
DROP TABLE t;
-- Under cosine a zero vector says nothing about the others.
CREATE TABLE t (id int, e vector);
CREATE INDEX t_cosine ON t USING annoy (e);
INSERT INTO t VALUES (1, '[0,0]'), (2, '[0,0,0]');
INSERT INTO t VALUES (3, '[1,0,0]');
INSERT INTO t VALUES (4, '[0,1]');
SELECT id, d FROM answer('SELECT id, e <=> ''[1,2,3]'' AS d FROM t WHERE vector_norm(e) > 0 ORDER BY e <=> ''[1,2,3]''', true);
DROP TABLE t;
CREATE TABLE t (id int, e vector(3));
CREATE INDEX t_l2 ON t USING annoy (e vector_l2_ops);
INSERT INTO t VALUES (1, '[1,2]');
SELECT count(*) FROM t;
DROP TABLE t;

-- From the least to the most, past splits of leaves and directories; vectors
-- over many pages.
CREATE FUNCTION check_dimensions(dimensions int, rows int) RETURNS SETOF text
	LANGUAGE plpgsql AS $$
DECLARE
	operator text;
	opclass text;
BEGIN
	EXECUTE format('CREATE TEMPORARY TABLE sized (id int, e vector(%s))', dimensions);
	FOR operator, opclass IN VALUES ('<->', 'vector_l2_ops'), ('<=>', 'vector_cosine_ops'), ('<#>', 'vector_ip_ops')
	LOOP
		EXECUTE format('CREATE INDEX ON sized USING annoy (e %s)', opclass);
	END LOOP;
	INSERT INTO sized SELECT i, even_vector(dimensions, i) FROM generate_series(1, rows) AS i;
	FOREACH operator IN ARRAY '{<->,<=>,<#>}'::text[]
	LOOP
		RETURN NEXT operator || ': ' || check_answers('sized', operator, even_vector(dimensions, rows / 2));
	END LOOP;
	DROP TABLE sized;
END
$$;
SELECT check_dimensions(1, 3000);
SELECT check_dimensions(2, 3000);
SELECT check_dimensions(15, 1500);
SELECT check_dimensions(16, 1500);
SELECT check_dimensions(17, 1500);
SELECT check_dimensions(1536, 250);
SELECT check_dimensions(1537, 250);
SELECT check_dimensions(2000, 250);
SELECT check_dimensions(16000, 60);
-- Toasted values: compressed, out of line, both and short.
CREATE TABLE t (id int, e vector);
CREATE INDEX ON t USING annoy (e vector_l2_ops);
INSERT INTO t SELECT i, array_fill(i, ARRAY[3000])::vector FROM generate_series(1, 20) AS i;
INSERT INTO t SELECT i, even_vector(3000, i) FROM generate_series(21, 40) AS i;
ALTER TABLE t ALTER e SET STORAGE external;
INSERT INTO t SELECT i, array_fill(i, ARRAY[3000])::vector FROM generate_series(41, 60) AS i;
UPDATE t SET e = (SELECT e FROM t WHERE id = 30) WHERE id = 31;
SELECT check_answers('t', '<->', even_vector(3000, 30));
SELECT check_answers('t', '<->', array_fill(5, ARRAY[3000])::vector);
DROP TABLE t;

--
-- Growth from nothing: many splits of leaves and directories
--
CREATE TABLE source (id int, e vector(384));
ALTER TABLE source ALTER e SET STORAGE plain;
-- 5,000 vectors near 50 centres, put together from pieces.
WITH pieces AS (SELECT array_agg(even_vector(48, i)) AS piece FROM generate_series(1, 200) AS i),
	rows AS (SELECT i, i % 50 AS centre, i * 7 % 199 AS a, i / 50 % 199 AS b, i * 13 % 197 AS c FROM generate_series(1, 5000) AS i)
INSERT INTO source
	SELECT i, (piece[centre + 1] || piece[centre + 51] || piece[centre + 101] || piece[centre + 150])
		|| (piece[a + 1] || piece[b + 1] || piece[c + 1] || piece[(a + b) % 199 + 1])
	FROM rows, pieces;
CREATE TABLE t (LIKE source);
CREATE INDEX t_l2 ON t USING annoy (e vector_l2_ops) WITH (n_trees = 2);
CREATE INDEX t_cosine ON t USING annoy (e);
CREATE INDEX t_ip ON t USING annoy (e vector_ip_ops);
INSERT INTO t SELECT * FROM source;
SELECT operator, check_answers('t', operator, (SELECT e FROM source WHERE id = i))
	FROM unnest('{<->,<=>,<#>}'::text[]) AS operator, unnest('{3,2999}'::int[]) AS i;
SELECT * FROM check_trees('t_l2', 't') UNION ALL SELECT * FROM check_trees('t_cosine', 't') UNION ALL SELECT * FROM check_trees('t_ip', 't');
-- One leaf after the other still comes to every row.
SET annoy.search_k = 1;
SELECT operator, complete_answer(format('SELECT id, e %1$s %2$L AS d FROM t ORDER BY e %1$s %2$L', operator, (SELECT e FROM source WHERE id = 3)))
	FROM unnest('{<->,<=>,<#>}'::text[]) AS operator;
SET annoy.search_k = 1000000;
-- Leaves are well filled (112 entries go into one), and the index not much
-- larger than one that is built with these rows.
SELECT count(*) / count(DISTINCT leaf) BETWEEN 50 AND 112 AS filled FROM annoy_leaf_items('t_l2') WHERE tree = 0;
CREATE TEMPORARY TABLE grown AS SELECT oid::regclass AS index, pg_relation_size(oid) AS size FROM pg_class WHERE relname ~ '^t_(l2|cosine|ip)$';
REINDEX TABLE t;
SELECT index, size < 1.15 * pg_relation_size(index) AS compact FROM grown ORDER BY 1;
DROP TABLE grown;
-- Doubled by inserts after a build, as many rows as there were.
INSERT INTO t SELECT id + 5000, e * array_fill(1.01, ARRAY[384])::vector FROM source;
SELECT operator, check_answers('t', operator, (SELECT e FROM source WHERE id = 77))
	FROM unnest('{<->,<=>,<#>}'::text[]) AS operator;
SELECT * FROM check_trees('t_l2', 't') UNION ALL SELECT * FROM check_trees('t_cosine', 't') UNION ALL SELECT * FROM check_trees('t_ip', 't');
DROP TABLE t, source;

-- Recall at default settings, of queries that are not in the table: after all
-- rows have come by inserts, after a build of half of them and inserts of the
-- others, and far from where the first ones were.
RESET annoy.search_k;
CREATE TABLE source AS SELECT i AS id, clustered_vector(48, i) AS e FROM generate_series(1, 16000) AS i;
CREATE TABLE queries AS SELECT array_agg(clustered_vector(48, i)) AS q FROM generate_series(20001, 20025) AS i;
CREATE TABLE t (id int, e vector(48));
CREATE FUNCTION recalls() RETURNS TABLE (operator text, at_least text)
	LANGUAGE sql AS $$
	SELECT operator, CASE WHEN r >= 0.9 THEN '0.9' ELSE r::text END
	FROM unnest('{<->,<=>,<#>}'::text[]) AS operator,
		recall(format('SELECT id, e %1$s $q AS d FROM t ORDER BY e %1$s $q LIMIT 10', operator), (SELECT q FROM queries)) AS r
	ORDER BY operator
$$;
CREATE INDEX t_l2 ON t USING annoy (e vector_l2_ops);
CREATE INDEX t_cosine ON t USING annoy (e);
CREATE INDEX t_ip ON t USING annoy (e vector_ip_ops);
INSERT INTO t SELECT * FROM source;
SELECT * FROM recalls();
TRUNCATE t;
INSERT INTO t SELECT * FROM source WHERE id <= 8000;
REINDEX TABLE t;
INSERT INTO t SELECT * FROM source WHERE id > 8000;
SELECT * FROM recalls();
-- Sorted by their place in space, the worst order for a tree that grows.
TRUNCATE t;
INSERT INTO t SELECT id, e FROM source ORDER BY subvector(e, 1, 1), id;
SELECT * FROM recalls();
DROP TABLE t, source, queries;
DROP FUNCTION recalls;
SET annoy.search_k = 1000000;

--
-- Equal vectors by the thousand: leaves that cannot be split, in linear time
--
CREATE TABLE t (id int, e vector(8));
CREATE INDEX t_l2 ON t USING annoy (e vector_l2_ops) WITH (n_trees = 2);
CREATE INDEX t_cosine ON t USING annoy (e);
CREATE INDEX t_ip ON t USING annoy (e vector_ip_ops);
INSERT INTO t SELECT i, even_vector(8, 0) FROM generate_series(1, 5000) AS i;
SELECT check_answers('t', '<->', even_vector(8, 5)), check_answers('t', '<=>', even_vector(8, 5)), check_answers('t', '<#>', even_vector(8, 5));
-- Others among them, close ones, and more copies.
INSERT INTO t SELECT i, even_vector(8, i) FROM generate_series(5001, 6500) AS i;
INSERT INTO t SELECT i, even_vector(8, 0) + even_vector(8, 1) * array_fill(1e-6, ARRAY[8])::vector FROM generate_series(6501, 7500) AS i;
INSERT INTO t SELECT i, even_vector(8, CASE WHEN i % 2 = 0 THEN 0 ELSE i END) FROM generate_series(7501, 12000) AS i;
SELECT operator, check_answers('t', operator, even_vector(8, i))
	FROM unnest('{<->,<=>,<#>}'::text[]) AS operator, unnest('{0,3,8001}'::int[]) AS i;
SET annoy.search_k = 1;
SELECT operator, complete_answer(format('SELECT id, e %1$s %2$L AS d FROM t ORDER BY e %1$s %2$L', operator, even_vector(8, 0)))
	FROM unnest('{<->,<=>,<#>}'::text[]) AS operator;
-- All 7,250 copies come first.
SELECT count(*), max(d) < 0.001 AS copies_first FROM answer(format('SELECT id, e <-> %1$L AS d FROM t ORDER BY e <-> %1$L LIMIT 7250', even_vector(8, 0)), true);
SET annoy.search_k = 1000000;
SELECT * FROM check_trees('t_l2', 't') UNION ALL SELECT * FROM check_trees('t_cosine', 't') UNION ALL SELECT * FROM check_trees('t_ip', 't');
DROP TABLE t;
-- All NULL, all zero: pages and pages of rows without a distance.
CREATE TABLE t (id int, e vector(2));
CREATE INDEX t_cosine ON t USING annoy (e);
INSERT INTO t SELECT i, CASE WHEN i % 3 = 0 THEN NULL WHEN i % 3 = 1 THEN '[0,0]' ELSE even_vector(2, i) END
	FROM generate_series(1, 9000) AS i;
SELECT check_answers('t', '<=>', '[1,1]');
SELECT min(n) FILTER (WHERE d = 'NaN') AS first_nan, min(n) FILTER (WHERE d IS NULL) AS first_null
	FROM answer('SELECT id, e <=> ''[1,1]'' AS d FROM t ORDER BY e <=> ''[1,1]''', true);
DROP TABLE t;

--
-- Extreme values, later and larger than any that the build has seen
--
CREATE TABLE t (id int, e vector(4));
INSERT INTO t SELECT i, even_vector(4, i) FROM generate_series(1, 1000) AS i;
CREATE INDEX t_l2 ON t USING annoy (e vector_l2_ops);
CREATE INDEX t_cosine ON t USING annoy (e);
CREATE INDEX t_ip ON t USING annoy (e vector_ip_ops);
INSERT INTO t SELECT i, even_vector(4, i) * array_fill(power(10, i % 7), ARRAY[4])::vector FROM generate_series(1001, 4000) AS i;
SELECT operator, check_answers('t', operator, even_vector(4, i) * array_fill(1000, ARRAY[4])::vector)
	FROM unnest('{<->,<=>,<#>}'::text[]) AS operator, unnest('{1,2}'::int[]) AS i;
-- Almost as large as numbers go, and almost as small.
INSERT INTO t SELECT i, l2_normalize(even_vector(4, i)) * array_fill(1e38, ARRAY[4])::vector FROM generate_series(4001, 4100) AS i;
INSERT INTO t SELECT i, '[3.4e38,-3.4e38,3.4e38,-3.4e38]' FROM generate_series(4101, 4110) AS i;
INSERT INTO t SELECT i, (array_fill(i::float4 * 1e-45::float4, ARRAY[3]) || (i % 10) * 1e-40::float4)::vector FROM generate_series(4111, 4200) AS i;
SELECT operator, complete_answer(query), disorder(query) <= 1 AS two_runs, disorder(query || ' LIMIT 10') AS disorder
	FROM unnest('{<->,<=>,<#>}'::text[]) AS operator, unnest('{3,4050,4105}'::int[]) AS i,
		format('SELECT id, e %1$s (SELECT e FROM t WHERE id = %2$s) AS d FROM t ORDER BY e %1$s (SELECT e FROM t WHERE id = %2$s)',
			   operator, i) AS query;
DROP TABLE t;
-- Also at default settings the longer ones are found; the inner product prefers
-- them.
CREATE TABLE t (id int, e vector(16));
INSERT INTO t SELECT i, even_vector(16, i) FROM generate_series(1, 5000) AS i;
CREATE INDEX t_l2 ON t USING annoy (e vector_l2_ops);
CREATE INDEX t_cosine ON t USING annoy (e);
CREATE INDEX t_ip ON t USING annoy (e vector_ip_ops);
INSERT INTO t SELECT i, even_vector(16, i) * array_fill(CASE WHEN i % 3 = 0 THEN 10 ELSE 2 END, ARRAY[16])::vector FROM generate_series(5001, 6500) AS i;
RESET annoy.search_k;
SELECT operator, recall(format('SELECT id, e %1$s $q AS d FROM t ORDER BY e %1$s $q LIMIT 10', operator),
						(SELECT array_agg(even_vector(16, -i)) FROM generate_series(1, 20) AS i)) >= 0.85 AS good
	FROM unnest('{<->,<=>,<#>}'::text[]) AS operator;
SET annoy.search_k = 1000000;
DROP TABLE t;
-- The first one is the largest of all, or the smallest.
CREATE TABLE t (id int, e vector(4));
CREATE INDEX t_l2 ON t USING annoy (e vector_l2_ops);
CREATE INDEX t_cosine ON t USING annoy (e);
CREATE INDEX t_ip ON t USING annoy (e vector_ip_ops);
INSERT INTO t VALUES (0, '[3e38,3e38,0,0]');
INSERT INTO t SELECT i, even_vector(4, i) FROM generate_series(1, 2000) AS i;
SELECT operator, complete_answer(query), disorder(query || ' LIMIT 10') AS disorder
	FROM unnest('{<->,<=>,<#>}'::text[]) AS operator, format('SELECT id, e %1$s %2$L AS d FROM t ORDER BY e %1$s %2$L', operator, even_vector(4, 3)) AS query;
TRUNCATE t;
INSERT INTO t VALUES (0, '[1e-45,0,0,0]');
INSERT INTO t SELECT i, even_vector(4, i) FROM generate_series(1, 2000) AS i;
SELECT operator, check_answers('t', operator, even_vector(4, 3)) FROM unnest('{<->,<=>,<#>}'::text[]) AS operator;
DROP TABLE t;

--
-- Kinds of indexes
--
-- Many trees, on several pages of roots.
CREATE TABLE t (id int, e vector(5));
CREATE INDEX t_l2 ON t USING annoy (e vector_l2_ops) WITH (n_trees = 1000);
INSERT INTO t SELECT i, even_vector(5, i) FROM generate_series(1, 50) AS i;
SELECT check_answers('t', '<->', even_vector(5, 3));
SELECT * FROM check_trees('t_l2', 't');
DROP TABLE t;
-- A directory splits under each of the roots.
CREATE TABLE t (id int, e vector(1600));
ALTER TABLE t ALTER e SET STORAGE external;
CREATE INDEX t_l2 ON t USING annoy (e vector_l2_ops) WITH (n_trees = 20);
INSERT INTO t SELECT i, even_vector(400, i) || even_vector(400, i % 9) || (even_vector(400, i % 50) || even_vector(400, 2 * i)) FROM generate_series(1, 400) AS i;
SELECT same_answer(format('SELECT id, e <-> %1$L AS d FROM t ORDER BY e <-> %1$L', e)) FROM t WHERE id = 11;
SELECT * FROM check_trees('t_l2', 't');
DROP TABLE t;

-- Partial: rows come in and go out with the condition.
CREATE TABLE t (id int, category int, e vector(6), a real[]);
CREATE INDEX t_partial ON t USING annoy (e vector_l2_ops) WHERE category = 3;
INSERT INTO t SELECT i, i % 10, even_vector(6, i), even_vector(6, i)::real[] FROM generate_series(1, 5000) AS i;
SELECT check_answers('t', '<->', even_vector(6, 5), 'category = 3');
SELECT count(*) FROM annoy_leaf_items('t_partial');
UPDATE t SET category = 3 WHERE category = 4 AND id < 1000;
UPDATE t SET category = 5 WHERE category = 3 AND id % 20 = 3;
SELECT check_answers('t', '<->', even_vector(6, 5), 'category = 3');
DROP INDEX t_partial;
-- Expressions: computed at each insert, also with errors.
CREATE INDEX t_cast ON t USING annoy ((a::vector(6)) vector_l2_ops);
CREATE INDEX t_normalized ON t USING annoy (l2_normalize(e) vector_l2_ops) WHERE category > 5;
INSERT INTO t SELECT i, i % 10, even_vector(6, i), even_vector(6, i)::real[] FROM generate_series(5001, 7000) AS i;
UPDATE t SET a = even_vector(6, -id)::real[] WHERE id % 100 = 0;
INSERT INTO t VALUES (7001, 9, NULL, NULL);
INSERT INTO t VALUES (7002, 9, NULL, '{1,2}');
SELECT same_answer(format('SELECT id, a::vector(6) <-> %1$L AS d FROM t ORDER BY a::vector(6) <-> %1$L', even_vector(6, 5)));
SELECT same_answer('SELECT id, l2_normalize(e) <-> ''[1,2,3,4,5,6]'' AS d FROM t WHERE category > 5
	ORDER BY l2_normalize(e) <-> ''[1,2,3,4,5,6]''');
DROP TABLE t;

--
-- Kinds of tables
--
-- Partitions, and a row that moves from one to another.
CREATE TABLE t (id int, e vector(4)) PARTITION BY RANGE (id);
CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM (0) TO (1000);
CREATE TABLE t_2 PARTITION OF t FOR VALUES FROM (1000) TO (3000);
CREATE INDEX t_index ON t USING annoy (e vector_l2_ops) WITH (n_trees = 3);
INSERT INTO t SELECT i, even_vector(4, i) FROM generate_series(0, 2499) AS i;
UPDATE t SET id = 2500 WHERE id = 77;
CREATE TABLE t_3 PARTITION OF t FOR VALUES FROM (3000) TO (4000);
INSERT INTO t SELECT i, even_vector(4, i) FROM generate_series(2900, 3099) AS i;
SELECT check_answers('t', '<->', even_vector(4, 77));
VACUUM (INDEX_CLEANUP on) t;
SELECT * FROM check_trees('t_1_e_idx', 't_1') UNION ALL SELECT * FROM check_trees('t_2_e_idx', 't_2') UNION ALL SELECT * FROM check_trees('t_3_e_idx', 't_3');
DROP TABLE t;

-- Unlogged, from its empty beginning; temporary, also emptied by commits.
CREATE UNLOGGED TABLE t (id int, e vector(384));
CREATE INDEX t_index ON t USING annoy (e vector_l2_ops);
INSERT INTO t SELECT i, even_vector(96, i) || even_vector(96, i / 10) || (even_vector(96, i % 10) || even_vector(96, i % 100)) FROM generate_series(1, 2000) AS i;
SELECT check_answers('t', '<->', even_vector(384, 77));
ALTER TABLE t SET LOGGED;
INSERT INTO t SELECT id + 2000, e FROM t WHERE id <= 500;
SELECT check_answers('t', '<->', even_vector(384, 77));
CREATE TEMPORARY TABLE s (id int, e vector(384));
CREATE INDEX s_index ON s USING annoy (e vector_l2_ops);
INSERT INTO s SELECT * FROM t;
SELECT check_answers('s', '<->', even_vector(384, 77));
DROP TABLE s, t;
CREATE TEMPORARY TABLE t (id int, e vector(4)) ON COMMIT DELETE ROWS;
CREATE INDEX t_index ON t USING annoy (e vector_l2_ops);
BEGIN;
INSERT INTO t SELECT i, even_vector(4, i) FROM generate_series(1, 1000) AS i;
SELECT check_answers('t', '<->', even_vector(4, 77));
COMMIT;
SELECT check_answers('t', '<->', even_vector(4, 77));
BEGIN;
INSERT INTO t SELECT i, even_vector(4, i) FROM generate_series(1, 10) AS i;
SELECT check_answers('t', '<->', even_vector(4, 77));
COMMIT;
DROP TABLE t;

-- By a trigger, a cascade, and a function that catches errors.
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE t (id int REFERENCES parent ON DELETE CASCADE ON UPDATE CASCADE, e vector);
CREATE INDEX t_index ON t USING annoy (e vector_l2_ops);
CREATE FUNCTION add_vector() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO t VALUES (NEW.id, even_vector(3, NEW.id));
	RETURN NULL;
END
$$;
CREATE TRIGGER add_vector AFTER INSERT ON parent FOR EACH ROW EXECUTE FUNCTION add_vector();
INSERT INTO parent SELECT generate_series(1, 1200);
DELETE FROM parent WHERE id % 5 = 0;
UPDATE parent SET id = id + 5000 WHERE id % 5 = 1;
DO $$
DECLARE
	refused int := 0;
BEGIN
	FOR i IN 1 .. 200
	LOOP
		BEGIN
			INSERT INTO t VALUES (2, even_vector(3, -i)), (2, even_vector(2 + i % 2, -i));
		EXCEPTION WHEN data_exception THEN
			refused := refused + 1;
		END;
	END LOOP;
	RAISE NOTICE '% refused', refused;
END
$$;
SELECT check_answers('t', '<->', '[1,2,3]');
DROP TABLE t, parent;
DROP FUNCTION add_vector;

-- Built concurrently, and rebuilt, then inserted into.
CREATE TABLE t (id int, e vector(4));
CREATE INDEX CONCURRENTLY t_index ON t USING annoy (e vector_l2_ops);
INSERT INTO t SELECT i, even_vector(4, i) FROM generate_series(1, 3000) AS i;
REINDEX INDEX CONCURRENTLY t_index;
INSERT INTO t SELECT i, even_vector(4, i) FROM generate_series(3001, 4000) AS i;
SELECT check_answers('t', '<->', even_vector(4, 77));
SELECT * FROM check_trees('t_index', 't');
DROP TABLE t;

DROP FUNCTION check_answers, check_trees, check_dimensions;
RESET annoy.search_k;
DROP FUNCTION even_vector, clustered_vector, answer, disorder, same_answer, complete_answer, recall;
