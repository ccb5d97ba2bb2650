"""`python -m benchmarks.gpu`: on a machine with a GPU, the test tables, then the bars of a GPU; one table, written to benchmarks/results/.

Needs no network, and about eight minutes: `--tests` bounds the seconds for the tests, which may be 0.
"""

import argparse
import functools
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # the tests run in processes beside this one

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np

import brainevent as be
from brainevent.projections import COBA, LIF, Expon, FixedProb, Network, Normal, Projection
from networks import coba, microcircuit

from .common import ROOT, Row, as_json, machine, markdown

SUITES = ("tests/kernels", "tests/projections", "tests/test_events.py")
COBA_BARS = {1: 8.4, 10: None, 100: 40.0}  # times 4,000 neurons: microseconds a step
COBA_LENGTHS = {1: 10_000, 10: 5_000, 100: 1_000}  # ms of biological time, so that what a run costs at its ends is a part of it
ON_CPU = """
import sys
from benchmarks.gpu import step_time
print(step_time(float(sys.argv[1]), float(sys.argv[2]), record=None)[0])
"""


def tests(seconds: int, suites: list[str]) -> list[Row]:
    """How many tests fail on this platform; those that do are printed at once."""
    workers = str(min(14, os.cpu_count() or 1))
    words = [sys.executable, "-m", "pytest", "-p", "no:benchmark", "-p", "benchmarks.instant", "-n", workers, "--tb=short", *suites]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
    try:
        said, _ = process.communicate(timeout=seconds)
        ended = ""
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        said, _ = process.communicate()
        ended = f", stopped after {seconds} s"
    failed = [line for line in said.splitlines() if line.startswith("FAILED ") and ": E " in line]
    print("\n".join(failed), said[-300:], sep="\n", file=sys.stderr)
    passed = sum(line.count(".") for line in re.findall(r"^[.sFEx]+(?: +\[ *\d+%\])?$", said, re.MULTILINE))
    return [Row("", f"tests that fail ({passed} pass{ended})", len(failed), "tests", at_most=0)]


def step_time(scale: float, duration: float, *, record):
    """Microseconds a step of COBA, the best of three runs of so many ms, and what the network says of its loop."""
    model = coba.build(scale)
    options = {"dt": 0.1 * u.ms, "inputs": model.inputs, "progress": False, "record": record}
    model.net.run(50 * u.ms, **options)
    took = []
    for _ in range(3):
        start = time.perf_counter()
        model.net.run(duration * u.ms, **options)
        took.append(time.perf_counter() - start)
    return min(took) / (duration * 10) * 1e6, model.net.summary().splitlines()[-1]


def networks(with_cpu: bool) -> list[Row]:
    """COBA with spikes recorded and without, beside the CPU of this machine."""
    rows = []
    for scale, bar in COBA_BARS.items():
        duration = COBA_LENGTHS[scale]
        quiet, _ = step_time(scale, duration, record=[])
        recorded, loop = step_time(scale, duration, record=None)
        name = f"COBA {4000 * scale:,}, a step"
        rows.append(Row("gpu", f"{name}, not recorded", quiet, "us", at_most=bar))
        cpu = _on_cpu(scale, 200 if scale < 100 else 100) if with_cpu else None
        rows.append(Row("gpu", f"{name}, spikes recorded", recorded, "us", "this machine's CPU", cpu, at_least=1.0))
        print(loop, file=sys.stderr)
    return rows


def _on_cpu(scale, duration) -> float:
    words = [sys.executable, "-c", ON_CPU, str(scale), str(duration)]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    return float(subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout.split()[-1])


def reproducible() -> list[Row]:
    """Spikes that differ between two runs of one seed, stored and just-in-time, in one launch and step by step, by triton and by xla."""
    differ, drawn = 0, functools.partial(coba.build, format="jit")
    cases = [(coba.build, False, None), (coba.build, True, None), (drawn, False, None), (small, False, None), (coba.build, False, "xla")]
    for build, record, backend in cases:
        seen = []
        for _ in range(2):
            model = build()
            N = model.net.populations[0]
            states = [N.spikes, N[:3].V] if record else [N.spikes]
            options = {"dt": 0.1 * u.ms, "inputs": model.inputs, "progress": False, "record": states, "backend": backend}
            seen.append(model.net.run(200 * u.ms, **options).spikes(N)[1])
        differ += int(seen[0].size != seen[1].size or (seen[0] != seen[1]).any())
    return [Row("gpu", "networks whose spikes differ from run to run", differ, f"of {len(cases)}", at_most=0)]


def small():
    """The cortical microcircuit at a tenth of its size."""
    return microcircuit.build(0.1)


def cortex() -> list[Row]:
    """The cortical microcircuit at full scale, 10 s with spikes recorded, after the first half second."""
    rows = []
    for drive in microcircuit.DRIVES:
        start = time.perf_counter()
        net, populations, inputs = microcircuit.build(drive=drive)
        net.run(0 * u.ms, dt=0.1 * u.ms, inputs=inputs, progress=False)
        built = time.perf_counter() - start
        net.run(500 * u.ms, inputs=inputs, progress=False)
        start = time.perf_counter()
        run = net.run(10 * u.second, inputs=inputs, progress=False)
        factor = (time.perf_counter() - start) / 10
        rates = ", ".join(f"{float(run.rate(population).mantissa):.2f}" for population in populations)
        rows.append(Row("gpu", f"microcircuit, {drive}: real-time factor ({rates} Hz)", factor, "", at_most=0.10))
        rows.append(Row("gpu", f"microcircuit, {drive}: built on the host", built, "s"))
    return rows


def procedural() -> list[Row]:
    """1e5 neurons with 1e4 synapses each, never stored: a second at dt 1 ms."""
    n = 100_000
    times = {"tau": 20 * u.ms, "tau_ref": 5 * u.ms}
    volts = {"V_rest": -60 * u.mV, "V_th": -50 * u.mV, "V_reset": -60 * u.mV, "V_init": Normal(-55 * u.mV, 2 * u.mV)}
    N = LIF(n, R=100 * u.Mohm, name="N", **times, **volts)
    E, I = N[: n * 4 // 5], N[n * 4 // 5 :]
    net = Network(
        Projection(E, FixedProb(0.1, weight=6 * 80 / 1e4 * u.nS, format="jit"), Expon(tau=5 * u.ms, output=COBA(E=0 * u.mV)), N),
        Projection(I, FixedProb(0.1, weight=67 * 80 / 1e4 * u.nS, format="jit"), Expon(tau=10 * u.ms, output=COBA(E=-80 * u.mV)), N),
        seed=1,
    )
    options = {"dt": 1 * u.ms, "inputs": {N: 200 * u.pA}, "progress": False}
    rows = []
    for current in (200, 600):
        options["inputs"] = {N: current * u.pA}
        net.run(200 * u.ms, **options)
        start = time.perf_counter()
        run = net.run(1000 * u.ms, **options)
        took = time.perf_counter() - start
        rows.append(Row("gpu", f"JIT {n:,} x 10,000, 1 s at 1 ms ({float(run.rate(N).mantissa):.3g} Hz)", took, "s", at_most=0.138))
    return rows


def kernels() -> list[Row]:
    """Picoseconds a delivery of products with events, and building 3e8 synapses on the device."""
    rows, rng = [], np.random.default_rng(0)
    for prob, active in ((0.01, 500), (0.1, 1_000)):
        A = be.JITCHomoR((1.5, prob, 1), shape=(100_000, 100_000))
        rows.append(Row("gpu", f"JIT 1e5 x 1e5, p {prob}, {active} active, a synapse", _each(A, active, prob * 1e5, rng), "ps"))
    ids = jnp.asarray(rng.integers(0, 100_000, (100_000, 1_000), dtype=np.int32))
    for weight, what in ((1.5, "one weight"), (jnp.asarray(rng.random((100_000, 1_000)), jnp.float32), "weights of their own")):
        A = be.FixedPostNumConn(weight, ids, shape=(100_000, 100_000))
        for active in (100, 1_000, 10_000):
            rows.append(Row("gpu", f"stored 1e5 x 1,000, {what}, {active} active, a delivery", _each(A, active, 1e3, rng), "ps"))
    for what, bar in (("compilation included", 2.0), ("again", 0.5)):
        start = time.perf_counter()
        A = be.JITCHomoR((1.5, 0.05, 3), shape=(77_500, 77_500)).tocsr()
        jax.block_until_ready(A.indices)
        rows.append(Row("gpu", f"{A.nse:.3g} synapses drawn and stored, {what}", time.perf_counter() - start, "s", at_most=bar))
    return rows


def _each(A, active, length, rng, repeats=50) -> float:
    x = np.zeros((repeats, A.shape[0]), bool)
    for row in x:
        row[rng.choice(A.shape[0], active, replace=False)] = True

    @jax.jit
    def products(A, x):
        return jax.lax.scan(lambda total, one: (total + be.EventArray(one) @ A, None), jnp.zeros(A.shape[1], jnp.float32), x)[0]

    x = jnp.asarray(x)
    products(A, x).block_until_ready()
    start = time.perf_counter()
    products(A, x).block_until_ready()
    return (time.perf_counter() - start) / (repeats * active * length) * 1e12


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--tests", type=int, default=240, help="seconds for the tests")
    parser.add_argument("--suites", nargs="+", default=SUITES, help="what pytest is to run")
    parser.add_argument("--no-cpu", action="store_true", help="leave out the CPU of this machine")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "gpu", help="write OUT.md and OUT.json")
    arguments = parser.parse_args()
    if jax.default_backend() == "cpu":
        sys.exit(f"jax finds no GPU here, only {jax.devices()}: install brainevent[cuda13] on a machine that has one")
    about, rows = {"device": jax.devices()[0].device_kind, **machine()}, []
    parts = [reproducible, lambda: networks(not arguments.no_cpu), procedural, cortex, kernels]
    parts += [lambda: tests(arguments.tests, arguments.suites)]
    for part in parts if arguments.tests else parts[:-1]:
        rows += part()
        print(markdown(rows, about), file=sys.stderr, flush=True)
    table = markdown(rows, about)
    print(table)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.with_suffix(".md").write_text(table + "\n")
    arguments.out.with_suffix(".json").write_text(as_json(rows, about) + "\n")


if __name__ == "__main__":
    main()
