"""`ALIF`: leaky integrate-and-fire neurons whose threshold adapts."""

from typing import ClassVar

import brainunit as u
import jax.numpy as jnp

from .base import Neuron


class ALIF(Neuron):
    """`tau dV/dt = V_rest - V + R I`; a spike when V passes `V_th + a`; `tau_a da/dt = -a`, and a spike raises a by beta.

    Args:
      size: number of neurons.
      tau, R, V_rest: time constant, resistance and resting potential of the membrane.
      V_th, V_reset: the threshold at rest, and where V goes after a spike.
      beta, tau_a: jump and time constant of the threshold.
      tau_ref: refractory time.
      V_init, a_init: the states at the start; V_rest and 0 mV if left out.
      method, name: as in `Neuron`.

    Each parameter is a scalar or one a neuron. Raises what `Neuron` does.

    Bellec, Salaj, Subramoney, Legenstein & Maass, NeurIPS 31 (2018); Benda, Maler & Longtin, J. Neurophysiol. 104:2806 (2010).

    >>> import brainunit as u
    >>> from brainevent.projections import ALIF
    >>> ALIF(100, beta=2 * u.mV, tau_a=200 * u.ms, name="A")
    ALIF(100, name='A')
    """

    defaults: ClassVar = {
        "tau": 20 * u.ms,
        "R": 100 * u.Mohm,
        "V_rest": -65 * u.mV,
        "V_th": -50 * u.mV,
        "V_reset": -65 * u.mV,
        "beta": 1.6 * u.mV,
        "tau_a": 200 * u.ms,
        "tau_ref": 0 * u.ms,
    }
    positive = ("tau", "R", "tau_a")
    variables: ClassVar = {"V": -65 * u.mV, "a": 0 * u.mV}

    def at_rest(self):
        return {"V": self.p.V_rest}

    def derivative(self, state, I):
        V, a, p = state["V"], state["a"], self.p
        return {"V": (p.V_rest - V + p.R * I) / p.tau, "a": -a / p.tau_a}

    def fire(self, state, before):
        V_reset = jnp.broadcast_to(jnp.asarray(self.p.V_reset), state["V"].shape)
        return {"V": V_reset, "a": state["a"] + self.p.beta}, state["V"] > self.p.V_th + state["a"]
