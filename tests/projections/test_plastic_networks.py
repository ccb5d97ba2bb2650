"""Plasticity in networks: against Brian2, against loops of numpy over spikes, against closed forms and published figures; bad input."""

import copy
import pathlib
import pickle
import re
import warnings

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tables import HERE, needs_numba, thorough

import brainevent as be
from brainevent.core.plastic import Kinetics, Resources, learn, release, released
from brainevent.core.spikes import packed_size
from brainevent.core.updates import Arrivals, Delays, arrive
from brainevent.projections import (
    COBA,
    CUBA,
    LIF,
    AllToAll,
    Delta,
    Expon,
    FixedProb,
    FromPairs,
    LearningRule,
    Network,
    Normal,
    OneToOne,
    PairSTDP,
    Poisson,
    Projection,
    RewardSTDP,
    TripletSTDP,
    TsodyksMarkram,
    Uniform,
    VogelsISTDP,
)
from brainevent.projections.clock import Clock, root_of
from brainevent.projections.inputs import External

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "plasticity.npz"
DT = 0.1
N_PRE, N_POST, N_SYN = 12, 9, 60
SILENT = {"V_th": 1e3 * u.mV, "V_rest": 0 * u.mV, "V_reset": 0 * u.mV}
PAIR = {"tau_pre": 20 * u.ms, "tau_post": 30 * u.ms, "a_pre": 0.1, "a_post": -0.08, "w_max": 2 * u.pA}


def pairs(seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, N_PRE, N_SYN), rng.integers(0, N_POST, N_SYN), rng.uniform(0.5, 1.5, N_SYN)


def raster(run, population, n_steps):
    """The spikes of a run as a bool array, (steps, neurons)."""
    times, ids = run.spikes(population)
    made = np.zeros((n_steps, population.size), bool)
    made[np.rint(times.to_decimal(u.ms) / DT).astype(int) - 1 - run.first_step, ids] = True
    return made


# -- long-term -----------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("optimised")
def test_every_weight_of_brian2():
    """2,000 neurons for 1 s, PairSTDP with a delay for each synapse and VogelsISTDP with none: every spike, and every weight to the grain
    that it is stored in.
    """
    data = np.load(GOLDEN)
    n_E = int(data["n_exc"])

    def times(*names, prefix=""):
        return {name: float(data[prefix + name]) * u.ms for name in names}

    def amps(*names, prefix=""):
        return {name: float(data[prefix + name]) * u.pA for name in names}

    with jax.enable_x64(True):
        voltages = {key: float(data[key]) * u.mV for key in ("V_rest", "V_th", "V_reset")}
        R, V_init = float(data["R"]) * u.Mohm, data["V0"] * u.mV
        N = LIF(n_E + int(data["n_inh"]), R=R, V_init=V_init, name="N", **times("tau", "tau_ref"), **voltages)
        E, I = N[:n_E], N[n_E:]
        fast, slow = (Expon(tau=float(tau) * u.ms, output=CUBA()) for tau in data["tau_syn"])
        amplitudes = {key: float(data[f"pair_{key}"]) for key in ("a_pre", "a_post")}
        pair = PairSTDP(**times("tau_pre", "tau_post", prefix="pair_"), **amplitudes, **amps("w_max", prefix="pair_"))
        aim = {"rate": float(data["vogels_rate"]) * u.Hz, **times("tau", prefix="vogels_")}
        vogels = VogelsISTDP(**aim, **amps("eta", "w_min", "w_max", prefix="vogels_"))

        def joined(name, pre, synapse, post, **options):
            rule = FromPairs(data[f"{name}_pre"] - pre.start, data[f"{name}_post"] - post.start, weight=data[f"{name}_weight"] * u.pA)
            return Projection(pre, rule, synapse, post, **options)

        learning = joined("EE", E, fast, E, plasticity=pair, delay=data["EE_delay"] * DT * u.ms)
        balancing = joined("I", I, slow, N, plasticity=vogels)
        net = Network(learning, joined("EI", E, fast, I), balancing)
        duration = float(data["n_steps"]) * DT * u.ms
        run = net.run(duration, dt=DT * u.ms, inputs={N: data["drive"] * u.pA}, progress=False)
        found, ids = run.spikes(N)
        got = {"EE": np.asarray(learning.weight.to_decimal(u.pA)), "I": np.asarray(balancing.weight.to_decimal(u.pA))}
    order = np.lexsort((data["spike_id"], data["spike_step"]))
    np.testing.assert_array_equal(np.rint(found.to_decimal(u.ms) / DT).astype(int) - 1, data["spike_step"][order])
    np.testing.assert_array_equal(ids, data["spike_id"][order])
    for name, weights in got.items():
        assert np.abs(weights - data[f"{name}_weight"]).mean() > 1
        np.testing.assert_allclose(weights, data[f"{name}_learned"] * float(data["grain"]), rtol=0, atol=0.501 * float(data["grain"]))


def learned_each(rule, row, col, w, pre, post, delay):
    """The weights after the spikes, bool (steps, neurons), each synapse a neuron of its own; delay in steps, one a synapse."""
    sent = np.zeros((pre.shape[0], row.size), bool)
    for k, steps in enumerate(delay):
        sent[steps:, k] = pre[: pre.shape[0] - steps, row[k]]
    ends = np.arange(row.size)
    return learned(rule, ends, ends, w, sent, post[:, col], np.zeros(row.size, int), sizes=(row.size, row.size))


def learned(rule, row, col, w, pre, post, delay, sizes=(N_PRE, N_POST)):
    """The weights after the spikes, bool (steps, neurons), synapse by synapse; delay in steps, one a pre neuron."""
    traces = [{name: np.exp(-DT / tau.to_decimal(u.ms)) for name, tau in side.items()} for side in rule.traces()]
    xs, ys = ({name: np.zeros(n) for name in side} for side, n in zip(traces, sizes))
    low, high = (np.inf * sign if bound is None else bound for sign, bound in zip((-1, 1), rule.bounds()))
    w = w.copy()
    for step in range(pre.shape[0]):
        due = np.array([step >= k and pre[step - k, i] for i, k in enumerate(delay)])
        for values, factors in zip((xs, ys), traces):
            for name, factor in factors.items():
                values[name] = values[name] * factor
        for values, spiked, apply, of in ((xs, due, rule.on_pre, row), (ys, post[step], rule.on_post, col)):
            for k in np.flatnonzero(spiked[of]):
                x, y = {n: float(v[row[k]]) for n, v in xs.items()}, {n: float(v[col[k]]) for n, v in ys.items()}
                w[k] = np.clip(float(apply(w[k], x, y)), low, high)
            for name in values:
                values[name] = np.where(spiked, 1 if rule.interactions == "nearest" else values[name] + 1, values[name])
    return w


OWN = LearningRule(
    on_pre=lambda w, pre, post: w - 0.02 * post["fast"] * jnp.where(w > 1, w, 1) + 0.001 * jnp.tanh(pre["x"]),
    on_post=lambda w, pre, post: w + 0.01 * pre["x"] * jnp.exp(-post["slow"]),
    pre={"x": 15 * u.ms},
    post={"fast": 10 * u.ms, "slow": 50 * u.ms},
)
RULES = {
    "pair": PairSTDP(**PAIR),
    "soft": PairSTDP(**PAIR, mu=1, w_min=0.5 * u.pA),
    "power": PairSTDP(**PAIR, mu=0.4),
    "nearest": PairSTDP(**PAIR, interactions="nearest"),
    "triplet": TripletSTDP(w_scale=10 * u.pA, w_max=3 * u.pA),
    "vogels": VogelsISTDP(eta=0.05 * u.pA, rate=50 * u.Hz),
    "own": OWN,
}


@pytest.mark.parametrize("backend", HERE)
@pytest.mark.parametrize("name", [pytest.param(name, marks=thorough if name in ("soft", "power") else ()) for name in RULES])
def test_every_rule_against_a_loop_over_spikes(name, backend):
    """Repeated pairs, a delay for each pre neuron, two runs: the weights of a loop over spikes in float64."""
    rule, (row, col, w) = RULES[name], pairs()
    delay = np.arange(N_PRE) % 4 * 7
    with jax.enable_x64(True):
        pre, post = Poisson(N_PRE, rate=150 * u.Hz, name="pre"), Poisson(N_POST, rate=100 * u.Hz, name="post")
        drive = LIF(N_POST, V_th=0.5 * u.mV, V_rest=0 * u.mV, V_reset=0 * u.mV, name="N")
        connectivity = FromPairs(row, col, weight=w * u.pA)
        projection = Projection(pre, connectivity, Expon(tau=5 * u.ms), drive, plasticity=rule, delay=delay[:, None] * DT * u.ms)
        net = Network(projection, Projection(post, OneToOne(weight=1 * u.mV), Delta(), drive), seed=3)
        runs = [net.run(t * u.ms, dt=DT * u.ms, progress=False, backend=backend) for t in (10, 40)]
        got = projection.weight.to_decimal(u.pA)
        spikes = [np.concatenate([raster(run, population, run.n_steps) for run in runs]) for population in (pre, drive)]
        want = learned(rule, row, col, w, *spikes, delay)
    assert all(spiked.sum() > 30 for spiked in spikes) and np.abs(want - w).max() > 0.01
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-12)


@pytest.mark.parametrize("backend", HERE)
def test_what_arrives_has_the_derivatives_of_a_dense_model(backend):
    """A delivery over synapses with delays, and a rule that reads past traces: tangents in weights, target and traces, both directions."""
    rng, slots, place = np.random.default_rng(3), 8, 21
    with jax.enable_x64(True), be.backend(backend):
        dense = rng.random((N_PRE, N_POST)) * (rng.random((N_PRE, N_POST)) < 0.6)
        A = be.CSR.fromdense(dense)
        row, col = (np.asarray(ids) for ids in A.coordinates())
        steps = np.concatenate([np.sort(rng.integers(0, 6, n)) for n in A.degrees(0)]).astype(np.uint8)
        tally = np.concatenate([[0], np.cumsum(np.bincount(steps, minlength=6))]).astype(np.int32)
        spikes = rng.random((slots, N_PRE + 5)) < 0.4
        bits = np.zeros((slots, packed_size(N_PRE + 5)), np.uint8)
        bits[:, : -(-(N_PRE + 5) // 8)] = np.packbits(spikes, axis=1, bitorder="little")
        arrivals = Arrivals(
            spikes[place % slots, 5:], Delays(jnp.asarray(steps), jnp.asarray(tally)), jnp.asarray(bits), 5, jnp.int32(place)
        )
        came = spikes[(place - steps) % slots, 5 + row]
        ring, y, target, w = rng.random((slots, N_PRE)), rng.random(N_POST), rng.random(N_POST), dense[row, col]

        def rule(values, own, other, shared):
            return (values[0] * own[0] - shared[0] * other[0] ** 2,)

        def ours(w, target, ring, y, a):
            window, counts = (0, N_POST), jnp.zeros(3, jnp.int32)
            g, _ = arrive(target, counts, A.with_data(w), arrivals, decay=0.5, window=window)
            (w,) = learn(rule, A.replace(data=None), (w,), arrivals, (ring,), (y,), (a,), axis=0)
            return g, w

        def plain(w, target, ring, y, a):
            g = target * 0.5 + jnp.zeros((w.size, N_POST)).at[np.arange(w.size), col].set(came * w).sum(0)
            return g, jnp.where(came, w * ring[(place - 1 - steps) % slots, row] - a * y[col] ** 2, w)

        primals, tangents = (
            (w, target, ring, y, 0.7),
            (rng.random(w.shape), rng.random(N_POST), rng.random(ring.shape), rng.random(N_POST), 0.3),
        )
        for got, want in zip(jax.jvp(ours, primals, tangents), jax.jvp(plain, primals, tangents)):
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), got, want)
        cotangents = rng.random(N_POST), rng.random(w.shape)
        got, want = (jax.vjp(f, *primals)[1](cotangents) for f in (ours, plain))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), got, want)
    assert 0 < came.sum() < came.size


@pytest.mark.parametrize("backend", HERE)
@pytest.mark.parametrize("name", ["pair", "nearest", "own"])
@pytest.mark.parametrize("longest", [0, 6, 200])
def test_every_rule_with_a_delay_for_each_synapse(longest, name, backend):
    """Repeated pairs, some with the delay of a synapse beside it, two runs: weights, and the current that they deliver when they arrive."""
    rule, (row, col, w) = RULES[name], pairs()
    delay = np.random.default_rng(2).integers(0, longest + 1, N_SYN)
    with jax.enable_x64(True):
        pre, post = Poisson(N_PRE + 70, rate=150 * u.Hz, name="pre")[66 : 66 + N_PRE], Poisson(N_POST, rate=100 * u.Hz, name="post")
        drive = LIF(N_POST, V_th=0.5 * u.mV, V_rest=0 * u.mV, V_reset=0 * u.mV, name="N")
        connectivity = FromPairs(row, col, weight=w * u.pA)
        synapse = Expon(tau=5 * u.ms, output=CUBA())
        projection = Projection(pre, connectivity, synapse, drive, plasticity=rule, delay=delay * DT * u.ms)
        net = Network(projection, Projection(post, OneToOne(weight=1 * u.mV), Delta(), drive), seed=3)
        record = [pre.population.spikes, drive.spikes, projection.synapse_state("g"), projection.weight_state]
        runs = [net.run(t * u.ms, dt=DT * u.ms, progress=False, backend=backend, record=record) for t in (10, 40)]
        got = projection.weight.to_decimal(u.pA)
        spikes = [np.concatenate([raster(run, p.population, run.n_steps) for run in runs]) for p in (pre, drive[:])]
        spikes[0] = spikes[0][:, pre.start : pre.stop]
        weights, current = (np.concatenate([run.state(record[k]).mantissa for run in runs]) for k in (3, 2))
        want = learned_each(rule, row, col, w, *spikes, delay)
    assert all(spiked.sum() > 30 for spiked in spikes) and np.abs(want - w).max() > 0.01
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-12)
    before, g = np.concatenate([w[None], weights[:-1]]), np.zeros(N_POST)
    for step in range(len(weights)):
        g *= np.exp(-DT / 5)
        for k in np.flatnonzero([step >= d and spikes[0][step - d, i] for i, d in zip(row, delay)]):
            g[col[k]] += before[step, k]
        np.testing.assert_allclose(current[step], g, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["CSR", "CSC", "COO", "Dense", "scipy", "fixed", "one weight"])
def test_every_stored_format(kind):
    """The same synapses in every format learn the same weights; one weight for all becomes one each."""
    row, col = (ids.reshape(-1) for ids in np.meshgrid(np.arange(N_PRE), np.arange(4), indexing="ij"))
    w = np.ones(row.size) if kind in ("fixed", "one weight") else np.random.default_rng(1).uniform(0.5, 1.5, row.size)
    dense = np.zeros((N_PRE, N_POST))
    dense[row, col] = w

    def learned_in(connectivity):
        pre = Poisson(N_PRE, rate=150 * u.Hz, name="pre")
        post = LIF(N_POST, V_th=0.1 * u.mV, V_rest=0 * u.mV, V_reset=0 * u.mV, name="N")
        projection = Projection(pre, connectivity, Expon(tau=5 * u.ms), post, plasticity=PairSTDP(**PAIR))
        net = Network(projection, seed=3)
        run = net.run(50 * u.ms, dt=DT * u.ms, progress=False)
        assert run.spikes(post)[1].size > 20 and "its weights learn, one a synapse" in net.summary()
        return projection

    with jax.enable_x64(True):
        A = be.CSR.fromdense(dense * u.pA)
        ones = be.CSR((1.0 * u.pA, A.indices, A.indptr), shape=A.shape)
        made = {"CSR": A, "CSC": A.to(be.CSC), "COO": A.tocoo(), "Dense": be.Dense(dense * u.pA), "one weight": ones}
        connectivity = (
            made[kind] if kind in made else A.to(be.FixedPostNumConn) if kind == "fixed" else FromPairs(row, col, weight=w * u.pA)
        )
        got, want = learned_in(connectivity), learned_in(FromPairs(row, col, weight=w * u.pA))
        np.testing.assert_array_equal(got.pairs(), (row, col))
        np.testing.assert_allclose(got.weight.mantissa, want.weight.mantissa, rtol=1e-12)
        assert np.unique(np.asarray(got.weight.mantissa)).size > 5


def one_pair(rule, apart, w=1.0, n=1, every=200.0, backend=None):
    """The weight after n pairs of a pre and a post spike, `apart` ms from the first to the second."""
    first = 20.0
    step_of = [np.rint((first + k * every + np.array([0, apart])) / DT).astype(int) for k in range(n)]
    low = min(steps.min() for steps in step_of)
    pre_steps, post_steps = (np.array([steps[end] - low + 100 for steps in step_of]) for end in (0, 1))
    total = max(pre_steps.max(), post_steps.max()) + 2

    def kick(steps):
        return lambda t: jnp.where((jnp.abs(t.to_decimal(u.ms)[None] - steps * DT) < DT / 3).any(), 1e6, 0.0) * u.pA

    with jax.enable_x64(True):
        ends = [LIF(1, V_rest=0 * u.mV, V_reset=0 * u.mV, V_th=1 * u.mV, tau=0.1 * u.ms, name=name) for name in ("pre", "post")]
        projection = Projection(ends[0], OneToOne(weight=w * u.pA), Expon(tau=1 * u.ms), ends[1], plasticity=rule)
        net = Network(projection)
        inputs = dict(zip(ends, (kick(pre_steps), kick(post_steps))))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of weights that do next to nothing
            run = net.run(total * DT * u.ms, dt=DT * u.ms, inputs=inputs, progress=False, backend=backend)
        assert all(run.spikes(end)[1].size == n for end in ends)
        return projection.weight.to_decimal(u.pA).item()


def test_one_pair_follows_the_published_curve():
    """Song, Miller & Abbott 2000, figure 1: A+ exp(-t / tau+) if the pre spike is first, A- exp(t / tau-) if it is second."""
    rule = PairSTDP(tau_pre=20 * u.ms, tau_post=15 * u.ms, a_pre=0.005, a_post=-0.00525, w_max=10 * u.pA)
    for apart in (-50.0, -12.3, -0.1, 0.1, 5.0, 40.0):
        change = one_pair(rule, apart, w=5.0) - 5.0
        want = 0.05 * np.exp(-apart / 20) if apart > 0 else -0.0525 * np.exp(apart / 15)
        assert change == pytest.approx(want, rel=1e-9), apart
    assert one_pair(rule, 0.0, w=5.0) - 5.0 == pytest.approx(0.05)  # in one step the pre spike comes first


def test_triplets_give_the_frequency_dependence_of_visual_cortex():
    """Pfister & Gerstner 2006, table 1 (Sjoestroem 2001): 60 pairs, post 10 ms after or before pre; within two standard errors."""
    measured = {(10.0, 10): (0.14, 0.1), (10.0, 20): (0.29, 0.14), (10.0, 40): (0.53, 0.11), (10.0, 50): (0.56, 0.26)}
    measured |= {(-10.0, 10): (-0.41, 0.11), (-10.0, 20): (-0.34, 0.1), (-10.0, 40): (0.56, 0.32), (-10.0, 50): (0.75, 0.19)}
    rule = TripletSTDP(w_scale=1 * u.pA)
    for (apart, rate), (mean, error) in measured.items():
        change = one_pair(rule, apart, n=60, every=1000 / rate) - 1
        assert abs(change - mean) < 2 * error, (apart, rate, change)


def test_inhibitory_plasticity_brings_a_rate_to_its_aim():
    """Vogels 2011: whatever drives them, the post neurons come to the rate asked for."""

    def neurons():
        return LIF(20, tau=20 * u.ms, V_rest=-60 * u.mV, V_reset=-60 * u.mV, V_th=-50 * u.mV, name="E")

    I, E, free = Poisson(200, rate=20 * u.Hz, name="I"), neurons(), neurons()
    rule, drive = VogelsISTDP(eta=0.05 * u.nS, rate=10 * u.Hz), np.linspace(150, 350, 20) * u.pA
    balance = Projection(I, AllToAll(weight=0.1 * u.nS), Expon(tau=10 * u.ms, output=COBA(E=-80 * u.mV)), E, plasticity=rule)
    net = Network(balance, seed=1)
    net.run(4 * u.second, dt=DT * u.ms, inputs={E: drive}, progress=False)
    run = net.run(2 * u.second, inputs={E: drive}, progress=False)
    without = Network(free).run(1 * u.second, dt=DT * u.ms, inputs={free: drive}, progress=False)
    assert np.bincount(without.spikes(free)[1]).min() > 40
    np.testing.assert_allclose(np.bincount(run.spikes(E)[1], minlength=20) / 2, 10, atol=3)
    assert balance.weight.mantissa.min() >= 0


def plastic_network(seed=5, **options):
    row, col, w = pairs()
    pre, post = Poisson(N_PRE, rate=100 * u.Hz, name="pre"), LIF(N_POST, V_th=0.2 * u.mV, V_rest=0 * u.mV, V_reset=0 * u.mV, name="N")
    projection = Projection(pre, FromPairs(row, col, weight=w * u.pA), Expon(tau=5 * u.ms), post, plasticity=PairSTDP(**PAIR), **options)
    return projection, Network(projection, seed=seed, dt=DT * u.ms)


def test_weights_are_read_set_kept_and_copied():
    row, col, w = pairs()
    projection, net = plastic_network()
    np.testing.assert_array_equal(np.stack(projection.pairs()), [row, col])
    np.testing.assert_allclose(projection.weight.mantissa, w, rtol=1e-6)
    net.run(30 * u.ms, progress=False)
    changed = np.asarray(projection.weight.mantissa)
    assert np.abs(changed - w).max() > 0.05
    copies = copy.deepcopy(net), pickle.loads(pickle.dumps(net))
    net.run(20 * u.ms, progress=False)
    after = np.asarray(projection.weight.mantissa)
    for other in copies:
        assert other.projections[0].network is other
        np.testing.assert_array_equal(other.projections[0].weight.mantissa, changed)
        other.run(20 * u.ms, progress=False)
        np.testing.assert_array_equal(other.projections[0].weight.mantissa, after)
    net.reset()
    np.testing.assert_array_equal(projection.weight.mantissa, after)  # what was learned stays
    projection.weight = w * u.pA
    net.run(30 * u.ms, progress=False)
    np.testing.assert_array_equal(projection.weight.mantissa, changed)
    projection.weight = 0.5 * u.pA
    assert projection.weight.shape == (N_SYN,) and (projection.weight.mantissa == 0.5).all()


def test_weights_can_be_learned_in_a_loop_of_ones_own():
    import brainstate

    projection, net = plastic_network()
    net.run(30 * u.ms, progress=False)
    want = np.asarray(projection.weight.mantissa)
    other, own = plastic_network()
    brainstate.transform.for_loop(lambda i: own.step(), np.arange(300))
    np.testing.assert_allclose(other.weight.mantissa, want, rtol=1e-6)


@needs_numba
@pytest.mark.usefixtures("optimised")
@pytest.mark.parametrize(
    ("learning", "delay"),
    [
        (PairSTDP(w_max=20 * u.pA), None),
        (PairSTDP(w_max=20 * u.pA), Uniform(0 * u.ms, 4 * u.ms)),
        (RewardSTDP(w_max=20 * u.pA), None),
    ],
    ids=["pairs", "each delayed", "rewarded"],
)
def test_nothing_that_grows_with_the_synapses_is_copied_in_a_step(learning, delay):
    """The weights of a million plastic synapses, and past traces, are updated in place: the compiled loop copies nothing of their size."""
    pre, post = Poisson(1000, rate=10 * u.Hz, name="pre"), LIF(1000, name="N")
    connected = {"connectivity": AllToAll(weight=10 * u.pA), "synapse": Expon(tau=5 * u.ms), "delay": delay}
    net = Network(Projection(pre, post=post, plasticity=learning, **connected), seed=1, dt=DT * u.ms)
    tree = net._collect()
    tree["kept"].pop("step")

    def loop(tree):
        def one(i, tree):
            clock = Clock((jnp.uint32(0), i.astype(jnp.uint32)), net.schedule.dt, root_of(0))
            external = External(None, net.populations, DT, traced=False)
            return net.schedule.advance(tree, net._matrices, external, net._values(external), clock)

        return jax.lax.fori_loop(0, 10, one, tree)

    text = jax.jit(loop, donate_argnums=0).lower(tree).compile().as_text()
    assert "f32[1000000]" in text and not re.search(r"= f32\[(1000000|64,1000)\]\S* copy\(", text)
    assert ("f32[64,1000]" in text) == (delay is not None)


# -- short-term ----------------------------------------------------------------------------------------------------------------


def released_by(times, U, tau_rec, tau_facil):
    """`u x` of each spike (times in ms), by the map of Tsodyks, Pawelzik & Markram 1998, from rest."""
    used, left, before, out = 0.0, 1.0, None, []
    for t in times:
        gap = np.inf if before is None else t - before
        used = U + used * (1 - U) * (np.exp(-gap / tau_facil) if tau_facil else 0.0)
        there = 1 - (1 - left) * np.exp(-gap / tau_rec)
        out.append(used * there)
        left, before = there * (1 - used), t
    return np.array(out)


@pytest.mark.parametrize("backend", HERE)
@pytest.mark.parametrize("delays", ["one", "a pre neuron", "a synapse"])
@pytest.mark.parametrize("each", [False, True], ids=["a neuron", "a synapse"])
def test_releases_follow_the_map(each, delays, backend):
    """Every delivery of every spike is `w u x` of the map, with parameters and delays of neurons and of synapses, in two runs."""
    row, col, w = pairs(4)
    rng = np.random.default_rng(2)
    size = N_SYN if each else N_PRE
    U, rec, facil = rng.uniform(0.1, 1, size), rng.uniform(5, 300, size), rng.choice([0, 10, 200.0], size)
    steps = {"one": np.array(15), "a pre neuron": rng.integers(0, 30, (N_PRE, 1)), "a synapse": rng.integers(0, 30, N_SYN)}[delays]
    of = np.arange(N_SYN) if each else row
    with jax.enable_x64(True):
        pre, post = Poisson(N_PRE, rate=100 * u.Hz, name="pre"), LIF(N_POST, **SILENT, name="post")
        rule = TsodyksMarkram(U=U, tau_rec=rec * u.ms, tau_facil=facil * u.ms)
        connectivity = FromPairs(row, col, weight=w * u.mV)
        projection = Projection(pre, connectivity, Delta(), post, plasticity=rule, delay=steps * DT * u.ms)
        net = Network(projection, seed=1)
        runs = [net.run(t * u.ms, dt=DT * u.ms, record=[pre.spikes, post.V], progress=False, backend=backend) for t in (5, 95)]
    spikes = np.concatenate([raster(run, pre, run.n_steps) for run in runs])
    arriving = np.zeros((1000, N_POST))
    by_synapse = np.broadcast_to(steps[row, 0] if steps.ndim == 2 else steps, N_SYN)
    for k in range(N_SYN):
        at = np.flatnonzero(spikes[:, row[k]])
        sent = w[k] * released_by(at * DT, U[of[k]], rec[of[k]], facil[of[k]])
        inside = at + by_synapse[k] < 1000
        np.add.at(arriving, (at[inside] + by_synapse[k], col[k]), sent[inside])
    V, want = np.zeros(N_POST), []
    for row_of in arriving:
        V = V * np.exp(-DT / 20) + row_of
        want.append(V)
    assert spikes.sum() > 80
    np.testing.assert_allclose(np.concatenate([run.state(post.V).mantissa for run in runs]), want, rtol=0, atol=1e-11)
    assert net.nbytes(projection) > 8 * size


@pytest.mark.parametrize("U,rec,facil", [(0.5, 800.0, 1.0), (0.15, 130.0, 530.0), (1.0, 100.0, 0.0)])
def test_paired_pulses(U, rec, facil):
    """The second of two spikes from rest, at 20 intervals: `u2 x2 / (u1 x1)` in closed form."""
    gaps = np.unique(np.rint(np.geomspace(1, 2000, 20) / DT)) * DT
    with jax.enable_x64(True):
        pre, post = LIF(gaps.size, V_init=-40 * u.mV, name="pre"), LIF(gaps.size, **SILENT, name="post")
        rule = TsodyksMarkram(U=U, tau_rec=rec * u.ms, tau_facil=facil * u.ms)
        net = Network(Projection(pre, OneToOne(weight=1 * u.mV), Delta(), post, plasticity=rule), dt=DT * u.ms)

        def second(t):
            return jnp.where(jnp.abs(t.to_decimal(u.ms) - gaps) < DT / 3, 1e6, 0.0) * u.pA

        run = net.run(2001 * u.ms, inputs={pre: second}, record=[pre.spikes, post.V], progress=False)
        V, spikes = run.state(post.V).mantissa, raster(run, pre, run.n_steps)
    jumps = np.diff(V, axis=0, prepend=0) + np.concatenate([np.zeros((1, gaps.size)), V[:-1]]) * -np.expm1(-DT / 20)
    first, pulse = (jumps[at, np.arange(gaps.size)] for at in (np.zeros(gaps.size, int), np.rint(gaps / DT).astype(int)))
    assert (spikes.sum(0) == 2).all() and gaps.size == 20
    u2 = U + U * (1 - U) * (np.exp(-gaps / facil) if facil else 0.0)
    np.testing.assert_allclose(first, U, rtol=1e-12)
    np.testing.assert_allclose(pulse, u2 * (1 - U * np.exp(-gaps / rec)), rtol=0, atol=1e-11)


def test_nest_releases_the_same():
    """tsodyks2_synapse of NEST, where that is installed: the peaks of a train of 30 irregular spikes."""
    nest = pytest.importorskip("nest")
    times = np.cumsum(np.random.default_rng(0).integers(20, 900, 30)) * DT
    nest.ResetKernel()
    nest.resolution = DT
    source, relay = nest.Create("spike_generator", params={"spike_times": times + 1.0}), nest.Create("parrot_neuron")
    target = nest.Create("iaf_psc_delta", params={"E_L": 0.0, "V_th": 1e9, "V_m": 0.0, "tau_m": 1e9, "V_reset": 0.0})
    nest.Connect(source, relay, syn_spec={"delay": DT})
    kinetics = {"U": 0.2, "tau_rec": 130.0, "tau_fac": 530.0, "u": 0.2, "x": 1.0}
    nest.Connect(relay, target, syn_spec={"synapse_model": "tsodyks2_synapse", "weight": 1.0, "delay": DT, **kinetics})
    meter = nest.Create("multimeter", params={"record_from": ["V_m"], "interval": DT})
    nest.Connect(meter, target)
    nest.Simulate(float(times[-1]) + 5)
    jumps = np.diff(meter.events["V_m"])
    np.testing.assert_allclose(jumps[jumps > 1e-6], released_by(times, 0.2, 130.0, 530.0), rtol=1e-6)


@thorough
def test_just_in_time_synapses_release_the_same():
    """One state a neuron goes with every format: drawn and stored synapses give the same V."""

    def final(word):
        pre, post = Poisson(50, rate=100 * u.Hz, name="pre"), LIF(40, **SILENT, name="post")
        rule = FixedProb(0.2, weight=Normal(1 * u.mV, 0.1 * u.mV), format=word)
        net = Network(Projection(pre, rule, Delta(), post, plasticity=TsodyksMarkram(), delay=1 * u.ms), seed=1)
        return np.asarray(net.run(20 * u.ms, dt=DT * u.ms, record=[post.V], progress=False).state(post.V).mantissa)

    stored = final("csr")
    for word in ("jit", "coo", "csc", "dense"):
        np.testing.assert_allclose(final(word), stored, rtol=2e-5, atol=1e-5)
    assert stored.max() > 1


def test_releases_can_be_differentiated():
    """By the resources, the weights and the parameters, as the same operation on all neurons at once; on every backend."""
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        A = be.CSR.fromdense(np.asarray(rng.random((6, 5)) < 0.5, float))
        n = A.nse
        spikes, last = jnp.asarray(rng.random(6) < 0.5), jnp.asarray(rng.integers(-50, 0, 6), jnp.int32)
        values = {"used": rng.random(n), "left": rng.random(n), "w": rng.random(n), "U": rng.random(n), "rates": rng.random((2, 1))}
        values = jax.tree.map(jnp.asarray, values)

        def total(values, run):
            kinetics = Kinetics(values["U"], *values["rates"])
            resources = Resources(values["used"], values["left"], last)
            (used, left, _), sent = run(resources, jnp.zeros(n), A.replace(data=None), values["w"], spikes, jnp.int32(0), kinetics)
            return jnp.sum(jnp.sin(used) + left**2 + 3 * sent)

        want = jax.grad(total)(values, released)
        for backend in HERE:
            with be.backend(backend):
                got = jax.grad(total)(values, release)
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), got, want)
            assert all(np.abs(part).max() > 0 for part in jax.tree.leaves(got))


# -- bad input -----------------------------------------------------------------------------------------------------------------


def projection_of(**options):
    pre, post = LIF(N_PRE, name="pre"), LIF(N_POST, name="post")
    row, col, w = pairs()
    connectivity = options.pop("connectivity", None) or FromPairs(row, col, weight=w * u.pA)
    return Projection(pre, connectivity, options.pop("synapse", Expon(tau=5 * u.ms)), post, **options)


@pytest.mark.parametrize(
    "make,error,words",
    [
        (lambda: TsodyksMarkram(U=0), ValueError, "TsodyksMarkram: U is 0, expected above 0, at most 1"),
        (lambda: TsodyksMarkram(U=1.5), ValueError, "U is 1.5, expected above 0, at most 1"),
        (lambda: TsodyksMarkram(U=np.nan), ValueError, "U is nan"),
        (lambda: TsodyksMarkram(U=[0.5, -1]), ValueError, "U is -1 at position 1"),
        (lambda: TsodyksMarkram(tau_rec=0 * u.ms), ValueError, "tau_rec is 0 ms, expected a positive time"),
        (lambda: TsodyksMarkram(tau_rec=1 * u.mV), u.UnitMismatchError, "tau_rec is a value in mV"),
        (lambda: TsodyksMarkram(tau_facil=-1 * u.ms), ValueError, "tau_facil is -1 ms, expected a time of at least 0 ms"),
        (lambda: TsodyksMarkram(tau_facil=np.ones((2, 2)) * u.ms), ValueError, "tau_facil has shape"),
        (lambda: TsodyksMarkram(U=np.ma.masked_array([0.5, 0.5], [0, 1])), TypeError, "fill what is masked"),
        (lambda: TsodyksMarkram(U=0.5j), TypeError, "U is"),
        (lambda: TsodyksMarkram(U="half"), TypeError, "U is 'half'"),
        (lambda: Network(projection_of(plasticity=TsodyksMarkram(U=[0.1, 0.2, 0.3]))), ValueError, "U has 3 values, expected one, 60"),
        (lambda: projection_of(plasticity=TsodyksMarkram), TypeError, "write PairSTDP\\(\\), with brackets"),
        (lambda: projection_of(plasticity=0.5), TypeError, "plasticity is 0.5, expected plasticity"),
        (lambda: PairSTDP(), ValueError, "w_max is missing: give it as a weight"),
        (lambda: PairSTDP(w_max=1 * u.pA, w_min=2 * u.pA), ValueError, "w_min is 2 pA, expected less than w_max, which is 1 pA"),
        (lambda: projection_of(plasticity=PairSTDP(w_max=1 * u.second)), u.UnitMismatchError, "w_min of PairSTDP is 0 s"),
        (lambda: PairSTDP(w_max=np.ones(3) * u.pA), ValueError, "w_max is <array 3 pA>, of shape \\(3,\\), expected one weight"),
        (lambda: PairSTDP(w_max=1 * u.pA, tau_pre=0 * u.ms), ValueError, "tau_pre is 0 ms, expected one positive time"),
        (lambda: PairSTDP(w_max=1 * u.pA, a_pre=0.1 * u.pA), u.UnitMismatchError, "a_pre is a value in pA"),
        (lambda: PairSTDP(w_max=1 * u.pA, mu=-1), ValueError, "mu is -1, expected at least 0"),
        (lambda: PairSTDP(w_max=1 * u.pA, interactions="some"), ValueError, "interactions is 'some', but expected one of 'all', 'nearest'"),
        (lambda: TripletSTDP(), ValueError, "w_scale is missing"),
        (lambda: TripletSTDP(w_scale=1 * u.pA, A3_plus=-1), ValueError, "A3_plus is -1, expected at least 0"),
        (lambda: VogelsISTDP(), ValueError, "eta is missing"),
        (lambda: VogelsISTDP(eta=1 * u.pA, rate=-5 * u.Hz), ValueError, "rate is -5 Hz, expected a frequency of at least 0 Hz"),
        (lambda: LearningRule(on_pre=1, on_post=min), TypeError, "on_pre is 1, expected a function"),
        (lambda: LearningRule(on_pre=min, on_post=min, pre=[20 * u.ms]), TypeError, "expected traces, as"),
        (lambda: LearningRule(on_pre=min, on_post=min, pre={"x": 20}), u.UnitMismatchError, "pre\\['x'\\] is a plain number"),
        (lambda: projection_of(plasticity=PairSTDP(w_max=1 * u.nS)), u.UnitMismatchError, "takes weights in pA"),
        (
            lambda: projection_of(
                connectivity=FixedProb(0.1, weight=1 * u.nS),
                synapse=Expon(tau=5 * u.ms, output=COBA(E=0 * u.mV)),
                plasticity=PairSTDP(w_max=1 * u.nS, w_min=-1 * u.nS),
            ),
            ValueError,
            "a conductance is at least 0: w_min=0 \\* u.nS",
        ),
        (
            lambda: projection_of(connectivity=FixedProb(0.1, weight=1 * u.pA, format="jit"), plasticity=PairSTDP(w_max=1 * u.pA)),
            ValueError,
            'drawn anew whenever a neuron spikes: use format="csr"',
        ),
        (lambda: projection_of(path="dense", plasticity=PairSTDP(w_max=1 * u.pA)), ValueError, 'use path="event" or "auto"'),
    ],
)
def test_bad_input_is_named(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_a_rule_that_is_no_function_of_numbers_says_so():
    rule = LearningRule(on_pre=lambda w, pre, post: w * post["z"], on_post=lambda w, pre, post: w, post={"y": 1 * u.ms})
    with pytest.raises(KeyError, match="z"):
        Network(projection_of(plasticity=rule)).run(1 * u.ms, dt=DT * u.ms)


def test_weights_stay_with_their_synapses_whatever_the_delay():
    """Delays of one a synapse sort the synapses anew, before and after the time step is known."""
    row, col, w = pairs()
    times, learning = np.random.default_rng(4).permutation(N_SYN) * DT * u.ms, PairSTDP(**PAIR)
    pre, post = Poisson(N_PRE, rate=100 * u.Hz, name="pre"), LIF(N_POST, V_th=0.2 * u.mV, V_rest=0 * u.mV, V_reset=0 * u.mV, name="N")
    projection = Projection(pre, FromPairs(row, col, weight=w * u.pA), Expon(tau=5 * u.ms), post, plasticity=learning, delay=times)
    net = Network(projection, seed=1)
    np.testing.assert_allclose(projection.weight.mantissa, w, rtol=1e-6)
    net.run(0 * u.ms, dt=DT * u.ms)
    for delay in (times[::-1], 2 * u.ms, np.arange(N_PRE)[:, None] * DT * u.ms, Normal(2 * u.ms, 1 * u.ms), times):
        projection.delay = delay
        np.testing.assert_allclose(projection.weight.mantissa, w, rtol=1e-6)
    net.run(30 * u.ms, progress=False)
    learned = np.asarray(projection.weight.mantissa)
    assert np.abs(learned - w).max() > 0.01
    net.reset()
    projection.weight = w * u.pA
    copied = pickle.loads(pickle.dumps(net))
    for other in (net, copied):
        other.run(30 * u.ms, progress=False)
        np.testing.assert_array_equal(other.projections[0].weight.mantissa, learned)
