"""The measurements, each of which returns what the results file keeps."""

import os
import subprocess
import time

import numpy as np

import database
import machine
import sets

TIMED_PASSES = 3
CLIENT_PASS_QUERIES = 300
SECOND_CONNECTION_QUERIES = 500
PEER_QUERIES = 300
ROWS_QUERIES = 500
EXACT_QUERIES = 30
ANNOY_BUILDS = 3
OUT_OF_CORE_FACTOR = 8
WANTED_RECALL = 0.95
MEMBERSHIP = """
    SELECT md5(string_agg(leaf_hash, '' ORDER BY leaf_hash)) FROM (
        SELECT md5(tree || ':' ||
                   string_agg(item::text, ',' ORDER BY item)) AS leaf_hash
        FROM annoy_leaf_items('%s') GROUP BY tree, leaf) AS leaves
"""


class Bench:
    """What the measurements have in common."""

    def __init__(self, server, data, memory_setting, quick, say):
        self.server = server
        self.data = data
        self.memory = memory_setting        # maintenance_work_mem
        self.quick = quick
        self.say = say
        self.folder = os.path.dirname(os.path.abspath(__file__))
        self.former = None      # makes the bench of a former state

    # Names

    def table(self, name, label):
        return '%s_%s' % (name, label)

    def database(self, label):
        return database.DATABASES[sets.peer(label).extension]

    def index(self, name, label):
        return '%s_%s_embedding' % (name, label)

    def stem(self, name):
        return os.path.join(self.data, name)

    def dimensions(self, name):
        with open(self.stem(name) + '.dim') as file:
            return int(file.read())

    def vectors(self, name, part):
        return np.memmap('%s_%s.f32' % (self.stem(name), part), np.float32,
                         'r').reshape(-1, self.dimensions(name))

    def rows(self, name):
        return len(self.vectors(name, 'train'))

    def sql(self, label, statement, **arguments):
        return self.server.sql(self.database(label), statement, **arguments)

    # Data and tables

    def make_data(self, name):
        base, _, rows = name.partition('_')
        machine.run([os.path.join(self.folder, 'dataset'), self.data,
                     base + (':' + rows if rows else '')])
        return {'rows': self.rows(name), 'dimensions': self.dimensions(name),
                'queries': len(self.vectors(name, 'test')),
                'bytes': self.vectors(name, 'train').nbytes}

    def load(self, name, label, table=None):
        environment = dict(self.server.environment, PSQL=self.server.psql,
                           PGDATABASE=self.database(label))
        options = ['-e', sets.peer(label).extension,
                   '-t', table or self.table(name, label)]
        if sets.is_plain(label):
            options += ['-s', 'plain']
        machine.run([os.path.join(self.folder, 'load')] + options +
                    [self.data, name], env=environment)

    def drop(self, name, labels):
        for label in labels:
            self.sql(label, 'SET client_min_messages = warning; '
                     'DROP TABLE IF EXISTS ' + self.table(name, label))

    # Builds

    def build(self, name, label, workers, suffix='', memory=None):
        """CREATE INDEX; returns seconds, bytes, WAL."""
        options = sets.index_options(label, self.rows(name))
        statement = 'CREATE INDEX %s ON %s USING %s (embedding %s)%s' % (
            self.index(name, label) + suffix, self.table(name, label),
            sets.peer(label).method, database.OPERATOR_CLASS,
            ' WITH (%s)' % options if options else '')
        before = self.server.wal_position()
        seconds, _ = self.sql(
            label, statement, timing=True, settings={
                'maintenance_work_mem': memory or self.memory,
                'max_parallel_maintenance_workers': workers,
                # Vectors are out of line, and so the table seems small.
                'min_parallel_table_scan_size': 0})
        return {'seconds': seconds, 'workers': workers,
                'wal_bytes': self.server.wal_position() - before,
                'bytes': int(self.sql(label, "SELECT pg_relation_size('%s')" %
                                      (self.index(name, label) + suffix))),
                'options': options, 'memory': memory or self.memory}

    def drop_index(self, name, label, suffix=''):
        self.sql(label, 'SET client_min_messages = warning; '
                 'DROP INDEX IF EXISTS ' + self.index(name, label) + suffix)

    def build_index(self, name, label, timed=None):
        """The index that queries use; annoy's is so fast that it is repeated.

        One process makes it where it is timed, and else all cores.
        """
        if timed is None:
            timed = label in sets.TIMED_BUILDS
        workers = 0 if timed else max(0, os.cpu_count() - 1)
        repetitions = ANNOY_BUILDS if label == 'annoy' else 1
        self.load(name, label)
        database.wait_for_quiet(self.server)
        results = []
        for _ in range(repetitions):
            self.drop_index(name, label)
            results.append(self.build(name, label, workers))
        seconds = sorted(result['seconds'] for result in results)
        results[-1].update(
            seconds=seconds[len(seconds) // 2], all_seconds=seconds,
            table_bytes=int(self.sql(label, "SELECT pg_table_size('%s')" %
                                     self.table(name, label))))
        return results[-1]

    def build_parallel(self, name, label):
        """With one process, and with one worker more, taking turns."""
        repetitions = ANNOY_BUILDS if label == 'annoy' else 1
        seconds = {0: [], 1: []}
        for _ in range(repetitions):
            # HNSW takes minutes; that without workers is known already.
            for workers in (0, 1) if label == 'annoy' else (1,):
                database.wait_for_quiet(self.server)
                self.drop_index(name, label, '_2')
                seconds[workers].append(
                    self.build(name, label, workers, '_2')['seconds'])
        self.drop_index(name, label, '_2')
        return {str(workers): sorted(values)
                for workers, values in seconds.items() if values}

    def build_out_of_core(self, name):
        """With an eighth of the data as memory, and the forests compared."""
        data = self.vectors(name, 'train').nbytes
        memory = data // OUT_OF_CORE_FACTOR // 1024
        error = None
        while True:
            self.drop_index(name, 'annoy', '_2')
            try:
                small = self.build(name, 'annoy', 0, '_2', '%dkB' % memory)
                break
            except machine.Failure as failure:
                if 'maintenance_work_mem' not in str(failure):
                    raise
                error = str(failure).split('ERROR:')[-1].strip()
                memory = memory * 5 // 4
        hashes = [self.sql('annoy', MEMBERSHIP %
                           (self.index(name, 'annoy') + suffix))
                  for suffix in ('', '_2')]
        self.drop_index(name, 'annoy', '_2')
        large = self.build(name, 'annoy', 0, '_2')
        self.drop_index(name, 'annoy', '_2')
        return {'seconds': small['seconds'], 'memory_kb': memory,
                'data_bytes': data, 'factor': data / 1024 / memory,
                'in_memory_seconds': large['seconds'],
                'in_memory': large['memory'],
                'same_forest': hashes[0] == hashes[1], 'refused': error}

    # Queries

    def client(self, arguments):
        """Run the client; returns its table as a list of dictionaries."""
        result = subprocess.run(
            [os.path.join(self.folder, 'client'), '--tabs'] + arguments,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=self.server.environment)
        for line in result.stderr.splitlines():
            self.say(line)
        if result.returncode != 0:
            raise machine.Failure('the client failed: ' + result.stderr[-500:])
        return read_table(result.stdout)

    def target(self, label, table):
        return '@%s %s %s' % (label, table,
                              self.server.conninfo(self.database(label)))

    def client_options(self, name, queries):
        if self.quick:
            return ['-D', self.stem(name), '-r', '2', '-p', '100',
                    '-n', '200']
        options = ['-D', self.stem(name), '-r', str(TIMED_PASSES),
                   '-p', str(CLIENT_PASS_QUERIES)]
        return options + (['-n', str(queries)] if queries else [])

    def one_core(self):
        """Options that put client and server on one core, if that is allowed.

        Else it is chance where they run, and a wake-up of the other core, for
        each question and answer, takes up to as long as a short query.
        """
        if self.server.private and os.geteuid() == 0:
            return ['--core', str(os.cpu_count() - 1)]
        return []

    def query(self, name, labels, connections):
        """Queries with all settings of all indexes, which take turns."""
        values = sets.KNOB_VALUES[sets.base_name(name)]
        limit = 2 * self.rows(name)
        arguments = self.client_options(
            name, SECOND_CONNECTION_QUERIES if connections > 1 else 0)
        arguments += (['-j', str(connections)] if connections > 1
                      else self.one_core())
        for label in labels:
            kind = sets.kind(label)
            knobs = [value for value in values[kind]
                     if kind != 'annoy' or value <= limit]
            if label == 'ivfflat':
                lists = max(1, self.rows(name) // sets.ROWS_PER_LIST)
                knobs = [value for value in knobs if value <= lists]
            arguments += [self.target(label, self.table(name, label))]
            if kind == 'annoy':         # HNSW's default is among them
                arguments += ['']
            arguments += sets.knob_settings(label, knobs)
        if 'hnsw16' in labels:
            arguments += [
                '@exact %s %s' % (self.table(name, 'hnsw16'),
                                  self.server.conninfo(
                                      self.database('hnsw16'))),
                'enable_indexscan=off;enable_seqscan=on;queries=%d' %
                EXACT_QUERIES]
        return self.client(arguments)

    # Against rows

    def measure_rows(self, name, label):
        """Build and query a part of a set; the table does not stay."""
        self.make_data(name)
        result = self.build_index(name, label)
        result['queries'] = self.query_rows(name, label)
        self.drop(name, [label])
        return result

    def query_rows(self, name, label):
        """The settings of measure_rows(), on a table that is there."""
        return self.query_few(name, [label], sets.ROWS_KNOBS)

    def query_few(self, name, labels, knobs):
        """Some queries with fewer settings."""
        arguments = self.client_options(name, ROWS_QUERIES) + self.one_core()
        for label in labels:
            arguments += [self.target(label, self.table(name, label))]
            arguments += sets.knob_settings(
                label, [value for value in knobs[label]
                        if label != 'annoy' or value <= 2 * self.rows(name)])
        return self.client(arguments)

    def measure_scale(self, name, labels):
        """One of the tables that grow; it does not stay.

        HNSW's build takes all cores, since it takes long.
        """
        data = self.make_data(name)
        builds = {label: self.build_index(name, label, label == 'annoy')
                  for label in labels}
        queries = self.query_few(name, labels, sets.SCALE_KNOBS)
        self.drop(name, labels)
        return {'data': data, 'builds': builds, 'queries': queries}

    # Before other measurements

    def warm(self, name, label):
        """Into shared buffers with what the cold queries have put out."""
        self.sql(label, 'SET client_min_messages = warning; '
                 'CREATE EXTENSION IF NOT EXISTS pg_prewarm')
        self.sql(label, "SELECT pg_prewarm('%s'), pg_prewarm('%s')" %
                 (self.table(name, label), self.index(name, label)))

    def set_system(self, name, value):
        self.server.sql('postgres', "ALTER SYSTEM SET %s = '%s'" %
                        (name, value))
        self.server.sql('postgres', 'SELECT pg_reload_conf()')
        time.sleep(0.5)                 # until every process has heard of it

    # Outside the server

    def run_program(self, words):
        result = subprocess.run(
            [os.path.join(self.folder, words[0])] + words[1:],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if result.returncode != 0:
            raise machine.Failure('%s failed: %s' % (words[0],
                                                     result.stderr[-500:]))
        return read_table(result.stdout)


class Former:
    """The bench of another checkout's extension, started when it is needed."""

    def __init__(self, source, server, bench):
        self.server = server
        self.bench = Bench(server, bench.data, bench.memory, bench.quick,
                           bench.say)
        self.started = False
        try:
            self.description = machine.run(
                ['git', '-C', source, 'describe', '--always', '--dirty']).strip()
        except machine.Failure:
            self.description = 'unknown'

    def __call__(self):
        if not self.started:
            self.server.start(False)
            self.started = True
            self.server.begin()
        return self.bench


def read_table(text):
    """Lines of values divided by tabs, below a line of names."""
    lines = [line for line in text.split('\n') if '\t' in line]
    names = lines[0].split('\t')
    return [dict(zip(names, map(convert, line.split('\t'))))
            for line in lines[1:]]


def convert(text):
    try:
        return float(text) if '.' in text or 'e' in text else int(text)
    except ValueError:
        return text
