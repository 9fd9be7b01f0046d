
# A dump holds the definition of an index with its options, and restoring it
# makes the same forest.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', 'autovacuum = off');
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE source');
$node->safe_psql('postgres', 'CREATE DATABASE target');
# In a schema of its own, which restored commands have to name.
$node->safe_psql('source', 'CREATE SCHEMA kept; CREATE EXTENSION annoy SCHEMA kept');
$node->safe_psql(
	'source', q{
	SET search_path = public, kept;
	CREATE TABLE items (id int, e vector(20), a real[]);
	INSERT INTO items
		SELECT i, array_agg(sin(i * j)), array_agg(cos(i * j)) FROM generate_series(1, 2000) AS i, generate_series(1, 20) AS j GROUP BY i ORDER BY i;
	CREATE INDEX items_l2 ON items USING annoy (e vector_l2_ops)
		WITH (n_trees = 5, seed = 18446744073709551615, search_k = 700, n_neighbors = 9);
	CREATE INDEX items_cosine ON items USING annoy (e);
	CREATE INDEX items_expression ON items USING annoy ((a::vector(20)) vector_ip_ops) WHERE id > 100;
	CREATE MATERIALIZED VIEW latest AS SELECT id, e FROM items WHERE id > 1900;
	CREATE INDEX latest_l2 ON latest USING annoy (e vector_l2_ops) WITH (seed = 0);});

sub describe
{
	my ($database) = @_;

	return $node->safe_psql(
		$database, q{
		SET search_path = public, kept;
		SELECT pg_get_indexdef(indexrelid), reloptions, md5(string_agg((tree, leaf, item)::text, ',' ORDER BY tree, leaf, item))
		FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid, annoy_leaf_items(indexrelid)
		WHERE relam = (SELECT oid FROM pg_am WHERE amname = 'annoy')
		GROUP BY 1, 2 ORDER BY 1;
		SET enable_seqscan = off;
		SELECT array_agg(id) FROM (SELECT id FROM items ORDER BY e <-> (SELECT e FROM items WHERE id = 7) LIMIT 10) AS nearest;
		SELECT extversion, nspname FROM pg_extension JOIN pg_namespace ON extnamespace = pg_namespace.oid WHERE extname = 'annoy';});
}

my $before = describe('source');
like($before, qr/seed='18446744073709551615'/, 'there is something to compare');
for my $format (qw(plain custom))
{
	my $file = $node->basedir . "/$format.dump";

	$node->command_ok([ 'pg_dump', '-d', $node->connstr('source'), '-F', $format, '-f', $file ], "dump, $format");
	$node->safe_psql('postgres', 'DROP DATABASE target');
	$node->safe_psql('postgres', 'CREATE DATABASE target');
	$node->command_ok($format eq 'plain'
		? [ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('target'), '-f', $file ]
		: [ 'pg_restore', '--exit-on-error', '-d', $node->connstr('target'), $file ], "restore, $format");
	is(describe('target'), $before, 'definitions, forests and answers are the same');
}

$node->stop;
done_testing();
