"""Where values enter the projection layer: numbers, counts, flags, words and names are copied, converted and checked here.

`units` builds on this for what has a unit. Nothing that a user gave is kept by reference.
"""

import operator
from typing import Any

import brainunit as u
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from ..arrays import aligned, placed
from .parameters import describe, is_sparse, with_unit

NUMBERS = "real numbers"


class Drawn:
    """What stands for numbers that are still to be drawn, and is none itself."""


def array_of(value, what: str, expected: str = NUMBERS) -> np.ndarray:
    """The plain array of a number, sequence, array or Quantity, of any dtype; an error naming `what` and the remedy if it is none."""
    plain = u.get_mantissa(value)
    remedy = _remedy(plain)
    if remedy:
        raise TypeError(f"{what} is {describe(value)}, but expected {expected}; {remedy}.")
    try:
        return np.asarray(plain)
    except (TypeError, ValueError) as error:  # as of rows of unequal lengths
        raise TypeError(f"{what} is {describe(value)}, but expected {expected}; numpy makes no array of it.") from error


def _remedy(plain) -> str:
    """What to do about a value that is known to be no numbers; "" if nothing is known against it."""
    if isinstance(plain, Tracer):
        return "build networks outside jit, grad and vmap"
    if isinstance(plain, Drawn):
        return "a distribution is not served here, draw the values: dist.sample(np.random.default_rng(0), n)"
    if callable(plain):
        return "a function is not served here, only the currents of run(inputs=...) may depend on time"
    if isinstance(plain, np.ma.MaskedArray):
        return "fill what is masked, as array.filled(0)"
    if is_sparse(plain):
        return "a sparse matrix is the connectivity of a Projection, or FromMatrix(matrix)"
    if isinstance(plain, (list, tuple)) and any(isinstance(part, u.Quantity) for part in plain):
        return "put the unit outside, as [1, 2] * u.mV"
    return ""


def real_array(value, what: str, expected: str = NUMBERS) -> np.ndarray:
    """`array_of`, and an error unless it is of floats or integers."""
    array = array_of(value, what, expected)
    if not (jnp.issubdtype(array.dtype, jnp.floating) or jnp.issubdtype(array.dtype, jnp.integer)):
        remedy = "pass the real part" if array.dtype.kind == "c" else "convert it to floating point"
        raise TypeError(f"{what} is {describe(value)}, but expected {expected}; {remedy}.")
    return array


def numbers(value, what: str, expected: str = NUMBERS, *, infinite: bool = False) -> np.ndarray:
    """A copy of the plain numbers of a value, float32 or float64, after a check that they are real and finite.

    Args:
        value: a number, sequence, array or Quantity; integers, other byte orders and other precisions are converted.
        what: names the value in errors.
        expected: what would have been right, in errors.
        infinite: whether infinity will do.

    Raises:
        TypeError: if it is something else. ValueError: if a number is not finite.
    """
    array = real_array(value, what, expected)
    narrow = jnp.issubdtype(array.dtype, jnp.floating) and array.dtype.itemsize <= 4
    with np.errstate(over="ignore"):  # of wider floats, which the check of the copy finds
        copy = aligned(array, np.float32 if narrow else np.float64)
    _check_finite(copy, what, expected, infinite)
    return copy


def _check_finite(array: np.ndarray, what: str, expected: str, infinite: bool) -> None:
    """Raise an error that names the first number that is not finite, and its place."""
    bad = np.flatnonzero(np.isnan(array) if infinite else ~np.isfinite(array))
    if bad.size and array.ndim:
        raise ValueError(
            f"{what} holds {array.reshape(-1)[bad[0]]} at position {bad[0]}, but expected finite numbers; check how it was computed."
        )
    if bad.size:
        raise ValueError(f"{what} is {array}, but expected {expected}, finite; check how it was computed.")


def in_network_precision(array: np.ndarray, what: str, dtype: Any = None) -> np.ndarray:
    """Finite numbers in the precision of networks made now (float32, or float64 with jax_enable_x64), or in another, or an error if one is
    too large.
    """
    dtype = jnp.result_type(float) if dtype is None else np.dtype(dtype)
    with np.errstate(over="ignore"):
        cast = array.astype(dtype, copy=False)
    bad = np.flatnonzero(~np.isfinite(cast))
    if bad.size:
        raise ValueError(
            f"{what} holds {array.reshape(-1)[bad[0]]:.6g}, beyond the largest {dtype.name}, {jnp.finfo(dtype).max:.3g}; check its unit."
        )
    return cast


def kept(value, what: str, expected: str = NUMBERS):
    """`numbers` in the unit in which they were given: a float (an array of one number is one), an array, or a Quantity of either."""
    array = numbers(value, what, expected)
    return with_unit(float(array.reshape(())) if array.size == 1 else array, u.get_unit(value))


def whole(value, what: str, expected: str, *, least: int = 0, most: int = 2**31 - 1) -> int:
    """An integer from `least` to `most`, or an error; `expected` says what it counts."""
    try:
        number = least - 1 if isinstance(value, (bool, np.bool_)) else operator.index(value)
    except TypeError:  # no integer, or a traced one
        number = least - 1
    if not least <= number <= most:
        ceiling = f" and at most {most}" if number > most else ""
        given = repr(value) if isinstance(value, float) else describe(value)
        raise ValueError(f"{what} is {given}, but expected {expected}, at least {least}{ceiling}")
    return number


def on_device(array, dtype=None):
    """A copy of a host array as one of jax. Nothing is compiled for it, as it is by `jnp.asarray` and `jnp.zeros` for every new shape."""
    return placed(np.array(array, dtype))


def flag(value, what: str) -> bool:
    """True or False, or an error: other values that count as true or false are mostly slips."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{what} is {describe(value)}, but expected True or False")
    return bool(value)


def word(value, choices: tuple[str, ...], what: str) -> str:
    """One of a few words, or an error."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{what} is {describe(value)}, but expected one of {', '.join(map(repr, choices))}")
    return value


def name_of(value, what: str, without: str = "") -> str:
    """A name, "" for None, or an error; one that holds a letter of `without` is refused."""
    if value is None:
        return ""
    if not isinstance(value, str) or not value.isprintable():
        raise TypeError(f"{what} is {describe(value)}, but expected a name, text on one line")
    if set(value) & set(without):
        raise ValueError(f"{what} is {value!r}, but expected a word without {' '.join(without)}, which slices and files have")
    return value
