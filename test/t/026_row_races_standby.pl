
# A standby, while leaves of its primary are split onto pages that an index before has
# left, rows are vacuumed and others get their places: its scans return what their
# snapshots see, pages are the same (wal_consistency_checking), and it can take over.

use strict;
use warnings;

use AnnoyTest;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf',
	"autovacuum = off\nwal_consistency_checking = 'generic'\nmax_wal_size = '4GB'\njit = off\nfsync = off");
$primary->start;
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', "hot_standby_feedback = on\nmax_standby_streaming_delay = -1\nwal_receiver_status_interval = 1");
$standby->start;
load_answers($primary);
$primary->safe_psql(
	'postgres', q{
	CREATE TABLE items (id int, n int DEFAULT 0, e vector) WITH (fillfactor = 70);
	ALTER TABLE items ALTER e SET STORAGE external;
	CREATE INDEX items_l2 ON items USING annoy (e vector_l2_ops) WITH (n_trees = 2);
	CREATE FUNCTION add_rows(dimensions int, first int, last int) RETURNS void LANGUAGE sql AS $$
		INSERT INTO items SELECT i, 0, CASE WHEN i % 30 > 0 THEN even_vector(dimensions, i) END FROM generate_series(first, last) AS i $$;
	-- Every row once, by all ways.
	CREATE FUNCTION whole(dimensions int) RETURNS bool LANGUAGE sql AS $$
		SELECT complete_answer(format('SELECT id, e <-> %1$L AS d FROM items ORDER BY e <-> %1$L', even_vector(dimensions, -1)))
			AND complete_answer('SELECT id, e <-> NULL::vector AS d FROM items ORDER BY e <-> (SELECT NULL::vector)') $$;});

sub catch_up
{
	$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
}

# The index of a server is sound, and has every row.
sub state
{
	my ($node, $dimensions) = @_;
	my ($result, $output, $error) = $node->psql('postgres', "SELECT annoy_index_check('items_l2', true); SELECT whole($dimensions)");
	return "$output$error" =~ s/\s+//gr;
}

# Removes all rows, as soon as the standby has told that it sees none of them.
sub empty_index
{
	$primary->safe_psql('postgres', 'DELETE FROM items');
	catch_up();
	for (1 .. 1800)
	{
		$primary->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP on) items');
		return if $primary->safe_psql('postgres', q{SELECT count(*) FROM annoy_leaf_items('items_l2')}) == 0;
		sleep(0.1);
	}
	die 'rows cannot be removed';
}

my $files = 0;
for my $dimensions (500, 300, 768)
{
	# pages without use, for the splits
	empty_index();
	$primary->safe_psql('postgres', "SELECT add_rows($dimensions, 1, 1500)");
	empty_index();
	$primary->safe_psql('postgres', "SELECT add_rows($dimensions, 1, 60)");
	my $blocks = $primary->safe_psql('postgres', q{SELECT pg_relation_size('items_l2')});
	catch_up();

	my $output = '';
	my $scans = $standby->basedir . '/scans' . ++$files . '.sql';
	PostgreSQL::Test::Utils::append_to_file($scans, "
		BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 'whole ' || whole($dimensions); COMMIT;
		SELECT count(*) < 0 FROM (SELECT FROM items ORDER BY e <-> even_vector($dimensions, 7) LIMIT 20) AS s;" x 1000);
	my $scanning = IPC::Run::start([ 'psql', '-X', '-q', '-A', '-t', '-d', $standby->connstr('postgres'), '-f', $scans ],
		'>', \$output, '2>&1');
	for my $round (1 .. 6)
	{
		$primary->safe_psql('postgres', $_)
		  foreach "SELECT add_rows($dimensions, $round * 1000, $round * 1000 + 160)",
		  "UPDATE items SET n = n + 1 WHERE id % 7 = $round",
		  "UPDATE items SET e = even_vector($dimensions, id + 50000) WHERE id % 11 = $round AND e IS NOT NULL",
		  "DELETE FROM items WHERE id % 6 = $round - 1",
		  'VACUUM (INDEX_CLEANUP on) items';
		$scanning->pump_nb;
	}
	# at least some
	$scanning->pump until $output =~ /(whole true\s+f\s+){3}/ || $output =~ /ERROR|FATAL|false/;
	$scanning->kill_kill;
	$output =~ s/[^\n]*\z//;
	my @wrong = grep { !/^(whole true|f)$/ } split(/\n/, $output);
	is("@wrong", '', "$dimensions dimensions: scans on the standby");
	note(scalar(() = $output =~ /whole/g) . ' scans; blocks before ' . $blocks / 8192 . ', after ' . $primary->safe_psql('postgres', q{SELECT pg_relation_size('items_l2') / 8192}));
	catch_up();
	is(state($_, $dimensions), 't', "$dimensions dimensions: the index of the " . $_->name) foreach $primary, $standby;
}

# A row that only a snapshot of the standby sees, while its leaf is split.  (Here
# feedback keeps the row; without, the record that removes it cancels the query.)
empty_index();
$primary->safe_psql('postgres', 'SELECT add_rows(768, 1, 100)');
catch_up();
my $session = 'psql -X -q -A -t -h ' . $primary->host . ' -p ' . $primary->port . ' -d postgres';
my $output = $standby->safe_psql(
	'postgres', qq{
	SET enable_seqscan = off;
	SET annoy.search_k = 100000;
	BEGIN ISOLATION LEVEL REPEATABLE READ;
	SELECT count(*) FROM items;
	\\! $session -c "DELETE FROM items WHERE id % 2 = 0" -c "SELECT add_rows(768, 1001, 1300)" -o /dev/null
	DO \$\$ BEGIN
		FOR i IN 1 .. 1800 LOOP
			EXIT WHEN (SELECT pg_last_wal_replay_lsn() >= pg_last_wal_receive_lsn() AND pg_relation_size('items_l2') > 400000);
			PERFORM pg_sleep(0.1);
		END LOOP;
	END \$\$;
	SELECT whole(768);
	SELECT id FROM items ORDER BY e <-> even_vector(768, 44) LIMIT 1;
	COMMIT;});
is($output, "100\nt\n44", 'a snapshot of the standby that sees rows which were dead when their leaf was split');

# The standby takes over.
catch_up();
$primary->stop('immediate');
$standby->promote;
is(state($standby, 768), 't', 'the promoted standby');
$standby->safe_psql('postgres', $_) foreach 'DELETE FROM items WHERE id % 3 = 0', 'VACUUM (INDEX_CLEANUP on) items', 'SELECT add_rows(768, 2001, 2500)';
is(state($standby, 768), 't', 'and takes deletes, VACUUM and inserts');
$standby->safe_psql('postgres', $_) foreach 'DELETE FROM items', 'VACUUM (INDEX_CLEANUP on) items', 'SELECT add_rows(100, 1, 1000)';
is(state($standby, 100), 't', 'and begins anew');
$standby->stop;
unlike(slurp_file($standby->logfile), qr/inconsistent page|PANIC|TRAP|terminated by signal|is damaged|does not match|missing chunk/, 'no page differs');
done_testing();
