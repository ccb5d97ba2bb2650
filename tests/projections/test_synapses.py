"""Synapses: jumps, shared state, views as pre and post, the size of one postsynaptic potential and the warnings about it."""

import warnings

import brainunit as u
import numpy as np
import pytest
from tables import HERE

from brainevent.projections import (
    COBA,
    CUBA,
    LIF,
    AllToAll,
    Delta,
    Expon,
    FixedProb,
    FromPairs,
    Network,
    Normal,
    OneToOne,
    PoissonInput,
    Projection,
)

DT = 0.1
ONE = OneToOne(weight=1 * u.pA)


def one_spike(n=1, name="once"):
    """Neurons that spike in step 0 and never again."""
    return LIF(n, V_init=-40 * u.mV, name=name)


@pytest.mark.parametrize("backend", HERE)
def test_jumps_are_lost_on_refractory_neurons(backend):
    """Neuron i gets its jump in step i; it spiked in step 0 and holds until step 5 (r = 5): jumps of steps 0 to 4 are lost."""
    pre = one_spike(8)
    post = LIF(8, V_rest=-65 * u.mV, V_reset=-65 * u.mV, V_init=-40 * u.mV, tau_ref=5 * DT * u.ms, name="post")
    parts = [Projection(pre[i], OneToOne(weight=3 * u.mV), Delta(), post[i], delay=i * DT * u.ms) for i in range(8)]
    V = Network(*parts).run(0.8 * u.ms, dt=DT * u.ms, record=[post.V], progress=False, backend=backend).state(post.V).mantissa + 65
    landed = np.array([i >= 5 for i in range(8)])
    np.testing.assert_allclose(V[np.arange(8), np.arange(8)], 3.0 * landed, rtol=1e-5)


def test_a_jump_in_the_step_of_a_spike_is_lost():
    """Delivery comes before the reset: also without a refractory time, and the next jump lands."""
    pre, post = one_spike(2), LIF(2, V_init=np.array([-40, -65]) * u.mV, name="post")
    now, next_ = (Projection(pre, OneToOne(weight=3 * u.mV), Delta(), post, delay=k * DT * u.ms) for k in (0, 1))
    V = Network(now, next_).run(0.2 * u.ms, dt=DT * u.ms, record=[post.V], progress=False).state(post.V).mantissa
    np.testing.assert_allclose(V + 65, [[0, 3], [3, 3 + 3 * np.exp(-DT / 20)]], rtol=1e-5)


def test_jumps_add_up_with_synapses_of_other_kinds():
    """A jump may pass the threshold; the neuron spikes in the next step."""
    pre, post = one_spike(), LIF(1, name="post")
    net = Network(
        Projection(pre, OneToOne(weight=10 * u.mV), Delta(), post),
        Projection(pre, OneToOne(weight=7 * u.mV), Delta(), post),
        Projection(pre, OneToOne(weight=1 * u.pA), Expon(tau=5 * u.ms), post),
    )
    run = net.run(1 * u.ms, dt=DT * u.ms, record=[post.spikes, post.V], progress=False)
    assert run.state(post.V).mantissa[0, 0] == -48
    assert run.spikes(post)[0].to_decimal(u.ms) == pytest.approx([0.2])


TAU = np.array([5.0, 6.0, 7.0])
EQUAL = [
    (Expon(tau=5 * u.ms), Expon(tau=0.005 * u.second)),
    (Expon(tau=5 * u.ms, output=COBA(E=0 * u.mV)), Expon(tau=5.0 * u.ms, output=COBA(E=0.0 * u.volt))),
    (Expon(tau=5 * u.ms), Expon(tau=5 * u.ms, output=CUBA())),
    (Expon(tau=TAU * u.ms), Expon(tau=TAU.copy() * u.ms)),
    (Expon(tau=TAU * u.ms), Expon(tau=list(TAU) * u.ms)),
    (Delta(), Delta()),
]
DIFFERENT = [
    (Expon(tau=5 * u.ms), Expon(tau=5.000001 * u.ms)),
    (Expon(tau=TAU * u.ms), Expon(tau=(TAU + np.array([0, 0, 1e-9])) * u.ms)),
    (Expon(tau=np.arange(1.0, 2000) * u.ms), Expon(tau=(np.arange(1.0, 2000) + (np.arange(1999) == 1000) * 1e-6) * u.ms)),
    (Expon(tau=5 * u.ms), Expon(tau=5 * u.ms, output=COBA(E=0 * u.mV))),
    (Expon(tau=5 * u.ms, output=COBA(E=0 * u.mV)), Expon(tau=5 * u.ms, output=COBA(E=-80 * u.mV))),
    (Expon(tau=5 * u.ms), Delta()),
]


@pytest.mark.parametrize("a, b", EQUAL, ids=repr)
def test_equal_synapses(a, b):
    assert a == b and hash(a) == hash(b)


@pytest.mark.parametrize("a, b", DIFFERENT, ids=repr)
def test_different_synapses(a, b):
    assert a != b


def test_projections_with_equal_synapses_share_one_state():
    pre, post, other = one_spike(), LIF(3, name="post"), LIF(3, name="other")
    to = FromPairs([0, 0, 0], [0, 1, 2], weight=1 * u.pA)
    parts = [
        Projection(pre, to, Expon(tau=TAU * u.ms), post),
        Projection(pre, to, Expon(tau=TAU * 1e-3 * u.second), post, delay=1 * u.ms),
        Projection(pre, ONE, Expon(tau=5 * u.ms), post[1], name="scalar tau"),
        Projection(pre, to, Expon(tau=(TAU + np.array([0, 1e-6, 0])) * u.ms), post, name="one element"),
        Projection(pre, to, Expon(tau=TAU * u.ms), other),
        PoissonInput(post[:1], n=1, rate=0 * u.Hz, weight=1 * u.pA, synapse=Expon(tau=TAU * u.ms)),
    ]
    net = Network(*parts)
    assert len(net.synapses) == 4
    shared = next(line for line in net.summary().splitlines() if line.startswith("Expon(tau=<array 3 ") and line.endswith("3"))
    assert "post" in shared


def test_shared_state_is_the_sum():
    """Two projections that share a state act as one of the summed weight, and decay once a step."""
    V = []
    for weights in ((5.0, 7.0), (12.0,)):
        pre, post = one_spike(), LIF(1, name="post")
        parts = [Projection(pre, OneToOne(weight=w * u.pA), Expon(tau=5 * u.ms), post, name=f"{w}") for w in weights]
        V.append(Network(*parts).run(20 * u.ms, dt=DT * u.ms, record=[post.V], progress=False).state(post.V).mantissa)
    np.testing.assert_allclose(V[0], V[1], rtol=1e-6)


@pytest.mark.parametrize(
    "synapse, weight", [(Delta(), 3 * u.mV), (Expon(tau=5 * u.ms), 50 * u.pA), (Expon(tau=5 * u.ms, output=COBA(E=0 * u.mV)), 2 * u.nS)]
)
@pytest.mark.parametrize("format", ["csr", "csc", "coo", "dense", "fixed"])
def test_views_as_pre_and_post(synapse, weight, format):
    """Ids count from the start of the slices, and nothing outside of the post slice moves."""
    pre, post = LIF(9, V_init=np.where(np.arange(9) == 4, -40, -65) * u.mV, name="pre"), LIF(11, name="post")
    rule = FromPairs([0, 1, 2, 3], [2, 0, 3, 1], weight=weight, format=format)
    net = Network(Projection(pre[3:7], rule, synapse, post[5:9]))  # pre neuron 4 is number 1 of its slice
    net.run(0.2 * u.ms, dt=DT * u.ms, progress=False)
    assert np.flatnonzero(post.V.value.mantissa != -65).tolist() == [5]


PSPS = [
    (Delta(), 0.5 * u.mV, {}),
    (Expon(tau=5 * u.ms), 30 * u.pA, {}),
    (Expon(tau=0.5 * u.ms), -30 * u.pA, {"tau": 10 * u.ms}),
    (Expon(tau=20 * u.ms), 30 * u.pA, {"tau": 20 * u.ms}),
    (Expon(tau=5 * u.ms, output=COBA(E=0 * u.mV)), 6 * u.nS, {"V_rest": -60 * u.mV}),
    (Expon(tau=10 * u.ms, output=COBA(E=-80 * u.mV)), 67 * u.nS, {"V_rest": -60 * u.mV}),
    (Expon(tau=100 * u.ms, output=COBA(E=0 * u.mV)), 0.5 * u.nS, {"R": 50 * u.Mohm}),
]


@pytest.mark.parametrize("synapse, weight, parameters", PSPS, ids=repr)
def test_psp_of_the_summary_is_the_simulated_one(synapse, weight, parameters):
    post = LIF(1, V_th=-20 * u.mV, name="post", **({"V_reset": -70 * u.mV} | parameters))
    projection = Projection(one_spike(), OneToOne(weight=weight), synapse, post)
    net = Network(projection)
    V = net.run(80 * u.ms, dt=0.02 * u.ms, record=[post.V], progress=False).state(post.V).mantissa[:, 0]
    moved = V - float(post.own["V_rest"])
    peak = moved[np.abs(moved).argmax()]
    assert projection.psp() == pytest.approx(peak, rel=0.01)
    assert f"{projection.psp():.3g} mV" in net.summary()


def test_psp_of_slow_and_fast_is_found_at_once():
    """Ten million steps of the finer time constant fit into the slower one; the search ends at the peak."""
    post = LIF(1, tau=1 * u.second, name="post")
    assert Expon(tau=1e-3 * u.ms).peak(1e5, post.own) == pytest.approx(1e5 * 0.1 * 1e-6, rel=0.02)


def built(weight, synapse, **post):
    N = LIF(10, name="N", **post)
    return Network(Projection(N, AllToAll(weight=weight), synapse, N))


EXCITE, INHIBIT = (Expon(tau=5 * u.ms, output=COBA(E=E)) for E in (0 * u.mV, -80 * u.mV))
JUMPS = ("N -> N", "mV", "threshold (15 mV)", "units of weight and R")  # distance from rest to threshold: 15 mV
STRENGTHS = [  # what the warning says; () for none
    (1.4e-3 * u.mV, Delta(), JUMPS),
    (1.6e-3 * u.mV, Delta(), ()),
    (149 * u.mV, Delta(), ()),
    (-151 * u.mV, Delta(), JUMPS),
    (0 * u.mV, Delta(), ()),
    (0 * u.nS, EXCITE, ()),
    (0.9 * u.uS, EXCITE, ()),
    # V cannot pass E, whatever the conductance
    (6 * u.uS, EXCITE, ("N -> N", "600 times the conductance of the membrane", "units of weight and R")),
    (6 * u.siemens, INHIBIT, ("N -> N", "6e+08 times the conductance of the membrane", "units of weight and R")),
    (1e6 * u.pA, Expon(tau=5 * u.ms), JUMPS),
]


@pytest.mark.parametrize("weight, synapse, parts", STRENGTHS, ids=repr)
def test_warning_about_odd_strengths(weight, synapse, parts):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        built(weight, synapse)
    assert len(caught) == bool(parts)
    for part in parts:
        assert part in str(caught[0].message)


def test_published_example_in_the_wrong_units_is_noticed():
    """A published COBA script with conductances in mS and R = 1 ohm: one spike moves V by microvolts."""
    post = {"R": 1 * u.ohm, "tau": 20 * u.ms, "V_rest": -60 * u.mV, "V_th": -50 * u.mV, "V_reset": -60 * u.mV}
    N = LIF(100, name="N", **post)
    E = Projection(N[:80], FixedProb(0.1, weight=0.6e-3 * u.mS), Expon(tau=5 * u.ms, output=COBA(E=0 * u.mV)), N)
    with pytest.warns(UserWarning, match=r"N\[0:80\] -> N: one spike moves V by .*e-06 mV.*check the units") as caught:
        Network(E)
    assert caught[0].filename == __file__
    assert built(6 * u.nS, Expon(tau=5 * u.ms, output=COBA(E=0 * u.mV))) is not None


def test_distributed_weights_are_judged_by_their_mean():
    N = LIF(200, name="N")
    projection = Projection(N, FixedProb(0.2, weight=Normal(0.5 * u.mV, 0.1 * u.mV)), Delta(), N)
    Network(projection)
    assert projection.psp() == pytest.approx(float(projection.weight.mantissa.mean()), rel=1e-6)
