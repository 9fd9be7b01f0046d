"""What the machine is, and getting onto it what the benchmark needs."""

import glob
import os
import platform
import re
import shutil
import subprocess

# Host programs: the driver's own, the client's, the data's, the peers'.
HOST_PACKAGES = ['gcc', 'g++', 'make', 'libpq-dev', 'postgresql-client',
                 'postgresql-server-dev-all', 'python3-matplotlib',
                 'dataset-fashion-mnist', 'r-cran-rcppannoy',
                 'libhnswlib-dev']
# npm of Debian brings hundreds of packages along, so only if none is there.
NPM_PACKAGE = 'npm'

HNSW_SINCE = [0, 5]         # of pgvector

DEBIAN_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                             '..', 'test', 'debian-folder')
SERVER_RELEASE = 'trixie'
SERVER_VERSION = 17
SERVER_PACKAGES = ['postgresql-%d' % SERVER_VERSION,
                   'postgresql-%d-pgvector' % SERVER_VERSION,
                   'postgresql-server-dev-%d' % SERVER_VERSION, 'gcc', 'make']


class Failure(Exception):
    """What ends the run, with a message for the user."""


def run(command, **arguments):
    """Run a command; if it fails, show what it said."""
    result = subprocess.run(command, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, **arguments)
    if result.returncode != 0:
        raise Failure('%s failed:\n%s' % (' '.join(command[:4]),
                                          result.stdout[-4000:]))
    return result.stdout


def installed(package):
    result = subprocess.run(['dpkg-query', '-W', '-f', '${Status}', package],
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                            text=True)
    return 'ok installed' in result.stdout


def install(packages, root=None):
    """Install Debian packages, here or in a Debian folder."""
    prefix = ['chroot', root] if root else []
    environment = dict(os.environ, DEBIAN_FRONTEND='noninteractive',
                       LC_ALL='C')
    run(prefix + ['apt-get', 'update', '-q'], env=environment)
    run(prefix + ['apt-get', 'install', '-y', '-q', '--no-install-recommends']
        + packages, env=environment)


def install_host_packages(say):
    if shutil.which('apt-get') is None or os.geteuid() != 0:
        return                          # what is missing will tell by itself
    missing = [name for name in HOST_PACKAGES if not installed(name)]
    if shutil.which('npm') is None:
        missing.append(NPM_PACKAGE)
    if missing:
        say('installing ' + ' '.join(missing))
        install(missing)


def has_hnsw(version):
    """Whether a version of pgvector, as text, has HNSW indexes."""
    numbers = [int(word) for word in re.findall('[0-9]+', version)[:2]]
    return numbers >= HNSW_SINCE


def has_pgvector(pg_config='pg_config', root=None):
    """Whether the server that pg_config stands for has a late pgvector."""
    prefix = ['chroot', root] if root else []
    try:
        folder = subprocess.run(prefix + [pg_config, '--sharedir'],
                                stdout=subprocess.PIPE, text=True, check=True,
                                stderr=subprocess.DEVNULL).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return False
    path = (root or '') + folder + '/extension/vector.control'
    if not os.path.exists(path):
        return False
    with open(path) as file:
        return has_hnsw(re.search('default_version *= *(.*)',
                                  file.read()).group(1))


def mount_kernel_files(root):
    """A server needs /proc, and shared memory for parallel builds."""
    for kind, target, options in (('proc', '/proc', None),
                                  ('tmpfs', '/dev/shm', 'size=75%')):
        if not os.path.ismount(root + target):
            os.makedirs(root + target, exist_ok=True)
            run(['mount', '-t', kind] + (['-o', options] if options else []) +
                [kind, root + target])


def make_debian_folder(root, say):
    """A folder of the release that has PostgreSQL 17 and pgvector."""
    if not os.path.exists(root + '/usr/bin/apt-get'):
        if os.geteuid() != 0:
            raise Failure('a Debian folder for PostgreSQL %d and pgvector can '
                          'be made by root only' % SERVER_VERSION)
        say('making a folder of Debian %s in %s' % (SERVER_RELEASE, root))
        run([DEBIAN_FOLDER, SERVER_RELEASE, root])
    mount_kernel_files(root)
    if not has_pgvector(root=root):
        say('installing %s there' % ' '.join(SERVER_PACKAGES))
        install(SERVER_PACKAGES, root)


def choose_root(options, say):
    """Where the private server will run: '' (here), or a Debian folder."""
    if options.root:
        root = os.path.realpath(options.root)
        make_debian_folder(root, say)
        return root
    if has_pgvector():
        return ''
    version = ''
    try:
        version = subprocess.run(['pg_config', '--version'], text=True,
                                 stdout=subprocess.PIPE).stdout
    except OSError:
        pass
    if os.geteuid() == 0 and version.startswith('PostgreSQL '):
        package = ('postgresql-%s-pgvector' %
                   version.split()[1].split('.')[0])
        known = subprocess.run(['apt-cache', 'show', package], text=True,
                               stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL).stdout
        if any(has_hnsw(version)
               for version in re.findall('^Version: (.*)', known, re.M)):
            say('installing ' + package)
            install([package])
            return ''
    root = os.path.join(os.path.realpath(options.work), SERVER_RELEASE)
    make_debian_folder(root, say)
    return root


def first_line(path, beginning):
    with open(path) as file:
        for line in file:
            if line.startswith(beginning):
                return line.partition(':')[2].strip()
    return ''


def memory_bytes():
    return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')


def describe():
    """The machine, for the report."""
    release = ''
    if os.path.exists('/etc/os-release'):
        with open('/etc/os-release') as file:
            fields = dict(line.rstrip().split('=', 1) for line in file
                          if '=' in line)
        release = fields.get('PRETTY_NAME', '').strip('"')
    flags = first_line('/proc/cpuinfo', 'flags').split()
    caches = {}
    for folder in sorted(glob.glob(
            '/sys/devices/system/cpu/cpu0/cache/index[0-9]*')):
        values = []
        for name in ('level', 'type', 'size'):
            with open(os.path.join(folder, name)) as file:
                values.append(file.read().strip())
        if values[1] != 'Instruction':
            caches['L' + values[0]] = values[2]
    return {
        'processor': (first_line('/proc/cpuinfo', 'model name') or
                      platform.processor() or platform.machine()),
        'cores': os.cpu_count(),
        'memory_gb': round(memory_bytes() / 2 ** 30, 1),
        'caches': caches,
        'vector_instructions': [name for name in
                                ('avx2', 'avx512bw', 'avx512_vpopcntdq',
                                 'asimd') if name in flags],
        'virtual': 'hypervisor' in flags,
        'kernel': platform.release(),
        'system': release,
    }
