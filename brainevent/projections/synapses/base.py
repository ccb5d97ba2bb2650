"""The base of synapses and of their outputs: equal by value, shared by projections, written as equations for one array of targets."""

import abc
import functools
import operator
from typing import Any, ClassVar

import brainunit as u
import numpy as np

from ..parameters import Parameters, describe
from ..units import check_sign, plain


class Output(Parameters, abc.ABC):
    """How the state of a synapse becomes a current: `I = offset - slope * V`."""

    unit: ClassVar[Any]  # of the synaptic state, so of the weights
    conducts: ClassVar[bool]  # whether the state is a conductance, which adds to that of the membrane
    linear: ClassVar[bool] = False  # whether the current is the state itself, to which a membrane responds in closed form

    @abc.abstractmethod
    def affine(self, state, V) -> tuple[Any, Any]:
        """`(offset, slope)` in pA and nS, given the synaptic state and V (mV)."""


class Synapse(Parameters, abc.ABC):
    """Kinetics: what a spike adds to, and how that decays. Projections with equal synapses onto one population share one state.

    A subclass is a frozen dataclass of parameters with `unit`, `initial`, `targets`, `affine`, and `decay_factors` or `decay`, written for
    an array of post neurons, on plain arrays in ms, mV, pA and nS; `docs/projection-layer.md` has one of 15 lines.

    >>> from brainevent.projections import Expon, Synapse
    >>> issubclass(Expon, Synapse)
    True
    """

    continuous: ClassVar[bool] = False  # whether it acts in every step, on both neurons, and not by spikes

    @property
    def conducts(self) -> bool:
        """Whether the weights are conductances, which add to that of the membrane and are never negative."""
        return False

    @property
    def responds_exactly(self) -> bool:
        """Whether the response of a membrane to a spike has a closed form, which `responses` gives."""
        return False

    @property
    @abc.abstractmethod
    def unit(self):
        """The unit of the weights."""

    @abc.abstractmethod
    def initial(self, size: int) -> dict[str, np.ndarray]:
        """The state at the start."""

    def decay_factors(self, dt: float) -> dict[str, Any]:
        """For states that decay by a factor in each step: the factors. A delivery applies them in the same pass over memory."""
        return {}

    def decay(self, state: dict, dt: float) -> dict:
        """The state after dt (ms) without input, of what `decay_factors` does not cover."""
        return state

    @abc.abstractmethod
    def targets(self) -> str | None:
        """The name of the state that arriving spikes add to; None if they make V jump."""

    @abc.abstractmethod
    def affine(self, state: dict, V) -> tuple[Any, Any]:
        """`(offset, slope)` of the current that the state makes, in pA and nS."""

    def transmission(self):
        """A `Plasticity` that says what spikes deliver, where that depends on those before; None for the weight."""
        return None

    def peak(self, weight: float, own: dict) -> float | None:
        """The peak change of V (mV) from one spike onto a neuron at rest whose plain parameters are `own`; None if that is not known, and
        then no weight is called odd.
        """
        return None

    def responses(self, tau, dt: float) -> dict[str, Any]:
        """For each state, V(t + dt) per R and per unit of it, exactly; only for synapses that `responds_exactly`."""
        raise NotImplementedError

    def check_post(self, post, projection: str) -> None:
        """Raise if the parameters do not fit the post population."""

    def check_weights(self, weights, what: str) -> None:
        """Raise an error naming `what` if one of the weights, plain numbers, is a conductance below zero."""
        lowest = np.min(np.asarray(weights), initial=0.0)
        if self.conducts and lowest < 0:
            raise ValueError(
                f"{what} holds {lowest:.6g} {self.unit}, but a conductance is at least 0: inhibition is a reversal potential below rest, "
                "as COBA(E=-80 * u.mV); keep a distribution above 0 with TruncNormal, Gamma or LogNormal"
            )

    def check_weight(self, unit, projection: str) -> None:
        """Raise an error naming the projection and both units if the weight's unit is not the synapse's."""
        if not unit.has_same_dim(self.unit):
            given = "no unit" if unit.is_unitless else f"unit {unit}"
            remedy = "convert it, or use another synapse"
            if unit.is_unitless:
                remedy = f"multiply it by u.{self.unit}, or a sparse matrix as CSR.fromscipy(S, unit=u.{self.unit})"
            raise u.UnitMismatchError(f"{projection}: the weight has {given}, but {self} onto the post neurons takes {self.unit}: {remedy}")


class TimedSynapse(Synapse):
    """A synapse that acts by an `output`, and whose parameters called in `times` are times, scalars or one a post neuron.

    A subclass is a frozen dataclass with a field for each of `times` and one named `output`; its state that acts is `g`.
    """

    times: ClassVar[tuple[str, ...]]
    output: Output

    def __post_init__(self):
        for name in self.times:
            object.__setattr__(self, name, time_constant(getattr(self, name), None, f"{type(self).__name__}: {name}") * u.ms)
        if not isinstance(self.output, Output):
            raise TypeError(f"{type(self).__name__}: output is {describe(self.output)}, expected COBA(E=0 * u.mV) or CUBA()")

    def in_ms(self, name: str):
        """A parameter of `times` as a float or an array of one value a post neuron."""
        return time_constant(getattr(self, name), None, name)

    @property
    def unit(self):
        return self.output.unit

    @property
    def conducts(self):
        return self.output.conducts

    @property
    def responds_exactly(self):
        return self.output.linear

    def check_post(self, post, projection):
        for name in self.times:
            time_constant(getattr(self, name), post.size, f"{projection}: {type(self).__name__} {name}")

    def affine(self, state, V):
        return self.output.affine(state["g"], V)


def total_input(synapses, V):
    """The summed `(offset, slope)` of the synapses of a population; nothing is spent on those that are none."""
    totals: tuple[list, list] = [], []
    for synapse, state in synapses:
        for total, part in zip(totals, synapse.affine(state, V)):
            total += [] if isinstance(part, float) and part == 0 else [part]
    return tuple(functools.reduce(operator.add, total or [0.0]) for total in totals)


def time_constant(value, size: int | None, what: str):
    """A positive time in ms: a float, or an array of one value a post neuron."""
    number = np.asarray(plain(value, u.ms, what), np.float64)
    check_sign(number, value, what, "a positive time", zero=False)
    if number.size == 1:
        return float(number.reshape(()))
    if number.ndim > 1 or (size is not None and number.shape != (size,)):
        raise ValueError(f"{what} has shape {number.shape}, expected a scalar or ({size or 'n_post'},), one a post neuron")
    return number


def numeric_peak(weight, own, output, shape, span: float) -> float:
    """The peak change of V (mV) at rest from one spike, integrated finely: a closed form needs a constant conductance.

    Args:
      weight, own: as for `Synapse.peak`. output: by which the state acts.
      shape: the state at a time (ms) after a spike of weight 1. span: of about how long that is (ms).
    """
    R, tau, rest = own["R"], own["tau"], own["V_rest"]
    dt, V, peak = min(tau, span) / 200, rest, 0.0
    for step in range(int(10 * max(tau, span) / dt)):
        offset, slope = (float(part) for part in output.affine(weight * float(shape((step + 0.5) * dt)), V))
        rate = 1.0 + R * slope
        V_inf = (rest + R * offset) / rate
        V = V_inf + (V - V_inf) * np.exp(-dt * rate / tau)
        if abs(V - rest) <= abs(peak):  # one peak, then decay
            break
        peak = V - rest
    return float(peak)
