"""`Network`: populations and projections, built from one seed, and the compiled loop that runs them."""

import contextlib
import threading

import brainstate
import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np

from ..core import table
from ..core.launch import kernel_for
from .building import (
    check_new,
    delivery_of,
    generator,
    numbered,
    populations_of,
    take_over,
    warn_of_no_synapses,
    warn_of_odd_strength,
    warn_of_silence,
)
from .clock import MOST_STEPS, Clock, in_era, root_of, words_of
from .graph import plot_graph
from .guards import one_thread, refuse_fork, refuse_tracing, transfers, warn
from .inputs import External, PoissonInput
from .interrupt import say
from .launch import SpikesOfLine, launches
from .network_states import NetworkStates
from .parameters import describe
from .projection import Projection
from .recorder import Recorder
from .recording import Run
from .running import Chunks, Loop, kept_loop, not_finite, step_by_step
from .schedule import Schedule
from .summary import headline, summary, summary_html
from .units import check_sign, scalar, steps_of, warn_of_rounding
from .values import flag

FEW_STEPS = 100  # of a run in which nobody expects spikes


class Network(NetworkStates):
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

    @property
    def synapses(self):
        """`(population, synapse)` of every synapse with a state of its own; projections with equal synapses share one."""
        return self.schedule.synapses

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
            self._forget_arrived()
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
        due = self.schedule.due_keys()
        if changed := [key for key in self._states if key.startswith("due.") and key not in due]:
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

    def _loop(self, external, recorder, backend) -> Loop:
        """The compiled loop for this kind of recording and input, and what it takes the synapses as."""
        many, _ = self._launched(backend)
        key = (
            external.key(),
            recorder.key(),
            tuple(part.loop_key() for part in (*self.populations, *self.drives)),
            backend or table.requested(),
        )
        if many is not None and recorder.of_populations and not external.sources:
            self._keep({key: value for key, value in many.states().items() if not self._holds(key, value)})
            at_once = many.at_once(external, recorder)
            run = kept_loop(self._loops, (*key, many.layout), lambda: many.loop(external, recorder))
            recorder = SpikesOfLine(recorder, many.tables) if at_once else recorder
            return Loop(run, many.model, recorder, in_place=not at_once, counted=False)

        def advance(tree, matrices, values, high, low, root, logs):
            return self.schedule.advance(tree, matrices, external, values, Clock((high, low), self.schedule.dt, root), logs)

        return Loop(kept_loop(self._loops, key, lambda: step_by_step(advance, recorder)), self._matrices, recorder)

    def _run_chunks(self, external, recorder, backend, **options):
        """Run to the end or to Ctrl-C, and keep the states."""
        loop, tree = self._loop(external, recorder, backend), self._collect()
        tree = jax.device_put(tree, may_alias=False) if loop.in_place else tree  # a copy, for which nothing is compiled
        tree["kept"].pop("step")  # the loop counts by itself, within an era
        chunks, told, before = Chunks(loop, self._values(external), tree, root_of(self.seed), **options), False, 0
        for tree in chunks:
            self._count_paths(tree, None if loop.counted else chunks.done - before)
            before = chunks.done
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
        kept = chunks.tree["kept"] | {"step": words_of(chunks.first + chunks.done)}
        self._restore(chunks.tree | {"kept": jax.device_put(kept)})

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

    def __repr__(self) -> str:
        return f"Network({headline(self)})"

    def _repr_html_(self) -> str:
        return summary_html(self)
