"""Inserts and VACUUM: time and WAL."""

import os

import numpy as np

import database
import machine
import results

INSERT_REPETITIONS = 5
INSERTED_ROWS = 6000
QUICK_INSERTED_ROWS = 600
INSERT_SEED = 5
NEIGHBOUR_PART = 0.1            # of another row, in a row to be inserted

VACUUM_REPETITIONS = 3
DELETED_PART = 5                # one row of so many

# The table's TOAST is vacuumed on its own, and has nothing to do with indexes.
VACUUM = 'VACUUM (INDEX_CLEANUP ON, PROCESS_TOAST false) '


def make_rows(bench, name):
    """New rows like the old ones: each a row, moved towards another."""
    train = bench.vectors(name, 'train')
    count = QUICK_INSERTED_ROWS if bench.quick else INSERTED_ROWS
    random = np.random.RandomState(INSERT_SEED)
    first, second = random.randint(len(train), size=(2, count))
    rows = ((1 - NEIGHBOUR_PART) * train[first] +
            NEIGHBOUR_PART * train[second])
    if np.allclose(np.linalg.norm(train[:100], axis=1), 1, atol=1e-3):
        rows /= np.linalg.norm(rows, axis=1)[:, None]
    path = bench.stem(name) + '_inserts.f32'
    rows.astype(np.float32).tofile(path)
    return path


def insert(bench, name):
    """Single rows into tables with an index, and into one without.

    annoy's table is made anew afterwards; HNSW's keeps the rows.
    """
    path = make_rows(bench, name)
    for label in ('annoy', 'hnsw16'):
        bench.warm(name, label)
    bare = bench.table(name, 'bare')
    bench.load(name, 'annoy', bare)
    database.wait_for_quiet(bench.server)
    # Whether a page was changed since the last checkpoint is chance.
    full_pages = bench.server.sql('postgres', 'SHOW full_page_writes')
    bench.set_system('full_page_writes', 'off')
    try:
        table = bench.client(
            ['--insert', path, '-r', str(INSERT_REPETITIONS)] +
            bench.one_core() +
            [bench.target(label, bench.table(name, label))
             for label in ('annoy', 'hnsw16')] +
            ['@bare %s %s' % (bare, bench.server.conninfo(
                bench.database('annoy')))])
    finally:
        bench.set_system('full_page_writes', full_pages)
    bench.sql('annoy', 'DROP TABLE ' + bare)
    bench.load(name, 'annoy')
    bench.build(name, 'annoy', 0)
    return table


def _vacuum(bench, label, table):
    """Delete a part of the rows, and VACUUM."""
    rows = int(bench.sql(label, 'SELECT count(*) FROM ' + table))
    deleted = int(bench.sql(
        label, 'WITH gone AS (DELETE FROM %s WHERE id %% %d = 0 RETURNING 1) '
        'SELECT count(*) FROM gone' % (table, DELETED_PART)))
    if deleted < rows // DELETED_PART:
        raise machine.Failure('rows of %s were deleted before; its index is '
                              'to be built again' % table)
    database.wait_for_quiet(bench.server)
    before = bench.server.wal_position()
    seconds, _ = bench.sql(label, VACUUM + table, timing=True,
                           settings={'maintenance_work_mem': bench.memory})
    return {'rows': rows, 'deleted': deleted, 'seconds': seconds,
            'wal_bytes': bench.server.wal_position() - before}


def _vacuum_new(bench, name, index):
    """A new table, with or without annoy's index."""
    table = bench.table(name, 'vacuum')
    bench.load(name, 'annoy', table)
    if index:
        bench.sql('annoy', 'CREATE INDEX ON %s USING annoy (embedding %s)' %
                  (table, database.OPERATOR_CLASS),
                  settings={'maintenance_work_mem': bench.memory,
                            'max_parallel_maintenance_workers':
                            max(0, os.cpu_count() - 1)})
    result = _vacuum(bench, 'annoy', table)
    bench.sql('annoy', 'DROP TABLE ' + table)
    return result


def vacuum(bench, former, name, earlier):
    """VACUUM of tables with annoy's index, with a former one's, without any.

    former: a function that returns the bench of another server, or None;
    earlier: the result of this stage in an earlier run, if any, from which
    the former one's figures are taken if there is no former server.
    """
    benches = {'annoy': bench, 'bare': bench}
    if former:
        benches['former'] = former()
    found = {label: [] for label in benches}
    for _ in range(1 if bench.quick else VACUUM_REPETITIONS):
        for label in benches:
            found[label].append(_vacuum_new(benches[label], name,
                                            label != 'bare'))
    result = {label: _middle(runs) for label, runs in found.items()}
    if former:
        result['former']['version'] = former.description
    elif earlier and 'former' in earlier:
        result['former'] = earlier['former']
    return result


def _middle(runs):
    seconds = sorted(run['seconds'] for run in runs)
    return dict(runs[-1], seconds=results.median(seconds),
                all_seconds=seconds)


def vacuum_hnsw(bench, name):
    """The table with the rows that insert() has added; it is of no use later.
    """
    bench.warm(name, 'hnsw16')
    return _middle([_vacuum(bench, 'hnsw16', bench.table(name, 'hnsw16'))])
