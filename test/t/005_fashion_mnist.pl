
# What the index reaches on real data: 60,000 images of 784 pixels, and queries
# that are not among them.

use strict;
use warnings;

use AnnoyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $rows = 60000;
my $queries = 100;
my $raw_bytes = $rows * 784 * 4;

plan skip_all => $no_images if $no_images;

my $node = start_server(
	"fsync = off\nwal_level = minimal\nmax_wal_senders = 0\nshared_buffers = '256MB'\n" .
	"max_wal_size = '2GB'\njit = off\nmaintenance_work_mem = '64MB'\nmax_parallel_workers_per_gather = 2\n" .
	"min_parallel_table_scan_size = 0");

copy_values($node, 'images', 'vector(784)', image_reader('train', $rows));
copy_values($node, 'queries', 'vector(784)', image_reader('t10k', $queries));
is($node->safe_psql('postgres', 'SELECT count(*) FROM images'), $rows, 'images are loaded');
$node->safe_psql('postgres', q{
	CREATE TABLE exact (query int, distances float8[]);
	
	VACUUM ANALYZE images;
	DO $$
	DECLARE
		query record;
	BEGIN
		FOR query IN SELECT * FROM queries
		LOOP
			INSERT INTO exact SELECT query.id, array_agg(d ORDER BY d)
				FROM (SELECT e <-> query.e AS d FROM images ORDER BY 1 LIMIT 10) AS nearest;
		END LOOP;
	END
	$$;});

my $started = time;
$node->safe_psql('postgres', 'CREATE INDEX images_l2 ON images USING annoy (e vector_l2_ops)');
note('build: ', time - $started, ' s');
my $size = $node->safe_psql('postgres', q{SELECT pg_relation_size('images_l2')});
cmp_ok($size, '<=', 1.2 * $raw_bytes, 'size of the index') and note('size: ', $size / $raw_bytes, ' x raw data');
is($node->safe_psql('postgres', qq{SELECT bool_and(count = $rows AND items = $rows) FROM
		(SELECT count(*), count(DISTINCT item) AS items FROM annoy_leaf_items('images_l2') GROUP BY tree) AS trees}),
	't', 'every image is in every tree once');

# Recall@10: how many of the ten nearest are found.  Equal distances count as
# the same neighbour.
sub recall
{
	my ($search_k) = @_;
	my $answer = $node->safe_psql(
		'postgres', qq{
		SET annoy.search_k = $search_k;
		SELECT avg((d <= distances[10])::int), bool_and((annoy_last_scan()).items_inspected > 0),
			max((annoy_last_scan()).items_inspected)
		FROM queries JOIN exact ON query = id,
			LATERAL (SELECT images.e <-> queries.e AS d FROM images ORDER BY images.e <-> queries.e LIMIT 10) AS nearest});
	my ($recall, $used, $items) = split(/\|/, $answer);

	note("search_k = $search_k: recall $recall, at most $items items inspected");
	is($used, 't', 'the planner takes the index by itself');
	return ($recall, $items);
}

my ($recall, $automatic) = recall(-1);
cmp_ok($recall, '>=', 0.94, 'recall@10 by default');
cmp_ok($automatic, '<=', 0.2 * $rows, 'the automatic search_k is a small part of the table');
my $last = $recall;
for my $search_k (4000, 16000)
{
	($recall) = recall($search_k);
	cmp_ok($recall, '>=', $last - 0.002, "recall does not fall at search_k = $search_k");
	$last = $recall;
}
($recall) = recall(2147483647);
cmp_ok($recall, '==', 1, 'recall@10 of 1 is reached');

# An image of the table is its own nearest neighbour.
is($node->safe_psql(
	'postgres', q{
	SELECT count(*), bool_and(d = 0) FROM (SELECT e FROM images WHERE id % 1200 = 0) AS member,
		LATERAL (SELECT images.e <-> member.e AS d FROM images ORDER BY images.e <-> member.e LIMIT 1) AS nearest}),
	'50|t', 'images find themselves');

$node->stop;
done_testing();
