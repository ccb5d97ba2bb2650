"""XLA kernels of the just-in-time formats, any platform: walk a block of chunks at a time, so that memory does not grow with synapses."""

import jax
import jax.numpy as jnp

from ...core import law
from ...core.columns import gathered, spread, summed
from ...core.ordered_sums import add_at
from ...core.path_choice import TAKEN
from ...core.table import BackendError, kernel
from ...formats.jit_connectivity import JITConnectivity
from .stored import accumulator

BLOCKS = 8  # of four words, drawn at a time for each chunk of a block
VALUES = 1 << 18  # values at a time that a block of chunks may spread out, over its words and columns


def walk(A, lines, n_lines, carry, visit, columns: int = 1):
    """Visit every synapse of the first `n_lines` of `lines`, a block of chunks at a time.

    Args:
      lines: int (l,). n_lines: how many of them, may be traced.
      visit: `(carry, line (p,), item (p,), position (p, d), hit (p, d)) -> carry`, an item being a chunk: `line * chunks + chunk`.
      columns: how many values a visit holds for each synapse.
    """
    n, span, chunks = A.n_positions, law.span(A.prob), A.n_chunks
    if not lines.size or not n or not columns:
        return carry
    width = max(1, min(lines.size * chunks, VALUES // (4 * BLOCKS * columns)))
    if lines.size * chunks >= 1 << 31:
        raise BackendError(
            f"{A!r} has {lines.size * chunks} chunks, beyond the 2^31 that the xla backend counts: use numba, or smaller parts"
        )
    total = jnp.asarray(n_lines * chunks, jnp.int32)

    def block(state):
        first, carry = state
        item = first + jnp.arange(width, dtype=jnp.int32)
        live = item < total
        line, chunk = lines[item // chunks].astype(jnp.uint32), (item % chunks).astype(jnp.uint32)
        stop = jnp.minimum((chunk + 1) * jnp.uint32(span), jnp.uint32(n))
        hole = None if A.skip is None else (line.astype(jnp.int32) + A.skip).astype(jnp.uint32)[:, None]
        at = line.astype(jnp.int32), line.astype(jnp.int32) * chunks + chunk.astype(jnp.int32)

        def more(state):
            return jnp.any(live & (state[1] < stop))

        def draw(state):
            turn, reached, carry = state
            blocks = turn * BLOCKS + jnp.arange(BLOCKS, dtype=jnp.uint32)
            reach, hit = law.draw_gaps(A.seed, line, chunk, blocks, A.prob)
            ends = reached[:, None] + reach
            position = ends - 1
            hit &= (position < stop[:, None]) & live[:, None]
            hit = hit if hole is None else hit & (position != hole)
            carry = visit(carry, *at, jnp.where(hit, position, 0).astype(jnp.int32), hit)
            return turn + 1, jnp.minimum(ends[:, -1], stop), carry

        start = jnp.uint32(0), chunk * jnp.uint32(span), carry
        return first + width, jax.lax.while_loop(more, draw, start)[2]

    return jax.lax.while_loop(lambda state: state[0] < total, block, (jnp.int32(0), carry))[1]


def _weights(A, line, position, dtype):
    """The weights of synapses `(p, d)` or, with one pair of parameters a column, `(p, d, columns)`; 1 where there is one weight for all."""
    if A.data is None:
        return jnp.ones((1, 1), dtype)
    n = law.draw_weights(A.seed, line[:, None], position, A.kind)
    data = A.data.astype(A.precision or A.data.dtype)
    fold = None if A.fold is None else tuple(A.fold.astype(data.dtype))
    if data.ndim == 1:
        return law.weigh(*data, n, fold, A.kind).astype(dtype)
    return law.weigh(data[:, 0], data[:, 1], n[..., None], fold, A.kind).astype(dtype)


def _active(v):
    """`(lines, count)`: the lines that hold a nonzero, first; how many they are."""
    active = v != 0 if v.ndim == 1 else (v != 0).any(1)
    return jnp.nonzero(active, size=active.size, fill_value=0)[0], jnp.count_nonzero(active)


@kernel("propagate", JITConnectivity, backend="xla", event_driven=True)
def propagate_drawn(A, x, *, dtype, transpose, event, batched):
    """Scatter from the active lines if the operand stands on lines, else let every line gather."""
    wide, one = accumulator(dtype), x.ndim == 1 and not batched
    B, v = (A, x) if one else spread(A, x, batched)
    v = v.astype(wide)
    columns = 1 if one else v.shape[1]
    out = jnp.zeros((A.shape[int(transpose)], *v.shape[1:]), wide)
    tail = (1,) * (v.ndim - 1)

    def terms(line, position, hit, values):
        w = _weights(B, line, position, wide)
        w = w.reshape(*w.shape, *tail) if w.ndim == 2 else w
        return jnp.where(hit.reshape(*hit.shape, *tail), values * w, 0)

    def scatter(out, line, item, position, hit):
        sent = terms(line, position, hit, v[line][:, None])
        return add_at(out, position, sent, position.size)

    def gather(out, line, item, position, hit):
        return add_at(out, line, terms(line, position, hit, v[position]).sum(1), line.size)

    if int(transpose) != A.major:
        out = walk(A, *_active(v), out, scatter, columns)
    else:
        out = walk(A, jnp.arange(A.n_lines), A.n_lines, out, gather, columns)
    out = out.astype(dtype)
    return out if one else gathered(out, x, batched)


@kernel("enqueue", JITConnectivity, backend="xla")
def enqueue_drawn(ring, counts, A, delays, spikes, place, *, window):
    """Walk the lines that spiked."""
    v = spikes[window[0] : window[1]].astype(ring.dtype)
    v, B = (v * A.data, A.replace(data=None)) if A.kind is None else (v, A)

    def visit(ring, line, item, position, hit):
        due = place + law.draw_outcomes(A.seed, line[:, None], position, delays.table)
        sent = jnp.where(hit, v[line][:, None] * _weights(B, line, position, ring.dtype), 0)
        return add_at(ring, (due & (ring.shape[0] - 1), window[2] + position), sent, sent.size)

    return walk(A, *_active(v), ring, visit), counts.at[TAKEN.index("event")].add(1)


@kernel("correlate", JITConnectivity, backend="xla", event_driven=True)
def correlate_drawn(A, ct, x, *, wshape, transpose, event, batched):
    """The sums, over all synapses, of what stands at their two ends, and of that times n / 2^e: the pull-back to (a, b)."""
    wide = accumulator(ct.dtype)
    like, plain = ct, A.replace(data=None)
    ct, x = (spread(plain, v.astype(wide), batched)[1] for v in (ct, x))
    at_line, at_position = (ct, x) if int(transpose) == A.major else (x, ct)

    def visit(sums, line, item, position, hit):
        n = law.draw_weights(A.seed, line[:, None], position, A.kind)
        ends = jnp.where(hit[..., None], at_line[line][:, None] * at_position[position], 0)
        ends = ends if A.fold is None else jnp.where(law.weigh(*A.fold, n, None, A.kind)[..., None] < 0, -ends, ends)
        return sums + jnp.stack([ends.sum((0, 1)), (ends * law.scaled(n, A.kind, wide)[..., None]).sum((0, 1))], axis=-1)

    lines, count = _active(at_line)
    sums = walk(A, lines, count, jnp.zeros((ct.shape[1], 2), wide), visit, ct.shape[1])
    return summed(sums, like, batched).astype(like.dtype)


@kernel("list", JITConnectivity, backend="xla")
def list_drawn(A, room):
    """Synapses of every chunk, (lines, chunks); position and n of as many as there is room for, (room,), n (0,) if there is no kind."""
    lines = jnp.arange(A.n_lines)

    def tally(counts, line, item, position, hit):
        return counts.at[item].add(hit.sum(1, dtype=jnp.int32))

    counts = walk(A, lines, A.n_lines, jnp.zeros(A.n_lines * A.n_chunks, jnp.int32), tally)

    def write(carry, line, item, position, hit):
        filled, positions, numbers = carry
        place = jnp.where(hit, filled[item][:, None] + jnp.cumsum(hit, axis=1, dtype=jnp.int32) - 1, room)
        positions = positions.at[place].set(position, mode="drop")
        if A.kind:
            numbers = numbers.at[place].set(law.draw_weights(A.seed, line[:, None], position, A.kind), mode="drop")
        return tally(filled, line, item, position, hit), positions, numbers

    empty = jnp.zeros(room, jnp.int32), jnp.zeros(room if A.kind else 0, jnp.int32)
    starts = jnp.cumsum(counts, dtype=jnp.int32) - counts
    _, positions, numbers = walk(A, lines, A.n_lines, (starts, *empty), write) if room else (None, *empty)
    return counts.reshape(A.n_lines, A.n_chunks), positions, numbers
