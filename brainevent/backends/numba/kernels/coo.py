"""numba kernels of a list of coordinates (COO)."""

import numpy as np

from ..bridge.inner import njit
from .operands import ID_OUT_OF_RANGE, OK, active, example, value, weight


@njit
def add_pairs(x, w, source, target, out):
    """`out[target[k]] += w[k] * x[source[k]]` over columns; a silent source costs its look-up only."""
    out[:] = 0
    for k in range(source.shape[0]):
        i, j = source[k], target[k]
        if i < 0 or i >= x.shape[0] or j < 0 or j >= out.shape[0]:
            return ID_OUT_OF_RANGE
        for c in range(x.shape[1]):
            if x[i, c] != 0:
                out[j, c] += value(x[i], c, out) * weight(w, k, out)
    return OK


@njit
def active_pairs(x, w, source, target, out):
    """`out[target[k]] += w[k] * x[source[k]]`, skipping silent sources one by one."""
    n, m = np.uint64(x.shape[0]), np.uint64(out.shape[0])
    for k in range(source.shape[0]):
        i, j = np.uint64(source[k]), np.uint64(target[k])
        if i >= n or j >= m:
            return ID_OUT_OF_RANGE
        if x[i] != 0:
            out[j] += value(x, i, out) * weight(w, k, out)
    return OK


@njit
def every_pair(x, w, source, target, out):
    """The same without a branch on the spikes; a run of one target is summed in a register."""
    n, m = np.uint64(x.shape[0]), np.uint64(out.shape[0])
    at, total = np.uint64(0), out.dtype.type(0)
    for k in range(source.shape[0]):
        i, j = np.uint64(source[k]), np.uint64(target[k])
        if i >= n or j >= m:
            return ID_OUT_OF_RANGE
        if j != at:
            out[at] += total
            at, total = j, out.dtype.type(0)
        total += x[i] * weight(w, k, out)
    if source.shape[0] > 0:
        out[at] += total
    return OK


def pairs(x, w, source, target, out):
    """The product of a list of coordinates, one operand."""
    out[:] = 0
    if 8 * active(x)[1] < x.shape[0]:  # beyond that mispredicted branches cost more than the additions they save
        return active_pairs(x, w, source, target, out)
    return every_pair(x.astype(out.dtype), w, source, target, out)


def pairs_by_source(x, w, source, target, out):
    """`pairs` for coordinates whose sources come in runs, which ascending rows make: one look at the operand a run."""
    out[:] = 0
    n, m = np.uint64(x.shape[0]), np.uint64(out.shape[0])
    k, end = np.uint64(0), np.uint64(source.shape[0])
    while k < end:
        first = source[k]
        i = np.uint64(first)
        if i >= n:
            return ID_OUT_OF_RANGE
        silent, v = x[i] == 0, value(x, i, out)
        while k < end and source[k] == first:
            if not silent:
                j = np.uint64(target[k])
                if j >= m:
                    return ID_OUT_OF_RANGE
                out[j] += v * weight(w, k, out)
            k += np.uint64(1)
    return OK


def pairs_batch(x, w, source, target, out):
    """`add_pairs` for each example, every one with weights of its own."""
    for b in range(x.shape[0]):
        status = add_pairs(x[b], example(w, b), source, target, out[b])
        if status != OK:
            return status
    return OK


def pairs_outer(ct, x, source, target, out):
    """`out[e, k] = sum(ct[e, target[k]] * x[e, source[k]])` over columns: `correlate`."""
    for e in range(out.shape[0]):
        for k in range(source.shape[0]):
            i, j = source[k], target[k]
            if i < 0 or i >= x.shape[1] or j < 0 or j >= ct.shape[1]:
                return ID_OUT_OF_RANGE
            total = out.dtype.type(0)
            for c in range(x.shape[2]):
                total += ct[e, j, c] * out.dtype.type(x[e, i, c])
            out[e, k] = total
    return OK
