"""The base of plasticity: what happens to the spikes and weights of a projection before and after a delivery."""

import abc
from typing import Any, ClassVar

from ..parameters import Parameters


class Plasticity(Parameters, abc.ABC):
    """How the spikes or the weights of a projection change with what has spiked. A subclass is a frozen dataclass of parameters."""

    signal: Any = None  # a view of a population whose spikes reach all synapses at once
    learns = False  # whether weights change, so that each synapse has one of its own, kept among the states of the network
    merges: ClassVar[bool] = False  # whether two spikes of a neuron that arrive in one step do what one does

    @abc.abstractmethod
    def by_synapse(self, projection) -> bool:
        """Whether every synapse has a state of its own, for which they must be stored by row."""

    def check(self, projection) -> None:
        """Raise if the parameters do not fit the projection, whose synapses need not be made yet."""

    @abc.abstractmethod
    def operands(self, projection, dt: float) -> Any:
        """Arrays that a step takes beside the states, made once the synapses are stored and dt (ms) is known."""

    @abc.abstractmethod
    def initial(self, projection) -> dict[str, Any]:
        """The states at rest, plain arrays; those of whole synapses as they are stored."""

    def rings(self, projection, longest: int) -> dict[str, Any]:
        """More states at rest, that depend on the longest of the delays that synapses have each, in steps."""
        return {}

    def of_synapses(self, projection) -> tuple[str, ...]:
        """The names of the states that every synapse has."""
        return ()

    def advance(self, state: dict, operands) -> dict:
        """The state of a projection as a whole a step later, before any spike arrives."""
        return state

    def transmit(self, state: dict, operands, matrix, spikes, place) -> tuple[dict, Any, Any]:
        """What spikes that arrive, or are sent on their way, deliver.

        Args:
          state, operands: as `initial` and `operands` made them.
          matrix: the connectivity of plain weights.
          spikes: bool (n_pre,); or `core.updates.Arrivals`, where weights learn and synapses have delays of their own.
          place: int32 scalar, the number of the step, modulo 2^32.

        Returns:
          `(state, matrix, spikes)`, the spikes as they were, or floats that say what each counts.
        """
        return state, matrix, spikes

    def learn(self, state: dict, operands, matrix, pre: tuple, post, readers: tuple, dt: float, signal) -> dict:
        """The state at the end of a step.

        Args:
          state, operands, matrix: as in `transmit`, which came before.
          pre: the spikes that have arrived, each as in `transmit`: more than one only while spikes are under way by an earlier delay.
          post: those of the post neurons, bool (n_post,).
          readers: what the delivery computed; as in `core.plastic.learn`.
          dt: in ms.
          signal: the spikes of the neurons of that name, bool (n,); None where there are none.
        """
        return state
