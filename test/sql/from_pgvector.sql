-- Written by test/readme-sql from docs/from-pgvector.md: change that, and run this again.

SELECT count(*) = 0 AS no_pgvector FROM pg_available_extensions WHERE name = 'vector' \gset
\if :no_pgvector
\echo pgvector is not installed
\quit
\endif
\set first_database :DBNAME
CREATE DATABASE annoy_from_pgvector TEMPLATE template0;
\c annoy_from_pgvector
SET lc_messages = 'C';
SET client_min_messages = warning;

-- docs/from-pgvector.md: The data of the examples, example 1
CREATE EXTENSION vector;
CREATE EXTENSION annoy;
CREATE TABLE items (id int PRIMARY KEY, category int, embedding vector(8));
INSERT INTO items
SELECT i, i % 100, ARRAY[sin(i), cos(i), sin(i * 0.7), cos(i * 1.3), sin(i * 2.1), cos(i * 0.3), sin(i * 3.3), cos(i * 1.9)]
FROM generate_series(1, 5000) AS i;
CREATE INDEX items_hnsw ON items USING hnsw (embedding vector_cosine_ops);
ANALYZE items;

-- docs/from-pgvector.md: Replacing an index, example 1
CREATE INDEX CONCURRENTLY items_annoy ON items USING annoy (embedding vector_cosine_ops);
EXPLAIN (COSTS OFF) SELECT id FROM items ORDER BY embedding <=> '[1,0,1,0,1,0,1,0]' LIMIT 10;
DROP INDEX CONCURRENTLY items_hnsw;
SELECT id FROM items ORDER BY embedding <=> (SELECT embedding FROM items WHERE id = 42) LIMIT 1;

-- docs/from-pgvector.md: What is the same, example 1
CREATE INDEX items_half ON items USING annoy ((embedding::halfvec(8)) halfvec_l2_ops);
SELECT id FROM items ORDER BY embedding::halfvec(8) <-> (SELECT embedding::halfvec(8) FROM items WHERE id = 7) LIMIT 1;

-- docs/from-pgvector.md: Accuracy: search_k in place of ef_search and probes, example 1
BEGIN;
SET LOCAL annoy.search_k = 2000;     -- where it was SET LOCAL hnsw.ef_search = 200
SELECT count(*) FROM (SELECT id FROM items ORDER BY embedding <=> '[1,0,1,0,1,0,1,0]' LIMIT 10) AS nearest;
COMMIT;

-- docs/from-pgvector.md: Accuracy: search_k in place of ef_search and probes, example 2
ALTER INDEX items_annoy SET (search_k = 1000);

-- docs/from-pgvector.md: Filters, example 1
SET enable_seqscan = off; SET enable_sort = off;      -- so that this small table is read through the index
SELECT count(*) FROM (SELECT id FROM items WHERE category = 17
                      ORDER BY embedding <=> '[1,0,1,0,1,0,1,0]' LIMIT 20) AS nearest;

-- docs/from-pgvector.md: NULL and zero vectors, example 1
INSERT INTO items VALUES (5001, 1, NULL), (5002, 1, '[0,0,0,0,0,0,0,0]');
SELECT count(*) FROM (SELECT id FROM items ORDER BY embedding <=> '[1,0,1,0,1,0,1,0]' LIMIT 10000) AS everything;

-- end of docs/from-pgvector.md
\c :first_database
DROP DATABASE annoy_from_pgvector;
