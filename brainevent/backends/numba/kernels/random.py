"""Random numbers of a running network in machine code: the bits that jax draws, many at a time so that they vectorise."""

from typing import Any

import numpy as np

from ..bridge.inner import njit
from ..bridge.intrinsics import rotate_left
from .operands import OK

MOST = 512  # words drawn at a time
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


def draw_counts(key, table, guide, rows, counts):
    """How many entries of its row of a table each random word has reached; `guide`, if there is one, says how many the first word of each
    256th part has.
    """
    words = np.empty(MOST, np.uint32)
    for start in range(0, counts.shape[0], MOST):
        n = min(MOST, counts.shape[0] - start)
        threefry(key[0], key[1], np.uint32(start), words[:n])
        for i in range(n):
            word, row = min(words[i], LAST), 0 if rows is None else np.int64(rows[start + i])
            if guide is None:
                counts[start + i] = np.searchsorted(table[row], word, side="right")
                continue
            k = np.int64(guide[row, word >> np.uint32(24)])
            while k < table.shape[1] and table[row, k] <= word:
                k += 1
            counts[start + i] = k
    return OK
