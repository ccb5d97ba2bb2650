"""Many steps of a network as one call, where a backend has a kernel for it: what such a kernel is given.

All populations stand in one line of neurons, each padded to whole blocks. A neuron has `channels` synaptic states and, if
anything makes V jump, one channel more; a channel that a population does not have stays zero. All stored projections are one matrix by row;
those that are drawn, and the Poisson inputs, are rows of tables.
"""

import dataclasses
from typing import Any

import jax
import numpy as np

from . import table

BLOCKS = (128, 512, 1024)  # neurons of a block, multiples of the 64 spikes of a packed word
MOST_BLOCKS = 100  # of one size, before the next is taken: fewer than the multiprocessors of a data centre's GPU
WEIGHT_BITS = 30  # of an integer weight: sums of 2^33 of them fit into 64 bits
MOST_DELAY = 255  # steps
LONG = 512  # synapses of a row, from which on all programs share out the rows of all spikes
OF_DRIVE, OF_DRAWN = 6, 12  # columns of `Model.drives` and `Model.drawn`


def block_size(sizes: list[int]) -> int:
    """The smallest blocks that make few of populations of these sizes, so that each has a multiprocessor to itself."""
    return next((size for size in BLOCKS if sum(-(-n // size) for n in sizes) <= MOST_BLOCKS), BLOCKS[-1])


@dataclasses.dataclass(frozen=True)
class Layout:
    """What is static.

    Args:
      n: neurons of the line. block: of each block, which belong to one population. channels: synaptic states a neuron.
      jumps: whether there is a channel of jumps. delays: whether a synapse has one. history: whether what some of them
        have under way is kept as a history of spikes; due: the same of input that is due.
      slots: of the ring of deposits, and steps of spikes that are kept; powers of two.
      most, mean: the largest number of synapses of one row that is stored, and that of an average row that has any.
      drives: Poisson inputs onto one population at most. all_drives: of the network.
      drawn: projections whose rows are drawn. words: blocks of four random words that a chunk of a row is likely to need, at most.
      drawn_weights: whether some of them have drawn weights.
    """

    n: int
    block: int
    channels: int
    jumps: bool
    delays: bool
    history: bool
    due: bool
    slots: int
    kept: int
    most: int
    mean: int
    drives: int = 0
    all_drives: int = 0
    drawn: int = 0
    words: int = 1
    drawn_weights: bool = False

    @property
    def shared(self) -> bool:
        """Whether rows are so long, or drawn, that all programs share out those of all spikes."""
        return self.drawn > 0 or self.most >= LONG

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
      middles: int32 (n,), where the synapses of a row begin that are under way as due input, and not by the history of spikes.
      drives_of: int32 (blocks, layout.drives), the numbers of the inputs onto a block, -1 for none. drives: int32 (all_drives, OF_DRIVE):
        channel, first and last neuron, entries of a row of its table, where the table starts in `tables`, where the row of each neuron
        stands in `table_rows`, -1 if there is one row. drive_weights: float32. tables: uint32.
      drawn: int32 (drawn, OF_DRAWN): first pre neuron, how many, channel * n + the first post neuron, how many positions, positions of a
        chunk, chunks, the hole of a line, delay, bits of the gap table, where that starts in `gaps`, the kind of weights (0: one for all,
        1: uniform, 2: normal), the weight in units. factors: float32 (drawn, 3): a and b of drawn weights, units a unit of weight.
        gaps: uint32, the seed of each and then the tables. basis: uint32, the table of the normal distribution.
    """

    par: Any
    kinds: Any
    ends: Any
    starts: Any
    targets: Any
    weights: Any
    delays: Any
    middles: Any
    drives_of: Any
    drives: Any
    drive_weights: Any
    tables: Any
    table_rows: Any
    drawn: Any
    factors: Any
    gaps: Any
    basis: Any


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
    """`(choice, why)`: a kernel `run(layout, model, line, current, keys, when, rows) -> (line, bits)`, or None and why there is none.

    `current` is float32 (n,), pA; `keys` uint32 (rows, all_drives, 2), those of the inputs in each step; `when` int32 (3,): the number of
    the first step modulo 2^32, how many there are, and 1 where what the history of spikes delivers is to be put into the ring before the
    first, plus 2 where it is to be taken out of it after the last. Bits are int32 (rows, n / 32), a row a step, of which there is room for
    as many as `rows`; if that is 0 they are not wanted.
    """
    try:
        choice = table.choose("run_steps", object, table.current_platform(), backend or table.requested(), np.float32)
    except table.BackendError as error:
        return None, str(error).partition(": ")[2].partition(";")[0]
    return choice, choice.reason
