"""`Network`: populations and projections, built from one seed, and the compiled loop that runs them."""

import contextlib
import functools
import time
import warnings

import brainstate
import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np

from ..core import table
from ..formats.jit_connectivity import JITConnectivity
from .building import check_new, check_steps, device_matrix, generator, numbered, populations_of, warn_of_odd_strength
from .inputs import External, PoissonInput
from .interrupt import ctrl_c
from .projection import Projection
from .recording import Recorder, Run
from .schedule import Schedule
from .summary import summary
from .units import check_sign, scalar, steps_of

MOST_LOOPS = 8  # compiled loops a network keeps, one for each kind of recording and input
CHUNK_SECONDS = 0.25  # how long the device runs between looks at the clock, the progress bar and Ctrl-C


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
        self.populations = populations_of(parts)
        self.projections = [part for part in parts if isinstance(part, Projection)]
        self.drives = [part for part in parts if isinstance(part, PoissonInput)]
        self._dt: float | None = None
        self._loops: dict = {}
        self._states: dict[str, brainstate.State] = {}
        self._build()
        if dt is not None:
            self._set_dt(dt)

    def _build(self):
        check_new(self.projections)
        check_steps(self.populations, self.projections)
        ordered = sorted(self.projections, key=Projection.order)  # sums and draws do not depend on the order of the parts
        drives = sorted(self.drives, key=PoissonInput.order)
        keys = [" ".join(words) for words in numbered(repr(drive) for drive in drives)]
        for projection, words in zip(ordered, numbered(projection.seed_words() for projection in ordered)):
            projection.build(generator(self.seed, "synapses", *words), generator(self.seed, "weights", *words))
        self.schedule = Schedule(self.populations, ordered, drives, keys)
        self._matrices = [device_matrix(projection) for projection in ordered]
        self.reset()
        for projection in self.projections:
            warn_of_odd_strength(projection, stacklevel=5)  # the line that made the network: brainstate's metaclass stands between
        for projection in self.projections:  # last, so that the parts of a network that could not be built are as they were
            projection.network = self

    @property
    def synapses(self):
        """`(population, synapse)` of every synapse with a state of its own; projections with equal synapses share one."""
        return self.schedule.synapses

    def refresh_matrix(self, projection):
        """Take over the weights that were set on a projection."""
        self._matrices[self.schedule.projections.index(projection)] = device_matrix(projection)

    def nbytes(self, projection) -> int:
        """Bytes that the synapses of a projection take, the copy grouped by target included where there is one; 0 if none is stored."""
        if isinstance(projection.matrix, JITConnectivity):
            return 0
        return sum(leaf.nbytes for leaf in jax.tree.leaves(self._matrices[self.schedule.projections.index(projection)]))

    # -- state --------------------------------------------------------------------------------------------------------------

    def reset(self):
        """Back to the start: initial states drawn anew from the seed, synapses at zero, no spike under way, step 0."""
        for population in self.populations:
            for name, value in population.initial(generator(self.seed, "initial", population.label)).items():
                state = getattr(population, name)
                unit = population.state_units[name]
                array = jnp.asarray(value) if value.dtype != np.float64 else jnp.asarray(value, jnp.result_type(float))
                state.restore_value(array if unit is None else u.Quantity(array, unit=unit))
        self._keep(self.schedule.initial())
        if self._dt is not None:
            self._keep(self.schedule.rings())

    def _keep(self, values):
        """Set states of the network itself; one that is there stays the same object, which compiled functions hold on to."""
        for key, value in values.items():
            if key in self._states:
                self._states[key].restore_value(value)
            else:
                self._states[key] = brainstate.HiddenState(value)

    def path_counts(self, projection):
        """How often each path of `path_choice.TAKEN` delivered for a projection, int32 (3,)."""
        return self._states[f"paths{self.schedule.projections.index(projection)}"].value

    @property
    def dt(self):
        """The time step, or None before it is known."""
        return None if self._dt is None else self._dt * u.ms

    def _set_dt(self, dt):
        number = scalar(dt, u.ms, "dt", "a positive time")
        check_sign(number, dt, "dt", "a positive time", zero=False)
        if self._dt is not None and not np.isclose(number, self._dt, rtol=1e-6, atol=0):
            raise ValueError(f"this network runs at dt = {self._dt} ms and cannot go on at {number} ms: build it anew")
        for population in self.populations:
            if population.dt is not None and not np.isclose(number, population.dt, rtol=1e-6, atol=0):
                raise ValueError(
                    f"population {population.label} is part of a network with dt = {population.dt} ms, and this one has dt = {number} ms: "
                    "use one dt, or another population"
                )
        if self._dt is None:
            for part in (*self.projections, *self.populations):
                part.check_step(number)
            self._dt = self.schedule.dt = number
            for population in self.populations:
                population.dt = number
            self._keep(self.schedule.rings())

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
        self._restore(self.schedule.advance(self._collect(), self._matrices, external, values, jax.random.key(self.seed)))

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
        with table.backend(backend) if backend else contextlib.nullcontext():
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
        expected = "a time of at least 0 ms"
        check_sign(scalar(duration, u.ms, "duration", expected), duration, "duration", expected, zero=True)
        return round(steps_of(duration, self._dt * u.ms, "duration"))

    def _loop(self, external, recorder, backend):
        """The compiled loop for this kind of recording and input: any number of steps up to the rows of the buffers."""
        key = (external.key(), recorder.key(), backend or table.requested())
        if key not in self._loops:
            while len(self._loops) >= MOST_LOOPS:
                self._loops.pop(next(iter(self._loops)))

            @functools.partial(jax.jit, donate_argnums=(0, 1))
            def loop(tree, buffers, matrices, values, root, n):
                def body(row, carry):
                    tree, buffers = carry
                    tree = self.schedule.advance(tree, matrices, external, values, root)
                    return tree, recorder.write(buffers, row, tree["populations"])

                return jax.lax.fori_loop(0, n, body, (tree, buffers))

            self._loops[key] = loop
        return self._loops[key]

    def _run_chunks(self, loop, external, recorder, first, n_steps, progress):
        """Run the loop chunk by chunk; returns steps done, whether interrupted, simulated seconds a second."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # in a notebook without ipywidgets, whose bar is then text
            from tqdm.auto import tqdm

        dt = self.schedule.dt
        tree, buffers = jax.tree.map(jnp.copy, self._collect()), recorder.buffers()
        values, root = [jnp.asarray(value) for value in external.values], jax.random.key(self.seed)
        done, rows, busy, timed = 0, min(recorder.rows, 10), 0.0, 0
        hidden = None if progress is None else not progress
        bar = tqdm(
            total=n_steps * dt / 1e3,
            unit=" s",
            disable=hidden,
            bar_format="{l_bar}{bar}| {n:.3g}/{total:.3g} s of biological time [{elapsed}<{remaining}, {rate_noinv_fmt}]",
        )
        with bar, ctrl_c() as interrupted:
            while done < n_steps and not interrupted:
                n = min(rows, n_steps - done)
                started = time.perf_counter()
                tree, buffers = jax.block_until_ready(loop(tree, buffers, self._matrices, values, root, n))
                took = time.perf_counter() - started
                if not done:  # the first chunk compiles: the bar's clock starts after it
                    bar.reset()
                else:
                    busy, timed = busy + took, timed + n
                    rows = max(1, min(recorder.rows, int(n * np.clip(CHUNK_SECONDS / took, 0.1, 10))))
                recorder.collect(buffers, first + done, n)
                done += n
                bar.update(n * dt / 1e3)
        self._restore(tree)
        if interrupted:
            warnings.warn(f"interrupted after {done * dt:.6g} of {n_steps * dt:.6g} ms: what was recorded is kept", stacklevel=3)
        return done, bool(interrupted), timed * dt / 1e3 / busy if busy else None

    def summary(self) -> str:
        """Populations, schedule, and for each projection synapses, bytes, format, path, and the size of one PSP."""
        return summary(self)
