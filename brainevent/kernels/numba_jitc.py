"""numba kernels of the just-in-time formats: what is done with each batch of synapses, and with how many threads."""

from collections import namedtuple
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numba import njit, prange, types
from numba.extending import overload

from ..backends.numba_ffi import call, threads
from ..core import law as laws
from ..core.kernels import kernel
from ..core.paths import check_drawn_path
from ..core.reference_jitc import gathered, spread, summed
from ..formats.drawn import JITConnectivity
from .numba_deposit import EVENT, GATHER, factor_of, fade
from .numba_law import NOWHERE, Law, chunks_of, scratch, sign_of, unit_of, visits, walk, weigh
from .numba_pieces import OK, active, active_rows, value, weight
from .numba_stored import SERVED, about_backend  # noqa: F401  explain asks this module too

THREADED_WORK = 20_000  # synapses of a call above which a second thread (about 10 us) is worth waking: one takes 4 ns or more


Scatter = namedtuple("Scatter", "basis x scale w fold weights out")
Gather = namedtuple("Gather", "basis x scale w fold weights out")
Columns = namedtuple("Columns", "basis x w fold gathers out")
PullBack = namedtuple("PullBack", "left right fold unit sums")
List = namedtuple("List", "filled counts positions numbers")


@visits(Scatter)
def visit_scatter(state, line, chunk, ids, numbers, count):
    """Add what a line sends to its positions."""
    x, w, out = state.x, state.weights, state.out
    weigh(state.w, state.fold, state.basis, numbers, count, w)
    v = state.scale * value(x, line, out)
    for t in range(count):
        out[np.uint64(ids[t])] += v * weight(w, t, out)


@visits(Gather)
def visit_gather(state, line, chunk, ids, numbers, count):
    """Sum what a line reads at its positions."""
    x, w, out = state.x, state.weights, state.out
    weigh(state.w, state.fold, state.basis, numbers, count, w)
    total = out.dtype.type(0)
    for t in range(count):
        total += out.dtype.type(x[np.uint64(ids[t])]) * weight(w, t, out)
    out[line] += state.scale * total


@njit
def scatter_lines(lines, count, first_chunk, last_chunk, x, scale, w, fold, out, law):
    """Add what the listed lines send to the positions of some chunks."""
    walk(law, lines, 0, count, first_chunk, last_chunk, Scatter(law.basis, x, scale, w, fold, scratch(w), out))


@njit(parallel=True)
def scatter_blocks(lines, count, x, scale, w, fold, blocks, out, seeds, table, basis, sizes):
    """The same for all chunks, one thread a block of them: every position is summed by one thread in the one order."""
    chunks = chunks_of(Law(seeds, table, basis, sizes))
    for b in prange(blocks):
        law = Law(seeds, table, basis, sizes)
        scatter_lines(lines, count, chunks * b // blocks, chunks * (b + 1) // blocks, x, scale, w, fold, out, law)


@njit
def gather_lines(first, last, x, scale, w, fold, out, law):
    """Let every line from `first` to `last` sum what it reads."""
    walk(law, None, first, last, 0, chunks_of(law), Gather(law.basis, x, scale, w, fold, scratch(w), out))


@njit(parallel=True)
def gather_blocks(x, scale, w, fold, blocks, out, seeds, table, basis, sizes):
    """The same for all lines, one thread a block of them."""
    for b in prange(blocks):
        law = Law(seeds, table, basis, sizes)
        gather_lines(out.shape[0] * b // blocks, out.shape[0] * (b + 1) // blocks, x, scale, w, fold, out, law)


def scatter(x, law, w, fold, out):
    """`out = x @ A` from the active lines."""
    out[:] = 0
    lines, count = active(x)
    law = Law(*law)
    scatter_lines(lines, count, 0, chunks_of(law), x, out.dtype.type(1), w, fold, out, law)
    return OK


def scatter_threaded(x, law, w, fold, blocks, least, out):
    """`scatter`, split by chunks where at least `least[0]` lines are active."""
    out[:] = 0
    lines, count = active(x)
    if count >= least[0]:
        scatter_blocks(lines, count, x, out.dtype.type(1), w, fold, blocks[0], out, *law)
    else:
        drawn = Law(*law)
        scatter_lines(lines, count, 0, chunks_of(drawn), x, out.dtype.type(1), w, fold, out, drawn)
    return OK


def gather(x, law, w, fold, out):
    """`out = A @ x`, line by line."""
    out[:] = 0
    gather_lines(0, out.shape[0], x, out.dtype.type(1), w, fold, out, Law(*law))
    return OK


def gather_threaded(x, law, w, fold, blocks, out):
    """`gather`, the lines shared out among threads."""
    out[:] = 0
    gather_blocks(x, out.dtype.type(1), w, fold, blocks[0], out, *law)
    return OK


def column_weight(w, c, number) -> Any:
    """The weight of a synapse for column c: `w[c, 0] + w[c, 1] * number`, or one."""
    raise NotImplementedError


@overload(column_weight, inline="always")
def _column_weight(w, c, number):
    if isinstance(w, types.NoneType):
        return lambda w, c, number: 1
    return lambda w, c, number: w[c, 0] + w[c, 1] * number


def number_at(numbers, t, basis, w) -> Any:
    """n / 2^e of a synapse in the dtype of the parameters; nothing of interest where there are none."""
    raise NotImplementedError


@overload(number_at, inline="always")
def _number_at(numbers, t, basis, w):
    if isinstance(w, types.NoneType):
        return lambda numbers, t, basis, w: 0
    return lambda numbers, t, basis, w: w.dtype.type(numbers[t]) * unit_of(basis, w)


@visits(Columns)
def visit_columns(state, line, chunk, ids, numbers, count):
    """Both directions for a 2-D operand, every column with parameters of its own."""
    x, w, out = state.x, state.w, state.out
    for t in range(count):
        number = number_at(numbers, t, state.basis, w)
        sign = -1 if sign_of(state.fold, number) else 1
        source, target = (np.int64(ids[t]), line) if state.gathers else (line, np.int64(ids[t]))
        for c in range(x.shape[1]):
            out[target, c] += x[source, c] * out.dtype.type(sign * column_weight(w, c, number))


def columns(x, law, w, fold, gathers, out):
    """The product of a 2-D operand, in either direction; a line that sends nothing costs nothing."""
    out[:] = 0
    law = Law(*law)
    if gathers[0]:
        walk(law, None, 0, out.shape[0], 0, chunks_of(law), Columns(law.basis, x, w, fold, True, out))
    else:
        lines, count = active_rows(x)
        walk(law, lines, 0, count, 0, chunks_of(law), Columns(law.basis, x, w, fold, False, out))
    return OK


@visits(PullBack)
def visit_pull_back(state, line, chunk, ids, numbers, count):
    """Add up what stands at the two ends of each synapse, and that times n / 2^e."""
    left, right, sums = state.left, state.right, state.sums
    for t in range(count):
        number = state.unit[0] * numbers[t]
        sign = -1.0 if sign_of(state.fold, number) else 1.0
        for c in range(left.shape[1]):
            pair = sign * left[line, c] * right[np.uint64(ids[t]), c]
            sums[c, 0] += pair
            sums[c, 1] += pair * number


def pull_back(left, right, law, fold, unit, out):
    """The pull-back to the two parameters, for each column; summed in float64, since there may be 1e9 synapses."""
    lines, count = active_rows(left)
    sums, law = np.zeros(out.shape), Law(*law)
    walk(law, lines, 0, count, 0, chunks_of(law), PullBack(left, right, fold, unit, sums))
    out[:] = sums
    return OK


@visits(List)
def visit_list(state, line, chunk, ids, numbers, count):
    """Count a batch, and write it down behind those before it, as far as there is room."""
    start = state.filled[0]
    for t in range(min(count, state.positions.shape[0] - start)):
        state.positions[start + t] = ids[t]
        state.numbers[start + t] = numbers[t]
    state.filled[0] = min(start + count, state.positions.shape[0])
    state.counts[line, chunk] += count


def list_synapses(law, counts, at, n):
    """Synapses of every chunk of every line; position and n of each, in the order of the walk; zeros in what is left."""
    law, filled = Law(*law), np.zeros(1, np.int64)
    for line in range(counts.shape[0]):
        for chunk in range(counts.shape[1]):
            counts[line, chunk] = 0
    walk(law, None, 0, counts.shape[0], 0, counts.shape[1], List(filled, counts, at, n))
    for t in range(filled[0], at.shape[0]):
        at[t] = n[t] = 0
    return OK


# -- which kernel serves, with how many threads --------------------------------------------------------------------------------


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


def _blocks(n):
    return np.array([n], np.int32)


def _busy_lines(A) -> int:
    """How many active lines make work for a second thread, at least one."""
    return max(1, int(THREADED_WORK / max(A.prob * A.n_positions, 1e-9)))


def _splits(A) -> bool:
    """Whether a scatter may be worth a second thread: there are chunks to share out, and enough synapses."""
    return threads()[0] > 1 and A.n_chunks > 1 and _busy_lines(A) <= A.n_lines


@kernel("propagate", JITConnectivity, backend="numba", platform="cpu", dtypes=SERVED, event_driven=True)
def propagate_drawn(A, x, *, dtype, transpose, event, batched):
    """Scatter from the active lines if the operand stands on lines, else let every line gather."""
    scatters, m = int(transpose) != A.major, A.shape[int(transpose)]
    if x.ndim > 1 or batched:
        B, v = spread(A, x.astype(dtype), batched)
        out = jax.ShapeDtypeStruct((m, v.shape[1]), dtype)
        return gathered(call(columns, out, v, _law(A), *_parameters(B), np.array([not scatters])), x, batched)
    out, operands = jax.ShapeDtypeStruct((m,), dtype), (_law(A), *_parameters(A))
    if not scatters:
        if threads()[0] > 1 and A.prob * A.shape[0] * A.shape[1] >= THREADED_WORK:
            return call(gather_threaded, out, x.astype(dtype), *operands, _blocks(threads()[0]))
        return call(gather, out, x.astype(dtype), *operands)
    x = x if x.dtype == bool else x.astype(dtype)
    if _splits(A):
        return call(scatter_threaded, out, x, *operands, _blocks(threads()[0]), _blocks(_busy_lines(A)))
    return call(scatter, out, x, *operands)


@kernel("correlate", JITConnectivity, backend="numba", platform="cpu", dtypes=SERVED, event_driven=True)
def correlate_drawn(A, ct, x, *, wshape, transpose, event, batched):
    """The pull-back to the two parameters."""
    like, plain = ct, A.replace(data=None)
    ct, x = (spread(plain, v.astype(like.dtype), batched)[1] for v in (ct, x))
    left, right = (ct, x) if int(transpose) == A.major else (x, ct)
    unit = np.array([2.0 ** -laws.EXPONENTS[A.kind]], like.dtype)
    out = jax.ShapeDtypeStruct((ct.shape[1], 2), like.dtype)
    fold = None if A.fold is None else A.fold.astype(like.dtype)
    return summed(call(pull_back, out, left, right, _law(A), fold, unit), like, batched)


@kernel("list", JITConnectivity, backend="numba", platform="cpu")
def list_drawn(A, room):
    """Synapses of every chunk, int32 (lines, chunks), and position and n of as many as there is room for, int32 (room,)."""
    outs = ((A.n_lines, A.n_chunks), (room,), (room,))
    return call(list_synapses, [jax.ShapeDtypeStruct(shape, np.int32) for shape in outs], _law(A))


# -- deliveries ----------------------------------------------------------------------------------------------------------------


def deposit_scatter(target, counts, decay, x, scale, w, fold, window, law, after, taken):
    """Let the target decay and add what the active lines send; `after` shares the memory of `target`, `taken` that of `counts`."""
    fade(after, decay)
    x, out = x[window[0] : window[1]], after[window[2] : window[3]]
    lines, count = active(x)
    taken[EVENT] += 1
    drawn = Law(*law)
    scatter_lines(lines, count, 0, chunks_of(drawn), x, scale[0], w, fold, out, drawn)
    return OK


def deposit_threaded(target, counts, decay, x, scale, w, fold, window, law, blocks, least, after, taken):
    """The same, split by chunks where at least `least[0]` lines are active."""
    fade(after, decay)
    x, out = x[window[0] : window[1]], after[window[2] : window[3]]
    lines, count = active(x)
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


@kernel("deposit", JITConnectivity, backend="numba", platform="cpu", dtypes=SERVED)
def deposit_drawn(target, counts, A, mirror, spikes, *, decay, window, path):
    """The one path there is: from the active lines, or, where the lines are targets, by walking all of them."""
    check_drawn_path(A, path)
    outs = (jax.ShapeDtypeStruct(target.shape, target.dtype), jax.ShapeDtypeStruct(counts.shape, counts.dtype))
    data, fold = _parameters(A)
    scale, w = (jnp.reshape(A.data, 1), None) if A.kind is None else (jnp.ones(1, target.dtype), data)
    operands = target, counts, factor_of(decay, target.dtype), spikes, scale, w, fold, np.array(window, np.int32), _law(A)
    if A.major:
        return call(deposit_gather, outs, *operands, _blocks(threads()[0]), aliases={0: 0, 1: 1})
    if _splits(A):
        return call(deposit_threaded, outs, *operands, _blocks(threads()[0]), _blocks(_busy_lines(A)), aliases={0: 0, 1: 1})
    return call(deposit_scatter, outs, *operands, aliases={0: 0, 1: 1})
