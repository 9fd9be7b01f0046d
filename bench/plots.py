"""The report's plots."""

import os

import matplotlib
matplotlib.use('Agg')
import matplotlib.pyplot as plt     # noqa: E402
import aims                         # noqa: E402
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
PLAIN_STYLE = '--'
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
    rows = (store.get('queries:' + name, []) +
            results.of_target(store.get('queries24:' + name), 'hnsw24'))
    return [dict(row, blocks=row['index_blocks'] + row['table_blocks'])
            for row in rows]


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
        for index, colour in COLOURS.items():
            for key, style in ((index, '-'),
                               (index + sets.PLAIN_SUFFIX, PLAIN_STYLE)):
                draw(axes, results.of_target(rows, key), value,
                     sets.title(key), colour, style)
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


def query_times(points, recall):
    """(rows, milliseconds) of (rows, query rows), where that is known."""
    times = [(rows, results.at_recall(queries, recall))
             for rows, queries in points]
    return [(rows, 1000 / point.value) for rows, point in times
            if point is not None and not point.bound]


def plot_growth(panels, rows_title, path):
    """Panels, each (title, {label: [(rows, value)]}), side by side."""
    panels = [panel for panel in panels if any(panel[1].values())]
    figure, grid = plt.subplots(1, len(panels), squeeze=False, figsize=(
        FIGURE_WIDTH, FIGURE_ROW_HEIGHT))
    for axes, (title, curves) in zip(grid.flat, panels):
        for label, points in curves.items():
            axes.plot([rows for rows, _ in points],
                      [value for _, value in points], '-', marker=MARKERS,
                      label=sets.title(label), color=COLOURS[label])
        axes.set_xscale('log')
        axes.set_yscale('log')
        axes.set_xlabel(rows_title)
        axes.set_ylabel(title)
        axes.grid(True, which='both', alpha=0.3)
        axes.legend(fontsize=7)
    save(figure, path)


def plot_rows(store, path):
    """Parts of GloVe; returns whether there are any."""
    series = {label: aims.rows_series(store, label)
              for label in ('annoy', 'hnsw16')}
    if not any(series.values()):
        return False
    plot_growth(
        [('CREATE INDEX, one process, s',
          {label: [point[:2] for point in points]
           for label, points in series.items()}),
         ('query at recall 0.95, ms',
          {label: query_times([(point[0], point[2]) for point in points], 0.95)
           for label, points in series.items()})], 'rows of GloVe-100', path)
    return True


def plot_scale(store, path):
    series = {label: aims.scale_series(store, label)
              for label in ('annoy', 'hnsw16')}
    if not any(series.values()):
        return False
    panels = [('CREATE INDEX, s (annoy: one process)',
               {label: [point[:2] for point in points]
                for label, points in series.items()})]
    for recall in (0.95, 0.99):
        panels.append(('query at recall %s, ms' % recall, {
            label: query_times([(point[0], point[3]) for point in points],
                               recall)
            for label, points in series.items()}))
    plot_growth(panels, 'rows of clusters128', path)
    return True


def make_all(store, names, folder):
    """Returns the names of the files."""
    os.makedirs(folder, exist_ok=True)
    names = [name for name in names if store.has('queries:' + name)]
    found = []
    if names:
        plot_recall(store, names, 'qps', 'queries/s, one connection',
                    os.path.join(folder, 'recall-queries.png'), True)
        plot_recall(store, names, 'blocks',
                    'blocks of index and table per query',
                    os.path.join(folder, 'recall-blocks.png'), False)
        found += ['recall-queries', 'recall-blocks']
    for name, plot in (('scale', plot_scale), ('rows', plot_rows)):
        if plot(store, os.path.join(folder, name + '.png')):
            found.append(name)
    return found
