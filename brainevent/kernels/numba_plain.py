"""numba kernels of the formats without lines: a list of coordinates (COO) and the full matrix (Dense)."""

import numpy as np
from numba import njit

from .numba_pieces import ID_OUT_OF_RANGE, OK, active, active_rows, example, value, weight


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


def pairs(x, w, source, target, out):
    """The product of a list of coordinates, one operand: a branch a synapse where few sources are active, else none."""
    out[:] = 0
    few = 8 * active(x)[1] < x.shape[0]  # beyond that a mispredicted branch costs more than the addition it saves
    for k in range(source.shape[0]):
        i, j = np.uint64(source[k]), np.uint64(target[k])
        if i >= np.uint64(x.shape[0]) or j >= np.uint64(out.shape[0]):
            return ID_OUT_OF_RANGE
        if few and x[i] == 0:
            continue
        out[j] += out.dtype.type(x[i]) * weight(w, k, out)
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


@njit
def add_rows(x, w, out):
    """`out = x @ w` by adding up the active rows."""
    out[:] = 0
    rows, count = active(x)
    for a in range(count):
        i = rows[a]
        v = value(x, i, out)
        for j in range(out.shape[0]):
            out[j] += v * w[i, j]


def dense_rows(x, w, out):
    """The product from the side of the rows: only active rows are read."""
    add_rows(x, w, out)
    return OK


@njit
def sum_active(x, w, out):
    """`out = w @ x`, reading the active columns only."""
    columns, count = active(x)
    for i in range(out.shape[0]):
        total = out.dtype.type(0)
        for a in range(count):
            j = columns[a]
            total += value(x, j, out) * w[i, j]
        out[i] = total


def dense_columns(x, w, out):
    """The product from the side of the columns."""
    sum_active(x, w, out)
    return OK


def dense_rows_batch(x, w, out):
    """`x[b].T @ w[b]` for each example, operands (b, n, k): rows without an active column are skipped."""
    for b in range(x.shape[0]):
        out[b] = 0
        rows, count = active_rows(x[b])
        matrix = w[b if w.shape[0] > 1 else 0]
        for a in range(count):
            i = rows[a]
            for c in range(x.shape[2]):
                if x[b, i, c] != 0:
                    v = value(x[b, i], c, out)
                    for j in range(out.shape[2]):
                        out[b, c, j] += v * matrix[i, j]
    return OK


def dense_outer(left, right, out):
    """`out[e, i, j] = sum(left[e, i] * right[e, j])` over columns: `correlate`; a zero on the left costs nothing."""
    for e in range(out.shape[0]):
        out[e] = 0
        for i in range(out.shape[1]):
            for c in range(left.shape[2]):
                if left[e, i, c] != 0:
                    v = value(left[e, i], c, out)
                    for j in range(out.shape[2]):
                        out[e, i, j] += v * out.dtype.type(right[e, j, c])
    return OK
