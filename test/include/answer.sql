-- What tests of the access method share: vectors that are the same on every
-- machine, and answers through an index compared with exact ones.  To be
-- included by \i.  A test drops the functions when it ends.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS annoy;
RESET client_min_messages;
SET max_parallel_workers_per_gather = 0;
SET maintenance_work_mem = '64MB';

-- A vector whose elements lie evenly in [-1, 1): the same on every machine.
CREATE OR REPLACE FUNCTION even_vector(dimensions int, i int) RETURNS vector
	LANGUAGE sql IMMUTABLE
	RETURN (SELECT array_agg(hashint8(i::bigint * 65536 + j) / 2147483648.0)::vector
			FROM generate_series(1, dimensions) AS j);

-- One that lies near the centre of one of 40 clusters.
CREATE OR REPLACE FUNCTION clustered_vector(dimensions int, i int) RETURNS vector
	LANGUAGE sql IMMUTABLE
	RETURN (SELECT array_agg(hashint8((i % 40 + 1)::bigint * 65536 + j) / 2147483648.0 +
							 0.5 * hashint8(-i::bigint * 65536 - j) / 2147483648.0)::vector
			FROM generate_series(1, dimensions) AS j);

-- The rows of a query that gives id and d, numbered in the order in which they
-- come; an error if its plan does not order by an index where it should, or
-- does so where it should not.
CREATE OR REPLACE FUNCTION answer(query text, through_index boolean)
	RETURNS TABLE (n bigint, id int, d float8)
	LANGUAGE plpgsql AS $$
DECLARE
	plan text;
BEGIN
	PERFORM set_config('enable_indexscan', through_index::text, true),
		set_config('enable_seqscan', (NOT through_index)::text, true),
		set_config('enable_sort', (NOT through_index)::text, true);
	EXECUTE 'EXPLAIN (FORMAT JSON) ' || query INTO plan;
	IF (plan ~ '"Order By": ".*<.>') <> through_index THEN
		RAISE EXCEPTION 'not the wanted plan for %', left(query, 200);
	END IF;
	RETURN QUERY EXECUTE
		'SELECT row_number() OVER (), q.id, q.d FROM (' || query || ') AS q';
END
$$;

-- How many rows have a smaller distance than the row before, or a number after
-- something else; NaN is the largest number, as in an exact sort.
CREATE OR REPLACE FUNCTION disorder(query text) RETURNS bigint
	LANGUAGE sql VOLATILE
	RETURN (SELECT count(*) FROM (SELECT d, lag(d) OVER (ORDER BY n) AS previous, n
								  FROM answer(query, true)) AS a
			WHERE d < previous OR (d IS NOT NULL AND previous IS NULL AND n > 1));

-- Whether both ways give the same distances, row by row.
CREATE OR REPLACE FUNCTION same_answer(query text) RETURNS boolean
	LANGUAGE sql VOLATILE
	RETURN (SELECT array_agg(d ORDER BY n) FROM answer(query, true)) IS NOT DISTINCT FROM
		(SELECT array_agg(d ORDER BY n) FROM answer(query, false));

-- Whether the index gives each row of the table exactly once, also by way of its
-- trees (strict_order reads a scan's rows without them if it is wanted whole).
CREATE OR REPLACE FUNCTION complete_answer(query text) RETURNS boolean
	LANGUAGE plpgsql AS $$
DECLARE
	setting text := current_setting('annoy.iterative_scan');
	exact int[] := ARRAY(SELECT id FROM answer(query, false) ORDER BY id);
	complete boolean := true;
	mode text;
BEGIN
	FOREACH mode IN ARRAY ARRAY['relaxed_order', setting]
	LOOP
		PERFORM set_config('annoy.iterative_scan', mode, true);
		complete := complete AND ARRAY(SELECT id FROM answer(query, true) ORDER BY id) = exact;
	END LOOP;
	RETURN complete;
END
$$;

-- Share of the exact answer that the index gives, over several queries; the
-- text of the query has $q for the vector.
CREATE OR REPLACE FUNCTION recall(query text, queries vector[]) RETURNS float8
	LANGUAGE plpgsql AS $$
DECLARE
	found bigint := 0;
	wanted bigint := 0;
	q vector;
	one text;
	a int[];
	b int[];
BEGIN
	FOREACH q IN ARRAY queries
	LOOP
		one := replace(query, '$q', quote_literal(q));
		a := ARRAY(SELECT id FROM answer(one, true));
		b := ARRAY(SELECT id FROM answer(one, false));
		wanted := wanted + cardinality(b);
		found := found + (SELECT count(*) FROM unnest(a) AS x WHERE x = ANY (b));
	END LOOP;
	RETURN found::float8 / wanted;
END
$$;
