"""`COO`: a list of synapses in any order."""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from ..arrays import as_ids, is_concrete
from ..connectivity import Connectivity, check_shape
from .compressed import check_range, in_range, line_starts, major_order


class COO(Connectivity):
    """Synapses as coordinates, in any order; duplicates accumulate.

    Args:
      data: weights, a scalar, `(1,)` or one a synapse, (nse,), in any float dtype, with or without a unit.
      row: integers (nse,), the pre neuron of each synapse.
      col: integers (nse,), the post neuron of each synapse.
      shape: `(n_pre, n_post)`.
      backend: a backend asked for by name, or None.

    Raises:
      ValueError: lengths that do not agree, ids out of range.

    >>> import brainevent as be, jax.numpy as jnp
    >>> A = be.COO((jnp.array([1., 2.]), jnp.array([0, 0]), jnp.array([2, 1])), shape=(2, 3))
    >>> A.todense().shape
    (2, 3)
    """

    parts: ClassVar = ("data", "row", "col")
    flags: ClassVar = (*Connectivity.flags, "checked", "ordered")
    row: jax.Array
    col: jax.Array
    ordered: bool  # rows ascend, as far as could be seen at construction

    def check_shapes(self):
        _check_lengths(self.row, self.col, "COO")

    def check(self):
        if not is_concrete(self.row, self.col):
            return {"checked": False, "ordered": False}
        _check_pairs(self.row, self.col, self.shape, "COO")
        return {"checked": True, "ordered": bool((np.diff(np.asarray(self.row)) >= 0).all())}

    def sound(self):
        return in_range(self.row, self.shape[0]) & in_range(self.col, self.shape[1])

    @property
    def weights_shape(self):
        return self.row.shape

    def coordinates(self):
        return self.row, self.col

    def target_sorted(self, transpose):
        return self.ordered and not transpose

    @classmethod
    def from_coordinates(cls, data, row, col, *, shape, backend=None):
        return cls(data, row, col, shape=shape, backend=backend)

    def transpose(self, axes=None):
        return self.replace(row=self.col, col=self.row, shape=self.shape[::-1], ordered=False)


def _check_lengths(row, col, owner: str):
    if row.ndim != 1 or row.shape != col.shape:
        raise ValueError(f"{owner}: row and col are 1-D of one length, got shapes {row.shape} and {col.shape}")


def _check_pairs(row, col, shape, owner: str):
    check_range(row, shape[0], "row", owner, "pre")
    check_range(col, shape[1], "col", owner, "post")


def coo2csr(row, col, *, shape):
    """Sort coordinates into compressed rows.

    Args:
      row, col: integers (nse,).
      shape: `(n_pre, n_post)`.

    Returns:
      `(indptr, indices, order)`: the compressed structure, and the permutation that puts per-synapse weights in its order.

    Raises:
      ValueError: lengths that do not agree, ids out of range. Traced ids out of range make a pointer that `CSR` finds unsound.

    >>> from brainevent import coo2csr
    >>> indptr, indices, order = coo2csr([1, 0, 0], [0, 2, 1], shape=(2, 3))
    >>> print(indptr, indices, order)
    [0 2 3] [1 2 0] [2 1 0]
    """
    shape = check_shape(shape, "coo2csr")
    row, col = as_ids(row, "row", "coo2csr"), as_ids(col, "col", "coo2csr")
    _check_lengths(row, col, "coo2csr")
    if is_concrete(row, col):
        row, col = np.asarray(row), np.asarray(col)
        _check_pairs(row, col, shape, "coo2csr")
    order = major_order(row, col)
    order = np.arange(row.size) if isinstance(order, slice) else order
    return tuple(map(jnp.asarray, (line_starts(row[order], shape[0]), col[order], order)))
