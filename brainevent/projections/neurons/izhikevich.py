"""`Izhikevich`: two equations, and the firing patterns of cortical neurons."""

from typing import ClassVar

import brainunit as u
import jax.numpy as jnp

from .base import Neuron


class Izhikevich(Neuron):
    """Izhikevich's neurons: `dV/dt = 0.04 V^2 + 5 V + 140 - u + R I`, `du/dt = a (b V - u)` (mV, ms); past V_peak V becomes c, u `u + d`.

    Args:
      size: number of neurons.
      a, b: rate of the recovery u, and how V drives it (1 / ms).
      c, d: V after a spike, and the jump of u (mV / ms).
      R: what makes mV / ms of a current; with 1 Gohm / ms a current of 10 pA is the 10 of the paper.
      V_peak: where a spike ends.
      V_init, u_init: the states at the start; -65 mV and b V if left out.
      method, name: as in `Neuron`.

    Each parameter is a scalar or one a neuron. Raises what `Neuron` does.

    Izhikevich, IEEE Trans. Neural Networks 14:1569 (2003): a, b, c, d of regular spiking.

    >>> import brainunit as u
    >>> from brainevent.projections import Izhikevich
    >>> chattering = Izhikevich(100, c=-50 * u.mV, d=2 * u.mV / u.ms, name="CH")
    """

    defaults: ClassVar = {
        "a": 0.02 / u.ms,
        "b": 0.2 / u.ms,
        "c": -65 * u.mV,
        "d": 8 * u.mV / u.ms,
        "R": 1 * u.Gohm / u.ms,
        "V_peak": 30 * u.mV,
    }
    variables: ClassVar = {"V": -65 * u.mV, "u": -13 * u.mV / u.ms}
    method = "rk4"

    def at_rest(self):
        return {"u": -65.0 * self.p.b}

    def derivative(self, state, I):
        V, recovery, p = jnp.minimum(state["V"], self.p.V_peak), state["u"], self.p
        return {"V": 0.04 * V**2 + 5 * V + 140 - recovery + p.R * I, "u": p.a * (p.b * V - recovery)}

    def fire(self, state, before):
        c = jnp.broadcast_to(jnp.asarray(self.p.c), state["V"].shape)
        return {"V": c, "u": state["u"] + self.p.d}, state["V"] > self.p.V_peak
