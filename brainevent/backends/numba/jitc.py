"""The numba backend of the just-in-time formats: which kernel serves, with how many threads, and the deliveries."""

import jax
import jax.numpy as jnp
import numpy as np

from ...core import law as laws
from ...core.columns import gathered, spread, summed
from ...core.spikes import entries
from ...core.table import kernel
from ...formats.jit_connectivity import JITConnectivity
from .bridge.ffi import call, threads
from .deposit import EVENT, GATHER, factor_of
from .kernels import jitc as walks
from .kernels.jitc import gather_blocks, later_blocks, later_lines, scatter_blocks, scatter_lines
from .kernels.law import NOWHERE, Law, chunks_of
from .kernels.operands import OK, active_in, fade
from .stored import SERVED

THREADED_WORK = 20_000  # synapses of a call above which a second thread (about 10 us) is worth waking: one takes 4 ns or more


def _law(A):
    """What kernels know of a matrix: `(seed, table, basis, sizes)`."""
    basis = {None: None, "uniform": np.zeros(1, np.uint8), "normal": laws.normal_table()}[A.kind]
    n, span = A.n_positions, laws.span(A.prob)
    likely = [laws.likely_words(A.prob, positions) for positions in (span, n - (A.n_chunks - 1) * span)]
    sizes = [n, span, *likely, NOWHERE if A.skip is None else A.skip]
    return A.seed, laws.gap_table(A.prob), basis, np.array(sizes, np.int32)


def _parameters(A):
    """`(data, fold)` in the dtype that weights are rounded to."""
    if A.data is None:
        return None, None
    data = A.data.astype(A.precision or A.data.dtype)
    return data, None if A.fold is None else A.fold.astype(data.dtype)


def _scaled(A, dtype):
    """`(scale, weights, fold)`: one weight for all is a factor, and then there are no weights."""
    data, fold = _parameters(A)
    return (jnp.reshape(A.data, 1), None, fold) if A.kind is None else (jnp.ones(1, dtype), data, fold)


def _blocks(n):
    return np.array([n], np.int32)


def _busy_lines(A) -> int:
    """How many active lines make work for a second thread, at least one."""
    return max(1, int(THREADED_WORK / max(A.prob * A.n_positions, 1e-9)))


def _worth(A) -> bool:
    """Whether there are threads, and synapses enough for them where every line is walked."""
    return threads()[0] > 1 and _busy_lines(A) <= A.n_lines


def _splits(A) -> bool:
    """Whether a scatter may be worth a second thread: there are chunks to share out too."""
    return _worth(A) and A.n_chunks > 1


@kernel("propagate", JITConnectivity, backend="numba", platform="cpu", dtypes=SERVED, event_driven=True)
def propagate_drawn(A, x, *, dtype, transpose, event, batched):
    """Scatter from the active lines if the operand stands on lines, else let every line gather."""
    scatters, m = int(transpose) != A.major, A.shape[int(transpose)]
    splits = _splits(A) if scatters else _worth(A)
    if x.ndim > 1 or batched:
        B, v = spread(A, x.astype(dtype), batched)
        out, operands = jax.ShapeDtypeStruct((m, v.shape[1]), dtype), (v, _law(A), *_parameters(B), np.array([not scatters]))
        if splits:
            y = call(walks.columns_threaded, out, *operands, _blocks(threads()[0]), _blocks(_busy_lines(A)))
        else:
            y = call(walks.columns, out, *operands)
        return gathered(y, x, batched)
    out, operands = jax.ShapeDtypeStruct((m,), dtype), (_law(A), *_parameters(A))
    if not scatters and splits:
        return call(walks.gather_threaded, out, x.astype(dtype), *operands, _blocks(threads()[0]))
    if not scatters:
        return call(walks.gather, out, x.astype(dtype), *operands)
    x = x if x.dtype == bool else x.astype(dtype)
    if splits:
        return call(walks.scatter_threaded, out, x, *operands, _blocks(threads()[0]), _blocks(_busy_lines(A)))
    return call(walks.scatter, out, x, *operands)


@kernel("correlate", JITConnectivity, backend="numba", platform="cpu", dtypes=SERVED, event_driven=True)
def correlate_drawn(A, ct, x, *, wshape, transpose, event, batched):
    """The pull-back to the two parameters."""
    like, plain = ct, A.replace(data=None)
    ct, x = (spread(plain, v.astype(like.dtype), batched)[1] for v in (ct, x))
    left, right = (ct, x) if int(transpose) == A.major else (x, ct)
    unit = np.array([2.0 ** -laws.EXPONENTS[A.kind]], like.dtype)
    out = jax.ShapeDtypeStruct((ct.shape[1], 2), like.dtype)
    fold = None if A.fold is None else A.fold.astype(like.dtype)
    operands = left, right, _law(A), fold, unit
    if _worth(A):
        return summed(call(walks.pull_back_threaded, out, *operands, _blocks(_busy_lines(A))), like, batched)
    return summed(call(walks.pull_back, out, *operands), like, batched)


@kernel("list", JITConnectivity, backend="numba", platform="cpu")
def list_drawn(A, room):
    """Synapses of every chunk, (lines, chunks); position and n of as many as there is room for, (room,), n (0,) if there is no kind."""
    outs = ((A.n_lines, A.n_chunks), (room,), (room if A.kind else 0,))
    return call(walks.list_synapses, [jax.ShapeDtypeStruct(shape, np.int32) for shape in outs], _law(A))


# -- deliveries ----------------------------------------------------------------------------------------------------------------


def deposit_scatter(target, counts, decay, x, scale, w, fold, window, law, after, taken):
    """Let the target decay and add what the active lines send; `after` shares the memory of `target`, `taken` that of `counts`."""
    fade(after, decay)
    (x, lines, count), out = active_in(x, window), after[window[2] : window[3]]
    taken[EVENT] += 1
    drawn = Law(*law)
    scatter_lines(lines, count, 0, chunks_of(drawn), x, scale[0], w, fold, out, drawn)
    return OK


def deposit_threaded(target, counts, decay, x, scale, w, fold, window, law, blocks, least, after, taken):
    """The same, split by chunks where at least `least[0]` lines are active."""
    fade(after, decay)
    (x, lines, count), out = active_in(x, window), after[window[2] : window[3]]
    taken[EVENT] += 1
    if count >= least[0]:
        scatter_blocks(lines, count, x, scale[0], w, fold, blocks[0], out, *law)
    else:
        drawn = Law(*law)
        scatter_lines(lines, count, 0, chunks_of(drawn), x, scale[0], w, fold, out, drawn)
    return OK


def deposit_gather(target, counts, decay, x, scale, w, fold, window, law, blocks, after, taken):
    """Let the target decay and every line of targets sum what it reads."""
    fade(after, decay)
    x, out = x[window[0] : window[1]], after[window[2] : window[3]]
    taken[GATHER] += 1
    gather_blocks(x, scale[0], w, fold, blocks[0], out, *law)
    return OK


@kernel("deposit", JITConnectivity, backend="numba", platform="cpu", dtypes=SERVED, lists=True)
def deposit_drawn(target, counts, A, mirror, spikes, *, decay, window, path):
    """The one path there is: from the active lines, or, where the lines are targets, by walking all of them."""
    A.check_path(path)
    outs = (jax.ShapeDtypeStruct(target.shape, target.dtype), jax.ShapeDtypeStruct(counts.shape, counts.dtype))
    scale, w, fold = _scaled(A, target.dtype)
    operands = target, counts, factor_of(decay, target.dtype), spikes, scale, w, fold, np.array(window, np.int32), _law(A)
    if A.major:
        operands = *operands[:3], entries(spikes), *operands[4:]
        return call(deposit_gather, outs, *operands, _blocks(threads()[0]), aliases={0: 0, 1: 1})
    if _splits(A):
        return call(deposit_threaded, outs, *operands, _blocks(threads()[0]), _blocks(_busy_lines(A)), aliases={0: 0, 1: 1})
    return call(deposit_scatter, outs, *operands, aliases={0: 0, 1: 1})


def enqueue_drawn(ring, counts, x, scale, w, fold, window, table, place, law, after, taken):
    """Add what the active lines send into the slots of the ring that are due; `after` shares the memory of `ring`."""
    x, lines, count = active_in(x, window)
    taken[EVENT] += 1
    drawn = Law(*law)
    later_lines(lines, count, 0, chunks_of(drawn), x, scale[0], w, fold, table, np.int64(place[0]), window[2], after, drawn)
    return OK


def enqueue_threaded(ring, counts, x, scale, w, fold, window, table, place, law, blocks, least, after, taken):
    """The same, split by chunks where at least `least[0]` lines are active."""
    x, lines, count = active_in(x, window)
    taken[EVENT] += 1
    if count >= least[0]:
        later_blocks(lines, count, x, scale[0], w, fold, table, np.int64(place[0]), window[2], blocks[0], after, *law)
    else:
        drawn = Law(*law)
        later_lines(lines, count, 0, chunks_of(drawn), x, scale[0], w, fold, table, np.int64(place[0]), window[2], after, drawn)
    return OK


@kernel("enqueue", JITConnectivity, backend="numba", platform="cpu", dtypes=SERVED, lists=True)
def enqueue_lines(ring, counts, A, delays, spikes, place, *, window):
    outs = (jax.ShapeDtypeStruct(ring.shape, ring.dtype), jax.ShapeDtypeStruct(counts.shape, counts.dtype))
    scale, w, fold = _scaled(A, ring.dtype)
    operands = ring, counts, spikes, scale, w, fold, np.array(window, np.int64), delays.table, place, _law(A)
    if _splits(A):
        return call(enqueue_threaded, outs, *operands, _blocks(threads()[0]), _blocks(_busy_lines(A)), aliases={0: 0, 1: 1})
    return call(enqueue_drawn, outs, *operands, aliases={0: 0, 1: 1})
