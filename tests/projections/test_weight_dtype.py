"""Weights stored in half the bits: what is delivered is that of the rounded weights, summed in the precision of the network."""

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tables import HERE

import brainevent as be
from brainevent.projections import (
    CUBA,
    LIF,
    Delta,
    Expon,
    FixedProb,
    FixedTotal,
    FromPairs,
    Gap,
    Network,
    Normal,
    PairSTDP,
    Projection,
    SpikeSource,
    TruncNormal,
    TsodyksMarkram,
    Uniform,
)

DT = 0.1 * u.ms
HALF = {"weight_dtype": "float16"}


def network(rule, **options):
    """Thirty sources that spike at random onto forty neurons that never do; `(net, projection, source, N)`."""
    rng = np.random.default_rng(5)
    steps, ids = np.divmod(np.sort(rng.choice(np.arange(30, 4500), 400, replace=False)), 30)  # no two of one neuron in a step
    times = steps * 0.1
    source, N = SpikeSource(30, times=times * u.ms, ids=ids, name="source"), LIF(40, V_th=1e3 * u.mV, name="N")
    projection = Projection(source, rule, Expon(5 * u.ms, CUBA()), N, **options)
    return Network(projection, seed=3), projection, source, N


def conductances(net, projection, dt=DT):
    state = projection.synapse_state()
    return np.asarray(net.run(20 * u.ms, dt=dt, record=[state], progress=False).state(state).mantissa)


CASES = {
    "one delay": {},
    "one a synapse": {"delay": Uniform(0.1 * u.ms, 3 * u.ms)},
    "one a neuron": {"delay": np.linspace(0.1, 3, 30)[:, None] * u.ms},
    "depressing": {"plasticity": TsodyksMarkram(U=0.5, tau_rec=100 * u.ms)},
    "depressing, one a synapse": {"plasticity": TsodyksMarkram(U=0.5, tau_rec=100 * u.ms), "delay": Uniform(0.1 * u.ms, 3 * u.ms)},
}


@pytest.mark.parametrize("backend", HERE)
@pytest.mark.parametrize("case, format", [(case, f) for case in CASES for f in ("csr", "csc") if f == "csr" or "synapse" not in case])
def test_rounded_weights_are_delivered(case, format, backend):
    """Against a network of float32 that is given the rounded weights."""
    rule = FixedProb(0.4, weight=Normal(20 * u.pA, 7 * u.pA), format=format)
    with be.backend(backend):
        net, half, *_ = network(rule, **CASES[case], **HALF)
        other, wide, *_ = network(rule, **CASES[case])
        exact = np.asarray(wide.weight.mantissa)
        assert half.weight.dtype == np.float16 and wide.weight.dtype == jnp.result_type(float)
        np.testing.assert_array_equal(np.asarray(half.weight.mantissa), exact.astype(np.float16))
        wide.weight = exact.astype(np.float16).astype(float) * u.pA
        got, want = conductances(net, half), conductances(other, wide)
        assert np.ptp(want) > 50
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-4)


@pytest.mark.filterwarnings("ignore:source -> N. one spike")
def test_the_smallest_and_the_largest_half_floats_are_exact():
    """Every power of two and what is next to it, of either sign, also below the smallest normal number."""
    numbers = np.ldexp(1.0, np.arange(-24, 16))
    numbers = np.concatenate([numbers, numbers * (1 + 2.0**-10), -numbers])
    numbers = numbers[np.float16(numbers) == numbers]
    source, N = SpikeSource(1, times=[0.1] * u.ms, ids=[0], name="source"), LIF(numbers.size, V_th=1e9 * u.mV, name="N")
    rule = FromPairs(np.zeros(numbers.size, int), np.arange(numbers.size), weight=numbers * u.pA)
    projection = Projection(source, rule, Expon(1e9 * u.ms, CUBA()), N, **HALF)
    net = Network(projection)
    assert numbers.size > 90 and abs(numbers).min() == 2.0**-24
    np.testing.assert_allclose(conductances(net, projection)[-1], numbers, rtol=1e-6)


def test_a_delay_that_changes_and_weights_that_are_set():
    rule = FixedProb(0.4, weight=Normal(20 * u.pA, 7 * u.pA))
    found = []
    for options in (HALF, {}):
        net, projection, *_ = network(rule, delay=1 * u.ms, **options)
        whole = np.random.default_rng(1).integers(5, 40, projection.n_synapses)
        projection.weight = whole * u.pA  # the same in both
        state = projection.synapse_state()
        parts = [net.run(7 * u.ms, dt=DT, record=[state], progress=False)]
        projection.delay = 2.5 * u.ms
        parts.append(net.run(9 * u.ms, record=[state], progress=False))
        assert projection.weight.dtype == (np.float16 if options else jnp.result_type(float))
        found.append(np.concatenate([run.state(state).mantissa for run in parts]))
    np.testing.assert_allclose(*found, rtol=1e-5, atol=1e-4)


def test_memory_and_the_precision_of_one_weight():
    rule = FixedTotal(2000, weight=TruncNormal(80 * u.pA, 8 * u.pA, 0 * u.pA, 200 * u.pA), format="csr")
    (net, half, *_), (other, wide, *_) = network(rule, **HALF), network(rule)
    assert other.nbytes(wide) - net.nbytes(half) == 2 * 2000 * (1 + (net._matrices[0].mirror is not None))
    _, one, *_ = network(FixedProb(0.3, weight=10.1 * u.pA), **HALF)
    assert one.weight.dtype == jnp.result_type(float) and float(one.weight.mantissa) == np.float32(10.1)
    with jax.enable_x64(True):
        _, single, *_ = network(rule, weight_dtype="float32")
        assert single.weight.dtype == np.float32


@pytest.mark.filterwarnings("ignore:source -> N. one spike")
def test_what_has_no_place_for_them_says_so():
    source, N = SpikeSource(3, times=[0.1] * u.ms, ids=[0], name="source"), LIF(4, name="N")
    prob = FixedProb(0.5, weight=1 * u.mV)
    drawn = be.JITCHomoR((1.0 * u.mV, 0.5, 1), shape=(3, 4))
    stdp = {"plasticity": PairSTDP(w_max=1 * u.mV)}
    for connectivity, options, match in (
        (prob, {"weight_dtype": "float8"}, "weight_dtype is 'float8'"),
        (prob, {"weight_dtype": np.float16}, "weight_dtype is"),
        (FixedProb(0.5, weight=1 * u.mV, format="dense"), HALF, 'which format="dense" has no place for: use a rule with format="csr"'),
        (FixedProb(0.5, weight=1 * u.mV, format="coo"), HALF, 'format="coo" has no place'),
        (FixedProb(0.5, weight=1 * u.mV, format="jit"), HALF, 'format="jit" has no place'),
        (drawn, HALF, "JITCHomoR.* has no place"),
        (prob, HALF | stdp, "PairSTDP.* changes weights by less than that could hold"),
        (FromPairs([0, 1], [1, 2], weight=[1.0, 1e5] * u.mV), HALF, "holds 100000, beyond the largest float16, 6.55e\\+04"),
    ):
        with pytest.raises((ValueError, TypeError), match=match):
            Network(Projection(source, connectivity, Delta(), N, **options))
    M = LIF(4, name="M")
    with pytest.raises(ValueError, match="acts without spikes"):
        Projection(M, FixedProb(0.5, weight=1 * u.nS), Gap(), M, **HALF)
    _, projection, *_ = network(FixedProb(0.4, weight=Normal(20 * u.pA, 7 * u.pA)), **HALF)
    with pytest.raises(ValueError, match="beyond the largest float16"):
        projection.weight = np.full(projection.n_synapses, 7e4) * u.pA
