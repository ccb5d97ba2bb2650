"""All deliveries of a step, and all Poisson input: together in one call where a backend can, else one after another."""

import functools
import itertools
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .spikes import entries
from .table import choice, chosen, serves
from .updates import Delays, add_arriving, add_later, deposit, draw_counts, enqueue


@dataclass(frozen=True, eq=False)
class Delivery:
    """What `updates.deposit` takes, or `updates.enqueue` if there are delays, but for the array that it adds to.

    target: the number of that array. place: of the step, where there are delays.
    """

    target: int
    window: tuple[int, int, int, int]
    counts: Any
    A: Any
    spikes: Any
    delays: Any = None
    place: Any = None
    mirror: Any = None
    decay: Any = None
    path: str = "auto"

    @property
    def operation(self) -> str:
        """What it is in the table of kernels."""
        return "deposit" if self.delays is None else "enqueue"

    def alone(self, target) -> tuple:
        """`(target, counts)` after it."""
        if self.delays is None:
            options = {"decay": self.decay, "window": self.window, "path": self.path}
            return deposit(target, self.counts, self.A, self.mirror, self.spikes, **options)
        return enqueue(target, self.counts, self.A, self.delays, self.spikes, self.place, window=self.window)

    def plainly(self, target):
        """The target after it, by what has a derivative."""
        spikes = entries(self.spikes)
        if self.delays is None:
            return add_arriving(target, self.A, spikes, self.decay, self.window)
        if isinstance(self.delays, Delays):
            return add_later(target, self.A, self.delays, spikes, self.place, self.window)
        by_xla, zeros = chosen("enqueue", self.A, target.dtype, "xla"), jnp.zeros_like(target)
        return target + by_xla(zeros, self.counts, self.A, self.delays, spikes, self.place, window=self.window)[0]


jax.tree_util.register_dataclass(
    Delivery,
    data_fields=("counts", "A", "spikes", "delays", "place", "mirror", "decay"),
    meta_fields=("target", "window", "path"),
)


def deliver(targets: list, deliveries: list[Delivery]) -> tuple[list, list]:
    """Make deliveries, those onto one target in their order.

    Args:
      targets: arrays, updated in place where the backend can.

    Returns:
      The targets, and the counts of each delivery.
    """
    targets, counts = list(targets), []
    kinds = [choice(one.operation, one.A, targets[one.target].dtype).kernel.several for one in deliveries]
    for several, pairs in itertools.groupby(zip(kinds, deliveries), lambda pair: pair[0]):
        group = [one for _, one in pairs]
        if several is not None and len(group) > 1:
            targets, made = _together(several, targets, group)
            counts += made
            continue
        for one in group:
            targets[one.target], made = one.alone(targets[one.target])
            counts.append(made)
    return targets, counts


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _together(several, targets, deliveries):
    return several(targets, deliveries)


@_together.defjvp
def _together_jvp(several, primals, tangents):
    """The call has no derivative of its own; plain products, one after another, have the same one."""

    def plain(targets, deliveries):
        targets = list(targets)
        for one in deliveries:
            targets[one.target] = one.plainly(targets[one.target])
        return targets

    made, counts = _together(several, *primals)
    return (made, counts), (jax.jvp(plain, primals, tangents)[1], [np.zeros(count.shape, jax.dtypes.float0) for count in counts])


@dataclass(frozen=True, eq=False)
class Drawn:
    """Random numbers of events, as `updates.draw_counts` draws them, each times a weight.

    target: the number of the array to which they are added. window: from where to where in it.
    """

    target: int
    window: tuple[int, int]
    weight: float
    table: np.ndarray
    rows: np.ndarray | None
    key: Any

    def alone(self, target):
        """The target after it."""
        start, stop = self.window
        return target.at[start:stop].add(self.weight * draw_counts(self.key, self.table, self.rows, stop - start, target.dtype))


def add_drawn(targets: list, drawn: list[Drawn]) -> list:
    """Add random numbers of events to arrays, which are updated in place where the backend can."""
    targets = list(targets)
    if drawn and serves("add_counts", targets[0].dtype):
        words = [jax.random.key_data(one.key) for one in drawn]
        return _add_drawn(chosen("add_counts", dtype=targets[0].dtype), [replace(one, key=None) for one in drawn], targets, words)
    for one in drawn:
        targets[one.target] = one.alone(targets[one.target])
    return targets


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _add_drawn(run, drawn, targets, words):
    return run(targets, drawn, words)


@_add_drawn.defjvp
def _add_drawn_jvp(run, drawn, primals, tangents):
    """What is drawn depends on nothing."""
    return _add_drawn(run, drawn, *primals), tangents[0]
