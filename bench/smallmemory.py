"""Queries where memory is small: nothing cached, or a quarter of the data.

Each index is measured alone, in a server of its own start, so that the others
take nothing of its memory.
"""

import numpy as np

import database
import machine
import measurements
import results

LABELS = ('annoy', 'hnsw16')

COLD_QUERIES = 100
COLD_PASSES = 3
COLD_BUFFERS_FACTOR = 10

# A quarter of the raw floats is all that a server may keep in memory.
MEMORY_PART = 4
MEMORY_QUERIES = 200
QUICK_MEMORY_QUERIES = 20
MEMORY_PASSES = 3
LEAST_BUFFERS_KB = 1024         # fewer are not enough for a server's start

# Queries before the measured ones, which are others, fill shared_buffers: so
# many times as often as these have room.
FILLINGS = 3
LEAST_FILLING, MOST_FILLING = 20, 2000
FILLING_SEED = 7

DIRECT = 'debug_io_direct'


def _queries(store, short):
    rows = store.get('queries:' + short)
    if rows is None:
        raise machine.Failure('stage queries:%s is needed' % short)
    return rows


def cold(bench, store, short, name):
    """With small shared buffers and nothing in any cache."""
    rows = _queries(store, short)
    settings = {label: results.cheapest_setting(
        results.of_target(rows, label), measurements.WANTED_RECALL)
        for label in LABELS}
    size = int(bench.sql('annoy', "SELECT pg_relation_size('%s')" %
                         bench.index(name, 'annoy')))
    buffers = max(128, size // COLD_BUFFERS_FACTOR // 1024)

    def measure(label):
        return bench.client(
            ['-D', bench.stem(name), '--cold', '-n', str(COLD_QUERIES),
             bench.target(label, bench.table(name, label)), settings[label]])

    passes = take_turns(bench, name, LABELS, 1 if bench.quick else COLD_PASSES,
                        measure, ['shared_buffers=%dkB' % buffers])
    return {'shared_buffers_kb': buffers, 'passes': passes}


def take_turns(bench, name, labels, repetitions, measure, parameters):
    """Passes of the indexes, each after a start with empty caches."""
    server = bench.server
    paths = {label: server.files(bench.database(label),
                                 bench.table(name, label))
             for label in labels}
    passes = []
    try:
        for repetition in range(repetitions):
            for label in labels:
                server.stop()
                database.evict(paths[label])
                server.again(parameters)
                row, = measure(label)
                row['repetition'] = repetition
                passes.append(row)
    finally:
        server.stop()
        server.again()
    return passes


def limited(bench, store, short, name, labels):
    """With a quarter of the data as memory, at equal recall.

    Where the server can read past the operating system's cache (since
    PostgreSQL 16), shared_buffers is all that quarter.  Else it is half of
    it, and what the operating system caches during a pass is not limited.
    """
    rows = _queries(store, short)
    direct = bench.server.has_parameter(DIRECT)
    data = bench.vectors(name, 'train').nbytes
    buffers = max(LEAST_BUFFERS_KB,
                  data // (MEMORY_PART if direct else 2 * MEMORY_PART) // 1024)
    parameters = ['shared_buffers=%dkB' % buffers]
    if direct:
        parameters.append(DIRECT + '=data')

    # HNSW's least ef_search may give more than that.
    recall = max([measurements.WANTED_RECALL] +
                 [min(row['recall'] for row in results.of_target(rows, label))
                  for label in labels if label != 'annoy'])
    settings = {}
    for label in labels:
        settings[label] = '%s=%d' % results.knob_for(
            results.of_target(rows, label), recall)
    fillings = {label: _write_filling(bench, name, _filling_queries(
        results.of_target(rows, label), recall, buffers))
        for label in labels}

    queries = QUICK_MEMORY_QUERIES if bench.quick else MEMORY_QUERIES

    def measure(label):
        target = bench.target(label, bench.table(name, label))
        count, path = fillings[label]
        bench.client(['-q', path, '-n', str(count), '--cold', target,
                      settings[label]])
        return bench.client(
            ['-D', bench.stem(name), '-n', str(queries), '--cold',
             target, settings[label]])

    passes = take_turns(bench, name, labels, 1 if bench.quick else
                        MEMORY_PASSES, measure, parameters)
    return {'direct': direct, 'shared_buffers_kb': buffers,
            'data_bytes': data,
            'filling': {label: fillings[label][0] for label in labels},
            'passes': passes}


def _filling_queries(rows, recall, buffers):
    blocks = sum(results.at_recall(rows, recall, column).value
                 for column in ('index_blocks', 'table_blocks'))
    wanted = FILLINGS * buffers * 1024 / database.BLOCK_BYTES / max(1, blocks)
    return int(min(max(wanted, LEAST_FILLING), MOST_FILLING))


def _write_filling(bench, name, count):
    """Rows of the table as queries; returns how many there are, and where."""
    train = bench.vectors(name, 'train')
    random = np.random.RandomState(FILLING_SEED)
    count = min(count, len(train))
    path = '%s_filling_%d.f32' % (bench.stem(name), count)
    train[np.sort(random.permutation(len(train))[:count])].tofile(path)
    return count, path
