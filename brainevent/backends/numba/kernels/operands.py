"""The pieces that numba kernels are made of: active rows, spans of synapses, weights, specialised by type when compiled."""

from typing import Any

import numpy as np
from numba import types

from ..bridge.inner import njit, overload
from ..bridge.intrinsics import count_trailing_zeros, fetch, load_word

OK, ID_OUT_OF_RANGE, BAD_POINTER = 0, 1, 2
HEAD, CACHE_LINE = 128, 64  # values of a line that are asked for before it comes; bytes


def weight(w, k, out) -> Any:
    """`w[k]`, or one (in the dtype of `out`) for a matrix without weights."""
    raise NotImplementedError


@overload(weight, inline="always")
def _weight(w, k, out):
    if isinstance(w, types.NoneType):
        one = out.dtype
        return lambda w, k, out: one(1)
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


def active(x) -> Any:
    """`(ids, count)`: the ids of the nonzero entries are `ids[:count]`; events are read eight at a time."""
    raise NotImplementedError


@overload(active)
def _active(x):
    def of_events(x):
        ids = np.empty(x.shape[0], np.int32)
        count = 0
        for i in range(x.shape[0] // 8):
            word = load_word(x, i)  # pyright: ignore[reportCallIssue]
            while word != 0:
                byte = count_trailing_zeros(word) >> 3
                ids[count] = 8 * i + byte
                count += 1
                word &= ~(np.uint64(255) << np.uint64(8 * byte))
        for i in range(x.shape[0] // 8 * 8, x.shape[0]):
            if x[i] != 0:
                ids[count] = i
                count += 1
        return ids, count

    def of_values(x):
        ids = np.empty(x.shape[0], np.int32)
        count = 0
        for i in range(x.shape[0]):
            ids[count] = i
            count += x[i] != 0
        return ids, count

    return of_events if x.dtype == types.uint8 else of_values


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
