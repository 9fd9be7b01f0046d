-- Written by test/readme-sql from README.md: change that, and run this again.

\set first_database :DBNAME
CREATE DATABASE annoy_readme TEMPLATE template0;
\c annoy_readme
SET lc_messages = 'C';

-- README.md: Install, example 1
CREATE EXTENSION annoy;

-- README.md: Getting started, example 1
CREATE TABLE colors (
    name text PRIMARY KEY,
    tone text NOT NULL,
    rgb  vector(3)
);

INSERT INTO colors
SELECT '#' || to_hex(r) || to_hex(g) || to_hex(b),
       CASE WHEN r + g + b < 15 THEN 'dark' WHEN r + g + b < 30 THEN 'medium' ELSE 'light' END,
       ARRAY[17 * r, 17 * g, 17 * b]
FROM generate_series(0, 15) AS r, generate_series(0, 15) AS g, generate_series(0, 15) AS b;

-- README.md: Getting started, example 2
CREATE INDEX colors_rgb_idx ON colors USING annoy (rgb vector_l2_ops);
ANALYZE colors;

-- README.md: Getting started, example 3
SELECT name, rgb, rgb <-> '[70,130,180]' AS distance
FROM colors
ORDER BY rgb <-> '[70,130,180]'
LIMIT 5;

-- README.md: Getting started, example 4
EXPLAIN (COSTS OFF)
SELECT name FROM colors ORDER BY rgb <-> '[70,130,180]' LIMIT 5;

-- README.md: Getting started, example 5
INSERT INTO colors VALUES ('steelblue', 'medium', '[70,130,180]');
SELECT name, rgb <-> '[70,130,180]' AS distance FROM colors ORDER BY rgb <-> '[70,130,180]' LIMIT 2;

-- README.md: More queries, example 1
SELECT name
FROM colors
WHERE name <> 'steelblue'
ORDER BY rgb <-> (SELECT rgb FROM colors WHERE name = 'steelblue')
LIMIT 3;

-- README.md: More queries, example 2
SELECT query.name AS color, neighbor.name, neighbor.distance
FROM (VALUES ('tomato', '[255,99,71]'::vector), ('steelblue', '[70,130,180]')) AS query (name, rgb)
CROSS JOIN LATERAL (
    SELECT name, rgb <-> query.rgb AS distance
    FROM colors
    ORDER BY rgb <-> query.rgb
    LIMIT 1) AS neighbor
ORDER BY color;

-- README.md: More queries, example 3
SELECT name FROM colors ORDER BY rgb <-> ARRAY[70, 130, 180]::vector LIMIT 1;

-- README.md: Operators and metrics, example 1
CREATE INDEX colors_cosine_idx ON colors USING annoy (rgb);
CREATE INDEX colors_ip_idx ON colors USING annoy (rgb vector_ip_ops);

-- README.md: Operators and metrics, example 2
SELECT name, round((rgb <=> '[70,130,180]')::numeric, 6) AS distance
FROM colors
WHERE name <> 'steelblue'
ORDER BY rgb <=> '[70,130,180]'
LIMIT 3;

-- README.md: Operators and metrics, example 3
SELECT name, -(rgb <#> '[70,130,180]') AS product
FROM colors
ORDER BY rgb <#> '[70,130,180]'
LIMIT 3;

-- README.md: Index options, example 1
ALTER INDEX colors_rgb_idx SET (n_trees = 4, seed = 42);
REINDEX INDEX colors_rgb_idx;

-- README.md: Query options, example 1
BEGIN;
SET LOCAL annoy.search_k = 2000;
SELECT name FROM colors ORDER BY rgb <-> '[70,130,180]' LIMIT 3;
COMMIT;

-- README.md: Query options, example 2
BEGIN;
SET LOCAL annoy.iterative_scan = relaxed_order;
WITH nearest AS MATERIALIZED (
    SELECT name, rgb <-> '[120,180,210]' AS distance
    FROM colors
    WHERE tone = 'light'
    ORDER BY rgb <-> '[120,180,210]'
    LIMIT 3)
SELECT * FROM nearest ORDER BY distance;
COMMIT;

-- README.md: Query options, example 3
SELECT name FROM colors ORDER BY rgb <-> '[70,130,180]' LIMIT 1;
SELECT items_inspected > 0 AS inspected, exact_distances < 4097 AS few_distances, resumptions
FROM annoy_last_scan();

-- README.md: Recall, example 1
SET annoy.search_k = 20000;
SELECT round(avg((answer.distance <= exact.radius)::int), 3) AS recall
FROM (SELECT rgb FROM colors ORDER BY name LIMIT 100) AS query
CROSS JOIN LATERAL (
    SELECT max(distance) AS radius
    FROM (SELECT l2_distance(rgb, query.rgb) AS distance
          FROM colors ORDER BY distance LIMIT 10) AS nearest) AS exact
CROSS JOIN LATERAL (
    SELECT rgb <-> query.rgb AS distance
    FROM colors ORDER BY rgb <-> query.rgb LIMIT 10) AS answer;
RESET annoy.search_k;

-- README.md: Filtering, example 1
SELECT name, tone, rgb
FROM colors
WHERE tone = 'medium'
ORDER BY rgb <-> '[120,180,210]'
LIMIT 3;

-- README.md: Filtering, example 2
BEGIN;
SET LOCAL annoy.iterative_scan = off;
SET LOCAL annoy.search_k = 10;
SELECT name, tone FROM colors WHERE tone = 'dark' ORDER BY rgb <-> '[238,238,221]' LIMIT 3;
COMMIT;

-- README.md: Filtering, example 3
CREATE INDEX colors_dark_idx ON colors USING annoy (rgb vector_l2_ops) WHERE tone = 'dark';

-- README.md: Filtering, example 4
WITH nearest AS MATERIALIZED (
    SELECT name, rgb <-> '[70,130,180]' AS distance
    FROM colors
    ORDER BY rgb <-> '[70,130,180]'
    LIMIT 20)
SELECT name FROM nearest WHERE distance < 12 ORDER BY distance;

-- README.md: Memory, example 1
SET maintenance_work_mem = '1MB';
REINDEX INDEX colors_rgb_idx;

-- README.md: Memory, example 2
SET maintenance_work_mem = '256MB';
REINDEX INDEX colors_rgb_idx;
RESET maintenance_work_mem;

-- README.md: Parallel builds, example 1
ALTER TABLE colors SET (parallel_workers = 2);
REINDEX TABLE colors;

-- README.md: Progress, example 1
SELECT relid::regclass AS "table", phase, blocks_done, blocks_total, tuples_done, tuples_total
FROM pg_stat_progress_create_index;

-- README.md: Progress, example 2
SET annoy."verbose" = 1;
CREATE TEMPORARY TABLE points (id int, place vector(2));
INSERT INTO points VALUES (1, '[1,0]'), (2, '[3,4]'), (3, '[0,2]'), (4, '[0,0]'), (5, NULL);
CREATE INDEX points_idx ON points USING annoy (place vector_cosine_ops);
RESET annoy."verbose";

-- README.md: Rebuilding and locks, example 1
REINDEX INDEX CONCURRENTLY colors_rgb_idx;
CREATE INDEX CONCURRENTLY colors_other_idx ON colors USING annoy (rgb vector_l2_ops) WITH (n_trees = 1);
DROP INDEX CONCURRENTLY colors_other_idx;

-- README.md: Inserts, example 1
INSERT INTO colors VALUES ('tomato', 'medium', '[255,99,71]'), ('grey', 'medium', '[128,128]');

-- README.md: Inserts, example 2
CREATE TABLE pixels (rgb vector);
CREATE INDEX pixels_rgb_idx ON pixels USING annoy (rgb vector_l2_ops);
INSERT INTO pixels SELECT rgb FROM colors;
REINDEX INDEX pixels_rgb_idx;
INSERT INTO pixels VALUES ('[1,2]');

-- README.md: Checking, example 1
SELECT annoy_index_check('colors_rgb_idx', true);

-- README.md: Kinds of tables and indexes, example 1
CREATE TABLE notes (year int, words vector(4)) PARTITION BY LIST (year);
CREATE TABLE notes_2023 PARTITION OF notes FOR VALUES IN (2023);
CREATE TABLE notes_2024 PARTITION OF notes FOR VALUES IN (2024);
INSERT INTO notes
SELECT 2023 + i % 2, ARRAY[i % 7, i % 11, i % 13, i % 17] FROM generate_series(1, 2000) AS i;
CREATE INDEX ON notes USING annoy (words vector_l2_ops);
SELECT year, words FROM notes ORDER BY words <-> '[1,1,1,1.5]' LIMIT 1;

-- README.md: Kinds of tables and indexes, example 2
CREATE TABLE measurements (id int, samples real[]);
INSERT INTO measurements VALUES (1, '{1,2,3}'), (2, '{3,2,1}'), (3, '{7,7}');
CREATE INDEX ON measurements USING annoy ((samples::vector(3)) vector_l2_ops)
    WHERE cardinality(samples) = 3;
SELECT id FROM measurements WHERE cardinality(samples) = 3
ORDER BY samples::vector(3) <-> '[3,3,1]' LIMIT 1;

-- README.md: NULLs and zero vectors, example 1
SET enable_seqscan = off;       -- the table is so small that the planner would sort it
SELECT id, place, round((place <=> '[2,1]')::numeric, 3) AS distance
FROM points
ORDER BY place <=> '[2,1]';
RESET enable_seqscan;

-- README.md: The index is not used, example 1
EXPLAIN (COSTS OFF) SELECT name FROM colors ORDER BY rgb <-> '[70,130,180]' DESC LIMIT 5;

-- README.md: The index is not used, example 2
EXPLAIN (COSTS OFF) SELECT name FROM colors ORDER BY rgb <+> '[70,130,180]' LIMIT 5;

-- README.md: Error messages, example 1
SELECT name FROM colors ORDER BY rgb <-> '[70,130]' LIMIT 1;

-- README.md: Casts, example 1
SELECT array_replace(ARRAY[1, NULL, 3], NULL, 0)::vector AS filled,
       '[1.5,2,3]'::vector::real[] AS "array",
       ('[1.5,2,3]'::vector::real[])[1] AS element;

-- README.md: Operators, example 1
SELECT '[1,2]'::vector + '[3,4]' AS sum, '[1,2]'::vector * '[3,4]' AS product, '[1,2]'::vector || '[3]' AS both;

-- README.md: Functions, example 1
SELECT vector_dims('[3,4]'), vector_norm('[3,4]'), l2_normalize('[3,4]'),
       subvector('[1,2,3,4]', 2, 2), binary_quantize('[3,-4,0]');

-- README.md: Functions, example 2
SELECT round(angular_distance('[1,0]', '[0,2]')::numeric, 4) AS right_angle,
       round(cosine_distance('[1,0]', '[0,2]')::numeric, 4) AS cosine;

-- README.md: Functions, example 3
SELECT avg(rgb), sum(rgb) FROM colors WHERE name IN ('#000', '#fff');

-- end of README.md
\c :first_database
DROP DATABASE annoy_readme;
