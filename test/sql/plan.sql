-- Distances that a query orders by but does not output are not computed a
-- second time (plan.c).  EXPLAIN VERBOSE shows a NULL in their place.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS annoy;
RESET client_min_messages;
LOAD 'annoy';

CREATE TABLE junk (id int PRIMARY KEY, embedding vector(3));
INSERT INTO junk SELECT i, ARRAY[i, i % 7, i % 3]::vector
FROM generate_series(1, 500) i;
INSERT INTO junk SELECT 500 + i, '[1,1,1]' FROM generate_series(1, 4) i;
CREATE INDEX junk_embedding_idx ON junk USING annoy (embedding vector_l2_ops);
SET enable_seqscan = off;

\set nearest 'SELECT id FROM junk ORDER BY embedding <-> ''[250,3,1]'''
EXPLAIN (VERBOSE, COSTS OFF) :nearest LIMIT 3;
:nearest LIMIT 3;
EXPLAIN (VERBOSE, COSTS OFF) :nearest LIMIT 3 FOR UPDATE;
:nearest LIMIT 3 FOR UPDATE;

-- as a subquery, and as an array
EXPLAIN (VERBOSE, COSTS OFF)
SELECT q.id, n.id FROM (VALUES (1, '[7,0,1]'::vector), (2, '[70,0,1]')) q (id, v),
	LATERAL (SELECT id FROM junk ORDER BY embedding <-> q.v LIMIT 2) n;
SELECT q.id, n.id FROM (VALUES (1, '[7,0,1]'::vector), (2, '[70,0,1]')) q (id, v),
	LATERAL (SELECT id FROM junk ORDER BY embedding <-> q.v LIMIT 2) n;
SELECT array(:nearest LIMIT 4);

-- a prepared statement
PREPARE nearest (vector) AS
	SELECT id FROM junk ORDER BY embedding <-> $1 LIMIT 2;
EXECUTE nearest ('[33,5,0]');
SET plan_cache_mode = force_generic_plan;
EXECUTE nearest ('[33,5,0]');
RESET plan_cache_mode;

-- Where somebody sees the distance, it is there: in the output,
SELECT id, embedding <-> '[250,3,1]' AS distance FROM junk
ORDER BY embedding <-> '[250,3,1]' LIMIT 2;
SELECT id FROM junk WHERE embedding <-> '[250,3,1]' < 4
ORDER BY embedding <-> '[250,3,1]' LIMIT 2;
-- by WITH TIES, which compares it (five rows are at the same place),
SELECT count(*) FROM (SELECT id FROM junk ORDER BY embedding <-> '[1,1,1]'
					  FETCH FIRST 2 ROWS WITH TIES) t;
-- by DISTINCT ON,
SELECT DISTINCT ON (embedding <-> '[1,1,1]') id > 500 OR id = 1 AS first FROM junk
ORDER BY embedding <-> '[1,1,1]' LIMIT 2;
-- by a window function, and by a sort of more columns
SELECT id, rank() OVER (ORDER BY embedding <-> '[1,1,1]') FROM junk
ORDER BY embedding <-> '[1,1,1]', id LIMIT 6;
-- and in a union, whose branches order and limit by themselves
SELECT count(*), sum(id) FROM ((:nearest LIMIT 3) UNION ALL (:nearest LIMIT 2)) u;
-- in a partitioned table, whose branches are merged by the distance
CREATE TABLE parts (id int, embedding vector(3)) PARTITION BY RANGE (id);
CREATE TABLE parts1 PARTITION OF parts FOR VALUES FROM (0) TO (251);
CREATE TABLE parts2 PARTITION OF parts FOR VALUES FROM (251) TO (1000);
CREATE INDEX ON parts USING annoy (embedding vector_l2_ops);
INSERT INTO parts SELECT id, embedding FROM junk;
EXPLAIN (COSTS OFF) SELECT id FROM parts ORDER BY embedding <-> '[250,3,1]' LIMIT 6;
SELECT id FROM parts ORDER BY embedding <-> '[250,3,1]' LIMIT 6;

DROP TABLE junk, parts;
