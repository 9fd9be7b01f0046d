"""The generators of the synthetic data sets: clustered vectors.

text1536 stands for text embeddings, clusters128 for a table that grows.

Embeddings of texts have many dimensions, but few of them vary independently
in any one neighbourhood; they share a mean direction, and gather in topics of
very different sizes, which overlap.  So do these (figures of text1536, then
of clusters128):

    dictionary   512 (128) orthonormal directions ("features") of 1536 (128)
                 dimensions
    cluster c    one of 4,000 (20,000), chosen with probability proportional
                 to c ** -0.8: with 200,000 rows of text1536, from 9,000 rows
                 to a dozen; with 4,000,000 of clusters128, from 130,000 rows
                 to 50
    centre       the common mean (length 0.5), and a Gaussian over all
                 features, the standard deviation of the i-th being
                 proportional to i ** -0.5, of mean squared length 0.35
    form         each cluster varies along 32 features of its own choice, with
                 standard deviations proportional to i ** -0.5; in these
                 coordinates its rows are an even mixture of 4 Gaussians,
                 whose means hold half of the variance; mean squared length
                 altogether 0.35
    noise        isotropic in all dimensions, mean squared length 0.02 (0.05)

A row is the sum of centre, form and noise, divided by its length.  Rows come in
random order, and the queries are further rows of the same distribution.
clusters128's queries come first, and its distribution does not depend on the
number of rows, so that a larger table is a denser sample of the same.

All random numbers come from one numpy RandomState, whose sequence numpy
promises to keep, so that the data is the same everywhere, but for what
rounding the installed BLAS does.
"""

import collections

import numpy as np

ROWS = 200000               # of text1536
CHUNK_ROWS = 10000          # bounds memory: 120 MB of float64

# seed: arbitrary, but the same for everybody
Shape = collections.namedtuple(
    'Shape', 'dimensions features clusters noise_energy seed')

TEXT1536 = Shape(1536, 512, 4000, 0.02, 15360200)
CLUSTERS128 = Shape(128, 128, 20000, 0.05, 12840000)

CLUSTER_FEATURES = 32
COMPONENTS = 4

SIZE_EXPONENT = 0.8
SPECTRUM_EXPONENT = 0.5
MEAN_LENGTH = 0.5
CENTRE_ENERGY = 0.35        # mean squared lengths
FORM_ENERGY = 0.35
MIXTURE_PART = 0.5          # of FORM_ENERGY between the Gaussians of a cluster


def spectrum(count, energy):
    """Standard deviations of falling size, whose squares sum up to energy."""
    scales = np.arange(1, count + 1) ** -SPECTRUM_EXPONENT
    return scales * np.sqrt(energy / np.sum(scales ** 2))


class Clustered:
    """What all rows share; then rows, chunk by chunk."""

    def __init__(self, shape):
        self.shape = shape
        dimensions, features, clusters = shape[:3]
        random = self.random = np.random.RandomState(shape.seed)
        self.dictionary, _ = np.linalg.qr(
            random.standard_normal((dimensions, features)))
        # QR leaves signs to the library: fix them.
        largest = np.abs(self.dictionary).argmax(axis=0)
        self.dictionary *= np.sign(
            self.dictionary[largest, np.arange(features)])
        self.dictionary = self.dictionary.T

        mean = random.standard_normal(dimensions)
        self.mean = mean * (MEAN_LENGTH / np.linalg.norm(mean))
        self.centres = (random.standard_normal((clusters, features)) *
                        spectrum(features, CENTRE_ENERGY))
        self.cluster_features = np.array(
            [random.permutation(features)[:CLUSTER_FEATURES]
             for _ in range(clusters)])
        self.component_means = (
            random.standard_normal((clusters, COMPONENTS, CLUSTER_FEATURES)) *
            spectrum(CLUSTER_FEATURES, FORM_ENERGY * MIXTURE_PART))
        self.scales = spectrum(CLUSTER_FEATURES,
                               FORM_ENERGY * (1 - MIXTURE_PART))
        weights = np.arange(1, clusters + 1) ** -SIZE_EXPONENT
        self.cumulated = np.cumsum(weights / weights.sum())

    def rows(self, count):
        """The next count rows, float32 of unit length."""
        random = self.random
        cluster = np.searchsorted(self.cumulated, random.random_sample(count))
        cluster = np.minimum(cluster, self.shape.clusters - 1)
        component = random.randint(COMPONENTS, size=count)
        form = (self.component_means[cluster, component] +
                random.standard_normal((count, CLUSTER_FEATURES)) *
                self.scales)
        coordinates = self.centres[cluster]
        # A cluster's features are distinct, so none is added to twice.
        coordinates[np.arange(count)[:, None],
                    self.cluster_features[cluster]] += form
        vectors = coordinates @ self.dictionary
        vectors += self.mean
        vectors += (random.standard_normal((count, self.shape.dimensions)) *
                    np.sqrt(self.shape.noise_energy / self.shape.dimensions))
        vectors /= np.linalg.norm(vectors, axis=1)[:, None]
        return vectors.astype(np.float32)

    def chunks(self, count):
        """The same, by chunks that memory has room for."""
        for start in range(0, count, CHUNK_ROWS):
            yield self.rows(min(CHUNK_ROWS, count - start))
