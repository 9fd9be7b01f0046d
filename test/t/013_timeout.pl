
# statement_timeout is observed soon, whatever an index is doing: inserting many
# rows, VACUUM, a build, a scan, a check.

use strict;
use warnings;

use AnnoyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# What a slow machine may need beyond the time limit; 0.2 is the aim.
my $slack = 1.0;

my $node = start_server("fsync = off\nmax_wal_size = '4GB'\njit = off\nmaintenance_work_mem = '64MB'");
load_answers($node);

# Middling vectors, the longest ones, and many equal ones.
$node->safe_psql(
	'postgres', q{
	CREATE TABLE middle (id int, e vector(768));
	ALTER TABLE middle ALTER e SET STORAGE plain;
	INSERT INTO middle SELECT i, even_vector(256, i % 3000) || even_vector(256, i / 100) || even_vector(256, i % 100) FROM generate_series(1, 10000) AS i;
	CREATE TABLE long (id int, e vector(16000));
	ALTER TABLE long ALTER e SET STORAGE external;
	INSERT INTO long SELECT i, (array_fill(sin(i), ARRAY[8000]) || array_fill(sin(1.7 * i), ARRAY[8000]))::vector FROM generate_series(1, 500) AS i;
	CREATE TABLE equal (id int, e vector(8));
	INSERT INTO equal SELECT i, '[1,2,3,4,5,6,7,8]' FROM generate_series(1, 100000) AS i;
	CREATE TABLE empty_middle (LIKE middle INCLUDING STORAGE);
	CREATE TABLE empty_long (LIKE long INCLUDING STORAGE);
	CREATE TABLE empty_equal (LIKE equal);
	CREATE INDEX empty_middle_l2 ON empty_middle USING annoy (e vector_l2_ops);
	CREATE INDEX empty_long_l2 ON empty_long USING annoy (e vector_l2_ops);
	CREATE INDEX empty_equal_l2 ON empty_equal USING annoy (e vector_l2_ops);});

# The longest time that a statement took beyond its limit, of several tries;
# and how many of them were stopped.
sub overtime
{
	my ($prepare, $statement) = @_;
	my ($longest, $stopped) = (0, 0);

	for my $limit (2, 5, 10, 20, 40, 80, 160, 320)
	{
		my ($result, $output, $error) = $node->psql('postgres', "SET client_min_messages = warning;\n$prepare\n\\timing on\nSET statement_timeout = $limit;\n$statement\n");
		my @times = $output =~ /^Time: ([\d.]+) ms/mg;
		my $over = ($times[-1] - $limit) / 1000;

		last if $error eq '';
		die $error unless $error =~ /canceling statement due to statement timeout/;
		$stopped++;
		$longest = $over if $over > $longest;
	}
	return ($longest, $stopped);
}

sub check
{
	my ($what, $prepare, $statement) = @_;
	my ($longest, $stopped) = overtime($prepare, $statement);

	note(sprintf('%s: stopped %d times, at most %.0f ms late', $what, $stopped, $longest * 1000));
	ok($stopped > 0 && $longest < $slack, $what);
}

my $scan = 'SET enable_seqscan = off; SET enable_sort = off;';
for my $table (qw(middle long equal))
{
	check("inserts, $table", '', "INSERT INTO empty_$table SELECT * FROM $table;");
	check("build, $table", '', "CREATE INDEX ${table}_other ON $table USING annoy (e);");
	$node->safe_psql('postgres', "CREATE INDEX ${table}_l2 ON $table USING annoy (e vector_l2_ops)");
	check("scan, $table", $scan,
		"SELECT count(*) FROM (SELECT FROM $table ORDER BY e <-> (SELECT e FROM $table WHERE id = 7)) AS ordered;");
	check("inspecting all, $table", "$scan SET annoy.iterative_scan = relaxed_order; SET annoy.search_k = 1000000;",
		"SELECT count(*) FROM (SELECT FROM $table ORDER BY e <-> (SELECT e FROM $table WHERE id = 7)) AS ordered;");
	check("check, $table", '', "SELECT annoy_index_check('${table}_l2', true);");
	$node->safe_psql('postgres', "DELETE FROM $table WHERE id % 3 > 0");
	# a VACUUM that was stopped has removed a part; here is still enough
	check("VACUUM, $table", '', "VACUUM (INDEX_CLEANUP on) $table;");
	is($node->safe_psql('postgres', qq{
		VACUUM (INDEX_CLEANUP on) $table;
		SELECT annoy_index_check('${table}_l2', true), annoy_index_check('empty_${table}_l2', true);}), '|', "the indexes are sound afterwards, $table");
}

$node->stop;
unlike(slurp_file($node->logfile), qr/terminated by signal|PANIC|TRAP|is damaged|refcount leak/, 'nothing leaks');
done_testing();
