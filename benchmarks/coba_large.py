"""Bar 4: COBA with 400,000 neurons, 32 million synapses: time a step and peak memory of the process."""

import json
import subprocess
import sys

from .common import ROOT, Row

SCRIPT = """
import json, resource, time
import brainunit as u
from networks.coba import build
start = time.perf_counter()
model = build(scale=100)
net, inputs = model.net, model.inputs
built = time.perf_counter() - start
net.run(20 * u.ms, dt=0.1 * u.ms, inputs=inputs, progress=False)
speeds = sorted(net.run(100 * u.ms, inputs=inputs, progress=False).speed for _ in range(3))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
print(json.dumps({"ms": 0.1 / speeds[1], "GB": peak, "build": built}))
"""


def measure(rounds: int) -> list[Row]:
    """Milliseconds a step, and gigabytes, in a process of its own."""
    printed = subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    got = json.loads(printed.splitlines()[-1])
    return [
        Row("4", "COBA 400,000, one step", got["ms"], "ms", at_most=0.6),
        Row("4", "COBA 400,000, peak memory", got["GB"], "GB", at_most=1.0),
        Row("4", "COBA 400,000, build", got["build"], "s"),
    ]
