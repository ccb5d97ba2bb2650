"""Parameter values: units split and joined, text, content and equality."""

import dataclasses
import sys
import zlib

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

LONGEST_TEXT = 80  # of a value in a message


def is_sparse(value) -> bool:
    """Whether a value is a matrix of scipy.sparse, which nobody can have who has not imported it."""
    sparse = sys.modules.get("scipy.sparse")
    return sparse is not None and sparse.issparse(value)


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
    """A short text of a parameter on one line: numbers in full, arrays by shape, anything else by its text or its type."""
    plain, unit = (value.mantissa, value.unit) if isinstance(value, u.Quantity) else (value, u.UNITLESS)
    suffix = "" if unit == u.UNITLESS else f" {unit}"
    if isinstance(plain, Tracer):
        return "a traced value"
    if plain is np.ma.masked:
        return "masked"
    shape = getattr(plain, "shape", ())
    if isinstance(shape, tuple) and shape:
        return f"<{'masked ' * isinstance(plain, np.ma.MaskedArray)}array {'x'.join(map(str, shape))}{suffix}>"
    if isinstance(plain, (int, float, np.number, np.ndarray, jax.Array)) and not isinstance(plain, bool):
        number = np.asarray(plain)
        if jnp.issubdtype(number.dtype, jnp.floating) or number.dtype.kind in "iu":
            return f"{float(plain):.12g}{suffix}"
    return _text(value)


def _text(value) -> str:
    """The text of any object, cut if it is long; without addresses, which say nothing."""
    text = " ".join(repr(value).split())
    if " at 0x" in text:
        return "a function" if callable(value) else f"a {type(value).__name__}"
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}..."


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
    elif is_sparse(value):
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
    if is_sparse(a) and is_sparse(b):
        a, b = a.tocoo(), b.tocoo()
        return a.shape == b.shape and all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("row", "col", "data"))
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.array_equal(a, b)
    return bool(a == b)


def _key(value):
    """A hashable that is equal when the values are: arrays by their bytes, units normalised."""
    if isinstance(value, u.Quantity):
        return ("quantity", str(value.unit.dim), _key(np.asarray(value.mantissa, np.float64) * value.unit.magnitude))
    if isinstance(value, (np.ndarray, np.generic)) or hasattr(value, "__array__"):
        array = np.asarray(value)
        return (array.shape, array.dtype.kind, array.tobytes())
    return value.key() if isinstance(value, Parameters) else value


class Parameters:
    """A frozen dataclass of parameters, equal when every parameter is equal in value (arrays element by element, units converted)."""

    def key(self):
        """A hashable of the class and the values."""
        return (type(self).__name__, *(_key(getattr(self, field.name)) for field in dataclasses.fields(self)))  # type: ignore[arg-type]

    def __eq__(self, other):
        return isinstance(other, Parameters) and self.key() == other.key()

    def __hash__(self):
        return hash(self.key())

    def __repr__(self):
        shown = ", ".join(f"{f.name}={describe(getattr(self, f.name))}" for f in dataclasses.fields(self))  # type: ignore[arg-type]
        return f"{type(self).__name__}({shown})"
