"""`Learning`: weights that change with the spikes of both ends, by traces of these spikes; and `LearningRule`, a user's own."""

import abc
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import brainunit as u
import jax.numpy as jnp
import numpy as np

from ...core.plastic import Past, learn, remember
from ...core.updates import Arrivals
from ..parameters import describe
from ..units import check_sign, inside, scalar
from ..values import word
from .base import Plasticity

INTERACTIONS = ("all", "nearest")


def time_of(value, what: str):
    """A positive time, one for all synapses, in ms."""
    expected = "one positive time"
    number = scalar(value, u.ms, what, expected)
    check_sign(number, value, what, expected, zero=False)
    return number * u.ms


def weight_of(rule, name: str) -> float:
    """A parameter that is a weight, as a plain number in the unit that weights have inside a network."""
    value = getattr(rule, name)
    return scalar(value, inside(u.get_unit(value)), f"{type(rule).__name__}: {name}", "one weight for all synapses")


def number_of(value, what: str) -> float:
    """A plain number, one for all synapses."""
    return scalar(value, u.UNITLESS, what, "one number for all synapses")


class Learning(Plasticity):
    """Weights that learn from spikes: the base of every rule, whose `on_pre` and `on_post` read like its equations.

    A spike of a neuron makes its traces jump, and they decay in between: by 1 where all pairs of spikes count, to 1 where the nearest do.
    When a spike arrives, `on_pre` changes the weights of all synapses of its neuron, then the neuron's traces jump; when a post neuron
    spikes, `on_post` changes those of all synapses onto it. In a step that has both, the pre spike comes first, and deliveries come before
    weights change. Weights are kept from w_min to w_max, where there are such. Where synapses have delays of their own, each sees the
    spikes and traces of its pre neuron that much later.

    A subclass is a frozen dataclass with `w_min`, `w_max` (Quantities, or None), perhaps `interactions` ("all" or "nearest"), and the
    methods `traces`, `on_pre` and `on_post`.
    """

    learns = True
    values: ClassVar[tuple[str, ...]] = ("w",)  # the states that every synapse has, its weight first
    w_min: Any = None
    w_max: Any = None
    interactions: str = "all"

    @abc.abstractmethod
    def traces(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The time constants, by name, of the traces of a pre neuron, and of those of a post neuron."""

    def on_pre(self, w, pre, post):
        """The weight after a pre spike has arrived; as it was, unless a rule says otherwise.

        Args:
          w: the weight, a plain number in nS, pA or mV.
          pre, post: the traces of the two neurons, by name.
        """
        return w

    def on_post(self, w, pre, post):
        """The weight after a post spike, likewise."""
        return w

    def bounds(self) -> tuple[float | None, float | None]:
        """`w_min` and `w_max` as plain numbers; None if there is none."""
        low, high = (None if getattr(self, name) is None else weight_of(self, name) for name in ("w_min", "w_max"))
        return low, high

    def check_bounds(self):
        """Raise unless the bounds are weights that leave room, and `interactions` is a word that is known (for `__post_init__`)."""
        low, high = self.bounds()
        if low is not None and high is not None and low >= high:
            kind = type(self).__name__
            raise ValueError(f"{kind}: w_min is {describe(self.w_min)}, expected less than w_max, which is {describe(self.w_max)}")
        word(self.interactions, INTERACTIONS, f"{type(self).__name__}: interactions")

    def by_synapse(self, projection):
        return True

    def of_synapses(self, projection):
        return self.values

    def check(self, projection):
        for name in ("w_min", "w_max"):
            value = getattr(self, name)
            if value is not None and not u.get_unit(value).has_same_dim(projection.synapse.unit):
                raise u.UnitMismatchError(
                    f"{projection.name}: {name} of {type(self).__name__} is {describe(value)}, but {projection.synapse} takes weights in "
                    f"{projection.synapse.unit}"
                )
        low, _ = self.bounds()
        if projection.synapse.conducts and (low is None or low < 0):
            raise ValueError(
                f"{projection.name}: w_min of {type(self).__name__} is {describe(self.w_min)}, but a conductance is at least 0: "
                f"w_min=0 * u.{projection.synapse.unit}"
            )

    def initial(self, projection):
        sides = zip(("pre", "post"), self.traces(), (projection.pre.size, projection.post.size))
        return {f"{side}.{name}": np.zeros(size) for side, traces, size in sides for name in traces}

    def rings(self, projection, longest):
        slots = 1 << (longest + 1).bit_length()
        return {f"past.{name}": np.zeros((slots, projection.pre.size)) for name in self.traces()[0]}

    def operands(self, projection, dt):
        """The synapses grouped by post neuron, where in the weights each of them stands, and the delay of each if it has its own."""
        other, places = projection.held.regrouping()
        steps = None if projection.delays is None else projection.delays.steps[jnp.asarray(places)]
        return other.replace(data=None), jnp.asarray(places), steps

    def transmit(self, state, operands, matrix, spikes, place):
        return state, matrix.replace(data=state["w"].reshape(matrix.weights_shape)), spikes

    def learn(self, state, operands, matrix, pre, post, readers, dt, signal):
        columns, places, steps = operands[:3]
        factors = [
            {f"{side}.{name}": float(np.exp(-dt / scalar(tau, u.ms, name))) for name, tau in traces.items()}
            for side, traces in zip(("pre", "post"), self.traces())
        ]
        state = state | {key: state[key] * factor for side in factors for key, factor in side.items()}
        now, past, fades = pre[-1], None, ()
        if isinstance(now, Arrivals):  # every synapse sees its pre neuron as it was when what arrives was sent
            state |= self._jumped(state, factors[0], now.spikes)
            state |= {f"past{key[3:]}": remember(state[f"past{key[3:]}"], state[key], now.place) for key in factors[0]}
            past, fades = Past(steps, now.place), tuple(factors[0].values())
        seen = [key if past is None else f"past{key[3:]}" for key in factors[0]]
        ys, rows = tuple(state[key] for key in factors[1]), matrix.replace(data=None)
        for spikes in pre:
            xs = tuple(state[key] for key in seen)
            state |= self.changed(state, OnSpike(self, 0, fades), rows, spikes, xs, ys, axis=0, readers=readers)
            if past is None:
                state |= self._jumped(state, factors[0], spikes)
        xs, options = tuple(state[key] for key in seen), {"axis": 1, "places": places, "past": past, "readers": readers}
        state |= self.changed(state, OnSpike(self, 1), columns, post, ys, xs, **options)
        return state | self._jumped(state, factors[1], post)

    def changed(self, state: dict, rule, A, spikes, own: tuple, other: tuple, **options) -> dict:
        """The values of the synapses, by name, after a rule has changed those of neurons that spiked; as `core.plastic.learn`."""
        values = tuple(state[name] for name in self.values)
        return dict(zip(self.values, learn(rule, A, values, spikes, own, other, self.shared(state), **options)))

    def _jumped(self, state: dict, keys, spikes) -> dict:
        """The traces after the spikes of their neurons."""
        return {key: jnp.where(spikes, 1 if self.interactions == "nearest" else state[key] + 1, state[key]) for key in keys}

    def shared(self, state: dict) -> tuple:
        """What a change of any synapse takes from the states of the projection as a whole."""
        return ()

    def on_spike(self, axis: int, values: tuple, pre: dict, post: dict, shared: tuple) -> tuple:
        """The values of a synapse after a spike at one of its ends (axis 0 is the pre neuron's)."""
        return (self.bounded((self.on_post if axis else self.on_pre)(values[0], pre, post)),)

    def bounded(self, w):
        """The weight, kept from w_min to w_max."""
        low, high = self.bounds()
        w = w if low is None else jnp.maximum(w, low)
        return w if high is None else jnp.minimum(w, high)

    def weights(self, state: dict):
        """The weights as they are now, of the states of the projection."""
        return state["w"]

    def with_weights(self, state: dict, w) -> dict:
        """The states that are others when the weights are set."""
        return {"w": w}


@dataclass(frozen=True)
class OnSpike:
    """What a spike at one end does to a synapse, as `core.plastic.learn` takes it: axis 0 is the pre neuron's end.

    fades: by what the traces of the neuron that spiked are to be multiplied first; none if they are up to date.
    """

    rule: Learning
    axis: int
    fades: tuple = ()

    def __call__(self, values: tuple, own: tuple, other: tuple, shared: tuple):
        own = tuple(trace * factor for trace, factor in zip(own, self.fades)) if self.fades else own
        ends = (own, other) if self.axis == 0 else (other, own)
        pre, post = (dict(zip(names, numbers)) for names, numbers in zip(self.rule.traces(), ends))
        return self.rule.on_spike(self.axis, values, pre, post, shared)


@dataclass(frozen=True, eq=False, repr=False)
class LearningRule(Learning):
    """Long-term plasticity by a rule of your own.

    Args:
      on_pre, on_post: functions `(w, pre, post) -> w` of plain numbers, in jax.numpy: the weight (in nS, pA or mV), and the traces of the
        two neurons, as `pre["x"]`. They see one synapse at a time, and are compiled into the kernel that walks the synapses of a spike.
      pre, post: the traces of each end, `{name: time constant}`.
      w_min, w_max: bounds of the weights; None for none (a conductance needs a w_min of at least 0).
      interactions: "all" if every spike adds 1 to the traces of its neuron, "nearest" if it sets them to 1.

    Raises:
      TypeError: what is no function. brainunit.UnitMismatchError, ValueError: times that are none, bounds that leave no room.

    >>> import brainunit as u
    >>> from brainevent.projections import LearningRule
    >>> oja = LearningRule(
    ...     on_pre=lambda w, pre, post: w - 0.01 * post["y"] * w,
    ...     on_post=lambda w, pre, post: w + 0.02 * pre["x"],
    ...     pre={"x": 20 * u.ms}, post={"y": 20 * u.ms}, w_min=0 * u.nS,
    ... )
    >>> sorted(oja.traces()[0])
    ['x']
    """

    on_pre: Callable  # pyright: ignore[reportIncompatibleMethodOverride]
    on_post: Callable  # pyright: ignore[reportIncompatibleMethodOverride]
    pre: dict[str, Any] = dataclasses.field(default_factory=dict)
    post: dict[str, Any] = dataclasses.field(default_factory=dict)
    w_min: Any = None
    w_max: Any = None
    interactions: str = "all"

    def __post_init__(self):
        for name in ("on_pre", "on_post"):
            if not callable(getattr(self, name)):
                got = describe(getattr(self, name))
                raise TypeError(f"LearningRule: {name} is {got}, expected a function of a weight and the traces of its two neurons")
        for side in ("pre", "post"):
            given = getattr(self, side)
            if not isinstance(given, dict):
                raise TypeError(f"LearningRule: {side} is {describe(given)}, expected traces, as {{'x': 20 * u.ms}}")
            times = {name: time_of(tau, f"LearningRule: {side}[{name!r}]") for name, tau in given.items()}
            object.__setattr__(self, side, times)
        self.check_bounds()

    def key(self):
        return (type(self).__name__, self.on_pre, self.on_post, *(repr(getattr(self, f.name)) for f in dataclasses.fields(self)[2:]))

    def traces(self):
        return self.pre, self.post
