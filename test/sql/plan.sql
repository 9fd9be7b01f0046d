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

-- inside of statements that write
CREATE TABLE matches (q int, id int);
EXPLAIN (VERBOSE, COSTS OFF)
INSERT INTO matches SELECT q.id, n.id FROM (VALUES (1, '[7,0,1]'::vector), (2, '[70,0,1]')) q (id, v),
	LATERAL (SELECT id FROM junk ORDER BY embedding <-> q.v LIMIT 2) n;
INSERT INTO matches SELECT q.id, n.id FROM (VALUES (1, '[7,0,1]'::vector), (2, '[70,0,1]')) q (id, v),
	LATERAL (SELECT id FROM junk ORDER BY embedding <-> q.v LIMIT 2) n;
INSERT INTO matches SELECT 3, id FROM junk ORDER BY embedding <-> '[250,3,1]' LIMIT 2;
INSERT INTO matches (id) :nearest LIMIT 2;
UPDATE matches SET q = (:nearest LIMIT 1) FROM (:nearest LIMIT 2) n WHERE n.id = matches.id;
SELECT q, id FROM matches ORDER BY q, id;
DELETE FROM matches WHERE id IN (:nearest LIMIT 1) RETURNING q, id;
WITH put AS (INSERT INTO matches (id) :nearest LIMIT 2 RETURNING id)
SELECT id FROM put ORDER BY id;

-- a cursor that goes back and forth, and one that outlives its transaction
BEGIN;
DECLARE back SCROLL CURSOR FOR :nearest LIMIT 4;
FETCH 3 FROM back;
FETCH BACKWARD 2 FROM back;
DECLARE held CURSOR WITH HOLD FOR :nearest;
COMMIT;
FETCH 3 FROM held;
CLOSE held;

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
SELECT DISTINCT ON (id = 7) id FROM junk WHERE id = 7
ORDER BY id = 7, embedding <-> '[1,1,1]';
-- by a function of several rows in the output,
SELECT id, unnest(ARRAY[1, 2]) FROM junk ORDER BY embedding <-> '[250,3,1]' LIMIT 3;
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
-- of which one branch alone may be left, which is then not merged any more
EXPLAIN (VERBOSE, COSTS OFF)
SELECT id FROM parts WHERE id < 250 ORDER BY embedding <-> '[250,3,1]' LIMIT 2;
SELECT id FROM parts WHERE id < 250 ORDER BY embedding <-> '[250,3,1]' LIMIT 2;
SELECT id FROM parts WHERE id < 250 ORDER BY embedding <-> '[250,3,1]'
FETCH FIRST 2 ROWS WITH TIES;

DROP TABLE junk, matches, parts;
