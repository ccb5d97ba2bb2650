"""`Schedule`: the order of everything in one step, as a function of a tree of plain arrays."""

import jax.numpy as jnp

from ..core.path_choice import TAKEN
from ..core.updates import deposit, packed_size, ring_exchange
from .clock import Clock, words_of
from .inputs import External, PoissonInput
from .population import Population
from .projection import Projection
from .synapses.base import Synapse


class Schedule:
    """What a step does: integrate, decay, threshold, deliver, reset, in the time convention that Brian2 and NEST share.

    Args:
      populations, projections, drives: the parts of a network, in the order in which they are integrated and delivered.
      drive_keys: a word for each drive, which its random numbers are keyed by.

    The tree has the states of each population under `populations`, by label and name, and under `kept` the network's own: the step,
    the synapses, the rings of spikes under way and the counts of the paths taken.
    """

    def __init__(self, populations: list[Population], projections: list[Projection], drives: list[PoissonInput], drive_keys: list[str]):
        self.populations, self.projections, self.drives, self.drive_keys = populations, projections, drives, drive_keys
        self.synapses = self._shared()
        self.dt = 0.0  # ms; set when the network knows it

    def _shared(self) -> list[tuple[Population, Synapse]]:
        """Each synapse with a state of its own: one for every population and equal value."""
        found: list[tuple[Population, Synapse]] = []
        for part in (*self.projections, *self.drives):
            entry = (part.post.population, part.synapse)
            if not any(entry[0] is p and entry[1] == s for p, s in found):
                found.append(entry)
        return found

    def synapse_of(self, part) -> int:
        """The index of the synapse that a projection or drive delivers to."""
        return next(i for i, (p, s) in enumerate(self.synapses) if p is part.post.population and s == part.synapse)

    # -- states of the network's own ----------------------------------------------------------------------------------------

    def initial(self) -> dict:
        """Step 0, synapses at zero, nothing counted."""
        kept = {"step": jnp.asarray(words_of(0))}
        for index, (population, synapse) in enumerate(self.synapses):
            for name, value in synapse.initial(population.size).items():
                kept[f"synapse{index}.{name}"] = jnp.asarray(value, jnp.result_type(float))
        return kept | {f"paths{index}": jnp.zeros(len(TAKEN), jnp.int32) for index in range(len(self.projections))}

    def state_names(self) -> dict[str, str]:
        """What to call the states of the synapses, by their key in `kept`."""
        return {
            f"synapse{index}.{name}": f"{name} of {synapse!r} onto {population.label}"
            for index, (population, synapse) in enumerate(self.synapses)
            for name in synapse.initial(1)
        }

    def rings(self) -> dict:
        """A ring of bits for each population with delayed projections, no spike under way.

        Its size is the power of two that holds the longest, so that the step modulo 2^32 finds its place.
        """
        made = {}
        for population in self.populations:
            delays = self._delays(population)
            if delays:
                made[f"ring.{population.label}"] = jnp.zeros((1 << max(delays).bit_length(), packed_size(population.size)), jnp.uint8)
        return made

    def _delays(self, population) -> tuple[int, ...]:
        """The distinct delays, in steps and above none, of the projections from a population."""
        steps = {p.delay_steps(self.dt) for p in self.projections if p.pre.population is population}
        return tuple(sorted(steps - {0}))

    # -- one step -----------------------------------------------------------------------------------------------------------

    def advance(self, tree: dict, matrices: list, external: External, values: list, clock: Clock) -> dict:
        """One step: this is the order of everything.

        Args:
          tree: all states at t_n.
          matrices: `(matrix, mirror)` of each projection, plain weights.
          external, values: the external currents, and those of them that are operands.
          clock: which step it is.
        """
        step = _Step(self, tree, clock)
        step.integrate(external, values)
        step.decay()
        step.deliver(matrices)
        return step.end()


class _Step:
    """The arrays of one step under way."""

    def __init__(self, schedule: Schedule, tree: dict, clock: Clock):
        self.schedule, self.clock = schedule, clock
        self.kept, self.neurons = dict(tree["kept"]), tree["populations"]
        self.synapses = [{n: self.kept[f"synapse{i}.{n}"] for n in s.initial(1)} for i, (_, s) in enumerate(schedule.synapses)]
        self.spikes: dict = {}
        self.jumps: dict = {}
        self.factors: dict = {}

    def integrate(self, external, values):
        """Every population with the synapses of t_n; thresholds and resets are part of the models."""
        new = {}
        for population in self.schedule.populations:
            label = population.label
            inputs = [(s, self.synapses[i]) for i, (post, s) in enumerate(self.schedule.synapses) if post is population]
            current = external.current(population, values, self.clock.time)
            new[label], self.spikes[label] = population.advance(self.neurons[label], inputs, current, self.clock)
        self.neurons = new

    def decay(self):
        """The synapses over dt; constant factors wait for the first delivery, which applies them in the same pass over memory."""
        dt = self.clock.dt
        for i, (_, synapse) in enumerate(self.schedule.synapses):
            self.synapses[i] = synapse.decay(self.synapses[i], dt)
            self.factors |= {(i, name): factor for name, factor in synapse.decay_factors(dt).items()}

    def deliver(self, matrices):
        """Add the spikes that are due to the synapses, or to the jumps of V."""
        due = self._due()
        for index, projection in enumerate(self.schedule.projections):
            pre, post = projection.pre, projection.post
            decay = self.factors.pop((self.schedule.synapse_of(projection), projection.synapse.targets()), None)
            matrix, mirror = matrices[index]
            target, self.kept[f"paths{index}"] = deposit(
                self._target(projection),
                self.kept[f"paths{index}"],
                matrix,
                mirror,
                due[pre.population.label, projection.delay_steps(self.clock.dt)],
                decay=decay,
                window=(pre.start, pre.stop, post.start, post.stop),
                path=projection.path,
            )
            self._put(projection, target)
        for (i, name), factor in self.factors.items():  # states that no projection delivered to
            self.synapses[i] = {**self.synapses[i], name: self.synapses[i][name] * jnp.asarray(factor, self.synapses[i][name].dtype)}
        for drive, words in zip(self.schedule.drives, self.schedule.drive_keys):
            arriving = drive.weight * drive.counts(self.clock.key(words), self.clock.dt)
            self._put(drive, self._target(drive).at[drive.post.start : drive.post.stop].add(arriving))

    def _due(self):
        """`{(label, delay): spikes due}` of every population and delay in use; writes this step's spikes into the rings."""
        due = {(label, 0): value for label, value in self.spikes.items()}
        for population in self.schedule.populations:
            label, delays = population.label, self.schedule._delays(population)
            if delays:
                ring = self.kept[f"ring.{label}"]
                self.kept[f"ring.{label}"], rows = ring_exchange(ring, self.clock.place, self.spikes[label], delays)
                due |= {(label, delay): rows[i] for i, delay in enumerate(delays)}
        return due

    def _target(self, part):
        """What a projection or drive adds to."""
        name, post = part.synapse.targets(), part.post.population
        if name is None:
            return self.jumps.get(post.label, jnp.zeros(post.size, jnp.result_type(float)))
        return self.synapses[self.schedule.synapse_of(part)][name]

    def _put(self, part, value):
        name = part.synapse.targets()
        if name is None:
            self.jumps[part.post.population.label] = value
        else:
            index = self.schedule.synapse_of(part)
            self.synapses[index] = {**self.synapses[index], name: value}

    def end(self) -> dict:
        """The tree at t_n + dt."""
        for population in self.schedule.populations:
            label, state = population.label, self.neurons[population.label]
            if label in self.jumps:
                state = population.jump(state, self.spikes[label], self.jumps[label])
            self.neurons[label] = {**state, "spikes": self.spikes[label]}
        for i, state in enumerate(self.synapses):
            self.kept |= {f"synapse{i}.{name}": value for name, value in state.items()}
        return {"populations": self.neurons, "kept": self.kept}
