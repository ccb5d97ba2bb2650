"""numba kernels of plasticity: the lines of the neurons that spiked, in place. Every id that is touched is checked."""

import math

import numpy as np
from numba import types

from ..bridge.inner import overload
from ..bridge.intrinsics import fetch
from .delays import AHEAD, set_bits, with_delay
from .made import function_of, named
from .operands import BAD_POINTER, ID_OUT_OF_RANGE, OK, active, ids_of, span, weight


def place(places, k):
    """Where the weight of synapse k stands: in its order for None."""
    raise NotImplementedError


@overload(place, inline="always")
def _place(places, k):
    if isinstance(places, types.NoneType):
        return lambda places, k: k
    return lambda places, k: np.uint64(places[k])


def ask(values, places, k):
    """Ask for the cache line of the value of synapse k, where values are not walked in order."""
    raise NotImplementedError


@overload(ask, inline="always")
def _ask(values, places, k):
    if isinstance(places, types.NoneType):
        return lambda values, places, k: None
    return lambda values, places, k: fetch(values, np.int64(places[k]))  # pyright: ignore[reportCallIssue]


def strengthen_lines(w, spikes, trace, structure, places, after):
    """`after[place of k] += trace[ids[k]]` over the synapses k of the active lines; `after` shares the memory of `w`."""
    ids = ids_of(structure)
    n, m = np.uint64(trace.shape[0]), np.uint64(after.shape[0])
    lines, count = active(spikes)
    for a in range(count):
        start, stop = span(structure, lines[a])
        if start < 0 or start > stop or stop > ids.shape[0]:
            return BAD_POINTER
        for k in range(np.uint64(start), np.uint64(stop)):
            p, q = np.uint64(ids[k]), place(places, k)
            if p >= n or q >= m:
                return ID_OUT_OF_RANGE
            after[q] += trace[p]
    return OK


def strengthen_rows(w, spikes, trace, after):
    """`after[i] += trace` over the active rows i; `after` shares the memory of `w`."""
    rows, count = active(spikes)
    for a in range(count):
        row = after[rows[a]]
        for j in range(row.shape[0]):
            row[j] += trace[j]
    return OK


def strengthen_columns(w, spikes, trace, after):
    """`after[:, j] += trace` over the active columns j; `after` shares the memory of `w`."""
    columns, count = active(spikes)
    for i in range(after.shape[0]):
        row, added = after[i], trace[i]
        for a in range(count):
            row[np.uint64(columns[a])] += added
    return OK


def clear(values, w):
    """Set values to zero where no weights are given."""
    raise NotImplementedError


@overload(clear)
def _clear(values, w):
    if not isinstance(w, types.NoneType):
        return lambda values, w: None

    def clears(values, w):
        values[:] = 0

    return clears


def release(used, left, last, sent, spikes, place, w, structure, U, fades, recovers, used_, left_, last_, sent_):
    """`sent = w u x` of the lines that spiked; what ends in `_` shares the memory of what is called so without."""
    clear(sent_, w)
    one, m = sent_.dtype.type(1), sent_.shape[0]
    lines, count = active(spikes)
    for a in range(count):
        i = lines[a]
        steps = sent_.dtype.type(np.uint32(place[0] - last_[i]))
        last_[i] = place[0]
        start, stop = span(structure, i)
        if start < 0 or start > stop or stop > m:
            return BAD_POINTER
        for k in range(np.uint64(start), np.uint64(stop)):
            of = k if U.shape[0] > 1 else np.uint64(0)
            u = U[of] + used_[k] * (one - U[of]) * math.exp(-steps * fades[k if fades.shape[0] > 1 else np.uint64(0)])
            x = one - (one - left_[k]) * math.exp(-steps * recovers[k if recovers.shape[0] > 1 else np.uint64(0)])
            used_[k], left_[k] = u, x * (one - u)
            sent_[k] = weight(w, k, sent_) * u * x
    return OK


def remember(ring, trace, place, after):
    """The trace in the slot of this step; `after` shares the memory of `ring`."""
    after[place[0] & (after.shape[0] - 1)] = trace
    return OK


def sent(past, k, j, n):
    """Where the trace of neuron j of n stands, as it was when what acts on synapse k now was sent; j itself for None."""
    raise NotImplementedError


@overload(sent, inline="always")
def _sent(past, k, j, n):
    if isinstance(past, types.NoneType):
        return lambda past, k, j, n: j

    def in_ring(past, k, j, n):
        steps, place, slots = past
        return ((np.int64(place[0]) - np.int64(steps[k])) & (slots[0] - 1)) * n + np.int64(j)

    return in_ring


def learner(text):
    """The kernel of a rule, given as text, for neurons whose spikes act on all of their synapses at once."""
    rule = function_of(text, "rule")  # `rule(values, q, own, i, other, j, shared)`, which writes the values at q

    def learn(values, spikes, own, other, shared, n, structure, places, past, readers, *after):
        """The values at `place of k` by the rule, over the synapses k of the active lines; `after` shares the memory of `values`."""
        ids, m = ids_of(structure), np.uint64(after[0].shape[0])
        lines, count = active(spikes)
        for a in range(count):
            i = np.uint64(lines[a])
            start, stop = span(structure, i)
            if start < 0 or start > stop or stop > ids.shape[0]:
                return BAD_POINTER
            for k in range(np.uint64(start), np.uint64(stop)):
                if k + AHEAD < np.uint64(stop):
                    ask(after[0], places, k + AHEAD)
                j, q = np.uint64(ids[k]), place(places, k)
                if j >= np.uint64(n[0]) or q >= m:
                    return ID_OUT_OF_RANGE
                rule(after, q, own, i, other, sent(past, k, j, n[0]), shared)
        return OK

    return named(learn, text)


def learner_of_arrivals(text):
    """The kernel of a rule, given as text, for spikes that arrive over synapses with delays of their own."""
    rule = function_of(text, "rule")  # `rule(values, q, own, i, other, j, shared)`, which writes the values at q

    def learn(values, own, other, shared, sizes, slots, structure, when, readers, *after):
        """The values at k by the rule, over the synapses k over which a spike arrives; `after` shares the memory of `values`."""
        bits, first, place, steps, tally = when
        ids, lines = ids_of(structure), np.empty(sizes[0], np.int64)
        for d in range(tally.shape[0] - 1):
            if tally[d] == tally[d + 1]:
                continue
            sent_at = np.int64(place[0]) - d
            row, count = ((sent_at - 1) & (slots[0] - 1)) * sizes[0], set_bits(bits[sent_at & (bits.shape[0] - 1)], first[0], lines)
            for a in range(count):
                k, stop = with_delay(structure, lines[a], steps, tally, d)
                if k < 0:
                    return BAD_POINTER
                while k < stop and steps[k] == d:
                    j = np.uint64(ids[k])
                    if j >= np.uint64(sizes[1]):
                        return ID_OUT_OF_RANGE
                    rule(after, k, own, row + lines[a], other, j, shared)
                    k += 1
        return OK

    return named(learn, text)
