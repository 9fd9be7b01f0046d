"""The stages of a run, in order: what matters most comes first."""

import collections
import time
import traceback

import machine
import measurements
import sets
import smallmemory
import writes

Stage = collections.namedtuple('Stage', 'name action')

QUICK_QUERIES = 100
MAIN_TREES = '50'           # those of the aim

# Peers that take long and decide nothing; measured with --heavy.
HEAVY = ('hnsw24:mnist', 'hnsw24:text1536', 'queries24:mnist',
         'queries24:text1536', 'peers:text1536:hnswlib',
         'vacuum:text1536:hnsw16')

MAIN_LABELS = ['annoy', 'hnsw16', 'ivfflat']
PLAIN_LABELS = ['annoy' + sets.PLAIN_SUFFIX, 'hnsw16' + sets.PLAIN_SUFFIX]

# What changes the main table of HNSW, or needs it as it was.
SPOILING = ('writes:%s', 'vacuum:%s:hnsw16')
USING_HNSW = ('queries', 'queries2', 'cold', 'memory', 'writes')
PARALLEL_SETS = ('glove', 'text1536')
PARALLEL_HNSW_SETS = ('glove',)


def set_names(options):
    """The sets' names in files, by their names in the report."""
    return {name: '%s_%d' % (name, sets.SETS[name].quick_rows)
            if options.quick else name for name in options.sets
            if name != sets.SCALE}


def plan(options, bench, store):
    """All stages that were asked for."""
    stages = []

    def add(name, function, *arguments):
        stages.append(Stage(name, lambda: function(*arguments)))

    bench = bench or collections.defaultdict(lambda: None)  # for --list
    names = set_names(options)
    method = _methods(bench)
    for short, name in names.items():
        add('data:' + short, method('make_data'), name)
        plain = PLAIN_LABELS if short in sets.PLAIN_SETS else []
        for label in MAIN_LABELS + plain:
            add('build:%s:%s' % (short, label), method('build_index'), name,
                label)
        add('queries:' + short, method('query'), name, MAIN_LABELS + plain, 1)
        add('queries2:' + short, method('query'), name, ['annoy', 'hnsw16'], 2)
        add('cold:' + short, smallmemory.cold, bench, store, short, name)
        add('memory:' + short, smallmemory.limited, bench, store, short, name,
            ['annoy', 'hnsw16'] + plain[:1])
        if short in PARALLEL_SETS:
            add('parallel:%s:annoy' % short, method('build_parallel'), name,
                'annoy')
        add('outofcore:' + short, method('build_out_of_core'), name)
        if short == 'glove':
            for label in ('annoy', 'hnsw16'):
                add('rows:whole:' + label, method('query_rows'), name, label)
        add('writes:' + short, writes.insert, bench, name)
        add('vacuum:%s:annoy' % short, _vacuum, bench, store, short, name)
        add('vacuum:%s:hnsw16' % short, writes.vacuum_hnsw, bench, name)
    if sets.SCALE in options.sets:
        _add_scale(add, method, options)
    _add_rows(add, method, options, names)
    for short, name in names.items():
        add('peers:%s:annoy' % short, _peer, bench, short, name, 'annoy',
            options)
        add('peers:%s:hnswlib' % short, _peer, bench, short, name, 'hnswlib',
            options)
    for short in PARALLEL_HNSW_SETS:
        if short in names:
            add('parallel:%s:hnsw16' % short, method('build_parallel'),
                names[short], 'hnsw16')
    for short, name in names.items():
        add('hnsw24:' + short, method('build_index'), name, 'hnsw24')
        add('queries24:' + short, method('query'), name,
            ['annoy', 'hnsw24'], 1)
    skipped = tuple(word for word in options.skip.split(',') if word)
    if options.server:
        skipped += ('cold', 'memory')
    return [stage for stage in stages
            if not stage.name.startswith(skipped or ('-',)) and
            (options.heavy or not stage.name.startswith(HEAVY))]


def _methods(bench):
    """Methods of the bench, also where there is none yet."""
    return lambda name: getattr(bench, name, None)


def _add_rows(add, method, options, names):
    if 'glove' not in names:
        return
    series = (sets.QUICK_ROWS_SERIES if options.quick else sets.ROWS_SERIES)
    for rows in series:
        for label in ('annoy', 'hnsw16'):
            add('rows:%d:%s' % (rows, label), method('measure_rows'),
                'glove_%d' % rows, label)


def _add_scale(add, method, options):
    series = sets.QUICK_SCALE_SERIES if options.quick else sets.SCALE_SERIES
    for i, rows in enumerate(series):
        labels = ['annoy'] + (['hnsw16'] if i < sets.SCALE_HNSW_SIZES else [])
        add('scale:%d' % rows, method('measure_scale'),
            '%s_%d' % (sets.SCALE_DATA, rows), labels)


def _vacuum(bench, store, short, name):
    return writes.vacuum(bench, bench.former, name,
                         store.get('vacuum:%s:annoy' % short))


def _peer(bench, short, name, program, options):
    machine.run(['make', '-C', bench.folder, '-s', 'peers'])
    words = ['peers/' + program, '-r', str(measurements.TIMED_PASSES)]
    words += ['-n', str(QUICK_QUERIES if options.quick else
                        measurements.PEER_QUERIES)]
    if (program == 'annoy' and short == 'text1536' and
            not (options.heavy or options.quick)):
        words += ['-t', MAIN_TREES]
    efforts = sets.PEER_EFFORTS[program]
    return bench.run_program(words + [bench.stem(name)] +
                             [str(effort) for effort in efforts
                              if effort <= bench.rows(name)])


def forget_lost_tables(stages, store):
    """The server is new: what unfinished sets need has to be built again."""
    pending = {stage.name.split(':')[1] for stage in stages
               if not store.has(stage.name)}
    if 'whole' in pending:
        pending.add('glove')
    for name in list(store.content['stages']):
        words = name.split(':')
        if words[0] in ('build', 'hnsw24') and words[1] in pending:
            del store.content['stages'][name]


def _asked_again(stages, options, store):
    """Names of the stages to be measured anew.

    HNSW's index keeps the rows that the stage of inserts has added, and VACUUM
    a part of the rows only, so what comes after these needs a new one.
    """
    words = tuple(word for word in options.again.split(',') if word)
    names = {stage.name for stage in stages
             if words and stage.name.startswith(words)}
    for name in list(names):
        kind, short = name.split(':')[:2]
        if ((kind in USING_HNSW or name == 'vacuum:%s:hnsw16' % short or
             name == 'rows:whole:hnsw16') and
                any(store.has(stage % short) for stage in SPOILING)):
            names.add('build:%s:hnsw16' % short)
    return names


def run(stages, options, store, say):
    """Run the stages that are not done; a failed one does not end the run."""
    anew = _asked_again(stages, options, store)
    failed = []
    for stage in stages:
        if store.has(stage.name) and stage.name not in anew:
            continue
        say(stage.name)
        started = time.monotonic()
        try:
            result = stage.action()
        except Exception as failure:    # hours of others are not lost for it
            say('%s FAILED: %s' % (stage.name, failure))
            if not isinstance(failure, machine.Failure):
                traceback.print_exc()
            failed.append(stage.name)
            continue
        store.put(stage.name, result, time.monotonic() - started)
    store.content['failed'] = failed
    store.save()
    say('done' + (', but for ' + ', '.join(failed) if failed else ''))
