-- Written by test/readme-sql from docs/from-annoy.md: change that, and run this again.

\set first_database :DBNAME
CREATE DATABASE annoy_from_annoy TEMPLATE template0;
\c annoy_from_annoy
SET lc_messages = 'C';
SET client_min_messages = warning;

-- docs/from-annoy.md: The data of the examples, example 1
CREATE EXTENSION annoy;
CREATE TABLE items (id int PRIMARY KEY, label text, v vector(3));
INSERT INTO items
SELECT i, CASE WHEN i % 3 > 0 THEN 'kind ' || i % 3 END, ARRAY[i * 7 % 101, i * 11 % 103, i * 13 % 107]
FROM generate_series(1, 1000) AS i;
CREATE INDEX items_v_idx ON items USING annoy (v);

-- docs/from-annoy.md: f, n_features, n_features_in_, example 1
CREATE TABLE lazy (v vector);
CREATE INDEX lazy_v_idx ON lazy USING annoy (v vector_l2_ops);
SELECT annoy_info('lazy_v_idx') -> 'f' AS f;
INSERT INTO lazy VALUES ('[1,2]');
SELECT annoy_info('lazy_v_idx') -> 'f' AS f;
INSERT INTO lazy VALUES ('[1,2,3]');

-- docs/from-annoy.md: f, n_features, n_features_in_, example 2
INSERT INTO items VALUES (1001, NULL, '[1,2]');

-- docs/from-annoy.md: Changing f, example 1
CREATE TABLE wide AS SELECT id, v FROM items;
CREATE INDEX wide_v_idx ON wide USING annoy (v);
ALTER TABLE wide ALTER COLUMN v TYPE vector(2) USING subvector(v, 1, 2);
SELECT annoy_info('wide_v_idx') -> 'f' AS f, annoy_n_items('wide_v_idx');

-- docs/from-annoy.md: metric, example 1
SELECT annoy_metric('Cosine'), annoy_metric('LSTSQ'), annoy_metric('cityblock'), annoy_metric('@'), annoy_metric('hamming');
SELECT annoy_metric('chebyshev');

-- docs/from-annoy.md: metric, example 2
CREATE INDEX items_l2 ON items USING annoy (v vector_l2_ops);
CREATE INDEX items_ip ON items USING annoy (v vector_ip_ops);
SELECT annoy_info('items_l2') ->> 'metric' AS items_l2, annoy_info('items_ip') ->> 'metric' AS items_ip;

-- docs/from-annoy.md: metric, example 3
CREATE TABLE marks (id int PRIMARY KEY, bits bit(16));
INSERT INTO marks VALUES (1, B'0000000011111111'), (2, B'0000111111110000'), (3, B'1111111100000000');
CREATE INDEX marks_bits_idx ON marks USING annoy (bits);
SELECT id, bits <~> B'0000000011110111' AS distance FROM marks ORDER BY bits <~> B'0000000011110111';
SELECT annoy_info('marks_bits_idx') ->> 'metric' AS metric;

-- docs/from-annoy.md: metric omitted, example 1
SELECT annoy_info('items_v_idx') ->> 'metric' AS metric;

-- docs/from-annoy.md: Changing the metric, rebuild(metric), example 1
CREATE INDEX CONCURRENTLY items_l1 ON items USING annoy (v vector_l1_ops);
SELECT id, v <+> '[10,21.5,33.25]' AS distance FROM items ORDER BY v <+> '[10,21.5,33.25]' LIMIT 2;
DROP INDEX CONCURRENTLY items_l1;

-- docs/from-annoy.md: n_neighbors, example 1
SELECT count(*) FROM annoy_nns_by_vector('items_v_idx', '[10,20,30]'::vector);
ALTER INDEX items_v_idx SET (n_neighbors = 3);
SELECT count(*) FROM annoy_nns_by_vector('items_v_idx', '[10,20,30]'::vector);
SELECT count(*) FROM annoy_nns_by_vector('items_v_idx', '[10,20,30]'::vector, 12);
ALTER INDEX items_v_idx RESET (n_neighbors);

-- docs/from-annoy.md: n_trees, example 1
CREATE INDEX items_trees ON items USING annoy (v) WITH (n_trees = 10);
SELECT annoy_n_trees('items_trees'), annoy_n_trees('items_v_idx') AS automatic;
CREATE INDEX ON items USING annoy (v) WITH (n_trees = 0);

-- docs/from-annoy.md: search_k, example 1
SELECT count(*) FROM annoy_nns_by_vector('items_v_idx', '[10,20,30]'::vector, 5, search_k => 100);
SET annoy.search_k = 100;
SELECT id FROM items ORDER BY v <=> '[10,20,30]' LIMIT 1;
RESET annoy.search_k;
ALTER INDEX items_v_idx SET (search_k = 100);
ALTER INDEX items_v_idx RESET (search_k);
SELECT annoy_nns_by_vector('items_v_idx', '[10,20,30]'::vector, 5, search_k => 0);

-- docs/from-annoy.md: seed, random_state, example 1
CREATE INDEX items_seed ON items USING annoy (v) WITH (seed = 18446744073709551615);
SELECT annoy_info('items_seed') -> 'seed' AS seed, annoy_info('items_v_idx') -> 'seed' AS by_default;
DROP INDEX items_seed;
CREATE INDEX items_seed ON items USING annoy (v) WITH (seed = 0);
CREATE INDEX ON items USING annoy (v) WITH (seed = -1);
DROP INDEX items_seed;

-- docs/from-annoy.md: on_disk_path, on_disk_build, example 1
SET maintenance_work_mem = '64MB';
CREATE INDEX items_disk ON items USING annoy (v) TABLESPACE pg_default;
SELECT annoy_info('items_disk') ->> 'on_disk_path' = pg_relation_filepath('items_disk') AS its_path;
RESET maintenance_work_mem;

-- docs/from-annoy.md: prefault, example 1
CREATE EXTENSION pg_prewarm;
SELECT pg_prewarm('items_v_idx') = pg_relation_size('items_v_idx') / current_setting('block_size')::int AS all_blocks;

-- docs/from-annoy.md: verbose, set_verbose, set_verbosity, example 1
SET annoy.verbosity = 7;
SHOW annoy.verbosity;
RESET annoy.verbosity;
SELECT relid::regclass, phase, tuples_done FROM pg_stat_progress_create_index WHERE relid = 'items'::regclass;

-- docs/from-annoy.md: schema_version, pickling, example 1
SELECT annoy_info('items_v_idx') -> 'schema_version' AS schema_version;
SELECT pg_get_indexdef('items_trees'::regclass);

-- docs/from-annoy.md: n_jobs, example 1
SET max_parallel_maintenance_workers = 2;
ALTER TABLE items SET (parallel_workers = 2);
REINDEX INDEX items_trees;
RESET max_parallel_maintenance_workers;
ALTER TABLE items RESET (parallel_workers);

-- docs/from-annoy.md: y, labels, feature_names_in_, get_feature_names_out, example 1
SELECT id, label FROM items ORDER BY v <=> '[10,20,30]' LIMIT 3;

-- docs/from-annoy.md: y, labels, feature_names_in_, get_feature_names_out, example 2
CREATE TABLE features (n int PRIMARY KEY, name text);
INSERT INTO features VALUES (1, 'red'), (2, 'green'), (3, 'blue');
SELECT name, value
FROM items, unnest(v::real[]) WITH ORDINALITY AS element (value, n) JOIN features USING (n)
WHERE id = 660
ORDER BY n;

-- docs/from-annoy.md: get_params, set_params, clone, example 1
ALTER INDEX items_trees SET (n_trees = 4, search_k = 500);
SELECT p -> 'n_trees' AS n_trees, p -> 'search_k' AS search_k, p -> 'metric' AS metric FROM annoy_get_params('items_trees') AS p;
SELECT i -> 'n_trees' AS n_trees, i -> 'n_trees_after_reindex' AS n_trees_after_reindex FROM annoy_info('items_trees') AS i;
REINDEX INDEX items_trees;
SELECT i -> 'n_trees' AS n_trees, i -> 'n_trees_after_reindex' AS n_trees_after_reindex FROM annoy_info('items_trees') AS i;
ALTER INDEX items_trees SET (trees = 4);

-- docs/from-annoy.md: get_params, set_params, clone, example 2
CREATE TABLE items_clone (LIKE items INCLUDING INDEXES);
SELECT indexdef FROM pg_indexes WHERE tablename = 'items_clone' AND indexdef ~ 'search_k';

-- docs/from-annoy.md: Build information, example 1
SELECT annoy_version() ~ '^annoy 1.0, compiled by .* for PostgreSQL .*, kernel (avx512|avx2|neon|plain)$' AS version;

-- docs/from-annoy.md: add_item, example 1
INSERT INTO items VALUES (1001, 'new', '[10,20,30]');
UPDATE items SET v = '[10,20,31]' WHERE id = 1001;
SELECT id, label, v FROM items ORDER BY v <=> '[10,20,31]' LIMIT 1;

-- docs/from-annoy.md: Deleting, example 1
DELETE FROM items WHERE id = 1001;
VACUUM items;
SELECT id FROM items ORDER BY v <=> '[10,20,31]' LIMIT 1;

-- docs/from-annoy.md: build, fit, fit_transform, example 1
CREATE INDEX CONCURRENTLY items_fit ON items USING annoy (v) WITH (n_trees = 2, n_neighbors = 2);
SELECT query.id, t.rank, neighbor.id AS neighbor
FROM (SELECT array_agg(ctid ORDER BY id) AS ctids FROM items) AS all_items,
    annoy_transform_items('items_fit', all_items.ctids) AS t, items AS query, items AS neighbor
WHERE query.ctid = all_items.ctids[t.query] AND neighbor.ctid = t.item AND query.id IN (700, 800)
ORDER BY query.id, t.rank;

-- docs/from-annoy.md: unbuild, reset, unload, example 1
DROP INDEX items_fit, items_disk;
REINDEX INDEX CONCURRENTLY items_v_idx;
TRUNCATE lazy;
SELECT annoy_n_items('lazy_v_idx');

-- docs/from-annoy.md: start_index, example 1
CREATE TABLE numbered (id bigint GENERATED ALWAYS AS IDENTITY (START WITH 100), v vector(2));
CREATE INDEX numbered_v_idx ON numbered USING annoy (v vector_l2_ops);
INSERT INTO numbered (v) VALUES ('[2,2]'), ('[3,2]'), ('[3,3]');
SELECT id FROM numbered ORDER BY v <-> '[4,2]';

-- docs/from-annoy.md: missing_value, example 1
INSERT INTO numbered (v) VALUES (array_replace(ARRAY[4, NULL], NULL, 0)::vector), (NULL);
SELECT id, v FROM numbered ORDER BY v <-> '[4,2]';
SELECT annoy_n_items('numbered_v_idx');
INSERT INTO numbered (v) VALUES (ARRAY[4, NULL]::vector);

-- docs/from-annoy.md: Wrong length, empty vector, NaN, infinity, example 1
INSERT INTO numbered (v) VALUES ('[1,1]'), ('[1,2,3]');
INSERT INTO numbered (v) VALUES ('[]');
INSERT INTO numbered (v) VALUES ('[1,NaN]');
INSERT INTO numbered (v) VALUES ('[1,Infinity]');
SELECT count(*) FROM numbered WHERE v = '[1,1]';

-- docs/from-annoy.md: get_nns_by_vector, example 1
SELECT id, v <-> '[10,20,30]' AS distance FROM items ORDER BY v <-> '[10,20,30]' LIMIT 3;
SELECT id, distance
FROM annoy_nns_by_vector('items_l2', '[10,20,30]'::vector, 3) JOIN items ON ctid = item
ORDER BY distance;

-- docs/from-annoy.md: get_nns_by_item, example 1
SELECT id FROM items ORDER BY v <=> (SELECT v FROM items WHERE id = 700) LIMIT 3;
SELECT neighbor.id, distance
FROM items, annoy_nns_by_item('items_v_idx', items.ctid, 3) JOIN items AS neighbor ON neighbor.ctid = item
WHERE items.id = 700
ORDER BY distance;
SELECT * FROM annoy_nns_by_item('items_v_idx', '(1000,1)', 3);

-- docs/from-annoy.md: get_distance, get_item_vector, example 1
SELECT a.v <-> b.v AS distance, annoy_distance('items_l2', a.ctid, b.ctid)
FROM items AS a, items AS b
WHERE a.id = 1 AND b.id = 2;
SELECT v FROM items WHERE id = 1;

-- docs/from-annoy.md: Units, example 1
SELECT id, v <=> '[10,20,30]' AS cosine, angular_distance(v, '[10,20,30]') AS angular
FROM items ORDER BY v <=> '[10,20,30]' LIMIT 2;
SELECT id, distance FROM annoy_nns_by_vector('items_v_idx', '[10,20,30]'::vector, 2) JOIN items ON ctid = item ORDER BY distance;
SELECT id, v <#> '[10,20,30]' AS operator, distance AS product
FROM annoy_nns_by_vector('items_ip', '[10,20,30]'::vector, 2) JOIN items ON ctid = item
ORDER BY distance DESC;

-- docs/from-annoy.md: transform, example 1
SELECT query, rank, id, distance
FROM annoy_transform('items_l2', ARRAY['[10,20,30]', '[90,80,70]']::vector[], 2) JOIN items ON ctid = item
ORDER BY query, rank;

-- docs/from-annoy.md: transform, example 2
SELECT * FROM annoy_transform('numbered_v_idx', ARRAY['[4,2]']::vector[], 4, exclude_items => ARRAY['(0,2)']::tid[]);

-- docs/from-annoy.md: transform, example 3
SELECT query.n, neighbor.*
FROM (VALUES (1, '[10,20,30]'::vector), (2, '[90,80,70]')) AS query (n, v),
    LATERAL (SELECT id, COALESCE(label, 'none') AS label, items.v <-> query.v AS distance
             FROM items
             WHERE id <> ALL ('{2}')
             ORDER BY items.v <-> query.v
             LIMIT 2) AS neighbor
ORDER BY query.n, neighbor.distance;
SELECT query.id AS query, neighbor.*
FROM items AS query,
    LATERAL (SELECT id, items.v <-> query.v AS distance FROM items
             WHERE id <> query.id ORDER BY items.v <-> query.v LIMIT 2) AS neighbor
WHERE query.id IN (700, 800)
ORDER BY query.id, neighbor.distance;

-- docs/from-annoy.md: transform, example 4
SELECT query, rank, neighbor.id, distance
FROM annoy_transform_items('items_l2', ARRAY(SELECT ctid FROM items WHERE id IN (700, 800) ORDER BY id), 2, exclude_self => true)
    JOIN items AS neighbor ON neighbor.ctid = item
ORDER BY query, rank;

-- docs/from-annoy.md: Filters, example 1
SELECT id, label FROM items WHERE label = 'kind 2' AND id > 500 ORDER BY v <=> '[10,20,30]' LIMIT 3;

-- docs/from-annoy.md: get_n_items, get_n_trees, memory_usage, example 1
SELECT annoy_n_items('items_v_idx'), annoy_n_trees('items_v_idx'),
    annoy_memory_usage('items_v_idx') = pg_relation_size('items_v_idx') AS bytes_of_the_index;

-- docs/from-annoy.md: info, repr_info, example 1
SELECT i -> 'f' AS f, i -> 'metric' AS metric, i -> 'n_items' AS n_items, i -> 'n_trees' AS n_trees, i -> 'n_neighbors' AS n_neighbors
FROM annoy_info('items_v_idx') AS i;
SELECT annoy_info('items_v_idx', include_n_items => false) ? 'n_items' AS n_items,
    annoy_info('items_v_idx', include_memory => false) ? 'memory_usage_byte' AS memory;
SELECT annoy_repr_info('items_v_idx') ~ $$^Annoy\(f=3, metric='angular', n_neighbors=5, .*n_items=1000, .*\)$$ AS repr;

-- docs/from-annoy.md: Privileges and errors of the functions, example 1
SELECT * FROM annoy_nns_by_vector('items_pkey', '[10,20,30]'::vector);
SELECT * FROM annoy_nns_by_vector('items_v_idx', '[10,20]'::vector);
SELECT * FROM annoy_nns_by_vector('items_v_idx', ARRAY[10,20,30]);
SELECT * FROM annoy_nns_by_vector('items_v_idx', '[10,20,30]'::vector, 0);

-- docs/from-annoy.md: save, serialize, example 1
SELECT length(annoy_serialize('items_v_idx', 'native', 'id')) > 0 AS native,
       encode(substring(annoy_serialize('items_v_idx', 'portable', 'id') FOR 8), 'escape') AS portable,
       encode(substring(annoy_serialize('items_v_idx', 'canonical', 'id') FOR 8), 'escape') AS canonical;

-- docs/from-annoy.md: load, deserialize, example 1
CREATE TABLE loaded (id bigint PRIMARY KEY, v vector(3));
INSERT INTO loaded SELECT id, embedding FROM annoy_items(annoy_serialize('items_v_idx', 'native', 'id'), 'angular', 3);
SELECT count(*), bool_and(loaded.v = items.v) AS equal FROM loaded JOIN items USING (id);
CREATE INDEX ON loaded USING annoy (v);

-- docs/from-annoy.md: What Annoy does not have, example 1
CREATE INDEX items_kind_1 ON items USING annoy (v vector_l2_ops) WHERE label = 'kind 1';
CREATE INDEX items_plane ON items USING annoy ((subvector(v, 1, 2)) vector_l2_ops);
SELECT annoy_n_items('items_kind_1');
SELECT id, label, distance FROM annoy_nns_by_vector('items_kind_1', '[10,20,30]'::vector, 2) JOIN items ON ctid = item ORDER BY distance;
SELECT id, distance FROM annoy_nns_by_vector('items_plane', '[10,20]'::vector, 2) JOIN items ON ctid = item ORDER BY distance, id;

-- docs/from-annoy.md: What Annoy does not have, example 2
SELECT count(*) FROM (SELECT id FROM items ORDER BY v <-> '[10,20,30]') AS everything;

-- end of docs/from-annoy.md
\c :first_database
DROP DATABASE annoy_from_annoy;
