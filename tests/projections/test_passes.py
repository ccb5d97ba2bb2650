"""Networks whose populations are one pass of machine code, against the same networks by XLA."""

from typing import ClassVar

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tables import needs_numba, thorough

from brainevent.core import one_pass as module
from brainevent.projections import (
    ALIF,
    AMPA,
    COBA,
    CUBA,
    HH,
    LIF,
    NMDA,
    QIF,
    AdEx,
    Alpha,
    Delta,
    DualExpon,
    ExpIF,
    Expon,
    FixedProb,
    GABAa,
    Gap,
    Izhikevich,
    Network,
    Neuron,
    Normal,
    Poisson,
    PoissonInput,
    Projection,
    Uniform,
)

pytestmark = needs_numba
DT = 0.1
TAUS = np.linspace(10, 30, 20) * u.ms


class Leaky(Neuron):
    """A model of a user's own, integrated by Runge and Kutta's method."""

    defaults: ClassVar = {"tau": 20 * u.ms, "R": 100 * u.Mohm, "tau_ref": 1 * u.ms}
    positive = ("tau", "R")
    variables: ClassVar = {"V": -65 * u.mV}
    method = "rk4"

    def derivative(self, state, I):
        return {"V": (-65 - state["V"] + self.p.R * I) / self.p.tau}

    def fire(self, state, before):
        spikes = state["V"] > -50
        return {"V": jnp.where(spikes, -65, state["V"])}, spikes


MODELS = {  # name: (a population of 20, current)
    "LIF": (lambda: LIF(20, tau_ref=2 * u.ms, V_init=Normal(-55 * u.mV, 3 * u.mV), name="N"), 180 * u.pA),
    "LIF, of each": (
        lambda: LIF(20, tau=TAUS, tau_ref=np.arange(20) * 0.3 * u.ms, V_reset=-np.linspace(60, 70, 20) * u.mV, name="N"),
        180 * u.pA,
    ),
    "ALIF": (lambda: ALIF(20, name="N"), 200 * u.pA),
    "AdEx": (lambda: AdEx(20, name="N"), 700 * u.pA),
    "ExpIF": (lambda: ExpIF(20, name="N"), 500 * u.pA),
    "HH": (lambda: HH(20, name="N"), 500 * u.pA),
    "Izhikevich": (lambda: Izhikevich(20, name="N"), 10 * u.pA),
    "QIF": (lambda: QIF(20, name="N"), 300 * u.pA),
    "Leaky": (lambda: Leaky(20, tau=TAUS, name="N"), 200 * u.pA),
}
RECEPTORS = {  # name: (synapse, weight)
    "exponential currents": (Expon(tau=5 * u.ms), 30 * u.pA),
    "conductances": (Expon(tau=np.linspace(3, 8, 20) * u.ms, output=COBA(E=-10 * u.mV)), 1 * u.nS),
    "at 0 mV": (Expon(tau=5 * u.ms, output=COBA(E=0 * u.mV)), 1 * u.nS),
    "jumps": (Delta(), 0.3 * u.mV),
    "rising": (DualExpon(tau_rise=1 * u.ms, tau_decay=5 * u.ms, output=COBA(E=0 * u.mV)), 1 * u.nS),
    "alpha": (Alpha(tau=3 * u.ms, output=CUBA()), 30 * u.pA),
    "blocked by magnesium": (NMDA(), 2 * u.nS),
    "bound": (AMPA(), 1 * u.nS),
    "bound for long": (GABAa(output=COBA(E=0 * u.mV)), 1 * u.nS),
}


def network(model, *names, delay=None):
    N = MODELS[model][0]()
    source = Poisson(20, rate=300 * u.Hz, name="source")
    parts = []
    for name in names:
        synapse, weight = RECEPTORS[name]
        parts += [Projection(pre, FixedProb(0.3, weight=weight), synapse, N, delay=delay) for pre in (source, N)]
    return N, Network(*parts, seed=1, dt=DT * u.ms)


def served(monkeypatch):
    """A list that the names of what is given to a pass that is served are appended to."""
    found, asked = [], module.one_pass

    def watched(function, given, *more):
        made = asked(function, given, *more)
        found.extend([] if made is None else [sorted(given)])
        return made

    monkeypatch.setattr("brainevent.projections.schedule.one_pass", watched)
    return found


def both_ways(monkeypatch, make, current, duration=20 * u.ms):
    """`(N, run, states at the end)` by XLA, then in passes."""
    found, passes = [], served(monkeypatch)
    for least in (10**9, 1):
        monkeypatch.setattr(module, "LEAST", least)
        N, net = make()
        run = net.run(duration, inputs={N: current}, progress=False)
        found.append((N, run, {key: np.asarray(u.get_mantissa(state.value)) for key, state in net.states().items()}))
        assert bool(passes) == (least == 1)
    return found


def assert_same(found, eps):
    (N, plain, want), (M, run, got) = found
    assert len(plain.spikes(N)[1]) > 20
    for a, b in zip(plain.spikes(N), run.spikes(M)):
        np.testing.assert_array_equal(u.get_mantissa(b), u.get_mantissa(a))
    assert want.keys() == got.keys()
    for key in want:
        scale = np.abs(want[key]).max(initial=1.0) if want[key].dtype.kind == "f" else 0.0
        np.testing.assert_allclose(got[key], want[key], rtol=0, atol=eps * scale, err_msg=str(key))


@pytest.mark.parametrize("model", [pytest.param(model, marks=thorough if model in ("ExpIF", "QIF", "ALIF") else ()) for model in MODELS])
def test_every_model(model, monkeypatch):
    """200 steps in float64: what differs in the last bit grows by what neurons amplify."""
    with jax.enable_x64(True):
        receptors = ("jumps",) if model == "Izhikevich" else ("conductances",)
        found = both_ways(monkeypatch, lambda: network(model, *receptors), MODELS[model][1])
    assert_same(found, 1e-9)


@pytest.mark.parametrize(
    "names",
    [
        *(pytest.param((name,), marks=() if name in ("jumps", "bound") else thorough) for name in RECEPTORS),
        ("conductances", "exponential currents", "rising", "blocked by magnesium"),
    ],
    ids=" + ".join,
)
def test_every_receptor(names, monkeypatch):
    """Those that decay by a factor do so in the pass; several receptors of a population are one pass with it."""
    with jax.enable_x64(True):
        found = both_ways(monkeypatch, lambda: network("LIF", *names), 180 * u.pA)
    assert_same(found, 1e-9)


@pytest.mark.parametrize(
    "delay", [1.5 * u.ms, np.arange(20) * DT * u.ms, Uniform(0 * u.ms, 2 * u.ms)], ids=["one", "each neuron", "each synapse"]
)
def test_delays(delay, monkeypatch):
    """Where input is due later, what takes it lets the state fade, and the pass does not."""
    with jax.enable_x64(True):
        found = both_ways(monkeypatch, lambda: network("LIF", "conductances", "exponential currents", delay=delay), 180 * u.pA)
    assert_same(found, 1e-9)


def test_gap_junctions_and_other_currents(monkeypatch):
    """What gap junctions deliver is read; currents may be functions of time, one a neuron, and noise; trains add to what has faded."""

    def make():
        N = MODELS["LIF"][0]()
        train = PoissonInput(N, n=50, rate=100 * u.Hz, weight=0.2 * u.nS, synapse=RECEPTORS["at 0 mV"][0])
        return N, Network(Projection(N, FixedProb(0.1, weight=0.5 * u.nS), Gap(), N), train, seed=1, dt=DT * u.ms)

    with jax.enable_x64(True):
        for current in (lambda t: (150 + t / u.ms) * u.pA, np.linspace(100, 200, 20) * u.pA):
            assert_same(both_ways(monkeypatch, make, current), 1e-9)


def test_float32(monkeypatch):
    """As float32 allows: spikes are those of XLA for a while, and rates stay."""
    (N, plain, _), (M, run, _) = both_ways(monkeypatch, lambda: network("LIF", "conductances"), 180 * u.pA, 5 * u.ms)
    for a, b in zip(plain.spikes(N), run.spikes(M)):
        np.testing.assert_array_equal(u.get_mantissa(b), u.get_mantissa(a))


@thorough
def test_a_pass_goes_on_where_it_stopped_and_is_the_same_in_a_copy(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "LEAST", 1)
    whole, parts = (network("AdEx", "conductances", "rising", delay=0.5 * u.ms) for _ in range(2))
    want = whole[1].run(20 * u.ms, inputs={whole[0]: 700 * u.pA}, progress=False).spikes(whole[0])
    N, net = parts
    net.run(8 * u.ms, inputs={N: 700 * u.pA}, progress=False)
    net.save(tmp_path / "net.npz")
    M, other = network("AdEx", "conductances", "rising", delay=0.5 * u.ms)
    other.load(tmp_path / "net.npz")
    for which, population in ((net, N), (other, M)):
        times, ids = which.run(12 * u.ms, inputs={population: 700 * u.pA}, progress=False).spikes(population)
        later = want[0] > 8.05 * u.ms
        np.testing.assert_array_equal(ids, want[1][later])
        np.testing.assert_allclose(times.to_decimal(u.ms), want[0][later].to_decimal(u.ms), atol=1e-3)
