"""Bars 7 and 11: just-in-time connectivity, a synapse at a time and a million neurons at once, with the stored matrix beside it."""

import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np

import brainevent as be

from .common import ROOT, Row, alternating

CLASSES = ((be.JITCHomoR, (0.5,), 8.0), (be.JITCUniformR, (0.0, 1.0), 15.0), (be.JITCNormalR, (1.0, 0.1), 15.0))  # with their bars
SHAPES = ((4_000, 0.02, 1_000), (100_000, 0.01, 500), (100_000, 0.1, 50), (1_000_000, 0.001, 1_000))  # neurons, probability, active
REPEATS = 10

MILLION = """
import json, time
import jax, numpy as np
import brainevent as be
def peak():  # of this program alone: what getrusage says survives exec, so it would be that of the parent
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1e6
A = be.JITCHomoR((0.5, 1e-3, 42), shape=(1_000_000, 1_000_000))
x = np.zeros(1_000_000, bool)
x[np.random.default_rng(0).choice(1_000_000, 1000, replace=False)] = True
step = jax.jit(lambda A, x: be.EventArray(x) @ A)
none = jax.jit(lambda x: x.sum())
jax.block_until_ready(none(x)), jax.block_until_ready(step(A.replace(prob=1e-9), x))
before = peak()
jax.block_until_ready(step(A, x))
took = []
for _ in range(9):
    start = time.perf_counter()
    jax.block_until_ready(step(A, x))
    took.append(time.perf_counter() - start)
print(json.dumps({"ms": sorted(took)[4] * 1e3, "MB": (peak() - before) * 1e3, "all": peak()}))
"""


def repeated(A, active: int):
    """`call()`: REPEATS products in a row, each with so many other active neurons; done when it returns."""
    rng = np.random.default_rng(0)
    rows = np.zeros((REPEATS, A.shape[0]), bool)
    for row in rows:
        row[rng.choice(A.shape[0], active, replace=False)] = True

    @jax.jit
    def products(A, rows):
        def add(total, x):
            return total + be.EventArray(x) @ A, None

        return jax.lax.scan(add, jnp.zeros(A.shape[1], jnp.float32), rows)[0]

    rows = jnp.asarray(rows)
    products(A, rows).block_until_ready()

    def call():
        products(A, rows).block_until_ready()

    return call


def measure(rounds: int) -> list[Row]:
    """Nanoseconds a synapse of products of events; the peer is CSR with the same synapses, where it fits. A product without a spike."""
    rows = []
    for n, prob, active in SHAPES:
        for cls, parameters, bar in CLASSES:
            A = cls((*parameters, prob, 42), shape=(n, n))
            calls = {"ours": repeated(A, active), "silent": repeated(A, 0)}
            if n * n * prob <= 2e8:
                calls["CSR"] = repeated(A.tocsr(), active)
            figures = alternating(calls, rounds)
            work = REPEATS * active * n * prob
            each = {who: seconds / work * 1e9 for who, seconds in figures.items()}
            what = f"{cls.__name__} {n:,} x {n:,}, p = {prob:g}, a synapse"
            rows.append(Row("7", what, each["ours"] - each["silent"], "ns", "CSR", _less(each, "CSR"), at_most=bar))
            rows.append(Row("7", f"{cls.__name__} {n:,}: no neuron active", figures["silent"] / REPEATS * 1e6, "us"))
    return rows + million()


def _less(each: dict, who: str):
    """A peer's nanoseconds without those of the loop and of clearing the output."""
    return max(each[who] - each["silent"], 0.0) if who in each else None


def million() -> list[Row]:
    """Bar 11, in a process of its own, whose memory is looked at."""
    printed = subprocess.run([sys.executable, "-c", MILLION], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    got = json.loads(printed.splitlines()[-1])
    return [
        Row("11", "1e6 neurons, 1e9 synapses, 0.1 % active, one step", got["ms"], "ms", at_most=50.0),
        Row("11", "the same, memory that the step added", got["MB"], "MB"),
        Row("11", "the same, peak memory of the process", got["all"], "GB"),
    ]
