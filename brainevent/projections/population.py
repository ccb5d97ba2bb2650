"""`Population`: neurons of one model with named states, and `View`, a slice of one."""

import abc
import dataclasses
import inspect
import itertools
import types
from typing import Any, ClassVar, NoReturn

import brainstate
import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np

from .guards import deep_copy, refuse_tracing, transfers
from .parameters import describe, in_unit
from .values import array_of, name_of, on_device, whole

_unnamed = itertools.count()


class StateView:
    """A state of a slice of a population, as `N[:5].V`: what `record` takes, and `value` reads."""

    def __init__(self, view: "View", name: str):
        self.view, self.name = view, name

    @property
    def value(self):
        """The current values of the slice, as an array or Quantity."""
        return getattr(self.view.population, self.name).value[self.view.start : self.view.stop]

    def __repr__(self):
        return f"{self.view!r}.{self.name}"


class View:
    """Neurons `start` to `stop` of a population; usable wherever the population is, as pre, post, input target or recording.

    >>> from brainevent.projections import LIF
    >>> N = LIF(100, name="N")
    >>> N[:80], N[80:][5:10].size
    (N[0:80], 5)
    """

    def __init__(self, population: Any, start: int, stop: int):
        self.population, self.start, self.stop = population, start, stop

    @property
    def size(self) -> int:
        """The number of neurons."""
        return self.stop - self.start

    @property
    def whole(self) -> bool:
        """Whether the view is all of its population."""
        return self.size == self.population.size

    @property
    def label(self) -> str:
        """`N`, or `N[0:3200]`."""
        name = self.population.label or type(self.population).__name__
        return name if self.whole else f"{name}[{self.start}:{self.stop}]"

    def __len__(self):
        return self.size

    def __getitem__(self, item) -> "View":
        return self.population[slice(*_bounds(item, self.size, self.label, self.start))]

    def __getattr__(self, name: str):
        if name.startswith("_") or name == "population":  # asked for while a copy is made
            raise AttributeError(name)
        if name in self.population.state_units:
            return StateView(self, name)
        raise AttributeError(f"{self.label} has no state {name!r}: its states are {', '.join(self.population.state_units)}")

    def __eq__(self, other):
        return isinstance(other, View) and (self.population is other.population) and (self.start, self.stop) == (other.start, other.stop)

    def __hash__(self):
        return hash((id(self.population), self.start, self.stop))

    def __repr__(self):
        return self.label


def _bounds(item, size: int, label: str, offset: int = 0) -> tuple[int, int]:
    """Start and stop of a slice, or an error that names it."""
    if isinstance(item, (int, np.integer)) and not isinstance(item, bool):
        item = slice(item, item + 1 or None)
    if not isinstance(item, slice):
        raise TypeError(f"{label}[{describe(item)}]: a view is a slice of neighbouring neurons, as {label}[0:{size}]")
    for bound in (item.start, item.stop):
        if not isinstance(bound, (int, np.integer, type(None))) or isinstance(bound, bool):
            raise TypeError(f"{label}[{item.start}:{item.stop}]: {bound!r} is no whole number: use int({bound!r})")
    if item.step not in (None, 1):
        raise ValueError(f"{label}[{item.start}:{item.stop}:{item.step}]: a view has step 1; reorder the neurons, or use FromPairs")
    for bound in (item.start, item.stop):
        if bound is not None and not -size <= bound <= size:
            raise ValueError(f"{label}[{item.start}:{item.stop}]: {bound} is outside a population of {size} neurons")
    start, stop, _ = item.indices(size)
    if stop <= start:
        raise ValueError(f"{label}[{item.start}:{item.stop}] is empty: a view has at least one neuron")
    return start + offset, stop + offset


class Population(brainstate.nn.Dynamics, abc.ABC):
    """Neurons of one model: the abstract base of every neuron model.

    A model is one file: its parameters, `state_units`, `initial` and `advance`, all on plain arrays in the units of
    `quantities.INSIDE`. States are `brainstate.HiddenState`s, attributes of the population: `N.V.value`, `N.spikes.value`.

    Args:
      size: number of neurons.
      name: used in summaries, errors and as part of the seed of what is drawn for it.

    >>> from brainevent.projections import LIF, Population
    >>> issubclass(LIF, Population)
    True
    """

    state_units: ClassVar[dict[str, Any]]

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        made = inspect.signature(cls.__init__)  # what help() shows, where brainstate's metaclass takes anything
        cls.__signature__ = made.replace(parameters=list(made.parameters.values())[1:])  # pyright: ignore[reportAttributeAccessIssue]

    def __init__(self, size: int, *, name: str | None = None):
        kind = type(self).__name__
        size = whole(size, f"{kind}: size", "a whole number of neurons", least=1)
        refuse_tracing(kind)
        self.label = name_of(name, f"{kind}: name", without="[]/")
        super().__init__(size, name=name or f"{kind}#{next(_unnamed)}")
        self.size = size
        self.network: Any = None  # that which it is in
        self._dtypes: dict[str, Any] = {}

    def _make_states(self):
        """Create the states, empty; a network fills them when it is built."""
        for key, unit in self.state_units.items():
            dtype = bool if key == "spikes" else jnp.result_type(float)
            with transfers():
                zeros = on_device(np.zeros(self.size, dtype))
            setattr(self, key, brainstate.HiddenState(zeros if unit is None else u.Quantity(zeros, unit=unit)))

    def set_states(self, values: dict[str, np.ndarray]):
        """Give the states the values of `initial`; floats in the precision that jax has now."""
        for name, value in values.items():
            state, unit = getattr(self, name), self.state_units[name]
            array = on_device(value, jnp.result_type(float) if value.dtype == np.float64 else None)
            state.restore_value(array if unit is None else u.Quantity(array, unit=unit))
            self._dtypes[name] = array.dtype

    def __getstate__(self):
        """What a copy or a pickle holds: the values of the states, since a brainstate.State cannot be pickled."""
        return self.__dict__ | {name: getattr(self, name).value for name in self.state_units}

    def __deepcopy__(self, memo):
        return deep_copy(self, memo)

    def __setstate__(self, kept):
        for name, value in kept.items():
            object.__setattr__(self, name, brainstate.HiddenState(value) if name in self.state_units else value)

    @property
    def population(self) -> "Population":
        """Itself, as the population of a view."""
        return self

    @property
    def start(self) -> int:
        """Its first neuron, as of a view: 0."""
        return 0

    @property
    def stop(self) -> int:
        """One past its last neuron, as of a view: its size."""
        return self.size

    @property
    def whole(self) -> bool:
        """Whether it is all of its population, as of a view: True."""
        return True

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} has no {name!r}: its states are {', '.join(type(self).state_units)}")

    def __len__(self):
        return self.size

    def __getitem__(self, item) -> View:
        return View(self, *_bounds(item, self.size, self.label or type(self).__name__))

    def __repr__(self):
        return f"{type(self).__name__}({self.size}, name={self.label!r})"

    @abc.abstractmethod
    def initial(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """The states at the start of a simulation, drawn from `rng`, as plain float64 (or integer) arrays."""

    def loop_key(self) -> Any:
        """What a compiled loop depends on beside the population itself, as what a function of time computes."""
        return None

    def operands(self, dt: float) -> dict[str, np.ndarray]:
        """Arrays beside the states that a step of dt (ms) takes, by names that no state has: they would be constants of the program."""
        return {}

    @abc.abstractmethod
    def advance(self, state: dict, synapses: list, external, clock) -> tuple[dict, Any]:
        """One step from t_n to t_n + dt: integrate, threshold, reset.

        Args:
          state: the states at t_n, plain arrays, and the `operands`.
          synapses: `(synapse, its state)` pairs at t_n.
          external: the external current (pA), a scalar or one number a neuron, or None.
          clock: the step, its time and its random key.

        Returns:
          `(state, spikes)`, spikes bool (size,).
        """

    def check_step(self, dt: float) -> None:
        """Raise if the parameters do not fit the time step (ms), and warn of what rounding to steps changes."""

    def rests(self) -> bool:
        """Whether no neuron can spike before something reaches it, as far as the model knows; a model that does not says no."""
        return False

    def peak_deflection(self, synapse, weight: float) -> float | None:
        """The peak change of V (mV) at rest from one spike of this weight; None for a model without such a notion."""
        return None

    def kernel_row(self, synapses: list, dt: float) -> tuple[list[float], dict] | None:
        """What a kernel that runs many steps in one launch knows of the model, if it knows it (`core/launch.py`).

        Args:
          synapses: `(synapse, channel)` of the population, the channel None for jumps of V.
          dt: in ms.

        Returns:
          The first columns of `core.launch.Model.par`, and `{channel: four columns}`; None if no kernel knows the model as it is.
        """
        return None

    def relative_conductance(self, synapse, weight: float) -> float:
        """The conductance that one spike of this weight opens, relative to that of the membrane; 0 for a model without such a notion."""
        return 0.0

    def check_synapse(self, synapse, projection: str) -> None:
        """Raise if a synapse cannot act on this model; by default nothing can."""
        raise TypeError(f"{projection}: {self!r} takes no synapses")

    def jump(self, state: dict, spikes, jumps) -> dict:
        """The states after voltage jumps (mV) that arrive at the end of a step in which `spikes` spiked."""
        raise TypeError(f"{self!r} has no voltage that could jump")


@dataclasses.dataclass(frozen=True)
class Named:
    """What is known of a population whose recording was read from a file."""

    label: str
    size: int
    state_units = types.MappingProxyType({})


def as_view(target) -> View:
    """A population or view as a view."""
    if isinstance(target, View):
        return target
    if isinstance(target, (Population, Named)):
        return View(target, 0, target.size)
    raise TypeError(f"expected a population or a slice of one, got {describe(target)}")


def plain_state(population: Population, name: str):
    """The plain value of a state in its unit, of its shape and dtype, whatever was assigned to it; or an error that names it."""
    unit, dtype, what = population.state_units[name], population._dtypes[name], f"{population.label}.{name}.value"
    given = getattr(population, name).value
    if not isinstance(u.get_mantissa(given), jax.Array) and array_of(given, what).dtype.kind not in "biuf":
        raise TypeError(f"{what} is {describe(given)}, expected {dtype} numbers, one a neuron")
    value = in_unit(given, u.UNITLESS if unit is None else unit, what, "the state")
    if jnp.shape(value) != (population.size,):
        raise ValueError(f"{what} has shape {jnp.shape(value)}, expected ({population.size},), one value a neuron")
    own = jnp.result_type(value)
    if own != dtype and not (
        jnp.issubdtype(dtype, jnp.floating) and any(jnp.issubdtype(own, kind) for kind in (jnp.floating, jnp.integer))
    ):
        raise TypeError(f"{what} has dtype {own}, expected {dtype}: convert it with .astype({dtype})")
    return jnp.asarray(value, dtype)
