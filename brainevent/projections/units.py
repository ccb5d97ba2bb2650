"""Units at the boundary of the projection layer: values are checked and split where they enter, and joined where they leave.

Inside a network every number is in one coherent system, so that no factor is ever needed: ms, mV, pA, nS, Gohm (mV = Gohm pA,
pA = nS mV), pF (pA = pF mV / ms), kHz (= 1 / ms).
"""

import brainunit as u
import numpy as np

INSIDE = (u.ms, u.mV, u.pA, u.nS, u.Gohm, u.pF, u.kHz, u.UNITLESS)


def inside(unit):
    """The unit that quantities of this dimension have inside a network."""
    for own in INSIDE:
        if own.has_same_dim(unit):
            return own
    raise u.UnitMismatchError(f"unit {unit} has no place in a network: expected a dimension of {', '.join(map(str, INSIDE))}")


def plain(value, unit, what: str):
    """The number or numpy array of `value` in `unit`; an error naming `what` and both units if the dimensions differ."""
    own = u.get_unit(value)
    if not own.has_same_dim(unit):
        given = "a plain number" if own.is_unitless else f"a value in {own}"
        raise u.UnitMismatchError(f"{what} is {given}, expected a unit like {unit}: write for example `1 * u.{unit}`")
    number = u.Quantity(value).to_decimal(unit)
    return number if np.ndim(number) == 0 and isinstance(number, (int, float)) else np.asarray(number)


def per_neuron(value, unit, size: int, what: str):
    """`plain`, as a float or an array of one value a neuron; an error if the length is not `size` or a value is not finite."""
    number = np.asarray(plain(value, unit, what), np.float64)
    if not np.isfinite(number).all():
        raise ValueError(f"{what} holds {number[~np.isfinite(number)].flat[0]}, expected finite values")
    if number.size == 1:
        return float(number.reshape(()))
    if number.shape != (size,):
        raise ValueError(f"{what} has shape {number.shape}, expected a scalar or ({size},), one value a neuron")
    return number


def steps_of(duration, dt, what: str) -> float:
    """`duration / dt` as a float, exact to 1e-6 for whole multiples."""
    ratio = float(plain(duration, u.ms, what)) / float(plain(dt, u.ms, "dt"))
    nearest = round(ratio)
    return float(nearest) if abs(ratio - nearest) <= 1e-6 * max(abs(ratio), 1.0) else ratio
