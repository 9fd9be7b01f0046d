
# Damaged pages are reported, by the name of the index and with the advice to
# REINDEX; they end no server, and REINDEX repairs.

use strict;
use warnings;

use AnnoyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $page_size = 8192;
my $page_header = 24;
my $special = 16;

# The server's checksums would find all of this first.
my $node = start_server("fsync = off", no_checksums => 1);
load_answers($node);

# Equal tables, of which each will have another damage to its index.
my %file;
my $blocks;
my $rows = 1000;

sub create_copy
{
	my ($table) = @_;

	$node->safe_psql(
		'postgres', qq{
		CREATE TABLE $table (id int, e vector(20));
		INSERT INTO $table SELECT i, CASE WHEN i % 10 > 0 THEN even_vector(20, i) END FROM generate_series(1, $rows) AS i;
		CREATE INDEX ${table}_index ON $table USING annoy (e vector_l2_ops);});
	$file{$table} = $node->data_dir . '/' . $node->safe_psql('postgres', "SELECT pg_relation_filepath('${table}_index')");
	return $node->safe_psql('postgres', "SELECT pg_relation_size('${table}_index')") / $page_size;
}

# Overwrites a part of a block; negative offsets count from its end.
sub damage
{
	my ($table, $block, $offset, $bytes) = @_;

	open(my $file, '+<', $file{$table}) or die "$file{$table}: $!";
	binmode($file);
	seek($file, $block * $page_size + ($offset < 0 ? $page_size + $offset : $offset), 0);
	print $file $bytes;
	close($file) or die "$file{$table}: $!";
}

# Reads everything through the index, and through its trees first.
sub scan
{
	my ($table) = @_;

	return $node->psql('postgres', qq{
		\\set VERBOSITY verbose
		SET statement_timeout = '20s';
		SET annoy.iterative_scan = relaxed_order;
		SELECT count(*) AS walked FROM answer('SELECT id, 0::float8 AS d FROM $table ORDER BY e <-> even_vector(20, 0)', true) \\gset
		RESET annoy.iterative_scan;
		SELECT least(:walked, count(*)) FROM answer('SELECT id, 0::float8 AS d FROM $table ORDER BY e <-> even_vector(20, 0)', true);});
}

$blocks = create_copy('zero_0');
create_copy("zero_$_") foreach 1 .. $blocks - 1;
create_copy("ones_$_") foreach 0 .. $blocks - 1;
create_copy("kind_$_") foreach 0 .. $blocks - 1;
create_copy("rest_$_") foreach 0 .. $blocks - 1;
create_copy("part_$_") foreach 0 .. $blocks - 1;
create_copy("nan_$_") foreach 0 .. $blocks - 1;
create_copy($_) foreach qw(magic version dimensions short);
cmp_ok($blocks, '>=', 8, 'an index has pages of every kind');
is((scan('zero_0'))[1], $rows, 'an intact index');

$node->stop;
for my $block (0 .. $blocks - 1)
{
	damage("zero_$block", $block, 0, "\0" x $page_size);
	damage("ones_$block", $block, $page_header, "\xff" x ($page_size - $page_header - $special));
	damage("kind_$block", $block, 8 - $special, "\x63\x00");
	# Leaves keep their header and centroid (24 + 32 bytes), but codes, factors
	# and heap TIDs are lost; or only the factors of the first 16 entries, which
	# lie behind their codes (64 bytes), are beyond all bounds or NaN.
	damage("rest_$block", $block, $page_header + 56, "\xff" x ($page_size - $page_header - 56 - $special));
	damage("part_$block", $block, $page_header + 56 + 64, pack('f', 3e38) x 32);
	damage("nan_$block", $block, $page_header + 56 + 64, pack('L', 0x7fc00000) x 32);
}
damage('magic', 0, $page_header, 'oops');
damage('version', 0, $page_header + 4, pack('L', 99));
damage('dimensions', 0, $page_header + 12, pack('l', 21));
truncate($file{short}, $page_size * ($blocks - 2));
$node->start;

my ($result, $output, $error);
for my $block (0 .. $blocks - 1)
{
	for my $table ("zero_$block", "kind_$block")
	{
		($result, $output, $error) = scan($table);
		like($error, qr/ERROR:  XX002: index "${table}_index" is damaged at block $block: .*\nHINT:  Please REINDEX it/,
			"table $table");
	}

	# Here it depends on the kind of page what happens first.
	for my $table ("ones_$block", "rest_$block", "part_$block", "nan_$block")
	{
		($result, $output, $error) = scan($table);
		like($error, qr/^(psql:[^\n]*ERROR:  [0-9A-Z]{5}: |$)/, "table $table");
		unlike($error, qr/server closed|timeout/, 'the server stays');
		($result, $output, $error) = $node->psql('postgres',
			"SET statement_timeout = '20s'; DELETE FROM $table WHERE id % 2 = 0; VACUUM (INDEX_CLEANUP on) $table");
		unlike($error, qr/server closed|timeout/, 'also when it removes rows');
	}
}
like((scan('magic'))[2], qr/XX002: index "magic_index" is damaged at block 0: wrong magic number/, 'magic number');
like((scan('version'))[2], qr/0A000: index "version_index" has format version 99/, 'format version');
like((scan('dimensions'))[2], qr/ERROR:  [0-9A-Z]{5}: /, 'another number of dimensions');
like((scan('short'))[2], qr/ERROR:  [0-9A-Z]{5}: .*(could not read block|damaged)/, 'missing blocks');

for my $table (sort keys %file)
{
	$node->safe_psql('postgres', "REINDEX TABLE $table");
	is((scan($table))[1], $table =~ /^(ones|rest|part|nan)/ ? $rows / 2 : $rows, "$table is repaired");
}

$node->stop;
unlike(slurp_file($node->logfile), qr/terminated by signal|PANIC|TRAP/, 'no process was lost');
done_testing();
