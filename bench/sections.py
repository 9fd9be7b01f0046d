"""Sections of the report: memory, growth, and writes."""

import aims
import measurements
import results
import sets
import smallmemory
import writes
from formats import curve_cell, megabytes, number, table

RECALLS = (0.95, 0.99)


def storage(store, names):
    """Where the table keeps its vectors."""
    lines = []
    for name in names:
        if name not in sets.PLAIN_SETS:
            continue
        for label in ('annoy', 'hnsw16'):
            for plain in (False, True):
                queries = aims.queries_of(store, name, label, plain)
                key = label + (sets.PLAIN_SUFFIX if plain else '')
                build = store.get('build:%s:%s' % (name, key))
                if queries and build:
                    lines.append([sets.SETS[name].title, sets.title(key)] +
                                 [curve_cell(queries, recall)
                                  for recall in RECALLS] +
                                 [megabytes(build['table_bytes'])])
    if not lines:
        return []
    return ['## Column storage', '',
            'Queries per second with vectors as the type stores them, which '
            'is out of line (TOAST) if they are longer than 2 kB, and with '
            '`ALTER TABLE … SET STORAGE PLAIN` before the rows were loaded, '
            'which keeps them in the row as long as that fits into a block. '
            'All tables took turns in one run. The index has the same size '
            'in either case.', '',
            table(['', 'index', 'recall 0.95', 'recall 0.99',
                   'table with TOAST'], lines), '']


def memory(store, names):
    lines = []
    ways = set()
    for name in names:
        found = store.get('memory:' + name)
        if not found:
            continue
        ways.add(found['direct'])
        for label in found['filling']:
            part = results.of_target(found['passes'], label)
            warm = aims.queries_of(store, name, sets.kind(label),
                                   sets.is_plain(label))
            rates = [row['qps'] for row in part]
            lines.append([
                sets.SETS[name].title, sets.title(label),
                '%.1f MB' % (found['shared_buffers_kb'] * 1024 / 1e6),
                '`%s`' % part[0]['setting'], '%.3f' % part[0]['recall'],
                number(results.median(rates)),
                '%s … %s' % (number(min(rates)), number(max(rates))),
                number(results.median([row['index_reads'] for row in part])),
                number(results.median([row['table_reads'] for row in part])),
                number(results.at_recall(warm, part[0]['recall']).value)])
    if not lines:
        return []
    text = ['## A quarter of the data as memory', '']
    if True in ways:
        text += ['The server kept no more than a quarter of the raw floats in '
                 'memory, besides what its processes need for themselves: '
                 'shared_buffers was that quarter, and '
                 '`debug_io_direct = data` made it read past the operating '
                 'system\'s cache, so that every block that is not in '
                 'shared_buffers comes from the disk. Without that cache the '
                 'server cannot ask for blocks ahead, and so reads one after '
                 'the other; annoy, which otherwise asks ahead, is slower '
                 'here than it need be.', '']
    if False in ways:
        text += ['shared_buffers was an eighth of the raw floats; the files '
                 'were dropped from the operating system\'s cache before each '
                 'pass, but what it cached during the pass was not limited.',
                 '']
    return text + [
        'One index at a time, in a server started for it, which at first '
        'answered other queries (rows of the table) until shared_buffers was '
        'full; then the first %d queries, none twice. Parameters were '
        'interpolated for recall %s, or for that of HNSW with '
        'hnsw.ef_search = 10 if that is more. Medians of %d passes; "in '
        'memory" is the rate when all is cached, at the same recall.' %
        (smallmemory.MEMORY_QUERIES, measurements.WANTED_RECALL,
         smallmemory.MEMORY_PASSES), '',
        table(['', 'index', 'memory', 'setting', 'recall@10', 'queries/s',
               'spread', 'index blocks read / query',
               'table blocks read / query', 'queries/s in memory'],
              lines), '']


def cold(store, names):
    rows = []
    for name in names:
        for label, found in aims.cold_medians(store, name).items():
            rows.append([sets.SETS[name].title, sets.TITLES[label],
                         '`%s`' % found['setting'] if found['setting'] else
                         '(default)', '%.3f' % found['recall'],
                         number(found['reads']), number(found['ms']),
                         '%s … %s' % tuple(map(number, found['spread'])),
                         '%.0f MB' % (store.get('cold:' + name)
                                      ['shared_buffers_kb'] / 1024)])
    if not rows:
        return []
    return ['## Cold', '',
            'For both, shared_buffers is a tenth of the size of annoy\'s index. '
            'Before each pass the server was stopped, and the files of the '
            'table, its TOAST table and their indexes were dropped from the '
            'operating system\'s cache (posix_fadvise). Then the first %d '
            'queries ran, with the cheapest setting that reaches recall %s; '
            'medians of %d passes. The host of a virtual machine may still '
            'cache something.' %
            (smallmemory.COLD_QUERIES, measurements.WANTED_RECALL,
             smallmemory.COLD_PASSES), '',
            table(['', 'index', 'setting', 'recall@10', 'blocks read / query',
                   'ms / query', 'spread', 'shared_buffers'], rows), '']


def scale(store):
    lines = []
    growth = []
    for label in ('annoy', 'hnsw16'):
        series = aims.scale_series(store, label)
        for count, seconds, size, queries in series:
            lines.append([sets.title(label), format(count, ','),
                          number(seconds) + ' s', megabytes(size)] +
                         [curve_cell(queries, recall) for recall in RECALLS])
        if len(series) > 1:
            growth.append([sets.title(label), '%s to %s' % tuple(
                format(series[i][0], ',') for i in (0, -1))] +
                growth_cells(series))
    if not lines:
        return []
    return ['## Many rows', '',
            'clusters128: synthetic vectors of 128 dimensions in 20,000 '
            'overlapping clusters of very different sizes, described in '
            '[bench/synthetic.py](../bench/synthetic.py). The distribution '
            'is the same for any number of rows. HNSW\'s build had all '
            'cores, annoy\'s one. The first %d queries; with 4,000,000 rows '
            '200.' % measurements.ROWS_QUERIES, '',
            table(['index', 'rows', 'build', 'size',
                   'queries/s at recall 0.95', 'at recall 0.99'], lines), '',
            'Growth: the exponent of the number of rows, fitted to the '
            'logarithms by least squares.', '',
            table(['index', 'rows', 'build', 'size',
                   'time per query at recall 0.95', 'at recall 0.99'],
                  growth), '']


def growth_cells(series):
    counts = [point[0] for point in series]
    cells = ['%.2f' % results.exponent(counts, [point[i] for point in series])
             for i in (1, 2)]
    for recall in RECALLS:
        points = [results.at_recall(point[3], recall) for point in series]
        cells.append('outside the measured range'
                     if any(point.bound for point in points) else '%.2f' %
                     results.exponent(counts, [1 / point.value
                                               for point in points]))
    return cells


def rows(store):
    lines = []
    for label in ('annoy', 'hnsw16'):
        for count, seconds, queries in aims.rows_series(store, label):
            lines.append([sets.TITLES[label], format(count, ','),
                          number(seconds) + ' s', curve_cell(queries, 0.95)])
    if not lines:
        return []
    text = ['## By number of rows', '', 'The first rows of GloVe-100; the first '
            '%d queries.' % measurements.ROWS_QUERIES, '',
            table(['index', 'rows', 'build', 'queries/s at recall 0.95'],
                  lines), '']
    growth = [(label, aims.time_exponent(store, label))
              for label in ('annoy', 'hnsw16')]
    growth = ['rows^%.2f (%s)' % (value, sets.TITLES[label])
              for label, value in growth if value is not None]
    if growth:
        text += ['Time per query at recall 0.95 grows as %s, fitted to the '
                 'logarithms by least squares.' % '; '.join(growth), '']
    return text


def inserts(store, names):
    rows = []
    for name in names:
        found = store.get('writes:' + name, [])
        bare = results.of_target(found, 'bare')
        for row in found:
            rows.append([sets.SETS[name].title, sets.title(row['target']),
                         number(row['rows_s']),
                         '%s … %s' % (number(row['rows_s_min']),
                                      number(row['rows_s_max'])),
                         '%.3f' % (row['rows_s'] / bare[0]['rows_s']),
                         number(row['wal_bytes']),
                         number(row['wal_bytes'] - bare[0]['wal_bytes'])])
    if not rows:
        return []
    return ['## Inserts', '',
            'Single-row INSERTs after the build, prepared, in binary form, in '
            '%d transactions of many rows each, the tables taking turns, '
            'client and server process on one core. Every table also has a primary key. A new vector is nine '
            'tenths of one stored vector plus a tenth of another. '
            'full_page_writes was off, since which pages have already been '
            'logged since the last checkpoint is a matter of chance.' %
            writes.INSERT_REPETITIONS, '',
            table(['', 'index', 'rows/s', 'spread', 'of the bare table\'s',
                   'bytes of WAL per row', 'beyond the bare table\'s'],
                  rows), '']


def vacuum(store, names):
    lines = []
    for name in names:
        times = dict(store.get('vacuum:%s:annoy' % name) or {})
        hnsw = store.get('vacuum:%s:hnsw16' % name)
        if hnsw:
            times['hnsw16'] = hnsw
        for label, found in times.items():
            title = ('annoy, formerly (%s)' % found['version']
                     if label == 'former' else sets.title(label))
            seconds = found['all_seconds']
            lines.append([
                sets.SETS[name].title, title, format(found['deleted'], ','),
                number(found['seconds']) + ' s', '%s … %s' %
                (number(seconds[0]), number(seconds[-1]))
                if len(seconds) > 1 else '',
                number(max(0, found['seconds'] - times['bare']['seconds'])) +
                ' s' if label != 'bare' and 'bare' in times else '',
                megabytes(found['wal_bytes'])])
    if not lines:
        return []
    text = ['## VACUUM', '',
            '`VACUUM (INDEX_CLEANUP ON, PROCESS_TOAST false)` after every '
            'fifth row was deleted; TOAST is a table of its own, whose VACUUM '
            'has nothing to do with the index. A checkpoint came before, so '
            'the WAL has whole pages. Every table also has a primary '
            'key. "Formerly": this extension at an earlier commit, in a '
            'server of its own. annoy and the table without the index: medians of %d, '
            'taking turns, each on a new table; HNSW once, on the table with '
            'the rows of the section before.' % writes.VACUUM_REPETITIONS, '',
            table(['', 'index', 'rows deleted', 'time', 'spread',
                   'beyond that without the index', 'WAL'], lines), '']
    ratios = [(sets.SETS[name].title, aims.vacuum_ratio(store, name, True))
              for name in names]
    ratios = ['%s %.2f' % (title, ratio.value) for title, ratio in ratios
              if ratio]
    if ratios:
        text += ['The whole time, of the former one\'s, with nothing '
                 'subtracted: %s.' % '; '.join(ratios), '']
    return text
