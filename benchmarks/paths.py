"""The path of a delivery: the constants of the cost model, and how close the automatic path comes to the best fixed one."""

import time

import jax
import jax.numpy as jnp
import numpy as np

import brainevent as be
from brainevent.core import updates

from .common import Row, alternating

ACTIVITIES = (1e-4, 1e-2, 0.1, 0.3, 0.5, 0.7, 1.0)
REPEATS = 10


def matrices() -> dict:
    """Targets near and far in the caches, and a dense matrix."""
    rng = np.random.default_rng(0)

    def sparse(n, k):
        ids = np.sort(rng.integers(0, n, (n, k)), axis=1).reshape(-1)
        return be.CSR(rng.normal(size=n * k).astype(np.float32), ids, np.arange(n + 1) * k, shape=(n, n))

    dense = be.Dense(rng.normal(size=(2000, 2000)).astype(np.float32))
    return {
        "CSR 4,000 x 80": sparse(4_000, 80),
        "CSR 40,000 x 80": sparse(40_000, 80),
        "CSR 400,000 x 30": sparse(400_000, 30),
        "Dense 2,000": dense,
    }


def delivery(A, path: str):
    """A function that delivers `REPEATS` times and returns microseconds a delivery."""
    mirror = A.by_target(path)
    window = (0, A.shape[0], 0, A.shape[1])

    @jax.jit
    def loop(A, mirror, spikes, target, counts):
        def body(_, carry):
            return updates.deposit(*carry, A, mirror, spikes, window=window, path=path)

        return jax.lax.fori_loop(0, REPEATS, body, (target, counts))

    def call(spikes):
        carry = jnp.zeros(A.shape[1], A.dtype), jnp.zeros(3, jnp.int32)
        jax.block_until_ready(loop(A, mirror, spikes, *carry))  # what the other paths left in the caches is not this one's doing
        start = time.perf_counter()
        jax.block_until_ready(loop(A, mirror, spikes, *carry))
        return (time.perf_counter() - start) / REPEATS * 1e6

    return call


def measure(rounds: int) -> list[Row]:
    """Microseconds a delivery; the peer is the better of the two fixed paths."""
    rows = []
    for name, A in matrices().items():
        calls = {path: delivery(A, path) for path in ("auto", "event", "dense")}
        for activity in ACTIVITIES:
            spikes = jnp.asarray(np.random.default_rng(1).random(A.shape[0]) < activity)
            for call in calls.values():
                call(spikes)
            figures = alternating({path: lambda call=call, spikes=spikes: call(spikes) for path, call in calls.items()}, rounds)
            auto = figures.pop("auto")
            best = min(figures, key=figures.__getitem__)
            work = activity * A.nse
            each = ", ".join(f"{path} {figures[path] * 1e3 / (work if path == 'event' else A.nse):.2f} ns" for path in figures)
            rows.append(
                Row("5", f"{name}, {activity:.2%} active, automatic path ({each})", auto, "us", best, figures[best], at_least=1 / 1.15)
            )
    return rows
