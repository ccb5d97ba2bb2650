"""What is done with the synapses of a walk: products, pull-backs and lists of just-in-time matrices in machine code."""

from collections import namedtuple
from typing import Any

import numpy as np
from numba import prange, types

from ..bridge.inner import njit, overload
from .law import LOW, MOST, WEIGHTS, Law, chunks_of, fields, outcome, philox, scratch, sign_of, unit_of, visits, walk, weigh
from .operands import OK, active, active_rows, value, weight

PARTS = 32  # that the lines of a pull-back are summed in, at most


Scatter = namedtuple("Scatter", "basis x scale w fold weights out")
Later = namedtuple("Later", "basis x scale w fold weights words seed table place first ring")
Gather = namedtuple("Gather", "basis x scale w fold weights out")
Columns = namedtuple("Columns", "basis x w fold gathers out")
PullBack = namedtuple("PullBack", "left right fold unit sums")
List = namedtuple("List", "filled counts positions numbers")


@visits(Scatter)
def visit_scatter(state, line, chunk, ids, numbers, count):
    """Add what a line sends to its positions."""
    x, w, out = state.x, state.weights, state.out
    weigh(state.w, state.fold, state.basis, numbers, count, w)
    v = state.scale * value(x, line, out)
    for t in range(count):
        out[np.uint64(ids[t])] += v * weight(w, t, out)


@visits(Gather)
def visit_gather(state, line, chunk, ids, numbers, count):
    """Sum what a line reads at its positions."""
    x, w, out = state.x, state.weights, state.out
    weigh(state.w, state.fold, state.basis, numbers, count, w)
    total = out.dtype.type(0)
    for t in range(count):
        total += out.dtype.type(x[np.uint64(ids[t])]) * weight(w, t, out)
    out[line] += state.scale * total


@visits(Later)
def visit_later(state, line, chunk, ids, numbers, count):
    """Add what a line sends to its positions into a ring of what is due later, each synapse by the delay that is drawn for it."""
    x, w, ring, table = state.x, state.weights, state.ring, state.table
    weigh(state.w, state.fold, state.basis, numbers, count, w)
    here, words = ids[:count], state.words[:count]
    for t in range(count):  # alone, so that it vectorises
        _, _, word, _ = philox(np.uint64(here[t]) & LOW, np.uint64(0), np.uint64(line), WEIGHTS, state.seed)
        words[t] = word
    shift, bits, rest, alias = fields(table)
    v, mask = state.scale * value(x, line, ring), ring.shape[0] - 1
    for t in range(count):
        steps = np.int64(outcome(words[t], table, shift, bits, rest, alias))
        ring[(state.place + steps) & mask, np.uint64(state.first) + np.uint64(here[t])] += v * weight(w, t, ring)


@njit
def later_lines(lines, count, first_chunk, last_chunk, x, scale, w, fold, table, place, first, ring, law):
    """Add what the listed lines send to the positions of some chunks into a ring; the positions stand from `first` on in a slot."""
    seed = np.uint64(law.seeds[0])
    state = Later(law.basis, x, scale, w, fold, scratch(w), np.empty(MOST, np.uint32), seed, table, place, first, ring)
    walk(law, lines, 0, count, first_chunk, last_chunk, state)


@njit(parallel=True)
def later_blocks(lines, count, x, scale, w, fold, table, place, first, blocks, ring, seeds, gaps, basis, sizes):
    """The same for all chunks, one thread a block of them: every position is summed by one thread in the one order."""
    chunks = chunks_of(Law(seeds, gaps, basis, sizes))
    for b in prange(blocks):
        law, low, high = Law(seeds, gaps, basis, sizes), chunks * b // blocks, chunks * (b + 1) // blocks
        later_lines(lines, count, low, high, x, scale, w, fold, table, place, first, ring, law)


@njit
def scatter_lines(lines, count, first_chunk, last_chunk, x, scale, w, fold, out, law):
    """Add what the listed lines send to the positions of some chunks."""
    walk(law, lines, 0, count, first_chunk, last_chunk, Scatter(law.basis, x, scale, w, fold, scratch(w), out))


@njit(parallel=True)
def scatter_blocks(lines, count, x, scale, w, fold, blocks, out, seeds, table, basis, sizes):
    """The same for all chunks, one thread a block of them: every position is summed by one thread in the one order."""
    chunks = chunks_of(Law(seeds, table, basis, sizes))
    for b in prange(blocks):
        law = Law(seeds, table, basis, sizes)
        scatter_lines(lines, count, chunks * b // blocks, chunks * (b + 1) // blocks, x, scale, w, fold, out, law)


@njit
def gather_lines(first, last, x, scale, w, fold, out, law):
    """Let every line from `first` to `last` sum what it reads."""
    walk(law, None, first, last, 0, chunks_of(law), Gather(law.basis, x, scale, w, fold, scratch(w), out))


@njit(parallel=True)
def gather_blocks(x, scale, w, fold, blocks, out, seeds, table, basis, sizes):
    """The same for all lines, one thread a block of them."""
    for b in prange(blocks):
        law = Law(seeds, table, basis, sizes)
        gather_lines(out.shape[0] * b // blocks, out.shape[0] * (b + 1) // blocks, x, scale, w, fold, out, law)


def scatter(x, law, w, fold, out):
    """`out = x @ A` from the active lines."""
    out[:] = 0
    lines, count = active(x)
    law = Law(*law)
    scatter_lines(lines, count, 0, chunks_of(law), x, out.dtype.type(1), w, fold, out, law)
    return OK


def scatter_threaded(x, law, w, fold, blocks, least, out):
    """`scatter`, split by chunks where at least `least[0]` lines are active."""
    out[:] = 0
    lines, count = active(x)
    if count >= least[0]:
        scatter_blocks(lines, count, x, out.dtype.type(1), w, fold, blocks[0], out, *law)
    else:
        drawn = Law(*law)
        scatter_lines(lines, count, 0, chunks_of(drawn), x, out.dtype.type(1), w, fold, out, drawn)
    return OK


def gather(x, law, w, fold, out):
    """`out = A @ x`, line by line."""
    out[:] = 0
    gather_lines(0, out.shape[0], x, out.dtype.type(1), w, fold, out, Law(*law))
    return OK


def gather_threaded(x, law, w, fold, blocks, out):
    """`gather`, the lines shared out among threads."""
    out[:] = 0
    gather_blocks(x, out.dtype.type(1), w, fold, blocks[0], out, *law)
    return OK


def column_weight(w, c, number) -> Any:
    """The weight of a synapse for column c: `w[c, 0] + w[c, 1] * number`, or one."""
    raise NotImplementedError


@overload(column_weight, inline="always")
def _column_weight(w, c, number):
    if isinstance(w, types.NoneType):
        return lambda w, c, number: 1
    return lambda w, c, number: w[c, 0] + w[c, 1] * number


def number_at(numbers, t, basis, w) -> Any:
    """n / 2^e of a synapse in the dtype of the parameters; nothing of interest where there are none."""
    raise NotImplementedError


@overload(number_at, inline="always")
def _number_at(numbers, t, basis, w):
    if isinstance(w, types.NoneType):
        return lambda numbers, t, basis, w: 0
    return lambda numbers, t, basis, w: w.dtype.type(numbers[t]) * unit_of(basis, w)


@visits(Columns)
def visit_columns(state, line, chunk, ids, numbers, count):
    """Both directions for a 2-D operand, every column with parameters of its own."""
    x, w, out = state.x, state.w, state.out
    for t in range(count):
        number = number_at(numbers, t, state.basis, w)
        sign = -1 if sign_of(state.fold, number) else 1
        source, target = (np.int64(ids[t]), line) if state.gathers else (line, np.int64(ids[t]))
        for c in range(x.shape[1]):
            out[target, c] += x[source, c] * out.dtype.type(sign * column_weight(w, c, number))


@njit
def scatter_columns(lines, count, first_chunk, last_chunk, x, w, fold, out, law):
    """`scatter_lines` for a 2-D operand."""
    walk(law, lines, 0, count, first_chunk, last_chunk, Columns(law.basis, x, w, fold, False, out))


@njit
def gather_columns(first, last, x, w, fold, out, law):
    """`gather_lines` for a 2-D operand."""
    walk(law, None, first, last, 0, chunks_of(law), Columns(law.basis, x, w, fold, True, out))


@njit(parallel=True)
def column_blocks(lines, count, x, w, fold, gathers, blocks, out, seeds, table, basis, sizes):
    """The product of a 2-D operand, one thread a block of targets: chunks of the active lines, or lines that gather."""
    chunks, m = chunks_of(Law(seeds, table, basis, sizes)), out.shape[0]
    for b in prange(blocks):
        law = Law(seeds, table, basis, sizes)
        if gathers:
            gather_columns(m * b // blocks, m * (b + 1) // blocks, x, w, fold, out, law)
        else:
            scatter_columns(lines, count, chunks * b // blocks, chunks * (b + 1) // blocks, x, w, fold, out, law)


def columns(x, law, w, fold, gathers, out):
    """The product of a 2-D operand, in either direction; a line that sends nothing costs nothing."""
    out[:] = 0
    law = Law(*law)
    if gathers[0]:
        gather_columns(0, out.shape[0], x, w, fold, out, law)
    else:
        lines, count = active_rows(x)
        scatter_columns(lines, count, 0, chunks_of(law), x, w, fold, out, law)
    return OK


def columns_threaded(x, law, w, fold, gathers, blocks, least, out):
    """`columns`, split by targets where there is enough to do: all lines gather, or at least `least[0]` of them are active."""
    out[:] = 0
    lines, count = active_rows(x)
    count = out.shape[0] if gathers[0] else count
    column_blocks(lines, count, x, w, fold, gathers[0], blocks[0] if count >= least[0] else 1, out, *law)
    return OK


@visits(PullBack)
def visit_pull_back(state, line, chunk, ids, numbers, count):
    """Add up what stands at the two ends of each synapse, and that times n / 2^e."""
    left, right, sums = state.left, state.right, state.sums
    for t in range(count):
        number = state.unit[0] * numbers[t]
        sign = -1.0 if sign_of(state.fold, number) else 1.0
        for c in range(left.shape[1]):
            pair = sign * left[line, c] * right[np.uint64(ids[t]), c]
            sums[c, 0] += pair
            sums[c, 1] += pair * number


@njit
def pull_back_part(b, lines, count, left, right, fold, unit, sums, law):
    """One of the parts that the listed lines are summed in: the same ones however many threads there are, and so the same sums."""
    first, last = count * b // sums.shape[0], count * (b + 1) // sums.shape[0]
    walk(law, lines, first, last, 0, chunks_of(law), PullBack(left, right, fold, unit, sums[b]))


@njit
def pull_back_parts(lines, count, left, right, fold, unit, sums, law):
    """All parts, one after another."""
    for b in range(sums.shape[0]):
        pull_back_part(b, lines, count, left, right, fold, unit, sums, law)


@njit(parallel=True)
def pull_back_blocks(lines, count, left, right, fold, unit, sums, seeds, table, basis, sizes):
    """All parts, shared out among threads."""
    for b in prange(sums.shape[0]):
        pull_back_part(b, lines, count, left, right, fold, unit, sums, Law(seeds, table, basis, sizes))


def pull_back(left, right, law, fold, unit, out):
    """The pull-back to the two parameters, for each column; summed in float64, since there may be 1e9 synapses."""
    lines, count = active_rows(left)
    sums = np.zeros((min(PARTS, count), *out.shape))
    pull_back_parts(lines, count, left, right, fold, unit, sums, Law(*law))
    out[:] = sums.sum(0)
    return OK


def pull_back_threaded(left, right, law, fold, unit, least, out):
    """`pull_back`, the parts shared out among threads where at least `least[0]` lines are active."""
    lines, count = active_rows(left)
    sums = np.zeros((min(PARTS, count), *out.shape))
    if count >= least[0]:
        pull_back_blocks(lines, count, left, right, fold, unit, sums, *law)
    else:
        pull_back_parts(lines, count, left, right, fold, unit, sums, Law(*law))
    out[:] = sums.sum(0)
    return OK


@visits(List)
def visit_list(state, line, chunk, ids, numbers, count):
    """Count a batch, and write it down behind those before it, as far as there is room."""
    start = state.filled[0]
    room = min(count, state.positions.shape[0] - start)
    for t in range(room):
        state.positions[start + t] = ids[t]
    for t in range(room if state.numbers.shape[0] > 0 else 0):
        state.numbers[start + t] = numbers[t]
    state.filled[0] = min(start + count, state.positions.shape[0])
    state.counts[line, chunk] += count


def list_synapses(law, counts, at, n):
    """Synapses of every chunk of every line; position and n of each, in the order of the walk; zeros in what is left."""
    law, filled = Law(*law), np.zeros(1, np.int64)
    for line in range(counts.shape[0]):
        for chunk in range(counts.shape[1]):
            counts[line, chunk] = 0
    walk(law, None, 0, counts.shape[0], 0, counts.shape[1], List(filled, counts, at, n))
    at[filled[0] :], n[filled[0] :] = 0, 0
    return OK
