"""The law of just-in-time connectivity in machine code: the same bits as `core/law.py`, drawn a batch at a time so that it vectorises.

`walk` visits the synapses of lines chunk by chunk and hands each batch of positions to `visit`, which is chosen by the type of the
state that it is called with: a kernel is a named tuple and a function of a few lines. (A function passed as an argument would do the
same, but numba keeps no machine code on disk that holds one.)
"""

from collections import namedtuple
from typing import Any

import numpy as np
from numba import types

from ....core import law
from ..bridge.inner import njit, overload

WORD, LOW = np.uint64(32), np.uint64(0xFFFFFFFF)
M0, M1 = (np.uint64(m) for m in law.MULTIPLIERS)
W0, W1 = (np.uint64(w) for w in law.WEYL)
ROUNDS, VERSION = law.ROUNDS, np.uint64(law.VERSION)
STRUCTURE, WEIGHTS = np.uint64(law.STRUCTURE), np.uint64(law.WEIGHTS)
MIDDLE = np.int32(1 << (law.NODE_BITS - 1))
UNIFORM_UNIT, NORMAL_UNIT = (2.0 ** -law.EXPONENTS[kind] for kind in ("uniform", "normal"))

MOST, MORE = 1024, 32  # words drawn at a time, at most, and once a chunk is longer than was likely
NOWHERE = np.int32(-(2**31))  # the diagonal that is skipped if there is none


@njit(inline="always")
def philox(a, b, c, d, seed):
    """The four words of a counter, all uint64 below 2^32: one multiplication instruction a product, four or eight counters a vector."""
    k0, k1 = seed, VERSION
    for _ in range(ROUNDS):
        p, q = (a & LOW) * M0, (c & LOW) * M1
        a, b, c, d = (q >> WORD) ^ b ^ k0, q & LOW, (p >> WORD) ^ d ^ k1, p & LOW
        k0, k1 = (k0 + W0) & LOW, (k1 + W1) & LOW
    return a, b, c, d


@njit(inline="always")
def outcome(word, table, shift, bits, rest, alias):
    """The outcome of an alias table for a word; `shift, bits, rest, alias` are `fields(table)`."""
    cell = word >> shift
    entry = table[np.int64(cell)]
    return cell if (word & rest) < (entry >> bits) else entry & alias


@njit
def fields(table):
    """What takes a word and an entry of the table apart: the shift to the cell, the bits of an alias, the masks of rest and alias."""
    bits = np.uint32(0)
    while (1 << bits) < table.shape[0]:
        bits += np.uint32(1)
    return np.uint32(32 - bits), bits, np.uint32((np.int64(1) << (32 - bits)) - 1), np.uint32(table.shape[0] - 1)


@njit
def fill(words, size, seed, line, chunk, block):
    """The next `size` words of a chunk, from a block on."""
    for t in range(size >> 2):
        a, b, c, d = philox(block + np.uint64(t), chunk, line, STRUCTURE, seed)
        words[4 * t] = a
        words[4 * t + 1] = b
        words[4 * t + 2] = c
        words[4 * t + 3] = d


@njit
def positions(words, size, table, last, stop, ids):
    """Walk on from `last` by as many steps; `(count, last)`: the positions of the synapses below `stop` are `ids[:count]`."""
    beyond, count = np.int64(table.shape[0] - 1), np.int64(0)
    shift, bits, rest, alias = fields(table)
    for t in range(size):
        step = outcome(words[t], table, shift, bits, rest, alias)
        last += np.int64(step) if step != 0 else beyond
        ids[np.uint64(count)] = last
        count += step != 0
    while count > 0 and ids[count - 1] >= stop:
        count -= 1
    return count, last


@njit
def without(ids, count, hole):
    """Take one id out of an ascending list, if it is there; returns the count that is left."""
    kept = 0
    for t in range(count):
        ids[kept] = ids[t]
        kept += ids[t] != hole
    return kept


def draw_numbers(ids, count, seed, line, basis, numbers) -> Any:
    """The n of the synapses at `ids[:count]`, into `numbers`: normal for a basis of nodes, uniform for one of bytes, none for None."""
    raise NotImplementedError


@overload(draw_numbers)
def _draw_numbers(ids, count, seed, line, basis, numbers):
    if isinstance(basis, types.NoneType):
        return lambda ids, count, seed, line, basis, numbers: None

    def uniform(ids, count, seed, line, basis, numbers):
        here, out = ids[:count], numbers[:count]
        for t in range(count):
            first, _, _, _ = philox(np.uint64(here[t]) & LOW, np.uint64(0), line, WEIGHTS, seed)
            out[t] = first >> np.uint64(8)

    def normal(ids, count, seed, line, basis, numbers):
        here, out = ids[:count], numbers[:count]
        words = np.empty(count, np.uint32)
        for t in range(count):
            first, second, _, _ = philox(np.uint64(here[t]) & LOW, np.uint64(0), line, WEIGHTS, seed)
            words[t] = first
            out[t] = np.int64((second & np.uint64(0xFFFF)) + (second >> np.uint64(16))) - 65535
        shift, bits, rest, alias = fields(basis)
        for t in range(count):
            out[t] += (np.int32(outcome(words[t], basis, shift, bits, rest, alias)) - MIDDLE) * 65536

    return normal if basis.dtype == types.uint32 else uniform


def unit_of(basis, w) -> Any:
    """2^-e in the dtype of the parameters."""
    raise NotImplementedError


@overload(unit_of, inline="always")
def _unit_of(basis, w):
    unit = NORMAL_UNIT if basis.dtype == types.uint32 else UNIFORM_UNIT
    dtype = w.dtype
    return lambda basis, w: dtype(unit)


def sign_of(fold, number) -> Any:
    """Whether the weight of the folded matrix is negative; never if there is none."""
    raise NotImplementedError


@overload(sign_of, inline="always")
def _sign_of(fold, number):
    if isinstance(fold, types.NoneType):
        return lambda fold, number: False
    return lambda fold, number: fold[0] + fold[1] * number < 0


def scratch(w) -> Any:
    """Room for the weights of a batch; None where there is one weight for all."""
    raise NotImplementedError


@overload(scratch)
def _scratch(w):
    if isinstance(w, types.NoneType):
        return lambda w: None
    return lambda w: np.empty(MOST, w.dtype)


def weigh(w, fold, basis, numbers, count, out) -> Any:
    """The weights `w[0] + w[1] * n / 2^e` of a batch, into `out`, product and sum rounded each; nothing if there is one for all."""
    raise NotImplementedError


@overload(weigh)
def _weigh(w, fold, basis, numbers, count, out):
    if isinstance(w, types.NoneType):
        return lambda w, fold, basis, numbers, count, out: None

    def weights(w, fold, basis, numbers, count, out):
        a, b, unit = w[0], w[1], unit_of(basis, w)
        n, f = numbers[:count], out[:count]
        for t in range(count):
            number = w.dtype.type(n[t]) * unit
            weight = a + b * number
            f[t] = -weight if sign_of(fold, number) else weight

    return weights


def line_at(lines, a) -> Any:
    """`lines[a]`, or a itself where all lines are walked."""
    raise NotImplementedError


@overload(line_at, inline="always")
def _line_at(lines, a):
    if isinstance(lines, types.NoneType):
        return lambda lines, a: a
    return lambda lines, a: np.int64(lines[a])


Law = namedtuple("Law", "seeds table basis sizes")
"""What is drawn: the seed, the gap table, the basis of the weights, and `sizes`: the positions of a line and of a chunk, the words that
a chunk and the last chunk are likely to need, and the diagonal without synapses."""


def visit(state, line, chunk, ids, numbers, count) -> Any:
    """Do with a batch of synapses what the state stands for; every kind of state has an overload."""
    raise NotImplementedError


def visits(kind):
    """Make the decorated function the `visit` for states of one named tuple."""

    def register(function):
        @overload(visit)
        def _visit(state, line, chunk, ids, numbers, count):
            if getattr(state, "instance_class", None) is kind:
                return function
            return None

        return function

    return register


@njit
def chunks_of(law):
    """The chunks of a line."""
    return (np.int64(law.sizes[0]) + law.sizes[1] - 1) // law.sizes[1]


@njit
def walk(law, lines, first_line, last_line, first_chunk, last_chunk, state):
    """`visit` every batch of synapses of some chunks of the lines from `first_line` to `last_line` of `lines` (None: of all lines)."""
    seed, n, span = np.uint64(law.seeds[0]), np.int64(law.sizes[0]), np.int64(law.sizes[1])
    words, ids, numbers = np.empty(MOST, np.uint32), np.empty(MOST + 1, np.int32), np.empty(MOST, np.int32)
    for a in range(first_line, last_line):
        line = line_at(lines, a)
        hole = line + law.sizes[4] if law.sizes[4] != NOWHERE else -1
        for chunk in range(first_chunk, last_chunk):
            last, stop = chunk * span - 1, min(chunk * span + span, n)
            block, size = np.uint64(0), np.int64(law.sizes[2] if stop < n else law.sizes[3])
            while last < stop - 1:
                before = last
                fill(words, size, seed, np.uint64(line), np.uint64(chunk), block)
                count, last = positions(words, size, law.table, last, stop, ids)
                if before < hole <= last:
                    count = without(ids, count, hole)
                block += np.uint64(size >> 2)
                size = MORE
                if count > 0:
                    draw_numbers(ids, count, seed, np.uint64(line), law.basis, numbers)
                    visit(state, line, chunk, ids, numbers, count)
