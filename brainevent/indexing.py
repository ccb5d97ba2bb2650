"""Rows, columns and entries of connectivities, dense: `A[i]`, `A[ids]`, `A[mask]`, `A[rows, columns]`."""

from typing import Any

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np

from .arrays import is_concrete, unwrap, with_unit
from .events import EventArray


class Indexing:
    """`A[...]`, by products with one event each; a base of `Connectivity`."""

    shape: Any

    def __getitem__(self, item):
        """Dense rows: `A[i]` has shape (n_post,), `A[ids]` and `A[start:stop]` (len, n_post); `A[rows, cols]` pairs ids as numpy does.

        Ids out of range are an IndexError; traced ones, which cannot be looked at, give NaN.
        """
        if not isinstance(item, tuple):
            return self._rows(self._taken(item, 0))
        if len(item) != 2 or any(each is None for each in item):
            raise IndexError(f"{self!r}: cannot take {item!r}: expected one or two indices, [rows] or [rows, columns]")
        item = tuple(slice(None) if each is Ellipsis else each for each in item)
        rows, cols = (self._taken(each, axis) for axis, each in enumerate(item))
        if any(isinstance(each, slice) for each in item):
            dense, unit = u.split_mantissa_unit(self._rows(rows))
            return with_unit(jnp.take(dense, cols, axis=-1, mode="fill", fill_value=jnp.nan), unit)
        try:
            rows, cols = jnp.broadcast_arrays(rows, cols)
        except ValueError:
            said = f"rows of shape {jnp.shape(rows)} and columns of shape {jnp.shape(cols)}"
            raise IndexError(f"{self!r}: cannot pair {said}, expected one shape: A[rows][:, columns] takes all of both") from None
        dense, unit = u.split_mantissa_unit(self._rows(rows))
        return with_unit(jnp.take_along_axis(dense, cols[..., None], axis=-1, mode="fill", fill_value=jnp.nan)[..., 0], unit)

    def _taken(self, item, axis: int):
        """The ids along an axis that an index asks for; negative ones stay if they are traced."""
        n, wanted = self.shape[axis], f"{self!r}: cannot take {('row', 'column')[axis]} {item!r}"
        item = unwrap(item)
        if not is_concrete(*jax.tree.leaves(item)):
            ids = jnp.asarray(item)
            if not jnp.issubdtype(ids.dtype, jnp.integer):
                raise IndexError(f"{wanted}: traced indices are integers, got {ids.dtype}: use jnp.nonzero(mask, size=...) for a mask")
            return ids
        try:
            return np.arange(n)[np.asarray(item) if isinstance(item, jax.Array) else item]
        except (IndexError, TypeError) as error:
            raise IndexError(f"{wanted} of {n} {('pre', 'post')[axis]} neurons ({error})") from None

    def _rows(self, ids):
        """The dense rows of checked or traced ids, by a product with one event each; NaN where a traced id is out of range."""
        n, known = self.shape[0], is_concrete(ids)
        ids = jnp.asarray(ids)[..., None]
        rows, unit = u.split_mantissa_unit(EventArray(jnp.where(ids < 0, ids + n, ids) == jnp.arange(n, dtype=ids.dtype)) @ self)
        return with_unit(rows if known else jnp.where((ids >= -n) & (ids < n), rows, jnp.nan), unit)
