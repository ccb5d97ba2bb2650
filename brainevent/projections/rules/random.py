"""Rules that draw their synapses at random."""

import math
from dataclasses import KW_ONLY, dataclass

import brainunit as u
import numpy as np
from scipy import sparse, special

from brainevent import JITCHomoR, JITCNormalR, JITCUniformR
from brainevent.core.assembly import ascend_in_lines
from brainevent.projections.distributions import Constant, Distribution, Normal, Uniform
from brainevent.projections.drawing import in_blocks
from brainevent.projections.parameters import describe
from brainevent.projections.rules.base import Rule
from brainevent.projections.rules.pairs import BLOCK, Pairs, draw, index_dtype, pointers, to_csr
from brainevent.projections.values import numbers


@dataclass(frozen=True, repr=False, eq=False)
class FixedProb(Rule):
    """Connect each pair with probability `prob`, independently (exact Bernoulli; NEST's `pairwise_bernoulli`).

    The synapses are those of the just-in-time law (`brainevent.core.law`) for a seed drawn from the network's, and so are weights from
    `Normal` and `Uniform`: `format="jit"`, which stores nothing, and any other format are one network. The cost is that of the
    synapses, not of the pairs.

    Args:
        prob: probability, in [0, 1].
        weight, format: as in `Rule`; with format="jit" a weight is one number, `Normal` or `Uniform`.
        autapses: whether a neuron may connect to itself.

    Raises:
        ValueError: if `prob` is not a number in [0, 1], or the weights of format="jit" are others.

    Example:
        >>> FixedProb(0.5).sample(np.random.default_rng(1), 2, 4)
        (array([0, 2, 5]), array([1, 2, 0, 1, 2], dtype=int32))
    """

    prob: float
    _: KW_ONLY
    autapses: bool = True

    def _check(self):
        number = numbers(self.prob, "FixedProb: prob", "a probability between 0 and 1")
        if number.size != 1 or not u.get_unit(self.prob).is_unitless or not 0 <= number <= 1:
            self._refuse("prob", self.prob, "a probability between 0 and 1", "give a fraction, 0.2 for 20 %")
        self._set("prob", float(number.reshape(())))

    def sample(self, rng, n_pre, n_post, *, shift=None):
        self._check_storable(self.prob * n_pre * n_post, n_pre, n_post)
        stored = self._drawn(JITCHomoR, (1.0,), rng, n_pre, n_post, shift).tocsr()
        return np.asarray(stored.indptr, np.int64), np.asarray(stored.indices)

    def connect(self, structure_rng, weight_rng, n_pre, n_post, *, shift, convert, dtype):
        cls, parameters = _law_of_weights(self.weight)
        if cls is None:
            return super().connect(structure_rng, weight_rng, n_pre, n_post, shift=shift, convert=convert, dtype=dtype)
        if self.format != "jit":
            self._check_storable(self.prob * n_pre * n_post, n_pre, n_post)
        drawn = self._drawn(cls, tuple(map(convert, parameters)), structure_rng, n_pre, n_post, shift)
        return drawn if self.format == "jit" else drawn.tocsr()

    def _drawn(self, cls, parameters, rng, n_pre, n_post, shift):
        """The matrix whose lines are the pre neurons, so that spikes cost their own synapses."""
        if max(n_pre, n_post) >= 1 << 31:
            raise ValueError(f"{self!r}: {n_pre} x {n_post} neurons, but expected fewer than 2**31 on each side; connect slices.")
        seed = rng.integers(0, 1 << 32, dtype=np.uint32)
        skipped = None if self.autapses else shift
        return cls((*parameters, float(self.prob), seed), shape=(n_pre, n_post), skip_diagonal=skipped)

    def _check_drawn(self):
        if _law_of_weights(self.weight)[0] is None:
            self._refuse("weight", self.weight, "one number, Normal or Uniform with format='jit'", "use format='csr' for other weights")


def _law_of_weights(weight):
    """`(format, parameters)` of weights that a just-in-time format can draw; `(None, ())` of others."""
    if isinstance(weight, Normal):
        return JITCNormalR, (weight.mean, weight.std)
    if isinstance(weight, Uniform):
        return JITCUniformR, (weight.low, weight.high)
    weight = weight.value if isinstance(weight, Constant) else weight
    return (None, ()) if isinstance(weight, Distribution) or np.ndim(u.get_mantissa(weight)) else (JITCHomoR, (weight,))


def redrawn(matrix, weight, convert, what: str):
    """A just-in-time matrix with other weights on the same synapses: one number, `Normal` or `Uniform`."""
    cls, parameters = _law_of_weights(weight)
    if cls is None:
        raise ValueError(f"{what} is {describe(weight)}, expected one number, Normal or Uniform: format='csr' stores other weights")
    cls = cls.mirror if matrix.native else cls
    options = {"shape": matrix.shape, "corder": matrix.corder, "skip_diagonal": matrix.skip_diagonal, "backend": matrix.backend}
    return cls((*map(convert, parameters), matrix.prob, matrix.seed), **options)


def distribution_of(matrix):
    """The weights of a just-in-time matrix: one number, or the distribution they are drawn from."""
    if matrix.kind == "normal" and matrix.fold is None:
        return Normal(matrix.loc, matrix.scale)
    if matrix.kind == "uniform" and matrix.fold is None:
        return Uniform(matrix.low, matrix.high)
    return matrix.data


def lowest_weight(matrix) -> float:
    """The lowest weight to be expected in a just-in-time matrix, in its unit.

    Of normal weights, whose tail has no end, the value that one weight of the matrix is below on average.
    """
    if matrix.fold is not None:
        return 0.0
    if matrix.kind == "uniform":
        return min(float(u.get_mantissa(end)) for end in (matrix.low, matrix.high))
    if matrix.kind == "normal":
        loc, scale = (float(u.get_mantissa(part)) for part in (matrix.loc, matrix.scale))
        n_synapses = matrix.prob * matrix.shape[0] * matrix.shape[1]
        return loc + abs(scale) * float(special.ndtri(1 / max(n_synapses, 2)))
    return float(np.asarray(u.get_mantissa(matrix.data)).reshape(()))


def _bernoulli(rng, pairs: Pairs, prob: float) -> tuple[np.ndarray, np.ndarray]:
    """CSR of pairs that are each taken with probability `prob`."""
    mean = pairs.count * prob
    return to_csr(pairs, min(pairs.count, int(mean + 6 * math.sqrt(mean)) + 8), _successes(rng, pairs.count, prob))


def _successes(rng, trials: int, prob: float):
    """Yield, block by block, the ascending numbers of the successes among so many Bernoulli trials: their gaps are geometric."""
    if prob == 0:
        return
    last = -1
    scale = -1 / math.log1p(-prob) if prob < 1 else 0.0
    while last < trials - 1:
        left = trials - 1 - last
        size = min(BLOCK, int(left * prob + 6 * math.sqrt(left * prob)) + 8, (1 << 62) // (left + 1))
        gaps = rng.standard_exponential(size)
        with np.errstate(over="ignore"):  # of a probability so small that the gap is endless
            gaps *= scale
        np.ceil(gaps, out=gaps)  # the ceiling of an exponential is geometric, exactly
        np.clip(gaps, 1, left + 1, out=gaps)  # 0 is a draw of 0.0 or prob = 1; any past the end is as good as the end
        numbers = gaps.astype(np.int64)
        np.cumsum(numbers, out=numbers)
        numbers += last
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
        (array([0, 2, 4]), array([0, 2, 2, 3], dtype=int32))
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
        small = index_dtype(max(sources.size, n_pre, n_post) + 1)
        by_post = sparse.csc_array(
            (np.ones(sources.size, bool), sources.astype(small, copy=False), indptr.astype(small)), shape=(n_pre, n_post)
        )
        by_pre = by_post.tocsr()
        return by_pre.indptr.astype(np.int64), by_pre.indices.astype(index_dtype(n_post), copy=False)


def _fixed_degree(rule: _Counted, rng, pairs: Pairs, side: str) -> tuple[np.ndarray, np.ndarray]:
    """CSR with `rule.number` synapses in each row of `pairs`."""
    k = rule.number
    rule._check_storable(k * pairs.n_pre, *(pairs.n_pre, pairs.n_post)[:: 1 if side == "post" else -1])
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
        (array([0, 2, 3]), array([1, 2, 1], dtype=int32))
    """

    def sample(self, rng, n_pre, n_post, *, shift=None):
        pairs = Pairs(n_pre, n_post, None if self.autapses else shift)
        self._check_available(pairs.count, "pairs")
        self._check_storable(self.number, n_pre, n_post)
        if self.multapses:
            return _independent(rng, pairs, self.number)
        return _subset(rng, pairs, self.number)


def _independent(rng, pairs: Pairs, k: int) -> tuple[np.ndarray, np.ndarray]:
    """CSR of k pairs, each drawn from all of them: how many fall in each row, then where in it."""
    indices, counts = np.empty(k, index_dtype(pairs.n_post)), np.zeros(pairs.n_pre, np.int64)
    if k:
        available = np.full(pairs.n_pre, pairs.n_post)
        available[slice(*pairs.self_rows)] -= 1
        counts = rng.multinomial(k, available / pairs.count)
    starts = pointers(counts)
    for first, last, leaves_self in pairs.segments():
        columns = indices[starts[first] : starts[last]]
        below = pairs.n_post - leaves_self
        in_blocks(rng, columns.size, lambda rng, n, below=below: rng.integers(0, below, n, indices.dtype), indices.dtype, out=columns)
        if leaves_self:
            columns += columns >= np.repeat(pairs.own(np.arange(first, last)), counts[first:last])
    ascend_in_lines(starts, indices)
    return starts, indices


def _subset(rng, pairs: Pairs, k: int) -> tuple[np.ndarray, np.ndarray]:
    """CSR of a uniform k-subset of the pairs: take each with a probability that gives a few too many, then drop a uniform few."""
    prob = min(1.0, (k + 4 * math.sqrt(k)) / pairs.count) if k else 0.0
    indptr, indices = _bernoulli(rng, pairs, prob)
    while indices.size < k:
        indptr, indices = _bernoulli(rng, pairs, prob)
    dropped = draw(rng, 1, indices.size - k, indices.size, True)[0]
    counts = np.diff(indptr) - np.bincount(np.searchsorted(indptr, dropped, "right") - 1, minlength=pairs.n_pre)
    return pointers(counts), np.delete(indices, dropped)
