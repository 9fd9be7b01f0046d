--
-- Measures the view "neighbors" (query, id, distance, maybe more), with the index
-- and without it; leaves what the index gives in the table "by_index", and sets
-- :index_ms and :exact_ms (of one query) and :recall.
--
-- Once to warm up, once to measure.
CREATE TEMP TABLE by_index AS SELECT * FROM neighbors;
TRUNCATE by_index;
SELECT clock_timestamp() AS started \gset
INSERT INTO by_index SELECT * FROM neighbors;
SELECT clock_timestamp() - :'started' AS index_time \gset

-- Without the index, the server computes all distances and sorts.
SET enable_indexscan = off;
SELECT clock_timestamp() AS started \gset
CREATE TEMP TABLE exact AS SELECT * FROM neighbors;
SELECT clock_timestamp() - :'started' AS exact_time \gset
RESET enable_indexscan;

-- A row as near as the farthest of the exact ones is as good as that.
SELECT extract(epoch FROM :'index_time'::interval) * 1000 / queries AS index_ms,
	extract(epoch FROM :'exact_time'::interval) * 1000 / queries AS exact_ms,
	(SELECT count(*)
	 FROM by_index
	 JOIN (SELECT query, max(distance) AS farthest FROM exact GROUP BY query) AS e USING (query)
	 WHERE distance <= farthest)::float8 / rows AS recall
FROM (SELECT count(DISTINCT query) AS queries, count(*) AS rows FROM exact) AS n \gset
