-- What the access method says about itself, and its checks of operator classes.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS annoy;
RESET client_min_messages;

-- Properties.
SELECT name, pg_indexam_has_property(oid, name) AS value
	FROM pg_am, unnest(ARRAY['can_order', 'can_unique', 'can_multi_col',
		'can_exclude', 'can_include', 'no such property']) AS name
	WHERE amname = 'annoy';

CREATE TABLE validate_test (e vector(3));
CREATE INDEX validate_index ON validate_test USING annoy (e);
SELECT name, pg_index_has_property('validate_index', name) AS value
	FROM unnest(ARRAY['clusterable', 'index_scan', 'bitmap_scan', 'backward_scan']) AS name;
SELECT name, pg_index_column_has_property('validate_index', 1, name) AS value
	FROM unnest(ARRAY['asc', 'desc', 'nulls_first', 'nulls_last', 'orderable',
		'distance_orderable', 'returnable', 'search_array', 'search_nulls']) AS name;

-- What it cannot do is refused.
CREATE UNIQUE INDEX ON validate_test USING annoy (e);
CREATE INDEX ON validate_test USING annoy (e, e);
CREATE INDEX ON validate_test USING annoy ((1)) INCLUDE (e);
-- The place in the statement is shown from 19 on.
\set VERBOSITY sqlstate
CREATE INDEX ON validate_test USING annoy (e DESC);
\set VERBOSITY default
\echo :LAST_ERROR_MESSAGE
CREATE INDEX ON validate_test USING annoy ((1));
CLUSTER validate_test USING validate_index;

-- Its own operator classes are sound, and the default one is cosine.
SELECT opcname, opcintype::regtype, opcdefault, amvalidate(c.oid)
	FROM pg_opclass c JOIN pg_am a ON a.oid = opcmethod
	WHERE amname = 'annoy' ORDER BY opcname;

-- Broken ones.  Each lacks, or has wrong, what its name says.
CREATE FUNCTION validate(name) RETURNS boolean
	LANGUAGE sql
	RETURN (SELECT amvalidate(oid) FROM pg_opclass WHERE opcname = $1);

CREATE OPERATOR CLASS v_no_members FOR TYPE float8 USING annoy AS
	STORAGE float8;
SELECT validate('v_no_members');

CREATE OPERATOR CLASS v_no_functions FOR TYPE float8 USING annoy AS
	OPERATOR 1 - FOR ORDER BY float_ops;
SELECT validate('v_no_functions');

CREATE OPERATOR CLASS v_no_operator FOR TYPE float8 USING annoy AS
	FUNCTION 1 float8mi(float8, float8),
	FUNCTION 2 annoy_vector_l2_support(internal);
SELECT validate('v_no_operator');

CREATE OPERATOR CLASS v_search_operator FOR TYPE float8 USING annoy AS
	OPERATOR 1 =,
	FUNCTION 1 float8mi(float8, float8),
	FUNCTION 2 annoy_vector_l2_support(internal);
SELECT validate('v_search_operator');

CREATE OPERATOR CLASS v_sort_family FOR TYPE float8 USING annoy AS
	OPERATOR 1 - FOR ORDER BY text_ops,
	FUNCTION 1 float8mi(float8, float8),
	FUNCTION 2 annoy_vector_l2_support(internal);
SELECT validate('v_sort_family');

CREATE OPERATOR CLASS v_not_float8 FOR TYPE int4 USING annoy AS
	OPERATOR 1 - FOR ORDER BY integer_ops,
	FUNCTION 1 int4mi(int4, int4),
	FUNCTION 2 annoy_vector_l2_support(internal);
SELECT validate('v_not_float8');

CREATE OPERATOR CLASS v_other_function FOR TYPE float8 USING annoy AS
	OPERATOR 1 - FOR ORDER BY float_ops,
	FUNCTION 1 float8pl(float8, float8),
	FUNCTION 2 annoy_vector_l2_support(internal);
SELECT validate('v_other_function');

CREATE OPERATOR CLASS v_signature FOR TYPE float8 USING annoy AS
	OPERATOR 1 - FOR ORDER BY float_ops,
	FUNCTION 1 float8mi(float8, float8),
	FUNCTION 2 (float8, float8) float8abs(float8);
SELECT validate('v_signature');

-- Sound at first, then with a pair of types that cannot be indexed.
CREATE OPERATOR CLASS v_two_types FOR TYPE float8 USING annoy AS
	OPERATOR 1 - FOR ORDER BY float_ops,
	FUNCTION 1 float8mi(float8, float8),
	FUNCTION 2 annoy_vector_l2_support(internal);
SELECT validate('v_two_types');
ALTER OPERATOR FAMILY v_two_types USING annoy ADD
	OPERATOR 1 - (float8, float4) FOR ORDER BY float_ops,
	FUNCTION 1 (float8, float4) float84mi(float8, float4);
SELECT validate('v_two_types');

-- Numbers that do not exist.
CREATE OPERATOR CLASS v_number FOR TYPE float8 USING annoy AS
	OPERATOR 2 - FOR ORDER BY float_ops;
CREATE OPERATOR CLASS v_number FOR TYPE float8 USING annoy AS
	FUNCTION 3 float8mi(float8, float8);

-- The class depends on its functions; an operator only leaves its family.
CREATE FUNCTION v_distance(float8, float8) RETURNS float8
	LANGUAGE sql IMMUTABLE STRICT RETURN abs($1 - $2);
CREATE OPERATOR <-> (FUNCTION = v_distance, LEFTARG = float8, RIGHTARG = float8);
CREATE FUNCTION v_distance_of_class(float8, float8) RETURNS float8
	LANGUAGE sql IMMUTABLE STRICT RETURN abs($1 - $2);
CREATE OPERATOR CLASS v_depends FOR TYPE float8 USING annoy AS
	OPERATOR 1 <-> FOR ORDER BY float_ops,
	FUNCTION 1 v_distance_of_class(float8, float8),
	FUNCTION 2 annoy_vector_l2_support(internal);
DROP FUNCTION v_distance_of_class(float8, float8);
DROP OPERATOR <-> (float8, float8);
SELECT count(*) FROM pg_amop JOIN pg_opfamily f ON f.oid = amopfamily WHERE opfname = 'v_depends';
SELECT validate('v_depends');
DROP FUNCTION v_distance_of_class(float8, float8) CASCADE;
SELECT count(*) FROM pg_opclass WHERE opcname = 'v_depends';

-- Clean up.
SET client_min_messages = warning;
DO $$
DECLARE family name;
BEGIN
	FOR family IN SELECT opfname FROM pg_opfamily WHERE opfname LIKE 'v\_%' LOOP
		EXECUTE format('DROP OPERATOR FAMILY %I USING annoy CASCADE', family);
	END LOOP;
END
$$;
DROP FUNCTION v_distance(float8, float8) CASCADE;
DROP FUNCTION validate(name);
DROP TABLE validate_test;
