"""What only the triton backend has: sums in any order, lists of spikes, many steps in one launch; `TRITON_INTERPRET=1` runs it on a CPU.

Its products are rows of the other suites, on whatever runs Triton.
"""

import copy
from fractions import Fraction

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tables import HERE

import brainevent as be
from brainevent.projections import (
    COBA,
    LIF,
    Delta,
    Expon,
    FixedProb,
    FromPairs,
    Network,
    Normal,
    Poisson,
    PoissonInput,
    Projection,
    Uniform,
    record_columns,
)

pytestmark = pytest.mark.skipif("triton" not in HERE, reason="no GPU, and TRITON_INTERPRET=1 is not set")


# -- sums ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("low, high", [(-3, 3), (-30, 30), (-300, 290)])
def test_sums_are_as_good_as_those_of_floats_whatever_the_range(dtype, low, high):
    """Each target has terms of a size of its own: an error is relative to the largest of them."""
    low, high = (low, high) if dtype == np.float64 else (max(low, -36), min(high, 36))
    rng = np.random.default_rng(0)
    size = 10.0 ** rng.uniform(low, high, 7)
    M = (rng.normal(size=(40, 7)) * size).astype(dtype)
    with jax.enable_x64(True):
        got = be.EventArray(np.ones(40)) @ be.CSR.fromdense(M, backend="triton")
        want = np.array([float(sum(map(Fraction, column))) for column in M.T.tolist()])
    bound = 40 * np.finfo(dtype).eps * np.abs(M.astype(np.float64)).max(0)
    assert got.dtype == dtype and (np.abs(np.asarray(got, np.float64) - want) <= bound).all()


@pytest.mark.parametrize(
    "special, want", [([np.inf, 1], np.inf), ([-np.inf, 1], -np.inf), ([np.inf, -np.inf], np.nan), ([np.nan, 1], np.nan)]
)
def test_sums_with_terms_that_are_not_finite(special, want):
    """Such weights are refused where they can be seen, and not under jit."""
    product = jax.jit(lambda w: be.EventArray([1, 1]) @ be.CSR(w, [0, 0, 1], [0, 1, 3], shape=(2, 3), backend="triton"))
    np.testing.assert_array_equal(product(jnp.array([*special, 2.0])), [want, 2, 0])


def test_sums_do_not_depend_on_the_order():
    """Rows in any order: the same bits, which sums of floats are not."""
    rng = np.random.default_rng(1)
    M = rng.normal(size=(60, 5)).astype(np.float32) * 10.0 ** rng.uniform(-3, 3, (60, 1)).astype(np.float32)
    ones = be.EventArray(np.ones(60))
    first = np.asarray(ones @ be.CSR.fromdense(M, backend="triton"))
    for _ in range(2):
        np.testing.assert_array_equal(ones @ be.CSR.fromdense(rng.permutation(M), backend="triton"), first)
    assert len({M[rng.permutation(60)].cumsum(0)[-1].tobytes() for _ in range(9)}) > 1


# -- spikes ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "n, rows, used, active", [(130, 7, 5, 0.1), (2000, 3, 3, 0.01), (64, 4, 4, 0.0), (1100, 5, 2, 1.0), (1, 1, 1, 1.0)]
)
def test_lists_of_spikes_are_those_of_the_host(n, rows, used, active):
    spikes = np.random.default_rng(n).random((rows, n)) < active
    bits = np.packbits(np.pad(spikes, ((0, 0), (0, -n % 64))), axis=1, bitorder="little")
    with be.backend("triton"):
        got = record_columns.listed(jnp.asarray(bits), 100, used)()
    for a, b in zip(got, record_columns.unpacked(bits, 100, used)()):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


# -- many steps ------------------------------------------------------------------------------------------------------------------


def pairs(rng, n_pre, n_post, prob, weight):
    """A rule of given pairs, so that nothing is drawn on the device."""
    pre, post = np.nonzero(rng.random((n_pre, n_post)) < prob)
    return FromPairs(pre, post, weight=weight(rng.random(pre.size)))


def network(kind: str):
    """`(network, recorded populations, inputs)`: small, with spikes in every population."""
    rng = np.random.default_rng(5)
    start = {"V_init": rng.uniform(-60, -50, 130) * u.mV, "V_rest": -60 * u.mV, "V_reset": -60 * u.mV}
    N = LIF(130, tau_ref=1 * u.ms, name="N", **start)
    if kind == "coba":
        E, I = (Expon(tau=tau * u.ms, output=COBA(E=V * u.mV)) for tau, V in ((5, 0), (10, -80)))
        rules = (pairs(rng, 100, 130, 0.2, lambda r: 6 * u.nS), pairs(rng, 30, 130, 0.2, lambda r: 20 * r * u.nS))
        return Network(Projection(N[:100], rules[0], E, N), Projection(N[100:], rules[1], I, N)), [N], {N: 180 * u.pA}
    if kind == "alone":
        N = LIF(100, tau_ref=1 * u.ms, name="N", **(start | {"V_init": rng.uniform(-60, -50, 100) * u.mV}))
        return Network(*alone(rng, N), seed=3), [N], {N: 200 * u.pA}
    M = LIF(40, name="M", **(start | {"V_init": rng.uniform(-60, -50, 40) * u.mV}))
    if kind in PARTS:
        return Network(*PARTS[kind](rng, N, M), seed=3), [N, M], {N: 200 * u.pA, M: 190 * u.pA}
    parts = (
        Projection(N, pairs(rng, 130, 40, 0.1, lambda r: r * u.mV), Delta(), M, delay=0.5 * u.ms),
        Projection(M, pairs(rng, 40, 100, 0.2, lambda r: -1.5 * u.mV), Delta(), N[:100], delay=0.3 * u.ms),
        Projection(N[50:], pairs(rng, 80, 130, 0.1, lambda r: 20 * u.pA), Expon(tau=5 * u.ms), N),
        Projection(N, pairs(rng, 130, 40, 0.1, lambda r: 40 * r * u.pA), Expon(tau=3 * u.ms), M, delay=0.2 * u.ms),
    )
    return Network(*parts), [N, M], {N: 200 * u.pA, M[:20]: np.linspace(200, 300, 20) * u.pA}


def delays_of_their_own(rng, N, M):
    """One a synapse onto two channels and jumps, beside one delay and one a pre neuron onto the same."""
    fast, slow = Expon(tau=3 * u.ms), Expon(tau=8 * u.ms, output=COBA(E=-70 * u.mV))
    return (
        Projection(N, pairs(rng, 130, 40, 0.2, lambda r: 40 * r * u.pA), fast, M, delay=Uniform(0 * u.ms, 1.9 * u.ms)),
        Projection(N, pairs(rng, 130, 40, 0.1, lambda r: 30 * u.pA), fast, M, delay=0.7 * u.ms),
        Projection(M, pairs(rng, 40, 130, 0.2, lambda r: 3 * r * u.nS), slow, N, delay=Uniform(0.3 * u.ms, 0.8 * u.ms)),
        Projection(M[:30], pairs(rng, 30, 100, 0.2, lambda r: r * u.mV), Delta(), N[30:], delay=rng.integers(0, 10, (30, 1)) / 10 * u.ms),
        Projection(N, pairs(rng, 130, 130, 0.05, lambda r: -r * u.mV), Delta(), N, delay=Uniform(0 * u.ms, 1 * u.ms)),
    )


def poisson(rng, N, M):
    """Onto states and jumps, onto slices, two onto one, with a rate for each neuron; and a long delay behind them."""
    fast = Expon(tau=3 * u.ms)
    return (
        PoissonInput(N, n=100, rate=40 * u.Hz, weight=20 * u.pA, synapse=fast),
        PoissonInput(M[5:37], n=3, rate=np.linspace(0, 900, 32) * u.Hz, weight=60 * u.pA, synapse=fast),
        PoissonInput(M, n=1, rate=500 * u.Hz, weight=0.5 * u.mV, synapse=Delta()),
        Projection(N, pairs(rng, 130, 40, 0.2, lambda r: 30 * r * u.pA), fast, M, delay=Uniform(0.1 * u.ms, 1.9 * u.ms)),
    )


def drawn(rng, N, M):
    """All kinds of weights, with a delay and without, onto slices, and one that is stored."""
    fast, jit = Expon(tau=3 * u.ms), {"format": "jit"}
    return (
        Projection(N, FixedProb(0.2, weight=20 * u.pA, **jit), fast, M, delay=0.4 * u.ms),
        Projection(N[:100], FixedProb(0.1, weight=Normal(10 * u.pA, 5 * u.pA), **jit), fast, N),
        Projection(M, FixedProb(0.3, weight=Uniform(0.2 * u.mV, 0.9 * u.mV), **jit), Delta(), N[50:], delay=0.2 * u.ms),
        Projection(N, pairs(rng, 130, 40, 0.1, lambda r: 30 * r * u.pA), fast, M, delay=0.7 * u.ms),
    )


def alone(rng, N):
    """All of it at once onto one population, whose states then stay in registers."""
    fast, slow = Expon(tau=3 * u.ms), Expon(tau=8 * u.ms, output=COBA(E=-70 * u.mV))
    return (
        Projection(N, pairs(rng, 100, 100, 0.2, lambda r: 20 * r * u.pA), fast, N, delay=Uniform(0 * u.ms, 1.9 * u.ms)),
        Projection(N, pairs(rng, 100, 100, 0.1, lambda r: 10 * u.pA), fast, N, delay=0.7 * u.ms),
        Projection(N[:50], FixedProb(0.2, weight=Uniform(0 * u.nS, 3 * u.nS), format="jit"), slow, N[20:], delay=0.3 * u.ms),
        PoissonInput(N, n=100, rate=40 * u.Hz, weight=20 * u.pA, synapse=fast),
        PoissonInput(N[7:], n=1, rate=300 * u.Hz, weight=0.5 * u.mV, synapse=Delta()),
    )


PARTS = {"delays of their own": delays_of_their_own, "Poisson inputs": poisson, "drawn": drawn}
KINDS = ("coba", "jumps, currents and delays", "alone", *PARTS)


def spikes_of(kind, backend, **options):
    """Steps and ids of every population in two runs that follow each other, V at the end, and the network."""
    net, populations, inputs = network(kind)
    runs = [net.run(3 * u.ms, dt=0.1 * u.ms, inputs=inputs, backend=backend, progress=False, **options) for _ in range(2)]
    found = [np.asarray(u.get_mantissa(part)) for run in runs for p in populations for part in run.spikes(p)]
    return found, [np.asarray(p.V.value.mantissa) for p in populations], net


@pytest.mark.parametrize("kind", KINDS)
def test_many_steps_in_one_launch_give_the_spikes_of_xla(kind):
    """The arithmetic is rounded elsewhere (by a digit of V in each of 60 steps), no V is that close to threshold here: the same spikes."""
    (want, V, _), (got, W, net) = spikes_of(kind, "xla"), spikes_of(kind, "triton")
    assert sum(a.size for a in want) > 30
    for a, b in zip(want, got):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(V, W):
        np.testing.assert_allclose(a, b, atol=60 * np.spacing(np.float32(60)))
    assert net._launched("triton")[0] is not None
    with be.backend("triton"):
        assert "loop: many steps in one launch" in net.summary() and "many steps" in net.projections[0].explain()


def test_a_launch_a_step_gives_the_same_spikes():
    """As it is done where states are recorded, or a current is a function of time."""
    want, V, _ = spikes_of("jumps, currents and delays", "triton")
    net, populations, inputs = network("jumps, currents and delays")
    N = populations[0]
    inputs = inputs | {N: lambda t: 200 * u.pA + 0 * u.pA * u.math.sin(t / (1 * u.ms))}
    options = {"dt": 0.1 * u.ms, "inputs": inputs, "backend": "triton", "progress": False}
    runs = [net.run(3 * u.ms, record=[*(p.spikes for p in populations), N[:3].V], **options) for _ in range(2)]
    for a, b in zip(want, [np.asarray(u.get_mantissa(part)) for run in runs for p in populations for part in run.spikes(p)]):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(V[0], N.V.value.mantissa)
    np.testing.assert_array_equal(runs[1].state(N[:3].V).mantissa[-1], V[0][:3])


def test_it_does_not_matter_where_launches_end():
    """Where input is due it is floats in the network, and more bits in the ring of a launch: those are kept."""
    found = []
    for parts in ((60,), (1, 22, 37), (22, 38)):
        net, (N, M), inputs = network("delays of their own")
        options = {"dt": 0.1 * u.ms, "inputs": inputs, "backend": "triton", "progress": False}
        for steps in parts:
            net.run(steps * 0.1 * u.ms, **options)
        if parts[0] == 1:
            net = copy.deepcopy(net)
        found.append([np.asarray(state.value) for key, state in net._states.items() if key.startswith(("due.", "synapse"))])
        found[-1] += [np.asarray(p.V.value.mantissa) for p in (N, M)]
    for a, b, c in zip(*found):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)
    net.step(inputs)  # after a step outside a launch it is the floats that count
    net.reset()
    assert not any(key.startswith("launch.") for key in net._states)


def test_launches_and_steps_follow_each_other_where_input_is_due():
    net, populations, inputs = network("delays of their own")
    other, theirs, currents = network("delays of their own")
    for turn, backend in enumerate(("triton", "xla", "triton", "xla")):
        for each, given, name in ((net, inputs, backend), (other, currents, "xla")):
            each.run((7 + turn) * 0.1 * u.ms, dt=0.1 * u.ms, inputs=given, backend=name, progress=False)
    for a, b in zip(populations, theirs):
        np.testing.assert_allclose(a.V.value.mantissa, b.V.value.mantissa, atol=40 * np.spacing(np.float32(60)))


def test_weights_that_are_set_are_taken_over():
    net, _, inputs = network("coba")
    options = {"dt": 0.1 * u.ms, "inputs": inputs, "backend": "triton", "progress": False}
    net.run(1 * u.ms, **options)
    net.projections[0].weight = 0 * u.nS
    before = np.asarray(net._states["synapse0.g"].value)
    net.run(1 * u.ms, **options)
    decayed = before * np.exp(-1 / 5)
    np.testing.assert_allclose(net._states["synapse0.g"].value, decayed, rtol=1e-5)


REFUSED = {
    "a drive": (
        lambda N: [PoissonInput(N, n=10, rate=lambda t: 10 * u.Hz, weight=1 * u.mV, synapse=Delta())],
        "a rate that is a function of time",
    ),
    "a drive of many spikes": (
        lambda N: [PoissonInput(N, n=10**6, rate=2 * u.Hz, weight=1 * u.mV, synapse=Delta())],
        "is 200 spikes a step, more than 100",
    ),
    "delays of drawn synapses": (
        lambda N: [Projection(N, FixedProb(0.5, weight=1 * u.mV, format="jit"), Delta(), N, delay=Uniform(0 * u.ms, 1 * u.ms))],
        "with delays that differ",
    ),
    "a source that is no LIF": (
        lambda N: [Projection(Poisson(5, rate=10 * u.Hz, name="source"), np.eye(5) * u.mV, Delta(), N)],
        "no kernel knows Poisson",
    ),
    "a long delay": (lambda N: [Projection(N, np.eye(5) * u.mV, Delta(), N, delay=30 * u.ms)], "a delay is 300 steps"),
    "another backend": (
        lambda N: [Projection(N, be.CSR.fromdense(np.eye(5) * u.mV, backend="xla"), Delta(), N)],
        "asks for the backend 'xla'",
    ),
    "the event path by column": (
        lambda N: [Projection(N, be.CSC.fromdense(np.eye(5) * u.mV), Delta(), N, path="event")],
        'has path="event"',
    ),
    "the dense path": (lambda N: [Projection(N, np.eye(5) * u.mV, Delta(), N, path="dense")], 'has path="dense"'),
}


@pytest.mark.parametrize("parts, why", REFUSED.values(), ids=REFUSED)
def test_other_networks_run_step_by_step_and_say_why(parts, why):
    N = LIF(5, name="N")
    net = Network(N, *parts(N))
    net._set_dt(0.1 * u.ms)
    many, said = net._launched("triton")
    assert many is None and why in said


def test_parameters_of_each_neuron_run_step_by_step():
    net = Network(LIF(5, tau=np.arange(10, 15) * u.ms, name="N"), dt=0.1 * u.ms)
    many, said = net._launched("triton")
    assert many is None and "LIF(5, name='N')" in said
