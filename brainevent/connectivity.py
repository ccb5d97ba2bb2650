"""`Connectivity`, the base of every format: `@`, units, validation and conversions, written once.

A connectivity has shape `(n_pre, n_post)` and denotes exactly one matrix. A format says how the synapses are stored: it names its
structure arrays, checks them, and gives the coordinates of its synapses; everything else is here.
"""

import math
import operator
from typing import ClassVar

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from .arithmetic import Arithmetic
from .core import table
from .core.operator import correlate, propagate
from .events import EventArray, MaskedFloat, unwrap


def is_concrete(*arrays) -> bool:
    """Whether none of the arrays is a tracer (so that their values can be looked at)."""
    return not any(isinstance(a, Tracer) for a in arrays)


def as_weights(data):
    """`data` as a real floating array (or Quantity of one); integers and booleans are cast to the default float."""
    mantissa, unit = u.split_mantissa_unit(unwrap(data))
    array = jnp.asarray(mantissa)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        if not (jnp.issubdtype(array.dtype, jnp.integer) or array.dtype == bool):
            raise TypeError(f"weights are real numbers, got dtype {array.dtype}: pass the real part, or two matrices")
        array = array.astype(jnp.result_type(float))
    return array if unit.is_unitless else u.Quantity(array, unit=unit)


def as_ids(ids, name: str, owner: str):
    """`ids` as a jax array of integers: 32 bits wide where the values allow it, else 64."""
    if isinstance(ids, jax.Array):
        if not jnp.issubdtype(ids.dtype, jnp.integer):
            raise TypeError(f"{owner}: {name} has dtype {ids.dtype}, expected integers: use {name}.astype(int)")
        if jnp.issubdtype(ids.dtype, jnp.signedinteger):
            return ids
        if not is_concrete(ids):  # kernels take signed ids; what does not fit turns negative, which they refuse
            return ids.astype(np.int32)
    ids = np.asarray(ids)
    if ids.size and not np.issubdtype(ids.dtype, np.integer):
        raise TypeError(f"{owner}: {name} has dtype {ids.dtype}, expected integers: use {name}.astype(int)")
    wide = ids.size and max(int(ids.max()), -int(ids.min())) > np.iinfo(np.int32).max
    if wide and not jax.config.read("jax_enable_x64"):
        raise ValueError(f"{owner}: {name} holds {int(ids.max())}, beyond 32 bits: set jax_enable_x64 before building it")
    with jax.ensure_compile_time_eval():  # constants stay concrete under jit, so that they are checked there too
        return jnp.asarray(ids.astype(np.int64 if wide else np.int32, copy=False))


def check_shape(shape, owner: str) -> tuple[int, int]:
    """`shape` as two sizes, or a clear error."""
    shape = tuple(operator.index(n) for n in shape)
    if len(shape) != 2 or min(shape) < 0:
        raise ValueError(f"{owner}: shape is (n_pre, n_post), two sizes of at least 0, got {shape}")
    return shape


def reordered(data, order):
    """Per-synapse weights in another order; one weight for all stays as it is."""
    return data if table.is_scalar(u.get_mantissa(data)) else data[order]


class Connectivity(Arithmetic, u.sparse.SparseMatrix):
    """A matrix of weights from `n_pre` to `n_post` neurons, stored or generated. Immutable; a pytree with its arrays as leaves.

    Subclasses are final formats. A format is one file: `parts` (the names of its arrays, weights first), `check`, `coordinates`,
    `from_coordinates`, `transpose`.

    >>> import brainevent as be, jax.numpy as jnp
    >>> isinstance(be.CSR.fromdense(jnp.eye(3)), be.Connectivity)
    True
    """

    parts: ClassVar[tuple[str, ...]] = ("data",)
    flags: ClassVar[tuple[str, ...]] = ("shape", "backend")
    precision: str | None = None  # the dtype that weights are rounded to, where a product is wider and the format draws them in it
    formats: ClassVar[dict[str, type]] = {}
    data: jax.Array | u.Quantity
    shape: tuple[int, int]
    backend: str | None

    def __init_subclass__(cls):
        jax.tree_util.register_pytree_with_keys_class(cls)
        Connectivity.formats[cls.__name__] = cls

    def __init__(self, *parts, shape, backend=None):
        parts = parts[0] if len(parts) == 1 and isinstance(parts[0], (tuple, list)) else parts
        name = type(self).__name__
        if len(parts) != len(self.parts):
            raise TypeError(f"{name} takes ({', '.join(self.parts)}), {len(self.parts)} arrays, got {len(parts)}")
        shape = check_shape(shape, name)
        ids = (as_ids(part, key, name) for key, part in zip(self.parts[1:], parts[1:]))
        self._set(shape=shape, backend=table.check_backend(backend), data=as_weights(parts[0]), **dict(zip(self.parts[1:], ids)))
        self._set(**self.check())
        self._check_weights(self.data)

    def _set(self, **values):
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name, value):
        raise AttributeError(f"{type(self).__name__} is immutable, {name} cannot be set: use with_data, with_backend or build another")

    def _check_weights(self, data):
        shape = u.get_mantissa(data).shape
        if shape not in ((), (1,), self.weights_shape):
            raise ValueError(
                f"{type(self).__name__}{list(self.shape)}: weights of shape {shape}, expected a scalar, (1,), "
                f"or one a synapse, {self.weights_shape}"
            )

    # -- pytree -------------------------------------------------------------------------------------------------------------

    def tree_flatten_with_keys(self):
        """What jax asks of a pytree: its arrays with their names, and its flags."""
        children = tuple((jax.tree_util.GetAttrKey(name), getattr(self, name)) for name in self.parts)
        return children, tuple(getattr(self, name) for name in self.flags)

    def tree_flatten(self):
        """What jax asks of a pytree: its arrays, and its flags."""
        return tuple(getattr(self, name) for name in self.parts), tuple(getattr(self, name) for name in self.flags)

    @classmethod
    def tree_unflatten(cls, aux_data, children):
        """The reverse of `tree_flatten`, for any objects at all in the place of arrays."""
        self = object.__new__(cls)  # no validation: leaves may be tracers, None or placeholders
        self._set(**dict(zip(cls.flags, aux_data)), **dict(zip(cls.parts, children)))
        return self

    def __reduce__(self):
        leaves, aux = self.tree_flatten()
        return type(self).tree_unflatten, (aux, leaves)

    def replace(self, **values):
        """A copy with some parts or flags replaced, unchecked (for kernels and rules; users have `with_data`)."""
        kept = {name: getattr(self, name) for name in (*self.flags, *self.parts)}
        new = object.__new__(type(self))
        new._set(**(kept | values))
        return new

    # -- what a format provides ---------------------------------------------------------------------------------------------

    def check(self) -> dict:
        """Raise if the structure is not valid, as far as it is concrete; return the flags read off it."""
        raise NotImplementedError

    def coordinates(self):
        """`(row, col)` of every synapse, two integer arrays of shape (nse,), in the order of the weights."""
        raise NotImplementedError

    @classmethod
    def from_coordinates(cls, data, row, col, *, shape, backend=None):
        """Build from weights and `(row, col)`, one a synapse, in any order; duplicates stay (they accumulate)."""
        raise NotImplementedError

    def target_sorted(self, transpose: bool) -> bool:
        """Whether `coordinates` are known to ascend along the side that a product adds to."""
        return False

    @property
    def weights_shape(self) -> tuple[int, ...]:
        """The shape of one weight a synapse."""
        raise NotImplementedError

    def promoted(self, w):
        """The same matrix with its weights `w`, plain and in the dtype of a product (which may be wider)."""
        return self.replace(data=w)

    def by_target(self, path: str) -> "Connectivity | None":
        """The matrix grouped by target, where deliveries along a path of `core.path_choice` should keep one to gather from, else None."""
        return None

    def check_path(self, path: str) -> None:
        """Raise `BackendError` if deliveries from this matrix cannot take a path of `core.path_choice` on any backend."""

    def stored(self):
        """The same matrix with its synapses stored: itself, but for a just-in-time format."""
        return self

    # -- what every format has ----------------------------------------------------------------------------------------------

    @property
    def nse(self) -> int:
        """The number of stored synapses, duplicates and explicit zeros included."""
        return math.prod(self.weights_shape)

    @property
    def dtype(self):
        """The dtype of the weights."""
        return u.get_mantissa(self.data).dtype

    @property
    def unit(self):
        """The unit of the weights."""
        return u.get_unit(self.data)

    @property
    def nbytes(self) -> int:
        """Bytes held by the weights and the structure."""
        return sum(leaf.nbytes for leaf in jax.tree.leaves(self))

    def stored_nbytes(self, nse: int) -> int:
        """Bytes that the weights and the structure of so many synapses take when they are stored."""
        return self.nbytes

    def degrees(self, axis: int) -> np.ndarray:
        """The number of synapses of each pre neuron (axis 0) or onto each post neuron (axis 1), int64; structure must be known."""
        return np.bincount(np.asarray(self.coordinates()[axis]), minlength=self.shape[axis])

    def mean_size(self) -> float:
        """The mean of the sizes of the weights, with the sign of their mean, in their unit; 0 if there are none."""
        weights = np.asarray(u.get_mantissa(self.data), np.float64)
        return float(np.copysign(np.abs(weights).mean(), weights.mean())) if weights.size else 0.0

    def __repr__(self):
        data = jax.tree.leaves(self.data)
        dtype = getattr(data[0], "dtype", "?") if data else "structure"
        weight = (
            "" if self.data is None or not hasattr(data[0], "shape") else f", {'one weight' if table.is_scalar(data[0]) else 'weights'}"
        )
        unit = "" if not weight or self.unit.is_unitless else f" in {self.unit}"
        asked = f", backend={self.backend!r}" if self.backend else ""
        return f"{type(self).__name__}({dtype}{list(self.shape)}, nse={self.nse}{weight}{unit}{asked})"

    def with_data(self, data):
        """The same structure with other weights: scalar, `(1,)` or one a synapse, of any float dtype, with or without a unit."""
        data = as_weights(data)
        self._check_weights(data)
        return self.replace(data=data)

    def with_backend(self, name: str | None):
        """The same matrix, always multiplied by the backend of that name (None: the automatic choice)."""
        return self.replace(backend=table.check_backend(name))

    def per_synapse(self):
        """The weights as one number a synapse, in a flat array of shape (nse,) (Quantity if they have a unit)."""
        mantissa, unit = u.split_mantissa_unit(self.data)
        return u.maybe_decimal(u.Quantity(jnp.broadcast_to(mantissa, self.weights_shape).reshape(-1), unit=unit))

    def transpose(self, axes=None):
        """The transposed matrix, shape `(n_post, n_pre)`, sharing the arrays."""
        raise NotImplementedError

    def to(self, cls):
        """The same matrix in another format, `A.to(be.CSC)`: duplicates kept, one weight for all still one weight."""
        if type(self) is cls:
            return self
        row, col = self.coordinates()
        data = u.math.reshape(self.data, ()) if self.data.size == 1 != self.nse else self.per_synapse()
        return cls.from_coordinates(data, row, col, shape=self.shape, backend=self.backend)

    def tocoo(self):
        """The same matrix as `COO`."""
        return self.to(Connectivity.formats["COO"])

    def tocsr(self):
        """The same matrix as `CSR`."""
        return self.to(Connectivity.formats["CSR"])

    def tocsc(self):
        """The same matrix as `CSC`."""
        return self.to(Connectivity.formats["CSC"])

    def todense(self):
        """The matrix as an array of shape `(n_pre, n_post)`; duplicates are summed."""
        mantissa, unit = u.split_mantissa_unit(self.per_synapse())
        return u.maybe_decimal(u.Quantity(jnp.zeros(self.shape, mantissa.dtype).at[self.coordinates()].add(mantissa), unit=unit))

    @classmethod
    def fromdense(cls, matrix, *, nse: int | None = None, backend: str | None = None):
        """Store the nonzeros of a dense matrix.

        Args:
          matrix: array or Quantity of shape (n_pre, n_post).
          nse: how many nonzeros there are; needed under `jit`, where they cannot be counted (spare places hold weight 0).
          backend: a backend asked for by name, or None.
        """
        mantissa, unit = u.split_mantissa_unit(matrix)
        if jnp.ndim(mantissa) != 2:
            raise ValueError(f"{cls.__name__}.fromdense takes a matrix, got shape {jnp.shape(mantissa)}")
        if not is_concrete(mantissa) and nse is None:
            raise ValueError(f"{cls.__name__}.fromdense: under jit the nonzeros cannot be counted: pass nse=")
        mantissa = jnp.asarray(mantissa)
        if nse is not None and is_concrete(mantissa) and nse < (found := int(jnp.count_nonzero(mantissa))):
            raise ValueError(f"{cls.__name__}.fromdense: nse={nse}, but the matrix has {found} nonzeros: pass at least that many")
        row, col = jnp.nonzero(mantissa, size=nse, fill_value=0) if nse is not None else np.nonzero(np.asarray(mantissa))
        data = mantissa[row, col]
        if nse is not None:
            data = jnp.where(jnp.arange(nse) < jnp.count_nonzero(mantissa), data, 0)
        data = data if unit.is_unitless else u.Quantity(data, unit=unit)
        return cls.from_coordinates(data, row, col, shape=mantissa.shape, backend=backend)

    @classmethod
    def fromscipy(cls, matrix, *, unit=None, backend: str | None = None):
        """Store a scipy.sparse matrix or array; duplicates and explicit zeros are kept. `unit` is given to the weights."""
        coo = matrix.tocoo()
        row, col = coo.coords if hasattr(coo, "coords") else (coo.row, coo.col)
        data = coo.data if unit is None else u.Quantity(jnp.asarray(coo.data), unit=unit)
        return cls.from_coordinates(data, row, col, shape=coo.shape, backend=backend)

    def toscipy(self):
        """A scipy.sparse array of the mantissas (`.unit` has the unit), duplicates kept: csr, csc or coo, whichever is nearest."""
        import scipy.sparse  # slow to import, and only needed here

        row, col = (np.asarray(ids) for ids in self.coordinates())
        data = np.asarray(u.get_mantissa(self.per_synapse()))
        data = data.astype(np.float32) if data.dtype.itemsize == 2 else data  # scipy has no half precision
        return scipy.sparse.coo_array((data, (row, col)), shape=self.shape)

    def dt2t(self, y, w=None):
        """`w_k * y[row_k]` for every synapse k, `y` of shape (n_pre,); `w` defaults to the weights. Differentiable."""
        return self._weigh_ends(y, w, transpose=False)

    def dt2t_transposed(self, y, w=None):
        """`w_k * y[col_k]` for every synapse k, `y` of shape (n_post,); `w` defaults to the weights. Differentiable."""
        return self._weigh_ends(y, w, transpose=True)

    yw_to_w, yw_to_w_transposed = dt2t, dt2t_transposed  # pyright: ignore[reportAssignmentType]

    def _weigh_ends(self, y, w, *, transpose):
        w = self.data if w is None else w
        mantissa, unit = u.split_mantissa_unit(unwrap(y))
        mantissa = jnp.asarray(mantissa)
        floating = jnp.issubdtype(mantissa.dtype, jnp.floating)
        mantissa = mantissa.astype(jnp.promote_types(self.dtype, mantissa.dtype) if floating else self.dtype)
        if mantissa.shape != (self.shape[int(transpose)],):
            raise ValueError(f"{self!r}: y has shape {mantissa.shape}, expected ({self.shape[int(transpose)]},)")
        ones = jnp.ones(self.shape[1 - int(transpose)], mantissa.dtype)
        ends = correlate(self.replace(data=None), mantissa, ones, transpose=transpose, event=False)
        return w * u.maybe_decimal(u.Quantity(ends, unit=unit))

    # -- products -----------------------------------------------------------------------------------------------------------

    def __matmul__(self, other):
        return self._product(other, transpose=False)

    def __rmatmul__(self, other):
        return self._product(other, transpose=True)

    def _product(self, operand, *, transpose: bool):
        """`A @ x` over columns, or `x @ A` over the last axis: units off, shapes checked, dtypes promoted, units on again."""
        if isinstance(operand, u.sparse.SparseMatrix):
            raise TypeError(f"{self!r} @ {operand!r}: a product of two sparse matrices is not defined here: use .todense() of one")
        event = isinstance(operand, EventArray) and not isinstance(operand, MaskedFloat)
        x, x_unit = u.split_mantissa_unit(unwrap(operand))
        w, w_unit = u.split_mantissa_unit(self.data)
        x = self._fitting(jnp.asarray(x), transpose)
        if event or x.dtype == bool:
            event = True
        else:
            dtype = jnp.promote_types(w.dtype, x.dtype) if jnp.issubdtype(x.dtype, jnp.floating) else w.dtype
            w, x = w.astype(dtype), x.astype(dtype)
        plain = self.promoted(w)
        if transpose and x.ndim > 1:
            lead = x.shape[:-1]
            columns = x.reshape(math.prod(lead), x.shape[-1]).T
            y = propagate(plain, columns, transpose=True, event=event).T.reshape(*lead, self.shape[1])
        else:
            y = propagate(plain, x, transpose=transpose, event=event)
        return u.maybe_decimal(u.Quantity(y, unit=w_unit * x_unit))  # pyright: ignore[reportArgumentType]

    def _fitting(self, x, transpose):
        """`x` if its shape fits, else a clear error."""
        if jnp.issubdtype(x.dtype, jnp.complexfloating):
            raise TypeError(f"{self!r}: the operand is complex ({x.dtype}): multiply its real and imaginary parts one after the other")
        n = self.shape[0 if transpose else 1]
        if transpose and (x.ndim < 1 or x.shape[-1] != n):
            raise ValueError(f"x @ {self!r}: x has shape {x.shape}, expected ({n},) or (..., {n}), one entry a pre neuron")
        if not transpose and (x.ndim not in (1, 2) or x.shape[0] != n):
            raise ValueError(f"{self!r} @ x: x has shape {x.shape}, expected ({n},) or ({n}, k), one row a post neuron")
        return x

    def __getitem__(self, item):
        """Dense rows: `A[i]` has shape (n_post,), `A[ids]` and `A[start:stop]` (len, n_post); `A[rows, cols]` pairs ids as numpy does."""
        if isinstance(item, tuple):
            rows, cols = item
            if isinstance(rows, slice) or isinstance(cols, slice):
                return self[rows][..., cols]
            rows, cols = jnp.broadcast_arrays(*map(jnp.asarray, item))
            dense, unit = u.split_mantissa_unit(self[rows])
            return u.maybe_decimal(u.Quantity(jnp.take_along_axis(dense, cols[..., None], axis=-1)[..., 0], unit=unit))
        n = self.shape[0]
        if is_concrete(*jax.tree.leaves(item)):
            try:
                ids = np.arange(n)[np.asarray(item) if isinstance(item, jax.Array) else item]
            except IndexError as error:
                raise IndexError(f"{self!r}: cannot take row {item} of {n} pre neurons ({error})") from None
        else:
            ids = item
        ids = jnp.asarray(ids)
        return EventArray((ids[..., None] + n * (ids[..., None] < 0)) == jnp.arange(n)) @ self
