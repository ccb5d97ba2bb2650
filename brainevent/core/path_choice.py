"""The path of a delivery, chosen each time step: from the active rows, by gathering at every target, or the dense product.

The cost model is a line a path, in nanoseconds on one core: so much for a delivery by scatter, so much for every synapse by gather,
so much for every entry of a dense matrix. `python -m benchmarks paths` measures the constants on a machine.
"""

import dataclasses
import os

import numpy as np

PATHS = ("auto", "event", "dense")
TAKEN = ("event", "gather", "dense")  # what can run; the order of the counters


@dataclasses.dataclass(frozen=True)
class Costs:
    """Nanoseconds a unit of work of each path, on one core of a 2-core x86-64 machine; a write to a target costs what its cache does."""

    scatter: tuple[float, float, float] = (0.6, 1.3, 1.36)  # a delivery where gathering is a choice, for targets within CACHES and beyond
    gather: tuple[float, float, float] = (0.66, 0.95, 1.2)  # a stored synapse, for the same
    row: float = 0.07  # an entry of an active row of a dense matrix
    product: float = 0.07  # an entry of a dense matrix

    def sparse(self, target_bytes: int) -> tuple[float, float]:
        """`(scatter, gather)` for targets of that size."""
        level = sum(target_bytes > size for size in CACHES)
        return self.scatter[level], self.gather[level]


CACHES = (64 << 10, 1 << 20)  # bytes: targets that stay near beside the synapses that stream past, and in the second level
COSTS = Costs()
MIRROR_BYTES = int(os.environ.get("BRAINEVENT_MIRROR_BYTES", 96 << 20))  # `auto` keeps a mirror for gathering up to this size


def check_path(path: str, owner: str) -> str:
    """The path if it is a known word, else an error."""
    if path not in PATHS:
        raise ValueError(f"{owner}: path {path!r}, expected one of {PATHS}")
    return path


def describe_counts(path: str, counts) -> str:
    """`auto: event 9990 steps, gather 10 steps`, or that nothing ran yet."""
    if counts is None or not np.sum(counts):
        return f"{path}: no step yet"
    ran = ", ".join(f"{name} {int(n)} steps" for name, n in zip(TAKEN, np.asarray(counts)) if n)
    return f"{path}: {ran}"


def keeps_second(path: str, target_bytes: int, nbytes: int) -> bool:
    """Whether deliveries should keep a copy of the synapses grouped by target, for targets and a matrix of so many bytes."""
    scatter, gather = COSTS.sparse(target_bytes)
    return path == "dense" or (path == "auto" and scatter > 1.15 * gather and nbytes <= MIRROR_BYTES)
