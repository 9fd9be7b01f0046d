"""The server that is measured: a private one, or one that is there."""

import os
import re
import subprocess
import time

import machine

DATABASES = {'annoy': 'bench_annoy', 'vector': 'bench_pgvector'}
OPERATOR_CLASS = 'vector_l2_ops'
BLOCK_BYTES = 8192

# Nothing but the knob under test shall change a plan; a cost above that of
# sorting would also switch on compilation of the exact query.
DATABASE_SETTINGS = {'enable_seqscan': 'off', 'jit': 'off',
                     'max_parallel_workers_per_gather': '0'}


class Server:
    """A server as its clients see it."""

    private = False

    def __init__(self, psql='psql'):
        self.psql = os.environ.get('PSQL', psql)
        self.environment = dict(os.environ)

    def begin(self):
        """Make the databases, if they are not there."""
        for extension, database in DATABASES.items():
            if self.sql('postgres', "SELECT count(*) FROM pg_database "
                        "WHERE datname = '%s'" % database) == '0':
                self.sql('postgres', 'CREATE DATABASE ' + database)
            for name, value in DATABASE_SETTINGS.items():
                self.sql('postgres', 'ALTER DATABASE %s SET %s = %s' %
                         (database, name, value))
            self.sql(database, 'SET client_min_messages = warning; '
                     'CREATE EXTENSION IF NOT EXISTS ' + extension)

    def sql(self, database, statement, settings=None, timing=False):
        """Run statements; returns the last result, or (seconds, result)."""
        environment = dict(self.environment, PGDATABASE=database)
        if settings:
            environment['PGOPTIONS'] = ' '.join(
                '-c %s=%s' % item for item in settings.items())
        command = [self.psql, '-X', '-q', '-A', '-t', '-F', '\t',
                   '-v', 'ON_ERROR_STOP=1']
        if timing:
            command += ['-c', '\\timing on']
        result = subprocess.run(command + ['-c', statement],
                                stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True,
                                env=environment)
        if result.returncode != 0:
            raise machine.Failure('"%s": %s' % (statement[:200],
                                                result.stderr.strip()))
        output = result.stdout.strip()
        if not timing:
            return output
        seconds = float(re.findall(r'Time: ([0-9.]+) ms', output)[-1]) / 1000
        return seconds, output

    def conninfo(self, database):
        return ' '.join(['dbname=' + database] +
                        ['%s=%s' % (word, self.environment[name])
                         for word, name in (('host', 'PGHOST'),
                                            ('port', 'PGPORT'),
                                            ('user', 'PGUSER'))
                         if name in self.environment])

    def wal_position(self):
        return int(float(self.sql(
            'postgres', "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")))

    def versions(self):
        found = {'PostgreSQL': self.sql('postgres', 'SHOW server_version')}
        for extension, database in DATABASES.items():
            found['pgvector' if extension == 'vector' else extension] = (
                self.sql(database, "SELECT extversion FROM pg_extension "
                         "WHERE extname = '%s'" % extension))
        return found

    def settings(self):
        names = ['shared_buffers', 'maintenance_work_mem', 'max_wal_size',
                 'fsync', 'full_page_writes', 'wal_level', 'autovacuum',
                 'effective_io_concurrency']
        return {name: self.sql('postgres', 'SHOW ' + name) for name in names}

    def has_parameter(self, name):
        return self.sql('postgres', "SELECT count(*) FROM pg_settings "
                        "WHERE name = '%s'" % name) == '1'

    def start(self, resume):
        return resume

    def stop(self):
        pass


class PrivateServer(Server):
    """A server of bench/server's, maybe inside of a Debian folder."""

    private = True

    def __init__(self, source, root, folder, lines):
        super().__init__()
        self.source = source
        self.root = root
        self.inside = folder            # as seen in the Debian folder
        self.folder = root + folder     # as seen here
        self.lines = lines
        self.environment.update(PGHOST=self.folder, PGPORT='5432',
                                PGUSER='postgres')
        self.environment.pop('PGOPTIONS', None)

    def command(self, *words):
        if not self.root:
            machine.run([os.path.join(self.source, 'bench/server')] +
                        list(words))
            return
        # The sources have to be in there, too.
        inside = self.inside + '-source'
        if words[0] == 'start':
            machine.run(['rm', '-rf', self.root + inside])
            os.makedirs(self.root + inside)
            machine.run(['bash', '-c', 'tar -C "$0" --exclude=./.git -cf - . '
                         '| tar -C "$1" --no-same-owner -xf -', self.source,
                         self.root + inside])
        machine.run(['chroot', self.root, inside + '/bench/server'] +
                    list(words))

    def start(self, resume):
        """Start anew, or with resume go on with the data that is there.

        Returns whether there was any.
        """
        if resume and os.path.exists(self.folder + '/data/PG_VERSION'):
            # An interrupted stage may have left it with other parameters.
            self.stop()
            self.again()
            return True
        self.stop()
        machine.run(['rm', '-rf', self.folder])
        os.makedirs(os.path.dirname(self.folder), exist_ok=True)
        self.command('start', self.inside, *self.lines)
        return False

    def answers(self):
        try:
            self.sql('postgres', 'SELECT 1')
        except machine.Failure:
            return False
        return True

    def again(self, parameters=()):
        self.command('again', self.inside, *parameters)

    def stop(self, mode='fast'):
        if not os.path.exists(self.folder + '/data/postmaster.pid'):
            return
        try:
            self.command('stop', self.inside, mode)
        except machine.Failure:
            if self.answers():
                raise                   # else a former machine's remains

    def files(self, database, table):
        """The files of a table, its TOAST table, and their indexes."""
        paths = self.sql(database, """
            WITH tables AS (
                SELECT unnest(ARRAY[oid, reltoastrelid]) AS oid
                FROM pg_class WHERE oid = '%s'::regclass)
            SELECT pg_relation_filepath(oid) FROM tables WHERE oid <> 0
            UNION SELECT pg_relation_filepath(indexrelid)
            FROM pg_index WHERE indrelid IN (SELECT oid FROM tables)
            """ % table).split('\n')
        found = []
        for path in paths:
            path = os.path.join(self.folder, 'data', path)
            segment = 0
            while os.path.exists(path + ('.%d' % segment if segment else '')):
                found.append(path + ('.%d' % segment if segment else ''))
                segment += 1
        return found


def evict(paths):
    """Put files out of the operating system's cache."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)            # what is not written cannot be dropped
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def wait_for_quiet(server):
    """Let the writing back of what was just built end, not run meanwhile."""
    server.sql('postgres', 'CHECKPOINT')
    os.sync()
    time.sleep(1)
