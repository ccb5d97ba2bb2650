"""Poisson inputs: the same random bits as on every backend, compared with the table of a distribution."""

import triton
import triton.language as tl

from ....core import launch

OF_DRIVE = tl.constexpr(launch.OF_DRIVE)
PARITY, LAST = tl.constexpr(0x1BD11BDA), tl.constexpr(2**32 - 2)
ENTRIES = tl.constexpr(8)  # of a table, that a random word is compared with at a time


@triton.jit
def rotated(x, y, R: tl.constexpr):
    """One round of Threefry2x32: add, rotate, mix."""
    x = x + y
    return x, ((y << R) | (y >> (32 - R))) ^ x


@triton.jit
def random_word(k0, k1, counter):
    """A random word of each counter (uint32), as `backends/numba/kernels/random.py` has it: one half of Threefry2x32 xor the other."""
    k2 = k0 ^ k1 ^ tl.full([], PARITY, tl.uint32)
    x = tl.zeros(counter.shape, tl.uint32) + k0
    y = counter + k1
    for turn in tl.static_range(5):
        if turn % 2 == 0:
            x, y = rotated(x, y, 13)
            x, y = rotated(x, y, 15)
            x, y = rotated(x, y, 26)
            x, y = rotated(x, y, 6)
        else:
            x, y = rotated(x, y, 17)
            x, y = rotated(x, y, 29)
            x, y = rotated(x, y, 16)
            x, y = rotated(x, y, 24)
        if turn % 3 == 0:
            x, y = x + k1, y + k2
        elif turn % 3 == 1:
            x, y = x + k2, y + k0
        else:
            x, y = x + k0, y + k1
        y = y + tl.full([], turn + 1, tl.uint32)
    return x ^ y


@triton.jit
def counts_of(k0, k1, counter, table, entries, B: tl.constexpr):
    """How many entries of a table, one for all or one each, the random word of each counter has reached."""
    word = random_word(k0, k1, counter.to(tl.uint32))
    word = tl.minimum(word, tl.full(word.shape, LAST, tl.uint32))
    count = tl.zeros([B], tl.int32)
    for start in range(0, entries, ENTRIES):
        for k in tl.static_range(ENTRIES):
            reached = (tl.load(table + tl.minimum(start + k, entries - 1)) <= word) & (start + k < entries)
            count += reached.to(tl.int32)
    return count


@triton.jit
def inputs_of(drives_of, poisson, DRIVES: tl.constexpr):
    """The rows of the Poisson inputs onto a block: number, channel, first and last neuron, entries, table, rows of neurons, weight."""
    drives, weights, _, _, _ = poisson
    found = ()
    for d in tl.static_range(DRIVES):
        which = tl.load(drives_of + d)
        own = drives + tl.maximum(which, 0) * OF_DRIVE
        row = (which, tl.load(own), tl.load(own + 1), tl.load(own + 2), tl.load(own + 3), tl.load(own + 4), tl.load(own + 5))
        found = found + (row + (tl.load(weights + tl.maximum(which, 0)),),)
    return found


@triton.jit
def keys_of(inputs, step, poisson, DRIVES: tl.constexpr, ALL: tl.constexpr):
    """Their random keys in a step."""
    _, _, _, _, keys = poisson
    found = ()
    for d in tl.static_range(DRIVES):
        key = keys + (step * ALL + tl.maximum(inputs[d][0], 0)) * 2
        found = found + ((tl.load(key), tl.load(key + 1)),)
    return found


@triton.jit
def driven(i, inputs, keys, poisson, DRIVES: tl.constexpr, CHANNELS: tl.constexpr, B: tl.constexpr):
    """What the Poisson trains of a step add to each channel of the neurons of a block."""
    _, _, tables, rows, _ = poisson
    totals = ()
    for c in tl.static_range(CHANNELS):
        total = tl.zeros([B], tl.float32)
        for d in tl.static_range(DRIVES):
            which, channel, first, stop, entries, table, by_row, weight = inputs[d]
            if (which >= 0) & (channel == c):
                inside = (i >= first) & (i < stop)
                at = tl.where(inside, i - first, 0)
                if by_row >= 0:
                    mine = tables + table + tl.load(rows + by_row + at) * entries
                    count = counts_of(keys[d][0], keys[d][1], at, mine, entries, B)
                else:
                    count = counts_of(keys[d][0], keys[d][1], at, tables + table, entries, B)
                total += tl.where(inside, weight * count.to(tl.float32), 0.0)
        totals = totals + (total,)
    return totals
