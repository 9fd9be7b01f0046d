"""The results file, and what is computed from it."""

import json
import math
import os


class Results:
    """Results of finished stages, by name, kept in a JSON file."""

    def __init__(self, path, resume=False):
        self.path = path
        self.content = {'stages': {}}
        if resume and os.path.exists(path):
            with open(path) as file:
                self.content = json.load(file)

    def has(self, stage):
        return stage in self.content['stages']

    def get(self, stage, default=None):
        return self.content['stages'].get(stage, {}).get('result', default)

    def put(self, stage, result, seconds):
        self.content['stages'][stage] = {'result': result,
                                         'took': round(seconds, 1)}
        self.save()

    def save(self):
        with open(self.path + '.new', 'w') as file:
            json.dump(self.content, file, indent=1)
            file.write('\n')
        os.replace(self.path + '.new', self.path)


def frontier(rows, value='qps'):
    """Of measured settings those that no other beats in recall and rate.

    Returns them by growing recall, as (recall, rate, row).
    """
    found = []
    best = -1.0
    for row in sorted(rows or [],
                      key=lambda row: (-row['recall'], -row[value])):
        if row[value] > best:
            best = row[value]
            found.append((row['recall'], row[value], row))
    return found[::-1]


class Point:
    """What a curve says of a recall; bound: '', '>=' or '<='.

    '>=': all measured settings exceed this recall, so the true value may be
    larger; '<=': none reaches it, and the value is that of the best.
    """

    def __init__(self, value, bound='', recall=None):
        self.value = value
        self.bound = bound
        self.recall = recall


def between(low, high, recall, name):
    """Log-linear interpolation between two rows."""
    part = (recall - low['recall']) / (high['recall'] - low['recall'])
    if low[name] <= 0 or high[name] <= 0:
        return low[name] + part * (high[name] - low[name])
    return math.exp((1 - part) * math.log(low[name]) +
                    part * math.log(high[name]))


def at_recall(rows, recall, name='qps'):
    """The value of a column at a recall, on the frontier of the rates."""
    points = [row for _, _, row in frontier(rows)]
    if not points:
        return None
    if recall <= points[0]['recall']:
        bound = '' if recall == points[0]['recall'] else '>='
        if bound and name != 'qps':
            bound = '<='
        return Point(points[0][name], bound, points[0]['recall'])
    for low, high in zip(points, points[1:]):
        if recall <= high['recall']:
            return Point(between(low, high, recall, name))
    return Point(points[-1][name], '<=' if name == 'qps' else '>=',
                 points[-1]['recall'])


def cheapest_setting(rows, recall):
    """The setting that reaches the recall with the least, or the best."""
    enough = [row for row in rows if row['recall'] >= recall]
    if enough:
        return max(enough, key=lambda row: row['qps'])['setting']
    return max(rows, key=lambda row: row['recall'])['setting']


def knob_for(rows, recall):
    """The value of the only parameter that gives the recall, interpolated.

    Returns (parameter, value): of what was measured the nearest if the recall
    is not between.
    """
    points = [dict(row, knob=int(row['setting'].partition('=')[2]))
              for row in rows if row['setting']]
    points.sort(key=lambda row: (row['recall'], -row['knob']))
    value = points[0]['knob']
    for low, high in zip(points, points[1:]):
        if recall > high['recall']:
            value = high['knob']
        elif recall > low['recall']:
            value = round(between(low, high, recall, 'knob'))
    return points[0]['setting'].partition('=')[0], value


def of_target(rows, label):
    return [row for row in rows or [] if row['target'] == label]


def exponent(rows, values):
    """Slope of log value against log rows, by least squares."""
    x = [math.log(row) for row in rows]
    y = [math.log(value) for value in values]
    mean_x = sum(x) / len(x)
    mean_y = sum(y) / len(y)
    return (sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y)) /
            sum((a - mean_x) ** 2 for a in x))


def median(values):
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2
