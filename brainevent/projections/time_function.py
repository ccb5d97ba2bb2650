"""`TimeFunction`: a user's function of time, traced once a run, checked for what it returns."""

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import jaxpr_as_fun

from .units import check_sign, per_neuron


class TimeFunction:
    """A user's function of time, as a plain function from ms to numbers in a unit.

    Traced once a run: what it computes, not which object it is, decides whether a loop that is compiled already serves it.

    Args:
      what: names it in errors.
      function: of a time (a Quantity in ms), to a Quantity.
      size: how many values it may return, if not one.
      unit: of what it returns. noun: what that is, with an example, in errors.
      traced: whether it is traced at once, so that `key` can tell what it computes; else whenever it is called.
    """

    def __init__(self, what: str, function, size: int, unit, noun: str, *, traced: bool):
        self.what, self.function, self.size, self.unit, self.noun = what, function, size, unit, noun
        self.program = jax.make_jaxpr(self._evaluated)(jnp.zeros((), jnp.result_type(float))) if traced else None

    def key(self):
        """The traced program: its text, and the bytes of its constants."""
        assert self.program is not None
        return str(self.program), tuple(_bytes_of(constant) for constant in self.program.consts)

    def __call__(self, time):
        return self._evaluated(time) if self.program is None else jaxpr_as_fun(self.program)(time)[0]

    def _evaluated(self, time):
        what = self.what
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
        if not u.get_unit(current).has_same_dim(self.unit):
            given = "no unit" if u.get_unit(current).is_unitless else f"unit {u.get_unit(current)}"
            raise u.UnitMismatchError(f"{what}: the function returned a value with {given}, expected {self.noun}")
        number = jnp.asarray(u.Quantity(current).to_decimal(self.unit), jnp.result_type(float))
        if number.shape not in ((), (self.size,)):
            raise ValueError(f"{what}: the function returned shape {number.shape}, expected a scalar or ({self.size},)")
        return number


class Rate:
    """A rate at which something comes at random, in kHz: a number, one a neuron, or a function of time.

    Args:
      given: what a user gave: a frequency, scalar or (size,), or a function of time (a Quantity in ms) that returns one.
      size: the number of neurons.
      what: names it in errors.
    """

    def __init__(self, given, size: int, what: str):
        self.what, self.size, self.function = what, size, given if callable(given) else None
        self.constant = np.zeros(()) if callable(given) else np.asarray(per_neuron(given, u.kHz, size, what))
        check_sign(self.constant, given, what, "a frequency of at least 0 Hz", zero=True)

    def _in_time(self, *, traced: bool) -> TimeFunction:
        return TimeFunction(self.what, self.function, self.size, u.kHz, "a frequency (10 * u.Hz)", traced=traced)

    def loop_key(self):
        """What a compiled loop depends on."""
        return None if self.function is None else self._in_time(traced=True).key()

    def at(self, time):
        """The rate at a time (ms) by the function, cut at 0, a scalar or (size,)."""
        return jnp.maximum(self._in_time(traced=False)(time), 0)


def _bytes_of(constant) -> bytes:
    """What a constant of a traced program holds; random keys have no bytes of their own."""
    constant = jax.random.key_data(constant) if jnp.issubdtype(constant.dtype, jax.dtypes.prng_key) else constant
    return np.asarray(constant).tobytes()
