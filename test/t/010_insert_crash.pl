
# Crashes at random moments, while rows are inserted, updated and deleted, leaves
# and directories split, VACUUM removes and REINDEX CONCURRENTLY rebuilds: after
# recovery the index has every row of the table, and goes on from there.

use strict;
use warnings;

use AnnoyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $crashes = $ENV{ANNOY_LONG_TESTS} ? 100 : 24;
my $seed = $ENV{ANNOY_SEED} || time;

srand($seed);
note("ANNOY_SEED=$seed");

my $node = start_server("fsync = off\nmax_wal_size = '4GB'\njit = off");
load_answers($node);

# 64 of these vectors fill a leaf, and 10 leaves a directory.
$node->safe_psql(
	'postgres', q{
	CREATE TABLE pool (i int PRIMARY KEY, e vector(768));
	ALTER TABLE pool ALTER e SET STORAGE plain;
	INSERT INTO pool SELECT i, even_vector(256, i) || even_vector(256, i / 20) || even_vector(256, i % 20) FROM generate_series(1, 500) AS i;
	CREATE SEQUENCE ids;
	CREATE TABLE items (id int DEFAULT nextval('ids'), e vector(768));
	ALTER TABLE items ALTER e SET STORAGE plain;
	CREATE INDEX items_l2 ON items USING annoy (e vector_l2_ops) WITH (n_trees = 2);
	CREATE INDEX items_cosine ON items USING annoy (e);
	-- Whether an index has just the rows of the table.
	CREATE FUNCTION whole() RETURNS text LANGUAGE sql AS $$
		SELECT string_agg(operator || ' ' || complete_answer(
				format('SELECT id, e %1$s %2$L AS d FROM items ORDER BY e %1$s %2$L', operator, (SELECT e FROM pool WHERE i = 77))), ', ')
		FROM unnest('{<->,<=>}'::text[]) AS operator
	$$;
	-- Rows from the pool, some with a vector all of their own.
	CREATE FUNCTION insert_some(start int, number int) RETURNS void LANGUAGE sql AS $$
		INSERT INTO items (e) SELECT CASE WHEN i % 50 = 0 THEN NULL WHEN i % 3 = 0 THEN e + (SELECT e FROM pool WHERE i = start) ELSE e END
		FROM pool WHERE i BETWEEN start AND start + number - 1
	$$;});

# Endless work, each line a statement of its own.
my %work = (
	insert => sub { 'SELECT insert_some(' . int(1 + rand(480)) . ', ' . int(1 + rand(60)) . ');' },
	copies => sub { 'INSERT INTO items (e) SELECT e FROM pool, generate_series(1, 50) WHERE i = ' . int(1 + rand(10)) . ';' },
	update => sub { 'UPDATE items SET e = (SELECT e FROM pool WHERE i = ' . int(1 + rand(500)) . ') WHERE id % 400 = ' . int(rand(400)) . ';' },
	delete => sub { 'DELETE FROM items WHERE id % 20 = ' . int(rand(20)) . ';' },
	rollback => sub { 'BEGIN; SELECT insert_some(' . int(1 + rand(400)) . ', 100); ROLLBACK;' },
	vacuum => sub { 'VACUUM (INDEX_CLEANUP on) items;' },
	reindex => sub { 'REINDEX INDEX CONCURRENTLY ' . (rand() < 0.5 ? 'items_l2;' : 'items_cosine;') },
	checkpoint => sub { 'CHECKPOINT;' });
my @clients = (
	[qw(insert insert insert update delete)],
	[qw(insert copies insert rollback delete)],
	[qw(vacuum vacuum vacuum reindex checkpoint)]);

sub start_client
{
	my ($number, @kinds) = @_;
	my $file = $node->basedir . "/client_$number.sql";

	PostgreSQL::Test::Utils::append_to_file($file, join("\n", map { $work{ $kinds[ rand(@kinds) ] }->() } 1 .. 2000))
	  unless -f $file;
	return start_psql($node, [ '-f', $file ]);
}

my $failed = 0;
my ($largest, $rebuilds) = (0, 0);
for my $crash (1 .. $crashes)
{
	my @running = map { start_client("${crash}_$_", @{ $clients[$_] }) } 0 .. $#clients;

	sleep(0.15 + rand(0.6));
	$node->stop('immediate');
	for my $client (@running)
	{
		eval { $client->finish };
	}
	$node->start;

	# A rebuild that did not come to its end has left an index of its own.
	my $unfinished = $node->safe_psql('postgres', q{
		SELECT indexrelid::regclass FROM pg_index WHERE indrelid = 'items'::regclass AND NOT (indisvalid AND indislive)});
	$rebuilds += () = $unfinished =~ /_cc/g;
	$node->safe_psql('postgres', "DROP INDEX $_") foreach split(/\n/, $unfinished);

	my $state = $node->safe_psql('postgres', q{
		SELECT whole();
		SELECT annoy_index_check(index, true) FROM unnest('{items_l2,items_cosine}'::regclass[]) AS index;});
	my $rows = $node->safe_psql('postgres', 'SELECT count(*) FROM items');

	$largest = $rows if $rows > $largest;
	if ($state !~ /^<-> true, <=> true\s*$/)
	{
		fail("crash $crash: $state");
		$failed++;
	}
}
is($failed, 0, "the index has every row after each of $crashes crashes");
note("up to $largest rows; $rebuilds rebuilds interrupted");
cmp_ok($largest, '>=', 700, 'leaves and directories were split');

# What is left can be used.
$node->safe_psql('postgres', 'DELETE FROM items WHERE id % 2 = 0');
$node->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP on) items');
$node->safe_psql('postgres', 'SELECT insert_some(1, 500)');
is($node->safe_psql('postgres', 'SELECT whole()'), '<-> true, <=> true', 'rows go and come after the last crash');
is($node->safe_psql('postgres', q{
	SELECT annoy_index_check(index, true) FROM unnest('{items_l2,items_cosine}'::regclass[]) AS index;}) =~ s/\s//gr, '', 'and the indexes are sound');

$node->stop;
unlike(slurp_file($node->logfile), qr/terminated by signal|PANIC|TRAP|is damaged/, 'no process was lost');
done_testing();
