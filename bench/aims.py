"""The targets beside HNSW (m = 16), and which of them are met."""

import results
import sets

HNSW = 'hnsw16'

# Text, sense, aims by set; most are ratios to HNSW.
AIMS = [
    ('size', 'index size, of HNSW\'s', '<=',
     {'glove': 0.13, 'fmnist': 0.06, 'mnist': 0.06, 'text1536': 0.05}),
    ('floats', 'index size, of the raw floats', '<=',
     {'glove': 0.25, 'fmnist': 0.07, 'mnist': 0.07, 'text1536': 0.06}),
    ('qps95', 'queries/s at recall 0.95, of HNSW\'s', '>=',
     {'glove': 12, 'fmnist': 3, 'mnist': 3, 'text1536': 3}),
    ('qps95plain', 'the same, vectors with STORAGE PLAIN', '>=',
     {'glove': 12, 'fmnist': 4, 'mnist': 4, 'text1536': 4}),
    ('qps99', 'queries/s at recall 0.99, of HNSW\'s', '>=',
     {'glove': 25, 'fmnist': 3.5, 'mnist': 3.5, 'text1536': 3}),
    ('qps99plain', 'the same, vectors with STORAGE PLAIN', '>=',
     {'glove': 25, 'fmnist': 4.5, 'mnist': 4.5, 'text1536': 4}),
    ('build', 'build time, one process, of HNSW\'s', '<=',
     {'glove': 1 / 70, 'fmnist': 1 / 25, 'mnist': 1 / 25,
      'text1536': 1 / 35}),
    ('parallel', 'build with one parallel worker, speed-up', '>=',
     {'glove': 1.7, 'text1536': 1.7}),
    ('buildwal', 'WAL of a build, of the raw floats', '<=',
     {'glove': 0.3, 'fmnist': 0.1, 'mnist': 0.1, 'text1536': 0.1}),
    ('insertwal', 'WAL of a single-row insert, beyond that of the table '
     'without the index, bytes', '<=',
     {'glove': 300, 'fmnist': 600, 'mnist': 600, 'text1536': 900}),
    ('inserts', 'single-row inserts/s, of the table without the index', '>=',
     {'glove': 0.3, 'fmnist': 0.45, 'mnist': 0.5, 'text1536': 0.6}),
    ('vacuum', 'VACUUM after deleting 20 %, of the former time, beyond that '
     'of the table without the index', '<=',
     {'glove': 1 / 2, 'fmnist': 1 / 3, 'mnist': 1 / 3, 'text1536': 1 / 3}),
]

FRACTIONS = ('build', 'vacuum')     # written as 1/n

OUT_OF_CORE_FACTOR = 8
OUT_OF_CORE_SLOWDOWN = 2.5
ROWS_EXPONENT = 0.75
ANNOY_TREES = 50
ANNOY_FROM_RECALL = 0.9
HNSWLIB_FROM_RECALL = 0.98
RECALL_STEP = 0.0025


class Ratio:
    """A ratio; bound: '>=' or '<=' if it may be larger or smaller.

    recall: at which it holds, if that is not the one asked for.
    """

    def __init__(self, value, bound='', recall=None):
        self.value = value
        self.bound = bound
        self.recall = recall

    def reaches(self, sense, aim):
        if sense == '>=':
            return self.value >= aim and self.bound != '<='
        return self.value <= aim and self.bound != '>='


OPPOSITE = {'': '', '>=': '<=', '<=': '>='}


def curve_ratio(ours, theirs, recall, name='qps'):
    """Ratio of two curves at a recall, or None.

    HNSW cannot be asked for less than LIMIT's rows (ef_search = 10), which may
    give more than that recall: then at the recall that it has there.
    """
    wanted = recall
    other = results.at_recall(theirs, recall, name)
    if other is not None and other.recall is not None:
        recall = max(recall, other.recall)
        other = results.at_recall(theirs, recall, name)
    mine = results.at_recall(ours, recall, name)
    if mine is None or other is None or not other.value:
        return None
    bounds = {mine.bound, OPPOSITE[other.bound]} - {''}
    # Where both are out of the measured range there is nothing to compare.
    if len(bounds) == 2 or (mine.bound and other.bound):
        return None
    return Ratio(mine.value / other.value, bounds.pop() if bounds else '',
                 recall if recall > wanted else None)


def queries_of(store, name, label, plain=False):
    """Rows of a curve; of vectors with STORAGE PLAIN if that is asked for.

    A set whose vectors are short has them in the row in any case.
    """
    if plain and name in sets.PLAIN_SETS:
        label += sets.PLAIN_SUFFIX
    return results.of_target(store.get('queries:' + name), label)


def measured(store, key, name):
    """The value that an aim is about, as a Ratio, or None."""
    if key.startswith('qps'):
        ours, theirs = (queries_of(store, name, label, key.endswith('plain'))
                        for label in ('annoy', HNSW))
        return curve_ratio(ours, theirs, float('0.' + key[3:5]))
    if key == 'parallel':
        times = store.get('parallel:%s:annoy' % name)
        return times and Ratio(results.median(times['0']) /
                               results.median(times['1']))
    if key in ('inserts', 'insertwal'):
        return _of_inserts(store, key, name)
    if key == 'vacuum':
        return vacuum_ratio(store, name)
    return _of_builds(store, key, name)


def _of_builds(store, key, name):
    ours, theirs = (store.get('build:%s:%s' % (name, label))
                    for label in ('annoy', HNSW))
    if key in ('floats', 'buildwal'):
        data = store.get('data:' + name)
        field = 'bytes' if key == 'floats' else 'wal_bytes'
        return Ratio(ours[field] / data['bytes']) if ours and data else None
    field = 'seconds' if key == 'build' else 'bytes'
    return Ratio(ours[field] / theirs[field]) if ours and theirs else None


def _of_inserts(store, key, name):
    rows = {row['target']: row for row in store.get('writes:' + name, [])}
    if not rows:
        return None
    if key == 'inserts':
        return Ratio(rows['annoy']['rows_s'] / rows['bare']['rows_s'])
    return Ratio(rows['annoy']['wal_bytes'] - rows['bare']['wal_bytes'])


def vacuum_ratio(store, name, whole=False):
    """VACUUM's time to the former one's, of which that of the table without
    the index is subtracted, unless the whole is asked for.
    """
    times = store.get('vacuum:%s:annoy' % name)
    if not times or 'former' not in times:
        return None
    table = 0 if whole else times['bare']['seconds']
    former = times['former']['seconds'] - table
    return (Ratio(max(0, times['annoy']['seconds'] - table) / former)
            if former > 0 else None)


def least_advantage(ours, theirs, first):
    """The smallest ratio of our rate to theirs from a recall on.

    Returns (ratio, recall), or None; as far as both curves reach.
    """
    if not ours or not theirs:
        return None
    last = min(max(row['recall'] for row in rows) for rows in (ours, theirs))
    found = []
    recall = first
    while recall <= last:
        values = [results.at_recall(rows, recall) for rows in (ours, theirs)]
        if values[1].bound != '>=':     # else theirs is not known there
            found.append((values[0].value / values[1].value, recall))
        recall += RECALL_STEP
    return min(found) if found else None


def original_annoy(store, name, trees=ANNOY_TREES):
    return [row for row in store.get('peers:%s:annoy' % name, [])
            if str(row['setting']).startswith('trees=%d;' % trees)]


def rows_series(store, label):
    """(rows, build seconds, query rows), of growing parts of GloVe."""
    found = []
    for stage in store.content['stages']:
        words = stage.split(':')
        if words[0] == 'rows' and words[1] != 'whole' and words[2] == label:
            result = store.get(stage)
            found.append((int(words[1]), result['seconds'],
                          result['queries']))
    whole = store.get('data:glove')
    build = store.get('build:glove:' + label)
    queries = store.get('rows:whole:' + label)
    if whole and build and queries:
        found.append((whole['rows'], build['seconds'], queries))
    return sorted(found, key=lambda item: item[0])


def scale_series(store, label):
    """(rows, build seconds, bytes, query rows), of growing synthetic sets."""
    found = [store.get(stage) for stage in store.content['stages']
             if stage.startswith('scale:')]
    return sorted([(result['data']['rows'], result['builds'][label]['seconds'],
                    result['builds'][label]['bytes'],
                    results.of_target(result['queries'], label))
                   for result in found if label in result['builds']],
                  key=lambda point: point[0])


def time_exponent(store, label, recall=0.95):
    """Growth of the time per query with rows, or None."""
    points = [(rows, results.at_recall(queries, recall))
              for rows, _, queries in rows_series(store, label)]
    points = [(rows, 1 / point.value) for rows, point in points
              if point is not None and not point.bound]
    if len(points) < 2:
        return None
    return results.exponent(*zip(*points))


def cold_medians(store, name):
    """By target: reads, milliseconds, recall of the cold passes."""
    cold = store.get('cold:' + name)
    found = {}
    for label in ('annoy', HNSW):
        rows = results.of_target(cold['passes'] if cold else [], label)
        if rows:
            found[label] = {
                'reads': results.median([row['index_reads'] +
                                         row['table_reads'] for row in rows]),
                'ms': results.median([row['mean_ms'] for row in rows]),
                'recall': rows[0]['recall'], 'setting': rows[0]['setting'],
                'spread': (min(row['mean_ms'] for row in rows),
                           max(row['mean_ms'] for row in rows))}
    return found


def further(store, names, titles):
    """The aims that are no ratios to HNSW: (text, found, reached)."""
    lines = []

    def add(text, found, reached):
        lines.append((text, found, reached))

    for name in names:
        title = titles[name]
        ours = results.of_target(store.get('queries:' + name), 'annoy')
        least = least_advantage(ours, original_annoy(store, name),
                                ANNOY_FROM_RECALL)
        if least:
            add('%s: faster than the original Annoy library in memory, %d '
                'trees, from recall %s on' % (title, ANNOY_TREES, ANNOY_FROM_RECALL),
                'at least %.2f times (at recall %.3f)' % least, least[0] > 1)
        if name == 'glove':
            least = least_advantage(ours, store.get('peers:glove:hnswlib'),
                                    HNSWLIB_FROM_RECALL)
            if least:
                add('%s: faster than hnswlib in memory from recall %s on' %
                    (title, HNSWLIB_FROM_RECALL),
                    'at least %.2f times (at recall %.3f)' % least,
                    least[0] > 1)
        _add_cold(add, store, name, title)
        _add_out_of_core(add, store, name, title)
    growth = time_exponent(store, 'annoy')
    if growth is not None:
        series = rows_series(store, 'annoy')
        add('GloVe: time per query at recall 0.95 from %s to %s rows grows no '
            'faster than rows^%s' % (format(series[0][0], ','),
                                     format(series[-1][0], ','),
                                     ROWS_EXPONENT),
            'rows^%.2f' % growth, growth <= ROWS_EXPONENT)
    return lines


def _add_cold(add, store, name, title):
    cold = cold_medians(store, name)
    if len(cold) == 2:
        ours, theirs = cold['annoy'], cold[HNSW]
        add('%s: with nothing cached, fewer reads and less time than HNSW' % title,
            '%.0f and %.0f reads, %.2f and %.2f ms per query' %
            (ours['reads'], theirs['reads'], ours['ms'], theirs['ms']),
            ours['reads'] < theirs['reads'] and ours['ms'] < theirs['ms'])


def _add_out_of_core(add, store, name, title):
    build = store.get('outofcore:' + name)
    if not build:
        return
    slowdown = build['seconds'] / build['in_memory_seconds']
    add('%s: a build with memory for an eighth of the data takes at most %s '
        'times as long, and makes the same forest' %
        (title, OUT_OF_CORE_SLOWDOWN),
        '%.2f times (%.1f s, %.1f s) with 1/%.1f of the data (%d kB); %s' %
        (slowdown, build['seconds'], build['in_memory_seconds'],
         build['factor'], build['memory_kb'],
         'same forest' if build['same_forest'] else 'another forest'),
        slowdown <= OUT_OF_CORE_SLOWDOWN and build['same_forest'] and
        build['factor'] >= OUT_OF_CORE_FACTOR * 0.99)
