"""Delays of single synapses and of single pre neurons: against a replay of the spikes by numpy, and an unrolled dense model."""

import copy
import importlib.util
import pickle
import re
import warnings

import brainstate
import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
from oracles import assert_close
from tables import HERE, build, needs_numba

import brainevent as be
from brainevent.core import law, one_pass, updates
from brainevent.projections import (
    COBA,
    LIF,
    Constant,
    Delta,
    Expon,
    Exponential,
    FixedOutDegree,
    FixedProb,
    FromPairs,
    Gamma,
    LogNormal,
    Network,
    Normal,
    OneToOne,
    Poisson,
    Projection,
    TruncNormal,
    Uniform,
)
from brainevent.projections.delays import Delay, by_delay

DT, N_PRE, N_POST, N_SYN = 0.1, 40, 30, 300
POST = {"V_th": 100 * u.mV, "V_rest": 0 * u.mV, "V_reset": 0 * u.mV, "name": "post"}


def pairs(seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, N_PRE, N_SYN), rng.integers(0, N_POST, N_SYN), rng.normal(size=N_SYN) * 0.5


def replayed(spikes, parts, n_steps):
    """V of the post neurons after each step: `parts` are (row, col, weight, steps) of jumps that the spikes, (times, ids), make."""
    times, ids = spikes
    spikes = np.zeros((n_steps, N_PRE))
    spikes[np.rint(times / DT).astype(int) - 1, ids] = 1
    V, rows = np.zeros(N_POST), []
    for step in range(n_steps):
        V = V * np.exp(-DT / 20)
        for row, col, w, k in parts:
            due = np.where(step >= k, spikes[np.maximum(step - k, 0), row], 0)
            V = V + np.bincount(col, w * due, N_POST)
        rows.append(V)
    return np.array(rows)


def spikes_of(run, pre):
    times, ids = run.spikes(pre)
    return times.to_decimal(u.ms), ids


@pytest.mark.parametrize("backend", HERE)
@pytest.mark.parametrize("each", [True, False], ids=["a synapse", "a pre neuron"])
def test_each_spike_arrives_in_its_step(backend, each):
    """Repeated pairs, delays of none and beyond 8 bits, several runs: every jump of V in the step of its own delay."""
    row, col, w = pairs()
    rng = np.random.default_rng(1)
    steps = rng.choice([0, 1, 2, 7, 40, 300], N_SYN if each else N_PRE)
    with jax.enable_x64(True):
        pre, post = Poisson(N_PRE, rate=300 * u.Hz, name="pre"), LIF(N_POST, **POST)
        projection = Projection(
            pre, FromPairs(row, col, weight=w * u.mV), Delta(), post, delay=(steps if each else steps[:, None]) * DT * u.ms
        )
        net = Network(projection, seed=1)
        runs = [net.run(t * u.ms, dt=DT * u.ms, record=[pre.spikes, post.V], progress=False, backend=backend) for t in (0.3, 29.7, 10)]
    times, ids = (np.concatenate(parts) for parts in zip(*(spikes_of(run, pre) for run in runs)))
    V = np.concatenate([run.state(post.V).mantissa for run in runs])
    want = replayed((times, ids), [(row, col, w, steps if each else steps[row])], 400)
    assert ids.size > 300
    np.testing.assert_allclose(V, want, rtol=0, atol=1e-11)
    assert net.first_step == 400 and projection.path_counts.sum() == 400


@pytest.mark.parametrize("before", ["one", "each", "rows"])
@pytest.mark.parametrize("after", ["one", "each", "rows"])
def test_a_delay_that_changes_keeps_the_spikes_under_way(before, after):
    """Spikes of before the change arrive by the delay of before, those of after by that of after; other projections go on."""
    row, col, w = pairs()
    rng = np.random.default_rng(2)

    def drawn(kind):
        steps = {"one": rng.integers(1, 50), "each": rng.integers(0, 60, N_SYN), "rows": rng.integers(0, 60, (N_PRE, 1))}[kind]
        return steps * DT * u.ms, np.broadcast_to(steps[row, 0] if kind == "rows" else steps, N_SYN)

    (first, k_first), (second, k_second) = drawn(before), drawn(after)
    with jax.enable_x64(True):
        pre, post = Poisson(N_PRE, rate=300 * u.Hz, name="pre"), LIF(N_POST, **POST)
        changes = Projection(pre, FromPairs(row, col, weight=w * u.mV), Delta(), post, delay=first)
        stays = Projection(pre, FromPairs(col, row % N_POST, weight=w * u.mV), Delta(), post, delay=1.7 * u.ms)
        net = Network(changes, stays, seed=1)
        runs = [net.run(8 * u.ms, dt=DT * u.ms, record=[pre.spikes, post.V], progress=False)]
        changes.delay = second
        runs.append(net.run(12 * u.ms, record=[pre.spikes, post.V], progress=False))
        assert np.allclose(np.asarray(changes.delay.to_decimal(u.ms)).reshape(-1), second.to_decimal(u.ms).reshape(-1))
    times, ids = (np.concatenate(parts) for parts in zip(*(spikes_of(run, pre) for run in runs)))
    old = times < 8.05
    rest = [(col, row % N_POST, w, np.full(N_SYN, 17))]
    want = replayed((times[old], ids[old]), [(row, col, w, k_first)], 200)
    want = want + replayed((times[~old], ids[~old]), [(row, col, w, k_second)], 200) + replayed((times, ids), rest, 200)
    V = np.concatenate([run.state(post.V).mantissa for run in runs])
    np.testing.assert_allclose(V, want, rtol=0, atol=1e-11)


def test_reset_forgets_what_is_under_way():
    pre, post = LIF(1, V_init=-40 * u.mV, name="pre"), LIF(2, name="post")
    projection = Projection(pre, FromPairs([0, 0], [0, 1], weight=1 * u.mV), Delta(), post, delay=[0.5, 1] * u.ms)
    net = Network(projection)
    first = net.run(2 * u.ms, dt=DT * u.ms, record=[post.V], progress=False).state(post.V).mantissa
    assert (first != -65).argmax(0).tolist() == [5, 10]
    net.reset()
    assert np.array_equal(net.run(2 * u.ms, record=[post.V], progress=False).state(post.V).mantissa, first)
    net.reset()
    net.run(0.3 * u.ms, progress=False)
    projection.delay = 0.2 * u.ms  # the spike under way keeps its two delays
    V = net.run(1.7 * u.ms, record=[post.V], progress=False).state(post.V).mantissa
    assert (V != -65).argmax(0).tolist() == [2, 7]
    net.reset()
    V = net.run(1 * u.ms, record=[post.V], progress=False).state(post.V).mantissa
    assert (V != -65).argmax(0).tolist() == [2, 2]


@pytest.mark.parametrize("backend", HERE)
@pytest.mark.parametrize("name", ["CSR", pytest.param("FixedPostNumConn", marks=pytest.mark.thorough)])
@pytest.mark.parametrize("longest", [5, pytest.param(300, marks=pytest.mark.thorough)])
def test_enqueue_and_collect(name, longest, backend):
    """A ring by numpy: windows, one weight for all, few and many spikes, 8 and 16 bits; and the same bits for any number of threads."""
    rng = np.random.default_rng(3)
    with jax.enable_x64(True), be.backend(backend):
        A = build(name, (40, 30), nse=240, dtype=np.float64).A
        steps = rng.integers(0, longest + 1, A.nse)
        B, delays, order = by_delay(A, steps)
        row, col = (np.asarray(ids) for ids in B.coordinates())
        assert np.array_equal(row, np.asarray(A.coordinates()[0])) and delays.steps.dtype == (np.uint8 if longest < 256 else np.uint16)
        key = row.astype(np.int64) * 1000 + np.asarray(delays.steps)
        assert (np.diff(key) >= 0).all() and np.array_equal(np.asarray(delays.steps), steps[order])
        slots = 1 << int(steps.max()).bit_length()
        for matrix in (B, B.with_data(jnp.asarray(0.7))):
            run = jax.jit(
                lambda ring, A, s, place: updates.enqueue(ring, jnp.zeros(3, jnp.int32), A, delays, s, place, window=(3, 43, 2, 32))
            )
            ring, w = rng.normal(size=(slots, 37)), np.broadcast_to(np.asarray(matrix.data).reshape(-1), A.nse)
            for place, active in ((0, 0.1), (slots + 2, 1.0), (-3, 0.5), (2**31 - 1, 0.0)):
                spikes = rng.random(48) < active
                got, counts = run(jnp.asarray(ring), matrix, spikes, jnp.int32(place))
                want = ring.copy()
                hit = spikes[3:43][row]
                np.add.at(want, ((place + steps[order][hit]) % slots, 2 + col[hit]), w[hit])
                assert_close(got, want, np.float64, 20, 4)
                assert counts.sum() == 1
        target, decay = rng.normal(size=37), rng.random(37)
        for factor, by in ((None, 1), (0.9, 0.9), (decay, decay)):
            after, left = jax.jit(lambda t, r, f=factor: updates.collect(t, r, jnp.int32(slots + 1), decay=f))(target, ring)
            assert_close(after, target * by + ring[1 % slots], np.float64, 4, 4)
            assert not np.asarray(left)[1 % slots].any() and np.array_equal(np.delete(left, 1 % slots, 0), np.delete(ring, 1 % slots, 0))


@needs_numba
def test_threads_share_out_the_delays(monkeypatch):
    """Long rows, so that several threads take part where they may: the same bits."""
    from brainevent.backends.numba import deposit

    rng = np.random.default_rng(4)
    indices = np.sort(rng.integers(0, 500, (20, 900)), 1)
    A = be.FixedPostNumConn(jnp.asarray(rng.normal(size=indices.shape), jnp.float32), indices, shape=(20, 500), backend="numba")
    (B, delays, _), results = by_delay(A, rng.integers(0, 50, A.nse)), []
    monkeypatch.setattr(deposit, "THREADED_WORK", 1000)
    for n in (1, 2, 3):
        monkeypatch.setattr(deposit, "threads", lambda n=n: (n, "patched"))
        run = jax.jit(lambda r, s, n=n: updates.enqueue(r, jnp.zeros(3, jnp.int32), B, delays, s, jnp.int32(7), window=(0, 20, 0, 500))[0])
        ring = jnp.zeros((64, 500), jnp.float32)
        assert ("enqueue_threaded" in run.lower(ring, np.ones(20, bool)).as_text()) is (n > 1)
        results.append(run(ring, np.ones(20, bool)))
    assert all(np.array_equal(results[0], other) for other in results[1:])
    assert_close(results[0].sum(0), np.asarray(B.todense(), np.float64).sum(0).astype(np.float32), np.float32, 100, 4)


def unrolled(w, V0, row, col, steps, spikes, factor):
    """A dense model of the same: V after each step of a current that jumps and decays."""
    V, g = V0, jnp.zeros(N_POST)
    rows = []
    for step in range(len(spikes)):
        V = V * np.exp(-DT / 20) + factor * g
        g = g * np.exp(-DT / 5)
        g = g.at[col].add(w * np.where(step >= steps, spikes[np.maximum(step - steps, 0), row], 0))
        rows.append(V)
    return jnp.stack(rows)


@pytest.mark.parametrize("backend", HERE)
def test_derivatives_through_delays(backend):
    """With respect to the weights, in both modes, through a loop of the user's own: those of the unrolled dense model."""
    row, col, w = pairs(5)
    rng = np.random.default_rng(6)
    steps, spikes = rng.integers(0, 12, N_SYN), rng.random((25, N_PRE)) < 0.2
    order = np.lexsort((col, row))
    row, col, steps, w = row[order], col[order], steps[order], w[order]
    with jax.enable_x64(True), be.backend(backend):
        A = be.CSR.from_coordinates(jnp.asarray(w), row, col, shape=(N_PRE, N_POST))
        B, delays, place = by_delay(A, steps)
        weigh = jnp.asarray(rng.normal(size=(25, N_POST)))

        def loss(w):
            matrix = B.with_data(w[place])

            def step(carry, i_spikes):
                V, g, ring, counts = carry
                i, fired = i_spikes
                V, g = V * np.exp(-DT / 20) + 0.3 * g, g
                ring, counts = updates.enqueue(ring, counts, matrix, delays, fired, i, window=(0, N_PRE, 0, N_POST))
                g, ring = updates.collect(g, ring, i, decay=np.exp(-DT / 5))
                return (V, g, ring, counts), V

            start = jnp.zeros(N_POST), jnp.zeros(N_POST), jnp.zeros((16, N_POST)), jnp.zeros(3, jnp.int32)
            rows = jax.lax.scan(step, start, (jnp.arange(25, dtype=jnp.int32), spikes))[1]
            return jnp.sum(jnp.sin(rows) * weigh)

        def dense(w):
            return jnp.sum(jnp.sin(unrolled(w, jnp.zeros(N_POST), row, col, steps, spikes, 0.3)) * weigh)

        direction = rng.normal(size=N_SYN)
        assert_close(jax.jit(jax.grad(loss))(w), jax.grad(dense)(w), np.float64, 200, 10)
        got, want = (jax.jit(lambda w, f=f: jax.jvp(f, (w,), (direction,)))(w) for f in (loss, dense))
        assert_close(got[0], want[0], np.float64, 1000, 10)
        assert_close(got[1], want[1], np.float64, 1000, 100)


def test_steps_of_ones_own_are_the_run():
    """`net.step` under `brainstate.transform`, and copies and pickles of a network in the middle of a run."""
    row, col, w = pairs()

    def made():
        pre, post = Poisson(N_PRE, rate=300 * u.Hz, name="pre"), LIF(N_POST, **POST)
        return post, Network(
            Projection(pre, FromPairs(row, col, weight=w * u.mV), Delta(), post, delay=Uniform(0 * u.ms, 3 * u.ms)), seed=3, dt=DT * u.ms
        )

    post, net = made()
    want = net.run(5 * u.ms, record=[post.V], progress=False).state(post.V).mantissa
    post, net = made()
    V = brainstate.transform.for_loop(lambda i: (net.step(), post.V.value)[1], np.arange(20))
    np.testing.assert_array_equal(V.mantissa, want[:20])
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        mine = next(p for p in twin.populations if p.label == "post")
        np.testing.assert_array_equal(twin.run(3 * u.ms, record=[mine.V], progress=False).state(mine.V).mantissa, want[20:])


# -- how a delay is given ---------------------------------------------------------------------------------------------------------


def test_a_distribution_is_drawn_in_whole_steps():
    """About as many of each delay as the distribution says; none below 0; one seed gives one network; no warning of rounding."""
    N = LIF(500, name="N")
    rule, steps = FixedOutDegree(100, weight=1 * u.mV), np.arange(60)
    projection = Projection(N, rule, Delta(), N, delay=Normal(1.5 * u.ms, 0.75 * u.ms))
    net = Network(projection, seed=5)
    early = projection.delay.to_decimal(u.ms)
    assert early.shape == (50_000,) and early.min() >= 0
    net.run(0 * u.ms, dt=DT * u.ms, progress=False)
    delays = projection.delay.to_decimal(u.ms)
    np.testing.assert_allclose(np.sort(delays), np.sort(np.floor(early / DT + 0.5) * DT), atol=1e-12)
    from scipy import stats

    law = stats.truncnorm(-2, np.inf, 1.5, 0.75)
    expected = 50_000 * np.diff(law.cdf(np.maximum(np.append(steps - 0.5, np.inf) * DT, 0)))
    observed = np.bincount(np.rint(delays / DT).astype(int), minlength=60)
    common = expected >= 10
    assert stats.chisquare(*(np.append(x[common], x[~common].sum()) for x in (observed, expected))).pvalue > 1e-3
    again = Projection(N2 := LIF(500, name="N"), rule, Delta(), N2, delay=Normal(1.5 * u.ms, 0.75 * u.ms))
    Network(again, seed=5, dt=DT * u.ms)
    np.testing.assert_array_equal(again.delay.mantissa, projection.delay.mantissa)
    np.testing.assert_array_equal(again.weight.mantissa, projection.weight.mantissa)
    assert "0 to " in net.summary()
    frame = pytest.importorskip("pandas") and projection.to_dataframe()
    np.testing.assert_allclose(frame["delay (ms)"], delays)


def test_one_time_is_one_delay():
    N = LIF(3, name="N")
    for given in (1.5 * u.ms, [1.5] * u.ms, Constant(0.0015 * u.second)):
        projection = Projection(N, OneToOne(weight=1 * u.mV), Delta(), N, delay=given)
        assert projection.one_delay and projection.delay.to_decimal(u.ms) == pytest.approx(1.5)


@pytest.mark.parametrize("format", ["csr", "fixed"])
@pytest.mark.parametrize("given", ["rule", "scipy", "dense", "CSC", "COO"])
def test_every_matrix_can_have_them(format, given):
    """The synapses are stored by row; `pairs` says in which order delays and weights are read and set."""
    rng = np.random.default_rng(7)
    dense = rng.normal(size=(6, 5)) * (rng.random((6, 5)) < 0.6)
    A = {
        "rule": lambda: FixedOutDegree(3, weight=Uniform(0 * u.mV, 1 * u.mV), format=format),
        "scipy": lambda: be.CSR.fromscipy(scipy.sparse.coo_array(dense), unit=u.mV),
        "dense": lambda: dense * u.mV,
        "CSC": lambda: be.CSC.fromdense(dense * u.mV),
        "COO": lambda: be.COO.fromdense(dense * u.mV),
    }[given]()
    pre, post = LIF(6, name="pre"), LIF(5, name="post")
    projection = Projection(pre, A, Delta(), post, delay=Uniform(0 * u.ms, 2 * u.ms))
    net = Network(projection, seed=1, dt=DT * u.ms)
    row, col = projection.pairs()
    assert np.array_equal(np.lexsort((col, row)), np.arange(row.size))
    w = np.asarray(projection.weight.mantissa)
    if given != "rule":
        np.testing.assert_allclose(w, dense[row, col], rtol=1e-6)
    new, steps = rng.normal(size=row.size).astype(np.float32), rng.integers(0, 9, row.size)
    projection.weight, projection.delay = new * u.mV, steps * DT * u.ms
    assert np.array_equal(projection.weight.mantissa, new) and np.allclose(projection.delay.mantissa, steps * DT)
    matrix = np.zeros((6, 5), np.float32)
    np.add.at(matrix, (row, col), new)
    np.testing.assert_allclose(projection.to_scipy().toarray(), matrix, atol=1e-6)
    net.run(1 * u.ms, progress=False)


@pytest.mark.parametrize("format", ["csr", "csc", "coo", "dense"])
def test_weights_keep_the_order_of_the_given_pairs(format):
    """`FromPairs` out of order: what was given comes back, and the same array set again changes nothing."""
    pre, post, w = [2, 0, 1, 0], [0, 1, 2, 0], np.array([1.0, 2.0, 3.0, 4.0])
    N = LIF(3, name="N")
    projection = Projection(N, FromPairs(pre, post, weight=w * u.mV, format=format), Delta(), N)
    Network(projection)
    assert [ids.tolist() for ids in projection.pairs()] == [pre, post]
    assert projection.weight.mantissa.tolist() == w.tolist()
    matrix = np.zeros((3, 3))
    matrix[pre, post] = w
    assert np.array_equal(projection.to_scipy().toarray(), matrix)
    projection.weight = projection.weight
    assert np.array_equal(projection.to_scipy().toarray(), matrix)
    projection.weight = -w * u.mV
    assert np.array_equal(projection.to_scipy().toarray(), -matrix)
    with pytest.raises(ValueError, match=re.escape("N -> N: weight has shape (3,), expected a scalar, or (4,): one a synapse")):
        projection.weight = [1, 2, 3] * u.mV


def test_repeated_pairs_keep_their_own_delay():
    N = LIF(2, name="N")
    w, d = np.array([3.0, 1.0, 2.0]), np.array([0.5, 0.3, 0.4])
    projection = Projection(N, FromPairs([0, 0, 0], [1, 1, 1], weight=w * u.mV), Delta(), N, delay=d * u.ms)
    Network(projection, dt=DT * u.ms)
    assert projection.weight.mantissa.tolist() == w.tolist() and np.allclose(projection.delay.mantissa, d)
    projection.delay = d[::-1] * u.ms
    assert projection.weight.mantissa.tolist() == w.tolist() and np.allclose(projection.delay.mantissa, d[::-1])


@pytest.mark.parametrize("backend", HERE)
def test_drawn_matrices_have_one_a_pre_neuron(backend):
    """The same network as the stored one, to the bit on one backend."""
    results = []
    for format in ("jit", "csr"):
        pre, post = Poisson(N_PRE, rate=300 * u.Hz, name="pre"), LIF(N_POST, **POST)
        delay = np.arange(N_PRE)[:, None] * DT * u.ms
        projection = Projection(pre, FixedProb(0.2, weight=0.5 * u.mV, format=format), Delta(), post, delay=delay)
        net = Network(projection, seed=1)
        results.append(net.run(10 * u.ms, dt=DT * u.ms, record=[post.V], progress=False, backend=backend).state(post.V).mantissa)
        assert projection.delay.shape == (N_PRE,)
    assert np.abs(results[0]).max() > 0.5
    np.testing.assert_allclose(results[0], results[1], rtol=0, atol=1e-5)


BAD = {
    "negative": ([0.1, -0.25, 0.3] * u.ms, ValueError, "N -> N: delay is -0.25 ms at position 1, expected a time of at least 0 ms"),
    "NaN": ([0.1, np.nan, 0.3] * u.ms, ValueError, "N -> N: delay holds nan at position 1, but expected finite numbers"),
    "infinite": (np.inf * u.ms, ValueError, "N -> N: delay is inf, but expected real numbers, finite"),
    "no unit": ([0.1, 0.2, 0.3], u.UnitMismatchError, "N -> N: delay is a plain number, expected a unit like ms"),
    "a voltage": ([0.1, 0.2, 0.3] * u.mV, u.UnitMismatchError, "N -> N: delay is a value in mV, expected a unit like ms"),
    "a distribution of voltages": (Normal(1 * u.mV, 1 * u.mV), u.UnitMismatchError, "N -> N: delay is a value in mV"),
    "masked": (np.ma.array([1.0, 2, 3], mask=[0, 1, 0]), TypeError, "fill what is masked"),
    "complex": (np.array([1j, 2, 3]) * u.ms, TypeError, "pass the real part"),
    "objects": (np.array([1, 2, None]), TypeError, "N -> N: delay is"),
    "a matrix": (np.ones((3, 2)) * u.ms, ValueError, "delay is <array 3x2 ms>, expected one time, one a synapse, or one a pre neuron"),
    "a function": (lambda i: i, TypeError, "a function is not served here"),
    "too many": (np.ones(5) * u.ms, ValueError, "N -> N: delay has 5 times, expected one, 4 (one a synapse), or 3 (one a pre neuron)"),
    "rows that do not fit": (np.ones((4, 1)) * u.ms, ValueError, "N -> N: delay has 4 times"),
    "never a time": (Normal(-100 * u.ms, 1 * u.ms), ValueError, "expected a distribution of times of at least 0 ms"),
    "longer than 2^16 steps": ([0.1, 0.2, 0.3, 6553.6] * u.ms, ValueError, "65536 steps of dt = 0.1 ms, expected at most 65535 steps"),
    "one, longer than 2^16 steps": (7 * u.second, ValueError, "delay is 7000 ms, 70000 steps of dt"),
}  # fmt: skip
CONTROLS = {
    "integers": np.array([1, 2, 3, 4]) * u.ms,
    "big-endian": np.array([0.1, 0.2, 0.3, 0.4], ">f8") * u.ms,
    "half precision": np.array([0.5, 1, 2, 4], np.float16) * u.ms,
    "seconds": np.array([1, 2, 3, 4]) * 1e-3 * u.second,
    "a jax array": jnp.array([0.5, 1, 2, 4]) * u.ms,
    "one a pre neuron": [1, 2, 3] * u.ms,
    "the longest": [0.1, 0.2, 0.3, 6553.5] * u.ms,
}


@pytest.mark.parametrize("when", ["given", "set"])
@pytest.mark.parametrize("key", [*BAD, *CONTROLS])
def test_what_a_delay_may_be(key, when):
    """Four synapses on three neurons; an error leaves everything as it was."""
    N = LIF(3, name="N")
    rule = FromPairs([0, 0, 1, 2], [1, 2, 0, 0], weight=1 * u.mV)

    def make(delay):
        if when == "given":
            projection = Projection(N, rule, Delta(), N, delay=delay)
            return projection, Network(projection, dt=DT * u.ms)
        projection = Projection(N, rule, Delta(), N, delay=1 * u.ms)
        net = Network(projection, dt=DT * u.ms)
        try:
            projection.delay = delay
        except (TypeError, ValueError, u.UnitMismatchError):
            assert projection.delay == 1 * u.ms and net.run(0.2 * u.ms, progress=False).n_steps == 2
            raise
        return projection, net

    if key in BAD:
        delay, error, words = BAD[key]
        with pytest.raises(error, match=re.escape(words)):
            make(delay)
    else:
        projection, net = make(CONTROLS[key])
        want = np.asarray(CONTROLS[key].to_decimal(u.ms), float)
        assert np.allclose(projection.delay.to_decimal(u.ms), want)
        assert net.run(0.2 * u.ms, progress=False).n_steps == 2


@pytest.mark.parametrize("format", ["csc", "coo", "dense"])
def test_formats_without_a_place_for_them_are_refused(format):
    N = LIF(3, name="N")
    with pytest.raises(ValueError, match=re.escape(f'delay is one a synapse, which format="{format}" cannot hold: use format="csr"')):
        Projection(N, FixedProb(0.5, weight=1 * u.mV, format=format), Delta(), N, delay=Uniform(0 * u.ms, 1 * u.ms))
    with pytest.raises(ValueError, match=re.escape('which path="dense" cannot deliver: use path="event" or "auto"')):
        Projection(N, FixedProb(0.5, weight=1 * u.mV), Delta(), N, delay=Uniform(0 * u.ms, 1 * u.ms), path="dense")


def test_rounding_warns_of_the_worst():
    N = LIF(3, name="N")
    projection = Projection(N, OneToOne(weight=1 * u.mV), Delta(), N, delay=[0.1, 0.14, 0.2] * u.ms)
    net = Network(projection)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        net.run(0 * u.ms, dt=DT * u.ms, progress=False)
    assert len(caught) == 1 and "delay 0.14 ms is not a multiple of dt = 0.1 ms and acts as 0.1 ms" in str(caught[0].message)


def test_truncated_normal_delays_of_the_microcircuit():
    """A ring of due input serves several projections onto one state."""
    N = LIF(200, name="N")
    parts = [
        Projection(
            view,
            FixedProb(0.1, weight=w * u.pA),
            Expon(tau=0.5 * u.ms),
            N,
            delay=TruncNormal(m * u.ms, s * u.ms, low=DT * u.ms, high=u.ms * 20),
        )
        for view, w, m, s in ((N[:160], 80, 1.5, 0.75), (N[160:], -320, 0.8, 0.4))
    ]
    net = Network(*parts, seed=1)
    net.run(5 * u.ms, dt=DT * u.ms, inputs={N: 250 * u.pA}, progress=False)
    assert sum(key.startswith("due.") for key in net._states) == 1
    assert all(part.delay.to_decimal(u.ms).min() >= DT - 1e-9 for part in parts)


@pytest.mark.parametrize("backend", HERE)
@pytest.mark.parametrize("delays", ["none", "one", "each pre", "each"])
def test_derivatives_through_the_steps_of_a_network(delays, backend, monkeypatch):
    """The sum of V^2 at the end by the current into each neuron, both modes, resets included, against an unrolled dense model."""
    monkeypatch.setattr(one_pass, "LEAST", 1)
    n_steps, (n_pre, n_post), rng = 40, (5, 4), np.random.default_rng(6)
    steps = {"none": np.zeros((5, 4)), "one": np.full((5, 4), 7), "each pre": np.broadcast_to(np.arange(5)[:, None] * 3, (5, 4))}
    steps = steps.get(delays, rng.integers(0, 20, (5, 4))).astype(int)
    given = {"none": None, "one": 0.7 * u.ms, "each pre": steps[:, :1] * DT * u.ms, "each": steps.reshape(-1) * DT * u.ms}[delays]
    w, gain = rng.uniform(2, 6, (n_pre, n_post)), rng.uniform(0.5, 1.5, n_post)
    with jax.enable_x64(True), be.backend(backend):
        A = LIF(n_pre, V_init=np.linspace(-51, -49, 5) * u.mV, name="A")
        B = LIF(n_post, R=100 * u.Mohm, V_init=np.linspace(-60, -50.5, 4) * u.mV, name="B")
        rule = FromPairs(*np.indices((n_pre, n_post)).reshape(2, -1), weight=w.reshape(-1) * u.nS)
        net = Network(Projection(A, rule, Expon(tau=5 * u.ms, output=COBA(E=0 * u.mV)), B, delay=given), dt=DT * u.ms)
        state, seen = brainstate.ParamState(jnp.asarray(gain)), []

        def ours():
            net.reset()
            drive = 900 * u.pA * jnp.ones(n_pre)

            def one(i):
                net.step({A: drive, B: state.value * (100 + i) * u.pA})
                return A.spikes.value, B.spikes.value

            seen.append(brainstate.transform.for_loop(one, np.arange(n_steps)))
            return jnp.sum(B.V.value.mantissa**2), seen.pop()

        value, (spikes, resets) = ours()
        spikes, resets = np.asarray(spikes), np.asarray(resets)

        def dense(gain):
            V, g = jnp.linspace(-60, -50.5, n_post), jnp.zeros(n_post)
            for i in range(n_steps):
                rate = 1 + 0.1 * g
                rest = (-65 + 0.1 * gain * (100 + i)) / rate
                V = rest + (V - rest) * jnp.exp(-DT / 20 * rate)
                came = np.array([[n >= 0 and spikes[n, row] for n in i - steps[row]] for row in range(n_pre)])
                g = g * np.exp(-DT / 5) + (came * w).sum(0)
                V = jnp.where(resets[i], -65.0, V)
            return jnp.sum(V**2)

        want = jax.grad(dense)(jnp.asarray(gain))
        backward, _ = brainstate.transform.grad(ours, state, has_aux=True)()
        forward, _ = brainstate.transform.jacfwd(ours, state, has_aux=True)()
    assert spikes.sum() > 3 and resets.any() and not resets.all(0).any()
    assert float(value) == pytest.approx(float(dense(gain)), rel=1e-5)
    for got in (backward, forward):
        np.testing.assert_allclose(got, want, rtol=1e-9)


# -- drawn just in time --------------------------------------------------------------------------------------------------------------

DRAWN = {
    "normal": Normal(1.5 * u.ms, 0.75 * u.ms),
    "truncated": TruncNormal(1.5 * u.ms, 0.75 * u.ms, 0.1 * u.ms, 3 * u.ms),
    "uniform": Uniform(0.2 * u.ms, 25 * u.ms),
    "exponential": Exponential(1 * u.ms),
    "gamma": Gamma(2.0, 0.5 * u.ms),
    "lognormal": LogNormal(1.5 * u.ms, 0.5 * u.ms),
    "seconds": Uniform(0 * u.second, 0.002 * u.second),
    "a point": Normal(0.7 * u.ms, 0 * u.ms),
}


@pytest.mark.parametrize("name", DRAWN)
def test_drawn_steps_follow_their_distribution(name):
    """Half a million synapses: how many there are of each number of steps, against what numpy draws from the same distribution."""
    from scipy import stats

    drawn = DRAWN[name]
    table = jnp.asarray(law.outcome_table(Delay.given(drawn, "delay").probabilities(DT)))
    got = np.asarray(law.draw_outcomes(np.uint32(5), np.arange(500, dtype=np.uint32)[:, None], np.arange(1000, dtype=np.uint32), table))
    sampled = np.asarray(drawn.sample(np.random.default_rng(1), 700_000).to_decimal(u.ms))
    want = np.floor(sampled[sampled >= 0][:500_000] / DT * (1 + 1e-9) + 0.5).astype(int)
    counts = [np.bincount(steps.ravel(), minlength=1 + max(got.max(), want.max())) for steps in (got, want)]
    many = counts[0] + counts[1] > 40
    if many.sum() == 1:
        assert many[7] and (got == 7).all()
        return
    table = np.stack([np.append(c[many], c[~many].sum()) for c in counts])
    assert stats.chi2_contingency(table[:, table.sum(0) > 0]).pvalue > 1e-4
    first, second = got[:, :-1].ravel(), got[:, 1:].ravel()
    assert abs(np.corrcoef(first, second)[0, 1]) < 5 / np.sqrt(first.size)


@pytest.mark.parametrize("backend", HERE)
@pytest.mark.parametrize("weight", ["one", "normal", "uniform"])
def test_drawn_delays_against_a_replay(weight, backend):
    """Every jump of V, over several runs: those of the listed synapses, each with the delay that a table of them shows."""
    weights = {"one": 0.3 * u.mV, "normal": Normal(0.1 * u.mV, 0.2 * u.mV), "uniform": Uniform(-0.2 * u.mV, 0.5 * u.mV)}
    with jax.enable_x64(True), be.backend(backend):
        pre, post = Poisson(N_PRE + 9, rate=300 * u.Hz, name="pre")[7 : 7 + N_PRE], LIF(N_POST, **POST)
        rule = FixedProb(0.3, weight=weights[weight], format="jit")
        projection = Projection(pre, rule, Delta(), post, delay=Normal(1 * u.ms, 0.8 * u.ms))
        net = Network(projection, seed=2, dt=DT * u.ms)
        record = [pre.population.spikes, post.V]
        runs = [net.run(t * u.ms, progress=False, record=record) for t in (3, 5)]
        V = np.concatenate([run.state(post.V).mantissa for run in runs])
        times, ids = (np.concatenate(parts) for parts in zip(*((r.spikes(pre)[0].mantissa, r.spikes(pre)[1]) for r in runs)))
        row, col = (np.asarray(ids, np.uint32) for ids in projection.pairs())
        w = np.asarray(projection.matrix.todense().mantissa)[row, col]
        steps = np.asarray(law.draw_outcomes(projection.matrix.seed, row, col, projection.delays.table))
        if importlib.util.find_spec("pandas"):
            np.testing.assert_allclose(projection.to_dataframe()["delay (ms)"], steps * DT)
    assert row.size > 250 and steps.min() == 0 and np.unique(steps).size > 15 and projection.delay == Normal(1 * u.ms, 0.8 * u.ms)
    want = replayed((times, ids), [(row, col, w, steps)], len(V))
    assert np.abs(V).max() > 1
    np.testing.assert_allclose(V, want, rtol=0, atol=1e-9)


def test_drawn_delays_are_set_saved_and_shown(tmp_path):
    """A change leaves under way what is; a file goes on; the summary names the distribution; many rows go to more than one thread."""

    def build(n=30, n_post=30, rate=200):
        pre, post = Poisson(n, rate=rate * u.Hz, name="pre"), LIF(n_post, tau=1e12 * u.ms, **POST)
        projection = Projection(pre, FixedProb(0.4, weight=0.1 * u.mV, format="jit"), Delta(), post, delay=Uniform(0 * u.ms, 2 * u.ms))
        return projection, Network(projection, seed=1, dt=DT * u.ms)

    projection, net = build()
    assert "Uniform(0 ms, 2 ms)" in net.summary()
    net.run(3 * u.ms, progress=False)
    net.save(tmp_path / "state.npz")
    other, restored = build()
    restored.load(tmp_path / "state.npz")
    V = [
        n.run(3 * u.ms, progress=False, record=[p.post.population.V]).state(p.post.population.V).mantissa
        for p, n in ((projection, net), (other, restored))
    ]
    np.testing.assert_array_equal(*V)
    for p, n in ((projection, net), (other, restored)):
        p.delay = 0.5 * u.ms
        n.run(3 * u.ms, progress=False)
    np.testing.assert_array_equal(*(p.post.population.V.value.mantissa for p in (projection, other)))
    projection.delay = Exponential(1 * u.ms)
    net.run(3 * u.ms, progress=False)
    assert projection.delay == Exponential(1 * u.ms)
    large, its = build(1000, 900, rate=800)  # 80 rows of 360 synapses a step
    its.run(2 * u.ms, progress=False)
    V = np.asarray(large.post.population.V.value.mantissa)
    with be.backend("xla"):
        again, slow = build(1000, 900, rate=800)
        slow.run(2 * u.ms, progress=False)
    assert V.min() > 1
    np.testing.assert_allclose(V, again.post.population.V.value.mantissa, rtol=1e-5)


@pytest.mark.parametrize(
    ("delay", "words"),
    [
        (
            lambda n: np.ones(n) * u.ms,
            r"360 times, expected one, a distribution \(just-in-time synapses are not stored\), or 30 \(one a pre",
        ),
        (lambda n: Normal(-50 * u.ms, 1 * u.ms), "expected a distribution of times of at least 0 ms"),
        (lambda n: Normal(10 * u.second, 1 * u.second), "which reaches beyond 65535 steps of dt = 0.1 ms"),
    ],
)
def test_delays_that_cannot_be_drawn_are_named(delay, words):
    pre, post = LIF(30, name="pre"), LIF(30, name="post")
    with pytest.raises(ValueError, match=words):
        projection = Projection(pre, FixedProb(0.4, weight=0.1 * u.mV, format="jit"), Delta(), post, delay=delay(360))
        Network(projection, dt=DT * u.ms)
    column = be.JITCHomoC((0.1 * u.mV, 0.4, 1), shape=(30, 30))
    with pytest.raises(ValueError, match="are its columns: take an R format"):
        Projection(pre, column, Delta(), post, delay=Uniform(0 * u.ms, 1 * u.ms))
