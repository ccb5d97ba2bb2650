"""Operations on the large buffers of a running network: threshold and reset, deliveries, rings of input that is due, weights.

Where a backend has a kernel of its own (numba on CPU) the buffer is updated in place: the call both updates and returns what the
step reads, so that XLA never has a reason to copy. Everywhere else plain XLA does the same.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .operator import propagate
from .spikes import entries
from .table import choice, chosen


def _taking(operation, A, dtype, spikes):
    """`(kernel, spikes)`, these as the kernel takes them."""
    found = choice(operation, A, dtype)
    return found.run, spikes if found.kernel.lists else entries(spikes)


def fire(V, wait, threshold, reset, hold):
    """Threshold, reset and refractory count of one step, in one pass over memory.

    Args:
      V: integrated potentials, floats (n,), held already where `wait > 1`.
      wait: int32 (n,), 0 for neurons that are free, else how many steps until they are.
      threshold, reset: in the unit of V, scalars or (n,).
      hold: int32, steps from a spike until V moves again, scalar or (n,).

    Returns:
      `(V, wait, spikes)`: V reset where it passed the threshold, the count of this step's end, and the spikes, bool (n,).
    """
    return _fire(chosen("fire", dtype=V.dtype), V, wait, threshold, reset, hold)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _fire(run, V, wait, threshold, reset, hold):
    return run(V, wait, threshold, reset, hold)


@_fire.defjvp
def _fire_jvp(run, primals, tangents):
    """V has the derivatives of what it is made of, the reset where it spiked; spikes, which jump, have none."""
    V, wait, spikes = _fire(run, *primals)
    d_V, d_reset = tangents[0], jnp.asarray(tangents[3], V.dtype)
    none: Any = np.zeros(wait.shape, jax.dtypes.float0), np.zeros(spikes.shape, jax.dtypes.float0)
    return (V, wait, spikes), (jnp.where(spikes, d_reset, d_V), *none)


def draw_counts(key, table: np.ndarray, rows, n: int, dtype):
    """Random numbers of events, floats (n,), of distributions that are known by tables: the same on every backend.

    Args:
      key: a random key of threefry, which no other draw takes.
      table: uint32 (r, m), ascending in a row: `2^32 P(X <= k)`. rows: which of the r is whose, integers (n,), or None where there is one.
    """
    return chosen("draw_counts", dtype=dtype)(key, table, rows, n, dtype)


def deposit(target, counts, A, mirror, spikes, *, decay=None, window, path: str):
    """Let the state of the post neurons decay and add what the spikes deliver, by the path that is cheapest for this step's spikes.

    Args:
      target: plain floats (size of the post population,); updated in place where the backend can.
      counts: int32 (3,), how often each path of `TAKEN` ran; updated.
      A: a connectivity of plain weights, shape (n_pre, n_post).
      mirror: the same matrix grouped by target, or None.
      spikes: bool (size of the pre population,) or `Listed`; or what each spike counts, floats of the dtype of the target, 0 where there
        is none.
      decay: a factor on the target before anything is added, scalar or one a neuron; None for no decay.
      window: `(pre_start, pre_stop, post_start, post_stop)`, the slices that A connects.
      path: "auto", "event" or "dense".

    Returns:
      `(target, counts)`.
    """
    run, spikes = _taking("deposit", A, target.dtype, spikes)
    return _deposit(run, window, path, target, counts, A, mirror, spikes, decay)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def _deposit(run, window, path, target, counts, A, mirror, spikes, decay):
    return run(target, counts, A, mirror, spikes, decay=decay, window=window, path=path)


@_deposit.defjvp
def _deposit_jvp(run, window, path, primals, tangents):
    """The in-place call has no derivative of its own; the plain product has the same one."""
    target, counts, A, _, spikes, decay = primals
    d_target, _, d_A, _, d_spikes, d_decay = tangents

    def plain(target, A, spikes, decay):
        return add_arriving(target, A, spikes, decay, window)

    tangent = jax.jvp(plain, (target, A, entries(spikes), decay), (d_target, d_A, entries(d_spikes), d_decay))[1]
    return _deposit(run, window, path, *primals), (tangent, np.zeros(counts.shape, jax.dtypes.float0))


def _plainly(target, index, terms):
    return target.at[index].add(terms)


def add_arriving(target, A, spikes, decay, window):
    """The same as a plain product, with the derivatives of one."""
    target = target if decay is None else target * jnp.asarray(decay, target.dtype)
    pre, post = slice(*window[:2]), slice(*window[2:])
    A = A if A.data is None else A.replace(data=A.data.astype(target.dtype))  # sums are as wide as the target
    return target.at[post].add(propagate(A, spikes[pre], transpose=True, event=spikes.dtype == bool))


class Delays(NamedTuple):
    """The delay of every synapse of a connectivity by row, in the order of its weights; they ascend within a row.

    steps: uint8 or uint16 (nse,). tally: int32 (longest + 2,), `tally[d]` being how many synapses have a delay below d; None where they
    are in no order, which only `arrive` and `learn` take, and look at every synapse.
    """

    steps: jax.Array
    tally: jax.Array | None


class DrawnDelays(NamedTuple):
    """The delays of a just-in-time matrix, drawn like its weights: `table`, uint32, of `core.law.outcome_table`."""

    table: jax.Array


def enqueue(ring, counts, A, delays: Delays | DrawnDelays, spikes, place, *, window):
    """Add what the spikes will deliver to a ring of due input, every synapse into the slot of its own delay.

    Args:
      ring: plain floats (slots, size of the post population), a power of two of slots, more than the longest delay; updated in place
        where the backend can.
      counts: int32 (3,), how often each path of `TAKEN` ran; updated.
      A: a connectivity of plain weights by row, shape (n_pre, n_post); a just-in-time one with `DrawnDelays`, others with `Delays`.
      spikes: as for `deposit`.
      place: int32 scalar, the number of this step, modulo 2^32.
      window: as for `deposit`.

    Returns:
      `(ring, counts)`.
    """
    run, spikes = _taking("enqueue", A, ring.dtype, spikes)
    return _enqueue(run, window, ring, counts, A, delays, spikes, place)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _enqueue(run, window, ring, counts, A, delays, spikes, place):
    return run(ring, counts, A, delays, spikes, place, window=window)


@_enqueue.defjvp
def _enqueue_jvp(run, window, primals, tangents):
    """Linear in the ring, in the weights, and in what spikes count."""
    ring, counts, A, delays, spikes, place = primals

    def plain(ring, A, spikes):
        if isinstance(delays, Delays):
            return add_later(ring, A, delays, spikes, place, window)
        return ring + chosen("enqueue", A, ring.dtype, "xla")(jnp.zeros_like(ring), counts, A, delays, spikes, place, window=window)[0]

    tangent = jax.jvp(plain, (ring, A, entries(spikes)), (tangents[0], tangents[2], entries(tangents[4])))[1]
    return _enqueue(run, window, *primals), (tangent, np.zeros(counts.shape, jax.dtypes.float0))


def add_later(ring, A, delays: Delays, spikes, place, window, add=_plainly):
    """The same by plain indexing, with the derivatives of it unless `add` is another way to add."""
    row, col = A.coordinates()
    weights = spikes[window[0] : window[1]][row].astype(ring.dtype) * A.data.reshape(-1)
    return add(ring, ((place + delays.steps.astype(jnp.int32)) & (ring.shape[0] - 1), window[2] + col), weights)


class Arrivals(NamedTuple):
    """The spikes that arrive in a step over synapses with delays of their own.

    spikes: bool (n_pre,), those of this step. delays: of every synapse of a connectivity, as it orders them. bits: uint8 (slots,
    packed_size(n)), the last spikes of a population, a power of two of slots, more than the longest delay; this step's are among them.
    first: which neuron of it is the first of the n_pre. place: int32 scalar, the number of this step, modulo 2^32.
    """

    spikes: Any
    delays: Delays
    bits: Any
    first: Any
    place: Any


def chosen_for(arrivals: Arrivals, operation, A, dtype):
    """The kernel of an operation on what arrives: that of plain XLA where delays are in no order."""
    return chosen(operation, A, dtype, "xla" if arrivals.delays.tally is None else None)


def arrive(target, counts, A, arrivals: Arrivals, *, decay=None, window):
    """`deposit` for spikes that arrive over synapses with delays of their own, with the weights that these have now.

    Args:
      target, counts, decay: as for `deposit`.
      A: a connectivity by row, with a plain weight for each synapse.
      window: `(post_start, post_stop)`, the slice of the post population that A connects to.

    Returns:
      `(target, counts)`.
    """
    run = chosen_for(arrivals, "arrive", A, target.dtype)
    return _arrive(run, arrivals.first, window, target, counts, A, arrivals._replace(first=None), decay)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def _arrive(run, first, window, target, counts, A, arrivals, decay):
    return run(target, counts, A, arrivals._replace(first=first), decay=decay, window=window)


@_arrive.defjvp
def _arrive_jvp(run, first, window, primals, tangents):
    """Linear in the target and in the weights."""
    target, counts, A, arrivals, decay = primals
    d_target, _, d_A, _, d_decay = tangents

    def plain(target, A, decay):
        return add_arrived(target, A, arrivals._replace(first=first), decay, window)

    tangent = jax.jvp(plain, (target, A, decay), (d_target, d_A, d_decay))[1]
    return _arrive(run, first, window, *primals), (tangent, np.zeros(counts.shape, jax.dtypes.float0))


def add_arrived(target, A, arrivals: Arrivals, decay, window, add=_plainly):
    """The same by plain indexing, with the derivatives of it unless `add` is another way to add."""
    target = target if decay is None else target * jnp.asarray(decay, target.dtype)
    arriving = jnp.where(arrived(A, arrivals), A.data.reshape(-1), 0)
    return add(target, window[0] + A.coordinates()[1], arriving)


def arrived(A, arrivals: Arrivals):
    """Over which synapses of a connectivity a spike arrives, bool (nse,)."""
    ids, bits = arrivals.first + A.lines(), arrivals.bits
    sent = (arrivals.place - arrivals.delays.steps.astype(jnp.int32)) & (bits.shape[0] - 1)
    return (bits[sent, ids >> 3] >> (ids & 7).astype(jnp.uint8)) & 1 != 0


def collect(target, ring, place, *, decay=None):
    """Let the target decay, add the input that is due in this step, and empty its slot.

    Args:
      target: plain floats (n,), and ring (slots, n); updated in place where the backend can.
      place: int32 scalar, the number of this step, modulo 2^32.
      decay: a factor on the target, scalar or one a neuron; None for no decay.

    Returns:
      `(target, ring)`.
    """
    return _collect(chosen("collect", dtype=target.dtype), target, ring, place, decay)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _collect(run, target, ring, place, decay):
    return run(target, ring, place, decay=decay)


@_collect.defjvp
def _collect_jvp(run, primals, tangents):
    """Linear in the target and in the ring."""
    target, ring, place, decay = primals
    d_target, d_ring, _, d_decay = tangents

    def plain(target, ring, decay):
        return take_due(target, ring, place, decay)

    return _collect(run, *primals), jax.jvp(plain, (target, ring, decay), (d_target, d_ring, d_decay))[1]


def take_due(target, ring, place, decay):
    """The same by plain indexing, with the derivatives of it."""
    slot = place & (ring.shape[0] - 1)
    target = target if decay is None else target * jnp.asarray(decay, target.dtype)
    return target + ring[slot], ring.at[slot].set(0)


def strengthen(A, w, spikes, trace, *, axis: int, places=None):
    """Add to the weights of every synapse of a neuron that spiked the trace of the neuron at its other end.

    Args:
      A: a connectivity without weights, whose lines (unless it is dense) are those of `axis`.
      w: its weights, plain floats of shape `A.weights_shape`; updated in place where the backend can.
      spikes: bool (A.shape[axis],).
      trace: of the dtype of the weights, (A.shape[1 - axis],).
      axis: 0 if `spikes` are of the pre neurons, 1 if of the post neurons.
      places: where in `w` the weight of each synapse stands, integers (nse,); None if they stand in order.

    Returns:
      The new weights.
    """
    return _strengthen(chosen("strengthen", A, w.dtype), axis, w, trace, A, spikes, places)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _strengthen(run, axis, w, trace, A, spikes, places):
    return run(A, w, spikes, trace, axis=axis, places=places)


@_strengthen.defjvp
def _strengthen_jvp(run, axis, primals, tangents):
    """Linear in the weights and the trace; the tangents go through plain XLA, which can be transposed."""
    w, _, A, spikes, places = primals
    plain = chosen("strengthen", A, w.dtype, "xla")
    return _strengthen(run, axis, *primals), plain(A, tangents[0], spikes, tangents[1], axis=axis, places=places)
