"""Gap junctions: against solve_ivp, in every format; what they have no place for is refused."""

import brainunit as u
import jax
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from tables import HERE

from brainevent.projections import (
    LIF,
    AdEx,
    AllToAll,
    Delta,
    FixedProb,
    FromPairs,
    Gap,
    Network,
    OneToOne,
    Poisson,
    Projection,
    TsodyksMarkram,
)

QUIET = {"V_th": 1e3 * u.mV, "V_rest": 0 * u.mV, "V_reset": 0 * u.mV}


@pytest.mark.parametrize("backend", HERE)
@pytest.mark.parametrize("word", ["csr", "csc", "coo", "dense"])
def test_current_goes_both_ways(word, backend):
    """Between slices of one population and of two, repeated pairs included: V of solve_ivp, to the first order of the step."""
    rng = np.random.default_rng(0)
    row, col, g = rng.integers(0, 5, 8), rng.integers(0, 3, 8), rng.uniform(1, 5, 8)
    start = rng.uniform(-10, 10, 9)
    errors = []
    W = np.zeros((9, 9))
    np.add.at(W, (row, 6 + col), g)
    W[:3, 3:6] += 2 * np.eye(3)
    W = W + W.T

    def slopes(t, V):
        return (-V + 0.1 * (W @ V - W.sum(1) * V)) / 20

    want = solve_ivp(slopes, (0, 10), start, rtol=1e-10, atol=1e-12).y[:, -1]
    for dt in (0.1, 0.05):
        with jax.enable_x64(True):
            A, B = LIF(6, V_init=start[:6] * u.mV, name="A", **QUIET), LIF(3, V_init=start[6:] * u.mV, name="B", **QUIET)
            between = Projection(A[:5], FromPairs(row, col, weight=g * u.nS, format=word), Gap(), B)
            within = Projection(A[:3], OneToOne(weight=2 * u.nS), Gap(), A[3:])
            net = Network(between, within)
            net.run(10 * u.ms, dt=dt * u.ms, progress=False, backend=backend)
            errors.append(np.abs(np.concatenate([A.V.value.mantissa, B.V.value.mantissa]) - want).max())
    assert errors[0] < 0.05 and errors[1] < 0.6 * errors[0], errors


def test_coupled_neurons_spike_together():
    """Two AdEx neurons out of step come into step; other models take gap junctions as LIF does, in a network with spikes and delays."""
    N = AdEx(2, V_init=[-70, -55] * u.mV, name="N")
    coupled = Network(Projection(N[:1], AllToAll(weight=20 * u.nS), Gap(), N[1:]), seed=1)
    run = coupled.run(600 * u.ms, dt=0.05 * u.ms, inputs={N: 1000 * u.pA}, progress=False)
    times, ids = run.spikes(N)
    last = [times.mantissa[ids == i][-3:] for i in range(2)]
    assert np.abs(last[0] - last[1]).max() < 1
    free = Network(M := AdEx(2, V_init=[-70, -55] * u.mV, name="M")).run(
        600 * u.ms, dt=0.05 * u.ms, inputs={M: 1000 * u.pA}, progress=False
    )
    times, ids = free.spikes(M)
    assert np.abs(times.mantissa[ids == 0][-1] - times.mantissa[ids == 1][-1]) > 1


def test_spikes_of_the_same_neurons_arrive_as_before():
    """A gap junction beside a delayed projection from the same population changes no delivery."""
    P, N = LIF(2, V_init=-49 * u.mV, name="P"), LIF(2, **QUIET, name="N")
    spikes = Projection(P, OneToOne(weight=1 * u.mV), Delta(), N, delay=1 * u.ms)
    net = Network(spikes, Projection(P, OneToOne(weight=1e-9 * u.nS), Gap(), N))
    V = net.run(3 * u.ms, dt=0.1 * u.ms, record=[N.V], progress=False).state(N.V).mantissa[:, 0]
    assert np.argmax(V) == 10 and V.max() == pytest.approx(1, abs=1e-4)
    spikes.delay = 2 * u.ms
    assert "Gap" in net.summary()
    with pytest.raises(ValueError, match="acts without spikes, and has no delay"):
        next(p for p in net.projections if p is not spikes).delay = 1 * u.ms


@pytest.mark.parametrize(
    "options,error,words",
    [
        ({"delay": 1 * u.ms}, ValueError, r"acts without spikes, and has no delay: leave it out"),
        ({"plasticity": TsodyksMarkram()}, ValueError, r"acts without spikes, and has no plasticity: leave it out"),
        ({"path": "event"}, ValueError, r"there is no path=\"event\": use path=\"auto\""),
        ({"pre": "source"}, TypeError, r"joins two voltages, and Poisson\(3, name='S'\) has no V"),
        ({"weight": 1 * u.pA}, u.UnitMismatchError, r"the weight has unit pA, but Gap\(\) onto the post neurons takes nS"),
        ({"weight": -1 * u.nS}, ValueError, r"a conductance is at least 0"),
    ],
)
def test_bad_input_is_named(options, error, words):
    S, N = Poisson(3, rate=1 * u.Hz, name="S"), LIF(3, name="N")
    pre, weight = (S if options.pop("pre", None) else N), options.pop("weight", 1 * u.nS)
    with pytest.raises(error, match=words):
        Network(Projection(pre, FixedProb(0.9, weight=weight), Gap(), N, **options))
