"""Batches and columns of an operand as one row of columns, for kernels that take every column with weights of its own."""

import math

import jax.numpy as jnp


def spread(A, v, batched):
    """`(A, v)` for kernels of many columns: v as `(n, columns)`, A with one pair of parameters a column."""
    if not batched:
        v = v if v.ndim == 2 else v[:, None]
        return (A if A.data is None else A.replace(data=jnp.broadcast_to(A.data, (v.shape[1], 2)))), v
    v = v if v.ndim == 3 else v[..., None]
    b, n, k = v.shape
    A = A if A.data is None else A.replace(data=jnp.repeat(A.data, k, axis=0))
    return A, jnp.moveaxis(v, 1, 0).reshape(n, b * k)


def gathered(out, like, batched):
    """A result `(m, columns)` in the shape that belongs to an operand like `like`."""
    if not batched:
        return out.reshape(out.shape[0], *like.shape[1:])
    b, m = like.shape[0], out.shape[0]
    return jnp.moveaxis(out.reshape(m, b, math.prod(like.shape[2:])), 1, 0).reshape(b, m, *like.shape[2:])


def summed(sums, like, batched):
    """Sums `(columns, 2)` of a pull-back, over the columns of each example."""
    return sums.reshape(like.shape[0], math.prod(like.shape[2:]), 2).sum(1) if batched else sums.sum(0)
