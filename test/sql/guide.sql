-- Written by test/readme-sql from docs/guide.md: change that, and run this again.

\set first_database :DBNAME
CREATE DATABASE annoy_guide TEMPLATE template0;
\c annoy_guide
SET lc_messages = 'C';
SET client_min_messages = warning;

-- docs/guide.md: The data of the examples, example 1
CREATE EXTENSION annoy;         -- beside pgvector: CREATE EXTENSION vector first

CREATE TABLE documents (
    id        bigint PRIMARY KEY,
    tenant_id integer NOT NULL,
    body      text NOT NULL,
    embedding vector(5)
);

INSERT INTO documents VALUES
    (1,  1, 'Apple pie with cinnamon',                  '[0.93,0.05,0.02,0.04,0.01]'),
    (2,  1, 'A plum cake that never fails',             '[0.90,0.02,0.04,0.08,0.03]'),
    (3,  1, 'Why cats knead blankets',                  '[0.06,0.95,0.03,0.02,0.00]'),
    (4,  1, 'Teaching an old dog new tricks',           '[0.04,0.91,0.10,0.12,0.02]'),
    (5,  1, 'Feeding a puppy in its first weeks',       '[0.42,0.88,0.01,0.05,0.02]'),
    (6,  1, 'Speed up a slow laptop',                   '[0.02,0.04,0.94,0.05,0.12]'),
    (7,  2, 'What to eat in Naples',                    '[0.68,0.03,0.01,0.66,0.02]'),
    (8,  2, 'Travelling with a dog',                    '[0.05,0.63,0.02,0.70,0.03]'),
    (9,  2, 'Three days in Lisbon by night train',      '[0.15,0.02,0.05,0.92,0.04]'),
    (10, 2, 'Apple laptops compared',                   '[0.11,0.03,0.91,0.06,0.20]'),
    (11, 3, 'Which laptop to take on a long journey',   '[0.03,0.01,0.74,0.61,0.10]'),
    (12, 3, 'Business lunches: who pays?',              '[0.55,0.02,0.04,0.12,0.78]');

INSERT INTO documents           -- and 1,000 invoices
SELECT 1000 + i, i % 50, 'Invoice ' || i, ARRAY[abs(sin(i)), abs(cos(i * 1.7)), abs(sin(i * 2.3)), abs(cos(i * 3.1)), 4]
FROM generate_series(1, 1000) AS i;

CREATE INDEX documents_embedding_idx ON documents USING annoy (embedding vector_cosine_ops);
ANALYZE documents;

-- docs/guide.md: Queries, example 1
SELECT id, body, round((embedding <=> '[0.97,0.03,0.01,0.02,0.02]')::numeric, 3) AS distance
FROM documents
ORDER BY embedding <=> '[0.97,0.03,0.01,0.02,0.02]'
LIMIT 3;

-- docs/guide.md: Queries, example 2
EXPLAIN (COSTS OFF)
SELECT id, body FROM documents ORDER BY embedding <=> '[0.97,0.03,0.01,0.02,0.02]' LIMIT 3;

-- docs/guide.md: Queries, example 3
SELECT id, body
FROM documents
WHERE id <> 8
ORDER BY embedding <=> (SELECT embedding FROM documents WHERE id = 8)
LIMIT 3;

-- docs/guide.md: Queries, example 4
SELECT query.text, found.body
FROM (VALUES ('dessert', '[0.97,0.03,0.01,0.02,0.02]'::vector), ('pets', '[0.1,0.9,0.02,0.05,0.01]')) AS query (text, embedding)
CROSS JOIN LATERAL (
    SELECT body, embedding <=> query.embedding AS distance
    FROM documents
    ORDER BY embedding <=> query.embedding
    LIMIT 2) AS found
ORDER BY query.text, found.distance;

-- docs/guide.md: Queries, example 5
PREPARE nearest (vector) AS SELECT body FROM documents ORDER BY embedding <=> $1 LIMIT 1;
EXECUTE nearest ('[0.02,0.03,0.95,0.04,0.1]');
SELECT body FROM documents ORDER BY embedding <=> ARRAY[0.02, 0.03, 0.95, 0.04, 0.1]::vector LIMIT 1;

-- docs/guide.md: Operators and metrics, example 1
CREATE INDEX documents_ip_idx ON documents USING annoy (embedding vector_ip_ops);
SELECT body, round((-(embedding <#> '[0.97,0.03,0.01,0.02,0]'))::numeric, 3) AS product
FROM documents
WHERE tenant_id = 1
ORDER BY embedding <#> '[0.97,0.03,0.01,0.02,0]'
LIMIT 2;
DROP INDEX documents_ip_idx;

-- docs/guide.md: Operators and metrics, example 2
BEGIN;
SET LOCAL annoy.search_k = 1012;         -- as many as there are rows: the scan inspects them all
SELECT embedding <=> '[0.4,0.4,0.4,0.4,0.4]' AS nearest
FROM documents
ORDER BY embedding <=> '[0.4,0.4,0.4,0.4,0.4]'
LIMIT 1;
COMMIT;
SELECT min(cosine_distance(embedding, '[0.4,0.4,0.4,0.4,0.4]')) AS nearest FROM documents;

-- docs/guide.md: Recall, example 1
SELECT round(avg((found.distance <= exact.radius)::int), 2) >= 0.9 AS good_recall
FROM (SELECT embedding FROM documents ORDER BY id LIMIT 100) AS query
CROSS JOIN LATERAL (
    SELECT max(distance) AS radius
    FROM (SELECT cosine_distance(embedding, query.embedding) AS distance
          FROM documents ORDER BY distance LIMIT 10) AS nearest) AS exact
CROSS JOIN LATERAL (
    SELECT embedding <=> query.embedding AS distance
    FROM documents ORDER BY embedding <=> query.embedding LIMIT 10) AS found;

-- docs/guide.md: Recall, example 2
BEGIN;
SET LOCAL annoy.search_k = 1012;
SELECT id, body FROM documents ORDER BY embedding <=> '[0.05,0.7,0.02,0.6,0.03]' LIMIT 2;
COMMIT;

-- docs/guide.md: How far a scan goes, example 1
SELECT body FROM documents ORDER BY embedding <=> '[0.97,0.03,0.01,0.02,0.02]' LIMIT 1;
SELECT items_inspected > 0 AS inspected, exact_distances < 1012 AS few_distances, resumptions FROM annoy_last_scan();

-- docs/guide.md: The order of rows, example 1
BEGIN;
SET LOCAL annoy.iterative_scan = relaxed_order;
WITH nearest AS MATERIALIZED (
    SELECT id, body, embedding <=> '[0.5,0.3,0.3,0.5,0.1]' AS distance
    FROM documents
    WHERE tenant_id = 2
    ORDER BY embedding <=> '[0.5,0.3,0.3,0.5,0.1]'
    LIMIT 3)
SELECT id, body, round(distance::numeric, 3) AS distance
FROM nearest
ORDER BY nearest.distance + 0;
COMMIT;

-- docs/guide.md: Filters, example 1
SELECT body
FROM documents
WHERE tenant_id = 3 AND body NOT LIKE 'Invoice%'
ORDER BY embedding <=> '[0.97,0.03,0.01,0.02,0.02]'
LIMIT 3;

-- docs/guide.md: Filters, example 2
BEGIN;
SET LOCAL annoy.iterative_scan = off;
SET LOCAL annoy.search_k = 10;
SET LOCAL enable_seqscan = off;          -- the table is so small that the planner might sort it
SELECT body FROM documents WHERE body LIKE '%laptop%' ORDER BY embedding <=> '[0.97,0.03,0.01,0.02,0.02]' LIMIT 3;
COMMIT;

-- docs/guide.md: Tenants, example 1
CREATE INDEX documents_tenant_id_idx ON documents (tenant_id);
SELECT body FROM documents WHERE tenant_id = 2 ORDER BY embedding <=> '[0.1,0.5,0.1,0.8,0.02]' LIMIT 2;

-- docs/guide.md: Tenants, example 2
CREATE INDEX documents_tenant_1_idx ON documents USING annoy (embedding vector_cosine_ops) WHERE tenant_id = 1;
SELECT body FROM documents WHERE tenant_id = 1 ORDER BY embedding <=> '[0.1,0.5,0.1,0.8,0.02]' LIMIT 2;

-- docs/guide.md: Tenants, example 3
CREATE TABLE tenant_documents (LIKE documents) PARTITION BY LIST (tenant_id);
CREATE TABLE tenant_documents_1 PARTITION OF tenant_documents FOR VALUES IN (1);
CREATE TABLE tenant_documents_2 PARTITION OF tenant_documents FOR VALUES IN (2);
CREATE TABLE tenant_documents_others PARTITION OF tenant_documents DEFAULT;
INSERT INTO tenant_documents SELECT * FROM documents;
CREATE INDEX ON tenant_documents USING annoy (embedding vector_cosine_ops);
SELECT body FROM tenant_documents WHERE tenant_id = 2 ORDER BY embedding <=> '[0.1,0.5,0.1,0.8,0.02]' LIMIT 2;

-- docs/guide.md: Hybrid search, example 1
CREATE INDEX documents_body_idx ON documents USING gin (to_tsvector('english', body));

WITH by_meaning AS (
    SELECT id, row_number() OVER (ORDER BY distance + 0) AS rank
    FROM (SELECT id, embedding <=> '[0.2,0.02,0.93,0.04,0.1]' AS distance
          FROM documents
          ORDER BY embedding <=> '[0.2,0.02,0.93,0.04,0.1]'
          LIMIT 20) AS nearest
), by_words AS (
    SELECT id, row_number() OVER (ORDER BY score DESC, id) AS rank
    FROM (SELECT id, ts_rank_cd(to_tsvector('english', body), query) AS score
          FROM documents, to_tsquery('english', 'apple | laptop') AS query
          WHERE to_tsvector('english', body) @@ query
          ORDER BY score DESC, id
          LIMIT 20) AS matching
)
SELECT body, by_meaning.rank AS meaning, by_words.rank AS words,
       round(coalesce(1.0 / (60 + by_meaning.rank), 0) + coalesce(1.0 / (60 + by_words.rank), 0), 4) AS score
FROM by_meaning
FULL JOIN by_words USING (id)
JOIN documents USING (id)
ORDER BY score DESC, id
LIMIT 4;

-- docs/guide.md: Distance thresholds, example 1
WITH nearest AS MATERIALIZED (
    SELECT body, embedding <=> '[0.05,0.95,0.05,0.1,0.01]' AS distance
    FROM documents
    ORDER BY embedding <=> '[0.05,0.95,0.05,0.1,0.01]'
    LIMIT 20)
SELECT body FROM nearest WHERE distance < 0.2 ORDER BY distance + 0;

-- docs/guide.md: Pagination, example 1
BEGIN;
DECLARE page CURSOR FOR
    SELECT body FROM documents ORDER BY embedding <=> '[0.05,0.95,0.05,0.1,0.01]' LIMIT 100;
FETCH 2 FROM page;
FETCH 2 FROM page;
COMMIT;

-- docs/guide.md: NULLs and zero vectors, example 1
CREATE TABLE points (id int, place vector(2));
INSERT INTO points VALUES (1, '[1,0]'), (2, '[3,4]'), (3, '[0,2]'), (4, '[0,0]'), (5, NULL);
CREATE INDEX points_place_idx ON points USING annoy (place);
SET enable_seqscan = off;       -- the table is so small that the planner would sort it
SELECT id, place, round((place <=> '[2,1.5]')::numeric, 3) AS distance FROM points ORDER BY place <=> '[2,1.5]';
RESET enable_seqscan;

-- docs/guide.md: Indexes on expressions, example 1
CREATE TABLE measurements (id int, samples real[]);
INSERT INTO measurements VALUES (1, '{1,2,3}'), (2, '{3,2,1}'), (3, '{7,7}');
CREATE INDEX ON measurements USING annoy ((samples::vector(3)) vector_l2_ops) WHERE cardinality(samples) = 3;
SELECT id FROM measurements WHERE cardinality(samples) = 3 ORDER BY samples::vector(3) <-> '[3,3,1]' LIMIT 1;

-- docs/guide.md: Indexes on expressions, example 2
CREATE INDEX documents_bits_idx ON documents USING annoy ((binary_quantize(embedding - '[0.5,0.5,0.5,0.5,0.5]')::bit(5)) bit_hamming_ops);
WITH candidates AS MATERIALIZED (
    SELECT body, embedding
    FROM documents
    ORDER BY binary_quantize(embedding - '[0.5,0.5,0.5,0.5,0.5]')::bit(5) <~> binary_quantize('[0.4,-0.4,-0.4,-0.4,-0.4]')::bit(5)
    LIMIT 10)
SELECT body FROM candidates ORDER BY embedding <=> '[0.97,0.03,0.01,0.02,0.02]' LIMIT 2;

-- docs/guide.md: Where vectors are stored, example 1
CREATE TABLE pages (id bigint, embedding vector(768));
ALTER TABLE pages ALTER COLUMN embedding SET STORAGE PLAIN;
INSERT INTO pages SELECT i, array_fill(i, ARRAY[768]) FROM generate_series(1, 10) AS i;
SELECT count(DISTINCT (ctid::text::point)[0]) AS blocks_of_the_table FROM pages;

-- docs/guide.md: Where vectors are stored, example 2
CREATE TABLE leaflets (id bigint, embedding vector(768));
INSERT INTO leaflets SELECT i, array_fill(i, ARRAY[768]) FROM generate_series(1, 10) AS i;
ALTER TABLE leaflets ALTER COLUMN embedding SET STORAGE PLAIN;
VACUUM FULL leaflets;                    -- or: UPDATE leaflets SET embedding = embedding::real[]::vector
SELECT count(DISTINCT (ctid::text::point)[0]) AS blocks_of_the_table FROM leaflets;

-- end of docs/guide.md
\c :first_database
DROP DATABASE annoy_guide;
