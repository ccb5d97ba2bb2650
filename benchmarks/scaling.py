"""How the time of a step grows: with neurons, with synapses, with how often neurons spike, and with threads.

    python -m benchmarks.scaling --out docs/images/scaling.png --figures benchmarks/results/scaling.json

COBA (`networks/coba.py`) by its number of neurons; then 40,000 such neurons that a current alone makes spike, with synapses too weak to
matter, so that rate and synapses vary by themselves. Spikes are recorded; each figure is the median of three runs.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import warnings
from pathlib import Path

import brainunit as u

from brainevent.projections import COBA, LIF, Expon, FixedProb, Network, Projection, Uniform
from networks.coba import build

from .common import machine

NEURONS = (1_000, 4_000, 10_000, 40_000, 100_000, 400_000, 1_000_000)
SYNAPSES = (10, 40, 80, 200, 400, 800, 1_600)  # of each of 40,000 neurons, at 22 Hz
CURRENTS = (100.5, 104, 116, 140, 200, 400)  # pA, with 80 synapses


def figures_of(net, N, current: float, **about) -> dict:
    """`us` a step and the `rate` in Hz under a constant current in pA, beside what is known already."""
    steps = int(min(10_000, max(300, 4e7 / N.size)))
    options = {"dt": 0.1 * u.ms, "inputs": {N: current * u.pA}, "progress": False}
    net.run(100 * u.ms, **options)
    runs = [net.run(steps * 0.1 * u.ms, **options) for _ in range(3)]
    us = statistics.median(0.1e-3 / run.speed * 1e6 for run in runs if run.speed)
    return {**about, "us": us, "rate": float(runs[-1].rate(N).to_decimal(u.Hz))}


def coba(n: int) -> dict:
    """The figures of COBA with n neurons."""
    model = build(n / 4000)
    (N,) = model.inputs
    return figures_of(model.net, N, 200.0, n=n)


def by_current(each: int, current: float) -> dict:
    """The figures of 40,000 neurons that a current makes spike, with so many synapses each."""
    voltages = {"V_rest": -60 * u.mV, "V_th": -50 * u.mV, "V_reset": -60 * u.mV}
    N = LIF(40_000, tau_ref=5 * u.ms, V_init=Uniform(-60 * u.mV, -50 * u.mV), name="N", **voltages)
    weak = Projection(N, FixedProb(each / N.size, weight=1e-6 * u.nS), Expon(tau=5 * u.ms, output=COBA(E=0 * u.mV)), N)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of weights that do nothing
        net = Network(weak, seed=1)
    return figures_of(net, N, current, each=each)


def sweep() -> dict[str, list[dict]]:
    """The figures of every panel, on as many threads as there are."""
    return {
        "neurons": [coba(n) for n in NEURONS],
        "synapses": [by_current(each, 114.0) for each in SYNAPSES],
        "rates": [by_current(80, current) for current in CURRENTS],
    }


def alone(threads: int) -> list[dict]:
    """The figures of the first panel in a process of its own, on so many threads."""
    environment = os.environ | {"NUMBA_NUM_THREADS": str(threads), "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.scaling", "--neurons"], env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def plot(figures: dict, path: Path) -> None:
    """A panel for each thing that is varied; a broken line is in proportion."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    panels = (
        ("neurons", "n", "neurons of COBA (80 synapses each)", 0),
        ("synapses", "each", "synapses of each of 40,000 neurons, 22 Hz", -1),
        ("rates", "rate", "rate of 40,000 neurons, 80 synapses each (Hz)", -1),
    )
    fig, axes = plt.subplots(1, len(panels), figsize=(12, 3.6), layout="constrained")
    for ax, (name, key, label, anchor) in zip(axes, panels):
        series = {"two threads": figures[name]} | ({"one thread": figures["one thread"]} if name == "neurons" else {})
        for words, rows in series.items():
            x, y = [row[key] for row in rows], [row["us"] for row in rows]
            ax.loglog(x, y, "o-", ms=4, label=f"{os.cpu_count()} threads" if words == "two threads" else words)
        ax.loglog(x, [y[anchor] * value / x[anchor] for value in x], "--", color="0.6", lw=1, label="in proportion")
        ax.set_ylim(bottom=min(y) / 2)
        ax.set_xlabel(label)
        ax.set_ylabel("a step of 0.1 ms (us)")
        ax.legend(frameon=False, fontsize=8)
    fig.savefig(path, dpi=110)
    plt.close(fig)


def main() -> None:
    """Measure, and write the picture and its figures beside it."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scaling", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("scaling.png"), help="the picture (default: scaling.png)")
    parser.add_argument("--figures", type=Path, help="where the figures are written as JSON, if anywhere")
    parser.add_argument("--neurons", action="store_true", help="print the figures of the first panel alone")
    arguments = parser.parse_args()
    if arguments.neurons:
        print(json.dumps([coba(n) for n in NEURONS]))
        return
    figures = {"about": machine(), "one thread": alone(1)} | sweep()
    if arguments.figures:
        arguments.figures.write_text(json.dumps(figures, indent=1) + "\n")
    plot(figures, arguments.out)


if __name__ == "__main__":
    main()
