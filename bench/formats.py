"""How the report writes tables and values."""

import results

SENSES = {'>=': '≥', '<=': '≤', '': ''}


def table(head, rows):
    lines = ['| ' + ' | '.join(head) + ' |', '|' + '---|' * len(head)]
    lines += ['| ' + ' | '.join(row) + ' |' for row in rows]
    return '\n'.join(lines)


def number(value):
    """Three digits that count."""
    if value >= 1000:
        return format(round(value, -1 if value < 10000 else -2), ',.0f')
    return '%.0f' % value if value >= 100 else '%.3g' % value


def megabytes(value):
    return '%.0f MB' % (value / 1e6)


def aim_text(aim, fraction):
    return '1/%.0f' % (1 / aim) if fraction else '%g' % aim


def ratio_text(value, aim, fraction):
    """A value, written as its aim is."""
    if fraction and value < 0.5:
        return '1/%.1f' % (1 / value) if value > 0 else '0'
    if value >= 100:
        return format(value, ',.0f')
    return '%.3f' % value if aim < 1 else '%.2f' % value


def curve_cell(rows, recall):
    point = results.at_recall(rows, recall)
    if point.bound == '<=':
        return 'not reached (%.3f at %s/s)' % (point.recall,
                                               number(point.value))
    return '%s%s (%s ms)' % (SENSES[point.bound] + ' ' if point.bound else '',
                             number(point.value), number(1000 / point.value))
