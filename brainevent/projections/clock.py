"""The clock of a running network: which step it is, what time, and the random key of each consumer in this step.

The number of a step has 64 bits, two words of 32: at 0.1 ms, 2^31 steps are 60 hours.
"""

import dataclasses
import zlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

ERA = 1 << 32  # steps that share the upper word
MOST_STEPS = 1 << 63  # that a network counts


@dataclasses.dataclass(frozen=True)
class Clock:
    """Step n goes from `time` (ms) to `time + dt`.

    Args:
      words: the upper and the lower word of n, two uint32 scalars.
      dt: in ms.
      root: the random key of the network in this era, as `root_at` and `in_era` make it.
    """

    words: Any
    dt: float
    root: Any

    @property
    def time(self):
        """t_n in ms, to a rounding or two of the network's precision."""
        high, low = self.words
        dtype = jnp.result_type(float)
        parts = ((high, ERA), (low >> 12, 1 << 12), (low & 0xFFF, 1))
        return sum(word.astype(dtype) * jnp.asarray(size * self.dt, dtype) for word, size in parts)

    @property
    def place(self):
        """n modulo 2^32, as int32: where a step stands in a ring whose size is a power of two."""
        return jax.lax.bitcast_convert_type(self.words[1], jnp.int32)

    def key(self, consumer: str):
        """A random key for one consumer in this step: of its name, not of the order in which consumers come."""
        return jax.random.fold_in(jax.random.fold_in(self.root, zlib.crc32(consumer.encode())), self.words[1])

    def next(self):
        """The words of n + 1, uint32 (2,)."""
        high, low = self.words
        return jnp.stack([jnp.where(low + 1 == 0, high + 1, high), low + 1])


def words_of(step: int):
    """A step as two words, uint32 (2,)."""
    return np.array([step >> 32, step & 0xFFFFFFFF], np.uint32)


def step_of(words) -> int:
    """The reverse, on the host; a single number is a lower word."""
    *high, low = (int(word) & 0xFFFFFFFF for word in np.atleast_1d(np.asarray(words)))
    return sum(high) << 32 | low


def root_of(seed: int):
    """The random key made of all 64 bits of a seed; threefry, whatever jax's default is."""
    return jax.random.wrap_key_data(jnp.asarray(words_of(seed)), impl="threefry2x32")


def root_at(root, step: int):
    """The key of the era that a step is in: the root itself in the first."""
    return jax.random.fold_in(root, step // ERA) if step >= ERA else root


def in_era(root, high):
    """The same for a traced upper word."""
    data, other = jax.random.key_data(root), jax.random.key_data(jax.random.fold_in(root, high))
    return jax.random.wrap_key_data(jnp.where(high == 0, data, other), impl="threefry2x32")


def poisson_counts(key, mean, n: int):
    """Numbers of the Poisson distribution, integers (n,), that are the same under every configuration of jax; mean a scalar or (n,)."""
    with jax.threefry_partitionable(True):
        return jax.random.poisson(key, mean, (n,))


def random_bits(key, n: int):
    """Random words, uint32 (n,), that are the same under every configuration of jax."""
    with jax.threefry_partitionable(True):
        return jax.random.bits(key, (n,), jnp.uint32)
