-- The aggregates avg(vector) and sum(vector), serial and parallel.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS annoy;
RESET client_min_messages;

SELECT avg(v), sum(v) FROM unnest(ARRAY['[1,2,3]'::vector, '[3,5,7]']) v;
SELECT avg(v), sum(v) FROM unnest(ARRAY['[1,2,3]'::vector, NULL, '[3,5,7]']) v;
SELECT avg(v), sum(v) FROM unnest(ARRAY['[1,2,3]'::vector]) v;
SELECT avg(v), sum(v) FROM unnest(ARRAY[NULL::vector]) v;
SELECT avg(v), sum(v) FROM unnest(ARRAY[]::vector[]) v;
SELECT avg(DISTINCT v), sum(v) FILTER (WHERE vector_norm(v) > 1)
	FROM unnest(ARRAY['[1]'::vector, '[1]', '[3]']) v;

-- The mean of large vectors is no overflow, their sum is one.
SELECT avg(v) FROM unnest(ARRAY['[3e38]'::vector, '[3e38]']) v;
SELECT sum(v) FROM unnest(ARRAY['[3e38]'::vector, '[3e38]']) v;
SELECT sum(v) FROM unnest(ARRAY['[3e38]'::vector, '[3e38]', '[-3e38]', '[-3e38]']) v;

-- Different dimensions.
SELECT avg(v) FROM unnest(ARRAY['[1,2]'::vector, '[3]']) v;
SELECT sum(v) FROM unnest(ARRAY['[1,2]'::vector, '[3]']) v;

-- Groups, windows and grouping sets keep their states apart.
SELECT g, avg(v), sum(v) FROM (SELECT i % 3 AS g, ARRAY[i, 2 * i]::vector AS v FROM generate_series(1, 9) i) s
	GROUP BY g ORDER BY g;
SELECT i, avg(v) OVER (ORDER BY i) AS running, sum(v) OVER (ORDER BY i ROWS 1 PRECEDING) AS moving
	FROM (SELECT i, ARRAY[i, 2 * i]::vector AS v FROM generate_series(1, 5) i) s ORDER BY i;
SELECT g, sum(v) FROM (SELECT i % 2 AS g, ARRAY[i]::vector AS v FROM generate_series(1, 5) i) s
	GROUP BY GROUPING SETS ((g), ()) ORDER BY g;

-- Many float additions lose nothing that shows.
SELECT sum('[0.1]'::vector), avg('[0.1]'::vector) FROM generate_series(1, 100000);

-- Parallel: the plan has a partial aggregate, and the result is the same.
CREATE TABLE vector_aggregate_items (id int, v vector(3));
INSERT INTO vector_aggregate_items SELECT i, ARRAY[i, -i, i % 7]::vector FROM generate_series(1, 10000) i;
INSERT INTO vector_aggregate_items SELECT i, NULL FROM generate_series(1, 100) i;
ANALYZE vector_aggregate_items;
SET max_parallel_workers_per_gather = 0;
SELECT count(v), avg(v), sum(v) FROM vector_aggregate_items;
SELECT id % 3 AS g, avg(v) FROM vector_aggregate_items GROUP BY g ORDER BY g;
SET max_parallel_workers_per_gather = 2;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
EXPLAIN (COSTS OFF) SELECT avg(v), sum(v) FROM vector_aggregate_items;
SELECT count(v), avg(v), sum(v) FROM vector_aggregate_items;
SELECT id % 3 AS g, avg(v) FROM vector_aggregate_items GROUP BY g ORDER BY g;
-- workers that see only NULL, and no rows at all
SELECT avg(v) FROM vector_aggregate_items WHERE v IS NULL;
SELECT sum(v) FROM vector_aggregate_items WHERE id < 0;
-- workers whose vectors differ in dimension from others'
ALTER TABLE vector_aggregate_items ALTER COLUMN v TYPE vector;
INSERT INTO vector_aggregate_items VALUES (0, '[1]');
\set VERBOSITY sqlstate
SELECT avg(v) FROM vector_aggregate_items;
\set VERBOSITY default
DROP TABLE vector_aggregate_items;
RESET max_parallel_workers_per_gather;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;

-- The support functions, called by hand, leave their arguments alone.
SELECT vector_accum('{0}', '[1,2]'), vector_accum('{1,1,2}', '[3,4]'),
	vector_combine('{0}', '{1,2}'), vector_combine('{1,2}', '{0}'), vector_combine('{1,2}', '{3,4}'),
	vector_combine('{0}', '{0}');
SELECT s, vector_accum(s, '[1,1]'), vector_combine(s, s), s AS again
	FROM (VALUES ('{1,5,5}'::float8[]), ('{2,6,6}')) AS t (s);
SELECT vector_avg('{4,2,6}'), vector_sum('{4,2,6}'), vector_avg('{0}') IS NULL AS none;
