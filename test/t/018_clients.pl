
# Client libraries written for pgvector work with annoy's own type: the one for
# node-postgres, with text and binary parameters (test/clients/pgvector.js).
# Needs node, and npm with a registry that it reaches.

use strict;
use warnings;

use File::Copy;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $clients = ($ENV{TESTDIR} // '.') . '/test/clients';
my $folder = PostgreSQL::Test::Utils::tempdir();

# How many checks the program makes, so that none can be left out unseen.
my $checks = 18;

for my $program (qw(node npm))
{
	plan skip_all => "$program is not installed" if system("command -v $program >/dev/null 2>&1") != 0;
}
copy("$clients/$_", $folder) or die "$_: $!" for qw(package.json pgvector.js);
chdir($folder) or die "$folder: $!";

# A machine without a network shall not wait long.
my $npm = 'npm install --no-audit --no-fund --no-package-lock --ignore-scripts --fetch-retries=1 --fetch-timeout=20000';
if (system("$npm >npm.log 2>&1") != 0)
{
	diag(slurp_file('npm.log'));
	plan skip_all => 'npm cannot install the client libraries';
}

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;
local $ENV{PGHOST} = $node->host;
local $ENV{PGPORT} = $node->port;
local $ENV{PGDATABASE} = 'postgres';
local $ENV{PGUSER} = $node->safe_psql('postgres', 'SELECT current_user');

my ($out, $error) = ('', '');
IPC::Run::run([ 'node', 'pgvector.js' ], '>', \$out, '2>', \$error);
is($error, '', 'no error');
my $made = 0;
for my $line (split(/\n/, $out))
{
	next unless $line =~ /^(not )?ok - (.*)/;
	ok(!$1, $2);
	$made++;
}
is($made, $checks, 'all checks were made');
like($out, qr/^done$/m, 'the program came to its end');

$node->stop;
done_testing();
