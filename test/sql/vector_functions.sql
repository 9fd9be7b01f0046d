-- Operators and functions of vector: distances, norms, arithmetic, parts.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS annoy;
RESET client_min_messages;

-- Distances.
SELECT '[0,0]'::vector <-> '[3,4]' AS l2, l2_distance('[0,0]', '[3,4]'),
	vector_l2_squared_distance('[0,0]', '[3,4]');
SELECT '[1,2]'::vector <#> '[3,4]' AS ip, inner_product('[1,2]', '[3,4]'),
	vector_negative_inner_product('[1,2]', '[3,4]');
SELECT '[1,1]'::vector <=> '[-1,1]' AS cosine, cosine_distance('[1,2]', '[2,4]') AS same,
	cosine_distance('[1,2]', '[-2,-4]') AS opposite;
SELECT '[1,2]'::vector <+> '[4,-2]' AS l1, l1_distance('[1,2]', '[4,-2]');
SELECT angular_distance('[1,0]', '[0,2]') AS orthogonal, angular_distance('[1,2]', '[2,4]') AS same,
	angular_distance('[1,2]', '[-2,-4]') AS opposite;

-- One dimension, and a length that is no multiple of any vector register.
SELECT '[1]'::vector <-> '[3]' AS l2, '[2]'::vector <#> '[3]' AS ip,
	'[2]'::vector <=> '[3]' AS cosine, '[1]'::vector <+> '[3]' AS l1;
SELECT a <-> b AS l2, a <#> b AS ip, a <=> a AS cosine, a <+> b AS l1
	FROM (SELECT array_fill(1, ARRAY[77])::vector AS a, array_fill(3, ARRAY[77])::vector AS b) s;

-- A vector that has no direction has no cosine, but is orthogonal for Annoy.
SELECT '[0,0]'::vector <=> '[1,2]' AS left, '[1,2]'::vector <=> '[0,0]' AS right,
	'[0,0]'::vector <=> '[0,-0]' AS both;
SELECT angular_distance('[0,0]', '[1,2]') AS left, angular_distance('[1,2]', '[0,0]') AS right,
	angular_distance('[0,0]', '[0,0]') AS both;

-- NULL in, NULL out.
SELECT '[1]'::vector <-> NULL AS l2, NULL <#> '[1]'::vector AS ip,
	'[1]'::vector <=> NULL AS cosine, '[1]'::vector <+> NULL AS l1,
	angular_distance(NULL, '[1]') AS angular;

-- Squares that float has no room for, on either side.
SELECT '[3e30,0]'::vector <-> '[0,4e30]' AS l2, '[3e-30,0]'::vector <-> '[0,4e-30]' AS l2_small;
SELECT round((('[1e30,2e30]'::vector <#> '[3e30,4e30]') / 1e60)::numeric, 6) AS ip,
	round((('[1e-30,2e-30]'::vector <#> '[3e-30,4e-30]') / 1e-60)::numeric, 6) AS ip_small;
SELECT '[1e30,2e30]'::vector <=> '[2e30,4e30]' AS cosine,
	round(('[1e30,0]'::vector <=> '[1e30,1e30]')::numeric, 6) AS cosine_45,
	round(('[1e-30,0]'::vector <=> '[1e-30,1e-30]')::numeric, 6) AS cosine_small,
	round(('[1e-45,0]'::vector <=> '[1e-45,1e-45]')::numeric, 6) AS cosine_denormal,
	round(('[1e-30,0]'::vector <=> '[1e30,1e30]')::numeric, 6) AS cosine_mixed;
SELECT '[3e38,3e38]'::vector <+> '[-3e38,-3e38]' > 1.19e39 AS l1, '[1e-45]'::vector <+> '[0]' > 0 AS l1_small;
SELECT vector_norm('[3e30,4e30]') / 1e30 AS large, vector_norm('[3e-30,4e-30]') / 1e-30 AS small,
	vector_norm('[1e-45]') > 0 AS denormal;

-- Cosine never leaves its range, and a vector is at distance 0 of itself.
SELECT min(v <=> w) >= 0 AS not_below, max(v <=> v) = 0 AS self, max(v <=> w) <= 2 AS not_above
	FROM (SELECT v, ('[0.1,0.7,0.3]'::vector * array_fill(i, ARRAY[3])::vector) AS w
		  FROM (SELECT i, '[0.1,0.7,0.3]'::vector AS v FROM generate_series(1, 100) i) s) t;

-- Order by distance, without an index.
SELECT v FROM (VALUES ('[1,1]'::vector), ('[5,5]'), (NULL), ('[2,3]'), ('[0,0]')) AS t (v)
	ORDER BY v <-> '[2,2]';
SELECT v FROM (VALUES ('[1,1]'::vector), ('[-5,5]'), (NULL), ('[2,3]'), ('[0,0]')) AS t (v)
	ORDER BY v <=> '[2,2]';

-- Dimensions, norm, normal form.
SELECT vector_dims('[1,2,3]'), vector_norm('[3,4]'), vector_norm('[0,0]') AS zero;
SELECT l2_normalize('[3,4]'), l2_normalize('[0,0]') AS zero, l2_normalize('[3e30,4e30]') AS large,
	l2_normalize('[3e-30,-4e-30]') AS small, l2_normalize('[1e-45]') AS denormal;

-- Parts.
SELECT subvector('[1,2,3,4,5]', 1, 3) AS first, subvector('[1,2,3,4,5]', 3, 2) AS middle,
	subvector('[1,2,3,4,5]', -1, 3) AS before, subvector('[1,2,3,4,5]', 3, 9) AS beyond,
	subvector('[1,2,3,4,5]', -1, 2147483647) AS whole,
	subvector('[1,2,3,4,5]', 2, 2147483647) AS rest;
SELECT binary_quantize('[1,0,-1,1e-45,-0,3,3,3,3,-3]'), length(binary_quantize('[1,2,3]')),
	pg_typeof(binary_quantize('[1]'));
SELECT length(binary_quantize(array_fill(1, ARRAY[16000])::vector)),
	bit_count(binary_quantize(array_fill(1, ARRAY[16000])::vector));

-- Arithmetic.
SELECT '[1,2,3]'::vector + '[4,5,6]' AS plus, '[1,2,3]'::vector - '[4,6,8]' AS minus,
	'[1,2,3]'::vector * '[4,5,-6]' AS times, '[1,2]'::vector || '[3]' AS joined;
SELECT '[0,5]'::vector * '[1e-45,0]' AS zero_is_no_underflow;
SELECT vector_dims(array_fill(1, ARRAY[15999])::vector || '[1]');

-- The operators that clients look for, with what the planner knows of them.
SELECT oprname, oprcode, oprcom::regoperator AS commutator, oprnegate::regoperator AS negator,
	oprrest, oprjoin, oprcanmerge AS merges, oprcanhash AS hashes
	FROM pg_operator WHERE oprleft = 'vector'::regtype ORDER BY oprname COLLATE "C";

-- All functions on vectors are immutable, strict and parallel safe; distances cost.
SELECT proname, procost FROM pg_proc
	WHERE prokind = 'f' AND 'vector'::regtype = ANY (proargtypes) AND procost <> 1
	ORDER BY proname COLLATE "C";
SELECT oid::regprocedure FROM pg_proc
	WHERE prokind = 'f' AND ('vector'::regtype = ANY (proargtypes) OR prorettype = 'vector'::regtype)
		AND NOT (provolatile = 'i' AND proisstrict AND proparallel = 's');

-- Every object of the extension has a comment.
SELECT pg_describe_object(classid, objid, objsubid) FROM pg_depend
	WHERE refclassid = 'pg_extension'::regclass
		AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'annoy')
		AND deptype = 'e' AND obj_description(objid, classid::regclass::name) IS NULL
		-- from 17 on the array type is a member, too
		AND (classid <> 'pg_type'::regclass OR objid NOT IN (SELECT typarray FROM pg_type))
	ORDER BY 1;
