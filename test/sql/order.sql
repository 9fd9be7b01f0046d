-- What an ordered scan promises: rows come sorted, whatever the settings, and
-- under strict_order none that was found is lost where LIMIT is not filled.
\getenv abs_srcdir PG_ABS_SRCDIR
\set answer :abs_srcdir '/include/answer.sql'
\set ECHO none
\i :answer
\set ECHO all

CREATE TABLE one (id int, part int, tag int, e vector(16));
CREATE TABLE several (LIKE one) PARTITION BY LIST (part);
CREATE TABLE several_0 PARTITION OF several FOR VALUES IN (0);
CREATE TABLE several_1 PARTITION OF several FOR VALUES IN (1);
CREATE TABLE several_2 PARTITION OF several FOR VALUES IN (2);
INSERT INTO one SELECT i, i % 3, hashint4(i) & 1023,
		CASE WHEN i % 500 = 0 THEN NULL WHEN i % 20 = 0 THEN even_vector(16, i % 7) ELSE even_vector(16, i) END
	FROM generate_series(1, 9000) AS i;
INSERT INTO several SELECT * FROM one;
CREATE INDEX one_e ON one USING annoy (e vector_l2_ops) WITH (n_trees = 3);
CREATE INDEX ON several USING annoy (e vector_l2_ops);
-- For joins: half of the tags, one of them twice.
CREATE TABLE tags AS SELECT i AS tag FROM generate_series(0, 1023, 2) AS i UNION ALL SELECT 10;
ALTER TABLE tags ADD COLUMN id serial PRIMARY KEY;
CREATE INDEX tags_tag ON tags (tag);
VACUUM ANALYZE one, several, tags;

-- Queries to try: $d is the distance, $t a table, $w a condition that rows of
-- the share $s fulfil, $l a LIMIT clause.
CREATE TABLE shapes (shape text, query text);
INSERT INTO shapes VALUES
	('plain', 'SELECT id, $d AS d FROM $t AS t WHERE $w ORDER BY $d $l'),
	('no projection', 'SELECT id, $d AS d FROM (SELECT * FROM $t AS t WHERE $w ORDER BY $d $l) AS t'),
	('locked', 'SELECT id, $d AS d FROM $t AS t WHERE $w ORDER BY $d $l FOR UPDATE'),
	('inner join', 'SELECT t.id, $d AS d FROM $t AS t JOIN tags USING (tag) WHERE $w ORDER BY $d $l'),
	('left join', 'SELECT t.id, $d AS d FROM $t AS t LEFT JOIN tags USING (tag) WHERE $w ORDER BY $d $l'),
	('anti join', 'SELECT t.id, $d AS d FROM $t AS t WHERE NOT EXISTS (SELECT FROM tags WHERE tags.tag = t.tag) AND $w ORDER BY $d $l'),
	('two joins', 'SELECT t.id, $d AS d FROM $t AS t JOIN tags USING (tag) JOIN tags AS other ON other.tag = (t.tag + 2) & 1023 WHERE $w ORDER BY $d $l'),
	('set of rows', 'SELECT id, d FROM (SELECT id, $d AS d, generate_series(1, t.tag % 3) FROM $t AS t WHERE $w ORDER BY $d $l) AS s'),
	('subquery', 'SELECT id, d FROM (SELECT id, tag, $d AS d FROM $t AS t WHERE $w ORDER BY $d OFFSET 0) AS s WHERE tag % 2 = 1 $l'),
	('of a subquery', 'SELECT id, d FROM (SELECT id, $d AS d FROM $t AS t WHERE $w ORDER BY $d $l) AS s WHERE id % 2 = 0'),
	('window', 'SELECT id, d FROM (SELECT id, $d AS d, rank() OVER (ORDER BY $d) AS r FROM $t AS t WHERE $w) AS w WHERE r > 0 $l'),
	('grouped', 'SELECT min(id) AS id, $d AS d FROM $t AS t WHERE $w GROUP BY $d ORDER BY $d $l'),
	('distinct', 'SELECT DISTINCT ON ($d) id, $d AS d FROM $t AS t WHERE $w ORDER BY $d $l');

-- Tries a query through the index: what is wrong with its answer, or NULL.
CREATE FUNCTION try_order(query text, rows bigint) RETURNS text
	LANGUAGE plpgsql AS $$
DECLARE
	found float8[] := ARRAY(SELECT d FROM answer(query, true) ORDER BY n);
	exact float8[] := ARRAY(SELECT d FROM answer(query, false) ORDER BY n);
BEGIN
	IF found <> ARRAY(SELECT d FROM unnest(found) AS d ORDER BY d) THEN
		RETURN 'not sorted';
	ELSIF cardinality(found) <> cardinality(exact) THEN
		RETURN format('%s rows in place of %s', cardinality(found), cardinality(exact));
	ELSIF (rows IS NULL OR cardinality(exact) < rows) AND found IS DISTINCT FROM exact THEN
		RETURN 'not complete';
	END IF;
	RETURN NULL;
END
$$;

-- Each shape with filters and LIMITs, on one table and on several, and the
-- settings at random.
CREATE FUNCTION try_shape(shape text, query text, cases int) RETURNS TABLE (problem text)
	LANGUAGE plpgsql AS $$
DECLARE
	rows bigint;
	share int;
	random int;
	one text;
BEGIN
	FOR i IN 1 .. cases
	LOOP
		random := hashtext(shape || i) & 65535;
		rows := (ARRAY[1, 5, 20, 100, 700, NULL])[1 + random % 6];
		share := (ARRAY[1, 3, 40, 1000, 4000, 20000])[1 + random / 6 % 6];
		PERFORM set_config('annoy.search_k', ((ARRAY[1, 50, 700, -1])[1 + random / 36 % 4])::text, true),
			set_config('work_mem', (ARRAY['64kB', '4MB'])[1 + random / 144 % 2], true);
		one := replace(replace(replace(replace(query,
			'$d', format('t.e <-> %L', even_vector(16, 20000 + i))),
			'$t', (ARRAY['one', 'several'])[1 + random / 288 % 2]),
			'$w', format('hashint4(t.id + %s) & 65535 < 65536 / %s', i, share)),
			'$l', coalesce('LIMIT ' || rows, ''));
		problem := try_order(one, CASE WHEN shape <> 'of a subquery' THEN rows END);
		IF problem IS NOT NULL AND NOT (shape = 'of a subquery' AND rows IS NOT NULL AND problem <> 'not sorted') THEN
			problem := format('%s: %s', problem, one);
			RETURN NEXT;
		END IF;
	END LOOP;
END
$$;
SELECT shape, count(problem) AS problems, min(problem) AS example
	FROM shapes LEFT JOIN LATERAL try_shape(shape, query, 25) ON true GROUP BY shape ORDER BY shape;

-- An incremental sort above the scan (from version 17 on) takes its rows in groups of
-- equal distance, of which there are some.
CREATE FUNCTION try_ties(cases int) RETURNS TABLE (problem text)
	LANGUAGE plpgsql AS $$
DECLARE
	query text;
	found text[];
	exact text[];
	rows int;
BEGIN
	FOR i IN 1 .. cases
	LOOP
		rows := (ARRAY[1, 10, 33, 200])[1 + i % 4];
		query := format('ARRAY(SELECT (e <-> %1$L) || '' '' || lpad(id::text, 5) FROM one WHERE tag < %2$s AND e IS NOT NULL ORDER BY e <-> %1$L, id LIMIT %3$s)',
			even_vector(16, CASE WHEN i % 2 = 0 THEN i % 7 ELSE 40000 + i END), (ARRAY[5, 60, 1024])[1 + i % 3], rows);
		PERFORM set_config('enable_seqscan', 'off', true), set_config('enable_indexscan', 'on', true);
		EXECUTE 'SELECT ' || query INTO found;
		PERFORM set_config('enable_seqscan', 'on', true), set_config('enable_indexscan', 'off', true);
		EXECUTE 'SELECT ' || query INTO exact;
		IF found <> ARRAY(SELECT d FROM unnest(found) AS d ORDER BY split_part(d, ' ', 1)::float8, d) THEN
			problem := 'not sorted: ' || query; RETURN NEXT;
		ELSIF cardinality(found) <> cardinality(exact) OR cardinality(exact) < rows AND found <> exact THEN
			problem := 'not complete: ' || query; RETURN NEXT;
		END IF;
	END LOOP;
END
$$;
SET annoy.search_k = 50;
SELECT * FROM try_ties(24);
RESET annoy.search_k;

-- annoy.iterative_scan = off, and annoy.max_scan_items: fewer rows, but sorted.
CREATE FUNCTION try_sorted(shape text, query text) RETURNS bigint
	LANGUAGE sql AS $$
	SELECT sum(disorder(replace(replace(replace(replace(query, '$d', format('t.e <-> %L', even_vector(16, 30000 + i))),
			'$t', 'one'), '$w', 't.tag < 300'), '$l', l)))
		FROM generate_series(1, 3) AS i, unnest('{LIMIT 3,LIMIT 300,""}'::text[]) AS l
$$;
SET annoy.iterative_scan = off;
SET annoy.search_k = 500;
SELECT sum(try_sorted(shape, query)) FROM shapes;
RESET annoy.iterative_scan;
SET annoy.max_scan_items = 2000;
SELECT sum(try_sorted(shape, query)) FROM shapes;
RESET annoy.max_scan_items;

-- relaxed_order: every row, in an order that nothing may rely on.  A sort by
-- another expression puts it right.
SET annoy.iterative_scan = relaxed_order;
SET annoy.search_k = 50;
SELECT complete_answer(format('SELECT id, e <-> %1$L AS d FROM one WHERE tag < 200 ORDER BY e <-> %1$L', even_vector(16, 1)));
SET work_mem = '64kB';
SELECT complete_answer(format('SELECT id, e <-> %1$L AS d FROM one ORDER BY e <-> %1$L', even_vector(16, 1)));
RESET work_mem;
SELECT disorder(format('WITH nearest AS MATERIALIZED (SELECT id, e <-> %1$L AS d FROM one WHERE tag < 200 ORDER BY e <-> %1$L LIMIT 50)
	SELECT id, d FROM nearest ORDER BY d + 0', even_vector(16, 1)));
RESET annoy.iterative_scan;
RESET annoy.search_k;

--
-- LIMIT known late, or not at all
--
SET enable_seqscan = off;
SET enable_sort = off;
SET annoy.search_k = 50;
SET plan_cache_mode = force_generic_plan;
PREPARE nearest (vector, bigint, bigint) AS
	SELECT array_agg(d) FROM (SELECT e <-> $1 AS d FROM one WHERE tag < 20 ORDER BY e <-> $1 LIMIT $2 OFFSET $3) AS s;
CREATE TABLE exact AS SELECT row_number() OVER (ORDER BY d) AS n, d
	FROM (SELECT e <-> even_vector(16, 77) AS d FROM one WHERE tag < 20 OFFSET 0) AS s;
CREATE FUNCTION check_nearest(rows bigint, first bigint) RETURNS text
	LANGUAGE plpgsql AS $$
DECLARE
	found float8[];
BEGIN
	EXECUTE format('EXECUTE nearest(%L, %L, %L)', even_vector(16, 77), rows, first) INTO found;
	RETURN CASE WHEN found = (SELECT array_agg(d ORDER BY n) FROM exact WHERE n > coalesce(first, 0) AND n <= coalesce(first, 0) + rows)
		THEN 'the same' ELSE 'sorted: ' || (found = ARRAY(SELECT d FROM unnest(found) AS d ORDER BY d)) END;
END
$$;
-- More than there are, NULL, and an offset behind the end.
SELECT check_nearest(100000, 0), check_nearest(1000, 3), check_nearest(5, 100000) IS NULL AS none;
SELECT check_nearest(9223372036854775807, 9223372036854775807) IS NULL AS none;
EXECUTE nearest (NULL, 2, 0);
SELECT (SELECT count(*) FROM exact) AS rows;
DEALLOCATE nearest;
RESET plan_cache_mode;

-- Rows at equal distance, all of them.
SELECT count(*), count(DISTINCT d) FROM
	(SELECT e <-> even_vector(16, 3) AS d FROM one ORDER BY d FETCH FIRST 5 ROWS WITH TIES) AS s;

-- More of them than work_mem has room for, so that the scan begins again behind
-- rows that it has given out; also where its time is taken.
CREATE TABLE equal (id int, e vector(4));
INSERT INTO equal SELECT i, even_vector(4, CASE WHEN i <= 3000 THEN 1 ELSE i END) FROM generate_series(1, 20000) AS i;
CREATE INDEX equal_e ON equal USING annoy (e vector_l2_ops);
SET annoy.search_k = 1;
SET work_mem = '64kB';
SELECT count(*), count(DISTINCT id), max(d) FROM
	(SELECT id, e <-> even_vector(4, 1) AS d FROM equal ORDER BY d FETCH FIRST 1 ROW WITH TIES) AS s;
SELECT count(*), count(DISTINCT id) FROM (SELECT equal.id, e <-> even_vector(4, 1) AS d
	FROM equal CROSS JOIN LATERAL generate_series(0, equal.id % 3) ORDER BY d FETCH FIRST 7 ROWS WITH TIES) AS s;
DO $$
BEGIN
	EXECUTE format('EXPLAIN (ANALYZE, TIMING) SELECT id FROM equal ORDER BY e <-> %L FETCH FIRST 1 ROW WITH TIES', even_vector(4, 1));
END
$$;
-- annoy.max_scan_items holds there, too.
SET annoy.iterative_scan = relaxed_order;
SET annoy.max_scan_items = 9000;
SELECT count(*) BETWEEN 8000 AND 10000 AS bounded FROM (SELECT id FROM equal ORDER BY e <-> even_vector(4, 30000) OFFSET 0) AS s;
RESET annoy.max_scan_items;
RESET annoy.iterative_scan;
RESET work_mem;
SET annoy.search_k = 50;
DROP TABLE equal;

-- A scan that starts again and again, some of them whole.
SELECT count(*), bool_and(sorted) FROM (
	SELECT q, array_agg(d ORDER BY n) = array_agg(d ORDER BY d) AS sorted
	FROM generate_series(1, 30) AS q,
		LATERAL (SELECT d, row_number() OVER () AS n FROM
				 (SELECT one.e <-> even_vector(16, q) AS d FROM one JOIN tags USING (tag)
				  WHERE one.id % 40 = q % 3 ORDER BY 1 LIMIT NULLIF(q % 5, 0) * 9) AS s) AS s
	GROUP BY q) AS s;

-- Cursors: what was fetched is in order, and FETCH ALL gets the rest.
CREATE FUNCTION fetch_all(query text, first int) RETURNS text
	LANGUAGE plpgsql AS $$
DECLARE
	cursor refcursor;
	fetched float8[] := '{}';
	one float8;
BEGIN
	OPEN cursor FOR EXECUTE query;
	FOR i IN 1 .. first LOOP
		FETCH cursor INTO one;
		fetched := fetched || one;
	END LOOP;
	LOOP
		FETCH cursor INTO one;
		EXIT WHEN NOT FOUND;
		fetched := fetched || one;
	END LOOP;
	RETURN cardinality(fetched) || CASE WHEN fetched = ARRAY(SELECT d FROM unnest(fetched) AS d ORDER BY d) THEN ' sorted' ELSE ' not sorted' END;
END
$$;
SELECT fetch_all(format('SELECT e <-> %1$L FROM one WHERE tag < 100 ORDER BY e <-> %1$L', even_vector(16, 5)), 3) =
		(SELECT count(*) || ' sorted' FROM one WHERE tag < 100) AS whole,
	fetch_all(format('SELECT e <-> %1$L FROM one WHERE tag < 100 ORDER BY e <-> %1$L LIMIT 500', even_vector(16, 5)), 3);
-- The row at a cursor is the one that was fetched, not one that was looked at.
-- (Here it matters which rows are found.)
SET annoy.search_k = 1000000;
BEGIN;
DECLARE here CURSOR FOR SELECT id, e <-> even_vector(16, 9) AS d FROM one WHERE tag < 300 ORDER BY e <-> even_vector(16, 9) LIMIT 40;
MOVE 5 FROM here;
UPDATE one SET part = -1 WHERE CURRENT OF here;
SELECT count(*), bool_and(n = 5) AS fifth FROM
	(SELECT part, row_number() OVER (ORDER BY e <-> even_vector(16, 9)) AS n FROM one WHERE tag < 300) AS s WHERE part = -1;
ROLLBACK;

-- Also through a subquery, where rows are looked at that the filter throws away.
BEGIN;
DECLARE here CURSOR FOR SELECT id FROM
	(SELECT id, tag, e <-> even_vector(16, 9) AS d FROM one ORDER BY e <-> even_vector(16, 9) OFFSET 0) AS s WHERE tag < 300 LIMIT 40;
MOVE 5 FROM here;
UPDATE one SET part = -1 WHERE CURRENT OF here;
SELECT count(*), bool_and(n = 5) AS fifth FROM
	(SELECT part, row_number() OVER (ORDER BY e <-> even_vector(16, 9)) AS n FROM one WHERE tag < 300) AS s WHERE part = -1;
CLOSE here;
DECLARE here CURSOR FOR SELECT id FROM
	(SELECT id, tag, e <-> even_vector(16, 9) AS d FROM one ORDER BY e <-> even_vector(16, 9) OFFSET 0 FOR UPDATE) AS s WHERE tag < 300 LIMIT 40;
MOVE 7 FROM here;
UPDATE one SET part = -2 WHERE CURRENT OF here;
SELECT count(*), bool_and(n = 7) AS seventh FROM
	(SELECT part, row_number() OVER (ORDER BY e <-> even_vector(16, 9)) AS n FROM one WHERE tag < 300) AS s WHERE part = -2;
ROLLBACK;

-- What is made of one row stays together and in its order.
SELECT count(*), count(DISTINCT id), bool_and(g = expected) AS in_order FROM
	(SELECT id, g, row_number() OVER (PARTITION BY id ORDER BY n) AS expected FROM
	 (SELECT id, g, row_number() OVER () AS n FROM
	  (SELECT id, generate_series(1, 3) AS g FROM one WHERE tag < 100 ORDER BY e <-> even_vector(16, 2) LIMIT 2000) AS s) AS s) AS s;
-- Columns of the output are computed once for each row that comes.
CREATE SEQUENCE calls;
SELECT count(nextval), max(nextval) - min(nextval) + 1 AS calls
	FROM (SELECT nextval('calls') FROM one WHERE tag < 100 ORDER BY e <-> even_vector(16, 2) LIMIT 25) AS s;
-- System columns, and rows that a function changes meanwhile.
SELECT count(DISTINCT s.ctid), bool_and(one.id = s.id) FROM
	(SELECT ctid, tableoid, id FROM one WHERE tag < 100 ORDER BY e <-> even_vector(16, 2) LIMIT 25) AS s
	JOIN one ON one.ctid = s.ctid AND one.tableoid = s.tableoid;
CREATE FUNCTION touch(int) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	UPDATE one SET part = part WHERE id = $1;
	RETURN true;
END
$$;
BEGIN;
SELECT count(*), count(DISTINCT id), count(*) FILTER (WHERE touched) FROM
	(SELECT id, touch(id) AS touched FROM one WHERE tag < 100 AND touch(id) ORDER BY e <-> even_vector(16, 2) LIMIT 25) AS s;
ROLLBACK;
-- An error on the way, and a search inside of a search.
CREATE FUNCTION nearest_of(int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	IF $1 % 7 = 0 THEN
		PERFORM 1 / ($1 % 7) FROM one ORDER BY e <-> even_vector(16, $1) LIMIT 3;
	END IF;
	RETURN (SELECT id FROM one WHERE e IS NOT NULL ORDER BY e <-> even_vector(16, $1) LIMIT 1);
EXCEPTION WHEN division_by_zero THEN
	RETURN -1;
END
$$;
SELECT count(*), count(*) FILTER (WHERE n = -1) AS errors, count(*) FILTER (WHERE n = id) AS itself, array_agg(d) = array_agg(d ORDER BY d) AS sorted FROM
	(SELECT id, nearest_of(id) AS n, e <-> even_vector(16, 8) AS d FROM one
	 WHERE nearest_of(id) IS NOT NULL AND id % 20 <> 0 AND tag < 300 ORDER BY e <-> even_vector(16, 8) LIMIT 60) AS s;
RESET annoy.search_k;

--
-- Memory: what a scan remembers beyond work_mem is a constant and a bit for each
-- row that it ranked, also where most of the rows are wanted.
--
CREATE TABLE many (id int, e vector(4));
INSERT INTO many SELECT i, even_vector(4, i) FROM generate_series(1, 130000) AS i;
CREATE INDEX many_e ON many USING annoy (e vector_l2_ops);
CREATE FUNCTION memory(query text) RETURNS bigint
	LANGUAGE plpgsql AS $$
DECLARE
	most bigint := 0;
	cursor refcursor;
BEGIN
	OPEN cursor FOR EXECUTE query;
	LOOP
		MOVE FORWARD 20000 FROM cursor;
		most := greatest(most, (SELECT sum(total_bytes) FROM pg_backend_memory_contexts
			WHERE name ~ '^(annoy (scan|search|collected)|TupleSort|Caller tuples)'));
		EXIT WHEN NOT FOUND;
	END LOOP;
	CLOSE cursor;
	RETURN most;
END
$$;
SET work_mem = '64kB';
SELECT mode, rows, memory(format('SELECT id FROM many ORDER BY e <-> %L %s', even_vector(4, 500), rows)) < 1000000 AS bounded
	FROM unnest('{strict_order,relaxed_order}'::text[]) AS mode, set_config('annoy.iterative_scan', mode, false),
		unnest('{LIMIT 1000,LIMIT 100000,""}'::text[]) AS rows;
SET annoy.search_k = 2000000000;
SELECT mode, rows, memory(format('SELECT id FROM many ORDER BY e <-> %L %s', even_vector(4, 500), rows)) < 1000000 AS bounded
	FROM unnest('{strict_order,relaxed_order}'::text[]) AS mode, set_config('annoy.iterative_scan', mode, false),
		unnest('{LIMIT 1000,LIMIT 100000,""}'::text[]) AS rows;
RESET annoy.search_k;
RESET annoy.iterative_scan;
RESET work_mem;

RESET enable_seqscan;
RESET enable_sort;

-- Each page of an index is read once, also where every new leaf was split off to
-- the left of all others.
CREATE TABLE drifting (e vector(500));
CREATE INDEX drifting_e ON drifting USING annoy (e vector_l2_ops) WITH (code_bits = 4);
INSERT INTO drifting SELECT ARRAY[1000000.0 / i]::vector || array_fill(0, ARRAY[499])::vector FROM generate_series(1, 15000) AS i;
SET enable_seqscan = off;
SET enable_sort = off;
SELECT count(*) FROM (SELECT FROM drifting ORDER BY e <-> array_fill(1, ARRAY[500])::vector OFFSET 0) AS s;
SELECT blocks BETWEEN 1000 AND pg_relation_size('drifting_e') / current_setting('block_size')::int + 10 AS once FROM annoy_last_scan();
DROP TABLE drifting;
RESET enable_seqscan;
RESET enable_sort;

DROP TABLE one, several, tags, shapes, exact, many;
DROP SEQUENCE calls;
DROP FUNCTION try_ties, try_order, try_shape, try_sorted, check_nearest, fetch_all, touch, nearest_of, memory;
DROP FUNCTION even_vector, clustered_vector, answer, disorder, same_answer, complete_answer, recall;
