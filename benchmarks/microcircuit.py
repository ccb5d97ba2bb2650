"""Bar 8: the cortical microcircuit at full scale, spikes recorded: building, memory, and seconds a second of biological time."""

import json
import subprocess
import sys

from .common import ROOT, Row

SCRIPT = """
import json, statistics, sys, time
import brainunit as u
from networks.command_line import DT, peak_memory
from networks.microcircuit import build
start = time.perf_counter()
net, populations, inputs = build(1.0, drive=sys.argv[1])
net.run(0 * u.ms, dt=DT, inputs=inputs, progress=False)
built = time.perf_counter() - start
net.run(200 * u.ms, inputs=inputs, progress=False)
factors = [1 / net.run(1 * u.second, inputs=inputs, progress=False).speed for _ in range(int(sys.argv[2]))]
print(json.dumps({"built": built, "factor": statistics.median(factors), "GB": peak_memory()}))
"""


def measure(rounds: int) -> list[Row]:
    """With Poisson trains and with a constant current, each in a process of its own."""
    small = [sys.executable, "-m", "networks.microcircuit", "--scale", "0.02", "--duration", "10ms", "--plot", "none"]
    subprocess.run(small, cwd=ROOT, check=True, capture_output=True)  # so that machine code is on disk
    rows = []
    for drive in ("poisson", "dc"):
        words = [sys.executable, "-c", SCRIPT, drive, str(rounds)]
        printed = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        got = json.loads(printed.splitlines()[-1])
        rows += [
            Row("8", f"microcircuit, {drive}: real-time factor", got["factor"], "", at_most=6.0),
            Row("8", f"microcircuit, {drive}: build", got["built"], "s", at_most=15.0),
            Row("8", f"microcircuit, {drive}: peak memory", got["GB"], "GB", at_most=3.2),
        ]
    return rows
