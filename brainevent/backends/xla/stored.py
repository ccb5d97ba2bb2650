"""XLA kernels of every operation, from a format's coordinates: any platform, the reference and the fallback."""

import jax
import jax.numpy as jnp

from ...connectivity import Connectivity
from ...core.ordered_sums import add_at
from ...core.table import kernel
from ...formats.dense import Dense


def accumulator(dtype):
    """Half precision sums in float32: a sum of n terms would otherwise lose about log2(n) of its 8 or 11 bits."""
    return jnp.float32 if jnp.dtype(dtype).itemsize == 2 else dtype


def _ends(A, transpose):
    """Where each synapse reads and where it adds."""
    row, col = A.coordinates()
    return (row, col) if transpose else (col, row)


@kernel("propagate", Connectivity, backend="xla")
def propagate_coordinates(A, x, *, dtype, transpose, event, batched):
    """Gather the operand at one end of every synapse, weigh, sum at the other end; NaN from a structure that is not sound."""
    source, target = _ends(A, transpose)
    wide = accumulator(dtype)

    def product(w, x):
        arriving = x.astype(wide)[source]
        if w is not None:
            arriving = arriving * w.astype(wide).reshape(-1, *(1,) * (x.ndim - 1))
        zeros = jnp.zeros((A.shape[int(transpose)], *x.shape[1:]), wide)
        return add_at(zeros, target, arriving, A.nse, ascends=A.target_sorted(transpose)).astype(dtype)

    return A.or_nan(jax.vmap(product)(A.data, x) if batched else product(A.data, x))


@kernel("correlate", Connectivity, backend="xla")
def correlate_coordinates(A, ct, x, *, wshape, transpose, event, batched):
    """Multiply what stands at the two ends of every synapse; NaN from a structure that is not sound."""
    source, target = _ends(A, transpose)
    wide = accumulator(ct.dtype)

    def pairs(ct, x):
        products = ct.astype(wide)[target] * x.astype(wide)[source]
        return (products if products.ndim == 1 else products.sum(-1)).reshape(wshape).astype(ct.dtype)

    return A.or_nan(jax.vmap(pairs)(ct, x) if batched else pairs(ct, x))


@kernel("propagate", Dense, backend="xla")
def propagate_dense(A, x, *, dtype, transpose, event, batched):
    """The ordinary matrix product."""

    def product(w, x):
        wide = accumulator(dtype)
        return jnp.matmul(w.T if transpose else w, x.astype(dtype), preferred_element_type=wide, precision="highest").astype(dtype)

    return jax.vmap(product)(A.data, x) if batched else product(A.data, x)


@kernel("correlate", Dense, backend="xla")
def correlate_dense(A, ct, x, *, wshape, transpose, event, batched):
    """The outer product, summed over columns."""

    def outer(ct, x):
        ct, x = (v[:, None] if v.ndim == 1 else v for v in (ct, x.astype(ct.dtype)))
        left, right = (x, ct) if transpose else (ct, x)
        return jnp.matmul(left, right.T, preferred_element_type=accumulator(ct.dtype), precision="highest").astype(ct.dtype)

    return jax.vmap(outer)(ct, x) if batched else outer(ct, x)
