"""`NetworkStates`: all that a network holds from one step to the next, and how it is kept, copied, saved and restored."""

import threading
from typing import Any

import brainstate
import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np

from ..core import path_choice
from ..formats.jit_connectivity import JITConnectivity
from .building import check_own, delivery_of, generator, warn_of_odd_strength
from .clock import step_of
from .files import load_state, save_state
from .fits import check_running
from .guards import deep_copy, one_thread, refuse_fork, transfers
from .late import arrived_keys, late_delays, moved_ring, under_way
from .parameters import with_unit
from .population import Population, plain_state
from .projection import Projection
from .schedule import Schedule
from .units import check_sign, scalar
from .values import on_device


class NetworkStates(brainstate.nn.Module):
    """The states of a network: those of its populations, and its own, by key, which `Schedule` names: the base of `Network`."""

    seed: int
    populations: list[Population]
    projections: list[Projection]
    drives: list
    schedule: Schedule
    _dt: float | None
    _matrices: list
    _population_operands: dict[str, dict]
    _loops: dict
    _launches: dict
    _lock: Any
    _states: dict[str, brainstate.State]
    _path_counts: list[np.ndarray]

    def _hold_weights(self, projection):
        """Make the weights of a projection that learns a state."""
        if projection.learns:
            values = projection.plasticity.with_weights(self._plastic(projection), projection.hand_over_weights())
            self._keep({self.schedule.plastic_key(projection, name): value for name, value in values.items()})

    def _plastic(self, projection) -> dict:
        """The states of the plasticity of a projection, by name."""
        return {name: state.value for name, state in self.schedule.plastic(projection, self._states).items()}

    def reorder_synapses(self, projection, order):
        """Store what each synapse of a projection has in another order of them."""
        keys = [self.schedule.plastic_key(projection, name) for name in projection.plasticity.of_synapses(projection)]
        keys += late_delays(self.schedule, projection, self._states)
        self._keep({key: self._states[key].value[order] for key in keys})

    def plastic_state(self, projection, name: str) -> brainstate.State:
        """A state of the plasticity of a projection."""
        return self._states[self.schedule.plastic_key(projection, name)]

    def learned_weights(self, projection):
        """The weights of a projection that learns, plain numbers (n_synapses,), as they are stored."""
        return projection.plasticity.weights(self._plastic(projection))

    def refresh_matrix(self, projection):
        """Take over the weights that were set on a projection."""
        self._hold_weights(projection)
        self._renew(projection)
        self._forget_launches()
        warn_of_odd_strength(projection)

    def _renew(self, projection):
        """Take a projection as it is now."""
        self._matrices[self.schedule.projections.index(projection)] = delivery_of(projection, self._dt)

    def refresh_delay(self, projection, delay):
        """Take over the delay that was set on a projection. Spikes that are under way, of all projections of that population, become the
        input that is due at their targets, and arrive when they were to.
        """
        with transfers():
            delay = projection.fitting(delay)
            if self._dt is not None:
                delay.check_step(self._dt)
            steps = None if self._dt is None else projection.rounded_delays(self._dt, delay)  # or an error, before anything is changed
            if self._dt is not None and self.first_step:
                check_running(projection, delay)
                kept = {key: state.value for key, state in self._states.items()}
                self._keep(under_way(self.schedule, kept, self._matrices, projection, self.first_step))
            projection.take_delay(delay, steps)
            self._renew(projection)
            for key, ring in (self.schedule.rings() if self._dt is not None else {}).items():
                self._keep({key: self._grown(key, ring)})
            self._loops.clear()
            self._forget_launches()

    def _forget_launches(self):
        """Let go of what was made for launches of many steps, and of what the last one left."""
        self._launches.clear()
        for key in [key for key in self._states if key.startswith("launch.")]:
            del self._states[key]

    def _forget_arrived(self):
        """Let go of spikes by earlier delays that have all arrived."""
        for key in arrived_keys({key: state.value for key, state in self._states.items()}):
            del self._states[key]

    def _grown(self, key, ring):
        """A ring that holds what the one of that name does, and is at least as large as the one given."""
        if key not in self._states:
            return ring
        now = self._states[key].value
        if now.shape[0] >= ring.shape[0]:
            return now
        first = self.first_step
        return moved_ring(now, ring.shape[0], first if key.startswith("due.") else first - now.shape[0])

    def nbytes(self, projection) -> int:
        """Bytes that the synapses of a projection take, with the copy grouped by target and the states of plasticity where there are; 0 if
        no synapse is stored.
        """
        if isinstance(projection.matrix, JITConnectivity):
            return 0
        index = self.schedule.projections.index(projection)
        states = [state.value for key, state in self._states.items() if key.startswith(f"plastic{index}.")]
        return sum(leaf.nbytes for leaf in jax.tree.leaves((self._matrices[index], states)))

    # -- state --------------------------------------------------------------------------------------------------------------

    def reset(self):
        """Back to the start: initial states drawn anew from the seed, synapses and plasticity at rest, no spike under way, step 0.

        Weights stay as they are, those that have learned too: set `proj.weight` to begin with others.
        """
        check_own(self.populations, self)
        for projection in self.projections:
            if projection.learns and projection.network is self:
                self._keep({self.schedule.plastic_key(projection, "w"): self.learned_weights(projection)})
        for population in self.populations:
            population.set_states(population.initial(generator(self.seed, "initial", population.label)))
        self._keep(self.schedule.initial())
        for key in [key for key in self._states if key.startswith(("input.", "launch.", "late"))]:
            del self._states[key]
        if self._dt is not None:
            rings = self.schedule.rings()
            for key in [key for key in self._states if key.startswith("due.") and key not in rings]:
                del self._states[key]
            self._keep(rings)
        self._path_counts = [np.zeros(len(path_choice.TAKEN), np.int64) for _ in self.projections]

    @property
    def first_step(self) -> int:
        """The number of the step that comes next, counted from 0."""
        with transfers():
            return step_of(self._states["step"].value)

    def _keep(self, values):
        """Set states of the network itself; one that is there stays the same object, which compiled functions hold on to."""
        for key, value in values.items():
            if key in self._states:
                self._states[key].restore_value(value)
            else:
                self._states[key] = brainstate.HiddenState(value)

    def _holds(self, key, like) -> bool:
        """Whether there is a state of that name and shape."""
        return key in self._states and self._states[key].value.shape == like.shape

    def path_counts(self, projection):
        """How often each path of `path_choice.TAKEN` delivered for a projection, int64 (3,)."""
        index = self.schedule.projections.index(projection)
        return self._path_counts[index] + np.asarray(self._states[f"paths{index}"].value)

    def _count_paths(self, tree, events: int | None):
        """Move the counts of the paths taken to the host, where they never overflow; or add as many deliveries from events to all."""
        if events is not None:
            for total in self._path_counts:
                total[path_choice.TAKEN.index("event")] += events
            return
        keys = [f"paths{index}" for index in range(len(self._path_counts))]
        for key, total, counts in zip(keys, self._path_counts, jax.device_get([tree["kept"][key] for key in keys])):
            total += counts
            tree["kept"][key] = np.zeros_like(total, np.int32)

    @property
    def dt(self):
        """The time step, or None before it is known."""
        return None if self._dt is None else self._dt * u.ms

    def _set_dt(self, dt):
        number = scalar(dt, u.ms, "dt", "a positive time")
        check_sign(number, dt, "dt", "a positive time", zero=False)
        if self._dt is not None and not np.isclose(number, self._dt, rtol=1e-6, atol=0):
            raise ValueError(f"this network runs at dt = {self._dt} ms and cannot go on at {number} ms: build it anew")
        if self._dt is None:
            with transfers():
                self._take_dt(number)

    def _take_dt(self, number: float):
        """Make what depends on the time step (ms), once it is known."""
        for part in (*self.projections, *self.populations):
            part.check_step(number)
        rounded = [projection.rounded_delays(number) for projection in self.projections]
        self._dt = self.schedule.dt = number
        self._population_operands = {p.label: jax.tree.map(on_device, p.operands(number)) for p in self.populations}
        for projection, steps in zip(self.projections, rounded):
            if steps is not None:
                projection.sort_delays(steps)
            if steps is not None or projection.plasticity is not None:
                self._renew(projection)
        self._keep(self.schedule.rings())

    def _collect(self):
        """All states as one tree of plain arrays."""
        check_own(self.populations, self)
        populations = {p.label: {n: plain_state(p, n) for n in p.state_units} for p in self.populations}
        return {"populations": populations, "kept": {key: state.value for key, state in self._states.items()}}

    def _restore(self, tree):
        """Write a tree of plain arrays back to the states."""
        for population in self.populations:
            for name, unit in population.state_units.items():
                value = tree["populations"][population.label][name]
                getattr(population, name).value = value if unit is None else u.Quantity(value, unit=unit)
        for key, state in self._states.items():
            state.value = tree["kept"][key]

    def save(self, path) -> None:
        """Write the full state to a file (.npz): `load` goes on from it with the same spikes as if nothing had been between.

        It holds states, spikes under way, plastic weights and the step, not synapses; it is written whole or not at all.
        """
        refuse_fork("save")
        with one_thread(self._lock, "save"), transfers():
            check_own(self.populations, self)
            save_state(self, path)

    def load(self, path) -> None:
        """Take the state that `save` wrote, of this network or of one built by the same script.

        Raises:
          FileNotFoundError; ValueError: a file that is damaged, of another version, or of a network with other populations, synapses,
          delays, seed or time step, which the message names. The network is then as it was, but for a time step that it had not.

        >>> import brainunit as u, pathlib, tempfile
        >>> from brainevent.projections import Delta, FixedProb, LIF, Network, Projection
        >>> def build():
        ...     N = LIF(100, V_init=-49 * u.mV, name="N")
        ...     return N, Network(Projection(N, FixedProb(0.1, weight=1 * u.mV), Delta(), N, delay=2 * u.ms), seed=1)
        >>> (N, net), (M, other), file = build(), build(), pathlib.Path(tempfile.mkdtemp()) / "state.npz"
        >>> _ = net.run(1 * u.ms, dt=0.1 * u.ms)
        >>> net.save(file)
        >>> other.load(file)
        >>> bool((net.run(5 * u.ms).spikes(N)[1] == other.run(5 * u.ms).spikes(M)[1]).all())
        True
        """
        refuse_fork("load")
        with one_thread(self._lock, "load"), transfers():
            check_own(self.populations, self)
            load_state(self, path)

    def _keep_noise(self, external):
        """Give noise that comes for the first time a state."""
        made = external.states(lambda key: generator(self.seed, "noise", key))
        self._keep({key: value for key, value in made.items() if key not in self._states})

    def take_states(self, populations: dict, kept: dict, counts: list):
        """Take states that fit, plain arrays by label and name and by key, and the counts of the paths taken."""
        for population in self.populations:
            for name, unit in population.state_units.items():
                getattr(population, name).restore_value(with_unit(jnp.asarray(populations[population.label][name]), unit or u.UNITLESS))
        for key in [key for key in self._states if key not in kept]:
            del self._states[key]
        self._keep({key: jnp.asarray(value) for key, value in kept.items()})
        self._path_counts = [count.copy() for count in counts]
        self._loops.clear()
        self._launches.clear()

    def __getstate__(self):
        """What a copy or a pickle holds: no compiled loops and no lock, which it makes anew, and the values of the states."""
        return self.__dict__ | {
            "_loops": {},
            "_launches": {},
            "_lock": None,
            "_states": {key: state.value for key, state in self._states.items()},
        }

    def __deepcopy__(self, memo):
        return deep_copy(self, memo)

    def __setstate__(self, kept):
        for name, value in (kept | {"_lock": threading.Lock(), "_states": {}}).items():
            object.__setattr__(self, name, value)
        self._keep(kept["_states"])
