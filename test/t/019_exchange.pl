
# Exchange with the library Annoy itself: it loads what annoy_save writes, has
# the same items and distances, and finds as much with it as with a forest of
# its own; what it writes is read back item by item.  And files: who may use
# them, and what becomes of them.

use strict;
use warnings;

use AnnoyTest;
use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($header) = glob('/usr/lib/R/*-library/RcppAnnoy/include/annoylib.h');
my ($rows, $queries, $trees) = (8000, 100, 5);

plan skip_all => 'package r-cran-rcppannoy is not installed' unless defined $header;
plan skip_all => $no_images if $no_images;

my $folder = PostgreSQL::Test::Utils::tempdir;
my $program = "$folder/original";
(my $include = $header) =~ s|/[^/]*$||;
system('g++', '-O2', '-o', $program, "-I$include", "$FindBin::Bin/../original/original.cc") == 0
  or BAIL_OUT('the program with the library does not compile');

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', "autovacuum = off\nfsync = off\njit = off\nmax_wal_size = '1GB'");
$node->start;

sub pixels
{
	my ($name, $count) = @_;
	my $next = image_reader($name, $count, sub { [ unpack('C784', $_[0]) ] });

	return map { $next->() } 1 .. $count;
}

sub write_floats
{
	my ($file, @vectors) = @_;

	open(my $out, '>:raw', $file) or die $!;
	print $out pack('f<*', @$_) for @vectors;
	close($out) or die $!;
}

sub copy_in
{
	my ($table, $format, @vectors) = @_;
	my $id = 0;

	open(my $psql, '|-', 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'),
		'-c', "COPY $table FROM STDIN") or die $!;
	print $psql $id++, "\t", $format->($_), "\n" for @vectors;
	close($psql) or die 'rows could not be loaded';
}

my @vectors = pixels('train', $rows);
my @queries = pixels('t10k', $queries);
my $binary = sub { map { [ map { $_ > 127 ? 1 : 0 } @$_ ] } @_ };
write_floats("$folder/vectors", @vectors);
write_floats("$folder/queries", @queries);
write_floats("$folder/bit_vectors", $binary->(@vectors));
write_floats("$folder/bit_queries", $binary->(@queries));

$node->safe_psql('postgres', 'CREATE EXTENSION annoy;
	CREATE TABLE images (id int, e vector(784)); CREATE TABLE bits (id int, e bit(784))');
copy_in('images', sub { '[' . join(',', @{ $_[0] }) . ']' }, @vectors);
copy_in('bits', sub { join('', @{ $_[0] }) }, $binary->(@vectors));

my %opclasses = (
	angular => 'vector_cosine_ops', euclidean => 'vector_l2_ops', manhattan => 'vector_l1_ops',
	dot => 'vector_ip_ops', hamming => 'bit_hamming_ops');

for my $metric (qw(angular euclidean manhattan dot hamming))
{
	my ($table, $prefix) = $metric eq 'hamming' ? ('bits', 'bit_') : ('images', '');
	my $own = "$folder/$metric.own";
	my ($ours, $output, $errors) = ("$folder/$metric.annoy", '', '');

	is($node->safe_psql('postgres', "
			CREATE INDEX ${metric}_index ON $table USING annoy (e $opclasses{$metric}) WITH (n_trees = $trees);
			SELECT annoy_save('${metric}_index', '$ours', 'id')"), $rows, "$metric: all rows are written");
	ok(IPC::Run::run([ $program, $metric, 784, $trees, "$folder/${prefix}vectors", "$folder/${prefix}queries",
				$ours, $own, 200, 1000, 4000 ], '>', \$output, '2>', \$errors), "$metric: the library loads it")
	  or diag($errors);
	note("$metric: $output");
	like($output, qr/^items $rows\ntrees $trees\ndiffer 0\n/, "$metric: it has the same items");
	my ($worst) = $output =~ /^worst (\S+)/m;
	cmp_ok($worst, '<', 1e-5, "$metric: and the same distances");
	unlike($output, qr/^short [1-9]/m, "$metric: answers have ten items");
	while ($output =~ /^recall (\d+) (\S+) (\S+)/mg)
	{
		cmp_ok($2, '>=', $3 - 0.02, "$metric: recall at search_k = $1 is that of the library's own forest");
	}

	my $elements = $metric eq 'hamming' ? "string_agg(x::int::text, '' ORDER BY i)::bit(784)" :
	  'array_agg(x ORDER BY i)::vector';
	for my $f ('784', 'NULL')
	{
		my $cut = $metric eq 'hamming' ? 'embedding[:784]' : 'embedding';

		is($node->safe_psql('postgres', "SELECT count(*), bool_and(($cut)::text =
				(" . ($metric eq 'hamming' ? "SELECT ARRAY(SELECT regexp_split_to_table(e::text, '')::real)" : 'SELECT e::real[]') . ")::text)
			FROM annoy_file_items('$own', '$metric', $f) AS file JOIN $table USING (id)"),
			"$rows|t", "$metric: a file of the library is read back, dimensions $f");
	}
}

# Roles and paths
my ($out, $err);
my $target = "$folder/euclidean.annoy";
$node->safe_psql('postgres', 'CREATE ROLE guest; CREATE ROLE reader; CREATE ROLE writer;
	GRANT pg_read_server_files TO reader; GRANT pg_write_server_files TO writer;
	GRANT SELECT (e) ON images TO writer');

sub refused
{
	my ($role, $query, $pattern, $name) = @_;
	my ($code, $stdout, $stderr) = $node->psql('postgres', "SET ROLE $role; $query", extra_params => [ '-v', 'VERBOSITY=verbose' ]);

	like($stderr, $pattern, $name);
}

refused('guest', "SELECT annoy_save('euclidean_index', '$folder/new')", qr/42501/, 'writing needs a role');
refused('reader', "SELECT annoy_save('euclidean_index', '$folder/new')", qr/42501/, 'another than reading');
refused('guest', "SELECT * FROM annoy_file_items('$target', 'euclidean', 784)", qr/42501/, 'reading needs a role');
refused('writer', "SELECT * FROM annoy_file_items('$target', 'euclidean', 784)", qr/42501/, 'another than writing');
refused('writer', "SELECT annoy_save('euclidean_index', '$folder/new', 'id')", qr/42501/, 'ids need SELECT on their column');
refused('writer', "SELECT annoy_save('euclidean_index', 'new')", qr/42602/, 'a relative path is refused');
refused('reader', "SELECT * FROM annoy_file_items('../postgresql.conf', 'dot', 4)", qr/42602/, 'in reading, too');
refused('writer', "SELECT annoy_save('euclidean_index', '$folder')", qr/42809/, 'a folder is not replaced');
refused('reader', "SELECT * FROM annoy_file_items('/dev/zero', 'dot', 4)", qr/42809/, 'a device is not read');
refused('writer', "SELECT annoy_save('euclidean_index', '$folder/no/such/file')", qr/58P01/, 'a folder that is not there');
is($node->safe_psql('postgres', "SET ROLE writer; SELECT annoy_save('euclidean_index', '$folder/new')"), $rows,
	'who has all of it may write');
symlink("$folder/new", "$folder/link");
refused('writer', "SELECT annoy_save('euclidean_index', '$folder/link')", qr/42809/, 'a link is not followed');

# An error leaves the old file as it was, and nothing else.
sub files { opendir(my $dir, $folder) or die; return join(' ', sort readdir($dir)) }
my $before = files();
my $contents = slurp_file($target);
$node->safe_psql('postgres', 'INSERT INTO images SELECT 5, e FROM images LIMIT 1');
refused('postgres', "SELECT annoy_save('euclidean_index', '$target', 'id')", qr/23505/, 'ids have to be unique');
$node->safe_psql('postgres', 'UPDATE images SET id = NULL WHERE ctid = (SELECT max(ctid) FROM images)');
refused('postgres', "SELECT annoy_save('euclidean_index', '$target', 'id')", qr/23502/, 'and not null');
$node->safe_psql('postgres', 'UPDATE images SET id = -1 WHERE id IS NULL');
refused('postgres', "SELECT annoy_save('euclidean_index', '$target', 'id')", qr/22003/, 'and not negative');
refused('postgres', "SET statement_timeout = 20; SELECT annoy_save('euclidean_index', '$target')", qr/57014/, 'a timeout');

# The end of a session, once the file is there under its other name, which has
# the session's number.  The session is halted until it has been told to end,
# so that it cannot be done before.
my $save = IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), '-c',
		"SELECT annoy_save('euclidean_index', '$target')" ], '>', \$out, '2>', \$err);
my $pid;
for (1 .. 1000 * $PostgreSQL::Test::Utils::timeout_default)
{
	($pid) = files() =~ /\.annoy-(\d+)-\d+/ and last;
	select(undef, undef, undef, 0.001);
}
kill('STOP', $pid);
is($node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)"), 't', 'a session is ended while it writes');
kill('CONT', $pid);
$save->finish;
$node->poll_query_until('postgres', "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)") or die 'it does not end';
like($err, qr/terminating connection due to administrator command/, 'before it is done');
is(files(), $before, 'errors leave no file');
ok(slurp_file($target) eq $contents, 'nor do they change one');

is($node->safe_psql('postgres', "DELETE FROM images WHERE id < 4000; SELECT annoy_save('euclidean_index', '$target', 'id')"),
	$rows - 4000, 'an existing file is replaced');
is($node->safe_psql('postgres', "SELECT count(*), min(id), max(id) FROM annoy_file_items('$target', 'l2', 784)"),
	($rows - 4000) . '|4000|' . ($rows - 1), 'by one with holes');
is(files(), $before, 'and no other file is left');

# The library's own reader with holes
my ($loaded) = run_command([ $program, 'euclidean', 784, $trees, "$folder/vectors", '/dev/null', $target, "$folder/own" ]);
like($loaded, qr/^items $rows\ntrees $trees\ndiffer 4000$/m, 'the library loads it');

# A standby writes files, too, and the same.
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', "SELECT annoy_save('euclidean_index', '$folder/standby', 'id')"), $rows - 4000, 'a standby writes');
ok(slurp_file("$folder/standby") eq slurp_file($target), 'the same file');
$standby->stop;

# Damage is reported
open(my $file, '+<:raw', $target) or die $!;
seek($file, -4 * 784, 2);
print $file pack('l', 0x7fffffff) x 100;
truncate($file, (-s $target) - 4);
close($file);
refused('postgres', "SELECT * FROM annoy_file_items('$target', 'l2', 784)", qr/22023|22P03/, 'a damaged file is refused');

$node->stop;
done_testing();
