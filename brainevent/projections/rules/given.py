"""Rules whose synapses are given, not drawn: everything, the diagonal, a list, a matrix."""

from dataclasses import KW_ONLY, dataclass, field
from typing import Any

import brainunit as u
import numpy as np
from scipy import sparse

from brainevent.projections.distributions import Distribution
from brainevent.projections.parameters import with_unit
from brainevent.projections.rules.base import Rule
from brainevent.projections.rules.pairs import Pairs, index_dtype, pointers
from brainevent.projections.values import array_of, kept


@dataclass(frozen=True, repr=False, eq=False)
class AllToAll(Rule):
    """Connect every pre neuron to every post neuron.

    Args:
        weight, format: as in `Rule`.
        autapses: whether a neuron connects to itself.

    Example:
        >>> AllToAll(autapses=False).sample(np.random.default_rng(0), 2, 3, shift=1)
        (array([0, 2, 4]), array([0, 2, 0, 1], dtype=int32))
    """

    _: KW_ONLY
    autapses: bool = True

    def _check(self):
        pass

    def sample(self, rng, n_pre, n_post, *, shift=None):
        pairs = Pairs(n_pre, n_post, None if self.autapses else shift)
        self._check_storable(pairs.count, n_pre, n_post)
        first, last = pairs.self_rows
        indices = np.tile(np.arange(n_post, dtype=index_dtype(n_post)), n_pre)
        counts = np.full(n_pre, n_post, np.int64)
        if last > first:
            rows = np.arange(first, last, dtype=np.int64)
            indices = np.delete(indices, rows * n_post + pairs.own(rows))
            counts[first:last] -= 1
        return pointers(counts), indices


@dataclass(frozen=True, repr=False, eq=False)
class OneToOne(Rule):
    """Connect pre neuron i to post neuron i.

    Args:
        weight, format: as in `Rule`.

    Raises:
        ValueError: when sampled, if the two populations differ in size.

    Example:
        >>> OneToOne().sample(np.random.default_rng(0), 3, 3)
        (array([0, 1, 2, 3]), array([0, 1, 2], dtype=int32))
    """

    def _check(self):
        pass

    def sample(self, rng, n_pre, n_post, *, shift=None):
        if n_pre != n_post:
            raise ValueError(
                f"{self!r}: pre has {n_pre} neurons and post has {n_post}, but expected equal sizes; take slices of one size, or FromPairs."
            )
        return np.arange(n_pre + 1, dtype=np.int64), np.arange(n_post, dtype=index_dtype(n_post))


@dataclass(frozen=True, repr=False, eq=False)
class FromPairs(Rule):
    """Connect pre neuron `pre[k]` to post neuron `post[k]`, for every k; a repeated pair is a second synapse.

    The rule keeps the pairs, and an array of weights with them, sorted by pre and then post.

    Args:
        pre: integer array (n,).
        post: integer array (n,).
        weight: as in `Rule`; an array holds one value a pair, in the order of the pairs.
        format: as in `Rule`.

    Raises:
        ValueError: if the arrays are not 1-D integers >= 0 of one length, or `weight` has another; when sampled, if an id is
            not below the population's size.

    Example:
        >>> rule = FromPairs([1, 0, 1], [2, 1, 0], weight=np.array([1.0, 2.0, 3.0]))
        >>> indptr, indices = rule.sample(np.random.default_rng(0), 2, 3)
        >>> indptr, indices
        (array([0, 1, 3]), array([1, 0, 2], dtype=int32))
        >>> rule.weights(np.random.default_rng(0), indptr, indices, 3)
        array([2., 3., 1.])
    """

    pre: Any
    post: Any
    _order: np.ndarray = field(init=False)  # the user's position of each pair

    def _check(self):
        for name in ("pre", "post"):
            self._set(name, self._ids(name))
        if self.pre.size != self.post.size:
            raise ValueError(f"FromPairs: pre has length {self.pre.size} and post {self.post.size}, but expected one length; pair them up.")
        if np.shape(u.get_mantissa(self.weight)) not in ((), self.pre.shape) and not isinstance(self.weight, Distribution):
            self._refuse("weight", self.weight, f"one value for each of {self.pre.size} pairs", "give a scalar or a distribution")
        order = np.lexsort((self.post, self.pre))
        self._set("_order", order)
        self._set("pre", self.pre[order])
        self._set("post", self.post[order])
        if not isinstance(self.weight, Distribution) and np.ndim(u.get_mantissa(self.weight)) == 1:
            self._set("weight", self.weight[order])

    @property
    def given_order(self) -> np.ndarray:
        """The place among the given pairs of each pair, by pre and then post."""
        return self._order

    def _ids(self, name: str) -> np.ndarray:
        given = getattr(self, name)
        ids = array_of(given, f"FromPairs: {name}", "a 1-D array of integers")
        if isinstance(given, u.Quantity) and not given.unit.is_unitless:
            self._refuse(name, given, "plain numbers", "drop the unit")
        if ids.size == 0:
            ids = ids.astype(np.int64)
        if ids.ndim != 1 or ids.dtype.kind not in "iu":
            raise ValueError(
                f"FromPairs: {name} has dtype {ids.dtype} and shape {ids.shape}, but expected a 1-D array of integers; convert it first."
            )
        self._check_ids(name, ids, np.flatnonzero((ids < 0) | (ids >= 1 << 62)), "an id >= 0 and below 2**62")
        return ids.astype(np.int64)

    def _check_ids(self, name: str, ids: np.ndarray, bad: np.ndarray, expected: str) -> None:
        if bad.size:
            raise ValueError(
                f"FromPairs: {name}[{bad[0]}]={ids[bad[0]]}, but expected {expected}; "
                "ids count from 0 within the population (or the slice of it)."
            )

    def sample(self, rng, n_pre, n_post, *, shift=None):
        for name, size in (("pre", n_pre), ("post", n_post)):
            if getattr(self, name).max(initial=-1) >= size:
                given = np.empty_like(self.pre)
                given[self._order] = getattr(self, name)  # back to the user's order, whose positions the message names
                self._check_ids(name, given, np.flatnonzero(given >= size), f"an id below {size}, the size of the {name} population")
        return pointers(np.bincount(self.pre, minlength=n_pre)), self.post.astype(index_dtype(n_post))


@dataclass(frozen=True, repr=False, eq=False)
class FromMatrix(Rule):
    """Take the synapses and their weights from a matrix (n_pre, n_post).

    The nonzeros of a dense matrix are synapses, and every stored entry of a scipy sparse one, explicit zeros and repeats included. The
    weights are the values (the rule keeps them in `weight` and the structure in `matrix`); only a boolean matrix, which has no
    values, takes a `weight` (1 by default).

    Args:
        matrix: (n_pre, n_post): dense array, Quantity, or scipy sparse array.
        weight: as in `Rule`, for a boolean matrix.
        format: as in `Rule`.

    Raises:
        ValueError: if the matrix is not 2-D, real and finite, or `weight` is given for a matrix that has values; when sampled,
            if its shape is not (n_pre, n_post).

    Example:
        >>> rule = FromMatrix(np.array([[0, 2.0], [3.0, 0]]) * u.nS)
        >>> indptr, indices = rule.sample(np.random.default_rng(0), 2, 2)
        >>> indptr, indices
        (array([0, 1, 2]), array([1, 0], dtype=int32))
        >>> rule.weights(np.random.default_rng(0), indptr, indices, 2)
        Quantity([2. 3.], "nS")
    """

    matrix: Any

    def _check(self):
        if not sparse.issparse(self.matrix):
            self._set("matrix", with_unit(array_of(self.matrix, "FromMatrix: matrix", "a matrix of numbers"), u.get_unit(self.matrix)))
        if len(self.matrix.shape) != 2:
            self._refuse("matrix", self.matrix, "a 2-D matrix (n_pre, n_post)", "reshape it")
        rows, columns, values = _entries(self.matrix)
        if u.get_mantissa(values).dtype != np.bool_:
            if not (isinstance(self.weight, float) and self.weight == 1.0):
                self._refuse(
                    "weight", self.weight, "no weight, since the matrix holds the weights", "scale the matrix, or pass matrix != 0"
                )
            self._set("weight", kept(values, "FromMatrix: matrix", "a matrix of numbers"))
        self._set(
            "matrix",
            sparse.csr_array(
                (np.ones(rows.size, bool), columns, pointers(np.bincount(rows, minlength=self.matrix.shape[0]))), shape=self.matrix.shape
            ),
        )

    def sample(self, rng, n_pre, n_post, *, shift=None):
        if self.matrix.shape != (n_pre, n_post):
            self._refuse("matrix", self.matrix, f"shape {n_pre}x{n_post} (n_pre x n_post)", "transpose it or fix the populations")
        return self.matrix.indptr.astype(np.int64), self.matrix.indices.astype(index_dtype(n_post))


def _entries(matrix) -> tuple[np.ndarray, np.ndarray, Any]:
    """Row, column and value of every synapse of a matrix, by row and then column."""
    if sparse.issparse(matrix):
        entries = matrix.tocoo()
        order = np.lexsort((entries.col, entries.row))
        return entries.row[order], entries.col[order], entries.data[order]
    plain = u.get_mantissa(matrix)
    rows, columns = np.nonzero(plain)
    return rows, columns, with_unit(plain[rows, columns], u.get_unit(matrix))
