"""`Network`: populations and projections, built from one seed, and the compiled loop that runs them."""

import contextlib
import threading

import brainstate
import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np

from ..core import path_choice, table
from ..core.launch import kernel_for
from ..formats.jit_connectivity import JITConnectivity
from .building import (
    check_new,
    check_own,
    delivery_of,
    generator,
    numbered,
    populations_of,
    take_over,
    warn_of_no_synapses,
    warn_of_odd_strength,
    warn_of_silence,
)
from .clock import MOST_STEPS, Clock, in_era, root_of, step_of, words_of
from .files import load_state, save_state
from .graph import plot_graph
from .guards import deep_copy, one_thread, refuse_fork, refuse_tracing, transfers, warn
from .inputs import External, PoissonInput
from .interrupt import say
from .launch import launches
from .parameters import describe, with_unit
from .population import plain_state
from .projection import Projection
from .recorder import Recorder
from .recording import Run
from .running import Chunks, kept_loop, not_finite, step_by_step
from .schedule import Schedule, moved
from .summary import summary, summary_html
from .units import check_sign, scalar, steps_of, warn_of_rounding
from .values import flag

FEW_STEPS = 100  # of a run in which nobody expects spikes


class Network(brainstate.nn.Module):
    """Populations joined by projections. Builds everything from one seed, and runs it.

    Each step: integrate the populations with the synapses as they are, decay the synapses, threshold, deliver what is due, reset,
    record. The user orders no calls.

    Args:
      parts: `Projection`s, `PoissonInput`s, and `Population`s (only those that nothing projects from or to need naming).
      seed: what everything random is drawn from, an integer from 0 to 2^64 - 1; a population or projection draws the same whatever the
        order of the parts.
      dt: the time step; may be given to `run` instead. Once it ran, a network keeps its dt.

    Raises:
      TypeError, ValueError: parts that do not fit together.

    >>> import brainunit as u
    >>> from brainevent.projections import Delta, FixedProb, LIF, Network, Projection
    >>> N = LIF(100, V_init=-55 * u.mV, name="N")
    >>> net = Network(Projection(N, FixedProb(0.1, weight=0.5 * u.mV), Delta(), N), seed=1)
    >>> run = net.run(10 * u.ms, dt=0.1 * u.ms, inputs={N: 200 * u.pA})
    >>> run
    Run(10 ms, N: 0 spikes)
    """

    def __init__(self, *parts, seed: int = 0, dt=None):
        refuse_tracing("Network", seed)
        refuse_fork("Network")
        super().__init__()
        if not isinstance(seed, (int, np.integer)) or isinstance(seed, bool):
            raise TypeError(f"Network: seed is {seed!r}, expected an integer")
        if not 0 <= seed < 1 << 64:
            raise ValueError(f"Network: seed is {seed}, expected an integer from 0 to 2**64 - 1")
        self.seed = int(seed)
        self.populations = populations_of(parts)
        self.projections = [part for part in parts if isinstance(part, Projection)]
        self.drives = [part for part in parts if isinstance(part, PoissonInput)]
        self._dt: float | None = None
        self._population_operands: dict[str, dict] = {}
        self._loops: dict = {}
        self._launches: dict = {}
        self._lock = threading.Lock()
        self._states: dict[str, brainstate.State] = {}
        with transfers():
            self._build()
            if dt is not None:
                self._set_dt(dt)

    def _build(self):
        check_new(self.projections)
        ordered = sorted(self.projections, key=Projection.order)  # sums and draws do not depend on the order of the parts
        drives = sorted(self.drives, key=PoissonInput.order)
        keys = [" ".join(words) for words in numbered(repr(drive) for drive in drives)]
        for projection, words in zip(ordered, numbered(projection.seed_words() for projection in ordered)):
            projection.build(*(generator(self.seed, what, *words) for what in ("synapses", "weights", "delays")))
        self.schedule = Schedule(self.populations, ordered, drives, keys)
        take_over(self.populations, self)
        self.reset()
        for projection in self.projections:
            warn_of_odd_strength(projection)
            warn_of_no_synapses(projection)
        for projection in ordered:  # last, so that the parts of a network that could not be built are as they were
            projection.network = self
            self._hold_weights(projection)
        self._matrices = [delivery_of(projection, None) for projection in ordered]

    def _hold_weights(self, projection):
        """Make the weights of a projection that learns a state."""
        if projection.learns:
            values = projection.plasticity.with_weights(self._plastic(projection), projection.hand_over_weights())
            self._keep({self.schedule.plastic_key(projection, name): value for name, value in values.items()})

    def _plastic(self, projection) -> dict:
        """The states of the plasticity of a projection, by name."""
        return {name: state.value for name, state in self.schedule.plastic(projection, self._states).items()}

    def reorder_weights(self, projection, order):
        """Store the weights of a projection that learns in another order of its synapses."""
        key = self.schedule.plastic_key(projection, "w")
        self._keep({key: self._states[key].value[order]})

    def plastic_state(self, projection, name: str) -> brainstate.State:
        """A state of the plasticity of a projection."""
        return self._states[self.schedule.plastic_key(projection, name)]

    def learned_weights(self, projection):
        """The weights of a projection that learns, plain numbers (n_synapses,), as they are stored."""
        return projection.plasticity.weights(self._plastic(projection))

    @property
    def synapses(self):
        """`(population, synapse)` of every synapse with a state of its own; projections with equal synapses share one."""
        return self.schedule.synapses

    def refresh_matrix(self, projection):
        """Take over the weights that were set on a projection."""
        self._hold_weights(projection)
        self._renew(projection)
        self._launches.clear()
        warn_of_odd_strength(projection)

    def _renew(self, projection):
        """Take a projection as it is now."""
        self._matrices[self.schedule.projections.index(projection)] = delivery_of(projection, self._dt)

    def refresh_delay(self, projection, delay):
        """Take over the delay that was set on a projection. Spikes that are under way, of all projections of that population, become the
        input that is due at their targets, and arrive when they were to.
        """
        plastic = [p.name for p in self.projections if p.plasticity is not None and p.pre.population is projection.pre.population]
        if plastic and self._dt is not None and self.first_step:
            raise ValueError(
                f"{projection.name}: its delay cannot change while spikes of {projection.pre.population.label} are under way to "
                f"{plastic[0]}, which is plastic: call net.reset() first"
            )
        with transfers():
            delay = projection.fitting(delay)
            if self._dt is not None:
                delay.check_step(self._dt)
            if self._dt is not None and self.first_step:
                kept = {key: state.value for key, state in self._states.items()}
                self._keep(self.schedule.under_way(kept, self._matrices, projection.pre.population, self.first_step))
            projection.take_delay(delay, self._dt)
            self._renew(projection)
            for key, ring in (self.schedule.rings() if self._dt is not None else {}).items():
                self._keep({key: self._grown(key, ring)})
            self._loops.clear()
            self._launches.clear()

    def _grown(self, key, ring):
        """A ring that holds what the one of that name does, and is at least as large as the one given."""
        if key not in self._states:
            return ring
        now = self._states[key].value
        if now.shape[0] >= ring.shape[0]:
            return now
        first = self.first_step
        return moved(now, ring.shape[0], first if key.startswith("due.") else first - now.shape[0])

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
        for key in [key for key in self._states if key.startswith("input.")]:
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

    def path_counts(self, projection):
        """How often each path of `path_choice.TAKEN` delivered for a projection, int64 (3,)."""
        index = self.schedule.projections.index(projection)
        return self._path_counts[index] + np.asarray(self._states[f"paths{index}"].value)

    def _count_paths(self, tree):
        """Move the counts of the paths taken to the host, where they never overflow."""
        for index, total in enumerate(self._path_counts):
            total += np.asarray(tree["kept"][f"paths{index}"])
            tree["kept"][f"paths{index}"] = np.zeros_like(total, np.int32)

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
            for part in (*self.projections, *self.populations):
                part.check_step(number)
            rounded = [projection.rounded_delays(number) for projection in self.projections]
            self._dt = self.schedule.dt = number
            self._population_operands = {p.label: jax.tree.map(jnp.asarray, p.operands(number)) for p in self.populations}
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

    # -- running ------------------------------------------------------------------------------------------------------------

    def step(self, inputs=None):
        """One step of dt on the states themselves, for loops of your own under `brainstate.transform`.

        Args:
          inputs: as for `run`; a current may be traced, as one that changes from step to step, or that is differentiated by.

        The time step is the network's, or that of `brainstate.environ`.

        >>> import brainunit as u, brainstate
        >>> from brainevent.projections import LIF, Network
        >>> N = LIF(3, V_init=-49.9 * u.mV, name="N")
        >>> net = Network(N, dt=0.1 * u.ms)
        >>> _ = brainstate.transform.for_loop(lambda i: net.step({N: 1 * u.nA}), brainstate.random.random(5))
        >>> N.V.value.shape
        (3,)
        """
        refuse_fork("step")
        if self._dt is None:
            self._set_dt(brainstate.environ.get_dt())
        external = External(inputs, self.populations, self.schedule.dt, traced=False)
        self._keep_noise(external)
        values, tree = self._values(external), self._collect()
        words = tree["kept"].pop("step")
        clock = Clock((words[0], words[1]), self.schedule.dt, in_era(root_of(self.seed), words[0]))
        tree = self.schedule.advance(tree, self._matrices, external, values, clock)
        tree["kept"]["step"] = clock.next()
        self._restore(tree)

    def run(self, duration, dt=None, *, inputs=None, record=None, progress: bool | None = None, backend: str | None = None) -> Run:
        """Simulate for a time and return what was recorded. A second call goes on where the first ended.

        Args:
          duration: biological time, at least 0.
          dt: the time step, needed the first time.
          inputs: `{population or slice: current}`; a current is a Quantity, scalar or one a neuron, a function of time (a
            Quantity in ms) that returns one, a `TimedArray`, or noise (`OrnsteinUhlenbeck`, `WhiteNoise`).
          record: a list of states, as `[N.spikes, N[:5].V]`; the spikes of every population if left out.
          progress: show a progress bar; None shows one on a terminal.
          backend: a backend asked for by name, as with `brainevent.backend`.

        A function of time is traced, once a run: no `if`, no numpy and no random numbers in it; u.math.where for conditions.

        Ctrl-C ends the run at the end of a chunk (0.25 s) and returns what was recorded until then; a second one raises at once.

        Raises:
          ValueError: a negative time, an unknown population or state; brainunit.UnitMismatchError: wrong units.
          RuntimeError: the network runs in another thread, or the process was forked from one that had run a network.
        """
        refuse_tracing("run", duration, dt, list((inputs or {}).values()) if isinstance(inputs, dict) else None)
        refuse_fork("run")
        if dt is not None:
            self._set_dt(dt)
        if self._dt is None:
            raise ValueError("run needs a time step: net.run(duration, dt=0.1 * u.ms)")
        progress = None if progress is None else flag(progress, "progress")
        n_steps = self._n_steps(duration)
        with one_thread(self._lock, "run"), transfers(), table.backend(backend) if backend else contextlib.nullcontext():
            external, recorder = External(inputs, self.populations, self._dt, traced=True), Recorder(record, self.populations, self._dt)
            first = self.first_step
            external.warn_of_coarse_time((first + n_steps) * self._dt, self._dt)
            self._keep_noise(external)
            if n_steps >= FEW_STEPS:
                warn_of_silence(self.projections, self.drives, external.populations)
            chunks = self._run_chunks(external, recorder, backend, first=first, n_steps=n_steps, dt=self._dt, progress=progress)
        return Run(
            dt=self._dt,
            first_step=first,
            n_steps=chunks.done,
            **recorder.results(chunks.done),
            sources=recorder.sources,
            interrupted=chunks.interrupted,
            speed=chunks.speed,
        )

    def _n_steps(self, duration) -> int:
        expected = "a time of at least 0 ms"
        check_sign(scalar(duration, u.ms, "duration", expected), duration, "duration", expected, zero=True)
        steps = steps_of(duration, self._dt * u.ms, "duration")
        if self.first_step + steps >= MOST_STEPS:
            raise ValueError(
                f"duration is {describe(duration)}, expected fewer than 2^63 steps of dt = {self._dt:.6g} ms in all; check its unit"
            )
        if steps < 100:  # beyond, half a step is less than 1 %
            warn_of_rounding(scalar(duration, u.ms, "duration"), self.schedule.dt, "duration")
        return round(steps)

    def _values(self, external) -> dict:
        """What the steps take beside states and synapses, as `Schedule.advance` does."""
        return {"inputs": jax.tree.map(jnp.asarray, external.values), "populations": self._population_operands}

    def _launched(self, backend):
        """`(Launches, why)` for a backend that runs many steps in one launch, or None and why the network runs step by step."""
        if changed := [key for key in self._states if key.startswith("due.") and key not in self.schedule.due_keys()]:
            return None, f"spikes under way by a delay that was changed are kept as the input that is due ({len(changed)} rings)"
        key = backend or table.requested(), table.current_platform()
        if key not in self._launches:
            self._launches[key] = launches(self.schedule, self._matrices, backend)
        return self._launches[key]

    def loop_words(self) -> str:
        """How the steps follow each other, and why; nothing before dt is known, nor where no backend offers a choice."""
        if self._dt is None or kernel_for(None)[0] is None:
            return ""
        many, why = self._launched(None)
        return f"loop: one step after another: {why}" if many is None else f"loop: many steps in one launch, by {many.backend}"

    def _loop(self, external, recorder, backend):
        """`(loop, matrices)`: the compiled loop for this kind of recording and input, and what it takes the synapses as."""
        many, _ = self._launched(backend)
        key = (
            external.key(),
            recorder.key(),
            tuple(part.loop_key() for part in (*self.populations, *self.drives)),
            backend or table.requested(),
        )
        if many is not None and recorder.of_populations and not external.sources:
            return kept_loop(self._loops, (*key, many.layout), lambda: many.loop(external, recorder)), many.model

        def advance(tree, matrices, values, high, low, root):
            return self.schedule.advance(tree, matrices, external, values, Clock((high, low), self.schedule.dt, root))

        return kept_loop(self._loops, key, lambda: step_by_step(advance, recorder)), self._matrices

    def _run_chunks(self, external, recorder, backend, **options):
        """Run to the end or to Ctrl-C, and keep the states."""
        loop, matrices = self._loop(external, recorder, backend)
        operands, tree = (matrices, self._values(external)), jax.tree.map(jnp.copy, self._collect())
        tree["kept"].pop("step")  # the loop counts by itself, within an era
        chunks, told = Chunks(loop, operands, tree, recorder, root_of(self.seed), **options), False
        for tree in chunks:
            self._count_paths(tree)
            words = None if told else not_finite(tree, self.schedule.state_names())
            if words:
                told = True
                self._warn_of(words, chunks)
        self._restore_after(chunks)
        if chunks.interrupted:
            say(f"interrupted after {chunks.done * chunks.dt:.6g} of {chunks.n_steps * chunks.dt:.6g} ms: what was recorded is kept")
        return chunks

    def _restore_after(self, chunks: Chunks):
        """Keep the states after the last chunk, and the number of the step that comes next."""
        chunks.tree["kept"]["step"] = jnp.asarray(words_of(chunks.first + chunks.done))
        self._restore(chunks.tree)

    def _warn_of(self, words: str, chunks: Chunks):
        """Warn of a state that is not finite; where warnings are errors, the states are kept before it is raised."""
        try:
            warn(
                f"{words}, after step {chunks.first + chunks.done} ({(chunks.first + chunks.done) * chunks.dt:.6g} ms): such neurons never "
                "spike again: look at weights, inputs and dt; net.reset() starts anew",
            )
        except Warning:
            self._restore_after(chunks)
            raise

    def summary(self) -> str:
        """Populations, schedule, and for each projection synapses, bytes, format, path, and the size of one PSP."""
        return summary(self)

    def plot(self, *, path: str | None = None):
        """Draw the populations and the projections between them; see `graph.plot_graph`."""
        return plot_graph(self, path=path)

    def _repr_html_(self) -> str:
        return summary_html(self)

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
