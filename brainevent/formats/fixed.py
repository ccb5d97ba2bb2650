"""`FixedPostNumConn` and `FixedPreNumConn`: every line has the same number of synapses, so no pointer is stored."""

from typing import ClassVar

import brainunit as u
import jax.numpy as jnp
import numpy as np

from ..arrays import as_weights, is_concrete, with_unit
from .compressed import Compressed, check_range, line_starts, major_order


class _FixedCompressed(Compressed):
    """Lines of one length k: `indices` has shape (lines, k)."""

    parts: ClassVar = ("data", "indices")

    def check_shapes(self):
        name, n_lines = type(self).__name__, self.shape[self.major]
        if self.indices.ndim != 2 or self.indices.shape[0] != n_lines:
            raise ValueError(f"{name}{list(self.shape)}: indices have shape {self.indices.shape}, expected ({n_lines}, k)")

    def check(self):
        if not is_concrete(self.indices):
            return {"checked": False, "ordered": False}
        self._check_ids()
        indices = np.asarray(self.indices)
        return {"checked": True, "ordered": bool((indices[:, 1:] >= indices[:, :-1]).all())}

    def sound(self):
        return self.ids_in_range()

    @property
    def weights_shape(self):
        return self.indices.shape

    def structure(self):
        return np.array([self.indices.shape[1]], np.uint32), self.indices.reshape(-1)

    def starts(self):
        return np.arange(self.indices.shape[0] + 1, dtype=np.int64) * self.indices.shape[1]

    def lines(self):
        return jnp.repeat(jnp.arange(self.indices.shape[0], dtype=jnp.int32), self.indices.shape[1])

    @classmethod
    def from_coordinates(cls, data, row, col, *, shape, backend=None):
        """Lines shorter than the longest are filled up with synapses of weight 0."""
        major, minor = (col, row) if cls.major else (row, col)
        if not is_concrete(major, minor):
            raise TypeError(f"{cls.__name__}: the length of a line cannot be read off traced coordinates: build it outside jit, or use CSR")
        major, minor = np.asarray(major), np.asarray(minor)
        check_range(major, shape[cls.major], "the major ids", cls.__name__, ("pre", "post")[cls.major])
        order, n_lines = major_order(major, minor), shape[cls.major]
        major, minor = major[order], minor[order]
        starts = line_starts(major, n_lines)
        counts = np.diff(starts)
        k = int(counts.max(initial=0))
        place = np.arange(major.size) - starts[major]
        indices = np.zeros((n_lines, k), np.int64)
        indices[major, place] = minor
        mantissa, unit = u.split_mantissa_unit(as_weights(data, f"{cls.__name__}: weights"))
        if mantissa.ndim == 0 and (counts == k).all():
            return cls(with_unit(mantissa, unit), indices, shape=shape, backend=backend)
        mantissa = jnp.broadcast_to(mantissa, row.shape)[order]
        values = jnp.zeros((n_lines, k), mantissa.dtype).at[major, place].set(mantissa)
        last = np.where(counts > 0, indices[np.arange(n_lines), np.maximum(counts - 1, 0)] if k else 0, 0)
        indices = np.where(np.arange(k) < counts[:, None], indices, last[:, None])  # the filling keeps the line in order
        return cls(with_unit(values, unit), indices, shape=shape, backend=backend)


class FixedPostNumConn(_FixedCompressed):
    """Every pre neuron has k synapses: `indices[i]` are its post neurons. Event-driven for `spikes @ A`. Repeated ids accumulate.

    Args:
      data: weights, a scalar, `(1,)` or one a synapse, (n_pre, k).
      indices: integers (n_pre, k), post ids.
      shape: `(n_pre, n_post)`.
      backend: a backend asked for by name, or None.

    >>> import brainevent as be, jax.numpy as jnp
    >>> A = be.FixedPostNumConn((0.5, jnp.array([[0, 2], [1, 1]])), shape=(2, 3))
    >>> be.EventArray(jnp.array([True, True])) @ A
    Array([0.5, 1. , 0.5], dtype=float32)
    """

    major = 0


class FixedPreNumConn(_FixedCompressed):
    """Every post neuron has k synapses: `indices[j]` are its pre neurons. Event-driven for `A @ spikes`. Repeated ids accumulate.

    Args:
      data: weights, a scalar, `(1,)` or one a synapse, (n_post, k).
      indices: integers (n_post, k), pre ids.
      shape: `(n_pre, n_post)`.
      backend: a backend asked for by name, or None.

    >>> import brainevent as be, jax.numpy as jnp
    >>> A = be.FixedPreNumConn((0.5, jnp.array([[0], [1], [1]])), shape=(2, 3))
    >>> be.EventArray(jnp.array([False, True])) @ A
    Array([0. , 0.5, 0.5], dtype=float32)
    """

    major = 1


FixedPostNumConn.mirror, FixedPreNumConn.mirror = FixedPreNumConn, FixedPostNumConn
