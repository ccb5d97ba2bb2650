"""A product that scatters, as passes of one kernel: count the terms, or find the largest and add them up, in whatever order."""

import jax
import jax.numpy as jnp
import numpy as np

from .bridge import blocks, call
from .kernels.compressed import COUNT, SUM, TOP
from .kernels.sums import settle

SETTLED = 1024  # sums a program turns into floats


def words_of(dtype) -> int:
    """64-bit words of a sum: float64 needs two, for it has 53 bits of its own."""
    return 2 if np.dtype(dtype).itemsize == 8 else 1


def shift_of(terms: int, words: int) -> int:
    """Bits of a term below its largest bit, so that so many terms fit into 63."""
    return 30 if words == 2 else 61 - max(terms, 1).bit_length()


def scattered(run, shape, dtype, terms: int, *, counts: bool, columns=None):
    """The sums at all targets.

    Args:
      run: `(out, tops, zeroed, PASS=..., SHIFT=..., WORDS=...) -> array`, which launches a pass.
      shape, dtype: of the result. terms: how many one sum can have at most.
      counts: every term is one.
      columns: int32, one for each of the last axis: the exponents of bounds of the terms; found for every target by a pass if left out.
    """
    size = int(np.prod(shape))
    if not size or not terms:
        return jnp.zeros(shape, dtype)
    integers = jax.ShapeDtypeStruct((size,), np.int32)
    if counts:
        return run(integers, None, PASS=COUNT.value, SHIFT=0, WORDS=1).astype(dtype).reshape(shape)
    words = words_of(dtype)
    fit = {"SHIFT": shift_of(terms, words), "WORDS": words}
    tops, period = (run(integers, None, PASS=TOP.value, **fit), size) if columns is None else (columns, columns.shape[0])
    sums = run(jax.ShapeDtypeStruct((2 * words * size,), np.int32), tops, PASS=SUM.value, **fit)
    outs = [jax.ShapeDtypeStruct((size,), dtype)]
    (out,) = call(settle, outs, sums, tops, size, period, programs=blocks(size, SETTLED), B=SETTLED, **fit)
    return out.reshape(shape)
