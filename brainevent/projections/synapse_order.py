"""`SynapseOrder`: in which order the synapses of a projection are read and set, and where each of them stands in its matrix."""

from typing import Any

import brainunit as u
import jax.numpy as jnp
import numpy as np

from ..core.table import is_scalar
from ..formats.compressed import Compressed
from ..formats.dense import Dense
from .guards import transfers


class SynapseOrder:
    """The order of `Projection.pairs`: that in which pairs were given one by one, else by pre, then post neuron.

    Args:
      given: of each pair, by pre and then post neuron, its place among those given; None if they were not given one by one.
    """

    def __init__(self, given: np.ndarray | None = None):
        self.given = given
        self._stored: np.ndarray | None = None
        self._places: tuple | None = None

    def dense_places(self, matrix: Dense) -> tuple:
        """The rows and columns where a dense matrix has synapses; found once, since a weight of 0 hides a synapse."""
        if self._places is None:
            self._places = np.nonzero(np.asarray(u.get_mantissa(matrix.data)))
        return self._places

    def ids(self, matrix) -> Any:
        """Where the synapses, in order, stand in the matrix (of a dense one: in the list of its places); a slice if they stand so."""
        if self._stored is not None:
            return self._stored
        if isinstance(matrix, Dense):
            sorted_ids, count = slice(None), self.dense_places(matrix)[0].size
        elif isinstance(matrix, Compressed) and matrix.major == 0 and matrix.ordered:
            sorted_ids, count = slice(None), matrix.nse
        else:
            row, col = (np.asarray(ids) for ids in matrix.coordinates())
            sorted_ids, count = np.lexsort((col, row)), row.size
        if self.given is None or self.given.size != count:  # a dense matrix makes one synapse of a pair that comes twice
            return sorted_ids
        places = np.argsort(self.given, kind="stable")
        return places if isinstance(sorted_ids, slice) else sorted_ids[places]

    def pairs(self, matrix) -> tuple[np.ndarray, np.ndarray]:
        """The pre and the post neuron of every synapse, in order."""
        with transfers():
            ends, ids = self.dense_places(matrix) if isinstance(matrix, Dense) else matrix.coordinates(), self.ids(matrix)
            return np.asarray(ends[0])[ids], np.asarray(ends[1])[ids]

    def read(self, matrix):
        """The weights in order, or the one there is."""
        if is_scalar(u.get_mantissa(matrix.data)):
            return matrix.data
        with transfers():
            return matrix.data[self.pairs(matrix)] if isinstance(matrix, Dense) else matrix.per_synapse()[self.ids(matrix)]

    def written(self, matrix, weights, what: str):
        """Weights in order, or one for all, or a whole dense matrix, in the shape and the places in which the matrix holds them."""
        given, dense = jnp.shape(u.get_mantissa(weights)), isinstance(matrix, Dense)
        scalar = given in ((), (1,))
        if (scalar and not dense) or (dense and given == matrix.shape):
            return weights
        n = self.dense_places(matrix)[0].size if dense else matrix.nse
        if not scalar and given != (n,):
            raise ValueError(f"{what} has shape {given}, expected a scalar, or ({n},): one a synapse, in the order of `pairs()`")
        if dense:
            return u.math.zeros_like(matrix.data).at[self.pairs(matrix)].set(weights)
        ids = self.ids(matrix)
        weights = weights if isinstance(ids, slice) else u.math.zeros_like(weights).at[ids].set(weights)
        return weights.reshape(matrix.weights_shape)

    def tells_by_pairs(self, matrix) -> bool:
        """Whether synapses stand by pre, then post neuron, and nobody has to note where."""
        return self.given is None and self._stored is None and matrix.ordered

    def ascending_in_pairs(self, matrix, values: np.ndarray) -> np.ndarray:
        """Values, one a synapse in order, those of a pair that comes several times in ascending order among themselves."""
        row, col = self.pairs(matrix)
        same = (row[1:] == row[:-1]) & (col[1:] == col[:-1])
        among = np.flatnonzero(np.append(same, False) | np.append(False, same))
        values = values.copy()
        values[among] = values[among[np.lexsort((values[among], col[among], row[among]))]]
        return values

    def follow(self, matrix, order: np.ndarray) -> None:
        """Take note that the synapses of the matrix will stand in another order, given as the place where each stood."""
        ids, place = self.ids(matrix), np.empty_like(order)
        place[order] = np.arange(order.size)
        self._stored = place[ids]
