"""numba kernels of a running network: threshold and reset, pack spikes into bits, keep them in a ring."""

import jax
import jax.numpy as jnp
import numpy as np

from ...core.spikes import packed_size
from ...core.table import kernel
from .bridge.ffi import Job, call, call_jobs, threads
from .bridge.inner import njit
from .bridge.intrinsics import load_word
from .kernels import random
from .kernels.operands import OK, append, write_active

MOST_GUIDED = 256  # distributions
SHARED_NUMBERS = 30_000  # random numbers of a step, 50 us, above which waking a second thread is worth it


@njit
def pack_bits(spikes, out):
    """Eight bools at a time: the multiplication moves the lowest bit of each byte of a word into the top byte."""
    for i in range(spikes.shape[0] // 8):
        word = load_word(spikes, i)  # pyright: ignore[reportCallIssue]
        out[i] = (word * np.uint64(0x0102040810204080)) >> np.uint64(56)
    rest = spikes.shape[0] // 8 * 8
    out[rest // 8 :] = 0
    for i in range(rest, spikes.shape[0]):
        out[rest // 8] |= spikes[i] << (i - rest)


@njit
def unpack_bits(bits, out):
    """The reverse: every bit a bool."""
    for i in range(out.shape[0]):
        out[i] = (bits[i >> 3] >> (i & 7)) & 1


def pack(spikes, out):
    pack_bits(spikes, out)
    return OK


def list_active(spikes, log, *after):
    """`after`: the ids, how many there are, and what shares the memory of the log, if there is one."""
    after[1][0] = write_active(spikes, after[0], np.uint64(0), 0)
    return append(log, after)


def ring_exchange(ring, step, spikes, delays, after, due):
    """`after` shares the memory of `ring`."""
    slots = after.shape[0]
    pack_bits(spikes, after[step[0] % slots])
    for d in range(delays.shape[0]):
        unpack_bits(after[(step[0] - delays[d]) % slots], due[d])
    return OK


@njit
def fire_one(V, wait, threshold, reset, hold):
    """Threshold, reset and count of one neuron, without branches, so that the loop over neurons vectorises."""
    spikes = threshold < V
    left = max(wait - np.int32(1), np.int32(0))
    return (reset if spikes else V), (hold if spikes else left), spikes


def fire_same(V, wait, threshold, reset, hold, V_after, wait_after, spikes):
    """All neurons have the same parameters; `V_after` and `wait_after` share the memory of `V` and `wait`."""
    th, back, steps = threshold[0], reset[0], hold[0]
    for i in range(V.shape[0]):
        V_after[i], wait_after[i], spikes[i] = fire_one(V_after[i], wait_after[i], th, back, steps)
    return OK


def fire_each(V, wait, threshold, reset, hold, V_after, wait_after, spikes):
    """Every neuron has parameters of its own."""
    for i in range(V.shape[0]):
        V_after[i], wait_after[i], spikes[i] = fire_one(V_after[i], wait_after[i], threshold[i], reset[i], hold[i])
    return OK


@kernel("fire", object, backend="numba", platform="cpu", dtypes=("float32", "float64"))
def fire_cpu(V, wait, threshold, reset, hold):
    parameters = [jnp.asarray(p, dtype) for p, dtype in ((threshold, V.dtype), (reset, V.dtype), (hold, wait.dtype))]
    same = all(p.ndim == 0 for p in parameters)
    if not same:
        parameters = [jnp.broadcast_to(p, V.shape) for p in parameters]
    outs = (jax.ShapeDtypeStruct(V.shape, V.dtype), jax.ShapeDtypeStruct(wait.shape, wait.dtype), jax.ShapeDtypeStruct(V.shape, bool))
    return call(fire_same if same else fire_each, outs, V, wait, *parameters, aliases={0: 0, 1: 1})


def listing_outs(n: int, log) -> list:
    """What a kernel that lists the spikes of n neurons makes: the ids, how many there are, and the log with them, if there is one."""
    return [jax.ShapeDtypeStruct(shape, np.int32) for shape in ((n,), (1,), *(() if log is None else (log.shape,)))]


@kernel("list_active", object, backend="numba", platform="cpu")
def list_active_cpu(spikes, log):
    return call(list_active, listing_outs(spikes.shape[0], log), spikes, log, aliases={} if log is None else {1: 2})


@kernel("draw_counts", object, backend="numba", platform="cpu", dtypes=("float32", "float64"))
def draw_counts_cpu(key, table, rows, n, dtype):
    return call(random.draw_counts, jax.ShapeDtypeStruct((n,), dtype), jax.random.key_data(key), table, _guide(table), rows)


@kernel("add_counts", object, backend="numba", platform="cpu", dtypes=("float32", "float64"))
def add_counts_cpu(targets, drawn, words):
    n = min(threads()[0], len({one.target for one in drawn}))  # threads that find something to do
    numbers, dtype = sum(one.window[1] - one.window[0] for one in drawn), targets[0].dtype
    split = (n, SHARED_NUMBERS) if n > 1 and numbers >= SHARED_NUMBERS else None

    def job(one, key):
        operands = key, one.table, _guide(one.table), one.rows, np.array([one.weight], dtype), np.array(one.window, np.int32)
        return Job(random.add_counts, random.numbers_to_draw, one.target, None, operands)

    return call_jobs(targets, list(map(job, drawn, words)), split=split)[0]


def _guide(table):
    """How many entries of each row the first word of each 256th part has reached; None for many rows."""
    if table.shape[0] > MOST_GUIDED:
        return None
    parts = np.arange(256, dtype=np.uint32) << 24
    return np.stack([np.searchsorted(row, parts, side="right") for row in table]).astype(np.int32)


@kernel("pack", object, backend="numba", platform="cpu")
def pack_cpu(spikes):
    return call(pack, jax.ShapeDtypeStruct((packed_size(spikes.shape[0]),), np.uint8), spikes)


@kernel("ring_exchange", object, backend="numba", platform="cpu")
def ring_exchange_cpu(ring, step, spikes, delays):
    outs = (jax.ShapeDtypeStruct(ring.shape, ring.dtype), jax.ShapeDtypeStruct((len(delays), spikes.shape[0]), bool))
    return call(ring_exchange, outs, ring, step, spikes, np.array(delays, np.int32), aliases={0: 0})
