-- Metrics beyond those of the other tests: taxicab distance of vectors,
-- Hamming and Jaccard distance of bit strings; inner products of vectors that
-- are larger than any at build; names of metrics.
\getenv abs_srcdir PG_ABS_SRCDIR
\set answer :abs_srcdir '/include/answer.sql'
\set ECHO none
\i :answer
\set ECHO all

-- The distances, and what they say to strings of different lengths.
SELECT hamming_distance(B'1010', B'0110') AS hamming, B'1010' <~> B'1010' AS same,
	hamming_distance(B'', B'') AS empty, hamming_distance(B'1', NULL) IS NULL AS nothing;
SELECT jaccard_distance(B'1010', B'0110') AS jaccard, B'011' <%> B'010' AS half,
	jaccard_distance(B'000', B'000') AS zeros, jaccard_distance(B'000', B'010') AS zero,
	jaccard_distance(B'', B'') AS empty;
SELECT B'01' <~> B'0110';
SELECT B'01' <%> B'0110';
-- Beyond a whole number of words: every bit counts once.
SELECT bool_and((repeat('0', i - 1) || '1' || repeat('0', 201 - i))::bit(201) <~> repeat('0', 201)::bit(201) = 1)
	FROM generate_series(1, 201) AS i;

-- A bit string near the centre of one of 40 clusters, the same everywhere.
CREATE FUNCTION clustered_bits(length int, i int) RETURNS bit varying
	LANGUAGE sql IMMUTABLE
	RETURN (SELECT string_agg(CASE WHEN (hashint8((i % 40 + 1)::bigint * 65536 + j) % 4 = 0) <>
										(hashint8(-i::bigint * 65536 - j) % 16 = 0) THEN '1' ELSE '0' END, '' ORDER BY j)
			FROM generate_series(1, length) AS j)::bit varying;

-- Short strings, whose codes are the bits: 3 bits, one word, and more.
CREATE TABLE bits (id int, b3 bit(3), b64 bit(64), b200 bit(200), b1600 bit(1600));
INSERT INTO bits SELECT i, clustered_bits(3, i)::bit(3), clustered_bits(64, i)::bit(64),
		clustered_bits(200, i)::bit(200), CASE WHEN i <= 400 THEN clustered_bits(1600, i)::bit(1600) END
	FROM generate_series(1, 2000) AS i;
INSERT INTO bits VALUES (2001, B'000', 0::bit(64), 0::bit(200), 0::bit(1600)), (2002, NULL, NULL, NULL, NULL),
	(2003, ~ B'000', ~ 0::bit(64), ~ 0::bit(200), ~ 0::bit(1600));
CREATE TABLE asked (name text, id int, q text);
INSERT INTO asked SELECT column_name, id, q
	FROM generate_series(1, 2003, 667) AS id, (VALUES ('b3', 3), ('b64', 64), ('b200', 200), ('b1600', 1600)) AS c (column_name, length),
		LATERAL (SELECT clustered_bits(length, id + 5000)::text AS q
				 UNION ALL SELECT repeat('0', length)) AS t;

-- Whether whole answers through the index equal sorted ones: order, distances,
-- rows without a value, every row once.
CREATE FUNCTION compare(name text, operator text)
	RETURNS TABLE (same bool, complete bool, disorder bigint, checked bool)
	LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE INDEX bits_index ON bits USING annoy (%I %s) WITH (n_trees = 2)', name,
		CASE operator WHEN '<~>' THEN '' ELSE 'bit_jaccard_ops' END);
	PERFORM set_config('annoy.search_k', '1000000', true);
	SELECT bool_and(same_answer(query)), bool_and(complete_answer(query)), max(disorder(query))
		INTO same, complete, disorder
		FROM (SELECT format('SELECT id, %1$I %2$s %3$L::bit varying::bit(%4$s) AS d FROM bits ORDER BY %1$I %2$s %3$L::bit varying::bit(%4$s)',
				a.name, operator, q, length(q)) AS query FROM asked AS a WHERE a.name = compare.name) AS queries;
	PERFORM annoy_index_check('bits_index', true);
	checked := true;
	DROP INDEX bits_index;
	RETURN NEXT;
END
$$;
SELECT name, operator, c.* FROM (VALUES ('b3'), ('b64'), ('b200'), ('b1600')) AS n (name), (VALUES ('<~>'), ('<%>')) AS o (operator),
	LATERAL compare(name, operator) AS c ORDER BY 1, 2;

-- With codes that are the bits, no row is read for its distance.
CREATE INDEX bits_hamming ON bits USING annoy (b200);
SET enable_seqscan = off;
SET annoy.search_k = 3000;
SELECT count(*) FROM (SELECT id FROM bits ORDER BY b200 <~> clustered_bits(200, 7777)::bit(200) LIMIT 10) AS t;
SELECT items_inspected >= 2000 AS all_inspected, exact_distances AS rows_read FROM annoy_last_scan();
RESET annoy.search_k;
RESET enable_seqscan;
-- Nor do they have more bits than there are.
ALTER INDEX bits_hamming SET (code_bits = 4);
SELECT i -> 'code_bits' AS code_bits, i -> 'needs_reindex' AS needs_reindex FROM annoy_info('bits_hamming') AS i;
-- Inserts into it, into an index of an empty table, and VACUUM.
CREATE TABLE grown (id int, e bit(200));
CREATE INDEX grown_hamming ON grown USING annoy (e);
CREATE INDEX grown_jaccard ON grown USING annoy (e bit_jaccard_ops);
INSERT INTO grown SELECT id, b200 FROM bits;
DELETE FROM grown WHERE id % 3 = 0;
VACUUM (INDEX_CLEANUP on) grown;
INSERT INTO grown SELECT id, b200 FROM bits WHERE id % 3 = 0;
SELECT annoy_index_check('grown_hamming', true), annoy_index_check('grown_jaccard', true);
SET annoy.search_k = 1000000;
SELECT operator, bool_and(same_answer(query)), bool_and(complete_answer(query))
	FROM (SELECT o.operator, format('SELECT id, e %s %L::bit varying::bit(200) AS d FROM grown ORDER BY e %1$s %2$L::bit varying::bit(200)', o.operator, q) AS query
		FROM asked, (VALUES ('<~>'), ('<%>')) AS o (operator) WHERE name = 'b200') AS queries
	GROUP BY operator ORDER BY operator;
RESET annoy.search_k;

-- Strings of another length, of none, and of too many bits.
CREATE TABLE anylength (id int, e bit varying);
INSERT INTO anylength VALUES (1, B'101');
CREATE INDEX anylength_index ON anylength USING annoy (e bit_hamming_ops);
INSERT INTO anylength VALUES (2, B'10');
INSERT INTO anylength VALUES (2, B'');
TRUNCATE anylength;
INSERT INTO anylength VALUES (2, B'');
INSERT INTO anylength VALUES (2, repeat('1', 64001)::bit varying);
INSERT INTO anylength VALUES (3, repeat('1', 64000)::bit varying), (4, repeat('01', 32000)::bit varying);
SELECT annoy_index_check('anylength_index', true);
REINDEX INDEX anylength_index;
SELECT annoy_index_check('anylength_index', true);
SELECT id, e <~> repeat('1', 64000)::bit varying AS d FROM anylength ORDER BY 2;

-- Taxicab distance: recall by default, whole answers, NULLs.
CREATE TABLE vectors AS SELECT i AS id, clustered_vector(24, i) AS e FROM generate_series(1, 4000) AS i;
INSERT INTO vectors VALUES (4001, NULL);
CREATE INDEX vectors_l1 ON vectors USING annoy (e vector_l1_ops);
SELECT annoy_index_check('vectors_l1', true);
SELECT r.recall >= 0.9 AS recall FROM (SELECT array_agg(clustered_vector(24, i)) AS q FROM generate_series(5001, 5020) AS i) AS q,
	recall('SELECT id, e <+> $q AS d FROM vectors ORDER BY e <+> $q LIMIT 10', q) AS r (recall);
SET annoy.search_k = 1000000;
SELECT same_answer(query), complete_answer(query), disorder(query)
	FROM (SELECT format('SELECT id, e <+> %L AS d FROM vectors ORDER BY e <+> %1$L', clustered_vector(24, 5000)) AS query) AS t;
RESET annoy.search_k;
DROP TABLE vectors;

-- Neighbours that differ from the query a little in all dimensions say nothing
-- of one that differs in a single one: a large search_k finds it all the same.
CREATE TABLE unlike (id int, e vector(512));
INSERT INTO unlike SELECT i, (SELECT array_agg(CASE WHEN i <= 600 THEN hashint8(i::bigint * 65536 + j) % 1000 / 5000.0
												WHEN j = i % 512 THEN 5 ELSE 0 END ORDER BY j)
							  FROM generate_series(1, 512) AS j)::vector FROM generate_series(1, 900) AS i;
CREATE INDEX unlike_l1 ON unlike USING annoy (e vector_l1_ops);
SET enable_seqscan = off;
SET annoy.search_k = 2147483647;
SELECT count(*) FILTER (WHERE d = 5) AS nearest FROM (SELECT e <+> array_fill(0, ARRAY[512])::vector AS d
	FROM unlike ORDER BY e <+> array_fill(0, ARRAY[512])::vector LIMIT 10) AS t;
RESET annoy.search_k;
RESET enable_seqscan;
DROP TABLE unlike;

-- Inner product: vectors ten times as large as any at build come later.  A few
-- of them are the answer to every query, and what is found else stays.
CREATE TABLE products AS SELECT i AS id, clustered_vector(24, i) AS e FROM generate_series(1, 4000) AS i;
CREATE INDEX products_ip ON products USING annoy (e vector_ip_ops);
CREATE TABLE asked_products AS SELECT array_agg(clustered_vector(24, i)) AS q FROM generate_series(5001, 5020) AS i;
CREATE FUNCTION product_recall() RETURNS bool LANGUAGE sql
	RETURN (SELECT r >= 0.9 FROM asked_products,
		recall('SELECT id, e <#> $q AS d FROM products ORDER BY e <#> $q LIMIT 10', q) AS r);
SELECT product_recall() AS before;
INSERT INTO products SELECT 10000 + i, (SELECT array_agg(10 * x) FROM unnest(clustered_vector(24, 6000 + i)::real[]) AS x)::vector(24)
	FROM generate_series(1, 12) AS i;
SELECT product_recall() AS few_outsized;
INSERT INTO products SELECT 20000 + i, (SELECT array_agg(10 * x) FROM unnest(clustered_vector(24, 7000 + i)::real[]) AS x)::vector(24)
	FROM generate_series(1, 1500) AS i;
SELECT product_recall() AS many_outsized;
SELECT annoy_index_check('products_ip', true);
DELETE FROM products WHERE id > 10000;
VACUUM (INDEX_CLEANUP on) products;
SELECT product_recall() AS deleted;
SELECT annoy_index_check('products_ip', true);
-- Into an empty index: the first vector is of middling length, most are not.
CREATE FUNCTION stretch(i int) RETURNS float8 LANGUAGE sql IMMUTABLE
	RETURN exp((mod(hashint4(i), 1000) + mod(hashint4(-i), 1000) + mod(hashint4(i + 77777), 1000)) / 1000.0);
CREATE TABLE stretched (id int, e vector(32));
CREATE INDEX stretched_ip ON stretched USING annoy (e vector_ip_ops);
INSERT INTO stretched SELECT i, (SELECT array_agg(x * CASE i WHEN 1 THEN 1 ELSE stretch(i) END)
								 FROM unnest(even_vector(32, i)::real[]) AS x)::vector(32)
	FROM generate_series(1, 4000) AS i;
SET annoy.search_k = 400;
SELECT r >= 0.8 AS recall FROM (SELECT array_agg(even_vector(32, i)) AS q FROM generate_series(9001, 9020) AS i) AS q,
	recall('SELECT id, e <#> $q AS d FROM stretched ORDER BY e <#> $q LIMIT 10', q) AS r;
RESET annoy.search_k;
SELECT annoy_index_check('stretched_ip', true);

-- Names of metrics.
SELECT n AS name, annoy_metric(n) FROM unnest(ARRAY['angular', 'cosine', 'euclidean', 'l2', 'lstsq', 'manhattan', 'l1', 'cityblock',
	'taxicab', 'dot', '@', '.', 'dotproduct', 'inner', 'innerproduct', 'hamming', 'Cosine', 'L2', 'HAMMING']) AS n;
SELECT annoy_metric(NULL) IS NULL AS nothing;
DO $$
BEGIN
	PERFORM annoy_metric('minkowski');
EXCEPTION WHEN invalid_parameter_value THEN
	RAISE NOTICE '%: %', SQLSTATE, SQLERRM;
END
$$;
SELECT annoy_metric('');

DROP FUNCTION clustered_bits(int, int), compare(text, text), product_recall(), stretch(int);
DROP TABLE bits, asked, grown, anylength, products, asked_products, stretched;
DROP FUNCTION even_vector, clustered_vector, answer, disorder, same_answer, complete_answer, recall;
