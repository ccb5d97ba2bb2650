"""Bars 2 and 3: COBA with 4,000 and 40,000 neurons through the public API, against Brian2's C++ standalone mode."""

import json
import subprocess
import tempfile
from pathlib import Path

import brainunit as u

from networks.coba import build

from .common import Row, alternating
from .environments import python_with

PEER = Path(__file__).parent / "peers" / "brian2_coba.py"


def ours(n: int):
    """A call that simulates one second, continuing, and returns microseconds a step; spikes are recorded, as by the peer."""
    model = build(scale=n / 4000)

    def call():
        run = model.net.run(1 * u.second, dt=0.1 * u.ms, inputs=model.inputs, progress=False)
        return 0.1e-3 / run.speed * 1e6

    call()
    return call


def brian2(python: str, n: int, directory: str, peer: Path, *options: str):
    """A call that runs the binary built in `directory` once and returns microseconds a step."""
    command = [python, str(peer), "--n", str(n), "--project-dir", directory, *options]
    subprocess.run([*command, "--runs", "1"], check=True, capture_output=True)

    def call():
        printed = subprocess.run([*command, "--rerun", "--runs", "1"], check=True, capture_output=True, text=True).stdout
        return float(json.loads(printed.splitlines()[-1])["us_per_step"])

    return call


def measure(rounds: int) -> list[Row]:
    """Microseconds a step of 0.1 ms, one biological second a round."""
    python, rows = python_with("brian2"), []
    for bar, n in (("2", 4_000), ("3", 40_000)):
        with tempfile.TemporaryDirectory() as directory:
            calls = {"ours": ours(n)}
            if python:
                calls["peer"] = brian2(python, n, directory, PEER, "--record")
            figures = alternating(calls, rounds)
        peer = "Brian2 2.9 C++ standalone, 1 thread" if python else "Brian2 cannot be installed"
        rows.append(Row(bar, f"COBA {n:,}, one step", figures["ours"], "us", peer, figures.get("peer"), at_least=6.0))
    return rows
