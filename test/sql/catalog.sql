-- What the catalogs say of the extension, and what becomes of it when it is
-- dropped.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS annoy;
RESET client_min_messages;

-- Every object has a comment; the array type, which is the server's, is a member
-- from 17 on.
SELECT classid::regclass, pg_describe_object(classid, objid, 0)
	FROM pg_depend
	WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
		AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'annoy')
		AND obj_description(objid, classid::regclass::name) IS NULL
		AND (classid <> 'pg_type'::regclass OR objid NOT IN (SELECT typarray FROM pg_type))
	ORDER BY 1, 2;
SELECT obj_description(oid, 'pg_extension') FROM pg_extension WHERE extname = 'annoy';
SELECT count(*) > 50 AS many FROM pg_depend
	WHERE refclassid = 'pg_extension'::regclass AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'annoy');
-- Functions that are no part of the type.
SELECT proname FROM pg_proc JOIN pg_depend ON objid = pg_proc.oid AND classid = 'pg_proc'::regclass
	WHERE refclassid = 'pg_extension'::regclass AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'annoy')
		AND proname ~ '^annoy'
	ORDER BY 1;

-- Functions are what they say: strict and immutable where they compute, safe
-- in workers unless they read an index or the session's counters.
SELECT proname, provolatile, proisstrict, proparallel FROM pg_proc JOIN pg_depend ON objid = pg_proc.oid AND classid = 'pg_proc'::regclass
	WHERE refclassid = 'pg_extension'::regclass AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'annoy')
		AND (provolatile <> 'i' OR proparallel <> 's')
		AND prorettype <> 'index_am_handler'::regtype
	ORDER BY 1;
-- Reading whole indexes is not for everybody.
SELECT proname FROM pg_proc JOIN pg_depend ON objid = pg_proc.oid AND classid = 'pg_proc'::regclass
	WHERE refclassid = 'pg_extension'::regclass AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'annoy')
		AND NOT has_function_privilege('public', pg_proc.oid, 'execute');

-- Properties of the access method, of an index and of its column.
CREATE TABLE catalog_test (e vector(3));
CREATE INDEX catalog_index ON catalog_test USING annoy (e vector_l2_ops);
SELECT property, pg_indexam_has_property(pg_am.oid, property) AS method,
		pg_index_has_property('catalog_index', property) AS index,
		pg_index_column_has_property('catalog_index', 1, property) AS "column"
	FROM pg_am, unnest('{can_order,can_unique,can_multi_col,can_exclude,can_include,
		clusterable,index_scan,bitmap_scan,backward_scan,
		asc,desc,nulls_first,nulls_last,orderable,distance_orderable,returnable,search_array,search_nulls,
		unknown}'::text[]) AS property
	WHERE amname = 'annoy';

-- Operator classes: one of them is the default, each is valid, each orders by
-- one operator.
SELECT opcname, opcdefault, opcintype::regtype, amvalidate(pg_opclass.oid),
		(SELECT array_agg(format('%s %s', amopopr::regoperator, amoppurpose)) FROM pg_amop WHERE amopfamily = opcfamily) AS operators,
		(SELECT array_agg(format('%s %s', amprocnum, amproc::regprocedure) ORDER BY amprocnum) FROM pg_amproc WHERE amprocfamily = opcfamily) AS functions
	FROM pg_opclass JOIN pg_am ON opcmethod = pg_am.oid WHERE amname = 'annoy' ORDER BY 1;

-- Dropping an operator class takes its indexes along, when told so.
\set VERBOSITY terse
DROP OPERATOR CLASS vector_l2_ops USING annoy;
DROP ACCESS METHOD annoy;

-- Dropping the extension: not while it is used; with CASCADE columns and
-- indexes go, tables stay.
CREATE TABLE catalog_array (id int, a real[], numbers vector[]);
CREATE INDEX catalog_expression ON catalog_array USING annoy ((a::vector(3)) vector_cosine_ops);
DROP EXTENSION annoy;
SELECT count(*) FROM catalog_test;
SET client_min_messages = warning;
DROP EXTENSION annoy CASCADE;
RESET client_min_messages;
SELECT relname, attname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
	WHERE relname ~ '^catalog_' AND attnum > 0 AND NOT attisdropped ORDER BY 1, 2;
SELECT to_regclass('catalog_index'), to_regclass('catalog_expression'), to_regtype('vector');
SELECT count(*) FROM pg_am WHERE amname = 'annoy';
DROP TABLE catalog_test, catalog_array;

-- And it comes back, also into a schema of its own, from which it works
-- without being in the search path.
CREATE SCHEMA catalog_schema;
CREATE EXTENSION annoy SCHEMA catalog_schema;
CREATE TABLE catalog_test (id int, e catalog_schema.vector(2));
INSERT INTO catalog_test SELECT i, format('[%s,%s]', i, 1)::catalog_schema.vector FROM generate_series(1, 100) AS i;
CREATE INDEX ON catalog_test USING annoy (e catalog_schema.vector_l2_ops);
SET enable_seqscan = off;
SELECT id FROM catalog_test ORDER BY e OPERATOR(catalog_schema.<->) '[42.1,1]' LIMIT 3;
ALTER EXTENSION annoy SET SCHEMA public;
SELECT id FROM catalog_test ORDER BY e <-> '[42.1,1]' LIMIT 3;
RESET enable_seqscan;
DROP TABLE catalog_test;
DROP EXTENSION annoy;
DROP SCHEMA catalog_schema;
