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

-- Once to warm up, once to measure.
CREATE TEMP TABLE by_index AS SELECT * FROM neighbors;
TRUNCATE by_index;
SELECT clock_timestamp() AS started \gset
INSERT INTO by_index SELECT * FROM neighbors;
SELECT extract(epoch FROM clock_timestamp() - :'started') / 200 * 1000 AS index_ms \gset

SET enable_indexscan = off;
SELECT clock_timestamp() AS started \gset
CREATE TEMP TABLE exact AS SELECT * FROM neighbors;
SELECT extract(epoch FROM clock_timestamp() - :'started') / 200 * 1000 AS exact_ms \gset

-- A row as near as the tenth is as good as the tenth.
SELECT count(*)::float8 / (SELECT count(*) FROM exact) AS recall
FROM by_index
JOIN (SELECT query, max(distance) AS farthest FROM exact GROUP BY query) AS e USING (query)
WHERE distance <= farthest \gset

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
