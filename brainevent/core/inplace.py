"""Operations on the large buffers of a running network: pack spikes, keep them in a ring, deposit them at their targets.

Where a backend has a kernel of its own (numba on CPU) the buffer is updated in place: the call both updates and returns what the
step reads, so that XLA never has a reason to copy. Everywhere else plain XLA does the same.
"""

import jax.numpy as jnp
import numpy as np

from . import kernels
from .kernels import kernel


def _choose(operation, A=None, dtype=np.float32):
    return kernels.choose(operation, type(A) if A is not None else object, kernels.current_platform(), kernels.requested(A), dtype).run


def packed_size(n: int) -> int:
    """Bytes that hold n spikes as bits, in whole 64-bit words."""
    return (n + 63) // 64 * 8


def pack(spikes):
    """Spikes, bool (n,), as bits: uint8 (packed_size(n),), the first neuron lowest."""
    return _choose("pack")(spikes)


def ring_exchange(ring, step, spikes, delays: tuple[int, ...]):
    """Write this step's spikes into a ring of bits, and read those that are due.

    Args:
      ring: uint8 (slots, packed_size(n)), slots > max(delays).
      step: int32 scalar, the number of this step.
      spikes: bool (n,).
      delays: distinct delays in steps, at least 0.

    Returns:
      `(ring, due)`, due bool (len(delays), n): the spikes of `step - delay`.
    """
    return _choose("ring_exchange")(ring, step, spikes, delays)


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
    return _choose("fire", dtype=V.dtype)(V, wait, threshold, reset, hold)


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
