-- Written by test/readme-sql from README.md: change that, and run this again.

\set first_database :DBNAME
CREATE DATABASE annoy_readme TEMPLATE template0;
\c annoy_readme
SET lc_messages = 'C';
SET client_min_messages = warning;

-- README.md: Install, example 1
CREATE EXTENSION annoy;

-- README.md: First query, example 1
CREATE TABLE documents (
    id        bigint PRIMARY KEY,
    tenant_id integer NOT NULL,
    body      text NOT NULL,
    embedding vector(5)
);

INSERT INTO documents VALUES
    (1, 1, 'Apple pie with cinnamon',                '[0.93,0.05,0.02,0.04,0.01]'),
    (2, 1, 'A plum cake that never fails',           '[0.90,0.02,0.04,0.08,0.03]'),
    (3, 1, 'Why cats knead blankets',                '[0.06,0.95,0.03,0.02,0.00]'),
    (4, 2, 'What to eat in Naples',                  '[0.68,0.03,0.01,0.66,0.02]'),
    (5, 2, 'Travelling with a dog',                  '[0.05,0.63,0.02,0.70,0.03]'),
    (6, 2, 'Speed up a slow laptop',                 '[0.02,0.04,0.94,0.05,0.12]');

INSERT INTO documents               -- and 1,000 invoices
SELECT 1000 + i, i % 50, 'Invoice ' || i, ARRAY[abs(sin(i)), abs(cos(i * 1.7)), abs(sin(i * 2.3)), abs(cos(i * 3.1)), 4]
FROM generate_series(1, 1000) AS i;

-- README.md: First query, example 2
CREATE INDEX documents_embedding_idx ON documents USING annoy (embedding vector_cosine_ops);
ANALYZE documents;

-- README.md: First query, example 3
SELECT body, round((embedding <=> '[0.97,0.03,0.01,0.02,0.02]')::numeric, 3) AS distance
FROM documents
ORDER BY embedding <=> '[0.97,0.03,0.01,0.02,0.02]'
LIMIT 3;

-- README.md: Options you need, example 1
BEGIN;
SET LOCAL annoy.search_k = 2000;
COMMIT;
ALTER INDEX documents_embedding_idx SET (search_k = 1000);

-- README.md: Filters, tenants, hybrid search, example 1
SELECT body
FROM documents
WHERE tenant_id = 2 AND body NOT LIKE 'Invoice%'
ORDER BY embedding <=> '[0.97,0.03,0.01,0.02,0.02]'
LIMIT 3;

-- README.md: Monitoring, example 1
SELECT items_inspected > 0 AS inspected, resumptions FROM annoy_last_scan();

-- end of README.md
\c :first_database
DROP DATABASE annoy_readme;
