/* The SQL objects of extension annoy 1.0 */

-- complain if the script is read by psql instead of CREATE EXTENSION
\echo Use "CREATE EXTENSION annoy" to load this file. \quit

-- A database with pgvector has a type vector with distances and operators,
-- and one whose programs know nothing but pgvector may get it at any time.  So
-- there are never two types: this script brings objects of pgvector's names
-- only if the extension vector is not there, and its operator classes serve
-- whichever type there is.  Hence the parts:
--
--	1. the type vector, and all that bears a name of pgvector's: one DO block,
--	   which ends early beside pgvector
--	2. the access method, and functions that name no type vector
--	3. operator classes, and functions of our own that name the type vector:
--	   one DO block, in which vector_schema is the type's schema, own or not
--	4. further functions that name no type vector
--
-- The script runs as superuser also for others who may create extensions, so
-- what the blocks evaluate is qualified, and arguments of functions in the
-- schema that annoy goes to have exactly the parameters' types: nothing can be
-- replaced by objects that are in that schema before.

------------------------------------------------------------------------------
-- 1. The type vector, unless pgvector is there
------------------------------------------------------------------------------

DO $own_type$
DECLARE
	-- the first with halfvec, and with operators on bit
	oldest_pgvector CONSTANT pg_catalog.text := '0.7.0';
	pgvector pg_catalog.text;
BEGIN

SELECT e.extversion INTO pgvector
	FROM pg_catalog.pg_extension AS e
	WHERE e.extname OPERATOR(pg_catalog.=) 'vector';

IF pgvector IS NOT NULL THEN
	IF pg_catalog.string_to_array(
			pg_catalog.substring(pgvector, '^[0-9]+(?:[.][0-9]+)*'), '.')::pg_catalog.int4[]
		OPERATOR(pg_catalog.>=)
		pg_catalog.string_to_array(oldest_pgvector, '.')::pg_catalog.int4[]
	THEN
		RETURN;
	END IF;
	RAISE object_not_in_prerequisite_state USING
		MESSAGE = pg_catalog.format('extension "vector" has version %s, but annoy needs %s or later', pgvector, oldest_pgvector),
		HINT = 'Install a newer pgvector, and use ALTER EXTENSION vector UPDATE first.';
END IF;

CREATE TYPE vector;

CREATE FUNCTION vector_in(cstring, oid, integer) RETURNS vector
	AS 'MODULE_PATHNAME', 'annoy_vector_in'
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION vector_in(cstring, oid, integer) IS 'I/O';

CREATE FUNCTION vector_out(vector) RETURNS cstring
	AS 'MODULE_PATHNAME', 'annoy_vector_out'
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION vector_out(vector) IS 'I/O';

CREATE FUNCTION vector_typmod_in(cstring[]) RETURNS integer
	AS 'MODULE_PATHNAME', 'annoy_vector_typmod_in'
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION vector_typmod_in(cstring[]) IS 'I/O typmod';

CREATE FUNCTION vector_recv(internal, oid, integer) RETURNS vector
	AS 'MODULE_PATHNAME', 'annoy_vector_recv'
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION vector_recv(internal, oid, integer) IS 'I/O';

CREATE FUNCTION vector_send(vector) RETURNS bytea
	AS 'MODULE_PATHNAME', 'annoy_vector_send'
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION vector_send(vector) IS 'I/O';

-- Embeddings hardly compress, so storage "external" spares the attempt.
CREATE TYPE vector (
	INPUT = vector_in,
	OUTPUT = vector_out,
	TYPMOD_IN = vector_typmod_in,
	RECEIVE = vector_recv,
	SEND = vector_send,
	STORAGE = external
);
COMMENT ON TYPE vector IS 'vector of 1 to 16000 floating-point numbers, such as [1,2.5,-3]';

-- Distances.
--
-- A distance reads its arguments from TOAST, mostly, and then works through
-- hundreds of dimensions: some tens to hundreds of times what comparing two
-- integers takes, which is what COST 1 stands for.  COST 10 is low for that.
-- It is high enough for the planner to evaluate cheaper filters first and to
-- see that a sort by distance costs more than reading the table, and it is
-- low enough not to send every small table to parallel workers.

CREATE FUNCTION l2_distance(vector, vector) RETURNS double precision
	AS 'MODULE_PATHNAME', 'annoy_vector_l2_distance'
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10;
COMMENT ON FUNCTION l2_distance(vector, vector) IS 'Euclidean distance';

CREATE FUNCTION inner_product(vector, vector) RETURNS double precision
	AS 'MODULE_PATHNAME', 'annoy_vector_inner_product'
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10;
COMMENT ON FUNCTION inner_product(vector, vector) IS 'inner product';

CREATE FUNCTION cosine_distance(vector, vector) RETURNS double precision
	AS 'MODULE_PATHNAME', 'annoy_vector_cosine_distance'
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10;
COMMENT ON FUNCTION cosine_distance(vector, vector) IS 'cosine distance: 1 - cosine of the angle, NaN for a zero vector';

CREATE FUNCTION l1_distance(vector, vector) RETURNS double precision
	AS 'MODULE_PATHNAME', 'annoy_vector_l1_distance'
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10;
COMMENT ON FUNCTION l1_distance(vector, vector) IS 'taxicab distance';

CREATE FUNCTION vector_l2_squared_distance(vector, vector) RETURNS double precision
	AS 'MODULE_PATHNAME', 'annoy_vector_l2_squared_distance'
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10;
COMMENT ON FUNCTION vector_l2_squared_distance(vector, vector) IS 'square of the Euclidean distance';

CREATE FUNCTION vector_negative_inner_product(vector, vector) RETURNS double precision
	AS 'MODULE_PATHNAME', 'annoy_vector_negative_inner_product'
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10;
COMMENT ON FUNCTION vector_negative_inner_product(vector, vector) IS 'inner product with the opposite sign';

CREATE FUNCTION hamming_distance(bit, bit) RETURNS double precision
	AS 'MODULE_PATHNAME', 'annoy_hamming_distance'
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10;
COMMENT ON FUNCTION hamming_distance(bit, bit) IS 'Hamming distance: number of bits that differ';

CREATE FUNCTION jaccard_distance(bit, bit) RETURNS double precision
	AS 'MODULE_PATHNAME', 'annoy_jaccard_distance'
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10;
COMMENT ON FUNCTION jaccard_distance(bit, bit) IS 'Jaccard distance: fraction of the bits set in either that is not set in both';

-- Properties and transformations.

CREATE FUNCTION vector_dims(vector) RETURNS integer
	AS 'MODULE_PATHNAME', 'annoy_vector_dims'
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION vector_dims(vector) IS 'number of dimensions';

CREATE FUNCTION vector_norm(vector) RETURNS double precision
	AS 'MODULE_PATHNAME', 'annoy_vector_norm'
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10;
COMMENT ON FUNCTION vector_norm(vector) IS 'Euclidean norm';

CREATE FUNCTION l2_normalize(vector) RETURNS vector
	AS 'MODULE_PATHNAME', 'annoy_vector_l2_normalize'
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10;
COMMENT ON FUNCTION l2_normalize(vector) IS 'vector divided by its Euclidean norm; a zero vector stays as it is';

CREATE FUNCTION binary_quantize(vector) RETURNS bit
	AS 'MODULE_PATHNAME', 'annoy_binary_quantize'
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION binary_quantize(vector) IS 'bit string of the elements that are greater than zero';

CREATE FUNCTION subvector(vector, integer, integer) RETURNS vector
	AS 'MODULE_PATHNAME', 'annoy_subvector'
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION subvector(vector, integer, integer) IS 'part of a vector: from which element on, counted from 1, and how many';

-- Arithmetic.

CREATE FUNCTION vector_add(vector, vector) RETURNS vector
	AS 'MODULE_PATHNAME', 'annoy_vector_add'
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION vector_add(vector, vector) IS 'implementation of + operator';

CREATE FUNCTION vector_sub(vector, vector) RETURNS vector
	AS 'MODULE_PATHNAME', 'annoy_vector_sub'
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION vector_sub(vector, vector) IS 'implementation of - operator';

CREATE FUNCTION vector_mul(vector, vector) RETURNS vector
	AS 'MODULE_PATHNAME', 'annoy_vector_mul'
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION vector_mul(vector, vector) IS 'implementation of * operator';

CREATE FUNCTION vector_concat(vector, vector) RETURNS vector
	AS 'MODULE_PATHNAME', 'annoy_vector_concat'
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION vector_concat(vector, vector) IS 'implementation of || operator';

-- Comparison.

CREATE FUNCTION vector_lt(vector, vector) RETURNS boolean
	AS 'MODULE_PATHNAME', 'annoy_vector_lt'
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION vector_lt(vector, vector) IS 'implementation of < operator';

CREATE FUNCTION vector_le(vector, vector) RETURNS boolean
	AS 'MODULE_PATHNAME', 'annoy_vector_le'
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION vector_le(vector, vector) IS 'implementation of <= operator';

CREATE FUNCTION vector_eq(vector, vector) RETURNS boolean
	AS 'MODULE_PATHNAME', 'annoy_vector_eq'
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION vector_eq(vector, vector) IS 'implementation of = operator';

CREATE FUNCTION vector_ne(vector, vector) RETURNS boolean
	AS 'MODULE_PATHNAME', 'annoy_vector_ne'
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION vector_ne(vector, vector) IS 'implementation of <> operator';

CREATE FUNCTION vector_ge(vector, vector) RETURNS boolean
	AS 'MODULE_PATHNAME', 'annoy_vector_ge'
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION vector_ge(vector, vector) IS 'implementation of >= operator';

CREATE FUNCTION vector_gt(vector, vector) RETURNS boolean
	AS 'MODULE_PATHNAME', 'annoy_vector_gt'
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION vector_gt(vector, vector) IS 'implementation of > operator';

CREATE FUNCTION vector_cmp(vector, vector) RETURNS integer
	AS 'MODULE_PATHNAME', 'annoy_vector_cmp'
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION vector_cmp(vector, vector) IS 'less-equal-greater';

-- Aggregates.

CREATE FUNCTION vector_accum(double precision[], vector) RETURNS double precision[]
	AS 'MODULE_PATHNAME', 'annoy_vector_accum'
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION vector_accum(double precision[], vector) IS 'aggregate transition function';

CREATE FUNCTION vector_combine(double precision[], double precision[]) RETURNS double precision[]
	AS 'MODULE_PATHNAME', 'annoy_vector_combine'
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION vector_combine(double precision[], double precision[]) IS 'aggregate combine function';

CREATE FUNCTION vector_avg(double precision[]) RETURNS vector
	AS 'MODULE_PATHNAME', 'annoy_vector_avg'
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION vector_avg(double precision[]) IS 'aggregate final function';

CREATE FUNCTION vector_sum(double precision[]) RETURNS vector
	AS 'MODULE_PATHNAME', 'annoy_vector_sum'
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION vector_sum(double precision[]) IS 'aggregate final function';

CREATE AGGREGATE avg(vector) (
	SFUNC = vector_accum,
	STYPE = double precision[],
	FINALFUNC = vector_avg,
	COMBINEFUNC = vector_combine,
	INITCOND = '{0}',
	PARALLEL = SAFE
);
COMMENT ON AGGREGATE avg(vector) IS 'the average (arithmetic mean), element by element, of all vectors that are not null';

CREATE AGGREGATE sum(vector) (
	SFUNC = vector_accum,
	STYPE = double precision[],
	FINALFUNC = vector_sum,
	COMBINEFUNC = vector_combine,
	INITCOND = '{0}',
	PARALLEL = SAFE
);
COMMENT ON AGGREGATE sum(vector) IS 'the sum, element by element, of all vectors that are not null';

-- Casts.

CREATE FUNCTION vector(vector, integer, boolean) RETURNS vector
	AS 'MODULE_PATHNAME', 'annoy_vector'
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION vector(vector, integer, boolean) IS 'adjust vector to typmod dimensions';

CREATE FUNCTION array_to_vector(integer[], integer, boolean) RETURNS vector
	AS 'MODULE_PATHNAME', 'annoy_array_to_vector'
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION array_to_vector(integer[], integer, boolean) IS 'convert integer[] to vector';

CREATE FUNCTION array_to_vector(real[], integer, boolean) RETURNS vector
	AS 'MODULE_PATHNAME', 'annoy_array_to_vector'
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION array_to_vector(real[], integer, boolean) IS 'convert real[] to vector';

CREATE FUNCTION array_to_vector(double precision[], integer, boolean) RETURNS vector
	AS 'MODULE_PATHNAME', 'annoy_array_to_vector'
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION array_to_vector(double precision[], integer, boolean) IS 'convert double precision[] to vector';

CREATE FUNCTION array_to_vector(numeric[], integer, boolean) RETURNS vector
	AS 'MODULE_PATHNAME', 'annoy_array_to_vector'
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION array_to_vector(numeric[], integer, boolean) IS 'convert numeric[] to vector';

CREATE FUNCTION vector_to_float4(vector, integer, boolean) RETURNS real[]
	AS 'MODULE_PATHNAME', 'annoy_vector_to_float4'
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION vector_to_float4(vector, integer, boolean) IS 'convert vector to real[]';

CREATE FUNCTION vector_to_float8(vector, integer, boolean) RETURNS double precision[]
	AS 'MODULE_PATHNAME', 'annoy_vector_to_float8'
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION vector_to_float8(vector, integer, boolean) IS 'convert vector to double precision[]';

CREATE FUNCTION vector_to_int4(vector, integer, boolean) RETURNS integer[]
	AS 'MODULE_PATHNAME', 'annoy_vector_to_int4'
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION vector_to_int4(vector, integer, boolean) IS 'convert vector to integer[]';

CREATE FUNCTION vector_to_numeric(vector, integer, boolean) RETURNS numeric[]
	AS 'MODULE_PATHNAME', 'annoy_vector_to_numeric'
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION vector_to_numeric(vector, integer, boolean) IS 'convert vector to numeric[]';

CREATE CAST (vector AS vector) WITH FUNCTION vector(vector, integer, boolean) AS IMPLICIT;
COMMENT ON CAST (vector AS vector) IS 'check the number of dimensions';

CREATE CAST (integer[] AS vector) WITH FUNCTION array_to_vector(integer[], integer, boolean) AS ASSIGNMENT;
COMMENT ON CAST (integer[] AS vector) IS 'convert integer[] to vector';

CREATE CAST (real[] AS vector) WITH FUNCTION array_to_vector(real[], integer, boolean) AS ASSIGNMENT;
COMMENT ON CAST (real[] AS vector) IS 'convert real[] to vector';

CREATE CAST (double precision[] AS vector) WITH FUNCTION array_to_vector(double precision[], integer, boolean) AS ASSIGNMENT;
COMMENT ON CAST (double precision[] AS vector) IS 'convert double precision[] to vector';

CREATE CAST (numeric[] AS vector) WITH FUNCTION array_to_vector(numeric[], integer, boolean) AS ASSIGNMENT;
COMMENT ON CAST (numeric[] AS vector) IS 'convert numeric[] to vector';

-- Only one of the casts to arrays may be implicit: a second one would leave
-- the choice of an array function open.

CREATE CAST (vector AS real[]) WITH FUNCTION vector_to_float4(vector, integer, boolean) AS IMPLICIT;
COMMENT ON CAST (vector AS real[]) IS 'convert vector to real[]';

CREATE CAST (vector AS double precision[]) WITH FUNCTION vector_to_float8(vector, integer, boolean) AS ASSIGNMENT;
COMMENT ON CAST (vector AS double precision[]) IS 'convert vector to double precision[]';

CREATE CAST (vector AS integer[]) WITH FUNCTION vector_to_int4(vector, integer, boolean) AS ASSIGNMENT;
COMMENT ON CAST (vector AS integer[]) IS 'convert vector to integer[]';

CREATE CAST (vector AS numeric[]) WITH FUNCTION vector_to_numeric(vector, integer, boolean) AS ASSIGNMENT;
COMMENT ON CAST (vector AS numeric[]) IS 'convert vector to numeric[]';

-- Operators.

CREATE OPERATOR <-> (
	LEFTARG = vector,
	RIGHTARG = vector,
	FUNCTION = l2_distance,
	COMMUTATOR = <->
);
COMMENT ON OPERATOR <-> (vector, vector) IS 'Euclidean distance';

CREATE OPERATOR <#> (
	LEFTARG = vector,
	RIGHTARG = vector,
	FUNCTION = vector_negative_inner_product,
	COMMUTATOR = <#>
);
COMMENT ON OPERATOR <#> (vector, vector) IS 'negative inner product';

CREATE OPERATOR <=> (
	LEFTARG = vector,
	RIGHTARG = vector,
	FUNCTION = cosine_distance,
	COMMUTATOR = <=>
);
COMMENT ON OPERATOR <=> (vector, vector) IS 'cosine distance';

CREATE OPERATOR <+> (
	LEFTARG = vector,
	RIGHTARG = vector,
	FUNCTION = l1_distance,
	COMMUTATOR = <+>
);
COMMENT ON OPERATOR <+> (vector, vector) IS 'taxicab distance';

CREATE OPERATOR <~> (
	LEFTARG = bit,
	RIGHTARG = bit,
	FUNCTION = hamming_distance,
	COMMUTATOR = <~>
);
COMMENT ON OPERATOR <~> (bit, bit) IS 'Hamming distance';

CREATE OPERATOR <%> (
	LEFTARG = bit,
	RIGHTARG = bit,
	FUNCTION = jaccard_distance,
	COMMUTATOR = <%>
);
COMMENT ON OPERATOR <%> (bit, bit) IS 'Jaccard distance';

CREATE OPERATOR + (
	LEFTARG = vector,
	RIGHTARG = vector,
	FUNCTION = vector_add,
	COMMUTATOR = +
);
COMMENT ON OPERATOR + (vector, vector) IS 'add element by element';

CREATE OPERATOR - (
	LEFTARG = vector,
	RIGHTARG = vector,
	FUNCTION = vector_sub
);
COMMENT ON OPERATOR - (vector, vector) IS 'subtract element by element';

CREATE OPERATOR * (
	LEFTARG = vector,
	RIGHTARG = vector,
	FUNCTION = vector_mul,
	COMMUTATOR = *
);
COMMENT ON OPERATOR * (vector, vector) IS 'multiply element by element';

CREATE OPERATOR || (
	LEFTARG = vector,
	RIGHTARG = vector,
	FUNCTION = vector_concat
);
COMMENT ON OPERATOR || (vector, vector) IS 'concatenate';

CREATE OPERATOR < (
	LEFTARG = vector,
	RIGHTARG = vector,
	FUNCTION = vector_lt,
	COMMUTATOR = >,
	NEGATOR = >=,
	RESTRICT = scalarltsel,
	JOIN = scalarltjoinsel
);
COMMENT ON OPERATOR < (vector, vector) IS 'less than';

CREATE OPERATOR <= (
	LEFTARG = vector,
	RIGHTARG = vector,
	FUNCTION = vector_le,
	COMMUTATOR = >=,
	NEGATOR = >,
	RESTRICT = scalarlesel,
	JOIN = scalarlejoinsel
);
COMMENT ON OPERATOR <= (vector, vector) IS 'less than or equal';

CREATE OPERATOR = (
	LEFTARG = vector,
	RIGHTARG = vector,
	FUNCTION = vector_eq,
	COMMUTATOR = =,
	NEGATOR = <>,
	RESTRICT = eqsel,
	JOIN = eqjoinsel,
	MERGES
);
COMMENT ON OPERATOR = (vector, vector) IS 'equal';

CREATE OPERATOR <> (
	LEFTARG = vector,
	RIGHTARG = vector,
	FUNCTION = vector_ne,
	COMMUTATOR = <>,
	NEGATOR = =,
	RESTRICT = neqsel,
	JOIN = neqjoinsel
);
COMMENT ON OPERATOR <> (vector, vector) IS 'not equal';

CREATE OPERATOR >= (
	LEFTARG = vector,
	RIGHTARG = vector,
	FUNCTION = vector_ge,
	COMMUTATOR = <=,
	NEGATOR = <,
	RESTRICT = scalargesel,
	JOIN = scalargejoinsel
);
COMMENT ON OPERATOR >= (vector, vector) IS 'greater than or equal';

CREATE OPERATOR > (
	LEFTARG = vector,
	RIGHTARG = vector,
	FUNCTION = vector_gt,
	COMMUTATOR = <,
	NEGATOR = <=,
	RESTRICT = scalargtsel,
	JOIN = scalargtjoinsel
);
COMMENT ON OPERATOR > (vector, vector) IS 'greater than';

-- Sorting.

CREATE OPERATOR CLASS vector_ops
	DEFAULT FOR TYPE vector USING btree AS
	OPERATOR 1 <,
	OPERATOR 2 <=,
	OPERATOR 3 =,
	OPERATOR 4 >=,
	OPERATOR 5 >,
	FUNCTION 1 vector_cmp(vector, vector);
COMMENT ON OPERATOR CLASS vector_ops USING btree IS 'order by the elements, from the first one on';
COMMENT ON OPERATOR FAMILY vector_ops USING btree IS 'order by the elements, from the first one on';

END
$own_type$;

------------------------------------------------------------------------------
-- 2. The access method
------------------------------------------------------------------------------

CREATE FUNCTION annoy_handler(internal) RETURNS index_am_handler
	AS 'MODULE_PATHNAME', 'annoy_handler'
	LANGUAGE C;
COMMENT ON FUNCTION annoy_handler(internal) IS 'annoy index access method handler';

CREATE ACCESS METHOD annoy TYPE INDEX HANDLER annoy_handler;
COMMENT ON ACCESS METHOD annoy IS 'approximate nearest neighbors by a forest of trees';

-- What the operator classes tell the access method about type and metric.
-- Taking and returning internal, they cannot be called from SQL.

CREATE FUNCTION annoy_vector_l2_support(internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'annoy_vector_l2_support'
	LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION annoy_vector_l2_support(internal) IS 'annoy support: vector, Euclidean distance';

CREATE FUNCTION annoy_vector_cosine_support(internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'annoy_vector_cosine_support'
	LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION annoy_vector_cosine_support(internal) IS 'annoy support: vector, cosine distance';

CREATE FUNCTION annoy_vector_ip_support(internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'annoy_vector_ip_support'
	LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION annoy_vector_ip_support(internal) IS 'annoy support: vector, inner product';

CREATE FUNCTION annoy_vector_l1_support(internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'annoy_vector_l1_support'
	LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION annoy_vector_l1_support(internal) IS 'annoy support: vector, taxicab distance';

CREATE FUNCTION annoy_bit_hamming_support(internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'annoy_bit_hamming_support'
	LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION annoy_bit_hamming_support(internal) IS 'annoy support: bit, Hamming distance';

CREATE FUNCTION annoy_bit_jaccard_support(internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'annoy_bit_jaccard_support'
	LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION annoy_bit_jaccard_support(internal) IS 'annoy support: bit, Jaccard distance';

CREATE FUNCTION annoy_halfvec_l2_support(internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'annoy_halfvec_l2_support'
	LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION annoy_halfvec_l2_support(internal) IS 'annoy support: halfvec, Euclidean distance';

CREATE FUNCTION annoy_halfvec_cosine_support(internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'annoy_halfvec_cosine_support'
	LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION annoy_halfvec_cosine_support(internal) IS 'annoy support: halfvec, cosine distance';

CREATE FUNCTION annoy_halfvec_ip_support(internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'annoy_halfvec_ip_support'
	LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION annoy_halfvec_ip_support(internal) IS 'annoy support: halfvec, inner product';

CREATE FUNCTION annoy_halfvec_l1_support(internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'annoy_halfvec_l1_support'
	LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION annoy_halfvec_l1_support(internal) IS 'annoy support: halfvec, taxicab distance';

-- The counters belong to the session's own process, so a worker has others.
CREATE FUNCTION annoy_last_scan(
		OUT items_inspected bigint,
		OUT leaves bigint,
		OUT hyperplanes bigint,
		OUT exact_distances bigint,
		OUT blocks bigint,
		OUT resumptions bigint)
	RETURNS record
	AS 'MODULE_PATHNAME', 'annoy_last_scan'
	LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION annoy_last_scan() IS 'work done by the last scan of an annoy index in this session';

-- For tests and diagnosis: the heap row of every leaf entry, leaves numbered
-- in the order of a walk of the tree.  It reads the whole index and tells of
-- rows that the caller may not see, so nobody may call it unless granted to.
-- Restricted because a worker cannot read an index of a temporary table.
CREATE FUNCTION annoy_leaf_items(index regclass,
		OUT tree integer,
		OUT leaf integer,
		OUT item tid)
	RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'annoy_leaf_items'
	LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION annoy_leaf_items(regclass) IS 'heap rows of all leaves of an annoy index, for tests and diagnosis';
REVOKE EXECUTE ON FUNCTION annoy_leaf_items(regclass) FROM PUBLIC;

-- As amcheck's functions: not for everybody, since it reads a whole index, and
-- with heapallindexed a whole table.
CREATE FUNCTION annoy_index_check(index regclass, heapallindexed boolean DEFAULT false) RETURNS void
	AS 'MODULE_PATHNAME', 'annoy_index_check'
	LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION annoy_index_check(regclass, boolean) IS 'errors out if an annoy index is damaged';
REVOKE EXECUTE ON FUNCTION annoy_index_check(regclass, boolean) FROM PUBLIC;

-- For this script and those that update the extension.  A dependency on
-- pgvector makes pg_dump restore it first.  It cannot be stated in the control
-- file, as it depends on the database, and ALTER EXTENSION UPDATE deletes it.
-- So every update script has to end with
--
--	SELECT annoy_record_dependency(opcintype::pg_catalog.regtype)
--		FROM pg_catalog.pg_opclass AS o
--			JOIN pg_catalog.pg_am AS a ON a.oid OPERATOR(pg_catalog.=) o.opcmethod
--		WHERE a.amname OPERATOR(pg_catalog.=) 'annoy'
--			AND o.opcname OPERATOR(pg_catalog.=) 'vector_cosine_ops';
--
-- The cast is needed: see the call below.
CREATE FUNCTION annoy_record_dependency(type regtype) RETURNS void
	AS 'MODULE_PATHNAME', 'annoy_record_dependency'
	LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION annoy_record_dependency(regtype) IS 'for the scripts of extension annoy: makes it depend on the extension that has a type';
REVOKE EXECUTE ON FUNCTION annoy_record_dependency(regtype) FROM PUBLIC;

------------------------------------------------------------------------------
-- 3. Operator classes, and functions on the type vector
------------------------------------------------------------------------------

DO $opclasses$
DECLARE
	annoy_schema CONSTANT pg_catalog.name := pg_catalog.current_schema();
	-- the schema of the type vector, its functions and its operators
	vector_schema pg_catalog.name;
	beside_pgvector pg_catalog.bool;
	type_name pg_catalog.text;
	class record;
BEGIN

SELECT n.nspname INTO vector_schema
	FROM pg_catalog.pg_extension AS e
		JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) e.extnamespace
	WHERE e.extname OPERATOR(pg_catalog.=) 'vector';
beside_pgvector := vector_schema IS NOT NULL;
IF NOT beside_pgvector THEN
	vector_schema := annoy_schema;
END IF;
-- The argument has the parameter's type: another function of that name, which
-- somebody may have put into the schema before, would be a better match for a
-- literal of no type, and would be called by a superuser.
EXECUTE pg_catalog.format('SELECT %I.annoy_record_dependency(%L::pg_catalog.regtype)',
	annoy_schema, pg_catalog.format('%I.vector', vector_schema));

EXECUTE pg_catalog.format($$
	CREATE FUNCTION %1$I.angular_distance(%2$I.vector, %2$I.vector) RETURNS double precision
		AS 'MODULE_PATHNAME', 'annoy_vector_angular_distance'
		LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10;
	COMMENT ON FUNCTION %1$I.angular_distance(%2$I.vector, %2$I.vector) IS 'angular distance as the Annoy library has it: Euclidean distance between the normalized vectors';
	$$, annoy_schema, vector_schema);

-- A class has the operator, the operator's function, and the support function
-- that tells type and metric.  The metric of the Annoy library's default,
-- angular, orders as cosine does, so that is the default here, too.
FOR class IN
	SELECT c.name, c.type, c.operator, c.distance, c.support, c.is_default, c.comment
	FROM (VALUES
		('vector_cosine_ops', 'vector', '<=>', 'cosine_distance', 'annoy_vector_cosine_support', true, 'cosine distance'),
		('vector_l2_ops', 'vector', '<->', 'l2_distance', 'annoy_vector_l2_support', false, 'Euclidean distance'),
		('vector_ip_ops', 'vector', '<#>', 'vector_negative_inner_product', 'annoy_vector_ip_support', false, 'inner product'),
		('vector_l1_ops', 'vector', '<+>', 'l1_distance', 'annoy_vector_l1_support', false, 'taxicab distance'),
		('bit_hamming_ops', 'bit', '<~>', 'hamming_distance', 'annoy_bit_hamming_support', true, 'Hamming distance'),
		('bit_jaccard_ops', 'bit', '<%>', 'jaccard_distance', 'annoy_bit_jaccard_support', false, 'Jaccard distance'),
		('halfvec_cosine_ops', 'halfvec', '<=>', 'cosine_distance', 'annoy_halfvec_cosine_support', true, 'cosine distance'),
		('halfvec_l2_ops', 'halfvec', '<->', 'l2_distance', 'annoy_halfvec_l2_support', false, 'Euclidean distance'),
		('halfvec_ip_ops', 'halfvec', '<#>', 'halfvec_negative_inner_product', 'annoy_halfvec_ip_support', false, 'inner product'),
		('halfvec_l1_ops', 'halfvec', '<+>', 'l1_distance', 'annoy_halfvec_l1_support', false, 'taxicab distance')
	) AS c (name, type, operator, distance, support, is_default, comment)
	-- the type halfvec comes with pgvector only
	WHERE beside_pgvector OR c.type OPERATOR(pg_catalog.<>) 'halfvec'
LOOP
	IF class.type OPERATOR(pg_catalog.=) 'bit' THEN
		type_name := 'pg_catalog.bit';
	ELSE
		type_name := pg_catalog.format('%I.%I', vector_schema, class.type);
	END IF;
	EXECUTE pg_catalog.format($$
		CREATE OPERATOR CLASS %1$I.%2$I %3$s FOR TYPE %4$s USING annoy AS
			OPERATOR 1 %5$I.%6$s (%4$s, %4$s) FOR ORDER BY pg_catalog.float_ops,
			FUNCTION 1 %5$I.%7$I(%4$s, %4$s),
			FUNCTION 2 %1$I.%8$I(internal);
		COMMENT ON OPERATOR CLASS %1$I.%2$I USING annoy IS %9$L;
		COMMENT ON OPERATOR FAMILY %1$I.%2$I USING annoy IS %9$L;
		$$, annoy_schema, class.name,
		CASE WHEN class.is_default THEN 'DEFAULT' ELSE '' END,
		type_name, vector_schema, class.operator, class.distance, class.support,
		pg_catalog.format('%s, %s', class.comment, class.operator));
END LOOP;

END
$opclasses$;

------------------------------------------------------------------------------
-- 4. Further functions that name no type vector
------------------------------------------------------------------------------

------------------------------------------------------------------------------
-- Functions of the Annoy estimator
------------------------------------------------------------------------------

-- They take an index, and queries of whatever type it holds; none of them names
-- the type vector, which may be another extension's.  They see what the calling
-- statement sees, hence stable, and may read temporary tables, which workers
-- cannot, hence restricted.  NULL for a number of neighbors or search_k means
-- that none is given, so not all are strict.

CREATE FUNCTION annoy_nns_by_vector(
		index regclass,
		v anyelement,
		n integer DEFAULT NULL,
		search_k integer DEFAULT -1)
	RETURNS TABLE (item tid, distance double precision)
	AS 'MODULE_PATHNAME', 'annoy_nns_by_vector'
	LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 5;
COMMENT ON FUNCTION annoy_nns_by_vector(regclass, anyelement, integer, integer) IS 'nearest neighbors of a vector';

CREATE FUNCTION annoy_nns_by_item(
		index regclass,
		item tid,
		n integer DEFAULT NULL,
		search_k integer DEFAULT -1)
	RETURNS TABLE (item tid, distance double precision)
	AS 'MODULE_PATHNAME', 'annoy_nns_by_item'
	LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 5;
COMMENT ON FUNCTION annoy_nns_by_item(regclass, tid, integer, integer) IS 'nearest neighbors of a row, by its ctid';

CREATE FUNCTION annoy_distance(index regclass, a tid, b tid) RETURNS double precision
	AS 'MODULE_PATHNAME', 'annoy_distance'
	LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION annoy_distance(regclass, tid, tid) IS 'distance between two rows, in the unit of the Annoy library';

CREATE FUNCTION annoy_transform(
		index regclass,
		queries anyarray,
		n_neighbors integer DEFAULT NULL,
		search_k integer DEFAULT -1,
		exclude_items tid[] DEFAULT NULL)
	RETURNS TABLE (query integer, rank integer, item tid, distance double precision)
	AS 'MODULE_PATHNAME', 'annoy_transform'
	LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 100;
COMMENT ON FUNCTION annoy_transform(regclass, anyarray, integer, integer, tid[]) IS 'nearest neighbors of several vectors';

CREATE FUNCTION annoy_transform_items(
		index regclass,
		items tid[],
		n_neighbors integer DEFAULT NULL,
		search_k integer DEFAULT -1,
		exclude_items tid[] DEFAULT NULL,
		exclude_self boolean DEFAULT false)
	RETURNS TABLE (query integer, rank integer, item tid, distance double precision)
	AS 'MODULE_PATHNAME', 'annoy_transform_items'
	LANGUAGE C STABLE PARALLEL RESTRICTED ROWS 100;
COMMENT ON FUNCTION annoy_transform_items(regclass, tid[], integer, integer, tid[], boolean) IS 'nearest neighbors of several rows, by their ctids';

CREATE FUNCTION annoy_info(
		index regclass,
		include_n_items boolean DEFAULT true,
		include_n_trees boolean DEFAULT true,
		include_memory boolean DEFAULT NULL)
	RETURNS jsonb
	AS 'MODULE_PATHNAME', 'annoy_info'
	LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION annoy_info(regclass, boolean, boolean, boolean) IS 'parameters of an annoy index as it was built, its size, and how full it is';

CREATE FUNCTION annoy_repr_info(
		index regclass,
		include_n_items boolean DEFAULT true,
		include_n_trees boolean DEFAULT true,
		include_memory boolean DEFAULT NULL)
	RETURNS text
	AS 'MODULE_PATHNAME', 'annoy_repr_info'
	LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION annoy_repr_info(regclass, boolean, boolean, boolean) IS 'the same as annoy_info as text';

CREATE FUNCTION annoy_get_params(index regclass) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'annoy_get_params'
	LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION annoy_get_params(regclass) IS 'parameters of an annoy index as they are set';

CREATE FUNCTION annoy_n_items(index regclass) RETURNS bigint
	AS 'MODULE_PATHNAME', 'annoy_n_items'
	LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION annoy_n_items(regclass) IS 'number of rows in an annoy index whose value is not null';

CREATE FUNCTION annoy_n_trees(index regclass) RETURNS integer
	AS 'MODULE_PATHNAME', 'annoy_n_trees'
	LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION annoy_n_trees(regclass) IS 'number of trees of an annoy index';

CREATE FUNCTION annoy_memory_usage(index regclass) RETURNS bigint
	AS 'MODULE_PATHNAME', 'annoy_memory_usage'
	LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION annoy_memory_usage(regclass) IS 'size of an annoy index in bytes';

CREATE FUNCTION annoy_metric(name text) RETURNS text
	AS 'MODULE_PATHNAME', 'annoy_metric'
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION annoy_metric(text) IS 'canonical name of a metric in the Annoy library, from any of its names';

CREATE FUNCTION annoy_version() RETURNS text
	AS 'MODULE_PATHNAME', 'annoy_version'
	LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION annoy_version() IS 'version of annoy, the compiler that built it, and the kernel in use';

------------------------------------------------------------------------------
-- Exchange with the library Annoy
------------------------------------------------------------------------------

-- Not strict: id_column may be NULL.  Restricted because a worker cannot read
-- an index of a temporary table.
CREATE FUNCTION annoy_serialize(
		index regclass,
		format text DEFAULT 'native',
		id_column name DEFAULT NULL)
	RETURNS bytea
	AS 'MODULE_PATHNAME', 'annoy_serialize'
	LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION annoy_serialize(regclass, text, name) IS 'an annoy index in a format of the Annoy library';

-- Files may be read and written by the roles that may do so by COPY; the
-- functions see to it themselves.
CREATE FUNCTION annoy_save(
		index regclass,
		path text,
		id_column name DEFAULT NULL)
	RETURNS bigint
	AS 'MODULE_PATHNAME', 'annoy_save'
	LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION annoy_save(regclass, text, name) IS 'writes an annoy index to a server file that the Annoy library can load; returns the number of items';

CREATE FUNCTION annoy_items(
		data bytea,
		metric text,
		f integer DEFAULT NULL)
	RETURNS TABLE (id bigint, embedding real[])
	AS 'MODULE_PATHNAME', 'annoy_items'
	LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION annoy_items(bytea, text, integer) IS 'vectors of data of the Annoy library';

CREATE FUNCTION annoy_file_items(
		path text,
		metric text,
		f integer DEFAULT NULL)
	RETURNS TABLE (id bigint, embedding real[])
	AS 'MODULE_PATHNAME', 'annoy_file_items'
	LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION annoy_file_items(text, text, integer) IS 'vectors of a server file of the Annoy library';
