"""Plasticity of stored weights against loops of numpy in float64: both ends, both layouts and backends; bounds, units, transformations."""

import functools

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import assert_close
from tables import ACTIVE, HERE, MAIN, STORED

import brainevent as be

SIZES = (MAIN, (0, 3), (3, 0), (20, 9))
LAYOUTS = ("dense pre", "dense post", "csr pre", "csr post")


class Plastic:
    """One of the four functions on random weights, as a function of weights, spikes and trace; and what it should give."""

    def __init__(self, layout, shape=MAIN, dtype=np.float64, seed=0):
        self.kind, self.end = layout.split()
        self.shape, rng = shape, np.random.default_rng(seed)
        _, make = STORED["CSR"]
        (self.indices, self.indptr), self.row, self.col = make(rng, shape, 3 * max(shape))
        self.post_indptr, self.pre_ids, self.w_indices = be.coo2csr(self.col, self.row, shape=shape[::-1])
        n_spikes, n_trace = shape if self.end == "pre" else shape[::-1]
        self.w = rng.normal(size=shape if self.kind == "dense" else self.row.size).astype(dtype)
        self.trace = rng.normal(size=n_trace).astype(dtype)
        self.spikes = {name: rng.random(n_spikes) < rate for name, rate in ACTIVE.items()}

    def __call__(self, w, spikes, trace, *bounds, **structure):
        values = (spikes, trace) if self.end == "pre" else (trace, spikes)
        if self.kind == "dense":
            run = be.update_dense_on_binary_pre if self.end == "pre" else be.update_dense_on_binary_post
            return run(w, *values, *bounds)
        if self.end == "pre":
            parts = {"indices": self.indices, "indptr": self.indptr} | structure
            return be.update_csr_on_binary_pre(w, *parts.values(), *values, *bounds, shape=self.shape)
        parts = {"pre_ids": self.pre_ids, "post_indptr": self.post_indptr, "w_indices": self.w_indices} | structure
        return be.update_csr_on_binary_post(w, *parts.values(), *values, *bounds, shape=self.shape)

    def expected(self, spikes, low=-np.inf, high=np.inf):
        w = self.w.astype(np.float64)
        row, col = np.indices(self.shape).reshape(2, -1) if self.kind == "dense" else (self.row, self.col)
        flat = w.reshape(-1)
        for k, (i, j) in enumerate(zip(row, col)):
            spiked, other = (i, j) if self.end == "pre" else (j, i)
            if spikes[spiked]:
                flat[k] += float(self.trace[other])
        return np.clip(w, low, high)


@pytest.fixture(params=HERE)
def backend(request):
    with be.backend(request.param):
        yield request.param


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_weights_of_spiking_neurons_get_the_trace_at_the_other_end(layout, shape, backend):
    case = Plastic(layout, shape)
    run = jax.jit(case)
    for spikes in case.spikes.values():
        assert_close(run(case.w, spikes, case.trace), case.expected(spikes), np.float64, 2, 4, (layout, shape))
    assert_close(run(case.w, spikes, case.trace, -0.5, 0.75), case.expected(spikes, -0.5, 0.75), np.float64, 2, 4, "clipped")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_dtypes_and_kinds_of_spikes(layout, backend):
    case = Plastic(layout)
    spikes, floats = case.spikes["some"], np.where(case.spikes["some"], 1e-300, 0.0)
    want = case.expected(spikes)
    for kind in (spikes.astype(int), floats, be.EventArray(spikes), be.EventArray(floats), list(spikes), jnp.asarray(spikes)):
        assert_close(case(case.w, kind, case.trace), want, np.float64, 2, 4, type(kind))
    got = case(case.w.astype(np.float32), spikes, case.trace)
    assert got.dtype == jnp.float32
    assert_close(got, want, np.float32, 2, 4, layout)
    whole = case((8 * case.w).astype(int), spikes, case.trace)  # integers cannot learn by halves
    assert whole.dtype == jnp.float64 and (np.asarray(whole) % 1 != 0).any()


def test_half_precision_is_served_by_the_automatic_choice():
    for layout in LAYOUTS:
        case = Plastic(layout)
        got = case(jnp.asarray(case.w, jnp.bfloat16), case.spikes["some"], case.trace)
        assert got.dtype == jnp.bfloat16
        assert_close(got, case.expected(case.spikes["some"]), jnp.bfloat16, 2, 4, layout)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_bounds(layout, backend):
    """Of one side, of every weight, and of weights that no spike touched."""
    case = Plastic(layout)
    spikes, none = case.spikes["some"], case.spikes["none"]
    each = np.linspace(-1, 1, case.w.size).reshape(case.w.shape)
    for low, high in ((0.0, None), (None, 0.1), (each, None), (-each, each + 2), (each[-1:], 2)):
        if np.broadcast_shapes(np.shape(low) if low is not None else (), case.w.shape) != case.w.shape:
            continue
        bounds = (-np.inf if low is None else low, np.inf if high is None else high)
        for which in (spikes, none):
            assert_close(case(case.w, which, case.trace, low, high), case.expected(which, *bounds), np.float64, 2, 4, (low, high))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_units_are_those_of_the_weights(layout, backend):
    case = Plastic(layout)
    spikes = case.spikes["some"]
    got = case(case.w * u.nS, spikes, case.trace * 1e-3 * u.uS, -0.5e-3 * u.uS, 0.75 * u.nS)
    assert u.get_unit(got) == u.nS
    assert_close(u.get_mantissa(got), case.expected(spikes, -0.5, 0.75), np.float64, 8, 4, layout)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_batches_of_weights_spikes_and_traces(layout, backend):
    cases = [Plastic(layout)]
    w, trace = (np.stack([x, 2 * x, -x]) for x in (cases[0].w, cases[0].trace))
    spikes = np.stack(list(cases[0].spikes.values()))
    for axes in ((0, 0, 0), (None, 0, None), (0, None, 0)):
        arguments = [x if axis == 0 else x[1] for x, axis in zip((w, spikes, trace), axes)]
        got = jax.vmap(cases[0], axes)(*arguments)
        want = [cases[0](*(x[b] if axis == 0 else x for x, axis in zip(arguments, axes))) for b in range(3)]
        np.testing.assert_array_equal(got, np.stack(want))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_derivatives(layout, backend):
    """With respect to the trace and the weights, against finite differences of a bilinear form, which have no error but rounding."""
    case = Plastic(layout)
    spikes, y = case.spikes["some"], np.random.default_rng(1).normal(size=case.w.shape)

    def loss(w, trace):
        return jnp.vdot(y, case(w, spikes, trace))

    by_w, by_trace = jax.jit(jax.grad(loss, (0, 1)))(case.w, case.trace)
    np.testing.assert_array_equal(by_w, y)
    for i in range(case.trace.size):
        step = np.zeros(case.trace.size)
        step[i] = 1.0
        np.testing.assert_allclose(by_trace[i], loss(case.w, case.trace + step) - loss(case.w, case.trace), atol=1e-13)


def test_a_loop_changes_the_weights_in_place():
    """A trace of numpy, 50 steps, spikes at both ends: what a user writes, and no copy of the weights that the loop carries."""
    case = Plastic("csr pre", (20, 9))
    other = Plastic("csr post", (20, 9))
    rng = np.random.default_rng(2)
    pre, post = rng.random((50, 20)) < 0.2, rng.random((50, 9)) < 0.2
    up, down = rng.random((50, 9)), -rng.random((50, 20))

    def step(w, now):
        before, after, a, b = now
        return other(case(w, before, a), after, b, 0.0, 1.0), None

    got = jax.jit(lambda w: jax.lax.scan(step, w, (pre, post, up, down))[0])(np.abs(case.w))
    w = np.abs(case.w)
    for t in range(50):
        w = w + pre[t][case.row] * up[t][case.col]
        w = np.clip(w + post[t][case.col] * down[t][case.row], 0, 1)
    np.testing.assert_allclose(got, w, rtol=1e-13)


@pytest.mark.parametrize("parts", [{"indices": [1, 7, 0]}, {"indices": [1, -1, 0]}, {"indptr": [0, 4, 3]}, {"indptr": [0, -1, 3]}])
def test_a_bad_structure_under_jit_is_an_error_or_nan(parts, backend):
    good = {"indices": [1, 2, 0], "indptr": [0, 2, 3]} | parts
    run = jax.jit(lambda ids, ptr: be.update_csr_on_binary_pre(jnp.zeros(3), ids, ptr, np.ones(2, bool), np.ones(3), shape=(2, 3)))
    arguments = [np.array(value) for value in good.values()]
    if backend != "numba":
        assert np.isnan(run(*arguments)).all()
    else:
        with pytest.raises((ValueError, jax.errors.JaxRuntimeError), match=r"out of range|not monotone"):
            run(*arguments).block_until_ready()


def test_bad_places_under_jit_are_an_error_or_nan(backend):
    run = jax.jit(lambda at: be.csr2csc_on_post(jnp.zeros(2), [0, 1], [0, 1, 2], at, np.ones(2), np.ones(2, bool), shape=(2, 2)))
    np.testing.assert_array_equal(run(np.array([1, 0])), [1, 1])
    for places in ([0, 2], [-1, 0]):
        if backend != "numba":
            assert np.isnan(run(np.array(places))).all()
        else:
            with pytest.raises((ValueError, jax.errors.JaxRuntimeError), match="out of range"):
                run(np.array(places)).block_until_ready()


def test_older_names():
    assert be.dense_on_pre is be.update_dense_on_binary_pre and be.dense_on_post is be.update_dense_on_binary_post
    assert be.csr_on_pre is be.update_csr_on_binary_pre and be.csr2csc_on_post is be.update_csr_on_binary_post


DENSE = functools.partial(be.update_dense_on_binary_pre, np.zeros((2, 3)), np.ones(2, bool), np.ones(3))
CSR = functools.partial(be.update_csr_on_binary_pre, shape=(2, 3))
GOOD = (np.zeros(3), [0, 2, 1], [0, 2, 3], np.ones(2, bool), np.ones(3))
POST = functools.partial(be.update_csr_on_binary_post, shape=(2, 2))
MASKED = np.ma.masked_greater(np.arange(3.0), 1)
BAD = {
    "spikes of the other end": (
        lambda: be.dense_on_pre(np.zeros((2, 3)), np.ones(3), np.ones(3)),
        ValueError,
        r"pre_spike has shape \(3,\), expected \(2,\), one a pre neuron",
    ),
    "trace of the other end": (
        lambda: be.dense_on_pre(np.zeros((2, 3)), np.ones(2), np.ones(2)),
        ValueError,
        r"post_trace has shape \(2,\), expected \(3,\)",
    ),
    "a scalar trace": (
        lambda: be.dense_on_post(np.zeros((2, 3)), 1.0, np.ones(3)),
        ValueError,
        r"pre_trace has shape \(\), expected \(2,\)",
    ),
    "a column of spikes": (
        lambda: be.dense_on_post(np.zeros((2, 3)), np.ones(2), np.ones((3, 1))),
        ValueError,
        r"post_spike has shape \(3, 1\)",
    ),
    "no matrix": (
        lambda: be.dense_on_pre(np.zeros(3), np.ones(2), np.ones(3)),
        ValueError,
        r"W has shape \(3,\), expected \(n_pre, n_post\)",
    ),
    "one weight for all": (lambda: CSR(1.0, *GOOD[1:]), ValueError, r"w has shape \(\), expected \(3,\), one a synapse"),
    "weights too few": (lambda: CSR(np.zeros(2), *GOOD[1:]), ValueError, r"weights of shape \(2,\)"),
    "ids out of range": (lambda: CSR(GOOD[0], [0, 3, 1], *GOOD[2:]), ValueError, r"update_csr_on_binary_pre: CSR: indices\[1\] is 3"),
    "pointer": (lambda: CSR(*GOOD[:2], [0, 4, 3], *GOOD[3:]), ValueError, "indptr must rise from 0 to the number of indices, 3"),
    "places out of range": (
        lambda: POST(np.zeros(2), [0, 1], [0, 1, 2], [0, 2], np.ones(2), np.ones(2)),
        ValueError,
        "w_indices go from 0 to 2, expected places in 2 weights",
    ),
    "places too few": (
        lambda: POST(np.zeros(2), [0, 1], [0, 1, 2], [0], np.ones(2), np.ones(2)),
        ValueError,
        r"w_indices has shape \(1,\), expected \(2,\)",
    ),
    "places of floats": (
        lambda: POST(np.zeros(2), [0, 1], [0, 1, 2], [0.0, 1.0], np.ones(2), np.ones(2)),
        TypeError,
        "w_indices has dtype float64, expected integers",
    ),
    "trace without the unit": (
        lambda: be.dense_on_pre(np.zeros((2, 3)) * u.nS, np.ones(2), np.ones(3)),
        u.UnitMismatchError,
        "post_trace has no unit and the weights have unit nS",
    ),
    "trace of another unit": (
        lambda: be.dense_on_pre(np.zeros((2, 3)) * u.nS, np.ones(2), np.ones(3) * u.mV),
        u.UnitMismatchError,
        "post_trace has unit mV and the weights have unit nS",
    ),
    "bound of another unit": (lambda: DENSE(1 * u.mV), u.UnitMismatchError, "w_min has unit mV and the weights have no unit"),
    "spikes with a unit": (lambda: be.dense_on_pre(np.zeros((2, 3)), np.ones(2) * u.mV, np.ones(3)), TypeError, "pre_spike has unit mV"),
    "bounds that cross": (lambda: DENSE(1.0, 0.5), ValueError, "w_min=1.0 is above w_max=0.5"),
    "bounds that cross under jit": (
        lambda: jax.jit(lambda W: be.dense_on_pre(W, np.ones(2), np.ones(3) * u.nS, 1 * u.uS, 1 * u.nS))(np.zeros((2, 3)) * u.nS),
        ValueError,
        "is above w_max",
    ),
    "a bound that is NaN": (lambda: DENSE(None, np.nan), ValueError, "w_max is NaN; None means no bound"),
    "a bound of another shape": (
        lambda: DENSE(np.zeros(2)),
        ValueError,
        r"w_min has shape \(2,\), expected one that broadcasts to the weights, \(2, 3\)",
    ),
    "a bound that is larger": (lambda: DENSE(np.zeros((4, 2, 3))), ValueError, r"w_min has shape \(4, 2, 3\)"),
    "a bound that is text": (lambda: DENSE("low"), TypeError, "w_min: expected real numbers, got 'low'"),
    "a complex trace": (
        lambda: be.dense_on_pre(np.zeros((2, 3)), np.ones(2), np.ones(3) * 1j),
        TypeError,
        "post_trace: expected real numbers, got dtype complex128",
    ),
    "a masked trace": (lambda: be.dense_on_pre(np.zeros((2, 3)), np.ones(2), MASKED), ValueError, "post_trace: some entries are masked"),
    "masked spikes": (lambda: be.dense_on_pre(np.zeros((3, 2)), MASKED, np.ones(2)), ValueError, "masked"),
    "complex weights": (lambda: be.dense_on_pre(np.zeros((2, 3)) * 1j, np.ones(2), np.ones(3)), TypeError, "W: expected real numbers"),
    "weights that are no numbers": (lambda: CSR(np.array([1.0, np.nan, 0.0]), *GOOD[1:]), ValueError, "expected finite numbers, got nan"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_inputs(case):
    make, error, words = BAD[case]
    with pytest.raises(error, match=words):
        make()


def test_controls_of_the_bad_inputs():
    """What looks odd and is meant: big-endian, read-only, wide integers, lists, no neurons."""
    want = np.array([[1.0, 2, 3], [0, 0, 0]])
    trace, spikes = np.array([1.0, 2, 3]), np.array([2**40, 0])
    trace.flags.writeable = False
    for w in (np.zeros((2, 3), ">f8"), [[0.0] * 3] * 2, np.zeros((2, 3), np.int8), jnp.zeros((2, 3))):
        for t in (trace, trace.astype(">f4"), [1, 2, 3], jnp.asarray(trace)):
            np.testing.assert_array_equal(be.dense_on_pre(w, spikes, t), want)
    assert be.dense_on_pre(np.zeros((0, 3)), np.zeros(0, bool), trace).shape == (0, 3)
