
# annoy beside pgvector: whose objects they are, in which order they come and
# go, and that indexes on pgvector's types give right answers.  Needs pgvector
# among the server's extensions.
#
# OLD_BINDIR, if set, has the programs of an older server with both
# extensions, from which pg_upgrade then starts.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

chomp(my $share = `pg_config --sharedir`);
chomp(my $bindir = `pg_config --bindir`);
my $control = "$share/extension/vector.control";
my ($major, $minor) = -f $control ? slurp_file($control) =~ /^default_version\s*=\s*'(\d+)\.(\d+)/m : (0, 0);
plan skip_all => 'pgvector is not installed, or older than 0.7' unless $major > 0 || $minor >= 7;

my $top = $ENV{TESTDIR} // '.';
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "autovacuum = off\nfsync = off\nmaintenance_work_mem = '64MB'\njit = off");
$node->start;

# A new database of that name, and what is done in it first.
sub database
{
	my ($name, @sql) = @_;

	$node->safe_psql('postgres', "CREATE DATABASE $name TEMPLATE template0");
	$node->safe_psql($name, $_) for @sql;
	return $name;
}

# A command fails, with this message.
sub refused
{
	my ($database, $sql, $message, $name) = @_;
	my ($status, $out, $error) = $node->psql($database, $sql, on_error_stop => 1);

	isnt($status, 0, "$name: fails");
	like($error, $message, "$name: message");
}

# What the extension annoy owns, other than functions of its own names.
my $foreign_members = q{
	SELECT pg_describe_object(classid, objid, 0) FROM pg_depend
	WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
		AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'annoy')
		AND classid::regclass::text IN ('pg_type', 'pg_operator', 'pg_cast', 'pg_proc')
		AND pg_describe_object(classid, objid, 0) !~ '^function ([^(]*[.])?annoy_'
	ORDER BY 1};
my $classes = q{
	SELECT opcname, opcintype::regtype, opcdefault, amvalidate(c.oid)
	FROM pg_opclass AS c JOIN pg_am AS a ON a.oid = opcmethod WHERE amname = 'annoy' ORDER BY 1};
my $dependencies = q{
	SELECT count(*) FROM pg_depend WHERE deptype = 'n'
		AND classid = 'pg_extension'::regclass AND objid = (SELECT oid FROM pg_extension WHERE extname = 'annoy')
		AND refclassid = 'pg_extension'::regclass AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'vector')};

# Rows of a table (id, e) around 40 centres, and queries, the same everywhere.
my $dimensions = 64;
my $make_rows = qq{
	CREATE FUNCTION row_elements(i int) RETURNS real[] LANGUAGE sql IMMUTABLE
		RETURN (SELECT array_agg((hashint8((i % 40 + 1)::bigint * 65536 + j) / 2147483648.0 +
								  0.5 * hashint8(-i::bigint * 65536 - j) / 2147483648.0)::real)
				FROM generate_series(1, $dimensions) AS j);
	CREATE TABLE items (id int PRIMARY KEY, e vector($dimensions));
	INSERT INTO items SELECT i, row_elements(i) FROM generate_series(1, 4000) AS i;
	CREATE TABLE queries (id int, e vector($dimensions));
	INSERT INTO queries SELECT i, row_elements(100000 + 7 * i) FROM generate_series(1, 40) AS i;};

# Share of the ten nearest that an index finds; equal distances are equal.
sub recall
{
	my ($database, $table, $column, $queries, $operator, $settings) = @_;

	return $node->safe_psql(
		$database, qq{
		SET max_parallel_workers_per_gather = 0; $settings
		CREATE TEMPORARY TABLE approximate AS
			SELECT q.id, n.d FROM queries AS q,
				LATERAL (SELECT t.$column $operator $queries AS d FROM $table AS t
						 ORDER BY t.$column $operator $queries LIMIT 10) AS n;
		SET enable_indexscan = off;
		CREATE TEMPORARY TABLE exact AS
			SELECT q.id, max(n.d) AS worst FROM queries AS q,
				LATERAL (SELECT t.$column $operator $queries AS d FROM $table AS t
						 ORDER BY t.$column $operator $queries LIMIT 10) AS n GROUP BY 1;
		SELECT count(*) FILTER (WHERE d <= worst)::float8 / 10 / (SELECT count(*) FROM queries)
		FROM approximate JOIN exact USING (id)});
}

# The access method of the index that orders a query's rows, or Sort.
sub chosen
{
	my ($database, $query, $settings) = @_;
	my $plan = $node->safe_psql($database, ($settings // '') . "; EXPLAIN (COSTS OFF) $query");

	return 'Sort' if $plan =~ /Sort/;
	my ($index) = $plan =~ /Index Scan using (\S+)/ or return $plan;
	return $node->safe_psql($database,
		"SELECT amname FROM pg_class AS c JOIN pg_am AS a ON a.oid = relam WHERE c.oid = '$index'::regclass");
}

# ---------------------------------------------------------------------------
# Whose objects they are
# ---------------------------------------------------------------------------

my @float_classes = map {
	my $type = $_;
	map { "${type}_${_}_ops|$type|" . ($_ eq 'cosine' ? 't' : 'f') . '|t' } qw(cosine ip l1 l2)
} qw(halfvec vector);
my $all_classes = join("\n", 'bit_hamming_ops|bit|t|t', 'bit_jaccard_ops|bit|f|t', @float_classes);
my $odd = '"it\'s 1 ""odd"" %s schema"';

for my $case ([ 'one_schema', 'public', 'public' ], [ 'two_schemas', 'v', 'a' ], [ 'odd_schemas', $odd, '"An odd one"' ])
{
	my ($name, $vector_schema, $annoy_schema) = @$case;

	database($name, "CREATE SCHEMA IF NOT EXISTS $vector_schema; CREATE SCHEMA IF NOT EXISTS $annoy_schema;
		CREATE EXTENSION vector SCHEMA $vector_schema; CREATE EXTENSION annoy SCHEMA $annoy_schema");
	my $path = "SET search_path = public, $vector_schema, $annoy_schema;";
	is($node->safe_psql($name, "$path $foreign_members"), 'function angular_distance(vector,vector)',
		"$name: annoy brings nothing of pgvector's");
	is($node->safe_psql($name, "$path $classes"), $all_classes, "$name: operator classes");
	is($node->safe_psql($name, $dependencies), 1, "$name: annoy depends on pgvector");
	is($node->safe_psql($name, "$path SELECT round(angular_distance('[1,0]', '[0,3]')::numeric, 4)"),
		'1.4142', "$name: angular_distance");
	refused($name, "SELECT $annoy_schema.annoy_record_dependency('int')",
		qr/can only be called by a script of extension annoy/, "$name: the dependency is not for users");

	$node->safe_psql($name, "CREATE TABLE t (e $vector_schema.vector(3)); INSERT INTO t VALUES ('[1,2,3]'), ('[3,2,1]');
		CREATE INDEX ON t USING annoy (e); CREATE INDEX ON t USING hnsw (e $vector_schema.vector_l2_ops)");
	is($node->safe_psql($name, "SET enable_seqscan = off; $path SELECT e FROM t ORDER BY e <=> '[3,2,2]' LIMIT 1"),
		'[3,2,1]', "$name: a query");

	# Both may move.
	$node->safe_psql($name, 'CREATE SCHEMA moved; ALTER EXTENSION vector SET SCHEMA moved; ALTER EXTENSION annoy SET SCHEMA moved');
	is($node->safe_psql($name, "SET enable_seqscan = off; SET search_path = public, moved; SELECT e FROM t ORDER BY e <=> '[3,2,2]' LIMIT 1"),
		'[3,2,1]', "$name: a query after both have moved");

	refused($name, 'DROP EXTENSION vector', qr/extension annoy depends on extension vector/, "$name: DROP EXTENSION vector");
	refused($name, 'DROP EXTENSION annoy', qr/index t_e_idx depends on operator class/, "$name: DROP EXTENSION annoy with an index");
	$node->safe_psql($name, 'DROP INDEX t_e_idx; DROP EXTENSION annoy');
	is($node->safe_psql($name, "SET enable_seqscan = off; SET search_path = public, moved; SELECT e FROM t ORDER BY e <-> '[3,2,2]' LIMIT 1"),
		'[3,2,1]', "$name: columns and other indexes are left");
	$node->safe_psql($name, 'CREATE EXTENSION annoy; DROP EXTENSION vector CASCADE');
	is($node->safe_psql($name, q{SELECT count(*) FROM pg_extension WHERE extname IN ('vector', 'annoy')}),
		0, "$name: DROP EXTENSION vector CASCADE takes both");
}

# annoy is for owners of a database, who need not be superusers.
$node->safe_psql('postgres', 'CREATE ROLE owner LOGIN; CREATE DATABASE owned OWNER owner');
$node->safe_psql('owned', 'CREATE EXTENSION vector; SET ROLE owner; CREATE EXTENSION annoy;
	CREATE TABLE t (e vector(2)); CREATE INDEX ON t USING annoy (e)');
is($node->safe_psql('owned', "$dependencies"), 1, 'for the owner of a database, too');

# annoy first.
database('annoy_first', 'CREATE EXTENSION annoy');
is($node->safe_psql('annoy_first', $dependencies), 0, 'alone, annoy depends on nothing');
is( $node->safe_psql('annoy_first', $classes), $all_classes =~ s/^halfvec.*\n//mgr,
	'alone, annoy has the same operator classes but halfvec');
refused('annoy_first', 'CREATE EXTENSION vector', qr/type "vector" already exists/, 'pgvector in the schema of our type');
$node->safe_psql('annoy_first', 'CREATE SCHEMA other; CREATE EXTENSION vector SCHEMA other;
	CREATE TABLE t (ours vector(2), theirs other.vector(2)); CREATE INDEX ON t USING annoy (ours)');
refused('annoy_first', 'CREATE INDEX ON t USING annoy (theirs)',
	qr/data type other.vector has no default operator class/, 'pgvector added later in another schema');
$node->safe_psql('annoy_first', 'DROP EXTENSION vector CASCADE');
is($node->safe_psql('annoy_first', 'SELECT count(*) FROM pg_extension'), 2, 'without ties between them');

# sparsevec is for others.
database('limits', 'CREATE EXTENSION vector; CREATE EXTENSION annoy');
refused('limits', 'CREATE TABLE s (e sparsevec(9)); CREATE INDEX ON s USING annoy (e)',
	qr/data type sparsevec has no default operator class for access method "annoy"/, 'sparsevec');

# ---------------------------------------------------------------------------
# Answers
# ---------------------------------------------------------------------------

database('own', 'CREATE EXTENSION annoy', $make_rows);
database('beside', 'CREATE EXTENSION vector; CREATE EXTENSION annoy', $make_rows,
	"CREATE TABLE halves AS SELECT id, e::halfvec($dimensions) AS h FROM items ORDER BY id; ANALYZE");
$node->safe_psql('own', 'ANALYZE');

my $everything = 'SET annoy.search_k = 1000000;';
for my $metric ([ 'cosine', '<=>' ], [ 'l2', '<->' ], [ 'ip', '<#>' ], [ 'l1', '<+>' ])
{
	my ($name, $operator) = @$metric;
	my %recall;

	for my $database (qw(own beside))
	{
		$node->safe_psql($database, "CREATE INDEX items_$name ON items USING annoy (e vector_${name}_ops)");
		$recall{$database} = recall($database, 'items', 'e', 'q.e', $operator, '');
	}
	note("$name: recall of our type $recall{own}, of pgvector's $recall{beside}");
	cmp_ok($recall{own}, '>=', 0.9, "$name: recall of our type");
	cmp_ok(abs($recall{beside} - $recall{own}), '<=', 0.01, "$name: recall of pgvector's type is the same");
	is(recall('beside', 'items', 'e', 'q.e', $operator, $everything), 1, "$name: all is found if all is inspected");
	# the forest depends on vectors and seed, not on whose type it is
	my $forest = "SELECT md5(string_agg((tree, leaf, item)::text, ',' ORDER BY tree, leaf, item)) FROM annoy_leaf_items('items_$name')";
	is($node->safe_psql('beside', $forest), $node->safe_psql('own', $forest), "$name: the same forest for both types");

	$node->safe_psql('beside', "CREATE INDEX halves_$name ON halves USING annoy (h halfvec_${name}_ops)");
	my $halves = recall('beside', 'halves', 'h', "q.e::halfvec($dimensions)", $operator, '');
	note("$name: recall of halfvec $halves");
	cmp_ok($halves, '>=', $recall{own} - 0.03, "$name: recall of halfvec");
	is(recall('beside', 'halves', 'h', "q.e::halfvec($dimensions)", $operator, $everything),
		1, "$name: all halfvecs are found if all are inspected");

	for my $column ([ 'items', 'e', 'vector' ], [ 'halves', 'h', 'halfvec' ])
	{
		my ($table, $e, $type) = @$column;
		my $order = "ORDER BY $e $operator (SELECT e::$type($dimensions) FROM queries WHERE id = 3)";

		is(chosen('beside', "SELECT id FROM $table $order LIMIT 10"), 'annoy', "$name, $type: the planner takes the index");
		# Rows come in order, with the numbers of the operator itself.
		is($node->safe_psql(
			'beside', qq{
			$everything SET enable_seqscan = off; SET max_parallel_workers_per_gather = 0;
			CREATE TEMPORARY TABLE answer AS SELECT row_number() OVER () AS n, id, d FROM
				(SELECT id, $e $operator (SELECT e::$type($dimensions) FROM queries WHERE id = 3) AS d FROM $table $order) AS q;
			SELECT count(*), count(DISTINCT id), count(*) FILTER (WHERE d < previous) FROM
				(SELECT id, d, lag(d) OVER (ORDER BY n) AS previous FROM answer) AS q}),
			'4000|4000|0', "$name, $type: every row once, in order");
	}
}

# pgvector's idioms: indexes on a cast, on quantised vectors, ranked again.
$node->safe_psql('beside', "
	CREATE INDEX cast_index ON items USING annoy ((e::halfvec($dimensions)) halfvec_l2_ops);
	CREATE INDEX bit_index ON items USING annoy ((binary_quantize(e)::bit($dimensions)) bit_hamming_ops);
	ANALYZE items");
is(chosen('beside', "SELECT id FROM items ORDER BY e::halfvec($dimensions) <-> (SELECT e::halfvec($dimensions) FROM queries WHERE id = 1) LIMIT 5"),
	'annoy', 'an index on a cast to halfvec');
is($node->safe_psql('beside', "
	SET enable_seqscan = off;
	SELECT id FROM (SELECT * FROM items ORDER BY binary_quantize(e)::bit($dimensions) <~> (SELECT binary_quantize(e)::bit($dimensions) FROM items WHERE id = 77) LIMIT 60) AS candidates
	ORDER BY e <=> (SELECT e FROM items WHERE id = 77) LIMIT 1"), '77', 'an index on quantised vectors');
is($node->safe_psql('beside', "SET enable_indexscan = off; SELECT count(*) FROM items WHERE e::real[]::vector = e"), '4000', 'casts are pgvector\'s');

# Life of an index on halfvec.
is($node->safe_psql('beside', q{
	INSERT INTO halves SELECT i, row_elements(i)::halfvec FROM generate_series(4001, 6000) AS i;
	INSERT INTO halves VALUES (6001, NULL);
	INSERT INTO halves SELECT 6002, array_fill(0, ARRAY[64])::halfvec;
	DELETE FROM halves WHERE id % 3 = 0;
	SELECT count(annoy_index_check(indexrelid, true)) FROM pg_index WHERE indrelid = 'halves'::regclass}),
	4, 'inserts and deletes');
$node->safe_psql('beside', 'VACUUM halves');
is($node->safe_psql('beside', q{
	SELECT count(annoy_index_check(indexrelid, true)) FROM pg_index WHERE indrelid = 'halves'::regclass}),
	4, 'VACUUM');
my $ids = q{SELECT count(*), count(DISTINCT id), md5(string_agg(id::text, ',' ORDER BY id)) FROM };
is( $node->safe_psql('beside', "SET enable_seqscan = off; $ids (SELECT id FROM halves ORDER BY h <=> (SELECT e::halfvec($dimensions) FROM queries WHERE id = 3) OFFSET 0) AS q"),
	$node->safe_psql('beside', "$ids halves"), 'every row is reached, also those without direction or value');

# Far more dimensions than pgvector's own indexes take.
$node->safe_psql('limits', q{
	CREATE TABLE wide (id int, h halfvec, e vector);
	INSERT INTO wide SELECT i, v::halfvec, v::vector FROM
		(SELECT i, array_agg(hashint8(i * 65536::bigint + j) / 2147483648.0) AS v FROM generate_series(1, 60) AS i, generate_series(1, 16000) AS j GROUP BY i) AS q;
	CREATE INDEX wide_h ON wide USING annoy (h halfvec_l2_ops); CREATE INDEX wide_e ON wide USING annoy (e vector_l2_ops)});
refused('limits', 'CREATE INDEX ON wide USING hnsw ((h::halfvec(16000)) halfvec_l2_ops)', qr/cannot have more than 4000 dimensions/, 'pgvector\'s limit is another');
for my $e (qw(h e))
{
	is($node->safe_psql('limits', "SET enable_seqscan = off; SELECT id FROM wide ORDER BY $e <-> (SELECT $e FROM wide WHERE id = 23) LIMIT 1"),
		'23', "16,000 dimensions, $e");
}
is($node->safe_psql('limits', "SELECT count(annoy_index_check(i::regclass, true)) FROM unnest('{wide_h,wide_e}'::text[]) AS i"), 2, 'their indexes');
# Codes are those of the same sketches: what the table has is another matter.
is($node->safe_psql('limits', "SELECT pg_relation_size('wide_e') = pg_relation_size('wide_h')"), 't',
	'an index of halfvec is as large as one of vector');

# What is no halfvec does no harm.
$node->safe_psql('limits', 'CREATE CAST (bytea AS halfvec) WITHOUT FUNCTION; CREATE TABLE bad (h halfvec)');
for my $bytes ('', '\x0200', '\x02000000003c', '\x000000', '\xffff0000003c', '\x02000000003c003c00')
{
	refused('limits', "TRUNCATE bad; INSERT INTO bad VALUES ('$bytes'::bytea::halfvec); CREATE INDEX ON bad USING annoy (h)",
		qr/malformed halfvec value/, "a halfvec of '$bytes'");
}

# ---------------------------------------------------------------------------
# Two indexes on one column
# ---------------------------------------------------------------------------

database('both_indexes', 'CREATE EXTENSION vector; CREATE EXTENSION annoy', $make_rows,
	'CREATE INDEX by_hnsw ON items USING hnsw (e vector_l2_ops); ANALYZE');
my $nearest = 'SELECT id FROM items ORDER BY e <-> (SELECT e FROM queries WHERE id = 5) LIMIT 10';
is(chosen('both_indexes', $nearest), 'hnsw', 'HNSW alone is chosen');
$node->safe_psql('both_indexes', 'CREATE INDEX CONCURRENTLY by_annoy ON items USING annoy (e vector_l2_ops)');
like(chosen('both_indexes', $nearest), qr/^(hnsw|annoy)$/, 'one of two indexes is chosen');
is(chosen('both_indexes', $nearest, q{BEGIN; DROP INDEX by_hnsw}), 'annoy', 'annoy, if HNSW is gone');
my $exact = $node->safe_psql('both_indexes', "SET enable_indexscan = off; $nearest");
$node->safe_psql('both_indexes', 'INSERT INTO items SELECT 5000, e FROM queries WHERE id = 5; DELETE FROM items WHERE id = 5000');
is($node->safe_psql('both_indexes', "$everything BEGIN; DROP INDEX by_hnsw; $nearest"), $exact, 'its answer');

# ---------------------------------------------------------------------------
# pg_dump and pg_upgrade
# ---------------------------------------------------------------------------

# What has to be the same afterwards.
my $state = qq{
	SET enable_seqscan = off;
	SELECT extname, extversion, nspname FROM pg_extension JOIN pg_namespace AS n ON n.oid = extnamespace WHERE extname IN ('vector', 'annoy') ORDER BY 1;
	$dependencies;
	SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 'kept.items'::regclass AND NOT indisprimary ORDER BY 1;
	SELECT array_agg(id) FROM (SELECT id FROM kept.items ORDER BY e OPERATOR("Types".<->) (SELECT e FROM kept.items WHERE id = 5) LIMIT 10) AS q;
	SELECT array_agg(id) FROM (SELECT id FROM kept.items ORDER BY h OPERATOR("Types".<=>) (SELECT h FROM kept.items WHERE id = 5) LIMIT 10) AS q;
	SELECT count(annoy_index_check(indexrelid, true)) FROM pg_index WHERE indrelid = 'kept.items'::regclass AND NOT indisprimary};
my @kept = (
	'CREATE SCHEMA "Types"; CREATE EXTENSION vector SCHEMA "Types"; CREATE EXTENSION annoy',
	qq{CREATE SCHEMA kept; SET search_path = kept, "Types", public; $make_rows
		ALTER TABLE items ADD h halfvec($dimensions); UPDATE items SET h = e; VACUUM FULL items;
		CREATE INDEX ON items USING annoy (e vector_l2_ops) WITH (seed = 7, n_trees = 2);
		CREATE INDEX ON items USING annoy (h)});

database('source', @kept);
my $before = $node->safe_psql('source', $state);
like($before, qr/^annoy.*\nvector.*\n1\n.*using annoy .*\n.*using annoy .*\n\{5,.*\n\{5,.*\n2$/i, 'there is something to keep');
my $dump = $node->basedir . '/kept.sql';
$node->command_ok([ 'pg_dump', '-d', $node->connstr('source'), '-f', $dump ], 'pg_dump');
like(slurp_file($dump), qr/CREATE EXTENSION IF NOT EXISTS vector .*CREATE EXTENSION IF NOT EXISTS annoy /s, 'pgvector comes first');
database('restored');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('restored'), '-f', $dump ], 'psql');
is($node->safe_psql('restored', $state), $before, 'dump and psql keep everything');
database('restored_again');
$node->command_ok(
	[ 'sh', '-c', 'pg_dump -Fc -d "$1" | pg_restore --exit-on-error -d "$2"', 'sh', $node->connstr('source'), $node->connstr('restored_again') ],
	'pg_dump | pg_restore');
is($node->safe_psql('restored_again', $state), $before, 'pg_dump and pg_restore keep everything');

# pg_upgrade, from this version to itself unless an older one is given.
my $old_bindir = $ENV{OLD_BINDIR} || undef;
my $old = PostgreSQL::Test::Cluster->new('old', $old_bindir ? (install_path => $old_bindir =~ s{/bin$}{}r) : ());
my $new = PostgreSQL::Test::Cluster->new('new');
SKIP:
{
	skip 'no pg_upgrade', 1 unless -x "$bindir/pg_upgrade";

	# versions differ in whether checksums are the default
	my @extra = $node->pg_version >= 18 ? ('--no-data-checksums') : ();
	$old->init($old_bindir ? () : (extra => \@extra));
	$old->append_conf('postgresql.conf', "autovacuum = off\nfsync = off");
	$old->start;
	$old->safe_psql('postgres', $_) for @kept;
	my $old_state = $old->safe_psql('postgres', $state);
	my $from = $old->safe_psql('postgres', 'SHOW server_version_num');
	$old->stop;
	$new->init(extra => \@extra);
	$new->append_conf('postgresql.conf', "autovacuum = off\nfsync = off");

	chdir(PostgreSQL::Test::Utils::tempdir()) or die 'chdir';
	command_ok(
		[ 'pg_upgrade', '--no-sync', '-d', $old->data_dir, '-D', $new->data_dir, '-b', $old_bindir // $bindir,
			'-B', $bindir, '-s', $new->host, '-p', $old->port, '-P', $new->port ],
		"pg_upgrade from $from");
	$new->start;
	# The old server may have had another release of pgvector.
	is($new->safe_psql('postgres', $state), $old_state, 'pg_upgrade keeps everything');
	my ($status, $out, $error) = $new->psql('postgres', 'DROP EXTENSION vector');
	like($error, qr/extension annoy depends on/, 'after pg_upgrade: DROP EXTENSION vector');
	$new->stop;
}

# ---------------------------------------------------------------------------
# Other versions of both extensions
# ---------------------------------------------------------------------------

my %scripts = (
	# ALTER EXTENSION UPDATE forgets dependencies that the control file lacks
	'annoy--1.0--1.0forgets.sql' => "SELECT 1;\n",
	'annoy--1.0--1.0records.sql' => recorded_command(),
	# all that an old pgvector has to have for being refused
	'vector--0.6.0.sql' => "CREATE TYPE vector AS (x real[]);\n",
	'vector--0.10.0.sql' => slurp_file("$share/extension/vector--" . default_version('vector') . '.sql'));

sub default_version
{
	my ($name) = @_;

	return $node->safe_psql('postgres', "SELECT default_version FROM pg_available_extensions WHERE name = '$name'");
}

# What the script of the extension tells the writers of update scripts.
sub recorded_command
{
	my ($command) = slurp_file("$share/extension/annoy--1.0.sql") =~ /every update script has to end with\n--\n((?:--\t.*\n)+)/
	  or die 'no command in annoy--1.0.sql';

	return $command =~ s/^--\t//mgr;
}

SKIP:
{
	skip "extensions cannot be added to $share", 1 unless -w "$share/extension";
	for my $name (keys %scripts)
	{
		open(my $file, '>', "$share/extension/$name") or die "$name: $!";
		print $file $scripts{$name};
		close($file);
	}

	# somebody else's function, which a literal or a plain oid would match better
	database('update', 'CREATE EXTENSION vector; CREATE EXTENSION annoy', map {
		"CREATE FUNCTION annoy_record_dependency($_) RETURNS void LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION USING MESSAGE = ''trapped''; END'"
	} ('text', 'oid'));
	$node->safe_psql('update', q{BEGIN; ALTER EXTENSION annoy UPDATE TO '1.0forgets'});
	is($node->safe_psql('update', qq{BEGIN; ALTER EXTENSION annoy UPDATE TO '1.0forgets'; $dependencies}), 0, 'an update forgets the dependency');
	is($node->safe_psql('update', qq{ALTER EXTENSION annoy UPDATE TO '1.0records'; $dependencies}), 1, 'an update records it again');
	refused('update', 'DROP EXTENSION vector', qr/extension annoy depends on extension vector/, 'after the update, DROP EXTENSION vector');
	database('update_own', 'CREATE EXTENSION annoy; CREATE SCHEMA other; CREATE EXTENSION vector SCHEMA other');
	is($node->safe_psql('update_own', qq{ALTER EXTENSION annoy UPDATE TO '1.0records'; $dependencies}), 0, 'but not for our own type');

	database('old_pgvector', q{CREATE EXTENSION vector VERSION '0.6.0'});
	refused('old_pgvector', 'CREATE EXTENSION annoy',
		qr/extension "vector" has version 0\.6\.0, but annoy needs 0\.7\.0 or later\nHINT:  .*ALTER EXTENSION vector UPDATE/,
		'an old pgvector');
	is($node->safe_psql('old_pgvector', q{SELECT count(*) FROM pg_am WHERE amname = 'annoy'}), 0, 'and nothing is left');
	database('new_pgvector', q{CREATE EXTENSION vector VERSION '0.10.0'; CREATE EXTENSION annoy});
	is($node->safe_psql('new_pgvector', $dependencies), 1, 'versions are compared as numbers');
}

END
{
	my $status = $?;

	unlink(map { "$share/extension/$_" } grep { -w "$share/extension/$_" } keys %scripts) if %scripts && $share;
	$? = $status;
}

# ---------------------------------------------------------------------------
# What the documents say
# ---------------------------------------------------------------------------

# The commands that a section of a document shows, exactly as they are there.
sub shown
{
	my ($document, $section) = @_;
	my ($commands) = slurp_file("$top/$document") =~ /^## \Q$section\E\n(?:(?!^## ).)*?```postgresql\n(.*?)```/ms
	  or die "no example in $document, $section";

	return $commands;
}

my $way = shown('docs/operations.md', 'When pgvector comes later');
database('later', 'CREATE EXTENSION annoy', q{
	CREATE TABLE items (id int, embedding vector(3));
	INSERT INTO items SELECT i, ARRAY[sin(i), cos(i), 1e-42 * i] FROM generate_series(1, 1000) AS i; INSERT INTO items VALUES (1001, NULL);
	CREATE INDEX items_embedding_idx ON items USING annoy (embedding)});
my $content = q{SELECT md5(string_agg(id || coalesce(vector_send(embedding)::text, ''), ',' ORDER BY id)) FROM items};
my $content_before = $node->safe_psql('later', $content);
$node->safe_psql('later', $way);
is($node->safe_psql('later', $content), $content_before, 'pgvector comes later: every bit is kept');
is($node->safe_psql('later', "$dependencies; $foreign_members"), "1\nfunction angular_distance(vector,vector)", 'pgvector comes later: annoy stands beside it');
is($node->safe_psql('later', q{SET enable_seqscan = off; SELECT id FROM items ORDER BY embedding <=> (SELECT embedding FROM items WHERE id = 9) LIMIT 1}),
	9, 'pgvector comes later: the index answers');

# The way back, and pgvector is gone.
$node->safe_psql('later', shown('docs/from-pgvector.md', 'Moving away from pgvector altogether'));
is($node->safe_psql('later', $content), $content_before, 'moving away: every bit is kept');
is($node->safe_psql('later', q{SELECT string_agg(extname, ',') FROM pg_extension WHERE extname IN ('annoy', 'vector')}),
	'annoy', 'moving away: pgvector is gone');
is($node->safe_psql('later', q{SET enable_seqscan = off; SELECT id FROM items ORDER BY embedding <=> (SELECT embedding FROM items WHERE id = 9) LIMIT 1}),
	9, 'moving away: the index answers');

# The same with a dump, as docs/from-pgvector.md says: annoy's type is there
# first, so pgvector cannot be created, just as on a server that lacks it.
database('shop', q{
	CREATE EXTENSION vector;
	CREATE EXTENSION annoy;
	CREATE TABLE items (id int PRIMARY KEY, embedding vector(3));
	INSERT INTO items SELECT i, ARRAY[i, i % 7, 1] FROM generate_series(1, 500) AS i;
	CREATE INDEX items_hnsw ON items USING hnsw (embedding vector_l2_ops);
	CREATE INDEX items_ivfflat ON items USING ivfflat (embedding vector_l2_ops) WITH (lists = 5);
	CREATE INDEX items_annoy ON items USING annoy (embedding vector_l2_ops);
	CREATE VIEW nearest AS SELECT id, embedding <-> '[2,2,1]' AS distance FROM items ORDER BY distance LIMIT 3;
	CREATE TABLE halves (embedding halfvec(3));
	CREATE TABLE sparse (embedding sparsevec(3))});
my $archive = $node->basedir . '/shop.dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $archive, '-d', $node->connstr('shop') ], 'moving away: a dump');
database('away', 'CREATE EXTENSION annoy');
my $errors = '';
IPC::Run::run([ 'pg_restore', '-d', $node->connstr('away'), $archive ], '2>', \$errors);
my %errors = map { $_ => 1 } $errors =~ /ERROR: +(.*)/g;
is(join("\n", sort keys %errors),
	join("\n", 'access method "hnsw" does not exist', 'access method "ivfflat" does not exist',
		'extension "vector" does not exist', 'relation "public.halves" does not exist', 'relation "public.sparse" does not exist',
		'type "public.halfvec" does not exist', 'type "public.sparsevec" does not exist', 'type "vector" already exists'),
	'moving away: what a dump does not restore');
is($node->safe_psql('away', $content), $node->safe_psql('shop', $content), 'moving away: tables and rows arrive');
is($node->safe_psql('away', q{SELECT string_agg(indexrelid::regclass::text, ',' ORDER BY indexrelid::regclass::text) FROM pg_index WHERE indrelid = 'items'::regclass}),
	'items_annoy,items_pkey', q{moving away: so do annoy's indexes});
is($node->safe_psql('away', 'SELECT id FROM nearest LIMIT 1'), 2, 'moving away: and views');

$node->stop;
done_testing();
