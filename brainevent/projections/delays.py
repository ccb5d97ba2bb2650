"""`Delay`: how long the spikes of a projection are under way: one time, one a pre neuron, or one a synapse."""

import dataclasses
from typing import Any

import brainunit as u
import jax.numpy as jnp
import numpy as np

from ..arrays import aligned, placed
from ..core.updates import Delays
from .distributions import Constant, Distribution
from .drawing import BLOCK, in_blocks, in_threads
from .parameters import describe, with_unit
from .units import check_sign, plain, warn_of_rounding, whole_steps

MOST_STEPS = 2**16 - 1  # a ring of 2^16 steps holds it, and 16 bits
EXPECTED = "a time of at least 0 ms"
MOST_TURNS = 100  # draws of a distribution until all its times are at least 0


@dataclasses.dataclass(frozen=True, eq=False)
class Delay:
    """Times in ms.

    Args:
      times: a float; a float64 array, one a pre neuron or one a synapse; or a distribution of one a synapse.
      what: names it in errors.
      by_row: whether an array is one a pre neuron; None as long as the number of synapses is not known.
    """

    times: Any
    what: str
    by_row: bool | None = None

    @classmethod
    def given(cls, value, what: str) -> "Delay":
        """What a user gave: None, a time, an array, (n_pre, 1) for one a pre neuron whatever the number of synapses, a distribution."""
        if value is None:
            return cls(0.0, what)
        if isinstance(value, Constant):
            value = value.value
        if isinstance(value, Distribution):
            plain(with_unit(0.0, value.unit), u.ms, what)
            return cls(value, what, by_row=False)
        times = np.asarray(plain(value, u.ms, what), np.float64)
        check_sign(times, value, what, EXPECTED, zero=True)
        if times.size == 1:
            return cls(float(times.reshape(())), what)
        if times.ndim != 1 and not (times.ndim == 2 and times.shape[1] == 1):
            raise ValueError(f"{what} is {describe(value)}, expected one time, one a synapse, or one a pre neuron")
        return cls(times.reshape(-1), what, by_row=True if times.ndim == 2 else None)

    def fitted(self, n_pre: int, n_synapses: int) -> "Delay":
        """The same for so many neurons and synapses, or an error: it knows then whether an array is one a pre neuron or one a synapse."""
        if not isinstance(self.times, np.ndarray):
            return self
        by_row = self.times.size != n_synapses if self.by_row is None else self.by_row
        if self.times.size != (n_pre if by_row else n_synapses):
            each = f"{n_synapses} (one a synapse)" if n_synapses >= 0 else "a distribution (just-in-time synapses are not stored)"
            raise ValueError(f"{self.what} has {self.times.size} times, expected one, {each}, or {n_pre} (one a pre neuron)")
        return dataclasses.replace(self, by_row=by_row)

    def sampled(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """One time a synapse (ms), drawn if it is a distribution; what that gives below 0 is drawn again."""
        return in_blocks(rng, size, self._draw, np.float64) if self.drawn else self.times

    def sampled_steps(self, rng: np.random.Generator, size: int, dt: float) -> np.ndarray:
        """The same in steps of dt (ms), 8 or 16 bits wide."""
        steps = self.steps(dt) if not self.drawn else in_blocks(rng, size, lambda rng, n: self.steps(dt, self._draw(rng, n)), np.uint16)
        return steps.astype(_narrow(int(np.max(steps, initial=0))), copy=False)

    def _draw(self, rng, size: int) -> np.ndarray:
        times = np.asarray(plain(self.times.sample(rng, size), u.ms, self.what), np.float64)
        for _ in range(MOST_TURNS):
            below = np.flatnonzero(times < 0)
            if not below.size:
                return times
            times[below] = plain(self.times.sample(rng, below.size), u.ms, self.what)
        raise ValueError(f"{self.what} is {self.times!r}, expected a distribution of times of at least 0 ms")

    @property
    def one(self) -> bool:
        """Whether all synapses have one delay."""
        return not isinstance(self.times, (np.ndarray, Distribution))

    @property
    def each(self) -> bool:
        """Whether every synapse has a delay of its own."""
        return self.drawn or (isinstance(self.times, np.ndarray) and self.by_row is False)

    @property
    def drawn(self) -> bool:
        """Whether it is a distribution."""
        return isinstance(self.times, Distribution)

    def steps(self, dt: float, times=None):
        """`round(delay / dt)`, exact for multiples of dt (ms): an int, or int32 of each of the times (its own if left out)."""
        times = self.times if times is None else times
        longest = np.max(times, initial=0.0)
        if longest > (MOST_STEPS + 0.5) * dt:
            raise ValueError(
                f"{self.what} is {longest:.6g} ms, {longest / dt:.6g} steps of dt = {dt:.6g} ms, expected at most {MOST_STEPS} steps; "
                "check its unit"
            )
        return whole_steps(times, dt, self.what)

    def probabilities(self, dt: float) -> np.ndarray:
        """Of a distribution: that of 0, 1, ... steps of dt (ms), to 2^-33, given that the delay is not below 0."""
        unit, below = self.times.unit, float(self.times.cdf(with_unit(0.0, self.times.unit)))
        per_step = float(u.Quantity(dt, unit=u.ms).to_decimal(unit))
        if below > 1 - 2.0**-20:
            raise ValueError(f"{self.what} is {self.times!r}, expected a distribution of times of at least 0 ms")
        ends = (np.arange(MOST_STEPS + 1) + 0.5) * per_step
        up_to = (self.times.cdf(with_unit(ends, unit)) - below) / (1 - below)
        if up_to[-1] < 1 - 2.0**-33:
            raise ValueError(
                f"{self.what} is {self.times!r}, which reaches beyond {MOST_STEPS} steps of dt = {dt:.6g} ms: check its unit, or cut it "
                "as TruncNormal does"
            )
        return np.diff(up_to[: np.argmax(up_to >= 1 - 2.0**-33) + 1], prepend=0.0)

    def check_step(self, dt: float) -> None:
        """Raise if a delay is too long, and warn if rounding to steps moves one by more than 1 %. (Those drawn are multiples of dt.)"""
        if not self.drawn:
            self.steps(dt)
            warn_of_rounding(self.times, dt, self.what)


def by_delay(A, steps: np.ndarray, *, ties: bool = False, placed_from: bool = True):
    """`(matrix, Delays, order)`: a matrix by row whose synapses stand by delay within a row, their delays, and where each of them stood.

    Args:
      A: CSR or FixedPostNumConn. steps: integers (nse,), in the order of its weights.
      ties, placed_from: as for `Compressed.sorted_within_lines`.
    """
    longest = int(np.max(steps, initial=0))
    steps = aligned(steps, _narrow(longest))
    A, order = A.sorted_within_lines(steps, ties=ties, placed_from=placed_from)
    tally = np.zeros(longest + 2, np.int64)
    blocks = (steps[start : start + BLOCK] for start in range(0, steps.size, BLOCK))
    for found in in_threads(lambda block: np.bincount(block, minlength=longest + 1), blocks):
        tally[1:] += found
    return A, Delays(placed(steps), jnp.asarray(np.cumsum(tally).astype(np.int32))), order


def _narrow(longest: int):
    """The dtype of delays up to so many steps."""
    return np.uint8 if longest < 256 else np.uint16
