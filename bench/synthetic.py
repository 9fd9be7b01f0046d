"""The generator of the data set text1536, which stands for text embeddings.

Embeddings of texts have many dimensions, but few of them vary independently
in any one neighbourhood; they share a mean direction, and gather in topics of
very different sizes, which overlap.  So do these:

    dictionary   512 orthonormal directions ("features") of 1536 dimensions
    cluster c    one of 4,000, chosen with probability proportional to
                 c ** -0.8: with 200,000 rows, from 9,000 rows to a dozen
    centre       the common mean (length 0.5), and a Gaussian over all
                 features, the standard deviation of the i-th being
                 proportional to i ** -0.5, of mean squared length 0.35
    form         each cluster varies along 32 features of its own choice, with
                 standard deviations proportional to i ** -0.5; in these
                 coordinates its rows are an even mixture of 4 Gaussians,
                 whose means hold half of the variance; mean squared length
                 altogether 0.35
    noise        isotropic in all 1536 dimensions, mean squared length 0.02

A row is the sum of centre, form and noise, divided by its length.  Rows come in
random order, and the queries are further rows of the same distribution.

All random numbers come from one numpy RandomState, whose sequence numpy
promises to keep, so that the data is the same everywhere, but for what
rounding the installed BLAS does.
"""

import numpy as np

DIMENSIONS = 1536
ROWS = 200000
SEED = 15360200             # arbitrary, but the same for everybody
CHUNK_ROWS = 10000          # bounds memory: 120 MB of float64

FEATURES = 512
CLUSTERS = 4000
CLUSTER_FEATURES = 32
COMPONENTS = 4

SIZE_EXPONENT = 0.8
SPECTRUM_EXPONENT = 0.5
MEAN_LENGTH = 0.5
CENTRE_ENERGY = 0.35        # mean squared lengths
FORM_ENERGY = 0.35
MIXTURE_PART = 0.5          # of FORM_ENERGY between the Gaussians of a cluster
NOISE_ENERGY = 0.02


def spectrum(count, energy):
    """Standard deviations of falling size, whose squares sum up to energy."""
    scales = np.arange(1, count + 1) ** -SPECTRUM_EXPONENT
    return scales * np.sqrt(energy / np.sum(scales ** 2))


class TextLike:
    """What all rows share; then rows, chunk by chunk."""

    def __init__(self):
        random = self.random = np.random.RandomState(SEED)
        self.dictionary, _ = np.linalg.qr(
            random.standard_normal((DIMENSIONS, FEATURES)))
        # QR leaves signs to the library: fix them.
        largest = np.abs(self.dictionary).argmax(axis=0)
        self.dictionary *= np.sign(
            self.dictionary[largest, np.arange(FEATURES)])
        self.dictionary = self.dictionary.T

        mean = random.standard_normal(DIMENSIONS)
        self.mean = mean * (MEAN_LENGTH / np.linalg.norm(mean))
        self.centres = (random.standard_normal((CLUSTERS, FEATURES)) *
                        spectrum(FEATURES, CENTRE_ENERGY))
        self.cluster_features = np.array(
            [random.permutation(FEATURES)[:CLUSTER_FEATURES]
             for _ in range(CLUSTERS)])
        self.component_means = (
            random.standard_normal((CLUSTERS, COMPONENTS, CLUSTER_FEATURES)) *
            spectrum(CLUSTER_FEATURES, FORM_ENERGY * MIXTURE_PART))
        self.scales = spectrum(CLUSTER_FEATURES,
                               FORM_ENERGY * (1 - MIXTURE_PART))
        weights = np.arange(1, CLUSTERS + 1) ** -SIZE_EXPONENT
        self.cumulated = np.cumsum(weights / weights.sum())

    def rows(self, count):
        """The next count rows, float32 of unit length."""
        random = self.random
        cluster = np.searchsorted(self.cumulated, random.random_sample(count))
        cluster = np.minimum(cluster, CLUSTERS - 1)
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
        vectors += (random.standard_normal((count, DIMENSIONS)) *
                    np.sqrt(NOISE_ENERGY / DIMENSIONS))
        vectors /= np.linalg.norm(vectors, axis=1)[:, None]
        return vectors.astype(np.float32)

    def chunks(self, count):
        """The same, by chunks that memory has room for."""
        for start in range(0, count, CHUNK_ROWS):
            yield self.rows(min(CHUNK_ROWS, count - start))
