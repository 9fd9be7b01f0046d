
# An index survives a crash of the server, in every way that its table has of
# reaching the disk.

use strict;
use warnings;

use AnnoyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

sub answers { return answers_and_leaves(@_, 50) }

sub create_table
{
	my ($kind, $table) = @_;

	return qq{
		CREATE $kind TABLE $table (id int, e vector(50));
		INSERT INTO $table SELECT i, CASE WHEN i % 100 > 0 THEN even_vector(50, i) END
			FROM generate_series(1, 3000) AS i;
		INSERT INTO $table SELECT i, array_fill(0, ARRAY[50])::vector FROM generate_series(3001, 3010) AS i;
		CREATE INDEX ${table}_l2 ON $table USING annoy (e vector_l2_ops);
		CREATE INDEX ${table}_cosine ON $table USING annoy (e);
		CREATE INDEX ${table}_ip ON $table USING annoy (e vector_ip_ops) WITH (n_trees = 3);};
}

my $node = start_server("checkpoint_timeout = 1h");
load_answers($node);

# Built before and after the last checkpoint, and with rows removed.
$node->safe_psql('postgres', create_table('', 'early'));
$node->safe_psql('postgres', 'CHECKPOINT');
$node->safe_psql('postgres', create_table('', 'late'));
$node->safe_psql('postgres', create_table('UNLOGGED', 'unlogged'));
$node->safe_psql('postgres', create_table('', 'vacuumed'));
$node->safe_psql('postgres', 'DELETE FROM vacuumed WHERE id % 3 = 0');
$node->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP on) vacuumed');
$node->safe_psql('postgres', 'CREATE INDEX CONCURRENTLY late_more ON late USING annoy (e vector_l2_ops) WITH (seed = 3)');

my %before = map { $_ => answers($node, $_) } qw(early late vacuumed);
isnt(answers($node, 'unlogged'), '', 'the unlogged index answers before the crash');

$node->stop('immediate');
$node->start;

is(answers($node, $_), $before{$_}, "table \"$_\" answers as before the crash")
  foreach sort keys %before;
is($node->safe_psql('postgres', q{SELECT count(*) FROM answer('SELECT id, 0::float8 AS d FROM unlogged ORDER BY e <-> even_vector(50, 1)', true)}),
	0, 'an unlogged index is empty after a crash, and can be scanned');
is($node->safe_psql('postgres', 'SELECT count(*) FROM annoy_leaf_items(\'unlogged_ip\')'),
	0, 'its trees are empty');
$node->safe_psql('postgres', q{
	DROP INDEX unlogged_l2, unlogged_cosine, unlogged_ip;
	INSERT INTO unlogged SELECT * FROM early;
	CREATE INDEX ON unlogged USING annoy (e vector_l2_ops);
	CREATE INDEX ON unlogged USING annoy (e);
	CREATE INDEX ON unlogged USING annoy (e vector_ip_ops);});
like(answers($node, 'unlogged'), qr/^(.*\n){15}/, 'and it can be made anew');

# A second crash, with nothing but the first recovery between.
$node->stop('immediate');
$node->start;
is(answers($node, $_), $before{$_}, "table \"$_\" answers as before the second crash")
  foreach sort keys %before;
is($node->safe_psql('postgres', 'REINDEX TABLE late; VACUUM FULL early; SELECT count(*) FROM late'),
	3010, 'indexes can be made anew');

# A crash in the middle of a build leaves the table as it was.
my $building = start_psql($node, [ '-c', 'CREATE INDEX broken ON late USING annoy (e) WITH (n_trees = 1000)' ]);
ok($node->poll_query_until('postgres',
		q{SELECT count(*) > 0 FROM pg_stat_progress_create_index WHERE phase ~ 'splitting|leaves'}),
	'a build is under way');
$node->stop('immediate');
eval { $building->finish };
$node->start;
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_class WHERE relname = 'broken'}),
	0, 'a crash in a build leaves no index');
is(answers($node, 'late'), $before{late}, 'and harms no other one');

# Without WAL: tables made in the transaction that made the index.
$node->append_conf('postgresql.conf', "wal_level = minimal\nmax_wal_senders = 0\nwal_skip_threshold = 0");
$node->restart;
$node->safe_psql('postgres', 'BEGIN;' . create_table('', 'minimal') . 'COMMIT;');
my $minimal = answers($node, 'minimal');
$node->stop('immediate');
$node->start;
is(answers($node, 'minimal'), $minimal, 'an index that was written without WAL survives a crash');

$node->stop;
done_testing();
