# An index that takes other dimensions because its rows are gone: after a crash,
# and on a standby, whose sessions know the former ones.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', "autovacuum = off\njit = off");
$primary->start;
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;

$primary->safe_psql(
	'postgres', q{
	CREATE EXTENSION annoy;
	CREATE TABLE items (id int, e vector);
	CREATE INDEX items_l2 ON items USING annoy (e vector_l2_ops) WITH (n_trees = 2);
	CREATE UNLOGGED TABLE unlogged (LIKE items);
	CREATE INDEX unlogged_l2 ON unlogged USING annoy (e vector_l2_ops);});

sub answer
{
	my ($node, $query) = @_;
	return $node->safe_psql('postgres', "SET enable_seqscan = off; SET enable_sort = off; SELECT annoy_index_check('items_l2', true); SELECT id FROM items ORDER BY e <-> '$query' LIMIT 3;") =~ s/\s+/ /gr =~ s/^ //r;
}

sub catch_up
{
	$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
}

# The standby's session has the former description when the new one comes.
$primary->safe_psql('postgres', q{INSERT INTO items SELECT i, ARRAY[i, 1, 2]::vector FROM generate_series(1, 2000) AS i});
catch_up();
my $session = 'psql -X -q -A -t -h ' . $primary->host . ' -p ' . $primary->port . ' -d postgres';
my $output = $standby->safe_psql(
	'postgres', qq{
	SET enable_seqscan = off; SET enable_sort = off;
	SELECT id FROM items ORDER BY e <-> '[7,1,2]' LIMIT 1;
	\\! $session -c "SET synchronous_commit = on" -c "DELETE FROM items" -c "INSERT INTO items SELECT i, ARRAY[i, 1]::vector FROM generate_series(1, 500) AS i"
	DO \$\$ BEGIN
		FOR i IN 1 .. 1800 LOOP
			EXIT WHEN (SELECT count(*) = 500 FROM items);
			PERFORM pg_sleep(0.1);
		END LOOP;
	END \$\$;
	SELECT id FROM items ORDER BY e <-> '[8,1]' LIMIT 1;});
is($output, "7\n8", 'a session of the standby');
catch_up();
is(answer($_, '[9,1]') =~ s/ .*//r, '9', 'the index of the ' . $_->name) for $primary, $standby;

# A snapshot of the standby that sees the rows which are dead to the primary: it
# is cancelled, as by VACUUM, though it has not used the index yet.  (The table has
# not been pruned, which would do that, too.)
$standby->append_conf('postgresql.conf', 'max_standby_streaming_delay = 0');
$standby->reload;
$primary->safe_psql(
	'postgres', q{
	CREATE TABLE few (id int, e vector);
	CREATE INDEX few_l2 ON few USING annoy (e vector_l2_ops);
	INSERT INTO few VALUES (1, '[1,2,3]'), (2, '[1,2,3]');
	CREATE FUNCTION wait_for_standby() RETURNS void LANGUAGE plpgsql AS $$
	DECLARE
		lsn pg_lsn := pg_current_wal_insert_lsn();
	BEGIN
		FOR i IN 1 .. 1800 LOOP
			EXIT WHEN (SELECT count(*) = 1 FROM pg_stat_replication WHERE replay_lsn >= lsn);
			PERFORM pg_sleep(0.1);
		END LOOP;
	END
	$$});
catch_up();
my $error;
$standby->psql(
	'postgres', qq{
	BEGIN ISOLATION LEVEL REPEATABLE READ;
	SELECT count(*) FROM pg_am WHERE amname = 'annoy';
	\\! $session -c "DELETE FROM few" -c "INSERT INTO few VALUES (1, '[1,2]')" -c "SELECT wait_for_standby()" -o /dev/null
	SELECT count(*) FROM few;}, stdout => \$output, stderr => \$error);
like($error, qr/conflict with recovery/, 'rows that only a standby sees');
catch_up();
is($standby->safe_psql('postgres', q{SELECT count(*) FROM few}), '1', 'a later snapshot of the standby');

# Crashes behind a rollback and behind the insert that follows it.
$primary->safe_psql('postgres', q{DELETE FROM items; BEGIN; INSERT INTO unlogged VALUES (1, '[1,2,3]'); ROLLBACK; VACUUM items});
$primary->stop('immediate');
$primary->start;
$primary->safe_psql('postgres', q{INSERT INTO items VALUES (1, '[1,2,3,4]'); INSERT INTO unlogged VALUES (1, '[1,2]')});
$primary->stop('immediate');
$primary->start;
is(answer($primary, '[1,2,3,4]'), '1', 'after crashes');
$primary->safe_psql('postgres', q{INSERT INTO items SELECT i, ARRAY[i, 1, 2, 3]::vector FROM generate_series(2, 500) AS i; INSERT INTO unlogged VALUES (1, '[1,2,3]')});
is(answer($primary, '[100,1,2,3]') =~ s/ .*//r, '100', 'and more rows');
$standby->stop;
$standby->start;
catch_up();
is(answer($standby, '[100,1,2,3]') =~ s/ .*//r, '100', 'on the standby, too');

$standby->stop;
$primary->stop;
done_testing();
