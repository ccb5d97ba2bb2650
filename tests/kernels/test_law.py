"""The law of just-in-time connectivity: its generator, tables and bits, and that what it draws has the distribution it promises."""

import hashlib
import itertools

import jax
import jax.numpy as jnp
import law_oracle
import numpy as np
import pytest
from scipy import stats
from tables import DRAWN, DRAWN_BACKENDS, HERE, needs_numba, rolled_philox, thorough

import brainevent as be
from brainevent.core import law

SIGNIFICANCE = 1e-3  # of every test of a distribution; the seeds are fixed
PROBS = (1e-4, 1e-3, 0.02, 0.1, 0.3, 0.5, 0.9, 0.99)


# -- the generator -------------------------------------------------------------------------------------------------------------

ONES = 0xFFFFFFFF
PHILOX = [  # counter, key, words: the known answers published with Random123
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ONES,) * 4, (ONES,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize("counter, key, words", PHILOX)
def test_philox_gives_the_published_answers(counter, key, words):
    assert law_oracle.philox(counter, key) == words
    for philox in (law.philox, rolled_philox):
        assert tuple(map(int, philox(tuple(map(jnp.uint32, counter)), tuple(map(jnp.uint32, key))))) == words


@needs_numba
def test_philox_in_machine_code_is_the_same():
    import numba

    from brainevent.backends.numba.kernels import law as numba_law

    words, fill = np.zeros(64, np.uint32), numba_law.fill
    numba.njit(lambda *arguments: fill(*arguments))(words, 64, np.uint64(2**32 - 7), np.uint64(3), np.uint64(2**31 + 5), np.uint64(11))
    want = [law_oracle.philox((11 + block, 2**31 + 5, 3, 0), (2**32 - 7, law.VERSION)) for block in range(16)]
    assert words.tolist() == list(itertools.chain(*want))


def test_upper_words_of_products():
    rng = np.random.default_rng(0)
    a = np.concatenate([rng.integers(0, 1 << 32, 1000), [0, 1, ONES, 0xFFFF, 0x10000]]).astype(np.uint32)
    for m in (*law.MULTIPLIERS, ONES, 1):
        assert np.array_equal(law.split_high(jnp.asarray(a), m), (a.astype(np.uint64) * np.uint64(m)) >> np.uint64(32))


# -- the tables ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prob", [0.0, 1e-12, 1e-6, *PROBS, 1.0])
def test_a_gap_table_is_geometric_to_two_to_the_minus_32(prob):
    counts = law_oracle.probabilities(law.gap_table(prob))
    gaps = np.arange(1, counts.size)
    assert counts.sum() == 1 << 32
    exact = np.exp(np.log1p(-prob) * (gaps - 1)) * prob * 2.0**32 if prob < 1 else (gaps == 1) * 2.0**32
    rounding = 1e-12 * 2**32 * max(1, counts.size / 1e4)  # of the float64 on the right
    assert np.abs(counts[1:] - exact).max() <= 1 + rounding  # the difference of two numbers that are rounded each
    assert abs(counts[0] - (1 - prob) ** (counts.size - 1) * 2.0**32) <= 0.5 + rounding


@pytest.mark.parametrize("prob", [0.003, 0.02, 0.1, 0.3, 0.6, 0.9, 0.99])
def test_every_pair_is_connected_with_probability_p(prob):
    """The renewal equation of the rounded table: the probability of a synapse at the j-th position of a chunk, for every j."""
    f = law_oracle.probabilities(law.gap_table(prob)).astype(np.longdouble) / 2**32
    beyond, n = f.size - 1, 2000
    reached, synapse = np.zeros(n + 1, np.longdouble), np.zeros(n + 1, np.longdouble)
    reached[0] = 1
    for j in range(1, n + 1):
        d = np.arange(1, min(beyond, j) + 1)
        synapse[j] = (f[d] * reached[j - d]).sum()
        reached[j] = synapse[j] + (f[0] * reached[j - beyond] if j >= beyond else 0)
    assert np.abs(synapse[1:] - np.longdouble(prob)).max() <= 2.0**-32


def test_the_normal_table_is_normal():
    """Moments of nodes and triangles, and the distribution function at the nodes, where half of a triangle lies below."""
    p = law_oracle.probabilities(law.normal_table()) / 2.0**32
    h = 1 / law.NODES_PER_STD
    z = (np.arange(p.size) - p.size // 2) * h
    assert p.sum() == 1 and np.array_equal(p[1:], p[1:][::-1])  # symmetric: the mean is 0
    rounding = 2.0**-33  # of every node
    assert abs((p * z**2).sum() + h**2 / 6 - 1) < rounding * (z[p > 0] ** 2).sum()
    assert abs((p * (z**4 + z**2 * h**2 + h**4 / 15)).sum() - 3) < rounding * (z[p > 0] ** 4).sum() + h**4 / 60
    assert np.abs(np.cumsum(p) - p / 2 - stats.norm.cdf(z)).max() < 1e-6
    assert np.abs(z[p > 0]).max() + h < 6.35


def test_the_span_of_a_chunk_holds_enough_synapses():
    for prob in PROBS:
        span = law.span(prob)
        assert span & (span - 1) == 0 and span * prob >= 256 and (span == 256 or span * prob < 512)
    assert (law.span(0.0), law.span(1.0), law.span(1e-9)) == (1 << 24, 256, 1 << 24)


# -- the bits ------------------------------------------------------------------------------------------------------------------

GOLDEN = {
    "JITCHomoR": "fdf4430084142e91",
    "JITCHomoC": "c748a225124d1e4e",
    "JITCNormalR": "332a381530d3ebb3",
    "JITCNormalC": "ec44498782d06c28",
    "JITCUniformR": "20babc78c239580b",
    "JITCUniformC": "dbf10b69e439cf86",
}
# XLA takes ten seconds to compile all of these; what it draws is compared with the oracle in `test_products.py` too
BRIEFLY = [pytest.param(n, b, marks=thorough if b == "xla" and len(HERE) > 1 else ()) for n, b in DRAWN_BACKENDS]
MATRICES = {  # options of a matrix with chunks, a remainder of a chunk, and lines of few synapses
    "rows": {"shape": (3, 1500), "prob": 0.3},
    "columns": {"shape": (1100, 2), "prob": 0.6, "corder": True},
    "by the other axis": {"shape": (20, 33), "prob": 0.1, "corder": False},
    "no autapses": {"shape": (40, 40), "prob": 0.8, "skip_diagonal": 0},
    "no diagonal above": {"shape": (6, 700), "prob": 0.9, "skip_diagonal": 511},
    "no diagonal below": {"shape": (700, 6), "prob": 0.9, "skip_diagonal": -690},
    "few": {"shape": (50, 3000), "prob": 1e-4},
    "negative seed": {"shape": (4, 50), "prob": 0.5, "seed": -3},
}


def drawn(name, backend=None, **options):
    cls, parameters = DRAWN[name]
    options = dict(options)
    parameters = *map(jnp.float32, parameters), options.pop("prob"), options.pop("seed", 20261125)
    return cls(parameters, backend=backend, **options)


def documented(A):
    """The matrix by the oracle, weights formed in float32 as documented: one product, one sum, each rounded; and its coordinates."""
    row, col, basis = law_oracle.synapses(A)
    data = np.asarray(A.data).reshape(-1)
    weights = data[0] + data[1] * basis[1].astype(np.float32) if A.kind else np.broadcast_to(data[0], row.size)
    matrix = np.zeros(A.shape, np.float32)
    matrix[row, col] = weights
    assert weights.dtype == np.float32
    return matrix, row, col


@pytest.mark.parametrize("name, backend", BRIEFLY)
def test_the_bits_are_those_of_the_documented_law(name, backend):
    """And they never change but with its version: the hashes were taken when version 1 was made."""
    assert law.VERSION == 1
    digest = hashlib.sha256()
    for options in MATRICES.values():
        A = drawn(name, backend, **options)
        want, row, col = documented(A)
        dense = np.ascontiguousarray(A.todense())
        digest.update(dense.tobytes())
        assert np.array_equal(dense, want)
        assert np.array_equal(A.tocsr().toscipy().toarray(), want) and np.array_equal(A.tocoo().T.todense(), want.T)
        assert np.array_equal(A.T.todense(), want.T) and np.array_equal(A.T.T.todense(), want)
        if A.skip_diagonal is not None:
            assert not want.diagonal(A.skip_diagonal).any()
        assert np.array_equal(A.degrees(0), np.bincount(row, minlength=A.shape[0]))
        assert np.array_equal(A.degrees(1), np.bincount(col, minlength=A.shape[1])) and A.nse == row.size
    assert digest.hexdigest()[:16] == GOLDEN[name]


@needs_numba
def test_batches_of_words_leave_no_trace(monkeypatch):
    """A chunk drawn in batches of 4, 32, 32, ... words instead of one; in some lines a batch ends at the diagonal that is skipped."""
    A = drawn("JITCNormalR", "numba", shape=(300, 300), prob=0.6, skip_diagonal=0)
    want = np.asarray(A.todense())
    monkeypatch.setattr(law, "likely_words", lambda prob, positions: 4)
    assert np.array_equal(jax.jit(lambda x, A: x @ A)(jnp.eye(300), A), want)


@pytest.mark.usefixtures("rolled", "optimised")
@pytest.mark.parametrize("name, backend", BRIEFLY)
def test_products_have_the_same_bits(name, backend):
    """Every kernel, one synapse at a time: products with unit vectors are the rows and columns of the stored matrix, to the bit."""
    A = drawn(name, backend, shape=(4, 700), prob=0.5) if name.endswith("R") else drawn(name, backend, shape=(700, 4), prob=0.5)
    for B in (A, A.T, abs(A)) if name.endswith("R") else (A,):  # A.T is of the other class
        dense = np.asarray(B.todense())
        if B is A:
            assert np.array_equal(dense, documented(A)[0])
        i, j = np.arange(4) % B.shape[0], np.array([0, 3, 2, 1]) + (B.shape[1] - 4)
        rows, columns = np.eye(B.shape[0], dtype=np.float32)[i], np.eye(B.shape[1], dtype=np.float32)[j]

        @jax.jit
        def products(B, rows, columns, i=i):
            return {
                "events @ A": be.EventArray(rows[1] != 0) @ B,
                "floats @ A": rows[1] @ B,
                "rows @ A": rows @ B,
                "A @ events": B @ be.EventArray(columns[1] != 0),
                "A @ floats": B @ columns[1],
                "A @ columns": B @ columns.T,
                "vmap": jax.vmap(lambda x: x @ B)(rows),
                "A[i]": B[i[1]],
                "A[ids]": B[i],
            }

        want = {"events @ A": dense[i[1]], "floats @ A": dense[i[1]], "rows @ A": dense[i], "A @ events": dense[:, j[1]]}
        want |= {"A @ floats": dense[:, j[1]], "A @ columns": dense[:, j], "vmap": dense[i], "A[i]": dense[i[1]], "A[ids]": dense[i]}
        for law_name, got in products(B, rows, columns).items():
            assert np.array_equal(got, want[law_name]), (law_name, B)


def test_transposes_and_orders():
    """A transpose is the same matrix; R and C formats of one seed are each other's transposes; `corder` chooses the axis."""
    for kind in ("Homo", "Normal", "Uniform"):
        R, C = drawn(f"JITC{kind}R", shape=(30, 40), prob=0.3), drawn(f"JITC{kind}C", shape=(40, 30), prob=0.3)
        dense = np.asarray(R.todense())
        assert type(R.T) is type(C) and np.array_equal(R.T.todense(), dense.T) and np.array_equal(C.todense(), dense.T)
        assert np.array_equal(R.T.T.todense(), dense) and type(R.T.T) is type(R)
        by_column = drawn(f"JITC{kind}R", shape=(40, 30), prob=0.3, corder=True)
        assert np.array_equal(by_column.todense(), dense.T) and by_column.corder and not R.corder
        assert np.array_equal(drawn(f"JITC{kind}C", shape=(30, 40), prob=0.3, corder=False).todense(), dense)
        assert np.array_equal(by_column.T.todense(), dense) and not by_column.T.corder


@needs_numba
@pytest.mark.parametrize("name", ["JITCHomoR", "JITCNormalR"])
def test_threads_do_not_change_a_bit(name, monkeypatch):
    from brainevent.backends.numba import jitc as numba_jitc

    A = drawn(name, shape=(300, 3000), prob=0.4, backend="numba")
    rng = np.random.default_rng(0)
    x, y = rng.random(300) < 0.9, rng.normal(size=(3000, 2)).astype(np.float32)
    runs = {
        "events @ A": lambda A: be.EventArray(x) @ A,
        "A @ floats": lambda A: A @ y[:, 0],
        "rows @ A": lambda A: np.stack([x, ~x]) * 0.3 @ A,
        "A @ columns": lambda A: A @ y,
        "gradient": jax.grad(lambda A: (jnp.sin(A @ y) * 0.3).sum(), allow_int=True),
    }
    if not A.kind:
        del runs["gradient"]  # a dot product of two results, which XLA sums
    results = []
    for threads in (1, 2, 3):
        monkeypatch.setattr(numba_jitc, "threads", lambda n=threads: (n, "patched"))
        compiled = {key: jax.jit(lambda A, run=run: run(A)) for key, run in runs.items()}
        for key, run in compiled.items():
            assert ("_threaded" in run.lower(A).as_text()) is (threads > 1), key
        results.append({key: jax.tree.leaves(run(A))[0] for key, run in compiled.items()})
    for key in runs:
        assert all(np.array_equal(results[0][key], other[key]) for other in results[1:]), key


# -- the distributions ---------------------------------------------------------------------------------------------------------


def ids(prob, shape, seed, kind="Homo"):
    """CSR of a large matrix: `(row, col, weights)`."""
    A = drawn(f"JITC{kind}R", shape=shape, prob=prob, seed=seed).tocsr()
    return np.asarray(A.lines()), np.asarray(A.indices), np.asarray(A.per_synapse())


def chi_square(observed, expected, fitted=0):
    """The p-value of counts, cells merged from the left until each expects at least 10."""
    merged, o, e = [], 0.0, 0.0
    for seen, mean in zip(observed, expected):
        o, e = o + seen, e + mean
        if e >= 10:
            merged.append((o, e))
            o = e = 0.0
    merged[-1] = merged[-1][0] + o, merged[-1][1] + e
    o, e = np.array(merged).T
    return stats.chi2.sf(((o - e) ** 2 / e).sum(), len(e) - 1 - fitted)


def size_for(prob):
    """A shape with about 60,000 synapses, or as many as fit."""
    n = int(min(1e6, max(3000, 300 / prob)))
    return max(50, int(60_000 / (n * prob))), n


@pytest.mark.parametrize("prob", PROBS)
def test_density_degrees_and_gaps(prob):
    n_pre, n_post = size_for(prob)
    row, col, _ = ids(prob, (n_pre, n_post), seed=1)
    assert stats.binomtest(row.size, n_pre * n_post, prob).pvalue > SIGNIFICANCE
    out, into = np.bincount(row, minlength=n_pre), np.bincount(col, minlength=n_post)
    for degrees, n in ((out, n_post), (into, n_pre)):
        top = degrees.max() + 1
        expected = np.append(stats.binom.pmf(np.arange(top), n, prob), stats.binom.sf(top - 1, n, prob)) * degrees.size
        assert chi_square(np.bincount(degrees, minlength=top + 1), expected) > SIGNIFICANCE
    assert abs(out.var() / (n_post * prob * (1 - prob)) - 1) < 5 * (2 / n_pre) ** 0.5
    index = row.astype(np.int64) * n_post + col  # pair after pair: the gaps across rows are geometric too
    gaps = np.diff(index)
    top = int(stats.geom.isf(1e-5, prob))
    expected = np.append(stats.geom.pmf(np.arange(1, top), prob), stats.geom.sf(top - 1, prob)) * gaps.size
    assert chi_square(np.bincount(np.minimum(gaps, top), minlength=top + 1)[1:], expected) > SIGNIFICANCE
    assert stats.chisquare(np.histogram(col, 20, (0, n_post))[0]).pvalue > SIGNIFICANCE if n_post % 20 == 0 else True


def joint(a, b, prob):
    """The p-value that two Boolean matrices are independent: the four counts of a pair against their means."""
    observed = [np.count_nonzero(x & y) for x, y in itertools.product((a, ~a), (b, ~b))]
    means = np.array([prob**2, prob * (1 - prob), prob * (1 - prob), (1 - prob) ** 2]) * a.size
    return stats.chi2.sf(((observed - means) ** 2 / means).sum(), 4)


@pytest.mark.parametrize("prob", [0.05, 0.5, 0.9])
def test_rows_seeds_and_chunks_are_independent(prob):
    def dense(**options):
        return np.asarray(drawn("JITCHomoR", shape=(500, 2000), prob=prob, **options).todense()) != 0

    A = dense(seed=7)
    span = law.span(prob)
    pairs = {
        "adjacent rows": (A[1:], A[:-1]),
        "rows two apart": (A[2:], A[:-2]),
        "adjacent rows, shifted": (A[1:, :-1], A[:-1, 1:]),
        "adjacent seeds": (A, dense(seed=8)),
        "adjacent seeds, shifted by a row": (A[:-1], dense(seed=8)[1:]),  # where the seed of a row is a sum, these are one matrix
        "seeds of one bit": (A, dense(seed=7 + (1 << 31))),
        "adjacent positions": (A[:, 1:], A[:, :-1]),
        "rows and columns": (A[:500, :500], A[:500, :500].T & ~np.eye(500, dtype=bool) | np.eye(500, dtype=bool) & A[:500, 1:501]),
        "R and C": (A[:, :500], np.asarray(drawn("JITCHomoC", shape=(500, 500), prob=prob, seed=7).todense()) != 0),
    }
    if span < 1000:
        pairs["adjacent chunks"] = A[:, :span], A[:, span : 2 * span]
    off = ~np.eye(500, dtype=bool)
    for name in ("rows and columns", "R and C"):  # the diagonal is the same in both
        pairs[name] = pairs[name][0][off], pairs[name][1][off]
    for name, (a, b) in pairs.items():
        if name == "rows and columns":  # each pair of pairs comes twice
            upper = np.triu_indices(500, 1)
            a, b = A[:500, :500][upper], A[:500, :500].T[upper]
        assert joint(a, b, prob) > SIGNIFICANCE, name


@pytest.mark.parametrize("kind", ["Normal", "Uniform"])
def test_weights_have_their_distribution_wherever_they_are(kind):
    row, col, w = ids(0.1, (1000, 4000), seed=3, kind=kind)
    own = stats.norm(0.25, 1.5) if kind == "Normal" else stats.uniform(-1, 2.5)
    assert w.size > 390_000 and stats.kstest(w, own.cdf).pvalue > SIGNIFICANCE
    assert stats.kstest(w[::7], own.cdf).pvalue > SIGNIFICANCE and np.unique(w).size > 0.96 * w.size
    rank = own.cdf(w)
    for place in (row, col, np.diff(col, prepend=0), (row + col) % 2, np.arange(w.size) % 4):
        slope = stats.pearsonr(rank, place)
        assert slope.pvalue > SIGNIFICANCE
    assert stats.pearsonr(rank[1:], rank[:-1]).pvalue > SIGNIFICANCE  # neighbours of a row
    assert stats.pearsonr((rank[1:] - 0.5) ** 2, (rank[:-1] - 0.5) ** 2).pvalue > SIGNIFICANCE
    _, _, other = ids(0.1, (1000, 4000), seed=4, kind=kind)
    n = min(w.size, other.size)
    assert stats.pearsonr(w[:n], other[:n]).pvalue > SIGNIFICANCE
    dense = np.asarray(drawn(f"JITC{kind}R", shape=(300, 300), prob=1.0, seed=3).todense())
    upper = np.triu_indices(300, 1)
    assert stats.pearsonr(dense[upper], dense.T[upper]).pvalue > SIGNIFICANCE
    assert stats.pearsonr(dense[1:].ravel(), dense[:-1].ravel()).pvalue > SIGNIFICANCE


def test_normal_weights_have_tails():
    """4 million weights: as many beyond 3, 4 and 4.5 standard deviations as there should be."""
    z = ids(1.0, (2000, 2000), seed=5, kind="Normal")[2].astype(np.float64)
    z = (z - 0.25) / 1.5
    for bound in (3, 4, 4.5):
        assert stats.binomtest(int((np.abs(z) > bound).sum()), z.size, 2 * stats.norm.sf(bound)).pvalue > SIGNIFICANCE
    assert abs(z.mean()) < 4 / z.size**0.5 and abs(z.var() - 1) < 4 * (2 / z.size) ** 0.5
    assert abs((z**4).mean() - 3) < 4 * (96 / z.size) ** 0.5
