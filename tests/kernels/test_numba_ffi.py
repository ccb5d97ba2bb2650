"""Numba kernels as XLA FFI handlers: structure and dtypes of operands, failures, registration, cost, threads."""

import re
import sys
import threading
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numba
import numpy as np
import pytest
from jax import ShapeDtypeStruct as Struct
from numba import njit, prange
from numba.core.errors import TypingError
from tables import needs_numba

from brainevent.backends.numba.bridge import abi, ffi
from brainevent.backends.numba.bridge.intrinsics import count_trailing_zeros, load_word, lowest_set_byte

DTYPES = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64")
f32 = jnp.float32
RUNTIME_ERRORS = (jax.errors.JaxRuntimeError, ValueError)  # JAX raises the second when it has run the program before it returns


pytestmark = needs_numba


def copy_all(operands, *outs):
    """Copy a heterogeneous tuple of matrices; one loop, since numba compiles a slice assignment in a second each."""
    (b, i1, i2, i4, i8, u1, u2, u4, u8, f4, f8) = operands
    (ob, oi1, oi2, oi4, oi8, ou1, ou2, ou4, ou8, of4, of8) = outs
    for i in range(b.shape[0]):
        for j in range(b.shape[1]):
            ob[i, j], oi1[i, j], oi2[i, j], oi4[i, j], oi8[i, j] = b[i, j], i1[i, j], i2[i, j], i4[i, j], i8[i, j]
            ou1[i, j], ou2[i, j], ou4[i, j], ou8[i, j] = u1[i, j], u2[i, j], u4[i, j], u8[i, j]
            of4[i, j], of8[i, j] = f4[i, j], f8[i, j]
    return 0


def weighted(x, weight, structure, scale, out):
    """Sum over rows of a compressed matrix; every kind of operand: array, None or array, nested tuple, scalar."""
    (indptr, (indices, _)), empty = structure
    out[:] = len(empty)
    for i in range(x.shape[0]):
        for k in range(indptr[i], indptr[i + 1]):
            if not 0 <= indices[k] < out.shape[0]:
                return 1
            out[indices[k]] += scale[0] * x[i] * (1 if weight is None else weight[k])
    return 0


def status(code, out):
    out[0] = code[0]
    if code[0] == 99:
        raise ValueError("no way")
    return code[0]


def bump(buffer, i, out):
    out[i[0]] += 1 + 0 * buffer[i[0]]
    return 0


def empty(x, out):
    return 0


def no_status(x, out):
    out[0] = x[0]


def optional(x, out, more=1):
    return 0


@njit(parallel=True, nogil=True, error_model="numpy")
def parallel_double(x, out):
    for i in prange(x.shape[0]):
        out[i] = 2 * x[i]
    return 0


@njit
def scan_word(array, i):
    word = load_word(array, i)
    return word, count_trailing_zeros(word), lowest_set_byte(word)


def run(kernel, out, *operands, **options):
    return jax.block_until_ready(ffi.call(kernel, out, *operands, **options))


@pytest.mark.parametrize("shape", [(3, 2), (0, 4), (2, 0), (1, 1)])
def test_every_dtype_arrives_and_returns(shape):
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        arrays = tuple(jnp.asarray(rng.integers(0, 2 if d == "bool" else 100, shape), d) for d in DTYPES)
        outs = [Struct(shape, d) for d in DTYPES]
        eager = run(copy_all, outs, arrays)
        jitted = jax.jit(lambda *arrays: ffi.call(copy_all, outs, arrays))(*arrays)
    assert isinstance(eager, list)
    for want, *got in zip(arrays, eager, jitted):
        for array in got:
            assert array.dtype == want.dtype and np.array_equal(array, want)


@pytest.mark.parametrize("dtype, served", [*((d, True) for d in DTYPES), ("float16", True), (jnp.bfloat16, False), ("complex64", False)])
def test_serves(dtype, served):
    assert ffi.serves(dtype) is served


@pytest.mark.parametrize("weight", [None, np.array([1.0, 2.0, 3.0])])  # float64: JAX makes it float32
def test_structure_is_kept(weight):
    x, scale = jnp.array([1.0, 10.0]), jnp.float32(2)
    structure = ((np.array([0, 2, 3]), (np.array([0, 1, 1]), None)), ())
    w = np.ones(3) if weight is None else weight
    want = np.array([2 * w[0], 2 * w[1] + 20 * w[2]])
    got = run(weighted, (Struct((2,), f32),), x, weight, structure, scale)
    assert isinstance(got, tuple) and np.array_equal(got[0], want)
    looped = jax.jit(
        lambda x: jax.lax.scan(lambda c, s: (c, ffi.call(weighted, Struct((2,), f32), c, weight, structure, s)), x, scale * jnp.arange(3))[
            1
        ]
    )
    assert np.array_equal(looped(x), np.outer(np.arange(3), want))


@pytest.mark.parametrize(
    "operand, error", [(1.0, "array, None, or a tuple"), ([1], "array, None, or a tuple"), (jnp.ones(2, jnp.bfloat16), "bfloat16")]
)
def test_refused_operands(operand, error):
    with pytest.raises(TypeError, match=f"test_numba_ffi.empty.*{error}"):
        ffi.call(empty, Struct((1,), f32), operand)


@pytest.mark.parametrize("code, text", [
    (1, "status 1.: an index of the structure is out of range"), (2, "status 2.: indptr is not monotone"),
    (3, "status 3.: of a hundred% sort"),
    (-7, "status -7.: unknown"), (1234, "status 1234.: unknown"), (99, "the kernel raised an exception"),
])  # fmt: skip
def test_a_failure_names_the_kernel_and_the_reason(code, text, monkeypatch):
    monkeypatch.setitem(ffi.FAILURES, 3, "of a hundred% sort")
    assert run(status, Struct((1,), "int32"), jnp.int32(0)) == 0
    for call in (run, jax.jit(run, static_argnums=(0, 1))):
        with pytest.raises(RUNTIME_ERRORS, match=rf"test_numba_ffi.status failed .*{text}"):
            jax.block_until_ready(call(status, Struct((1,), "int32"), jnp.int32(code)))
    assert run(status, Struct((1,), "int32"), jnp.int32(0)) == 0


@pytest.mark.parametrize("operands, out", [
    ((jnp.ones(2),), Struct((1, 1), f32)), ((jnp.ones(2, int),), Struct((1,), f32)), ((jnp.ones(2),) * 2, Struct((1,), f32)),
    ((), Struct((1,), f32)), ((jnp.ones(2),), (Struct((1,), f32),) * 2), ((jnp.float32(1),), Struct((1,), f32)),
])  # fmt: skip
def test_buffers_other_than_compiled_for_are_an_error(operands, out):
    target = ffi._target(empty, ("float32:1",), ("float32:1",))
    with pytest.raises(RUNTIME_ERRORS, match="not of the number, data types and ranks"):
        jax.block_until_ready(jax.ffi.ffi_call(target, out)(*operands))


@pytest.mark.parametrize("kernel, text", [(no_status, "no_status must return an int"), (optional, "optional has parameters that")])
def test_kernels_that_do_not_compile(kernel, text):
    with pytest.raises(TypingError, match=text) as raised:
        ffi.call(kernel, Struct((1,), f32), jnp.ones(1))
    assert "while compiling test_numba_ffi" in raised.value.__notes__[0]


def test_numba_missing_or_switched_off(monkeypatch):
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    with pytest.raises(RuntimeError, match="NUMBA_DISABLE_JIT is set"):
        ffi._numba.__wrapped__()
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(ImportError, match="needs numba: `pip install numba`"):
        ffi._numba.__wrapped__()


def test_alias_shares_memory():
    start, i = jnp.arange(5.0), jnp.int32(3)
    got = jax.jit(lambda b, i: ffi.call(bump, Struct((5,), f32), b, (None, i)[1], aliases={0: 0}))(start, i)
    assert np.array_equal(got, [0, 1, 2, 4, 4]) and np.array_equal(start, np.arange(5))


def test_one_registration_a_signature(monkeypatch):
    names, register = [], jax.ffi.register_ffi_target
    monkeypatch.setattr(jax.ffi, "register_ffi_target", lambda name, *a, **k: (names.append(name), register(name, *a, **k)))

    def made(add):
        def kernel(x, out):
            out[0] = x[0] + add
            return 0

        return kernel

    kernels = [made(1), made(2)]  # one name, two kernels
    for _ in range(500):
        for kernel in kernels:
            got = ffi.call(kernel, Struct((1,), f32), jnp.zeros(1))
    assert [float(run(kernel, Struct((1,), f32), jnp.zeros(1))[0]) for kernel in kernels] == [1, 2]
    assert float(got[0]) == 2 and len(names) == len(set(names)) == 2
    threads = [threading.Thread(target=ffi.call, args=(kernels[0], Struct((1,), f32), jnp.zeros(1, int))) for _ in range(4)]
    [t.start() for t in threads], [t.join() for t in threads]
    assert len(names) == 3


def test_a_call_costs_no_python():
    loop = jax.jit(lambda x: jax.lax.fori_loop(0, 100_000, lambda i, x: ffi.call(empty, Struct((1,), f32), x), x))
    times = []
    for _ in range(4):
        start = time.perf_counter()
        jax.block_until_ready(loop(jnp.ones(1)))
        times.append((time.perf_counter() - start) / 100_000)
    assert min(times) < 3e-6  # 0.2 us here; a callback into Python takes 16 us or more


def test_parallel_kernels_run_from_two_handlers_at_once():
    count, why = ffi.threads()
    assert count >= 1 and (why in ("omp", "tbb") or count == 1)
    x = jnp.arange(50_000.0)
    many = jax.jit(lambda x: [ffi.call(parallel_double, Struct(x.shape, f32), x + i) for i in range(6)])
    for _ in range(20):
        for i, got in enumerate(many(x)):
            assert np.array_equal(got, 2 * (np.asarray(x) + np.float32(i)))


@pytest.mark.parametrize("offset", [0, 3])
def test_load_word(offset):
    data = np.zeros(32, np.uint8)
    data[offset + 8 : offset + 16] = [0, 0, 0, 1, 0, 255, 0, 128]
    word, zeros, byte = scan_word(data[offset:], 1)
    assert np.array_equal(np.array([word], "<u8").view(np.uint8), data[offset + 8 : offset + 16])
    assert (zeros, byte) == (24, 3)
    assert scan_word(data.view(bool)[offset:], 1)[1:] == (24, 3)
    assert scan_word(data[offset:], 0) == (0, 64, 8)
    with pytest.raises(TypingError, match="load_word reads"):
        scan_word(data[::2], 0)


def test_the_layout_of_the_installed_jaxlib_is_known():
    major, minor = abi.api_version()
    assert major == 0 and minor >= 1


@pytest.mark.parametrize("old, new, error", [
    (r"void\* data;", "", "XLA_FFI_Buffer"),
    (r"XLA_FFI_Args args;", "int64_t flags; XLA_FFI_Args args;", "XLA_FFI_CallFrame"),
    (r"XLA_FFI_Args args;", "XLA_FFI_Args* args;", "XLA_FFI_CallFrame"),
    (r"XLA_FFI_Error_Code errc;", "int64_t errc;", "XLA_FFI_Error_Create_Args"),
    (r"int64_t\* dims;", "int64_t* dims; int32_t space;", None),  # a field appended to a struct that is only pointed to
    (r"\bXLA_FFI_(Extension_Base|InternalExtension)\b", "XLA_FFI_InternalExtension", None),  # jaxlib 0.12 has renamed two types
    (r"\bXLA_FFI_(Execution|Invoke)Context\b", "XLA_FFI_InvokeContext", None),
    (r"void\*\* args;", "void** args; int32_t more;", "XLA_FFI_Args"),
    (r"#define XLA_FFI_API_MINOR", "#define MINOR", "XLA_FFI_API_MINOR"),
])  # fmt: skip
def test_another_layout_is_refused(old, new, error, monkeypatch):
    header = (Path(jax.ffi.include_dir()) / "xla/ffi/api/c_api.h").read_text()
    changed, n = re.subn(old, new, header)
    assert n >= 1
    version = abi.api_version.__wrapped__()
    monkeypatch.setattr(Path, "read_text", lambda path: changed)
    if error is None:
        assert abi.api_version.__wrapped__() == version
    else:
        with pytest.raises(RuntimeError, match=f"does not know the XLA FFI of the installed jaxlib.*{error}"):
            abi.api_version.__wrapped__()
