
# Builds and scans can be stopped at any time, leave nothing behind, and tell
# how far they are.

use strict;
use warnings;

use AnnoyTest;
use List::Util 'all';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my @phases = ('loading rows', 'splitting cells', 'assigning items to leaves', 'writing leaves', 'calibrating search_k');

my $node = start_server("fsync = off\nmaintenance_work_mem = '25MB'\njit = off");
load_answers($node);
$node->safe_psql(
	'postgres', q{
	CREATE TABLE items (id int, e vector(256));
	ALTER TABLE items ALTER e SET STORAGE plain;
	INSERT INTO items SELECT i, even_vector(64, i) || even_vector(64, i / 100) || (even_vector(64, i % 100) || even_vector(64, i % 1000))
		FROM generate_series(1, 30000) AS i;
	-- The phases that a build of another session goes through, until it ends.
	CREATE FUNCTION watch_build(cancel_in text DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE
		phases text[] := '{}';
		build record;
		started boolean := false;
	BEGIN
		FOR i IN 1 .. 5000
		LOOP
			PERFORM pg_stat_clear_snapshot();
			SELECT pid, substring(phase FROM 'building index: (.*)') AS phase INTO build FROM pg_stat_progress_create_index;
			EXIT WHEN started AND build.pid IS NULL;
			started := build.pid IS NOT NULL;
			IF build.phase IS NOT NULL AND build.phase <> ALL (phases) THEN
				phases := phases || build.phase;
			END IF;
			IF build.phase = cancel_in THEN
				PERFORM pg_cancel_backend(build.pid);
				cancel_in := NULL;
			END IF;
			PERFORM pg_sleep(0.001);
		END LOOP;
		RETURN array_to_string(phases, ',');
	END
	$$;});

sub build_while_watching
{
	my ($cancel_in) = @_;
	my ($phases, $error);
	my $build = start_psql($node, [ '-c', 'CREATE INDEX items_l2 ON items USING annoy (e vector_l2_ops)' ], \$error);

	$phases = $node->safe_psql('postgres', 'SELECT watch_build(' . ($cancel_in ? "'$cancel_in'" : 'NULL') . ')');
	$build->finish;
	return ($phases, $error);
}

# A phase may be over between two looks, on a busy machine: then again.
sub build_until
{
	my ($wanted, $cancel_in) = @_;
	my ($phases, $error);

	for (1 .. 20)
	{
		$node->safe_psql('postgres', 'DROP INDEX IF EXISTS items_l2');
		($phases, $error) = build_while_watching($cancel_in);
		last if $wanted->($phases, $error);
	}
	return ($phases, $error);
}

my $before = leftovers($node, 'items_');
for my $phase (@phases)
{
	my ($phases, $error) = build_until(sub { $_[1] ne '' }, $phase);
	like($error, qr/canceling statement due to user request/, "a build is cancelled when $phase");
	is(leftovers($node, 'items_'), $before, 'and nothing is left behind');
}

my ($phases, $error) = build_until(sub { my ($seen) = @_; all { index($seen, $_) >= 0 } @phases });
# The first one may be over before it is seen.
$phases =~ s/^initializing,//;
is($phases, join(',', @phases), 'phases of a build') or diag($error);
isnt($node->safe_psql('postgres', q{SELECT to_regclass('items_l2')}), '', 'a build that is only watched succeeds');

# A time limit instead of a request; also while a concurrent build runs.
my ($result, $output);
($result, $output, $error) = $node->psql('postgres',
	q{SET statement_timeout = '100ms'; CREATE INDEX items_ip ON items USING annoy (e vector_ip_ops);});
like($error, qr/canceling statement due to statement timeout/, 'a build has a time limit');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_class WHERE relname = 'items_ip'}), 0, 'no index is left');
($result, $output, $error) = $node->psql('postgres',
	q{SET statement_timeout = '100ms'; CREATE INDEX CONCURRENTLY items_ip ON items USING annoy (e vector_ip_ops);});
like($error, qr/canceling statement due to statement timeout/, 'a concurrent build has a time limit');
is($node->safe_psql('postgres', q{SELECT indisvalid FROM pg_index WHERE indexrelid = 'items_ip'::regclass}), 'f',
	'an invalid index is left, as of any access method');
($result, $output, $error) = $node->psql('postgres', q{SELECT * FROM annoy_leaf_items('items_ip')});
like($error, qr/index "items_ip" is not valid/, 'which is not looked into');
is($node->safe_psql('postgres', q{
	REINDEX INDEX items_ip;
	SELECT count(*) FROM annoy_leaf_items('items_ip') WHERE tree = 0;}), 30000, 'it can be made good');

# Scans
$node->safe_psql('postgres', 'DROP INDEX items_ip');
for my $search_k (-1, 1, 2147483647)
{
	($result, $output, $error) = $node->psql('postgres', qq{
		SET enable_seqscan = off; SET enable_sort = off; SET annoy.iterative_scan = relaxed_order; SET annoy.search_k = $search_k;
		SET statement_timeout = '10ms';
		SELECT count(*) FROM (SELECT FROM items ORDER BY e <-> even_vector(256, 0)) AS ordered;});
	like($error, qr/canceling statement due to statement timeout/, "a scan has a time limit at search_k = $search_k");
}
is($node->safe_psql('postgres', q{SELECT count(*) FROM answer('SELECT id, 0::float8 AS d FROM items ORDER BY e <-> even_vector(256, 0)', true)}),
	30000, 'the next one goes to its end');

# Stopped and started again within one session: nothing is left pinned or
# locked.
is($node->safe_psql('postgres', q{
	SET enable_seqscan = off;
	DO $$
	DECLARE
		stopped int := 0;
	BEGIN
		FOR i IN 1 .. 20
		LOOP
			BEGIN
				PERFORM id, 1 / (random() > 1)::int FROM (SELECT id FROM items ORDER BY e <-> even_vector(256, i) LIMIT 10) AS nearest;
			EXCEPTION WHEN division_by_zero THEN
				stopped := stopped + 1;
			END;
		END LOOP;
		RAISE NOTICE '%', stopped;
	END
	$$;
	SELECT count(*) FROM (SELECT id FROM items ORDER BY e <-> even_vector(256, 1) LIMIT 10) AS nearest;}), 10, 'scans stopped by errors');

$node->stop;
unlike(slurp_file($node->logfile), qr/buffer refcount leak|PANIC|TRAP/, 'nothing leaks');
done_testing();
