"""The pieces that numba kernels are made of: active rows, spans of synapses, weights, specialised by type when compiled."""

from typing import Any

import numpy as np
from numba import types

from ..bridge.inner import njit, overload
from ..bridge.intrinsics import count_trailing_zeros, fetch, from_half, load_word

OK, ID_OUT_OF_RANGE, BAD_POINTER = 0, 1, 2
HEAD, CACHE_LINE = 128, 64  # values of a line that are asked for before it comes; bytes


def weight(w, k, out) -> Any:
    """`w[k]`, or one (in the dtype of `out`) for a matrix without weights; weights of 16 bits come as these."""
    raise NotImplementedError


@overload(weight, inline="always")
def _weight(w, k, out):
    if isinstance(w, types.NoneType):
        one = out.dtype
        return lambda w, k, out: one(1)
    if w.dtype == types.uint16:
        return lambda w, k, out: from_half(w[k])  # pyright: ignore[reportCallIssue]
    return lambda w, k, out: w[k]


def flat(w) -> Any:
    """Weights as a flat array; None stays None."""
    raise NotImplementedError


@overload(flat, inline="always")
def _flat(w):
    if isinstance(w, types.NoneType):
        return lambda w: None
    return lambda w: w.reshape(w.size)


def example(w, b) -> Any:
    """The weights of example `b` of a batch; None stays None."""
    raise NotImplementedError


@overload(example, inline="always")
def _example(w, b):
    if isinstance(w, types.NoneType):
        return lambda w, b: None
    return lambda w, b: w[b]


def value(x, i, out) -> Any:
    """What an active entry counts: one for events (uint8), its value for floats."""
    raise NotImplementedError


@overload(value, inline="always")
def _value(x, i, out):
    if x.dtype == types.uint8:
        one = out.dtype
        return lambda x, i, out: one(1)
    return lambda x, i, out: x[i]


def fade(target, factor):
    """Multiply the target by a factor, one for all or one a neuron; None does nothing."""
    raise NotImplementedError


@overload(fade)
def _fade(target, factor):
    if isinstance(factor, types.NoneType):
        return lambda target, factor: None

    def fades(target, factor):
        if factor.shape[0] == 1:
            f = factor[0]
            for i in range(target.shape[0]):
                target[i] *= f
        else:
            for i in range(target.shape[0]):
                target[i] *= factor[i]

    return fades


def fetch_head(values, line):
    """Ask for the first `HEAD` values of a line from `line[0]` to `line[1]`; None does nothing."""
    raise NotImplementedError


@overload(fetch_head)
def _fetch_head(values, line):
    if isinstance(values, types.NoneType):
        return lambda values, line: None

    def asks(values, line):
        for k in range(line[0], min(line[1], line[0] + HEAD), CACHE_LINE // values.itemsize):
            fetch(values, k)  # pyright: ignore[reportCallIssue]

    return asks


@njit
def ids_of(structure):
    """The minor ids, flat, of `(indptr, indices)` or `(k, indices)`."""
    return structure[1]


def span(structure, i) -> Any:
    """`(start, stop)` of the synapses of line i: from the pointer, or from k, the length of every line."""
    raise NotImplementedError


@overload(span, inline="always")
def _span(structure, i):
    if structure[0].dtype == types.uint32:  # k; a pointer is signed
        return lambda structure, i: (np.int64(i) * np.int64(structure[0][0]), np.int64(i + 1) * np.int64(structure[0][0]))
    return lambda structure, i: (np.int64(structure[0][i]), np.int64(structure[0][i + 1]))


@njit
def write_active(spikes, ids, n, first):
    """Write the ids of the events to `ids` from place n on, eight bools at a time, of which mostly none is set; return where they end.

    The id of the first entry is `first`.
    """
    for i in range(spikes.shape[0] // 8):
        word = load_word(spikes, i)  # pyright: ignore[reportCallIssue]
        while word != 0:
            byte = count_trailing_zeros(word) >> 3  # pyright: ignore[reportCallIssue]
            ids[n] = first + 8 * i + byte
            n += np.uint64(1)
            word &= ~(np.uint64(255) << np.uint64(8 * byte))
    for i in range(spikes.shape[0] // 8 * 8, spikes.shape[0]):
        if spikes[i]:
            ids[n] = first + i
            n += np.uint64(1)
    return n


def listing(log, after) -> Any:
    """`(spikes, ids, count)`, where they are listed: the last of `after`, or the last before a log."""
    raise NotImplementedError


@overload(listing, inline="always")
def _listing(log, after):
    return (lambda log, after: after[-3:]) if isinstance(log, types.NoneType) else lambda log, after: after[-4:-1]


def append(log, after) -> Any:
    """Append the spikes of a step, ids and how many, to the log that stands after them in `after`; a log of None is none."""
    raise NotImplementedError


@overload(append)  # inlined, numba 0.68 loses what follows the early return
def _append(log, after):
    if isinstance(log, types.NoneType):
        return lambda log, after: OK

    def appends(log, after):
        ids, count, new = after[-3:]  # as `core.spikes.new_log` lays it out
        steps, m = new[0], np.uint64(count[0])
        n, start = np.uint64(new[2 + steps]), np.uint64(3 + new[1])
        if start + n + m > np.uint64(new.shape[0]):
            return ID_OUT_OF_RANGE
        for k in range(m):
            new[start + n + k] = ids[k]
        new[0], new[3 + steps] = steps + 1, n + m
        return OK

    return appends


def active(x) -> Any:
    """`(ids, count)`: the ids of the nonzero entries are `ids[:count]`; events are read eight at a time."""
    raise NotImplementedError


@overload(active)
def _active(x):
    def of_events(x):
        ids = np.empty(x.shape[0], np.int32)
        return ids, np.int64(write_active(x, ids, np.uint64(0), 0))

    def of_values(x):
        ids = np.empty(x.shape[0], np.int32)
        count = 0
        for i in range(x.shape[0]):
            ids[count] = i
            count += x[i] != 0
        return ids, count

    return of_events if x.dtype == types.uint8 else of_values


@njit
def first_of(values, start, stop, least):
    """The first place in the ascending `values[start:stop]` of one that is at least `least`."""
    while start < stop:
        middle = (start + stop) // 2
        if values[middle] < least:
            start = middle + 1
        else:
            stop = middle
    return start


def active_in(x, window) -> Any:
    """`(entries, ids, count)` of the entries `window[0]` to `window[1]` of `x`: the ids of the nonzero ones, from `window[0]`, are
    `ids[:count]`. `x` may be events whose ids were listed before: `(events, ids, how many)`.
    """
    raise NotImplementedError


@overload(active_in)
def _active_in(x, window):
    def of_entries(x, window):
        some = x[window[0] : window[1]]
        ids, count = active(some)
        return some, ids, count

    def of_list(x, window):
        events, ids, n = x
        some, ids = events[window[0] : window[1]], ids[: n[0]]
        if some.shape[0] < events.shape[0]:
            first, stop = first_of(ids, 0, ids.shape[0], window[0]), first_of(ids, 0, ids.shape[0], window[1])
            ids = ids[first:stop] - np.int32(window[0])
        return some, ids, ids.shape[0]

    return of_list if isinstance(x, types.BaseTuple) else of_entries


@njit
def active_rows(x):
    """`(ids, count)` of the rows of a 2-D `x` that hold a nonzero."""
    ids = np.empty(x.shape[0], np.int32)
    count = 0
    for i in range(x.shape[0]):
        some = False
        for c in range(x.shape[1]):
            some |= x[i, c] != 0
        ids[count] = i
        count += some
    return ids, count
