"""The path of a delivery, chosen each time step: from the active rows, by gathering at every target, or the dense product.

The cost model is a line a path, in nanoseconds on one core: so much for a delivery by scatter, so much for every synapse by gather,
so much for every entry of a dense matrix. `python -m benchmarks paths` measures the constants on a machine.
"""

import dataclasses
import os
from typing import TypeGuard

import jax
import jax.numpy as jnp
import numpy as np

from ..events import EventArray
from ..formats.compressed import Compressed
from ..formats.dense import Dense
from ..formats.drawn import JITConnectivity
from . import kernels
from .kernels import kernel

PATHS = ("auto", "event", "dense")
TAKEN = ("event", "gather", "dense")  # what can run; the order of the counters


@dataclasses.dataclass(frozen=True)
class Costs:
    """Nanoseconds a unit of work of each path, on one core of a 2-core x86-64 machine; a write to a target costs what its cache does."""

    scatter: tuple[float, float, float] = (0.6, 2.6, 1.36)  # a delivery where gathering is a choice, for targets within CACHES and beyond
    gather: tuple[float, float, float] = (0.66, 0.9, 1.2)  # a stored synapse, for the same
    row: float = 0.07  # an entry of an active row of a dense matrix
    product: float = 0.07  # an entry of a dense matrix

    def sparse(self, target_bytes: int) -> tuple[float, float]:
        """`(scatter, gather)` for targets of that size."""
        level = sum(target_bytes > size for size in CACHES)
        return self.scatter[level], self.gather[level]


CACHES = (64 << 10, 1 << 20)  # bytes: targets that stay near beside the synapses that stream past, and in the second level
COSTS = Costs()
MIRROR_BYTES = int(os.environ.get("BRAINEVENT_MIRROR_BYTES", 96 << 20))  # `auto` keeps a mirror for gathering up to this size


def check_path(path: str, owner: str) -> str:
    """The path if it is a known word, else an error."""
    if path not in PATHS:
        raise ValueError(f"{owner}: path {path!r}, expected one of {PATHS}")
    return path


def describe_counts(path: str, counts) -> str:
    """`auto: event 9990 steps, gather 10 steps`, or that nothing ran yet."""
    if counts is None or not np.sum(counts):
        return f"{path}: no step yet"
    ran = ", ".join(f"{name} {int(n)} steps" for name, n in zip(TAKEN, np.asarray(counts)) if n)
    return f"{path}: {ran}"


def wants_mirror(matrix, path: str) -> TypeGuard[Compressed]:
    """Whether deliveries through `matrix` should keep a copy grouped by target, which the gather path walks."""
    if not isinstance(matrix, Compressed) or matrix.major != 0 or path == "event":
        return False
    scatter, gather = COSTS.sparse(matrix.shape[1] * matrix.dtype.itemsize)
    return path == "dense" or (scatter > 1.15 * gather and matrix.nbytes <= MIRROR_BYTES)


def deposit(target, counts, A, mirror, spikes, *, decay=None, window, path: str):
    """Let the state of the post neurons decay and add what the spikes deliver, by the path that is cheapest for this step's spikes.

    Args:
      target: plain floats (size of the post population,); updated in place where the backend can.
      counts: int32 (3,), how often each path of `TAKEN` ran; updated.
      A: a connectivity of plain weights, shape (n_pre, n_post).
      mirror: the same matrix grouped by target, or None.
      spikes: bool (size of the pre population,).
      decay: a factor on the target before anything is added, scalar or one a neuron; None for no decay.
      window: `(pre_start, pre_stop, post_start, post_stop)`, the slices that A connects.
      path: "auto", "event" or "dense".

    Returns:
      `(target, counts)`.
    """
    run = kernels.choose("deposit", type(A), kernels.current_platform(), kernels.requested(A), target.dtype).run

    @jax.custom_jvp
    def add(target, weights, spikes):
        return run(target, counts, A.replace(data=weights), mirror, spikes, decay=decay, window=window, path=path)

    @add.defjvp
    def add_jvp(primals, tangents):  # the in-place call has no derivative of its own; the plain product has the same one
        def plain(target, weights, spikes):
            return _add(target, A.replace(data=weights), spikes, decay, window)

        tangent = jax.jvp(plain, primals, tangents)[1]
        return add(*primals), (tangent, np.zeros(counts.shape, jax.dtypes.float0))

    return add(target, A.data, spikes)


def _add(target, A, spikes, decay, window):
    target = target if decay is None else target * jnp.asarray(decay, target.dtype)
    pre, post = slice(*window[:2]), slice(*window[2:])
    return target.at[post].add(EventArray(spikes[pre]) @ A)


def check_drawn_path(A, path: str):
    """Refuse the path that a just-in-time matrix does not have: drawn line by line, it is delivered from where its lines are."""
    if path == ("event" if A.major else "dense"):
        lines, have = (("sources", "event"), ("targets", "dense"))[A.major]
        raise kernels.BackendError(
            f'path="{path}" on {A!r}: its lines are the {lines}, so "{have}" is the only path: use path="auto", '
            + ("a matrix drawn by rows (corder=False)" if A.major else 'or format="csr"')
        )


@kernel("deposit", JITConnectivity, backend="xla")
def deposit_drawn(target, counts, A, mirror, spikes, *, decay, window, path):
    """The one path there is."""
    check_drawn_path(A, path)
    return _add(target, A, spikes, decay, window), counts.at[TAKEN.index("gather" if A.major else "event")].add(1)


@kernel("deposit", object, backend="xla")
def deposit_xla(target, counts, A, mirror, spikes, *, decay, window, path):
    """XLA walks every synapse whatever the spikes, so there is one path, and it cannot be "event"."""
    if path == "event":
        raise kernels.BackendError(f'path="event" on {A!r}: the xla backend walks every synapse; use path="auto", or the numba backend')
    taken = TAKEN.index("dense" if isinstance(A, Dense) else "gather")
    return _add(target, A, spikes, decay, window), counts.at[taken].add(1)
