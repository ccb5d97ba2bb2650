"""`Network`: populations and projections, the schedule of a step, and the compiled loop that runs it."""

import contextlib
import functools
import signal
import threading
import time
import warnings
import zlib

import brainstate
import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np

from ..core import kernels, paths
from ..core.inplace import packed_size, ring_exchange
from .clock import Clock
from .inputs import External, PoissonInput
from .population import Population
from .projection import Projection
from .quantities import plain, steps_of
from .recording import Recorder, Run
from .summary import summary

MOST_LOOPS = 8  # compiled loops a network keeps, one for each kind of recording and input
CHUNK_SECONDS = 0.25  # how long the device runs between looks at the clock, the progress bar and Ctrl-C


@contextlib.contextmanager
def ctrl_c():
    """Collect Ctrl-C in the list that is yielded: the device may hold the only copy of a state, so a chunk ends before a run does.

    Pressed again, it interrupts at once. Outside the main thread, where Python delivers no signals, the list stays empty.
    """
    pressed: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield pressed
        return

    def note(number, frame):
        pressed.append(number)
        if len(pressed) > 1:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, note)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)


def _numbered(words):
    """`(word, "0")`, `(word, "1")`, ... where a word comes again."""
    seen: dict[str, int] = {}
    for word in words:
        seen[word] = seen.get(word, -1) + 1
        yield word, str(seen[word])


class Network(brainstate.nn.Module):
    """Populations joined by projections. Builds everything from one seed, and runs it.

    Each step: integrate the populations with the synapses as they are, decay the synapses, threshold, deliver what is due, reset,
    record. The user orders no calls.

    Args:
      parts: `Projection`s, `PoissonInput`s, and `Population`s (only those that nothing projects from or to need naming).
      seed: what everything random is drawn from; a population or projection draws the same whatever the order of the parts.
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
        super().__init__()
        if not isinstance(seed, (int, np.integer)):
            raise TypeError(f"Network: seed is {seed!r}, expected an integer")
        self.seed = int(seed)
        self.projections = [part for part in parts if isinstance(part, Projection)]
        self.drives = [part for part in parts if isinstance(part, PoissonInput)]
        for part in parts:
            if not isinstance(part, (Projection, PoissonInput, Population)):
                raise TypeError(f"Network takes projections, Poisson inputs and populations, one by one (Network(*parts)), got {part!r}")
        self.populations = self._found_populations(parts)
        self._name_populations()
        self._dt = None
        self._loops: dict = {}
        self._states: dict[str, brainstate.State] = {}
        self._build()
        if dt is not None:
            self._set_dt(dt)

    # -- building -----------------------------------------------------------------------------------------------------------

    def _found_populations(self, parts) -> list[Population]:
        """Every population once, in the order of appearance."""
        found: list[Population] = []
        for part in parts:
            ends = [part] if isinstance(part, Population) else [getattr(part, side).population for side in ("pre", "post") if hasattr(part, side)]
            for end in ends:
                if not any(end is other for other in found):
                    found.append(end)
        return found

    def _name_populations(self):
        taken = [population.label for population in self.populations if population.label]
        for name in taken:
            if taken.count(name) > 1:
                raise ValueError(f"{taken.count(name)} populations are named {name!r}: give each a name of its own")
        for population in self.populations:
            if not population.label:
                kind = type(population).__name__
                population.label = next(label for i in range(len(taken) + 1) if (label := f"{kind}{i or ''}") not in taken)
                taken.append(population.label)

    def _rng(self, *words) -> np.random.Generator:
        """A generator keyed by the seed and by words."""
        return np.random.default_rng([int(self.seed) & 0xFFFFFFFFFFFFFFFF, *(zlib.crc32(word.encode()) for word in words)])

    def _build(self):
        for index, projection in enumerate(self.projections):
            if projection.network is not None or any(projection is other for other in self.projections[:index]):
                where = "in another network already" if projection.network is not None else "given twice"
                raise ValueError(f"{projection.name} is {where}: make a new Projection")
        self._check_steps()
        self.projections.sort(key=Projection.order)  # sums do not depend on the order of the parts
        self.drives.sort(key=PoissonInput.order)
        self._drive_keys = [" ".join(words) for words in _numbered(repr(drive) for drive in self.drives)]
        for projection, words in zip(self.projections, _numbered(projection.seed_words() for projection in self.projections)):
            projection.build(self._rng("structure", *words), self._rng("weight", *words))
        self.synapses = self._shared_synapses()
        self._matrices = [self._device_matrix(projection) for projection in self.projections]
        self.reset()
        for projection in self.projections:
            self._warn_of_odd_strength(projection)
        for projection in self.projections:  # last, so that the parts of a network that could not be built are as they were
            projection.network = self

    def _check_steps(self):
        """Populations that ran before keep the dt they ran with, and a network has one."""
        ran = [population for population in self.populations if population.dt is not None]
        for population in ran:
            if population.dt != ran[0].dt:
                across = [p.name for p in self.projections if {p.pre.population.dt, p.post.population.dt} == {population.dt, ran[0].dt}]
                joined = f" (joined by {', '.join(across)})" if across else ""
                raise ValueError(
                    f"population {ran[0].label} ran with dt = {ran[0].dt} ms and population {population.label} with dt = "
                    f"{population.dt} ms{joined}: a network has one dt, make the populations anew"
                )

    def _shared_synapses(self) -> list[tuple[Population, object]]:
        """Each synapse with a state of its own: one for every population and equal value."""
        found: list[tuple[Population, object]] = []
        for part in (*self.projections, *self.drives):
            entry = (part.post.population, part.synapse)
            if not any(entry[0] is p and entry[1] == s for p, s in found):
                found.append(entry)
        return found

    def _synapse_index(self, part) -> int:
        return next(i for i, (p, s) in enumerate(self.synapses) if p is part.post.population and s == part.synapse)

    def _device_matrix(self, projection):
        matrix = projection.matrix.replace(data=u.get_mantissa(projection.matrix.data))
        return matrix, matrix.regrouped() if paths.wants_mirror(matrix, projection.path) else None

    def refresh_matrix(self, projection):
        """Take over the weights that were set on a projection."""
        self._matrices[self.projections.index(projection)] = self._device_matrix(projection)

    def _warn_of_odd_strength(self, projection):
        psp = projection.psp()
        if psp is None or projection.matrix.nse == 0:
            return
        own = projection.post.population.own
        distance = float(np.mean(np.asarray(own["V_th"]) - np.asarray(own["V_rest"])))
        if psp and not 1e-4 <= abs(psp) / abs(distance) <= 10:
            warnings.warn(
                f"{projection.name}: one spike moves V by {psp:.3g} mV, {abs(psp) / abs(distance):.2g} of the distance from rest to "
                f"threshold ({distance:.3g} mV): check the units of weight and R",
                stacklevel=5,  # the line that made the network: brainstate's metaclass stands between
            )

    # -- state --------------------------------------------------------------------------------------------------------------

    def reset(self):
        """Back to the start: initial states drawn anew from the seed, synapses at zero, no spike under way, step 0."""
        for population in self.populations:
            for name, value in population.initial(self._rng("initial", population.label)).items():
                state = getattr(population, name)
                unit = population.state_units[name]
                array = jnp.asarray(value) if value.dtype != np.float64 else jnp.asarray(value, jnp.result_type(float))
                state.restore_value(array if unit is None else u.Quantity(array, unit=unit))
        kept = {"step": jnp.zeros((), jnp.int32)}
        for index, (population, synapse) in enumerate(self.synapses):
            for name, value in synapse.initial(population.size).items():
                kept[f"synapse{index}.{name}"] = jnp.asarray(value, jnp.result_type(float))
        for index in range(len(self.projections)):
            kept[f"paths{index}"] = jnp.zeros(len(paths.TAKEN), jnp.int32)
        self._keep(kept)
        if self._dt is not None:
            self._make_rings()

    def _keep(self, values):
        """Set states of the network itself; one that is there stays the same object, which compiled functions hold on to."""
        for key, value in values.items():
            if key in self._states:
                self._states[key].restore_value(value)
            else:
                self._states[key] = brainstate.HiddenState(value)

    def path_counts(self, projection):
        """How often each path of `paths.TAKEN` delivered for a projection, int32 (3,)."""
        return self._states[f"paths{self.projections.index(projection)}"].value

    def _make_rings(self):
        for label, slots in self._ring_slots().items():
            size = next(p.size for p in self.populations if p.label == label)
            self._keep({f"ring.{label}": jnp.zeros((slots, packed_size(size)), jnp.uint8)})

    def _ring_slots(self) -> dict[str, int]:
        slots: dict[str, int] = {}
        for projection in self.projections:
            steps = projection.delay_steps(self._dt)
            if steps:
                label = projection.pre.population.label
                slots[label] = max(slots.get(label, 0), steps + 1)
        return slots

    @property
    def dt(self):
        """The time step, or None before it is known."""
        return None if self._dt is None else self._dt * u.ms

    def _set_dt(self, dt):
        number = float(plain(dt, u.ms, "dt"))
        if not (np.isfinite(number) and number > 0):
            raise ValueError(f"dt is {dt}, expected a positive time")
        if self._dt is not None and not np.isclose(number, self._dt, rtol=1e-6, atol=0):
            raise ValueError(f"this network runs at dt = {self._dt} ms and cannot go on at {number} ms: build it anew")
        for population in self.populations:
            if population.dt is not None and not np.isclose(number, population.dt, rtol=1e-6, atol=0):
                raise ValueError(
                    f"population {population.label} is part of a network with dt = {population.dt} ms, and this one has dt = {number} ms: "
                    "use one dt, or another population"
                )
        if self._dt is None:
            for projection in self.projections:
                projection.warn_of_rounding(number)
            self._dt = number
            for population in self.populations:
                population.dt = number
            self._make_rings()

    def _collect(self):
        """All states as one tree of plain arrays."""
        populations = {p.label: {n: u.get_mantissa(getattr(p, n).value) for n in p.state_units} for p in self.populations}
        return {"populations": populations, "kept": {key: state.value for key, state in self._states.items()}}

    def _restore(self, tree):
        """Write a tree of plain arrays back to the states."""
        for population in self.populations:
            for name, unit in population.state_units.items():
                value = tree["populations"][population.label][name]
                getattr(population, name).value = value if unit is None else u.Quantity(value, unit=unit)
        for key, state in self._states.items():
            state.value = tree["kept"][key]

    # -- the schedule -------------------------------------------------------------------------------------------------------

    def _advance(self, tree, matrices, external, values, root):
        """One step on a tree of plain arrays: this is the order of everything."""
        kept, old = dict(tree["kept"]), tree["populations"]
        clock = Clock(kept["step"], self._dt, root)
        states = [{name: kept[f"synapse{i}.{name}"] for name in synapse.initial(1)} for i, (_, synapse) in enumerate(self.synapses)]
        new, spikes = {}, {}
        for population in self.populations:  # integrate, threshold, reset
            inputs = [(synapse, states[i]) for i, (post, synapse) in enumerate(self.synapses) if post is population]
            current = external.current(population, values, clock.time)
            new[population.label], spikes[population.label] = population.advance(old[population.label], inputs, current, clock)
        states = [synapse.decay(state, self._dt) for (_, synapse), state in zip(self.synapses, states)]  # decay
        pending = {(i, name): f for i, (_, synapse) in enumerate(self.synapses) for name, f in synapse.decay_factors(self._dt).items()}
        jumps = {}
        due = self._due(kept, spikes)
        for index, projection in enumerate(self.projections):  # deliver
            self._deliver(index, projection, matrices[index], due, kept, states, jumps, pending)
        for (i, name), factor in pending.items():  # states that no projection delivered to
            states[i] = {**states[i], name: states[i][name] * jnp.asarray(factor, states[i][name].dtype)}
        for drive, words in zip(self.drives, self._drive_keys):
            arriving = drive.weight * drive.counts(clock.key(words), self._dt)
            self._add(drive, arriving, states, jumps)
        for population in self.populations:
            state = new[population.label]
            if population.label in jumps:
                state = population.jump(state, spikes[population.label], jumps[population.label])
            new[population.label] = {**state, "spikes": spikes[population.label]}
        for i, state in enumerate(states):
            kept |= {f"synapse{i}.{name}": value for name, value in state.items()}
        kept["step"] = kept["step"] + 1
        return {"populations": new, "kept": kept}

    def _due(self, kept, spikes):
        """`{(label, delay): spikes due}` of every population and delay in use; writes this step's spikes into the rings."""
        due = {(label, 0): value for label, value in spikes.items()}
        for label in self._ring_slots():
            delays = sorted({p.delay_steps(self._dt) for p in self.projections if p.pre.population.label == label} - {0})
            kept[f"ring.{label}"], rows = ring_exchange(kept[f"ring.{label}"], kept["step"], spikes[label], tuple(delays))
            due |= {(label, delay): rows[i] for i, delay in enumerate(delays)}
        return due

    def _deliver(self, index, projection, matrices, due, kept, states, jumps, pending):
        """Add what is due on one projection to the state of its synapse, or to the jumps of V; the first one applies the decay."""
        pre, post = projection.pre, projection.post
        matrix, mirror = matrices
        target = self._target(projection, states, jumps)
        spikes = due[pre.population.label, projection.delay_steps(self._dt)]
        window = (pre.start, pre.stop, post.start, post.stop)
        decay = pending.pop((self._synapse_index(projection), projection.synapse.targets()), None)
        target, kept[f"paths{index}"] = paths.deposit(
            target, kept[f"paths{index}"], matrix, mirror, spikes, decay=decay, window=window, path=projection.path
        )
        self._set_target(projection, target, states, jumps)

    def _target(self, part, states, jumps):
        name = part.synapse.targets()
        if name is None:
            label = part.post.population.label
            return jumps.get(label, jnp.zeros(part.post.population.size, jnp.result_type(float)))
        return states[self._synapse_index(part)][name]

    def _set_target(self, part, value, states, jumps):
        name = part.synapse.targets()
        if name is None:
            jumps[part.post.population.label] = value
        else:
            index = self._synapse_index(part)
            states[index] = {**states[index], name: value}

    def _add(self, part, arriving, states, jumps):
        target = self._target(part, states, jumps)
        self._set_target(part, target.at[part.post.start : part.post.stop].add(arriving), states, jumps)

    # -- running ------------------------------------------------------------------------------------------------------------

    def step(self, inputs=None):
        """One step of dt on the states themselves, for loops of your own under `brainstate.transform`.

        Args:
          inputs: as for `run`.

        The time step is the network's, or that of `brainstate.environ`.

        >>> import brainunit as u, brainstate
        >>> from brainevent.projections import LIF, Network
        >>> N = LIF(3, V_init=-49.9 * u.mV, name="N")
        >>> net = Network(N, dt=0.1 * u.ms)
        >>> _ = brainstate.transform.for_loop(lambda i: net.step({N: 1 * u.nA}), brainstate.random.random(5))
        >>> N.V.value.shape
        (3,)
        """
        if self._dt is None:
            self._set_dt(brainstate.environ.get_dt())
        external = External(inputs, self.populations)
        values = [jnp.asarray(value) for value in external.values]
        self._restore(self._advance(self._collect(), self._matrices, external, values, jax.random.key(self.seed)))

    def run(self, duration, dt=None, *, inputs=None, record=None, progress: bool | None = None, backend: str | None = None) -> Run:
        """Simulate for a time and return what was recorded. A second call goes on where the first ended.

        Args:
          duration: biological time, at least 0.
          dt: the time step, needed the first time.
          inputs: `{population or slice: current}`; a current is a Quantity, scalar or one a neuron, or a function of time (a
            Quantity in ms) that returns one.
          record: a list of states, as `[N.spikes, N[:5].V]`; the spikes of every population if left out.
          progress: show a progress bar; None shows one on a terminal.
          backend: a backend asked for by name, as with `brainevent.backend`.

        Ctrl-C ends the run at the end of a chunk (0.25 s) and returns what was recorded until then; a second one raises at once.

        Raises:
          ValueError: a negative time, an unknown population or state; brainunit.UnitMismatchError: wrong units.
        """
        if dt is not None:
            self._set_dt(dt)
        if self._dt is None:
            raise ValueError("run needs a time step: net.run(duration, dt=0.1 * u.ms)")
        n_steps = self._n_steps(duration)
        external, recorder = External(inputs, self.populations), Recorder(record, self.populations)
        first = int(self._states["step"].value)
        with kernels.backend(backend) if backend else contextlib.nullcontext():
            loop = self._loop(external, recorder, backend)
            done, interrupted, speed = self._run_chunks(loop, external, recorder, first, n_steps, progress)
        spikes, states = recorder.results()
        return Run(
            dt=self._dt,
            first_step=first,
            n_steps=done,
            spikes=spikes,
            states=states,
            names=recorder.names,
            interrupted=interrupted,
            speed=speed,
        )

    def _n_steps(self, duration) -> int:
        if not 0 <= plain(duration, u.ms, "duration") < np.inf:
            raise ValueError(f"duration is {duration}, expected a time of at least 0 ms")
        return round(steps_of(duration, self._dt * u.ms, "duration"))

    def _loop(self, external, recorder, backend):
        """The compiled loop for this kind of recording and input: any number of steps up to the rows of the buffers."""
        key = (external.key(), recorder.key(), backend or kernels.requested())
        if key not in self._loops:
            while len(self._loops) >= MOST_LOOPS:
                self._loops.pop(next(iter(self._loops)))

            @functools.partial(jax.jit, donate_argnums=(0, 1))
            def loop(tree, buffers, matrices, values, root, n):
                def body(row, carry):
                    tree, buffers = carry
                    tree = self._advance(tree, matrices, external, values, root)
                    return tree, recorder.write(buffers, row, tree["populations"])

                return jax.lax.fori_loop(0, n, body, (tree, buffers))

            self._loops[key] = loop
        return self._loops[key]

    def _run_chunks(self, loop, external, recorder, first, n_steps, progress):
        """Run the loop chunk by chunk; returns steps done, whether interrupted, simulated seconds a second."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # in a notebook without ipywidgets, whose bar is then text
            from tqdm.auto import tqdm

        tree, buffers = jax.tree.map(jnp.copy, self._collect()), recorder.buffers()
        values, root = [jnp.asarray(value) for value in external.values], jax.random.key(self.seed)
        done, rows, busy, timed = 0, min(recorder.rows, 10), 0.0, 0
        hidden = None if progress is None else not progress
        bar = tqdm(total=n_steps * self._dt / 1e3, unit="s", disable=hidden, bar_format="{l_bar}{bar}| {n:.3g}/{total:.3g} s of biological time [{elapsed}<{remaining}, {rate_fmt}]")
        with bar, ctrl_c() as interrupted:
            while done < n_steps and not interrupted:
                n = min(rows, n_steps - done)
                started = time.perf_counter()
                tree, buffers = jax.block_until_ready(loop(tree, buffers, self._matrices, values, root, n))
                took = time.perf_counter() - started
                if done:  # the first chunk compiles
                    busy, timed = busy + took, timed + n
                    rows = max(1, min(recorder.rows, int(n * np.clip(CHUNK_SECONDS / took, 0.1, 10))))
                recorder.collect(buffers, first + done, n)
                done += n
                bar.update(n * self._dt / 1e3)
        self._restore(tree)
        if interrupted:
            warnings.warn(f"interrupted after {done * self._dt:.6g} of {n_steps * self._dt:.6g} ms: what was recorded is kept", stacklevel=3)
        return done, bool(interrupted), timed * self._dt / 1e3 / busy if busy else None

    def summary(self) -> str:
        """Populations, schedule, and for each projection synapses, bytes, format, path, and the size of one PSP."""
        return summary(self)
