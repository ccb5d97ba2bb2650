"""External input: currents given to `run(inputs=...)`, and `PoissonInput`, many independent Poisson trains onto each neuron."""

from collections.abc import Callable
from typing import Any

import brainunit as u
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from ..core.deliveries import Drawn
from .clock import poisson_counts
from .currents import Current
from .guards import warn
from .parameters import describe, digest, in_unit
from .population import Population, View, as_view
from .synapses.base import Synapse
from .time_function import Rate, TimeFunction
from .units import per_neuron, scalar
from .values import array_of, whole

MOST_SPIKES = 10**6  # of one input in a step: the table of their distribution is as long


class PoissonInput:
    """Every post neuron gets `n` independent Poisson spike trains of its own, each spike through `synapse` with `weight`.

    Args:
      post: a population or a slice of one.
      n: trains a neuron.
      rate: rate of one train, a frequency, scalar or one a post neuron, or a function of time (a Quantity in ms) that returns one; what
        it returns below 0 counts as 0.
      weight: of one spike, in the unit of the synapse.
      synapse: as in a `Projection`; equal ones share their state with the projections.

    The number of spikes in a step is drawn from the Poisson distribution of mean `n * rate * dt` (exact to 2^-32 where the rate is no
    function), so that several may arrive at once, as with NEST's poisson_generator.

    >>> import brainunit as u
    >>> from brainevent.projections import Delta, LIF, PoissonInput
    >>> PoissonInput(LIF(10, name="N"), n=1000, rate=20 * u.Hz, weight=0.1 * u.mV, synapse=Delta())
    PoissonInput(N, n=1000, rate=20 Hz)
    """

    def __init__(self, post, *, n: int, rate, weight, synapse: Synapse):
        self.post, self.n, self.rate, self.synapse = as_view(post), n, rate, synapse
        self.n = whole(n, f"{self!r}: n", "a whole number of trains", least=1)
        self.rate_in_kHz = Rate(rate, self.post.size, f"{self!r}: rate")
        if not isinstance(synapse, Synapse):
            raise TypeError(f"{self!r}: synapse is {describe(synapse)}, expected a synapse, as Delta()")
        what = f"{self!r}: weight"
        array_of(weight, what)
        synapse.check_weight(u.get_unit(weight), repr(self))
        self.post.population.check_synapse(synapse, repr(self))
        self.weight = scalar(weight, synapse.unit, what, "a scalar")
        synapse.check_weights(self.weight, what)

    def order(self) -> tuple:
        """Where the input comes among others, whatever the order in which they were written."""
        return repr(self), digest(self.weight, self.synapse, self.rate_in_kHz.constant, self.loop_key())

    def loop_key(self):
        """What a compiled loop depends on beside the network itself."""
        return self.rate_in_kHz.loop_key()

    def __repr__(self):
        return f"PoissonInput({self.post.label}, n={describe(self.n)}, rate={describe(self.rate)})"

    def added(self, target, key, clock):
        """What it adds to, floats (size of the population,), after one step; of a rate that is a function of time."""
        mean = jnp.minimum(self.n * self.rate_in_kHz.at(clock.time) * clock.dt, MOST_SPIKES)
        counts = poisson_counts(key, mean, self.post.size).astype(target.dtype)
        return target.at[self.post.start : self.post.stop].add(self.weight * counts)

    def drawn(self, target: int, key, clock) -> Drawn:
        """What it adds to target number `target` in one step, of any other rate."""
        means, rows = self.means(clock.dt)
        return Drawn(target, (self.post.start, self.post.stop), self.weight, poisson_table(means[:, None]), rows, key)

    def means(self, dt: float):
        """`(means, rows)`: the distinct mean numbers of spikes in a step of dt (ms), and which of them is whose, int32 (post.size,), None
        if there is one; of a rate that is no function of time.
        """
        mean = self.n * self.rate_in_kHz.constant * dt
        if mean.max() > MOST_SPIKES:
            raise ValueError(
                f"{self!r}: n * rate * dt is {mean.max():.3g} spikes a step onto each neuron, expected at most {MOST_SPIKES}; give a "
                "current by run(inputs=...), or a smaller dt"
            )
        means, which = np.unique(mean, return_inverse=True)
        return means, which.astype(np.int32) if mean.ndim else None


def poisson_table(mean) -> np.ndarray:
    """`2^32 P(X <= k)` for k = 0, 1, ... until that is all: a uniform 32-bit number is past as many entries as there are events.

    Args:
      mean: a number, or an array (m, 1) for a row of the table each.
    """
    from scipy.stats import poisson

    last = int(poisson.isf(2.0**-33, np.max(mean))) + 1
    return np.minimum(np.rint(poisson.cdf(np.arange(last + 1), mean) * 2.0**32), 2.0**32 - 1).astype(np.uint32)


class External:
    """The currents of one run: constants and arrays are operands of the compiled loop, functions of time become part of it.

    Args:
      inputs: as `Network.run` takes them.
      populations: those of the network.
      dt: in ms.
      traced: whether functions are traced at once, so that `key` can tell what they compute; else whenever `current` calls them.
    """

    def __init__(self, inputs, populations, dt: float, *, traced: bool):
        self.functions: list[tuple[View, TimeFunction]] = []
        self.sources: list[tuple[View, Current]] = []
        self.views: list[View] = []
        self.values: list[Any] = []
        if not isinstance(inputs, (dict, type(None))):
            raise TypeError(f"inputs is {inputs!r}, expected currents by population: inputs={{N: 200 * u.pA}}")
        for target, current in (inputs or {}).items():
            if not isinstance(target, (View, Population)):
                raise TypeError(f"inputs: {target!r} is neither a population nor a slice of one: inputs={{N: 200 * u.pA}}")
            view = as_view(target)
            if not any(view.population is population for population in populations):
                raise ValueError(f"inputs: {view.population!r} is not a population of this network: it has {populations}")
            if isinstance(current, Current):
                self.sources.append((view, current))
            elif callable(current):
                what = f"inputs[{view.label}]"
                function = TimeFunction(what, current, view.size, u.pA, "a current (200 * u.pA)", traced=traced)
                self.functions.append((view, function))
            else:
                self.views.append(view)
                self.values.append(self._constant(view, current, traced))
        self.values += [current.operands(view.size, f"inputs[{view.label}]", dt) for view, current in self.sources]

    @staticmethod
    def _constant(view: View, current, traced: bool):
        """A current as plain floats in pA; in a loop of the user's own it may be one that is not known yet."""
        what, dtype = f"inputs[{view.label}]", jnp.result_type(float)
        if traced or not isinstance(u.get_mantissa(current), Tracer):
            return np.asarray(per_neuron(current, u.pA, view.size, what), dtype)
        value = in_unit(current, u.pA, what, "a current")
        if value.shape not in ((), (view.size,)) or not jnp.issubdtype(value.dtype, jnp.floating):
            raise ValueError(f"{what} is {value.dtype} of shape {value.shape}, expected floats, a scalar or ({view.size},)")
        return value.astype(dtype)

    def key(self):
        """What a compiled loop depends on: what the functions compute, and the shapes of the values."""
        constant = tuple((view, np.shape(value)) for view, value in zip(self.views, self.values))
        return (
            tuple((view, f.key()) for view, f in self.functions),
            constant,
            tuple((view, current.loop_key()) for view, current in self.sources),
        )

    @property
    def populations(self) -> list[Population]:
        """Those that a current goes to."""
        return [view.population for view in (*self.views, *(view for view, _ in (*self.functions, *self.sources)))]

    def states(self, make: Callable) -> dict[str, Any]:
        """The states of noise at the start, by their key among the network's own.

        Args:
          make: a function from words to a generator of random numbers.
        """
        drawn = {_key_of(view, current): current.initial(make(_key_of(view, current)), view.size) for view, current in self.sources}
        return {key: jnp.asarray(value, jnp.result_type(float)) for key, value in drawn.items() if value is not None}

    def warn_of_coarse_time(self, end: float, dt: float) -> None:
        """Warn if the time (ms) that functions see gets coarser than a quarter of dt."""
        step = float(np.spacing(np.asarray(end, jnp.result_type(float))))
        if self.functions and step > dt / 4:
            warn(
                f"inputs[{self.functions[0][0].label}]: at {end:.6g} ms a function of time sees t in steps of {step:.3g} ms, as 32 bits "
                f"allow, and dt is {dt:.6g} ms: set jax_enable_x64 before the network is made",
            )

    def current(self, population, values, clock, kept: dict):
        """`(current, states)`: the current (pA) into a population in a step, a scalar or (size,), or None; and what noise has become.

        Args:
          values: the operands, as `self.values`.
          kept: the network's own states, those of noise among them.
        """
        given = [(view, value) for view, value in zip(self.views, values) if view.population is population]
        given += [(view, f(clock.time)) for view, f in self.functions if view.population is population]
        after = {}
        for (view, current), operands in zip(self.sources, values[len(self.views) :]):
            if view.population is population:
                key = _key_of(view, current)
                now, state = current.at(operands, kept.get(key), clock, key, view.size)
                given.append((view, now))
                after |= {} if state is None else {key: state}
        total = None
        for view, value in given:
            if not view.whole:
                value = jnp.zeros(population.size, jnp.result_type(float)).at[view.start : view.stop].set(value)
            total = value if total is None else total + value
        return total, after


def _key_of(view: View, current: Current) -> str:
    return f"input.{type(current).__name__}.{view.label}"
