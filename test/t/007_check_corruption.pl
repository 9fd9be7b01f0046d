
# annoy_index_check finds damage of every kind, and scans, inserts and VACUUM
# of a damaged index end: by a result or an error, not by a crash or never.

use strict;
use warnings;

use AnnoyTest;
use List::Util qw(first);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# The format of pages; see src/page/page.h, item.h, meta.h.
my $page_size = 8192;
my $content = 24;
my $special = $page_size - 16;
my ($meta, $centre, $roots, $item, $inner, $directory, $leaf, $tail) = 1 .. 8;
my $nowhere = 0xFFFFFFFF;

# Vectors of 1,500 dimensions: one and a part fit on an item page, 32 on a leaf,
# 31 leaves in a directory, which has codes of them.
my $dimensions = 1500;
my $s = 1504;
my $leaf_entries = $content + 24 + $s;
my $directory_reference = $content + 16;
my $directory_entries = $directory_reference + 8 + $s;
my $directory_entry = 20 + $s / 8;
my $nodes = $content + 8;
my $block_size = 2 * $s + 16 * 14;

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

# Byte positions of a line pointer's tuple: the first live item of a page that
# has its next part elsewhere, or that has none.
sub item_at
{
	my ($divided) = @_;

	foreach my $block (blocks($item))
	{
		my $lines = (get($block, 12, 'S') - $content) / 4;

		foreach my $line (0 .. $lines - 1)
		{
			my $pointer = get($block, $content + 4 * $line, 'L');
			my $start = $pointer & 0x7FFF;
			my $flags = get($block, $start + 6, 'S');
			my $next = get($block, $start + 12, 'S');

			next unless ($pointer >> 15 & 3) == 1 && $flags == 0;
			return ($block, $start, $line) if !$divided == ($next == 0);
		}
	}
	die "no item for the damage";
}

# ---------------------------------------------------------------------------
# Kinds of damage
# ---------------------------------------------------------------------------

# Each with what the check says, and whether it takes heapallindexed to see it.
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
		what => qr/does not fit its item/,
		how => sub { my $b = full_leaf(); put($b, $leaf_entries + 77, 'C', get($b, $leaf_entries + 77, 'C') ^ 8); }
	},
	{
		name => 'factor',
		what => qr/does not fit its item/,
		how => sub { put(full_leaf(), $leaf_entries + 2 * $s, 'f', 0.25); }
	},
	{
		name => 'chained_code',
		what => qr/does not fit its item/,
		how => sub { my $b = chained_leaf(); put($b, $leaf_entries + 77, 'C', get($b, $leaf_entries + 77, 'C') ^ 8); }
	},
	{
		name => 'address',
		vacuum_first => 1,
		what => qr/names no item/,
		how => sub { my $b = full_leaf(); put($b, $leaf_entries + 2 * $s + 128 + 4, 'S', 200); }
	},
	{
		name => 'address_block',
		what => qr/no such block/,
		how => sub { my $b = full_leaf(); put($b, $leaf_entries + 2 * $s + 128, 'SS', 0x12, 0x3456); }
	},
	{
		name => 'address_twice',
		vacuum_first => 1,
		what => qr/twice|does not fit/,
		how => sub {
			my $b = full_leaf();
			my $at = $leaf_entries + 2 * $s + 128;
			put($b, $at, 'SSS', get($b, $at + 6, 'SSS'));
		}
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
		name => 'item_value',
		what => qr/does not fit its item/,
		how => sub { my ($b, $at) = item_at(0); put($b, $at + 16 + 8 + 4 * 100, 'f', 0.125); }
	},
	{
		name => 'item_dimensions',
		what => qr/malformed|dimensions/,
		how => sub { my ($b, $at) = item_at(0); put($b, $at + 16 + 4, 'S', 600); }
	},
	{
		name => 'item_length',
		vacuum_first => 1,
		what => qr/longer than its value|ends before|length of an item/,
		how => sub { my ($b, $at) = item_at(0); put($b, $at + 16, 'L', get($b, $at + 16, 'L') + 400); }
	},
	{
		name => 'item_row',
		what => qr/twice/,
		how => sub {
			# the row of another item
			my ($b, $at) = item_at(0);
			my ($other, $place) = item_at(1);
			put($b, $at, 'SSS', get($other, $place, 'SSS'));
		}
	},
	{
		name => 'item_header',
		vacuum_first => 1,
		what => qr/item header out of range/,
		how => sub { my ($b, $at) = item_at(0); put($b, $at + 14, 'S', 7000); }
	},
	{
		name => 'item_next',
		vacuum_first => 1,
		what => qr/part/,
		how => sub { my ($b, $at) = item_at(1); put($b, $at + 12, 'S', 55); }
	},
	{
		name => 'item_next_lost',
		vacuum_first => 1,
		what => qr/item ends before its last part/,
		how => sub { my ($b, $at) = item_at(1); put($b, $at + 8, 'SSS', 0xFFFF, 0xFFFF, 0); }
	},
	{
		name => 'item_part_twice',
		vacuum_first => 1,
		what => qr/part/,
		how => sub { my ($b, $at) = item_at(1); put($b, $at + 8, 'SSS', 0, $b, 1); }
	},
	{
		name => 'item_pointer',
		what => qr/line pointer/,
		how => sub { my ($b, $at, $line) = item_at(0); put($b, $content + 4 * $line, 'L', 8190 | 1 << 15 | 400 << 17); }
	},
	{
		name => 'item_dead',
		what => qr/is not in the index/,
		heap => 1,
		how => sub { my ($b, $at) = item_at(0); put($b, $at + 6, 'S', 2); }
	},
	{
		name => 'tail_row',
		what => qr/twice/,
		how => sub { put(one($tail), $content + 8, 'SSS', get(one($tail), $content + 16, 'SSS')); }
	},
	{
		name => 'tail_null',
		what => qr/mixed up/,
		heap => 1,
		how => sub { put(one($tail), $content + 8 + 6, 'S', 0); }
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

foreach my $table ('whole', map { $_->{name} } @damages)
{
	$node->safe_psql('postgres', qq{
		CREATE TABLE $table (id int, e vector($dimensions));
		INSERT INTO $table SELECT * FROM source WHERE id % 2 = 0;
		CREATE INDEX ${table}_index ON $table USING annoy (e vector_l2_ops) WITH (n_trees = 2);
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
