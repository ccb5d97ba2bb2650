"""`Expon`: a synapse that jumps by its weight and decays exponentially."""

from dataclasses import dataclass
from typing import Any

import brainunit as u
import numpy as np

from ..parameters import describe
from .base import Output, Synapse, numeric_peak, time_constant
from .outputs import CUBA


@dataclass(frozen=True, eq=False, repr=False)
class Expon(Synapse):
    """Exponential synapse: a spike adds its weight to the state, which decays with `tau`.

    Args:
      tau: decay time; scalar, or one a post neuron.
      output: `COBA(E=...)` (weights are conductances) or `CUBA()` (weights are currents).

    Raises:
      brainunit.UnitMismatchError, ValueError: tau is not a positive time.

    >>> import brainunit as u
    >>> from brainevent.projections import COBA, Expon
    >>> Expon(tau=5 * u.ms, output=COBA(E=0 * u.mV)) == Expon(tau=0.005 * u.second, output=COBA(E=0 * u.mV))
    True
    """

    tau: Any
    output: Output = CUBA()  # noqa: RUF009

    def __post_init__(self):
        object.__setattr__(self, "tau", time_constant(self.tau, None, "Expon: tau") * u.ms)
        if not isinstance(self.output, Output):
            raise TypeError(f"Expon: output is {describe(self.output)}, expected COBA(E=0 * u.mV) or CUBA()")

    @property
    def unit(self):
        return self.output.unit

    @property
    def conducts(self):
        return self.output.conducts

    @property
    def responds_exactly(self):  # type: ignore[override]
        """Whether the response of a membrane to a spike has a closed form: to currents."""
        return isinstance(self.output, CUBA)

    def check_post(self, post, projection):
        time_constant(self.tau, post.size, f"{projection}: Expon tau")

    def initial(self, size):
        return {"g": np.zeros(size)}

    def decay_factors(self, dt):
        return {"g": np.exp(-dt / time_constant(self.tau, None, "tau"))}

    def targets(self):
        return "g"

    def affine(self, state, V):
        return self.output.affine(state["g"], V)

    def responses(self, tau, dt):
        """`tau_s / (tau - tau_s) (e^(-dt/tau) - e^(-dt/tau_s))`, written so that equal time constants are no special case."""
        tau_s = time_constant(self.tau, None, "tau")
        rate = 1 / np.asarray(tau_s) - 1 / np.asarray(tau)  # e^(-dt/tau) (1 - e^(-dt rate)) / (tau rate)
        return {"g": np.exp(-dt / np.asarray(tau)) / tau * np.where(rate == 0, dt, -np.expm1(-dt * rate) / np.where(rate == 0, 1, rate))}

    def peak(self, weight, own):
        decay_tau = float(np.mean(time_constant(self.tau, None, "tau")))
        return numeric_peak(weight, own, self.output, lambda t: np.exp(-t / decay_tau), decay_tau)
