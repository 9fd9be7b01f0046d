-- Bad input: every case is refused with the right SQLSTATE, and says why.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS annoy;
RESET client_min_messages;

-- Runs a command and tells how it failed.
CREATE FUNCTION pg_temp.error_of(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
BEGIN
	EXECUTE command;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
	RETURN concat_ws(' / ', SQLSTATE, left(SQLERRM, 80), NULLIF(detail, ''));
END
$$;

-- Text.
SELECT input, pg_temp.error_of(format('SELECT %L::vector', input)) AS error
	FROM unnest(ARRAY['', ' ', 'abc', '1,2', '[', ']', '[]', '[ ]', '[,]', '[1', '[1,', '[1,]', '[1,,2]',
					  '[,1]', '[1 2]', '[1,2]]', '[1,2] x', '[[1,2]]', '{1,2}', '[1;2]', '[a]', '[1a]',
					  '[1e]', '[1e+]', '[--1]', '[+-1]', '[.]', '[-]', '[1.2.3]', '[0x]', '[1e1.5]', '["1"]', '[null]']) WITH ORDINALITY AS t (input, n)
	ORDER BY n;
SELECT input, pg_temp.error_of(format('SELECT %L::vector', input)) AS error
	FROM unnest(ARRAY['[NaN]', '[1,nan]', '[-nan]', '[inf]', '[-Infinity]', '[1e39]', '[-4e38]', '[3.4028236e38]', '[1e999999]']) WITH ORDINALITY AS t (input, n)
	ORDER BY n;

-- Long numbers are read to their end.
SELECT pg_temp.error_of(format('SELECT %L::vector', '[' || repeat('9', 500) || ']'));
SELECT format('[0.%s1]', repeat('0', 500))::vector AS zero, format('[%s1]', repeat('0', 500))::vector AS one;

-- Number of dimensions.
SELECT pg_temp.error_of(format('SELECT %L::vector', '[' || repeat('1,', 16000) || '1]')) AS text,
	pg_temp.error_of('SELECT array_fill(1, ARRAY[16001])::vector') AS array,
	pg_temp.error_of('SELECT array_fill(1, ARRAY[16000])::vector || ''[1]''') AS concatenation;
SELECT pg_temp.error_of(format('SELECT %L::vector', repeat('[1,', 100000))) AS garbage;
SELECT vector_dims(('[' || repeat('1,', 15999) || '1]')::vector) AS most;
SELECT command, pg_temp.error_of(command) AS error
	FROM unnest(ARRAY[
		$$ SELECT '[1,2,3]'::vector(2) $$,
		$$ SELECT '[1,2,3]'::vector::vector(2) $$,
		$$ SELECT ARRAY[1,2,3]::vector(2) $$,
		$$ SELECT ARRAY[1,2,3]::numeric[]::vector(2) $$,
		$$ SELECT '[1]'::vector(0) $$,
		$$ SELECT '[1]'::vector(-2147483648) $$,
		$$ SELECT '[1]'::vector(16001) $$,
		$$ SELECT '[1]'::vector(1,2) $$,
		$$ SELECT '[1]'::vector('a') $$,
		$$ SELECT subvector('[1,2,3]', 1, 0) $$,
		$$ SELECT subvector('[1,2,3]', 2, -2147483648) $$,
		$$ SELECT subvector('[1,2,3]', 4, 1) $$,
		$$ SELECT subvector('[1,2,3]', -5, 3) $$,
		$$ SELECT subvector('[1,2,3]', -2147483648, 2147483647) $$,
		$$ SELECT subvector('[1,2,3]', 2147483647, 2147483647) $$]) WITH ORDINALITY AS t (command, n)
	ORDER BY n;

-- Two vectors of different length.
SELECT operator, pg_temp.error_of(format('SELECT ''[1,2,3]''::vector %s ''[1,2]''::vector', operator)) AS error
	FROM unnest(ARRAY['<->', '<#>', '<=>', '<+>', '+', '-', '*', '||', '<', '=']) WITH ORDINALITY AS t (operator, n)
	ORDER BY n;
SELECT function, pg_temp.error_of(format('SELECT %I(''[1]''::vector, ''[1,2]''::vector)', function)) AS error
	FROM unnest(ARRAY['l2_distance', 'inner_product', 'vector_negative_inner_product', 'cosine_distance', 'l1_distance',
					  'angular_distance', 'vector_l2_squared_distance']) WITH ORDINALITY AS t (function, n)
	ORDER BY n;

-- Arithmetic beyond the range.
SELECT command, pg_temp.error_of(command) AS error
	FROM unnest(ARRAY[
		$$ SELECT '[1,3e38]'::vector + '[1,3e38]' $$,
		$$ SELECT '[-3e38]'::vector - '[3e38]' $$,
		$$ SELECT '[1e20]'::vector * '[-1e20]' $$,
		$$ SELECT '[1e-30]'::vector * '[1e-30]' $$]) WITH ORDINALITY AS t (command, n)
	ORDER BY n;

-- Arrays.
SELECT command, pg_temp.error_of(command) AS error
	FROM unnest(ARRAY[
		$$ SELECT '{}'::int[]::vector $$,
		$$ SELECT '{}'::numeric[]::vector $$,
		$$ SELECT '{1,NULL}'::int[]::vector $$,
		$$ SELECT '{1,NULL}'::real[]::vector $$,
		$$ SELECT '{1,NULL}'::float8[]::vector $$,
		$$ SELECT '{NULL}'::numeric[]::vector $$,
		$$ SELECT '{{1,2},{3,4}}'::int[]::vector $$,
		$$ SELECT '{{1}}'::real[]::vector $$,
		$$ SELECT '{NaN}'::real[]::vector $$,
		$$ SELECT '{NaN}'::float8[]::vector $$,
		$$ SELECT '{NaN}'::numeric[]::vector $$,
		$$ SELECT '{Infinity}'::real[]::vector $$,
		$$ SELECT '{-Infinity}'::float8[]::vector $$,
		$$ SELECT '{Infinity}'::numeric[]::vector $$,
		$$ SELECT '{1e39}'::float8[]::vector $$,
		$$ SELECT '{-1e39}'::numeric[]::vector $$,
		$$ SELECT '{1e-60}'::numeric[]::vector $$,
		$$ SELECT '[3e9]'::vector::int[] $$,
		$$ SELECT ARRAY['a']::text[]::vector $$]) WITH ORDINALITY AS t (command, n)
	ORDER BY n;

-- States of the aggregates, made by hand.
SELECT command, pg_temp.error_of(command) AS error
	FROM unnest(ARRAY[
		$$ SELECT vector_accum('{}', '[1]') $$,
		$$ SELECT vector_accum('{0,1}', '[1]') $$,
		$$ SELECT vector_accum('{3}', '[1]') $$,
		$$ SELECT vector_accum('{1,NULL}', '[1]') $$,
		$$ SELECT vector_accum('{{1,2}}', '[1]') $$,
		$$ SELECT vector_accum('{1,1,1}', '[1]') $$,
		$$ SELECT vector_accum(array_fill(1::float8, ARRAY[16002]), '[1]') $$,
		$$ SELECT vector_combine('{1,1,1}', '{1,1}') $$,
		$$ SELECT vector_combine('{1,1,1}', '{}') $$,
		$$ SELECT vector_avg('{1,NaN}') $$,
		$$ SELECT vector_avg('{1,1e39}') $$,
		$$ SELECT vector_sum('{1,Infinity}') $$]) WITH ORDINALITY AS t (command, n)
	ORDER BY n;

-- Binary input.  There is no function to call, so COPY reads a file of one row
-- and one column, which printf makes: of any bytes, octal escapes being all
-- that is portable.
CREATE TEMP TABLE received (v vector);
CREATE TEMP TABLE received_three (v vector(3));
CREATE FUNCTION pg_temp.receive(field bytea, target text DEFAULT 'received') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	file bytea := '\x5047434f50590aff0d0a00'::bytea ||	-- signature
		'\x0000000000000000'::bytea ||					-- flags, extension
		'\x0001'::bytea || int4send(length(field)) || field || '\xffff'::bytea;
	escapes text;
BEGIN
	SELECT string_agg(format('\%s%s%s', b >> 6, b >> 3 & 7, b & 7), '' ORDER BY i)
		INTO escapes FROM generate_series(0, length(file) - 1) i, get_byte(file, i) b;
	RETURN pg_temp.error_of(format('COPY %I FROM PROGRAM %L (FORMAT binary)', target, format('printf ''%s''', escapes)));
END
$$;
SELECT pg_temp.receive('\x000200003f800000c0200000') AS good;
SELECT pg_temp.receive(vector_send('[3.4028235e38,1e-45,-0]'), 'received_three') AS good;
SELECT v FROM received UNION ALL SELECT v FROM received_three;
SELECT field, pg_temp.receive(field) AS error
	FROM unnest(ARRAY['\x', '\x00', '\x0001', '\x000100', '\x00010000', '\x000100003f8000', '\x000200003f800000',
					  '\x000100003f80000000', '\x00000000', '\xffff0000', '\x3e810000', '\x000100013f800000', '\x0001ffff3f800000',
					  '\x000100007fc00000', '\x000100007f800000', '\x00010000ff800000']::bytea[]) WITH ORDINALITY AS t (field, n)
	ORDER BY n;
SELECT pg_temp.receive('\x000200003f800000c0200000', 'received_three') AS other_dimension;

-- Nothing of a failed statement remains.
SELECT count(*) FROM received;

-- From version 16 on, bad text can be asked about without an error.
SELECT current_setting('server_version_num')::int >= 160000 AS soft_errors \gset
CREATE TEMP TABLE questions (n int, input text, type text, valid bool);
INSERT INTO questions VALUES (1, '[1,2]', 'vector', true), (2, '[1,2]', 'vector(2)', true), (3, '[1,2]', 'vector(3)', false),
	(4, '[]', 'vector', false), (5, '1', 'vector', false), (6, '[1', 'vector', false), (7, '[1]1', 'vector', false),
	(8, '[a]', 'vector', false), (9, '[nan]', 'vector', false), (10, '[inf]', 'vector', false), (11, '[1e99]', 'vector', false),
	(12, '[' || repeat('1,', 16000) || '1]', 'vector', false);
\if :soft_errors
\set accepted 'pg_input_is_valid(input, type)'
\else
\set accepted 'pg_temp.error_of(format($$ SELECT %L::%s $$, input, type)) = $$no error$$'
\endif
SELECT n FROM questions WHERE (:accepted) <> valid;

-- As psql shows it.
SELECT '[1,2'::vector;
SELECT '[1,2]x'::vector;
\set VERBOSITY sqlstate
SELECT '[1,2'::vector;
SELECT '[1,2,3]'::vector <-> '[1,2]';
SELECT '[NaN]'::vector;
\set VERBOSITY default
