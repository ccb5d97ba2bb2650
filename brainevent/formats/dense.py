"""`Dense`: every pair has a stored weight; a product with events adds up the active rows."""

import brainunit as u
import jax.numpy as jnp
import numpy as np

from ..arrays import as_weights, is_concrete, with_unit
from ..connectivity import Connectivity, empty_matrix, mean_size
from ..events import is_event, set_dense_product
from .compressed import check_range


class Dense(Connectivity):
    """A dense matrix of weights.

    Args:
      data: array or Quantity of shape (n_pre, n_post).
      shape: `(n_pre, n_post)`; read off the data if left out.
      backend: a backend asked for by name, or None.

    >>> import brainevent as be, jax.numpy as jnp
    >>> be.EventArray(jnp.array([True, False])) @ be.Dense(jnp.array([[1., 2.], [3., 4.]]))
    Array([1., 2.], dtype=float32)
    """

    def __init__(self, *parts, shape=None, backend=None):
        parts = parts[0] if len(parts) == 1 and isinstance(parts[0], tuple) and len(parts[0]) == 1 else parts
        if len(parts) != 1:
            raise TypeError(f"Dense takes one matrix of weights, got {len(parts)} values")
        data = as_weights(parts[0], "Dense: weights")
        super().__init__((data,), shape=data.shape if shape is None else shape, backend=backend)

    def check(self):
        if u.get_mantissa(self.data).shape != self.shape:
            raise ValueError(f"Dense: weights of shape {u.get_mantissa(self.data).shape}, expected shape={self.shape}")
        return {}

    @property
    def weights_shape(self):
        return self.shape

    def _check_weights(self, data):
        if u.get_mantissa(data).shape != self.shape:
            raise ValueError(f"Dense{list(self.shape)}: weights of shape {u.get_mantissa(data).shape}, expected one a pair, {self.shape}")

    def at_synapses(self, matrix):
        return jnp.broadcast_to(matrix, self.shape).reshape(-1)

    def coordinates(self):
        return tuple(ids.reshape(-1) for ids in jnp.indices(self.shape, dtype=jnp.int32))

    def target_sorted(self, transpose):
        return not transpose

    @classmethod
    def fromdense(cls, matrix, *, nse=None, backend=None):
        """Wrap a dense matrix (`nse` is accepted for the sake of one signature, and ignored)."""
        return cls(matrix, backend=backend)

    @classmethod
    def from_coordinates(cls, data, row, col, *, shape, backend=None):
        mantissa, unit = u.split_mantissa_unit(as_weights(data, "Dense: weights"))
        if is_concrete(row, col):
            check_range(row, shape[0], "row", "Dense", "pre")
            check_range(col, shape[1], "col", "Dense", "post")
        values = empty_matrix(shape, mantissa.dtype).at[row, col].add(mantissa)
        return cls(with_unit(values, unit), backend=backend)

    def todense(self):
        return self.data

    def degrees(self, axis):
        """Nonzeros of each row or column: a dense matrix has a synapse where it has a weight."""
        return np.count_nonzero(np.asarray(u.get_mantissa(self.data)), axis=1 - axis)

    def mean_size(self):
        weights = np.asarray(u.get_mantissa(self.data))
        return mean_size(weights[weights != 0])

    def transpose(self, axes=None):
        return self.replace(data=self.data.T, shape=self.shape[::-1])


def _operand(matrix):
    """A plain matrix, on the device, as a connectivity; its entries are not looked at, for that would cost more than the product."""
    A, data = object.__new__(Dense), as_weights(matrix, "the operand of an event array")
    A._set(data=data, shape=data.shape, backend=None)
    return A


def _dense_product(left, right):
    """`EventArray @ matrix` and `matrix @ EventArray`: the plain matrix is a dense connectivity."""
    return left @ _operand(right) if is_event(left) else _operand(left) @ right


set_dense_product(_dense_product)
