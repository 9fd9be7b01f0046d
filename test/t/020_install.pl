
# annoy's script runs as superuser also for the owner of a database, who is
# none.  Objects that he has put into its schema before must not be run by it.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "autovacuum = off\nfsync = off");
$node->start;
$node->safe_psql('postgres', 'CREATE ROLE owner LOGIN; CREATE DATABASE owned OWNER owner');

# All functions of the extension, and all argument types that could be a match
# for what the script passes: called, they make their owner a superuser.
$node->safe_psql('owned', 'CREATE EXTENSION annoy');
my %own = map { $_ => 1 } split /\n/, $node->safe_psql('owned', q{
	SELECT proname || '|' || oidvectortypes(proargtypes)
	FROM pg_proc JOIN pg_depend ON objid = pg_proc.oid AND classid = 'pg_proc'::regclass
	WHERE deptype = 'e' AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'annoy')});
cmp_ok(scalar(keys %own), '>', 50, 'the extension has functions');
$node->safe_psql('owned', 'DROP EXTENSION annoy');
my @traps = map {
	my ($function) = /^(.*)\|/;
	map { [ $function, $_ ] } ('text', 'oid', 'regclass', 'anyelement', 'text[]', 'integer', 'VARIADIC oid[]')
} keys %own;
my %traps = map { ("$_->[0]|$_->[1]" => qq{
	CREATE FUNCTION trap."$_->[0]"($_->[1]) RETURNS int LANGUAGE plpgsql AS 'BEGIN ALTER ROLE owner SUPERUSER; RETURN 1; END';}) }
  grep { !$own{"$_->[0]|$_->[1]"} } @traps;
my $traps = join('', values %traps);
# and operators, for all the script compares
my $operators = join("\n", map {
	"CREATE OPERATOR trap.$_ (LEFTARG = text, RIGHTARG = text, FUNCTION = trap.compare);
	 CREATE OPERATOR trap.$_ (LEFTARG = name, RIGHTARG = text, FUNCTION = trap.compare);
	 CREATE OPERATOR trap.$_ (LEFTARG = anyarray, RIGHTARG = anyarray, FUNCTION = trap.compare);"
} ('=', '<>', '>='));
my @psql = (extra_params => [ '-U', 'owner' ], on_error_stop => 1);
$node->safe_psql('owned', "CREATE SCHEMA trap; $traps
	CREATE FUNCTION trap.compare(text, text) RETURNS bool LANGUAGE plpgsql AS 'BEGIN ALTER ROLE owner SUPERUSER; RETURN true; END';
	CREATE FUNCTION trap.compare(name, text) RETURNS bool LANGUAGE plpgsql AS 'BEGIN ALTER ROLE owner SUPERUSER; RETURN true; END';
	CREATE FUNCTION trap.compare(anyarray, anyarray) RETURNS bool LANGUAGE plpgsql AS 'BEGIN ALTER ROLE owner SUPERUSER; RETURN true; END';
	$operators", @psql);

# The trap works where a careless script would step into it.
is($node->safe_psql('owned', "BEGIN; SELECT trap.annoy_record_dependency('int4'); SELECT rolsuper FROM pg_roles WHERE rolname = 'owner'; ROLLBACK"),
	"1\nt", 'a function of the trap is a better match for a literal');
is($node->safe_psql('owned', "SELECT rolsuper FROM pg_roles WHERE rolname = 'owner'"), 'f', 'the owner is no superuser');
my ($status, $out, $error) = $node->psql('owned', 'SET search_path = trap; CREATE EXTENSION annoy SCHEMA trap', @psql);
is($status, 0, 'the extension is made') or diag($error);
is($node->safe_psql('owned', "SELECT rolsuper FROM pg_roles WHERE rolname = 'owner'"), 'f', 'and the owner is still no superuser');
is($node->safe_psql('owned', q{SELECT nspname FROM pg_extension JOIN pg_namespace AS n ON n.oid = extnamespace WHERE extname = 'annoy'}),
	'trap', 'the extension is in the schema of the trap');
is($node->safe_psql('owned', q{SET search_path = public, trap; SET enable_seqscan = off;
	CREATE TABLE t (e vector(2)); INSERT INTO t VALUES ('[1,2]'), ('[2,1]'); CREATE INDEX ON t USING annoy (e);
	SELECT e FROM t ORDER BY e <=> '[3,2]' LIMIT 1}),
	'[2,1]', 'and it works');

# Objects of just the names and types that the script makes are not taken over.
for my $object ('FUNCTION trap.annoy_record_dependency(regtype) RETURNS void LANGUAGE sql RETURN NULL',
	'OPERATOR trap.<~> (LEFTARG = bit, RIGHTARG = bit, FUNCTION = pg_catalog.biteq)', 'DOMAIN trap.vector AS int4')
{
	$node->safe_psql('owned', 'DROP EXTENSION IF EXISTS annoy CASCADE; DROP SCHEMA trap CASCADE');
	$node->safe_psql('owned', "CREATE SCHEMA trap; CREATE $object", @psql);
	($status, $out, $error) = $node->psql('owned', 'CREATE EXTENSION annoy SCHEMA trap', @psql);
	like($error, qr/already exists|is not a member of extension/, "$object: is in the way");
}

$node->stop;
done_testing();
