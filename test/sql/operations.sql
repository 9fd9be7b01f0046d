-- Written by test/readme-sql from docs/operations.md: change that, and run this again.

\set first_database :DBNAME
CREATE DATABASE annoy_operations TEMPLATE template0;
\c annoy_operations
SET lc_messages = 'C';
SET client_min_messages = warning;

-- docs/operations.md: Operations, example 1
CREATE EXTENSION annoy;
CREATE TABLE documents (
    id        bigint PRIMARY KEY,
    tenant_id integer NOT NULL,
    body      text NOT NULL,
    embedding vector(5)
);
INSERT INTO documents
SELECT i, i % 50, 'Document ' || i, ARRAY[sin(i), cos(i * 1.7), sin(i * 2.3), cos(i * 3.1), sin(i * 0.1)]
FROM generate_series(1, 5000) AS i;
CREATE INDEX documents_embedding_idx ON documents USING annoy (embedding vector_cosine_ops);
ANALYZE documents;

-- docs/operations.md: Building an index, example 1
CREATE TABLE notes (embedding vector);
CREATE INDEX notes_embedding_idx ON notes USING annoy (embedding vector_l2_ops);
INSERT INTO notes SELECT embedding FROM documents;
REINDEX INDEX notes_embedding_idx;

-- docs/operations.md: Rebuilding, example 1
REINDEX INDEX CONCURRENTLY documents_embedding_idx;

-- docs/operations.md: Rebuilding, example 2
ALTER INDEX documents_embedding_idx SET (n_trees = 2);
REINDEX INDEX documents_embedding_idx;
SELECT annoy_n_trees('documents_embedding_idx');

-- docs/operations.md: Memory of a build, example 1
SET maintenance_work_mem = '256MB';
REINDEX INDEX documents_embedding_idx;
RESET maintenance_work_mem;

-- docs/operations.md: Parallel builds, example 1
ALTER TABLE documents SET (parallel_workers = 2);
REINDEX TABLE documents;
ALTER TABLE documents RESET (parallel_workers);

-- docs/operations.md: Progress, example 1
SELECT relid::regclass AS "table", phase, blocks_done, blocks_total, tuples_done, tuples_total
FROM pg_stat_progress_create_index;

-- docs/operations.md: Progress, example 2
SET annoy.verbosity = 1;
CREATE TEMPORARY TABLE points (id int, place vector(2));
INSERT INTO points VALUES (1, '[1,0]'), (2, '[3,4]'), (3, '[0,2]'), (4, '[0,0]'), (5, NULL);
CREATE INDEX points_idx ON points USING annoy (place vector_cosine_ops);
RESET annoy.verbosity;

-- docs/operations.md: Inserts and updates, example 1
INSERT INTO documents VALUES (5001, 1, 'Document 5001', '[1,0,0,0,0]'), (5002, 1, 'Document 5002', '[1,2]');
INSERT INTO notes VALUES ('[1,2]');

-- docs/operations.md: Size and memory, example 1
SELECT annoy_memory_usage('documents_embedding_idx') = pg_relation_size('documents_embedding_idx') AS same;

-- docs/operations.md: Monitoring, example 1
SELECT i ->> 'metric' AS metric, i ->> 'n_trees' AS trees
FROM annoy_info('documents_embedding_idx', include_n_items => false) AS i;
SELECT i ->> 'rows_at_build' AS rows_at_build, i ->> 'n_items' AS items, i ->> 'entries' AS entries,
       i ->> 'code_bits' AS code_bits, i ->> 'needs_reindex' AS needs_reindex
FROM annoy_info('documents_embedding_idx') AS i;

-- docs/operations.md: Monitoring, example 2
CREATE VIEW annoy_indexes AS
SELECT s.indexrelid::regclass AS index, pg_size_pretty(pg_relation_size(s.indexrelid)) AS size, s.idx_scan AS scans
FROM pg_stat_user_indexes AS s
JOIN pg_class AS c ON c.oid = s.indexrelid
JOIN pg_am AS a ON a.oid = c.relam
WHERE a.amname = 'annoy';
SELECT index FROM annoy_indexes ORDER BY index::text;

-- docs/operations.md: Monitoring, example 3
SELECT id FROM documents ORDER BY embedding <=> '[1,0,1,0,1]' LIMIT 1;
SELECT items_inspected > 0 AS inspected, exact_distances > 0 AS distances, resumptions FROM annoy_last_scan();

-- docs/operations.md: Upgrades, example 1
ALTER EXTENSION annoy UPDATE;
SELECT installed_version = default_version AS up_to_date FROM pg_available_extensions WHERE name = 'annoy';

-- docs/operations.md: Checking, example 1
SELECT annoy_index_check('documents_embedding_idx', true);

-- docs/operations.md: Kinds of tables, example 1
CREATE TABLE articles (year int, embedding vector(4)) PARTITION BY LIST (year);
CREATE TABLE articles_2023 PARTITION OF articles FOR VALUES IN (2023);
CREATE TABLE articles_2024 PARTITION OF articles FOR VALUES IN (2024);
INSERT INTO articles
SELECT 2023 + i % 2, ARRAY[i % 7, i % 11, i % 13, i % 17] FROM generate_series(1, 2000) AS i;
CREATE INDEX ON articles USING annoy (embedding vector_l2_ops);
SELECT year, embedding FROM articles ORDER BY embedding <-> '[1,1,1,1.5]' LIMIT 1;

-- docs/operations.md: The index is not used, example 1
EXPLAIN (COSTS OFF) SELECT id FROM documents ORDER BY embedding <=> '[1,0,1,0,1]' DESC LIMIT 5;
EXPLAIN (COSTS OFF) SELECT id FROM documents ORDER BY embedding <+> '[1,0,1,0,1]' LIMIT 5;

-- end of docs/operations.md
\c :first_database
DROP DATABASE annoy_operations;
