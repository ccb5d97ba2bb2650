"""What a run records: which states, how they come off the device, and `Run`, the result."""

import brainstate
import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np

from ..core import table
from ..core.updates import count_spikes, list_spikes, lists_spikes, pack, packed_size
from .files import load_run, save_run
from .plotting import plot_run
from .population import Named, Population, StateView, View, as_view
from .units import check_sign, scalar, steps_of

BUFFER_BYTES = 32 << 20  # of all buffers
AWAY = 8  # times as many where a look at them is a round trip to another device


class Recorder:
    """The buffers of a compiled loop: packed spikes and subsets of states, one row a step, emptied to the host chunk by chunk."""

    def __init__(self, record, populations):
        if not isinstance(record, (list, tuple, type(None))):
            raise TypeError(f"record is {_named(record, populations)}, expected a list of states: record=[N.spikes, N[:5].V]")
        wanted = [population.spikes for population in populations if "spikes" in population.state_units] if record is None else record
        self.sources = [_resolved(item, populations) for item in wanted]
        self.columns: dict[str, tuple[Population, str, int, int]] = {}
        for view, name in self.sources:
            if name == "spikes":  # whole populations, so that slices that overlap cost nothing more
                self.columns[f"{view.population.label}.spikes"] = (view.population, name, 0, view.population.size)
            else:
                self.columns[f"{view.label}.{name}"] = (view.population, name, view.start, view.stop)
        row_bytes = sum(packed_size(stop) if name == "spikes" else 8 * (stop - start) for _, name, start, stop in self.columns.values())
        size = BUFFER_BYTES * (1 if table.current_platform() == "cpu" else AWAY)
        self.rows, self.listing = max(1, min(10_000, size // max(row_bytes, 1))), lists_spikes()
        self.chunks: dict[str, list] = {key: [] for key in self.columns}

    def key(self):
        """What a compiled loop depends on."""
        return tuple(self.columns)

    def buffers(self):
        """Fresh buffers on the device."""
        made = {}
        for key, (_, name, start, stop) in self.columns.items():
            width, dtype = (packed_size(stop), jnp.uint8) if name == "spikes" else (stop - start, jnp.result_type(float))
            made[key] = jnp.zeros((self.rows, width), dtype)
        return made

    def write(self, buffers, row, states):
        """Record one step into its row."""
        new = {}
        for key, (population, name, start, stop) in self.columns.items():
            value = states[population.label][name]
            value = pack(value) if name == "spikes" else value[start:stop].astype(buffers[key].dtype)
            new[key] = buffers[key].at[row].set(value)
        return new

    def collect(self, buffers, first_step: int, rows: int):
        """Copy the first `rows` rows to the host; spikes as (step, neuron) pairs."""
        for key, (_, name, _, _) in self.columns.items():
            if name == "spikes":
                self.chunks[key].append((listed if self.listing else unpacked)(buffers[key], first_step, rows))
            else:
                self.chunks[key].append(np.asarray(buffers[key])[:rows].copy())

    def results(self):
        """`(spikes, states)` of all chunks."""
        spikes, states = {}, {}
        for key, (population, name, start, stop) in self.columns.items():
            chunks = self.chunks[key]
            if name == "spikes":
                steps, ids = zip(*chunks) if chunks else ((np.zeros(0, np.int64),), (np.zeros(0, np.int32),))
                spikes[population.label] = (np.concatenate(steps), np.concatenate(ids))
            else:
                values = np.concatenate(chunks) if chunks else np.zeros((0, stop - start))
                unit = population.state_units[name]
                states[key] = values if unit is None else u.Quantity(values, unit=unit)
        return spikes, states


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


class Run:
    """The result of `Network.run`: spikes, rates and recorded states.

    Times are the end of the step in which something happened, as in NEST. A run can be pickled; one that comes back tells populations
    by their names.

    >>> import brainunit as u
    >>> from brainevent.projections import LIF, Network
    >>> N = LIF(3, V_init=-49.9 * u.mV, name="N")
    >>> run = Network(N).run(1 * u.ms, dt=0.1 * u.ms, record=[N.spikes, N[:2].V])
    >>> run.spikes(N)
    (Quantity([0.1 0.1 0.1], "ms"), array([0, 1, 2], dtype=int32))
    >>> run.state(N[:2].V).shape
    (10, 2)
    """

    def __init__(
        self,
        *,
        dt: float,
        first_step: int,
        n_steps: int,
        spikes: dict,
        states: dict,
        sizes: dict | None = None,
        sources=(),
        interrupted=False,
        speed=None,
    ):
        self.dt, self.first_step, self.n_steps, self.interrupted = dt, first_step, n_steps, interrupted
        self.speed = speed  # simulated seconds a second, compilation excluded
        self._spikes, self._states = spikes, states
        self._populations = {view.population.label: view.population for view, _ in sources}
        self.sizes = {label: population.size for label, population in self._populations.items()} if sizes is None else sizes

    def __getstate__(self):
        return self.__dict__ | {"_populations": {}}

    def _known(self, target) -> View:
        """What a user gave as a view: a population, a slice, or a name; no population that only has the name of one that was recorded."""
        if isinstance(target, str):
            if target not in self.sizes:
                raise ValueError(f"{target!r} is no population of this run: it has {', '.join(self.sizes) or 'none'}")
            return as_view(self._populations.get(target, Named(target, self.sizes[target])))
        view = as_view(target)
        recorded = self._populations.get(view.population.label, view.population)
        if recorded is not view.population:
            raise ValueError(f"{view.population!r} is not the population of that name in this run, {recorded!r}: ask for that one")
        return view

    @property
    def duration(self):
        """How long the run was, in ms."""
        return self.n_steps * self.dt * u.ms

    @property
    def times(self):
        """The time of each recorded row of a state, in ms."""
        return (self.first_step + 1 + np.arange(self.n_steps)) * self.dt * u.ms

    def spikes(self, target):
        """`(times, ids)` of the spikes of a population (or its name) or slice: times in ms, ascending; ids from the start of a slice."""
        view = self._known(target)
        if view.population.label not in self._spikes:
            recorded = ", ".join(self._spikes) or "none"
            raise ValueError(f"the spikes of {view.population.label} were not recorded (recorded: {recorded}): add its .spikes to record=")
        steps, ids = self._spikes[view.population.label]
        if not view.whole:
            inside = (ids >= view.start) & (ids < view.stop)
            steps, ids = steps[inside], ids[inside] - view.start
        return (steps + 1) * self.dt * u.ms, ids

    def rate(self, target):
        """The mean rate of a population or slice, in Hz."""
        view, (_, ids) = self._known(target), self.spikes(target)
        return ids.size / view.size / max(self.n_steps * self.dt, self.dt) * 1e3 * u.Hz

    def population_rate(self, target, *, bin=1 * u.ms):
        """`(times, rates)`: the population rate in Hz in bins of the given width, times in ms at the bins' centres.

        Args:
          target: a population or slice whose spikes were recorded.
          bin: a multiple of dt; one longer than the run is cut to the run. What is left at the end, less than a bin, is left out.

        Raises:
          ValueError: a bin that is not positive, or no multiple of dt.
        """
        width = self._bin_steps(bin)
        steps = np.rint(self.spikes(target)[0].to_decimal(u.ms) / self.dt).astype(np.int64) - 1 - self.first_step
        n_bins = max(1, self.n_steps // width)
        counts = np.bincount(steps // width, minlength=n_bins)[:n_bins]
        centres = (self.first_step + (np.arange(n_bins) + 0.5) * width) * self.dt
        return centres * u.ms, counts / (width * self.dt * 1e-3) / self._known(target).size * u.Hz

    def _bin_steps(self, bin) -> int:
        """The width of a bin in steps, at most that of the run."""
        check_sign(scalar(bin, u.ms, "bin"), bin, "bin", f"a positive time, a multiple of dt = {self.dt:.6g} ms", zero=False)
        steps = steps_of(bin, self.dt * u.ms, "bin")
        if steps >= self.n_steps:
            return max(1, self.n_steps)
        if steps != round(steps):
            raise ValueError(
                f"bin is {bin}, which is no multiple of dt = {self.dt:.6g} ms: take {max(1, round(steps)) * self.dt:.6g} ms, or another"
            )
        return round(steps)

    def state(self, recorded):
        """The rows of a recorded state, as `run.state(N[:5].V)`: (steps, neurons), with its unit.

        Args:
          recorded: what was given to `record`, or its name, as `"N[0:5].V"`.

        Raises:
          ValueError: it was not recorded.
        """
        key = recorded if isinstance(recorded, str) else self._key_of(recorded)
        if key not in self._states:
            raise ValueError(f"{key} was not recorded (recorded: {', '.join(self._states) or 'none'}): add it to record=")
        return self._states[key]

    def _key_of(self, recorded) -> str:
        """The name of a state or of a slice of one."""
        if isinstance(recorded, StateView):
            return f"{self._known(recorded.view).label}.{recorded.name}"
        for population in self._populations.values():
            for name in population.state_units:
                if getattr(population, name) is recorded:
                    return f"{population.label}.{name}"
        return repr(recorded) if not isinstance(recorded, brainstate.State) else "a state of a population that was not recorded"

    @property
    def states(self) -> dict:
        """Every recorded state by its name, as `"N[0:5].V"`."""
        return dict(self._states)

    def plot(self, *targets, labels: list[str] | None = None, path: str | None = None):
        """Draw the raster over the population rate over the recorded traces (of up to 5 neurons).

        Args:
          targets: populations or slices whose spikes were recorded, from bottom to top, a colour each: `run.plot(E, I)`.
          labels: what to call them, one each; `["E", "I"]`.
          path: where to save the picture; the ending is the file type.

        Returns:
          The matplotlib figure (closed already if it was saved).
        """
        return plot_run(self, [self._known(target) for target in targets], labels=labels, path=path)

    def save(self, path):
        """Write everything to a compressed .npz, whole or not at all; `Run.load` reads it, as does numpy.

        It holds `dt_ms`, `first_step`, `n_steps`, and for each name `spikes/N/step`, `spikes/N/id`, `size/N`, `states/N[0:5].V` and
        `unit/N[0:5].V`.
        """
        save_run(self, path)

    @classmethod
    def load(cls, path) -> "Run":
        """The run that `save` wrote. Populations go by their names: `run.spikes("N")`, `run.state("N[0:5].V")`.

        Raises:
          FileNotFoundError; ValueError: a file that is damaged, or of something else.
        """
        return cls(**load_run(path))

    def __repr__(self):
        spikes = ", ".join(f"{label}: {ids.size} spikes" for label, (_, ids) in self._spikes.items())
        ended = " interrupted" if self.interrupted else ""
        return f"Run({self.n_steps * self.dt:.6g} ms,{ended} {spikes}{'; ' if self._states else ''}{', '.join(self._states)})"
