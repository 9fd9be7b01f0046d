
# Several sessions insert, update, delete, search, VACUUM and rebuild together,
# and cancel each other's statements: every scan returns what its snapshot sees,
# annoy_index_check finds nothing meanwhile, and in the end the index has just the
# rows of the table.

use strict;
use warnings;

use AnnoyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $clients = 4;
my $seconds = $ENV{ANNOY_LONG_TESTS} ? 300 : 60;
my $seed = $ENV{ANNOY_SEED} || time;

srand($seed);
note("ANNOY_SEED=$seed");

my $node = start_server("fsync = off\nmax_wal_size = '4GB'\njit = off");
load_answers($node);

# 64 of these vectors fill a leaf, and 10 leaves a directory; every tenth is one
# of a few that come often.
$node->safe_psql(
	'postgres', q{
	CREATE TABLE pool (i int PRIMARY KEY, e vector(768));
	ALTER TABLE pool ALTER e SET STORAGE plain;
	INSERT INTO pool SELECT i, even_vector(256, i) || even_vector(256, i / 20) || even_vector(256, i % 20) FROM generate_series(1, 1000) AS i;
	CREATE SEQUENCE ids;
	CREATE TABLE items (id int DEFAULT nextval('ids'), e vector(768));
	ALTER TABLE items ALTER e SET STORAGE plain;
	CREATE INDEX items_id ON items (id);
	CREATE INDEX items_l2 ON items USING annoy (e vector_l2_ops) WITH (n_trees = 2);
	CREATE INDEX items_cosine ON items USING annoy (e);
	CREATE FUNCTION pooled(i int) RETURNS vector LANGUAGE sql STABLE AS $$
		SELECT CASE WHEN i % 50 = 0 THEN NULL WHEN i % 3 = 0 THEN e + (SELECT e FROM pool WHERE pool.i = (pooled.i * 7) % 1000 + 1) ELSE e END
		FROM pool WHERE pool.i = CASE WHEN pooled.i % 10 = 0 THEN pooled.i % 30 ELSE pooled.i % 1000 END + 1
	$$;
	CREATE FUNCTION check_scan(operator text, q int) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		IF NOT complete_answer(format('SELECT id, e %1$s %2$L AS d FROM items ORDER BY e %1$s %2$L', operator, (SELECT e FROM pool WHERE i = q))) THEN
			RAISE EXCEPTION 'wrong answer';
		END IF;
	END
	$$;
	INSERT INTO items (e) SELECT pooled(i) FROM generate_series(1, 1000) AS i;});

sub number { return int(1 + rand($_[0])) }

my %work = (
	insert => sub { 'INSERT INTO items (e) SELECT pooled(i) FROM generate_series(' . number(5000) . ', 5000) AS i LIMIT ' . number(40) . ';' },
	single => sub { 'INSERT INTO items (e) VALUES (pooled(' . number(5000) . '));' },
	update => sub { 'UPDATE items SET e = pooled(' . number(5000) . ') WHERE id = (SELECT id FROM items WHERE id > ' . number(3000) . ' ORDER BY id LIMIT 1);' },
	delete => sub { 'DELETE FROM items WHERE id IN (SELECT id FROM items WHERE id % 50 = ' . number(50) . ' - 1 FOR UPDATE SKIP LOCKED);' },
	rollback => sub { 'BEGIN; INSERT INTO items (e) SELECT pooled(i) FROM generate_series(1, 100) AS i; ROLLBACK;' },
	search => sub { 'SELECT id FROM items ORDER BY e <-> (SELECT e FROM pool WHERE i = ' . number(1000) . ') LIMIT ' . number(100) . ';' },
	check => sub { 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT check_scan(\'' . (rand() < 0.5 ? '<->' : '<=>') . '\', ' . number(1000) . '); COMMIT;' },
	whole => sub { 'SELECT annoy_index_check(\'items_' . (rand() < 0.5 ? 'l2' : 'cosine') . '\', ' . (rand() < 0.5 ? 'true' : 'false') . ');' },
	vacuum => sub { 'VACUUM (INDEX_CLEANUP on, SKIP_LOCKED) items;' },
	# a statement of another session, whatever it is
	cancel => sub { 'SELECT pg_cancel_backend(pid) FROM pg_stat_activity
		WHERE state = \'active\' AND backend_type = \'client backend\' AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1;' });
my @kinds = (('insert') x 8, ('single') x 8, ('update') x 8, ('delete') x 4, 'rollback', ('search') x 8, ('check') x 3,
	('whole') x 2, ('vacuum') x 3, ('cancel') x 4);

my $deadline = time() + $seconds;
my @running;
for my $client (1 .. $clients)
{
	my $file = $node->basedir . "/client_$client.sql";
	my $error = '';

	# Asked before each statement whether it is time to end; a cancelled answer
	# leaves the one before.
	PostgreSQL::Test::Utils::append_to_file($file,
		"\\set over f\n" .
		join("\n", map {
			"SELECT clock_timestamp() > to_timestamp($deadline) AS over \\gset\n\\if :over\n\\quit\n\\endif\n" . $work{ $kinds[ rand(@kinds) ] }->()
		} 1 .. 200 * $seconds));
	push @running, { error => \$error, harness => start_psql($node, [ '-f', $file ], \$error) };
}
my ($cancelled, $other) = (0, '');
for my $client (@running)
{
	$client->{harness}->finish;
	for my $line (split(/\n/, ${ $client->{error} }))
	{
		if ($line =~ /canceling statement due to user request/)
		{
			$cancelled++;
		}
		elsif ($line =~ /(ERROR|FATAL|PANIC|server closed|connection)/ && $line !~ /current transaction is aborted/)
		{
			$other .= "$line\n";
		}
	}
}
is($other, '', 'no error but cancelled statements');
cmp_ok($cancelled, '>=', 10, 'statements were cancelled');
my ($rows, $ids, $size) = split(/\|/, $node->safe_psql('postgres', q{SELECT count(*), max(id), pg_relation_size('items_l2') / 8192 FROM items}));
note("$cancelled statements cancelled; $rows rows left of $ids; $size blocks");
cmp_ok($ids, '>=', 3000, 'rows were inserted');

my $whole = q{
	SELECT check_scan('<->', 7), check_scan('<=>', 7);
	SELECT annoy_index_check(index, true) FROM unnest('{items_l2,items_cosine}'::regclass[]) AS index;};
my ($result, $output, $error) = $node->psql('postgres', $whole);
is($error, '', 'the indexes have every row and are sound');
($result, $output, $error) = $node->psql('postgres', "VACUUM (INDEX_CLEANUP on) items; $whole");
is($error, '', 'also after VACUUM');
is($node->safe_psql('postgres', q{
		SELECT bool_and(reltuples = (SELECT count(*) FROM items)) FROM pg_class WHERE relname ~ '^items_(l2|cosine)'}), 't',
	'which has counted the rows');
my $blocks = $node->safe_psql('postgres', q{
	SELECT pg_relation_size('items_l2') / 8192; REINDEX INDEX items_l2; SELECT pg_relation_size('items_l2') / 8192;});
note('blocks, and after REINDEX: ' . $blocks =~ s/\s+/ /gr);

$node->stop;
unlike(slurp_file($node->logfile), qr/terminated by signal|PANIC|TRAP|is damaged|does not match|refcount leak/, 'no process was lost');
done_testing();
