"""XLA kernels of a running network: threshold and reset, bits, rings, deliveries, plasticity."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from ...core.ordered_sums import add_at
from ...core.path_choice import TAKEN
from ...core.plastic import learned, released, remembered
from ...core.spikes import packed_size
from ...core.table import BackendError, kernel
from ...core.updates import add_arrived, add_arriving, add_later, take_due
from ...formats.compressed import Compressed, in_range
from ...formats.dense import Dense
from ...formats.jit_connectivity import JITConnectivity


@kernel("fire", object, backend="xla")
def fire_xla(V, wait, threshold, reset, hold):
    spikes = jnp.asarray(threshold, V.dtype) < V
    wait = jnp.where(spikes, jnp.asarray(hold, wait.dtype), jnp.maximum(wait - 1, 0))
    return jnp.where(spikes, jnp.asarray(reset, V.dtype), V), wait, spikes


@kernel("pack", object, backend="xla")
def pack_xla(spikes):
    padding = 8 * packed_size(spikes.shape[0]) - spikes.shape[0]
    return jnp.packbits(jnp.pad(spikes, (0, padding)), bitorder="little")


@kernel("ring_exchange", object, backend="xla")
def ring_exchange_xla(ring, step, spikes, delays):
    slots, n = ring.shape[0], spikes.shape[0]
    ring = ring.at[step % slots].set(pack_xla(spikes))
    rows = jnp.stack([ring[(step - delay) % slots] for delay in delays])
    return ring, jnp.unpackbits(rows, axis=1, count=n, bitorder="little").astype(bool)


@kernel("draw_counts", object, backend="xla")
def draw_counts_xla(key, table, rows, n, dtype):
    with jax.threefry_partitionable(True):  # the same bits under every configuration of jax
        words = jnp.minimum(jax.random.bits(key, (n,), jnp.uint32), np.uint32(2**32 - 2))
    if rows is None:
        return jnp.searchsorted(jnp.asarray(table[0]), words, side="right", method="compare_all").astype(dtype)
    return (jnp.asarray(table)[rows] <= words[:, None]).sum(1).astype(dtype)


@kernel("deposit", JITConnectivity, backend="xla")
def deposit_drawn(target, counts, A, mirror, spikes, *, decay, window, path):
    """The one path there is."""
    A.check_path(path)
    return add_arriving(target, A, spikes, decay, window), counts.at[TAKEN.index("gather" if A.major else "event")].add(1)


@kernel("deposit", object, backend="xla")
def deposit_xla(target, counts, A, mirror, spikes, *, decay, window, path):
    """XLA walks every synapse whatever the spikes, so there is one path, and it cannot be "event"."""
    if path == "event":
        raise BackendError(f'path="event" on {A!r}: the xla backend walks every synapse; use path="auto", or the numba backend')
    taken = TAKEN.index("dense" if isinstance(A, Dense) else "gather")
    return add_arriving(target, A, spikes, decay, window), counts.at[taken].add(1)


@kernel("enqueue", Compressed, backend="xla")
def enqueue_xla(ring, counts, A, delays, spikes, place, *, window):
    """Every synapse is asked whether its neuron spiked."""
    return A.or_nan(add_later(ring, A, delays, spikes, place, window, functools.partial(add_at, most=A.nse))), counts.at[
        TAKEN.index("gather")
    ].add(1)


@kernel("arrive", Compressed, backend="xla")
def arrive_xla(target, counts, A, arrivals, *, decay, window):
    """Every synapse is asked whether a spike arrives."""
    return A.or_nan(add_arrived(target, A, arrivals, decay, window, functools.partial(add_at, most=A.nse))), counts.at[
        TAKEN.index("gather")
    ].add(1)


@kernel("collect", object, backend="xla")
def collect_xla(target, ring, place, *, decay):
    return take_due(target, ring, place, decay)


@kernel("strengthen", Dense, backend="xla")
def strengthen_dense(A, w, spikes, trace, *, axis, places):
    """Whole rows or columns."""
    return w + (jnp.where(spikes[None, :], trace[:, None], 0) if axis else jnp.where(spikes[:, None], trace[None, :], 0))


@kernel("strengthen", Compressed, backend="xla")
def strengthen_lines(A, w, spikes, trace, *, axis, places):
    """Every synapse is asked whether its neuron spiked; NaN from a structure that is not sound."""
    added = jnp.where(spikes[A.lines()], trace[A.indices.reshape(-1)], 0).reshape(w.shape)
    if places is None:
        return A.or_nan(w + added)
    return A.or_nan(jnp.where(in_range(places, w.shape[0]), w.at[places].add(added), jnp.nan))


@kernel("release", object, backend="xla")
def release_xla(resources, sent, A, w, spikes, place, kinetics):
    """Every synapse, or every neuron, is asked."""
    resources, sent = released(resources, sent, A, w, spikes, place, kinetics)
    return resources, sent if A is None else A.or_nan(sent)


@kernel("remember", object, backend="xla")
def remember_xla(ring, trace, place):
    return remembered(ring, trace, place)


@kernel("learn", Compressed, backend="xla")
def learn_xla(rule, A, values, spikes, own, other, shared, *, axis, places, past, readers):
    """Every synapse is asked whether its neuron spiked; NaN from a structure that is not sound."""
    sound = True if places is None else in_range(places, values[0].shape[0])
    after = learned(rule, A, values, spikes, own, other, shared, axis, places, past)
    return tuple(A.or_nan(jnp.where(sound, value, jnp.nan)) for value in after)
