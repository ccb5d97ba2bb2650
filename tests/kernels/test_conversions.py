"""Conversions, indexing, arithmetic, copies and pytrees of every format, against the dense matrix."""

import copy
import functools
import pickle

import brainstate
import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import assert_close
from tables import DRAWN, DRAWN_BACKENDS, FORMATS, HERE, HOMOGENEOUS, LISTED, MAIN, NSE, PROB, SHAPES, STORED, build

import brainevent as be
from brainevent.formats import jit_connectivity

pytestmark = pytest.mark.usefixtures("x64")


def assert_same_matrix(A, want, cls=None):
    assert cls is None or type(A) is cls
    assert A.shape == want.shape
    assert_close(u.get_mantissa(A.todense()), want, A.dtype, NSE, 10, repr(A))


@pytest.mark.parametrize("name", FORMATS)
def test_dense_transpose_and_coordinates(name):
    for shape in (MAIN, *SHAPES):
        case = build(name, shape)
        matrix = case.scattered(case.weights)
        assert_same_matrix(case.A, matrix)
        assert_same_matrix(case.A.T, matrix.T)
        assert_same_matrix(case.A.T.T, matrix, type(case.A))
        row, col = case.A.coordinates()
        assert np.array_equal(row, case.row) and np.array_equal(col, case.col)
        assert case.A.nse == case.row.size and case.A.weights_shape == case.A.data.shape


@pytest.mark.parametrize("name", STORED)
def test_order_is_as_claimed(name):
    """What a format says of the order of its synapses (XLA and threads rely on it) is so."""
    case = build(name)
    rng = np.random.default_rng(0)
    sparse = case.A.fromdense(rng.normal(size=MAIN) * (rng.random(MAIN) < 0.5))
    claims = 0
    for A in (
        case.A,
        sparse,
        *(f(B) for B in (case.A, sparse) for f in (lambda A: A.T, lambda A: A.tocoo(), lambda A: A.tocoo().T, lambda A: A.tocsr())),
    ):
        for transpose in (False, True):
            if A.target_sorted(transpose):
                claims += 1
                assert (np.diff(A.coordinates()[int(transpose)]) >= 0).all(), (A, transpose)
        if getattr(A, "ordered", False) and hasattr(A, "lines"):
            line, ids = np.asarray(A.lines()), np.asarray(A.indices).reshape(-1)
            assert ((np.diff(ids) >= 0) | (np.diff(line) > 0)).all(), A
    assert claims >= 4 and (name == "Dense" or sparse.ordered)


@pytest.mark.parametrize(
    "cls, mirror", [(be.CSR, be.CSC), (be.FixedPostNumConn, be.FixedPreNumConn), (be.COO, be.COO), (be.Dense, be.Dense)]
)
def test_transpose_swaps_the_class(cls, mirror):
    for a, b in ((cls, mirror), (mirror, cls)):
        case = build(a.__name__)
        assert type(case.A.T) is b and case.A.T.shape == MAIN[::-1]
        assert case.A.T.data is case.A.data or a is be.Dense  # no copy


CONVERTED = [(source, weights) for source in FORMATS for weights in ("per synapse", "unit")]
CONVERTED += [(source, weights) for source in HOMOGENEOUS for weights in ("scalar", "(1,)")]


@pytest.mark.parametrize("source, weights", CONVERTED)
def test_conversion_between_all_formats(source, weights):
    one = weights in ("scalar", "(1,)")
    case = build(source)
    w = np.full(case.row.size, 2.0) if one else case.weights
    A = {
        "per synapse": lambda A: A,
        "scalar": lambda A: A.with_data(2.0),
        "(1,)": lambda A: A.with_data([2.0]),
        "unit": lambda A: A * u.nS,
    }[weights](case.A)
    matrix = case.scattered(w)
    for target, (cls, _) in STORED.items():
        B = A.to(cls)
        assert_same_matrix(B, matrix, cls)
        assert B.unit == A.unit
        assert B.nse >= case.row.size or target == "Dense"  # duplicates stay, lines may be filled up
        if target in ("COO", "CSR", "CSC"):
            assert B.nse == case.row.size
            assert (B.data.size == 1) is (one or source in ("JITCHomoR", "JITCHomoC"))
    assert_same_matrix(A.tocoo(), matrix, be.COO)
    assert_same_matrix(A.tocsr(), matrix, be.CSR)
    assert_same_matrix(A.tocsc(), matrix, be.CSC)
    assert A.with_backend("xla").tocsr().backend == "xla"


@pytest.mark.parametrize("name", ["CSR", "CSC", "FixedPostNumConn", "FixedPreNumConn"])
def test_regrouped(name):
    """By the other axis, duplicates kept; the synapses of a group ascend."""
    for shape in (MAIN, *SHAPES):
        case = build(name, shape, backend="xla")
        B = (case.A * u.nS).regrouped()
        assert_same_matrix(B, case.scattered(case.weights), be.CSC if case.A.major == 0 else be.CSR)
        assert (B.nse, B.unit, B.backend, B.ordered) == (case.A.nse, u.nS, "xla", True)
    assert case.A.with_data(2.0).regrouped().data.shape == ()
    with pytest.raises(TypeError, match="call it outside jit"):
        jax.jit(lambda A: A.regrouped())(case.A)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0), (1, 1), (1, 5)])
def test_small_matrices_convert(shape):
    for source in FORMATS:
        case = build(source, shape)
        matrix = case.scattered(case.weights)
        for cls, _ in STORED.values():
            assert_same_matrix(case.A.to(cls), matrix, cls)


@pytest.mark.parametrize("name", STORED)
def test_fromdense_and_scipy(name):
    cls = STORED[name][0]
    matrix = np.random.default_rng(0).normal(size=MAIN) * (np.random.default_rng(1).random(MAIN) < 0.4)
    matrix[2] = 0
    A = cls.fromdense(matrix)
    assert_same_matrix(A, matrix, cls)
    assert (name not in ("COO", "CSR", "CSC")) or A.nse == np.count_nonzero(matrix)
    assert cls.fromdense(matrix * u.mS).unit == u.mS
    assert_same_matrix(cls.fromdense(np.zeros(MAIN)), np.zeros(MAIN), cls)
    assert_same_matrix(cls.fromdense(matrix.astype(int)), matrix.astype(int), cls)  # integers become floats
    S = A.toscipy()
    assert S.shape == MAIN and np.array_equal(S.toarray(), matrix)
    assert S.format == {"CSR": "csr", "CSC": "csc"}.get(name, "coo")
    assert_same_matrix(cls.fromscipy(S), matrix, cls)
    assert cls.fromscipy(S, unit=u.nS).unit == u.nS
    half = cls.fromdense(jnp.asarray(matrix, jnp.bfloat16))
    assert np.array_equal(half.toscipy().toarray(), np.asarray(jnp.asarray(matrix, jnp.bfloat16), np.float64))
    with pytest.raises(ValueError, match=r"got (shape )?\(3,\)"):
        cls.fromdense(np.ones(3))


@pytest.mark.parametrize("cls", [be.COO, be.CSR, be.CSC])
def test_fromdense_under_jit(cls):
    matrix = np.random.default_rng(0).normal(size=MAIN) * (np.random.default_rng(1).random(MAIN) < 0.4)
    n = int(np.count_nonzero(matrix))
    for nse in (n, n + 3):
        A = jax.jit(lambda m, nse=nse: cls.fromdense(m, nse=nse))(matrix)
        assert_same_matrix(A, matrix, cls)
        assert A.nse == nse
        assert_same_matrix(cls.fromdense(matrix, nse=nse), matrix, cls)
    with pytest.raises(ValueError, match="pass nse="):
        jax.jit(cls.fromdense)(matrix)
    with pytest.raises(ValueError, match=f"nse={n - 1}, but the matrix has {n} nonzeros"):
        cls.fromdense(matrix, nse=n - 1)


@pytest.mark.parametrize("name", FORMATS)
def test_rows(name):
    case = build(name)
    A, matrix = case.A * u.nS, case.scattered(case.weights)
    indices = {
        "int": 2,
        "numpy int": np.int32(3),
        "negative": -1,
        "list": [3, 0, 3],
        "array": np.array([[4, -5], [0, 1]]),
        "jax array": jnp.array([1, -1]),
        "slice": slice(1, None, 2),
        "backwards": slice(None, None, -1),
        "mask": np.array([True, False, True, False, False]),
        "pair": (2, 3),
        "row and columns": (1, slice(2, 5)),
        "empty": np.zeros(0, int),
    }
    for key, index in indices.items():
        assert_close((A[index] / u.nS), matrix[index], np.float64, NSE, 10, key)
    traced = jax.jit(lambda i, ids: (A[i], A[-1 - i], A[ids], A[:3]))(2, jnp.array([0, -2]))
    for got, want in zip(traced, (matrix[2], matrix[-3], matrix[np.array([0, -2])], matrix[:3])):
        assert_close(got / u.nS, want, np.float64, NSE, 10)
    for index in (5, -6, np.array([0, 5]), jnp.array([9]), [-6]):
        with pytest.raises(IndexError, match=r"cannot take row .* of 5 pre neurons"):
            A[index]
    for index in (1.5, np.array([0.0]), "one"):
        with pytest.raises(IndexError, match="indices"):
            A[index]


@pytest.mark.parametrize("name", FORMATS)
def test_arithmetic(name):
    case = build(name)
    w, A = case.weights, case.A
    matrix, other = case.scattered(w), np.random.default_rng(2).normal(size=MAIN)
    of_weights = {
        "times": (A * 2, 2 * w),
        "from the left": (jnp.float64(3) * A, 3 * w),
        "over": (A / 4, w / 4),
        "plus": (A + 1, w + 1),
        "minus": (A - 1, w - 1),
        "from": (1 - A, 1 - w),
        "negative": (-A, -w),
        "positive": (+A, w),
        "absolute": (abs(A), np.abs(w)),
        "times a matrix": (A * other, w * other[case.row, case.col]),
        "with_data": (A.with_data(jnp.cos(A.data)), np.cos(w) if case.basis is None else np.cos(case.data) @ case.basis),
        "absolute, twice and back": (abs(-2 * abs(A)) * -1, -2 * np.abs(w)),
    }
    stored = type(A.stored())  # what has no just-in-time format is stored
    for key, (B, want) in of_weights.items():
        assert type(B) is (stored if key == "times a matrix" else type(A)) and B.shape == MAIN, key
        assert_close(B.per_synapse(), want, np.float64, 4, 10, key)
    assert (A * u.nS).unit == u.nS and (u.nS * A).unit == u.nS and ((2 * u.nS) * A).unit == u.nS and (A / u.ms).unit == 1 / u.ms
    B = build(name, seed=1).A
    assert_same_matrix(A + B, matrix + np.asarray(B.todense()), stored)
    assert_same_matrix(A - B, matrix - np.asarray(B.todense()), stored)
    assert_same_matrix(A + build("COO", seed=1).A, matrix + np.asarray(build("COO", seed=1).A.todense()), stored)
    for diagonal in (2.5, np.arange(5.0)):
        assert_same_matrix(A.diag_add(diagonal), matrix + np.eye(*MAIN) * np.resize(diagonal, MAIN[1]) * (np.arange(MAIN[1]) < 5), stored)
    with pytest.raises(ValueError, match="shapes differ"):
        A + A.T
    with pytest.raises(u.UnitMismatchError):
        (A * u.nS) + (B * u.mV)
    with pytest.raises(u.UnitMismatchError):
        (A * u.nS) + 1
    with pytest.raises(TypeError, match="product of two sparse matrices"):
        A @ A.T


@pytest.mark.parametrize("name", FORMATS)
def test_factors_broadcast_as_in_numpy(name):
    """A vector scales columns, (n_pre, 1) rows, whatever the number of synapses; with units, under jit, grad and vmap."""
    case, rng = build(name), np.random.default_rng(4)
    A, matrix, (x, many) = case.A, case.scattered(case.weights), (rng.normal(size=MAIN[0]), rng.normal(size=(3, MAIN[1])))
    for shape in ((7,), (1, 7), (5, 1), (5, 7)):
        f = rng.uniform(0.5, 2, shape)
        for B, want in ((A * f, matrix * f), (jnp.asarray(f) * A, matrix * f), (A / f, matrix / f), (A * (f * u.mV), matrix * f)):
            assert_close(u.get_mantissa(B.todense()), want, np.float64, NSE, 10, f"{name}, {shape}")
        assert (A * (f * u.mV)).unit == u.mV
    assert_close(jax.jit(jax.grad(lambda f: (x @ (A * f)).sum()))(many[0]), x @ matrix, np.float64, NSE, 10)
    assert_close(jax.vmap(lambda f: x @ (A * f))(many), (x @ matrix) * many, np.float64, NSE, 10)


@pytest.mark.parametrize("name", STORED)
def test_a_vector_scales_columns_where_it_has_as_many_entries_as_there_are_synapses(name):
    A = STORED[name][0].fromdense(np.array([[0.0, 1, 2], [3, 0, 0]]))
    np.testing.assert_array_equal((A * np.array([1.0, 10, 100])).todense(), [[0, 10, 200], [3, 0, 0]])


@pytest.mark.parametrize("name", FORMATS)
def test_dt2t(name):
    case, rng = build(name), np.random.default_rng(3)
    w, pre, post = case.weights, rng.normal(size=MAIN[0]), rng.normal(size=MAIN[1])

    def run(A, pre, post):
        def square(y, v):
            return jnp.sum(A.dt2t(y, v) ** 2)

        return (
            A.dt2t(pre),
            A.yw_to_w(pre, A.data * 2),
            A.dt2t_transposed(post),
            A.yw_to_w_transposed(post),
            *jax.grad(square, (0, 1))(pre, A.data),
        )

    if name in DRAWN:  # the number of synapses is known only with the seed
        *got, dy, dw = jax.jit(functools.partial(run, case.A))(pre, post)
    else:
        *got, dy, dw = jax.jit(run)(case.A, pre, post)
    wants = [w * pre[case.row], 2 * w * pre[case.row], w * post[case.col], w * post[case.col]]
    for value, want in zip(got, wants):
        assert_close(value, want.reshape(case.A.stored().weights_shape), np.float64, 4, 10)
    want = np.zeros(MAIN[0])
    np.add.at(want, case.row, 2 * w**2 * pre[case.row])
    assert_close(dy, want, np.float64, NSE, 100)
    assert_close(dw.reshape(-1), case.pulled_back(2 * w * pre[case.row] ** 2), np.float64, NSE, 100)
    if name in HOMOGENEOUS:
        assert_close(case.A.with_data(2.0).dt2t(pre), (2 * pre[case.row]).reshape(case.A.stored().weights_shape), np.float64, 4, 10)
    assert build(name, dtype=np.float32).A.dt2t(pre).dtype == np.float64
    assert build(name, dtype=np.float32).A.dt2t(np.arange(5)).dtype == np.float32
    with pytest.raises(ValueError, match=r"y has shape \(5,\), expected \(7,\)"):
        case.A.dt2t_transposed(pre)


@pytest.mark.parametrize("name", FORMATS)
def test_copies_and_repr(name):
    case = build(name, backend="xla")
    A, matrix = case.A * u.nS, case.scattered(case.weights)
    mapped = jax.tree_util.tree_map_with_path(lambda path, leaf: leaf, A)
    for B in (mapped, copy.copy(A), copy.deepcopy(A), pickle.loads(pickle.dumps(A)), jax.tree.map(lambda leaf: leaf, A)):
        assert_same_matrix(B, matrix, type(A))
        assert (B.unit, B.backend) == (u.nS, "xla")
    assert len(repr(A)) < 100 and name in repr(A) and "[5, 7]" in repr(A) and "nS" in repr(A)
    huge = jax.eval_shape(lambda: A)
    assert len(repr(huge)) < 100 and len(repr(jax.tree.structure(A))) < 400
    with pytest.raises(AttributeError, match="immutable"):
        A.data = 1.0
    assert A.nbytes == sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(A))
    assert isinstance(A, be.DataRepresentation) and isinstance(A, u.sparse.SparseMatrix)


@pytest.mark.parametrize("name", FORMATS)
def test_pytree(name):
    """Arrays are leaves, the class and the shape survive, and a second equal matrix does not compile again."""
    case = build(name)
    leaves, treedef = jax.tree.flatten(case.A)
    parts = [part for part in case.A.parts if getattr(case.A, part) is not None]
    assert all(isinstance(leaf, jax.Array) for leaf in leaves) and len(leaves) == len(parts)
    again = jax.tree.unflatten(treedef, leaves)
    assert type(again) is type(case.A) and again.shape == case.A.shape
    assert treedef == jax.tree.structure(build(name).A) and hash(treedef) == hash(jax.tree.structure(build(name).A))
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_flatten_with_path(case.A)[0]]
    assert paths == [f".{part}" for part in parts]
    traces = []

    @jax.jit
    def product(A, x):
        traces.append(1)
        return x @ A

    x = np.arange(5.0)
    for seed in (0, 0, 1):
        other = build(name, seed=seed)
        assert_close(product(other.A, x), x @ other.matrix(other.data), np.float64, NSE, 10)
    assert len(traces) == 1


@pytest.mark.parametrize("name", FORMATS)
def test_scan_carry(name):
    case = build(name)

    def step(A, x):
        y = x @ A
        return A.with_data(A.data * 2), y

    A, ys = jax.jit(lambda A: jax.lax.scan(step, A, jnp.ones((3, MAIN[0]))))(case.A)
    w = case.weights
    assert_same_matrix(A, case.scattered(8 * w), type(case.A))
    assert_close(ys, np.stack([case.scattered(k * w).sum(0) for k in (1, 2, 4)]), np.float64, NSE, 10)


@pytest.mark.parametrize("name", STORED)
def test_built_under_jit(name):
    """From tracers and from constants; used in that jit, in another, and outside (nothing is cached on the object)."""
    cls, structure = STORED[name]
    parts, *_ = structure(np.random.default_rng(0), MAIN, NSE)
    w = np.random.default_rng(1).normal(size=parts[0].shape if parts else MAIN)
    want = build(name).matrix(w.reshape(-1))
    x = np.arange(5.0)

    @jax.jit
    def make(w, *traced):
        A, B = cls(w, *traced, shape=MAIN), cls(w, *parts, shape=MAIN)
        return A, B, A.T, x @ A, x @ B, A.tocsr(), A.tocsc().T

    A, B, T, *products, csr, csc_T = make(w, *parts)
    use = jax.jit(lambda A, x: (x @ A, A.T @ x, A @ jnp.ones(7)))
    for C in (A, B, T.T, csr, csc_T.T):
        assert_same_matrix(C, want)
        for y in (*products, *use(C, x)[:2], x @ C, C.T @ x):
            assert_close(y, x @ want, np.float64, NSE, 10)
        assert_close(use(C, x)[2], want.sum(1), np.float64, NSE, 10)
    assert type(T.T) is cls


@pytest.mark.usefixtures("rolled")
@pytest.mark.parametrize("name, backend", DRAWN_BACKENDS)
def test_drawn_under_jit(name, backend):
    """From traced parameters and seeds: stored with a given number of places, dense, one seed after another by vmap."""
    cls, parameters = DRAWN[name]
    case = build(name)

    @jax.jit
    def make(parameters, seed):
        A = cls((*parameters, PROB, seed), shape=MAIN, backend=backend)
        B = cls((*parameters, PROB, 100), shape=MAIN, backend=backend)
        return A, B.tocsr(), A.tocsr(nse=NSE), A.tocoo(nse=case.row.size), A.todense(), A.tocsr(nse=case.row.size - 1).todense(), A[1]

    A, known, csr, coo, dense, short, row = make(tuple(map(jnp.float64, parameters)), jnp.uint32(100))
    matrix = case.scattered(case.weights)
    eager = A.tocsr(nse=NSE)
    for B in (A, known, csr, coo, be.Dense(dense), eager):
        assert_same_matrix(B, matrix)
    assert eager.nse == eager.indptr[-1] == csr.indptr[-1] == NSE and np.array_equal(eager.indptr, csr.indptr)
    assert_close(row, matrix[1], np.float64, 4, 10)
    assert known.nse == coo.nse == A.nse == case.row.size and csr.nse == NSE
    assert known.data.shape == (() if len(parameters) == 1 else (A.nse,))
    assert np.isnan(short).any()  # one place too few, and nothing silently lost
    with pytest.raises(TypeError, match="the seed is traced, so the synapses cannot be counted: pass nse="):
        jax.jit(lambda seed: cls((*parameters, PROB, seed), shape=MAIN).tocsr())(1)
    with pytest.raises(ValueError, match=f"nse=3, but there are {case.row.size} synapses"):
        A.tocsr(nse=3)
    seeds = jnp.arange(100, 103, dtype=jnp.uint32)

    def each(seed):
        return cls((*parameters, PROB, seed), shape=MAIN, backend=backend)

    many = jax.jit(jax.vmap(lambda seed: each(seed).todense()))(seeds)
    for seed, got in zip(seeds, many):
        assert np.array_equal(got, each(seed).todense())
    assert np.array_equal(many[0], A.todense())


@pytest.mark.parametrize("backend", HERE)
def test_more_synapses_than_were_likely(backend, monkeypatch):
    """The room for a list is six standard deviations above the mean; should that be too little, it is made again."""
    A = build("JITCNormalR", backend=backend).A
    want, rooms = A.todense(), []

    def rounded(size):
        rooms.append(size)
        return 8 if len(rooms) == 1 else size

    monkeypatch.setattr(jit_connectivity, "_rounded", rounded)
    got = A.tocsr()
    assert rooms[1] == A.nse == got.nse
    assert np.array_equal(got.todense(), want)


class Layer(brainstate.nn.Module):
    def __init__(self, A):
        super().__init__()
        self.A = A
        self.gain = brainstate.ParamState(jnp.ones(()))

    def update(self, x):
        return self.gain.value * (be.EventArray(x) @ self.A)


@pytest.mark.parametrize("name", [*LISTED, *DRAWN])
def test_inside_brainstate(name):
    case, x = build(name), np.array([True, False, True, True, False])
    want = x @ case.scattered(case.weights)
    layer = Layer(case.A)
    assert_close(layer(x), want, np.float64, NSE, 10)
    definition, state = brainstate.graph.treefy_split(layer)
    merged = brainstate.graph.treefy_merge(definition, state)
    assert type(merged.A) is type(case.A)
    assert_close(merged(x), want, np.float64, NSE, 10)
    assert_close(brainstate.transform.jit(lambda x: merged(x))(x), want, np.float64, NSE, 10)
    weights = brainstate.ParamState(case.A.data)
    gradient = brainstate.transform.grad(lambda: (be.EventArray(x) @ case.A.with_data(weights.value)).sum(), weights)()
    assert_close(gradient.reshape(-1), case.pulled_back(x[case.row] * 1.0), np.float64, NSE, 10)
