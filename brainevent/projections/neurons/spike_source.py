"""`SpikeSource`: a population that spikes at given times."""

from typing import ClassVar

import brainunit as u
import jax.numpy as jnp
import numpy as np

from ..guards import warn
from ..parameters import describe
from ..population import Population
from ..units import check_sign, plain, scalar, warn_of_rounding, whole_steps
from ..values import array_of, real_array

MOST_STEPS = 2**31 - 1


class SpikeSource(Population):
    """Neurons that spike at given times: a spike at time t is one of the step that ends at t.

    Args:
      size: number of neurons.
      times: times, in any order, above 0; (n,).
      ids: the neuron of each, integers (n,).
      name: the name in summaries and errors.

    Raises:
      brainunit.UnitMismatchError, ValueError: times that are none, not above 0 or beyond 2^31 steps; ids that are no neurons; arrays of
      different lengths.

    Times are rounded to steps, with a warning if that moves one by more than 1 %; a neuron that would spike twice in one step spikes once,
    with a warning. A step costs what it delivers, however many spikes are to come.

    >>> import brainunit as u
    >>> from brainevent.projections import Network, SpikeSource
    >>> S = SpikeSource(5, times=[3, 5.2, 9] * u.ms, ids=[0, 0, 4], name="S")
    >>> Network(S).run(10 * u.ms, dt=0.1 * u.ms).spikes(S)
    (Quantity([3.  5.2 9. ], "ms"), array([0, 0, 4], dtype=int32))
    """

    state_units: ClassVar = {"spikes": None}

    def __init__(self, size, *, times, ids, name=None):
        super().__init__(size, name=name)
        owner = f"SpikeSource {self.label}".rstrip()
        found = np.asarray(plain(times, u.ms, f"{owner}: times"), np.float64).reshape(-1)
        check_sign(found, times, f"{owner}: times", "times above 0 ms", zero=False)
        neurons = np.asarray(real_array(ids, f"{owner}: ids", "integers")).reshape(-1)
        if neurons.size and neurons.dtype.kind not in "iu":
            raise TypeError(f"{owner}: ids is {describe(ids)}, expected integers, the neuron of each time")
        if neurons.shape != found.shape:
            raise ValueError(f"{owner}: there are {found.size} times and {neurons.size} ids, expected as many of both")
        bad = np.flatnonzero((neurons < 0) | (neurons >= self.size))
        if bad.size:
            raise ValueError(f"{owner}: ids holds {neurons[bad[0]]} at position {bad[0]}, expected neurons from 0 to {self.size - 1}")
        order = np.lexsort((neurons, found))
        self.times, self.ids, self.owner = found[order], neurons[order].astype(np.int32), owner
        self._make_states()

    @classmethod
    def from_raster(cls, raster, *, dt, name=None) -> "SpikeSource":
        """A source that plays a raster.

        Args:
          raster: bool (steps, size), or zeros and ones: row k holds who spikes in the step that ends at (k + 1) dt.
          dt: the width of a row, a time; that of the network or a multiple of it.
          name: as above.

        >>> import brainunit as u, numpy as np
        >>> from brainevent.projections import SpikeSource
        >>> SpikeSource.from_raster(np.eye(3), dt=1 * u.ms).times
        array([1., 2., 3.])
        """
        what = f"SpikeSource {name or ''}".rstrip() + ".from_raster"
        array = array_of(raster, f"{what}: raster", "bool (steps, size)")
        array = array if array.dtype == bool else real_array(array, f"{what}: raster", "bool (steps, size)")
        if array.ndim != 2 or not np.isin(array, (0, 1)).all():
            raise ValueError(f"{what}: raster is {describe(raster)}, expected bool (steps, size), or zeros and ones of that shape")
        width = scalar(dt, u.ms, f"{what}: dt", "a positive time")
        check_sign(width, dt, f"{what}: dt", "a positive time", zero=False)
        rows, ids = np.nonzero(array)
        return cls(array.shape[1], times=(rows + 1) * width * u.ms, ids=ids, name=name)

    def initial(self, rng):
        return {"spikes": np.zeros(self.size, bool)}

    def _steps(self, dt: float) -> np.ndarray:
        """The step of each spike, ascending."""
        return whole_steps(self.times, dt, f"{self.owner}: times").astype(np.int64) - 1

    def check_step(self, dt):
        steps = self._steps(dt)
        if steps.size and steps[0] < 0:
            raise ValueError(f"{self.owner}: times hold {self.times[0]:.6g} ms, before the first step ends: give at least dt = {dt:.6g} ms")
        if steps.size:
            warn_of_rounding(self.times, dt, f"{self.owner}: times")
        again = np.unique(steps * self.size + self.ids).size
        if again < steps.size:
            warn(f"{self.owner}: {steps.size - again} spikes share a step with another of their neuron (dt = {dt:.6g} ms), and count once")

    def _most(self, dt: float) -> int:
        """The most spikes in one step."""
        return int(np.unique(self._steps(dt), return_counts=True)[1].max(initial=0))

    def operands(self, dt):
        """The step and the neuron of each spike, and behind them as many that never come as a step reads at once."""
        never = np.full(self._most(dt) + 1, 2**32 - 1, np.uint32)
        steps = np.concatenate([self._steps(dt).astype(np.uint32), never])
        return {"steps": steps, "ids": np.concatenate([self.ids, np.zeros(never.size, np.int32)])}

    def advance(self, state, synapses, external, clock):
        if external is not None:
            raise ValueError(f"inputs: {self!r} is a source and takes no current")
        high, now = clock.words
        at = jnp.searchsorted(state["steps"], now, side="left") + jnp.arange(self._most(clock.dt))
        due = (state["steps"][at] == now) & (at < self.times.size) & (high == 0)
        here = jnp.where(due, state["ids"][at], self.size)
        return {}, jnp.zeros(self.size, bool).at[here].set(True, mode="drop")
