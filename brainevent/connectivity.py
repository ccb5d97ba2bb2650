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

from .arithmetic import Arithmetic
from .arrays import as_ids, as_weights, check_finite, is_concrete, real, with_unit
from .core import table
from .core.operator import correlate, propagate
from .events import EventArray, MaskedFloat
from .indexing import Indexing


def check_shape(shape, owner: str) -> tuple[int, int]:
    """`shape` as two sizes, or a clear error."""
    wanted = f"{owner}: shape is (n_pre, n_post), two sizes of at least 0, got {shape!r}"
    try:
        sizes = tuple(-1 if isinstance(n, (bool, np.bool_)) else operator.index(n) for n in shape)
    except TypeError as error:  # traced sizes too
        raise TypeError(f"{wanted} ({error})") from None
    if len(sizes) != 2 or min(sizes) < 0:
        raise ValueError(wanted)
    if max(sizes) >= 1 << 56:  # XLA aborts where it cannot count the bytes of a vector
        raise ValueError(f"{owner}: shape is {sizes}, expected sizes below 2^56")
    return sizes


def reordered(data, order):
    """Per-synapse weights in another order; one weight for all stays as it is."""
    return data if table.is_scalar(u.get_mantissa(data)) else data[order]


class Connectivity(Arithmetic, Indexing, u.sparse.SparseMatrix):
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
    checked: bool = True  # whether ids and pointers are known to be good; a flag of the formats that have some
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
        data = as_weights(parts[0], f"{name}: weights")
        self._set(shape=shape, backend=table.check_backend(backend), data=data, **dict(zip(self.parts[1:], ids)))
        self.check_shapes()
        self._set(**self.check())
        self._check_weights(self.data)
        self._check_finite()

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

    def _check_finite(self):
        """Weights that are known are finite: an infinite one times a silent neuron is nothing on one path and NaN on another."""
        mantissa = u.get_mantissa(self.data)
        if is_concrete(mantissa):
            check_finite(mantissa, f"{type(self).__name__}: weights")

    def _check_batch(self):
        """Raise for a batch of matrices, as `vmap` returns them, outside of `vmap`."""
        try:
            self.check_shapes()
            self._check_weights(self.data)
        except ValueError as error:
            shape = u.get_mantissa(self.data).shape
            raise ValueError(f"{self!r}: weights of shape {shape} are a batch, to be used under jax.vmap ({error})") from None

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

    def check_shapes(self) -> None:
        """Raise unless the shapes of the structure arrays fit one another."""

    def check(self) -> dict:
        """Raise if the structure is not valid, as far as it is concrete; return the flags read off it."""
        raise NotImplementedError

    def sound(self):
        """Whether all ids and pointers are good, a bool array: what `check` looks at, for structures that it could not see."""
        raise NotImplementedError

    def or_nan(self, values):
        """`values`; NaN throughout if the structure could not be checked when the matrix was built, and is not sound."""
        return values if self.checked else jnp.where(self.sound(), values, jnp.nan)

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
        return mean_size(np.asarray(u.get_mantissa(self.data)))

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
        data = as_weights(data, f"{self!r}: weights")
        self._check_weights(data)
        return self.replace(data=data)

    def with_backend(self, name: str | None):
        """The same matrix, always multiplied by the backend of that name (None: the automatic choice)."""
        return self.replace(backend=table.check_backend(name))

    def per_synapse(self):
        """The weights as one number a synapse, in a flat array of shape (nse,) (Quantity if they have a unit)."""
        self._check_batch()
        mantissa, unit = u.split_mantissa_unit(self.data)
        return with_unit(self.or_nan(jnp.broadcast_to(mantissa, self.weights_shape).reshape(-1)), unit)

    def transpose(self, axes=None):
        """The transposed matrix, shape `(n_post, n_pre)`, sharing the arrays."""
        raise NotImplementedError

    def to(self, cls):
        """The same matrix in another format, `A.to(be.CSC)`: duplicates kept, one weight for all still one weight."""
        check_format(cls, self)
        if type(self) is cls:
            return self
        self._check_batch()
        row, col = self.coordinates()
        data = self._one_weight() if self.data.size == 1 != self.nse else self.per_synapse()
        return cls.from_coordinates(data, row, col, shape=self.shape, backend=self.backend)

    def _one_weight(self):
        mantissa, unit = u.split_mantissa_unit(self.data)
        return with_unit(self.or_nan(jnp.reshape(mantissa, ())), unit)

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
        check_entries(self.shape, self.dtype)
        mantissa, unit = u.split_mantissa_unit(self.per_synapse())
        return with_unit(self.or_nan(empty_matrix(self.shape, mantissa.dtype).at[self.coordinates()].add(mantissa)), unit)

    @classmethod
    def fromdense(cls, matrix, *, nse: int | None = None, backend: str | None = None):
        """Store the nonzeros of a dense matrix.

        Args:
          matrix: array or Quantity of shape (n_pre, n_post).
          nse: how many nonzeros there are; needed under `jit`, where they cannot be counted. Spare places hold weight 0; if there are too
            few, all weights are NaN.
          backend: a backend asked for by name, or None.
        """
        name = cls.__name__
        matrix, unit = u.split_mantissa_unit(as_weights(matrix, f"{name}.fromdense: the matrix"))
        if matrix.ndim != 2:
            raise ValueError(f"{name}.fromdense takes a matrix, got shape {matrix.shape}")
        nse = check_places(nse, name)
        if nse is None and not is_concrete(matrix):
            raise ValueError(f"{name}.fromdense: under jit the nonzeros cannot be counted: pass nse=")
        if nse is None:
            row, col = np.nonzero(np.asarray(matrix))
            return cls.from_coordinates(with_unit(matrix[row, col], unit), row, col, shape=matrix.shape, backend=backend)
        found = jnp.count_nonzero(matrix)
        if is_concrete(found) and nse < found:
            raise ValueError(f"{name}.fromdense: nse={nse}, but the matrix has {found} nonzeros: pass at least that many")
        nse = 0 if 0 in matrix.shape else nse  # there is no pair that a spare place could stand at
        row, col = jnp.nonzero(matrix, size=nse, fill_value=0)
        data = jnp.where(jnp.arange(nse) < found, matrix[row, col], 0)
        data = jnp.where(found <= nse, data, jnp.nan)
        return cls.from_coordinates(with_unit(data, unit), row, col, shape=matrix.shape, backend=backend)

    @classmethod
    def fromscipy(cls, matrix, *, unit=None, backend: str | None = None):
        """Store a scipy.sparse matrix or array; duplicates and explicit zeros are kept. `unit` is given to the weights."""
        import scipy.sparse  # slow to import, and only needed here

        if not scipy.sparse.issparse(matrix):
            raise TypeError(f"{cls.__name__}.fromscipy takes a scipy.sparse matrix, got {type(matrix).__name__}: use fromdense for arrays")
        if matrix.ndim != 2:
            raise ValueError(f"{cls.__name__}.fromscipy takes a matrix, got a {type(matrix).__name__} of shape {matrix.shape}")
        if unit is not None and not isinstance(unit, u.Unit):
            raise TypeError(f"{cls.__name__}.fromscipy: unit is {unit!r}, expected a unit like brainunit.nS, or None")
        coo = matrix.tocoo()
        data, _ = u.split_mantissa_unit(as_weights(coo.data, f"{cls.__name__}.fromscipy: weights"))
        data = data if unit is None else u.Quantity(data, unit=unit)
        return cls.from_coordinates(data, *coo.coords, shape=coo.shape, backend=backend)

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
        self._check_batch()
        w = self.data if w is None else real(w, f"{self!r}: w")
        self._check_weights(w)
        ends, unit = u.split_mantissa_unit(real(y, f"{self!r}: y"))
        floating = jnp.issubdtype(ends.dtype, jnp.floating)
        ends = ends.astype(jnp.promote_types(self.dtype, ends.dtype) if floating else self.dtype)
        if ends.shape != (self.shape[int(transpose)],):
            raise ValueError(f"{self!r}: y has shape {ends.shape}, expected ({self.shape[int(transpose)]},)")
        ones = jnp.ones(self.shape[1 - int(transpose)], ends.dtype)
        ends = correlate(self.replace(data=None), ends, ones, transpose=transpose, event=False)
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
        self._check_batch()
        event = isinstance(operand, EventArray) and not isinstance(operand, MaskedFloat)
        x, x_unit = u.split_mantissa_unit(real(operand, f"the operand of {self!r}"))
        w, w_unit = u.split_mantissa_unit(self.data)
        x = self._fitting(x, transpose)
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
        n = self.shape[0 if transpose else 1]
        if transpose and (x.ndim < 1 or x.shape[-1] != n):
            raise ValueError(f"x @ {self!r}: x has shape {x.shape}, expected ({n},) or (..., {n}), one entry a pre neuron")
        if not transpose and (x.ndim not in (1, 2) or x.shape[0] != n):
            raise ValueError(f"{self!r} @ x: x has shape {x.shape}, expected ({n},) or ({n}, k), one row a post neuron")
        return x


def mean_size(weights: np.ndarray) -> float:
    """The mean of the sizes of numbers, with the sign of their mean; 0 if there are none."""
    flat, block = weights.reshape(-1), 1 << 16  # so that no copy is made of all: this is asked whenever weights are set
    parts = [flat[start : start + block] for start in range(0, flat.size, block)]
    size, total = (sum(float(each(part).sum(dtype=np.float64)) for part in parts) for each in (np.abs, np.asarray))
    return math.copysign(size / flat.size, total) if flat.size else 0.0


def check_places(nse, owner: str) -> int | None:
    """`nse`, a number of places for synapses, if it is an integer or None."""
    if nse is not None and not isinstance(nse, (int, np.integer)):
        raise TypeError(f"{owner}: nse is {nse!r}, expected an integer, or None to count the synapses")
    return None if nse is None else int(nse)


def check_format(cls, A) -> None:
    """Raise unless `cls` is a format."""
    if cls not in Connectivity.formats.values():
        raise TypeError(f"{A!r}.to takes a format like brainevent.COO, got {cls!r}")


def check_entries(shape: tuple[int, int], dtype) -> None:
    """ValueError for a dense matrix whose bytes cannot be counted, for which XLA aborts."""
    if math.prod(shape) * np.dtype(dtype).itemsize >= 1 << 63:
        raise ValueError(f"a dense matrix of shape {shape} has {math.prod(shape):.1e} entries: keep it in a sparse format")


def empty_matrix(shape: tuple[int, int], dtype) -> jax.Array:
    """A dense matrix of zeros."""
    check_entries(shape, dtype)
    return jnp.zeros(shape, dtype)
