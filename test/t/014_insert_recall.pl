
# What an index reaches on real data when all rows have come by inserts, into an
# index of an empty table; then when half of them are gone, and come back.
#
# Fashion-MNIST is a Debian package, the words of GloVe are an npm package
# (AnnoyTest.pm); what cannot be had is skipped.

use strict;
use warnings;

use AnnoyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $queries = 100;

my $node = start_server(
	"fsync = off\nshared_buffers = '256MB'\nmax_wal_size = '4GB'\njit = off\n" .
	"maintenance_work_mem = '64MB'\nmax_parallel_workers_per_gather = 0");

# Vectors and queries, from functions that return one after the other, and an
# empty table with an index.
sub load_tables
{
	my ($type, $source, $queries) = @_;

	$node->safe_psql('postgres', 'DROP TABLE IF EXISTS source, items, queries');
	copy_values($node, 'source', $type, $source);
	copy_values($node, 'queries', $type, $queries);
	$node->safe_psql('postgres', q{
		CREATE TABLE items (LIKE source INCLUDING STORAGE);
		CREATE INDEX items_l2 ON items USING annoy (e vector_l2_ops);});
}

# Recall@10 by default: how many of the ten nearest are found.  Equal distances
# count as the same neighbour.
sub recall
{
	my ($what) = @_;
	my ($recall, $items) = split(/\|/, $node->safe_psql(
		'postgres', q{
		ANALYZE items;
		DROP TABLE IF EXISTS exact;
		CREATE TABLE exact (query int, radius float8);
		DO $$
		DECLARE
			query record;
		BEGIN
			FOR query IN SELECT * FROM queries
			LOOP
				INSERT INTO exact SELECT query.id, max(d) FROM (SELECT l2_distance(e, query.e) AS d FROM items ORDER BY 1 LIMIT 10) AS nearest;
			END LOOP;
		END
		$$;
		SET enable_seqscan = off;
		SELECT round(avg((d <= radius)::int), 4), max((annoy_last_scan()).items_inspected)
		FROM queries JOIN exact ON query = id,
			LATERAL (SELECT items.e <-> queries.e AS d FROM items ORDER BY items.e <-> queries.e LIMIT 10) AS nearest}));

	note("$what: recall $recall, at most $items items inspected, " .
		$node->safe_psql('postgres', q{SELECT pg_size_pretty(pg_relation_size('items_l2'))}));
	cmp_ok($recall, '>=', 0.9, $what);
}

sub check_life
{
	my ($name) = @_;
	my $rows = $node->safe_psql('postgres', 'SELECT count(*) FROM source');
	my $start = time;

	$node->safe_psql('postgres', 'INSERT INTO items SELECT * FROM source');
	note(sprintf('%.0f inserts a second', $rows / (time - $start)));
	recall("$name, $rows rows inserted into an empty index");
	$node->safe_psql('postgres', 'DELETE FROM items WHERE id % 2 = 0');
	$start = time;
	$node->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP on) items');
	note(sprintf('VACUUM in %.2f s', time - $start));
	recall("$name, half of them deleted");
	$node->safe_psql('postgres', 'INSERT INTO items SELECT * FROM source WHERE id % 2 = 0');
	recall("$name, doubled again");
	$node->safe_psql('postgres', q{SELECT annoy_index_check('items_l2', true)});
	$node->safe_psql('postgres', 'DELETE FROM items WHERE id % 2 = 1');
	$node->safe_psql('postgres', 'REINDEX INDEX items_l2');
	recall("$name, half of them built");
	$node->safe_psql('postgres', 'INSERT INTO items SELECT * FROM source WHERE id % 2 = 1');
	recall("$name, doubled by inserts after the build");
}

SKIP:
{
	skip $no_images, 5 if $no_images;

	load_tables('vector(784)', image_reader('train', 20000), image_reader('t10k', $queries));
	check_life('Fashion-MNIST');
}

SKIP:
{
	my $file = find_words($node);

	skip 'the npm package with words is not to be had', 5 unless $file;

	my @words = read_words($file, 50000 + $queries, 1);
	# one of 500 is a query, frequent and rare ones alike
	my @held_out = map { splice(@words, ($_ - 1) * 500, 1) } reverse 1 .. $queries;

	load_tables('vector(100)', sub { shift @words }, sub { shift @held_out });
	check_life('GloVe');
}

$node->stop;
unlike(slurp_file($node->logfile), qr/terminated by signal|PANIC|TRAP|is damaged/, 'no process was lost');
done_testing();
