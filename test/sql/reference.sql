-- Written by test/readme-sql from docs/reference.md: change that, and run this again.

\set first_database :DBNAME
CREATE DATABASE annoy_reference TEMPLATE template0;
\c annoy_reference
SET lc_messages = 'C';
SET client_min_messages = warning;

-- docs/reference.md: Reference, example 1
CREATE EXTENSION annoy;

-- docs/reference.md: Casts, example 1
SELECT array_replace(ARRAY[1, NULL, 3], NULL, 0)::vector AS filled,
       '[1.5,2,3]'::vector::real[] AS "array",
       ('[1.5,2,3]'::vector::real[])[1] AS element;

-- docs/reference.md: Operators, example 1
SELECT '[1,2]'::vector + '[3,4]' AS sum, '[1,2]'::vector * '[3,4]' AS product, '[1,2]'::vector || '[3]' AS both;

-- docs/reference.md: Functions on vectors, example 1
SELECT vector_dims('[3,4]'), vector_norm('[3,4]'), l2_normalize('[3,4]'),
       subvector('[1,2,3,4]', 2, 2), binary_quantize('[3,-4,0]');
SELECT round(angular_distance('[1,0]', '[0,2]')::numeric, 4) AS right_angle,
       round(cosine_distance('[1,0]', '[0,2]')::numeric, 4) AS cosine;
SELECT avg(v), sum(v) FROM (VALUES ('[0,0,0]'::vector), ('[255,255,255]'), (NULL)) AS t (v);

-- docs/reference.md: Exchange with the Annoy library, example 1
CREATE TABLE colors (name text, rgb vector(3));
CREATE INDEX colors_rgb_idx ON colors USING annoy (rgb vector_l2_ops);
INSERT INTO colors VALUES ('steelblue', '[70,130,180]');
SET enable_seqscan = off;
SELECT name FROM colors ORDER BY rgb <-> '[70,130]' LIMIT 1;
RESET enable_seqscan;

-- end of docs/reference.md
\c :first_database
DROP DATABASE annoy_reference;
