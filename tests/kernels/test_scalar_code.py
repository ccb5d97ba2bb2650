"""Functions of numbers as numba code: what a user's learning rule becomes, primitive by primitive, against jax itself."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from tables import needs_numba

from brainevent.core.plastic import learn, scalar_program

pytestmark = needs_numba

# by the primitive that it takes: a function of (w, own, other), w in 0.2 to 0.9, traces in 0.1 to 2
RULES = {
    "abs": lambda w, x, y: jnp.abs(w - x[0]),
    "add, mul, sub, neg": lambda w, x, y: -(w + 0.5) * x[0] - y[0],
    "and, or, not": lambda w, x, y: jnp.where(((w > 0.5) & (x[0] > 1)) | ~(y[0] < 1), w, -w),
    "atan2": lambda w, x, y: jnp.arctan2(w, x[0] - 1),
    "cbrt": lambda w, x, y: jnp.cbrt(w),
    "ceil, floor": lambda w, x, y: jnp.ceil(3 * x[0]) + jnp.floor(3 * w),
    "clamp": lambda w, x, y: lax.clamp(jnp.asarray(0.3, w.dtype), w, jnp.asarray(0.6, w.dtype)),
    "clip": lambda w, x, y: jnp.clip(w + x[0], 0.5, 1.2),
    "constants of numpy": lambda w, x, y: w * np.float64(1 / 3) + np.array(0.25),
    "convert_element_type": lambda w, x, y: w + (x[0] > 1) * jnp.float32(0.5),
    "cosh, sinh, tanh": lambda w, x, y: jnp.cosh(w) + jnp.sinh(w) + jnp.tanh(x[0]),
    "custom_jvp_call": lambda w, x, y: jax.nn.relu(w - 0.5) + jax.nn.softplus(x[0]),
    "div": lambda w, x, y: w / x[0],
    "eq, ne, ge, le": lambda w, x, y: (w == w) + 2.0 * (w != x[0]) + 4.0 * (w >= x[0]) + 8.0 * (w <= x[0]),
    "erf": lambda w, x, y: jax.scipy.special.erf(w),
    "exp, log": lambda w, x, y: jnp.exp(-w) + jnp.log(x[0]),
    "exp2": lambda w, x, y: jnp.exp2(w),
    "expm1, log1p": lambda w, x, y: jnp.expm1(w) - jnp.log1p(x[0]),
    "integer_pow, square": lambda w, x, y: w**3 + jnp.square(x[0]) + w**-2,
    "is_finite": lambda w, x, y: jnp.where(jnp.isfinite(w), w, 0),
    "logistic": lambda w, x, y: jax.nn.sigmoid(w),
    "max, min": lambda w, x, y: jnp.maximum(w, x[0]) - jnp.minimum(w, y[0]),
    "nested jit": lambda w, x, y: jax.jit(lambda a: jax.jit(jnp.sin)(a) * 2)(w) + 1,
    "pow": lambda w, x, y: w ** x[0],
    "sign": lambda w, x, y: jnp.sign(w - 0.5),
    "sin, cos, tan": lambda w, x, y: jnp.sin(w) + jnp.cos(x[0]) + jnp.tan(w),
    "sqrt, rsqrt": lambda w, x, y: jnp.sqrt(w) + lax.rsqrt(x[0]),
    "stop_gradient": lambda w, x, y: lax.stop_gradient(w) * 2,
    "the weight alone": lambda w, x, y: w,
    "a number alone": lambda w, x, y: 0.75,
    "two traces": lambda w, x, y: w + x[0] * x[1] - y[0],
}


def on_values(rule):
    """A rule for a weight as one for two values, the second of which becomes the product of what the first does and of what is shared."""

    def of_two(values, own, other, shared):
        w = jnp.asarray(rule(values[0], own, other), values[0].dtype)
        return w, w * shared[0]

    return of_two


def applied(rule, dtype, w, own, other):
    """The rule through the text that is made of it, for every triple of numbers."""
    import numba

    from brainevent.backends.numba.scalar_code import function_text

    counts, scope, values = (2, len(own), len(other), 1), {"np": np, "math": math}, (w.copy(), w.copy())
    exec(function_text(scalar_program(on_values(rule), dtype, *counts), *counts), scope)
    compiled = numba.njit(scope["rule"], error_model="numpy")
    for k in range(w.size):
        compiled(values, k, own, k, other, k, (np.full(1, 3, dtype),))
    np.testing.assert_array_equal(values[1], values[0] * dtype(3))
    return values[0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", RULES)
def test_the_text_says_what_the_function_does(name, dtype):
    rng = np.random.default_rng(0)
    w, rule = rng.uniform(0.2, 0.9, 20).astype(dtype), RULES[name]
    own, other = (tuple(rng.uniform(0.1, 2, 20).astype(dtype) for _ in range(n)) for n in (2, 1))
    with jax.enable_x64(dtype == np.float64):
        want = jax.vmap(lambda w, x, y: jnp.asarray(rule(w, x, y), dtype))(w, own, other)
        got = applied(rule, dtype, w, own, other)
    np.testing.assert_allclose(got, want, rtol=20 * np.finfo(dtype).eps, atol=20 * np.finfo(dtype).eps)


def test_what_has_no_text_is_served_by_xla_and_told():
    """A primitive that is not in the table: the same weights, and a warning that names it."""
    import brainevent as be

    A = be.CSR.fromdense(np.ones((3, 4), np.float32)).replace(data=None)
    w, spikes = jnp.linspace(0, 1, 12), jnp.array([True, False, True])
    with pytest.warns(UserWarning, match="a learning rule takes `digamma`, which has no compiled kernel"):
        (got,) = learn(
            lambda w, own, other, _: (w[0] + jax.scipy.special.digamma(other[0]),), A, (w,), spikes, (), (jnp.arange(1.0, 5.0),), axis=0
        )
    want = np.asarray(w).reshape(3, 4) + np.array([[1], [0], [1]]) * np.asarray(jax.scipy.special.digamma(jnp.arange(1.0, 5.0)))
    np.testing.assert_allclose(got.reshape(3, 4), want, rtol=1e-5)
