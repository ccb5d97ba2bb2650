"""The base of every connection rule: shared options, their checks, weights, repr and equality."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any

import brainunit as u
import numpy as np

from brainevent import CSR, Connectivity
from brainevent.projections.distributions import Distribution, sample_like
from brainevent.projections.parameters import describe, same_value
from brainevent.projections.values import flag, kept, whole, word

FORMATS = ("auto", "csr", "csc", "coo", "fixed", "dense", "jit")


@dataclass(frozen=True, repr=False, eq=False)
class Rule(ABC):
    """A connection rule; a subclass is its parameters (dataclass fields), `_check` and `sample`.

    Args:
        weight: scalar, Quantity, array of one value a synapse, or a distribution.
        format: how the synapses are stored, one of `FORMATS`; "jit": not at all, they are drawn anew whenever they are needed.

    Raises:
        ValueError: if a weight is not finite, an array of weights is not 1-D, or `format` is an unknown word.
        TypeError: if a weight is no number, or a flag neither True nor False.

    Example:
        >>> from brainevent.projections import AllToAll, Rule
        >>> isinstance(AllToAll(), Rule)
        True
    """

    _: KW_ONLY
    weight: Any = 1.0
    format: str = "auto"

    # A rule is no pytree, so this never runs on tracers.
    def __post_init__(self):
        self._set("format", word(self.format, FORMATS, f"{type(self).__name__}: format"))
        for field in self._parameters():
            if field.type in (bool, "bool"):
                self._set(field.name, flag(getattr(self, field.name), f"{type(self).__name__}: {field.name}"))
        self._check_weight()
        self._check()
        if self.format == "jit":
            self._check_drawn()

    def connect(self, structure_rng, weight_rng, n_pre: int, n_post: int, *, shift: int | None, convert: Callable, dtype) -> Connectivity:
        """The matrix of a projection: stored by rows, or, for rules that can be drawn while they are multiplied, in a JIT format.

        Args:
            structure_rng, weight_rng: the generators that structure and weights are drawn from.
            n_pre, n_post, shift: as for `sample`.
            convert: makes weights (numbers, arrays, Quantities) the jax arrays that the projection wants.
            dtype: of weights that are drawn, before that.
        """
        indptr, indices = self.sample(structure_rng, n_pre, n_post, shift=shift)
        return CSR(convert(self.weights(weight_rng, indptr, indices, n_post, dtype)), indices, indptr, shape=(n_pre, n_post))

    def _check_drawn(self) -> None:
        """Raise if synapses of this rule cannot be drawn anew each time, which format="jit" asks for."""
        self._refuse("format", self.format, "a format that stores synapses", "format='jit' is for FixedProb, whose pairs are independent")

    @abstractmethod
    def sample(self, rng: np.random.Generator, n_pre: int, n_post: int, *, shift: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Draw the synapses between `n_pre` and `n_post` neurons.

        Args:
            rng: the generator to draw from; the same state gives the same synapses.
            n_pre, n_post: sizes of the two populations.
            shift: None if the populations differ; otherwise pre neuron i and post neuron i + shift are the same neuron.

        Returns:
            `(indptr, indices)`, CSR by pre neuron: `indices[indptr[i]:indptr[i + 1]]` are the post ids of pre neuron i, ascending,
            repeated if there is more than one synapse. indptr is int64 `(n_pre + 1,)`, indices int32 (int64 if ids need it).

        Raises:
            ValueError: if the rule cannot be met for these sizes.
        """

    def weights(self, rng: np.random.Generator, indptr: np.ndarray, indices: np.ndarray, n_post: int, dtype=np.float64):
        """The weights of the synapses that `sample` returned.

        Args:
            rng: the generator a distribution draws from.
            indptr, indices: as returned by `sample`.
            n_post: size of the post population.
            dtype: of the result.

        Returns:
            A scalar if all weights are one number, otherwise an array or Quantity of shape `indices.shape`, in its order.

        Raises:
            ValueError: if `weight` is an array whose length is not the number of synapses.
        """
        drawn = isinstance(self.weight, Distribution)
        if not drawn and np.shape(u.get_mantissa(self.weight)) not in ((), indices.shape):
            self._refuse("weight", self.weight, f"one value for each of {indices.size} synapses", "give a scalar or a distribution")
        return sample_like(self.weight, rng, indices.size, dtype)

    @abstractmethod
    def _check(self) -> None:
        """Raise if the parameters make no rule."""

    def _check_weight(self) -> None:
        if isinstance(self.weight, Distribution):
            return
        weight = kept(self.weight, f"{type(self).__name__}: weight", "numbers or a distribution")
        if np.ndim(u.get_mantissa(weight)) > 1:
            self._refuse("weight", self.weight, "a scalar, a 1-D array of one value a synapse, or a distribution", "or use FromMatrix")
        self._set("weight", weight)

    def _check_count(self, name: str, most: int = 1 << 62) -> None:
        self._set(name, whole(getattr(self, name), f"{type(self).__name__}: {name}", "a whole number", most=most))

    def _check_storable(self, n_synapses: float, n_pre: int, n_post: int) -> None:
        if n_synapses >= 1 << 31:
            raise ValueError(
                f"{self!r}: about {n_synapses:.3g} synapses between {n_pre} and {n_post} neurons, but expected fewer than 2**31 that are "
                'stored; use FixedProb with format="jit", or connect slices.'
            )

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _refuse(self, name: str, value: Any, expected: str, remedy: str):
        raise ValueError(f"{type(self).__name__}: {name}={describe(value)}, but expected {expected}; {remedy}.")

    def _parameters(self) -> list[dataclasses.Field]:
        return [field for field in dataclasses.fields(self) if field.init]

    def __repr__(self) -> str:
        given = [field for field in self._parameters() if not (field.kw_only and same_value(getattr(self, field.name), field.default))]
        given.sort(key=lambda field: bool(field.kw_only))  # the base's keywords come first among the fields
        texts = [f"{field.name}=" * bool(field.kw_only) + describe(getattr(self, field.name)) for field in given]
        return f"{type(self).__name__}({', '.join(texts)})"

    def __eq__(self, other) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return all(same_value(getattr(self, field.name), getattr(other, field.name)) for field in self._parameters())

    def __hash__(self) -> int:
        return hash(type(self))
