"""`LIF`: the leaky integrate-and-fire neuron."""

from typing import ClassVar

import brainunit as u
import jax.numpy as jnp
import numpy as np

from ...core.updates import fire
from ..distributions import Distribution, sample_like
from ..parameters import describe, with_unit
from ..population import Population
from ..synapses.base import total_input
from ..synapses.delta import Delta
from ..synapses.expon import Expon
from ..units import check_sign, per_neuron, plain, warn_of_rounding, whole_steps
from ..values import in_network_precision, word

METHODS = ("auto", "exponential_euler", "exact")


class LIF(Population):
    """Leaky integrate-and-fire neurons with a hard reset: `tau dV/dt = V_rest - V + R I`; a spike when V passes V_th.

    Args:
      size: number of neurons.
      tau: membrane time constant, a time; scalar or (size,).
      V_rest, V_th, V_reset: resting, threshold and reset potentials, voltages; scalar or (size,).
      tau_ref: refractory time; scalar or (size,); 0 ms for none. It acts in whole steps, half a step rounded up, with a warning if
        that moves it by more than 1 %.
      R: membrane resistance; scalar or (size,). Times a conductance it is the relative strength of a synapse.
      V_init: V at the start: a voltage, one a neuron, or a distribution of voltages. V_rest if left out.
      method: "exponential_euler", exact for conductances frozen during a step; "exact", the exact propagators, for inputs that are
        exponential currents; "auto" takes the exact one where every synapse allows it.
      name: the name in summaries and errors.

    Raises:
      brainunit.UnitMismatchError: a parameter in the wrong unit.
      ValueError: sizes that do not fit, a time constant that is not positive, a reset above threshold, an unknown method.

    The step is the one of Rotter & Diesmann, Biol. Cybern. 81:381 (1999) for exponential currents, and the exponential Euler step
    of Brian2 for conductances. Refractory neurons hold V, and voltage jumps that reach them are lost, as in Brian2 and NEST.

    >>> import brainunit as u
    >>> from brainevent.projections import LIF
    >>> LIF(100, tau=20 * u.ms, V_rest=-60 * u.mV, V_th=-50 * u.mV, V_reset=-60 * u.mV, name="E")
    LIF(100, name='E')
    """

    state_units: ClassVar = {"V": u.mV, "spikes": None, "refractory": None}

    def __init__(
        self,
        size,
        *,
        tau=20 * u.ms,
        V_rest=-65 * u.mV,
        V_th=-50 * u.mV,
        V_reset=-65 * u.mV,
        tau_ref=0 * u.ms,
        R=100 * u.Mohm,
        V_init=None,
        method="auto",
        name=None,
    ):
        super().__init__(size, name=name)
        owner = f"LIF {self.label}".rstrip()
        self.own = {
            key: per_neuron(value, unit, self.size, f"{owner}: {key}")
            for key, value, unit in (
                ("tau", tau, u.ms),
                ("V_rest", V_rest, u.mV),
                ("V_th", V_th, u.mV),
                ("V_reset", V_reset, u.mV),
                ("tau_ref", tau_ref, u.ms),
                ("R", R, u.Gohm),
            )
        }
        for key, given in (("tau", tau), ("R", R)):
            check_sign(self.own[key], given, f"{owner}: {key}", "a positive value", zero=False)
        check_sign(self.own["tau_ref"], tau_ref, f"{owner}: tau_ref", "at least 0 ms", zero=True)
        reset, threshold = (np.asarray(self.own[key], jnp.result_type(float)) for key in ("V_reset", "V_th"))
        if np.any(reset >= threshold):
            raise ValueError(
                f"{owner}: V_reset={describe(V_reset)} must be below V_th={describe(V_th)}, or the neuron would never stop spiking"
            )
        self.method = word(method, METHODS, f"{owner}: method")
        self.V_init = self._starts(V_init, f"{owner}: V_init")
        self._make_states()

    def _starts(self, V_init, what: str):
        """What V starts from, in mV: a number, one a neuron, or a distribution (in its own unit)."""
        if V_init is None:
            return self.own["V_rest"]
        if not isinstance(V_init, Distribution):
            return per_neuron(V_init, u.mV, self.size, what)
        plain(with_unit(0.0, V_init.unit), u.mV, what)
        return V_init

    def initial(self, rng):
        drawn = sample_like(self.V_init, rng, self.size)
        if isinstance(self.V_init, Distribution):
            what = f"LIF {self.label}: V_init"
            drawn = in_network_precision(plain(drawn, u.mV, what), what)
        return {"V": np.broadcast_to(drawn, self.size), "spikes": np.zeros(self.size, bool), "refractory": np.zeros(self.size, np.int32)}

    def check_synapse(self, synapse, projection):
        synapse.check_post(self, projection)

    def check_step(self, dt):
        warn_of_rounding(self.own["tau_ref"], dt, f"LIF {self.label}: tau_ref")

    def refractory_steps(self, dt):
        """Steps after a spike until V moves again, `tau_ref / dt` to the nearest whole number."""
        return whole_steps(self.own["tau_ref"], dt, f"LIF {self.label}: tau_ref")

    def exact(self, synapses) -> bool:
        """Whether the exact propagators apply: every input is a current with a closed-form response."""
        possible = all(synapse.responds_exactly for synapse, _ in synapses)
        if self.method == "exact" and not possible:
            names = ", ".join(str(synapse) for synapse, _ in synapses if not synapse.responds_exactly)
            raise ValueError(f'{self!r}: method="exact" needs exponential currents, but it has {names}: use method="exponential_euler"')
        return possible and self.method != "exponential_euler"

    def advance(self, state, synapses, external, clock):
        V, dt, own = state["V"], clock.dt, self.own
        dtype = V.dtype
        drive = 0.0 if external is None else own["R"] * external
        if self.exact(synapses):
            rest = own["V_rest"] + drive
            V_next = rest + (V - rest) * _constant(np.exp(-dt / own["tau"]), dtype)
            for synapse, its in synapses:
                for name, response in synapse.responses(own["tau"], dt).items():
                    V_next = V_next + _constant(own["R"] * response, dtype) * its[name]
        else:
            offset, slope = total_input(synapses, V)
            rate = 1.0 + own["R"] * slope
            rest = (own["V_rest"] + drive + own["R"] * offset) / rate
            V_next = rest + (V - rest) * jnp.exp(_constant(-dt / own["tau"], dtype) * rate)
        V_next = jnp.where(state["refractory"] > 1, V, V_next).astype(dtype)
        V_next, wait, spikes = fire(V_next, state["refractory"], own["V_th"], own["V_reset"], self.refractory_steps(dt))
        return {"V": V_next, "refractory": wait}, spikes

    def kernel_row(self, synapses, dt):
        own = {key: np.asarray(value, np.float64) for key, value in self.own.items()}
        if type(self) is not LIF or any(value.size != 1 for value in own.values()):
            return None
        tau, R, V_rest, V_th, V_reset = (own[key].item() for key in ("tau", "R", "V_rest", "V_th", "V_reset"))
        exact = self.exact([(synapse, None) for synapse, _ in synapses])
        channels = {}
        for synapse, channel in synapses:
            if type(synapse) not in (Expon, Delta):
                return None
            if channel is not None:
                factor = np.asarray(synapse.decay_factors(dt)[synapse.targets()])
                if factor.size != 1:
                    return None
                offset, slope = synapse.affine({synapse.targets(): 1.0}, 0.0)
                channels[channel] = factor.item(), offset, slope, R * float(synapse.responses(tau, dt)[synapse.targets()]) if exact else 0.0
        return [-dt / tau, np.exp(-dt / tau), R, V_rest, V_th, V_reset, float(self.refractory_steps(dt)), float(exact)], channels

    def jump(self, state, spikes, jumps):
        return state | {"V": state["V"] + jnp.where(spikes | (state["refractory"] > 0), 0, jumps)}

    def rests(self):
        highest = np.maximum(np.asarray(self.V.value.to_decimal(u.mV)), self.own["V_rest"])
        return not (highest > self.own["V_th"]).any()

    def relative_conductance(self, synapse, weight):
        return float(np.mean(self.own["R"])) * weight * synapse.conducts

    def peak_deflection(self, synapse, weight: float) -> float | None:
        """The peak change of V (mV) at rest from one spike of this weight, with the mean parameters of the population."""
        own = {key: float(np.mean(value)) for key, value in self.own.items()}
        return synapse.peak(weight, own)


def _constant(value, dtype):
    """A parameter in the precision of the network (a Python float adopts it by itself)."""
    return jnp.asarray(value, dtype) if np.ndim(value) else float(value)
