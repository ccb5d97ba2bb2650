"""Statistics that a run gathers as it goes, for runs too long to store: `Moments`, `Counts`, `Correlations`."""

import dataclasses
from typing import Any

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np

from .record_columns import Column, Source
from .recorder import Request, whole_steps_of
from .spike_trains import correlations_of_sums

MOST_PAIRS = 1 << 28  # of neurons whose counts are correlated: their products take 1 GB


@dataclasses.dataclass(frozen=True)
class Moments(Request):
    """The mean and variance in time of a state, for `record`: `run.mean(N.V)` and `run.variance(N.V)`, one number a neuron or synapse.

    Args:
      state: what would be recorded in each step, as `N[:5].V` or `projection.weight_state`.

    Sums of what has changed since a first value, joined in float64: Chan, Golub & LeVeque, Am. Stat. 37:242 (1983).

    >>> import brainunit as u
    >>> from brainevent.projections import LIF, Moments, Network
    >>> N = LIF(3, V_rest=-65 * u.mV, V_init=-65 * u.mV, name="N")
    >>> run = Network(N).run(10 * u.ms, dt=0.1 * u.ms, record=[Moments(N.V)])
    >>> run.mean(N.V), run.variance(N.V)
    (Quantity([-65. -65. -65.], "mV"), Quantity([0. 0. 0.], "mV^2"))
    """

    state: Any

    def column(self, source, dt):
        if source.name == "spikes":
            raise ValueError(f"record: Moments of {source.key}, which holds spikes: record Counts, and ask for run.rates")
        return _Moments(source)


class _Moments(Column):
    """How many values there were, the first of them, and the sums of their distances from it and of the squares of these."""

    row_bytes = 0.0

    def __init__(self, source: Source):
        super().__init__(f"moments/{source.key}", source.kept)
        self.source, self.total = source, (0, np.zeros(source.width), np.zeros(source.width))

    def buffer(self, rows, first):
        return jnp.int32(0), *(jnp.zeros(self.source.width, jnp.result_type(float)) for _ in range(3))

    def write(self, buffer, row, tree):
        count, first, sums, squares = buffer
        value = self.source.read(tree).astype(first.dtype)
        first = jnp.where(count == 0, value, first)
        return count + 1, first, sums + (value - first), squares + (value - first) ** 2

    def emptied(self, buffer):
        return self.buffer(0, 0)

    def collect(self, buffer, first, rows):
        (n, mean, squares), (m, start, sums, its_squares) = self.total, (np.asarray(part, np.float64) for part in buffer)
        if m:
            total, apart = n + int(m), start + sums / m - mean
            its_squares = np.maximum(its_squares - sums**2 / m, 0)
            self.total = total, mean + apart * (m / total), squares + its_squares + apart**2 * (n * m / total)

    def values(self, steps):
        n, mean, squares = self.total
        order = slice(None) if self.source.order is None else self.source.order
        found = np.full((2, mean.size), np.nan) if not n else np.stack([mean, squares / n])[:, order]
        return {"mean": found[0], "variance": found[1], "unit": str(self.source.unit or u.UNITLESS)}


@dataclasses.dataclass(frozen=True)
class Counts(Request):
    """How many spikes each neuron has, for `record`, without the spikes themselves: `run.rates(N)`.

    Args:
      state: a population, a slice of one, or its spikes.

    >>> import brainunit as u
    >>> from brainevent.projections import Counts, Network, Poisson
    >>> P = Poisson(3, rate=10 * u.kHz, name="P")
    >>> Network(P).run(100 * u.ms, dt=0.1 * u.ms, record=[Counts(P)]).rates(P)
    Quantity([10000. 10000. 10000.], "Hz")
    """

    state: Any
    of_spikes = True

    def column(self, source, dt):
        return _Counts(source)


class _Counts(Column):
    row_bytes = 0.0

    def __init__(self, source: Source):
        super().__init__(f"counts/{source.owner}")
        self.source, self.total = source, np.zeros(source.width, np.int64)

    def buffer(self, rows, first):
        return jnp.zeros(self.source.width, jnp.int32)

    def write(self, buffer, row, tree):
        return buffer + self.source.read(tree)

    def emptied(self, buffer):
        return self.buffer(0, 0)

    def collect(self, buffer, first, rows):
        self.total += np.asarray(buffer)

    def values(self, steps):
        return {"counts": self.total}


@dataclasses.dataclass(frozen=True)
class Correlations(Request):
    """Pearson's correlations of the spike counts of all pairs of neurons, for `record`, without the spikes: `run.correlation(N[:100])`.

    Args:
      state: a population, a slice of one, or its spikes; n^2 numbers are kept.
      bin: in which spikes are counted, a multiple of dt. What is left at the end, less than a bin, is left out.

    >>> import brainunit as u
    >>> from brainevent.projections import Correlations, Network, Poisson
    >>> P = Poisson(3, rate=100 * u.Hz, name="P")
    >>> Network(P).run(100 * u.ms, dt=0.1 * u.ms, record=[Correlations(P, bin=5 * u.ms)]).correlation(P).shape
    (3, 3)
    """

    state: Any
    bin: Any = dataclasses.field(default_factory=lambda: 5 * u.ms)
    of_spikes = True

    def column(self, source, dt):
        if source.width**2 > MOST_PAIRS:
            most = int(MOST_PAIRS**0.5)
            raise ValueError(f"record: Correlations of {source.width:,} neurons of {source.owner}, expected at most {most:,}: take a slice")
        return _Correlations(source, whole_steps_of(self.bin, dt, "Correlations: bin"))


class _Correlations(Column):
    """The counts of the bin under way and how many of its steps are done; how many bins were, their sums, and the sums of products."""

    row_bytes = 0.0

    def __init__(self, source: Source, bin_steps: int):
        super().__init__(f"correlations/{source.owner}")
        self.source, self.bin_steps = source, bin_steps
        self.bins, self.sums, self.products = 0, np.zeros(source.width, np.int64), np.zeros((source.width,) * 2, np.int64)

    def buffer(self, rows, first):
        n = self.source.width
        return jnp.zeros(n, jnp.int32), jnp.int32(0), *self._sums(n)

    @staticmethod
    def _sums(n):
        return jnp.int32(0), jnp.zeros(n, jnp.int32), jnp.zeros((n, n), jnp.int32)

    def write(self, buffer, row, tree):
        counts, steps, *sums = buffer
        counts, steps = counts + self.source.read(tree), steps + 1

        def counted(counts, bins, total, products):
            return jnp.zeros_like(counts), bins + 1, total + counts, products + counts[:, None] * counts

        full = steps == self.bin_steps
        counts, *sums = jax.lax.cond(full, counted, lambda *same: same, counts, *sums)
        return counts, jnp.where(full, 0, steps), *sums

    def emptied(self, buffer):
        return *buffer[:2], *self._sums(self.source.width)

    def collect(self, buffer, first, rows):
        bins, sums, products = (np.asarray(part) for part in buffer[2:])
        self.bins, self.sums, self.products = self.bins + int(bins), self.sums + sums, self.products + products

    def values(self, steps):
        return {"correlations": correlations_of_sums(self.bins, self.sums, self.products), "bin_steps": np.asarray(self.bin_steps)}
