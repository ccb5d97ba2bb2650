"""Connection rules: exact in distribution, valid in structure, and errors that name the value."""

import itertools
import tracemalloc
from collections import Counter
from dataclasses import dataclass
from math import prod

import brainunit as u
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse, stats
from tables import needs_numba

from brainevent.projections.distributions import Normal, Uniform
from brainevent.projections.rules import (
    FORMATS,
    AllToAll,
    FixedInDegree,
    FixedOutDegree,
    FixedProb,
    FixedTotal,
    FromMatrix,
    FromPairs,
    OneToOne,
    Rule,
    pairs,
    random,
)

SIGNIFICANCE = 1e-3  # of every test of a law; the seeds are fixed


def rng(seed=0):
    return np.random.default_rng(seed)


def pairs_of(indptr, indices):
    return tuple(zip(np.repeat(np.arange(indptr.size - 1), np.diff(indptr)).tolist(), indices.tolist()))


def counts_of(rule, seed, n_pre, n_post, shift=None):
    """Synapses of each pair, as a dense matrix."""
    counts = np.zeros((n_pre, n_post), int)
    np.add.at(counts, tuple(np.array(pairs_of(*rule.sample(rng(seed), n_pre, n_post, shift=shift)), int).reshape(-1, 2).T), 1)
    return counts


# --- exact in distribution: every outcome of a small network against its enumerated probability ---


def choices(options, k, multapses):
    return list(itertools.product(options, repeat=k) if multapses else itertools.combinations(options, k))


def law_of(rule, n_pre, n_post, shift):
    """Probability of each outcome (sorted pairs), enumerated from the definition of the rule."""
    eligible = [(i, j) for i in range(n_pre) for j in range(n_post) if rule.autapses or shift is None or j != i + shift]
    if isinstance(rule, FixedProb):
        subsets = itertools.chain.from_iterable(itertools.combinations(eligible, k) for k in range(len(eligible) + 1))
        return {subset: rule.prob ** len(subset) * (1 - rule.prob) ** (len(eligible) - len(subset)) for subset in subsets}
    if isinstance(rule, FixedTotal):
        groups = [eligible]
    else:
        axis, size = (0, n_pre) if isinstance(rule, FixedOutDegree) else (1, n_post)
        groups = [[pair for pair in eligible if pair[axis] == neuron] for neuron in range(size)]
    options = [choices(group, rule.number, rule.multapses) for group in groups]
    outcomes = Counter(tuple(sorted(itertools.chain(*parts))) for parts in itertools.product(*options))
    return {outcome: count / prod(map(len, options)) for outcome, count in outcomes.items()}


LAWS = [
    (FixedProb(0.3), 2, 3, None),
    (FixedProb(0.6), 3, 2, None),
    (FixedProb(0.9), 2, 3, None),
    (FixedProb(0.5, autapses=False), 3, 3, 0),
    (FixedProb(0.4, autapses=False), 2, 4, 1),
    (FixedProb(0.4, autapses=False), 4, 2, -1),
    (FixedOutDegree(2), 2, 3, None),
    (FixedOutDegree(2, multapses=False), 2, 3, None),
    (FixedOutDegree(1, multapses=False), 2, 6, None),
    (FixedOutDegree(2, multapses=False), 1, 9, None),
    (FixedOutDegree(2, multapses=False, autapses=False), 3, 4, 1),
    (FixedOutDegree(2, autapses=False), 3, 2, -2),
    (FixedInDegree(2), 3, 2, None),
    (FixedInDegree(2, multapses=False), 4, 2, None),
    (FixedInDegree(1, multapses=False, autapses=False), 3, 3, 0),
    (FixedInDegree(2, autapses=False), 3, 2, -1),
    (FixedTotal(2), 2, 3, None),
    (FixedTotal(4), 1, 3, None),
    (FixedTotal(3, multapses=False), 2, 3, None),
    (FixedTotal(5, multapses=False), 2, 3, None),
    (FixedTotal(2, multapses=False, autapses=False), 3, 3, 0),
    (FixedTotal(2, autapses=False), 2, 3, 1),
]


@pytest.mark.parametrize("block", [pytest.param(2, marks=pytest.mark.thorough), pairs.BLOCK])
@pytest.mark.parametrize("rule, n_pre, n_post, shift", LAWS, ids=repr)
def test_outcomes_follow_the_enumerated_law(rule, n_pre, n_post, shift, block, monkeypatch):
    for module in (pairs, random):
        monkeypatch.setattr(module, "BLOCK", block)
    law, generator, draws = law_of(rule, n_pre, n_post, shift), rng(11), 3000 if block > 2 else 1000
    found = Counter(pairs_of(*rule.sample(generator, n_pre, n_post, shift=shift)) for _ in range(draws))
    assert set(found) <= set(law)
    expected = np.array([draws * p for p in law.values()])
    observed = np.array([found[outcome] for outcome in law], float)
    common = expected >= 5  # rare outcomes count as one, as the chi-square test needs
    grouped = [np.append(x[common], x[~common].sum()) for x in (observed, expected)]
    grouped = [x[grouped[1] > 0] for x in grouped]
    assert stats.chisquare(*grouped).pvalue > SIGNIFICANCE


def degree_pvalue(degrees, n, prob):
    """P-value of independent degrees being binomial(n, prob)."""
    edges = np.unique(stats.binom.ppf(np.linspace(0, 1, 12)[1:-1], n, prob))
    edges = edges[edges < n]
    cdf = np.concatenate([[0], stats.binom.cdf(edges, n, prob), [1]])
    observed = np.bincount(np.searchsorted(edges, degrees), minlength=edges.size + 1)
    return stats.chisquare(observed, np.diff(cdf) * degrees.size).pvalue


@pytest.mark.parametrize("prob", [0.01, 0.3, 0.6, 0.9, 0.999])
def test_fixed_probability_gives_binomial_degrees_and_total(prob):
    n_pre, n_post = 2000, 1500
    indptr, indices = FixedProb(prob).sample(rng(5), n_pre, n_post)
    assert stats.binomtest(indices.size, n_pre * n_post, prob).pvalue > SIGNIFICANCE
    assert degree_pvalue(np.diff(indptr), n_post, prob) > SIGNIFICANCE
    assert degree_pvalue(np.bincount(indices, minlength=n_post), n_pre, prob) > SIGNIFICANCE


@pytest.mark.parametrize(
    "rule, prob_in, prob_out",
    [
        (FixedOutDegree(60), 1 / 1500, None),
        (FixedInDegree(60), None, 1 / 2000),
        (FixedTotal(90_000), 1 / 1500, 1 / 2000),
    ],
    ids=repr,
)
def test_independent_draws_give_binomial_degrees_on_the_free_side(rule, prob_in, prob_out):
    indptr, indices = rule.sample(rng(6), 2000, 1500)
    indegree, outdegree = np.bincount(indices, minlength=1500), np.diff(indptr)
    for degrees, prob in ((indegree, prob_in), (outdegree, prob_out)):
        if prob is None:
            assert np.all(degrees == 60)
        else:
            assert degree_pvalue(degrees, indices.size, prob) > SIGNIFICANCE


@pytest.mark.parametrize("rule", [FixedOutDegree(40, multapses=False), FixedOutDegree(700, multapses=False)], ids=repr)
def test_subsets_have_uniform_overlap(rule):
    """Two independent k-subsets of n share a hypergeometric number of elements."""
    n, k = 1000, rule.number
    _, indices = rule.sample(rng(8), 2000, n)
    rows = np.zeros((2000, n), bool)
    np.put_along_axis(rows, indices.reshape(2000, k), True, axis=1)
    overlap = (rows[::2] & rows[1::2]).sum(1)
    law = stats.hypergeom(n, k, k)
    assert stats.ttest_1samp(overlap, law.mean()).pvalue > SIGNIFICANCE
    assert abs(overlap.var() / law.var() - 1) < 5 * np.sqrt(2 / 1000)  # the relative error of a variance of 1000 near-normal values


@needs_numba  # three million lines: on xla they take minutes, of the law that test_law.py holds both backends to
def test_huge_populations_are_covered_evenly():
    n = 3_000_000
    for rule in (FixedProb(1e-9), FixedTotal(9000), FixedTotal(9000, multapses=False)):
        indptr, indices = rule.sample(rng(4), n, n)
        rows = np.repeat(np.arange(n), np.diff(indptr))
        assert stats.kstest(rows / n, "uniform").pvalue > SIGNIFICANCE
        assert stats.kstest(indices / n, "uniform").pvalue > SIGNIFICANCE


@pytest.mark.parametrize("rule", [FixedOutDegree(200), FixedTotal(1000)], ids=repr)
def test_ids_beyond_int32(rule):
    n_post = 1 << 33
    indptr, indices = rule.sample(rng(1), 5, n_post)
    assert indices.dtype == np.int64 and indices.size == indptr[-1] > 0
    assert stats.kstest(indices / n_post, "uniform").pvalue > SIGNIFICANCE


@pytest.mark.parametrize("prob", [5e-324, 1e-300, 1e-18])
def test_a_tiny_probability_does_not_overflow(prob):
    indptr, indices = FixedProb(prob).sample(rng(), 100, (1 << 31) - 1)
    assert indices.size == 0 and indptr[-1] == 0


@pytest.mark.parametrize("prob, size", [(0, 0), (0.0, 0), (1, 6), (1.0, 6), (np.nextafter(1, 0), 6)])
def test_the_extreme_probabilities_are_exact(prob, size):
    indptr, indices = FixedProb(prob).sample(rng(), 2, 3)
    assert indices.size == size and indptr[-1] == size


@pytest.mark.parametrize("rule", [FixedProb(1e-4), FixedTotal(90_000), FixedTotal(90_000, multapses=False)], ids=repr)
def test_memory_is_that_of_the_synapses(rule):
    tracemalloc.start()
    rule.sample(rng(), 30_000, 30_000)  # a boolean mask would take 900 MB
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5e6  # 90,000 synapses are 0.36 MB, the row pointers 0.5 MB, a block of temporaries 1 MB


def test_an_underestimate_of_the_synapses_only_costs_a_resize():
    blocks = [np.arange(0, 5), np.arange(5, 5), np.arange(7, 12)]
    indptr, indices = pairs.to_csr(pairs.Pairs(3, 4, None), 0, blocks)
    assert pairs_of(indptr, indices) == tuple(divmod(k, 4) for k in [0, 1, 2, 3, 4, 7, 8, 9, 10, 11])


# --- structure ---

SAMPLED = [FixedProb(0.4), FixedOutDegree(3), FixedInDegree(3), FixedTotal(10)]


@st.composite
def cases(draw):
    n_pre, n_post = draw(st.integers(0, 9)), draw(st.integers(0, 9))
    flags = {"autapses": draw(st.booleans())}
    kind = draw(st.sampled_from([FixedProb, FixedOutDegree, FixedInDegree, FixedTotal, AllToAll]))
    if kind is AllToAll:
        rule = AllToAll(**flags)
    elif kind is FixedProb:
        rule = FixedProb(draw(st.floats(0, 1)), **flags)
    else:
        rule = kind(draw(st.integers(0, 9)), multapses=draw(st.booleans()), **flags)
    return rule, n_pre, n_post, draw(st.none() | st.integers(-11, 11)), draw(st.integers(0, 2**32))


def candidates(rule, n_pre, n_post, shift):
    """How many pairs each draw of the rule chooses from: one number a neuron, or one for all."""
    eligible = np.ones((n_pre, n_post), bool)
    if not rule.autapses and shift is not None:
        eligible &= np.arange(n_post) != np.arange(n_pre)[:, None] + shift
    return eligible.sum({FixedTotal: None, FixedOutDegree: 1, FixedInDegree: 0}[type(rule)])


@settings(max_examples=300, deadline=None)
@given(cases())
def test_structure_is_valid_or_the_request_is_refused(case):
    rule, n_pre, n_post, shift, seed = case
    number = getattr(rule, "number", 0)
    least = candidates(rule, n_pre, n_post, shift).min(initial=100) if number else 100
    if least == 0 or (not getattr(rule, "multapses", True) and number > least):
        with pytest.raises(ValueError, match=rf"needs {number}.*but expected at most the \d there are.*; lower the number"):
            rule.sample(rng(seed), n_pre, n_post, shift=shift)
        return
    indptr, indices = rule.sample(rng(seed), n_pre, n_post, shift=shift)
    assert indptr.dtype == np.int64 and indices.dtype == np.int32
    assert indptr.shape == (n_pre + 1,) and indptr[0] == 0 and indptr[-1] == indices.size and np.all(np.diff(indptr) >= 0)
    found = pairs_of(indptr, indices)
    assert list(found) == sorted(found) and all(0 <= post < n_post for _, post in found)
    if not getattr(rule, "multapses", False):
        assert len(set(found)) == len(found)
    if not rule.autapses and shift is not None:
        assert all(post != pre + shift for pre, post in found)
    if isinstance(rule, FixedTotal):
        assert len(found) == number
    elif isinstance(rule, FixedOutDegree):
        assert np.all(np.diff(indptr) == number)
    elif isinstance(rule, FixedInDegree):
        assert np.all(np.bincount(indices, minlength=n_post) == number)


@pytest.mark.parametrize("shift", [None, 0, 2, -2, 7, -7])
@pytest.mark.parametrize("autapses", [True, False])
def test_all_to_all_is_all_but_the_autapses(shift, autapses):
    expected = np.ones((4, 6), int)
    if not autapses and shift is not None:
        expected[np.arange(6) == np.arange(4)[:, None] + shift] = 0
    for rule in (AllToAll(autapses=autapses), FixedProb(1, autapses=autapses)):
        np.testing.assert_array_equal(counts_of(rule, 0, 4, 6, shift), expected)


@pytest.mark.parametrize("rule", SAMPLED, ids=repr)
def test_autapses_are_there_unless_left_out(rule):
    allowed = sum(counts_of(rule, seed, 4, 4, 0).trace() for seed in range(20))
    assert allowed > 0
    without = type(rule)(*[getattr(rule, name) for name in ("prob", "number") if hasattr(rule, name)], autapses=False)
    assert sum(counts_of(without, seed, 4, 4, 0).trace() for seed in range(20)) == 0


@pytest.mark.parametrize("rule", SAMPLED, ids=repr)
def test_the_state_of_the_generator_decides(rule):
    first, same, other = (rule.sample(rng(seed), 50, 40) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first[1], same[1])
    np.testing.assert_array_equal(first[0], same[0])
    assert pairs_of(*first) != pairs_of(*other)


def test_one_to_one():
    np.testing.assert_array_equal(counts_of(OneToOne(), 0, 4, 4), np.eye(4))
    with pytest.raises(ValueError, match=r"OneToOne\(\): pre has 3 neurons and post has 4, but expected equal sizes; take slices"):
        OneToOne().sample(rng(), 3, 4)


# --- weights ---


@pytest.mark.parametrize("rule", [AllToAll, OneToOne], ids=lambda kind: kind.__name__)
def test_weights_of_every_kind(rule):
    indptr, indices = rule().sample(rng(), 3, 3)

    def weights(weight):
        return rule(weight=weight).weights(rng(2), indptr, indices, 3)

    assert u.get_mantissa(weights(6 * u.nS)) == 6 and np.shape(u.get_mantissa(weights(6 * u.nS))) == ()
    values = np.arange(indices.size) * u.nS
    np.testing.assert_array_equal(u.get_mantissa(weights(values)), np.arange(indices.size))
    drawn = weights(Normal(1 * u.nS, 100 * u.psiemens))
    np.testing.assert_array_equal(u.get_mantissa(drawn), u.get_mantissa(Normal(1 * u.nS, 0.1 * u.nS).sample(rng(2), indices.size)))
    assert u.get_unit(weights(values)) == u.get_unit(drawn) == u.nS
    with pytest.raises(ValueError, match=rf"{rule.__name__}: weight=<array 2 nS>, but expected one value for each of {indices.size} syn"):
        weights(np.ones(2) * u.nS)


@pytest.mark.parametrize("as_array", [np.array, jnp.array, list])
def test_pairs_keep_their_weights_and_repeats(as_array):
    pre, post, weight = [2, 0, 2, 0, 2], [1, 3, 1, 0, 0], np.array([10.0, 20.0, 30.0, 40.0, 50.0])
    rule = FromPairs(as_array(pre), as_array(post), weight=weight * u.nS)
    indptr, indices = rule.sample(rng(), 4, 5)
    assert pairs_of(indptr, indices) == ((0, 0), (0, 3), (2, 0), (2, 1), (2, 1))
    weights = rule.weights(rng(), indptr, indices, 5)
    np.testing.assert_array_equal(u.get_mantissa(weights), [40, 20, 50, 10, 30])
    assert u.get_unit(weights) == u.nS and indptr.dtype == np.int64 and indices.dtype == np.int32


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(1, 99)), max_size=30))
def test_pairs_sum_to_the_dense_matrix(triples):
    pre, post, weight = np.array(triples, int).reshape(-1, 3).T
    rule = FromPairs(pre, post, weight=weight)
    indptr, indices = rule.sample(rng(), 6, 4)
    expected = np.zeros((6, 4))
    np.add.at(expected, (pre, post), weight)
    weights = np.broadcast_to(rule.weights(rng(), indptr, indices, 4), indices.shape)  # one number if there is one synapse
    got = sparse.csr_array((weights, indices, indptr), shape=(6, 4))
    np.testing.assert_array_equal(got.toarray(), expected)
    assert indices.size == len(triples)


DENSE = np.array([[0, 1.5, 0, -2], [0, 0, 0, 0], [3, 0, 4, 0]])


@pytest.mark.parametrize(
    "matrix",
    [DENSE, DENSE.tolist(), jnp.array(DENSE), np.asfortranarray(DENSE), DENSE * u.nS]
    + [getattr(sparse, f"{kind}_array")(DENSE) for kind in ("csr", "csc", "coo", "lil", "dok", "dia")]
    + [sparse.csr_matrix(DENSE)],
)
def test_a_matrix_of_any_kind(matrix):
    rule = FromMatrix(matrix)
    indptr, indices = rule.sample(rng(), 3, 4)
    weights = rule.weights(rng(), indptr, indices, 4)
    assert u.get_unit(weights) == u.get_unit(matrix)
    assert indptr.dtype == np.int64 and indices.dtype == np.int32
    got = sparse.csr_array((u.get_mantissa(weights), indices, indptr), shape=(3, 4))
    np.testing.assert_array_equal(got.toarray(), DENSE)


def test_a_sparse_matrix_keeps_explicit_zeros_and_repeats():
    stored = sparse.coo_array(([1.0, 0.0, 3.0, 4.0], ([1, 0, 1, 1], [2, 1, 0, 2])), shape=(2, 3))
    for matrix in (stored, sparse.csr_array(([0.0, 1.0, 3.0, 4.0], [1, 2, 0, 2], [0, 1, 4]), shape=(2, 3))):
        rule = FromMatrix(matrix)
        indptr, indices = rule.sample(rng(), 2, 3)
        assert pairs_of(indptr, indices) == ((0, 1), (1, 0), (1, 2), (1, 2))
        np.testing.assert_array_equal(rule.weights(rng(), indptr, indices, 3), [0, 3, 1, 4])


def test_a_boolean_matrix_takes_a_weight():
    rule = FromMatrix(DENSE != 0, weight=Uniform(1 * u.nS, 2 * u.nS))
    indptr, indices = rule.sample(rng(), 3, 4)
    np.testing.assert_array_equal(counts_of(rule, 0, 3, 4), DENSE != 0)
    assert rule.weights(rng(), indptr, indices, 4).shape == (4,)
    assert FromMatrix(DENSE != 0).weights(rng(), indptr, indices, 4) == 1.0


def test_a_rule_does_not_follow_later_changes_of_its_arrays():
    pre, matrix = np.array([0, 1]), DENSE.copy()
    given = [FromPairs(pre, [1, 0]), FromMatrix(matrix)]
    before = [counts_of(rule, 0, 3, 4) for rule in given]
    pre[:], matrix[:] = 2, 0
    for rule, expected in zip(given, before):
        np.testing.assert_array_equal(counts_of(rule, 0, 3, 4), expected)


# --- errors, text, equality ---

BAD = [
    (lambda: FixedProb(np.nan), ValueError, r"FixedProb: prob is nan, but expected a probability between 0 and 1, finite"),
    (lambda: FixedProb(-0.1), ValueError, r"FixedProb: prob=-0.1, but expected a probability between 0 and 1"),
    (lambda: FixedProb(20), ValueError, r"FixedProb: prob=20, but expected a probability between 0 and 1; give a fraction, 0.2 for 20 %"),
    (lambda: FixedProb("0.1"), TypeError, r"FixedProb: prob is '0.1', but expected"),
    (lambda: FixedProb(0.1 * u.ms), ValueError, r"FixedProb: prob=0.1 ms, but expected"),
    (lambda: FixedProb(np.array([0.1, 0.2])), ValueError, r"FixedProb: prob=<array 2>, but expected"),
    (lambda: FixedOutDegree(-1), ValueError, r"FixedOutDegree: number is -1, but expected a whole number, at least 0"),
    (lambda: FixedOutDegree(1.5), ValueError, r"FixedOutDegree: number is 1.5, but expected a whole number"),
    (lambda: FixedInDegree(np.nan), ValueError, r"FixedInDegree: number is nan, but expected a whole number"),
    (lambda: FixedInDegree(2.0), ValueError, r"FixedInDegree: number is 2.0, but expected a whole number"),
    (lambda: FixedTotal(True), ValueError, r"FixedTotal: number is True, but expected a whole number"),
    (lambda: FixedTotal("3"), ValueError, r"FixedTotal: number is '3', but expected a whole number"),
    (lambda: FixedProb(0.1, weight=np.nan), ValueError, r"FixedProb: weight is nan, but expected numbers or a distribution, finite"),
    (
        lambda: OneToOne(weight=np.array([1, np.inf]) * u.nS),
        ValueError,
        r"OneToOne: weight holds inf at position 1, but expected finite numbers",
    ),
    (lambda: OneToOne(weight="strong"), TypeError, r"OneToOne: weight is 'strong', but expected numbers or a distribution"),
    (
        lambda: AllToAll(weight=np.ones((2, 2))),
        ValueError,
        r"AllToAll: weight=<array 2x2>, but expected a scalar, a 1-D array .*FromMatrix",
    ),
    (
        lambda: AllToAll(format="ell"),
        ValueError,
        r"AllToAll: format is 'ell', but expected one of 'auto', 'csr', 'csc', 'coo', 'fixed', 'dense', 'jit'",
    ),
    (lambda: FromPairs([0, 1], [0]), ValueError, r"FromPairs: pre has length 2 and post 1, but expected one length"),
    (lambda: FromPairs([0.0], [0]), ValueError, r"FromPairs: pre has dtype float64 and shape \(1,\), but expected a 1-D array of integers"),
    (lambda: FromPairs([True], [0]), ValueError, r"FromPairs: pre has dtype bool"),
    (lambda: FromPairs([0], [[0]]), ValueError, r"FromPairs: post has dtype int64 and shape \(1, 1\)"),
    (lambda: FromPairs([0, 1], [3, -4]), ValueError, r"FromPairs: post\[1\]=-4, but expected an id >= 0"),
    (lambda: FromPairs([0], [0], weight=[1, 2]), ValueError, r"FromPairs: weight=<array 2>, but expected one value for each of 1 pairs"),
    (lambda: FromMatrix(np.ones(3)), ValueError, r"FromMatrix: matrix=<array 3>, but expected a 2-D matrix"),
    (lambda: FromMatrix([[1.0, np.nan]]), ValueError, r"FromMatrix: matrix holds nan at position 1, but expected finite numbers"),
    (lambda: FromMatrix([[1j]]), TypeError, r"FromMatrix: matrix is .*, but expected a matrix of numbers; pass the real part"),
    (
        lambda: FromMatrix(DENSE, weight=2.0),
        ValueError,
        r"FromMatrix: weight=2, but expected no weight, since the matrix holds the weights; scale",
    ),
    (lambda: FromMatrix(DENSE, weight=np.ones(4)), ValueError, r"FromMatrix: weight=<array 4>, but expected no weight"),
]


@pytest.mark.parametrize("build, error, message", BAD)
def test_bad_arguments_are_refused_when_built(build, error, message):
    with pytest.raises(error, match=message):
        build()


MISFIT = [
    (FixedOutDegree(4, multapses=False), 0, r"FixedOutDegree\(4, multapses=False\) needs 4 distinct post neurons, but .* the 3 there are;"),
    (FixedOutDegree(3, multapses=False, autapses=False), 0, r"at most the 2 there are \(autapses=False leaves the neuron itself out\);"),
    (FixedInDegree(5, multapses=False), 0, r"needs 5 distinct pre neurons, but expected at most the 4 there are"),
    (FixedTotal(13, multapses=False), None, r"FixedTotal\(13, multapses=False\) needs 13 distinct pairs, but expected at most the 12"),
    (FromPairs([0, 4], [0, 0]), None, r"FromPairs: pre\[1\]=4, but expected an id below 4, the size of the pre population"),
    (FromPairs([1, 0], [3, 0]), None, r"FromPairs: post\[0\]=3, but expected an id below 3, the size of the post population"),
    (FromMatrix(DENSE), None, r"FromMatrix: matrix=<array 3x4>, but expected shape 4x3 \(n_pre x n_post\); transpose it"),
]


@pytest.mark.parametrize("rule, shift, message", MISFIT, ids=[repr(case[0]) for case in MISFIT])
def test_populations_that_do_not_fit_are_refused_when_sampled(rule, shift, message):
    with pytest.raises(ValueError, match=message):
        rule.sample(rng(), 4, 3, shift=shift)


def test_more_pairs_than_can_be_numbered_are_refused():
    with pytest.raises(ValueError, match=r"pairs, but expected at most 2\*\*62; connect smaller populations"):
        FixedTotal(1).sample(rng(), 1 << 40, 1 << 40)
    with pytest.raises(ValueError, match=r"FixedProb\(0\): 2147483648 x 3 neurons, but expected fewer than 2\*\*31 on each side"):
        FixedProb(0.0).sample(rng(), 1 << 31, 3)


@pytest.mark.parametrize("word", FORMATS)
def test_the_format_is_an_attribute(word):
    assert FixedProb(0.1, format=word).format == word


@pytest.mark.parametrize(
    "rule, text",
    [
        (FixedProb(0.02, weight=6 * u.nS), "FixedProb(0.02, weight=6 nS)"),
        (FixedOutDegree(100, multapses=False, format="csr"), "FixedOutDegree(100, format='csr', multapses=False)"),
        (FixedTotal(7, weight=Normal(1 * u.nS, 0.1 * u.nS)), "FixedTotal(7, weight=Normal(1 nS, 0.1 nS))"),
        (AllToAll(), "AllToAll()"),
        (FromPairs(np.arange(5), np.arange(5), weight=np.ones(5) * u.mV), "FromPairs(<array 5>, <array 5>, weight=<array 5 mV>)"),
        (FromMatrix(DENSE * u.nS), "FromMatrix(<array 3x4>, weight=<array 4 nS>)"),
    ],
)
def test_repr_is_short(rule, text):
    assert repr(rule) == text


DIFFERENT = [
    FixedProb(0.1),
    FixedProb(0.2),
    FixedProb(0.1, weight=2.0),
    FixedProb(0.1, weight=1 * u.nS),
    FixedProb(0.1, weight=Normal(1, 1)),
    FixedProb(0.1, weight=np.array([1.0, 2.0])),
    FixedProb(0.1, weight=np.array([1.0, 3.0])),
    FixedProb(0.1, format="csr"),
    FixedProb(0.1, autapses=False),
    FixedOutDegree(3),
    FixedInDegree(3),
    FromPairs([0, 1], [1, 0]),
    FromPairs([0, 1], [1, 1]),
    FromMatrix(DENSE),
    FromMatrix(DENSE * 2),
    FromMatrix(DENSE != 0),
    FromMatrix(DENSE.T),
]


def test_equality_is_by_value():
    copies = [
        type(rule)(**{name: getattr(rule, name) for name, field in rule.__dataclass_fields__.items() if field.init})
        for rule in DIFFERENT[:13]
    ]
    for i, first in enumerate(DIFFERENT):
        for j, second in enumerate(DIFFERENT):
            assert (first == second) == (i == j)
    for rule, copy in zip(DIFFERENT, copies):
        assert rule == copy and hash(rule) == hash(copy)
    assert FromMatrix(DENSE) == FromMatrix(sparse.coo_array(DENSE))
    assert FixedProb(0.1, weight=1 * u.nS) == FixedProb(0.1, weight=1000 * u.psiemens)
    assert FixedProb(0.1) != "FixedProb(0.1)"


def test_a_new_rule_is_one_small_class():
    @dataclass(frozen=True, repr=False, eq=False)
    class Ring(Rule):
        """Connect each neuron to the next."""

        step: int

        def _check(self):
            self._check_count("step")

        def sample(self, rng, n_pre, n_post, *, shift=None):
            return np.arange(n_pre + 1), ((np.arange(n_pre) + self.step) % n_post).astype(np.int32)

    rule = Ring(1, weight=2 * u.nS)
    assert repr(rule) == "Ring(1, weight=2 nS)" and rule == Ring(1, weight=2 * u.nS)
    np.testing.assert_array_equal(counts_of(rule, 0, 3, 3), np.roll(np.eye(3), 1, axis=1))
    with pytest.raises(ValueError, match=r"Ring: step is -1, but expected a whole number, at least 0"):
        Ring(-1)
