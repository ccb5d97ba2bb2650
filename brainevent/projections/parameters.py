"""Parameter values at the boundary: units split and joined, checks, text and equality."""

import dataclasses
import zlib

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np


def in_unit(value, unit, what: str, reference: str):
    """The plain value of a number, array or Quantity in `unit`; `what` and `reference` name the two sides in the error."""
    own = u.get_unit(value)
    if not own.has_same_dim(unit):
        raise u.UnitMismatchError(
            f"{what} has unit {_name(own)}, but {reference} has unit {_name(unit)}; give both in units of one dimension."
        )
    plain = u.get_mantissa(value)
    return plain if own == unit else plain * (own.magnitude / unit.magnitude)


def with_unit(plain, unit):
    """`plain` as a Quantity, or as it is if `unit` is the unit of plain numbers."""
    return plain if unit == u.UNITLESS else u.Quantity(plain, unit=unit)


def _name(unit) -> str:
    return "1 (a plain number)" if unit == u.UNITLESS else str(unit)


def describe(value) -> str:
    """A short text of a parameter: numbers in full, arrays by shape."""
    plain, suffix = u.get_mantissa(value), "" if u.get_unit(value) == u.UNITLESS else f" {u.get_unit(value)}"
    if np.ndim(plain) and hasattr(plain, "shape"):
        return f"<array {'x'.join(map(str, plain.shape))}{suffix}>"
    if isinstance(plain, str | bool | complex) or np.asarray(plain).dtype.kind not in "iuf" or np.ndim(plain):
        return repr(value)
    return f"{float(plain):.12g}{suffix}"


def digest(*values) -> int:
    """A number that is the same for parameters of the same content: arrays element by element, anything else by its text."""
    total = 0
    for value in values:
        for part in _contents(value):
            total = zlib.crc32(part, total)
    return total


def _contents(value):
    if dataclasses.is_dataclass(value):
        yield type(value).__name__.encode()
        for field in dataclasses.fields(value):
            yield from _contents(getattr(value, field.name))
    elif hasattr(value, "tocoo") and not hasattr(value, "tree_flatten"):  # of scipy
        entries = value.tocoo()
        for array in (entries.row, entries.col, entries.data):
            yield from _contents(array)
    elif isinstance(value, np.ndarray):
        yield repr((value.shape, value.dtype)).encode()
        yield np.ascontiguousarray(value).reshape(-1).view(np.uint8).data
    else:
        leaves, structure = jax.tree.flatten(value)
        yield str(structure).encode()
        for leaf in leaves:
            yield from _contents(np.asarray(leaf)) if hasattr(leaf, "__array__") else [repr(leaf).encode()]


def same_value(a, b) -> bool:
    """Whether two parameters are equal element by element, units included."""
    if isinstance(a, u.Quantity) or isinstance(b, u.Quantity):
        if not u.get_unit(a).has_same_dim(u.get_unit(b)):
            return False
        b = in_unit(b, u.get_unit(a), "", "")
        a = u.get_mantissa(a)
    if hasattr(a, "tocoo") and hasattr(b, "tocoo"):
        a, b = a.tocoo(), b.tocoo()
        return a.shape == b.shape and all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("row", "col", "data"))
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.array_equal(a, b)
    return bool(a == b)


def check_values(value, what: str) -> np.ndarray:
    """The plain array of a number, array or Quantity, after a check that all of it is real and finite."""
    plain = np.asarray(u.get_mantissa(value))
    if jnp.issubdtype(plain.dtype, jnp.floating) and plain.dtype.kind != "f":  # bfloat16 and its like, which numpy does not know
        plain = plain.astype(np.float32)
    if plain.dtype.kind not in "biuf":
        raise ValueError(f"{what} is {describe(value)}, but expected real numbers; give a number, an array, a Quantity or a distribution.")
    bad = np.flatnonzero(~np.isfinite(plain))
    if bad.size:
        raise ValueError(
            f"{what} holds {plain.reshape(-1)[bad[0]]} at position {bad[0]}, but expected finite numbers; check how it was computed."
        )
    return plain
