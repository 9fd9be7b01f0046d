
# A standby has the same index as its primary, page by page, answers alike, and
# can take over.

use strict;
use warnings;

use AnnoyTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

sub answers { return answers_and_leaves(@_, 300) }

# What answers() needs to see for its comparison to mean something.
my $full = qr/^(.*\|3000\|.*\n){15}/;

my $primary = start_server("wal_consistency_checking = 'all'", name => 'primary', init => [ allows_streaming => 1 ]);
load_answers($primary);

my $create = q{
	INSERT INTO %1$s SELECT i, CASE WHEN i %% 100 > 0 THEN even_vector(300, i) END FROM generate_series(1, 3000) AS i;
	CREATE INDEX %1$s_l2 ON %1$s USING annoy (e vector_l2_ops);
	CREATE INDEX %1$s_cosine ON %1$s USING annoy (e) WITH (n_trees = 1);
	CREATE INDEX %1$s_ip ON %1$s USING annoy (e vector_ip_ops) WITH (n_trees = 3);};

# One table before the standby is made, one after.
$primary->safe_psql('postgres', 'CREATE TABLE old (id int, e vector(300));' . sprintf($create, 'old'));
$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;
$primary->safe_psql('postgres', 'CREATE TABLE new (id int, e vector(300));' . sprintf($create, 'new'));
$primary->safe_psql('postgres', 'CREATE UNLOGGED TABLE unlogged (id int, e vector(300));' . sprintf($create, 'unlogged'));
$primary->wait_for_catchup($standby);

for my $table (qw(old new))
{
	my $answers = answers($primary, $table);
	like($answers, $full, "table \"$table\" answers on the primary");
	is(answers($standby, $table), $answers, 'and alike on the standby');
}
my ($result, $output, $error) = $standby->psql('postgres', 'SELECT * FROM unlogged ORDER BY e <-> even_vector(300, 1)');
like($error, qr/cannot access temporary or unlogged relations during recovery/, 'no unlogged index on a standby');
for my $call ('annoy_nns_by_vector(\'unlogged_l2\', even_vector(300, 1))', 'annoy_n_items(\'unlogged_l2\')', 'annoy_info(\'unlogged_l2\', false)')
{
	($result, $output, $error) = $standby->psql('postgres', "SELECT $call");
	like($error, qr/cannot access unlogged index "unlogged_l2" during recovery/, "nor for $call");
}
my $function = q{SELECT item, distance FROM annoy_nns_by_vector('old_cosine', even_vector(300, -1), 20)};
is($standby->safe_psql('postgres', $function), $primary->safe_psql('postgres', $function), 'functions answer alike');
is($standby->safe_psql('postgres', q{SELECT annoy_n_items('old_l2')}), 2970, 'and count the rows');

# Rows removed.
$primary->safe_psql('postgres', 'DELETE FROM new WHERE id % 3 = 0');
$primary->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP on) new');
$primary->safe_psql('postgres', 'REINDEX TABLE old');
$primary->safe_psql('postgres', 'REINDEX INDEX CONCURRENTLY old_l2');
$primary->wait_for_catchup($standby);
for my $table (qw(old new))
{
	my $answers = answers($primary, $table);
	like($answers, $table eq 'old' ? $full : qr/^(.*\|2000\|.*\n){15}/, "table \"$table\" answers on the primary after VACUUM and REINDEX");
	is(answers($standby, $table), $answers, 'and alike on the standby');
}
is($standby->safe_psql('postgres', 'SELECT (annoy_last_scan()).leaves'), 0, 'counters of a session that did not scan');

# Recovery has compared every page with what the primary had.
unlike(slurp_file($standby->logfile), qr/inconsistent page|PANIC|FATAL/, 'no page differs');

# Promotion, with a crash for good measure.
my $answers = answers($primary, 'new');
$primary->stop('immediate');
$standby->promote;
is(answers($standby, 'new'), $answers, 'a promoted standby answers alike');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM answer('SELECT id, 0::float8 AS d FROM unlogged ORDER BY e <-> even_vector(300, 1)', true)}),
	0, 'unlogged indexes are empty there');
$standby->safe_psql('postgres', 'DELETE FROM new WHERE id < 1000');
$standby->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP on) new');
$answers = answers($standby, 'new');
$standby->stop('immediate');
$standby->start;
is(answers($standby, 'new'), $answers, 'and so does it after a crash');
$standby->stop;
done_testing();
