"""The ready-made networks against numbers from outside: other simulators, the paper, and mean-field theory."""

import os
import subprocess
import sys
from pathlib import Path

import brainunit as u
import numpy as np
import pytest
from scipy import integrate, optimize, special
from tables import needs_fixed_order, thorough

from brainevent.projections.spike_trains import intervals
from networks import brunel, coba, command_line, cuba, microcircuit, million

pytestmark = pytest.mark.usefixtures("optimised")

ROOT = Path(__file__).parents[2]


def simulated(model, duration_ms):
    return model.net.run(duration_ms * u.ms, dt=0.1 * u.ms, inputs=model.inputs, record=[model.E.population.spikes])


def counts(run, view, start_ms):
    """Spikes of a view in each 0.5 ms after the start-up."""
    steps = np.rint(run.spikes(view)[0].mantissa / run.dt).astype(int) - 1 - round(start_ms / run.dt)
    return np.bincount(steps[steps >= 0] // 5, minlength=-(-(run.n_steps - round(start_ms / run.dt)) // 5))


def settled_rate(run, view, start_ms):
    """The mean rate (Hz) after the start-up."""
    binned = counts(run, view, start_ms)
    return binned.sum() / view.size / (binned.size * 0.5e-3)


def interval_cv(run, view, start_ms):
    """The coefficient of variation of the interspike intervals, averaged over neurons with at least five of them."""
    times, ids = run.spikes(view)
    times, ids = times.mantissa[times.mantissa > start_ms], ids[times.mantissa > start_ms]
    order = np.lexsort((times, ids))
    same = np.diff(ids[order]) == 0
    intervals, owner = np.diff(times[order])[same], ids[order][1:][same]
    n, total, squares = (np.bincount(owner, weights) for weights in (None, intervals, intervals**2))
    enough = n >= 5
    mean = total[enough] / n[enough]
    return float(np.mean(np.sqrt(np.maximum(squares[enough] / n[enough] - mean**2, 0)) / mean))


def synchrony(run, view, start_ms):
    """Standard deviation over mean of the population rate, and the frequency (Hz) of its largest peak."""
    binned = counts(run, view, start_ms)
    power = np.abs(np.fft.rfft(binned - binned.mean())) ** 2
    return binned.std() / binned.mean(), np.fft.rfftfreq(binned.size, 0.5e-3)[power.argmax()]


def mean_field_rate(g, eta):
    """The rate (Hz) of model A in Brunel 2000: the solution of its eqs. 3 and 4 for a neuron driven by white noise."""

    def escape(mean, deviation, tau=0.02, tau_ref=0.002, threshold=20.0, reset=10.0):
        below, above = (reset - mean) / deviation, (threshold - mean) / deviation
        return 1 / (tau_ref + tau * np.sqrt(np.pi) * integrate.quad(lambda x: special.erfcx(-x), below, above)[0])

    def excess(rate, J=0.1, tau=0.02, C=1000, gamma=0.25):
        external = eta * 10 * C
        mean = J * tau * (external + C * rate * (1 - g * gamma))
        return escape(mean, J * np.sqrt(tau * (external + C * rate * (1 + g * g * gamma)))) - rate

    return optimize.brentq(excess, 0.1, 499)


# Over seeds Brian2 2.9 gives 21.6 Hz, standard deviation 1.3 (COBA, 6 seeds), and 5.76 Hz, 0.34 (CUBA, 3 seeds), for the same 1,000 ms
BRIAN2 = {"coba": (coba.build, 21.6, 1.3, 6), "cuba": (cuba.build, 5.76, 0.34, 3)}


@pytest.mark.parametrize("name", BRIAN2)
def test_rates_are_those_of_brian2(name):
    build, mean, deviation, n_theirs = BRIAN2[name]
    rates = []
    for seed in range(1, 5):
        model = build(seed=seed)
        run = simulated(model, 1000)
        rates.append(run.rate(model.E.population).mantissa)
        assert run.rate(model.I).mantissa == pytest.approx(run.rate(model.E).mantissa, rel=0.15)  # the same drive reaches both
    error = deviation * np.sqrt(1 / len(rates) + 1 / n_theirs)
    assert abs(np.mean(rates) - mean) < 3 * error
    assert max(abs(np.array(rates) - mean)) < 4 * deviation
    assert name != "coba" or 20 < np.mean(rates) < 23  # as in NEST and GeNN


@pytest.mark.parametrize("name", BRIAN2)
@pytest.mark.parametrize("scale", [0.25, 2.0])
def test_the_rate_stays_when_scaled(name, scale):
    build, mean, deviation, _ = BRIAN2[name]
    model = build(scale, 3)
    assert len(model.E) + len(model.I) == 4000 * scale
    rate = simulated(model, 1000).rate(model.E.population).mantissa
    assert abs(rate - mean) < 3 * deviation / np.sqrt(scale)  # neurons are what is averaged over


# Rates of the simulations in figure 8 of Brunel 2000 (B to D), and of its theory (mean_field_rate gives 55.8, 37.9 and 6.5 Hz)
PAPER = {"SI-fast": (60.7, 55.8), "AI": (37.7, 38.0), "SI-slow": (5.5, 6.5)}


def test_the_mean_field_is_the_papers():
    for regime, (_, theory) in PAPER.items():
        assert mean_field_rate(*brunel.REGIMES[regime]) == pytest.approx(theory, abs=0.06)


@pytest.mark.parametrize(
    "regime, tolerance, cv, modulation, frequency",
    [  # regime, of the rate, range of CV of the intervals, of the modulation of the population rate, of its frequency (Hz)
        ("SI-fast", 0.07, (0.6, 1.2), (0.8, 1.2), (150, 210)),  # the paper: 180 Hz
        ("AI", 0.04, (0.3, 1.0), (0.0, 0.7), None),
        ("SI-slow", 0.15, None, (1.2, 3.0), (14, 32)),  # the paper: 22 Hz; too few intervals in this time for a CV
    ],
)
def test_irregular_regimes_of_brunel(regime, tolerance, cv, modulation, frequency):
    model = brunel.build(seed=1, regime=regime)
    run = simulated(model, 600)
    assert settled_rate(run, model.E, 100) == pytest.approx(PAPER[regime][0], rel=tolerance)
    assert settled_rate(run, model.I, 100) == pytest.approx(PAPER[regime][0], rel=tolerance)
    strength, peak = synchrony(run, model.E, 100)
    assert modulation[0] < strength < modulation[1]
    assert frequency is None or frequency[0] < peak < frequency[1]
    assert cv is None or cv[0] < interval_cv(run, model.E, 100) < cv[1]


def test_synchronous_regular_regime_of_brunel():
    model = brunel.build(0.2, 1, regime="SR")
    run = simulated(model, 250)
    assert settled_rate(run, model.E, 100) == pytest.approx(mean_field_rate(*brunel.REGIMES["SR"]), rel=0.07)
    assert interval_cv(run, model.E, 100) < 0.05
    assert synchrony(run, model.E, 100)[0] > 0.7


def test_a_scaled_brunel_network_keeps_in_degrees_and_rate():
    model = brunel.build(0.2, 1, regime="AI")
    assert sorted({int(k) for p in model.net.projections for k in p.indegree()}) == [250, 1000]
    assert settled_rate(simulated(model, 400), model.E, 100) == pytest.approx(PAPER["AI"][0], rel=0.05)


def test_an_unknown_regime_is_an_error_that_lists_them():
    with pytest.raises(ValueError, match=r"'ai'.*SR, SI-fast, AI, SI-slow"):
        brunel.build(regime="ai")


@pytest.mark.parametrize("text, ms", [("1000", 1000), ("500ms", 500), ("2 s", 2000), ("1.5s", 1500), ("1e3", 1000)])
def test_durations(text, ms):
    assert command_line.duration(text).to_decimal(u.ms) == ms


@pytest.mark.parametrize("text", ["-5", "fast", "3 min", ""])
def test_durations_that_are_none(text, capsys):
    with pytest.raises(SystemExit):
        command_line.parser("coba", "").parse_args(["--duration", text])
    assert "--duration" in capsys.readouterr().err


@needs_fixed_order
def test_coba_of_drawn_synapses_is_coba():
    """Spike by spike: the 320,000 synapses of the stored network and of the drawn one are the same."""
    models = [coba.build(seed=5, format=format) for format in ("jit", "csr")]
    (times, ids), (others, other_ids) = (simulated(model, 100).spikes(model.E.population) for model in models)
    assert np.array_equal(times.mantissa, others.mantissa) and np.array_equal(ids, other_ids) and ids.size > 5000


@thorough
def test_a_hundredth_of_the_million():
    """10,000 neurons with 1,000 synapses each: the numbers of synapses are binomial, and the network is in slow irregular activity."""
    model = million.build(0.01, seed=2)
    excite, inhibit = model.net.projections
    for projection, sources in ((excite, 8000), (inhibit, 2000)):
        mean, deviation = sources * 1000, np.sqrt(sources * 1000 * 0.9)
        assert abs(projection.n_synapses - mean) < 4 * deviation
    assert "0 B (stored: 16" in model.net.summary()
    run = simulated(model, 400)
    assert 1.0 < settled_rate(run, model.E, 150) < 3.0
    assert synchrony(run, model.E, 150)[0] < 1.0


# Six runs of NEST 3.10 with the same constants (benchmarks/peers/nest_microcircuit.py --scale 0.1, seeds 1 to 6): rates of 0.5 to 2.5 s
# and the CV of interspike intervals of neurons with at least three, mean and standard deviation over seeds
TENTH = {
    "rate": ([0.477, 2.099, 3.982, 5.007, 6.515, 7.810, 0.836, 6.998], [0.014, 0.032, 0.021, 0.018, 0.213, 0.053, 0.030, 0.028]),
    "cv": ([0.646, 0.684, 0.712, 0.723, 0.720, 0.708, 0.664, 0.708], [0.031, 0.009, 0.006, 0.012, 0.009, 0.016, 0.012, 0.009]),
}


@thorough
def test_a_tenth_of_the_microcircuit_is_that_of_nest():
    """Rates and irregularity of all populations within what seeds make of them: 4.5 standard deviations of the difference."""
    net, populations, inputs = microcircuit.build(0.1, seed=1)
    run = net.run(2500 * u.ms, dt=0.1 * u.ms, inputs=inputs, progress=False)
    for population, *of_nest in zip(populations, *(np.transpose(TENTH[key]) for key in ("rate", "cv"))):
        times, ids = run.spikes(population)
        late = times.mantissa > 500
        gaps, own = intervals(times.mantissa[late], ids[late])
        count, total, squares = (np.bincount(own, weights, minlength=population.size) for weights in (None, gaps, gaps**2))
        enough = count >= 3
        mean = total[enough] / count[enough]
        cv = np.mean(np.sqrt(np.maximum(squares[enough] / count[enough] - mean**2, 0)) / mean)
        for got, (expected, spread) in zip((late.sum() / population.size / 2, cv), of_nest):
            assert abs(got - expected) < 4.5 * spread * np.sqrt(1 + 1 / 6), (population.label, got, expected)
    assert sum(p.n_synapses for p in net.projections) == pytest.approx(2_988_809.68, abs=30)


def test_the_microcircuit_has_the_published_numbers():
    """Synapses, the current that 1 mV takes, the drive; the mean input of a smaller network is that of the full one."""
    sizes = microcircuit.SIZES
    counts = microcircuit.synapses(microcircuit.PROBABILITIES, sizes[:, None], sizes)
    assert counts.sum() == microcircuit.FACTS["total"]["synapses"] == 298_880_968 and sizes.sum() == 77_169
    assert microcircuit.current_of(1.0) == pytest.approx(585.39, abs=1e-4)
    mean = {}
    for scale in (0.02, 0.04):
        net, populations, inputs = microcircuit.build(scale, drive="dc")
        mean[scale] = [inputs[p].mantissa + _recurrent(net, p) for p in populations]
    np.testing.assert_allclose(mean[0.02], mean[0.04], rtol=0.03)
    w = np.asarray(net.projections[0].weight.to_decimal(u.pA))
    assert w.mean() == pytest.approx(87.8085 / np.sqrt(0.04), rel=0.01) and w.std() / w.mean() == pytest.approx(0.1, rel=0.03)


def _recurrent(net, population) -> float:
    """The mean current (pA) from the network at the published rates."""
    rates = dict(zip(microcircuit.NAMES, microcircuit.RATES))
    onto = [p for p in net.projections if p.post.population is population]
    return sum(p.weight.mantissa.sum() / p.post.size * rates[p.pre.label] * 0.5e-3 for p in onto)


@pytest.mark.parametrize("wrong", [{"scale": 0}, {"scale": -1.0}, {"scale": np.nan}, {"scale": 1e-4}, {"drive": "noise"}])
def test_a_microcircuit_that_is_none(wrong):
    name, value = next(iter(wrong.items()))
    with pytest.raises(ValueError, match=f"{name} is {value!r}, expected"):
        microcircuit.build(**wrong)


@thorough
def test_the_thalamus_wakes_layer_4():
    """A volley after 700 ms: layers 4 and 6 answer at once, and the network without one does not."""
    rates = []
    for thalamus in (True, False):
        net, populations, inputs = microcircuit.build(0.05, seed=3, drive="dc", thalamus=thalamus)
        run = net.run(720 * u.ms, dt=0.1 * u.ms, inputs=inputs, progress=False)
        times = run.spikes(populations[2])[0].mantissa
        rates.append((times > 700).sum() / populations[2].size / 0.02)
    assert rates[0] > 2 * rates[1]


@pytest.mark.parametrize(
    "name, words",
    [
        ("coba", []),
        pytest.param("coba", ["--format", "jit"], marks=thorough),
        pytest.param("cuba", ["--backend", "xla"], marks=thorough),
        ("brunel", ["--regime", "SR"]),
        pytest.param("million", [], marks=thorough),
    ],
)
def test_command_line(name, words, tmp_path):
    arguments = ["--scale", "0.002" if name == "million" else "0.1", "--duration", "20ms", "--seed", "3", *words]
    environment = os.environ | {"MPLBACKEND": "agg", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error", "-m", f"networks.{name}", *arguments]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Network:" in done.stdout and "rate of E" in done.stdout and "rate of I" in done.stdout
    assert (tmp_path / f"{name}.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("words", [pytest.param(words, marks=thorough) for words in ([], ["--drive", "dc", "--thalamus"])])
def test_command_line_of_the_microcircuit(words, tmp_path):
    environment = os.environ | {"MPLBACKEND": "agg", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error", "-m", "networks.microcircuit", "--scale", "0.02", "--duration", "20ms", *words]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "synapses" in done.stdout and "L6I " in done.stdout and "published (Hz)" in done.stdout
    assert (tmp_path / "microcircuit.png").read_bytes()[:4] == b"\x89PNG"
