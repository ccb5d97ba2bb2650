"""Rewarded plasticity: against a loop of numpy that fades every synapse in every step, closed forms and NEST; what is set from outside."""

import copy

import brainunit as u
import jax
import numpy as np
import pytest
from tables import HERE, thorough

from brainevent.projections import (
    CUBA,
    LIF,
    AllToAll,
    Delta,
    Expon,
    FixedProb,
    FromPairs,
    Network,
    OneToOne,
    PairSTDP,
    Poisson,
    Projection,
    RewardSTDP,
    SpikeSource,
)

DT = 0.1
N_PRE, N_POST, N_SYN = 12, 9, 60
WIDE = {"w_min": -100 * u.pA, "w_max": 100 * u.pA, "a_pre": 0.002, "a_post": -0.0015, "tau_pre": 20 * u.ms, "tau_post": 30 * u.ms}
EASY = {"V_th": 0.5 * u.mV, "V_rest": 0 * u.mV, "V_reset": 0 * u.mV}


def raster(run, population):
    """The spikes of a run as a bool array, (steps, neurons)."""
    times, ids = run.spikes(population)
    made = np.zeros((run.n_steps, population.size), bool)
    made[np.rint(times.to_decimal(u.ms) / DT).astype(int) - 1 - run.first_step, ids] = True
    return made


def rewarded(rule, row, col, w, pre, post, rewards, delay, levels=()):
    """The weights after each step: every eligibility fades in every step, and every weight follows it.

    Args:
      pre, post: spikes, bool (steps, neurons). rewards: how many come at the end of each step. delay: in steps, one a synapse.
      levels: `(step, D)` that are set before a step.
    """
    tau_pre, tau_post, tau_c, tau_reward = (getattr(rule, f"tau_{name}").to_decimal(u.ms) for name in ("pre", "post", "c", "reward"))
    high, baseline = rule.w_max.to_decimal(u.pA), rule.baseline.to_decimal(u.kHz)
    w, c, D, x, y, out = w.copy(), np.zeros(w.size), 0.0, np.zeros(w.size), np.zeros(post.shape[1]), []
    both = 1 / tau_c + 1 / tau_reward
    for step in range(pre.shape[0]):
        D = dict(levels).get(step, D)
        w = w + c * (D / tau_reward * (1 - np.exp(-DT * both)) / both - baseline * tau_c * (1 - np.exp(-DT / tau_c)))
        c, D = c * np.exp(-DT / tau_c), D * np.exp(-DT / tau_reward)
        x, y = x * np.exp(-DT / tau_pre), y * np.exp(-DT / tau_post)
        due = np.array([step >= d and pre[step - d, i] for i, d in zip(row, delay)])
        c = np.where(due, c + rule.a_post * high * y[col], c)
        x = np.where(due, x + 1, x)
        c = np.where(post[step, col], c + rule.a_pre * high * x, c)
        y = np.where(post[step], y + 1, y)
        D += rule.jump * rewards[step]
        out.append(w)
    return np.array(out)


@pytest.mark.parametrize("backend", HERE)
@pytest.mark.parametrize("longest", [None, 30])
def test_every_weight_in_every_step(longest, backend):
    """Rewards of a population and from outside, a baseline, several rebases, two runs; delays of none, or one a synapse."""
    rng = np.random.default_rng(0)
    row, col, w = rng.integers(0, N_PRE, N_SYN), rng.integers(0, N_POST, N_SYN), rng.uniform(0.5, 1.5, N_SYN)
    delay = np.zeros(N_SYN, int) if longest is None else rng.integers(0, longest + 1, N_SYN)
    with jax.enable_x64(True):
        pre, post = Poisson(N_PRE, rate=150 * u.Hz, name="pre"), LIF(N_POST, **EASY, name="N")
        kicks, reward = Poisson(N_POST, rate=100 * u.Hz, name="kicks"), Poisson(5, rate=20 * u.Hz, name="reward")
        rule = RewardSTDP(**WIDE, tau_c=15 * u.ms, tau_reward=8 * u.ms, baseline=10 * u.Hz, reward=reward[1:], jump=0.5)
        connectivity, times = FromPairs(row, col, weight=w * u.pA), None if longest is None else delay * DT * u.ms
        projection = Projection(pre, connectivity, Expon(tau=5 * u.ms, output=CUBA()), post, plasticity=rule, delay=times)
        net = Network(projection, Projection(kicks, OneToOne(weight=1 * u.mV), Delta(), post), seed=3, dt=DT * u.ms)
        record = [pre.spikes, post.spikes, reward.spikes, projection.weight_state]
        runs = [net.run(20 * u.ms, progress=False, backend=backend, record=record)]
        projection.reward = 2.0
        runs.append(net.run(80 * u.ms, progress=False, backend=backend, record=record))
        got = np.concatenate([run.state(projection.weight_state).mantissa for run in runs])
        spikes, last = [np.concatenate([raster(run, p) for run in runs]) for p in (pre, post, reward)], projection.weight.mantissa
    rewards = spikes[2][:, 1:].sum(1)
    want = rewarded(rule, row, col, w, *spikes[:2], rewards, delay, levels=[(200, 2.0)])
    np.testing.assert_allclose(last, want[-1], rtol=0, atol=1e-11)
    assert rewards.sum() >= 3 and all(spiked.sum() > 50 for spiked in spikes[:2]) and np.abs(want[-1] - w).max() > 0.05
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-11)


def one_pair(wait, precision=64, **options):
    """How a weight has changed 300 ms after a reward of 1 that came `wait` ms after a pair of spikes 10 ms apart, over what pairs say."""
    with jax.enable_x64(precision == 64):
        pre, teacher = SpikeSource(1, times=[5] * u.ms, ids=[0], name="pre"), SpikeSource(1, times=[14.9] * u.ms, ids=[0], name="teacher")
        post, reward = LIF(1, **EASY, name="post"), SpikeSource(1, times=[15 + wait] * u.ms, ids=[0], name="reward")
        learning = RewardSTDP(w_max=1 * u.pA, a_pre=0.01, tau_c=50 * u.ms, tau_reward=10 * u.ms, reward=reward, **options)
        projection = Projection(pre, OneToOne(weight=0.5 * u.pA), Expon(tau=1 * u.ms), post, plasticity=learning)
        net = Network(projection, Projection(teacher, OneToOne(weight=1 * u.mV), Delta(), post), dt=DT * u.ms)
        run = net.run((15 + wait + 300) * u.ms, progress=False)
        assert run.spikes(post)[0].to_decimal(u.ms) == pytest.approx([15.0])
        return (float(projection.weight.mantissa[0]) - 0.5) / (0.01 * np.exp(-10 / 20))


@pytest.mark.parametrize(("precision", "relative"), [(64, 1e-9), pytest.param(32, 2e-4, marks=thorough)])
def test_a_reward_after_a_pair_in_closed_form(precision, relative):
    """c fades until the reward comes, then its product with what is left of the reward is summed up; a baseline takes from it all along."""
    for wait in (0.1, 40.0, 150.0):
        want = np.exp(-wait / 50) / 10 / (1 / 50 + 1 / 10) * (1 - np.exp(-300 * (1 / 50 + 1 / 10)))
        assert one_pair(wait, precision) == pytest.approx(want, rel=relative), wait
    taken = 0.02 * 50 * (1 - np.exp(-(300.0 + 40) / 50))
    assert one_pair(40.0, precision, baseline=20 * u.Hz) == pytest.approx(np.exp(-0.8) / 10 / 0.12 - taken, rel=relative, abs=1e-4)


def test_without_a_reward_nothing_changes_and_with_one_bounds_hold():
    pre, post, kicks = Poisson(30, rate=50 * u.Hz, name="pre"), LIF(20, **EASY, name="N"), Poisson(20, rate=50 * u.Hz, name="kicks")
    rule = RewardSTDP(w_max=1 * u.pA, a_pre=0.3, a_post=-0.2, tau_c=30 * u.ms)
    projection = Projection(pre, AllToAll(weight=0.5 * u.pA), Expon(tau=1 * u.ms), post, plasticity=rule)
    net = Network(projection, Projection(kicks, OneToOne(weight=1 * u.mV), Delta(), post), seed=1, dt=DT * u.ms)
    net.run(100 * u.ms, progress=False)
    assert (projection.weight.mantissa == 0.5).all()
    projection.reward = 20
    net.run(200 * u.ms, progress=False)
    weights = np.asarray(projection.weight.mantissa)
    assert weights.min() == 0 and weights.max() == 1 and 0.05 < (weights == 1).mean() < 0.95


def network_of(seed=3):
    pre, post, kicks = Poisson(30, rate=50 * u.Hz, name="pre"), LIF(20, **EASY, name="N"), Poisson(20, rate=50 * u.Hz, name="kicks")
    rule = RewardSTDP(w_max=1 * u.pA, tau_c=30 * u.ms, reward=kicks)
    projection = Projection(pre, FixedProb(0.5, weight=0.5 * u.pA), Expon(tau=1 * u.ms), post, plasticity=rule)
    return projection, Network(projection, Projection(kicks, OneToOne(weight=1 * u.mV), Delta(), post), seed=seed, dt=DT * u.ms)


def test_weights_are_set_kept_and_restored(tmp_path):
    projection, net = network_of()
    net.run(43 * u.ms, progress=False)
    w, level = np.asarray(projection.weight.mantissa), projection.reward
    assert np.unique(w).size > 100 and level > 1
    copied = copy.deepcopy(net)
    assert copied.projections[0].plasticity.reward.population is next(p for p in copied.populations if p.label == "kicks")
    net.save(tmp_path / "state.npz")
    net.run(20 * u.ms, progress=False)
    after = np.asarray(projection.weight.mantissa)
    _, restored = network_of()
    restored.load(tmp_path / "state.npz")
    for network in (copied, restored):
        first = network.projections[0]
        np.testing.assert_array_equal(first.weight.mantissa, w)
        assert first.reward == level
        network.run(20 * u.ms, progress=False)
        np.testing.assert_array_equal(first.weight.mantissa, after)
    projection.weight = 0.25 * u.pA  # what was pending before is not added to it
    np.testing.assert_array_equal(projection.weight.mantissa, np.float32(0.25))
    net.run(5 * u.ms, progress=False)
    learned = np.asarray(projection.weight.mantissa)
    net.reset()
    np.testing.assert_array_equal(projection.weight.mantissa, learned)
    assert projection.reward == 0 and np.abs(learned - 0.25).max() > 1e-4


def test_weights_can_be_rewarded_in_a_loop_of_ones_own():
    import brainstate

    projection, net = network_of()
    net.run(30 * u.ms, progress=False)
    other, own = network_of()
    brainstate.transform.for_loop(lambda i: own.step(), np.arange(300))
    np.testing.assert_allclose(other.weight.mantissa, projection.weight.mantissa, rtol=1e-6)


def plastic(plasticity):
    pre, post = Poisson(3, rate=10 * u.Hz, name="pre"), LIF(3, name="N")
    return Projection(pre, OneToOne(weight=1 * u.pA), Expon(tau=5 * u.ms), post, plasticity=plasticity)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: RewardSTDP(), ValueError, "RewardSTDP: w_max is missing"),
        (lambda: RewardSTDP(w_max=1 * u.pA, tau_c=0 * u.ms), ValueError, "RewardSTDP: tau_c is 0 ms, expected one positive time"),
        (lambda: RewardSTDP(w_max=1 * u.pA, tau_reward=5), u.UnitMismatchError, "RewardSTDP: tau_reward"),
        (
            lambda: RewardSTDP(w_max=1 * u.pA, baseline=-1 * u.Hz),
            ValueError,
            "RewardSTDP: baseline is -1 Hz, expected a frequency of at least",
        ),
        (lambda: RewardSTDP(w_max=1 * u.pA, jump=np.nan), ValueError, "RewardSTDP: jump is nan"),
        (lambda: RewardSTDP(w_max=1 * u.pA, jump=1j), TypeError, "RewardSTDP: jump"),
        (lambda: RewardSTDP(w_max=1 * u.pA, reward=0.5), TypeError, "RewardSTDP: reward: expected a population or a slice of one, got 0.5"),
        (lambda: plastic(RewardSTDP(w_max=1 * u.pA)).reward, ValueError, "reward is what RewardSTDP has, in a network"),
        (lambda: Network(plastic(PairSTDP(w_max=1 * u.pA))).projections[0].reward, ValueError, "in a network: plasticity is PairSTDP"),
        (lambda: setattr(Network(plastic(RewardSTDP(w_max=1 * u.pA))).projections[0], "reward", [1, 2]), ValueError, "pre -> N: reward"),
    ],
)
def test_bad_input_is_named(make, error, words):
    with pytest.raises(error, match=words):
        make()


def weights_of_nest(nest, pre, post, rewards):
    """The weight of a stdp_dopamine_synapse at each pre spike, with `NEST`'s parameters; times in ms."""
    nest.ResetKernel()
    nest.set(resolution=DT)
    sources = [nest.Create("spike_generator", params={"spike_times": np.round(times, 1)}) for times in (pre, post, rewards)]
    relays = nest.Create("parrot_neuron", 3)
    for source, relay in zip(sources, relays):
        nest.Connect(source, relay, syn_spec={"delay": DT})
    volume = nest.Create("volume_transmitter", params={"deliver_interval": 100_000})
    nest.Connect(relays[2], volume, syn_spec={"delay": DT})
    own = {"A_plus": 0.02, "A_minus": 0.015, "tau_plus": 20.0, "tau_c": 40.0, "tau_n": 15.0, "b": 0.003, "Wmin": 0.0, "Wmax": 10.0}
    nest.CopyModel("stdp_dopamine_synapse", "rewarded", {**own, "volume_transmitter": volume})
    relays[1].tau_minus = 30.0
    nest.Connect(relays[0], relays[1], syn_spec={"synapse_model": "rewarded", "weight": 1.0, "delay": DT, "receptor_type": 1})
    synapse, found = nest.GetConnections(relays[0], relays[1]), []
    for time in pre:
        nest.Simulate(round(float(time) + 3 * DT - nest.biological_time, 1))
        found.append(synapse.get("weight"))
    return np.array(found)


def test_every_weight_of_nest():
    """60 irregular spikes at either end, 12 rewards: the weight at each pre spike, where NEST brings it up to date.

    Post spikes and rewards reach its synapse one step after the neuron that they are of.
    """
    nest = pytest.importorskip("nest")
    rng = np.random.default_rng(5)
    pre, post, rewards = (np.sort(rng.choice(np.arange(50 + k, 4900, 7), n, replace=False)) * DT for k, n in ((0, 60), (2, 60), (4, 12)))
    want = weights_of_nest(nest, pre, post, rewards)  # first: its kernel does not start beside threads of numba's
    with jax.enable_x64(True):
        sources = [SpikeSource(1, times=times * u.ms, ids=np.zeros(times.size, int)) for times in (pre, post, rewards + DT)]
        N = LIF(1, **EASY, name="N")
        rule = RewardSTDP(
            w_max=10 * u.pA,
            a_pre=0.002,
            a_post=-0.0015,
            tau_pre=20 * u.ms,
            tau_post=30 * u.ms,
            tau_c=40 * u.ms,
            tau_reward=15 * u.ms,
            baseline=3 * u.Hz,
            reward=sources[2],
        )
        projection = Projection(sources[0], OneToOne(weight=1 * u.pA), Expon(tau=1 * u.ms), N, plasticity=rule)
        net = Network(projection, Projection(sources[1], OneToOne(weight=1 * u.mV), Delta(), N), dt=DT * u.ms)
        run = net.run(500 * u.ms, progress=False, record=[N.spikes, projection.weight_state])
        assert run.spikes(N)[1].size == 60
        got = run.state(projection.weight_state).mantissa[np.rint(pre / DT).astype(int) - 1, 0]
    assert np.ptp(want) > 0.1
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-11)
