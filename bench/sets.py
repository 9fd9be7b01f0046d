"""The data sets, the indexes that are compared, and the settings tried."""

import collections

# An index of a peer: its table, access method, options, knob.
Peer = collections.namedtuple('Peer', 'label extension method options knob')

# name: dimensions for the report; rows of the full set, and of --quick
DataSet = collections.namedtuple('DataSet', 'title rows quick_rows')

SETS = {
    'glove': DataSet('GloVe-100', 340479, 8000),
    'fmnist': DataSet('Fashion-MNIST', 60000, 3000),
    'mnist': DataSet('MNIST', 60000, 3000),
    'text1536': DataSet('text1536', 200000, 2000),
}

# Not a set with queries of its own: rows of clusters128 (synthetic.py).
SCALE = 'scale'
SCALE_DATA = 'clusters128'

# Tables of these sets are also measured with vectors kept in the row, by
# STORAGE PLAIN.  GloVe's are short enough to be there anyway.
PLAIN_SETS = ('fmnist', 'mnist', 'text1536')
PLAIN_SUFFIX = '_plain'

# As pgvector's documentation advises for up to a million rows.
ROWS_PER_LIST = 1000

PEERS = [
    Peer('annoy', 'annoy', 'annoy', '', 'annoy.search_k'),
    Peer('hnsw16', 'vector', 'hnsw', 'm = 16, ef_construction = 64',
         'hnsw.ef_search'),
    Peer('ivfflat', 'vector', 'ivfflat', 'lists = %d', 'ivfflat.probes'),
    Peer('hnsw24', 'vector', 'hnsw', 'm = 24, ef_construction = 200',
         'hnsw.ef_search'),
]

TITLES = {
    'annoy': 'annoy',
    'hnsw16': 'HNSW, m = 16, ef_construction = 64',
    'hnsw24': 'HNSW, m = 24, ef_construction = 200',
    'ivfflat': 'IVFFlat',
    'exact': 'exact scan',
    'bare': 'table without the index',
}

# Without parallel workers, which its target is about.  The others are built
# by all cores, as is this one where it is not timed.
TIMED_BUILDS = ('annoy', 'hnsw16', 'ivfflat')

KNOB_VALUES = {
    'glove': {
        'annoy': [4000, 8000, 16000, 24000, 32000, 48000, 64000, 96000,
                  128000, 256000],
        'hnsw16': [40, 100, 200, 300, 500, 1000],
        'hnsw24': [40, 100, 200, 400, 800],
        'ivfflat': [5, 15, 40, 100],
    },
    'fmnist': {
        'annoy': [150, 250, 500, 1000, 2000, 4000, 8000, 30000],
        'hnsw16': [10, 20, 40, 80, 160, 400],
        'hnsw24': [10, 20, 40, 80, 160],
        'ivfflat': [1, 2, 5, 15],
    },
    'text1536': {
        'annoy': [125, 250, 500, 1000, 2000, 4000, 8000, 16000, 64000],
        'hnsw16': [10, 20, 40, 80, 160, 400],
        'hnsw24': [10, 20, 40, 80, 160],
        'ivfflat': [1, 3, 8, 20],
    },
}
KNOB_VALUES['mnist'] = KNOB_VALUES['fmnist']

# Against rows: fewer settings, around recall 0.95.
ROWS_SERIES = (40000, 85000, 170000)
QUICK_ROWS_SERIES = (2000, 4000)
ROWS_KNOBS = {
    'annoy': [1000, 2000, 4000, 8000, 16000, 24000, 32000, 48000, 64000,
              96000],
    'hnsw16': [40, 80, 120, 200, 300, 500, 1000],
}

# Against many rows; HNSW only where its build takes minutes.
SCALE_SERIES = (500000, 1000000, 4000000)
QUICK_SCALE_SERIES = (2000, 4000, 8000)
SCALE_HNSW_SIZES = 2            # the first ones of the series
SCALE_KNOBS = {
    'annoy': [500, 1000, 2000, 4000, 8000, 16000, 32000, 64000, 128000,
              256000, 512000],
    'hnsw16': [20, 40, 100, 200, 400, 700, 1000],
}

# search_k of the original Annoy is for all trees together.
PEER_EFFORTS = {
    'annoy': [300, 1000, 3000, 10000, 30000, 100000, 200000],
    'hnswlib': [10, 20, 40, 80, 160, 320, 640, 1280],
}


def base_name(name):
    """The set that NAME or NAME_ROWS is of."""
    return name.partition('_')[0]


def kind(label):
    """The index, wherever its table keeps the vectors."""
    return label.removesuffix(PLAIN_SUFFIX)


def is_plain(label):
    return label.endswith(PLAIN_SUFFIX)


def title(label):
    return TITLES[kind(label)] + (', PLAIN' if is_plain(label) else '')


def peer(label):
    return next(peer for peer in PEERS if peer.label == kind(label))


def index_options(label, rows):
    options = peer(label).options
    if '%d' in options:
        options %= max(1, rows // ROWS_PER_LIST)
    return options


def knob_settings(label, values):
    return ['%s=%d' % (peer(label).knob, value) for value in values]
