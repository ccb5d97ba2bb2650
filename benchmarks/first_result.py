"""Bar 10: from nothing to the first picture of COBA, with an empty kernel cache and in a second process."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .common import ROOT, Row


def measure(rounds: int) -> list[Row]:
    """Seconds of `python -m networks.coba`, process start to end."""
    with tempfile.TemporaryDirectory() as directory:
        environment = os.environ | {"BRAINEVENT_CACHE_DIR": directory}
        command = [sys.executable, "-m", "networks.coba", "--plot", str(Path(directory) / "coba.png")]
        seconds = []
        for _ in range(2):
            start = time.perf_counter()
            subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
            seconds.append(time.perf_counter() - start)
    return [
        Row("10", "COBA 4,000, 1 s, from process start to picture: cold", seconds[0], "s", at_most=8.0),
        Row("10", "the same, second process", seconds[1], "s", at_most=3.0),
    ]
