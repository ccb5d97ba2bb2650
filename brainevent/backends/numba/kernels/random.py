"""Random numbers of a running network in machine code: the bits that jax draws, many at a time so that they vectorise."""

from typing import Any

import numpy as np

from ..bridge.inner import njit
from ..bridge.intrinsics import rotate_left
from .operands import OK

MOST = 512  # words drawn at a time
SHORT = 32  # entries of a table, up to which comparing with all of them is quicker than looking
PARITY = np.uint32(0x1BD11BDA)
LAST = np.uint32(2**32 - 2)


@njit(inline="always")
def four_rounds(x, y, a, b, c, d) -> Any:
    """Of Threefry2x32: add, rotate, mix."""
    for r in (a, b, c, d):
        x = np.uint32(x + y)
        y = np.uint32(rotate_left(y, r)) ^ x  # pyright: ignore[reportCallIssue]
    return x, y


@njit
def threefry(k0, k1, first, words):
    """The words of a key from one on: word i is one half of Threefry2x32, twenty rounds, of the counter i, xor the other half.

    Salmon, Moraes, Dror & Shaw, SC 2011; `jax.random.bits` draws so where `jax_threefry_partitionable` is set.
    """
    k2 = np.uint32(k0 ^ k1 ^ PARITY)
    for i in range(words.shape[0]):
        x, y = k0, np.uint32(np.uint32(first + i) + k1)
        x, y = four_rounds(x, y, 13, 15, 26, 6)
        x, y = np.uint32(x + k1), np.uint32(y + k2 + np.uint32(1))
        x, y = four_rounds(x, y, 17, 29, 16, 24)
        x, y = np.uint32(x + k2), np.uint32(y + k0 + np.uint32(2))
        x, y = four_rounds(x, y, 13, 15, 26, 6)
        x, y = np.uint32(x + k0), np.uint32(y + k1 + np.uint32(3))
        x, y = four_rounds(x, y, 17, 29, 16, 24)
        x, y = np.uint32(x + k1), np.uint32(y + k2 + np.uint32(4))
        x, y = four_rounds(x, y, 13, 15, 26, 6)
        words[i] = np.uint32(x + k2) ^ np.uint32(y + k0 + np.uint32(5))


@njit
def count_by_comparing(line, words, found):
    """How many entries of a short table each word has reached, eight entries at a time, so that it vectorises."""
    for i in range(words.shape[0]):
        words[i] = min(words[i], LAST)
        found[i] = 0
    for k in range(0, line.shape[0], 8):
        a, b, c, d = entry(line, k), entry(line, k + 1), entry(line, k + 2), entry(line, k + 3)
        e, f, g, h = entry(line, k + 4), entry(line, k + 5), entry(line, k + 6), entry(line, k + 7)
        for i in range(words.shape[0]):
            w = words[i]
            low = np.int32(a <= w) + np.int32(b <= w) + np.int32(c <= w) + np.int32(d <= w)
            found[i] += low + np.int32(e <= w) + np.int32(f <= w) + np.int32(g <= w) + np.int32(h <= w)


@njit
def entry(line, k):
    """Of a table, with entries behind its end that no word reaches."""
    return line[k] if k < line.shape[0] else np.uint32(LAST + np.uint32(1))


@njit
def count_by_looking(table, guide, rows, start, words, found):
    """The same for any tables; `guide`, if there is one, says how many entries the first word of each 256th part has reached."""
    for i in range(words.shape[0]):
        word, row = min(words[i], LAST), 0 if rows is None else np.int64(rows[start + i])
        if guide is None:
            found[i] = np.searchsorted(table[row], word, side="right")
            continue
        k = np.int64(guide[row, word >> np.uint32(24)])
        while k < table.shape[1] and table[row, k] <= word:
            k += 1
        found[i] = k


@njit
def counts_from(start, key, table, guide, rows, words, found):
    """Into `found`, the counts from number `start` on."""
    threefry(key[0], key[1], np.uint32(start), words)
    if rows is None and table.shape[1] <= SHORT:
        count_by_comparing(table[0], words, found)
    else:
        count_by_looking(table, guide, rows, start, words, found)


def draw_counts(key, table, guide, rows, counts):
    """How many entries of its row of a table each random word has reached."""
    words, found = np.empty(MOST, np.uint32), np.empty(MOST, np.int32)
    for start in range(0, counts.shape[0], MOST):
        n = min(MOST, counts.shape[0] - start)
        counts_from(start, key, table, guide, rows, words[:n], found[:n])
        for i in range(n):
            counts[start + i] = found[i]
    return OK


def add_counts(target, own, key, table, guide, rows, weight, window, after, own_after):
    """Add a weight times such counts to the targets from `window[0]` to `window[1]`; `after` shares the memory of `target`."""
    words, found, w = np.empty(MOST, np.uint32), np.empty(MOST, np.int32), weight[0]
    out = after[window[0] : window[1]]
    for start in range(0, out.shape[0], MOST):
        n = min(MOST, out.shape[0] - start)
        counts_from(start, key, table, guide, rows, words[:n], found[:n])
        for i in range(n):
            out[start + i] += w * out.dtype.type(found[i])
    return OK


def numbers_to_draw(target, own, key, table, guide, rows, weight, window, after, own_after):
    """How many numbers an `add_counts` draws."""
    return window[1] - window[0]
