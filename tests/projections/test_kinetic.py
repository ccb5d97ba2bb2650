"""Kinetic receptors: bound exactly as in the closed form and in solve_ivp, through saturation, delays, and every format."""

import itertools

import brainunit as u
import jax
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from tables import HERE

from brainevent.projections import (
    AMPA,
    LIF,
    NMDA,
    FixedProb,
    FromPairs,
    GABAa,
    KineticNMDA,
    Network,
    OneToOne,
    PairSTDP,
    Poisson,
    Projection,
    SpikeSource,
)

DT = 0.1
QUIET = {"V_th": 20 * u.mV, "V_rest": -65 * u.mV, "V_reset": -65 * u.mV}


def bound(synapse, spikes, t):
    """r at the times t (ms) by an adaptive method, for pulses that start at the ends of steps and begin anew with each spike."""
    alpha, beta, T = (float(u.get_mantissa(getattr(synapse, name))) for name in ("alpha", "beta", "T"))
    ends = spikes + synapse.in_ms("T_dur")
    edges = np.unique(np.concatenate([[0.0], spikes, ends, [t[-1]]]))
    r, rows = 0.0, {0.0: 0.0}
    for first, last in itertools.pairwise(edges):
        on = ((spikes <= first + 1e-9) & (first < ends - 1e-9)).any()
        inside = t[(t > first + 1e-9) & (t <= last + 1e-9)]

        def slope(_, r, on=on):
            return alpha * T * on * (1 - r) - beta * r

        solved = solve_ivp(slope, (first, last), [r], dense_output=True, rtol=1e-10, atol=1e-13)
        rows |= {value: solved.sol(value)[0] for value in inside}
        r = solved.y[0, -1]
    return np.array([rows[value] for value in t])


@pytest.mark.parametrize("backend", HERE)
@pytest.mark.parametrize("synapse", [AMPA(), GABAa(T=0.5, T_dur=0.7 * u.ms), KineticNMDA()], ids=["AMPA", "GABAa", "NMDA"])
@pytest.mark.parametrize("delays", ["one", "a pre neuron", "a synapse"])
def test_receptors_bind_as_their_equation_says(synapse, delays, backend):
    """Trains with spikes within pulses, far apart, and so dense that r saturates: g in every step is w r of solve_ivp."""
    trains = [np.array([1.0, 1.4, 9.0, 30.0]), np.arange(1, 40, 1.0), np.array([3.0])]
    steps = {"one": 5, "a pre neuron": np.array([[0], [7], [20]]), "a synapse": np.array([0, 3, 11, 2])}[delays]
    row, col, w = np.array([0, 1, 1, 2]), np.array([0, 0, 1, 2]), np.array([2.0, 1.0, 3.0, 0.5])
    of = np.broadcast_to(steps if np.ndim(steps) < 2 else steps[row, 0], 4) * DT
    with jax.enable_x64(True):
        S = SpikeSource(3, times=np.concatenate(trains) * u.ms, ids=np.repeat(np.arange(3), [t.size for t in trains]), name="S")
        N = LIF(3, name="N", **QUIET)
        projection = Projection(S, FromPairs(row, col, weight=w * u.nS), synapse, N, delay=steps * DT * u.ms)
        net = Network(projection, dt=DT * u.ms)
        runs = [net.run(t * u.ms, record=[projection.synapse_state()], progress=False, backend=backend) for t in (8.3, 41.7)]
        g = np.concatenate([np.asarray(run.state(projection.synapse_state()).mantissa) for run in runs])
    t = np.arange(1, 501) * DT
    want = np.zeros((500, 3))
    for k in range(4):
        want[:, col[k]] += w[k] * bound(synapse, trains[row[k]] + of[k], t)
    np.testing.assert_allclose(g, want, rtol=0, atol=2e-8)
    assert want[:, 1].max() < 3 and want.max() > 0.2


def test_one_spike_has_a_closed_form_and_many_saturate():
    synapse = AMPA(alpha=2 / u.ms, beta=0.5 / u.ms, T_dur=2 * u.ms)
    t = np.array([0.5, 2.0, 5.0])
    r = 0.8 * -np.expm1(-2.5 * np.minimum(t, 2)) * np.exp(-0.5 * np.maximum(t - 2, 0))
    np.testing.assert_allclose(synapse.shape(t), r, rtol=1e-12)
    S, N = SpikeSource(1, times=np.arange(1, 100) * u.ms, ids=np.zeros(99, int), name="S"), LIF(1, name="N", **QUIET)
    parts = [Projection(S, OneToOne(weight=1 * u.nS), kind, N) for kind in (KineticNMDA(), NMDA())]
    run = Network(*parts).run(100 * u.ms, dt=DT * u.ms, progress=False)
    assert run.n_steps == 1000
    saturating, adding = (np.asarray(p.network._states[f"synapse{p.network.schedule.synapse_of(p)}.g"].value)[0] for p in parts)
    assert saturating < 0.072 / 0.0786 and adding > 10


def test_formats_and_strengths():
    """The same synapses in every format; the size of a PSP stands in the summary, and is that of a run."""

    def final(word):
        P, N = Poisson(30, rate=100 * u.Hz, name="P"), LIF(20, name="N", **QUIET)
        net = Network(Projection(P, FixedProb(0.3, weight=2 * u.nS, format=word), AMPA(), N, delay=1 * u.ms), seed=1)
        net.run(20 * u.ms, dt=DT * u.ms, progress=False)
        return np.asarray(N.V.value.mantissa)

    stored = final("csr")
    for word in ("jit", "coo", "csc", "dense"):
        np.testing.assert_allclose(final(word), stored, rtol=1e-5)
    S, N = SpikeSource(1, times=[1] * u.ms, ids=[0], name="S"), LIF(1, name="N", **QUIET)
    projection = Projection(S, OneToOne(weight=2 * u.nS), AMPA(), N)
    net = Network(projection)
    V = net.run(40 * u.ms, dt=0.01 * u.ms, record=[N.V], progress=False).state(N.V).mantissa
    assert projection.psp() == pytest.approx((V + 65).max(), rel=0.01)
    assert "Binding" not in net.summary()


@pytest.mark.parametrize(
    "make,error,words",
    [
        (lambda: AMPA(alpha=0 / u.ms), ValueError, "AMPA: alpha is 0 .*, expected a positive rate"),
        (lambda: AMPA(beta=1 * u.ms), u.UnitMismatchError, "AMPA: beta is a value in ms"),
        (lambda: GABAa(T=-1), ValueError, "GABAa: T is -1, expected above 0 mM"),
        (lambda: AMPA(T_dur=[1, 2] * u.ms), ValueError, "AMPA: T_dur"),
        (lambda: AMPA(T_dur=0 * u.ms), ValueError, "T_dur is 0 ms, expected a positive time"),
        (lambda: AMPA(output=3), TypeError, "output is 3"),
        (lambda: learning(AMPA()), ValueError, "says itself what a spike delivers, and takes no plasticity"),
        (lambda: Network(learning(AMPA(), learns=False), dt=5 * u.ms), ValueError, "less than half a step of dt = 5 ms: use a smaller dt"),
    ],
)
def test_bad_input_is_named(make, error, words):
    with pytest.raises(error, match=words):
        make()


def learning(synapse, learns=True):
    N = LIF(3, name="N")
    return Projection(N, OneToOne(weight=1 * u.nS), synapse, N, plasticity=PairSTDP(w_max=1 * u.nS) if learns else None)
