"""Every product, derivative and batching of every format on every backend, against the dense matrix."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import compare, connectivity_product, dense_product, laws, scalar_laws
from tables import EVENTS, FORMAT_BACKENDS, MAIN, NSE, SIDES, build, operand

pytestmark = pytest.mark.usefixtures("x64")

FULL = ("bool EventArray", "float EventArray", "float")  # MaskedFloat is float, bool is bool EventArray: one primitive call each


@functools.cache
def inputs():
    """Weights, scalar weights, operands by kind and side, cotangents by side."""
    rng = np.random.default_rng(1)
    w, s = rng.normal(size=(5, NSE)), rng.normal(size=3)
    x = {(kind, side): operand(rng, (3, n), EVENTS[kind]) for kind in EVENTS for side, n in zip(SIDES, MAIN)}
    ct = {side: rng.normal(size=m) for side, m in zip(SIDES, MAIN[::-1])}
    return w, s, x, ct


def everything(products, w, s, x, ct, *, scalars):
    """The laws of each kind and side, `products` giving `apply` by kind; `scalars`: also those of one weight for all synapses."""
    out = {}
    for kind, side in x:
        for law, value in laws(products[kind], side, w, x[kind, side], ct[side], full=kind in FULL).items():
            out[kind, side, law] = value
        if scalars and kind in FULL[:2]:
            for law, value in scalar_laws(products[kind], side, s, x[kind, side], ct[side]).items():
                out[kind, side, law] = value
    return out


@functools.partial(jax.jit, static_argnames="scalars")
def dense_results(row, col, w, s, x, ct, *, scalars):
    def product(kind):
        apply = dense_product(row, col, MAIN, EVENTS[kind])
        return lambda w, x, side: apply(jnp.broadcast_to(w, (NSE,)), x, side)

    return everything({kind: product(kind) for kind in EVENTS}, w, s, x, ct, scalars=scalars)


@pytest.mark.parametrize("name, backend", FORMAT_BACKENDS)
def test_every_law_holds(name, backend):
    case = build(name, backend=backend)
    products = {kind: connectivity_product(case, EVENTS[kind]) for kind in EVENTS}
    scalars = name != "Dense"
    got = jax.jit(functools.partial(everything, products, scalars=scalars))(*inputs())
    compare(got, dense_results(case.row, case.col, *inputs(), scalars=True), jnp.float64, NSE**2, name)
