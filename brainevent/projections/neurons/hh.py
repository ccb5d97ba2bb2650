"""`HH`: Hodgkin-Huxley neurons of the hippocampus and cortex."""

from typing import ClassVar

import brainunit as u
import jax.numpy as jnp

from .base import Neuron


class HH(Neuron):
    """Hodgkin-Huxley neurons: `C dV/dt = g_L (E_L - V) + g_Na m^3 h (E_Na - V) + g_K n^4 (E_K - V) + I`; a spike when V rises through V_th.

    Args:
      size: number of neurons.
      C: capacitance.
      g_L, E_L, g_Na, E_Na, g_K, E_K: conductances and reversal potentials of leak, sodium and potassium.
      V_T: by which the rates of the gates are shifted.
      V_th: what V passes at a spike.
      V_init, m_init, h_init, n_init: the states at the start; E_L, and what the gates come to there, if left out.
      method, name: as in `Neuron`.

    Each parameter is a scalar or one a neuron. Raises what `Neuron` does.

    Traub & Miles, Neuronal networks of the hippocampus (1991), as in Brette et al., J. Comput. Neurosci. 23:349 (2007), benchmark 3.

    >>> import brainunit as u
    >>> from brainevent.projections import HH
    >>> HH(100, g_L=12 * u.nS, name="E")
    HH(100, name='E')
    """

    defaults: ClassVar = {
        "C": 200 * u.pF,
        "g_L": 10 * u.nS,
        "E_L": -65 * u.mV,
        "g_Na": 20 * u.uS,
        "E_Na": 50 * u.mV,
        "g_K": 6 * u.uS,
        "E_K": -90 * u.mV,
        "V_T": -63 * u.mV,
        "V_th": -20 * u.mV,
    }
    positive = ("C", "g_L", "g_Na", "g_K")
    variables: ClassVar = {"V": -65 * u.mV, "m": 0.0, "h": 1.0, "n": 0.0}

    def at_rest(self):
        rates = self.rates(jnp.asarray(self.p.E_L))
        return {"V": self.p.E_L} | {gate: opens / (opens + closes) for gate, (opens, closes) in rates.items()}

    def rates(self, V) -> dict:
        """`(alpha, beta)` of each gate, 1 / ms."""
        V = V - self.p.V_T
        return {
            "m": (1.28 / _relative(13 - V, 4), 1.4 / _relative(V - 40, 5)),
            "h": (0.128 * jnp.exp((17 - V) / 18), 4 / (1 + jnp.exp((40 - V) / 5))),
            "n": (0.16 / _relative(15 - V, 5), 0.5 * jnp.exp((10 - V) / 40)),
        }

    def derivative(self, state, I):
        V, m, h, n, p = state["V"], state["m"], state["h"], state["n"], self.p
        current = p.g_L * (p.E_L - V) + p.g_Na * m**3 * h * (p.E_Na - V) + p.g_K * n**4 * (p.E_K - V) + I
        gates = {gate: opens * (1 - state[gate]) - closes * state[gate] for gate, (opens, closes) in self.rates(V).items()}
        return {"V": current / p.C, **gates}

    def fire(self, state, before):
        return {}, (before["V"] <= self.p.V_th) & (state["V"] > self.p.V_th)


def _relative(x, scale):
    """`(e^y - 1) / y` of `y = x / scale`, 1 where that is 0."""
    y = x / scale
    small = jnp.abs(y) < 1e-6
    safe = jnp.where(small, 1, y)
    return jnp.where(small, 1 + y / 2, jnp.expm1(safe) / safe)
