"""Drawing many numbers: block by block, each block from a generator of its own, so that threads may share them out; and the cut normal."""

import math
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from scipy import special

BLOCK = 1 << 18  # numbers of a block; part of what a seed means, so never tune it to a machine
LEAST_KEPT = 0.25  # of the normal values, for which drawing again costs less than inverting the cdf


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_threads(work: Callable, items: Iterable) -> Iterator[Any]:
    """`map(work, items)`, on as many threads as there are cores: numpy draws, sorts and computes without Python's lock."""
    with ThreadPoolExecutor(cores()) as pool:
        yield from pool.map(work, items)


def in_blocks(rng: np.random.Generator, size: int, draw: Callable[[np.random.Generator, int], np.ndarray], dtype, out=None) -> np.ndarray:
    """`draw(rng, size)` in a dtype; what is more than a block in blocks: the same numbers whatever the number of threads. `out` takes them.

    >>> in_blocks(np.random.default_rng(0), 2, lambda rng, n: rng.random(n), np.float64)
    array([0.63696169, 0.26978671])
    """
    made, starts = np.empty(size, dtype) if out is None else out, range(0, size, BLOCK)
    if size <= BLOCK:
        made[:] = draw(rng, size)
        return made

    def fill(start, generator):
        part = made[start : start + BLOCK]
        part[:] = draw(generator, part.size)

    for _ in in_threads(lambda job: fill(*job), zip(starts, rng.spawn(len(starts)))):
        pass
    return made


def truncated_normal(rng, size: int, low: float, high: float):
    """Standard normal values within [low, high]."""
    if special.ndtr(high) - special.ndtr(low) < LEAST_KEPT:
        return _inverted(rng, size, low, high)
    values = rng.standard_normal(size)
    while (beyond := np.flatnonzero((values < low) | (values > high))).size:
        values[beyond] = rng.standard_normal(beyond.size)
    return values


def _inverted(rng, size: int, low: float, high: float):
    """The same by the cdf, inverted in logarithms so that tails keep their precision."""
    if low > 0:  # the mirror image: small probabilities are exact, those near 1 are not
        return -_inverted(rng, size, -high, -low)
    log_low, log_high = special.log_ndtr(low), special.log_ndtr(high)
    ratio = math.exp(log_low - log_high)
    fraction = 1.0 - rng.random(size)  # in (0, 1]
    return special.ndtri_exp(log_high + np.log(ratio + fraction * (1.0 - ratio)))
