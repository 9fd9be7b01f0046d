"""The report's plots."""

import os

import matplotlib
matplotlib.use('Agg')
import matplotlib.pyplot as plt     # noqa: E402
import results                      # noqa: E402
import sets                         # noqa: E402

COLOURS = {'annoy': '#d62728', 'hnsw16': '#1f77b4', 'hnsw24': '#17becf',
           'ivfflat': '#2ca02c'}
OUTSIDE = {'annoy-10': ('original Annoy, 10 trees', '#c5b0d5', ':'),
           'annoy-50': ('original Annoy, 50 trees', '#9467bd', ':'),
           'annoy-100': ('original Annoy, 100 trees', '#5b2d8e', ':'),
           'hnswlib': ('hnswlib', '#7f7f7f', ':')}
TICKS = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
LOWEST_RECALL = 0.6
HIGHEST_RECALL = 0.9995         # where 1 is drawn
MARKERS = 'o'
FIGURE_WIDTH = 12
FIGURE_ROW_HEIGHT = 4.6
RESOLUTION = 90


def draw(axes, rows, value, label, colour, style='-'):
    points = [row for _, _, row in results.frontier(rows)
              if row['recall'] >= LOWEST_RECALL]
    if points:
        axes.plot([1 - min(row['recall'], HIGHEST_RECALL) for row in points],
                  [row[value] for row in points], style, marker=MARKERS,
                  markersize=3, label=label, color=colour)


def set_recall_axis(axes):
    axes.set_xscale('log')
    axes.set_yscale('log')
    axes.set_xticks([1 - tick for tick in TICKS])
    axes.set_xticklabels([str(tick) for tick in TICKS])
    axes.minorticks_off()
    axes.set_xlim(1 - LOWEST_RECALL, (1 - HIGHEST_RECALL) * 0.85)
    axes.set_xlabel('recall@10')
    axes.grid(True, alpha=0.3)


def all_queries(store, name):
    return (store.get('queries:' + name, []) +
            results.of_target(store.get('queries24:' + name), 'hnsw24'))


def new_figure(names):
    lines = (len(names) + 1) // 2
    figure, grid = plt.subplots(lines, 2, squeeze=False, figsize=(
        FIGURE_WIDTH, FIGURE_ROW_HEIGHT * lines))
    for axes in grid.flat[len(names):]:
        axes.axis('off')
    return figure, grid.flat


def save(figure, path):
    figure.tight_layout()
    figure.savefig(path, dpi=RESOLUTION, metadata={'Software': None})
    plt.close(figure)


def plot_recall(store, names, value, label, path, outside):
    """Recall against a column of the queries, a picture for each set."""
    figure, grid = new_figure(names)
    for axes, name in zip(grid, names):
        rows = all_queries(store, name)
        for peer in sets.PEERS:
            draw(axes, results.of_target(rows, peer.label), value,
                 sets.TITLES[peer.label], COLOURS[peer.label])
        if outside:
            for key, part in outside_rows(store, name).items():
                title, colour, style = OUTSIDE[key]
                draw(axes, part, value, title, colour, style)
        set_recall_axis(axes)
        axes.set_ylabel(label)
        axes.set_title(sets.SETS[name].title)
        axes.legend(fontsize=7)
    save(figure, path)


def outside_rows(store, name):
    """Measurements outside the server by the keys of OUTSIDE."""
    found = {'hnswlib': store.get('peers:%s:hnswlib' % name, [])}
    for trees in (10, 50, 100):
        found['annoy-%d' % trees] = [
            row for row in store.get('peers:%s:annoy' % name, [])
            if str(row['setting']).startswith('trees=%d;' % trees)]
    return {key: rows for key, rows in found.items() if rows}


def plot_rows(series, path):
    """Build time and time per query against rows."""
    figure, grid = plt.subplots(1, 2, figsize=(FIGURE_WIDTH,
                                               FIGURE_ROW_HEIGHT))
    for label, points in series.items():
        grid[0].plot([point[0] for point in points],
                     [point[1] for point in points], '-', marker=MARKERS,
                     label=sets.TITLES[label], color=COLOURS[label])
        times = [(rows, results.at_recall(queries, 0.95))
                 for rows, _, queries in points]
        times = [(rows, 1000 / point.value) for rows, point in times
                 if point is not None and not point.bound]
        grid[1].plot([rows for rows, _ in times], [ms for _, ms in times], '-',
                     marker=MARKERS, label=sets.TITLES[label],
                     color=COLOURS[label])
    for axes, title in zip(grid, ('CREATE INDEX, one process, s',
                                  'query at recall 0.95, ms')):
        axes.set_xscale('log')
        axes.set_yscale('log')
        axes.set_xlabel('rows of GloVe-100')
        axes.set_ylabel(title)
        axes.grid(True, which='both', alpha=0.3)
        axes.legend(fontsize=8)
    save(figure, path)


def make_all(store, names, series, folder):
    """Returns the names of the files."""
    os.makedirs(folder, exist_ok=True)
    names = [name for name in names if store.has('queries:' + name)]
    found = []
    if names:
        plot_recall(store, names, 'qps', 'queries/s, one connection',
                    os.path.join(folder, 'recall-queries.png'), True)
        plot_recall(store, names, 'index_blocks', 'index blocks per query',
                    os.path.join(folder, 'recall-blocks.png'), False)
        found += ['recall-queries', 'recall-blocks']
    if any(series.values()):
        plot_rows(series, os.path.join(folder, 'rows.png'))
        found.append('rows')
    return found
