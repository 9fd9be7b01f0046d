# Under old_snapshot_threshold (15 and 16) a scan by a snapshot whose rows may
# have been removed from the index says so, whatever page they were on.  The
# server tells that by a page's having changed since.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "autovacuum = off\nfsync = off\njit = off");
$node->start;
if ($node->safe_psql('postgres', "SELECT count(*) FROM pg_settings WHERE name = 'old_snapshot_threshold'") == 0)
{
	$node->stop;
	plan skip_all => 'there is no old_snapshot_threshold any more';
}
# 0 is there for tests: snapshots are old after five seconds
$node->append_conf('postgresql.conf', 'old_snapshot_threshold = 0');
$node->restart;
$node->safe_psql(
	'postgres', q{
	CREATE EXTENSION annoy;
	CREATE TABLE other (i int);
	CREATE FUNCTION make(name text) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		EXECUTE format('CREATE TABLE %1$I (id int, e vector(2));
			INSERT INTO %1$I SELECT i, CASE WHEN i %% 10 > 0 THEN ARRAY[i, 1]::vector END FROM generate_series(1, 1000) AS i;
			CREATE INDEX ON %1$I USING annoy (e vector_l2_ops)', name);
	END
	$$;
	SELECT make(name) FROM unnest('{untouched,leaves,tail,items}'::text[]) AS name;});

my $session = 'psql -X -q -h ' . $node->host . ' -p ' . $node->port . ' -d postgres';
my ($output, $error) = ('', '');

$node->psql(
	'postgres', qq{
	SET enable_seqscan = off;
	SET enable_sort = off;
	SET annoy.iterative_scan = relaxed_order;
	BEGIN ISOLATION LEVEL REPEATABLE READ;
	SELECT 'rows', count(*) FROM other;
	SELECT pg_sleep(6);
	\\! $session -c "INSERT INTO leaves VALUES (0, '[50,2]')" -c "INSERT INTO tail VALUES (0, NULL)" -c "INSERT INTO items VALUES (0, '[50,2]')" -c "VACUUM other"
	SAVEPOINT s;
	SELECT 'untouched', count(*) FROM (SELECT id FROM untouched ORDER BY e <-> '[50,1]') AS ordered;
	SELECT 'leaves', count(*) FROM (SELECT id FROM leaves ORDER BY e <-> '[50,1]' LIMIT 5) AS ordered;
	ROLLBACK TO s;
	SELECT 'tail', count(*) FROM (SELECT id FROM tail ORDER BY e <-> '[50,1]') AS ordered;
	ROLLBACK TO s;
	SELECT 'items', count(*) FROM (SELECT id FROM items ORDER BY e <-> NULL::vector) AS ordered;},
	stdout => \$output, stderr => \$error, on_error_stop => 0);

is($output =~ s/^\n//gmr, "rows|0\nuntouched|1000", 'only an index that has not changed answers');
is(scalar(() = $error =~ /ERROR:  snapshot too old/g), 3, 'the others say why not');

$node->stop;
done_testing();
