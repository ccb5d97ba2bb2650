"""Statistics of recorded spikes: against numpy, scipy and closed forms."""

import brainunit as u
import numpy as np
import pytest

from brainevent.projections import LIF, Network, Poisson, SpikeSource


@pytest.fixture(scope="module")
def poisson():
    """40 neurons that spike 5 to 200 times a second, and a silent one, for 3 s: (run, population)."""
    P = Poisson(41, rate=np.append(np.linspace(5, 200, 40), 0) * u.Hz, name="P")
    net = Network(P, seed=1)
    net.run(13 * u.ms, dt=0.1 * u.ms, progress=False)
    return net.run(3 * u.second, progress=False), P


def test_intervals_and_their_variation(poisson):
    """Neuron by neuron by numpy; for Poisson neurons the coefficient of variation is 1, less what a step leaves out."""
    run, P = poisson
    times, ids = run.spikes(P)
    gaps, of = run.isi(P)
    cv = run.cv(P)
    for neuron in range(41):
        want = np.diff(times.mantissa[ids == neuron])
        np.testing.assert_allclose(gaps.mantissa[of == neuron], want)
        assert np.isnan(cv[neuron]) if want.size < 2 else cv[neuron] == pytest.approx(want.std() / want.mean())
    assert np.nanmean(cv[10:40]) == pytest.approx(1, abs=0.05) and np.isnan(cv[40])
    np.testing.assert_array_equal(run.cv(P[10:20]), cv[10:20])


def test_regular_neurons_do_not_vary():
    N = LIF(2, V_rest=-65 * u.mV, tau_ref=2 * u.ms, name="N")
    run = Network(N).run(200 * u.ms, dt=0.1 * u.ms, inputs={N: [0, 300] * u.pA}, progress=False)
    assert np.isnan(run.cv(N)[0]) and run.cv(N)[1] < 1e-6
    assert run.isi(N[:1])[0].size == 0


def test_correlations_are_those_of_numpy(poisson):
    run, P = poisson
    times, ids = run.spikes(P)
    edges = np.arange(0, 3000 + 1, 10) + 13
    counts = np.stack([np.histogram(times.mantissa[ids == neuron] - 0.05, edges)[0] for neuron in range(40)])
    found = run.correlation(P, bin=10 * u.ms)
    np.testing.assert_allclose(found[:40, :40], np.corrcoef(counts), atol=1e-12)
    assert np.isnan(found[40]).all() and found.shape == (41, 41)


def test_neurons_that_spike_together_are_correlated():
    times = np.array([3.0, 17.0, 44.0, 71.0])
    S = SpikeSource(3, times=np.concatenate([times, times, times + 5]) * u.ms, ids=np.repeat([0, 1, 2], 4), name="S")
    found = Network(S).run(100 * u.ms, dt=0.1 * u.ms, progress=False).correlation(S, bin=2 * u.ms)
    assert found[0, 1] == pytest.approx(1) and found[0, 2] < 0


def test_the_spectrum_finds_a_rhythm_and_the_floor_of_poisson_spikes(poisson):
    """A population of Poisson neurons has a flat spectrum: twice its rate over its size (one-sided); a volley at 40 Hz peaks there."""
    run, P = poisson
    frequencies, power = run.spectrum(P[:40])
    assert frequencies.mantissa[1] == pytest.approx(2) and frequencies.mantissa[-1] == pytest.approx(500)
    floor = 2 * run.rate(P[:40]).mantissa / 40
    assert power.mantissa[2:-2].mean() == pytest.approx(floor, rel=0.1)
    beat = np.arange(5, 1000, 25.0)
    S = SpikeSource(1, times=beat * u.ms, ids=np.zeros(beat.size, int), name="S")
    frequencies, power = Network(S).run(1 * u.second, dt=0.1 * u.ms, progress=False).spectrum(S)
    assert frequencies.mantissa[np.argmax(power.mantissa[: frequencies.size // 10])] == pytest.approx(40)


def test_bad_bins_and_segments_are_named(poisson):
    run, P = poisson
    with pytest.raises(ValueError, match=r"bin is 0.25 ms, which is no multiple of dt = 0.1 ms"):
        run.correlation(P, bin=0.25 * u.ms)
    with pytest.raises(ValueError, match=r"segment is 1 ms and the run has 3000 bins, expected a time of at least two bins"):
        run.spectrum(P, segment=1 * u.ms)
    with pytest.raises(ValueError, match="were not recorded"):
        run.cv(LIF(3, name="other"))
