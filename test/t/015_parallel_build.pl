# Builds with workers: the same forest whatever the number of processes and the
# memory, nothing left behind by those that fail, and no more workers than
# there may be.

use strict;
use warnings;

use AnnoyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_server("fsync = off\njit = off\nmax_worker_processes = 8\nmax_parallel_workers = 8");
load_answers($node);

# Clusters, duplicates (more than a leaf of one vector), NULL, zero vectors,
# and dead rows; 35,000 sketches are more than is split in memory at once.
$node->safe_psql(
	'postgres', q{
	CREATE TABLE items (id int, e vector(128)) WITH (parallel_workers = 4);
	ALTER TABLE items ALTER e SET STORAGE plain;
	INSERT INTO items SELECT i, CASE WHEN i % 700 = 0 THEN NULL
		WHEN i % 700 = 1 THEN array_fill(0, ARRAY[128])::vector
		WHEN i % 50 = 2 THEN even_vector(128, 5)
		ELSE clustered_vector(128, i) END
		FROM generate_series(1, 35000) AS i;
	DELETE FROM items WHERE id % 10 = 3;
	CREATE TABLE wide (id int, e vector(400)) WITH (parallel_workers = 4);
	INSERT INTO wide SELECT i, clustered_vector(400, i) FROM generate_series(1, 12000) AS i;
	CREATE TABLE few (id int, e vector(3)) WITH (parallel_workers = 4);
	INSERT INTO few VALUES (1, '[1,2,3]'), (2, '[3,2,1]'), (3, NULL);
	CREATE TABLE nothing (id int, e vector(3)) WITH (parallel_workers = 4);
	-- The rows of all leaves, without the numbers of pages.
	CREATE FUNCTION leaves(index regclass) RETURNS text LANGUAGE sql AS $$
		SELECT count(*) || ' leaves ' || md5(string_agg(rows, ',' ORDER BY tree, rows))
		FROM (SELECT tree, string_agg(item::text, ' ' ORDER BY item) AS rows
			  FROM annoy_leaf_items(index) GROUP BY tree, leaf) AS leaves $$;});

sub workers_launched
{
	my ($log) = @_;
	# a worker tells its end in the server's log at this level
	return scalar(() = $log =~ /starting background worker process "parallel worker/g);
}

# Builds an index; returns its leaves and the number of workers.
sub build
{
	my ($table, $workers, $memory, $definition) = @_;
	my $offset = -s $node->logfile;
	my $leaves = $node->safe_psql(
		'postgres', qq{
		SET max_parallel_maintenance_workers = $workers;
		SET maintenance_work_mem = '$memory';
		CREATE INDEX built ON $table USING annoy ($definition;
		SELECT annoy_index_check('built', true);
		SELECT leaves('built'), reltuples FROM pg_class WHERE relname = 'built';
		DROP INDEX built;});
	my $log = slurp_file($node->logfile, $offset);

	$leaves =~ s/^\s+//;
	return ($leaves, workers_launched($log));
}

$node->append_conf('postgresql.conf', 'log_min_messages = debug1');
$node->reload;

for my $definition ('e vector_l2_ops)', 'e vector_cosine_ops) WITH (n_trees = 3)', 'e vector_ip_ops)')
{
	my ($expected, $launched) = build('items', 0, '256MB', $definition);

	like($expected, qr/^\d+ leaves \w+\|31500$/, "all rows in a serial build: $definition");
	is($launched, 0, 'which has no workers');
	for my $case ([ 0, '8MB' ], [ 1, '256MB' ], [ 1, '16MB' ], [ 2, '256MB' ], [ 2, '24MB' ])
	{
		my ($workers, $memory) = @$case;
		my ($leaves, $launched) = build('items', $workers, $memory, $definition);

		is($leaves, $expected, "the same forest with $workers workers and $memory");
		is($launched, $workers, 'with as many workers');
	}
}

# Directories of codes.
{
	my ($expected) = build('wide', 0, '256MB', 'e vector_l2_ops)');

	like($expected, qr/^\d+ leaves \w+\|12000$/, 'all rows of 400 dimensions');
	for my $case ([ 0, '8MB' ], [ 1, '256MB' ], [ 2, '24MB' ])
	{
		is((build('wide', @$case, 'e vector_l2_ops)'))[0], $expected, "the same forest with $case->[0] workers and $case->[1]");
	}
}

# Memory that is not enough for two, and a table that wants one only.
is((build('items', 4, '14MB', 'e vector_l2_ops)'))[1], 0, 'no worker where the memory is enough for one process only');
$node->safe_psql('postgres', 'ALTER TABLE items SET (parallel_workers = 1)');
is((build('items', 4, '256MB', 'e vector_l2_ops)'))[1], 1, 'as many workers as the table wants');
$node->safe_psql('postgres', 'ALTER TABLE items SET (parallel_workers = 2)');

# More processes than rows.
is(($_ = [ build('few', 4, '256MB', 'e vector_l2_ops)') ])->[0], (build('few', 0, '256MB', 'e vector_l2_ops)'))[0], 'three rows');
is($_->[1], 4, 'by five processes');
is((build('nothing', 4, '512MB', 'e vector_l2_ops)'))[0], (build('nothing', 0, '512MB', 'e vector_l2_ops)'))[0], 'no rows');

# Expressions and predicates are for workers only if they are parallel safe.
$node->safe_psql(
	'postgres', q{
	CREATE FUNCTION own(v vector) RETURNS vector IMMUTABLE PARALLEL RESTRICTED LANGUAGE plpgsql AS 'BEGIN RETURN v; END'});
is((build('items', 2, '512MB', '(own(e)::vector(128)) vector_l2_ops)'))[1], 0, 'no workers for an unsafe expression');
is((build('items', 2, '512MB', 'subvector(e, 1, 100) vector_l2_ops) WHERE id > 1000'))[0],
	(build('items', 0, '512MB', 'subvector(e, 1, 100) vector_l2_ops) WHERE id > 1000'))[0], 'a partial index of an expression');

# Other ways to build.
$node->safe_psql(
	'postgres', q{
	SET max_parallel_maintenance_workers = 2;
	SET maintenance_work_mem = '256MB';
	CREATE INDEX serial ON items USING annoy (e vector_l2_ops);
	CREATE INDEX CONCURRENTLY concurrent ON items USING annoy (e vector_l2_ops);
	CREATE TEMPORARY TABLE temporary AS SELECT * FROM few;
	ALTER TABLE temporary SET (parallel_workers = 2);
	CREATE INDEX ON temporary USING annoy (e vector_l2_ops);
	REINDEX INDEX serial;});
is($node->safe_psql('postgres', q{SELECT leaves('serial')}), $node->safe_psql('postgres', q{SELECT leaves('concurrent')}),
	'CREATE INDEX CONCURRENTLY and REINDEX');
is($node->safe_psql('postgres', q{SELECT annoy_index_check('concurrent', true)}), '', 'the concurrent one is whole');
$node->safe_psql('postgres', 'DROP INDEX serial, concurrent');

# Workers' pages are logged: after a crash the index is the same.
$node->safe_psql(
	'postgres', q{
	CHECKPOINT;
	SET max_parallel_maintenance_workers = 2;
	SET maintenance_work_mem = '256MB';
	CREATE INDEX crashed ON items USING annoy (e vector_l2_ops) WITH (n_trees = 2);});
my $before = $node->safe_psql('postgres', q{SELECT leaves('crashed')});
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', q{SELECT leaves('crashed')}), $before, 'the same leaves after a crash');
is($node->safe_psql('postgres', q{SELECT annoy_index_check('crashed', true)}), '', 'and a whole index');
$node->safe_psql('postgres', 'DROP INDEX crashed');

# An error in any process: rows of another length late in the table, and an
# expression that fails in workers only; then cancels at different times.
$before = leftovers($node, '^failed$');
$node->safe_psql('postgres', q{
	CREATE FUNCTION leader_only(v vector) RETURNS vector IMMUTABLE PARALLEL SAFE LANGUAGE plpgsql AS $$
	BEGIN
		IF (SELECT leader_pid IS NOT NULL FROM pg_stat_activity WHERE pid = pg_backend_pid()) THEN
			RAISE EXCEPTION 'not in a worker';
		END IF;
		PERFORM pg_sleep(0.0002);	-- so that workers get rows, too
		RETURN v;
	END $$;
	CREATE TABLE lengths (e vector) WITH (parallel_workers = 2);
	INSERT INTO lengths SELECT even_vector(128, i) FROM generate_series(1, 5000) AS i;
	INSERT INTO lengths VALUES ('[1,2]');});
$before = leftovers($node, '^failed$');
my $settings = q{SET max_parallel_maintenance_workers = 2; SET maintenance_work_mem = '256MB';};
my ($result, $output, $error) = $node->psql('postgres', "$settings CREATE INDEX failed ON items USING annoy ((leader_only(e)::vector(128)) vector_l2_ops)");
like($error, qr/not in a worker/, 'an error of a worker ends the build');
is(leftovers($node, '^failed$'), $before, 'and nothing is left');
($result, $output, $error) = $node->psql('postgres', "$settings CREATE INDEX failed ON lengths USING annoy (e vector_l2_ops)");
like($error, qr/dimensions/, 'vectors of different lengths are found');
is(leftovers($node, '^failed$'), $before, 'and nothing is left');
for my $timeout (20, 60, 120, 250, 400, 600)
{
	($result, $output, $error) = $node->psql('postgres', "$settings SET statement_timeout = $timeout; CREATE INDEX failed ON items USING annoy (e vector_l2_ops) WITH (n_trees = 20)");
	like($error, qr/canceling statement due to statement timeout/, "a build is cancelled after $timeout ms");
	is(leftovers($node, '^failed$'), $before, 'and nothing is left');
}

# No shared memory to be had, and no workers: the leader builds alone.
$node->append_conf('postgresql.conf', 'max_parallel_workers = 0');
$node->reload;
is((build('items', 2, '256MB', 'e vector_l2_ops)'))[1], 0, 'a build without workers where none can be had');

$node->stop;
done_testing();
