"""Bar 1: a kernel that does nothing, called inside `lax.scan`."""

import time

import jax
import jax.numpy as jnp
import numpy as np

from brainevent.backends.numba.bridge.ffi import call

from .common import Row, alternating

STEPS = 100_000


def nothing(x, out):
    """Writes one number."""
    out[0] = x[0]
    return 0


def measure(rounds: int) -> list[Row]:
    """Microseconds a call, the cost of the scan itself taken off."""

    def kernel(c):
        return call(nothing, jax.ShapeDtypeStruct((1,), np.float32), c)

    loops = {
        "with": jax.jit(lambda x: jax.lax.scan(lambda c, _: (kernel(c), None), x, None, length=STEPS)[0]),
        "without": jax.jit(lambda x: jax.lax.scan(lambda c, _: (c * 0.5, None), x, None, length=STEPS)[0]),
    }
    x = jnp.ones(1, jnp.float32)
    for loop in loops.values():
        loop(x).block_until_ready()

    def timed(loop):
        start = time.perf_counter()
        loop(x).block_until_ready()
        return (time.perf_counter() - start) / STEPS * 1e6

    figures = alternating({name: lambda loop=loop: timed(loop) for name, loop in loops.items()}, rounds)
    return [Row("1", "empty kernel call inside lax.scan (one step of the scan)", figures["with"], "us", at_most=1.0)]
