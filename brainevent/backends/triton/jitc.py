"""The triton backend of the just-in-time formats: which kernel serves, with how many programs."""

import jax
import jax.numpy as jnp
import numpy as np
import triton.language as tl  # pyright: ignore[reportMissingImports]

from ...core import law as laws
from ...core.columns import gathered, spread, summed
from ...formats.jit_connectivity import JITConnectivity
from .bridge import blocks, call, kernel, power_of_two
from .kernels import jitc as walks
from .kernels import law
from .passes import scattered

COLUMNS = 4  # at a time, at most
BLOCKS = 64  # of four words, that a program draws at once, at most
LINES = 32  # a program looks at for active ones
PARTIAL_SUMS = 1024  # of a pull-back
KINDS = {None: law.HOMO.value, "uniform": law.UNIFORM.value, "normal": law.NORMAL.value}


def _drawn(A) -> tuple:
    """What kernels know of a matrix: `(seed, table, basis)`, the numbers, and the constants."""
    table, bits = jnp.asarray(laws.gap_table(A.prob)), laws.table_bits(A.prob)
    basis = jnp.asarray(laws.normal_table()) if A.kind == "normal" else table
    n, span = A.n_positions, laws.span(A.prob)
    hole = 0 if A.skip is None else A.skip
    likely = laws.likely_words(A.prob, min(span, n))
    constants = {"HOLE": A.skip is not None, "BITS": bits, "NB": power_of_two(blocks(likely, 4), BLOCKS), "KIND": KINDS[A.kind]}
    return (A.seed.reshape(1), table, basis), (n, min(span, 1 << 30), A.n_chunks, hole), constants


def _parameters(A, stand_in):
    """`(data, fold, FOLD)`; something stands in for what there is not."""
    if A.data is None or not A.kind:
        return stand_in, stand_in, False
    data = A.data.astype(A.precision or A.data.dtype)
    return data, stand_in if A.fold is None else A.fold.astype(data.dtype), A.fold is not None


def _wide(dtype):
    """The dtype of terms, as kernels name it."""
    return tl.float64 if np.dtype(dtype).itemsize == 8 else tl.float32


def _tops(v, data, kind):
    """The exponent of a bound of the terms of each column, as float64 has it: one too many is one bit lost of 61."""
    largest = jnp.abs(v).max(0)
    if kind:
        largest = largest * (jnp.abs(data[..., 0]) + laws.LARGEST[kind] * jnp.abs(data[..., 1]))
    finite = jnp.isfinite(largest)
    bound = jnp.frexp(jnp.where(finite, largest, 1))[1].astype(jnp.int32) + 1023
    return jnp.broadcast_to(jnp.where(finite, bound, 0x7FF), (v.shape[1],))


@kernel("propagate", JITConnectivity, event_driven=True)
def propagate_drawn(A, x, *, dtype, transpose, event, batched):
    """Scatter from the active lines if the operand stands on lines, else let every line gather."""
    B, v = spread(A, x if event else x.astype(dtype), batched)
    m, columns = A.shape[int(transpose)], v.shape[1]
    if not A.n_lines or not A.n_positions or not columns:
        return gathered(jnp.zeros((m, columns), dtype), x, batched)
    arrays, sizes, constants = _drawn(A)
    data, fold, folds = _parameters(B, v)
    constants |= {
        "FOLD": folds,
        "WIDE": _wide(jnp.promote_types(dtype, data.dtype) if A.kind else dtype),
        "C": power_of_two(columns, COLUMNS),
    }
    groups = blocks(columns, constants["C"])
    if int(transpose) == A.major:
        outs = [jax.ShapeDtypeStruct((m, columns), dtype)]
        (out,) = call(walks.gather, outs, v, *arrays, data, fold, m, *sizes, columns, programs=m * groups, EVENT=event, **constants)
        return gathered(out, x, batched)
    share = min(A.n_chunks, max(1, blocks(1 << 15, A.n_lines)))

    def run(out, tops, **passed):
        operands = v, *arrays, data, fold, arrays[1] if tops is None else tops, A.n_lines, *sizes, columns, share
        programs = blocks(A.n_lines, LINES) * share * groups
        return call(walks.scatter, [out], *operands, programs=programs, zeroed=(0,), B=LINES, **constants, **passed)[0]

    counts = event and not A.kind
    tops = None if counts else _tops((v != 0).astype(dtype) if event else v, data, A.kind)
    return gathered(scattered(run, (m, columns), dtype, A.n_lines, counts=counts, columns=tops), x, batched)


@kernel("correlate", JITConnectivity, event_driven=True)
def correlate_drawn(A, ct, x, *, wshape, transpose, event, batched):
    """The sums, over all synapses, of what stands at their two ends, and of that times n / 2^e: the pull-back to (a, b)."""
    like, plain = ct, A.replace(data=None)
    ct, x = (spread(plain, v.astype(ct.dtype), batched)[1] for v in (ct, x))
    left, right = (ct, x) if int(transpose) == A.major else (x, ct)
    columns = left.shape[1]
    if not A.n_lines or not A.n_positions or not columns:
        return summed(jnp.zeros((columns, 2), like.dtype), like, batched)
    arrays, sizes, constants = _drawn(A)
    constants |= {"FOLD": A.fold is not None, "WIDE": _wide(like.dtype), "C": power_of_two(columns, COLUMNS)}
    fold = left if A.fold is None else A.fold.astype(like.dtype)
    parts, wide = min(PARTIAL_SUMS, A.n_lines), jnp.promote_types(like.dtype, jnp.float32)
    outs = [jax.ShapeDtypeStruct((parts, columns, 2), wide)]
    programs = parts * blocks(columns, constants["C"])
    (sums,) = call(walks.pull_back, outs, left, right, *arrays, fold, A.n_lines, *sizes, columns, parts, programs=programs, **constants)
    return summed(sums.sum(0), like, batched).astype(like.dtype)


@kernel("list", JITConnectivity)
def list_drawn(A, room):
    """Synapses of every chunk, (lines, chunks); position and n of as many as there is room for, (room,), n (0,) if there is no kind."""
    (seed, table, basis), sizes, constants = _drawn(A)
    shape = A.n_lines, A.n_chunks
    size, kind = shape[0] * shape[1], constants.pop("KIND")
    empty = jnp.zeros(room, jnp.int32), jnp.zeros(room if A.kind else 0, jnp.int32)
    if not size:
        return jnp.zeros(shape, jnp.int32), *empty
    (counts,) = call(walks.tally, [jax.ShapeDtypeStruct((size,), np.int32)], seed, table, *sizes, programs=size, **constants)
    if not room:
        return counts.reshape(shape), *empty
    starts = jnp.cumsum(counts, dtype=jnp.int32) - counts
    outs = [jax.ShapeDtypeStruct((room,), np.int32), jax.ShapeDtypeStruct((room if A.kind else 1,), np.int32)]
    at, n = call(walks.write, outs, seed, table, basis, starts, *sizes, room, programs=size, zeroed=(0, 1), KIND=kind, **constants)
    return counts.reshape(shape), at, n if A.kind else n[:0]
