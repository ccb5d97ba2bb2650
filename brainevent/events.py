"""Event arrays: arrays whose nonzero entries are events, and which tell a product so.

Arithmetic with an event array gives plain arrays; moving its entries about (indexing, reshaping, transposing, concatenating) keeps it one.
"""

import abc
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, final

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from .arrays import canonical, cast, is_concrete, numbers, real, unwrap

_NOT_ARRAYS = (u.Unit, str, type(None))  # what a product leaves to Python's own TypeError


def is_event(x: Any) -> bool:
    """Whether ``x`` is an event array: ``is_event(EventArray([1, 0]))`` is True, ``is_event([1, 0])`` is not."""
    return isinstance(x, AbstractEvents)


@jax.custom_jvp
def indicator(x: jax.Array) -> jax.Array:
    """1 where ``x`` is nonzero, else 0, in the dtype of ``x``; its derivative is that of the identity (straight-through)."""
    return jnp.asarray(x).astype(bool).astype(jnp.result_type(x))


@indicator.defjvp
def _indicator_jvp(primals, tangents):
    return indicator(*primals), tangents[0]


def _plain_product(left: Any, right: Any) -> Any:
    """The product without any event-driven kernel."""
    left, right = (x.product_operand() if is_event(x) else x for x in (left, right))
    dtype = jnp.result_type(u.get_mantissa(left), u.get_mantissa(right))
    # bool @ bool would be a logical "or"; events are counted, in floats, as with the integer weights of a connectivity
    dtype = dtype if jnp.issubdtype(dtype, jnp.inexact) else jnp.result_type(float)
    return u.math.matmul(left.astype(dtype), right.astype(dtype))


_event_product: Callable[[Any, Any], Any] = _plain_product


def set_dense_product(product: Callable[[Any, Any], Any]) -> None:
    """Make ``product(left, right)`` the one for an event array (1-D or 2-D) and a plain matrix (2-D), in either order.

    The event-driven dense product belongs to the formats, which import this file: import arrows point down, so they hand it in.
    """
    global _event_product
    _event_product = product


def dense_product(left: Any, right: Any) -> Any:
    """``left @ right`` for dense operands of which at least one is an event array.

    ``left``, ``right``: event arrays, arrays, lists or quantities. An ``EventArray`` enters as 0 and 1, a ``MaskedFloat`` with its
    values. Returns a plain float array, or a ``Quantity`` if there is a unit. Raises TypeError or ValueError where ``@`` does.

    >>> import jax.numpy as jnp
    >>> from brainevent.events import EventArray, dense_product
    >>> dense_product(2 * jnp.eye(2), EventArray([0.0, 0.5]))
    Array([0., 2.], dtype=float32)
    """
    left, right = (x if is_event(x) else real(x, "the operand of an event array") for x in (left, right))
    if is_event(left) and is_event(right):
        right = right.product_operand()
    events, matrix = (left, right) if is_event(left) else (right, left)
    product = _event_product if events.ndim in (1, 2) and matrix.ndim == 2 else _plain_product
    return product(left, right)


def _events_of(value: Any) -> Any:
    """Real numbers as a jax array of which the same entries are nonzero, whatever it rounds to."""
    array, unit = numbers(value, "EventArray")
    if not unit.is_unitless:
        raise TypeError(f"An EventArray says where events are and has no unit, got {unit}; use MaskedFloat to keep values.")
    return array if isinstance(array, jax.Array) else jnp.asarray(_narrowed(array, canonical(array.dtype)))


def _narrowed(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """A host array in the dtype that jax has for its own; what would be 0 there (denormals too, to XLA) becomes the least that is not."""
    if array.dtype == bool or (array.dtype == dtype and not jnp.issubdtype(dtype, jnp.floating)):
        return array
    if not jnp.issubdtype(dtype, jnp.floating):
        return np.clip(array, np.iinfo(dtype).min, np.iinfo(dtype).max).astype(dtype)
    least = jnp.finfo(dtype).smallest_normal
    lost = (array != 0) & (abs(array) < least)
    array = np.where(lost, np.copysign(least, array), array) if lost.any() else array
    with np.errstate(over="ignore"):  # infinity is an event too
        return array.astype(dtype, copy=False)


def _plain_index(index: Any) -> Any:
    """An index that jax takes: event arrays unwrapped, lists (which jax refuses) as arrays."""
    if isinstance(index, tuple):
        return tuple(_plain_index(i) for i in index)
    return np.asarray(index, dtype=None if index else int) if isinstance(index, list) else unwrap(index)


def _keeps_events(method: Callable[..., Any]) -> Any:
    """A method of ``CustomArray`` that only moves entries about, with its result wrapped again."""

    @functools.wraps(method)
    def wrapped(self: "AbstractEvents", *args: Any, **kwargs: Any) -> Any:
        result = method(self, *args, **kwargs)
        return [self._like(part) for part in result] if isinstance(result, list) else self._like(result)

    return wrapped


class AbstractEvents(u.CustomArray, abc.ABC):
    """What ``EventArray`` and ``MaskedFloat`` share: an array that can be rebound, every numpy operator, the pytree."""

    # __eq__ is elementwise; a tracer inside would otherwise make it hashable
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, value: Any):
        self._value = self._check(value)

    @classmethod
    @abc.abstractmethod
    def _check(cls, value: Any) -> Any:
        """The plain value to store, or a clear error."""

    @abc.abstractmethod
    def product_operand(self) -> Any:
        """The plain array or ``Quantity`` that enters a product."""

    @classmethod
    def _like(cls, value: Any) -> Any:
        """The same type around a value that is known to be good (or, in unflattening, is any object at all)."""
        self = object.__new__(cls)
        self._value = value
        return self

    @classmethod
    def tree_unflatten(cls, aux_data: Any, flat_contents: Any) -> Any:
        return cls._like(flat_contents[0])

    @property
    def value(self) -> Any:
        """The plain array or ``Quantity``; assigning rebinds it to another of the same shape (else ValueError)."""
        return self._value

    @value.setter
    def value(self, value: Any) -> None:
        value = self._check(value)
        if value.shape != self.shape:
            name = type(self).__name__
            raise ValueError(
                f"The value of this {name} has shape {self.shape} and cannot be set to shape {value.shape}; make a new {name}."
            )
        self._value = value

    data = value

    @classmethod
    def concatenate(cls, arrays: Iterable[Any], axis: int = 0) -> Any:
        """Join event arrays (or plain ones) along an axis they have; the result is of the class this is called on.

        >>> from brainevent.events import EventArray
        >>> EventArray.concatenate([EventArray([1, 0]), [1]])
        EventArray(int32[3], 2 events)
        """
        return cls(u.math.concatenate([cls._check(x) for x in arrays], axis=axis))

    @classmethod
    def stack(cls, arrays: Iterable[Any], axis: int = 0) -> Any:
        """Join event arrays (or plain ones) along a new axis; as ``concatenate`` otherwise."""
        return cls(u.math.stack([cls._check(x) for x in arrays], axis=axis))

    def reshape(self, *shape: Any, order: str = "C") -> Any:
        return self._like(self._value.reshape(shape[0] if len(shape) == 1 else shape, order=order))  # a Quantity takes one tuple

    def ravel(self, order: str = "C") -> Any:
        return self._like(self._value.ravel(order=order))

    def dot(self, b: Any) -> Any:
        return self @ b

    T = property(lambda self: self._like(self._value.T))
    mT = property(lambda self: self.swapaxes(-1, -2))

    def __getitem__(self, index: Any) -> Any:
        return self._like(self._value[_plain_index(index)])

    def __setitem__(self, index: Any, data: Any) -> None:
        data = self._check(data)
        if jnp.issubdtype(self.dtype, jnp.integer) and jnp.issubdtype(data.dtype, jnp.floating):
            # a cast to int would round 0.5 to 0 and lose the event
            raise TypeError(f"Cannot set entries of a {type(self).__name__} of {self.dtype} to floats; cast it with .astype(float) first.")
        if jnp.issubdtype(self.dtype, jnp.integer) and is_concrete(data):
            data = jnp.asarray(cast(np.asarray(data), self.dtype, f"an entry of a {type(self).__name__} of {self.dtype}"))
        self.value = self._value.at[_plain_index(index)].set(data.astype(self.dtype))

    def __iter__(self) -> Iterator[Any]:
        if self.ndim == 0:
            raise TypeError(f"Cannot iterate over a {type(self).__name__} of shape (); use .value.")
        return (self._like(row) for row in self._value)

    def __matmul__(self, oc: Any) -> Any:
        # a connectivity gets the event array itself, in its __rmatmul__
        return NotImplemented if isinstance(oc, (u.sparse.SparseMatrix, *_NOT_ARRAYS)) else dense_product(self, oc)

    def __rmatmul__(self, oc: Any) -> Any:
        return NotImplemented if isinstance(oc, _NOT_ARRAYS) else dense_product(oc, self)

    def __imatmul__(self, oc: Any) -> Any:
        self.data = self @ oc
        return self

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(np.asarray(self._value), dtype=dtype, copy=copy)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """``numpy_array @ events``, ``np.add(numpy_array, events)``: by jax, unless numpy has to write the result itself."""
        if ufunc is np.matmul and method == "__call__" and not kwargs:
            return dense_product(*inputs)
        inputs = tuple(unwrap(x) for x in inputs)
        if method == "__call__" and not kwargs:
            return getattr(u.math, ufunc.__name__, ufunc)(*inputs)
        return getattr(ufunc, method)(*(np.asarray(x) for x in inputs), **kwargs)

    def __array_function__(self, func: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        """numpy's functions: by our own method where it keeps the events, else on the plain values."""
        if func in (np.concatenate, np.stack):
            return getattr(type(self), func.__name__)(*args, **kwargs)
        if func.__name__ in _MOVES and args and args[0] is self:
            return getattr(self, func.__name__)(*args[1:], **kwargs)
        args, kwargs = jax.tree.map(unwrap, (args, kwargs), is_leaf=is_event)
        return func(*args, **kwargs)

    def __repr__(self) -> str:
        mantissa, unit = u.split_mantissa_unit(self._value)
        text = repr(self._value)
        if isinstance(mantissa, jax.Array):
            text = f"{mantissa.dtype}[{','.join(map(str, mantissa.shape))}]" + ("" if unit.is_unitless else f" {unit}")
            if not isinstance(mantissa, Tracer):
                count = int(jnp.count_nonzero(mantissa))
                text += f", {count} event{'' if count == 1 else 's'}"
        return f"{type(self).__name__}({text})"


# the methods of CustomArray that move entries about as they are, and numpy's functions of the same names
_MOVES = """astype clone copy diagonal expand expand_as expand_dims flatten ravel repeat reshape split squeeze swapaxes take tile
transpose unsqueeze""".split()  # noqa: SIM905
for _name in set(_MOVES) - vars(AbstractEvents).keys():
    setattr(AbstractEvents, _name, _keeps_events(getattr(u.CustomArray, _name)))


@final
@jax.tree_util.register_pytree_node_class
class EventArray(AbstractEvents):
    """An array whose nonzero entries are events, each of which counts as 1 in a product ``@``.

    ``value``: a bool, int or float array of any shape (numpy, jax, list, scalar, another event array), without a unit. Zero is
    no event; anything else is, negative numbers and NaN too. Elementwise arithmetic uses the values themselves and gives plain
    arrays or quantities; the gradient of a product is that of the plain product. Raises TypeError if ``value`` has a unit or is
    complex.

    A jax array or a ``Quantity`` on the left of ``@`` never asks its right operand, nor do the functions of ``jnp`` and ``u.math``:
    ``jax_array @ events`` is the plain product of the *values*, ``jnp.concatenate`` gives a plain array. Write ``Dense(matrix) @ events``
    or ``dense_product(matrix, events)``, and ``EventArray.concatenate``.

    >>> from brainevent.events import EventArray
    >>> spikes = EventArray([True, False, True, False])
    >>> spikes
    EventArray(bool[4], 2 events)
    >>> spikes[1:]
    EventArray(bool[3], 1 event)
    >>> spikes @ [[1.0], [2.0], [4.0], [8.0]]
    Array([5.], dtype=float32)
    """

    @classmethod
    def _check(cls, value: Any) -> Any:
        return _events_of(value)

    def product_operand(self) -> Any:
        return indicator(self._value)


@final
@jax.tree_util.register_pytree_node_class
class MaskedFloat(AbstractEvents):
    """An array that enters a product with its values, and whose zeros are skipped.

    ``value``: a bool, int or float array of any shape, or a ``Quantity`` of one. Raises TypeError if it is complex. With a unit, write
    ``events * u.nS``: in ``u.nS * events`` brainunit drops the unit of the right operand.

    >>> import brainunit as u
    >>> from brainevent.events import MaskedFloat
    >>> MaskedFloat([0.0, 0.5] * u.mV)
    MaskedFloat(float32[2] mV, 1 event)
    >>> MaskedFloat([0.0, 0.5]) @ [[1.0], [4.0]]
    Array([2.], dtype=float32)
    """

    @classmethod
    def _check(cls, value: Any) -> Any:
        return real(value, cls.__name__)

    def product_operand(self) -> Any:
        return self._value


BinaryArray = EventArray
WeightedArray = MaskedFloat
