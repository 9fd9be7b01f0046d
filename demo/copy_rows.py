#!/usr/bin/python3
"""Print rows for COPY: Debian's packages, or word vectors.

    demo/copy_rows.py packages < FILE
    demo/copy_rows.py words FILE | FOLDER

packages takes what apt-cache dumpavail prints, and keeps of each package its
name, section, size, priority and the first line of its description.  words
takes the file of the npm package that bench/wordvectors.py knows, or a folder
to install it into.
"""

import os
import re
import signal
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)),
                                '..', 'bench'))

import wordvectors      # noqa: E402

FIELDS = ('Package', 'Section', 'Size', 'Priority', 'Description')
SPECIAL = str.maketrans({'\\': '\\\\', '\t': '\\t', '\n': '\\n', '\r': '\\r'})


def copy_line(values):
    """A row in COPY's text format."""
    return '\t'.join('\\N' if value is None else value.translate(SPECIAL)
                     for value in values)


def packages(stream):
    """Rows of FIELDS out of stanzas of "Field: value" lines."""
    seen = set()
    stanza = {}
    for line in stream:
        field, colon, value = line.partition(':')
        if not line.strip():
            yield from row(stanza, seen)
            stanza = {}
        elif colon and not line[0].isspace():
            # Some lists name the language; Description-md5 is another matter.
            field = re.sub('^Description-[A-Za-z_]+$', 'Description', field)
            stanza[field] = value.strip()
    yield from row(stanza, seen)


def row(stanza, seen):
    """The row of a stanza, if it is of a package that is described and new."""
    name = stanza.get('Package')
    if name and name not in seen and stanza.get('Description'):
        seen.add(name)
        yield [stanza.get(field) for field in FIELDS]


def words(path):
    """Rows of a word and its vector."""
    try:
        if os.path.isdir(path):
            path = wordvectors.file_path(path, lambda text: None)
        for word, vector in wordvectors.read(path):
            yield [word, str(vector)]
    except (OSError, ValueError, IndexError,
            subprocess.CalledProcessError) as error:
        sys.exit('demo: word vectors cannot be read: %s' % error)


def main():
    # End silently when the user or psql has ended.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    if sys.argv[1] == 'packages':
        # A stray byte of an old encoding spoils its letter, not the demo.
        rows = packages(open(0, encoding='utf-8', errors='replace'))
    else:
        rows = words(sys.argv[2])
    with open(1, 'w', encoding='utf-8') as output:
        for values in rows:
            print(copy_line(values), file=output)


main()
