"""Currents for `run(inputs=...)`: functions of time that are often wanted, arrays in time, and noise."""

import abc
from dataclasses import dataclass, field
from typing import Any

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np

from .parameters import Parameters, describe
from .units import check_sign, per_neuron, plain, scalar, steps_of

# -- functions of time -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, repr=False)
class StepCurrent(Parameters):
    """A current from `start` to before `stop`, and 0 else.

    Args:
      amplitude: a current, scalar or one a neuron.
      start, stop: times; a step has what holds at its start.

    Raises:
      brainunit.UnitMismatchError, ValueError: a parameter in the wrong unit, a stop before the start.

    >>> import brainunit as u
    >>> from brainevent.projections import StepCurrent
    >>> StepCurrent(200 * u.pA, start=10 * u.ms, stop=20 * u.ms)(15.0 * u.ms)
    Quantity(200., "pA")
    """

    amplitude: Any
    start: Any = field(default_factory=lambda: 0 * u.ms)
    stop: Any = field(default_factory=lambda: np.inf * u.ms)

    def __post_init__(self):
        plain(self.amplitude, u.pA, "StepCurrent: amplitude")
        start = scalar(self.start, u.ms, "StepCurrent: start")
        if not np.isinf(u.get_mantissa(self.stop)) and scalar(self.stop, u.ms, "StepCurrent: stop") <= start:
            raise ValueError(f"StepCurrent: stop is {describe(self.stop)}, expected a time after the start, {describe(self.start)}")

    def __call__(self, t):
        """The current at the time t."""
        now, (start, stop) = t.to_decimal(u.ms), (time.to_decimal(u.ms) for time in (self.start, self.stop))
        slack = 1e-6 * jnp.abs(now) + 1e-9  # a step that begins at the start, to rounding, is in
        inside = (now >= start - slack) & (now < stop - slack)
        return jnp.where(inside, 1.0, 0.0) * plain(self.amplitude, u.pA, "amplitude") * u.pA


@dataclass(frozen=True, eq=False, repr=False)
class RampCurrent(Parameters):
    """A current that goes in a line from `first` at `start` to `last` at `stop`, and is one of these before and after.

    Args:
      first, last: currents, scalars or one a neuron.
      start, stop: times.

    Raises:
      as in `StepCurrent`.

    >>> import brainunit as u
    >>> from brainevent.projections import RampCurrent
    >>> RampCurrent(0 * u.pA, 100 * u.pA, start=0 * u.ms, stop=50 * u.ms)(25.0 * u.ms)
    Quantity(50., "pA")
    """

    first: Any
    last: Any
    start: Any
    stop: Any

    def __post_init__(self):
        for name in ("first", "last"):
            plain(getattr(self, name), u.pA, f"RampCurrent: {name}")
        if scalar(self.stop, u.ms, "RampCurrent: stop") <= scalar(self.start, u.ms, "RampCurrent: start"):
            raise ValueError(f"RampCurrent: stop is {describe(self.stop)}, expected a time after the start, {describe(self.start)}")

    def __call__(self, t):
        """The current at the time t."""
        start, stop = (scalar(time, u.ms, "time") for time in (self.start, self.stop))
        first, last = (plain(value, u.pA, "current") for value in (self.first, self.last))
        part = jnp.clip((t.to_decimal(u.ms) - start) / (stop - start), 0, 1)
        return (first + (last - first) * part) * u.pA


@dataclass(frozen=True, eq=False, repr=False)
class SineCurrent(Parameters):
    """`offset + amplitude sin(2 pi frequency t + phase)`.

    Args:
      amplitude, offset: currents, scalars or one a neuron.
      frequency: a frequency, scalar or one a neuron.
      phase: a plain number (radians), scalar or one a neuron.

    Raises:
      brainunit.UnitMismatchError: a parameter in the wrong unit.

    >>> import brainunit as u
    >>> from brainevent.projections import SineCurrent
    >>> SineCurrent(100 * u.pA, frequency=5 * u.Hz)(50.0 * u.ms)
    Quantity(100., "pA")
    """

    amplitude: Any
    frequency: Any
    phase: Any = 0.0
    offset: Any = field(default_factory=lambda: 0 * u.pA)

    def __post_init__(self):
        for name, unit in (("amplitude", u.pA), ("frequency", u.kHz), ("phase", u.UNITLESS), ("offset", u.pA)):
            plain(getattr(self, name), unit, f"SineCurrent: {name}")

    def __call__(self, t):
        """The current at the time t."""
        amplitude, offset = (plain(value, u.pA, "current") for value in (self.amplitude, self.offset))
        turns = plain(self.frequency, u.kHz, "frequency") * t.to_decimal(u.ms)
        return (offset + amplitude * jnp.sin(2 * np.pi * (turns % 1) + np.asarray(self.phase))) * u.pA


# -- what knows which step it is, or has a state ------------------------------------------------------------------------------------


class Current(Parameters, abc.ABC):
    """A current that is told the step: the base of arrays in time and of noise. A subclass is a frozen dataclass of parameters."""

    def loop_key(self):
        """What a compiled loop depends on."""
        return self.key()

    def operands(self, size: int, what: str, dt: float) -> Any:
        """Arrays that a step takes, checked against the number of neurons; `what` names the input in errors."""

    def initial(self, rng: np.random.Generator, size: int) -> np.ndarray | None:
        """The state at the start, (size,), drawn from `rng`; None if there is none."""
        return None

    @abc.abstractmethod
    def at(self, operands, state, clock, key: str, size: int) -> tuple[Any, Any]:
        """`(current in pA, state)` in a step; `key` is what random numbers are keyed by."""


@dataclass(frozen=True, eq=False, repr=False)
class TimedArray(Current):
    """An array of currents in time, each for an interval of its own; the last holds on.

    Args:
      values: currents, (times,) for all neurons, or (times, neurons).
      dt: the interval, a multiple of the network's dt.

    Raises:
      brainunit.UnitMismatchError, ValueError: values that are no currents or of a wrong shape, an interval that is no multiple of dt.

    >>> import brainunit as u, numpy as np
    >>> from brainevent.projections import LIF, Network, TimedArray
    >>> N = LIF(3, name="N")
    >>> pulse = TimedArray([0, 500, 0] * u.pA, dt=20 * u.ms)
    >>> Network(N).run(60 * u.ms, dt=0.1 * u.ms, inputs={N: pulse}).rate(N) > 0 * u.Hz
    True
    """

    values: Any
    dt: Any

    def __post_init__(self):
        values = plain(self.values, u.pA, "TimedArray: values")
        if values.ndim not in (1, 2) or values.shape[0] == 0:
            raise ValueError(f"TimedArray: values has shape {values.shape}, expected (times,) or (times, neurons), at least one time")
        check_sign(scalar(self.dt, u.ms, "TimedArray: dt"), self.dt, "TimedArray: dt", "a positive time", zero=False)

    def loop_key(self):
        return type(self).__name__, np.shape(u.get_mantissa(self.values)), float(scalar(self.dt, u.ms, "dt"))

    def operands(self, size, what, dt):
        values = plain(self.values, u.pA, "TimedArray: values")
        if values.ndim == 2 and values.shape[1] not in (1, size):
            raise ValueError(f"{what}: the values of the TimedArray have shape {values.shape}, expected (times,) or (times, {size})")
        self._every(dt)
        return np.asarray(values, jnp.result_type(float))

    def _every(self, dt: float) -> int:
        steps = steps_of(self.dt, dt * u.ms, "TimedArray: dt")
        if steps != round(steps) or steps < 1:
            raise ValueError(f"TimedArray: dt is {describe(self.dt)}, expected a multiple of the network's dt, {dt:.6g} ms")
        return round(steps)

    def at(self, operands, state, clock, key, size):
        high, low = clock.words
        last = operands.shape[0] - 1
        row = jnp.where(high == 0, jnp.minimum(low // np.uint32(self._every(clock.dt)), np.uint32(last)), np.uint32(last))
        return operands[row], state


@dataclass(frozen=True, eq=False, repr=False)
class OrnsteinUhlenbeck(Current):
    """Coloured noise: `tau dI/dt = mean - I + sigma sqrt(2 tau) xi`, of mean `mean` and standard deviation `sigma` whatever dt is.

    Args:
      mean, sigma: currents, scalars or one a neuron; sigma at least 0.
      tau: correlation time.

    Raises:
      brainunit.UnitMismatchError, ValueError: a parameter in the wrong unit or out of range.

    Each neuron has noise of its own, which starts from its stationary law, goes on from run to run, and is updated exactly (Gillespie,
    Phys. Rev. E 54:2084, 1996). During a step the current is that at its start.

    >>> import brainunit as u
    >>> from brainevent.projections import LIF, Network, OrnsteinUhlenbeck
    >>> N = LIF(100, name="N")
    >>> noise = OrnsteinUhlenbeck(mean=150 * u.pA, sigma=50 * u.pA, tau=5 * u.ms)
    >>> run = Network(N, seed=1).run(100 * u.ms, dt=0.1 * u.ms, inputs={N: noise})
    >>> run.spikes(N)[1].size > 0
    True
    """

    mean: Any
    sigma: Any
    tau: Any

    def __post_init__(self):
        plain(self.mean, u.pA, "OrnsteinUhlenbeck: mean")
        sigma, what = plain(self.sigma, u.pA, "OrnsteinUhlenbeck: sigma"), "OrnsteinUhlenbeck: sigma"
        check_sign(sigma, self.sigma, what, "at least 0 pA", zero=True)
        check_sign(scalar(self.tau, u.ms, "OrnsteinUhlenbeck: tau"), self.tau, "OrnsteinUhlenbeck: tau", "a positive time", zero=False)

    def operands(self, size, what, dt):
        return tuple(np.asarray(per_neuron(v, u.pA, size, what), jnp.result_type(float)) for v in (self.mean, self.sigma))

    def initial(self, rng, size):
        return rng.standard_normal(size)

    def at(self, operands, state, clock, key, size):
        (mean, sigma), left = operands, float(np.exp(-clock.dt / scalar(self.tau, u.ms, "tau")))
        after = left * state + float(np.sqrt(-np.expm1(2 * np.log(left)))) * _normal(clock, key, size)
        return mean + sigma * state, after


@dataclass(frozen=True, eq=False, repr=False)
class WhiteNoise(Current):
    """White noise: `I = mean + sigma xi`, whose integral over any time has the same variance, `sigma^2` times that time, whatever dt is.

    Args:
      mean: a current, scalar or one a neuron.
      sigma: a current times the square root of a time (`100 * u.pA * u.ms**0.5`), at least 0, scalar or one a neuron.

    Raises:
      brainunit.UnitMismatchError, ValueError: a parameter in the wrong unit or out of range.

    V of a leaky membrane has the standard deviation `R sigma / sqrt(2 tau)`.

    >>> import brainunit as u
    >>> from brainevent.projections import LIF, Network, WhiteNoise
    >>> N = LIF(100, name="N")
    >>> noise = WhiteNoise(mean=140 * u.pA, sigma=100 * u.pA * u.ms**0.5)
    >>> run = Network(N, seed=1).run(100 * u.ms, dt=0.1 * u.ms, inputs={N: noise})
    >>> run.spikes(N)[1].size > 0
    True
    """

    mean: Any
    sigma: Any

    def __post_init__(self):
        plain(self.mean, u.pA, "WhiteNoise: mean")
        sigma = plain(self.sigma, u.pA * u.ms**0.5, "WhiteNoise: sigma")
        check_sign(sigma, self.sigma, "WhiteNoise: sigma", "at least 0", zero=True)

    def operands(self, size, what, dt):
        values = (self.mean, u.pA), (self.sigma, u.pA * u.ms**0.5)
        return tuple(np.asarray(per_neuron(value, unit, size, what), jnp.result_type(float)) for value, unit in values)

    def at(self, operands, state, clock, key, size):
        mean, sigma = operands
        return mean + sigma / float(np.sqrt(clock.dt)) * _normal(clock, key, size), state


def _normal(clock, key: str, size: int):
    """Standard normal numbers of a step, that are the same under every configuration of jax."""
    with jax.threefry_partitionable(True):
        return jax.random.normal(clock.key(key), (size,), jnp.result_type(float))
