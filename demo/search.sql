--
-- Index the images, find neighbours of test images by the index and without
-- it, and compare.  demo/run has loaded the tables fmnist and fmnist_test.
-- Results go to plan.txt, measures.csv and neighbours.csv in :folder.
--
\set ON_ERROR_STOP on
SET max_parallel_workers_per_gather = 0;	-- one process against one process

SELECT clock_timestamp() AS started \gset
CREATE INDEX fmnist_embedding_idx ON fmnist USING annoy (embedding vector_l2_ops);
SELECT extract(epoch FROM clock_timestamp() - :'started') AS build_seconds \gset

-- The first 100 test images; the ten most like each; and how alike.
CREATE TEMP VIEW neighbors AS
	SELECT q.id AS query, n.id, n.label, n.distance
	FROM (SELECT * FROM fmnist_test WHERE id < 100) q
	CROSS JOIN LATERAL (
		SELECT id, label, embedding <-> q.embedding AS distance
		FROM fmnist
		ORDER BY embedding <-> q.embedding
		LIMIT 10) n;

\ir measure.sql

\cd :folder
\o plan.txt
EXPLAIN (COSTS off) SELECT * FROM neighbors;
\pset format csv
\o measures.csv
SELECT :build_seconds AS build_seconds, :index_ms AS index_ms,
	:exact_ms AS exact_ms, :recall AS recall,
	(SELECT count(*) FROM fmnist) AS rows,
	pg_table_size('fmnist') AS table_size,
	pg_relation_size('fmnist_embedding_idx') AS index_size;
\o neighbours.csv
SELECT n.query, q.label AS query_label, n.id, n.label
	FROM by_index n JOIN fmnist_test q ON q.id = n.query
	ORDER BY n.query, n.distance, n.id;
\o
