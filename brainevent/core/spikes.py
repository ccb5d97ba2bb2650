"""The spikes of a step as bits, as lists and in rings of those under way, where a backend has kernels for that in place."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .table import chosen, serves

LISTED_WORDS = 32  # of 32 spikes, that are listed together


def packed_size(n: int) -> int:
    """Bytes that hold n spikes as bits, in whole 64-bit words."""
    return (n + 63) // 64 * 8


def pack(spikes):
    """Spikes, bool (n,), as bits: uint8 (packed_size(n),), the first neuron lowest."""
    return chosen("pack")(spikes)


class Listed(NamedTuple):
    """The spikes of a step, found once for all who deliver or record them.

    spikes: bool (n,). ids: int32 (n,), ascending, of which the first `count`, int32 (1,), are those that spiked; the others are anything.
    """

    spikes: Any
    ids: Any
    count: Any


def new_log(rows: int, room: int) -> np.ndarray:
    """An empty log of spikes, to which kernels append those of a step in place: int32, in one array, for a call costs by the array.

    It holds how many steps there are, and may be; 0, then where the spikes of each step end; and behind all of that the ids, with room for
    so many.
    """
    log = np.empty(3 + rows + room, np.int32)
    log[:3] = 0, rows, 0
    return log


def emptied_log(log):
    """A log without a step."""
    return log.at[0].set(0)


def logged(log, row):
    """How many spikes there are before a row."""
    return log[2 + row]


def read_log(log: np.ndarray, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """`(counts, ids)`: how many spikes each of the first rows has, and a copy of them."""
    ends, start = log[2 : 3 + rows], 3 + log[1]
    return np.diff(ends), log[start : start + ends[-1]].copy()


def as_list(spikes, log=None) -> tuple:
    """`(spikes, log)`: spikes, bool (n,), as `Listed` where the backend in use has kernels that take them so, else as they are; and the
    log, if there is one, with them. (The list of a step is no part of the log: XLA copies a buffer which is carried on and which
    deliveries read as well, in a network of several populations.)
    """
    if not serves("list_active"):
        return spikes, log
    ids, count, *after = chosen("list_active")(spikes, log)
    return Listed(spikes, ids, count), after[0] if after else None


def entries(spikes):
    """Spikes as an array, however they are given."""
    return spikes.spikes if isinstance(spikes, Listed) else spikes


def logs_spikes() -> bool:
    """Whether the backend in use appends spikes to a log, step by step."""
    return serves("list_active")


def lists_spikes() -> bool:
    """Whether the backend in use lists spikes of many steps itself; where it does not, the host takes the bits apart."""
    return serves("list_spikes")


@jax.jit
def count_spikes(bits, rows):
    """How many spikes there are in the first rows of bits.

    Args:
      bits: uint8 (r, packed_size(n)). rows: how many of the r hold something.

    Returns:
      `(words, counts, starts, rows)`: the bits as int32 words, the spikes of each row, int32 (r,), and how many come before each run of
      `LISTED_WORDS` words, row by row; the number of rows, int32 (1,).
    """
    words = jax.lax.bitcast_convert_type(bits.reshape(bits.shape[0], -1, 4), jnp.int32)
    ones = jnp.where(jnp.arange(words.shape[0])[:, None] < rows, jax.lax.population_count(words), 0)
    runs = jnp.pad(ones, ((0, 0), (0, -words.shape[1] % LISTED_WORDS)))
    counts = runs.reshape(words.shape[0], -1, LISTED_WORDS).sum(2)
    starts = (jnp.cumsum(counts.reshape(-1)) - counts.reshape(-1)).astype(jnp.int32)
    return words, counts.sum(1), starts, jnp.asarray(rows, jnp.int32).reshape(1)


def list_spikes(words, starts, rows, capacity: int):
    """The neurons that spiked, row by row and ascending in a row: int32 (capacity,), zeros where there are fewer."""
    return chosen("list_spikes")(words, starts, rows, capacity)


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
    return chosen("ring_exchange")(ring, step, spikes, delays)
