"""How the time of a step grows: with neurons, with synapses, with how often neurons spike, and with threads.

    python -m benchmarks.scaling --out docs/images/scaling.png

COBA (`networks/coba.py`) in every panel, spikes recorded: what is varied is named by the axis. Each figure is the median of three runs.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import brainunit as u

from networks.coba import build

from .common import machine

NEURONS = (1_000, 4_000, 10_000, 40_000, 100_000, 400_000, 1_000_000)
SYNAPSES = (10, 40, 80, 200, 400, 800)  # of each neuron, 40,000 neurons
CURRENTS = (155, 160, 170, 200, 250, 350, 600)  # pA, which change the rate, 40,000 neurons


def measured(n: int, each: int = 80, current: float = 200.0) -> dict:
    """`us` a step and the `rate` in Hz, of n neurons with so many synapses each and a constant drive in pA."""
    model, steps = build(n / 4000, K=each), int(min(10_000, max(300, 4e7 / n)))
    options = {"dt": 0.1 * u.ms, "inputs": dict.fromkeys(model.inputs, current * u.pA), "progress": False}
    model.net.run(100 * u.ms, **options)
    runs = [model.net.run(steps * 0.1 * u.ms, **options) for _ in range(3)]
    us = statistics.median(0.1e-3 / run.speed * 1e6 for run in runs if run.speed)
    (N,) = model.inputs
    return {"n": n, "each": each, "current": current, "us": us, "rate": float(runs[-1].rate(N).to_decimal(u.Hz))}


def sweep() -> dict[str, list[dict]]:
    """The figures of every panel, on as many threads as there are."""
    return {
        "neurons": [measured(n) for n in NEURONS],
        "synapses": [measured(40_000, each) for each in SYNAPSES],
        "rates": [measured(40_000, current=current) for current in CURRENTS],
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
        ("neurons", "n", "neurons (80 synapses each)", 0),
        ("synapses", "each", "synapses of each of 40,000 neurons", -1),
        ("rates", "rate", "rate of 40,000 neurons (Hz)", -1),
    )
    fig, axes = plt.subplots(1, len(panels), figsize=(12, 3.6), layout="constrained")
    for ax, (name, key, label, anchor) in zip(axes, panels):
        series = {"two threads": figures[name]} | ({"one thread": figures["one thread"]} if name == "neurons" else {})
        for words, rows in series.items():
            x, y = [row[key] for row in rows], [row["us"] for row in rows]
            ax.loglog(x, y, "o-", ms=4, label=f"{os.cpu_count()} threads" if words == "two threads" else words)
        ax.loglog(x, [y[anchor] * value / x[anchor] for value in x], "--", color="0.6", lw=1, label="in proportion")
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
    parser.add_argument("--out", type=Path, default=Path("scaling.png"), help="the picture; its figures are written as JSON beside it")
    parser.add_argument("--neurons", action="store_true", help="print the figures of the first panel alone")
    arguments = parser.parse_args()
    if arguments.neurons:
        print(json.dumps([measured(n) for n in NEURONS]))
        return
    figures = {"about": machine(), "one thread": alone(1)} | sweep()
    arguments.out.with_suffix(".json").write_text(json.dumps(figures, indent=1) + "\n")
    plot(figures, arguments.out)


if __name__ == "__main__":
    main()
