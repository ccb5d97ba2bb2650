"""`Run`: the result of a run, its spikes, rates and states."""

import itertools

import brainstate
import brainunit as u
import numpy as np

from .files import load_run, save_run
from .parameters import describe, with_unit
from .plotting import plot_run
from .population import Named, StateView, View, as_view
from .recorder import KeptState
from .spike_trains import correlations, counts, intervals, variation
from .units import check_sign, scalar, steps_of
from .values import flag


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
        every: dict | None = None,
        statistics: dict | None = None,
        sources=(),
        interrupted=False,
        speed=None,
    ):
        self.dt, self.first_step, self.n_steps, self.interrupted = dt, first_step, n_steps, interrupted
        self.speed = speed  # simulated seconds a second, compilation excluded
        self._spikes, self._states, self._every, self._statistics = spikes, states, every or {}, statistics or {}
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
        """The time of each row of a state that was recorded in each step, in ms."""
        return (self.first_step + 1 + np.arange(self.n_steps)) * self.dt * u.ms

    def times_of(self, recorded):
        """The time of each row of a recorded state, in ms: multiples of the interval where it was thinned by `Every`."""
        key = self._found(recorded)
        every = self._every.get(key, 1)
        return (self.first_step // every + 1 + np.arange(len(self._states[key]))) * (every * self.dt) * u.ms

    def steps_and_ids(self, label: str) -> tuple:
        """`(steps, ids)` of the spikes of a population, two arrays."""
        steps, ids = self._spikes[label]
        if callable(steps):
            self._spikes[label] = steps(), ids
        return self._spikes[label]

    def spikes(self, target):
        """`(times, ids)` of the spikes of a population (or its name) or slice: times in ms, ascending; ids from the start of a slice."""
        view = self._known(target)
        if view.population.label not in self._spikes:
            recorded = ", ".join(self._spikes) or "none"
            raise ValueError(f"the spikes of {view.population.label} were not recorded (recorded: {recorded}): add its .spikes to record=")
        steps, ids = self.steps_and_ids(view.population.label)
        if not view.whole:
            inside = (ids >= view.start) & (ids < view.stop)
            steps, ids = steps[inside], ids[inside] - view.start
        return (steps + 1) * self.dt * u.ms, ids

    def rate(self, target):
        """The mean rate of a population or slice, in Hz."""
        view, (_, ids) = self._known(target), self.spikes(target)
        return ids.size / view.size / max(self.n_steps * self.dt, self.dt) * 1e3 * u.Hz

    def rates(self, target):
        """The mean rate of each neuron of a population or slice, in Hz, (n,); of its spikes, or of `Counts`."""
        view = self._known(target)
        for label, part in ((view.label, slice(None)), (view.population.label, slice(view.start, view.stop))):
            if f"counts/{label}" in self._statistics:
                found = self._statistics[f"counts/{label}"]["counts"][part]
                break
        else:
            found = np.bincount(self.spikes(target)[1], minlength=view.size)
        return found / max(self.n_steps * self.dt, self.dt) * 1e3 * u.Hz

    def population_rate(self, target, *, bin=1 * u.ms):
        """`(times, rates)`: the population rate in Hz in bins of the given width, times in ms at the bins' centres.

        Args:
          target: a population or slice whose spikes were recorded.
          bin: a multiple of dt; one longer than the run is cut to the run. What is left at the end, less than a bin, is left out.

        Raises:
          ValueError: a bin that is not positive, or no multiple of dt.
        """
        width = self._bin_steps(bin)
        steps, _ = self._steps(target)
        n_bins = max(1, self.n_steps // width)
        counts = np.bincount(steps // width, minlength=n_bins)[:n_bins]
        centres = (self.first_step + (np.arange(n_bins) + 0.5) * width) * self.dt
        return centres * u.ms, counts / (width * self.dt * 1e-3) / self._known(target).size * u.Hz

    def _steps(self, target) -> tuple[np.ndarray, np.ndarray]:
        """`(steps, ids)` of the spikes of a target, steps counted from the first of the run."""
        times, ids = self.spikes(target)
        return np.rint(times.to_decimal(u.ms) / self.dt).astype(np.int64) - 1 - self.first_step, ids

    def isi(self, target):
        """`(intervals, ids)`: the interspike intervals in ms, by neuron, then time, and the neuron of each."""
        times, ids = self.spikes(target)
        gaps, of = intervals(times.to_decimal(u.ms), ids)
        return gaps * u.ms, of

    def cv(self, target) -> np.ndarray:
        """The coefficient of variation of the interspike intervals of each neuron, (n,); NaN with fewer than two intervals."""
        times, ids = self.spikes(target)
        return variation(times.to_decimal(u.ms), ids, self._known(target).size)

    def correlation(self, target, *, bin=None) -> np.ndarray:
        """Pearson's correlation coefficients of the spike counts of all pairs of neurons, (n, n); NaN where counts are constant.

        Args:
          target: a population or slice of which spikes, or `Correlations`, were recorded; of a large one, a slice: n^2 numbers come back.
          bin: in which spikes are counted, a multiple of dt; 5 ms, or that of `Correlations`, if left out.
        """
        known = self._statistics.get(f"correlations/{self._known(target).label}")
        if known is not None and (bin is None or self._bin_steps(bin) == known["bin_steps"]):
            return known["correlations"]
        if known is not None and self._known(target).population.label not in self._spikes:
            there = known["bin_steps"] * self.dt
            raise ValueError(f"bin is {describe(bin)}, but the correlations were recorded in bins of {there:.6g} ms, and no spikes")
        steps, ids = self._steps(target)
        width = self._bin_steps(5 * u.ms if bin is None else bin)
        return correlations(counts(steps, ids, self._known(target).size, width, max(1, self.n_steps // width)))

    def spectrum(self, target, *, bin=1 * u.ms, segment=500 * u.ms):
        """`(frequencies, power)`: the power spectral density of the population rate, by Welch's method, in Hz and Hz^2 / Hz.

        Args:
          target: a population or slice whose spikes were recorded.
          bin: of the rate, a multiple of dt; half its inverse is the highest frequency.
          segment: a time; its inverse is the resolution. The whole run where that is shorter.
        """
        from scipy.signal import welch  # slow to import

        rates = np.asarray(u.get_mantissa(self.population_rate(target, bin=bin)[1]))
        width = self._bin_steps(bin) * self.dt
        expected = "a time of at least two bins"
        length = round(scalar(segment, u.ms, "segment", expected) / width)
        if length < 2 or rates.size < 2:
            raise ValueError(f"segment is {describe(segment)} and the run has {rates.size} bins, expected {expected}")
        found, power = welch(rates, 1e3 / width, nperseg=min(length, rates.size))
        return found * u.Hz, power * u.Hz

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
        """The rows of a recorded state, as `run.state(N[:5].V)`: (steps, neurons), or (intervals, neurons) of one thinned by `Every`.

        Args:
          recorded: what was given to `record`, or its name, as `"N[0:5].V"`.

        Raises:
          ValueError: it was not recorded.
        """
        return self._states[self._found(recorded)]

    def mean(self, recorded):
        """The mean in time of a recorded state, one number a neuron or synapse; of its rows, or of `Moments`."""
        return self._moment(recorded, "mean", np.mean, 1)

    def variance(self, recorded):
        """The variance in time, likewise."""
        return self._moment(recorded, "variance", np.var, 2)

    def _moment(self, recorded, name: str, of_rows, power: int):
        key = recorded if isinstance(recorded, str) else self._key_of(recorded)
        if known := self._statistics.get(f"moments/{key}"):
            return with_unit(known[name], u.parse_unit(str(known["unit"])) ** power)
        values = self._states[self._found(key)]
        return with_unit(of_rows(np.asarray(u.get_mantissa(values), np.float64), axis=0), u.get_unit(values) ** power)

    def _found(self, recorded) -> str:
        """The name of a recorded state."""
        key = recorded if isinstance(recorded, str) else self._key_of(recorded)
        if key not in self._states:
            raise ValueError(f"{key} was not recorded (recorded: {', '.join(self._states) or 'none'}): add it to record=")
        return key

    def _key_of(self, recorded) -> str:
        """The name of a state or of a slice of one."""
        if isinstance(recorded, KeptState):
            return recorded.label
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

    def plot(self, *targets, labels: list[str] | None = None, isi: bool = False, weights=(), path: str | None = None):
        """Draw the raster over the population rate over the recorded traces (of up to 5 neurons), and below them histograms.

        Args:
          targets: populations or slices whose spikes were recorded, from bottom to top, a colour each: `run.plot(E, I)`.
          labels: what to call them, one each; `["E", "I"]`.
          isi: whether to draw a histogram of the interspike intervals.
          weights: projections, each for a histogram of the weights that it has now.
          path: where to save the picture; the ending is the file type.

        Returns:
          The matplotlib figure (closed already if it was saved).
        """
        views = [self._known(target) for target in targets]
        return plot_run(self, views, labels=labels, isi=flag(isi, "plot: isi"), weights=_weighed(weights), path=path)

    def to_dataframe(self, *targets):
        """The spikes as a table with the columns population, neuron and `time (ms)`, one row a spike (needs pandas).

        Args:
          targets: populations, slices or names; all that were recorded if left out. Neurons are counted from the start of a slice.
        """
        import pandas  # pyright: ignore[reportMissingImports]

        views = [self._known(target) for target in targets or self._spikes]
        found = [(view.label, *self.spikes(view)) for view in views]
        columns: dict = {"population": np.repeat([label for label, *_ in found], [ids.size for *_, ids in found])}
        columns["neuron"] = np.concatenate([ids for *_, ids in found]) if found else np.zeros(0, np.int32)
        columns["time (ms)"] = np.concatenate([times.to_decimal(u.ms) for _, times, _ in found]) if found else np.zeros(0)
        return pandas.DataFrame(columns)

    def to_neo(self):
        """A `neo.Block` of one segment, for elephant and its like (needs neo): a spike train for each neuron whose spikes were recorded, an
        analog signal for each state. Trains are annotated with `population` and `neuron`, signals named as in `states`.
        """
        import neo  # pyright: ignore[reportMissingImports]
        import quantities  # pyright: ignore[reportMissingImports]

        start, stop = self.first_step * self.dt * quantities.ms, (self.first_step + self.n_steps) * self.dt * quantities.ms
        block, segment = neo.Block(), neo.Segment()
        block.segments.append(segment)
        for label in self._spikes:
            times, ids = self.spikes(label)
            order = np.argsort(ids, kind="stable")
            bounds = np.searchsorted(ids[order], np.arange(self.sizes[label] + 1))
            sorted_times = np.minimum(times.to_decimal(u.ms)[order], float(stop))
            for neuron, (first, last) in enumerate(itertools.pairwise(bounds)):
                own = sorted_times[first:last] * quantities.ms
                segment.spiketrains.append(neo.SpikeTrain(own, t_start=start, t_stop=stop, population=label, neuron=neuron))
        for key, values in self._states.items():
            unit, period = u.get_unit(values), self._every.get(key, 1) * self.dt * quantities.ms
            named = quantities.dimensionless if unit.is_unitless else str(unit).replace(" ", "")
            first = float(self.times_of(key).to_decimal(u.ms)[0]) * quantities.ms if len(values) else start
            signal = neo.AnalogSignal(np.asarray(u.get_mantissa(values)), units=named, sampling_period=period, t_start=first, name=key)
            segment.analogsignals.append(signal)
        return block

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


def _weighed(projections) -> list:
    """Projections whose weights can be drawn, or an error."""
    found = list(projections) if isinstance(projections, (list, tuple)) else [projections]
    for projection in found:
        if not hasattr(projection, "plot_matrix") or not np.ndim(u.get_mantissa(projection.weight)):
            raise TypeError(f"plot: weights holds {describe(projection)}, expected projections with one weight a synapse")
    return found
