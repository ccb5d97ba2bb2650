"""Programs of neurons as one pass over memory, against the program itself, and the exponential that passes are made of."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from tables import needs_numba, thorough

import brainevent as be
from brainevent.core import one_pass as module
from brainevent.core.spikes import emptied_log, entries, new_log, read_log

pytestmark = needs_numba
N = 37  # no multiple of what a vector holds


@pytest.fixture(autouse=True)
def of_few(monkeypatch):
    monkeypatch.setattr(module, "LEAST", 1)


# -- the exponential ----------------------------------------------------------------------------------------------------------

FUNCTIONS = {  # name: (of more bits, units of the last place that it may be off)
    "exp": (np.exp, 1.2),
    "expm1": (np.expm1, 2.5),
    "logistic": (lambda x: 1 / (1 + np.exp(-x)), 3.0),
    "tanh": (np.tanh, 3.0),
}
LARGEST = {np.float32: 86.0, np.float64: 700.0}


def machine_code(name):
    """A function of `kernels.exponential`, over an array."""
    import numba

    from brainevent.backends.numba.kernels import exponential

    function = getattr(exponential, name)

    @numba.njit(error_model="numpy")
    def over(x, out):
        for i in range(x.size):
            out[i] = function(x[i])

    def run(x):
        out = np.empty_like(x)
        over(x, out)
        return out

    return run


@pytest.mark.parametrize("dtype", LARGEST)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_exponentials_are_right_to_the_last_bits(name, dtype):
    rng, (function, units) = np.random.default_rng(0), FUNCTIONS[name]
    parts = (rng.uniform(-LARGEST[dtype], LARGEST[dtype], 20_000), rng.normal(size=20_000), 1e-3 * rng.normal(size=20_000), np.zeros(1))
    x, run = np.concatenate(parts).astype(dtype), machine_code(name)
    want = function(x.astype(np.longdouble))
    assert np.finfo(np.longdouble).eps < np.finfo(dtype).eps / 100
    off = np.abs(run(x) - want) / np.spacing(np.abs(want).astype(dtype))
    assert off.max() < units, (x[off.argmax()], off.max())
    with np.errstate(all="ignore"):
        ends = np.array([np.nan, np.inf, -np.inf, 2 * LARGEST[dtype], -2 * LARGEST[dtype]], dtype)
        np.testing.assert_array_equal(run(ends), function(ends))  # below the smallest normal number there is 0 here, and 1 - 0 is 1


# -- programs -----------------------------------------------------------------------------------------------------------------

EACH = np.linspace(0.5, 1.5, N)  # a parameter of each neuron

PROGRAMS = {  # by what it takes: from V (n,), g (n,), wait int32 (n,) and c () to what takes their place, and what is new
    "a constant factor": lambda V, g, wait, c: {"g": g * 0.98},
    "a membrane": lambda V, g, wait, c: {"V": (V + g * c) / (1 + g) + (V - 1) * jnp.exp(-0.1 * (1 + g)), "spikes": V > 0.5},
    "a parameter of each": lambda V, g, wait, c: {"V": V * jnp.asarray(EACH, V.dtype)},
    "abs, neg, square, sqrt": lambda V, g, wait, c: {"V": jnp.sqrt(jnp.abs(-V)) + jnp.square(g) + lax.rsqrt(jnp.abs(V) + 1)},
    "and, or, not": lambda V, g, wait, c: {"new": (V > 0) & ~(g > 0.5) | (wait == 2)},
    "ceil, floor": lambda V, g, wait, c: {"V": jnp.ceil(3 * V) + jnp.floor(2 * g)},
    "clip": lambda V, g, wait, c: {"V": jnp.clip(V, -0.3, 0.4), "g": lax.clamp(jnp.asarray(0.1, g.dtype), g, jnp.asarray(0.6, g.dtype))},
    "comparisons": lambda V, g, wait, c: {"V": (g == V) + 2.0 * (g != V) + 4.0 * (g <= V) + 8.0 * (g >= V) + (V < 0)},
    "counting": lambda V, g, wait, c: {"wait": jnp.where(V > 0.5, 20, jnp.maximum(wait - 1, 0)), "new": wait * wait + 3},
    "expm1, tanh, sigmoid": lambda V, g, wait, c: {"V": jnp.expm1(V) + jnp.tanh(g), "g": jax.nn.sigmoid(V)},
    "is_finite": lambda V, g, wait, c: {"V": jnp.where(jnp.isfinite(V / (wait - 1)), V, 7.0)},
    "maximum, minimum": lambda V, g, wait, c: {"V": jnp.maximum(V, g) - jnp.minimum(V, c)},
    "nested jit": lambda V, g, wait, c: {"V": jax.jit(lambda x: jax.jit(jnp.exp)(x) * 2)(V)},
    "nothing that is given": lambda V, g, wait, c: {"new": V * c},
    "powers": lambda V, g, wait, c: {"V": V**3 + g**4 + (V + 5) ** -2},
    "swapped": lambda V, g, wait, c: {"V": g, "g": V},
    "unchanged": lambda V, g, wait, c: {"V": V, "g": g + V},
}


def given(dtype, seed=0):
    rng = np.random.default_rng(seed)
    V, g = rng.normal(size=N).astype(dtype), rng.random(N).astype(dtype)
    return {"V": jnp.asarray(V), "c": jnp.asarray(0.3, dtype), "g": jnp.asarray(g), "wait": jnp.asarray(rng.integers(0, 4, N), jnp.int32)}


def by_name(program):
    return lambda given: program(**given)


def passed(program, values):
    """What a pass makes of what a program does, beside spikes; None if there is no pass."""

    def spiking(given):
        return {"spikes": given["V"] > 0.5, **program(given)}

    found = module.one_pass(spiking, values, "spikes")
    if found is None:
        return None
    made, listed, log = found
    assert log is None and listed.spikes is made["spikes"]
    return {key: made[key] for key in jax.eval_shape(program, values)}


@pytest.mark.parametrize("wide", [False, pytest.param(True, marks=thorough)])
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_pass_does_what_the_program_does(name, wide):
    program = by_name(PROGRAMS[name])
    with jax.enable_x64(wide):
        values = given(np.float64 if wide else np.float32)
        got, want = jax.jit(lambda values: passed(program, values))(values), program(values)
        assert got is not None and got.keys() == want.keys()
        eps = jnp.finfo(values["V"].dtype).eps
        for key in want:
            assert (got[key].dtype, got[key].shape) == (want[key].dtype, want[key].shape)
            np.testing.assert_allclose(got[key], want[key], rtol=20 * eps, atol=20 * eps)


@pytest.mark.parametrize("name", ["maximum, minimum", "clip", "a membrane", "expm1, tanh, sigmoid", "is_finite"])
def test_nan_stays_nan(name):
    program, values = by_name(PROGRAMS[name]), given(np.float32)
    values["V"] = values["V"].at[3].set(jnp.nan)
    got, want = jax.jit(lambda values: passed(program, values))(values), program(values)
    for key in want:
        np.testing.assert_array_equal(np.isnan(got[key]), np.isnan(want[key]))


REFUSED = {
    "a primitive without vectors": lambda V, g, wait, c: {"V": jnp.sin(V)},
    "neighbours": lambda V, g, wait, c: {"V": jnp.roll(V, 1)},
    "a sum over neurons": lambda V, g, wait, c: {"V": V - V.sum()},
    "a matrix": lambda V, g, wait, c: {"V": jnp.ones((N, N), V.dtype) @ V},
    "a loop": lambda V, g, wait, c: {"V": lax.fori_loop(0, 3, lambda i, x: x * 0.5, V)},
    "a scalar result": lambda V, g, wait, c: {"new": c * 2},
    "whole numbers divided": lambda V, g, wait, c: {"wait": lax.div(wait, wait + 1)},
    "whole numbers bit by bit": lambda V, g, wait, c: {"wait": wait & 1},
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_pass_is_left_to_others(name):
    assert passed(by_name(REFUSED[name]), given(np.float32)) is None


def test_few_neurons_other_backends_and_other_shapes_are_left_to_others(monkeypatch):
    program, values = by_name(PROGRAMS["a constant factor"]), given(np.float32)
    assert passed(program, values) is not None
    with be.backend("xla"):
        assert passed(program, values) is None
    assert passed(lambda given: {"g": given["g"]}, values | {"times": jnp.zeros(5)}) is None
    monkeypatch.setattr(module, "LEAST", N + 1)
    assert passed(program, values) is None


def test_derivatives_go_to_what_is_given_and_to_what_is_closed_over():
    program, values = by_name(PROGRAMS["a membrane"]), given(np.float32)

    def loss(run, V, scale):
        return (run(lambda given: {"V": program(given)["V"] * scale}, values | {"V": V})["V"] ** 2).sum()

    plain = jax.grad(lambda *at: loss(lambda f, given: f(given), *at), argnums=(0, 1))(values["V"], 1.5)
    for transform in (lambda f: f, jax.jit):
        for got, want in zip(transform(jax.grad(lambda *at: loss(passed, *at), argnums=(0, 1)))(values["V"], 1.5), plain):
            np.testing.assert_allclose(got, want, rtol=1e-5)
    tangent = jax.jvp(lambda V: loss(passed, V, 1.5), (values["V"],), (jnp.ones(N),))[1]
    np.testing.assert_allclose(tangent, plain[0].sum(), rtol=1e-4)


def test_vmap_is_a_loop_of_calls():
    program, values = by_name(PROGRAMS["a membrane"]), [given(np.float32, seed) for seed in range(3)]
    many = jax.tree.map(lambda *parts: jnp.stack(parts), *values)
    got = jax.vmap(lambda values: passed(program, values))(many)
    for k, one in enumerate(values):
        for key, value in passed(program, one).items():
            np.testing.assert_array_equal(got[key][k], value)


def test_what_is_given_is_kept_unless_it_is_donated():
    values = given(np.float32)
    before = np.array(values["g"])
    got = jax.jit(lambda values: passed(by_name(PROGRAMS["a constant factor"]), values))(values)
    np.testing.assert_array_equal(values["g"], before)
    assert not np.array_equal(got["g"], before)


def test_other_constants_are_the_same_machine_code():
    from brainevent.backends.numba.bridge import ffi

    values = given(np.float32)

    def run(a, b):
        return jax.jit(lambda values: passed(lambda given: {"V": jnp.where(given["V"] > a, b, given["V"] * 1.25)}, values))(values)["V"]

    made = []
    for a, b in ((0.3, 0.7), (0.0, 1.0)):
        np.testing.assert_array_equal(run(a, b), jnp.where(values["V"] > a, b, values["V"] * 1.25))
        made.append(len(ffi._handlers))
    assert made[0] == made[1]


@pytest.mark.parametrize("threaded", [False, pytest.param(True, marks=thorough)])
def test_spikes_are_listed_and_logged(threaded, monkeypatch):
    from brainevent.backends.numba import one_pass as backend

    monkeypatch.setattr(backend, "THREADED_NEURONS", 1 if threaded else 10**9)
    program = by_name(PROGRAMS["a membrane"])
    values = {key: jnp.tile(value, 11) if value.ndim else value for key, value in given(np.float32).items()}
    ids = np.flatnonzero(program(values)["spikes"])
    assert 20 < ids.size < 11 * N - 20
    run = jax.jit(lambda values, log: module.one_pass(program, values, "spikes", log))
    log = emptied_log(jnp.asarray(new_log(4, 3 * ids.size)))
    for steps in range(1, 4):
        made, listed, log = run(values, log)
        np.testing.assert_array_equal(made["spikes"], program(values)["spikes"])
        np.testing.assert_array_equal(listed.ids[: listed.count[0]], ids)
        counts, found = read_log(np.asarray(log), steps)
        np.testing.assert_array_equal(counts, [ids.size] * steps)
        np.testing.assert_array_equal(found, np.tile(ids, steps))
    with pytest.raises(Exception, match="out of range"):  # there is no room for a fourth
        jax.block_until_ready(run(values, log))
    made, listed, log = run(values, emptied_log(log))
    np.testing.assert_array_equal(read_log(np.asarray(log), 1)[1], ids)
    made, listed, log = run(values, None)
    assert log is None
    np.testing.assert_array_equal(listed.ids[: listed.count[0]], ids)


def test_lists_and_logs_beside_derivatives():
    program, values, log = (
        by_name(PROGRAMS["a membrane"]),
        given(np.float32),
        jnp.asarray(new_log(2, 90)),
    )
    plain = jax.jvp(lambda V: program(values | {"V": V})["V"], (values["V"],), (jnp.ones(N),))
    (V, listed, after), (d_V, *_) = jax.jvp(
        lambda V: (lambda made, listed, log: (made["V"], listed, log))(*module.one_pass(program, values | {"V": V}, "spikes", log)),
        (values["V"],),
        (jnp.ones(N),),
    )
    ids = np.flatnonzero(entries(listed))
    np.testing.assert_allclose((V, d_V), plain, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(listed.ids[: listed.count[0]], ids)
    np.testing.assert_array_equal(read_log(np.asarray(after), 1)[1], ids)


def test_threads_do_not_change_a_bit(monkeypatch):
    from brainevent.backends.numba import one_pass as backend

    program = by_name(PROGRAMS["a membrane"])
    values = {key: jnp.tile(value, 11) if value.ndim else value for key, value in given(np.float32).items()}
    found = []
    for least in (1, 10**9):
        monkeypatch.setattr(backend, "THREADED_NEURONS", least)
        found.append(jax.jit(lambda values: passed(program, values))(values))
    for key in found[0]:
        np.testing.assert_array_equal(found[0][key], found[1][key])
