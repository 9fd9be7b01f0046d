
# Hypothetical indexes, which advisors put into the planner's lists and which are
# in no catalog: queries are planned with them as with others.  No advisor that
# is packaged knows foreign access methods, so a small one is compiled here.

use strict;
use warnings;

use File::Basename;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# The server under test is a copy without headers; what it is a copy of has some.
my ($config) = grep { -x } map { dirname($ENV{PG_REGRESS}) . "/../../../../$_/bin/pg_config" } '..', '../..';
my $include = $config ? `$config --includedir-server` =~ s/\n//r : '';
my $module = "$PostgreSQL::Test::Utils::tmp_check/hypothetical";

plan skip_all => 'no headers of the server' unless -f "$include/postgres.h";
plan skip_all => 'no compiler' if system('cc --version >/dev/null 2>&1') != 0;

append_to_file("$module.c", <<'END');
#include "postgres.h"

#include "commands/explain.h"
#include "fmgr.h"
#include "optimizer/plancat.h"

#define NO_INDEX 4000000000U

PG_MODULE_MAGIC;

void		_PG_init(void);

/* Of tables of users, every index becomes a hypothetical one. */
static void
pretend(PlannerInfo *root, Oid relation, bool inherits, RelOptInfo *rel)
{
	ListCell   *cell;

	if (relation < FirstNormalObjectId)
		return;
	foreach(cell, rel->indexlist)
	{
		IndexOptInfo *index = lfirst(cell);

		index->indexoid = NO_INDEX;
		index->hypothetical = true;
	}
}

static const char *
name_index(Oid index)
{
	return index == NO_INDEX ? "hypothetical" : NULL;
}

void
_PG_init(void)
{
	get_relation_info_hook = pretend;
	explain_get_index_name_hook = name_index;
}
END
command_ok([ 'cc', '-shared', '-fPIC', '-I', $include, '-o', "$module.so", "$module.c" ], 'an advisor');

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;
$node->safe_psql(
	'postgres', q{
	CREATE EXTENSION annoy;
	CREATE TABLE items (id int, e vector(3));
	CREATE INDEX ON items USING annoy (e vector_l2_ops);});
# the library's planner hook has to be there when the plan is made
like(
	$node->safe_psql(
		'postgres', qq{
		LOAD 'annoy';
		LOAD '$module.so';
		SET enable_seqscan = off;
		EXPLAIN SELECT id FROM items ORDER BY e <-> '[1,2,3]' LIMIT 1;}),
	qr/Index Scan using hypothetical on items/, 'a plan with a hypothetical index');

$node->stop;
done_testing();
