"""The pairs a rule may connect, numbered row by row without the autapses, and uniform subsets of integers."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

BLOCK = 1 << 15  # values drawn at a time: bounds the temporaries; part of what a seed means, so never tune it to a machine


def index_dtype(n_post: int):
    """int32 if every post id fits, else int64."""
    return np.int32 if n_post <= np.iinfo(np.int32).max else np.int64


@dataclass(frozen=True)
class Pairs:
    """Every (pre, post) pair, in row order, without the autapses if there is an `autapse_shift`.

    The autapses (i, i + autapse_shift) fill one run of rows, so a pair's number and its place convert in closed form.
    """

    n_pre: int
    n_post: int
    autapse_shift: int | None

    @property
    def self_rows(self) -> tuple[int, int]:
        """First and one-past-last of the rows that hold an autapse to leave out."""
        if self.autapse_shift is None:
            return 0, 0
        first = min(max(0, -self.autapse_shift), self.n_pre)
        return first, max(first, min(self.n_pre, self.n_post - self.autapse_shift))

    @property
    def count(self) -> int:
        """How many pairs there are."""
        first, last = self.self_rows
        count = self.n_pre * self.n_post - (last - first)
        if count > 1 << 62:
            raise ValueError(f"{self.n_pre} x {self.n_post} pairs, but expected at most 2**62; connect smaller populations.")
        return count

    def own(self, rows):
        """The post id of each of these pre neurons itself."""
        return rows + (self.autapse_shift or 0)

    def locate(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns (int64) of the pairs with these numbers."""
        first, last = self.self_rows
        if last > first:
            hole = first * self.n_post + self.own(first)  # the first autapse; each next is n_post pairs on
            numbers = numbers + np.clip((numbers - hole) // self.n_post + 1, 0, last - first)
        rows = numbers // self.n_post if numbers.size else numbers
        return rows, numbers - rows * self.n_post

    def segments(self) -> list[tuple[int, int, bool]]:
        """Runs of rows (start, stop, whether each leaves out an autapse) in order."""
        first, last = self.self_rows
        runs = [(0, first, False), (first, last, True), (last, self.n_pre, False)]
        return [run for run in runs if run[1] > run[0]]


def pointers(counts: np.ndarray) -> np.ndarray:
    """The int64 indptr of rows with these counts."""
    indptr = np.zeros(counts.size + 1, np.int64)
    np.cumsum(counts, out=indptr[1:])
    return indptr


def to_csr(pairs: Pairs, expected: int, blocks: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """CSR of about `expected` pairs whose ascending numbers come block by block."""
    indices = np.empty(expected, index_dtype(pairs.n_post))
    counts = np.zeros(pairs.n_pre, np.int64)
    filled = 0
    for numbers in blocks:
        rows, columns = pairs.locate(numbers)
        if numbers.size:
            found = np.bincount(rows - rows[0])
            counts[rows[0] : rows[0] + found.size] += found
        if filled + columns.size > indices.size:
            indices.resize(filled + columns.size + indices.size // 16, refcheck=False)
        indices[filled : filled + columns.size] = columns
        filled += columns.size
    indices.resize(filled, refcheck=False)
    return pointers(counts), indices


def draw(rng: np.random.Generator, rows: int, k: int, n: int, distinct: bool) -> np.ndarray:
    """`rows` independent draws of `k` integers below `n`, each sorted: independent ones, or a uniform subset if `distinct`."""
    if distinct and 4 * k > n:  # redrawing repeats would take many rounds: shuffle instead
        values = rng.permuted(np.broadcast_to(np.arange(n, dtype=index_dtype(n)), (rows, n)), axis=1)[:, :k]
        return np.sort(values, axis=1)
    values = rng.integers(0, n, (rows, k), dtype=index_dtype(n)) if k else np.empty((rows, 0), np.int32)
    values.sort(axis=1)
    if distinct:
        _redraw_repeats(rng, values, n)
    return values


def _redraw_repeats(rng: np.random.Generator, values: np.ndarray, n: int) -> None:
    """Redraw what repeats within a row until all are distinct: a uniform subset, since no step tells one integer from another."""
    unsettled = np.arange(len(values))
    while unsettled.size:
        part = values[unsettled]
        repeats = np.zeros(part.shape, bool)
        np.equal(part[:, 1:], part[:, :-1], out=repeats[:, 1:])
        affected = repeats.any(axis=1)
        part, repeats, unsettled = part[affected], repeats[affected], unsettled[affected]
        part[repeats] = rng.integers(0, n, np.count_nonzero(repeats), dtype=values.dtype)
        part.sort(axis=1)
        values[unsettled] = part
