"""Many deliveries together: the same, bit for bit, as one after another, on one thread and on several; jobs of native code."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tables import needs_numba

import brainevent as be
from brainevent import CSR, FixedPostNumConn
from brainevent.core.deliveries import Delivery, Drawn, add_drawn, deliver
from brainevent.core.spikes import as_list
from brainevent.core.updates import Delays
from brainevent.projections.inputs import poisson_table

N_PRE, SIZES, DEGREE = 60, (40, 70, 40, 30, 55), 8


def matrix(rng, m, dtype, scalar):
    """CSR with DEGREE synapses a row, in random order."""
    indices = np.concatenate([rng.permutation(m)[:DEGREE] for _ in range(N_PRE)]).astype(np.int32)
    indptr = np.arange(0, N_PRE * DEGREE + 1, DEGREE, dtype=np.int32)
    data = np.asarray(0.7, dtype) if scalar else rng.normal(size=indices.size).astype(dtype)
    return CSR((data, indices, indptr), shape=(N_PRE, m))


def deliveries(dtype, *, later, scalar=False, mirrored=False):
    """`(targets, deliveries)`: eleven, onto five targets, of listed spikes."""
    rng, made = np.random.default_rng(3), []
    for k in range(11):
        t = int(rng.integers(5)) if k > 4 else k
        start = int(rng.integers(0, SIZES[t] // 2))
        A = matrix(rng, SIZES[t] - start, dtype, scalar)
        spikes = as_list(jnp.asarray(rng.random(N_PRE + 5) < 0.3))[0]
        beside = {}
        if later:
            steps = np.sort(rng.integers(0, 6, (N_PRE, DEGREE)), axis=1).reshape(-1).astype(np.uint8)
            tally = np.concatenate([[0], np.cumsum(np.bincount(steps, minlength=6))]).astype(np.int32)
            beside = {"delays": Delays(jnp.asarray(steps), jnp.asarray(tally)), "place": jnp.int32(11)}
        elif mirrored:
            beside = {"mirror": A.by_target("auto")}
        made.append(Delivery(t, (3, 3 + N_PRE, start, SIZES[t]), jnp.zeros(3, jnp.int32), A, spikes, **beside))
    shapes = [(8, n) if later else (n,) for n in SIZES]
    return [jnp.asarray(rng.normal(size=shape), dtype) for shape in shapes], made


def one_by_one(targets, made):
    targets, counts = list(targets), []
    for one in made:
        targets[one.target], count = one.alone(targets[one.target])
        counts.append(count)
    return targets, counts


def assert_equal(got, want):
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_array_equal(a, b)


@needs_numba
@pytest.mark.parametrize("threaded", [False, True])
@pytest.mark.parametrize(
    "options", [{"later": True}, {"later": False}, {"later": False, "scalar": True}, {"later": False, "mirrored": True}]
)
def test_together_is_one_after_another(options, threaded, monkeypatch):
    from brainevent.backends.numba import deposit as backend

    if threaded:
        monkeypatch.setattr(backend, "SHARED_WORK", 1)
        monkeypatch.setattr(backend, "_may_split", lambda A: False)
        monkeypatch.setattr(backend, "THREADED_WORK", 1)
    targets, made = deliveries(np.float32, **options)
    calls = jax.jit(deliver).lower(targets, made).as_text().count("custom_call")
    assert calls == 1
    assert_equal(jax.jit(deliver)(targets, made), jax.jit(one_by_one)(targets, made))


@needs_numba
def test_kinds_are_kept_apart_and_in_order():
    """Scalar weights beside one each, another format, another backend, floats for spikes: as many calls as there are changes of kind."""
    targets, made = deliveries(np.float32, later=False)
    rng = np.random.default_rng(0)
    other = FixedPostNumConn((jnp.float32(0.2), rng.integers(0, SIZES[2], (N_PRE, 4)).astype(np.int32)), shape=(N_PRE, SIZES[2]))
    window, none, spikes = (3, 3 + N_PRE, 0, SIZES[2]), jnp.zeros(3, jnp.int32), made[0].spikes
    floats = jnp.where(spikes.spikes, 1.5, 0.0).astype(np.float32)
    more = [
        Delivery(2, window, none, A, x) for A, x in ((other, spikes), (other.with_backend("xla"), spikes), (other, floats), (other, spikes))
    ]
    order = [*made[:4], more[0], *made[4:6], *more[1:], *made[6:]]
    assert_equal(jax.jit(deliver)(targets, order), jax.jit(one_by_one)(targets, order))
    dense = list(map(np.array, targets))
    for one in order:
        x = np.asarray(one.spikes if one.spikes is floats else one.spikes.spikes)[3 : 3 + N_PRE]
        dense[one.target][one.window[2] :] += x @ np.asarray(one.A.todense())
    for got, want in zip(deliver(targets, order)[0], dense):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_derivatives_and_batches():
    """Forwards and backwards, to the targets and to the weights; vmap."""
    targets, made = deliveries(np.float32, later=True)
    weights = [one.A.data for one in made]

    def loss(run, targets, weights):
        after = run(targets, [Delivery(**{**vars(one), "A": one.A.with_data(w)}) for one, w in zip(made, weights)])[0]
        return sum((target**2).sum() for target in after)

    def plain(targets, made):
        targets = list(targets)
        for one in made:
            targets[one.target] = one.plainly(targets[one.target])
        return targets, None

    backwards = [jax.tree.leaves(jax.grad(functools.partial(loss, run), argnums=(0, 1))(targets, weights)) for run in (deliver, plain)]
    for got, want in zip(*backwards):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
    tangents = jax.tree.map(jnp.ones_like, (targets, weights))
    forward = [jax.jvp(functools.partial(loss, run), (targets, weights), tangents)[1] for run in (deliver, plain)]
    np.testing.assert_allclose(*forward, rtol=1e-4)
    many = [jnp.stack([target, 2 * target]) for target in targets]
    batched = jax.vmap(lambda targets: deliver(targets, made)[0])(many)
    for k in range(2):
        assert_equal([target[k] for target in batched], deliver([target[k] for target in many], made)[0])


@pytest.mark.parametrize("threaded", [False, True])
def test_random_events_together(threaded, monkeypatch):
    if threaded:
        monkeypatch.setattr(pytest.importorskip("brainevent.backends.numba.network"), "SHARED_NUMBERS", 1)
    rng, drawn = np.random.default_rng(0), []
    for k, (mean, rows) in enumerate([(1.3, False), (0.0, False), (40.0, False), ((0.5, 2.0), True), (2.3, False), ((0.1, 3.0), True)]):
        start = 7 * (k % 2)
        which = rng.integers(0, 2, SIZES[k % 5] - start).astype(np.int32) if rows else None
        drawn.append(Drawn(k % 5, (start, SIZES[k % 5]), 0.5 + k, poisson_table(np.reshape(mean, (-1, 1))), which, jax.random.key(k)))
    targets = [jnp.asarray(rng.normal(size=n), np.float32) for n in SIZES]
    got = jax.jit(lambda targets: add_drawn(targets, drawn))(targets)
    with be.backend("xla"):
        want = add_drawn(targets, drawn)
    for a, b in zip(got, want):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-5)  # XLA may multiply and add in one rounding
    np.testing.assert_array_equal(jax.grad(lambda x: add_drawn([x, *targets[1:]], drawn)[0].sum())(targets[0]), np.ones(SIZES[0]))


@needs_numba
def test_what_goes_wrong_in_a_job_is_said(monkeypatch):
    from brainevent.backends.numba import deposit as backend

    targets, made = deliveries(np.float32, later=True)
    bad = made[7].A.replace(indices=made[7].A.indices.at[100].set(200))
    made[7] = Delivery(**{**vars(made[7]), "A": bad, "spikes": as_list(jnp.ones(N_PRE + 5, bool))[0]})
    for least in (10**9, 1):
        monkeypatch.setattr(backend, "SHARED_WORK", least)
        monkeypatch.setattr(backend, "THREADED_WORK", least)
        with pytest.raises(
            (jax.errors.JaxRuntimeError, ValueError), match=r"enqueue failed \(status 1\): an index of the structure is out of range"
        ):
            jax.block_until_ready(jax.jit(deliver)(targets, made))


@needs_numba
def test_threads_of_many_calls_do_not_disturb_one_another(monkeypatch):
    """Four programs at once, 100 steps each, on threads that come late: every sum as on one thread."""
    import threading

    from brainevent.backends.numba import deposit as backend

    targets, made = deliveries(np.float32, later=True)

    def steps(targets):
        return jax.lax.fori_loop(0, 100, lambda _, targets: deliver(targets, made)[0], targets)

    want = jax.jit(steps)(targets)
    monkeypatch.setattr(backend, "SHARED_WORK", 1)
    monkeypatch.setattr(backend, "THREADED_WORK", 1)
    monkeypatch.setattr(backend, "_may_split", lambda A: False)
    run, found = jax.jit(lambda targets: steps(targets)), []
    jax.block_until_ready(run(targets))
    workers = [threading.Thread(target=lambda: found.append(jax.block_until_ready(run(targets)))) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(found) == 4
    for got in found:
        assert_equal(got, want)
