"""Kernels that do for a range of neurons, one after another, what a program does for all: one pass over their states."""

import numpy as np
from numba import prange

from ..bridge.inner import njit
from . import exponential
from .made import function_of, named
from .operands import append, listing, write_active

LINE = 64  # neurons: parts of two threads share no line of the cache


def _part_of(text):
    return function_of(text, "part", **{name: getattr(exponential, name) for name in exponential.__all__})


def whole(text):
    """The kernel of a text, on one thread."""
    part = _part_of(text)

    def one_pass(states, log, read, floats, counts, *after):
        """`after`: results, of which some share the memory of `states`, the last being the spikes; and what a list of these makes."""
        part(0, after[0].shape[0], after, read, floats, counts)
        spikes, ids, count = listing(log, after)
        count[0] = write_active(spikes, ids, np.uint64(0), 0)
        return append(log, after)

    return named(one_pass, text)


def in_parts(text):
    """The same, with as many threads as `blocks` says."""
    part = _part_of(text)

    def one_pass(states, log, read, floats, counts, blocks, *after):
        n = after[0].shape[0]
        each, ends = (n // blocks[0] + LINE) // LINE * LINE, np.empty(blocks[0], np.int64)
        spikes, ids, count = listing(log, after)
        for b in prange(blocks[0]):
            start, stop = min(n, b * each), min(n, (b + 1) * each)
            part(start, stop, after, read, floats, counts)
            ends[b] = write_active(spikes[start:stop], ids, np.uint64(start), start)
        m = ends[0]
        for b in range(1, blocks[0]):
            for k in range(min(n, b * each), ends[b]):
                ids[m] = ids[k]
                m += 1
        count[0] = m
        return append(log, after)

    return njit(named(one_pass, text), parallel=True, error_model="numpy")
