"""External input: currents given to `run(inputs=...)`, and `PoissonInput`, many independent Poisson trains onto each neuron."""

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import jaxpr_as_fun

from .clock import random_bits
from .guards import warn
from .parameters import describe, digest
from .population import Population, View, as_view
from .synapses.base import Synapse
from .units import check_sign, per_neuron, scalar
from .values import array_of, whole

MOST_SPIKES = 10**6  # of one input in a step: the table of their distribution is as long


class PoissonInput:
    """Every post neuron gets `n` independent Poisson spike trains of its own, each spike through `synapse` with `weight`.

    Args:
      post: a population or a slice of one.
      n: trains a neuron.
      rate: rate of one train, a frequency.
      weight: of one spike, in the unit of the synapse.
      synapse: as in a `Projection`; equal ones share their state with the projections.

    The number of spikes in a step is drawn from the Poisson distribution of mean `n * rate * dt` (exact to 2^-32), so that several
    may arrive at once, as with NEST's poisson_generator.

    >>> import brainunit as u
    >>> from brainevent.projections import Delta, LIF, PoissonInput
    >>> PoissonInput(LIF(10, name="N"), n=1000, rate=20 * u.Hz, weight=0.1 * u.mV, synapse=Delta())
    PoissonInput(N, n=1000, rate=20 Hz)
    """

    def __init__(self, post, *, n: int, rate, weight, synapse: Synapse):
        self.post, self.n, self.rate, self.synapse = as_view(post), n, rate, synapse
        self.n = whole(n, f"{self!r}: n", "a whole number of trains", least=1)
        expected = "one frequency of at least 0 Hz"
        self.rate_kHz = scalar(rate, u.kHz, f"{self!r}: rate", expected)
        check_sign(self.rate_kHz, rate, f"{self!r}: rate", expected, zero=True)
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
        return repr(self), digest(self.weight, self.synapse)

    def __repr__(self):
        return f"PoissonInput({self.post.label}, n={describe(self.n)}, rate={describe(self.rate)})"

    def counts(self, key, dt: float):
        """The number of spikes each post neuron gets in one step, float (post.size,)."""
        mean = self.n * self.rate_kHz * dt
        if mean > MOST_SPIKES:
            raise ValueError(
                f"{self!r}: n * rate * dt is {mean:.3g} spikes a step onto each neuron, expected at most {MOST_SPIKES}; give a current "
                "by run(inputs=...), or a smaller dt"
            )
        bits = random_bits(key, self.post.size)
        return jnp.searchsorted(jnp.asarray(poisson_table(mean)), bits, side="right", method="compare_all").astype(jnp.result_type(float))


def poisson_table(mean: float) -> np.ndarray:
    """`2^32 P(X <= k)` for k = 0, 1, ... until that is all: a uniform 32-bit number is past as many entries as there are events."""
    from scipy.stats import poisson

    last = int(poisson.isf(2.0**-33, mean)) + 1
    return np.minimum(np.rint(poisson.cdf(np.arange(last + 1), mean) * 2.0**32), 2.0**32 - 1).astype(np.uint32)


class External:
    """The currents of one run: constants and arrays are operands of the compiled loop, functions of time become part of it.

    Args:
      inputs: as `Network.run` takes them.
      populations: those of the network.
      traced: whether functions are traced at once, so that `key` can tell what they compute; else whenever `current` calls them.
    """

    def __init__(self, inputs, populations, *, traced: bool):
        self.functions: list[TimeFunction] = []
        self.views: list[View] = []
        self.values = []
        if not isinstance(inputs, (dict, type(None))):
            raise TypeError(f"inputs is {inputs!r}, expected currents by population: inputs={{N: 200 * u.pA}}")
        for target, current in (inputs or {}).items():
            if not isinstance(target, (View, Population)):
                raise TypeError(f"inputs: {target!r} is neither a population nor a slice of one: inputs={{N: 200 * u.pA}}")
            view = as_view(target)
            if not any(view.population is population for population in populations):
                raise ValueError(f"inputs: {view.population!r} is not a population of this network: it has {populations}")
            if callable(current):
                self.functions.append(TimeFunction(view, current, traced))
            else:
                self.views.append(view)
                value = per_neuron(current, u.pA, view.size, f"inputs[{view.label}]")
                self.values.append(np.asarray(value, jnp.result_type(float)))

    def key(self):
        """What a compiled loop depends on: what the functions compute, and the shapes of the values."""
        return tuple(f.key() for f in self.functions), tuple((view, np.shape(value)) for view, value in zip(self.views, self.values))

    def warn_of_coarse_time(self, end: float, dt: float) -> None:
        """Warn if the time (ms) that functions see gets coarser than a quarter of dt."""
        step = float(np.spacing(np.asarray(end, jnp.result_type(float))))
        if self.functions and step > dt / 4:
            warn(
                f"inputs[{self.functions[0].view.label}]: at {end:.6g} ms a function of time sees t in steps of {step:.3g} ms, as 32 bits "
                f"allow, and dt is {dt:.6g} ms: set jax_enable_x64 before the network is made",
            )

    def current(self, population, values, time):
        """The current (pA) into a population at a time (ms), a scalar or (size,); None if there is none."""
        given = [(view, value) for view, value in zip(self.views, values) if view.population is population]
        given += [(f.view, f(time)) for f in self.functions if f.view.population is population]
        total = None
        for view, value in given:
            if not view.whole:
                value = jnp.zeros(population.size, jnp.result_type(float)).at[view.start : view.stop].set(value)
            total = value if total is None else total + value
        return total


class TimeFunction:
    """A user's function of time, as a plain function from ms to pA.

    Traced once a run: what it computes, not which object it is, decides whether a loop that is compiled already serves it.
    """

    def __init__(self, view: View, function, traced: bool):
        self.view, self.function = view, function
        self.program = jax.make_jaxpr(self._evaluated)(jnp.zeros((), jnp.result_type(float))) if traced else None

    def key(self):
        """The traced program: its text, and the bytes of its constants."""
        assert self.program is not None
        return self.view, str(self.program), tuple(_bytes_of(constant) for constant in self.program.consts)

    def __call__(self, time):
        return self._evaluated(time) if self.program is None else jaxpr_as_fun(self.program)(time)[0]

    def _evaluated(self, time):
        what = f"inputs[{self.view.label}]"
        try:
            current = self.function(time * u.ms)
        except jax.errors.JAXTypeError as error:
            raise TypeError(
                f"{what}: the function of time cannot be traced; it is called once a run, with t still unknown: no `if`, no float(t), no "
                "numpy function of t: use u.math (u.math.where for a condition), which work on unknown values"
            ) from error
        except Exception as error:  # the user's own
            error.add_note(f"in the function of {what}, which is called once a run, with a time that is still unknown")
            raise
        if jnp.iscomplexobj(u.get_mantissa(current)):
            raise TypeError(f"{what}: the function returned complex numbers, expected real ones: take u.math.real of them")
        if not u.get_unit(current).has_same_dim(u.pA):
            given = "no unit" if u.get_unit(current).is_unitless else f"unit {u.get_unit(current)}"
            raise u.UnitMismatchError(f"{what}: the function returned a value with {given}, expected a current (200 * u.pA)")
        number = jnp.asarray(u.Quantity(current).to_decimal(u.pA), jnp.result_type(float))
        if number.shape not in ((), (self.view.size,)):
            raise ValueError(f"{what}: the function returned shape {number.shape}, expected a scalar or ({self.view.size},)")
        return number


def _bytes_of(constant) -> bytes:
    """What a constant of a traced program holds; random keys have no bytes of their own."""
    constant = jax.random.key_data(constant) if jnp.issubdtype(constant.dtype, jax.dtypes.prng_key) else constant
    return np.asarray(constant).tobytes()
