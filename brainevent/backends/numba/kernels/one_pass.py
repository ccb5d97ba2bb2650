"""Kernels that do for a range of neurons, one after another, what a program does for all: one pass over their states."""

from numba import prange

from ..bridge.inner import njit
from . import exponential
from .made import function_of, named
from .operands import OK

LINE = 64  # neurons: parts of two threads share no line of the cache


def _part_of(text):
    return function_of(text, "part", **{name: getattr(exponential, name) for name in exponential.__all__})


def whole(text):
    """The kernel of a text, on one thread."""
    part = _part_of(text)

    def one_pass(states, read, floats, counts, *after):
        """`after` shares the memory of `states`, and goes on with what is new."""
        part(0, after[0].shape[0], after, read, floats, counts)
        return OK

    return named(one_pass, text)


def in_parts(text):
    """The same, with as many threads as `blocks` says."""
    part = _part_of(text)

    def one_pass(states, read, floats, counts, blocks, *after):
        n = after[0].shape[0]
        each = (n // blocks[0] + LINE) // LINE * LINE
        for b in prange(blocks[0]):
            part(min(n, b * each), min(n, (b + 1) * each), after, read, floats, counts)
        return OK

    return njit(named(one_pass, text), parallel=True, error_model="numpy")
