"""`DualExpon`, `Alpha`, `NMDA`: synapses whose state rises and falls."""

from dataclasses import dataclass, field
from typing import Any

import brainunit as u
import numpy as np
from scipy.linalg import expm

from .base import Output, TimedSynapse, numeric_peak
from .outputs import CUBA, MgBlock


class _Rising(TimedSynapse):
    """`dh/dt = -h / tau_rise`, `dg/dt = -g / tau_decay + c h`: a spike adds its weight to h, and c makes the peak of g that weight."""

    def constants(self) -> tuple:
        """`(tau_rise, tau_decay)` in ms, floats or arrays of one value a post neuron."""
        return self.in_ms(self.times[0]), self.in_ms(self.times[-1])

    def shape(self, t):
        """The state g at the times t (ms) after a spike of weight 1 at 0: at most 1."""
        rise, decay = self.constants()
        return _per_jump(rise, decay) * _integral(1 / np.asarray(rise), 1 / np.asarray(decay), t)

    def initial(self, size):
        return {"g": np.zeros(size), "h": np.zeros(size)}

    def targets(self):
        return "h"

    def decay_factors(self, dt):
        return {"h": np.exp(-dt / self.constants()[0])}

    def decay(self, state, dt):
        falls, rises = np.exp(-dt / np.asarray(self.constants()[1])), self.shape(dt)
        dtype = state["g"].dtype
        return state | {"g": state["g"] * falls.astype(dtype) + state["h"] * np.asarray(rises, dtype)}

    def responses(self, tau, dt):
        """The propagators of V' = (-V + I) / tau with I = g; a matrix exponential, so that equal time constants are no special case."""
        rise, decay = self.constants()
        tau, rise, decay = np.broadcast_arrays(*(np.asarray(value, np.float64) for value in (tau, rise, decay)))
        rates = np.zeros((*tau.shape, 3, 3))  # of V, g and h
        rates[..., 0, 0], rates[..., 1, 1], rates[..., 2, 2] = -1 / tau, -1 / decay, -1 / rise
        rates[..., 0, 1], rates[..., 1, 2] = 1 / tau, _per_jump(rise, decay)
        row = expm(rates * dt)[..., 0, :]
        return {"g": row[..., 1], "h": row[..., 2]}

    def peak(self, weight, own):
        rise, decay = (float(np.mean(value)) for value in self.constants())
        factor = _per_jump(rise, decay)
        return numeric_peak(weight, own, self.output, lambda t: factor * _integral(1 / rise, 1 / decay, t), rise + decay)


def _integral(a, b, t):
    """`(e^(-b t) - e^(-a t)) / (a - b)`, which is t e^(-a t) where the rates are equal."""
    apart = np.asarray(a - b)
    safe = np.where(apart == 0, 1, apart)
    return np.exp(-b * t) * np.where(apart == 0, t, -np.expm1(-safe * t) / safe)


def _per_jump(rise, decay):
    """The factor c (1 / ms) by which the peak of g is 1 for a jump of h by 1."""
    a, b = 1 / np.asarray(rise, np.float64), 1 / np.asarray(decay, np.float64)
    ratio = a / b - 1
    safe = np.where(ratio == 0, 1, ratio)
    peak_time = np.where(ratio == 0, 1, np.log1p(ratio) / safe) / b  # where both terms of dg/dt are equal
    return 1 / _integral(a, b, peak_time)


@dataclass(frozen=True, eq=False, repr=False)
class DualExpon(_Rising):
    """Difference of two exponentials: rises with `tau_rise`, falls with `tau_decay`; the weight is the peak.

    Args:
      tau_rise, tau_decay: times; scalar, or one a post neuron. Exchanged, they make the same shape.
      output: `COBA(E=...)` (weights are conductances) or `CUBA()` (weights are currents).

    Raises:
      brainunit.UnitMismatchError, ValueError: a time constant is not a positive time. TypeError: an output that is none.

    Roth & van Rossum, Modeling synapses, chapter 6 of De Schutter (ed.), Computational Modeling Methods for Neuroscientists (2009).
    Updated exactly.

    >>> import brainunit as u
    >>> from brainevent.projections import COBA, DualExpon
    >>> DualExpon(tau_rise=0.5 * u.ms, tau_decay=5 * u.ms, output=COBA(E=0 * u.mV)).shape(1.279).round(4)
    np.float64(1.0)
    """

    tau_rise: Any
    tau_decay: Any
    output: Output = CUBA()  # noqa: RUF009
    times = ("tau_rise", "tau_decay")


@dataclass(frozen=True, eq=False, repr=False)
class Alpha(_Rising):
    """The alpha function `t / tau e^(1 - t / tau)`, highest at `tau` after the spike; the weight is the peak.

    Args:
      tau: a time; scalar, or one a post neuron.
      output: `COBA(E=...)` (weights are conductances) or `CUBA()` (weights are currents).

    Raises:
      brainunit.UnitMismatchError, ValueError: tau is not a positive time. TypeError: an output that is none.

    Rall, J. Neurophysiol. 30:1138 (1967). Updated exactly, as in Rotter & Diesmann, Biol. Cybern. 81:381 (1999).

    >>> import brainunit as u
    >>> from brainevent.projections import Alpha
    >>> Alpha(tau=2 * u.ms).shape(2.0).round(4)
    np.float64(1.0)
    """

    tau: Any
    output: Output = CUBA()  # noqa: RUF009
    times = ("tau",)


@dataclass(frozen=True, eq=False, repr=False)
class NMDA(_Rising):
    """NMDA receptors in their summed form: a conductance that rises and falls, blocked by magnesium; the weight is its peak.

    Args:
      tau_rise, tau_decay: times; scalar, or one a post neuron.
      output: `MgBlock(E=...)`.

    Raises:
      as in `DualExpon`.

    Each spike adds a full response, so that conductances add up without a bound. The block: Jahr & Stevens, J. Neurosci. 10:3178 (1990).

    >>> import brainunit as u
    >>> from brainevent.projections import NMDA
    >>> NMDA()
    NMDA(tau_rise=2 ms, tau_decay=100 ms, output=MgBlock(E=0 mV, Mg=1))
    """

    tau_rise: Any = field(default_factory=lambda: 2 * u.ms)
    tau_decay: Any = field(default_factory=lambda: 100 * u.ms)
    output: Output = MgBlock()  # noqa: RUF009
    times = ("tau_rise", "tau_decay")
