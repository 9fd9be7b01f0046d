-- annoy_index_check: an index is whole after a build, after inserts, and after
-- any number of removals and refills.
\getenv abs_srcdir PG_ABS_SRCDIR
\set answer :abs_srcdir '/include/answer.sql'
\set ECHO none
\i :answer
\set ECHO all

-- Rows of a table: every 40th is NULL, every 10th one of two vectors, the rest
-- are different from each other.
CREATE FUNCTION mixed_vector(dimensions int, i int) RETURNS vector
	LANGUAGE sql IMMUTABLE
	RETURN CASE WHEN i % 40 = 0 THEN NULL ELSE even_vector(dimensions, CASE WHEN i % 10 = 0 THEN i % 20 ELSE i END) END;

-- Built with rows, of several metrics.
CREATE TABLE items (id int, e vector(100));
INSERT INTO items SELECT i, mixed_vector(100, i) FROM generate_series(1, 6000) AS i;
CREATE INDEX items_l2 ON items USING annoy (e vector_l2_ops) WITH (n_trees = 3);
CREATE INDEX items_cosine ON items USING annoy (e);
CREATE INDEX items_ip ON items USING annoy (e vector_ip_ops) WITH (n_trees = 2);
SELECT annoy_index_check('items_l2'), annoy_index_check('items_l2', heapallindexed => true);
SELECT annoy_index_check('items_cosine', true), annoy_index_check('items_ip', true);
-- What follows is done to all three.
DELETE FROM items WHERE id % 2 = 0;
VACUUM items;
SELECT annoy_index_check(indexrelid, true) FROM pg_index WHERE indrelid = 'items'::regclass;
INSERT INTO items SELECT i, mixed_vector(100, i + 10000) FROM generate_series(1, 6000, 2) AS i;
UPDATE items SET e = mixed_vector(100, id + 20000) WHERE id % 50 = 1;
SELECT annoy_index_check(indexrelid, true) FROM pg_index WHERE indrelid = 'items'::regclass;
DELETE FROM items WHERE id % 2 = 1;
-- Zero vectors have distances, but not under cosine.
INSERT INTO items SELECT i, array_fill(0, ARRAY[100])::vector FROM generate_series(1, 1200) AS i;
SELECT annoy_index_check(indexrelid, true) FROM pg_index WHERE indrelid = 'items'::regclass;
DELETE FROM items;
VACUUM items;
SELECT annoy_index_check(indexrelid, true) FROM pg_index WHERE indrelid = 'items'::regclass;
INSERT INTO items SELECT i, mixed_vector(100, i) FROM generate_series(1, 3000) AS i;
SELECT annoy_index_check(indexrelid, true) FROM pg_index WHERE indrelid = 'items'::regclass;
DROP TABLE items;

-- Grown from nothing, the number of dimensions being unknown at first.
CREATE PROCEDURE grow(dimensions int, rows int, options text DEFAULT 'n_trees = 1')
	LANGUAGE plpgsql AS $$
BEGIN
	CREATE TABLE grown (id int, e vector);
	EXECUTE format('CREATE INDEX grown_index ON grown USING annoy (e vector_l2_ops) WITH (%s)', options);
	PERFORM annoy_index_check('grown_index', true);
	INSERT INTO grown VALUES (0, NULL);
	PERFORM annoy_index_check('grown_index', true);
	INSERT INTO grown VALUES (0, even_vector(dimensions, 0));
	PERFORM annoy_index_check('grown_index', true);
	INSERT INTO grown SELECT i, mixed_vector(dimensions, i) FROM generate_series(1, rows) AS i;
	PERFORM annoy_index_check('grown_index', true);
	DROP TABLE grown;
END
$$;
CALL grow(3, 8000, 'n_trees = 3');
CALL grow(100, 4000);
CALL grow(784, 700, 'n_trees = 3');
CALL grow(2000, 250);
-- Values of more pages than one record of WAL takes.
CALL grow(9000, 40, 'n_trees = 2');

-- Copies of one vector make chains of leaves; more of them than the head takes.
CREATE TABLE copies (id int, e vector(10));
CREATE INDEX copies_index ON copies USING annoy (e vector_l2_ops) WITH (n_trees = 2);
INSERT INTO copies SELECT i, even_vector(10, 0) FROM generate_series(1, 3000) AS i;
INSERT INTO copies SELECT i, even_vector(10, i) FROM generate_series(3001, 5000) AS i;
SELECT annoy_index_check('copies_index', true);
DELETE FROM copies WHERE id % 3 > 0;
VACUUM copies;
SELECT annoy_index_check('copies_index', true);
INSERT INTO copies SELECT i, even_vector(10, 0) FROM generate_series(1, 3000) AS i;
SELECT annoy_index_check('copies_index', true);
-- And by a build.
REINDEX INDEX copies_index;
SELECT annoy_index_check('copies_index', true);
DROP TABLE copies;

-- Partial, on an expression, of rows that were updated in place, unlogged,
-- temporary; and a partition's.
CREATE TABLE items (id int, kind int, a real[]);
INSERT INTO items SELECT i, i % 3, even_vector(6, i)::real[] FROM generate_series(1, 1000) AS i;
CREATE INDEX items_partial ON items USING annoy ((a::vector(6)) vector_l2_ops) WHERE kind > 0;
UPDATE items SET id = -id WHERE id % 7 = 0;
UPDATE items SET kind = 1 - kind WHERE id % 100 = 0;
INSERT INTO items SELECT i, i % 3, even_vector(6, i)::real[] FROM generate_series(1, 1000) AS i;
SELECT annoy_index_check('items_partial', true);
CREATE UNLOGGED TABLE items_unlogged (e vector(6));
CREATE INDEX items_unlogged_index ON items_unlogged USING annoy (e);
INSERT INTO items_unlogged SELECT a::vector FROM items;
SELECT annoy_index_check('items_unlogged_index', true);
CREATE TEMPORARY TABLE items_temporary AS SELECT a::vector(6) AS e FROM items;
CREATE INDEX items_temporary_index ON items_temporary USING annoy (e);
SELECT annoy_index_check('items_temporary_index', true);
CREATE TABLE parted (id int, e vector(6)) PARTITION BY RANGE (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (500);
CREATE INDEX parted_index ON parted USING annoy (e);
INSERT INTO parted SELECT i, even_vector(6, i) FROM generate_series(0, 499) AS i;
SELECT annoy_index_check('parted_1_e_idx', true);
SELECT annoy_index_check('parted_index', true);

-- Rows in progress, rolled back, and of a transaction's own snapshot.
CREATE TABLE changing (id int, e vector(6));
CREATE INDEX changing_index ON changing USING annoy (e vector_l2_ops) WITH (n_trees = 2);
BEGIN;
INSERT INTO changing SELECT i, even_vector(6, i) FROM generate_series(1, 1000) AS i;
SELECT annoy_index_check('changing_index', true);
ROLLBACK;
SELECT annoy_index_check('changing_index', true);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM changing;
INSERT INTO changing SELECT i, even_vector(6, i) FROM generate_series(1, 1000) AS i;
SAVEPOINT s;
INSERT INTO changing SELECT i, even_vector(6, i) FROM generate_series(1001, 2000) AS i;
ROLLBACK TO s;
SELECT annoy_index_check('changing_index', true);
COMMIT;
SELECT annoy_index_check('changing_index', true);
VACUUM changing;
SELECT annoy_index_check('changing_index', true);

-- A table with little memory for its sorts.
SET maintenance_work_mem = '1MB';
SELECT annoy_index_check('items_unlogged_index', true);
RESET maintenance_work_mem;

-- What is no annoy index; NULL; who may ask.
SELECT annoy_index_check('pg_class_oid_index');
SELECT annoy_index_check('changing');
SELECT annoy_index_check(0);
SELECT annoy_index_check(NULL) IS NULL AS nothing;
CREATE ROLE annoy_check_role;
SET ROLE annoy_check_role;
SELECT annoy_index_check('changing_index');
RESET ROLE;
GRANT EXECUTE ON FUNCTION annoy_index_check(regclass, boolean) TO annoy_check_role;
SET ROLE annoy_check_role;
SELECT annoy_index_check('changing_index', true);
RESET ROLE;
-- Functions in index expressions run as the table's owner, as in a REINDEX.
CREATE FUNCTION told_user(a real[]) RETURNS vector
	LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	IF current_setting('annoy_check.tell', true) = 'on' THEN
		PERFORM set_config('annoy_check.tell', 'off', false);
		RAISE NOTICE 'user %', current_user;
	END IF;
	RETURN a::public.vector(6); -- from 17 on there is no other search_path here
END
$$;
ALTER TABLE items OWNER TO annoy_check_role;
CREATE INDEX items_function ON items USING annoy ((told_user(a)::vector(6)));
SET annoy_check.tell = on;
SELECT annoy_index_check('items_function', true);
-- What they set does not last.
SELECT current_setting('annoy_check.tell'), current_user <> 'annoy_check_role' AS own;
RESET annoy_check.tell;

DROP TABLE items, items_unlogged, items_temporary, parted, changing;
DROP FUNCTION mixed_vector, told_user;
DROP PROCEDURE grow;
REVOKE ALL ON FUNCTION annoy_index_check(regclass, boolean) FROM annoy_check_role;
DROP ROLE annoy_check_role;
DROP FUNCTION even_vector, clustered_vector, answer, disorder, same_answer, complete_answer, recall;
