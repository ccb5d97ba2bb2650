"""The triton backend of the stored formats: which kernel serves which product, and how many programs run it."""

import functools
import math

import jax
import jax.numpy as jnp

from ...core.path_choice import TAKEN
from ...core.table import is_scalar
from ...formats.compressed import Compressed
from ...formats.coo import COO
from .bridge import blocks, call, kernel, power_of_two
from .kernels import compressed as lines
from .kernels import coo
from .passes import scattered

RUN = 128  # synapses at a time
COLUMNS = 16  # at a time, at most
MOST_PARTS = 16  # that a line is shared out in


def _operand(x, dtype, batched):
    """Batches, entries and columns: (b, n, k); events stay bool, floats take the dtype of the weights."""
    x = x if x.dtype == bool else x.astype(dtype)
    x = x if batched else x[None]
    return x if x.ndim == 3 else x[..., None]


def _tile(columns: int) -> dict:
    """How many synapses and columns a program takes at a time."""
    c = power_of_two(columns, COLUMNS)
    return {"T": max(16, RUN // c), "C": c}


def _weights(A, x):
    """`(weights, one for all)`: something stands in for weights that there are not."""
    homo = A.data is None or (is_scalar(A.data) and A.nse != 1)
    return (x if homo else A.data), homo


def _structure(A):
    """`(pointer, ids, synapses of a line)`: for lines of one length the ids stand in for the pointer."""
    if A.indices.ndim == 2:
        ids = A.indices.reshape(-1)
        return ids, ids, A.indices.shape[1]
    return A.indptr, A.indices, 0


def _result(x, m, batched):
    """The shape of the product of an operand."""
    return (*x.shape[: int(batched)], m, *x.shape[1 + int(batched) :])


@kernel("propagate", Compressed, event_driven=True)
def propagate_lines(A, x, *, dtype, transpose, event, batched):
    """Scatter from the active lines if the operand stands on lines, else let every line gather."""
    v = _operand(x, dtype, batched)
    (b, n, k), m, nse = v.shape, A.shape[int(transpose)], A.nse
    weights, homo = _weights(A, v)
    starts, ids, width = _structure(A)
    tile = _tile(k)
    same = {"EVENT": event, "HOMO": homo, "FIXED": A.indices.ndim == 2} | tile
    groups = b * blocks(k, tile["C"])
    if int(transpose) == A.major:
        if not b * m * k or not nse:
            return jnp.zeros(_result(x, m, batched), dtype)
        outs = [jax.ShapeDtypeStruct((b, m, k), dtype)]
        (out,) = call(lines.gather, outs, v, weights, starts, ids, m, n, nse, width, k, programs=m * groups, **same)
    else:
        run = functools.partial(_scatter, (v, weights, starts, ids), (n, m, nse, width, k), groups, None, same)
        out = scattered(run, (b, m, k), dtype, nse if n else 0, counts=event and homo)
    return A.or_nan(out.reshape(_result(x, m, batched)))


def _scatter(arrays, sizes, groups, later, constants, out, tops, **passed):
    """A pass of a scatter, as `passes.scattered` takes one; `later` has the delays, the step, slots, their size, and the offset in one."""
    n, _, nse, *_ = sizes
    block, ids = 32 if n <= 1 << 14 else 128, arrays[3]
    share = min(MOST_PARTS, max(1, blocks(nse // max(n, 1), constants["T"])))
    operands = *arrays, ids if tops is None else tops, *sizes, share, *(later or (ids, ids, 1, 0, 0))
    options = constants | passed | {"LATER": later is not None, "B": block}
    return call(lines.scatter, [out], *operands, programs=blocks(n, block) * share * groups, zeroed=(0,), **options)[0]


@kernel("enqueue", Compressed)
def enqueue_lines(ring, counts, A, delays, spikes, place, *, window):
    """From the lines that spiked, each synapse into the slot of its delay."""
    x = spikes[window[0] : window[1]]
    event, v = x.dtype == bool, _operand(x, ring.dtype, False)
    weights, homo = _weights(A, v)
    starts, ids, width = _structure(A)
    constants = {"EVENT": event, "HOMO": homo, "FIXED": A.indices.ndim == 2} | _tile(1)
    later = delays.steps, place.reshape(1), *ring.shape, window[2]
    run = functools.partial(_scatter, (v, weights, starts, ids), (v.shape[1], A.shape[1], A.nse, width, 1), 1, later, constants)
    sums = scattered(run, ring.shape, ring.dtype, A.nse, counts=event and homo)
    sums = sums * A.data.reshape(()) if homo else sums
    return A.or_nan(ring + sums), counts.at[TAKEN.index("event")].add(1)


@kernel("correlate", Compressed)
def correlate_lines(A, ct, x, *, wshape, transpose, event, batched):
    """The product of what stands at the two ends of every synapse, line by line."""
    left, right = (_operand(v, ct.dtype, batched) for v in ((ct, x) if int(transpose) == A.major else (x, ct)))
    (b, n_lines, k), n = left.shape, right.shape[1]
    starts, ids, width = _structure(A)
    shape = (*ct.shape[: int(batched)], *wshape)
    if not math.prod(shape) or not k:
        return jnp.zeros(shape, ct.dtype)
    outs, tile = [jax.ShapeDtypeStruct(shape, ct.dtype)], _tile(k)
    operands = left, right, starts, ids, n_lines, n, A.nse, width, k
    return A.or_nan(call(lines.outer, outs, *operands, programs=n_lines * b, FIXED=A.indices.ndim == 2, **tile)[0])


@kernel("propagate", COO)
def propagate_pairs(A, x, *, dtype, transpose, event, batched):
    """Every coordinate, wherever its source is active."""
    v = _operand(x, dtype, batched)
    (b, n, k), m, nse = v.shape, A.shape[int(transpose)], A.nse
    source, target = (A.row, A.col) if transpose else (A.col, A.row)
    weights, homo = _weights(A, v)
    tile = _tile(k)

    def run(out, tops, **passed):
        operands = v, weights, source, target, target if tops is None else tops, n, m, nse, k
        programs = blocks(nse, tile["T"]) * b * blocks(k, tile["C"])
        return call(coo.pairs, [out], *operands, programs=programs, zeroed=(0,), EVENT=event, HOMO=homo, **tile, **passed)[0]

    out = scattered(run, (b, m, k), dtype, nse, counts=event and homo)
    return A.or_nan(out.reshape(_result(x, m, batched)))


@kernel("correlate", COO)
def correlate_pairs(A, ct, x, *, wshape, transpose, event, batched):
    """The product of what stands at the two ends of every coordinate."""
    source, target = (A.row, A.col) if transpose else (A.col, A.row)
    left, right = (_operand(v, ct.dtype, batched) for v in (ct, x))
    (b, m, k), n, tile = left.shape, right.shape[1], _tile(left.shape[2])
    shape = (*ct.shape[: int(batched)], *wshape)
    if not math.prod(shape) or not k:
        return jnp.zeros(shape, ct.dtype)
    outs = [jax.ShapeDtypeStruct(shape, ct.dtype)]
    operands = left, right, source, target, n, m, A.nse, k
    return A.or_nan(call(coo.ends, outs, *operands, programs=blocks(A.nse, tile["T"]) * b, **tile)[0])
