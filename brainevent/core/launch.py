"""Many steps of a network as one call, where a backend has a kernel for it: what such a kernel is given.

All populations stand in one line of neurons, each padded to whole blocks. A neuron has `channels` synaptic states and, if
anything makes V jump, one channel more; a channel that a population does not have stays zero. All projections are one matrix by row.
"""

import dataclasses
from typing import Any

import jax
import numpy as np

from . import table

SMALL, LARGE, MANY = (
    128,
    512,
    1 << 16,
)  # neurons of a block, multiples of the 64 spikes of a packed word; the neurons that make blocks large
WEIGHT_BITS = 30  # of an integer weight: sums of 2^33 of them fit into 64 bits
MOST_DELAY = 255  # steps


@dataclasses.dataclass(frozen=True)
class Layout:
    """What is static.

    Args:
      n: neurons of the line. block: of each block, which belong to one population. channels: synaptic states a neuron.
      jumps: whether there is a channel of jumps. delays: whether a synapse has one.
      slots: of the ring of deposits, and steps of spikes that are kept; powers of two.
      most: the largest number of synapses of one row.
    """

    n: int
    block: int
    channels: int
    jumps: bool
    delays: bool
    slots: int
    kept: int
    most: int

    @property
    def ring(self) -> int:
        """Words of 32 bits of the ring; one if there is none."""
        return max(1, 2 * self.slots * (self.channels + self.jumps) * self.n)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Model:
    """Arrays that stay as they are during a run.

    Args:
      par: float32 (populations, 8 + 5 * (channels + 1)): -dt / tau, its exponential, R, V_rest, V_th, V_reset, steps of refractoriness,
        whether the propagators are exact; then for each channel the decay factor, what a unit of it adds to the offset and to the slope of
        the current and, by the exact propagators, to V, and the unit of its deposits. The last channel is that of the jumps.
      kinds, ends: int32 (blocks,), the row of `par` of each block, and where the neurons of its population end.
      starts: int32 (n + 1,), targets: int32 (nse,), channel * n + neuron. weights: int32, in units of the channel. delays: uint8, steps.
    """

    par: Any
    kinds: Any
    ends: Any
    starts: Any
    targets: Any
    weights: Any
    delays: Any


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Line:
    """The states of all neurons between two steps.

    Args:
      V: float32 (n,), wait: int32 (n,), the count of refractoriness, spiked: int8 (n,), in the last step.
      G: float32 (channels, n). history: int32 (kept, n / 32), the bits of the spikes of the last steps, that of step t in row t % kept.
      ring: int32 (slots * channels * n * 2,), the low and high words of 64-bit sums: what arrives at the end of step t in slot t % slots.
    """

    V: Any
    wait: Any
    spiked: Any
    G: Any
    history: Any
    ring: Any


def kernel_for(backend: str | None):
    """`(choice, why)`: a kernel `run(layout, model, line, current, when, rows) -> (line, bits)`, or None and why there is none.

    `current` is float32 (n,), pA; `when` int32 (3,): the number of the first step modulo 2^32, how many there are, and whether the ring
    is empty and to be filled from the history. Bits are int32 (rows, n / 32), a row a step, of which there is room for as many as `rows`.
    """
    try:
        choice = table.choose("run_steps", object, table.current_platform(), backend or table.requested(), np.float32)
    except table.BackendError as error:
        return None, str(error).partition(": ")[2].partition(";")[0]
    return choice, choice.reason
