-- Options of an index and settings of a session: ranges, defaults, errors.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS annoy;
RESET client_min_messages;

CREATE TABLE options_test (e vector(3));

-- Every option at the ends of its range.
CREATE INDEX options_index ON options_test USING annoy (e)
	WITH (n_trees = 1, search_k = 1, n_neighbors = 1, code_bits = 1, seed = 1);
ALTER INDEX options_index SET (n_trees = 1000, search_k = 2147483647,
	n_neighbors = 2147483647, code_bits = 4, seed = 18446744073709551615);
SELECT reloptions FROM pg_class WHERE oid = 'options_index'::regclass;
ALTER INDEX options_index SET (n_trees = -1, search_k = -1, code_bits = -1);
ALTER INDEX options_index SET (seed = '00042');
SELECT reloptions FROM pg_class WHERE oid = 'options_index'::regclass;

-- Setting them disturbs neither readers nor writers.
BEGIN;
ALTER INDEX options_index SET (n_trees = 3, search_k = 4, n_neighbors = 5, seed = '6');
SELECT DISTINCT mode FROM pg_locks WHERE relation = 'options_index'::regclass AND pid = pg_backend_pid();
ROLLBACK;

ALTER INDEX options_index RESET (n_trees, search_k, n_neighbors, code_bits, seed);
SELECT reloptions FROM pg_class WHERE oid = 'options_index'::regclass;
REINDEX INDEX options_index;

-- 0 would mean nothing, and is refused as by the Annoy library.
ALTER INDEX options_index SET (n_trees = 0);
ALTER INDEX options_index SET (n_trees = -2);
ALTER INDEX options_index SET (n_trees = 1001);
ALTER INDEX options_index SET (n_trees = many);
ALTER INDEX options_index SET (search_k = 0);
ALTER INDEX options_index SET (search_k = -2);
ALTER INDEX options_index SET (n_neighbors = 0);
ALTER INDEX options_index SET (n_neighbors = -1);
ALTER INDEX options_index SET (code_bits = 0);
ALTER INDEX options_index SET (code_bits = -2);
ALTER INDEX options_index SET (code_bits = 5);
CREATE INDEX ON options_test USING annoy (e) WITH (n_trees = 0);
CREATE INDEX ON options_test USING annoy (e) WITH (search_k = 0);

-- A seed is digits, up to 2^64 - 1.
ALTER INDEX options_index SET (seed = -1);
ALTER INDEX options_index SET (seed = '+1');
ALTER INDEX options_index SET (seed = ' 1');
ALTER INDEX options_index SET (seed = '1 ');
ALTER INDEX options_index SET (seed = '');
ALTER INDEX options_index SET (seed = 1.5);
ALTER INDEX options_index SET (seed = 1e3);
ALTER INDEX options_index SET (seed = '0x10');
ALTER INDEX options_index SET (seed = 18446744073709551616);
ALTER INDEX options_index SET (seed = 99999999999999999999999);
CREATE INDEX ON options_test USING annoy (e) WITH (seed = 'abc');

-- Options of other access methods, and typing errors.
CREATE INDEX ON options_test USING annoy (e) WITH (fillfactor = 70);
CREATE INDEX ON options_test USING annoy (e) WITH (trees = 10);

-- No refused command has left anything.
SELECT count(*) FROM pg_index WHERE indrelid = 'options_test'::regclass;
SELECT reloptions FROM pg_class WHERE oid = 'options_index'::regclass;

-- Seed 0 stands for the default; each build says so once.
ALTER INDEX options_index SET (seed = 0);
REINDEX INDEX options_index;

-- LIKE copies the options.
CREATE TABLE options_copy (LIKE options_test INCLUDING INDEXES);
SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 'options_copy'::regclass;

-- Settings.
SELECT name, setting, vartype, context, min_val, max_val, enumvals, boot_val
	FROM pg_settings WHERE name LIKE 'annoy.%' ORDER BY name;

SET annoy.search_k = 1;
SET annoy.search_k = 2147483647;
SET annoy.search_k = 0;
SET annoy.search_k = -2;
SET annoy.search_k = 'all';
SHOW annoy.search_k;
SET annoy.search_k = -1;

SET annoy.max_scan_items = 1;
SET annoy.max_scan_items = 0;
SET annoy.max_scan_items = -2;
SHOW annoy.max_scan_items;
RESET annoy.max_scan_items;

SET annoy.iterative_scan = relaxed_order;
SET annoy.iterative_scan = 'OFF';
SHOW annoy.iterative_scan;
SET annoy.iterative_scan = on;
RESET annoy.iterative_scan;

-- Verbosity is moved into its range, as by the Annoy library.  VERBOSE is a
-- key word, so SET wants quotes.
SET annoy.verbosity = 3;
SHOW annoy.verbosity;
SET annoy.verbosity = -2147483648;
SHOW annoy.verbosity;
SET annoy.verbosity = 1;
SHOW annoy.verbosity;
SET annoy.verbosity = loud;
RESET annoy.verbosity;

-- The prefix is ours.
SET annoy.serach_k = 10;

DROP TABLE options_test, options_copy;
