"""The numba backend of the stored formats: which kernel serves which product, and with how many threads."""

import jax
import jax.numpy as jnp
import numpy as np

from ...core.table import kernel
from ...formats.compressed import Compressed
from ...formats.coo import COO
from ...formats.dense import Dense
from .bridge.ffi import call, threads
from .kernels import compressed as lines
from .kernels import coo, dense

SERVED = ("float32", "float64")
THREADED_WORK = 100_000  # synapses of a call above which fork and join (about 10 us) is worth a second thread
THREADED_ENTRIES = 4_000_000  # entries of a dense matrix: a million take 65 us on one thread, little more than waking another


@kernel("about", object, backend="numba", platform="cpu")
def about_backend() -> str:
    """How many threads kernels may use, and why."""
    n, why = threads()
    return f"up to {n} threads ({why})" if n > 1 else f"one thread ({why})"


def _operand(x, dtype):
    """Events stay bool, floats take the dtype of the weights."""
    return x if x.dtype == bool else x.astype(dtype)


def _columns(v, batched):
    """`v` with a batch axis and a column axis: (b, n, k)."""
    v = v if batched else v[None]
    return v if v.ndim == 3 else v[..., None]


def _out(shape, dtype):
    return jax.ShapeDtypeStruct(shape, dtype)


@kernel("propagate", Compressed, backend="numba", platform="cpu", dtypes=SERVED, event_driven=True)
def propagate_lines(A, x, *, dtype, transpose, event, batched):
    """Scatter if the operand stands on the major axis, else gather."""
    x, m, lead = _operand(x, dtype), A.shape[int(transpose)], int(batched)
    out = _out((*x.shape[:lead], m, *x.shape[lead + 1 :]), dtype)
    scatters = int(transpose) != A.major
    if batched:
        wide = _columns(x, True)
        run = lines.scatter_batch if scatters else lines.gather_batch
        return call(run, _out((wide.shape[0], m, wide.shape[2]), dtype), wide, A.data, A.structure()).reshape(out.shape)
    if x.ndim == 2:
        return call(lines.scatter_columns if scatters else lines.gather_columns, out, x, A.data, A.structure())
    blocks = threads()[0] if A.nse >= THREADED_WORK and (A.ordered or not scatters) else 1
    if blocks > 1:
        split = np.array([blocks], np.int32)
        if not scatters:
            return call(lines.gather_threaded, out, x, A.data, A.structure(), split)
        return call(lines.scatter_threaded, out, x, A.data, A.structure(), split, np.array([THREADED_WORK], np.int32))
    return call(lines.scatter if scatters else lines.gather, out, x, A.data, A.structure())


@kernel("correlate", Compressed, backend="numba", platform="cpu", dtypes=SERVED)
def correlate_lines(A, ct, x, *, wshape, transpose, event, batched):
    """The product of what stands at the two ends of every synapse, line by line."""
    ct, x = _columns(ct, batched), _columns(_operand(x, ct.dtype), batched)
    at_major, at_minor = (ct, x) if int(transpose) == A.major else (x, ct)
    flat = call(lines.outer, _out((ct.shape[0], A.nse), ct.dtype), at_major, at_minor, A.structure())
    return flat.reshape(*ct.shape[: int(batched)], *wshape) if batched else flat.reshape(wshape)


@kernel("propagate", COO, backend="numba", platform="cpu", dtypes=SERVED)
def propagate_pairs(A, x, *, dtype, transpose, event, batched):
    """Every coordinate in turn, skipping silent sources."""
    source, target = (A.row, A.col) if transpose else (A.col, A.row)
    x, m = _operand(x, dtype), A.shape[int(transpose)]
    if x.ndim == 1:
        run = coo.pairs_by_source if A.ordered and transpose else coo.pairs
        return call(run, _out((m,), dtype), x, A.data, source, target)
    wide = _columns(x, batched)
    weights = A.data if A.data is None or batched else A.data[None]
    out = call(coo.pairs_batch, _out((wide.shape[0], m, wide.shape[2]), dtype), wide, weights, source, target)
    return out.reshape(*x.shape[: int(batched)], m, *x.shape[int(batched) + 1 :])


@kernel("correlate", COO, backend="numba", platform="cpu", dtypes=SERVED)
def correlate_pairs(A, ct, x, *, wshape, transpose, event, batched):
    """The product of what stands at the two ends of every coordinate."""
    source, target = (A.row, A.col) if transpose else (A.col, A.row)
    ct, x = _columns(ct, batched), _columns(_operand(x, ct.dtype), batched)
    flat = call(coo.pairs_outer, _out((ct.shape[0], A.nse), ct.dtype), ct, x, source, target)
    return flat if batched else flat[0]


@kernel("propagate", Dense, backend="numba", platform="cpu", dtypes=SERVED)
def propagate_full(A, x, *, dtype, transpose, event, batched):
    """Active rows added up, or active columns read."""
    x, m = _operand(x, dtype), A.shape[int(transpose)]
    if x.ndim == 1:
        if threads()[0] == 1 or A.nse < THREADED_ENTRIES:
            return call(dense.dense_rows if transpose else dense.dense_columns, _out((m,), dtype), x, A.data)
        run, split = dense.dense_rows_threaded if transpose else dense.dense_columns_threaded, np.array([threads()[0]], np.int32)
        return call(run, _out((m,), dtype), x, A.data, split, np.array([THREADED_ENTRIES], np.int32))
    wide = _columns(x, batched)
    weights = A.data if batched else A.data[None]
    weights = weights if transpose else jnp.swapaxes(weights, 1, 2)
    out = call(dense.dense_rows_batch, _out((wide.shape[0], wide.shape[2], m), dtype), wide, weights)
    return jnp.swapaxes(out, 1, 2).reshape(*x.shape[: int(batched)], m, *x.shape[int(batched) + 1 :])


@kernel("correlate", Dense, backend="numba", platform="cpu", dtypes=SERVED)
def correlate_full(A, ct, x, *, wshape, transpose, event, batched):
    """The outer product, summed over columns."""
    ct, x = _columns(ct, batched), _columns(_operand(x, ct.dtype), batched)
    left, right = (x, ct) if transpose else (ct, x)
    out = call(dense.dense_outer, _out((ct.shape[0], *wshape), ct.dtype), left, right)
    return out if batched else out[0]
