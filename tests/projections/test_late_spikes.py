"""Delays that are set while spikes are under way to synapses that are plastic: against queues of events, synapse by synapse."""

import copy
import pathlib

import brainunit as u
import jax
import numpy as np
import pytest
from tables import HERE, HERE_BRIEFLY, needs_numba, thorough

from brainevent.projections import (
    AMPA,
    LIF,
    AllToAll,
    Delta,
    Expon,
    FixedProb,
    FromPairs,
    Network,
    Normal,
    OneToOne,
    PairSTDP,
    Poisson,
    Projection,
    RewardSTDP,
    SpikeSource,
    TripletSTDP,
    TsodyksMarkram,
)

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "late.npz"
DT = 0.1
N_PRE, N_POST, N_SYN = 12, 9, 60
PHASES = (100, 60, 40, 300)  # steps of four runs, by four delays, of which the third comes while spikes of the first are under way yet
PAIR = {"tau_pre": 20 * u.ms, "tau_post": 30 * u.ms, "a_pre": 0.1, "a_post": -0.08, "w_max": 2 * u.pA}
RULES = {
    "pair": PairSTDP(**PAIR),
    "nearest": PairSTDP(**PAIR, interactions="nearest"),
    "triplet": TripletSTDP(w_scale=10 * u.pA, w_max=3 * u.pA),
}


def pairs(seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, N_PRE, N_SYN), rng.integers(0, N_POST, N_SYN), rng.uniform(0.5, 1.5, N_SYN)


def drawn(kind):
    """Delays in steps for each phase, as they are set and one a synapse: shorter, longer, and shorter again."""
    rng, row, given = np.random.default_rng(5), pairs()[0], []
    for most in (120, 20, 200, 7):
        given.append({"one": np.array(most), "rows": rng.integers(0, most, (N_PRE, 1)), "each": rng.integers(0, most, N_SYN)}[kind])
    return given, [np.broadcast_to(steps[row, 0] if steps.ndim == 2 else steps, N_SYN) for steps in given]


def arrivals(pre, row, delays):
    """For each step `[(synapse, step of the spike)]`, earlier changes first."""
    phase = np.repeat(np.arange(len(PHASES)), PHASES)
    due = [[] for _ in pre]
    for number in range(len(PHASES)):
        for step, k in np.argwhere(pre[:, row] & (phase == number)[:, None]):
            if step + delays[number][k] < len(due):
                due[step + delays[number][k]].append((k, step))
    return due


def learned(rule, row, col, w, pre, post, delays, by_sending):
    """The weights at the end, and what arrives in each step: every synapse with traces of its own.

    by_sending: traces of a pre neuron are those of the spikes that it sent, as long ago as the delay is now, and as far back as the
    delays of before the change reached; else they follow arrivals.
    """
    taus = [{name: tau.to_decimal(u.ms) for name, tau in side.items()} for side in rule.traces()]
    low, high = (np.inf * sign if bound is None else bound for sign, bound in zip((-1, 1), rule.bounds()))
    phase, due, nearest = np.repeat(np.arange(len(PHASES)), PHASES), arrivals(pre, row, delays), rule.interactions == "nearest"
    xs, ys = ({name: np.zeros(N_SYN) for name in side} for side in taus)
    sent = {name: np.zeros((len(pre) + 1, N_PRE)) for name in taus[0]}  # after each step, 0 before the first
    for step, spiked in enumerate(pre):
        for name, values in sent.items():
            faded = values[step] * np.exp(-DT / taus[0][name])
            values[step + 1] = np.where(spiked, 1 if nearest else faded + 1, faded)
    known, slots = [0], 1 << (int(delays[0].max()) + 1).bit_length()  # how far back traces reach, after each change
    for start, steps in zip(np.cumsum(PHASES), delays[1:]):
        more = 1 << (int(steps.max()) + 1).bit_length()
        known.append(start - slots if more > slots else known[-1])
        slots = max(slots, more)
    w, delivered = w.copy(), np.zeros((len(pre), N_POST))
    for step in range(len(pre)):
        for values, side in zip((xs, ys), taus):
            for name in values:
                values[name] = values[name] * np.exp(-DT / side[name])
        for k, _ in due[step]:
            delivered[step, col[k]] += w[k]
        for k, at in due[step]:
            x = {n: sent[n][at, row[k]] * np.exp(-DT / taus[0][n]) if by_sending else xs[n][k] for n in xs}
            w[k] = np.clip(float(rule.on_pre(w[k], x, {n: v[k] for n, v in ys.items()})), low, high)
            for name in xs:
                xs[name][k] = 1 if nearest else xs[name][k] + 1
        for k in np.flatnonzero(post[step, col]):
            at = step + 1 - delays[phase[step]][k]
            x = {n: sent[n][at, row[k]] * (at > known[phase[step]]) if by_sending else xs[n][k] for n in xs}
            w[k] = np.clip(float(rule.on_post(w[k], x, {n: v[k] for n, v in ys.items()})), low, high)
        for name in ys:
            ys[name] = np.where(post[step, col], 1 if nearest else ys[name] + 1, ys[name])
    return w, delivered


def raster(runs, population):
    made = np.zeros((sum(PHASES), population.size), bool)
    for run in runs:
        times, ids = run.spikes(population)
        made[np.rint(times.to_decimal(u.ms) / DT).astype(int) - 1, ids] = True
    return made


def run_phases(net, projection, given, record, backend=None):
    runs = []
    for number, steps in enumerate(PHASES):
        if number:
            projection.delay = given[number] * DT * u.ms
        runs.append(net.run(steps * DT * u.ms, dt=DT * u.ms, record=record, progress=False, backend=backend))
    return runs


def conductance(delivered, tau):
    g, found = np.zeros(N_POST), []
    for row in delivered:
        g = g * np.exp(-DT / tau) + row
        found.append(g)
    return np.array(found)


@pytest.mark.parametrize("backend", HERE_BRIEFLY)
@pytest.mark.parametrize(
    ("name", "kind"), [("pair", "one"), *(pytest.param(*row, marks=thorough) for row in (("nearest", "rows"), ("triplet", "each")))]
)
def test_weights_learn_from_spikes_by_the_delay_they_were_sent_with(name, kind, backend):
    """Every weight, and all that is delivered; beside it a plastic and a static projection whose delays stay what they are."""
    rule, (row, col, w), (given, delays) = RULES[name], pairs(), drawn(kind)
    stay = np.random.default_rng(1).integers(1, 90, N_SYN)
    with jax.enable_x64(True):
        pre, post = Poisson(N_PRE, rate=500 * u.Hz, name="pre"), Poisson(N_POST, rate=100 * u.Hz, name="post")
        N = LIF(N_POST, V_th=0.5 * u.mV, V_rest=0 * u.mV, V_reset=0 * u.mV, name="N")
        rule_of = FromPairs(row, col, weight=w * u.pA)
        changes = Projection(pre, rule_of, Expon(tau=5 * u.ms), N, plasticity=rule, delay=given[0] * DT * u.ms)
        beside = Projection(pre, rule_of, Expon(tau=7 * u.ms), N, plasticity=rule, delay=stay * DT * u.ms, name="beside")
        static = Projection(pre, rule_of, Expon(tau=9 * u.ms), N, delay=1.7 * u.ms, name="static")
        net = Network(changes, beside, static, Projection(post, OneToOne(weight=1 * u.mV), Delta(), N), seed=3)
        record = [pre.spikes, N.spikes, *(p.synapse_state() for p in (changes, beside, static))]
        runs = run_phases(net, changes, given, record, backend)
        spikes = raster(runs, pre), raster(runs, N)
        got = [np.asarray(p.weight.to_decimal(u.pA)) for p in (changes, beside)]
        g = [np.concatenate([run.state(p.synapse_state()).mantissa for run in runs]) for p in (changes, beside, static)]
        kept = [key for key in net._states if key.startswith("late")]
        net.run(DT * u.ms, progress=False)
        assert kept and not [key for key in net._states if key.startswith("late")]
        want, delivered = zip(
            learned(rule, row, col, w, *spikes, delays, kind == "each"), learned(rule, row, col, w, *spikes, [stay] * 4, True)
        )
        _, steadily = learned(PairSTDP(**PAIR | {"a_pre": 0, "a_post": 0}), row, col, w, *spikes, [np.full(N_SYN, 17)] * 4, False)
    assert any(len({k for k, _ in step}) < len(step) for step in arrivals(spikes[0], row, delays))  # two over one synapse
    assert all(spiked.sum() > 30 for spiked in spikes) and min(np.abs(found - w).max() for found in want) > 0.01
    for found, expected in zip(got, want):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    for found, came, tau in zip(g, (*delivered, steadily), (5, 7, 9)):
        np.testing.assert_allclose(found, conductance(came, tau), rtol=0, atol=1e-11)


@pytest.mark.parametrize("backend", HERE)
@pytest.mark.parametrize("case", [0, 1, pytest.param(2, marks=thorough)], ids=["shorter", "longer", "none"])
def test_every_weight_of_brian2(case, backend):
    """PairSTDP, whose delay changes with spikes under way: every weight, and the sum of what each neuron gets. (Where it is shorter now,
    two spikes may arrive over a synapse in one step; there the second delivers, here, what the first did.)
    """
    data = np.load(GOLDEN)
    before, after = data["delays"][case] * DT * u.ms

    def sources(spikes, name):
        steps, ids = np.nonzero(spikes)
        return SpikeSource(spikes.shape[1], times=(steps + 1) * DT * u.ms, ids=ids, name=name)

    def spiked(runs, population):
        found = np.zeros((len(data["pre"]), population.size), bool)
        for times, ids in (run.spikes(population) for run in runs):
            found[np.rint(times.to_decimal(u.ms) / DT).astype(int) - 1, ids] = True
        return found

    with jax.enable_x64(True):
        rule = PairSTDP(**{name: float(data[name]) * (1 if name.startswith("a_") else PAIR[name].unit) for name in PAIR})
        pre, N = sources(data["pre"], "pre"), LIF(N_POST, R=1 * u.Mohm, tau=1 * u.ms, tau_ref=0 * u.ms, V_th=-64 * u.mV, name="N")
        kicks = Projection(sources(data["post"][1:], "kicks"), OneToOne(weight=5 * u.mV), Delta(), N)
        connectivity, synapse = FromPairs(data["row"], data["col"], weight=data["w"] * u.pA), Expon(tau=1e15 * u.ms)
        learning = Projection(pre, connectivity, synapse, N, plasticity=rule, delay=before)
        net, change = Network(learning, kicks, dt=DT * u.ms), int(data["change"])
        record = [pre.spikes, N.spikes, learning.synapse_state()]
        runs = [net.run(change * DT * u.ms, record=record, progress=False, backend=backend)]
        learning.delay = after
        runs.append(net.run((len(data["pre"]) - change) * DT * u.ms, record=record, progress=False, backend=backend))
        got, delivered = np.asarray(learning.weight.mantissa), runs[1].state(learning.synapse_state())[-1].mantissa
    assert np.array_equal(spiked(runs, pre), data["pre"]) and np.array_equal(spiked(runs, N), data["post"])
    assert all(np.abs(np.asarray(data["learned"][case]) - data["w"]).max() > 1 for case in range(3))
    np.testing.assert_allclose(got, data["learned"][case], rtol=0, atol=1e-12)
    if before <= after:
        np.testing.assert_allclose(delivered, np.bincount(data["col"], data["delivered"][case]), rtol=0, atol=1e-9)


@pytest.mark.parametrize("each", [False, True], ids=["a neuron", "a synapse"])
def test_what_is_released_follows_each_spike(each):
    """Resources of neurons and of synapses, by delays of every kind in turn: spikes that arrive by one delay, or one a neuron, use them
    when they arrive, and those by one a synapse when they are sent.
    """
    row, col, w = pairs()
    rng = np.random.default_rng(2)
    kinds = ("one", "each", "rows", "one")
    given, delays = zip(*((found[0][i], found[1][i]) for i, found in enumerate(drawn(kind) for kind in kinds)))
    U, rec, facil = (rng.uniform(low, high, N_SYN if each else N_PRE) for low, high in ((0.1, 1), (5, 300), (10, 200)))
    rule, of = TsodyksMarkram(U=U, tau_rec=rec * u.ms, tau_facil=facil * u.ms), np.arange(N_SYN) if each else row
    with jax.enable_x64(True):
        pre, post = Poisson(N_PRE, rate=100 * u.Hz, name="pre"), LIF(N_POST, name="post")
        connectivity, synapse = FromPairs(row, col, weight=w * u.pA), Expon(tau=5 * u.ms)
        projection = Projection(pre, connectivity, synapse, post, plasticity=rule, delay=given[0] * DT * u.ms)
        runs = run_phases(Network(projection, seed=1), projection, given, [pre.spikes, projection.synapse_state()])
        got = np.concatenate([run.state(projection.synapse_state()).mantissa for run in runs])
    spikes, phase = raster(runs, pre), np.repeat(np.arange(len(PHASES)), PHASES)
    delivered = np.zeros((len(spikes), N_POST))
    for k in range(N_SYN):
        sent = [(s + delays[phase[s]][k], s) for s in np.flatnonzero(spikes[:, row[k]])]
        used, left, before = 0.0, 1.0, -np.inf
        for release, arrival in sorted((s if kinds[phase[s]] == "each" else at, at) for at, s in sent):
            gap = (release - before) * DT
            used = U[of[k]] + used * (1 - U[of[k]]) * np.exp(-gap / facil[of[k]])
            there = 1 - (1 - left) * np.exp(-gap / rec[of[k]])
            if arrival < len(spikes):
                delivered[arrival, col[k]] += w[k] * used * there
            left, before = there * (1 - used), release
    assert spikes.sum() > 50
    np.testing.assert_allclose(got, conductance(delivered, 5), rtol=0, atol=1e-11)


@pytest.mark.parametrize("backend", HERE)
def test_pulses_begin_when_spikes_arrive(backend):
    """Receptors that bind transmitter: as in a network without delays, whose sources spike at the times of arrival."""
    rng = np.random.default_rng(3)
    times, ids = np.sort(rng.integers(1, 300, 40)), rng.integers(0, 4, 40)
    by = np.where(times <= 150, 60, 12)
    with jax.enable_x64(True):
        found = []
        for at, delays in ((times, (60, 12)), (times + by, (0, 0))):
            order = np.lexsort((ids, at))
            kept = np.unique(np.stack([at, ids])[:, order], axis=1)  # two that arrive together are one pulse
            pre, post = SpikeSource(4, times=(kept[0] - 1) * DT * u.ms, ids=kept[1], name="pre"), LIF(3, name="post")
            projection = Projection(pre, AllToAll(weight=1 * u.nS), AMPA(), post, delay=delays[0] * DT * u.ms)
            net, g = Network(projection, dt=DT * u.ms), projection.synapse_state()
            runs = [net.run(15 * u.ms, record=[g], progress=False, backend=backend)]
            projection.delay = delays[1] * DT * u.ms
            runs.append(net.run(25 * u.ms, record=[g], progress=False, backend=backend))
            found.append(np.concatenate([run.state(g).mantissa for run in runs]))
    assert np.ptp(found[0]) > 1
    np.testing.assert_allclose(found[0], found[1], rtol=0, atol=1e-12)


def rewarded_network(given):
    row, col, w = pairs()
    pre, N = Poisson(N_PRE, rate=120 * u.Hz, name="pre"), LIF(N_POST, V_th=0.5 * u.mV, V_rest=0 * u.mV, V_reset=0 * u.mV, name="N")
    kicks, reward = Poisson(N_POST, rate=100 * u.Hz, name="kicks"), Poisson(5, rate=20 * u.Hz, name="reward")
    rule = RewardSTDP(w_max=40 * u.pA, a_pre=0.002, a_post=-0.001, tau_c=15 * u.ms, tau_reward=8 * u.ms, baseline=10 * u.Hz, reward=reward)
    changes = Projection(pre, FromPairs(row, col, weight=(10 + w) * u.pA), Expon(tau=5 * u.ms), N, plasticity=rule, delay=given * DT * u.ms)
    return changes, Network(changes, Projection(kicks, OneToOne(weight=1 * u.mV), Delta(), N), seed=3, dt=DT * u.ms)


@pytest.mark.parametrize("kind", [pytest.param("rows", marks=thorough), "each"])
def test_rewards_come_once_a_step(kind):
    """A network of many synapses apart, each from a source of its own, at once: one pass for each change of the delay counts time once."""
    (first, second, *_), (by_first, by_second, *_) = drawn(kind)
    with jax.enable_x64(True):
        changes, net = rewarded_network(first)
        pre, N, reward = (next(p for p in net.populations if p.label == label) for label in ("pre", "N", "reward"))
        record = [pre.spikes, N.spikes, reward.spikes]
        runs = [net.run(20 * u.ms, record=record, progress=False)]
        changes.delay = second * DT * u.ms
        runs.append(net.run(30 * u.ms, record=record, progress=False))
        got = np.asarray(changes.weight.to_decimal(u.pA))
    spikes = {p: np.zeros((500, p.size), bool) for p in (pre, N, reward)}
    for run in runs:
        for p in spikes:
            times, ids = run.spikes(p)
            spikes[p][np.rint(times.to_decimal(u.ms) / DT).astype(int) - 1, ids] = True
    want = eligible(changes.plasticity, spikes[pre], spikes[N], spikes[reward].sum(1), by_first, by_second, kind == "each")
    assert np.abs(want - got).max() < 1e-10 and np.abs(got - 10 - pairs()[2]).max() > 0.01


def eligible(rule, pre, post, rewards, first, second, by_sending):
    """The weights in the end, with eligibilities and weights that change in every step; the delay is another from step 200 on."""
    row, col, w = pairs()
    tau_pre, tau_post, tau_c, tau_reward = (getattr(rule, f"tau_{name}").to_decimal(u.ms) for name in ("pre", "post", "c", "reward"))
    high, baseline = rule.w_max.to_decimal(u.pA), rule.baseline.to_decimal(u.kHz)
    w, c, D, x, y, both = 10 + w, np.zeros(N_SYN), 0.0, np.zeros(N_SYN), np.zeros(N_POST), 1 / tau_c + 1 / tau_reward
    sent = np.zeros((len(pre) + 1, N_PRE))
    for step, spiked in enumerate(pre):
        sent[step + 1] = sent[step] * np.exp(-DT / tau_pre) + spiked
    for step in range(len(pre)):
        w = w + c * (D / tau_reward * (1 - np.exp(-DT * both)) / both - baseline * tau_c * (1 - np.exp(-DT / tau_c)))
        c, D = c * np.exp(-DT / tau_c), D * np.exp(-DT / tau_reward)
        x, y = x * np.exp(-DT / tau_pre), y * np.exp(-DT / tau_post)
        for delay, sent_in in ((first, lambda at: at < 200), (second, lambda at: at >= 200)):
            due = np.array([step >= d and sent_in(step - d) and pre[step - d, i] for i, d in zip(row, delay)])
            c, x = np.where(due, c + rule.a_post * high * y[col], c), x + due
        now = second if step >= 200 else first
        seen = sent[np.maximum(step + 1 - now, 0), row] if by_sending else x
        c = np.where(post[step, col], c + rule.a_pre * high * seen, c)
        y, D = y + post[step], D + rule.jump * rewards[step]
    return w


@pytest.mark.parametrize("kind", [pytest.param("one", marks=thorough), "each"])
def test_what_is_under_way_is_copied_and_saved(kind, tmp_path):
    """By two delays at once: a copy, and a file that another network goes on from, give the same weights bit for bit."""
    given, _ = drawn(kind)
    changes, net = rewarded_network(given[0])
    net.run(15 * u.ms, progress=False)
    changes.delay = given[1] * DT * u.ms
    net.run(1 * u.ms, progress=False)
    assert [key for key in net._states if key.startswith("late")]
    net.save(tmp_path / "state")
    copied, (again, other) = copy.deepcopy(net), rewarded_network(given[0])
    again.delay = given[1] * DT * u.ms
    other.load(tmp_path / "state")
    for each in (net, copied, other):
        each.run(30 * u.ms, progress=False)
        np.testing.assert_array_equal(each.projections[0].weight.mantissa, changes.weight.mantissa)
    net.reset()
    assert not [key for key in net._states if key.startswith("late")]


@pytest.mark.parametrize(("kind", "other"), [("one", "each"), ("each", "rows")])
@pytest.mark.parametrize("plasticity", [PairSTDP(**PAIR), None])
def test_how_traces_are_kept_changes_only_at_rest(plasticity, kind, other):
    row, col, w = pairs()
    pre, N = Poisson(N_PRE, rate=120 * u.Hz, name="pre"), LIF(N_POST, name="N")
    synapse = AMPA() if plasticity is None else Expon(tau=5 * u.ms)
    rule = FromPairs(row, col, weight=w * (u.nS if plasticity is None else u.pA))
    projection = Projection(pre, rule, synapse, N, plasticity=plasticity, delay=drawn(kind)[0][0] * DT * u.ms)
    net = Network(projection, dt=DT * u.ms)
    net.run(1 * u.ms, progress=False)
    with pytest.raises(ValueError, match=r"pre -> N: delay is one.*knows of past spikes is kept by that: call net.reset\(\) first"):
        projection.delay = drawn(other)[0][0] * DT * u.ms
    net.reset()
    projection.delay = drawn(other)[0][0] * DT * u.ms
    net.run(1 * u.ms, progress=False)


@pytest.mark.parametrize("format", ["jit", "csr"])
def test_a_delay_that_is_refused_changes_nothing(format):
    """With spikes under way, whichever check it fails: the network goes on as one that nobody tried."""

    def build():
        pre, post = Poisson(30, rate=200 * u.Hz, name="pre"), LIF(30, name="post")
        rule = FixedProb(0.3, weight=0.1 * u.mV, format=format)
        projection = Projection(pre, rule, Delta(), post, delay=1 * u.ms)
        return projection, Network(projection, dt=DT * u.ms, seed=1)

    V = []
    for wrong in ((), (Normal(-50 * u.ms, 1 * u.ms), Normal(100 * u.second, 1 * u.second), -1 * u.ms, np.nan * u.ms, np.ones(2) * u.ms)):
        projection, net = build()
        net.run(3 * u.ms, progress=False)
        for delay in wrong:
            with pytest.raises(ValueError, match="delay"):
                projection.delay = delay
        net.run(3 * u.ms, progress=False)
        V.append(projection.post.population.V.value.mantissa)
        assert projection.delay == 1 * u.ms
    np.testing.assert_array_equal(*V)


@needs_numba
def test_nothing_is_kept_where_nothing_is_under_way():
    """No spike, and spikes that have all arrived: the steps are those of a network whose delay was never another."""
    changes, net = rewarded_network(np.array(3))
    changes.delay = 0.5 * u.ms
    silent = SpikeSource(3, times=[1] * u.ms, ids=[0], name="silent")
    learning = Projection(
        silent, AllToAll(weight=1 * u.pA), Expon(tau=5 * u.ms), LIF(2, name="N"), plasticity=PairSTDP(**PAIR), delay=2 * u.ms
    )
    late = Network(learning, dt=DT * u.ms)
    late.run(5 * u.ms, progress=False)
    learning.delay = 1 * u.ms
    assert not [key for net in (net, late) for key in net._states if key.startswith("late")]
