
# What metrics beyond cosine and Euclidean distance reach on real data: taxicab
# distance on images, Hamming distance on images in black and white, and inner
# products of word vectors as they are, whose norms spread widely.
#
# Fashion-MNIST is a Debian package, the words of GloVe are an npm package
# (AnnoyTest.pm); what cannot be had is skipped.

use strict;
use warnings;

use AnnoyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $rows = 20000;
my $queries = 50;

my $node = start_server(
	"fsync = off\nshared_buffers = '256MB'\nmax_wal_size = '2GB'\njit = off\n" .
	"maintenance_work_mem = '64MB'\nmax_parallel_workers_per_gather = 0");

# Recall@10: how many of the ten nearest are found.  A row as near as the tenth
# counts as well as it does.
sub recall
{
	my ($operator, $search_k) = @_;
	my ($recall, $items, $exact) = split(/\|/, $node->safe_psql(
		'postgres', qq{
		SET enable_seqscan = off;
		SET annoy.search_k = $search_k;
		SELECT sum((d <= radius)::int) / (10.0 * count(DISTINCT exact.query)), max((annoy_last_scan()).items_inspected),
			round(avg((annoy_last_scan()).exact_distances))
		FROM queries JOIN exact ON query = id,
			LATERAL (SELECT items.e $operator queries.e AS d FROM items ORDER BY items.e $operator queries.e LIMIT 10) AS nearest}));

	note("$operator, search_k = $search_k: recall $recall, at most $items items inspected, $exact distances");
	return $recall;
}

sub check_metric
{
	my ($name, $operator, $opclass) = @_;

	$node->safe_psql('postgres', qq{
		DROP TABLE IF EXISTS exact;
		CREATE TABLE exact AS SELECT id AS query,
			(SELECT max(d) FROM (SELECT items.e $operator queries.e AS d FROM items ORDER BY 1 LIMIT 10) AS nearest) AS radius
			FROM queries;
		CREATE INDEX items_index ON items USING annoy (e $opclass)});
	cmp_ok(recall($operator, -1), '>=', 0.9, "$name: recall by default");
	cmp_ok(recall($operator, 2147483647), '>=', 0.999, "$name: recall by raising search_k");
	$node->safe_psql('postgres', q{SELECT annoy_index_check('items_index', true); DROP INDEX items_index});
}

sub load_values
{
	my ($table, $type, $next) = @_;

	$node->safe_psql('postgres', "DROP TABLE IF EXISTS $table");
	copy_values($node, $table, $type, $next);
	$node->safe_psql('postgres', "VACUUM ANALYZE $table");
}

# The binary form of a bit for each pixel that is brighter than 127.
sub image_bits { return pack('N', 784) . pack('B784', join('', map { $_ > 127 ? 1 : 0 } unpack('C784', $_[0]))) }

SKIP:
{
	skip $no_images, 6 if $no_images;

	load_values('items', 'vector(784)', image_reader('train', $rows));
	load_values('queries', 'vector(784)', image_reader('t10k', $queries));
	check_metric('taxicab distance, Fashion-MNIST', '<+>', 'vector_l1_ops');
	load_values('items', 'bit(784)', image_reader('train', $rows, \&image_bits));
	load_values('queries', 'bit(784)', image_reader('t10k', $queries, \&image_bits));
	check_metric('Hamming distance, Fashion-MNIST in black and white', '<~>', 'bit_hamming_ops');
	check_metric('Jaccard distance, Fashion-MNIST in black and white', '<%>', 'bit_jaccard_ops');
}

SKIP:
{
	my $file = find_words($node);

	skip 'the npm package with words is not to be had', 2 unless $file;

	my @words = read_words($file, 40000 + $queries);
	# one of 700 is a query, frequent and rare ones alike
	my @held_out = map { splice(@words, ($_ - 1) * 700, 1) } reverse 1 .. $queries;

	load_values('items', 'vector(100)', sub { shift @words });
	load_values('queries', 'vector(100)', sub { shift @held_out });
	check_metric('inner product, GloVe', '<#>', 'vector_ip_ops');
}

$node->stop;
done_testing();
