"""Putting the synapses of a line in the order in which a running network walks them: on the host, in place."""

import numpy as np
from numba import prange

from ..bridge.inner import njit
from .operands import OK

SPARSE = 8  # numbers of a range for each synapse, from which on a line is sorted by comparing and not by counting


FEW = 48  # ids of a line, up to which insertion is the fastest sort
DIGIT = 8  # bits


@njit
def insert(line):
    """Insertion sort."""
    for k in range(1, line.shape[0]):
        i, id = k, line[k]
        while i > 0 and line[i - 1] > id:
            line[i] = line[i - 1]
            i -= 1
        line[i] = id


@njit
def sort_by_digits(line, other, ends):
    """Radix sort, lowest digit first; `other` has the size of the line, `ends` a place for each value of a digit."""
    most, low, shift, mask = np.int64(line.max()), line, np.int64(0), np.int64((1 << DIGIT) - 1)
    while most >> shift:
        ends[:] = 0
        for k in range(line.shape[0]):
            ends[(np.int64(low[k]) >> shift) & mask] += 1
        total = np.int64(0)
        for d in range(ends.shape[0]):
            total, ends[d] = total + ends[d], total
        for k in range(line.shape[0]):
            d = (np.int64(low[k]) >> shift) & mask
            other[ends[d]] = low[k]
            ends[d] += 1
        low, other, shift = other, low, shift + DIGIT
    if (shift // DIGIT) & 1:
        other[:] = low


@njit(parallel=True)
def ascend_in_lines(starts, bounds, ids):
    """Sort the ids of every line; lines `bounds[b]` to `bounds[b + 1]` are for one thread."""
    for b in prange(bounds.shape[0] - 1):
        ends, room = np.empty(1 << DIGIT, np.int64), np.empty(0, ids.dtype)
        for i in range(bounds[b], bounds[b + 1]):
            line = ids[starts[i] : starts[i + 1]]
            if line.shape[0] <= FEW:
                insert(line)
                continue
            if room.shape[0] < line.shape[0]:
                room = np.empty(2 * line.shape[0], ids.dtype)
            sort_by_digits(line, room[: line.shape[0]], ends)
    return OK


@njit
def ascend_among_equals(keys, ids):
    """Sort the keys of every run of equal ids."""
    for k in range(1, keys.shape[0]):
        i, key = k, keys[k]
        while i > 0 and ids[i - 1] == ids[k] and keys[i - 1] > key:
            keys[i] = keys[i - 1]
            i -= 1
        keys[i] = key


@njit
def order_of(keys):
    """The stable order of a line by its keys."""
    n, low, high = keys.shape[0], np.int64(keys.min()), np.int64(keys.max())
    if high - low > SPARSE * n:
        return np.argsort(keys, kind="mergesort")
    order, ends = np.empty(n, np.int64), np.zeros(high - low + 2, np.int64)
    for k in range(n):
        ends[np.int64(keys[k]) - low + 1] += 1
    for d in range(1, high - low + 2):
        ends[d] += ends[d - 1]
    for k in range(n):
        d = np.int64(keys[k]) - low
        order[ends[d]] = k
        ends[d] += 1
    return order


@njit
def put_in_order(line, order):
    """The values of a line in another order."""
    before = line.copy()
    for k in range(line.shape[0]):
        line[k] = before[order[k]]


@njit(parallel=True)
def sort_lines(starts, ties, bounds, keys, ids, weights, places):
    """Sort every line by its keys, and with them its ids, weights and places (either may be empty); `ties[0]`: keys ascend among equal ids.

    Lines `bounds[b]` to `bounds[b + 1]` are for one thread.
    """
    for b in prange(bounds.shape[0] - 1):
        for i in range(bounds[b], bounds[b + 1]):
            start, stop = starts[i], starts[i + 1]
            if stop - start < 2:
                continue
            if ties[0]:
                ascend_among_equals(keys[start:stop], ids[start:stop])
            order = order_of(keys[start:stop])
            put_in_order(keys[start:stop], order)
            put_in_order(ids[start:stop], order)
            if weights.shape[0]:
                put_in_order(weights[start:stop], order)
            if places.shape[0]:
                put_in_order(places[start:stop], order)
    return OK
