"""What a run records, and how it comes off the device: a column for each recorded thing, whose buffer the compiled loop writes."""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any

import brainstate
import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np

from ..core import table
from ..core.updates import append_spikes, appends_spikes, count_spikes, list_spikes, lists_spikes, pack, packed_size
from .parameters import describe
from .population import Population, StateView, View, as_view
from .units import check_sign, scalar, steps_of

BUFFER_BYTES = 16 << 20  # of all buffers
AWAY = 8  # times as many where a look at them is a round trip to another device
IDS = 1 << 18  # spikes that a buffer has room for, at least


def whole_steps_of(interval, dt: float, what: str) -> int:
    """An interval in steps of dt (ms), or an error."""
    number, expected = scalar(interval, u.ms, what), f"a positive multiple of dt = {dt:.6g} ms"
    check_sign(number, interval, what, expected, zero=False)
    steps = steps_of(interval, dt * u.ms, what)
    if steps != round(steps) or steps < 1:
        raise ValueError(f"{what} is {describe(interval)}, expected {expected}: take {max(1, round(steps)) * dt:.6g} ms")
    return round(steps)


class Request(abc.ABC):
    """What a user asks of a state, in `record`, other than all of its values. A subclass is a frozen dataclass with the field `state`."""

    state: Any
    of_spikes = False  # whether the state is the spikes of a population or slice, which may be given itself

    @abc.abstractmethod
    def column(self, source: "Source", dt: float) -> "Column":
        """The column that answers it, dt in ms, or an error."""


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


@dataclasses.dataclass(frozen=True)
class Every(Request):
    """A recording thinned in time, for `record`: a state at every multiple of an interval.

    Args:
      interval: a time, a multiple of dt.
      state: what would be recorded in each step, as `N[:5].V` or `projection.weight_state`.

    >>> import brainunit as u
    >>> from brainevent.projections import Every, LIF, Network
    >>> N = LIF(3, name="N")
    >>> run = Network(N).run(10 * u.ms, dt=0.1 * u.ms, record=[Every(2 * u.ms, N.V)])
    >>> run.times_of(N.V)
    Quantity([ 2.  4.  6.  8. 10.], "ms")
    """

    interval: Any
    state: Any

    def column(self, source, dt):
        steps = whole_steps_of(self.interval, dt, "Every: interval")
        if source.name == "spikes" and steps > 1:
            raise ValueError(f"record: {source.key} cannot be thinned, for spikes are counted: record them in each step")
        return plain_column(source, steps)


@dataclasses.dataclass(frozen=True)
class KeptState:
    """A state of a projection or of its synapses, for `record`: `projection.weight_state`, `.current_state`, `.synapse_state("g")`."""

    projection: Any
    name: str
    read: Callable  # the values, (width,), of the tree of all states
    order: Callable  # in which they are shown, once the time step is known; it gives None for the order in which they stand
    width: int
    unit: Any

    @property
    def label(self) -> str:
        """What it is called in a run."""
        return f"{self.projection.name}.{self.name}"

    def __repr__(self):
        return self.label


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

    def room(self, buffer):
        """Whether there is room for another step; None if there always is, up to the rows it was made for."""
        return None

    def values(self, steps: int):
        """What was recorded."""
        return np.concatenate(self.parts)


class Spikes(Column):
    """The spikes of a population as ids, appended in each step, and how many there were at its end."""

    row_bytes = 4

    def __init__(self, key, population):
        super().__init__(key)
        self.population = population

    def buffer(self, rows, first):
        room = max(2 * self.population.size, IDS)
        return jnp.zeros(room, jnp.int32), jnp.zeros(rows, jnp.int32), jnp.zeros(1, jnp.int32)

    def write(self, buffer, row, tree):
        ids, ends, count = buffer
        return append_spikes(ids, ends, count, row, tree["populations"][self.population.label]["spikes"])

    def emptied(self, buffer):
        return *buffer[:2], jnp.zeros(1, jnp.int32)

    def room(self, buffer):
        ids, _, count = buffer
        return count[0] <= ids.shape[0] - self.population.size

    def collect(self, buffer, first, rows):
        ids, ends = (np.asarray(part) for part in buffer[:2])
        ends = ends[:rows]
        self.parts.append((np.repeat(first + np.arange(rows), np.diff(ends, prepend=0)), ids[: ends[-1] if rows else 0].copy()))

    def values(self, steps):
        """`(steps, ids)`."""
        steps, ids = zip(*self.parts) if self.parts else ((np.zeros(0, np.int64),), (np.zeros(0, np.int32),))
        return np.concatenate(steps), np.concatenate(ids)


class SpikeBits(Spikes):
    """The same as rows of bits, for a backend that appends no ids."""

    def __init__(self, key, population):
        super().__init__(key, population)
        self.row_bytes, self.listing = packed_size(population.size), lists_spikes()

    def buffer(self, rows, first):
        return jnp.zeros((rows, self.row_bytes), jnp.uint8)

    def write(self, buffer, row, tree):
        return buffer.at[row].set(pack(tree["populations"][self.population.label]["spikes"]))

    def emptied(self, buffer):
        return buffer

    def room(self, buffer):
        return None

    def collect(self, buffer, first, rows):
        self.parts.append((listed if self.listing else unpacked)(buffer, first, rows))


class States(Column):
    """A state of some neurons or synapses, every k-th step."""

    def __init__(self, source: Source, every: int):
        super().__init__(source.key, source.kept)
        self.read, self.width, self.unit, self.every, self.order = source.read, source.width, source.unit, every, source.order
        self.row_bytes = 8 * source.width / every

    def buffer(self, rows, first):
        array = jnp.zeros((-(-rows // self.every), self.width), jnp.result_type(float))
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
    return (Spikes if appends_spikes() else SpikeBits)(f"{population.label}.spikes", population)


def _rhythm(column: Column) -> tuple[int, int]:
    """After how many steps a column writes a row, and of how many it is."""
    return getattr(column, "every", 1), getattr(column, "bin_steps", 1)


class Recorder:
    """The columns of a run.

    Args:
      record: a list of states, as `Network.run` takes it.
      populations: those of the network.
      dt: in ms.
    """

    def __init__(self, record, populations, dt: float):
        if not isinstance(record, (list, tuple, type(None))):
            raise TypeError(f"record is {_named(record, populations)}, expected a list of states: record=[N.spikes, N[:5].V]")
        wanted = [population.spikes for population in populations if "spikes" in population.state_units] if record is None else record
        self.sources: list[tuple[View, str]] = []
        self.columns: dict[str, Column] = {}
        for item in wanted:
            column = self._column(item, populations, dt)
            before = self.columns.setdefault(column.key, column)
            if _rhythm(before) != _rhythm(column):
                raise ValueError(f"record: {column.key} is there twice, with two intervals: record it once")
        size = BUFFER_BYTES * (1 if table.current_platform() == "cpu" else AWAY)
        row_bytes = sum(column.row_bytes for column in self.columns.values())
        self.rows = max(1, min(10_000, int(size // max(row_bytes, 1))))

    def _column(self, item, populations, dt) -> Column:
        request = item if isinstance(item, Request) else None
        source = _source(item if request is None else request.state, populations, spikes=request is not None and request.of_spikes)
        if source.view is not None:
            self.sources.append((source.view, source.name))
        return plain_column(source, 1) if request is None else request.column(source, dt)

    def key(self):
        """What a compiled loop depends on."""
        return tuple((key, _rhythm(column)) for key, column in self.columns.items())

    @property
    def of_populations(self) -> bool:
        """Whether nothing but states of populations is recorded."""
        return not any(column.kept for column in self.columns.values())

    @property
    def bits(self) -> dict | None:
        """The populations whose spikes are recorded as bits, by key; None unless nothing else is recorded."""
        found = {key: column.population for key, column in self.columns.items() if isinstance(column, SpikeBits)}
        return found if len(found) == len(self.columns) else None

    def buffers(self, first: int = 0):
        """Empty buffers on the device, for steps from one on."""
        return {key: column.buffer(self.rows, first) for key, column in self.columns.items()}

    def write(self, buffers, row, tree):
        """Record one step into its row."""
        return {key: column.write(buffers[key], row, tree) for key, column in self.columns.items()}

    def room(self, buffers):
        """Whether there is room for another step in all of them."""
        rooms = [room for key, column in self.columns.items() if (room := column.room(buffers[key])) is not None]
        return jnp.stack(rooms).all() if rooms else True

    def collect(self, buffers, first_step: int, rows: int):
        """Copy what as many steps have written to the host, and return the buffers, to be written again."""
        for key, column in self.columns.items():
            column.collect(buffers[key], first_step, rows)
        return {key: column.emptied(buffers[key]) for key, column in self.columns.items()}

    def results(self, steps: int) -> dict[str, Any]:
        """What was recorded, as `Run` takes it."""
        spikes = {c.population.label: c.values(steps) for c in self.columns.values() if isinstance(c, Spikes)}
        states = {c.key: c for c in self.columns.values() if isinstance(c, States)}
        every = {key: column.every for key, column in states.items() if column.every > 1}
        statistics = {key: c.values(steps) for key, c in self.columns.items() if not isinstance(c, (Spikes, States))}
        states = {key: column.values(steps) for key, column in states.items()}
        return {"spikes": spikes, "states": states, "every": every, "statistics": statistics}


def listed(bits, first_step: int, rows: int):
    """The first rows of packed spikes as `(steps, ids)`, in order of time, then neuron; the device makes the list."""
    words, counts, starts, used = count_spikes(bits, rows)
    counts = np.asarray(counts)[:rows]
    total = int(counts.sum())
    capacity = 1 << max(10, (total - 1).bit_length())  # few sizes, so that few programs are compiled
    ids = np.asarray(_list(words, starts, used, capacity))[:total] if total else np.zeros(0, np.int32)
    return np.repeat(first_step + np.arange(rows), counts), ids


_list = jax.jit(list_spikes, static_argnums=3)


def unpacked(bits, first_step: int, rows: int):
    """The same, taken apart by the host."""
    words = np.ascontiguousarray(np.asarray(bits)[:rows]).view(np.uint64)
    row, word = np.nonzero(words)
    bits = np.unpackbits(words[row, word].view(np.uint8).reshape(-1, 8), axis=1, bitorder="little")
    which, bit = np.nonzero(bits)
    return first_step + row[which].astype(np.int64), (64 * word[which] + bit).astype(np.int32)


def _source(item, populations, *, spikes: bool) -> Source:
    """Where what a user named comes from, or an error that lists what can be recorded.

    Args:
      spikes: whether it must be spikes, and a population or slice stands for its own.
    """
    if isinstance(item, KeptState) and not spikes:
        post = item.projection.post.population
        if not any(post is population for population in populations):
            raise ValueError(f"record: {item!r} is of a projection of another network")
        return Source(item.projection.name, item.name, item.read, item.width, item.unit, kept=True, order=item.order())
    whose = isinstance(item, (Population, View)) and spikes
    view, name = _resolved(StateView(as_view(item), "spikes") if whose else item, populations)
    if spikes and name != "spikes":
        raise ValueError(f"record: {_named(item, populations)} holds no spikes: give a population, a slice of one, or its spikes")
    population, part = view.population, slice(view.start, view.stop)

    def read(tree):
        return tree["populations"][population.label][name][part]

    return Source(view.label, name, read, view.size, population.state_units[name], view=view)


def _resolved(item, populations) -> tuple[View, str]:
    """The view and the name of a recorded state, or an error that lists what can be recorded."""
    if isinstance(item, StateView) and any(item.view.population is population for population in populations):
        return item.view, item.name
    if isinstance(item, brainstate.State):
        for population in populations:
            for name in population.state_units:
                if getattr(population, name) is item:
                    return as_view(population), name
    known = "; ".join(f"{population.label}: {', '.join(population.state_units)}" for population in populations)
    raise ValueError(
        f"record: {_named(item, populations)} is no state of a population of this network: record for example N.spikes or N[:5].V ({known})"
    )


def _named(item, populations) -> str:
    """A state by its population and name, or in one line; anything else as it prints."""
    found = [f"{p.label}.{name}" for p in populations for name in p.state_units if getattr(p, name) is item]
    return found[0] if found else f"a {type(item).__name__} of another owner" if isinstance(item, brainstate.State) else repr(item)
