"""What a run records: what a user may ask of which states, and the columns that answer it."""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any

import brainstate
import brainunit as u
import jax.numpy as jnp

from ..core import table
from .parameters import describe
from .population import Population, StateView, View, as_view
from .record_columns import Column, Source, SpikeBits, Spikes, States, plain_column
from .units import check_sign, scalar, steps_of

BUFFER_BYTES = 16 << 20  # of all buffers
MOST_ROWS = 10_000  # of them
AWAY = 8  # times as much of both where a look at them is a round trip to another device


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
        times = 1 if table.current_platform() == "cpu" else AWAY
        row_bytes = sum(column.row_bytes for column in self.columns.values())
        self.rows = max(1, min(MOST_ROWS * times, int(BUFFER_BYTES * times // max(row_bytes, 1))))

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

    @property
    def _logged(self) -> dict[str, str]:
        """The label of the population of each column to whose buffer a step appends."""
        return {key: column.population.label for key, column in self.columns.items() if isinstance(column, Spikes) and column.logged}

    def emptied(self, buffers: dict) -> dict:
        """The buffers, to be written from their first row on."""
        return {key: column.emptied(buffers[key]) for key, column in self.columns.items()}

    def logs(self, buffers: dict) -> dict[str, Any]:
        """What a step is to append its spikes to, by the label of the population."""
        return {label: buffers[key] for key, label in self._logged.items()}

    def write(self, buffers: dict, row, tree, logs: dict[str, Any]):
        """Record one step into its row."""
        buffers = buffers | {key: logs[label] for key, label in self._logged.items()}
        return {key: column.write(buffers[key], row, tree) for key, column in self.columns.items()}

    def room(self, buffers, row):
        """Whether there is room for a step in all of them, after so many."""
        rooms = [room for key, column in self.columns.items() if (room := column.room(buffers[key], row)) is not None]
        return jnp.stack(rooms).all() if rooms else True

    def collect(self, buffers, first_step: int, rows: int):
        """Copy what as many steps have written to the host, and return the buffers, to be written again."""
        for key, column in self.columns.items():
            column.collect(buffers[key], first_step, rows)
        return buffers

    def finish(self):
        """All is there when it has been collected."""

    def results(self, steps: int) -> dict[str, Any]:
        """What was recorded, as `Run` takes it."""
        spikes = {c.population.label: c.values(steps) for c in self.columns.values() if isinstance(c, Spikes)}
        states = {c.key: c for c in self.columns.values() if isinstance(c, States)}
        every = {key: column.every for key, column in states.items() if column.every > 1}
        statistics = {key: c.values(steps) for key, c in self.columns.items() if not isinstance(c, (Spikes, States))}
        states = {key: column.values(steps) for key, column in states.items()}
        return {"spikes": spikes, "states": states, "every": every, "statistics": statistics}


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
