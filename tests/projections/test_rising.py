"""Synapses that rise and fall: their shapes in closed form, the membrane they drive against solve_ivp, and what they refuse."""

import re

import brainunit as u
import jax
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from tables import HERE

from brainevent.projections import COBA, CUBA, LIF, NMDA, Alpha, DualExpon, Expon, MgBlock, Network, OneToOne, Projection

TAU, R, REST = 20.0, 0.1, -65.0  # ms, Gohm, mV
RISES, FALLS = np.array([0.5, 2.0, 5.0]), np.array([5.0, 100.0, 0.7])
KINDS = {
    "DualExpon": (lambda output: DualExpon(tau_rise=RISES * u.ms, tau_decay=FALLS * u.ms, output=output), RISES, FALLS),
    "Alpha": (lambda output: Alpha(tau=RISES * u.ms, output=output), RISES, RISES),
    "nearly Alpha": (lambda output: DualExpon(tau_rise=RISES * u.ms, tau_decay=RISES * (1 + 1e-9) * u.ms, output=output), RISES, RISES),
    "NMDA": (lambda output: NMDA(output=output), np.full(3, 2.0), np.full(3, 100.0)),
}


def closed_form(t, rise, fall):
    """The shape of peak 1, by the book: for different and for equal time constants."""
    if np.array_equal(rise, fall):
        return t / rise * np.exp(1 - t / rise)
    peak = np.log(fall / rise) * rise * fall / (fall - rise)
    return (np.exp(-t / fall) - np.exp(-t / rise)) / (np.exp(-peak / fall) - np.exp(-peak / rise))


def responded(synapse, weight, dt, duration, delay=0.0):
    """Of three neurons that each get one spike in step 0: the state g after the run, V after every step, and the projection."""
    pre = LIF(3, V_init=-40 * u.mV, name="once")
    post = LIF(3, tau=TAU * u.ms, R=R * u.Gohm, V_rest=REST * u.mV, V_reset=REST * u.mV, name="post")
    projection = Projection(pre, OneToOne(weight=weight), synapse, post, delay=delay * u.ms)
    net = Network(projection)
    run = net.run(duration * u.ms, dt=dt * u.ms, record=[post.V], progress=False)
    return np.asarray(net._states["synapse0.g"].value), run.state(post.V).mantissa, projection


@pytest.mark.parametrize("name", KINDS)
def test_the_state_follows_the_closed_form(name):
    """At any time, to a rounding a step; the peak is the weight, whatever the time constants."""
    make, rise, fall = KINDS[name]
    synapse = make(MgBlock() if name == "NMDA" else CUBA())
    weight = 3 * u.nS if name == "NMDA" else 3 * u.pA
    with jax.enable_x64(True):
        for steps in (1, 2, 30, 300):
            g, _, _ = responded(synapse, weight, 0.1, (steps + 1) * 0.1)
            np.testing.assert_allclose(g, 3 * closed_form(steps * 0.1, rise, fall), rtol=1e-7 if "nearly" in name else 1e-12)
    t = np.linspace(0.01, 50, 200_001)
    for r, f in zip(rise, fall):
        one = DualExpon(tau_rise=r * u.ms, tau_decay=f * u.ms).shape(t)
        np.testing.assert_allclose(one, closed_form(t, r, f if r != f else r), atol=1e-8)
        assert one.max() == pytest.approx(1, abs=1e-6)
        np.testing.assert_allclose(one, DualExpon(tau_rise=f * u.ms, tau_decay=r * u.ms).shape(t), rtol=1e-12)


@pytest.mark.parametrize("name", ["DualExpon", "Alpha"])
def test_currents_are_integrated_exactly(name):
    """The membrane after each step of 0.5 ms is that of solve_ivp, which knows no steps."""
    make, rise, fall = KINDS[name]
    with jax.enable_x64(True):
        _, V, _ = responded(make(CUBA()), 50 * u.pA, 0.5, 40)
    for i in range(3):

        def slope(t, v, i=i):
            return (REST - v + R * 50 * closed_form(t, rise[i], fall[i])) / TAU

        times = np.arange(80) * 0.5  # the spike is one of the end of step 0
        want = solve_ivp(slope, (0, 40), [REST], t_eval=times, rtol=1e-11, atol=1e-11, method="DOP853").y[0]
        np.testing.assert_allclose(V[:, i], want, rtol=0, atol=1e-8)


@pytest.mark.parametrize("output", [COBA(E=0 * u.mV), COBA(E=-80 * u.mV), MgBlock(E=10 * u.mV, Mg=0.5)], ids=str)
def test_conductances_converge_to_the_equation(output):
    """Conductances are frozen in a step, and so is the block: an error that halves with dt, beside solve_ivp."""
    rise, fall, weight = 1.0, 8.0, 4.0

    def slope(t, v):
        g = weight * closed_form(t, rise, fall)
        blocked = 1 / (1 + output.Mg / 3.57 * np.exp(-0.062 * v)) if isinstance(output, MgBlock) else 1.0
        return (REST - v + R * g * blocked * (output.E.mantissa - v)) / TAU

    want = solve_ivp(slope, (0, 30), [REST], t_eval=np.arange(300) * 0.1, rtol=1e-10, atol=1e-10, method="DOP853").y[0]
    errors = []
    with jax.enable_x64(True):
        for dt in (0.1, 0.05, 0.025):
            synapse = DualExpon(tau_rise=rise * u.ms, tau_decay=fall * u.ms, output=output)
            _, V, projection = responded(synapse, weight * u.nS, dt, 30 + dt)
            every = round(0.1 / dt)
            errors.append(np.abs(V[::every, 0][:300] - want).max())
            assert projection.psp() == pytest.approx(np.extract(np.abs(want - REST) == np.abs(want - REST).max(), want - REST)[0], rel=2e-3)
    assert errors[0] < 0.1 and errors[1] / errors[2] == pytest.approx(2, rel=0.1) and errors[0] / errors[1] == pytest.approx(2, rel=0.1)


def test_the_magnesium_block_is_the_published_one():
    """Half of the channels are open at -20.5 mV in 1 mM; without magnesium all are; at rest 5 to 6 of 100."""
    assert float(MgBlock().open(-np.log(3.57) / 0.062)) == pytest.approx(0.5, abs=1e-6)
    assert float(MgBlock(Mg=0.0).open(-90.0)) == 1 and MgBlock() == MgBlock(E=0 * u.volt, Mg=1) != MgBlock(Mg=2.0)
    assert float(MgBlock().open(-65.0)) == pytest.approx(1 / (1 + np.exp(0.062 * 65) / 3.57), rel=1e-6)
    assert NMDA() == NMDA(tau_rise=0.002 * u.second, tau_decay=100 * u.ms) and NMDA() != NMDA(tau_decay=50 * u.ms)


@pytest.mark.parametrize("backend", HERE)
def test_several_receptors_share_a_population(backend):
    """AMPA-like, NMDA and GABA-like on one neuron: states of their own, shared by equal synapses, and delays of single synapses."""
    pre, post = LIF(3, V_init=-40 * u.mV, name="pre"), LIF(3, name="post")
    fast = DualExpon(tau_rise=0.5 * u.ms, tau_decay=3 * u.ms, output=COBA(E=0 * u.mV))
    twin = DualExpon(tau_rise=0.0005 * u.second, tau_decay=3 * u.ms, output=COBA(E=0 * u.mV))
    kinds = fast, twin, NMDA(), Alpha(tau=4 * u.ms, output=COBA(E=-80 * u.mV))
    parts = [
        Projection(pre, OneToOne(weight=w * u.nS), kind, post, delay=delay)
        for w, kind, delay in zip((1, 2, 3, 4), kinds, (0 * u.ms, [0.1, 0.2, 0.3] * u.ms, 0.2 * u.ms, [0.0, 0.5, 0.9] * u.ms))
    ]
    net = Network(*parts)
    net.run(1.1 * u.ms, dt=0.1 * u.ms, progress=False, backend=backend)
    assert len(net.synapses) == 3

    def g(t, rise, fall):
        t = np.asarray(t, float)
        return np.where(t > 0, closed_form(np.maximum(t, 1e-12), rise, fall), 0.0)

    want = {str(fast): g(1.0, 0.5, 3) + 2 * g(1 - np.array([0.1, 0.2, 0.3]), 0.5, 3)}
    want |= {str(kinds[2]): 3 * g(0.8, 2.0, 100.0) * np.ones(3), str(kinds[3]): 4 * g(1 - np.array([0, 0.5, 0.9]), 4.0, 4.0)}
    for index, (_, synapse) in enumerate(net.synapses):
        np.testing.assert_allclose(net._states[f"synapse{index}.g"].value, want[str(synapse)], rtol=2e-5)


BAD = {
    "no time": (lambda: DualExpon(tau_rise=1, tau_decay=5 * u.ms), u.UnitMismatchError, "DualExpon: tau_rise is a plain number"),
    "zero": (lambda: DualExpon(tau_rise=0 * u.ms, tau_decay=5 * u.ms), ValueError, "DualExpon: tau_rise is 0 ms, expected a positive time"),
    "negative": (lambda: Alpha(tau=[1, -2] * u.ms), ValueError, "Alpha: tau is -2 ms at position 1, expected a positive time"),
    "NaN": (lambda: NMDA(tau_decay=np.nan * u.ms), ValueError, "NMDA: tau_decay is nan"),
    "no output": (lambda: Alpha(tau=1 * u.ms, output=0 * u.mV), TypeError, "Alpha: output is 0 mV, expected COBA(E=0 * u.mV) or CUBA()"),
    "a class": (lambda: NMDA(output=COBA), TypeError, "NMDA: output is"),
    "masked": (lambda: Alpha(tau=np.ma.array([1.0, 2.0], mask=[0, 1]) * u.ms), TypeError, "fill what is masked"),
    "magnesium below none": (lambda: MgBlock(Mg=-1.0), ValueError, "MgBlock: Mg is -1, expected one concentration in mM, at least 0"),
    "magnesium in another unit": (lambda: MgBlock(Mg=1 * u.mV), u.UnitMismatchError, "MgBlock: Mg is a value in mV"),
    "two potentials": (lambda: MgBlock(E=[0, 1] * u.mV), ValueError, "MgBlock: E is <array 2 mV>, of shape (2,), expected one voltage"),
    "a weight in pA": (
        lambda: Projection(N := LIF(2, name="N"), OneToOne(weight=1 * u.pA), NMDA(), N),
        u.UnitMismatchError,
        "N -> N: the weight has unit pA, but NMDA(tau_rise=2 ms, tau_decay=100 ms, output=MgBlock(E=0 mV, Mg=1)) onto",
    ),
    "a negative conductance": (
        lambda: Network(Projection(N := LIF(2, name="N"), OneToOne(weight=-1 * u.nS), NMDA(), N)),
        ValueError,
        "N -> N: weight holds -1 nS, but a conductance is at least 0",
    ),
    "times for other neurons": (
        lambda: Projection(N := LIF(2, name="N"), OneToOne(weight=1 * u.pA), Alpha(tau=[1, 2, 3] * u.ms), N),
        ValueError,
        "N -> N: Alpha tau has shape (3,), expected a scalar or (2,), one a post neuron",
    ),
    "exact, with conductances": (
        lambda: Network(
            Projection(N := LIF(2, method="exact", name="N"), OneToOne(weight=1 * u.nS), Alpha(tau=1 * u.ms, output=COBA(E=0 * u.mV)), N)
        ).run(1 * u.ms, dt=0.1 * u.ms, progress=False),
        ValueError,
        'method="exact" needs exponential currents, but it has Alpha(tau=1 ms, output=COBA(E=0 mV))',
    ),
}


@pytest.mark.parametrize("key", BAD)
def test_what_is_refused(key):
    make, error, words = BAD[key]
    with pytest.raises(error, match=re.escape(words)):
        make()
    assert Alpha(tau=np.array([1, 2], ">f8") * u.ms) == Alpha(tau=[0.001, 0.002] * u.second) != Expon(tau=[1, 2] * u.ms)
