"""What every workload shares: rows of the table, alternating medians, and the machine they were measured on."""

import dataclasses
import itertools
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table. `value` and `peer_value` are in `unit`; the bar is a ratio (peer / ours) or a value."""

    bar: str
    workload: str
    value: float
    unit: str
    peer: str = ""
    peer_value: float | None = None
    at_least: float | None = None  # the ratio peer / ours that is wanted
    at_most: float | None = None  # the value that is wanted

    @property
    def ratio(self) -> float | None:
        """How many times faster than the peer."""
        return None if self.peer_value is None else self.peer_value / self.value

    @property
    def met(self) -> bool | None:
        """Whether the bar is met; None where there is none, or no peer to compare with."""
        if self.at_most is not None:
            return self.value <= self.at_most
        return None if self.at_least is None or self.ratio is None else self.ratio >= self.at_least

    def cells(self) -> list[str]:
        """The texts of the row."""
        wanted = f"<= {self.at_most:g} {self.unit}" if self.at_most is not None else f">= {self.at_least:g}x" if self.at_least else ""
        peer = f"{self.peer}: {self.peer_value:.4g}" if self.peer_value is not None else self.peer
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}x"
        return [
            self.bar,
            self.workload,
            f"{self.value:.4g} {self.unit}",
            peer,
            ratio,
            wanted,
            {True: "yes", False: "NO", None: ""}[self.met],
        ]


HEAD = ["bar", "workload", "ours", "peer", "times faster", "wanted", "met"]


def alternating(calls: dict[str, Callable[[], float | None]], rounds: int) -> dict[str, float]:
    """Medians of each call, run A B C, B A C, ...; a call returns its own figure, or None to be timed in seconds.

    Every order comes up equally often, because what ran before leaves its mark: data in the caches, threads that still spin.
    """
    figures: dict[str, list[float]] = {name: [] for name in calls}
    orders = list(itertools.permutations(calls.items()))
    for order in itertools.islice(itertools.cycle(orders), rounds):
        for name, call in order:
            start = time.perf_counter()
            figure = call()
            figures[name].append(time.perf_counter() - start if figure is None else figure)
    return {name: statistics.median(values) for name, values in figures.items()}


def machine() -> dict[str, str]:
    """The machine, the versions and the commit."""
    model = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), "")
    words = ["git", "rev-parse", "--short", "HEAD"] if shutil.which("git") else [sys.executable, "-c", ""]
    git = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=False)
    versions = {name: metadata.version(name) for name in ("jax", "numba", "numpy", "scipy", "brainevent")}
    return {
        "machine": f"{model or platform.processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "load": f"{os.getloadavg()[0]:.2f}",
        "python": platform.python_version(),
        **versions,
        "commit": git.stdout.strip() or "unknown",
    }


def markdown(rows: list[Row], about: dict[str, str]) -> str:
    """The table, under a line on where it was measured."""
    lines = ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    lines += ["| " + " | ".join(row.cells()) + " |" for row in rows]
    return "\n".join([", ".join(f"{key} {value}" for key, value in about.items()), "", *lines])


def as_json(rows: list[Row], about: dict[str, str]) -> str:
    """The same for machines."""
    return json.dumps({"about": about, "rows": [dataclasses.asdict(row) | {"ratio": row.ratio, "met": row.met} for row in rows]}, indent=1)
