"""External input: currents, Poisson sources, and `PoissonInput`."""

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from tables import HERE

import brainevent as be
from brainevent.core.deliveries import add_drawn
from brainevent.core.updates import draw_counts
from brainevent.projections import (
    LIF,
    Delta,
    Expon,
    FromPairs,
    Network,
    OneToOne,
    OrnsteinUhlenbeck,
    Poisson,
    PoissonInput,
    Projection,
    RampCurrent,
    SineCurrent,
    SpikeSource,
    StepCurrent,
    TimedArray,
    WhiteNoise,
)
from brainevent.projections.clock import Clock, root_of
from brainevent.projections.inputs import poisson_table

DT = 0.1
SIGNIFICANCE = 1e-3  # of every test of a law; the seeds are fixed
SPAN = np.arange(5.0)
ATOL = 1e-12

# name: (inputs of a population of 5, currents in pA at time t in ms)
CURRENTS = {
    "constant": (lambda N: {N: 200 * u.pA}, lambda t: 200 + 0 * SPAN),
    "unit": (lambda N: {N: 0.2 * u.nA}, lambda t: 200 + 0 * SPAN),
    "array": (lambda N: {N: 10 * SPAN * u.pA}, lambda t: 10 * SPAN),
    "one element": (lambda N: {N: np.array([20.0]) * u.pA}, lambda t: 20 + 0 * SPAN),
    "view": (lambda N: {N[1:3]: 50 * u.pA}, lambda t: 50 * ((SPAN >= 1) & (SPAN < 3))),
    "array on a view": (lambda N: {N[1:3]: np.array([1.0, 2.0]) * u.pA}, lambda t: SPAN * ((SPAN >= 1) & (SPAN < 3))),
    "overlapping views": (lambda N: {N[:3]: 10 * u.pA, N[2:]: 5 * u.pA, N: 1 * u.pA}, lambda t: 1 + 10 * (SPAN < 3) + 5 * (SPAN >= 2)),
    "function": (lambda N: {N: lambda t: (t / u.ms) * 3 * u.pA}, lambda t: 3 * t + 0 * SPAN),
    "function of a view": (
        lambda N: {N[3:]: lambda t: jnp.where(t > 0.45 * u.ms, 7.0, -7.0) * u.pA},
        lambda t: np.where(t > 0.45, 7, -7) * (SPAN >= 3),
    ),
    "function to an array": (lambda N: {N: lambda t: t / u.ms * SPAN * 1e-3 * u.nA, N[4]: 2 * u.pA}, lambda t: t * SPAN + 2 * (SPAN == 4)),
    "step": (lambda N: {N: StepCurrent(70 * SPAN * u.pA, start=0.3 * u.ms, stop=0.7 * u.ms)}, lambda t: 70 * SPAN * (0.29 < t < 0.69)),
    "ramp": (
        lambda N: {N[1:]: RampCurrent(10 * u.pA, -50 * u.pA, start=0.2 * u.ms, stop=0.5 * u.ms)},
        lambda t: np.interp(t, [0.2, 0.5], [10, -50]) * (SPAN >= 1),
    ),
    "sine": (
        lambda N: {N: SineCurrent(30 * u.pA, frequency=SPAN * 0.3 * u.kHz, phase=0.5, offset=5 * u.pA)},
        lambda t: 5 + 30 * np.sin(2 * np.pi * 0.3 * SPAN * t + 0.5),
    ),
    "array in time": (
        lambda N: {N[2:]: TimedArray(np.arange(12.0).reshape(4, 3) * u.pA, dt=0.2 * u.ms), N: TimedArray([5, 7] * u.pA, dt=0.1 * u.ms)},
        lambda t: np.append([0, 0], np.arange(12.0).reshape(4, 3)[min(round(t * 10) // 2, 3)]) + (5 if t < 0.05 else 7),
    ),
    "none": (lambda N: {}, lambda t: 0 * SPAN),
}


@pytest.mark.parametrize("name", CURRENTS)
def test_currents(name):
    """V after 10 steps, against numpy; a function is asked for the start t_n of the step."""
    given, wanted = CURRENTS[name]
    with jax.enable_x64(True):
        N = LIF(5, V_th=100 * u.mV, name="N")
        Network(N).run(10 * DT * u.ms, dt=DT * u.ms, inputs=given(N), progress=False)
        got = N.V.value.mantissa + 65
    V = 0 * SPAN
    for step in range(10):
        end = 0.1 * wanted(step * DT)
        V = end + (V - end) * np.exp(-DT / 20)
    np.testing.assert_allclose(got, V, rtol=0, atol=2e-13)


def test_constants_change_without_compiling_and_functions_by_name():
    N = LIF(3, name="N")
    net = Network(N, dt=DT * u.ms)
    for current in (10.0, 20.0, 30.0):
        net.run(1 * u.ms, inputs={N: current * u.pA}, progress=False)
    assert len(net._loops) == 1 and next(iter(net._loops.values()))._cache_size() == 1
    for k in range(20):  # a new function is a new loop, and only so many are kept
        net.run(0 * u.ms, inputs={N: lambda t, k=k: k * u.pA}, progress=False)
    assert len(net._loops) <= 8


def spikes_of(population, run, n_steps):
    times, ids = run.spikes(population)
    raster = np.zeros((n_steps, population.size), bool)
    raster[np.rint(times.to_decimal(u.ms) / DT).astype(int) - 1, ids] = True
    return raster


@pytest.fixture(scope="module")
def raster():
    """2000 steps of 200 sources at 400 Hz (p = 0.04), of which 100 have their own rate of 100 Hz."""
    source = Poisson(300, rate=np.repeat([400.0, 100.0], [200, 100]) * u.Hz, name="source")
    run = Network(source, seed=5).run(200 * u.ms, dt=DT * u.ms, progress=False)
    return spikes_of(source, run, 2000)


@pytest.mark.parametrize("part, p", [(slice(0, 200), 0.04), (slice(200, 300), 0.01)])
def test_poisson_source_is_binomial_in_every_neuron_and_step(raster, part, p):
    raster = raster[:, part]
    assert stats.binomtest(int(raster.sum()), raster.size, p).pvalue > SIGNIFICANCE
    for axis in (0, 1):  # the counts of neurons, and of steps, are as variable as independent draws make them
        counts, n = raster.sum(axis), raster.shape[axis]
        chi2 = ((counts - n * p) ** 2).sum() / (n * p * (1 - p))
        assert SIGNIFICANCE < stats.chi2(counts.size).cdf(chi2) < 1 - SIGNIFICANCE


def test_poisson_source_is_independent_across_neurons_and_steps(raster):
    x = raster[:, :200]
    pairs = {"next step": (x[1:], x[:-1]), "next neuron": (x[:, 1:], x[:, :-1]), "diagonal": (x[1:, 1:], x[:-1, :-1])}
    for name, (a, b) in pairs.items():
        both = np.histogram2d(a.ravel(), b.ravel(), 2)[0]
        assert stats.chi2_contingency(both).pvalue > SIGNIFICANCE, name


def test_poisson_extremes():
    always, never = Poisson(100, rate=10 * u.kHz, name="always"), Poisson(100, rate=0 * u.Hz, name="never")
    run = Network(always, never).run(5 * u.ms, dt=DT * u.ms, progress=False)
    assert run.rate(always).to_decimal(u.Hz) == pytest.approx(1e4)
    assert run.rate(never).to_decimal(u.Hz) == 0


def test_sources_of_other_names_are_other_sources():
    a, b = Poisson(500, rate=1 * u.kHz, name="a"), Poisson(500, rate=1 * u.kHz, name="b")
    run = Network(a, b).run(2 * u.ms, dt=DT * u.ms, progress=False)
    assert not np.array_equal(*(spikes_of(p, run, 20) for p in (a, b)))


def increments(net, N, n_steps):
    """What V moved by in each step, without a leak to speak of."""
    V = net.run(n_steps * DT * u.ms, dt=DT * u.ms, record=[N.V], progress=False).state(N.V).mantissa
    return np.diff(np.concatenate([np.full((1, N.size), -65.0), V]), axis=0)


def test_poisson_input_is_poisson():
    """Counts per neuron and step against the law, several at once included (mean 0.5), and independent."""
    with jax.enable_x64(True):
        N = LIF(200, tau=1e12 * u.ms, V_th=100 * u.mV, name="N")
        net = Network(PoissonInput(N, n=50, rate=100 * u.Hz, weight=0.01 * u.mV, synapse=Delta()), seed=2)
        raw = increments(net, N, 300) / 0.01
    counts = np.rint(raw).astype(int)
    np.testing.assert_allclose(raw, counts, atol=1e-6)
    mean = 50 * 100 * 1e-3 * DT
    assert abs(counts.mean() - mean) < 4 * np.sqrt(mean / counts.size)
    kurtosis = 3 + 1 / mean
    assert abs(counts.var() - mean) < 4 * mean * np.sqrt((kurtosis - 1) / counts.size)
    observed = np.bincount(np.minimum(counts.ravel(), 4), minlength=5)
    expected = counts.size * np.append(stats.poisson(mean).pmf(range(4)), stats.poisson(mean).sf(3))
    assert stats.chisquare(observed, expected).pvalue > SIGNIFICANCE
    for a, b in ((counts[1:], counts[:-1]), (counts[:, 1:], counts[:, :-1])):
        assert stats.chi2_contingency(np.histogram2d(a.ravel() > 0, b.ravel() > 0, 2)[0]).pvalue > SIGNIFICANCE


@pytest.mark.parametrize("mean", [0.0, 1e-6, 0.3, 20.0, 5e3])
def test_poisson_table_is_the_distribution(mean):
    table = poisson_table(mean) / 2.0**32
    np.testing.assert_allclose(table, stats.poisson.cdf(np.arange(table.size), mean) if mean else 1, atol=2.0**-31)
    assert table[-1] > 1 - 2.0**-31


@pytest.mark.parametrize("rows", [None, 3, 400])
def test_every_backend_draws_the_same_counts(rows):
    """Those that jax's own bits give, looked up in the table: fewer and more than are drawn at a time, few and many distributions."""
    rng = np.random.default_rng(1)
    means = np.linspace(0, 30, rows or 1)[:, None] if rows else np.array([[1.3]])
    table = poisson_table(means)
    for n in (1, 511, 513, 2000):
        which = rng.integers(0, rows, n).astype(np.int32) if rows else None
        key = jax.random.key(n, impl="threefry2x32")
        with jax.threefry_partitionable(True):
            words = np.asarray(jax.random.bits(key, (n,), jnp.uint32))
        want = [np.searchsorted(table[0 if which is None else which[i]], word, side="right") for i, word in enumerate(words)]
        for backend in HERE:
            with be.backend(backend):
                np.testing.assert_array_equal(draw_counts(key, table, which, n, jnp.float32), want)


def test_inputs_that_look_alike_are_independent():
    """Excitation and inhibition of one rate must not cancel spike by spike; nor two equal inputs double."""
    with jax.enable_x64(True):
        N = LIF(300, tau=1e12 * u.ms, V_th=100 * u.mV, name="N")
        parts = [PoissonInput(N, n=10, rate=100 * u.Hz, weight=w * u.mV, synapse=Delta()) for w in (0.01, -0.01, 1.0, 1.0)]
        raw = increments(Network(*parts), N, 50)
    large = np.rint(raw)  # 0.01 mV and 1 mV keep apart
    small = np.rint((raw - large) / 0.01)
    assert small.var() == pytest.approx(0.2, rel=0.1) and np.any(small > 0) and np.any(small < 0)
    assert np.mean(large == 1) == pytest.approx(0.2 * np.exp(-0.2), rel=0.1)


def test_poisson_input_on_a_view_shares_the_state_of_projections():
    pre, N = LIF(1, V_init=-40 * u.mV, name="pre"), LIF(5, V_th=100 * u.mV, name="N")
    drive = PoissonInput(N[2:4], n=1000, rate=1 * u.kHz, weight=1 * u.pA, synapse=Expon(tau=5 * u.ms))
    net = Network(drive, Projection(pre, FromPairs([0], [0], weight=10 * u.pA), Expon(tau=5 * u.ms), N))
    assert len(net.synapses) == 1
    net.run(3 * u.ms, dt=DT * u.ms, progress=False)
    assert (N.V.value.mantissa > -65).tolist() == [True, False, True, True, False]
    assert "PoissonInput(N[2:4], n=1000, rate=1 kHz) through Expon(tau=5 ms, output=CUBA()), 1 pA a spike" in net.summary()


def test_poisson_input_alone_decays():
    """No projection shares its state: mean current n rate tau_s weight = 1000 * 0.01 / ms * 5 ms * 1 pA, shot noise of a few percent."""
    N = LIF(100, tau=5 * u.ms, V_th=100 * u.mV, name="N")
    net = Network(PoissonInput(N, n=1000, rate=10 * u.Hz, weight=1 * u.pA, synapse=Expon(tau=5 * u.ms)))
    V = net.run(60 * u.ms, dt=DT * u.ms, record=[N.V], progress=False).state(N.V).mantissa[300:] + 65
    assert V.mean() == pytest.approx(0.1 * 50, rel=0.02)


def test_poisson_drives_through_a_projection():
    """A source one to one with delta synapses: V counts its spikes."""
    with jax.enable_x64(True):
        source, N = Poisson(50, rate=500 * u.Hz, name="source"), LIF(50, tau=1e12 * u.ms, V_th=100 * u.mV, name="N")
        net = Network(Projection(source, OneToOne(weight=1 * u.mV), Delta(), N))
        run = net.run(10 * u.ms, dt=DT * u.ms, progress=False)
    np.testing.assert_allclose(np.asarray(N.V.value.mantissa) + 65, spikes_of(source, run, 100).sum(0), atol=1e-6)


# -- noise -----------------------------------------------------------------------------------------------------------------------


def noisy(noise, dt, duration, n=4000, seed=1, tau=10.0):
    """V of leaky neurons under noise, (steps, n), in mV above rest."""
    N = LIF(n, tau=tau * u.ms, V_th=1e3 * u.mV, V_rest=0 * u.mV, V_reset=-1 * u.mV, R=100 * u.Mohm, name="N")
    net = Network(N, seed=seed)
    net.run(duration * u.ms, dt=dt * u.ms, inputs={N: noise}, record=[], progress=False)
    return net, N, np.asarray(N.V.value.mantissa)


@pytest.mark.parametrize("dt", [0.1, 0.5])
def test_white_noise_moves_V_the_same_whatever_dt_is(dt):
    """Mean R mean, standard deviation R sigma / sqrt(2 tau), 1 + O(dt / tau) of it: 100 Mohm, 300 pA sqrt(ms), 10 ms: 6.7 mV."""
    _, _, V = noisy(WhiteNoise(mean=50 * u.pA, sigma=300 * u.pA * u.ms**0.5), dt, 100)
    want = 0.1 * 300 / np.sqrt(20)
    assert V.mean() == pytest.approx(5, abs=4 * want / np.sqrt(V.size))
    assert V.std() == pytest.approx(want, rel=4 / np.sqrt(2 * V.size))


@pytest.mark.parametrize("dt", [0.1, 1.0])
def test_coloured_noise_has_its_law_whatever_dt_is(dt):
    """Of V: variance (R sigma)^2 tau_n / (tau + tau_n), from the stationary start of the noise on; and the noise's own autocorrelation."""
    noise = OrnsteinUhlenbeck(mean=20 * u.pA, sigma=80 * u.pA, tau=5 * u.ms)
    net, N, V = noisy(noise, dt, 100)
    want = 8 * np.sqrt(5 / (10 + 5))
    assert V.mean() == pytest.approx(2, abs=4 * want / np.sqrt(V.size))
    assert V.std() == pytest.approx(want, rel=4 / np.sqrt(2 * V.size) + 0.5 * dt / 15)
    state = [np.asarray(net._states["input.OrnsteinUhlenbeck.N"].value)]
    net.run(3 * u.ms, inputs={N: noise}, record=[], progress=False)
    state.append(np.asarray(net._states["input.OrnsteinUhlenbeck.N"].value))
    assert np.mean(state[0] * state[1]) == pytest.approx(np.exp(-3 / 5), abs=5 / np.sqrt(V.size))
    assert all(s.std() == pytest.approx(1, rel=4 / np.sqrt(2 * V.size)) for s in state)
    assert abs(np.corrcoef(state[0][:-1], state[0][1:])[0, 1]) < 5 / np.sqrt(V.size)  # each neuron has its own


def test_noise_goes_on_from_run_to_run_and_from_a_file(tmp_path):
    noise = {
        "a": OrnsteinUhlenbeck(mean=0 * u.pA, sigma=[10, 20, 30] * u.pA, tau=5 * u.ms),
        "b": WhiteNoise(0 * u.pA, 5 * u.pA * u.ms**0.5),
    }

    def built():
        N = LIF(4, name="N")
        return N, Network(N, seed=3, dt=0.1 * u.ms), {N[1:]: noise["a"], N: noise["b"]}

    (N, net, inputs), (M, other, others) = built(), built()
    net.run(20 * u.ms, inputs=inputs, progress=False)
    other.run(7 * u.ms, inputs=others, progress=False)
    other.save(tmp_path / "state.npz")
    other.run(13 * u.ms, inputs=others, progress=False)
    np.testing.assert_array_equal(M.V.value.mantissa, N.V.value.mantissa)
    third, again, inputs = built()
    again.load(tmp_path / "state.npz")
    again.run(13 * u.ms, inputs=inputs, progress=False)
    np.testing.assert_array_equal(third.V.value.mantissa, N.V.value.mantissa)
    net.reset()
    net.run(20 * u.ms, inputs={N[1:]: noise["a"], N: noise["b"]}, progress=False)
    np.testing.assert_array_equal(N.V.value.mantissa, M.V.value.mantissa)
    assert np.unique(np.asarray(N.V.value.mantissa)).size == 4


BAD_CURRENTS = {
    "step stops first": (lambda N: StepCurrent(1 * u.pA, start=2 * u.ms, stop=1 * u.ms), ValueError, "stop is 1 ms, expected a time after"),
    "step of mV": (lambda N: StepCurrent(1 * u.mV), u.UnitMismatchError, "StepCurrent: amplitude is a value in mV"),
    "step of another size": (lambda N: StepCurrent(np.ones(2) * u.pA), ValueError, r"returned shape \(2,\), expected a scalar or \(3,\)"),
    "ramp backwards": (
        lambda N: RampCurrent(0 * u.pA, 1 * u.pA, start=1 * u.ms, stop=1 * u.ms),
        ValueError,
        "expected a time after the start",
    ),
    "sine of a time": (lambda N: SineCurrent(1 * u.pA, frequency=5 * u.ms), u.UnitMismatchError, "SineCurrent: frequency"),
    "array of no times": (lambda N: TimedArray(np.zeros((0, 3)) * u.pA, dt=1 * u.ms), ValueError, "at least one time"),
    "array of another size": (
        lambda N: TimedArray(np.zeros((5, 2)) * u.pA, dt=1 * u.ms),
        ValueError,
        r"\(5, 2\), expected .* \(times, 3\)",
    ),
    "array between steps": (lambda N: TimedArray([1, 2] * u.pA, dt=0.25 * u.ms), ValueError, "dt is 0.25 ms, expected a multiple of the"),
    "array of NaN": (lambda N: TimedArray([1, np.nan] * u.pA, dt=1 * u.ms), ValueError, "values holds nan at position 1"),
    "negative sigma": (lambda N: OrnsteinUhlenbeck(0 * u.pA, -1 * u.pA, 5 * u.ms), ValueError, "sigma is -1 pA, expected at least 0 pA"),
    "sigma without time": (lambda N: WhiteNoise(0 * u.pA, 5 * u.pA), u.UnitMismatchError, "WhiteNoise: sigma is a value in pA"),
    "sigma of another size": (lambda N: WhiteNoise(0 * u.pA, np.ones(2) * u.pA * u.ms**0.5), ValueError, r"has shape \(2,\)"),
}


@pytest.mark.parametrize("name", BAD_CURRENTS)
def test_bad_currents_are_named(name):
    make, error, words = BAD_CURRENTS[name]
    N = LIF(3, name="N")
    with pytest.raises(error, match=words):
        Network(N).run(1 * u.ms, dt=DT * u.ms, inputs={N: make(N)}, progress=False)


# -- rates in time, and one a neuron -----------------------------------------------------------------------------------------------


def test_poisson_sources_follow_a_rate_in_time():
    """Counts in each 10 ms of a rate that rises in a line, of another for each neuron, against the binomial law; cut at 0 and 1 / dt."""
    P = Poisson(400, rate=lambda t: jnp.where(jnp.arange(400) < 200, t / (200 * u.ms), 0.25) * 1000 * u.Hz, name="P")
    run = Network(P, seed=2).run(100 * u.ms, dt=DT * u.ms, progress=False)
    raster = spikes_of(P, run, 1000)
    for part, chance in ((slice(0, 200), np.arange(1000) * DT / 200 * DT), (slice(200, 400), np.full(1000, 0.025))):
        counts = raster[:, part].reshape(10, 100, 200).sum((1, 2))
        mean, variance = (200 * values.reshape(10, 100).sum(1) for values in (chance, chance * (1 - chance)))
        assert stats.chi2.sf(((counts - mean) ** 2 / variance).sum(), 10) > SIGNIFICANCE
    Q = Poisson(3, rate=lambda t: jnp.where(t < 0.5 * u.ms, -5, 1e6) * u.Hz, name="Q")
    raster = spikes_of(Q, Network(Q).run(1 * u.ms, dt=DT * u.ms, progress=False), 10)
    assert not raster[:5].any() and raster[5:].all()


def test_a_rate_that_changes_between_runs_is_heeded():
    strength = [0.0]
    P = Poisson(100, rate=lambda t: strength[0] * u.Hz, name="P")
    net = Network(P, dt=DT * u.ms)
    assert net.run(10 * u.ms, progress=False).spikes(P)[1].size == 0
    strength[0] = 500.0
    assert 300 < net.run(10 * u.ms, progress=False).spikes(P)[1].size < 700
    for rate, error, match in (
        (lambda t: 5.0, u.UnitMismatchError, r"Poisson P: rate: the function returned a value with no unit, expected a frequency"),
        (lambda t: np.ones(3) * u.Hz, ValueError, r"returned shape \(3,\), expected a scalar or \(100,\)"),
    ):
        with pytest.raises(error, match=match):
            Network(Poisson(100, rate=rate, name="P")).run(1 * u.ms, dt=DT * u.ms, progress=False)


def test_poisson_input_takes_a_rate_for_each_neuron():
    """Mean and variance of what each neuron gets, from 0 to 40 spikes a step."""
    rates = np.repeat([0.0, 50.0, 1000.0, 4000.0], 500)
    with jax.enable_x64(True):
        drive = PoissonInput(LIF(2000, name="N"), n=100, rate=rates * u.Hz, weight=1 * u.mV, synapse=Delta())
        clock = Clock((np.uint32(0), np.uint32(0)), DT, root_of(0))
        zeros, keys = jnp.zeros(2000), map(jax.random.key, range(5))
        counts = np.stack([np.asarray(add_drawn([zeros], [drive.drawn(0, key, clock)])[0]) for key in keys])
    for rate in np.unique(rates):
        mean, got = 100 * rate * DT * 1e-3, counts[:, rates == rate]
        assert got.mean() == pytest.approx(mean, abs=4 * np.sqrt(mean / got.size))
        assert got.var() == pytest.approx(mean, rel=4 * np.sqrt((2 + 1 / max(mean, 0.01)) / got.size))
    with pytest.raises(ValueError, match=r"rate has shape \(3,\), expected a scalar or \(2000,\)"):
        PoissonInput(LIF(2000, name="N"), n=1, rate=np.ones(3) * u.Hz, weight=1 * u.mV, synapse=Delta())


def test_poisson_input_follows_a_rate_in_time():
    """Counts of each neuron in each step, several at once, of a rate that swings and is cut at 0: mean, variance and independence."""
    n_steps = 400

    def rate(t):
        return 400 * u.math.sin(2 * np.pi * t / (20 * u.ms)) * u.Hz

    with jax.enable_x64(True):
        N = LIF(200, tau=1e12 * u.ms, V_th=100 * u.mV, name="N")
        net = Network(PoissonInput(N, n=50, rate=rate, weight=0.001 * u.mV, synapse=Delta()), seed=2)
        counts = np.rint(increments(net, N, n_steps) / 0.001).astype(int)
    mean = 50 * DT * 1e-3 * np.maximum(400 * np.sin(2 * np.pi * np.arange(n_steps) * DT / 20), 0)
    assert not counts[mean < 1e-12].any() and counts.max() > 4
    rising = mean > 1e-3
    score = ((counts[rising].sum(1) - 200 * mean[rising]) ** 2 / (200 * mean[rising])).sum()
    assert SIGNIFICANCE < stats.chi2.sf(score, rising.sum()) < 1 - SIGNIFICANCE
    high = counts[mean > 1.5]
    assert high.var(1).mean() == pytest.approx(mean[mean > 1.5].mean(), rel=4 * np.sqrt(3 / high.size))
    first, second = high[:-1] - high[:-1].mean(1, keepdims=True), high[1:] - high[1:].mean(1, keepdims=True)
    assert abs((first * second).mean() / high.var()) < 4 / np.sqrt(high.size)


def test_a_rate_of_an_input_that_changes_between_runs_is_heeded():
    strength, N = [0.0], LIF(100, V_th=100 * u.mV, tau=1e12 * u.ms, name="N")
    net = Network(PoissonInput(N, n=10, rate=lambda t: strength[0] * u.Hz, weight=0.01 * u.mV, synapse=Delta()), dt=DT * u.ms)
    for rate, low, high in ((0.0, -1e-9, 1e-9), (500.0, 0.3, 0.7)):
        strength[0], before = rate, np.asarray(N.V.value.mantissa)
        net.run(10 * u.ms, progress=False)
        assert low < np.mean(N.V.value.mantissa - before) < high
    wrong = PoissonInput(LIF(3, name="M"), n=10, rate=lambda t: 5 * u.mV, weight=0.01 * u.mV, synapse=Delta())
    with pytest.raises(u.UnitMismatchError, match=r"rate: the function returned a value with unit mV, expected a frequency"):
        Network(wrong).run(1 * u.ms, dt=DT * u.ms, progress=False)


def test_a_raster_is_played():
    """Row by row, in rows as wide as a step or wider; what a run gave comes back from its own spikes."""
    raster = np.random.default_rng(0).random((50, 30)) < 0.1
    for width, every in ((DT, 1), (0.5, 5)):
        S = SpikeSource.from_raster(raster, dt=width * u.ms, name="S")
        run = Network(S).run(50 * width * u.ms, dt=DT * u.ms, progress=False)
        np.testing.assert_array_equal(spikes_of(S, run, 50 * every)[every - 1 :: every], raster)
        times, ids = run.spikes(S)
        again = SpikeSource(30, times=times, ids=ids, name="again")
        np.testing.assert_array_equal(Network(again).run(50 * width * u.ms, dt=DT * u.ms, progress=False).spikes(again)[1], ids)
    for given, words in (([0, 1], "expected bool"), ([[0, 2]], "expected bool"), ([[0.5, 1]], "expected bool"), ([[np.nan]], "raster")):
        with pytest.raises(ValueError, match=words):
            SpikeSource.from_raster(given, dt=1 * u.ms)
    with pytest.raises(TypeError, match="raster"):
        SpikeSource.from_raster([[1j]], dt=1 * u.ms)
    with pytest.raises(ValueError, match=r"from_raster: dt is 0 ms, expected a positive time"):
        SpikeSource.from_raster(raster, dt=0 * u.ms)


def test_a_step_takes_a_current_that_is_not_known_yet():
    """One number a step, and one a neuron and step, in a loop of one's own: the V of a run with the same currents; what does not fit."""
    import brainstate

    currents = np.random.default_rng(1).uniform(0, 300, (50, 3))
    for each in (currents[:, :1].repeat(3, 1), currents):
        N, M = LIF(3, name="N"), LIF(3, name="M")
        net, given = Network(N, dt=DT * u.ms), each if each is currents else each[:, 0]
        brainstate.transform.for_loop(lambda now, net=net, N=N: net.step({N: now * u.pA}), jnp.asarray(given))
        Network(M).run(50 * DT * u.ms, dt=DT * u.ms, inputs={M: TimedArray(each * u.pA, dt=DT * u.ms)}, progress=False)
        np.testing.assert_allclose(N.V.value.mantissa, M.V.value.mantissa, rtol=1e-6)
    for now, error, words in (
        (lambda x: x[0] * u.mV, u.UnitMismatchError, r"inputs\[N\] has unit mV, but a current has unit pA"),
        (lambda x: x[:2] * u.pA, ValueError, r"inputs\[N\] is float32 of shape \(2,\), expected floats, a scalar or \(3,\)"),
        (lambda x: x.astype(complex) * u.pA, ValueError, r"inputs\[N\] is complex64 of shape \(3,\), expected floats"),
    ):
        N = LIF(3, name="N")
        net = Network(N, dt=DT * u.ms)
        with pytest.raises(error, match=words):
            brainstate.transform.for_loop(lambda x, now=now, net=net, N=N: net.step({N: now(x)}), jnp.asarray(currents))
