"""Every product, derivative and batching of every format on every backend, against the dense matrix."""

import functools

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import assert_close, compare, connectivity_product, dense_product, laws, scalar_laws
from tables import (
    ACTIVE,
    DRAWN,
    DTYPES,
    EVENTS,
    FORMAT_BACKENDS,
    FORMATS,
    HERE,
    HOMOGENEOUS,
    INTERPRETED,
    MAIN,
    NSE,
    PLATFORM,
    PROB,
    SHAPES,
    SIDES,
    STORED,
    build,
    operand,
)

import brainevent as be
from brainevent.backends.numba.bridge import ffi

pytestmark = pytest.mark.usefixtures("x64", "rolled")

# sides of the kinds that the long laws run on: what scatters in a format gathers in its mirror, and the rest bind the same
FULL = [("float EventArray", "x @ A"), ("float EventArray", "A @ x"), ("bool EventArray", "x @ A"), ("float", "A @ x")]


@functools.cache
def inputs(n_weights):
    """Weights, scalar weights, operands by kind and side, cotangents by side."""
    rng = np.random.default_rng(1)
    w, s = rng.normal(size=(5, n_weights)), rng.normal(size=3)
    x = {(kind, side): operand(rng, (3, n), EVENTS[kind]) for kind in EVENTS for side, n in zip(SIDES, MAIN)}
    del x["MaskedFloat", "A @ x"], x["bool", "x @ A"]  # they are float and bool EventArray to the primitives: one side is enough
    ct = {side: rng.normal(size=m) for side, m in zip(SIDES, MAIN[::-1])}
    return w, s, x, ct


LONG = {"CSC": FULL[3:], "FixedPostNumConn": FULL[:1], "FixedPreNumConn": FULL[3:]}  # lines are those of CSR, whatever delimits them
LONG_IN_XLA = {"JITCHomoR": FULL[:1], "JITCNormalC": FULL[3:], "JITCUniformR": FULL[:1]}


def within_reason(name, backend, x):
    """`(operands, kinds and sides of the long laws)`. XLA compiles a walk for a third of a second, Triton's interpreter takes as
    long to run one, and the laws have hundreds of them.

    So each just-in-time class has there what its lines scatter and what they gather, and one class of each kind the long laws on one of
    the two: the rules of the primitives, which the long laws are about, know no formats. All of them run on `Dense`, `COO` and `CSR`.
    """
    if name not in DRAWN or not (backend == "xla" or (backend == "triton" and INTERPRETED)):
        return x, LONG.get(name, FULL)
    full = LONG_IN_XLA.get(name, [])
    return {key: x[key] for key in (*FULL[:2], *full)}, full


def everything(products, w, s, x, ct, *, scalars, full=FULL):
    """The laws of each kind and side, `products` giving `apply` by kind; `scalars`: also those of one weight for all synapses."""
    out = {}
    for kind, side in x:
        for law, value in laws(products[kind], side, w, x[kind, side], ct[side], full=(kind, side) in full).items():
            out[kind, side, law] = value
        if scalars and "EventArray" in kind:
            for law, value in scalar_laws(products[kind], side, s, x[kind, side], ct[side]).items():
                out[kind, side, law] = value
    return out


@functools.partial(jax.jit, static_argnames="scalars")
def dense_results(row, col, basis, w, s, x, ct, *, scalars):
    def product(kind):
        apply = dense_product(row, col, basis, MAIN, EVENTS[kind])
        return lambda w, x, side: apply(jnp.broadcast_to(w, basis.shape[:1]), x, side)

    return everything({kind: product(kind) for kind in EVENTS}, w, s, x, ct, scalars=scalars)


@pytest.mark.parametrize("name, backend", FORMAT_BACKENDS)
def test_every_law_holds(name, backend):
    case = build(name, backend=backend)
    products = {kind: connectivity_product(case, EVENTS[kind]) for kind in EVENTS}
    given = inputs(case.n_weights)
    w, s, x, ct = given
    x, full = within_reason(name, backend, x)
    run = functools.partial(everything, products, scalars=name in HOMOGENEOUS, full=full)
    got = jax.jit(run)(w, s, x, ct)
    basis = np.eye(case.row.size) if case.basis is None else case.basis
    spare = NSE - case.row.size  # synapses of weight 0, so that formats share a compiled oracle
    structure = np.pad(case.row, (0, spare)), np.pad(case.col, (0, spare)), np.pad(basis, ((0, 0), (0, spare)))
    compare(got, dense_results(*structure, *given, scalars=True), jnp.float64, NSE**2, name)


def values_and_gradients(case, kind):
    """`run(w, x, ct)`, by side: the product, and the gradients of its dot with `ct` (in x only where x is a float)."""
    apply = connectivity_product(case, kind)

    def run(w, x, ct):
        out = {}
        for side in SIDES:

            def loss(w, x, side=side):
                return jnp.vdot(ct[side], apply(w, x, side))

            grads = jax.grad(loss, 0 if kind.bool else (0, 1))(w, x[side])
            out[side] = apply(w, x[side], side), *(grads if isinstance(grads, tuple) else (grads,))
        return out

    return run


def dense_values_and_gradients(case, kind, w, x, ct):
    """The same by numpy."""
    out = {}
    matrix = case.matrix(w)
    for side in SIDES:
        M, source, target = (matrix, case.row, case.col) if side == "x @ A" else (matrix.T, case.col, case.row)
        v = (x[side] != 0).astype(w.dtype) if kind.counted else x[side]
        out[side] = (v @ M, case.pulled_back(v[source] * ct[side][target]), *(() if kind.bool else (M @ ct[side],)))
    return out


@pytest.mark.parametrize("name, backend", FORMAT_BACKENDS)
def test_every_shape_and_activity(name, backend):
    drawn = ["float"] if backend == "xla" else ["float", "bool EventArray"]  # XLA makes floats of events before it walks
    kinds = [EVENTS[kind] for kind in ("float", "bool EventArray", "float EventArray") if name in STORED or kind in drawn]
    cases = [(build(name, shape, backend=backend), kind) for shape in SHAPES for kind in kinds]
    run = jax.jit(lambda inputs: [values_and_gradients(*case)(*i) for case, i in zip(cases, inputs)])
    for active in ACTIVE.values():
        rng = np.random.default_rng(2)
        inputs = []
        for case, kind in cases:
            x = {side: operand(rng, (n,), kind, active) for side, n in zip(SIDES, case.A.shape)}
            inputs.append((rng.normal(size=case.n_weights), x, {side: rng.normal(size=n) for side, n in zip(SIDES, case.A.shape[::-1])}))
        for (case, kind), i, got in zip(cases, inputs, run(inputs)):
            compare(got, dense_values_and_gradients(case, kind, *i), jnp.float64, NSE, repr(case.A))


NARROW = [dtype for dtype in DTYPES if dtype != "float64"]  # the laws above run in float64
HALVES = tuple(dtype for dtype in NARROW if dtype != "float32")
# halves without a name are those of xla where it serves beside numba, which has none
SERVED = [(n, b, d) for n, b in FORMAT_BACKENDS for d in NARROW if d == "float32" or b == "triton" or (b == "xla" and "numba" not in HERE)]


@pytest.mark.parametrize("name, backend, dtype", [*SERVED, *((name, None, dtype) for name in FORMATS for dtype in HALVES)])
def test_every_dtype(name, backend, dtype):
    """Half precision sums in float32, so that one rounding to half is left: no more terms count than in a sum of 4."""
    dtype, rng = DTYPES[dtype], np.random.default_rng(3)
    case = build(name, dtype=dtype, backend=backend)
    ct = {side: jnp.asarray(rng.normal(size=n), dtype) for side, n in zip(SIDES, MAIN[::-1])}
    w = jnp.asarray(rng.normal(size=case.n_weights), dtype)
    kinds = {key: EVENTS[key] for key in ("bool EventArray", "float")}
    x = {
        key: {s: jnp.asarray(operand(rng, (n,), kind), bool if kind.bool else dtype) for s, n in zip(SIDES, MAIN)}
        for key, kind in kinds.items()
    }
    got = jax.jit(lambda w, x, ct: {key: values_and_gradients(case, kinds[key])(w, x[key], ct) for key in kinds})(w, x, ct)

    def wide(tree):
        return jax.tree.map(lambda v: np.asarray(v) if v.dtype == bool else np.asarray(v, np.float64), tree)

    for key, kind in kinds.items():
        want = dense_values_and_gradients(case, kind, wide(w), wide(x[key]), wide(ct))
        compare(got[key], want, dtype, 4 if jnp.dtype(dtype).itemsize == 2 else NSE, f"{name}, {key}")


@pytest.mark.parametrize("name", FORMATS)
def test_long_half_precision_sums_lose_one_rounding(name):
    """300 weights of 1 + 1/128 in bfloat16, whose own sum stops at 256."""
    weight = jnp.bfloat16(1 + 2**-7)
    if name in DRAWN:
        cls, parameters = DRAWN[name]
        A = cls((*([weight] if len(parameters) == 1 else [weight, weight * ("Uniform" in name)]), 1.0, 1), shape=(300, 1))
    else:
        A = STORED[name][0].from_coordinates(jnp.full(300, weight), np.arange(300), np.zeros(300, int), shape=(300, 1))
    got = jax.jit(lambda A: (be.EventArray(jnp.ones(300, bool)) @ A, jnp.ones(300, jnp.bfloat16) @ A))(A)
    for y in got:
        assert_close(y, [300 * (1 + 2**-7)], jnp.bfloat16, 4, 300)


@pytest.mark.parametrize("name, backend", FORMAT_BACKENDS)
def test_dtypes_are_promoted(name, backend):
    """Events take the dtype of the weights, floats promote it, integers do not; weights of integers and bools become floats."""
    case = build(name, dtype=np.float32, backend=backend)
    x = np.random.default_rng(4).integers(-2, 3, MAIN[0])
    operands = {
        "float64": x.astype(np.float64),
        "float32": x.astype(np.float32),
        "int": x,
        "int events": be.EventArray(x),
        "wide events": be.EventArray(x + 0.0),
    }
    got = jax.jit(lambda A, operands: {key: value @ A for key, value in operands.items()})(case.A, operands)
    matrix = case.scattered(np.asarray(case.A.per_synapse(), np.float64))  # of weights that were rounded to float32
    for key, value in got.items():
        want = (x != 0) @ matrix if "events" in key else x @ matrix
        assert_close(value, want, np.float64 if key == "float64" else np.float32, NSE if key != "float64" else 2 * NSE, 10, key)
    for ones in (np.ones(case.A.weights_shape, int), np.ones(case.A.weights_shape, bool)):
        assert case.A.with_data(ones).dtype == jnp.float64  # x64 is on: the default float


@pytest.mark.parametrize("name, backend", FORMAT_BACKENDS)
def test_units_multiply_and_cancel(name, backend):
    case, rng = build(name, backend=backend), np.random.default_rng(5)
    w, v, e = case.weights, rng.normal(size=MAIN[0]), rng.random(MAIN[0]) < 0.5

    @jax.jit
    def run(A, v, e):
        A = A * u.nS
        return {
            "current": (v * u.mV) @ A,
            "masked": be.MaskedFloat(v * u.mV) @ A,
            "events": be.EventArray(e) @ A,
            "cancelled": (v / u.nS) @ A,
            "gradient": jax.grad(lambda d: (be.EventArray(e) @ A.with_data(d * u.nS)).mantissa.sum())(A.data.mantissa),
            "columns": A @ (jnp.stack([jnp.arange(MAIN[1]) * 1.0] * 2, 1) * u.mV),
            "row": A[2],
        }

    got, matrix = run(case.A, v, e), case.scattered(w)
    A = case.A * u.nS
    got |= {"dt2t": A.dt2t(v * u.mV), "dense": A.todense()}
    for key in ("current", "masked", "columns", "dt2t"):
        assert got[key].unit.dim == u.pA.dim, key
    for key, want in {
        "current": v @ matrix,
        "masked": v @ matrix,
        "columns": np.stack([matrix @ np.arange(MAIN[1])] * 2, 1),
        "dt2t": w * v[case.row],
    }.items():
        assert_close(got[key].to_decimal(u.pA).reshape(want.shape), want, np.float64, NSE, 10, key)
    for key, want in {"events": e @ matrix, "row": matrix[2], "dense": matrix}.items():
        assert_close(got[key].to_decimal(u.nS), want, np.float64, NSE, 10, key)
    assert isinstance(got["cancelled"], jax.Array)
    assert_close(got["cancelled"], v @ matrix, np.float64, NSE, 10)
    assert_close(got["gradient"].reshape(-1), case.pulled_back(e[case.row] * 1.0), np.float64, NSE, 10)


@pytest.mark.parametrize("name, backend", FORMAT_BACKENDS)
def test_what_is_an_event(name, backend):
    """`!= 0`: negative numbers and NaN are events and count as one; `MaskedFloat` keeps the values (NaN too)."""
    case = build(name, backend=backend)
    matrix, x = case.scattered(case.weights), np.array([0.0, -2.0, np.nan, np.inf, -0.0])
    counted, kept, right = jax.jit(
        lambda x: (be.EventArray(x) @ case.A, be.MaskedFloat(x[:2]) @ case.A[:2], case.A @ be.EventArray(jnp.resize(x, MAIN[1])))
    )(x)
    assert_close(counted, matrix[1] + matrix[2] + matrix[3], np.float64, NSE, 10)
    assert_close(kept, -2 * matrix[1], np.float64, NSE, 10)
    assert_close(right, matrix @ (np.resize(x, MAIN[1]) != 0), np.float64, NSE, 10)
    reached = np.zeros(MAIN[1], bool)
    reached[case.col[case.row == 2]] = True
    poisoned = np.asarray(jax.jit(lambda x: be.MaskedFloat(x) @ case.A)(np.where(np.isnan(x), x, 0.0)))
    assert np.isnan(poisoned[reached]).all()


@pytest.mark.parametrize("name, backend", FORMAT_BACKENDS)
def test_eager_equals_jit_and_registers_nothing_more(name, backend):
    case, rng = build(name, backend=backend), np.random.default_rng(6)
    x, v = be.EventArray(rng.random(MAIN[0]) < 0.5), rng.normal(size=MAIN[1])

    def run():
        return (x @ case.A, case.A @ v)

    jitted, eager = jax.jit(run)(), run()
    before = len(ffi._targets), len(ffi._handlers)
    again = run()
    jax.jit(lambda: run())()  # lowers again
    assert (len(ffi._targets), len(ffi._handlers)) == before
    for a, b, c in zip(jitted, eager, again):
        assert_close(a, b, np.float64, NSE)
        assert np.array_equal(b, c) or PLATFORM != "cpu"  # whose sums have no fixed order


@pytest.mark.parametrize("name, backend", FORMAT_BACKENDS)
def test_each_example_has_a_matrix_of_its_own(name, backend):
    """vmap over the structure, alone, with the operand, and twice."""
    cases, rng = [build(name, backend=backend, seed=seed) for seed in range(4)], np.random.default_rng(7)
    if len({jax.tree.structure(case.A) for case in cases}) > 1:  # one happens to be in order
        pytest.fail("choose other seeds")
    pairs = jax.tree.map(lambda *leaves: jnp.stack(leaves).reshape(2, 2, *leaves[0].shape), *(case.A for case in cases))
    x = rng.normal(size=(4, MAIN[0]))

    @jax.jit
    def run(pairs, x):
        flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), pairs)

        def product(A, x):
            return x @ A

        def loss(w, A, x):
            return jnp.sum(jnp.sin(x @ A.with_data(w)))

        return {
            "structure": jax.vmap(product, (0, None))(flat, x[0]),
            "both": jax.vmap(product)(flat, x),
            "nested": jax.vmap(jax.vmap(product))(pairs, x.reshape(2, 2, -1)).reshape(4, -1),
            "gradient": jax.vmap(jax.grad(loss))(flat.data, flat, x).reshape(4, -1),
        }

    got = run(pairs, x)
    matrices = [case.scattered(case.weights) for case in cases]
    each = np.stack([v @ M for v, M in zip(x, matrices)])
    gradients = np.stack([case.pulled_back(v[case.row] * np.cos(y)[case.col]) for v, y, case in zip(x, each, cases)])
    want = {"structure": np.stack([x[0] @ M for M in matrices]), "both": each, "nested": each, "gradient": gradients}
    compare(got, want, np.float64, NSE, name)


@pytest.mark.parametrize("name, backend", FORMAT_BACKENDS)
def test_weight_gradients_of_examples_are_no_loop(name, backend):
    case = build(name, backend=backend)
    w, X = case.A.data, jnp.ones((3, MAIN[0]))

    def loss(w, x):
        return jnp.sum(jnp.sin(be.EventArray(x) @ case.A.with_data(w)))

    each = jax.vmap(jax.grad(loss), (None, 0))
    texts = str(jax.make_jaxpr(each)(w, X)), jax.jit(each).lower(w, X).as_text()
    looped = jax.jit(lambda w, X: jax.lax.map(lambda x: jax.grad(loss)(w, x), X))
    assert "scan" in str(jax.make_jaxpr(looped)(w, X)) and "stablehlo.while" in looped.lower(w, X).as_text()  # what they would hold
    assert not any(word in texts[0] for word in ("scan", "while"))
    assert "stablehlo.while" not in texts[1] or (name in DRAWN and backend == "xla")  # whose walk is a loop itself


@pytest.mark.parametrize("backend", HERE)
@pytest.mark.parametrize("name", DRAWN)
def test_derivatives_in_the_parameters(name, backend):
    """Weight; loc and scale; low and high: forward and reverse, through constructor and `abs`, against the dense matrix of the oracle."""
    case, rng = build(name), np.random.default_rng(8)
    cls, given = DRAWN[name]
    x, y, step = rng.normal(size=MAIN[0]), rng.normal(size=MAIN[1]), rng.normal(size=len(given))

    def drawn(*parameters):
        A = cls((*parameters, PROB, 100), shape=MAIN, backend=backend)
        sizes = abs(A)
        return jnp.vdot(jnp.sin(x @ A), y) + jnp.vdot(A @ be.EventArray(y), x) + jnp.vdot(jnp.cos(x @ sizes), x @ sizes.todense())

    def dense(*parameters):
        first, *rest = parameters
        w = first * case.basis[0] + sum((p - first if "Uniform" in name else p) * b for p, b in zip(rest, case.basis[1:]))
        matrix = jnp.zeros(MAIN).at[case.row, case.col].add(w)
        sizes = abs(matrix)
        return jnp.vdot(jnp.sin(x @ matrix), y) + jnp.vdot(matrix @ jnp.ones(MAIN[1]), x) + jnp.vdot(jnp.cos(x @ sizes), x @ sizes)

    @jax.jit
    def run(parameters, step):
        results = []
        for f in (drawn, dense):
            every = tuple(range(len(given)))
            results.append((f(*parameters), jax.grad(f, every)(*parameters), jax.jvp(f, parameters, step)[1]))
        return results

    got, want = run(tuple(map(jnp.float64, given)), tuple(step))
    compare({"parameters": got}, {"parameters": want}, jnp.float64, NSE**2, name)


@pytest.mark.parametrize("name", DRAWN)
def test_parameters_after_arithmetic(name):
    """Scaling acts on both parameters; a uniform matrix keeps low <= high, a normal one a scale of at least 0."""
    A = build(name, dtype=np.float32).A * u.nS
    for factor in (2.0, -0.5):
        for B in (A * factor, factor * A, A / (1 / factor)):
            assert_close(B.todense().mantissa, factor * np.asarray(A.todense().mantissa), np.float32, 4, 10)
            if "Uniform" in name:
                ends = sorted(float(end / u.nS) * factor for end in (A.low, A.high))
                assert B.low <= B.high and np.allclose([B.low / u.nS, B.high / u.nS], ends)
            elif "Normal" in name:
                assert np.isclose(B.loc / u.nS, A.loc / u.nS * factor) and np.isclose(B.scale / u.nS, A.scale / u.nS * abs(factor))
            else:
                assert np.isclose(B.weight / u.nS, A.weight / u.nS * factor)
    assert np.array_equal((-A).todense().mantissa, -A.todense().mantissa)
    assert np.array_equal(abs(A).todense().mantissa, abs(A.todense().mantissa))
    assert np.array_equal(abs(-2 * abs(A)).todense().mantissa, abs(-2 * A.todense().mantissa))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", [name for name in DRAWN if "Homo" not in name])
def test_drawn_weights_are_rounded_to_half_precision_first(name, dtype):
    """Weights in half precision, times float32: each is what `todense` gives, to the bit, whatever the compiler thinks of two casts."""
    A = build(name, dtype=DTYPES[dtype]).A
    got = jax.jit(lambda A, x: x @ A)(A, jnp.eye(MAIN[0], dtype=jnp.float32))
    assert got.dtype == jnp.float32 and np.array_equal(got, A.todense().astype(jnp.float32))
    wide = build(name, dtype=np.float32).A.todense()
    assert_close(got.astype(dtype), wide, DTYPES[dtype], 4, 2.0)
    assert not np.array_equal(got, wide)


@pytest.mark.parametrize("name", [name for name in DRAWN if "Homo" not in name])
def test_parameters_may_have_units_of_different_size(name):
    cls, (first, second) = DRAWN[name]
    A = cls((first * u.nS, second / 1000 * u.uS, PROB, 1), shape=MAIN)
    assert A.unit == u.nS
    assert_close(A.todense().mantissa, cls((first, second, PROB, 1), shape=MAIN).todense(), np.float64, 4, 10)


@pytest.mark.usefixtures("optimised")
@pytest.mark.parametrize("name", DRAWN)
def test_memory_of_the_xla_walk_is_bounded(name):
    """4e8 pairs and 4e6 synapses, 16 MB at least if they were stored: what a compiled product holds for a while is less."""
    cls, parameters = DRAWN[name]
    A = cls((*map(jnp.float32, parameters), 0.01, 1), shape=(20_000, 20_000), backend="xla")
    x = jax.ShapeDtypeStruct((20_000,), jnp.float32)
    for product in (lambda A, x: x @ A, lambda A, x: A @ x):
        held = jax.jit(product).lower(A, x).compile().memory_analysis().temp_size_in_bytes
        assert held < 12e6
