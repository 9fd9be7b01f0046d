"""Print what demo/search.sql found, and draw it.

    show.py FOLDER PICTURE

FOLDER holds plan.txt, measures.csv, neighbours.csv and the data set.  Exits with
status 1 if the index was not used or recall is too low.
"""

import collections
import csv
import os
import sys

import matplotlib
matplotlib.use('Agg')           # there may be no display
import matplotlib.pyplot as plt
import numpy as np

CLASSES = ['T-shirt', 'trousers', 'pullover', 'dress', 'coat', 'sandal',
           'shirt', 'sneaker', 'bag', 'ankle boot']
NUM_SHOWN = 10
MIN_RECALL = 0.9
SIDE = 28                       # pixels


def read_csv(folder, name):
    with open(os.path.join(folder, name), newline='') as file:
        return list(csv.DictReader(file))


def read_images(folder, part):
    path = os.path.join(folder, 'data', 'fmnist_%s.f32' % part)
    return np.memmap(path, np.float32, 'r').reshape(-1, SIDE, SIDE)


def choose_queries(answers):
    """The first test image of each class, in the order of classes."""
    first = {}
    for query, rows in answers.items():
        first.setdefault(int(rows[0]['query_label']), query)
    return [first[label] for label in sorted(first)][:NUM_SHOWN]


def print_answers(answers, chosen):
    print('\n%-14s its ten nearest among the indexed images' % 'test image')
    for query in chosen:
        rows = answers[query]
        counts = collections.Counter(CLASSES[int(row['label'])]
                                     for row in rows)
        print('%-14s %s' % (
            CLASSES[int(rows[0]['query_label'])],
            ', '.join('%d x %s' % (number, label)
                      for label, number in counts.most_common())))


def draw_image(axes, pixels, label, color):
    axes.imshow(pixels, cmap='gray_r', vmin=0, vmax=255)
    axes.set_title(CLASSES[label], fontsize=7, color=color, pad=2)
    axes.set_xticks([])
    axes.set_yticks([])
    for edge in axes.spines.values():
        edge.set_color(color)


def draw_answers(answers, chosen, folder, path):
    """Query images on the left, their neighbours beside them."""
    queries, images = (read_images(folder, part) for part in ('test', 'train'))
    columns = 1 + max(len(answers[query]) for query in chosen)
    # A narrow empty column divides questions from answers.
    figure, grid = plt.subplots(
        len(chosen), columns + 1, squeeze=False,
        figsize=(0.85 * columns + 0.3, len(chosen)),
        gridspec_kw={'width_ratios': [1, 0.3] + [1] * (columns - 1)})
    for line, query in zip(grid, chosen):
        rows = answers[query]
        own_label = int(rows[0]['query_label'])
        for axes in line:
            axes.axis('off')
        line[0].axis('on')
        draw_image(line[0], queries[query], own_label, 'tab:blue')
        for axes, row in zip(line[2:], rows):
            label = int(row['label'])
            axes.axis('on')
            draw_image(axes, images[int(row['id'])], label,
                       'black' if label == own_label else 'tab:red')
    figure.suptitle('test images, and the nearest of %s images by '
                    'the index (red: of another class)' %
                    format(len(images), ','), fontsize=9)
    figure.tight_layout(pad=0.4, rect=(0, 0, 1, 0.99))   # below the title
    figure.savefig(path, dpi=120)


def main():
    folder, picture = sys.argv[1:]
    measures = read_csv(folder, 'measures.csv')[0]
    value = {name: float(measures[name]) for name in measures}
    answers = collections.defaultdict(list)
    for row in read_csv(folder, 'neighbours.csv'):
        answers[int(row['query'])].append(row)
    chosen = choose_queries(answers)

    print_answers(answers, chosen)
    draw_answers(answers, chosen, folder, picture)
    print('\nrecall@10 against exact search, %d test images: %.3f' %
          (len(answers), value['recall']))
    print('time per query: %.2f ms with the index, %.1f ms without' %
          (value['index_ms'], value['exact_ms']))
    print('index on %s images of %d dimensions: built in %.1f s; '
          '%.0f MB (table: %.0f MB)' %
          (format(int(value['rows']), ','), SIDE * SIDE,
           value['build_seconds'], value['index_size'] / 1e6,
           value['table_size'] / 1e6))
    print('picture: ' + picture)

    with open(os.path.join(folder, 'plan.txt')) as file:
        plan = file.read()
    if 'fmnist_embedding_idx' not in plan:
        sys.exit('demo: the planner did not use the index')
    if value['recall'] < MIN_RECALL:
        sys.exit('demo: recall is below %.1f' % MIN_RECALL)


main()
