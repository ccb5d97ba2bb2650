"""numba kernels of a delivery: count this step's spikes, take the cheapest path, add in place."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from ...core.deliveries import Delivery
from ...core.path_choice import COSTS, TAKEN
from ...core.spikes import entries
from ...core.table import BackendError, kernel
from ...core.updates import add_arriving
from ...formats.compressed import Compressed
from ...formats.coo import COO
from ...formats.dense import Dense
from .bridge.ffi import Job, call, call_jobs, threads
from .bridge.inner import njit
from .kernels import delays as later
from .kernels.compressed import gather_lines, how_soon, scatter_blocks, scatter_lines, work_of, worth_splitting
from .kernels.dense import add_rows
from .kernels.operands import OK, active_in, fade, ids_of
from .stored import SERVED, THREADED_WORK

EVENT, GATHER, DENSE = range(len(TAKEN))
SHARED_WORK = 10_000  # synapses of all deliveries of a step, 50 us, above which waking a second thread is worth it
TARGETS = 4  # at least, so that they can be shared out evenly, and however many threads there are


def deposit_scatter(target, counts, decay, x, scale, w, structure, window, after, taken):
    """The event path alone; `after` shares the memory of `target`, `taken` that of `counts`."""
    fade(after, decay)
    (x, lines, count), out = active_in(x, window), after[window[2] : window[3]]
    taken[EVENT] += 1
    return scatter_lines(lines, count, x, w, structure, scale[0], out, how_soon(structure, count))


def work_of_scatter(target, counts, decay, x, scale, w, structure, window, after, taken):
    """The synapses of a `deposit_scatter`."""
    _, lines, count = active_in(x, window)
    return work_of(lines, count, structure)


def deposit_threaded(target, counts, decay, x, scale, w, structure, window, blocks, after, taken):
    """The event path alone, split by blocks of targets where there is work for more than one thread."""
    fade(after, decay)
    (x, lines, count), out = active_in(x, window), after[window[2] : window[3]]
    taken[EVENT] += 1
    if worth_splitting(work_of(lines, count, structure), count, THREADED_WORK, out):
        return scatter_blocks(lines, count, x, w, structure, scale[0], blocks[0], out)
    return scatter_lines(lines, count, x, w, structure, scale[0], out, how_soon(structure, count))


def deposit_either(target, counts, decay, x, scale, w, structure, mirror_w, mirror, window, costs, after, taken):
    """Scatter or gather, whichever `costs` (of a delivery, of a stored synapse) says is cheaper for these spikes."""
    fade(after, decay)
    (x, lines, count), out = active_in(x, window), after[window[2] : window[3]]
    if costs[0] * work_of(lines, count, structure) <= costs[1] * ids_of(mirror).shape[0]:
        taken[EVENT] += 1
        return scatter_lines(lines, count, x, w, structure, scale[0], out, how_soon(structure, count))
    taken[GATHER] += 1
    return gather_lines(x, mirror_w, mirror, 0, out.shape[0], scale[0], out)


def work_of_either(target, counts, decay, x, scale, w, structure, mirror_w, mirror, window, costs, after, taken):
    """The synapses of a `deposit_either`, were it a scatter."""
    _, lines, count = active_in(x, window)
    return min(work_of(lines, count, structure), ids_of(mirror).shape[0])


@njit
def all_rows(x, w, out):
    """`out += x @ w` over all rows, silent or not."""
    rows = np.arange(np.int32(x.shape[0]))
    add_rows(rows, x.shape[0], x.astype(out.dtype), w, 0, out.shape[0], out)


def deposit_dense(target, counts, decay, x, w, window, costs, after, taken):
    """Add the active rows, or take the product of all rows, whichever `costs` (of an entry of either) says is cheaper."""
    fade(after, decay)
    (x, rows, count), out = active_in(x, window), after[window[2] : window[3]]
    if costs[0] * count <= costs[1] * w.shape[0]:
        taken[EVENT] += 1
        add_rows(rows, count, x, w, 0, out.shape[0], out)
    else:
        taken[DENSE] += 1
        all_rows(x, w, out)
    return OK


def _forced(path, costs):
    """The costs under which the wanted path always wins."""
    return np.array({"auto": costs, "event": (0, 1), "dense": (0, -1)}[path], np.float32)


def _may_split(A) -> bool:
    """Whether a tenth of the rows, more than spike in a step as a rule, is work for a second thread: its code takes 3.5 s to compile."""
    return A.nse >= 10 * THREADED_WORK


def _several(job_of: Callable, targets: list, deliveries: list[Delivery]) -> tuple[list, list]:
    """Deliveries together. Where there are targets enough, each is one thread's; else threads share out every delivery that is worth it."""
    n, there = threads()[0], len({one.target for one in deliveries})
    by_target = n > 1 and there >= TARGETS
    large = sum(one.A.nse for one in deliveries) >= 10 * THREADED_WORK
    jobs = [job_of(targets[one.target], one, alone=not by_target) for one in deliveries]
    return call_jobs(targets, jobs, split=(min(n, there), SHARED_WORK) if by_target and large else None)


def _alone(job_of: Callable, target, one: Delivery) -> tuple:
    """`(target, counts)` after a delivery."""
    (target,), (counts,) = call_jobs([target], [job_of(target, one, alone=True)])
    return target, counts


def factor_of(decay, dtype):
    """The decay factor as a kernel takes it."""
    return None if decay is None else jnp.atleast_1d(jnp.asarray(decay, dtype))


def _split(A, dtype):
    """`(scale, weights)`: one weight for all is a factor, and then there are no weights."""
    scalar = A.data.shape in ((), (1,))
    return (A.data.reshape(1), None) if scalar else (np.ones(1, dtype), A.data)


def deposit_gather(target, counts, decay, x, scale, w, structure, window, after, taken):
    """Every target sums its line."""
    fade(after, decay)
    x, out = x[window[0] : window[1]], after[window[2] : window[3]]
    taken[GATHER] += 1
    return gather_lines(x, w, structure, 0, out.shape[0], scale[0], out)


def _deposit(target, one: Delivery, *, alone: bool) -> Job:
    """Of spikes that arrive over synapses stored by line; with threads of its own, where that pays, if it has them alone."""
    A, (scale, w) = one.A, _split(one.A, target.dtype)
    window = np.array(one.window, np.int32)

    def job(kernel, work, *more, spikes=one.spikes):
        operands = (factor_of(one.decay, target.dtype), spikes, scale, w, A.structure(), *more)
        return Job(kernel, work, one.target, one.counts, operands)

    if A.major == 1:
        if one.path == "event":
            raise BackendError(f'path="event" on {A!r}: its synapses are grouped by target: use format="csr", or path="auto"')
        return job(deposit_gather, None, window, spikes=entries(one.spikes))
    if one.mirror is not None:
        costs = _forced(one.path, COSTS.sparse(A.shape[1] * target.dtype.itemsize))
        return job(deposit_either, work_of_either, _split(one.mirror, target.dtype)[1], one.mirror.structure(), window, costs)
    blocks = threads()[0] if alone and _may_split(A) and A.ordered else 1
    if blocks > 1:
        return job(deposit_threaded, None, window, np.array([blocks], np.int32))
    return job(deposit_scatter, work_of_scatter, window)


def deposit_several(targets: list, deliveries: list[Delivery]) -> tuple[list, list]:
    return _several(_deposit, targets, deliveries)


@kernel("deposit", Compressed, backend="numba", platform="cpu", dtypes=SERVED, lists=True, several=deposit_several)
def deposit_lines(target, counts, A, mirror, spikes, *, decay, window, path):
    one = Delivery(0, window, counts, A, spikes, mirror=mirror, decay=decay, path=path)
    return _alone(_deposit, target, one)


@kernel("deposit", Dense, backend="numba", platform="cpu", dtypes=SERVED, lists=True)
def deposit_full(target, counts, A, mirror, spikes, *, decay, window, path):
    outs = (jax.ShapeDtypeStruct(target.shape, target.dtype), jax.ShapeDtypeStruct(counts.shape, counts.dtype))
    costs, decay = _forced(path, (COSTS.row, COSTS.product)), factor_of(decay, target.dtype)
    return call(deposit_dense, outs, target, counts, decay, spikes, A.data, np.array(window, np.int32), costs, aliases={0: 0, 1: 1})


@kernel("deposit", COO, backend="numba", platform="cpu", dtypes=SERVED)
def deposit_pairs(target, counts, A, mirror, spikes, *, decay, window, path):
    """Coordinates in any order know no rows: all of them are looked at, which is the gather path."""
    if path == "event":
        raise BackendError(f'path="event" on {A!r}: coordinates are in no order: use format="csr", or path="auto"')
    return add_arriving(target, A, spikes, decay, window), counts.at[GATHER].add(1)


def _enqueue(ring, one: Delivery, *, alone: bool) -> Job:
    """The same for spikes that arrive later."""
    scale, w = _split(one.A, ring.dtype)
    operands = (one.place, one.spikes, scale, w, one.A.structure(), *one.delays, np.array(one.window, np.int32))
    blocks = threads()[0] if alone and _may_split(one.A) else 1
    if blocks > 1:
        split = np.array([blocks, THREADED_WORK], np.int32)
        return Job(later.enqueue_threaded, None, one.target, one.counts, (*operands, split))
    return Job(later.enqueue, later.work_of_enqueue, one.target, one.counts, operands)


def enqueue_several(rings: list, deliveries: list[Delivery]) -> tuple[list, list]:
    return _several(_enqueue, rings, deliveries)


@kernel("enqueue", Compressed, backend="numba", platform="cpu", dtypes=SERVED, lists=True, several=enqueue_several)
def enqueue_lines(ring, counts, A, delays, spikes, place, *, window):
    one = Delivery(0, window, counts, A, spikes, delays=delays, place=place)
    return _alone(_enqueue, ring, one)


@kernel("arrive", Compressed, backend="numba", platform="cpu", dtypes=SERVED)
def arrive_lines(target, counts, A, arrivals, *, decay, window):
    outs = (jax.ShapeDtypeStruct(target.shape, target.dtype), jax.ShapeDtypeStruct(counts.shape, counts.dtype))
    view = np.array([arrivals.first], np.int64), np.array([A.shape[0]], np.int64)
    operands = A.data, A.structure(), arrivals.bits, *view, arrivals.place, *arrivals.delays, np.array(window, np.int64)
    return call(later.arrive, outs, target, counts, factor_of(decay, target.dtype), *operands, aliases={0: 0, 1: 1})


@kernel("collect", object, backend="numba", platform="cpu", dtypes=SERVED)
def collect_cpu(target, ring, place, *, decay):
    outs = (jax.ShapeDtypeStruct(target.shape, target.dtype), jax.ShapeDtypeStruct(ring.shape, ring.dtype))
    decay = factor_of(1.0 if decay is None else decay, target.dtype)
    return call(later.collect, outs, target, ring, place, decay, aliases={0: 0, 1: 1})
