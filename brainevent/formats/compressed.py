"""What row- and column-compressed formats share: synapses grouped by one axis, the major one, listing ids along the other."""

from typing import ClassVar

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np

from ..arrays import aligned, is_concrete, placed, with_unit
from ..connectivity import Connectivity
from ..core import table
from ..core.assembly import sort_lines
from ..core.path_choice import keeps_second
from ..core.table import is_scalar


def check_range(ids, size: int, name: str, owner: str, what: str):
    """Raise unless every concrete id is in `[0, size)`."""
    ids = np.asarray(ids)
    if ids.size and not (ids.min() >= 0 and ids.max() < size):
        bad = int(np.flatnonzero((ids.reshape(-1) < 0) | (ids.reshape(-1) >= size))[0])
        raise ValueError(f"{owner}: {name}[{bad}] is {int(ids.reshape(-1)[bad])}, out of range for {size} {what} neurons")


def in_range(ids, size: int):
    """Whether all ids are in `[0, size)`, of traced ids too."""
    return ((ids >= 0) & (ids < size)).all()


def ascends_within(ids, starts) -> bool:
    """Whether `ids` never descend but where a new major line starts."""
    ids, starts = np.asarray(ids), np.asarray(starts)
    falls = np.append(ids[1:] < ids[:-1], False)
    falls[starts[(starts > 0) & (starts < ids.size)] - 1] = False
    return not falls.any() if ids.size else True


def major_order(major, minor):
    """The permutation that sorts synapses by major id, then minor id, stable; on the host where the ids are concrete."""
    if is_concrete(major, minor):
        major, minor = np.asarray(major), np.asarray(minor)
        if major.size and (np.diff(major) >= 0).all() and ascends_within(minor, np.flatnonzero(np.diff(major)) + 1):
            return slice(None)
        return np.lexsort((minor, major))
    return jnp.lexsort((minor, major))


def line_starts(major, n_lines: int):
    """The compressed pointer of sorted major ids: shape (n_lines + 1,)."""
    if is_concrete(major):
        return np.concatenate([[0], np.cumsum(np.bincount(np.asarray(major), minlength=n_lines), dtype=np.int64)])
    return jnp.searchsorted(major, jnp.arange(n_lines + 1), side="left")


def width_of_ids(n: int) -> int:
    """Bytes that a network takes for each id of n neurons, whose synapses it stores itself."""
    return 2 if n <= np.iinfo(np.int16).max and table.current_platform() == "cpu" else 4


class Compressed(Connectivity):
    """Synapses grouped by `major` axis (0: by pre neuron, 1: by post neuron); the abstract base of CSR, CSC and the Fixed formats."""

    flags: ClassVar = (*Connectivity.flags, "checked", "ordered")
    major: ClassVar[int] = 0
    mirror: ClassVar[type["Compressed"]]
    indices: jax.Array
    ordered: bool  # ids ascend within each line, as far as could be seen at construction: lets kernels split the targets

    def structure(self) -> tuple:
        """The flat arrays a kernel walks: `(indptr, indices)`, or `(k, indices)` for lines of one length, k of shape (1,) and uint32."""
        raise NotImplementedError

    def lines(self):
        """The major id of every synapse, shape (nse,)."""
        raise NotImplementedError

    def coordinates(self):
        major, minor = self.lines(), self.indices.reshape(-1)
        minor = minor.astype(np.int32) if minor.dtype == np.int16 else minor  # so that nothing overflows that is computed with them
        return (minor, major) if self.major else (major, minor)

    def target_sorted(self, transpose):
        return int(transpose) == self.major

    def by_target(self, path):
        keeps = self.major == 0 and keeps_second(path, self.shape[1] * self.dtype.itemsize, self.nbytes)
        return self.regrouped() if keeps else None

    def transpose(self, axes=None):
        new = object.__new__(self.mirror)
        kept = {name: getattr(self, name) for name in (*self.flags, *self.parts)}
        new._set(**(kept | {"shape": self.shape[::-1]}))
        return new

    def narrowed(self):
        """The same matrix, its minor ids as wide as `width_of_ids` says. (Ids that a user gives are 32 or 64 bits wide.)"""
        fits = width_of_ids(self.shape[1 - self.major]) == 2
        return self.replace(indices=placed(aligned(self.indices, np.int16))) if fits else self

    def starts(self) -> np.ndarray:
        """Where each line starts, and the last one ends, on the host: int64 (lines + 1,)."""
        raise NotImplementedError

    def sorted_within_lines(self, keys: np.ndarray, *, ties: bool, placed_from: bool):
        """The same matrix, the synapses of every line sorted by a key, stable.

        Args:
          keys: uint8 or uint16 (nse,); sorted likewise, in place.
          ties: whether the keys of synapses that join one pair of neurons are first sorted among them; ids have to be `ordered`.
          placed_from: whether to say where each synapse stood.

        Returns:
          `(matrix, order)`, order int64 (nse,) or None.
        """
        mantissa, unit = u.split_mantissa_unit(self.data)
        ids, shape = aligned(self.indices).reshape(-1), self.indices.shape
        weights = None if is_scalar(mantissa) else aligned(mantissa).reshape(-1)
        order = np.arange(self.nse, dtype=np.int64) if placed_from else None
        sort_lines(self.starts(), keys, ids, weights=weights, places=order, ties=ties)
        data = self.data if weights is None else with_unit(placed(weights.reshape(shape)), unit)
        return self.replace(data=data, indices=placed(ids.reshape(shape)), ordered=False), order

    def regrouped(self):
        """The same matrix grouped by the other axis (CSR as CSC and back); a counting sort on the host, so not under jit."""
        other, places = self.regrouping()
        data = self.data if is_scalar(u.get_mantissa(self.data)) else self.per_synapse()[places]
        return other.with_data(data)

    def regrouping(self):
        """`(matrix, places)`: the same structure grouped by the other axis, with one weight of 1, and where in this matrix each of its
        synapses stands, integers (nse,).
        """
        import scipy.sparse  # slow to import, and only needed here

        shape = self.shape if self.major == 0 else self.shape[::-1]
        if not is_concrete(*jax.tree.leaves(self.structure())):
            raise TypeError(f"{self!r}: regrouping needs concrete ids: call it outside jit")
        starts = line_starts(np.asarray(self.lines()), shape[0])
        order = np.arange(self.nse, dtype=np.int32 if self.nse < 1 << 31 else np.int64)
        other = scipy.sparse.csr_array((order, np.asarray(self.indices).reshape(-1), starts), shape=shape).tocsc()
        cls = Connectivity.formats["CSC" if self.major == 0 else "CSR"]
        return cls(np.ones((), self.dtype), other.indices, other.indptr, shape=self.shape, backend=self.backend), other.data

    def ids_in_range(self):
        """Whether all minor ids are good, a bool array."""
        return in_range(self.indices, self.shape[1 - self.major])

    def _check_ids(self):
        check_range(self.indices, self.shape[1 - self.major], "indices", type(self).__name__, ("post", "pre")[self.major])
