"""What the kernels that put a network together do, in numpy."""

import numpy as np

from ...core.table import kernel


@kernel("ascend_in_lines", object, backend="xla")
def ascend_in_lines(starts, ids):
    lines = np.repeat(np.arange(starts.size - 1), np.diff(starts))
    ids[:] = ids[np.lexsort((ids, lines))]


@kernel("sort_lines", object, backend="xla")
def sort_lines(starts, keys, ids, weights, places, ties):
    lines = np.repeat(np.arange(starts.size - 1), np.diff(starts))
    if ties:
        keys[:] = keys[np.lexsort((keys, ids, lines))]
    order = np.lexsort((keys, lines))
    for values in (keys, ids, weights, places):
        values[:] = values[order] if values.size else values
