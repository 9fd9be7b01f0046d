
# Entries name rows of the table, which others change, vacuum and replace: splits,
# scans, VACUUM and checks beside them, on pages that an index before has left; and
# crashes in between, also between any two records of an index that begins anew.

use strict;
use warnings;

use AnnoyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $rounds = $ENV{ANNOY_LONG_TESTS} ? 20 : 3;
my $crashes = $ENV{ANNOY_LONG_TESTS} ? 40 : 6;
my $statements = 120;    # of each of these
my $clients = 4;
my $seed = $ENV{ANNOY_SEED} || time;

srand($seed);
note("ANNOY_SEED=$seed");

my $node = start_server("fsync = off\nmax_wal_size = '4GB'\njit = off");
load_answers($node);
$node->safe_psql(
	'postgres', q{
	CREATE SEQUENCE ids;
	-- vectors out of line, room for HOT updates, and a number of dimensions that changes
	CREATE TABLE items (id int DEFAULT nextval('ids'), key int UNIQUE, n int, e vector) WITH (fillfactor = 70);
	ALTER TABLE items ALTER e SET STORAGE external;
	CREATE INDEX items_l2 ON items USING annoy (e vector_l2_ops) WITH (n_trees = 2);
	CREATE INDEX items_cosine ON items USING annoy (e);
	CREATE TABLE pool (i int, e vector);
	CREATE FUNCTION fill_pool(dimensions int) RETURNS void LANGUAGE sql AS $$
		TRUNCATE pool;
		INSERT INTO pool SELECT i, even_vector(dimensions, i) FROM generate_series(1, 600) AS i;
	$$;
	CREATE FUNCTION insert_some(start int, number int) RETURNS void LANGUAGE sql AS $$
		INSERT INTO items (e) SELECT CASE WHEN i % 40 > 0 THEN e END FROM pool WHERE i BETWEEN start AND start + number - 1
	$$;
	CREATE FUNCTION check_scan(query text) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		IF NOT complete_answer(query) THEN
			RAISE EXCEPTION 'wrong answer to %', left(query, 80);
		END IF;
	END
	$$;
	-- Every row once, by all ways.
	CREATE FUNCTION check_scans(q int) RETURNS void LANGUAGE sql AS $$
		SELECT check_scan(format('SELECT id, e %1$s %2$L::vector AS d FROM items ORDER BY e %1$s %2$L::vector', operator, (SELECT e FROM pool WHERE i = q)))
			FROM unnest('{<->,<=>}'::text[]) AS operator;
		SELECT check_scan(format('SELECT id, e %1$s NULL::vector AS d FROM items ORDER BY e %1$s (SELECT NULL::vector)', operator))
			FROM unnest('{<->,<=>}'::text[]) AS operator;
	$$;
	SET allow_system_table_mods = on;
	DO $$ BEGIN EXECUTE format('ALTER TABLE %s RENAME TO toast_of_items', (SELECT reltoastrelid::regclass FROM pg_class WHERE oid = 'items'::regclass)); END $$;});

sub number { return int(1 + rand($_[0])) }

my %work = (
	insert => sub { 'SELECT insert_some(' . number(550) . ', ' . number(40) . ');' },
	rollback => sub { 'BEGIN; SELECT insert_some(' . number(500) . ', 50); ROLLBACK;' },
	# two that want the same key: one takes back what it has inserted
	upsert => sub { 'INSERT INTO items (key, e) SELECT i % 20, e FROM pool WHERE i BETWEEN ' . number(580) . ' AND 600 AND i % 40 > 0 LIMIT 10 ON CONFLICT (key) DO NOTHING;' },
	hot => sub { 'UPDATE items SET n = n + 1 WHERE id % 50 = ' . number(50) . ' - 1 AND id IN (SELECT id FROM items FOR UPDATE SKIP LOCKED);' },
	update => sub { 'UPDATE items SET e = (SELECT e FROM pool WHERE i = ' . number(600) . ') WHERE id % 200 = ' . number(200) . ' - 1;' },
	delete => sub { 'DELETE FROM items WHERE id IN (SELECT id FROM items WHERE id % 25 = ' . number(25) . ' - 1 FOR UPDATE SKIP LOCKED);' },
	# rows that come back
	undo => sub { 'BEGIN; DELETE FROM items WHERE id IN (SELECT id FROM items WHERE id % 10 = ' . number(10) . ' - 1 FOR UPDATE SKIP LOCKED); SELECT insert_some(' . number(550) . ', 40); ROLLBACK;' },
	search => sub { 'SELECT id FROM items ORDER BY e <-> (SELECT e FROM pool WHERE i = ' . number(600) . ') LIMIT ' . number(100) . ';' },
	scans => sub { 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT check_scans(' . number(600) . '); COMMIT;' },
	check => sub { 'SELECT annoy_index_check(index, true) FROM unnest(\'{items_l2,items_cosine}\'::regclass[]) AS index;' },
	# slow enough for splits to come in between
	vacuum => sub { 'SET vacuum_cost_delay = 1; SET vacuum_cost_limit = 20; VACUUM (INDEX_CLEANUP on, SKIP_LOCKED) items; RESET vacuum_cost_delay;' },
	prune => sub { 'VACUUM (INDEX_CLEANUP off, SKIP_LOCKED) items;' },
	toast => sub { 'VACUUM pg_toast.toast_of_items;' },
	empty => sub { 'DELETE FROM items; VACUUM (INDEX_CLEANUP on) items;' });
my @kinds = (('insert') x 12, 'rollback', ('upsert') x 2, ('hot') x 4, ('update') x 4, ('delete') x 3, ('undo') x 2,
	('search') x 4, ('scans') x 2, 'check', ('vacuum') x 3, 'prune', 'toast');

my $files = 0;

# Runs statements in a session of its own; its errors go to $$error.
sub start_client
{
	my ($count, $error, @kinds) = @_;
	my $file = $node->basedir . '/client_' . ++$files . '.sql';

	PostgreSQL::Test::Utils::append_to_file($file, "SET deadlock_timeout = '50ms';\n" .
		join("\n", map { $work{ $kinds[ rand(@kinds) ] }->() } 1 .. $count));
	return start_psql($node, [ '-f', $file ], $error);
}

# What is wrong with the indexes, if anything is.
my $check = $work{check}->();

sub find_faults
{
	my ($result, $output, $error) = $node->psql('postgres', "SELECT check_scans(7); $check");
	return $error;
}

# ---------------------------------------------------------------------------
# Everything at the same time
# ---------------------------------------------------------------------------

for my $round (1 .. $rounds)
{
	my $dimensions = $round % 2 ? 768 : 500;
	my @errors = ('') x $clients;

	$node->safe_psql('postgres', "SELECT fill_pool($dimensions); SELECT insert_some(1, 600), insert_some(1, 600)");
	# pages without use, for the splits
	$node->safe_psql('postgres', $_) foreach 'DELETE FROM items', 'VACUUM (INDEX_CLEANUP on) items', 'SELECT insert_some(1, 100)';
	my $before = $node->safe_psql('postgres', q{SELECT pg_relation_size('items_l2')});
	my @running = map { start_client($statements, \$errors[ $_ - 1 ], @kinds) } 1 .. $clients;
	$_->finish foreach @running;
	# two of the updates may wait for each other
	my $other = join("\n", grep { /(ERROR|FATAL|PANIC):/ && !/deadlock detected/ } split(/\n/, join("\n", @errors)));
	is($other, '', "round $round: no errors");
	is(find_faults(), '', "round $round: the indexes are sound, and have every row");
	note('rows ' . $node->safe_psql('postgres', "SELECT count(*) || ', blocks before ' || $before / 8192 || ', after ' || pg_relation_size('items_l2') / 8192 FROM items"));
	$node->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP on) items');
	is(find_faults(), '', "round $round: also after VACUUM");
	is($node->safe_psql('postgres', q{
			SELECT count(*) FROM unnest('{items_l2,items_cosine}'::regclass[]) AS index,
				LATERAL (SELECT tree, count(*) AS entries FROM annoy_leaf_items(index) GROUP BY tree) AS trees
			WHERE entries = (SELECT count(*) FROM items WHERE e IS NOT NULL)}),
		'3', "round $round: and there is no entry of another row in any tree");
	$node->safe_psql('postgres', $_) foreach 'DELETE FROM items', 'VACUUM (INDEX_CLEANUP on) items';
}

# ---------------------------------------------------------------------------
# A split onto a page that VACUUM has passed by
# ---------------------------------------------------------------------------

# The split has read its rows before VACUUM, which prunes them from the table, and
# moves their entries to the front of the index while VACUUM is on its way there.
# (That it is there is what the delay is for; VACUUM has to be right anyway.)
sub start_statements
{
	return start_psql($node, [ map { ('-c', $_) } @_ ]);
}

$node->safe_psql(
	'postgres', q{
	CREATE FUNCTION gated(e vector, id int) RETURNS vector LANGUAGE plpgsql IMMUTABLE AS $$
	BEGIN
		IF id = 30 THEN
			PERFORM pg_catalog.pg_advisory_lock_shared(12), pg_catalog.pg_advisory_unlock_shared(12);
		END IF;
		RETURN e;
	END $$;
	-- a row a page, or VACUUM would pass over the one that the split has pinned
	CREATE TABLE few (id int, e vector(1536), pad text DEFAULT repeat('x', 5000));
	ALTER TABLE few ALTER e SET STORAGE external, ALTER pad SET STORAGE plain;
	CREATE INDEX few_l2 ON few USING annoy (gated(e, id) vector_l2_ops);
	INSERT INTO few SELECT i, even_vector(1536, i), NULL FROM generate_series(101, 900) AS i;
	DELETE FROM few;});
$node->safe_psql('postgres', $_)
  foreach 'VACUUM few', 'INSERT INTO few SELECT i, even_vector(1536, i) FROM generate_series(1, 32) AS i', 'DELETE FROM few WHERE id BETWEEN 20 AND 28';
# the one leaf of the new tree is behind all that
my $blocks = $node->safe_psql('postgres', q{SELECT pg_relation_size('few_l2') / 8192});
cmp_ok($blocks, '>', 40, 'there are pages without use');
my $waiting = q{SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND };
my $gate = start_statements('SELECT pg_advisory_lock(12)', 'SELECT pg_sleep(600)');
$node->poll_query_until('postgres', "$waiting granted") or die 'no lock';
my $split = start_statements('INSERT INTO few SELECT 33, even_vector(1536, 33)');
$node->poll_query_until('postgres', "$waiting NOT granted") or die 'no split';
my $vacuum = start_statements('SET vacuum_cost_delay = 30', 'SET vacuum_cost_limit = 1', 'SET vacuum_cost_page_dirty = 0', 'SET vacuum_cost_page_miss = 1',
	'VACUUM (INDEX_CLEANUP on, PROCESS_TOAST off) few');
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_progress_vacuum WHERE phase = 'vacuuming indexes'}) or die 'no VACUUM';
sleep(0.3);
$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted});
$split->finish;
my $during = $node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_progress_vacuum WHERE phase = 'vacuuming indexes'});
$vacuum->finish;
$gate->finish;
note("split while $during VACUUM was there");
is($node->safe_psql('postgres', q{SELECT pg_relation_size('few_l2') / 8192}), $blocks, 'a page without use was taken');
is($node->safe_psql('postgres', q{SELECT count(*), bool_and(item IN (SELECT ctid FROM few)), count(DISTINCT leaf) FROM annoy_leaf_items('few_l2')}),
	'24|t|2', 'entries of removed rows are found where a split has put them');

# ---------------------------------------------------------------------------
# Crashes
# ---------------------------------------------------------------------------

my $failed = 0;
for my $crash (1 .. $crashes)
{
	my @running = (
		start_client(1000, undef, @kinds),
		start_client(1000, undef, @kinds),
		start_client(1000, undef, qw(vacuum toast empty insert insert)));

	sleep(0.2 + rand(0.6));
	$node->stop('immediate');
	for my $client (@running)
	{
		eval { $client->finish };
	}
	$node->start;
	my $faults = find_faults();
	if ($faults ne '')
	{
		fail("crash $crash: $faults");
		$failed++;
	}
}
is($failed, 0, "the indexes are sound after each of $crashes crashes");
$node->stop;
unlike(slurp_file($node->logfile), qr/terminated by signal|PANIC|TRAP|is damaged|does not match|missing chunk|refcount leak/, 'no process was lost');

# ---------------------------------------------------------------------------
# An index begins anew: recovery up to any record of that
# ---------------------------------------------------------------------------

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(has_archiving => 1, allows_streaming => 1);
$primary->append_conf('postgresql.conf', "autovacuum = off\nfsync = off\njit = off");
$primary->start;
load_answers($primary);
$primary->safe_psql(
	'postgres', q{
	CREATE TABLE items (id int, e vector);
	CREATE INDEX items_l2 ON items USING annoy (e vector_l2_ops) WITH (n_trees = 2);
	INSERT INTO items SELECT i, CASE WHEN i % 100 > 0 THEN even_vector(200, i) END FROM generate_series(1, 1500) AS i;
	DELETE FROM items WHERE e IS NOT NULL;});
$primary->backup('base');
my $start = $primary->lsn('insert');
$primary->safe_psql('postgres', 'VACUUM items');
my $end = $primary->lsn('insert');
my $locator = $primary->safe_psql('postgres', q{SELECT (SELECT oid FROM pg_database WHERE datname = 'postgres') || '/' || pg_relation_filenode('items_l2')});

# Ends of the records that change the index, and of which the metapage is among
# the pages.
my ($dump) = run_command([ 'pg_waldump', '-p', $primary->data_dir . '/pg_wal', '-s', $start, '-e', $end ]);
$primary->safe_psql('postgres', 'SELECT pg_switch_wal()');
$primary->safe_psql('postgres', 'CHECKPOINT');
my @records;
for my $line (split(/\n/, $dump))
{
	next unless $line =~ m{lsn: (?<lsn>[0-9A-F]+/[0-9A-F]+),.*\Q/$locator\E };
	my $lsn = $+{lsn};
	push @records, { lsn => $lsn, meta => $line =~ m{\Q/$locator\E blk 0\b} ? 1 : 0 };
}
my @meta = grep { $records[$_]{meta} } 0 .. $#records;
cmp_ok(scalar(@meta), '>=', 2, 'the metapage is changed twice');
# the last two changes: former_end, and that all before it is free
my ($first, $last) = @meta[ -2, -1 ];
cmp_ok($last - $first, '>', 10, 'pages are freed one by one');
my %chosen = map { $_ => 1 } $first - 1, $first, $first + 1, int(($first + $last) / 2), $last - 1, $last;
for my $record (sort { $a <=> $b } keys %chosen)
{
	my $copy = PostgreSQL::Test::Cluster->new("record_$record");

	$copy->init_from_backup($primary, 'base', has_restoring => 1, standby => 0);
	$copy->append_conf('postgresql.conf', "recovery_target_lsn = '$records[$record]{lsn}'\nrecovery_target_action = promote\narchive_mode = off");
	$copy->start;
	$copy->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die 'recovery does not end';
	my ($result, $output, $error) = $copy->psql(
		'postgres', q{
		SELECT annoy_index_check('items_l2', true);
		INSERT INTO items SELECT i, even_vector(150, i) FROM generate_series(2001, 2600) AS i;
		SELECT annoy_index_check('items_l2', true);
		SELECT complete_answer('SELECT id, e <-> NULL::vector AS d FROM items ORDER BY e <-> (SELECT NULL::vector)');
		DELETE FROM items WHERE id > 2500;
		VACUUM (INDEX_CLEANUP on) items;
		INSERT INTO items SELECT i, even_vector(150, i) FROM generate_series(3001, 4000) AS i;
		SELECT annoy_index_check('items_l2', true);
		SELECT complete_answer(format('SELECT id, e <-> %1$L AS d FROM items ORDER BY e <-> %1$L', even_vector(150, -1)));
		SELECT complete_answer('SELECT id, e <-> NULL::vector AS d FROM items ORDER BY e <-> (SELECT NULL::vector)');});
	is("$error " . $output =~ s/\s+//gr, ' ttt', 'after record ' . ($record - $first) . ' from the one that names new roots, of ' . ($last - $first));
	$copy->stop;
}
$primary->stop;
done_testing();
