"""Units at the boundary of the projection layer: values are checked and split where they enter, and joined where they leave.

Inside a network every number is in one coherent system, so that no factor is ever needed: ms, mV, pA, nS, Gohm (mV = Gohm pA,
pA = nS mV), pF (pA = pF mV / ms), kHz (= 1 / ms).
"""

from typing import Any

import brainunit as u
import numpy as np

from .guards import warn
from .parameters import describe, with_unit
from .values import NUMBERS, in_network_precision, numbers

INSIDE = (u.ms, u.mV, u.pA, u.nS, u.Gohm, u.pF, u.kHz, u.UNITLESS)
MOST_STEPS = 2**31 - 1  # what a counter of steps holds


def inside(unit):
    """The unit that quantities of this dimension have inside a network."""
    for own in INSIDE:
        if own.has_same_dim(unit):
            return own
    voltage = unit.dim.get_dimension("kg")  # of all that ms, mV and pA make, only a voltage has mass, and length squared with it
    current, time = unit.dim.get_dimension("A") + voltage, unit.dim.get_dimension("s") + 3 * voltage
    made = u.mV**voltage * u.pA**current * u.ms**time
    if made.has_same_dim(unit):
        return made
    raise u.UnitMismatchError(f"unit {unit} has no place in a network: expected one of times, voltages and currents, or made of these")


def plain(value, unit, what: str, expected: str = NUMBERS) -> np.ndarray:
    """A copy of the numbers of `value`, in `unit`; an error naming `what` if they are none, and both units if the dimensions differ."""
    given, own = numbers(value, what, expected), u.get_unit(value)
    if not own.has_same_dim(unit):
        is_given = "a plain number" if own.is_unitless else f"a value in {own}"
        raise u.UnitMismatchError(f"{what} is {is_given}, expected a unit like {unit}: write for example `1 * u.{unit}`")
    with np.errstate(over="ignore"):
        return given if own == unit else np.asarray(u.Quantity(given, unit=own).to_decimal(unit))


def scalar(value, unit, what: str, expected: str = "one number") -> float:
    """`plain` of one number, as a float; an array of one number is one."""
    number = plain(value, unit, what, expected)
    if number.size != 1:
        raise ValueError(f"{what} is {describe(value)}, of shape {number.shape}, expected {expected}")
    in_network_precision(number, what)
    return float(number.reshape(()))


def check_sign(number, value, what: str, expected: str, *, zero: bool) -> None:
    """Raise an error that quotes the first of `value` whose `number`, in the network's precision, is negative (or zero, unless `zero`)."""
    seen = in_network_precision(np.asarray(number), what).reshape(-1)
    bad = np.flatnonzero(seen < 0 if zero else seen <= 0)
    if bad.size:
        given = np.asarray(u.get_mantissa(value)).reshape(-1)[bad[0]]
        where = f" at position {bad[0]}" if seen.size > 1 else ""
        raise ValueError(f"{what} is {describe(with_unit(given, u.get_unit(value)))}{where}, expected {expected}")


def per_neuron(value, unit, size: int, what: str):
    """`plain`, as a float or a float64 array of one value a neuron; an error if the length is not `size`."""
    number = np.asarray(plain(value, unit, what), np.float64)
    in_network_precision(number, what)
    if number.size == 1:
        return float(number.reshape(()))
    if number.shape != (size,):
        raise ValueError(f"{what} has shape {number.shape}, expected a scalar or ({size},), one value a neuron")
    return number


def steps_of(duration, dt, what: str) -> float:
    """`duration / dt` as a float, exact to 1e-6 for whole multiples."""
    ratio = scalar(duration, u.ms, what) / scalar(dt, u.ms, "dt")
    nearest = round(ratio)
    return float(nearest) if abs(ratio - nearest) <= 1e-6 * max(abs(ratio), 1.0) else ratio


def whole_steps(duration: Any, dt: float, what: str) -> Any:
    """Times (ms), one or many, in steps of `dt` (ms): the nearest whole number, a half rounded up; an int, or int32 of each time."""
    steps = np.floor(np.asarray(duration) / dt * (1 + 1e-9) + 0.5)
    if np.max(steps, initial=0) > MOST_STEPS:
        raise ValueError(f"{what} is {np.max(duration):.6g} ms, expected at most {MOST_STEPS} steps of dt = {dt:.6g} ms; check its unit")
    return steps.astype(np.int32) if steps.ndim else int(steps)


def warn_of_rounding(duration, dt: float, what: str) -> None:
    """Warn if rounding to steps moves a time (ms), or the worst of many, by more than 1 %."""
    times = np.atleast_1d(duration)
    acts_as = whole_steps(times, dt, what) * dt
    worst = np.argmax(np.abs(acts_as - times) - 0.01 * times)
    if abs(acts_as[worst] - times[worst]) > 0.01 * times[worst]:
        warn(
            f"{what} {times[worst]:.6g} ms is not a multiple of dt = {dt:.6g} ms and acts as {acts_as[worst]:.6g} ms: "
            "choose a multiple, or a smaller dt",
        )
