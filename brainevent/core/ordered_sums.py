"""Sums that come out the same in whatever order they are added up, where XLA adds in no fixed order: on an NVIDIA GPU."""

import jax
import jax.numpy as jnp

from . import table

LOWEST = -(1 << 14)  # an exponent below all
SECOND = 31  # bits that the second word of a sum is finer than the first


def add_at(target, index, terms, most: int, *, ascends: bool = False):
    """`target.at[index].add(terms)`, the same to the bit from run to run.

    Args:
      target: float32 or float64. terms: of that dtype. most: how many of them one entry gets at most. ascends: whether the index does.
    """
    if table.current_platform() != "cuda":
        return target.at[index].add(terms, indices_are_sorted=ascends)
    return target + whole_sums(target, index, terms, most)


def whole_sums(like, index, terms, most: int):
    """The sums in whole numbers of 64 bits, multiples of a power of two that fits the largest term of each; two words of it for float64."""
    with jax.enable_x64(True):
        terms = jax.lax.convert_element_type(terms, jnp.float64)
        finite = jnp.isfinite(terms)
        exponent = jnp.where(finite & (terms != 0), jnp.frexp(terms)[1].astype(jnp.int32), LOWEST)
        top = jnp.full(like.shape, LOWEST, jnp.int32).at[index].max(exponent)
        lowest = jnp.where(top == LOWEST, 0, top) - (61 - max(most, 1).bit_length())  # the exponent of a unit
        scaled = jnp.ldexp(jnp.where(finite, terms, 0), -lowest[index])
        whole = jnp.rint(scaled)
        empty = jnp.zeros(like.shape, jnp.int64)
        value = jnp.ldexp(empty.at[index].add(whole.astype(jnp.int64)).astype(jnp.float64), lowest)
        if like.dtype == jnp.float64:
            rest = jnp.ldexp(scaled - whole, jnp.int32(SECOND)).astype(jnp.int64)
            value += jnp.ldexp(empty.at[index].add(rest).astype(jnp.float64), lowest - SECOND)
        beyond = jnp.zeros(like.shape, jnp.float64).at[index].add(jnp.where(finite, 0, terms))  # infinite or NaN, whatever the order
        return jax.lax.convert_element_type(value + beyond, like.dtype)
