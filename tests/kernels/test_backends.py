"""Which backend serves: the automatic choice, requests by name and how far they reach, threads, export, life without numba."""

import functools
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from numba import njit
from oracles import assert_close
from tables import DRAWN, DTYPES, FORMATS, HERE, LISTED, MAIN, STORED, WALKED, build, needs_numba, needs_own_platform, thorough

import brainevent as be
from brainevent.backends.numba import stored as numba_stored
from brainevent.backends.numba.kernels.operands import span
from brainevent.connectivity import as_ids
from brainevent.core import spikes, table


def loss(A, w, x, y):
    """A scalar whose derivatives run every operation, in both directions."""
    A = A.with_data(w)
    return jnp.sum(jnp.sin(be.EventArray(x) @ A)) + jnp.sum(jnp.sin(A @ y))


def operands(case):
    return case.A.data, np.ones(MAIN[0], bool), np.ones(MAIN[1], case.A.dtype)


def calls_numba(function, *args):
    return "brainevent.backends.numba" in jax.jit(function).lower(*args).as_text()


@needs_numba
@pytest.mark.parametrize("name", [pytest.param(n, marks=thorough if n in LISTED and n != "CSR" else ()) for n in FORMATS])
def test_automatic_choice_and_its_reason(name):
    for dtype, backend in [("float32", "numba"), ("float64", "numba"), ("float16", "xla"), ("bfloat16", "xla")]:
        with jax.enable_x64(True):
            case = build(name, dtype=DTYPES[dtype])
            for operation in ("propagate", "correlate"):
                choice = be.explain(operation, case.A)
                assert (choice.backend, choice.dtype, choice.platform) == (backend, dtype, "cpu")
                reason = r"automatic choice(; (up to \d+ threads|one thread) \(.+\))?$"  # numba says how many threads it has, and why
                assert re.search(reason, choice.reason) and ("thread" in choice.reason) is (backend == "numba")
                assert str(choice).startswith(f"{operation} on {name}[{dtype}], cpu: backend '{backend}'")
                by_line = (name in DRAWN or backend == "numba") and name not in ("COO", "Dense")
                assert ("walks every synapse" in str(choice)) is (by_line and operation == "propagate")
                assert ("numba has no kernel for" in choice.reason) is (backend == "xla")
            if dtype != "float32":  # for which numba would compile what nothing else runs
                function = loss if name in DRAWN else jax.grad(loss, (1, 3))
                assert calls_numba(function, case.A, *operands(case)) is (backend == "numba")
    for platform in ("cuda", "rocm", "tpu"):
        assert be.explain("propagate", build(name, dtype=np.float32).A, platform=platform).backend == "xla"


@pytest.mark.parametrize("device", [lambda: "cpu", lambda: jax.devices("cpu")[0]], ids=["by name", "itself"])
def test_the_default_device_decides(device):
    """Also on a machine with a GPU: what a network updates in place has no platform of its own."""
    assert table.current_platform() == jax.default_backend().replace("gpu", "cuda")
    with jax.default_device(device()):
        assert table.current_platform() == "cpu"
        assert spikes.pack(jnp.ones(64, bool)).tolist() == [255] * 8


@needs_numba
@pytest.mark.parametrize("name", FORMATS)
def test_numba_by_name_is_served_or_refused(name):
    half = build(name, dtype=jnp.bfloat16).A.with_backend("numba")
    message = rf"propagate on {name} \(bfloat16 weights, cpu\): numba has no kernel for bfloat16 weights; leave the backend out .* 'xla'"
    with pytest.raises(be.BackendError, match=message):
        np.ones(MAIN[0], bool) @ half
    with pytest.raises(be.BackendError, match=message):
        be.explain("propagate", half)
    A = build(name, dtype=np.float32).A.with_backend("numba")
    assert "asked for by name (numba)" in be.explain("correlate", A).reason
    for platform in ("cuda", "rocm", "tpu"):
        for operation in ("propagate", "correlate"):
            with pytest.raises(be.BackendError, match=rf"{operation} on {name} .*numba has no {operation} kernel for {name} on {platform}"):
                be.explain(operation, A, platform=platform)
    with pytest.raises(be.BackendError, match="on cuda"):
        export.export(jax.jit(lambda x: x @ A), platforms=["cuda"])(np.ones(MAIN[0], bool))


@needs_numba
def test_a_request_reaches_compiled_functions():
    case, traces = build("CSR", dtype=np.float32), []

    @jax.jit
    def product(A, x):
        traces.append(1)
        return x @ A

    x = np.ones(MAIN[0], bool)
    runs = []
    for name in (None, "xla", None, "xla", "numba"):
        if name is None:
            runs.append((product(case.A, x), product.lower(case.A, x).as_text(), len(traces)))
            continue
        with be.backend(name):
            runs.append((product(case.A, x), product.lower(case.A, x).as_text(), len(traces)))
            assert be.explain("propagate", case.A).backend == name
    assert ["brainevent.backends.numba" in text for _, text, _ in runs] == [True, False, True, False, True]
    assert [count for _, _, count in runs] == [1, 2, 2, 2, 3]  # each request is traced once
    for y, _, _ in runs:
        assert_close(y, np.asarray(case.A.todense()).sum(0), np.float32, 8, 4)


@needs_numba
def test_who_wins():
    A, x = build("COO", dtype=np.float32).A, np.ones(MAIN[0], bool)

    def chosen(A):
        return be.explain("propagate", A).backend

    with be.backend("xla"):
        assert (
            chosen(A) == "xla" and chosen(A.with_backend("numba")) == "numba" and chosen(A.with_backend("xla").with_backend(None)) == "xla"
        )
        with be.backend("numba"):
            assert chosen(A) == "numba" and chosen(A.with_backend("xla")) == "xla"
        assert chosen(A) == "xla"
        assert calls_numba(lambda A: x @ A, A.with_backend("numba")) and not calls_numba(lambda A: x @ A, A)
        elsewhere = []
        thread = threading.Thread(target=lambda: elsewhere.append(chosen(A)))
        thread.start()
        thread.join()
        assert elsewhere == ["numba"]
    assert chosen(A) == "numba"
    with pytest.raises(KeyError), be.backend("xla"):
        raise KeyError
    assert chosen(A) == "numba"
    for derived in (A.T, A * 2, A.with_data(1.0), A.tocsr(), A.tocsc().T, abs(A), A + A, A.diag_add(1.0)):
        assert derived.backend is None
    B = A.with_backend("xla")
    for derived in (B.T, B * 2, B.with_data(1.0), B.tocsr(), B.tocsc().T, abs(B), B + B, B.diag_add(1.0), jax.jit(lambda B: B)(B)):
        assert derived.backend == "xla"


def test_unknown_names():
    A = build("CSR", dtype=np.float32).A
    with pytest.raises(ValueError, match=r"unknown backend 'XLA': expected one of \['numba', 'triton', 'xla'\]"), be.backend("XLA"):
        pass
    with pytest.raises(ValueError, match=r"unknown operation 'product': expected one of \('propagate', 'correlate'\)"):
        be.explain("product", A)
    with pytest.raises(ValueError, match=r"unknown platform 'gpu': expected one of \('cpu', 'cuda'"):
        be.explain("propagate", A, platform="gpu")


def bound_backends(jaxpr):
    """The backends that the primitives of a jaxpr were bound with, those in inner jaxprs too."""
    for eqn in jaxpr.eqns:
        if eqn.primitive.name in ("propagate", "correlate"):
            yield eqn.primitive.name, eqn.params["backend"]
        for value in eqn.params.values():
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                yield from bound_backends(inner)


@pytest.mark.parametrize("backend", HERE)
@pytest.mark.parametrize("name", FORMATS)
def test_derivatives_and_batching_keep_the_request(name, backend):
    case = build(name, dtype=np.float32)
    w, x, y = operands(case)

    def everything(A):
        of = functools.partial(loss, A)
        again = jax.grad(lambda w, y: jnp.sum(jax.grad(of, 2)(w, x, y) ** 2), (0, 1))
        each = jax.vmap(jax.grad(of, (0, 2)), (0, None, 0))(jnp.stack([w, w]), x, jnp.stack([y, y]))
        return jax.hessian(of, (0, 2))(w, x, y), again(w, y), each, A.dt2t(np.ones(MAIN[0])), A.dt2t_transposed(y)

    by_object = list(bound_backends(jax.make_jaxpr(lambda: everything(case.A.with_backend(backend)))().jaxpr))
    with be.backend(backend):
        by_block = list(bound_backends(jax.make_jaxpr(lambda: everything(case.A))().jaxpr))
    for bound in (by_object, by_block):
        assert {operation for operation, _ in bound} == {"propagate", "correlate"} and len(bound) > 10
        assert {asked for _, asked in bound} == {backend}


@needs_own_platform
@pytest.mark.parametrize("name", (*STORED, *WALKED))
def test_export_for_every_platform(name):
    """Every operation lowers for cpu, cuda and tpu from this machine."""
    case = build(name, dtype=np.float32, backend="xla")
    w, x, y = operands(case)
    function = jax.jit(
        lambda w, x, y: (be.EventArray(x) @ case.A.with_data(w), jax.value_and_grad(functools.partial(loss, case.A), (0, 2))(w, x, y))
    )
    exported = export.export(function, platforms=["cpu", "cuda", "tpu"])(w, x, y)
    assert set(exported.platforms) == {"cpu", "cuda", "tpu"}
    for a, b in zip(jax.tree.leaves(exported.call(w, x, y)), jax.tree.leaves(function(w, x, y))):
        assert_close(a, b, np.float32, 64, 10)


def wide_matrix(cls, dtype, n=150, m=2000, k=1000):
    """More synapses than one thread gets, lines long enough to split: ids ascend."""
    rng = np.random.default_rng(0)
    indices = np.sort(rng.integers(0, m, (n, k)), axis=1)
    w = rng.normal(size=n * k).astype(dtype)
    row, col = np.repeat(np.arange(n), k), indices.reshape(-1)
    matrix = np.zeros((n, m))
    np.add.at(matrix, (row, col), w.astype(np.float64))
    A = cls(w, col, np.arange(n + 1) * k, shape=(n, m)) if cls is be.CSR else cls(w.reshape(n, k), indices, shape=(n, m))
    assert A.ordered
    return A.with_backend("numba"), matrix


@needs_numba
@pytest.mark.parametrize("cls, dtype", [(be.CSR, np.float32), pytest.param(be.FixedPostNumConn, np.float64, marks=thorough)])
def test_threads_do_not_change_a_bit(cls, dtype, monkeypatch):
    with jax.enable_x64(dtype == np.float64):
        A, matrix = wide_matrix(cls, dtype)
        rng = np.random.default_rng(1)
        x, y = rng.random(A.shape[0]) < 0.9, rng.random(A.shape[1]) < 0.5
        products = {"scatter": lambda A: be.EventArray(x) @ A, "gather": lambda A: A @ be.EventArray(y)}
        products |= {"mirror scatter": lambda A: A.T @ be.EventArray(x), "mirror gather": lambda A: be.EventArray(y) @ A.T}
        for name, product in products.items():
            results = []
            for n_threads in (1, 2, 3):
                monkeypatch.setattr(numba_stored, "threads", lambda n=n_threads: (n, "patched"))
                fresh = jax.jit(lambda A, product=product: product(A))
                assert ("_threaded" in fresh.lower(A).as_text()) is (n_threads > 1), name
                results.append(np.asarray(fresh(A)))
            want = x @ matrix if "scatter" in name else matrix @ y
            assert_close(results[0], want, dtype, 1000, 4, name)
            for other in results[1:]:
                assert np.array_equal(results[0], other), name
        assert not jax.jit(lambda A: x @ A).lower(A.replace(ordered=False)).as_text().count("scatter_threaded")  # cannot be split by target


@needs_numba
def test_index_arithmetic_is_64_bits_wide():
    """Lines times their length passes 2^31 long before memory ends."""
    limits = njit(lambda structure, i: span(structure, i))
    ids = np.zeros(1, np.int32)
    for i in (2**12, np.int32(2**12)):
        assert limits((np.array([2**20], np.uint32), ids), i) == (2**32, 2**32 + 2**20)
    pointer = np.array([0, 2**31, 2**33], np.int64)
    assert limits((pointer, ids), 1) == (2**31, 2**33)
    with jax.enable_x64(True):
        assert as_ids(pointer, "indptr", "CSR").dtype == jnp.int64
        A = be.COO(1.0, [2**31], [0], shape=(2**32, 1))
        assert int(A.row[0]) == 2**31 and int(A.T.col[0]) == 2**31 and A.toscipy().coords[0][0] == 2**31
    assert as_ids(pointer[:1], "indptr", "CSR").dtype == jnp.int32
    with pytest.raises(ValueError, match="indptr holds 8589934592, beyond 32 bits: set jax_enable_x64"):
        as_ids(pointer, "indptr", "CSR")
    many = be.FixedPostNumConn(1.0, np.zeros((2, 2), int), shape=(2, 3)).replace(
        indices=jax.ShapeDtypeStruct((2**20, 2**12), np.int32), shape=(2**20, 3)
    )
    assert many.nse == 2**32 and repr(many).endswith("nse=4294967296, one weight)")


WITHOUT_NUMBA = """
import sys
sys.path.insert(0, sys.argv[1])
import jax, jax.numpy as jnp, numpy as np
import brainevent as be
from oracles import assert_close
from tables import MAIN, build

jax.config.update("jax_enable_x64", True)
x, y = np.array([1., 0, 0, 2, 3]), np.arange(7.0)
for name in sys.argv[2:]:
    case = build(name)
    w = np.asarray(case.A.data).reshape(-1)
    matrix = case.matrix(w)

    @jax.jit
    def run(A, x, y):
        grad = jax.grad(lambda w: jnp.vdot(y, be.EventArray(x) @ A.with_data(w)))(A.data)
        return be.EventArray(x) @ A, A @ y, grad.reshape(-1), jax.vmap(lambda x: x @ A)(jnp.stack([x, x]))

    wants = (x != 0) @ matrix, matrix @ y, case.pulled_back((x[case.row] != 0) * y[case.col]), np.stack([x @ matrix] * 2)
    for got, want in zip(run(case.A, x, y), wants):
        assert_close(got, want, np.float64, 35, 30, name)
    choice = be.explain("propagate", case.A)
    assert choice.backend == "xla" and "numba cannot be imported" in choice.reason and "xla has a kernel" in choice.reason, choice
    assert "no numba" in choice.reason or "numba raised OSError: libLLVM.so: cannot open" in choice.reason, choice
    try:
        np.ones(5, bool) @ case.A.with_backend("numba")
    except be.BackendError as error:
        assert "numba cannot be imported" in str(error), error
    else:
        raise AssertionError("numba was asked for by name and is not there")
print("served", *sys.argv[2:])
"""


@needs_numba
@pytest.mark.parametrize(
    "line, formats",
    [
        pytest.param("raise ImportError('no numba')", FORMATS, marks=pytest.mark.thorough),
        ("raise OSError('libLLVM.so: cannot open shared object file')", ["CSR"]),
    ],
)
def test_without_numba(tmp_path, line, formats):
    """Missing, or there and broken: xla serves, and says why."""
    (tmp_path / "numba.py").write_text(line)
    tests = Path(__file__).parents[1]
    command = [sys.executable, "-W", "error", "-c", WITHOUT_NUMBA, str(tests), *formats]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.stdout.split() == ["served", *formats], done.stderr
