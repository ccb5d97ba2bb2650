"""The compiled loop of a network, and how it is run: chunk by chunk, with a progress bar, Ctrl-C, and a look at the states."""

import functools
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .clock import ERA, root_at, words_of
from .interrupt import ctrl_c

MOST_LOOPS = 8  # compiled loops a network keeps, one for each kind of recording and input
FIRST, QUICK = 10, 1_000  # steps of the first chunk, and where steps are known to be quick
CHUNK_SECONDS = 0.25  # how long the device runs between looks at the clock, the progress bar and Ctrl-C


def kept_loop(loops: dict, key, make: Callable):
    """The compiled loop of this key; the oldest make room for new ones."""
    if key not in loops:
        while len(loops) >= MOST_LOOPS:
            loops.pop(next(iter(loops)))
        loops[key] = make()
    return loops[key]


def step_by_step(advance: Callable, recorder):
    """A compiled loop: any number of steps up to the rows of the buffers.

    Args:
      advance: one step, `(tree, matrices, values, high, low, root, logs) -> tree`, its number in two words.
      recorder: what records each step.

    Returns:
      A function of the states, the buffers, what `advance` takes beside them, and the number n of steps, which returns the states, the
      buffers, and how many steps were done: fewer than n if a buffer is full.
    """

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def loop(tree, buffers, matrices, values, start, root, n):
        def goes_on(carry):
            row, _, buffers = carry
            return (row < n) & recorder.room(buffers, row)

        def body(carry):
            row, tree, buffers = carry
            logs = recorder.logs(buffers)
            tree = advance(tree, matrices, values, start[0], start[1] + row.astype(start.dtype), root, logs)
            return row + 1, tree, recorder.write(buffers, row, tree, logs)

        row, tree, buffers = jax.lax.while_loop(goes_on, body, (jnp.int32(0), tree, recorder.emptied(buffers)))
        return tree, buffers, row

    return loop


class Loop(NamedTuple):
    """A compiled loop, and how it is to be run.

    Args:
      run: as `step_by_step` makes it. matrices: what it takes as the synapses.
      recorder: takes what it recorded off the device.
      in_place: whether it overwrites the states that it is given.
      counted: whether it counts the paths of deliveries; if not, all are from events, and steps are a matter of microseconds.
    """

    run: Callable
    matrices: Any
    recorder: Any
    in_place: bool = True
    counted: bool = True


class Chunks:
    """A run in chunks, of about `CHUNK_SECONDS` each; iterating yields the tree of states after each.

    Args:
      loop: a `Loop`. values: what it takes between the synapses and the number of the first step.
      tree: the states at the start.
      root: as in the network.
      first: the number of the first step. n_steps: how many there are to do. dt: in ms.
      progress: whether to show a bar; None shows one on a terminal.

    Attributes:
      done: steps done so far. interrupted: whether Ctrl-C was pressed. speed: simulated seconds a second, the first chunk, which
      compiles, left out; None after one chunk.
    """

    def __init__(self, loop: Loop, values, tree, root, *, first: int, n_steps: int, dt: float, progress: bool | None):
        self.loop, self.values, self.tree, self.recorder, self.root = loop, values, tree, loop.recorder, root
        self.first, self.n_steps, self.dt, self.progress = first, n_steps, dt, progress
        self.done, self.interrupted, self.busy, self.timed = 0, False, 0.0, 0

    @property
    def speed(self):
        return self.timed * self.dt / 1e3 / self.busy if self.busy else None

    def __iter__(self):
        buffers, rows = self.recorder.buffers(self.first), min(self.recorder.rows, FIRST if self.loop.counted else QUICK)
        with self._bar() as bar, ctrl_c() as presses:
            try:
                while self.done < self.n_steps and not presses:
                    at = self.first + self.done
                    n = min(rows, self.n_steps - self.done, ERA - at % ERA)
                    started = time.perf_counter()
                    words, root = words_of(at), root_at(self.root, at)
                    out = self.loop.run(self.tree, buffers, self.loop.matrices, self.values, words, root, n)
                    self.tree, buffers, done = jax.block_until_ready(out)
                    n = int(done)
                    took = time.perf_counter() - started
                    presses.heed()
                    if not self.done:  # the first chunk compiles: the bar's clock starts after it
                        bar.reset()
                    else:
                        self.busy, self.timed = self.busy + took, self.timed + n
                        rows = max(1, min(self.recorder.rows, int(n * np.clip(CHUNK_SECONDS / took, 0.1, 10))))
                    buffers = self.recorder.collect(buffers, at, n)
                    self.done += n
                    bar.update(n * self.dt / 1e3)
                    self.interrupted = bool(presses)
                    yield self.tree
            finally:
                self.recorder.finish()
            self.interrupted = bool(presses)

    def _bar(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # in a notebook without ipywidgets, whose bar is then text
            from tqdm.auto import tqdm

        return tqdm(
            total=self.n_steps * self.dt / 1e3,
            unit=" s",
            disable=None if self.progress is None else not self.progress,
            bar_format="{l_bar}{bar}| {n:.3g}/{total:.3g} s of biological time [{elapsed}<{remaining}, {rate_noinv_fmt}]",
        )


@jax.jit
def _all_finite(arrays):
    return functools.reduce(jnp.logical_and, (jnp.isfinite(array).all() for array in arrays), jnp.array(True))


def not_finite(tree: dict, names: dict[str, str]) -> str | None:
    """Words on the first state that holds NaN or infinity, or None.

    Args:
      tree: the states of a network, looked at on the host.
      names: what to call the states of the network's own.
    """
    states = [(f"{label}.{name}", value) for label, own in tree["populations"].items() for name, value in own.items()]
    states += [(names[key], value) for key, value in tree["kept"].items() if key in names]
    if jax.default_backend() != "cpu" and _all_finite([value for _, value in states if jnp.issubdtype(value.dtype, jnp.floating)]):
        return None  # one number crosses to the host, not all states
    for name, value in states:
        array = np.asarray(value)
        if jnp.issubdtype(array.dtype, jnp.floating) and not np.isfinite(array).all():
            bad = np.flatnonzero(~np.isfinite(array))
            return f"{name} is {array.flat[bad[0]]} in {bad.size:,} of {array.size:,} neurons, {bad[0]} the first of them"
    return None
