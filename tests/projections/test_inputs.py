"""External input: currents, Poisson sources, and `PoissonInput`."""

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from brainevent.projections import LIF, Delta, Expon, FromPairs, Network, OneToOne, Poisson, PoissonInput, Projection
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
