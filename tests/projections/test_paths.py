"""Every path of a delivery gives the sums of the dense oracle; which one runs, and that it is counted."""

import dataclasses

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tables
from oracles import assert_close

import brainevent as be
from brainevent.core import path_choice, updates
from brainevent.core.path_choice import TAKEN
from brainevent.core.table import BackendError
from brainevent.projections import LIF, Delta, FixedProb, Network, Projection

pytestmark = pytest.mark.usefixtures("x64")
SHAPE, NSE = (40, 30), 240
WINDOW = (3, 43, 2, 32)  # of 48 pre and 37 post neurons
BY_ROW = ("CSR", "FixedPostNumConn")
ACTIVITIES = {"none": 0, "one": 1, "few": 4, "half": 20, "all": 40}
# Which path of `path_choice.TAKEN` is counted when it is asked for by name; None where that is refused.
BY_SOURCE = {name: "event" for name in tables.DRAWN if name.endswith("R")}  # just-in-time formats have one path, that of their lines
BY_TARGET = {name: "gather" for name in tables.DRAWN if name.endswith("C")}
COUNTED = {
    ("numba", "event"): {"CSR": "event", "FixedPostNumConn": "event", "Dense": "event"} | BY_SOURCE,
    ("numba", "dense"): dict.fromkeys(tables.STORED, "gather") | {"Dense": "dense"} | BY_TARGET,
    ("triton", "event"): dict.fromkeys(BY_ROW, "event") | BY_SOURCE,
    ("triton", "dense"): dict.fromkeys(tables.STORED, "gather") | {"Dense": "dense"} | BY_TARGET,
    ("triton", "auto"): dict.fromkeys(tables.STORED, "gather")
    | {"Dense": "dense"}
    | dict.fromkeys(BY_ROW, "event")
    | BY_SOURCE
    | BY_TARGET,
    ("xla", "event"): BY_SOURCE,
    ("xla", "dense"): dict.fromkeys(tables.STORED, "gather") | {"Dense": "dense"} | BY_TARGET,
    ("xla", "auto"): dict.fromkeys(tables.STORED, "gather") | {"Dense": "dense"} | BY_SOURCE | BY_TARGET,
}
CASES = [  # weights, decay, dtype
    ("each", "array", np.float64),
    ("each", "scalar", np.float64),
    ("one", None, np.float64),
    ("one", "array", np.float64),
    ("each", "scalar", np.float32),
]
# a walk takes seconds to compile: just-in-time formats have the first case and the last, and so has what XLA does to all formats alike
ROWS = [
    (name, *case, backend)
    for name, backend in tables.FORMAT_BACKENDS
    for case in (CASES[:1] + CASES[-1:] if name in tables.DRAWN or backend == "xla" else CASES)
]
HALF = path_choice.Costs((1.0,) * 3, gather=(0.5,) * 3, row=1.0, product=0.5)  # the paths change places where half of the work is due


@pytest.fixture
def half_costs(monkeypatch):
    from brainevent.backends.numba import deposit as numba_deposit

    for module in (path_choice, numba_deposit):
        monkeypatch.setattr(module, "COSTS", HALF)


def case_of(name, weights, dtype, backend):
    case = tables.build(name, SHAPE, nse=NSE, dtype=dtype, backend=backend)
    if weights == "one" and name in tables.HOMOGENEOUS:
        return dataclasses.replace(case, A=case.A.with_data(jnp.asarray(0.7, dtype)))
    return case


def spikes_with(n):
    """48 bools, n of them within the window, and all outside of it."""
    spikes = np.ones(48, bool)
    spikes[3:43] = np.random.default_rng(n).permutation(40) < n
    return spikes


def mirror_of(A, path):
    return A.by_target(path)


def counted(name, backend, path, A, spikes):
    """The path that a delivery is to take; under "auto" by the costs of `half_costs`."""
    if (backend, path) in COUNTED:
        return COUNTED[backend, path][name]
    if name in tables.DRAWN:
        return (BY_SOURCE | BY_TARGET)[name]
    if name in BY_ROW:
        work = np.bincount(np.asarray(A.coordinates()[0]), minlength=40)[spikes[3:43]].sum()
        return "event" if work <= 0.5 * A.nse else "gather"
    if name == "Dense":
        return "event" if spikes[3:43].sum() <= 20 else "dense"
    return "gather"


@pytest.mark.parametrize("name, weights, decay, dtype, backend", ROWS, ids=lambda v: getattr(v, "__name__", str(v)))
def test_every_path_gives_the_dense_sums(name, weights, decay, dtype, backend, half_costs):
    A = case_of(name, weights, dtype, backend).A
    dense = np.asarray(A.todense(), np.float64)
    rng = np.random.default_rng(1)
    target = rng.normal(size=37).astype(dtype)
    factor = {None: None, "scalar": 0.9, "array": rng.random(37)}[decay]
    for path in path_choice.PATHS:
        if path != "auto" and name not in COUNTED[backend, path]:
            continue
        mirror = mirror_of(A, path)

        @jax.jit
        def deposit(target, counts, A, mirror, spikes, path=path):
            return updates.deposit(target, counts, A, mirror, spikes, decay=factor, window=WINDOW, path=path)

        for active, n in ACTIVITIES.items():
            spikes = spikes_with(n)
            wanted = target * (1.0 if factor is None else factor).astype(dtype) if decay == "array" else target * dtype(factor or 1)
            wanted = wanted.astype(np.float64)
            wanted[2:32] += spikes[3:43] @ dense
            got, counts = deposit(jnp.asarray(target), jnp.zeros(3, jnp.int32), A, mirror, jnp.asarray(spikes))
            scale = max(1.0, np.abs(dense).sum(0).max())
            assert_close(got, wanted.astype(dtype), dtype, 40, scale, f"{path}, {active}")
            assert [TAKEN[i] for i in np.flatnonzero(np.asarray(counts))] == [counted(name, backend, path, A, spikes)], (
                path,
                active,
            )
            assert counts.sum() == 1


@pytest.mark.parametrize("name", tables.FORMATS)
@pytest.mark.parametrize("backend", tables.HERE)
def test_a_path_that_cannot_run_is_refused(name, backend):
    A = case_of(name, "each", np.float64, backend).A
    for path in ("event", "dense"):
        if name not in COUNTED[backend, path]:
            with pytest.raises(BackendError, match=rf'path="{path}" on .*(xla|grouped by target|no order|only path).*path="auto"'):
                updates.deposit(jnp.zeros(37), jnp.zeros(3, jnp.int32), A, None, jnp.zeros(48, bool), window=WINDOW, path=path)


@pytest.mark.parametrize("backend", tables.HERE)
@pytest.mark.parametrize("name", ["CSR", "CSC", "Dense"])
def test_derivative_of_a_delivery(name, backend):
    """Linear in the target and in the weights: jvp and gradient against the dense product."""
    case = case_of(name, "each", np.float64, backend)
    A, spikes = case.A, spikes_with(20)
    rng = np.random.default_rng(2)
    target, dt, dw, ct = rng.normal(size=37), rng.normal(size=37), rng.normal(size=A.data.shape), rng.normal(size=37)

    def deposit(target, w):
        B = A.with_data(w)
        return updates.deposit(target, jnp.zeros(3, jnp.int32), B, None, jnp.asarray(spikes), decay=0.8, window=WINDOW, path="auto")[0]

    value, tangent = jax.jvp(deposit, (jnp.asarray(target), A.data), (jnp.asarray(dt), jnp.asarray(dw)))
    padded = [np.pad(spikes[3:43] @ np.asarray(M), (2, 5)) for M in (A.todense(), A.with_data(jnp.asarray(dw)).todense())]
    assert_close(value, 0.8 * target + padded[0], np.float64, 40, 30.0)
    assert_close(tangent, 0.8 * dt + padded[1], np.float64, 40, 30.0)
    to_target, to_w = jax.grad(lambda t, w: jnp.vdot(ct, deposit(t, w)), (0, 1))(jnp.asarray(target), A.data)
    assert_close(to_target, 0.8 * ct, np.float64, 4)
    row, col = (np.asarray(ids) for ids in A.coordinates())
    assert_close(to_w, (spikes[3:43][row] * ct[2:32][col]).reshape(A.data.shape), np.float64, 4)


@tables.needs_numba
@pytest.mark.parametrize("active", [1.0, 0.9, 0.01])
@pytest.mark.parametrize("name", ["CSR", pytest.param("FixedPostNumConn", marks=tables.thorough)])
def test_threads_give_the_same_bits(name, active, monkeypatch):
    """200,000 synapses in order: split by targets, each target sums in the order of one thread."""
    import numba

    from brainevent.backends.numba import deposit as numba_deposit
    from brainevent.backends.numba.bridge.ffi import threads
    from brainevent.backends.numba.kernels import compressed as numba_compressed

    if threads()[0] == 1:
        pytest.skip(threads()[1])
    rng = np.random.default_rng(0)
    ids = np.sort(rng.integers(0, 1000, (100, 2000)))
    w = jnp.asarray(rng.normal(size=ids.shape), jnp.float32)
    A = (
        be.FixedPostNumConn(w, ids, shape=(100, 1000))
        if name != "CSR"
        else be.CSR(w.ravel(), ids.ravel(), np.arange(101) * 2000, shape=(100, 1000))
    )
    assert A.ordered
    spikes, target = jnp.asarray(rng.random(100) < active), jnp.asarray(rng.normal(size=1000), jnp.float32)
    worth = numba_compressed.worth_splitting
    worth_splitting = numba.njit(lambda work, lines, least, target: worth(work, lines, least, target))  # machine code alone calls it
    split = worth_splitting(int(spikes.sum()) * 2000, int(spikes.sum()), numba_deposit.THREADED_WORK, np.zeros(1000, np.float32))
    assert split == (active > 0.5)
    results = []
    for n in (1, 2, 3, 7):
        monkeypatch.setattr(numba_deposit, "threads", lambda n=n: (n, "test"))
        out = updates.deposit(target, jnp.zeros(3, jnp.int32), A, None, spikes, decay=0.9, window=(0, 100, 0, 1000), path="event")
        results.append(np.asarray(out[0]))
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)


def run_of(path="auto", format="csr", backend=None, weight=0.1):
    """All of 40 neurons spike in step 0, none in the nine steps that follow."""
    pre, post = LIF(40, V_init=-40 * u.mV, name="pre"), LIF(30, name="post")
    projection = Projection(pre, FixedProb(0.3, weight=weight * u.mV, format=format), Delta(), post, path=path)
    net = Network(projection, seed=1)
    net.run(1 * u.ms, dt=0.1 * u.ms, progress=False, backend=backend)
    return net, projection, post.V.value.to_decimal(u.mV)


STEPS = [
    ("auto", "csr", "auto: event 9 steps, gather 1 steps"),
    ("auto", "dense", "auto: event 9 steps, dense 1 steps"),
    ("auto", "csc", "auto: gather 10 steps"),
    ("auto", "coo", "auto: gather 10 steps"),
    ("event", "csr", "event: event 10 steps"),
    ("dense", "csr", "dense: gather 10 steps"),
    ("event", "dense", "event: event 10 steps"),
    ("dense", "dense", "dense: dense 10 steps"),
]


@tables.needs_numba
@pytest.mark.parametrize("path, format, report", STEPS)
def test_paths_of_a_network_are_reported(path, format, report, half_costs):
    net, projection, V = run_of(path, format)
    assert f"path {report}\n" in projection.explain()
    assert report in net.summary()
    np.testing.assert_allclose(V, run_of("auto", "csr", "xla")[2], rtol=1e-13)
    net.reset()
    assert f"{path}: no step yet" in net.summary()


def test_the_measured_costs_choose_by_the_size_of_the_target():
    """Only targets of the middle size, where gathering can win by more than 15 %, keep a mirror by themselves, up to a size."""
    near, middle, far = (be.CSR(jnp.ones(()), np.zeros(10, int), np.array([0, 10]), shape=(1, n)) for n in (10, 100_000, 10_000_000))
    for matrix, wanted in ((near, False), (middle, True), (far, False)):
        assert (matrix.by_target("auto") is not None) == wanted
        assert matrix.by_target("dense") is not None and matrix.by_target("event") is None
    assert middle.T.by_target("auto") is None and be.Dense(jnp.ones((2, 2))).by_target("dense") is None


def test_event_on_xla_is_refused_by_a_network():
    with pytest.raises(BackendError, match=r'path="event".*CSR.*xla.*path="auto"'):
        run_of("event", "csr", "xla")
