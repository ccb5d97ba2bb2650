"""numba kernels of plasticity: the lines of the neurons that spiked, in place. Every id that is touched is checked."""

import numpy as np
from numba import types
from numba.extending import overload

from .operands import BAD_POINTER, ID_OUT_OF_RANGE, OK, active, ids_of, span


def place(places, k):
    """Where the weight of synapse k stands: in its order for None."""
    raise NotImplementedError


@overload(place, inline="always")
def _place(places, k):
    if isinstance(places, types.NoneType):
        return lambda places, k: k
    return lambda places, k: np.uint64(places[k])


def strengthen_lines(w, spikes, trace, structure, places, after):
    """`after[place of k] += trace[ids[k]]` over the synapses k of the active lines; `after` shares the memory of `w`."""
    ids = ids_of(structure)
    n, m = np.uint64(trace.shape[0]), np.uint64(after.shape[0])
    lines, count = active(spikes)
    for a in range(count):
        start, stop = span(structure, lines[a])
        if start < 0 or start > stop or stop > ids.shape[0]:
            return BAD_POINTER
        for k in range(np.uint64(start), np.uint64(stop)):
            p, q = np.uint64(ids[k]), place(places, k)
            if p >= n or q >= m:
                return ID_OUT_OF_RANGE
            after[q] += trace[p]
    return OK


def strengthen_rows(w, spikes, trace, after):
    """`after[i] += trace` over the active rows i; `after` shares the memory of `w`."""
    rows, count = active(spikes)
    for a in range(count):
        row = after[rows[a]]
        for j in range(row.shape[0]):
            row[j] += trace[j]
    return OK


def strengthen_columns(w, spikes, trace, after):
    """`after[:, j] += trace` over the active columns j; `after` shares the memory of `w`."""
    columns, count = active(spikes)
    for i in range(after.shape[0]):
        row, added = after[i], trace[i]
        for a in range(count):
            row[np.uint64(columns[a])] += added
    return OK
