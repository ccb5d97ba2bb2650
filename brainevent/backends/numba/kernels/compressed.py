"""numba kernels of row- and column-compressed formats: a product scatters from its major lines, or gathers into them.

Scatter walks the lines that are active and adds at their ids; gather walks every line and reads at its ids. Both check every id
they touch, so that a corrupt structure built under jit is an error and not a wild write.
"""

import numpy as np
from numba import prange, types

from ..bridge.inner import njit, overload
from .operands import BAD_POINTER, ID_OUT_OF_RANGE, OK, active, active_rows, example, fetch_head, flat, ids_of, span, value, weight

LONG_LINE = 400  # synapses: a block of a shorter line costs as much to find as to add
SOON = 3  # lines on, whose first synapses a network asks for: the spikes of a step are few, and their lines far from each other
FAR = 1 << 20  # bytes: beyond the second-level cache, where two cores have two caches


def ask_for_line(soon, a, lines, count, structure, w):
    """Ask for the first synapses of the line listed `soon` after the a-th, unless all between them are listed too; None: do not."""
    raise NotImplementedError


@overload(ask_for_line, inline="always")
def _ask_for_line(soon, a, lines, count, structure, w):
    if isinstance(soon, types.NoneType):
        return lambda soon, a, lines, count, structure, w: None

    def asks(soon, a, lines, count, structure, w):
        if a + soon < count and lines[a + soon] != lines[a] + soon:
            line = span(structure, lines[a + soon])
            fetch_head(ids_of(structure), line)
            fetch_head(w, line)

    return asks


@njit
def how_soon(structure, count):
    """Which line is worth asking for: `SOON` lines on, or none of `count` where all of them are in a near cache anyway."""
    return SOON if ids_of(structure).nbytes > FAR else count


@njit
def scatter_lines(lines, count, x, w, structure, scale, out, soon):
    """Add the synapses of the listed lines, times `scale`, into `out`, two a turn; `soon`: how far lines are asked for ahead, or None."""
    ids = ids_of(structure)
    w = flat(w)
    m = np.uint64(out.shape[0])
    for a in range(count):
        i = lines[a]
        start, stop = span(structure, i)
        if start < 0 or start > stop or stop > ids.shape[0]:
            return BAD_POINTER
        ask_for_line(soon, a, lines, count, structure, w)
        v = scale * value(x, i, out)
        pairs = (stop - start) // 2
        for pair in range(pairs):
            k = np.uint64(start + 2 * pair)  # unsigned: numba need not ask at every access whether an index counts from the end
            l = k + np.uint64(1)
            p, q = np.uint64(ids[k]), np.uint64(ids[l])
            if p >= m or q >= m:
                return ID_OUT_OF_RANGE
            out[p] += v * weight(w, k, out)
            out[q] += v * weight(w, l, out)
        if start + 2 * pairs < stop:
            k = np.uint64(stop - 1)
            p = np.uint64(ids[k])
            if p >= m:
                return ID_OUT_OF_RANGE
            out[p] += v * weight(w, k, out)
    return OK


def scatter(x, w, structure, out):
    """`out[ids[k]] += x[i] * w[k]` over the active lines i."""
    out[:] = 0
    lines, count = active(x)
    return scatter_lines(lines, count, x, w, structure, out.dtype.type(1), out, None)


@njit
def first_at_least(ids, start, stop, bound, share):
    """The first place in the ascending `ids[start:stop]` whose id is at least `bound`, searched from where even spacing puts it."""
    place = start + np.int64((stop - start) * share)
    while place > start and ids[np.uint64(place - 1)] >= bound:
        place -= 1
    while place < stop and ids[np.uint64(place)] < bound:
        place += 1
    return np.uint64(place)


@njit
def scatter_block(lines, count, x, w, structure, scale, low, high, out):
    """`scatter_lines` onto the targets from `low` to `high` only, for ids that ascend within a line."""
    ids = ids_of(structure)
    w = flat(w)
    m = out.shape[0]
    for a in range(count):
        i = lines[a]
        start, stop = span(structure, i)
        if start < 0 or start > stop or stop > ids.shape[0]:
            return BAD_POINTER
        if stop > start and (ids[start] < 0 or ids[stop - 1] >= m):
            return ID_OUT_OF_RANGE
        v = scale * value(x, i, out)
        first = first_at_least(ids, start, stop, low, low / m)
        last = first_at_least(ids, start, stop, high, high / m) if high < m else np.uint64(stop)
        for k in range(first, last):
            j = np.uint64(ids[k])
            if j >= np.uint64(m):
                return ID_OUT_OF_RANGE
            out[j] += v * weight(w, k, out)
    return OK


@njit(parallel=True)
def scatter_blocks(lines, count, x, w, structure, scale, blocks, out):
    """`scatter_lines`, one thread a block of targets: every target is summed by one thread in the one order."""
    status = np.zeros(blocks, np.int64)
    for b in prange(blocks):
        low, high = out.shape[0] * b // blocks, out.shape[0] * (b + 1) // blocks
        status[b] = scatter_block(lines, count, x, w, structure, scale, low, high, out)
    return status.max()


@njit
def work_of(lines, count, structure):
    """The number of synapses on the listed lines."""
    work = 0
    for a in range(count):
        start, stop = span(structure, lines[a])
        work += stop - start
    return work


@njit
def worth_splitting(work, count, least, out):
    """Whether threads gain: enough work, and lines long enough (or targets far enough in the caches) to repay the search in each."""
    return work >= least and (work >= LONG_LINE * count or out.nbytes > FAR)


def scatter_threaded(x, w, structure, blocks, least, out):
    """`scatter` for ascending ids: split by blocks of targets where the active lines hold at least `least[0]` synapses."""
    lines, count = active(x)
    out[:] = 0
    if worth_splitting(work_of(lines, count, structure), count, least[0], out):
        return scatter_blocks(lines, count, x, w, structure, out.dtype.type(1), blocks[0], out)
    return scatter_lines(lines, count, x, w, structure, out.dtype.type(1), out, None)


@njit
def gather_lines(x, w, structure, first, last, scale, out):
    """Add the sums of lines `first` to `last`, times `scale`: two sums side by side, as an addition waits for the one before."""
    ids = ids_of(structure)
    w = flat(w)
    n = np.uint64(x.shape[0])
    for i in range(first, last):
        start, stop = span(structure, i)
        if start < 0 or start > stop or stop > ids.shape[0]:
            return BAD_POINTER
        even, odd = out.dtype.type(0), out.dtype.type(0)
        pairs = (stop - start) // 2
        for pair in range(pairs):
            k = np.uint64(start + 2 * pair)  # unsigned: numba need not ask at every access whether an index counts from the end
            l = k + np.uint64(1)
            p, q = np.uint64(ids[k]), np.uint64(ids[l])
            if p >= n or q >= n:
                return ID_OUT_OF_RANGE
            even += out.dtype.type(x[p]) * weight(w, k, out)
            odd += out.dtype.type(x[q]) * weight(w, l, out)
        if start + 2 * pairs < stop:
            k = np.uint64(stop - 1)
            p = np.uint64(ids[k])
            if p >= n:
                return ID_OUT_OF_RANGE
            even += out.dtype.type(x[p]) * weight(w, k, out)
        out[i] += scale * (even + odd)
    return OK


def widened(x, out):
    """Events as floats where they are few enough to stay near: a float is ready to be multiplied. Floats stay what they are."""
    raise NotImplementedError


@overload(widened)
def _widened(x, out):
    if x.dtype == types.uint8:
        return lambda x, out: x.astype(out.dtype)
    return lambda x, out: x


NEAR_EVENTS = 1 << 16  # as floats they fill half of a second-level cache


def gather(x, w, structure, out):
    """`out[i] = sum(w[k] * x[ids[k]])` over the synapses k of line i."""
    out[:] = 0
    if x.shape[0] <= NEAR_EVENTS:
        return gather_lines(widened(x, out), w, structure, 0, out.shape[0], out.dtype.type(1), out)
    return gather_lines(x, w, structure, 0, out.shape[0], out.dtype.type(1), out)


@njit(parallel=True)
def gather_blocks(x, w, structure, blocks, out):
    status = np.zeros(blocks, np.int64)
    for block in prange(blocks):
        first, last = out.shape[0] * block // blocks, out.shape[0] * (block + 1) // blocks
        status[block] = gather_lines(x, w, structure, first, last, out.dtype.type(1), out)
    return status.max()


def gather_threaded(x, w, structure, blocks, out):
    """`gather`, the lines shared out among threads."""
    out[:] = 0
    if x.shape[0] <= NEAR_EVENTS:
        return gather_blocks(widened(x, out), w, structure, blocks[0], out)
    return gather_blocks(x, w, structure, blocks[0], out)


@njit
def scatter_columns(x, w, structure, out):
    """`scatter` of a 2-D operand: a line visits only its own active columns, unless most of them are."""
    ids = ids_of(structure)
    w = flat(w)
    columns = x.shape[1]
    out[:] = 0
    lines, count = active_rows(x)
    for a in range(count):
        i = lines[a]
        start, stop = span(structure, i)
        if start < 0 or start > stop or stop > ids.shape[0]:
            return BAD_POINTER
        places, n_places = active(x[i])
        for k in range(start, stop):
            j = np.uint64(ids[k])
            if j >= np.uint64(out.shape[0]):
                return ID_OUT_OF_RANGE
            wk = weight(w, k, out)
            if 2 * n_places > columns:
                for c in range(columns):
                    out[j, c] += out.dtype.type(x[i, c]) * wk
            else:
                for p in range(n_places):
                    c = places[p]
                    out[j, c] += value(x[i], c, out) * wk
    return OK


@njit
def gather_columns(x, w, structure, out):
    """`gather` of a 2-D operand."""
    ids = ids_of(structure)
    w = flat(w)
    out[:] = 0
    for i in range(out.shape[0]):
        start, stop = span(structure, i)
        if start < 0 or start > stop or stop > ids.shape[0]:
            return BAD_POINTER
        for k in range(start, stop):
            j = np.uint64(ids[k])
            if j >= np.uint64(x.shape[0]):
                return ID_OUT_OF_RANGE
            wk = weight(w, k, out)
            for c in range(x.shape[1]):
                out[i, c] += out.dtype.type(x[j, c]) * wk
    return OK


def scatter_batch(x, w, structure, out):
    """`scatter_columns` for each example, every one with weights of its own."""
    for b in range(x.shape[0]):
        status = scatter_columns(x[b], example(w, b), structure, out[b])
        if status != OK:
            return status
    return OK


def gather_batch(x, w, structure, out):
    """`gather_columns` for each example, every one with weights of its own."""
    for b in range(x.shape[0]):
        status = gather_columns(x[b], example(w, b), structure, out[b])
        if status != OK:
            return status
    return OK


def outer(a, b, structure, out):
    """`out[e, k] = sum(a[e, i] * b[e, ids[k]])` over columns, for each example e and synapse k of line i: `correlate`."""
    ids = ids_of(structure)
    zero = out.dtype.type(0)
    for e in range(out.shape[0]):
        for i in range(a.shape[1]):
            start, stop = span(structure, i)
            if start < 0 or start > stop or stop > ids.shape[0]:
                return BAD_POINTER
            for k in range(start, stop):
                j = np.uint64(ids[k])
                if j >= np.uint64(b.shape[1]):
                    return ID_OUT_OF_RANGE
                total = zero
                for c in range(a.shape[2]):
                    total += out.dtype.type(a[e, i, c]) * out.dtype.type(b[e, j, c])
                out[e, k] = total
    return OK
