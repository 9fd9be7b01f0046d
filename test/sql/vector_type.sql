-- The type vector: text, binary form, typmod, storage, comparison, btree.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS annoy;
RESET client_min_messages;

-- Text: white space is ignored on input and not written on output.
SELECT '[1,2.5,-3]'::vector;
SELECT E' \t[ 1 ,\n2.5\r,\f-3\x0b] '::vector;
SELECT '[+1,.5,5.,-.25,1e3,1E+3,1e-3]'::vector;
SELECT vector '[0x10,0x1p-1]';

-- Output has the digits that float4 has.
SELECT '[0.1,0.33333334,16777216,1e10,123456.789,1e-5]'::vector;
SELECT '[3.4028235e38,-3.4028235e38,1.1754944e-38,1e-45,-0]'::vector;

-- Too small for a float is zero, with its sign; and not an error.
SELECT '[1e-46,-1e-46,1e-400,0e999]'::vector;

-- Numbers half way between two floats, and a hair beside it.
SELECT '[16777217,16777219,16777217.0000000001,16777216.9999999999]'::vector;
SELECT '[1.00000005960464477539,1.000000059604644775390625,1.0000000596046447753906251]'::vector;
SELECT '[0.5000000298023224,0.5000000298023223,-0.5000000298023224]'::vector;

-- Numbers of many forms are read as float4 reads them.
CREATE TEMP TABLE numbers AS
	SELECT format('%s%s.%s%se%s', CASE WHEN h & 1 = 1 THEN '-' END,
				  repeat('0', (h >> 1 & 3)::int), h >> 3 & 255,
				  lpad((h >> 11)::text, 1 + i % 17, '7'), i % 60 - 30) AS number
	FROM (SELECT i, hashint4(i)::bigint + 2147483648 AS h
		  FROM generate_series(1, 20000) i) s
	UNION ALL
	SELECT (sin(i) * 10.0 ^ (i % 40 - 20))::text FROM generate_series(1, 20000) i
	UNION ALL
	SELECT sin(i)::real::text FROM generate_series(1, 20000) i;
SELECT count(*) FROM numbers;
SELECT number, format('[%s]', number)::vector, number::float4
	FROM numbers
	WHERE vector_send(format('[%s]', number)::vector) IS DISTINCT FROM
		  '\x00010000'::bytea || float4send(number::float4);
DROP TABLE numbers;

-- Binary: dimension, zero, elements, with the most significant byte first.
SELECT vector_send('[1,2.5,-3]');
SELECT vector_send('[-0]');

-- Size: a header of 8 bytes, and 4 bytes for each dimension.
SELECT pg_column_size('[1,2.5,-3]'::vector) AS three,
	pg_column_size(array_fill(1, ARRAY[16000])::vector) AS most;
SELECT typlen, typbyval, typalign, typstorage, typcategory, typdelim
	FROM pg_type WHERE oid = 'vector'::regtype;

-- Typmod.
CREATE TEMP TABLE typed (id int, v vector(3), w vector);
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
	WHERE attrelid = 'typed'::regclass AND attnum > 1 ORDER BY attnum;
INSERT INTO typed VALUES (1, '[1,2,3]', '[1,2]'), (2, NULL, '[3]');
INSERT INTO typed VALUES (3, '[1,2]', NULL);
INSERT INTO typed (v) SELECT w FROM typed WHERE id = 1;
SELECT '[1,2,3]'::vector(2);
SELECT '[1,2,3]'::vector::vector(2);
SELECT '[1,2,3]'::vector::vector(3);
SELECT NULL::vector(3);
ALTER TABLE typed ALTER COLUMN w TYPE vector(2);
UPDATE typed SET w = NULL WHERE id = 2;
ALTER TABLE typed ALTER COLUMN w TYPE vector(2);
SELECT * FROM typed ORDER BY id;
SELECT '[1]'::vector(0);
SELECT '[1]'::vector(-1);
SELECT '[1]'::vector(16001);
SELECT '[1]'::vector(1, 2);
SELECT '[1]'::vector('one');
SELECT vector_dims(array_fill(1, ARRAY[16000])::vector(16000));

-- Arrays of vectors.
SELECT '{"[1,2]","[3,4]"}'::vector[];
SELECT ARRAY['[1,2]'::vector, '[3,4]'];
SELECT unnest('{"[1,2]","[3]"}'::vector(2)[]);

-- Comparison: by elements, then by length; -0 equals 0.
SELECT a, b, a < b AS lt, a <= b AS le, a = b AS eq, a <> b AS ne,
	a >= b AS ge, a > b AS gt, vector_cmp(a, b) AS cmp
	FROM (VALUES ('[1,2,3]'::vector, '[1,2,3]'::vector), ('[1,2,3]', '[1,2,4]'),
		  ('[2]', '[1,9]'), ('[1,2]', '[1,2,0]'), ('[1,2]', '[1,1,0]'),
		  ('[0]', '[-0]'), ('[-1]', '[1e-45]')) AS pair (a, b);

-- Sorting, grouping, joining and btree use that order.
CREATE TEMP TABLE items (id int, v vector);
INSERT INTO items VALUES (1, '[2,1]'), (2, '[1,2]'), (3, NULL), (4, '[1]'),
	(5, '[1,2]'), (6, '[1,2,3]');
SELECT id, v FROM items ORDER BY v, id;
SELECT id, v FROM items ORDER BY v DESC NULLS LAST, id DESC;
SELECT v, count(*) FROM items GROUP BY v ORDER BY v;
SELECT DISTINCT v FROM items ORDER BY v;
SELECT a.id, b.id FROM items a JOIN items b USING (v) ORDER BY 1, 2;
SET enable_nestloop = off;
SELECT a.id, b.id FROM items a JOIN items b USING (v) ORDER BY 1, 2;
RESET enable_nestloop;
CREATE UNIQUE INDEX ON items (v) WHERE id <> 5;
INSERT INTO items VALUES (7, '[1,2]');
DROP INDEX items_v_idx;
CREATE INDEX ON items (v);
SET enable_seqscan = off;
SELECT id FROM items WHERE v = '[1,2]' ORDER BY id;
SELECT id FROM items WHERE v > '[1,2]' ORDER BY id;
RESET enable_seqscan;
SELECT opcname, opcdefault, amvalidate(opclass.oid) FROM pg_opclass opclass
	JOIN pg_am am ON am.oid = opcmethod
	WHERE opcintype = 'vector'::regtype AND amname = 'btree';

-- Statistics can be gathered, also of values too long for btree.
DROP INDEX items_v_idx;
INSERT INTO items SELECT i, array_fill(i, ARRAY[2000])::vector FROM generate_series(8, 12) i;
ANALYZE items;
SELECT count(*) FROM items WHERE v > '[7]' AND vector_dims(v) = 2000;
