"""Bad structures and operands: an error that names the value and what was expected, when built, when traced, or when run."""

import re

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import assert_close
from tables import DRAWN, DRAWN_BACKENDS, FORMATS, HERE, LISTED, MAIN, NSE, STORED, build, needs_numba

import brainevent as be
from brainevent.backends.numba import stored as numba_stored

I, F = np.array, np.array
ONES = np.ones(3)

# (what is built, error, what its message says): shape (2, 3), three synapses
BAD_STRUCTURES = {
    "CSR id too large": (
        lambda: be.CSR(ONES, I([0, 3, 1]), I([0, 2, 3]), shape=(2, 3)),
        ValueError,
        "CSR: indices[1] is 3, out of range for 3 post neurons",
    ),
    "CSR id negative": (
        lambda: be.CSR(ONES, I([0, 1, -1]), I([0, 2, 3]), shape=(2, 3)),
        ValueError,
        "CSR: indices[2] is -1, out of range for 3 post",
    ),
    "CSC id too large": (
        lambda: be.CSC(ONES, I([0, 2, 1]), I([0, 1, 2, 3]), shape=(2, 3)),
        ValueError,
        "CSC: indices[1] is 2, out of range for 2 pre neurons",
    ),
    "indptr descends": (lambda: be.CSR(ONES, I([0, 1, 2]), I([0, 4, 3]), shape=(2, 3)), ValueError, "descends in between"),
    "indptr starts late": (
        lambda: be.CSR(ONES, I([0, 1, 2]), I([1, 2, 3]), shape=(2, 3)),
        ValueError,
        "must rise from 0 to the number of indices, 3; it goes from 1 to 3",
    ),
    "indptr ends early": (lambda: be.CSR(ONES, I([0, 1, 2]), I([0, 1, 2]), shape=(2, 3)), ValueError, "it goes from 0 to 2"),
    "indptr too short": (
        lambda: be.CSR(ONES, I([0, 1, 2]), I([0, 3]), shape=(2, 3)),
        ValueError,
        "indptr has 2 entries, expected 3 (lines + 1)",
    ),
    "indptr of the other axis": (
        lambda: be.CSC(ONES, I([0, 1, 1]), I([0, 2, 3]), shape=(2, 3)),
        ValueError,
        "indptr has 3 entries, expected 4",
    ),
    "indices 2-D": (
        lambda: be.CSR(ONES, I([[0, 1, 2]]), I([0, 2, 3]), shape=(2, 3)),
        ValueError,
        "indices and indptr are 1-D, got shapes (1, 3) and (3,)",
    ),
    "float ids": (
        lambda: be.CSR(ONES, F([0.0, 1.0, 2.0]), I([0, 2, 3]), shape=(2, 3)),
        TypeError,
        "CSR: indices has dtype float64, expected integers: use indices.astype(int)",
    ),
    "float jax ids": (
        lambda: be.COO(ONES, jnp.ones(3), I([0, 1, 2]), shape=(2, 3)),
        TypeError,
        "COO: row has dtype float32, expected integers",
    ),
    "bool ids": (
        lambda: be.COO(ONES, I([True, False, True]), I([0, 1, 2]), shape=(2, 3)),
        TypeError,
        "COO: row has dtype bool, expected integers",
    ),
    "COO lengths": (
        lambda: be.COO(ONES, I([0, 1]), I([0, 1, 2]), shape=(2, 3)),
        ValueError,
        "row and col are 1-D of one length, got shapes (2,) and (3,)",
    ),
    "COO row": (
        lambda: be.COO(ONES, I([0, 2, 1]), I([0, 1, 2]), shape=(2, 3)),
        ValueError,
        "COO: row[1] is 2, out of range for 2 pre neurons",
    ),
    "COO column": (
        lambda: be.COO(ONES, I([0, 1, 1]), I([0, 1, -2]), shape=(2, 3)),
        ValueError,
        "COO: col[2] is -2, out of range for 3 post neurons",
    ),
    "id in an empty population": (
        lambda: be.COO(ONES, I([0, 0, 0]), I([0, 0, 0]), shape=(0, 3)),
        ValueError,
        "row[0] is 0, out of range for 0 pre neurons",
    ),
    "Fixed lines": (
        lambda: be.FixedPostNumConn(1.0, I([[0, 1]]), shape=(2, 3)),
        ValueError,
        "FixedPostNumConn[2, 3]: indices have shape (1, 2), expected (2, k)",
    ),
    "Fixed 1-D": (lambda: be.FixedPreNumConn(1.0, I([0, 1, 1]), shape=(2, 3)), ValueError, "indices have shape (3,), expected (3, k)"),
    "Fixed id": (
        lambda: be.FixedPreNumConn(1.0, I([[0], [1], [2]]), shape=(2, 3)),
        ValueError,
        "indices[2] is 2, out of range for 2 pre neurons",
    ),
    "Fixed from major ids out of range": (
        lambda: be.FixedPostNumConn.from_coordinates(ONES, I([0, 2, 1]), I([0, 1, 2]), shape=(2, 3)),
        ValueError,
        "is 2, out of range for 2 pre neurons",
    ),
    "CSR from major ids out of range": (
        lambda: be.CSR.from_coordinates(ONES, I([0, -1, 1]), I([0, 1, 2]), shape=(2, 3)),
        ValueError,
        "is -1, out of range for 2 pre neurons",
    ),
    "Dense from ids out of range": (
        lambda: be.Dense.from_coordinates(ONES, I([0, 1, 1]), I([0, 1, 3]), shape=(2, 3)),
        ValueError,
        "is 3, out of range for 3 post neurons",
    ),
    "weights": (
        lambda: be.CSR(np.ones(4), I([0, 1, 2]), I([0, 2, 3]), shape=(2, 3)),
        ValueError,
        "CSR[2, 3]: weights of shape (4,), expected a scalar, (1,), or one a synapse, (3,)",
    ),
    "Fixed flat weights": (
        lambda: be.FixedPostNumConn(np.ones(4), I([[0, 1], [1, 2]]), shape=(2, 3)),
        ValueError,
        "weights of shape (4,), expected a scalar, (1,), or one a synapse, (2, 2)",
    ),
    "Dense weights": (lambda: be.Dense(np.ones((2, 2)), shape=(2, 3)), ValueError, "Dense: weights of shape (2, 2), expected shape=(2, 3)"),
    "complex weights": (
        lambda: be.COO(1j * ONES, I([0, 1, 1]), I([0, 1, 2]), shape=(2, 3)),
        TypeError,
        "COO: weights: expected real numbers, got dtype complex128: take its real and imaginary parts one after the other",
    ),
    "shape": (
        lambda: be.COO(ONES, I([0, 1, 1]), I([0, 1, 2]), shape=(2, 3, 4)),
        ValueError,
        "shape is (n_pre, n_post), two sizes of at least 0, got (2, 3, 4)",
    ),
    "negative shape": (lambda: be.COO(1.0, I([], int), I([], int), shape=(-1, 3)), ValueError, "two sizes of at least 0, got (-1, 3)"),
    "float shape": (
        lambda: be.COO(ONES, I([0, 1, 1]), I([0, 1, 2]), shape=(2.0, 3)),
        TypeError,
        "'float' object cannot be interpreted as an integer",
    ),
    "parts": (lambda: be.CSR(ONES, I([0, 1, 2]), shape=(2, 3)), TypeError, "CSR takes (data, indices, indptr), 3 arrays, got 2"),
    "backend": (
        lambda: be.COO(ONES, I([0, 1, 1]), I([0, 1, 2]), shape=(2, 3), backend="cuda"),
        ValueError,
        "unknown backend 'cuda': expected one of ['numba', 'triton', 'xla']",
    ),
    "beyond 32 bits": (
        lambda: be.COO(ONES, I([0, 1, 2**31]), I([0, 1, 2]), shape=(2**32, 3)),
        ValueError,
        "row holds 2147483648, beyond 32 bits: set jax_enable_x64",
    ),
}  # fmt: skip


@pytest.mark.parametrize("key", BAD_STRUCTURES)
def test_bad_structure(key):
    make, error, message = BAD_STRUCTURES[key]
    with pytest.raises(error, match=re.escape(message)):
        make()


# (what is built, error, what its message says)
BAD_DRAWN = {
    "prob above 1": (
        lambda: be.JITCHomoR((1.0, 1.5, 1), shape=(2, 3)),
        ValueError,
        "JITCHomoR: prob is 1.5, expected a probability in [0, 1]",
    ),
    "prob below 0": (lambda: be.JITCNormalC((1.0, 1.0, -0.1, 1), shape=(2, 3)), ValueError, "JITCNormalC: prob is -0.1, expected"),
    "prob NaN": (lambda: be.JITCHomoC((1.0, np.nan, 1), shape=(2, 3)), ValueError, "prob is nan, expected a probability in [0, 1]"),
    "prob with a unit": (lambda: be.JITCHomoR((1.0, 0.1 * u.mV, 1), shape=(2, 3)), TypeError, "expected one plain number in [0, 1]"),
    "probs": (lambda: be.JITCHomoR((1.0, [0.1, 0.2], 1), shape=(2, 3)), TypeError, "expected one plain number in [0, 1]"),
    "prob traced": (
        lambda: jax.jit(lambda p: be.JITCHomoR((1.0, p, 1), shape=(2, 3)).todense())(0.5),
        TypeError,
        "JITCHomoR: prob is traced, expected a number: its tables are made when the matrix is built",
    ),
    "seed of 33 bits": (
        lambda: be.JITCHomoR((1.0, 0.1, 1 << 32), shape=(2, 3)),
        ValueError,
        "seed is 4294967296, expected an integer of 32 bits",
    ),
    "seed below": (
        lambda: be.JITCHomoR((1.0, 0.1, -(1 << 31) - 1), shape=(2, 3)),
        ValueError,
        "seed is -2147483649, expected an integer of 32",
    ),
    "seed of 70 bits": (
        lambda: be.JITCHomoR((1.0, 0.1, 1 << 70), shape=(2, 3)),
        ValueError,
        "expected an integer of 32 bits: take it modulo 2**32",
    ),
    "seed 0.5": (lambda: be.JITCHomoR((1.0, 0.1, 0.5), shape=(2, 3)), TypeError, "JITCHomoR: seed is 0.5, expected an integer"),
    "seed True": (lambda: be.JITCHomoR((1.0, 0.1, True), shape=(2, 3)), TypeError, "seed is True, expected an integer"),
    "seeds": (lambda: be.JITCHomoR((1.0, 0.1, np.arange(2)), shape=(2, 3)), TypeError, "shape (2,), expected one integer"),
    "float seeds": (lambda: be.JITCHomoR((1.0, 0.1, jnp.ones(())), shape=(2, 3)), TypeError, "seed has dtype float32"),
    "low above high": (
        lambda: be.JITCUniformR((2.0, 1.0, 0.1, 1), shape=(2, 3)),
        ValueError,
        "JITCUniformR: low is 2.0 and high is 1.0, expected low <= high: swap them",
    ),
    "low NaN": (
        lambda: be.JITCUniformC((np.nan, 1.0, 0.1, 1), shape=(2, 3)),
        ValueError,
        "JITCUniformC: low: expected finite numbers, got nan",
    ),
    "scale below 0": (
        lambda: be.JITCNormalR((2.0, -1.0, 0.1, 1), shape=(2, 3)),
        ValueError,
        "JITCNormalR: scale is -1.0, expected a standard deviation of at least 0",
    ),
    "units": (
        lambda: be.JITCNormalR((2.0 * u.nS, 1.0 * u.mV, 0.1, 1), shape=(2, 3)),
        u.UnitMismatchError,
        "JITCNormalR: loc has unit nS and scale has unit mV, expected units of one dimension",
    ),
    "one unit": (
        lambda: be.JITCUniformR((2.0, 3.0 * u.mV, 0.1, 1), shape=(2, 3)),
        u.UnitMismatchError,
        "low has no unit and high has unit mV",
    ),
    "parameters of each": (
        lambda: be.JITCNormalR((np.ones(3), 1.0, 0.1, 1), shape=(2, 3)),
        ValueError,
        "loc has shape (3,), expected one number",
    ),
    "weights of each": (
        lambda: be.JITCHomoR((np.ones(3), 0.1, 1), shape=(2, 3)),
        ValueError,
        "JITCHomoR: weight has shape (3,), expected one number",
    ),
    "complex": (
        lambda: be.JITCHomoR((1j, 0.1, 1), shape=(2, 3)),
        TypeError,
        "JITCHomoR: weight: expected real numbers, got",
    ),
    "parts": (
        lambda: be.JITCNormalR((1.0, 0.1, 1), shape=(2, 3)),
        TypeError,
        "JITCNormalR takes (loc, scale, prob, seed), 4 values, got 3",
    ),
    "corder": (lambda: be.JITCHomoR((1.0, 0.1, 1), shape=(2, 3), corder="C"), TypeError, "corder is 'C', expected None, True"),
    "skip_diagonal": (
        lambda: be.JITCHomoR((1.0, 0.1, 1), shape=(2, 3), skip_diagonal=0.5),
        TypeError,
        "skip_diagonal is 0.5, expected the offset",
    ),
    "shape": (
        lambda: be.JITCHomoR((1.0, 0.1, 1), shape=(2, -3)),
        ValueError,
        "shape is (n_pre, n_post), two sizes of at least 0, got (2, -3)",
    ),
    "size": (lambda: be.JITCHomoR((1.0, 0.1, 1), shape=(2, 1 << 31)), ValueError, "expected sizes below 2^31"),
    "backend": (lambda: be.JITCHomoR((1.0, 0.1, 1), shape=(2, 3), backend="cuda"), ValueError, "unknown backend 'cuda'"),
    "from a matrix": (
        lambda: be.JITCHomoR.fromdense(np.ones((2, 3))),
        TypeError,
        "JITCHomoR is drawn from a seed and holds no given matrix: use CSR",
    ),
    "too many to store": (
        lambda: be.JITCHomoR((1.0, 0.5, 1), shape=(100_000, 100_000)).tocsr(),
        ValueError,
        "has about 5e+09 synapses, beyond the 2^31 - 1 that one matrix can store: keep it as it is",
    ),
    "one weight for drawn ones": (
        lambda: be.JITCNormalR((1.0, 1.0, 0.1, 1), shape=(2, 3)).with_data(1.0),
        ValueError,
        "expected a pair (a, b), shape (2,)",
    ),
    "abs plus a number": (
        lambda: abs(be.JITCNormalR((1.0, 1.0, 0.1, 1), shape=(2, 3))) + 1,
        TypeError,
        "abs(...) + 1 of JITCNormalR: the sum is not of that format: use tocsr() first",
    ),
    "times a vector": (
        lambda: be.JITCNormalR((1.0, 1.0, 0.1, 1), shape=(2, 3)) * np.ones(2),
        ValueError,
        "a factor of shape (2,) does not broadcast to the matrix, shape (2, 3)",
    ),
}


@pytest.mark.parametrize("key", BAD_DRAWN)
def test_bad_drawn(key):
    make, error, message = BAD_DRAWN[key]
    with pytest.raises(error, match=re.escape(message)):
        make()


@pytest.mark.usefixtures("rolled")
def test_seeds_are_words():
    """Signed and unsigned integers of the same bits are one seed, traced or not."""

    def dense(seed):
        return np.asarray(be.JITCHomoR((1.0, 0.5, seed), shape=MAIN, backend="xla").todense())

    want = dense(2**32 - 5)
    for seed in (-5, np.int32(-5), np.uint32(2**32 - 5), np.array([-5]), jnp.int32(-5)):
        assert np.array_equal(dense(seed), want)
    assert np.array_equal(jax.jit(lambda s: be.JITCHomoR((1.0, 0.5, s), shape=MAIN, backend="xla").todense())(jnp.int32(-5)), want)
    assert not np.array_equal(dense(5), want)


@pytest.mark.usefixtures("rolled")
@pytest.mark.parametrize("name, backend", DRAWN_BACKENDS)
def test_extreme_probabilities_are_exact(name, backend):
    cls, parameters = DRAWN[name]
    for shape in (MAIN, (1, 1), (0, 3), (3, 0)):
        none, every = (cls((*parameters, prob, 1), shape=shape, backend=backend) for prob in (0, 1))
        assert none.nse == 0 and not np.asarray(none.todense()).any() and none.tocsr().nse == 0
        assert every.nse == shape[0] * shape[1] and np.asarray(every.todense()).astype(bool).all()
        assert not np.asarray(np.ones(shape[0], np.float32) @ none).any()


# (product, error, what its message says) for A of shape (5, 7)
BAD_OPERANDS = {
    "x @ A of the wrong length": (lambda A: jnp.ones(7) @ A, ValueError, "x has shape (7,), expected (5,) or (..., 5), one entry a pre"),
    "events of the wrong length": (lambda A: be.EventArray(jnp.ones(4, bool)) @ A, ValueError, "x has shape (4,), expected (5,)"),
    "A @ x of the wrong length": (lambda A: A @ np.ones(5), ValueError, "x has shape (5,), expected (7,) or (7, k), one row a post neuron"),
    "rows of the wrong length": (lambda A: np.ones((2, 7)) @ A, ValueError, "x has shape (2, 7), expected (5,)"),
    "columns of the wrong length": (lambda A: A @ jnp.ones((5, 7)), ValueError, "x has shape (5, 7), expected (7,)"),
    "A @ 3-D": (lambda A: A @ jnp.ones((7, 2, 2)), ValueError, "x has shape (7, 2, 2)"),
    "a number": (lambda A: be.EventArray(1.0) @ A, ValueError, "x has shape (), expected (5,)"),
    "complex": (lambda A: (1j * np.ones(5)) @ A, TypeError, "expected real numbers, got dtype complex128: take its real"),
    "weights": (lambda A: A.with_data(np.ones(3)), ValueError, "of shape (3,), expected"),
    "weights with an axis more": (lambda A: A.with_data(np.ones((1, 1))), ValueError, "of shape (1, 1), expected"),
    "complex weights": (lambda A: A * 1j, TypeError, "): expected real numbers, got dtype complex128"),
    "unknown backend": (lambda A: A.with_backend("triton "), ValueError, "unknown backend 'triton ': expected one of"),
}  # fmt: skip


@pytest.mark.parametrize("key", BAD_OPERANDS)
@pytest.mark.parametrize("name", FORMATS)
def test_bad_operand(name, key):
    run, error, message = BAD_OPERANDS[key]
    A = build(name, dtype=np.float32).A
    for each in (run, jax.jit(run)):
        with pytest.raises(error, match=re.escape(message)):
            each(A)


@pytest.mark.parametrize(
    "key", ["CSR id too large", "indptr descends", "COO column", "Fixed id", "float ids", "weights", "indptr too short", "Fixed 1-D"]
)
def test_bad_structure_of_constants_under_jit(key):
    """What can be seen while tracing is refused while tracing."""
    make, error, message = BAD_STRUCTURES[key]
    with pytest.raises(error, match=re.escape(message)):
        jax.jit(make)()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int8", "int16", "int64", "uint64"])
@pytest.mark.parametrize("backend", HERE)
def test_ids_of_any_integer_dtype(dtype, backend):
    """An unsigned pointer too: ids are kept signed."""
    with jax.enable_x64(True):
        for array in (np.asarray, jnp.asarray):
            A = be.CSR(np.arange(3.0), array(I([2, 0, 1]), dtype), array(I([0, 1, 3]), dtype), shape=(2, 3), backend=backend)
            assert np.issubdtype(A.indices.dtype, np.signedinteger) and np.issubdtype(A.indptr.dtype, np.signedinteger)
            for matrix in (
                A,
                jax.jit(lambda *parts: be.CSR(*parts, shape=(2, 3), backend=backend))(
                    np.arange(3.0), A.indices.astype(dtype), A.indptr.astype(dtype)
                ),
            ):
                assert_close(jax.jit(lambda A: jnp.array([1.0, 10.0]) @ A)(matrix), [10.0, 20.0, 0.0], np.float64, 4)


RUNTIME_ERRORS = (jax.errors.JaxRuntimeError, ValueError)  # JAX raises the second when it has run the program before it returns
OUT_OF_RANGE = r"brainevent\.backends\.numba\.kernels\.\w+\.\w+ failed \(status 1\): an index of the structure is out of range"
BAD_POINTER = r"brainevent\.backends\.numba\.kernels\.\w+\.\w+ failed \(status 2\): indptr is not monotone"

OPERATIONS = {
    "x @ A": lambda A, x, y: be.EventArray(x) @ A,
    "A @ x": lambda A, x, y: A @ be.EventArray(y),
    "columns @ A": lambda A, x, y: jnp.stack([x, x]) * 1.0 @ A,
    "A @ columns": lambda A, x, y: A @ jnp.stack([y, y], 1) * 1.0,
    "weights of each": lambda A, x, y: jax.vmap(lambda w: be.EventArray(x) @ A.with_data(w))(jnp.stack([A.data, A.data])),
    "A @ x, weights of each": lambda A, x, y: jax.vmap(lambda w: A.with_data(w) @ be.EventArray(y))(jnp.stack([A.data, A.data])),
    "gradient": lambda A, x, y: jax.grad(lambda w: jnp.sum(jnp.sin(be.EventArray(x) @ A.with_data(w))))(A.data),
    "gradient of A @ x": lambda A, x, y: jax.grad(lambda w: jnp.sum(jnp.sin(A.with_data(w) @ be.EventArray(y))))(A.data),
}


def corruptions(parts):
    """Structures like `parts`, each wrong in one place, and the failure to expect."""
    for place, ids in enumerate(parts):
        pointer = place == 1 and ids.size != parts[0].size
        for at, value in ((-1, 2**31 - 1), (2, -1), (-1, 1000), (1, -(2**31))):
            wrong = np.array(ids, np.int32)
            wrong.reshape(-1)[at] = value
            yield (
                tuple(wrong if p == place else np.asarray(part, np.int32) for p, part in enumerate(parts)),
                BAD_POINTER if pointer else OUT_OF_RANGE,
            )


@needs_numba
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("name", LISTED)
def test_corrupt_structure_under_jit_is_an_error(name, operation):
    """No garbage, no crash: the kernel is named, and the same function goes on to serve good structures."""
    cls, structure = STORED[name]
    parts, *_ = structure(np.random.default_rng(0), MAIN, NSE)
    with jax.enable_x64(True):
        w, x, y = np.ones(parts[0].shape), np.ones(MAIN[0], bool), np.ones(MAIN[1], bool)

        @jax.jit
        def run(w, parts, x, y):
            return OPERATIONS[operation](cls(w, *parts, shape=MAIN, backend="numba"), x, y)

        good = tuple(np.asarray(part, np.int32) for part in parts)
        before = np.asarray(run(w, good, x, y))
        for wrong, message in corruptions(parts):
            with pytest.raises(RUNTIME_ERRORS, match=message):
                jax.block_until_ready(run(w, wrong, x, y))
        assert np.array_equal(run(w, good, x, y), before)


@needs_numba
@pytest.mark.parametrize("cls", [be.CSR, be.FixedPostNumConn])
def test_corrupt_structure_is_an_error_in_threads_too(cls, monkeypatch):
    monkeypatch.setattr(numba_stored, "threads", lambda: (2, "patched"))
    rng, (n, m, k) = np.random.default_rng(0), (150, 2000, 1000)
    indices = np.sort(rng.integers(0, m, (n, k)), axis=1).astype(np.int32)
    parts = (indices.reshape(-1), np.arange(n + 1, dtype=np.int32) * k) if cls is be.CSR else (indices,)
    A = cls(np.float32(1), *parts, shape=(n, m), backend="numba")
    assert A.ordered
    for B, x in ((A, np.ones(n, bool)), (A.T, np.ones(n, bool))):
        run = jax.jit(lambda A, x: be.EventArray(x) @ A if A.shape[0] == n else A @ be.EventArray(x))
        assert "_threaded" in run.lower(B, x).as_text()
        good, message = B.indices, OUT_OF_RANGE
        for value in (-1, m, 2**31 - 1, -(2**31)):
            at = (n - 1, 0 if value < 0 else k - 1)
            wrong = indices.copy()
            wrong[at] = value
            with pytest.raises(RUNTIME_ERRORS, match=message):
                jax.block_until_ready(run(B.replace(indices=jnp.asarray(wrong.reshape(good.shape))), x))
        if cls is be.CSR:
            for at, value in ((-1, n * k + 1), (3, 0), (5, -7)):
                wrong = np.arange(n + 1, dtype=np.int32) * k
                wrong[at] = value
                with pytest.raises(RUNTIME_ERRORS, match=BAD_POINTER):
                    jax.block_until_ready(run(B.replace(indptr=jnp.asarray(wrong)), x))
        assert float(run(B, x).sum()) == n * k


def test_units_that_do_not_fit_are_named():
    A = build("CSR", dtype=np.float32).A * u.nS
    with pytest.raises(u.UnitMismatchError):
        A.with_data(A.data) + A.with_data(A.data.mantissa * u.mV)
