"""`Schedule`: the order of everything in one step, as a function of a tree of plain arrays."""

import functools

import jax.numpy as jnp
import numpy as np

from ..core.deliveries import Delivery, add_drawn, deliver
from ..core.one_pass import one_pass
from ..core.operator import propagate
from ..core.path_choice import TAKEN
from ..core.spikes import as_list, entries, pack, packed_size, ring_exchange
from ..core.updates import Arrivals, arrive, collect
from .clock import Clock, words_of
from .inputs import External, PoissonInput
from .late import take_late
from .population import Population
from .projection import Projection
from .synapses.base import Synapse
from .values import on_device

# to what a name in a pass over neurons belongs: synapses count from 0 up, gap junctions from GAP down
OWN, CURRENT, GAP = -1, -2, -3


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
        self._synapse_of = {part: self._found(part) for part in (*projections, *drives)}
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
        return self._synapse_of[part]

    def _found(self, part) -> int:
        return next(i for i, (p, s) in enumerate(self.synapses) if p is part.post.population and s == part.synapse)

    # -- states of the network's own ----------------------------------------------------------------------------------------

    def initial(self) -> dict:
        """Step 0, synapses at zero, nothing counted."""
        kept = {"step": on_device(words_of(0))}
        for index, (population, synapse) in enumerate(self.synapses):
            for name, value in synapse.initial(population.size).items():
                kept[f"synapse{index}.{name}"] = on_device(value, jnp.result_type(float))
        for projection in self.projections:
            for name, value in ({} if projection.plasticity is None else projection.plasticity.initial(projection)).items():
                kept[self.plastic_key(projection, name)] = on_device(value, jnp.result_type(float) if value.dtype.kind == "f" else None)
        return kept | {f"paths{index}": on_device(np.zeros(len(TAKEN), np.int32)) for index in range(len(self.projections))}

    def plastic_key(self, projection, name: str) -> str:
        """The key in `kept` of a state of the plasticity of a projection."""
        return f"plastic{self.projections.index(projection)}.{name}"

    def plastic(self, projection, kept: dict) -> dict:
        """The states of the plasticity of a projection, by name."""
        prefix = self.plastic_key(projection, "")
        return {key.removeprefix(prefix): value for key, value in kept.items() if key.startswith(prefix)}

    def state_names(self) -> dict[str, str]:
        """What to call the states of the synapses, and the weights that learn, by their key in `kept`."""
        names = {
            f"synapse{index}.{name}": f"{name} of {synapse!r} onto {population.label}"
            for index, (population, synapse) in enumerate(self.synapses)
            for name in synapse.initial(1)
        }
        return names | {self.plastic_key(p, "w"): f"the weight of {p.name}" for p in self.projections if p.learns}

    def rings(self) -> dict:
        """What is under way, nothing yet: for populations, bits of the spikes that projections deliver later; where every synapse has a
        delay of its own, the input that is due at its targets.

        Their sizes are the powers of two that hold the longest delay, so that the step modulo 2^32 finds its place.
        """
        made = {}
        for population in self.populations:
            longest = max((p.longest_delay(self.dt) for p in self.read_back(population)), default=0)
            if longest:
                made[f"ring.{population.label}"] = on_device(np.zeros((1 << longest.bit_length(), packed_size(population.size)), np.uint8))
        for projection in self.projections:
            if projection.plasticity is not None and projection.learns and projection.each_delayed:
                past = projection.plasticity.rings(projection, projection.longest_delay(self.dt))
                made |= {self.plastic_key(projection, name): on_device(ring, jnp.result_type(float)) for name, ring in past.items()}
            if projection.due_later:
                key, slots = self.due_key(projection), 1 << projection.longest_delay(self.dt).bit_length()
                slots = max(slots, made[key].shape[0] if key in made else 0)
                made[key] = on_device(np.zeros((slots, projection.post.population.size), jnp.result_type(float)))
        return made

    def read_back(self, population) -> list[Projection]:
        """The projections from a population that deliver its spikes of some steps ago."""
        found = (p for p in self.projections if p.pre.population is population)
        return [p for p in found if not p.due_later and not p.synapse.continuous]

    def _delays(self, population) -> tuple[int, ...]:
        """The distinct delays, in steps and above none, of the projections from a population that have one each."""
        steps = {p.delay_steps(self.dt) for p in self.read_back(population) if p.one_delay}
        return tuple(sorted(steps - {0}))

    def due_key(self, part) -> str:
        """The key in `kept` of the ring of input that is due at the state, or the jumps of V, that a part delivers to."""
        name = part.synapse.targets()
        return f"due.{part.post.population.label}" if name is None else self.due_at(self.synapse_of(part), name)

    @staticmethod
    def due_at(index: int, name: str) -> str:
        """The key in `kept` of the ring of input that is due at a state of a synapse."""
        return f"due.synapse{index}.{name}"

    def due_keys(self) -> set[str]:
        """The keys of the rings of due input that there are because synapses have delays of their own."""
        return {self.due_key(projection) for projection in self.projections if projection.due_later}

    # -- one step -----------------------------------------------------------------------------------------------------------

    def advance(self, tree: dict, matrices: list, external: External, values: dict, clock: Clock, logs: dict | None = None) -> dict:
        """One step: this is the order of everything.

        Args:
          tree: all states at t_n.
          matrices: a `building.Delivery` of each projection.
          external: the external currents.
          values: those of them that are operands under `inputs`, and under `populations`, by label, the operands of each.
          clock: which step it is.
          logs: a log of `core.spikes` of each population whose spikes are recorded, by label; replaced by one with those of this step.
        """
        step = _Step(self, tree, clock, {} if logs is None else logs)
        step.integrate(external, values, matrices)
        step.deliver(matrices)
        step.learn(matrices)
        return step.end()


class _Step:
    """The arrays of one step under way."""

    def __init__(self, schedule: Schedule, tree: dict, clock: Clock, logs: dict):
        self.schedule, self.clock, self.logs = schedule, clock, logs
        self.kept, self.neurons = dict(tree["kept"]), tree["populations"]
        self.synapses = [{n: self.kept[f"synapse{i}.{n}"] for n in s.initial(1)} for i, (_, s) in enumerate(schedule.synapses)]
        self.spikes: dict = {}
        self.lists: dict = {}  # the same, as those take them who deliver
        self.jumps: dict = {}
        self.factors: dict = {}
        self.plastic = {i: schedule.plastic(p, self.kept) for i, p in enumerate(schedule.projections) if p.plasticity is not None}
        self.arrived: dict[int, list] = {i: [] for i in self.plastic}

    def integrate(self, external, values, matrices):
        """Every population with the synapses of t_n, which then decay; thresholds and resets are part of the models."""
        new, gaps = {}, self._gaps(matrices)
        for population in self.schedule.populations:
            label = population.label
            current, noise = external.current(population, values["inputs"], self.clock, self.kept)
            self.kept |= noise
            state = self.neurons[label] | values["populations"][label]
            new[label] = self._advanced(population, state, gaps.get(label, []), current)
        self.neurons = new

    def _advanced(self, population, state: dict, gaps: list, current) -> dict:
        """The states of a population after a step, in one pass over them and over its synapses where that can be."""
        mine = {i: s for i, (post, s) in enumerate(self.schedule.synapses) if post is population}
        given = {(OWN, name): value for name, value in state.items()}
        given |= {(i, name): value for i in mine for name, value in self.synapses[i].items()}
        given |= {(GAP - k, name): value for k, (_, its) in enumerate(gaps) for name, value in its.items()}
        given |= {} if current is None else {(CURRENT, ""): jnp.asarray(current, jnp.result_type(float))}

        def of(part: int, values: dict) -> dict:
            return {name: value for (i, name), value in values.items() if i == part}

        def advance(given: dict, *, fade: bool) -> dict:
            inputs = [(s, of(i, given)) for i, s in mine.items()] + [(s, of(GAP - k, given)) for k, (s, _) in enumerate(gaps)]
            new, spikes = population.advance(of(OWN, given), inputs, given.get((CURRENT, "")), self.clock)
            decayed = {(i, name): value for i, s in mine.items() for name, value in self._decayed(i, s, of(i, given), fade).items()}
            return {**{(OWN, name): value for name, value in new.items()}, **decayed, (OWN, "spikes"): spikes}

        label, log = population.label, self.logs.get(population.label)
        found = one_pass(functools.partial(advance, fade=True), given, (OWN, "spikes"), log)
        if found is None:
            made = advance(given, fade=False)
            found = made, *as_list(made[OWN, "spikes"], log)
        made, self.lists[label], self.logs[label] = found
        for i in mine:
            self.synapses[i] = of(i, made)
        self.spikes[label] = made.pop((OWN, "spikes"))
        return of(OWN, made)

    def _gaps(self, matrices) -> dict[str, list]:
        """`(synapse, state)` of the gap junctions of each population, by its label: current that comes from V of the neurons at their other
        end, at t_n.
        """
        found: dict[str, list] = {}
        for projection, (matrix, *_) in zip(self.schedule.projections, matrices):
            if not projection.synapse.continuous:
                continue
            for here, there, onto_post in ((projection.post, projection.pre, True), (projection.pre, projection.post, False)):
                V = self.neurons[there.population.label]["V"][there.start : there.stop]
                state = {}
                for name, values in (("offset", V), ("slope", jnp.ones_like(V))):
                    zeros = jnp.zeros(here.population.size, V.dtype)
                    state[name] = zeros.at[here.start : here.stop].set(propagate(matrix, values, transpose=onto_post, event=False))
                found.setdefault(here.population.label, []).append((projection.synapse, state))
        return found

    def _decayed(self, index: int, synapse, state: dict, fade: bool) -> dict:
        """The state of a synapse over dt. Constant factors wait for the first delivery, which applies them in the same pass over memory,
        unless this is a pass over memory, and `fade` asks for them.
        """
        state = synapse.decay(state, self.clock.dt)
        for name, factor in synapse.decay_factors(self.clock.dt).items():
            if fade and self.schedule.due_at(index, name) not in self.kept:
                state = {**state, name: state[name] * jnp.asarray(factor, state[name].dtype)}
            else:
                self.factors[index, name] = factor
        return state

    def deliver(self, matrices):
        """Add the spikes that are due to the synapses, or to the jumps of V."""
        for index, state in self.plastic.items():
            self.plastic[index] = self.schedule.projections[index].plasticity.advance(state, matrices[index].plastic)
        due = self._due()
        self._deliver_later(matrices)
        gathered: list = []
        for index, projection in enumerate(self.schedule.projections):
            for spikes in self._arriving(projection, matrices[index].delays, due):
                if isinstance(spikes, Arrivals) or any(projection is other for _, other, _ in gathered):
                    self._make(gathered)
                    gathered = []
                if isinstance(spikes, Arrivals):
                    self._deliver_arrivals(index, projection, matrices[index], spikes)
                else:
                    gathered.append((index, projection, self._delivery(index, projection, matrices[index], spikes)))
        self._make(gathered)
        for (i, name), factor in self.factors.items():  # states that no projection delivered to
            self.synapses[i] = {**self.synapses[i], name: self.synapses[i][name] * jnp.asarray(factor, self.synapses[i][name].dtype)}
        self._drive()

    def _drive(self):
        """Add the spikes of Poisson inputs."""
        parts = {self.schedule.due_key(drive): drive for drive in self.schedule.drives}
        keys, drawn = list(parts), []
        for drive, words in zip(self.schedule.drives, self.schedule.drive_keys):
            if drive.rate_in_kHz.function is None:
                drawn.append(drive.drawn(keys.index(self.schedule.due_key(drive)), self.clock.key(words), self.clock))
            else:
                self._put(drive, drive.added(self._target(drive), self.clock.key(words), self.clock))
        for key, target in zip(keys, add_drawn([self._target(parts[key]) for key in keys], drawn)):
            self._put(parts[key], target)

    def _arriving(self, projection, delays, due) -> list:
        """The spikes that arrive over the synapses of a projection, those first that are under way by an earlier delay: bool (population,),
        or `Arrivals`; as a rule in one.
        """
        if projection.synapse.continuous:
            return []
        found = take_late(self.schedule, projection, self.kept, delays, self.clock.place)
        if projection.due_later:
            return found
        if projection.each_delayed:
            return [*found, self._arrivals(projection, delays)]
        one = projection.one_delay
        label, steps = projection.pre.population.label, projection.delay_steps(self.clock.dt)
        found.append(due[label, steps] if one else self._due_each(projection))
        if projection.plasticity is None:
            return found
        found = [entries(spikes) for spikes in found]
        return [functools.reduce(jnp.logical_or, found)] if projection.plasticity.merges else found

    def _delivery(self, index, projection, delivery, spikes) -> dict:
        """What a `Delivery` takes of spikes that arrive now, bool (population,)."""
        matrix, spikes, window = self._transmitted(index, projection, delivery, spikes)
        beside = {"mirror": delivery.mirror, "decay": self._decay_of(projection), "path": projection.path}
        return {"A": matrix, "spikes": spikes, "window": window, **beside}

    def _make(self, gathered: list):
        """Make deliveries, `(index, projection, what Delivery takes)` of one each, into what is due later if they have delays, or now."""
        parts = {self.schedule.due_key(projection): projection for _, projection, _ in gathered}
        keys = list(parts)
        made = [
            Delivery(target=keys.index(self.schedule.due_key(projection)), counts=self.kept[f"paths{index}"], **what)
            for index, projection, what in gathered
        ]
        later = any(one.delays is not None for one in made)
        targets, counts = deliver([self.kept[key] if later else self._target(parts[key]) for key in keys], made)
        self.kept |= {f"paths{index}": count for (index, *_), count in zip(gathered, counts)}
        for key, target in zip(keys, targets):
            if later:
                self.kept[key] = target
            else:
                self._put(parts[key], target)

    def _deliver_later(self, matrices):
        """Put what this step's spikes will deliver where every synapse has a delay of its own, and take what is due now."""
        gathered = []
        for index, projection in enumerate(self.schedule.projections):
            if projection.due_later:
                spikes = (self.lists if projection.plasticity is None else self.spikes)[projection.pre.population.label]
                matrix, spikes, window = self._transmitted(index, projection, matrices[index], spikes)
                beside = {"delays": matrices[index].delays, "place": self.clock.place}
                gathered.append((index, projection, {"A": matrix, "spikes": spikes, "window": window, **beside}))
        self._make(gathered)
        for key, part in {self.schedule.due_key(p): p for p in self.schedule.projections if not p.synapse.continuous}.items():
            if key in self.kept:
                decay = self._decay_of(part)
                target, self.kept[key] = collect(self._target(part), self.kept[key], self.clock.place, decay=decay)
                self._put(part, target)

    def _arrivals(self, projection, delays) -> Arrivals:
        """The spikes that arrive over synapses with delays of their own and weights that learn."""
        pre, label = projection.pre, projection.pre.population.label
        bits = self.kept.get(f"ring.{label}")
        bits = pack(self.spikes[label])[None] if bits is None else bits  # all delays round to none
        return Arrivals(self.spikes[label][pre.start : pre.stop], delays, bits, pre.start, self.clock.place)

    def _deliver_arrivals(self, index, projection, delivery, arrivals):
        """Add the spikes that arrive over synapses with delays of their own and weights that learn."""
        self.arrived[index].append(arrivals)
        self.plastic[index], matrix, arrivals = projection.plasticity.transmit(
            self.plastic[index], delivery.plastic, delivery.matrix, arrivals, self.clock.place
        )
        counts, decay = self.kept[f"paths{index}"], self._decay_of(projection)
        window = projection.post.start, projection.post.stop
        target, self.kept[f"paths{index}"] = arrive(self._target(projection), counts, matrix, arrivals, decay=decay, window=window)
        self._put(projection, target)

    def _transmitted(self, index, projection, delivery, spikes):
        """`(matrix, spikes, window)` of a delivery, as plasticity makes them of the spikes of a population."""
        pre, post = projection.pre, projection.post
        if projection.plasticity is None:
            return delivery.matrix, spikes, (pre.start, pre.stop, post.start, post.stop)
        spikes = spikes[pre.start : pre.stop]
        self.arrived[index].append(spikes)
        self.plastic[index], matrix, sent = projection.plasticity.transmit(
            self.plastic[index], delivery.plastic, delivery.matrix, spikes, self.clock.place
        )
        return matrix, sent, (0, pre.size, post.start, post.stop)

    def learn(self, matrices):
        """Change what is plastic by the spikes that have arrived and those of the post neurons."""
        for index, projection in enumerate(self.schedule.projections):
            if projection.plasticity is not None:
                post = self.spikes[projection.post.population.label][projection.post.start : projection.post.stop]
                delivery = matrices[index]
                readers = (self.kept[f"paths{index}"],)
                signal = projection.plasticity.signal
                signal = None if signal is None else self.spikes[signal.population.label][signal.start : signal.stop]
                self.plastic[index] = projection.plasticity.learn(
                    self.plastic[index], delivery.plastic, delivery.matrix, tuple(self.arrived[index]), post, readers, self.clock.dt, signal
                )

    def _decay_of(self, part):
        """The factor that the state which a part delivers to is still to be multiplied by in this step, or None."""
        return self.factors.pop((self.schedule.synapse_of(part), part.synapse.targets()), None)

    def _due_each(self, projection):
        """The spikes that are due of a population whose neurons have delays of their own, bool (population,)."""
        pre, population = projection.pre, projection.pre.population
        key = f"ring.{population.label}"
        if key not in self.kept:
            return self.spikes[population.label]  # all delays round to none
        ring, steps = self.kept[key], projection.delay_steps(self.clock.dt)
        ids = np.arange(pre.start, pre.stop)
        words = ring[(self.clock.place - steps) & (ring.shape[0] - 1), ids >> 3]
        return jnp.zeros(population.size, bool).at[pre.start : pre.stop].set((words >> (ids & 7)) & 1 != 0)

    def _due(self):
        """`{(label, delay): spikes due}` of every population and delay in use; writes this step's spikes into the rings."""
        due: dict = {(label, 0): value for label, value in self.lists.items()}
        for population in self.schedule.populations:
            label, delays = population.label, self.schedule._delays(population)
            if f"ring.{label}" in self.kept:
                ring = self.kept[f"ring.{label}"]
                self.kept[f"ring.{label}"], rows = ring_exchange(ring, self.clock.place, self.spikes[label], delays or (0,))
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
        for i, state in self.plastic.items():
            self.kept |= {f"plastic{i}.{name}": value for name, value in state.items()}
        return {"populations": self.neurons, "kept": self.kept}
