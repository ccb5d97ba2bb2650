"""`CSR` and `CSC`: compressed rows and compressed columns, one the mirror of the other."""

from typing import ClassVar

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np

from ..arrays import as_ids, as_weights, is_concrete
from ..connectivity import reordered
from .compressed import Compressed, ascends_within, check_range, line_starts, major_order


class _PointerCompressed(Compressed):
    """Lines of any length, delimited by `indptr`."""

    parts: ClassVar = ("data", "indices", "indptr")
    indptr: jax.Array

    def check_shapes(self):
        name, n_lines = type(self).__name__, self.shape[self.major]
        if self.indices.ndim != 1 or self.indptr.ndim != 1:
            raise ValueError(f"{name}: indices and indptr are 1-D, got shapes {self.indices.shape} and {self.indptr.shape}")
        if self.indptr.shape[0] != n_lines + 1:
            raise ValueError(f"{name}{list(self.shape)}: indptr has {self.indptr.shape[0]} entries, expected {n_lines + 1} (lines + 1)")

    def check(self):
        if is_concrete(self.indptr):
            indptr, name = np.asarray(self.indptr), type(self).__name__
            if indptr[0] != 0 or indptr[-1] != self.indices.size or (np.diff(indptr) < 0).any():
                raise ValueError(
                    f"{name}: indptr must rise from 0 to the number of indices, {self.indices.size}; "
                    f"it goes from {indptr[0]} to {indptr[-1]}" + (" and descends in between" if (np.diff(indptr) < 0).any() else "")
                )
        if not is_concrete(self.indptr, self.indices):
            return {"checked": False, "ordered": False}
        self._check_ids()
        return {"checked": True, "ordered": ascends_within(self.indices, self.indptr)}

    def sound(self):
        rises = (self.indptr[0] == 0) & (self.indptr[-1] == self.indices.size) & (self.indptr[1:] >= self.indptr[:-1]).all()
        return rises & self.ids_in_range()

    @property
    def weights_shape(self):
        return self.indices.shape

    @classmethod
    def of_ascending(cls, data, indices, indptr, *, shape, backend):
        """A matrix whose ids are known to be good, and to ascend within each line: they are not looked at, nor leave the device."""
        new = object.__new__(cls)
        indices, indptr = (as_ids(ids, name, cls.__name__) for ids, name in ((indices, "indices"), (indptr, "indptr")))
        flags = {"shape": shape, "backend": backend, "checked": True, "ordered": True}
        new._set(data=as_weights(data, f"{cls.__name__}: weights"), indices=indices, indptr=indptr, **flags)
        return new

    def structure(self):
        return self.indptr, self.indices

    def starts(self):
        return np.asarray(self.indptr).astype(np.int64)

    def lines(self):
        if is_concrete(self.indptr):
            return np.repeat(np.arange(self.shape[self.major], dtype=np.int32), np.diff(np.asarray(self.indptr)))
        return jnp.repeat(jnp.arange(self.shape[self.major], dtype=jnp.int32), jnp.diff(self.indptr), total_repeat_length=self.nse)

    @classmethod
    def from_coordinates(cls, data, row, col, *, shape, backend=None):
        major, minor = (col, row) if cls.major else (row, col)
        if is_concrete(major, minor):
            check_range(major, shape[cls.major], "the major ids", cls.__name__, ("pre", "post")[cls.major])
        order = major_order(major, minor)
        weights = reordered(as_weights(data, f"{cls.__name__}: weights"), order)
        return cls(weights, minor[order], line_starts(major[order], shape[cls.major]), shape=shape, backend=backend)


class CSR(_PointerCompressed):
    """Compressed sparse rows: the synapses of pre neuron i are `indptr[i]` to `indptr[i + 1]`. Event-driven for `spikes @ A`.

    Args:
      data: weights, a scalar, `(1,)` or one a synapse, (nse,), in any float dtype, with or without a unit.
      indices: integers (nse,), the post neuron of each synapse.
      indptr: integers (n_pre + 1,).
      shape: `(n_pre, n_post)`.
      backend: a backend asked for by name, or None.

    Raises:
      ValueError: lengths that do not agree, ids out of range, an indptr that is not monotone.

    >>> import brainevent as be, jax.numpy as jnp
    >>> A = be.CSR((jnp.array([1., 2., 3.]), jnp.array([0, 2, 1]), jnp.array([0, 2, 3])), shape=(2, 3))
    >>> be.EventArray(jnp.array([True, False])) @ A
    Array([1., 0., 2.], dtype=float32)
    """

    major = 0

    def toscipy(self):
        import scipy.sparse

        return scipy.sparse.csr_array(*_scipy_parts(self))


class CSC(_PointerCompressed):
    """Compressed sparse columns: the synapses of post neuron j are `indptr[j]` to `indptr[j + 1]`. Event-driven for `A @ spikes`.

    Args:
      data: weights, a scalar, `(1,)` or one a synapse, (nse,).
      indices: integers (nse,), the pre neuron of each synapse.
      indptr: integers (n_post + 1,).
      shape: `(n_pre, n_post)`.
      backend: a backend asked for by name, or None.

    >>> import brainevent as be, jax.numpy as jnp
    >>> be.CSC.fromdense(jnp.array([[1., 0.], [2., 3.]])).indices
    Array([0, 1, 1], dtype=int32)
    """

    major = 1

    def toscipy(self):
        import scipy.sparse

        return scipy.sparse.csc_array(*_scipy_parts(self))


def _scipy_parts(A):
    """The constructor arguments of scipy's csr_array and csc_array."""
    data = np.asarray(u.get_mantissa(A.per_synapse()))
    data = data.astype(np.float32) if data.dtype.itemsize == 2 else data  # scipy has no half precision
    return ((data, np.asarray(A.indices), np.asarray(A.indptr)), A.shape)


CSR.mirror, CSC.mirror = CSC, CSR
