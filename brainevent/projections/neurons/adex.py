"""`AdEx`, `ExpIF`, `QIF`: neurons that draw their own spikes, by an exponential or by a parabola."""

from typing import ClassVar

import brainunit as u
import jax.numpy as jnp
import numpy as np

from .base import Neuron


class _Exponential(Neuron):
    """What exponential neurons share: the current of the spike, and where it ends."""

    positive = ("C", "g_L", "Delta_T")
    method = "rk4"

    def check_parameters(self):
        for low in ("V_T", "V_reset"):
            if np.any(np.asarray(getattr(self.p, low)) >= self.p.V_peak):
                raise ValueError(f"{self.owner}: {low} must be below V_peak, where a spike ends")

    def at_rest(self):
        return {"V": self.p.E_L}

    def membrane(self, V, I):
        """`C dV/dt`, the exponential cut at V_peak, beyond which the spike is over."""
        p = self.p
        V = jnp.minimum(V, p.V_peak)
        return p.g_L * (p.E_L - V) + p.g_L * p.Delta_T * jnp.exp((V - p.V_T) / p.Delta_T) + I

    def fire(self, state, before):
        return {"V": jnp.broadcast_to(jnp.asarray(self.p.V_reset), state["V"].shape)}, state["V"] > self.p.V_peak


class ExpIF(_Exponential):
    """Exponential integrate-and-fire neurons: `C dV/dt = g_L (E_L - V) + g_L Delta_T exp((V - V_T) / Delta_T) + I`.

    Args:
      size: number of neurons.
      C, g_L, E_L: capacitance, conductance and resting potential of the leak.
      V_T, Delta_T: threshold and sharpness of the spike.
      V_reset, V_peak: where V goes after a spike, and where a spike ends.
      tau_ref: refractory time.
      V_init: V at the start; E_L if left out.
      method, name: as in `Neuron`.

    Each parameter is a scalar or one a neuron. Raises what `Neuron` does, and ValueError if V_T or V_reset is not below V_peak.

    Fourcaud-Trocme, Hansel, van Vreeswijk & Brunel, J. Neurosci. 23:11628 (2003): its fit of the Wang-Buzsaki model, for 100 pF.

    >>> import brainunit as u
    >>> from brainevent.projections import ExpIF
    >>> ExpIF(100, Delta_T=1 * u.mV, name="E")
    ExpIF(100, name='E')
    """

    defaults: ClassVar = {
        "C": 100 * u.pF,
        "g_L": 10 * u.nS,
        "E_L": -65 * u.mV,
        "V_T": -59.9 * u.mV,
        "Delta_T": 3.48 * u.mV,
        "V_reset": -68 * u.mV,
        "V_peak": 0 * u.mV,
        "tau_ref": 1.7 * u.ms,
    }
    variables: ClassVar = {"V": -65 * u.mV}

    def derivative(self, state, I):
        return {"V": self.membrane(state["V"], I) / self.p.C}


class AdEx(_Exponential):
    """Adaptive exponential integrate-and-fire neurons: `ExpIF` with a current w, `tau_w dw/dt = a (V - E_L) - w`, that a spike raises by b.

    Args:
      size: number of neurons.
      C, g_L, E_L, V_T, Delta_T, V_reset, V_peak, tau_ref: as in `ExpIF`.
      a, tau_w, b: conductance and time constant of the adaptation, and its jump at a spike.
      V_init, w_init: the states at the start; E_L and 0 pA if left out.
      method, name: as in `Neuron`.

    Each parameter is a scalar or one a neuron. Raises what `ExpIF` does.

    Brette & Gerstner, J. Neurophysiol. 94:3637 (2005): a regular spiking pyramidal neuron. Firing patterns: Naud, Marcille, Clopath &
    Gerstner, Biol. Cybern. 99:335 (2008).

    >>> import brainunit as u
    >>> from brainevent.projections import AdEx
    >>> AdEx(100, b=0.0805 * u.nA, name="E")
    AdEx(100, name='E')
    """

    defaults: ClassVar = {
        "C": 281 * u.pF,
        "g_L": 30 * u.nS,
        "E_L": -70.6 * u.mV,
        "V_T": -50.4 * u.mV,
        "Delta_T": 2 * u.mV,
        "a": 4 * u.nS,
        "tau_w": 144 * u.ms,
        "b": 80.5 * u.pA,
        "V_reset": -70.6 * u.mV,
        "V_peak": 0 * u.mV,
        "tau_ref": 0 * u.ms,
    }
    positive = (*_Exponential.positive, "tau_w")
    variables: ClassVar = {"V": -70.6 * u.mV, "w": 0 * u.pA}

    def derivative(self, state, I):
        V, w, p = jnp.minimum(state["V"], self.p.V_peak), state["w"], self.p
        return {"V": (self.membrane(V, I) - w) / p.C, "w": (p.a * (V - p.E_L) - w) / p.tau_w}

    def fire(self, state, before):
        reset, spikes = super().fire(state, before)
        return reset | {"w": state["w"] + self.p.b}, spikes


class QIF(Neuron):
    """Quadratic integrate-and-fire neurons: `tau dV/dt = a (V - V_rest) (V - V_c) + R I`.

    Args:
      size: number of neurons.
      tau, R: membrane time constant and resistance.
      a: curvature (1 / mV).
      V_rest, V_c: the potential at rest, and that from which V rises.
      V_reset, V_peak: where V goes after a spike, and where a spike ends.
      tau_ref: refractory time.
      V_init: V at the start; V_rest if left out.
      method, name: as in `Neuron`.

    Each parameter is a scalar or one a neuron. Raises what `Neuron` does, and ValueError if V_reset is not below V_peak.

    Latham, Richmond, Nelson & Nirenberg, J. Neurophysiol. 83:808 (2000).

    >>> import brainunit as u
    >>> from brainevent.projections import QIF
    >>> QIF(100, V_c=-48 * u.mV, name="E")
    QIF(100, name='E')
    """

    defaults: ClassVar = {
        "tau": 10 * u.ms,
        "R": 100 * u.Mohm,
        "a": 0.07 / u.mV,
        "V_rest": -65 * u.mV,
        "V_c": -50 * u.mV,
        "V_reset": -68 * u.mV,
        "V_peak": -30 * u.mV,
        "tau_ref": 0 * u.ms,
    }
    positive = ("tau", "R", "a")
    variables: ClassVar = {"V": -65 * u.mV}
    method = "rk4"

    def check_parameters(self):
        if np.any(np.asarray(self.p.V_reset) >= self.p.V_peak):
            raise ValueError(f"{self.owner}: V_reset must be below V_peak, where a spike ends")

    def at_rest(self):
        return {"V": self.p.V_rest}

    def derivative(self, state, I):
        V, p = state["V"], self.p
        return {"V": (p.a * (V - p.V_rest) * (V - p.V_c) + p.R * I) / p.tau}

    def fire(self, state, before):
        return {"V": jnp.broadcast_to(jnp.asarray(self.p.V_reset), state["V"].shape)}, state["V"] > self.p.V_peak
