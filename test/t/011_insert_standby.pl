
# A streaming standby answers like its primary after every phase of an index's
# life, and can be searched while the primary changes it.  Recovery compares
# every page with the primary's (wal_consistency_checking).

use strict;
use warnings;

use AnnoyTest;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf',
	"autovacuum = off\nwal_consistency_checking = 'generic'\nmax_wal_size = '4GB'\njit = off\nfsync = off");
$primary->start;
$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->append_conf('postgresql.conf', "hot_standby_feedback = on\nmax_standby_streaming_delay = -1\nwal_receiver_status_interval = 1");
$standby->start;

$primary->safe_psql('postgres', 'CREATE EXTENSION annoy');
load_answers($primary);
# One table of short vectors, and one whose leaves and directories are small
# and whose vectors are divided over pages.
$primary->safe_psql(
	'postgres', q{
	CREATE TABLE short (id int, e vector(30));
	CREATE INDEX short_l2 ON short USING annoy (e vector_l2_ops) WITH (n_trees = 2);
	CREATE INDEX short_cosine ON short USING annoy (e);
	CREATE INDEX short_ip ON short USING annoy (e vector_ip_ops);
	CREATE TABLE long (id int, e vector(784));
	ALTER TABLE long ALTER e SET STORAGE plain;
	CREATE INDEX long_l2 ON long USING annoy (e vector_l2_ops) WITH (n_trees = 2);
	CREATE INDEX long_cosine ON long USING annoy (e);
	CREATE INDEX long_ip ON long USING annoy (e vector_ip_ops);
	CREATE FUNCTION add_rows(first int, last int) RETURNS void LANGUAGE sql AS $$
		INSERT INTO short SELECT i, CASE WHEN i % 30 > 0 THEN even_vector(30, CASE WHEN i % 7 = 0 THEN 0 ELSE i END) END FROM generate_series(first, last) AS i;
		INSERT INTO long SELECT i, CASE WHEN i % 30 > 0 THEN even_vector(196, i) || even_vector(196, i / 20) || (even_vector(196, i % 20) || even_vector(196, i % 100)) END
			FROM generate_series(first, last) AS i WHERE i % 3 = 0;
	$$;});

sub answers
{
	my ($node) = @_;

	return $node->safe_psql(
		'postgres', q{
		SELECT relation, operator, i, count(*), md5(string_agg(a.id || ' ' || coalesce(a.d::text, 'none'), ',' ORDER BY n))
		FROM (VALUES ('short', 30), ('long', 784)) AS relations (relation, dimensions),
			unnest('{<->,<=>,<#>}'::text[]) AS operator, generate_series(1, 2) AS i,
			answer(format('SELECT id, e %1$s %2$L AS d FROM %3$s ORDER BY e %1$s %2$L',
						  operator, even_vector(dimensions, -i), relation), true) AS a
		GROUP BY relation, operator, i ORDER BY relation, operator, i;});
}

# Numbers of rows of both tables, which the answers have to show.
sub compare
{
	my ($phase) = @_;
	my %rows = map { $_ => $primary->safe_psql('postgres', "SELECT count(*) FROM $_") } qw(short long);
	my $answers = answers($primary);

	$primary->wait_for_catchup($standby);
	is(scalar(() = $answers =~ /^(?:short\|.*\|$rows{short}|long\|.*\|$rows{long})\|/mg), 12,
		"$phase: the primary finds $rows{short} and $rows{long} rows");
	is(answers($standby), $answers, "$phase: the standby answers alike");
	is($standby->safe_psql('postgres', q{
			SELECT annoy_index_check(indexrelid) FROM pg_index
			WHERE indexrelid::regclass::text ~ '^(short|long)_'}) =~ s/\s//gr, '', "$phase: its indexes are sound");
}

$primary->safe_psql('postgres', 'SELECT add_rows(1, 3000)');
compare('first inserts');
$primary->safe_psql('postgres', 'REINDEX TABLE short; REINDEX TABLE long;');
compare('build');
$primary->safe_psql('postgres', 'SELECT add_rows(3001, 6000)');
compare('inserts');
$primary->safe_psql('postgres', 'DELETE FROM short WHERE id % 2 = 0; DELETE FROM long WHERE id % 2 = 0;');
compare('delete');
$primary->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP on)');
compare('VACUUM');
$primary->safe_psql('postgres', 'SELECT add_rows(6001, 8500)');
compare('refill');
$primary->safe_psql('postgres', 'UPDATE short SET e = e WHERE id % 5 = 0; UPDATE long SET e = even_vector(784, id % 50) WHERE id % 5 = 0;');
$primary->safe_psql('postgres', 'BEGIN; SELECT add_rows(9001, 9500); ROLLBACK;');
compare('update and rollback');
$primary->safe_psql('postgres', 'REINDEX INDEX CONCURRENTLY long_l2');
compare('REINDEX CONCURRENTLY');

# Scans on the standby while the primary inserts and removes: what they return
# is what their snapshot sees.
my $output = '';
my $scans = $standby->basedir . '/scans.sql';
PostgreSQL::Test::Utils::append_to_file($scans, q{
	BEGIN ISOLATION LEVEL REPEATABLE READ;
	SELECT 'whole ' || complete_answer(format('SELECT id, e <-> %1$L AS d FROM short ORDER BY e <-> %1$L', even_vector(30, -1)))
		|| ' ' || complete_answer(format('SELECT id, e <=> %1$L AS d FROM long ORDER BY e <=> %1$L', even_vector(784, -1)));
	COMMIT;} x 1000);
my $scanning = IPC::Run::start([ 'psql', '-X', '-q', '-A', '-t', '-d', $standby->connstr('postgres'), '-f', $scans ],
	'>', \$output, '2>&1');
for my $round (1 .. 5)
{
	$primary->safe_psql('postgres', "DELETE FROM short WHERE id % 5 = $round - 1; DELETE FROM long WHERE id % 5 = $round - 1;");
	$primary->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP on)');
	$primary->safe_psql('postgres', "SELECT add_rows(10000 + $round * 1000, 10600 + $round * 1000)");
	$scanning->pump_nb;
}
$scanning->kill_kill;
$output =~ s/[^\n]*\z//;
my $whole = () = $output =~ /^whole true true$/mg;
my $bad = join("\n", grep { $_ ne 'whole true true' } split(/\n/, $output));
cmp_ok($whole, '>', 5, 'scans on the standby beside the primary\'s VACUUM');
note("$whole scans");
is($bad, '', 'and all of them were right');
$primary->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP on)');
compare('after that');

# A crash of the standby, then of the primary; the standby takes over.
$standby->stop('immediate');
$standby->start;
compare('standby restarted');
my $answers = answers($primary);
$primary->stop('immediate');
$standby->promote;
is(answers($standby), $answers, 'a promoted standby answers alike');
$standby->safe_psql('postgres', 'DELETE FROM short WHERE id % 2 = 0; DELETE FROM long WHERE id % 2 = 0;');
$standby->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP on)');
$standby->safe_psql('postgres', 'SELECT add_rows(20001, 21000)');
is($standby->safe_psql('postgres', q{
		SELECT annoy_index_check(indexrelid, true) FROM pg_index
		WHERE indexrelid::regclass::text ~ '^(short|long)_'}) =~ s/\s//gr, '', 'and takes deletes, VACUUM and inserts');
$standby->stop;
unlike(slurp_file($standby->logfile), qr/inconsistent page|PANIC|TRAP|terminated by signal|is damaged/, 'no page differs');
done_testing();
