"""`Neuron`: a model given by its differential equations, a threshold and a reset; everything else comes with it."""

import inspect
from types import SimpleNamespace
from typing import Any, ClassVar

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np

from ..distributions import Distribution, sample_like
from ..parameters import with_unit
from ..population import Population
from ..synapses.base import total_input
from ..units import check_sign, inside, per_neuron, plain, warn_of_rounding, whole_steps
from ..values import in_network_precision, word


class Neuron(Population):
    """Neurons given by equations: `derivative`, and `fire`, which finds the spikes and resets.

    A subclass says which parameters there are (`defaults`) and which states, with their start (`variables`, V among them), and the two
    methods, on plain arrays in ms, mV, pA, nS, Gohm and pF; parameters are attributes of `self.p`. It takes every parameter by name, and
    where a state starts by `V_init=...`.

    Args:
      size: number of neurons.
      name: the name in summaries and errors.
      method: "exponential_euler" (each equation as if it were linear in its own state during a step, as it often is), "rk4" (the classical
        Runge-Kutta method of fourth order) or "euler"; that of the class if left out.
      given: the parameters of the model and the starts of its states, by name.
      tau_ref: refractory time, for models that have it among their parameters: V is held as long, in whole steps.

    Raises:
      TypeError: an unknown parameter. brainunit.UnitMismatchError, ValueError: one in the wrong unit, out of range or of a wrong shape.

    During a step conductances and currents of the synapses are those at its start; a conductance acts on V as it changes. Voltages that
    jump and refractory times are as in `LIF`.

    >>> import brainunit as u, jax.numpy as jnp
    >>> from brainevent.projections import Network, Neuron
    >>> class Leaky(Neuron):
    ...     defaults = {"tau": 20 * u.ms, "R": 100 * u.Mohm}
    ...     positive = ("tau", "R")
    ...     variables = {"V": -65 * u.mV}
    ...     def derivative(self, state, I):
    ...         return {"V": (-65 - state["V"] + self.p.R * I) / self.p.tau}
    ...     def fire(self, state, before):
    ...         spikes = state["V"] > -50
    ...         return {"V": jnp.where(spikes, -65, state["V"])}, spikes
    >>> N = Leaky(3, R=[100, 200, 300] * u.Mohm, name="N")
    >>> print(Network(N).run(100 * u.ms, dt=0.1 * u.ms, inputs={N: 200 * u.pA}).rate(N))
    100. Hz
    """

    defaults: ClassVar[dict[str, Any]] = {}
    positive: ClassVar[tuple[str, ...]] = ()
    variables: ClassVar[dict[str, Any]] = {}
    method: str = "exponential_euler"
    state_units: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        kinds = inspect.Parameter
        own = cls.defaults | {f"{state}_init": None for state in cls.variables} | {"method": cls.method, "name": None}
        made = [kinds(name, kinds.KEYWORD_ONLY, default=default) for name, default in own.items()]
        cls.__signature__ = inspect.Signature([kinds("size", kinds.POSITIONAL_OR_KEYWORD), *made])  # pyright: ignore[reportAttributeAccessIssue]
        units = {name: None if _unit(start).is_unitless else _unit(start) for name, start in cls.variables.items()}
        cls.state_units = units | {"spikes": None, "refractory": None}

    def __init__(self, size, *, name=None, method=None, **given):
        super().__init__(size, name=name)
        self.owner = f"{type(self).__name__} {self.label}".rstrip()
        starts = {f"{state}_init" for state in self.variables}
        for key in given:
            if key not in self.defaults and key not in starts:
                known = ", ".join((*self.defaults, *sorted(starts), "method", "name"))
                raise TypeError(f"{self.owner} has no parameter {key!r}: it has {known}")
        self.method = word(self.method if method is None else method, tuple(METHODS), f"{self.owner}: method")
        self.own = {key: self._parameter(key, given.get(key, default)) for key, default in self.defaults.items()}
        self.p = SimpleNamespace(**self.own)
        self.check_parameters()
        self.starts = {state: self._start(state, given.get(f"{state}_init")) for state in self.variables}
        self._make_states()

    def _parameter(self, key: str, value):
        what = f"{self.owner}: {key}"
        number = per_neuron(value, _unit(self.defaults[key]), self.size, what)
        if key in self.positive or key == "tau_ref":
            check_sign(number, value, what, "at least 0 ms" if key == "tau_ref" else "a positive value", zero=key == "tau_ref")
        return number

    def _start(self, state: str, value):
        """Where a state starts: a number, one a neuron, or a distribution (in its own unit)."""
        what, unit = f"{self.owner}: {state}_init", _unit(self.variables[state])
        if value is None:
            value = self.at_rest().get(state, self.variables[state])
            return per_neuron(value, unit if isinstance(value, u.Quantity) else u.UNITLESS, self.size, what)
        if not isinstance(value, Distribution):
            return per_neuron(value, unit, self.size, what)
        plain(with_unit(0.0, value.unit), unit, what)
        return value

    # -- what a model says --------------------------------------------------------------------------------------------------

    def derivative(self, state: dict, I) -> dict:
        """The change of every state in a ms.

        Args:
          state: the states, plain arrays.
          I: the current into the neurons (pA), that of the synapses and the external one.
        """
        raise NotImplementedError

    def fire(self, state: dict, before: dict) -> tuple[dict, Any]:
        """`(states after the reset, spikes)`, given the states at the end of a step and those before it."""
        raise NotImplementedError

    def at_rest(self) -> dict[str, Any]:
        """Where states start that start elsewhere than `states` says, plain numbers in the units of a network."""
        return {}

    def check_parameters(self) -> None:
        """Raise if parameters do not go together."""

    # -- what comes with it -------------------------------------------------------------------------------------------------

    def initial(self, rng):
        made = {}
        for name, start in self.starts.items():
            drawn = sample_like(start, rng, self.size)
            if isinstance(start, Distribution):
                what = f"{self.owner}: {name}_init"
                drawn = in_network_precision(plain(drawn, _unit(self.variables[name]), what), what)
            made[name] = np.broadcast_to(np.asarray(drawn, np.float64), self.size)
        return made | {"spikes": np.zeros(self.size, bool), "refractory": np.zeros(self.size, np.int32)}

    def check_synapse(self, synapse, projection):
        synapse.check_post(self, projection)

    def check_step(self, dt):
        warn_of_rounding(self.own.get("tau_ref", 0.0), dt, f"{self.owner}: tau_ref")

    def advance(self, state, synapses, external, clock):
        before = {name: state[name] for name in self.variables}
        V, wait, dtype = before["V"], state["refractory"], before["V"].dtype
        offset, slope = total_input(synapses, V)
        offset = offset if external is None else offset + external

        def slopes(now):
            return {name: jnp.asarray(value, dtype) for name, value in self.derivative(now, offset - slope * now["V"]).items()}

        after = {name: value.astype(dtype) for name, value in METHODS[self.method](slopes, before, clock.dt).items()}
        after["V"] = jnp.where(wait > 1, V, after["V"])
        reset, spikes = self.fire(after, before)
        spikes = spikes & (wait <= 1)
        hold = whole_steps(self.own.get("tau_ref", 0.0), clock.dt, f"{self.owner}: tau_ref")
        new = {name: jnp.where(spikes, reset[name], after[name]).astype(dtype) if name in reset else after[name] for name in after}
        return new | {"refractory": jnp.where(spikes, hold, jnp.maximum(wait - 1, 0)).astype(wait.dtype)}, spikes

    def jump(self, state, spikes, jumps):
        return state | {"V": state["V"] + jnp.where(spikes | (state["refractory"] > 0), 0, jumps)}


def _unit(value):
    """The unit that a quantity has inside a network."""
    return inside(u.get_unit(value))


# -- one step of dt (ms) ---------------------------------------------------------------------------------------------------------


def euler(slopes, state: dict, dt: float) -> dict:
    """The slope at the start for all of the step."""
    return _moved(state, slopes(state), dt)


def exponential_euler(slopes, state: dict, dt: float) -> dict:
    """`x + f (e^(dt f') - 1) / f'` for every state x with slope f and its derivative f' by x itself: exact where f is linear in x."""
    new = {}
    for name, x in state.items():

        def own(x, name=name):
            return slopes({**state, name: x})[name]

        f, df = jax.jvp(own, (x,), (jnp.ones_like(x),))
        z = dt * df
        safe = jnp.where(z == 0, 1, z)
        new[name] = x + dt * f * jnp.where(z == 0, 1, jnp.expm1(safe) / safe)
    return new


def rk4(slopes, state: dict, dt: float) -> dict:
    """The classical method of fourth order (Kutta 1901)."""
    k1 = slopes(state)
    k2 = slopes(_moved(state, k1, dt / 2))
    k3 = slopes(_moved(state, k2, dt / 2))
    k4 = slopes(_moved(state, k3, dt))
    return {name: x + dt / 6 * (k1[name] + 2 * k2[name] + 2 * k3[name] + k4[name]) for name, x in state.items()}


def _moved(state: dict, slopes: dict, dt: float) -> dict:
    return {name: x + dt * slopes[name] for name, x in state.items()}


METHODS = {"exponential_euler": exponential_euler, "rk4": rk4, "euler": euler}
