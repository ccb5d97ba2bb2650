"""Rules that draw their synapses at random."""

import math
from dataclasses import KW_ONLY, dataclass

import brainunit as u
import numpy as np
from scipy import sparse

from brainevent.projections.rules.base import Rule
from brainevent.projections.rules.pairs import BLOCK, Pairs, add_counts, draw, index_dtype, pointers, to_csr


@dataclass(frozen=True, repr=False, eq=False)
class FixedProb(Rule):
    """Connect each pair with probability `prob`, independently (exact Bernoulli; NEST's `pairwise_bernoulli`).

    The gaps between connected pairs are geometric, so the cost is that of the synapses, not of the pairs.

    Args:
        prob: probability, in [0, 1].
        weight, format: as in `Rule`.
        autapses: whether a neuron may connect to itself.

    Raises:
        ValueError: if `prob` is not a number in [0, 1].

    Example:
        >>> FixedProb(0.5).sample(np.random.default_rng(1), 2, 4)
        (array([0, 1, 3]), array([1, 2, 3], dtype=int32))
    """

    prob: float
    _: KW_ONLY
    autapses: bool = True

    def _check(self):
        number = np.asarray(u.get_mantissa(self.prob))
        if number.shape != () or number.dtype.kind not in "iuf" or not u.get_unit(self.prob).is_unitless or not 0 <= number <= 1:
            self._refuse("prob", self.prob, "a probability between 0 and 1", "give a fraction, 0.2 for 20 %")

    def sample(self, rng, n_pre, n_post, *, shift=None):
        pairs = Pairs(n_pre, n_post, None if self.autapses else shift)
        indices = np.empty(math.ceil(pairs.count * self.prob), index_dtype(n_post))
        counts = np.zeros(n_pre, np.int64)
        filled = 0
        for numbers in _successes(rng, pairs.count, float(self.prob)):
            rows, columns = pairs.locate(numbers)
            add_counts(counts, rows)
            if filled + columns.size > indices.size:
                indices.resize(filled + columns.size + indices.size // 16, refcheck=False)
            indices[filled : filled + columns.size] = columns
            filled += columns.size
        indices.resize(filled, refcheck=False)
        return pointers(counts), indices


def _successes(rng, trials: int, prob: float):
    """Yield, block by block, the ascending numbers of the successes among so many Bernoulli trials."""
    if prob == 0:
        return
    last = -1
    while last < trials - 1:
        left = trials - 1 - last
        size = min(BLOCK, int(left * prob + 6 * math.sqrt(left * prob)) + 8, (1 << 62) // (left + 1))
        gaps = np.clip(rng.geometric(prob, size), 1, left + 1)  # numpy may round a gap to 0, and to 2**63 for a tiny probability
        numbers = last + np.cumsum(gaps)
        last = int(numbers[-1])
        yield numbers if last < trials else numbers[: np.searchsorted(numbers, trials)]


@dataclass(frozen=True, repr=False, eq=False)
class _Counted(Rule):
    """A rule that draws a given number of synapses, for each neuron or in total."""

    number: int
    _: KW_ONLY
    autapses: bool = True
    multapses: bool = True

    def _check(self):
        self._check_count("number")

    def _check_available(self, available: int, of_what: str) -> None:
        if self.number and (available == 0 or (self.number > available and not self.multapses)):
            distinct = "" if self.multapses else " distinct"
            without = "" if self.autapses else " (autapses=False leaves the neuron itself out)"
            raise ValueError(
                f"{self!r} needs {self.number}{distinct} {of_what}, but expected at most the {available} there are{without}; "
                "lower the number or allow multapses."
            )


@dataclass(frozen=True, repr=False, eq=False)
class FixedOutDegree(_Counted):
    """Give each pre neuron `number` uniformly drawn targets (NEST's `fixed_outdegree`).

    Args:
        number: targets of each pre neuron, >= 0.
        weight, format: as in `Rule`.
        autapses: whether a neuron may connect to itself.
        multapses: whether a pair may be drawn more than once; if not, the targets are a uniform subset.

    Raises:
        ValueError: if `number` is not an integer >= 0; when sampled, if there are too few post neurons.

    Example:
        >>> FixedOutDegree(2, multapses=False).sample(np.random.default_rng(0), 2, 4)
        (array([0, 2, 4]), array([2, 3, 1, 2], dtype=int32))
    """

    def sample(self, rng, n_pre, n_post, *, shift=None):
        return _fixed_degree(self, rng, Pairs(n_pre, n_post, None if self.autapses else shift), "post")


@dataclass(frozen=True, repr=False, eq=False)
class FixedInDegree(_Counted):
    """Give each post neuron `number` uniformly drawn sources (NEST's `fixed_indegree`).

    Args:
        number: sources of each post neuron, >= 0.
        weight, format: as in `Rule`.
        autapses: whether a neuron may connect to itself.
        multapses: whether a pair may be drawn more than once; if not, the sources are a uniform subset.

    Raises:
        ValueError: if `number` is not an integer >= 0; when sampled, if there are too few pre neurons.

    Example:
        >>> FixedInDegree(1).sample(np.random.default_rng(0), 2, 4)
        (array([0, 1, 4]), array([3, 0, 1, 2], dtype=int32))
    """

    def sample(self, rng, n_pre, n_post, *, shift=None):
        mirrored = Pairs(n_post, n_pre, None if self.autapses or shift is None else -shift)
        indptr, sources = _fixed_degree(self, rng, mirrored, "pre")
        by_post = sparse.csc_array((np.ones(sources.size, np.int8), sources, indptr), shape=(n_pre, n_post))
        by_pre = by_post.tocsr()
        return by_pre.indptr.astype(np.int64), by_pre.indices.astype(index_dtype(n_post), copy=False)


def _fixed_degree(rule: _Counted, rng, pairs: Pairs, side: str) -> tuple[np.ndarray, np.ndarray]:
    """CSR with `rule.number` synapses in each row of `pairs`."""
    k = int(rule.number)
    indices = np.empty((pairs.n_pre, k), index_dtype(pairs.n_post))
    for start, stop, leaves_self in pairs.segments():
        available = pairs.n_post - leaves_self
        rule._check_available(available, f"{side} neurons")
        step = max(1, BLOCK // max(k, 1))
        for row in range(start, stop, step):
            end = min(row + step, stop)
            columns = draw(rng, end - row, k, available, not rule.multapses)
            if leaves_self:
                columns += columns >= pairs.own(np.arange(row, end))[:, None]
            indices[row:end] = columns
    return np.arange(pairs.n_pre + 1, dtype=np.int64) * k, indices.reshape(-1)


@dataclass(frozen=True, repr=False, eq=False)
class FixedTotal(_Counted):
    """Draw `number` synapses uniformly from all pairs (NEST's `fixed_total_number`).

    Args:
        number: synapses in total, >= 0.
        weight, format: as in `Rule`.
        autapses: whether a neuron may connect to itself.
        multapses: whether a pair may be drawn more than once; if not, the pairs are a uniform subset.

    Raises:
        ValueError: if `number` is not an integer >= 0; when sampled, if there are too few pairs.

    Example:
        >>> FixedTotal(3).sample(np.random.default_rng(0), 2, 4)
        (array([0, 0, 3]), array([0, 1, 2], dtype=int32))
    """

    def sample(self, rng, n_pre, n_post, *, shift=None):
        pairs = Pairs(n_pre, n_post, None if self.autapses else shift)
        self._check_available(pairs.count, "pairs")
        return to_csr(pairs, draw(rng, 1, int(self.number), pairs.count, not self.multapses)[0].astype(np.int64, copy=False))
