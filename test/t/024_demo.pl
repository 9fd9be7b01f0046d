
# The demo in words, on a few packages and word vectors made here: embeddings
# are those of the paper, the three lists are what they say, and mistakes are
# answered.

use strict;
use warnings;

use Encode qw(decode);
use List::Util qw(max sum sum0);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $demo = ($ENV{TESTDIR} // '.') . '/demo/packages';
my $dimensions = 100;
my $folder = PostgreSQL::Test::Utils::tempdir();

plan skip_all => '/usr/bin/python3 is missing' unless -x '/usr/bin/python3';

# Topics of words; the vectors of a topic's words are alike, and all vectors
# have something in common.
my %topics = (
	games => [qw(chess play game board computer opponent)],
	video => [qw(video film convert movie player codec)],
	mail => [qw(mail message send inbox server letter)],
	math => [qw(matrix equation algebra solve number integral)]);
my @fillers = qw(the for and with);
my %vectors;
my %bodies;

srand(11);
sub noise { return map { rand(2) - 1 } 1 .. $dimensions }
sub add { my ($a, $b, $factor) = @_; return [ map { $a->[$_] + ($factor // 1) * $b->[$_] } 0 .. $#$a ] }
sub scaled { my ($a, $factor) = @_; return [ map { $_ * $factor } @$a ] }
sub product { my ($a, $b) = @_; return sum(map { $a->[$_] * $b->[$_] } 0 .. $#$a) }
sub normalized { my ($a) = @_; return scaled($a, 1 / sqrt(product($a, $a))) }
sub rounded { my ($a) = @_; return [ map { 0 + sprintf('%.6f', $_) } @$a ] }

my $common = [noise()];
for my $topic (sort keys %topics)
{
	my $center = add($common, [noise()]);

	$vectors{$_} = rounded(add($center, [noise()], 0.4)) for @{ $topics{$topic} };
}
$vectors{$_} = rounded(add($common, [noise()])) for @fillers;
$vectors{rare} = rounded([noise()]);    # in no description

# Stanzas as apt-cache prints them: with tags to be left out, a description in
# several lines, one that names its language, a package twice, one without a
# description, and one of which no word is known.
my $dump = '';
my $id = 0;
for my $round (1 .. 25)
{
	for my $topic (sort keys %topics)
	{
		my @words = map { $topics{$topic}[ rand(@{ $topics{$topic} }) ] } 1 .. 3;
		my $name = "$topic-$round";

		splice(@words, 1, 0, $fillers[ rand(@fillers) ]);
		$bodies{$name} = ucfirst(join(' ', @words));
		$dump .= "Package: $name\nTag: use::$topic,\n works-with::all\nSection: $topic\nPriority: optional\nSize: " .
		  (1000 + $round) . ($round % 2 ? "\nDescription" : "\nDescription-en") . ": $bodies{$name}\n More on opponents.\n" .
		  "Description-md5: 0123\n\n";
	}
}
$dump .= "Package: games-1\nSection: games\nDescription: Another version\n\n";
$dump .= "Package: bare\nSection: games\n\n";
$bodies{unknown} = 'Qwertz\\asdf 100%';
$dump .= "Package: unknown\nSection: contrib/games\nDescription: $bodies{unknown}\n";
append_to_file("$folder/dump", $dump);

my @entries;
for my $word (sort keys %vectors)
{
	push @entries, sprintf('"%s":[%s,1.5,%d]', $word, join(',', @{ $vectors{$word} }), scalar(@entries));
}
append_to_file("$folder/vectors.json",
	sprintf('{"size":%d,"words":["a"],"vectors":{%s}}', scalar(@entries), join(',', @entries)));

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;
$ENV{PGHOST} = $node->host;
$ENV{PGPORT} = $node->port;

# Runs the demo in the node's database.
sub demo
{
	my @arguments = @_;
	my ($out, $error) = ('', '');

	IPC::Run::run(
		[
			'bash', $demo, '--database', 'postgres', '--dump', "$folder/dump",
			'--vectors', "$folder/vectors.json", @arguments
		],
		'<', \undef, '>', \$out, '2>', \$error);
	return ($? >> 8, $out, $error);
}

# The rows of the table under a heading, as lists of columns.
sub rows_under
{
	my ($out, $heading) = @_;
	my ($table) = $out =~ /^\Q$heading\E[^\n]*\n[^\n]+\n-[-+]+\n(.*?)^Time: /ms or return ();

	return map { [ map { s/^\s+|\s+$//gr } split(/\|/, $_, -1) ] } grep { /\|/ } split(/\n/, $table);
}

my ($status, $out, $error) = demo('Play chess, against the COMPUTER');
is($error, '', 'no errors');
is($status, 0, 'the first call works');
like($out, qr/^=== Play chess, against the COMPUTER ===\nwords without a vector: against$/m,
	'the words that are not known are named');

# ---------------------------------------------------------------------------
# The table, and its embeddings by the paper's formulas
# ---------------------------------------------------------------------------

sub sql { my ($query) = @_; return $node->safe_psql('postgres', "SET search_path = demo, public; $query"); }

is(sql('SELECT count(*), count(embedding), count(DISTINCT name) FROM documents'), '101|100|101',
	'every package once, without an embedding where no word is known');
is(sql("SELECT section, size, priority, body FROM documents WHERE name = 'games-1'"),
	"games|1001|optional|$bodies{'games-1'}", 'fields of a package');
is(sql("SELECT body FROM documents WHERE name = 'unknown'"), $bodies{unknown}, 'a backslash arrives');

sub words_of { my ($text) = @_; return grep { $_ ne '' } split(/[^a-z0-9]+/, lc $text); }

my %frequency;
$frequency{$_}++ for map { words_of($_) } values %bodies;
my $total = sum(values %frequency);
my %weight = map { $_ => 0.001 / (0.001 + ($frequency{$_} // 0) / $total) } keys %vectors;

sub weighted_mean
{
	my ($text) = @_;
	my @known = grep { $vectors{$_} } words_of($text) or return;
	my $sum = scaled($vectors{ $known[0] }, 0);

	$sum = add($sum, $vectors{$_}, $weight{$_}) for @known;
	return scaled($sum, 1 / @known);
}

my @means = grep { defined } map { weighted_mean($_) } values %bodies;
my $direction = [ (1) x $dimensions ];
for (1 .. 100)
{
	my $next = scaled($direction, 0);

	$next = add($next, $_, product($_, $direction)) for @means;
	$direction = normalized($next);
}

for my $text ('play chess against the computer', 'rare algebra', $bodies{'video-3'})
{
	my $mean = weighted_mean($text);
	my $expected = normalized(add($mean, $direction, -product($mean, $direction)));
	my $embedding = [ split(/,/, sql("SELECT embed('$text')") =~ tr/[]//dr) ];
	my $difference = add($embedding, $expected, -1);

	cmp_ok(sqrt(product($difference, $difference)), '<', 1e-4, "embedding of \"$text\"");
}
is(sql('SELECT count(*) FROM documents WHERE embedding <> embed(body)'), 0, 'rows and queries are embedded alike');
is(sql("SELECT embed('nothing of this is known') IS NULL"), 't', 'without a known word there is no embedding');

# ---------------------------------------------------------------------------
# The three lists
# ---------------------------------------------------------------------------

my $sentence = 'play chess against the computer';
($status, $out, $error) = demo('--rows', 12, $sentence);
is($status, 0, 'a second call works');
unlike($out, qr/loading/, 'nothing is loaded again');

my @by_meaning = rows_under($out, 'By meaning');
my @by_words = rows_under($out, 'By words');
my @by_both = rows_under($out, 'By both');
is(scalar(@by_meaning), 12, 'as many rows as were asked for');
is_deeply([ map { $_->[0] } @by_meaning ],
	[ split(/\n/, sql("SELECT round(d::numeric, 3) FROM (SELECT embedding <=> embed('$sentence') AS d
		FROM documents ORDER BY 1 LIMIT 12) AS n")) ], 'by meaning: the nearest, nearest first');
is(scalar(grep { $_->[1] !~ /^games-/ } @by_meaning), 0, 'by meaning: of the topic');
is_deeply([ map { $_->[0] } @by_words ],
	[ split(/\n/, sql("SELECT round(ts_rank(to_tsvector('english', body), q, 1)::numeric, 3) AS rank
		FROM documents, CAST('play | chess | comput' AS tsquery) AS q
		WHERE to_tsvector('english', body) \@\@ q ORDER BY rank DESC LIMIT 12")) ], 'by words: the best, best first');
is(scalar(@by_both), 12, 'by both: as many rows');
is_deeply(
	[ map { $_->[0] } @by_both ],
	[
		map { sprintf('%.4f', sum0(map { $_ eq '' ? () : 1 / (60 + $_) } @$_[ 1, 2 ])) } @by_both
	],
	'by both: the score is the sum of reciprocal ranks');
is_deeply([ map { $_->[0] } @by_both ], [ sort { $b <=> $a } map { $_->[0] } @by_both ], 'by both: best first');

# Ranks in the fused list are places in the others; equal ones share a rank.
my $wrong = 0;
for my $row (grep { $_->[1] ne '' && $_->[1] <= 12 } @by_both)
{
	my ($found) = grep { $_->[1] eq $row->[3] } @by_meaning;

	$wrong++ unless $found && $found->[0] == $by_meaning[ $row->[1] - 1 ][0];
}
for my $row (grep { $_->[2] ne '' && $_->[2] <= 12 } @by_both)
{
	my $rank = sql("SELECT round(ts_rank(lexemes, any_word('$sentence'), 1)::numeric, 3)
		FROM documents WHERE name = '$row->[3]'");

	$wrong++ unless $rank == $by_words[ $row->[2] - 1 ][0];
}
is($wrong, 0, 'by both: ranks are those of the other lists');

($status, $out, $error) = demo('--section', 'math', '--rows', 5, $sentence);
@by_meaning = rows_under($out, 'By meaning');
is(scalar(@by_meaning), 5, 'a section: as many rows');
is(scalar(grep { $_->[1] !~ /^math-/ } @by_meaning, rows_under($out, 'By words')), 0, 'a section: no others');
is(scalar(grep { $_->[3] !~ /^math-/ } rows_under($out, 'By both')), 0, 'a section: no others by both');

# ---------------------------------------------------------------------------
# Mistakes, and odd sentences
# ---------------------------------------------------------------------------

($status, $out, $error) = demo('--section', 'game', 'chess');
is($status, 1, 'an unknown section is an error');
like($error, qr/there is no section "game", but these:\ncontrib\/games games mail math video$/, 'that lists the sections');

($status, $out, $error) = demo('qwertz');
is($status, 0, 'a sentence without a known word');
like($out, qr/No word of this sentence has a vector/, 'is said to be one');
like($out, qr/^\s+[0-9.]+ \| unknown\s+\| \Q$bodies{unknown}\E/m, 'and is looked for by words');
unlike($out, qr/By meaning|By both/, 'only');

for my $odd (q{it's "chess"; DROP TABLE documents; -- \\ $1 :sentence}, "chess\n\tgame", '--', 'chess & | ! ( :*',
	join(' ', ('chess computer') x 5000))
{
	($status, $out, $error) = demo('--', $odd);
	is("$status$error", '0', 'an odd sentence: ' . substr($odd, 0, 40) =~ s/\s/ /gr);
	cmp_ok(max(map { length(decode('UTF-8', $_)) } split(/\n/, $out)), '<=', 100, 'no line is longer than 100');
}

for my $case (
	[ [' '], qr/the sentence is empty/ ],
	[ [ '--rows', 'many', 'chess' ], qr/--rows is a number/ ],
	[ ['--no-such'], qr/there is no option --no-such/ ],
	[ ['--section'], qr/--section needs a value/ ],
	[ [ '--check', 'chess' ], qr/--check takes no sentence/ ],
	[ [ '--dump', "$folder/none", 'chess' ], qr/none" cannot be read/ ])
{
	($status, $out, $error) = demo(@{ $case->[0] });
	is($status, 1, "an error: @{ $case->[0] }");
	like($error, $case->[1], 'says what is wrong');
}

# ---------------------------------------------------------------------------
# The other actions
# ---------------------------------------------------------------------------

($status, $out, $error) = demo();
is($status, 0, 'without a sentence there are examples');
is(scalar(() = $out =~ /^=== /mg), 3, 'three of them');

($status, $out, $error) = demo('--check');
is($status, 0, 'the figures');
cmp_ok($out =~ /^recall\@10, \d+ queries\s*\| ([0-9.]+)$/m ? $1 : 0, '>=', 0.9, 'have a recall');

# Cut short after the tables were made, the preparation begins anew.
sql('DROP INDEX documents_embedding_idx');
($status, $out, $error) = demo('chess');
is("$status$error", '0', 'a preparation that had not ended is made again');
like($out, qr/loading packages/, 'from the beginning');

append_to_file("$folder/spoilt.json", '{"size":2,"vectors":{"chess":[1,2]}}');
sql('DROP INDEX documents_embedding_idx');
($status, $out, $error) = demo('--vectors', "$folder/spoilt.json", 'chess');
isnt($status, 0, 'spoilt word vectors are an error');
like($error, qr/word vectors cannot be read/, 'that is said');

($status, $out, $error) = demo('--remove');
is("$status$error", '0', 'removal');
is($node->safe_psql('postgres', "SELECT to_regnamespace('demo') IS NULL"), 't', 'leaves nothing of the demo');

$node->stop;
done_testing();
