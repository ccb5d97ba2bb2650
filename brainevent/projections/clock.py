"""The clock of a running network: which step it is, what time, and the random key of each consumer in this step."""

import dataclasses
import zlib
from typing import Any

import jax


@dataclasses.dataclass(frozen=True)
class Clock:
    """Step n goes from `time` (ms) to `time + dt`."""

    step: Any
    dt: float
    root: Any

    @property
    def time(self):
        """t_n in ms."""
        return self.step * self.dt

    def key(self, consumer: str):
        """A random key for one consumer in this step: of its name, not of the order in which consumers come."""
        return jax.random.fold_in(jax.random.fold_in(self.root, zlib.crc32(consumer.encode())), self.step)
