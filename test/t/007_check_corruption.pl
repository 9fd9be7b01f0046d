
# annoy_index_check finds damage of every kind, and scans, inserts and VACUUM
# of a damaged index end: by a result or an error, not by a crash or never.

use strict;
use warnings;

use AnnoyTest;
use List::Util qw(first);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# The format of pages; see src/page/page.h, meta.h.
my $page_size = 8192;
my $content = 24;
my $special = $page_size - 16;
my ($meta, $centre, $roots, $free, $inner, $directory, $leaf, $tail) = 1 .. 8;
my $nowhere = 0xFFFFFFFF;

# Vectors of 1,500 dimensions: 32 on a leaf, 31 leaves in a directory, which has
# codes of them.
my $dimensions = 1500;
my $s = 1504;
my $leaf_entries = $content + 24 + $s;
my $directory_reference = $content + 16;
my $directory_entries = $directory_reference + 8 + $s;
my $directory_entry = 20 + $s / 8;
my $nodes = $content + 8;
my $row_size = $s / 8 + 14;
my $tids = $leaf_entries + 16 * ($row_size - 6);    # of the first block

# The server's checksums would find all of this first.
my $node = start_server("fsync = off\nrestart_after_crash = on", no_checksums => 1);
load_answers($node);
$node->safe_psql('postgres', qq{
	CREATE TABLE source AS SELECT i AS id, CASE WHEN i <= 1200 THEN even_vector($dimensions, CASE WHEN i % 4 = 0 THEN 0 ELSE i END) END AS e
		FROM generate_series(1, 2400) AS i});

# ---------------------------------------------------------------------------
# Reading and damaging an index
# ---------------------------------------------------------------------------

my $bytes;    # of the index at hand

sub get
{
	my ($block, $offset, $format) = @_;
	my @values = unpack($format, substr($bytes, $block * $page_size + $offset, 64));

	return wantarray ? @values : $values[0];
}

sub put
{
	my ($block, $offset, $format, @values) = @_;
	my $packed = pack($format, @values);

	substr($bytes, $block * $page_size + $offset, length($packed)) = $packed;
}

sub block_count { return length($bytes) / $page_size; }
sub kind { return get($_[0], $special + 8, 'S'); }
sub tree { return get($_[0], $special + 10, 'S'); }
sub rightlink { return get($_[0], $special, 'L'); }
sub chainlink { return get($_[0], $special + 4, 'L'); }
sub is_chained { return get($_[0], $special + 12, 'S') & 1; }
sub leaf_count { return get($_[0], $content + 16, 'S'); }
sub directory_count { return get($_[0], $content + 4, 'S'); }

# Blocks of a kind for which something holds.
sub blocks
{
	my ($kind, $condition) = @_;

	return grep { kind($_) == $kind && (!$condition || $condition->($_)) } 0 .. block_count() - 1;
}

sub one
{
	my @found = blocks(@_);

	die "no page for the damage" unless @found;
	return $found[0];
}

# A leaf that is in a directory and has a full block of entries.
sub full_leaf { return one($leaf, sub { !is_chained($_[0]) && leaf_count($_[0]) >= 16 }); }
sub chained_leaf { return one($leaf, sub { is_chained($_[0]) && leaf_count($_[0]) >= 16 }); }

# Makes an entry of a leaf's first block name another row, by its heap TID.
sub set_row
{
	my ($block, $entry, @tid) = @_;

	put($block, $tids + 6 * $entry, 'SSS', @tid);
}

# That as a string that sorts like it.
sub row_of { return sprintf('%05d %05d %05d', get($_[0], $tids + 6 * $_[1], 'SSS')); }

# Takes the last entry off a leaf; not one that is in a full block.
sub open_leaf { return one($leaf, sub { !is_chained($_[0]) && leaf_count($_[0]) % 16 > 1 }); }

sub remove_entry
{
	my ($block) = @_;

	put($block, $content + 16, 'S', leaf_count($block) - 1);
	put($block, 12, 'S', get($block, 12, 'S') - $row_size);
	put($block, get($block, 12, 'S'), "x[$row_size]");
}

# The first row of a table that was filled from its beginning.
my @first_row = (0, 0, 1);

# ---------------------------------------------------------------------------
# Kinds of damage
# ---------------------------------------------------------------------------

# Each with what the check says, and whether it takes heapallindexed to see it;
# and what is special about its table: a row that comes first, the columns and the
# options of its index.
my @damages = (
	{
		name => 'page_id',
		what => qr/not a page of an annoy index/,
		how => sub { put(full_leaf(), $special + 14, 'S', 0xFF80); }
	},
	{
		name => 'kind',
		what => qr/unknown kind/,
		how => sub { put(one($inner), $special + 8, 'S', 99); }
	},
	{
		name => 'other_kind',
		what => qr/damaged/,
		how => sub { put(full_leaf(), $special + 8, 'S', $tail); }
	},
	{
		name => 'magic',
		what => qr/block 0: wrong magic/,
		how => sub { put(0, $content, 'L', 4711); }
	},
	{
		name => 'trees',
		what => qr/damaged/,
		how => sub { put(0, $content + 20, 'L', 3); }
	},
	{
		name => 'centre',
		what => qr/centre is not finite/,
		how => sub { put(one($centre), $content + 40, 'L', 0x7fc00000); }
	},
	{
		name => 'zeroes',
		what => qr/unexpected zero page/,
		how => sub { put(full_leaf(), 0, "x[$page_size]"); }
	},
	{
		name => 'leaf_count',
		vacuum_first => 1,
		what => qr/do(es)? not match/,
		how => sub { my $b = full_leaf(); put($b, $content + 16, 'S', leaf_count($b) - 1); }
	},
	{
		name => 'leaf_overflow',
		vacuum_first => 1,
		what => qr/too many leaf entries/,
		how => sub { put(full_leaf(), $content + 16, 'S', 65); }
	},
	{
		name => 'leaf_lower',
		vacuum_first => 1,
		what => qr/do(es)? not match/,
		how => sub { put(full_leaf(), 12, 'S', $content + 8); }
	},
	{
		name => 'leaf_upper',
		vacuum_first => 1,
		what => qr/do(es)? not match/,
		how => sub { put(full_leaf(), 14, 'S', $special - 8); }
	},
	{
		name => 'leaf_freed',
		what => qr/expected a page of kind leaf, found free/,
		how => sub { put(full_leaf(), $special + 8, 'S', $free); }
	},
	{
		name => 'leaf_tree',
		what => qr/page of another tree|no sibling/,
		how => sub { my $b = full_leaf(); put($b, $special + 10, 'S', 1 - tree($b)); }
	},
	{
		name => 'leaf_version',
		what => qr/version/,
		how => sub { my $b = full_leaf(); put($b, $content, 'L', get($b, $content, 'L') + 1); }
	},
	{
		name => 'leaf_centroid',
		what => qr/centroid differs/,
		how => sub { my $b = full_leaf(); put($b, $content + 24 + 5, 'C', get($b, $content + 24 + 5, 'C') ^ 1); }
	},
	{
		name => 'code',
		vacuum_first => 1,
		what => qr/does not fit its value/,
		how => sub { my $b = full_leaf(); put($b, $leaf_entries + 77, 'C', get($b, $leaf_entries + 77, 'C') ^ 8); }
	},
	{
		name => 'factor',
		what => qr/does not fit its value/,
		how => sub { put(full_leaf(), $leaf_entries + 2 * $s, 'f', 0.25); }
	},
	{
		name => 'chained_code',
		what => qr/does not fit its value/,
		how => sub { my $b = chained_leaf(); put($b, $leaf_entries + 77, 'C', get($b, $leaf_entries + 77, 'C') ^ 8); }
	},
	{
		name => 'refinement',
		options => 'code_bits = 2, n_trees = 2',
		what => qr/does not fit its value/,
		how => sub { my $b = one($leaf, sub { leaf_count($_[0]) > 0 }); put($b, $special - 100, 'C', get($b, $special - 100, 'C') ^ 8); }
	},
	{
		name => 'row_lost',
		what => qr/is missing from tree 0/,
		how => sub { remove_entry(open_leaf()); }
	},
	{
		name => 'row_lost_from_all',
		options => 'n_trees = 1',
		heap => 1,
		what => qr/is not in the index/,
		how => sub { remove_entry(open_leaf()); }
	},
	{
		name => 'row_lost_from_last',
		what => qr/is missing from tree 1/,
		how => sub { remove_entry(one($leaf, sub { tree($_[0]) == 1 && leaf_count($_[0]) % 16 > 1 })); }
	},
	{
		name => 'row_unused',
		vacuum_first => 1,
		what => qr/is missing from tree/,
		how => sub { set_row(full_leaf(), 0, 0, 0, 200); }
	},
	{
		name => 'row_invalid',
		vacuum_first => 1,
		what => qr/there is no such row/,
		how => sub { set_row(full_leaf(), 0, 0xFFFF, 0xFFFF, 0); }
	},
	{
		name => 'row_far',
		vacuum_first => 1,
		what => qr/there is no such row/,
		how => sub { set_row(full_leaf(), 3, 0x12, 0x3456, 1); }
	},
	{
		name => 'row_other',
		vacuum_first => 1,
		what => qr/does not fit its value/,
		how => sub { my $b = full_leaf(); set_row($b, 0, get($b, $tids + 6, 'SSS')); }
	},
	{
		# of equal vectors, the same entry; the row that comes later is lost
		name => 'row_twice',
		vacuum_first => 1,
		what => qr/is in tree \d twice/,
		how => sub {
			my $block = chained_leaf();
			my @by_row = sort { row_of($block, $a) cmp row_of($block, $b) } 0 .. 15;
			set_row($block, $by_row[1], get($block, $tids + 6 * $by_row[0], 'SSS'));
		}
	},
	{
		name => 'row_null',
		first => 'NULL',
		vacuum_first => 1,
		what => qr/its value is NULL/,
		how => sub { set_row(full_leaf(), 5, @first_row); }
	},
	{
		name => 'row_undefined',
		first => "array_fill(0, ARRAY[$dimensions])::vector",
		index => '(e vector_cosine_ops)',
		vacuum_first => 1,
		what => qr/its value has no direction/,
		how => sub { set_row(full_leaf(), 5, @first_row); }
	},
	{
		name => 'row_dimensions',
		type => 'vector',
		first => "'[1,2,3]'",
		condition => 'WHERE id > 0',
		vacuum_first => 1,
		what => qr/another number of dimensions/,
		how => sub { set_row(full_leaf(), 5, @first_row); }
	},
	{
		# equal to the others of its leaf
		name => 'row_unwanted',
		first => "(SELECT e FROM source WHERE id = 4)",
		condition => 'WHERE id > 0',
		options => 'n_trees = 1',
		heap => 1,
		vacuum_first => 1,
		what => qr/in the index, but should not be/,
		how => sub { set_row(chained_leaf(), 5, @first_row); }
	},
	{
		name => 'chain_flag',
		what => qr/chain/,
		how => sub { put(chained_leaf(), $special + 12, 'S', 0); }
	},
	{
		name => 'chain_flag_set',
		what => qr/right link|chained/,
		how => sub { put(full_leaf(), $special + 12, 'S', 1); }
	},
	{
		name => 'chain_cycle',
		vacuum_first => 1,
		what => qr/reached in two ways/,
		how => sub {
			my @chained = blocks($leaf, sub { is_chained($_[0]) && tree($_[0]) == 0 });
			die "one page is no chain" if @chained < 2;
			put($_, $special + 4, 'L', $_ == $chained[0] ? $chained[1] : $chained[0]) foreach @chained;
		}
	},
	{
		name => 'chain_lost',
		what => qr/nothing leads to the page|is missing from tree/,
		how => sub { put(one($leaf, sub { !is_chained($_[0]) && chainlink($_[0]) != $nowhere }), $special + 4, 'L', $nowhere); }
	},
	{
		name => 'sparse',
		vacuum_first => 1,
		what => qr/list of/,
		how => sub { my $b = full_leaf(); put($b, $content + 20, 'L', first { $_ != $b } blocks($leaf)); }
	},
	{
		name => 'right_cycle',
		what => qr/cycle|version/,
		how => sub {
			my $b = one($leaf, sub { rightlink($_[0]) != $nowhere });
			my $right = rightlink($b);
			put($right, $special, 'L', $b);
			put($right, $content, 'L', 2);
			put($b, $content, 'L', 2);
		}
	},
	{
		name => 'right_lost',
		what => qr/version does not match the right link/,
		how => sub { put(one($leaf, sub { rightlink($_[0]) != $nowhere }), $special, 'L', $nowhere); }
	},
	{
		name => 'right_far',
		what => qr/link to block/,
		how => sub { put(one($leaf, sub { rightlink($_[0]) != $nowhere }), $special, 'L', 1000000); }
	},
	{
		name => 'directory_link',
		what => qr/reached in two ways|directory|version|centroid/,
		how => sub {
			my $b = one($directory, sub { directory_count($_[0]) > 1 });
			put($b, $directory_entries, 'LL', get($b, $directory_entries + $directory_entry, 'LL'));
		}
	},
	{
		name => 'directory_upper',
		what => qr/data behind the free space/,
		how => sub { put(one($directory), 14, 'S', $special - 8); }
	},
	{
		name => 'directory_version',
		what => qr/older than the link/,
		how => sub { my $b = one($directory, sub { directory_count($_[0]) > 1 }); put($b, $directory_entries + 4, 'L', 99); }
	},
	{
		name => 'directory_centroid',
		what => qr/centroid differs/,
		how => sub {
			my $b = one($directory, sub { directory_count($_[0]) > 1 });
			put($b, $directory_entries + 20, 'C', get($b, $directory_entries + 20, 'C') ^ 1);
		}
	},
	{
		name => 'directory_form',
		what => qr/directory of an unknown form/,
		how => sub { put(one($directory), $content + 6, 'S', 2); }
	},
	{
		name => 'directory_other_form',
		what => qr/too many directory entries/,
		how => sub { put(one($directory), $content + 6, 'S', 0); }
	},
	{
		name => 'reference_scale',
		what => qr/reference out of range/,
		how => sub { put(one($directory), $directory_reference, 'L', 0x7f800000); }
	},
	{
		name => 'reference_centroid',
		what => qr/reference out of range/,
		how => sub { my $b = one($directory); put($b, $directory_reference + 8, 'c', get($b, $directory_reference + 8, 'c') > 0 ? -1 : 90); }
	},
	{
		# of codes: what a split of the directory reads from its leaves
		name => 'leaves_extra',
		what => qr/centroid differs/,
		how => sub { put($_, $content + 12, 'f', -1) foreach blocks($leaf, sub { !is_chained($_[0]) }); }
	},
	{
		name => 'directory_parent',
		what => qr/names another parent/,
		how => sub { my $b = one($directory, sub { get($_[0], $content + 8, 'L') != $nowhere }); put($b, $content + 14, 'S', 1 - get($b, $content + 14, 'S')); }
	},
	{
		name => 'directory_count',
		what => qr/too many directory entries/,
		how => sub { put(one($directory), $content + 4, 'S', 9999); }
	},
	{
		name => 'directory_shortened',
		what => qr/nothing leads to the page|in no directory|is missing from tree/,
		how => sub {
			my $b = one($directory, sub { directory_count($_[0]) > 1 });
			put($b, $content + 4, 'S', directory_count($b) - 1);
			put($b, 12, 'S', get($b, 12, 'S') - $directory_entry);
		}
	},
	{
		name => 'node_link',
		what => qr/damaged/,
		how => sub { my $b = one($inner); put($b, $nodes, 'LLSS', get($b, $nodes + 12, 'LLSS')); }
	},
	{
		name => 'node_cycle',
		what => qr/two ways|no such node/,
		how => sub { my $b = one($inner); put($b, $nodes, 'LLSS', $b, 0, 0, $inner); }
	},
	{
		name => 'node_hyperplane',
		what => qr/hyperplane is not finite/,
		how => sub { put(one($inner), $nodes + 24, 'L', 0x7f800000); }
	},
	{
		name => 'root_kind',
		what => qr/impossible kind/,
		how => sub { put(one($roots), $content + 10, 'S', $leaf); }
	},
	{
		name => 'root_tree',
		what => qr/another tree/,
		how => sub { my $b = one($roots); put($b, $content, 'LLSS', get($b, $content + 12, 'LLSS')); }
	},
	{
		name => 'tail_row',
		what => qr/in the tail twice/,
		how => sub { put(one($tail), $content + 8, 'SSS', get(one($tail), $content + 16, 'SSS')); }
	},
	{
		name => 'tail_vector',
		first => '(SELECT e FROM source WHERE id = 1)',
		what => qr/in the tail, though it has distances/,
		how => sub { put(one($tail), $content + 16, 'SSS', @first_row); }
	},
	{
		name => 'tail_null',
		what => qr/mixed up/,
		how => sub { put(one($tail), $content + 8 + 6, 'S', 0); }
	},
	{
		name => 'tail_undefined',
		first => "array_fill(0, ARRAY[$dimensions])::vector",
		index => '(e vector_cosine_ops)',
		what => qr/mixed up/,
		how => sub {
			foreach my $block (blocks($tail))
			{
				foreach my $entry (0 .. get($block, $content, 'S') - 1)
				{
					put($block, $content + 8 + 8 * $entry + 6, 'S', 1);
				}
			}
		}
	},
	{
		name => 'tail_lost',
		heap => 1,
		what => qr/is not in the index/,
		how => sub {
			my $b = one($tail);
			put($b, $content, 'S', get($b, $content, 'S') - 1);
			put($b, 12, 'S', get($b, 12, 'S') - 8);
		}
	},
	{
		name => 'tail_flags',
		what => qr/tail entry out of range/,
		how => sub { put(one($tail), $content + 8 + 6, 'S', 5); }
	},
	{
		name => 'tail_count',
		what => qr/too many tail entries/,
		how => sub { put(one($tail), $content, 'S', 5000); }
	},
	{
		name => 'tail_entry',
		vacuum_first => 1,
		what => qr/tail entry out of range/,
		how => sub { put(one($tail), $content + 8, 'SSS', 0xFFFF, 0xFFFF, 0); }
	},
	{
		name => 'tail_cycle',
		vacuum_first => 1,
		what => qr/reached in two ways/,
		how => sub { my ($a, $b) = blocks($tail); put($b, $special, 'L', $a); put($a, $special, 'L', $b); }
	},
	{
		name => 'tail_free',
		vacuum_first => 1,
		what => qr/free/,
		how => sub {
			my $head = get(0, $content + 72, 'L');
			my $other = first { $_ != $head } blocks($tail);
			put($head, $content + 4, 'L', $other);
			put($other, $content + 4, 'L', $head);
		}
	},
	{
		name => 'short',
		what => qr/damaged/,
		how => sub { $bytes = substr($bytes, 0, $page_size * (block_count() - 3)); }
	});

# ---------------------------------------------------------------------------

sub check
{
	my ($table, $heap) = @_;
	my (undef, undef, $error) = $node->psql('postgres',
		"\\set VERBOSITY verbose\nSET statement_timeout = '30s';\nSELECT annoy_index_check('${table}_index', " . ($heap ? 'true' : 'false') . ')');

	return $error;
}

# Equal tables: half of the rows are there when the index is built, so that it
# has right links, and pages of every kind.
my %file;

foreach my $damage ({ name => 'whole' }, @damages)
{
	my $table = $damage->{name};
	my $type = $damage->{type} // "vector($dimensions)";
	my $index = $damage->{index} // '(e vector_l2_ops)';
	my $options = $damage->{options} // 'n_trees = 2';
	my $condition = $damage->{condition} // '';
	my $first = $damage->{first} ? "INSERT INTO $table VALUES (-1, $damage->{first})" : '';

	$node->safe_psql('postgres', qq{
		CREATE TABLE $table (id int, e $type);
		$first;
		INSERT INTO $table SELECT * FROM source WHERE id % 2 = 0;
		CREATE INDEX ${table}_index ON $table USING annoy $index WITH ($options) $condition;
		INSERT INTO $table SELECT * FROM source WHERE id % 2 = 1;
		INSERT INTO $table SELECT * FROM source WHERE id % 4 = 0 AND id <= 1200;});
	$file{$table} = $node->data_dir . '/' . $node->safe_psql('postgres', "SELECT pg_relation_filepath('${table}_index')");
}
is(check('whole', 1), '', 'an intact index');

$node->stop;
foreach my $damage (@damages)
{
	$bytes = slurp_file($file{ $damage->{name} });
	$damage->{how}->();
	open(my $handle, '>:raw', $file{ $damage->{name} }) or die $!;
	print $handle $bytes;
	close($handle) or die $!;
}
$node->start;

foreach my $damage (@damages)
{
	my $table = $damage->{name};
	my $error = check($table, $damage->{heap});

	like($error, qr/ERROR:  XX002: index "${table}_index" [^\n]*$damage->{what}/, "$table is found");
	is(check($table, 0), '', "$table needs heapallindexed") if $damage->{heap};
	like(check($table, 1), qr/ERROR:  XX002: /, "$table is found with heapallindexed, too");

	# Whatever else is done with it has an end.  VACUUM comes first where an
	# insert would write anew what is damaged.
	my @works = (
		"SET enable_seqscan = off; SET enable_sort = off; SET annoy.iterative_scan = relaxed_order;
		 SELECT count(*) FROM (SELECT id FROM $table ORDER BY e <-> (SELECT e FROM source WHERE id = 5)) AS rows",
		"INSERT INTO $table SELECT id, e FROM source WHERE id <= 400",
		"INSERT INTO $table SELECT id FROM source",
		"DELETE FROM $table WHERE id % 3 = 0; VACUUM (INDEX_CLEANUP on) $table",
		"VACUUM $table",
		"INSERT INTO $table SELECT id, e FROM source WHERE id % 3 = 0");

	push @works, splice(@works, 0, 3) if $damage->{vacuum_first};
	foreach my $work (@works)
	{
		my ($result, $output, $message) = $node->psql('postgres', "\\set VERBOSITY verbose\nSET statement_timeout = '20s';\n$work;");

		unlike($message, qr/server closed|terminat|timeout|57014/, "$table: " . substr($work, 0, 40) . ' ends');
		# the rest shows more if the server is up again
		$node->poll_query_until('postgres', 'SELECT true') if $result == 2;
	}
}
is(check('whole', 1), '', 'an intact index stays so');

$node->stop;
unlike(slurp_file($node->logfile), qr/terminated by signal|PANIC|TRAP/, 'no process was lost');
done_testing();
