"""How what is recorded comes off the device: a column for each recorded thing, whose buffer the compiled loop writes."""

import abc
import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np

from ..arrays import placed
from ..core.spikes import count_spikes, emptied_log, list_spikes, lists_spikes, logged, logs_spikes, new_log, pack, packed_size, read_log
from .population import View
from .values import on_device

IDS = 1 << 16  # spikes that a buffer has room for, at least


@dataclasses.dataclass(frozen=True)
class Source:
    """Where a recorded state comes from.

    Args:
      owner, name: what it is a state of, and its name, as in `N[0:5].V`.
      read: gives it, (width,), of the tree of all states.
      unit: its unit, or None.
      kept: whether it is a state of the network's own. order: in which it is shown, or None.
      view: the neurons that it is of, or None.
    """

    owner: str
    name: str
    read: Callable
    width: int
    unit: Any
    kept: bool = False
    order: Any = None
    view: View | None = None

    @property
    def key(self) -> str:
        """What it is called in a run."""
        return f"{self.owner}.{self.name}"


class Column(abc.ABC):
    """One recorded thing.

    Args:
      key: its name in a run.
      kept: whether it is of a state of the network's own, and not of a population.

    Attributes:
      row_bytes: what one step takes in a buffer. parts: of all collected chunks.
    """

    row_bytes: float

    def __init__(self, key: str, kept: bool = False):
        self.key, self.kept = key, kept
        self.parts: list = []

    @abc.abstractmethod
    def buffer(self, rows: int, first: int) -> Any:
        """An empty buffer for as many steps, the first of them given by its number."""

    @abc.abstractmethod
    def write(self, buffer, row, tree) -> Any:
        """Record the states after a step."""

    @abc.abstractmethod
    def collect(self, buffer, first: int, rows: int):
        """Copy to the host what as many steps have written."""

    def emptied(self, buffer) -> Any:
        """The buffer, to be written again."""
        return buffer

    def room(self, buffer, row):
        """Whether there is room for a step after so many; None if there always is, up to the rows it was made for."""
        return None

    def values(self, steps: int):
        """What was recorded."""
        return np.concatenate(self.parts)


class Spikes(Column):
    """The spikes of a population.

    Attributes:
      logged: whether its buffer is a log of `core.spikes`, to which a step appends; else a step has a row of bits.
    """

    row_bytes = 4
    logged = True

    def __init__(self, key, population):
        super().__init__(key)
        self.population = population

    @property
    def most(self) -> int:
        """How many spikes its buffer has room for."""
        return max(4 * self.population.size, IDS)

    def buffer(self, rows, first):
        return placed(new_log(rows, self.most))

    def emptied(self, buffer):
        return emptied_log(buffer)

    def write(self, buffer, row, tree):
        return buffer  # which the step has appended to

    def room(self, buffer, row):
        return logged(buffer, row) <= self.most - self.population.size

    def collect(self, buffer, first, rows):
        self.parts.append((first, *read_log(np.asarray(buffer), rows)))

    def values(self, steps):
        """`(steps, ids)`; `steps()` makes the array, once somebody looks: memory that is new costs as much as steps do."""
        first, counts, ids = zip(*self.parts) if self.parts else ((0,), (np.zeros(0, np.int32),), (np.zeros(0, np.int32),))
        counts = np.concatenate(counts)
        return functools.partial(np.repeat, np.arange(first[0], first[0] + counts.size), counts), np.concatenate(ids)


class SpikeBits(Spikes):
    """The same as rows of bits, for a backend that appends no ids."""

    logged = False

    def __init__(self, key, population):
        super().__init__(key, population)
        self.row_bytes, self.listing = packed_size(population.size), lists_spikes()

    def buffer(self, rows, first):
        return jnp.zeros((rows, self.row_bytes), jnp.uint8)

    def emptied(self, buffer):
        return buffer

    def write(self, buffer, row, tree):
        return buffer.at[row].set(pack(tree["populations"][self.population.label]["spikes"]))

    def room(self, buffer, row):
        return None

    def collect(self, buffer, first, rows):
        self.parts.append((listed if self.listing else unpacked)(buffer, first, rows)())

    def values(self, steps):
        steps, ids = zip(*self.parts) if self.parts else ((np.zeros(0, np.int64),), (np.zeros(0, np.int32),))
        return np.concatenate(steps), np.concatenate(ids)


class States(Column):
    """A state of some neurons or synapses, every k-th step."""

    def __init__(self, source: Source, every: int):
        super().__init__(source.key, source.kept)
        self.read, self.width, self.unit, self.every, self.order = source.read, source.width, source.unit, every, source.order
        self.row_bytes = 8 * source.width / every

    def buffer(self, rows, first):
        array = on_device(np.zeros((-(-rows // self.every), self.width), jnp.result_type(float)))
        return array if self.every == 1 else (array, jnp.int32(0), jnp.int32(first % self.every))

    def write(self, buffer, row, tree):
        def written(array, at):
            return array.at[at].set(self.read(tree).astype(array.dtype))

        if self.every == 1:
            return written(buffer, row)
        array, at, phase = buffer
        hit = phase + 1 == self.every
        array = jax.lax.cond(hit, written, lambda array, at: array, array, at)
        return array, at + hit, jnp.where(hit, 0, phase + 1)

    def emptied(self, buffer):
        return buffer if self.every == 1 else (buffer[0], jnp.int32(0), buffer[2])

    def collect(self, buffer, first, rows):
        array, count = (buffer, rows) if self.every == 1 else (buffer[0], int(buffer[1]))
        values = np.asarray(array)[:count]
        self.parts.append(values.copy() if self.order is None else values[:, self.order])

    def values(self, steps):
        values = np.concatenate(self.parts) if self.parts else np.zeros((0, self.width))
        return values if self.unit is None else u.Quantity(values, unit=self.unit)


def plain_column(source: Source, every: int) -> Column:
    """The column of all values of a state, or of those of every k-th step."""
    if source.name != "spikes" or source.view is None:
        return States(source, every)
    population = source.view.population  # whole, so that slices that overlap cost nothing more
    return (Spikes if logs_spikes() else SpikeBits)(f"{population.label}.spikes", population)


def listed(bits, first_step: int, rows: int) -> Callable:
    """The first rows of packed spikes; the device makes the list, and what is returned waits for `(steps, ids)`, by time, then neuron."""
    words, counts, starts, used = count_spikes(bits, rows)
    counts = np.asarray(counts)[:rows]
    total = int(counts.sum())
    capacity = 1 << max(10, (total - 1).bit_length())  # few sizes, so that few programs are compiled
    ids = _list(words, starts, used, capacity) if total else np.zeros(0, np.int32)
    if isinstance(ids, jax.Array):
        ids.copy_to_host_async()
    return lambda: (np.repeat(first_step + np.arange(rows), counts), np.asarray(ids)[:total])


_list = jax.jit(list_spikes, static_argnums=3)


def unpacked(bits, first_step: int, rows: int) -> Callable:
    """The same, taken apart by the host."""

    def found():
        words = np.ascontiguousarray(np.asarray(bits)[:rows]).view(np.uint64)
        row, word = np.nonzero(words)
        spikes = np.unpackbits(words[row, word].view(np.uint8).reshape(-1, 8), axis=1, bitorder="little")
        which, bit = np.nonzero(spikes)
        return first_step + row[which].astype(np.int64), (64 * word[which] + bit).astype(np.int32)

    return found
