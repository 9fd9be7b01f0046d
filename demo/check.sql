--
-- Figures: how large, how fast, and how exact.
--
\set ON_ERROR_STOP on
\pset footer off
SET max_parallel_workers_per_gather = 0;	-- one process against one process

-- 200 descriptions, and the ten other packages nearest to each.
CREATE TEMP TABLE sample AS
	SELECT id, embedding FROM documents WHERE embedding IS NOT NULL
	ORDER BY md5(name) LIMIT 200;
CREATE TEMP VIEW neighbors AS
	SELECT s.id AS query, n.id, n.distance
	FROM sample AS s
	CROSS JOIN LATERAL (
		SELECT id, embedding <=> s.embedding AS distance
		FROM documents
		WHERE id <> s.id
		ORDER BY embedding <=> s.embedding
		LIMIT 10) AS n;

\ir measure.sql

\x on
SELECT (SELECT count(*) FROM documents) AS "packages",
	(SELECT count(embedding) FROM documents) AS "with an embedding",
	(SELECT count(*) FROM words) AS "words",
	pg_size_pretty(pg_table_size('documents')) AS "table",
	pg_size_pretty(pg_relation_size('documents_embedding_idx')) AS "index",
	(SELECT round(seconds, 1) FROM built) || ' s' AS "build of the index",
	round(:index_ms, 2) || ' ms' AS "query with the index",
	round(:exact_ms, 2) || ' ms' AS "query without",
	round(:recall::numeric, 3) AS "recall@10, 200 queries";
