"""The COBA network in Brian2's C++ standalone mode: builds it, runs the binary and prints one JSON line; needs Brian2 alone.

The time is what the binary itself measures around the loop over steps (`last_run_info.txt`, Brian2's `_last_run_time`), so that
code generation, compilation, the creation of synapses and the writing of results are left out. The first run warms the machine's
caches and is dropped; the median of the others is quoted. `--project-dir DIR` keeps the build and `--rerun` runs the binary of an
earlier build again, without importing Brian2, so that it can alternate with another simulator.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

DT_MS, SYNAPSES_A_NEURON, SETUP = 0.1, 80, "coba.json"


def build(arguments: argparse.Namespace, directory: Path) -> None:
    """Generate and compile the network in `directory`, and note beside it what was built."""
    import brian2 as b

    begin = time.perf_counter()
    prepare(b, arguments)
    constants = {"tau": 20 * b.ms, "V_rest": -60 * b.mV, "V_th": -50 * b.mV, "V_reset": -60 * b.mV, "R": 100 * b.Mohm, "drive": 200 * b.pA}
    constants |= {"w_E": 6 * b.nS, "tau_E": 5 * b.ms, "E_E": 0 * b.mV, "w_I": 67 * b.nS, "tau_I": 10 * b.ms, "E_I": -80 * b.mV}
    neurons = b.NeuronGroup(
        arguments.n,
        """dv/dt = (V_rest - v + R*(drive + g_E*(E_E - v) + g_I*(E_I - v)))/tau : volt (unless refractory)
           dg_E/dt = -g_E/tau_E : siemens
           dg_I/dt = -g_I/tau_I : siemens""",
        threshold="v > V_th",
        reset="v = V_reset",
        refractory=5 * b.ms,
        method="exponential_euler",
        namespace=constants,
    )
    neurons.v = "-55*mV + 2*mV*randn()"
    network = b.Network(neurons)
    exc = arguments.n * 4 // 5
    for name, pre in (("E", neurons[:exc]), ("I", neurons[exc:])):
        synapses = b.Synapses(pre, neurons, on_pre=f"g_{name}_post += w_{name}", namespace=constants)
        synapses.connect(p=SYNAPSES_A_NEURON / arguments.n)
        network.add(synapses)
    counts = None
    if arguments.record:
        monitor = b.SpikeMonitor(neurons)
        network.add(monitor)
        counts = b.get_device().get_array_filename(monitor.variables["N"])
    network.run(arguments.duration * b.second)
    finish(b, arguments, directory, begin, counts)


def prepare(b, arguments: argparse.Namespace) -> None:
    """Brian2 as it is to run: code that is not compiled yet, threads, precision, seed and time step."""
    import numpy as np

    b.set_device("cpp_standalone", build_on_run=False)
    b.prefs.devices.cpp_standalone.openmp_threads = arguments.threads if arguments.threads > 1 else 0  # 0: built without OpenMP
    b.prefs.core.default_float_dtype = {32: np.float32, 64: np.float64}[arguments.precision]
    b.seed(arguments.seed)
    b.defaultclock.dt = DT_MS * b.ms


def finish(b, arguments: argparse.Namespace, directory: Path, begin: float, counts: str | None) -> None:
    """Compile what was described, and note beside it what it is; `counts`: the file with the number of spikes, if they are recorded."""
    b.get_device().build(directory=str(directory), compile=True, run=False, with_output=False)
    setup = {"simulator": f"Brian2 {b.__version__} C++ standalone", "n": arguments.n, "duration": arguments.duration}
    setup |= {"threads": arguments.threads, "precision": arguments.precision}
    setup |= {"build_s": round(time.perf_counter() - begin, 2), "counts": counts}
    (directory / SETUP).write_text(json.dumps(setup))


def run(directory: Path) -> float:
    """Run the built binary once; the seconds spent in its loop over steps."""
    results = directory / "results"
    results.mkdir(exist_ok=True)
    command = ["./main", "--results_dir", f"{results.resolve()}/"]
    subprocess.run(command, cwd=directory, check=True, stdout=subprocess.DEVNULL)
    return float((results / "last_run_info.txt").read_text().split()[0])


def measure(directory: Path, runs: int, warm: bool) -> dict:
    """One JSON line's content from `runs` timed runs, after a first one that is not counted if `warm` asks for it."""
    setup = json.loads((directory / SETUP).read_text())
    counts, steps = setup.pop("counts"), setup["duration"] * 1000 / DT_MS
    seconds = [run(directory) for _ in range(runs + warm)][int(warm) :]
    times = [1e6 * s / steps for s in seconds]
    rate = None
    if counts is not None:  # the number of spikes, one int32
        rate = int.from_bytes((directory / "results" / counts).read_bytes()[:4], "little") / setup["n"] / setup["duration"]
    figures = {"us_per_step": round(statistics.median(times), 3), "us_per_step_min": round(min(times), 3), "runs": runs}
    return setup | figures | {"rate_hz": rate, "recorded": counts is not None}


def main(build=build, duration: float = 1.0) -> None:
    """The command line, for a network that `build` makes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=4000, help="neurons, four fifths of them excitatory")
    parser.add_argument("--duration", type=float, default=duration, help="biological seconds")
    parser.add_argument("--threads", type=int, default=1, help="more than one: OpenMP")
    parser.add_argument("--precision", type=int, choices=(32, 64), default=64, help="bits of a float; 64 is Brian2's default")
    parser.add_argument("--runs", type=int, default=3, help="timed runs")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--record", action="store_true", help="record the spikes and report the mean rate")
    parser.add_argument("--project-dir", type=Path, help="keep the build here")
    parser.add_argument("--rerun", action="store_true", help="run what --project-dir holds, timed afresh, nothing dropped")
    arguments = parser.parse_args()
    if arguments.rerun and (arguments.project_dir is None or not (arguments.project_dir / SETUP).exists()):
        parser.error(f"--rerun needs --project-dir to name an earlier build (a folder with {SETUP}); got {arguments.project_dir}")
    with tempfile.TemporaryDirectory() as temporary:
        directory = arguments.project_dir or Path(temporary)
        if not arguments.rerun:
            directory.mkdir(parents=True, exist_ok=True)
            build(arguments, directory)
        print(json.dumps(measure(directory, arguments.runs, warm=not arguments.rerun)))


if __name__ == "__main__":
    main()
