"""`Expon`: a synapse that jumps by its weight and decays exponentially."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .base import Output, TimedSynapse, numeric_peak
from .outputs import CUBA


@dataclass(frozen=True, eq=False, repr=False)
class Expon(TimedSynapse):
    """Exponential synapse: a spike adds its weight to the state, which decays with `tau`.

    Args:
      tau: decay time; scalar, or one a post neuron.
      output: `COBA(E=...)` (weights are conductances) or `CUBA()` (weights are currents).

    Raises:
      brainunit.UnitMismatchError, ValueError: tau is not a positive time. TypeError: an output that is none.

    >>> import brainunit as u
    >>> from brainevent.projections import COBA, Expon
    >>> Expon(tau=5 * u.ms, output=COBA(E=0 * u.mV)) == Expon(tau=0.005 * u.second, output=COBA(E=0 * u.mV))
    True
    """

    tau: Any
    output: Output = CUBA()  # noqa: RUF009
    times = ("tau",)

    def initial(self, size):
        return {"g": np.zeros(size)}

    def decay_factors(self, dt):
        return {"g": np.exp(-dt / self.in_ms("tau"))}

    def targets(self):
        return "g"

    def responses(self, tau, dt):
        """`tau_s / (tau - tau_s) (e^(-dt/tau) - e^(-dt/tau_s))`, written so that equal time constants are no special case."""
        tau_s = self.in_ms("tau")
        rate = 1 / np.asarray(tau_s) - 1 / np.asarray(tau)  # e^(-dt/tau) (1 - e^(-dt rate)) / (tau rate)
        return {"g": np.exp(-dt / np.asarray(tau)) / tau * np.where(rate == 0, dt, -np.expm1(-dt * rate) / np.where(rate == 0, 1, rate))}

    def peak(self, weight, own):
        decay_tau = float(np.mean(self.in_ms("tau")))
        return numeric_peak(weight, own, self.output, lambda t: np.exp(-t / decay_tau), decay_tau)
