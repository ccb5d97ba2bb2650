"""When a spike acts: the step convention, delays, their rounding, and the ring that keeps spikes under way."""

import warnings

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tables import HERE

import brainevent as be
from brainevent.core.spikes import pack, packed_size, ring_exchange
from brainevent.projections import LIF, Delta, Expon, Network, OneToOne, Poisson, Projection, running

DT = 0.1


def one_spike(name="once"):
    """A neuron that spikes in step 0 and never again."""
    return LIF(1, V_init=-40 * u.mV, name=name)


@pytest.mark.parametrize("backend", HERE)
@pytest.mark.parametrize("chunk_seconds", [0.25, 0.0])  # 0: chunks of one step
def test_a_spike_acts_after_its_delay(backend, chunk_seconds, monkeypatch):
    """A spike of step 0 with delay k moves V first in step k + 1 (a current), or at the end of step k (a jump of V)."""
    monkeypatch.setattr(running, "CHUNK_SECONDS", chunk_seconds)
    delays = [0, 1, 2, 15, 18, 20, 63, 64, 130]
    pre, post = one_spike(), LIF(2 * len(delays), name="post")
    currents = [
        Projection(pre, OneToOne(weight=10 * u.pA), Expon(tau=5 * u.ms), post[i], delay=k * DT * u.ms) for i, k in enumerate(delays)
    ]
    jumps = [Projection(pre, OneToOne(weight=1 * u.mV), Delta(), post[i + len(delays)], delay=k * DT * u.ms) for i, k in enumerate(delays)]
    net = Network(*currents, *jumps)
    run = net.run(14 * u.ms, dt=DT * u.ms, record=[pre.spikes, pre.V, post.V], progress=False, backend=backend)
    first = (run.state(post.V).mantissa != -65).argmax(0)
    assert first.tolist() == [k + 1 for k in delays] + delays
    times, ids = run.spikes(pre)
    assert ids.tolist() == [0]
    assert times.to_decimal(u.ms) == pytest.approx([DT])  # the end of step 0
    assert run.times.to_decimal(u.ms)[[0, -1]] == pytest.approx([DT, 14])
    assert run.state(pre.V).mantissa[0, 0] == -65  # reset in the step of the spike


@pytest.mark.parametrize("dt", [0.1, 0.01, 0.05, 0.025, 0.001, 1 / 3, 0.7, 1.0])
def test_multiples_of_dt_are_exact(dt):
    N = LIF(1)
    for k in (*range(130), 999, 12345):
        for delay in (k * dt, float(f"{k * dt:.10g}"), np.float32(k * dt), k / (1 / dt)):
            projection = Projection(N, OneToOne(weight=1 * u.mV), Delta(), N, delay=delay * u.ms)
            assert projection.delay_steps(dt) == k, delay
            projection.check_step(dt)  # warnings are errors
    seconds = Projection(N, OneToOne(weight=1 * u.mV), Delta(), N, delay=0.0015 * u.second)
    assert seconds.delay_steps(0.1) == 15 and seconds.delay.to_decimal(u.ms) == pytest.approx(1.5)


@pytest.mark.parametrize(
    "delay, steps, warns", [(0.14, 1, True), (0.16, 2, True), (0.04, 0, True), (10.04, 100, False), (10.06, 101, False), (0.0, 0, False)]
)
def test_other_delays_round_to_the_nearest(delay, steps, warns):
    N = LIF(1, name="N")
    projection = Projection(N, OneToOne(weight=1 * u.mV), Delta(), N, delay=delay * u.ms)
    assert projection.delay_steps(DT) == steps
    net = Network(projection)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        net.run(0 * u.ms, dt=DT * u.ms, progress=False)
    assert len(caught) == warns
    for warning in caught:
        for part in ("N -> N", f"delay {delay:g} ms", "dt = 0.1 ms", f"acts as {steps * DT:g} ms", "smaller dt"):
            assert part in str(warning.message)


def test_a_refused_dt_can_be_replaced():
    """With warnings as errors, a network whose delay does not fit keeps no dt."""
    N = LIF(1, name="N")
    net = Network(Projection(N, OneToOne(weight=1 * u.mV), Delta(), N, delay=0.14 * u.ms))
    with pytest.raises(UserWarning, match=r"acts as 0.1 ms"):
        net.run(1 * u.ms, dt=0.1 * u.ms, progress=False)
    assert net.dt is None
    assert net.run(1 * u.ms, dt=0.02 * u.ms, progress=False).n_steps == 50


@pytest.mark.parametrize("backend", HERE)
@pytest.mark.parametrize(
    "n, slots, delays", [(1, 2, (1,)), (63, 3, (0, 2)), (64, 21, (20, 18, 1)), (65, 16, (15,)), (200, 8, (7, 3, 5, 0))]
)
def test_ring_returns_the_spikes_of_the_delay(n, slots, delays, backend):
    rng = np.random.default_rng(0)
    history = rng.random((3 * slots + 5, n)) < 0.4
    ring = jnp.zeros((slots, packed_size(n)), jnp.uint8)
    with be.backend(backend):
        exchange = jax.jit(lambda ring, step, spikes: ring_exchange(ring, step, spikes, delays))
        for step, spikes in enumerate(history):
            ring, due = exchange(ring, jnp.int32(step), jnp.asarray(spikes))
            for row, delay in zip(np.asarray(due), delays, strict=True):
                np.testing.assert_array_equal(row, history[step - delay] if step >= delay else np.zeros(n, bool))
        packed = np.asarray(pack(jnp.asarray(history[0])))
    np.testing.assert_array_equal(np.unpackbits(packed, bitorder="little"), np.pad(history[0], (0, 8 * packed.size - n)))


def test_many_delays_from_one_population():
    """Random spikes through several delays at once, homogeneous weights of their own: V against a replay of the recorded spikes."""
    delays, weights = [0, 1, 7, 31, 90], [0.1, 0.2, 0.4, 0.8, 1.6]
    with jax.enable_x64(True):
        pre, post = Poisson(70, rate=500 * u.Hz, name="pre"), LIF(70, tau=20 * u.ms, V_th=500 * u.mV, name="post")
        parts = [Projection(pre, OneToOne(weight=w * u.mV), Delta(), post, delay=k * DT * u.ms) for k, w in zip(delays, weights)]
        run = Network(*parts, seed=3).run(30 * u.ms, dt=DT * u.ms, record=[pre.spikes, post.V], progress=False)
    times, ids = run.spikes(pre)
    spikes = np.zeros((300, 70))
    spikes[np.rint(times.to_decimal(u.ms) / DT).astype(int) - 1, ids] = 1
    assert spikes.sum() > 500
    V, replay = np.zeros(70), []
    for step in range(300):
        V = V * np.exp(-DT / 20)
        V = V + sum(w * spikes[step - k] for k, w in zip(delays, weights) if step >= k)
        replay.append(V)
    np.testing.assert_allclose(run.state(post.V).mantissa + 65, replay, rtol=0, atol=1e-10)  # 300 steps at up to 100 mV
