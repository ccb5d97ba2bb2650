"""`Projection`: the spikes of one population, through a connectivity and a synapse, onto another."""

import dataclasses
from typing import Any

import brainunit as u
import jax.numpy as jnp
import numpy as np

from .. import CSC, CSR, Connectivity, Dense, FixedPostNumConn, FixedPreNumConn
from ..arrays import placed
from ..core import path_choice
from ..core.table import is_scalar
from ..formats.compressed import Compressed
from ..formats.jit_connectivity import JITConnectivity
from .delays import Delay
from .distributions import Distribution
from .fits import check_continuous, check_delay, check_plasticity, check_weight_dtype
from .parameters import describe, digest, with_unit
from .plotting import plot_matrix
from .population import as_view
from .rules import FromMatrix, FromPairs, OneToOne, Rule
from .rules.random import lowest_weight
from .synapse_order import SynapseOrder
from .synapse_values import SynapseValues
from .synapses.base import Synapse
from .units import inside, plain
from .values import in_network_precision, name_of, word

WEIGHT_DTYPES = ("float16", "float32")


class Projection(SynapseValues):
    """Spikes of `pre` travel through `connectivity` to `synapse`s on `post`.

    Args:
      pre: a population, or a slice of one.
      connectivity: a rule (`FixedProb(0.02, weight=6 * u.nS)`), or any matrix of shape (n_pre, n_post): a `brainevent` format, a
        scipy.sparse array, a 2-D array or Quantity (whose zeros are no synapses).
      synapse: `Expon(...)`, `Delta()`, ...; projections with equal synapses onto one population share one state.
      post: a population, or a slice of one.
      delay: from a spike to its effect, rounded to steps: a time, an array of one a synapse in the order of `pairs` or of one a pre
        neuron (where as many synapses as neurons make that doubtful, of shape (n_pre, 1)), or a distribution of one a synapse, which
        is drawn again where it gives less than 0. None: the spike acts on V in the next step, as in Brian2.
      path: "event" delivers from the neurons that spiked, "dense" takes the full product, "auto" whichever a cost model says is
        cheaper in this time step.
      plasticity: how the spikes or the weights change with what has spiked, as `TsodyksMarkram(...)` or `PairSTDP(...)`; None for neither.
      weight_dtype: how weights of one a synapse are stored, "float16" (three digits, half the memory) or "float32"; None for the precision
        of the network. Sums are in that of the network. For synapses stored by line, whose weights do not learn.
      name: used in summaries and errors; made from the populations if left out.

    Raises:
      TypeError, ValueError: parts that do not fit; brainunit.UnitMismatchError: a weight whose unit does not fit the synapse.

    >>> import brainunit as u
    >>> from brainevent.projections import Delta, FixedProb, LIF, Network, Projection
    >>> N = LIF(100, name="N")
    >>> projection = Projection(N[:80], FixedProb(0.1, weight=0.5 * u.mV), Delta(), N, delay=1.5 * u.ms)
    >>> net = Network(projection, seed=1)
    >>> projection.matrix.shape
    (80, 100)
    """

    def __init__(
        self,
        pre,
        connectivity,
        synapse,
        post,
        *,
        delay=None,
        path: str = "auto",
        plasticity=None,
        weight_dtype: str | None = None,
        name: str | None = None,
    ):
        self.pre, self.post = (self._end(side, end) for side, end in (("first", pre), ("last", post)))
        self.given_name = name_of(name, "Projection: name") or None
        if not isinstance(synapse, Synapse):
            got = describe(synapse)
            raise TypeError(f"{self.name}: the third argument is a synapse, got {got}: Projection(pre, connectivity, synapse, post)")
        self.synapse, self.path = synapse, word(path, path_choice.PATHS, f"{self.name}: path")
        self.post.population.check_synapse(synapse, self.name)
        self.rule: Any
        self._matrix: Any
        self.rule, self._matrix = self._understood(connectivity)
        self.weight_dtype = weight_dtype if weight_dtype is None else word(weight_dtype, WEIGHT_DTYPES, f"{self.name}: weight_dtype")
        weight = self.rule.weight if self.rule is not None else self._matrix.data
        synapse.check_weight(weight.unit if isinstance(weight, Distribution) else u.get_unit(weight), self.name)
        if not isinstance(weight, Distribution):
            self._plain(weight)
        self.plasticity = plasticity
        check_plasticity(self)
        check_continuous(self)
        check_weight_dtype(self)
        self._delay = Delay.given(delay, f"{self.name}: delay")
        check_delay(self, self._delay)
        self.plasticity = synapse.transmission() if plasticity is None else plasticity
        self._steps = None
        self._counted: dict[int, np.ndarray] = {}
        self.network: Any = None

    # -- construction -------------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The given name, or `pre -> post`."""
        return self.given_name or f"{self.pre.label} -> {self.post.label}"

    @staticmethod
    def _end(side: str, end):
        try:
            return as_view(end)
        except TypeError as error:
            raise TypeError(f"Projection(pre, connectivity, synapse, post): the {side} argument is wrong: {error}") from None

    def _understood(self, connectivity):
        """`(rule, None)` or `(None, matrix)`."""
        if isinstance(connectivity, Rule):
            return connectivity, None
        shape = getattr(connectivity, "shape", None)
        if not isinstance(shape, tuple) or len(shape) != 2:
            got = describe(connectivity)
            raise TypeError(f"{self.name}: the second argument is a rule or a matrix of shape (n_pre, n_post), got {got}")
        if shape != (self.pre.size, self.post.size):
            raise ValueError(f"{self.name}: the matrix has shape {shape}, expected (n_pre, n_post) = ({self.pre.size}, {self.post.size})")
        return (None, connectivity) if isinstance(connectivity, Connectivity) else (FromMatrix(connectivity), None)

    def seed_words(self) -> str:
        """What the random numbers of this projection are keyed by, besides the network's seed.

        Not its place in the script, nor its weight, format, delay or synapse: to change one of these leaves the graph as it is. (Where
        several projections of one kind of rule run in parallel, a `name` of its own makes sure of that for each.)
        """
        return f"{self.pre.label}->{self.post.label}|{type(self.rule).__name__}|{self.given_name}"

    def order(self) -> tuple:
        """Where the projection comes among others, whatever the order in which they were written; by weight and format last."""
        rule = {} if self.rule is None else {field.name: getattr(self.rule, field.name) for field in dataclasses.fields(self.rule)}
        weight, word = rule.pop("weight", None), rule.pop("format", "")
        own = self.synapse, self._delay.times, self.plasticity, *rule.values()
        return self.seed_words(), digest(*own), digest(weight, self._matrix), word, self.path

    def build(self, structure_rng: np.random.Generator, weight_rng: np.random.Generator, delay_rng: np.random.Generator) -> None:
        """Sample the rule, store the synapses in the format asked for, and draw the delays (a network calls this)."""
        self._connect(structure_rng, weight_rng)
        if self.by_synapse:
            self._matrix = self._rows()
        self._matrix = self._one_each(self._matrix)
        self._delay_rng = delay_rng
        self._order = SynapseOrder(self.rule.given_order if isinstance(self.rule, FromPairs) else None)
        self.take_delay(self.fitting(self._delay), None)

    @property
    def learns(self) -> bool:
        """Whether the weights change with spikes; then every synapse has one of its own."""
        return self.plasticity is not None and self.plasticity.learns

    @property
    def by_synapse(self) -> bool:
        """Whether plasticity has a state for every synapse."""
        return self.plasticity is not None and self.plasticity.by_synapse(self)

    def _one_each(self, matrix):
        """The matrix, with one weight a synapse if they are to learn."""
        return matrix.with_data(matrix.per_synapse().reshape(matrix.weights_shape)) if self.learns else matrix

    def _rows(self):
        """The matrix, its synapses stored by row: those of a dense one are its nonzeros."""
        matrix = self._matrix
        if isinstance(matrix, Compressed) and matrix.major == 0:
            return matrix
        return CSR.fromdense(matrix.data) if isinstance(matrix, Dense) else matrix.tocsr()

    def _connect(self, structure_rng, weight_rng):
        """Make the matrix."""
        if self.rule is None:
            self._matrix = self._checked(self._matrix.with_data(self._in_inside_unit(self._matrix.data)))
            return
        same = self.pre.population is self.post.population
        shift = self.pre.start - self.post.start if same else None
        sizes = self.pre.size, self.post.size
        drawn_inside = isinstance(self.rule.weight, Distribution) and self.rule.weight.unit == inside(self.synapse.unit)
        dtype = jnp.result_type(float) if drawn_inside else np.float64  # where a unit is to be converted, all digits are needed yet
        try:
            matrix = self.rule.connect(structure_rng, weight_rng, *sizes, shift=shift, convert=self._in_inside_unit, dtype=dtype)
        except ValueError as error:
            if type(error) is not ValueError or str(error).startswith(self.name):
                raise
            raise ValueError(f"{self.name}: {error}") from error
        if not isinstance(matrix, JITConnectivity):
            self._delay = self._delay.fitted(self.pre.size, matrix.nse)
            matrix = self._stored(matrix)
            matrix = matrix.narrowed() if isinstance(matrix, Compressed) else matrix
        self._matrix = self._checked(matrix)

    def _plain(self, weights):
        """Weights as plain numbers in the unit and precision of the network."""
        what = f"{self.name}: weight"
        return in_network_precision(plain(weights, inside(self.synapse.unit), what), what)

    def _in_inside_unit(self, weights):
        return with_unit(placed(self._plain(weights)), inside(self.synapse.unit))

    def _checked(self, matrix):
        """A matrix none of whose weights is a negative conductance, in the precision that was asked for, or an error."""
        drawn, weights = isinstance(matrix, JITConnectivity), u.get_mantissa(matrix.data)
        if self.weight_dtype is not None and not is_scalar(weights):
            rounded = in_network_precision(np.asarray(weights), f"{self.name}: weight", self.weight_dtype)
            matrix = matrix.replace(data=with_unit(placed(rounded), inside(self.synapse.unit)))
        if self.synapse.conducts:
            self.synapse.check_weights(lowest_weight(matrix) if drawn else u.get_mantissa(matrix.data), f"{self.name}: weight")
        return matrix

    def _stored(self, csr):
        """The sampled synapses in the format that the rule names, or that suits their density."""
        word = self.rule.format
        if word == "auto":
            dense = csr.nse > 0.5 * csr.shape[0] * csr.shape[1] and not self._delay.each and self.plasticity is None
            dense = dense and self.weight_dtype is None
            word = "fixed" if isinstance(self.rule, OneToOne) else "dense" if dense else "csr"
        if word == "csr":
            return csr
        if word == "fixed":
            return self._fixed(csr)
        return csr.to({"csc": CSC, "coo": Connectivity.formats["COO"], "dense": Dense}[word])

    def _fixed(self, csr):
        classes = (FixedPostNumConn, csr.degrees(0)), (FixedPreNumConn, csr.degrees(1))
        for cls, counts in classes[:1] if self._delay.each else classes:
            if counts.size and (counts == counts[0]).all():
                return csr.to(cls)
        raise ValueError(
            f'{self.name}: format="fixed" needs the same number of synapses on every pre (or every post) neuron, which {self.rule!r} '
            f'does not give: use format="csr", FixedOutDegree or FixedInDegree'
        )

    # -- what it is and does --------------------------------------------------------------------------------------------

    @property
    def path_counts(self):
        """How often each path of `path_choice.TAKEN` ran so far; None before the projection is in a network."""
        return None if self.network is None else self.network.path_counts(self)

    def explain(self) -> str:
        """Which format, kernel and path the projection takes, why, and how often each path ran so far."""
        from .. import explain

        counts = path_choice.describe_counts(self.path, self.path_counts)
        loop = self.network.loop_words() if self.network is not None else ""
        return "\n  ".join(filter(None, (f"{self.name}: {self.matrix!r}", f"path {counts}", str(explain("propagate", self.matrix)), loop)))

    def plot_matrix(self, *, path: str | None = None, ax=None):
        """Draw the connectivity; see `plotting.plot_matrix`."""
        return plot_matrix(self, path=path, ax=ax)

    def psp(self) -> float | None:
        """The peak change of V at rest (mV) from one spike, its weight of the mean size and the mean's sign.

        None for a post model without such a notion.
        """
        return self.post.population.peak_deflection(self.synapse, self.mean_weight())

    def mean_weight(self) -> float:
        """The mean size of the weights, with the sign of their mean, in the network's unit."""
        return self.matrix.mean_size()

    def __repr__(self):
        return f"Projection({self.name}, {self.rule if self.rule is not None else self._matrix!r}, {self.synapse!r})"
