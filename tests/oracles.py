"""Dense oracles: one list of everything that a product promises, run on a connectivity and on the dense matrix, and compared."""

import jax
import jax.numpy as jnp
import numpy as np


def tolerance(dtype, terms: int) -> float:
    """Relative to the largest term: `terms` roundings of a sum in that dtype, and as many of the products in it."""
    return 2 * max(terms, 4) * float(jnp.finfo(dtype).eps)


def assert_close(got, want, dtype, terms, scale=1.0, name=""):
    """`got` is of `dtype` and within the tolerance of a sum of `terms` products of size up to `scale`."""
    got, want = np.asarray(got), np.asarray(want)
    assert got.dtype == jnp.dtype(dtype), f"{name}: dtype {got.dtype}, expected {jnp.dtype(dtype)}"
    assert got.shape == want.shape, f"{name}: shape {got.shape}, expected {want.shape}"
    np.testing.assert_allclose(got.astype(np.float64), want.astype(np.float64), rtol=0, atol=tolerance(dtype, terms) * scale, err_msg=name)


def straight_through(x):
    """1 where x is not 0, with the derivative of x itself."""
    return x + jax.lax.stop_gradient((x != 0).astype(x.dtype) - x)


def dense_product(row, col, basis, shape, kind):
    """`apply(w, x, side)` of the dense matrix of flat data `w`, whose weights are `w @ basis`, in jnp."""

    def apply(w, x, side):
        w = jnp.asarray(w)
        matrix = jnp.zeros(shape, w.dtype).at[row, col].add(w @ basis)
        x = x.astype(w.dtype) if kind.bool else straight_through(x) if kind.counted else x
        return x @ matrix if side == "x @ A" else x @ matrix.T

    return apply


def connectivity_product(case, kind):
    """`apply(w, x, side)` of the connectivity; `w` flat or one number, a row of `x` an operand, the product by rows."""

    def apply(w, x, side):
        A = case.with_weights(w) if w.ndim and w.size == case.n_weights else case.A.with_data(w)
        return kind.wrap(x) @ A if side == "x @ A" else (A @ kind.wrap(x.T)).T

    return apply


def laws(apply, side, w, x, ct, *, full: bool):
    """Values, derivatives and batchings of `apply(w, x, side)` as a dict of arrays.

    Args:
      w: (5, nse) weights. x: (3, n) operands, bool or float. ct: (m,) what the product is dotted with.
      full: also what costs long to compile: second order, nested batching, control flow.
    """

    def f(w, x):
        return apply(w, x, side)

    def loss(w, x):
        return jnp.sum(ct * jnp.sin(f(w, x)))

    w0, x0, dw, dx = w[0], x[0], w[1], x[1]
    smooth = x.dtype != bool
    out = {
        "product": f(w0, x0),
        "rows": f(w0, x),
        "gradient in w": jax.grad(loss)(w0, x0),
        "jvp in w": jax.jvp(lambda w: f(w, x0), (w0,), (dw,))[1],
        "vmap over x": jax.vmap(f, (None, 1), 1)(w0, x.T),
        "vmap over w": jax.vmap(f, (0, None))(w, x0),
        "vmap over both": jax.vmap(f, (1, 0), 1)(w[:3].T, x),
        "weight gradient of each example": jax.vmap(jax.grad(loss), (None, 0))(w0, x),
    }
    if smooth:
        out |= {
            "gradients": jax.grad(loss, (0, 1))(w0, x0),
            "jvp": jax.jvp(f, (w0, x0), (dw, x[1])),
            "jvp in x": jax.jvp(lambda x: f(w0, x), (x0,), (x[1],))[1],
        }
    if full:
        pairs = w[:4].reshape(2, 2, -1), jnp.stack([x[:2], x[1:]])
        out |= {
            "transpose in w": jax.linear_transpose(lambda w: f(w, x0), w0)(ct),
            "vmap of rows over w": jax.vmap(f, (0, None))(w, x),
            "nested vmap": jax.vmap(jax.vmap(f, (0, None)), (None, 0), 1)(w, x),
            "nested vmap over both": jax.vmap(jax.vmap(f))(*pairs),
            "nested weight gradients": jax.vmap(jax.vmap(jax.grad(loss)))(*pairs),
            "gradient of vmap": jax.grad(lambda w: jnp.sum(jax.vmap(loss, (None, 0))(w, x)))(w0),
            "remat": jax.grad(jax.checkpoint(loss))(w0, x0),
            "scan": jax.grad(lambda w: jax.lax.scan(lambda c, x: (jnp.sin(c + f(w, x)), None), ct, x)[0].sum())(w0),
            "reverse over reverse in w": jax.grad(lambda w: jnp.vdot(jax.grad(loss)(w, x0), dw))(w0),
            "second order in w": jax.jvp(jax.grad(lambda w: loss(w, x0)), (w0,), (dw,))[1],
        }
    if full and smooth:
        rows = jnp.stack([ct, 2 * ct, jnp.cos(ct)])
        out |= {
            "hessian": jax.hessian(loss, (0, 1))(w0, x0),
            "reverse over reverse": jax.grad(lambda w, x: jnp.vdot(jax.grad(loss, 1)(w, x), x[::-1]), (0, 1))(w0, x0),
            "reverse over reverse, w then both": jax.grad(lambda w, x: jnp.vdot(jax.grad(loss)(w, x), dw), (0, 1))(w0, x0),
            "reverse over reverse over vmap": jax.grad(lambda x: jnp.sum(jax.vmap(jax.grad(loss), (None, 0))(w0, x) ** 2))(x),
            "gradients of rows": jax.grad(lambda w, x: jnp.sum(rows * jnp.sin(f(w, x))), (0, 1))(w0, x),
            "jacobians": jax.jacrev(f, (0, 1))(w0, x0),
            "gradients of each pair": jax.vmap(jax.grad(loss, (0, 1)), (1, 1), 1)(w[:3].T, x.T),
            "third order": jax.jvp(lambda w, x: jax.jvp(jax.grad(loss, (0, 1)), (w, x), (dw, dx))[1], (w0, x0), (w[2], x[2]))[1],
        }
    return out


def scalar_laws(apply, side, s, x, ct):
    """The same for one weight for all synapses, `s` of shape (3,)."""

    def f(s, x):
        return apply(s, x, side)

    def loss(s, x):
        return jnp.sum(ct * jnp.sin(f(s, x)))

    return {
        "scalar weight": f(s[0], x[0]),
        "weight of shape (1,)": f(s[:1], x[0]),
        "scalar weight, rows": f(s[0], x),
        "gradient of a scalar": jax.grad(loss)(s[0], x[0]),
        "gradient of (1,)": jax.grad(loss)(s[:1], x[0]),
        "vmap over scalars": jax.vmap(f, (0, None))(s, x[0]),
        "vmap over scalars and x": jax.vmap(f)(s, x),
        "scalar gradient of each example": jax.vmap(jax.grad(loss))(s, x),
        "second order in a scalar": jax.jvp(
            jax.grad(loss), (s[0], x[0]), (s[1], jnp.zeros(x[0].shape, jax.dtypes.float0) if x.dtype == bool else x[1])
        )[1],
    }


def compare(got: dict, want: dict, dtype, terms, name=""):
    """Every entry of a dict of results; a difference is measured against the largest number of that entry."""
    for law in got:
        for g, w in zip(jax.tree.leaves(got[law]), jax.tree.leaves(want[law]), strict=True):
            scale = max(1.0, float(np.max(np.abs(w), initial=0)))
            assert_close(g, w, dtype, terms, scale, f"{name}: {law}")
