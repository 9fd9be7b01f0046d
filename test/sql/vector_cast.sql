-- Casts between vector and arrays, and in which contexts they apply.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS annoy;
RESET client_min_messages;

-- From arrays.
SELECT ARRAY[1,-2,2147483647]::vector AS int4,
	ARRAY[1.5,-2,0.1]::real[]::vector AS float4,
	ARRAY[1.5,-2,0.1]::float8[]::vector AS float8,
	ARRAY[1.5,-2,0.1]::numeric[]::vector AS "numeric";
SELECT ARRAY[1,2]::vector(2), ARRAY[1,2]::real[]::vector(2), ARRAY[1,2]::float8[]::vector(2),
	ARRAY[1,2]::numeric[]::vector(2);
SELECT '[5:6]={1,2}'::int[]::vector AS other_bounds;
SELECT NULL::int[]::vector, NULL::real[]::vector, NULL::float8[]::vector, NULL::numeric[]::vector;
SELECT ARRAY[1e-60, 16777217]::float8[]::vector AS rounded;
SELECT array_replace(ARRAY[1,NULL,3], NULL, 0)::vector AS filled;

-- To arrays.
SELECT '[1.5,-2,0.1]'::vector::real[] AS float4, '[1.5,-2,0.1]'::vector::float8[] AS float8,
	'[1.5,-2,2.5]'::vector::int[] AS int4, '[1.5,-2,0.1]'::vector::numeric[] AS "numeric";
SELECT array_dims('[1,2,3]'::vector::real[]), array_ndims('[1,2,3]'::vector::numeric[]),
	array_length('[1,2,3]'::vector::int[], 1), cardinality('[1,2,3]'::vector::float8[]);
SELECT '[3.4028235e38,1e-45,-0]'::vector::real[]::vector, '[3.4028235e38,1e-45,-0]'::vector::float8[]::vector;

-- An array made here is like any other array.
SELECT '[1,2,3]'::vector::real[] || 4::real AS appended, '[1,2]'::vector::float8[] = ARRAY[1,2]::float8[] AS equal,
	hash_array('[1,2]'::vector::int[]) = hash_array(ARRAY[1,2]) AS hashed;

-- Contexts: arrays are assigned to vector; vector passes for real[] everywhere,
-- and is assigned to the other arrays.
SELECT castsource::regtype, casttarget::regtype, castcontext FROM pg_cast
	WHERE 'vector'::regtype IN (castsource, casttarget)
	ORDER BY castsource::regtype::text COLLATE "C", casttarget::regtype::text COLLATE "C";
CREATE TEMP TABLE cast_target (v vector(2), r real[], d float8[], i int[], n numeric[]);
INSERT INTO cast_target (v) VALUES (ARRAY[1,2]), (ARRAY[1.5,2]), (ARRAY[1.5,2]::real[]), (ARRAY[1.5,2]::float8[]);
UPDATE cast_target SET r = v, d = v, i = v, n = v;
SELECT * FROM cast_target ORDER BY v, i;
CREATE FUNCTION pg_temp.first_of(real[]) RETURNS real LANGUAGE sql AS 'SELECT $1[1]';
CREATE FUNCTION pg_temp.second_of(float8[]) RETURNS float8 LANGUAGE sql AS 'SELECT $1[2]';
SELECT pg_temp.first_of('[1.5,2]'::vector);
\set VERBOSITY sqlstate
SELECT pg_temp.second_of('[1.5,2]'::vector);
SELECT '[1,2]'::vector <-> ARRAY[1,2] AS arrays_do_not_pass_for_vector;
\set VERBOSITY default

-- Text and JSON, as clients send them.
SELECT '[1,2.5]'::text::vector, '[1,2.5]'::varchar::vector, '[1,2.5]'::vector::text, '[1, 2.5]'::json::text::vector;
