"""`SynapseValues`: the weights and delays of a projection, read and set synapse by synapse."""

import copy
from typing import Any

import brainunit as u
import jax.numpy as jnp
import numpy as np

from .. import Connectivity, Dense
from ..core import law
from ..core.updates import Delays, DrawnDelays
from ..formats.jit_connectivity import JITConnectivity
from .delays import Delay, by_delay
from .distributions import Distribution
from .fits import check_delay
from .parameters import describe, with_unit
from .plasticity.learning import number_of
from .plasticity.reward import RewardSTDP
from .recorder import KeptState
from .rules.random import distribution_of, redrawn
from .synapse_order import SynapseOrder
from .synapses.delta import Delta
from .units import inside
from .values import kept, real_array


class SynapseValues:
    """What each synapse of a projection has, in the order of `pairs`, while the matrix stores it in its own: a base of `Projection`."""

    name: Any
    pre: Any
    post: Any
    synapse: Any
    plasticity: Any
    learns: Any
    by_synapse: Any
    network: Any
    _matrix: Any
    _delay: Delay
    _steps: Delays | DrawnDelays | None
    _longest: int  # of the delays that synapses have each, in steps
    _order: SynapseOrder
    _delay_rng: np.random.Generator
    _counted: dict
    _in_inside_unit: Any
    _checked: Any
    _one_each: Any
    _rows: Any

    def fitting(self, delay: Delay) -> Delay:
        """A delay that fits the number of synapses, or an error."""
        delay = delay.fitted(self.pre.size, self.n_stored)
        check_delay(self, delay)
        return delay

    @property
    def n_stored(self) -> int:
        """The number of synapses; -1 where none is stored."""
        return -1 if isinstance(self._matrix, JITConnectivity) else self.n_synapses

    def stored(self, values: np.ndarray) -> np.ndarray:
        """Values of one a synapse in the order of `pairs`, in that of the matrix."""
        made = np.empty_like(values)
        made[self._order.ids(self._matrix)] = values
        return made

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
        """The delay: one time, one a pre neuron, or one a synapse in the order of `pairs`, rounded to dt once that is known; of a
        just-in-time format the distribution.

        Assign any of these, or a distribution, at any time: spikes that are under way arrive when they were to. Where weights learn, or
        receptors saturate, a network that has run takes one a synapse only if that is what it had, and else after `net.reset()`.
        """
        delay = self._delay
        if not delay.each:
            return delay.times * u.ms
        if isinstance(self._matrix, JITConnectivity):
            return delay.times
        if not isinstance(self._steps, Delays):
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

    def take_delay(self, delay: Delay, steps):
        """Put a fitting delay in the place of the one there is, with its `rounded_delays`; None before dt is known (a network calls it)."""
        if delay.each and not isinstance(self._matrix, JITConnectivity):
            self._matrix = self._rows()
        self._delay, self._steps = delay, None
        if steps is not None:
            self.sort_delays(steps)

    def rounded_delays(self, dt: float, delay: Delay | None = None):
        """Steps of `dt` (ms), int32 (n_synapses,), in the order of `pairs`, or the probability of each number of steps where they are drawn
        just in time; None where synapses have no delays of their own. Of a fitting delay, or of the one there is.
        """
        delay = self._delay if delay is None else delay
        if not delay.each:
            return None
        if isinstance(self._matrix, JITConnectivity):
            return delay.probabilities(dt)
        return delay.sampled_steps(copy.deepcopy(self._delay_rng), self.n_stored, dt)

    def _sampled_delays(self) -> np.ndarray:
        """One time a synapse (ms), in the order of `pairs`; those drawn ascend where a pair is repeated, as their synapses are stored."""
        times = self._delay.sampled(copy.deepcopy(self._delay_rng), self.matrix.nse)
        return self._order.ascending_in_pairs(self.matrix, times) if self._ascends_in_pairs else times

    @property
    def _ascends_in_pairs(self) -> bool:
        """Whether delays are in ascending order where a pair is repeated. Where they are drawn this changes no law, and synapses stored by
        delay need no note of where they stood.
        """
        return self._delay.drawn and self._order.tells_by_pairs(self.matrix)

    def sort_delays(self, steps: np.ndarray):
        """Store the synapses of a row by their delays, given as `rounded_delays` gives them."""
        self._longest = steps.size - 1 if isinstance(self._matrix, JITConnectivity) else int(np.max(steps, initial=0))
        if isinstance(self._matrix, JITConnectivity):
            self._steps = DrawnDelays(jnp.asarray(law.outcome_table(steps)))
            return
        told, before = self._ascends_in_pairs, self._matrix
        moves = not told or (self.by_synapse and self.network is not None)
        self._matrix, self._steps, order = by_delay(before, self.stored(steps), ties=told, placed_from=moves)
        if not told:
            self._order.follow(before, order)
        if self.by_synapse and self.network is not None:
            self.network.reorder_synapses(self, order)

    @property
    def delays(self) -> Delays | DrawnDelays | None:
        """The delay of every synapse in steps, as the matrix orders them; None where they have one together, or one a pre neuron."""
        return self._steps

    def longest_delay(self, dt: float) -> int:
        """In steps of dt (ms)."""
        return self._longest if self.each_delayed else int(np.max(self.delay_steps(dt), initial=0))

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
        if isinstance(self.delay, Distribution):
            return repr(self.delay)
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
        delay = self._times_of(pre, post)
        frame = {"pre": pre + self.pre.start, "post": post + self.post.start}
        frame |= {f"weight ({weights.unit})": np.broadcast_to(np.asarray(weights.mantissa), pre.shape)}
        return pandas.DataFrame(frame | {"delay (ms)": delay})

    def _times_of(self, pre, post) -> np.ndarray:
        """The delay of each synapse in ms, in the order of `pairs`, which are given."""
        if isinstance(self._steps, DrawnDelays):
            steps = law.draw_outcomes(self._matrix.seed, np.asarray(pre, np.uint32), np.asarray(post, np.uint32), self._steps.table)
            return np.asarray(steps) * self.network.schedule.dt
        if isinstance(self.delay, Distribution):
            raise ValueError(f"{self.name}: delays are drawn in steps of dt, which is not known yet: give the network its dt")
        delay = np.asarray(self.delay.to_decimal(u.ms))
        return delay if self.each_delayed else np.broadcast_to(delay, self.pre.size)[pre]

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
    def current_state(self) -> KeptState:
        """The current (pA) that these synapses send into their post neurons at the V these have, for `record`: one column a post neuron,
        above zero where it depolarises (of all that share it).
        """
        if self.network is None or self.synapse.targets() is None:
            why = f"{self.synapse} makes V jump" if isinstance(self.synapse, Delta) else f"that of {self.synapse} depends on V at both ends"
            why = "it is not in a network yet" if self.network is None else why
            raise ValueError(f"{self.name} has no current_state: {why}")
        index, synapse = self.network.schedule.synapse_of(self), self.synapse
        label, part = self.post.population.label, slice(self.post.start, self.post.stop)

        def read(tree):
            V = tree["populations"][label]["V"]
            offset, slope = synapse.affine({name: tree["kept"][f"synapse{index}.{name}"] for name in synapse.initial(1)}, V)
            return (offset - slope * V)[part]

        return KeptState(self, "current", read, lambda: None, self.post.size, u.pA)
