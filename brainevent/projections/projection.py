"""`Projection`: the spikes of one population, through a connectivity and a synapse, onto another."""

import copy
import dataclasses
from typing import Any

import brainunit as u
import jax.numpy as jnp
import numpy as np

from .. import CSC, CSR, Connectivity, Dense, FixedPostNumConn, FixedPreNumConn
from ..core import path_choice
from ..core.updates import Delays
from ..formats.compressed import Compressed
from ..formats.jit_connectivity import JITConnectivity
from .delays import Delay, by_delay
from .distributions import Distribution
from .fits import check_continuous, check_delay, check_plasticity
from .parameters import describe, digest, with_unit
from .plasticity.learning import number_of
from .plasticity.reward import RewardSTDP
from .plotting import plot_matrix
from .population import as_view
from .recorder import KeptState
from .rules import FromMatrix, FromPairs, OneToOne, Rule
from .rules.random import distribution_of, lowest_weight, redrawn
from .synapse_order import SynapseOrder
from .synapses.base import Synapse
from .units import inside, plain
from .values import in_network_precision, kept, name_of, real_array, word


class Projection:
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

    def __init__(self, pre, connectivity, synapse, post, *, delay=None, path: str = "auto", plasticity=None, name: str | None = None):
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
        weight = self.rule.weight if self.rule is not None else self._matrix.data
        synapse.check_weight(weight.unit if isinstance(weight, Distribution) else u.get_unit(weight), self.name)
        if not isinstance(weight, Distribution):
            self._plain(weight)
        self.plasticity = plasticity
        check_plasticity(self)
        check_continuous(self)
        self._delay = Delay.given(delay, f"{self.name}: delay")
        check_delay(self, self._delay)
        self.plasticity = synapse.transmission() if plasticity is None else plasticity
        self._steps: Delays | None = None
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

    def fitting(self, delay: Delay) -> Delay:
        """A delay that fits the number of synapses, or an error."""
        delay = delay.fitted(self.pre.size, self.n_stored)
        check_delay(self, delay)
        return delay

    @property
    def learns(self) -> bool:
        """Whether the weights change with spikes; then every synapse has one of its own."""
        return self.plasticity is not None and self.plasticity.learns

    @property
    def by_synapse(self) -> bool:
        """Whether plasticity has a state for every synapse."""
        return self.plasticity is not None and self.plasticity.by_synapse(self)

    @property
    def n_stored(self) -> int:
        """The number of synapses; -1 where none is stored."""
        return -1 if isinstance(self._matrix, JITConnectivity) else self.n_synapses

    def stored(self, values: np.ndarray) -> np.ndarray:
        """Values of one a synapse in the order of `pairs`, in that of the matrix."""
        made = np.empty_like(values)
        made[self._order.ids(self._matrix)] = values
        return made

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
        matrix = self.rule.connect(structure_rng, weight_rng, *sizes, shift=shift, convert=self._in_inside_unit)
        if not isinstance(matrix, JITConnectivity):
            self._delay = self._delay.fitted(self.pre.size, matrix.nse)
            matrix = self._stored(matrix)
        self._matrix = self._checked(matrix)

    def _plain(self, weights):
        """Weights as plain numbers in the unit and precision of the network."""
        what = f"{self.name}: weight"
        return in_network_precision(plain(weights, inside(self.synapse.unit), what), what)

    def _in_inside_unit(self, weights):
        return with_unit(jnp.asarray(self._plain(weights)), inside(self.synapse.unit))

    def _checked(self, matrix):
        """A matrix none of whose weights is a negative conductance, or an error."""
        drawn = isinstance(matrix, JITConnectivity)
        if self.synapse.conducts:
            self.synapse.check_weights(lowest_weight(matrix) if drawn else u.get_mantissa(matrix.data), f"{self.name}: weight")
        return matrix

    def _stored(self, csr):
        """The sampled synapses in the format that the rule names, or that suits their density."""
        word = self.rule.format
        if word == "auto":
            dense = csr.nse > 0.5 * csr.shape[0] * csr.shape[1] and not self._delay.each and self.plasticity is None
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

    # -- what a user reads --------------------------------------------------------------------------------------------------

    @property
    def matrix(self) -> Connectivity:
        """The connectivity, shape (n_pre, n_post), weights in the network's unit."""
        if self._matrix is None:
            raise RuntimeError(f"{self.name} is not built yet: put it into a Network")
        if self.learns and self.network is not None:
            return self._matrix.replace(
                data=with_unit(self.network.learned_weights(self).reshape(self._matrix.weights_shape), inside(self.synapse.unit))
            )
        return self._matrix

    @property
    def weight(self):
        """A scalar Quantity, or one weight a synapse in the order of `pairs`; of a just-in-time format a scalar or their distribution.

        Assign a scalar or one a synapse, in the same dimension; to a just-in-time format a scalar, `Normal` or `Uniform`.
        """
        if isinstance(self.matrix, JITConnectivity):
            return distribution_of(self.matrix)
        return self._order.read(self.matrix)

    @weight.setter
    def weight(self, value):
        self._take(self._redrawn(value) if isinstance(self.matrix, JITConnectivity) else self._reweighed(value))

    @property
    def reward(self) -> float:
        """The reward D of `RewardSTDP`, which fades with tau_reward. Assign a number at any time."""
        return float(self._reward_state().value)

    @reward.setter
    def reward(self, value):
        state = self._reward_state()
        state.value = jnp.asarray(number_of(value, f"{self.name}: reward"), state.value.dtype)

    def _reward_state(self):
        if self.network is None or not isinstance(self.plasticity, RewardSTDP):
            raise ValueError(f"{self.name}: reward is what RewardSTDP has, in a network: plasticity is {describe(self.plasticity)}")
        return self.network.plastic_state(self, "D")

    def _reweighed(self, value):
        """The matrix with other numbers."""
        if isinstance(value, Distribution):
            remedy = "`proj.weight = d.sample(rng, proj.n_synapses)`"
            raise TypeError(f"{self.name}: weight is {value!r}, expected numbers: draw them, as {remedy}")
        real_array(value, f"{self.name}: weight")
        self.synapse.check_weight(u.get_unit(value), self.name)
        return self.matrix.with_data(self._order.written(self.matrix, self._in_inside_unit(value), f"{self.name}: weight"))

    def _redrawn(self, value):
        """The just-in-time matrix with other weights on the same synapses."""
        what = f"{self.name}: weight"
        weight = value if isinstance(value, Distribution) else kept(value, what, "one number, Normal or Uniform")
        self.synapse.check_weight(weight.unit if isinstance(weight, Distribution) else u.get_unit(weight), self.name)
        return redrawn(self.matrix, weight, self._in_inside_unit, what)

    def _take(self, matrix):
        self._matrix = self._one_each(self._checked(matrix))
        if self.network is not None:
            self.network.refresh_matrix(self)

    def hand_over_weights(self):
        """Plain weights, (n_synapses,), as they are stored, which learn and which a network holds from now on."""
        weights = u.get_mantissa(self._matrix.data).reshape(-1)
        self._matrix = self._matrix.with_data(with_unit(np.ones((), weights.dtype), inside(self.synapse.unit)))
        return weights

    @property
    def held(self) -> Connectivity:
        """The matrix as a network takes it: where weights learn they are among its states, and here is 1."""
        return self._matrix

    @property
    def delay(self):
        """The delay: one time, one a pre neuron, or one a synapse in the order of `pairs`, rounded to dt once that is known.

        Assign any of these, or a distribution, at any time: spikes that are under way arrive when they were to.
        """
        delay = self._delay
        if not delay.each:
            return delay.times * u.ms
        if self._steps is None:
            return self._sampled_delays() * u.ms
        return np.asarray(self._steps.steps)[self._order.ids(self.matrix)] * self.network.schedule.dt * u.ms

    @delay.setter
    def delay(self, value):
        delay = Delay.given(value, f"{self.name}: delay")
        check_delay(self, delay)
        if self.network is None:
            self._delay = delay
        else:
            self.network.refresh_delay(self, delay)

    def take_delay(self, delay: Delay, dt: float | None):
        """Put a fitting delay in the place of the one there is, in steps of `dt` (ms) where that is known (a network calls this)."""
        if delay.each:
            self._matrix = self._rows()
        self._delay, self._steps = delay, None
        steps = None if dt is None else self.rounded_delays(dt)
        if steps is not None:
            self.sort_delays(steps)

    def rounded_delays(self, dt: float):
        """Steps of `dt` (ms), int32 (n_synapses,), in the order of `pairs`; None where synapses have no delays of their own."""
        if not self._delay.each:
            return None
        return self._delay.steps(dt, self._sampled_delays())

    def _sampled_delays(self) -> np.ndarray:
        """One time a synapse (ms), in the order of `pairs`; those drawn ascend where a pair is repeated, as their synapses are stored."""
        times = self._delay.sampled(copy.deepcopy(self._delay_rng), self.matrix.nse)
        return self._order.ascending_in_pairs(self.matrix, times) if self._delay.drawn else times

    def sort_delays(self, steps: np.ndarray):
        """Store the synapses of a row by their delays, given as `rounded_delays` gives them."""
        order, self._steps = by_delay(self.matrix, self.stored(steps))
        self._order.follow(self.matrix, order, needed=not self._delay.drawn)
        self._matrix = self._matrix.reordered_within_lines(order)
        if self.learns and self.network is not None:
            self.network.reorder_weights(self, order)

    @property
    def delays(self) -> Delays | None:
        """The delay of every synapse in steps, as the matrix orders them; None where they have one together, or one a pre neuron."""
        return self._steps

    def delay_steps(self, dt: float):
        """`round(delay / dt)`, exact for multiples of dt: one number, or int32 (n_pre,)."""
        return self._delay.steps(dt)

    @property
    def one_delay(self) -> bool:
        """Whether all synapses have one delay."""
        return self._delay.one

    @property
    def each_delayed(self) -> bool:
        """Whether every synapse has a delay of its own."""
        return self._delay.each

    @property
    def due_later(self) -> bool:
        """Whether spikes become input that is due later in the step in which they are sent: where every synapse has a delay of its own,
        and a weight that is still the same when they arrive.
        """
        return self._delay.each and not self.learns

    def check_step(self, dt: float) -> None:
        """Raise if a delay is too long for steps of `dt` (ms), and warn if rounding to them moves one by more than 1 %."""
        self._delay.check_step(dt)

    def delay_text(self) -> str:
        """For a table: one time, or from which to which."""
        times = np.asarray(self.delay.to_decimal(u.ms))
        if not times.ndim:
            return f"{times:.4g} ms"
        return f"{times.min():.4g} to {times.max():.4g} ms" if times.size else "-"

    def pairs(self):
        """`(pre, post)`, two integer arrays: the neurons of every synapse, counted from the start of the two views.

        In the order in which `weight` and `delay` are read and set: that of the given pairs for `FromPairs`, else by pre, then post
        neuron.
        """
        return self._order.pairs(self.matrix)

    @property
    def n_synapses(self) -> int:
        """The number of synapses (a dense matrix counts its nonzeros; a just-in-time one walks all of them, once)."""
        if isinstance(self.matrix, JITConnectivity):
            return int(self.outdegree().sum())
        return int(self.matrix.degrees(0).sum()) if isinstance(self.matrix, Dense) else self.matrix.nse

    def _degrees(self, axis: int):
        """Counted once: no synapse is ever added or removed."""
        if axis not in self._counted:
            self._counted[axis] = self.matrix.degrees(axis)
        return self._counted[axis].copy()

    def outdegree(self):
        """Synapses of each pre neuron, int (n_pre,)."""
        return self._degrees(0)

    def indegree(self):
        """Synapses onto each post neuron, int (n_post,)."""
        return self._degrees(1)

    def to_scipy(self):
        """The synapses as a scipy.sparse array of plain numbers, in the unit `proj.weight.unit`."""
        import scipy.sparse

        if isinstance(self.matrix, Dense):
            return scipy.sparse.csr_array(np.asarray(u.get_mantissa(self.matrix.data)))
        return self.matrix.toscipy()

    def to_dataframe(self):
        """One row a synapse: pre, post, weight, delay (needs pandas)."""
        import pandas  # pyright: ignore[reportMissingImports]

        pre, post = self.pairs()
        weights: Any = self._order.read(self.matrix)
        delay = np.asarray(self.delay.to_decimal(u.ms))
        frame = {"pre": pre + self.pre.start, "post": post + self.post.start}
        frame |= {f"weight ({weights.unit})": np.broadcast_to(np.asarray(weights.mantissa), pre.shape)}
        return pandas.DataFrame(frame | {"delay (ms)": delay if self.each_delayed else np.broadcast_to(delay, self.pre.size)[pre]})

    @property
    def weight_state(self) -> KeptState:
        """The weights that learn, for `record`: `run.state(projection.weight_state)` has one column a synapse, in the order of `pairs`."""
        if self.network is None or not self.learns:
            raise ValueError(f"{self.name}: weight_state is of weights that learn, in a network: here they stay what they are, `weight`")

        plasticity: Any = self.plasticity

        def read(tree):
            return plasticity.weights(self.network.schedule.plastic(self, tree["kept"]))

        return KeptState(self, "weight", read, lambda: self._order.ids(self._matrix), self._matrix.nse, inside(self.synapse.unit))

    def synapse_state(self, name: str = "g") -> KeptState:
        """A state of the synapses that this projection delivers to, for `record`: one column a post neuron (of all that share it)."""
        known = sorted(self.synapse.initial(1))
        if self.network is None or name not in known:
            where = "" if self.network else " in a network"
            raise ValueError(f"{self.name}: {self.synapse} has no state {name!r}{where}: its states are {', '.join(known) or 'none'}")
        key, part = f"synapse{self.network.schedule.synapse_of(self)}.{name}", slice(self.post.start, self.post.stop)
        return KeptState(self, name, lambda tree: tree["kept"][key][part], lambda: None, self.post.size, inside(self.synapse.unit))

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
