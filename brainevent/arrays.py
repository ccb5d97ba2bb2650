"""The one door by which arrays enter the kernel layer: what a user gives, as jax arrays of real numbers that have been looked at.

Arrays on the host are looked at: masks, byte orders, numbers that do not fit. An array that is on a device, or traced, is judged by its
dtype and shape alone, since a look would wait for it.
"""

import reprlib
from typing import Any

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

ALIGNMENT = 64  # bytes, of arrays that XLA takes over
LARGE = 1 << 22  # bytes, from which on numpy asks for large pages


def is_concrete(*arrays) -> bool:
    """Whether none of the arrays is a tracer (so that their values can be looked at)."""
    return not any(isinstance(a, Tracer) for a in arrays)


def unwrap(x: Any) -> Any:
    """The plain array or `Quantity` inside an event array; anything else comes back as it is."""
    while isinstance(x, u.CustomArray):
        x = x.data
    return x


def numbers(value: Any, what: str) -> tuple[Any, u.Unit]:
    """`(array, unit)` of bools, integers or floats: a jax array as it is, anything else as a numpy array that is not yet rounded.

    `what` names the value in errors. Raises TypeError for what is no real number, ValueError for entries that are masked.
    """
    value = unwrap(value)
    value = _joined(value, what) if isinstance(value, (list, tuple)) else value
    mantissa, unit = u.split_mantissa_unit(u.maybe_decimal(value)) if isinstance(value, u.Quantity) else (value, u.UNITLESS)
    array = mantissa if isinstance(mantissa, jax.Array) else _on_host(mantissa, what)
    if not any(jnp.issubdtype(array.dtype, kind) for kind in (np.bool_, jnp.integer, jnp.floating)):
        said, remedy = f"dtype {array.dtype}", "convert it with .astype(float)"
        if jnp.issubdtype(array.dtype, jnp.complexfloating):
            remedy = "take its real and imaginary parts one after the other"
        elif isinstance(array, np.ndarray) and array.ndim == 0:
            said, remedy = reprlib.repr(value), "pass a number or an array of them"
        raise TypeError(f"{what}: expected real numbers, got {said}: {remedy}")
    return array, unit


def real(value: Any, what: str) -> Any:
    """Real numbers as a jax array, or as a quantity of one, in the dtype that jax has for theirs; raises as `numbers` and `cast` do."""
    array, unit = numbers(value, what)
    if not isinstance(array, jax.Array):
        dtype = canonical(array.dtype)
        array = jnp.asarray(array if array.dtype == dtype else cast(array, dtype, what))
    return with_unit(array, unit)


def as_weights(data: Any, what: str) -> Any:
    """Real numbers as floats (or as a quantity of them); bools and integers take the default float. On the host they have to be finite."""
    array, unit = numbers(data, what)
    dtype = canonical(array.dtype) if jnp.issubdtype(array.dtype, jnp.floating) else canonical(np.dtype(float))
    if isinstance(array, jax.Array):
        return with_unit(array.astype(dtype), unit)
    array = cast(array, dtype, what)
    check_finite(array, what)
    return with_unit(placed(array), unit)


def as_ids(ids: Any, name: str, owner: str) -> jax.Array:
    """Integers: 32 bits wide where the values allow it, else 64; signed, so that what is too large for 64 is refused with the negative."""
    array, unit = numbers(ids, f"{owner}: {name}")
    if not unit.is_unitless:
        raise TypeError(f"{owner}: {name} has unit {unit}, expected integers without one")
    if array.size and not jnp.issubdtype(array.dtype, jnp.integer):
        raise TypeError(f"{owner}: {name} has dtype {array.dtype}, expected integers: use {name}.astype(int)")
    if isinstance(array, jax.Array) and jnp.issubdtype(array.dtype, jnp.signedinteger):
        return array
    if not is_concrete(array):
        return array.astype(np.int64 if array.dtype.itemsize == 8 else np.int32)
    array = np.asarray(array)
    wide = array.size and max(int(array.max()), -int(array.min())) > np.iinfo(np.int32).max
    if wide and not jax.config.read("jax_enable_x64"):
        raise ValueError(f"{owner}: {name} holds {int(array.max())}, beyond 32 bits: set jax_enable_x64 before building it")
    return placed(array.astype(np.int64 if wide else np.int32))


def with_unit(array: Any, unit: u.Unit) -> Any:
    """The array if there is no unit, else a quantity."""
    return array if unit.is_unitless else u.Quantity(array, unit=unit)


def check_unit(unit: u.Unit, wanted: u.Unit, what: str, of: str) -> None:
    """Raise UnitMismatchError, which names both, unless two units are of one dimension; `of` says whose the wanted one is."""
    if not unit.has_same_dim(wanted):
        mine, theirs = ("no unit" if each.is_unitless else f"unit {each}" for each in (unit, wanted))
        raise u.UnitMismatchError(f"{what} has {mine} and {of} {theirs}, expected units of one dimension")


def canonical(dtype: np.dtype) -> np.dtype:
    """The dtype in which jax holds numbers of a dtype."""
    return jax.dtypes.canonicalize_dtype(np.float64 if dtype.kind == "f" and dtype.itemsize > 8 else dtype)


def cast(array: np.ndarray, dtype: np.dtype, what: str) -> np.ndarray:
    """A copy in a dtype, rounded to it; ValueError if a number does not fit."""
    remedy = "set jax_enable_x64 before it is made, or take a larger unit"
    if jnp.issubdtype(dtype, jnp.integer) and array.size and array.dtype != dtype:
        for end in (array.min(), array.max()):
            if not np.iinfo(dtype).min <= end <= np.iinfo(dtype).max:
                raise ValueError(f"{what}: {end} does not fit {dtype}: {remedy}")
    try:
        with np.errstate(over="raise"):  # the processor's own flag: finding out costs nothing
            return array.astype(dtype)
    except FloatingPointError:
        largest = max(array[np.isfinite(array)].reshape(-1), key=abs)
        raise ValueError(f"{what}: {largest:g} does not fit {dtype}: {remedy}") from None


def check_finite(array: Any, what: str) -> None:
    """Raise ValueError unless all numbers of a concrete array are finite."""
    array = np.asarray(array)
    if not (good := np.isfinite(array)).all():
        bad = array.reshape(-1)[int(np.argmin(good))]
        raise ValueError(f"{what}: expected finite numbers, got {bad}: replace it, or leave such synapses out")


def aligned(array: Any, dtype: Any = None) -> np.ndarray:
    """A copy on the host that `placed` hands to a CPU as it is. numpy asks for large pages for a large one, which XLA does not: synapses
    that are read here and there come a quarter to a half faster from them.
    """
    array = np.asarray(array)
    dtype = np.dtype(array.dtype if dtype is None else dtype)
    room = np.empty(array.size * dtype.itemsize + ALIGNMENT, np.uint8)
    start = -room.ctypes.data % ALIGNMENT
    made = room[start : start + array.size * dtype.itemsize].view(dtype).reshape(array.shape)
    made[...] = array
    return made


def placed(array: np.ndarray) -> jax.Array:
    """A host array, which nobody else holds, on the device; it stays concrete under jit, so that it is checked there too."""
    if array.nbytes >= LARGE and array.ctypes.data % ALIGNMENT and jax.default_backend() == "cpu":
        array = aligned(array)  # a copy that jax would make otherwise
    with jax.ensure_compile_time_eval():
        return jax.device_put(array)  # compiles nothing, which jnp.asarray does for every new shape


def _joined(value: list | tuple, what: str) -> Any:
    """A nested list as one array or quantity: by jax where parts of it are jax's or have units, else by numpy."""
    parts = jax.tree.leaves(value, is_leaf=lambda part: isinstance(part, (u.Quantity, u.CustomArray)))
    if any(isinstance(part, (u.Quantity, u.CustomArray, jax.Array)) for part in parts):
        for part in parts[1:]:
            check_unit(u.get_unit(part), u.get_unit(parts[0]), f"{what}: an entry", "the first")
        return u.math.asarray(value)
    for part in parts:
        _check_mask(part, what)
    return value


def _check_mask(value: Any, what: str) -> None:
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise ValueError(f"{what}: some entries are masked: leave them out, or fill them with x.filled(0)")


def _on_host(value: Any, what: str) -> np.ndarray:
    """A numpy array in native byte order."""
    _check_mask(value, what)
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{what}: expected an array of real numbers, got {reprlib.repr(value)}: {error}") from None
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
