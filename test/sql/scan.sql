-- Scans: what comes out of an index is what an exact sort says, in its order.
\getenv abs_srcdir PG_ABS_SRCDIR
\set answer :abs_srcdir '/include/answer.sql'
\set ECHO none
\i :answer
\set ECHO all

-- 6,000 rows in clusters, 400 copies of one of them, NULLs and zeroes.
CREATE TABLE items (id int, category int, e vector(32)) WITH (fillfactor = 60);
INSERT INTO items SELECT i, i % 500, clustered_vector(32, i) FROM generate_series(1, 6000) AS i;
INSERT INTO items SELECT 6000 + i, -1, clustered_vector(32, 17) FROM generate_series(1, 400) AS i;
INSERT INTO items SELECT 6400 + i, -2, NULL FROM generate_series(1, 30) AS i;
INSERT INTO items SELECT 6430 + i, -3, array_fill(0, ARRAY[32])::vector FROM generate_series(1, 5) AS i;
CREATE INDEX items_l2 ON items USING annoy (e vector_l2_ops) WITH (n_trees = 2);
CREATE INDEX items_cosine ON items USING annoy (e);
CREATE INDEX items_ip ON items USING annoy (e vector_ip_ops);
VACUUM ANALYZE items;

CREATE TABLE queries (id int, q vector(32));
INSERT INTO queries SELECT i, clustered_vector(32, 100000 + i) FROM generate_series(1, 20) AS i;
CREATE VIEW metrics AS SELECT * FROM (VALUES ('<->'), ('<=>'), ('<#>')) AS metrics (operator);
CREATE FUNCTION items_query(operator text, q vector, tail text DEFAULT '') RETURNS text
	LANGUAGE sql IMMUTABLE
	RETURN format('SELECT id, e %1$s %2$L AS d FROM items ORDER BY e %1$s %2$L %3$s', operator, q, tail);

--
-- Without LIMIT: every row of the table once; numbers, then NaN, then NULL.
--
SELECT operator, complete_answer(items_query(operator, q))
	FROM metrics, queries WHERE id <= 2 ORDER BY 1;
SELECT operator, count(*), count(d) FILTER (WHERE d <> 'NaN') AS numbers,
		min(n) FILTER (WHERE d = 'NaN') AS first_nan,
		max(n) FILTER (WHERE d = 'NaN') AS last_nan, min(n) FILTER (WHERE d IS NULL) AS first_null
	FROM metrics, queries, answer(items_query(operator, q), true) WHERE queries.id = 1
	GROUP BY operator ORDER BY 1;

-- Rows found too late for their place come in order, before NaN and NULL: the
-- whole is two sorted runs at the most.
SELECT operator, max(disorder(items_query(operator, q))) <= 1 AS two_runs
	FROM metrics, queries WHERE id <= 3 GROUP BY operator ORDER BY 1;

--
-- With LIMIT: in the order of an exact sort, bit for bit.
--
SELECT operator, n, sum(disorder(items_query(operator, q, 'LIMIT ' || n))) AS disorder
	FROM metrics, queries, (VALUES (1), (10), (100), (1000)) AS n (n)
	WHERE id <= 5 GROUP BY operator, n ORDER BY 1, 2;

-- A small budget changes what is found, not its order.
SET annoy.search_k = 1;
SELECT operator, n, sum(disorder(items_query(operator, q, 'LIMIT ' || n))) AS disorder
	FROM metrics, queries, (VALUES (10), (100)) AS n (n)
	WHERE id <= 5 GROUP BY operator, n ORDER BY 1, 2;
SELECT operator, complete_answer(items_query(operator, q))
	FROM metrics, queries WHERE id = 3 ORDER BY 1;

-- A budget of everything gives the exact answer.
SET annoy.search_k = 2147483647;
SELECT operator, n, bool_and(same_answer(items_query(operator, q, n))) AS exact
	FROM metrics, queries, (VALUES ('LIMIT 10'), ('LIMIT 500'), ('')) AS n (n)
	WHERE id <= 5 GROUP BY operator, n ORDER BY 1, 2;
RESET annoy.search_k;

-- Recall by default; 0.95 is what the index aims at, for members of the table.
SELECT operator, recall(format('SELECT id, e %1$s $q AS d FROM items ORDER BY e %1$s $q LIMIT 10', operator),
						(SELECT array_agg(q) FROM queries)) >= 0.85 AS good
	FROM metrics ORDER BY 1;
SELECT operator, recall(format('SELECT id, e %1$s $q AS d FROM items ORDER BY e %1$s $q LIMIT 10', operator),
						(SELECT array_agg(e) FROM items WHERE id BETWEEN 100 AND 130)) >= 0.9 AS good
	FROM metrics ORDER BY 1;

-- A stored vector is its own nearest neighbour, at distance 0.
SELECT count(*), bool_and(d = 0) AS zero, bool_and(nearest.id = items.id) AS itself
	FROM items, LATERAL answer(items_query('<->', e, 'LIMIT 1'), true) AS nearest
	WHERE items.id BETWEEN 1000 AND 1029;
SELECT count(*), bool_and(d < 1e-6) AS zero, bool_and(nearest.id = items.id) AS itself
	FROM items, LATERAL answer(items_query('<=>', e, 'LIMIT 1'), true) AS nearest
	WHERE items.id BETWEEN 1000 AND 1029;
-- All copies of a vector come first.
SELECT count(*), min(id) = 17 AND max(id) = 6400 AS all_copies, max(d) AS distance
	FROM answer(items_query('<->', clustered_vector(32, 17), 'LIMIT 401'), true);

-- Inner products come from the largest on, through zero.
SELECT bool_or(d < 0) AND bool_or(d > 0) AS both_signs, min(d) = min(d) FILTER (WHERE n = 1) AS largest_first
	FROM queries, answer(items_query('<#>', q), true) WHERE queries.id = 4;

--
-- Filters: the scan goes on until LIMIT is filled.
--
CREATE FUNCTION filtered_query(operator text, q vector, condition text) RETURNS text
	LANGUAGE sql IMMUTABLE
	RETURN format('SELECT id, e %1$s %2$L AS d FROM items WHERE %3$s ORDER BY e %1$s %2$L LIMIT 10',
				  operator, q, condition);
SELECT operator, count(*), bool_and(id % 500 = 3) AS pass, sum(disorder(filtered_query(operator, q, 'category = 3')))
	FROM metrics, (SELECT q FROM queries WHERE id = 7) AS queries,
		 answer(filtered_query(operator, q, 'category = 3'), true) GROUP BY operator ORDER BY 1;
SELECT count(*) FROM queries, answer(filtered_query('<->', q, 'category = -2'), true) WHERE queries.id = 7;
SELECT count(*) FROM queries, answer(filtered_query('<->', q, 'category = 1000'), true) WHERE queries.id = 7;
SELECT (annoy_last_scan()).resumptions > 0 AS resumed;

--
-- annoy.iterative_scan
--
SET annoy.search_k = 1;
-- strict_order: full and in order (above); relaxed_order: full, out of order.
SET annoy.iterative_scan = relaxed_order;
SELECT operator, complete_answer(items_query(operator, q)) AS complete,
		disorder(items_query(operator, q)) > 1 AS disorder
	FROM metrics, queries WHERE id = 8 ORDER BY 1;
-- off: one budget, in order, and neither NaN nor NULL.
SET annoy.iterative_scan = off;
SELECT operator, count(*) BETWEEN 1 AND 3000 AS few, bool_and(d < 'NaN') AS numbers, count(*) - count(d) AS nulls
	FROM metrics, queries, answer(items_query(operator, q), true)
	WHERE queries.id = 8 GROUP BY operator, q ORDER BY 1;
SELECT operator, sum(disorder(items_query(operator, q, 'LIMIT 50'))) AS disorder
	FROM metrics, queries GROUP BY operator ORDER BY 1;
SELECT resumptions FROM annoy_last_scan();
SELECT count(*) < 10 AS unfilled FROM queries, answer(filtered_query('<->', q, 'category = 3'), true)
	WHERE queries.id = 7;
-- Read when a scan starts.
SET annoy.iterative_scan = strict_order;
SELECT complete_answer(items_query('<->', q)) FROM queries WHERE id = 8;
RESET annoy.iterative_scan;

--
-- annoy.max_scan_items: a scan ends there, whatever it has found.  A leaf is
-- read whole.
--
SET annoy.max_scan_items = 2000;
SELECT count(*) BETWEEN 500 AND 2600 AS some, bool_and(d < 'NaN') AS numbers, count(*) = count(DISTINCT answer.id) AS once,
		count(d) = count(*) AS no_nulls
	FROM queries, answer(items_query('<->', q), true) WHERE queries.id = 9;
SELECT items_inspected BETWEEN 2000 AND 2600 AS bounded FROM annoy_last_scan();
SET annoy.search_k = 1000000;
SELECT count(*) FROM queries, answer(items_query('<->', q, 'LIMIT 10'), true) WHERE queries.id = 9;
SELECT items_inspected BETWEEN 2000 AND 2600 AS bounded, resumptions FROM annoy_last_scan();
SET annoy.max_scan_items = 1;
SELECT count(*) >= 10 AS one_leaf FROM queries, answer(items_query('<->', q), true) WHERE queries.id = 9;
SELECT leaves FROM annoy_last_scan();
RESET annoy.max_scan_items;
RESET annoy.search_k;

--
-- search_k: the setting, before the option, before what the build has found.
--
CREATE FUNCTION inspected() RETURNS bigint
	LANGUAGE plpgsql AS $$
BEGIN
	PERFORM * FROM queries, answer(items_query('<->', q, 'LIMIT 1'), true) WHERE queries.id = 10;
	RETURN (SELECT items_inspected FROM annoy_last_scan());
END
$$;
SELECT inspected() < 3000 AS automatic;
ALTER INDEX items_l2 SET (search_k = 4000);
SELECT inspected() BETWEEN 4000 AND 4600 AS option;
SET annoy.search_k = 2500;
SELECT inspected() BETWEEN 2500 AND 3100 AS setting;
SET annoy.search_k = 1;
SELECT inspected() BETWEEN 1 AND 600 AS setting;
SET annoy.search_k = -1;
SELECT inspected() BETWEEN 4000 AND 4600 AS option;
ALTER INDEX items_l2 SET (search_k = -1);
SELECT inspected() < 3000 AS automatic;
-- Not less than n_trees * n_neighbors, if it is automatic.
ALTER INDEX items_l2 SET (n_neighbors = 2200);
SELECT inspected() BETWEEN 4400 AND 5000 AS neighbors;
SET annoy.search_k = 1;
SELECT inspected() BETWEEN 1 AND 600 AS setting;
RESET annoy.search_k;
ALTER INDEX items_l2 RESET (n_neighbors, search_k);

-- What a scan has done: all counters move.
SELECT count(*) FROM queries, answer(items_query('<->', q, 'LIMIT 10'), true) WHERE queries.id = 10;
SELECT items_inspected >= 10, leaves >= 1, hyperplanes >= 0, exact_distances >= 10, blocks > leaves, resumptions
	FROM annoy_last_scan();

--
-- Rescans: one query after another in the same scan.
--
SET enable_seqscan = off;
SET enable_sort = off;
CREATE TABLE rescans AS
	SELECT queries.id AS query, nearest.id, d
	FROM queries, LATERAL (SELECT items.id, e <-> q AS d FROM items ORDER BY e <-> q LIMIT 25) AS nearest;
SELECT count(*), bool_and(single.ids = together.ids) AS same
	FROM (SELECT query, array_agg(id ORDER BY d, id) AS ids FROM rescans GROUP BY query) AS together
	JOIN (SELECT queries.id AS query, array_agg(a.id ORDER BY d, a.id) AS ids
		  FROM queries, answer(items_query('<->', q, 'LIMIT 25'), true) AS a GROUP BY queries.id) AS single
	USING (query);
-- A scan that was read to its end, one with a NULL, and one that was not, in
-- turn.
SELECT count(*) AS rows, count(DISTINCT id) AS ids, count(d) AS distances, resumed
	FROM (VALUES (1, clustered_vector(32, 1)), (2, NULL), (3, clustered_vector(32, 2)), (4, clustered_vector(32, 1)))
			AS query (number, q),
		LATERAL (SELECT items.id, e <-> q AS d FROM items ORDER BY e <-> q LIMIT CASE number WHEN 3 THEN 5 END) AS nearest,
		LATERAL (SELECT (annoy_last_scan()).resumptions >= 0 AS resumed OFFSET 0) AS counters
	GROUP BY number, resumed ORDER BY number;
-- A subquery in the target list, and two scans of the same index at a time.
SELECT count(*), bool_and(nearest = (SELECT id FROM rescans WHERE query = a.id ORDER BY d LIMIT 1)) AS same
	FROM (SELECT id, (SELECT items.id FROM items ORDER BY e <-> q LIMIT 1) AS nearest FROM queries) AS a;
SELECT count(*), count(DISTINCT a.id), bool_and(a.id = b.id) AS itself
	FROM (SELECT id, e FROM items ORDER BY e <-> clustered_vector(32, 5) LIMIT 20) AS a,
		LATERAL (SELECT id FROM items ORDER BY e <-> a.e LIMIT 1) AS b;
-- Aggregates over the nearest.
SELECT count(*), min(d) >= 0, vector_dims(avg(e))
	FROM (SELECT e, e <=> clustered_vector(32, 3) AS d FROM items ORDER BY 2 LIMIT 10) AS nearest;
SELECT (SELECT count(*) FROM (SELECT FROM items ORDER BY e <-> clustered_vector(32, 3) LIMIT 7) AS nearest) AS seven;

--
-- Queries without a distance
--
-- NULL: all rows, at no distance.
SELECT operator, count(*), count(DISTINCT id), count(d)
	FROM metrics, answer(format('SELECT id, e %1$s (SELECT NULL::vector) AS d FROM items
		ORDER BY e %1$s (SELECT NULL::vector)', operator), true)
	GROUP BY operator ORDER BY 1;
-- Zero under cosine: NaN and then NULL.
SELECT count(*), count(DISTINCT id), count(*) FILTER (WHERE d = 'NaN') AS nan,
		min(n) FILTER (WHERE d IS NULL) AS first_null
	FROM answer(items_query('<=>', array_fill(0, ARRAY[32])::vector), true);
SELECT count(*) FROM answer(items_query('<=>', array_fill(0, ARRAY[32])::vector, 'LIMIT 10'), true);
-- Zero elsewhere is a vector like others.
SELECT disorder(items_query('<->', array_fill(0, ARRAY[32])::vector, 'LIMIT 100')),
	complete_answer(items_query('<->', array_fill(0, ARRAY[32])::vector)),
	complete_answer(items_query('<#>', array_fill(0, ARRAY[32])::vector));
-- Another number of dimensions.
SELECT id FROM items ORDER BY e <-> '[1,2,3]' LIMIT 1;
SELECT id FROM items ORDER BY e <=> '[1]' LIMIT 1;
SELECT id FROM items ORDER BY e <#> even_vector(33, 1) LIMIT 1;

--
-- Prepared statements
--
SET plan_cache_mode = force_generic_plan;
PREPARE nearest (vector, int) AS
	SELECT count(*), min(d) = (SELECT min(e <-> $1) FROM items) AS nearest_first
	FROM (SELECT e <-> $1 AS d FROM items ORDER BY e <-> $1 LIMIT $2) AS nearest;
EXECUTE nearest (clustered_vector(32, 11), 1);
EXECUTE nearest (clustered_vector(32, 12), 30);
EXECUTE nearest (clustered_vector(32, 13), 3);
EXECUTE nearest (NULL, 3);
EXECUTE nearest ('[1,2]', 3);
DEALLOCATE nearest;
RESET plan_cache_mode;

--
-- Cursors
--
-- Piece by piece, and back again.
CREATE FUNCTION fetch_pieces() RETURNS TABLE (what text, same boolean)
	LANGUAGE plpgsql AS $$
DECLARE
	cursor SCROLL CURSOR FOR SELECT id FROM items ORDER BY e <-> (SELECT q FROM queries WHERE queries.id = 11);
	ids int[] := ARRAY(SELECT a.id FROM queries, answer(items_query('<->', q), true) AS a WHERE queries.id = 11);
	got int[] := '{}';
	one int;
BEGIN
	OPEN cursor;
	FOR i IN 1 .. cardinality(ids)
	LOOP
		FETCH cursor INTO one;
		got := got || one;
	END LOOP;
	what := 'forward'; same := got = ids; RETURN NEXT;
	FETCH cursor INTO one;
	what := 'end'; same := one IS NULL; RETURN NEXT;
	FETCH PRIOR FROM cursor INTO one;
	what := 'last'; same := one = ids[cardinality(ids)]; RETURN NEXT;
	FETCH ABSOLUTE 10 FROM cursor INTO one;
	what := 'tenth'; same := one = ids[10]; RETURN NEXT;
	FETCH RELATIVE -5 FROM cursor INTO one;
	what := 'fifth'; same := one = ids[5]; RETURN NEXT;
	FETCH RELATIVE 3000 FROM cursor INTO one;
	what := 'far'; same := one = ids[3005]; RETURN NEXT;
	CLOSE cursor;
END
$$;
SELECT * FROM fetch_pieces();
-- Two at a time, in turn; one that outlives its transaction; one that goes with
-- its savepoint.
BEGIN;
SET LOCAL annoy.search_k = 5000;
DECLARE a CURSOR FOR SELECT e <-> clustered_vector(32, 50) < 1e-6 AS mine FROM items ORDER BY e <-> clustered_vector(32, 50);
DECLARE b CURSOR WITH HOLD FOR SELECT e <-> clustered_vector(32, 51) < 1e-6 AS mine FROM items ORDER BY e <-> clustered_vector(32, 51);
FETCH 2 FROM a;
FETCH 2 FROM b;
FETCH 1 FROM a;
SAVEPOINT s;
DECLARE c CURSOR FOR SELECT e <-> clustered_vector(32, 52) < 1e-6 AS mine FROM items ORDER BY e <-> clustered_vector(32, 52);
FETCH 1 FROM c;
ROLLBACK TO s;
FETCH 1 FROM a;
COMMIT;
FETCH 1 FROM b;
MOVE FORWARD ALL FROM b;
CLOSE b;

--
-- FOR UPDATE, and rows updated without touching the index (HOT)
--
BEGIN;
CREATE TEMPORARY TABLE locked AS
	WITH locked AS (SELECT id, e <-> clustered_vector(32, 60) AS d FROM items
		ORDER BY e <-> clustered_vector(32, 60) LIMIT 20 FOR UPDATE)
	SELECT * FROM locked;
SELECT count(*), max(locked.d) = max(a.d) AS same
	FROM locked FULL JOIN answer(items_query('<->', clustered_vector(32, 60), 'LIMIT 20'), true) AS a USING (id);
UPDATE items SET category = -9 WHERE id IN (SELECT id FROM locked);
SELECT count(*), count(DISTINCT id), count(*) FILTER (WHERE id IN (SELECT id FROM locked)) AS updated
	FROM answer(items_query('<->', clustered_vector(32, 60)), true);
SELECT count(*), bool_and(category = -9) AS new
	FROM (SELECT category FROM items ORDER BY e <-> clustered_vector(32, 60) LIMIT 20) AS nearest;
ROLLBACK;
SELECT count(*), bool_and(category = -9) AS new
	FROM (SELECT category FROM items ORDER BY e <-> clustered_vector(32, 60) LIMIT 20) AS nearest;

RESET enable_seqscan;
RESET enable_sort;
DROP TABLE items, queries, rescans CASCADE;

--
-- Distances that are no numbers, or infinite: huge elements.  Bounds are of
-- little use here, so rows may come late, but come.
--
CREATE TABLE huge (id int, e vector(2));
INSERT INTO huge SELECT i, format('[%s,%s]', a, b)::vector
	FROM (SELECT row_number() OVER () AS i, a, b
		  FROM unnest('{3e38,-3e38,1e20,-1e20,1,-1,0,1e-40,-1e-45}'::float4[]) AS a,
			   unnest('{3e38,-3e38,1e20,-1e20,1,-1,0,1e-40,-1e-45}'::float4[]) AS b) AS pairs;
INSERT INTO huge VALUES (100, NULL), (101, NULL);
CREATE INDEX ON huge USING annoy (e vector_l2_ops);
CREATE INDEX ON huge USING annoy (e vector_cosine_ops);
CREATE INDEX ON huge USING annoy (e vector_ip_ops);
SELECT operator, count(*), bool_and(complete_answer(query)) AS complete, max(disorder(query)) <= 1 AS two_runs
	FROM metrics, huge, format('SELECT id, e %1$s %2$L AS d FROM huge ORDER BY e %1$s %2$L', operator, e) AS query
	WHERE e IS NOT NULL GROUP BY operator ORDER BY 1;

DROP TABLE huge;

--
-- L1 bounds fall while items are ranked, also those of entries that were left
-- aside or wait for their turn (an assertion failed here, already in the build).
--
CREATE TABLE evenly (id int, e vector(24));
INSERT INTO evenly SELECT i, even_vector(24, i) FROM generate_series(1, 6000) AS i;
CREATE INDEX evenly_l1 ON evenly USING annoy (e vector_l1_ops);
ANALYZE evenly;
SET annoy.search_k = 6000;
SELECT q, rows, count(*), count(DISTINCT a.id)
	FROM generate_series(1, 3) AS q, (VALUES ('LIMIT 3000'), ('')) AS r (rows),
	answer(format('SELECT id, e <+> %1$L AS d FROM evenly ORDER BY e <+> %1$L ', even_vector(24, 1000000 + q)) || rows, true) AS a
	GROUP BY q, rows ORDER BY 1, 2;
SELECT max(disorder(format('SELECT id, e <+> %1$L AS d FROM evenly ORDER BY e <+> %1$L', even_vector(24, 1000000 + q)))) <= 1 AS two_runs
	FROM generate_series(1, 5) AS q;
RESET annoy.search_k;
DROP TABLE evenly;
DROP VIEW metrics;
DROP FUNCTION items_query, filtered_query, inspected, fetch_pieces;
DROP FUNCTION even_vector, clustered_vector, answer, disorder, same_answer, complete_answer, recall;
