"""The command line that the networks share, and `Model`, what their `build` returns."""

import argparse
import atexit
import gc
import re
import resource
import sys
from typing import NamedTuple

import brainunit as u

from brainevent.projections import Network

DT = 0.1 * u.ms

# What has been imported stays until the process ends, and then there is no use in looking for what could be freed: 0.7 s
gc.freeze()
atexit.register(gc.freeze)


class Model(NamedTuple):
    """A network with the names of its parts: `net`, the views `E` and `I`, and the external currents of `net.run(inputs=...)`."""

    net: Network
    E: object
    I: object
    inputs: dict


def duration(text: str):
    """A time from the command line: `1000` (ms), `500ms`, `2 s`.

    >>> print(duration("2 s"))
    2000. ms
    """
    match = re.fullmatch(r"\s*([0-9.]+(?:e[+-]?\d+)?)\s*(ms|s|second|)\s*", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: write 1000 (ms), 500ms or 2s")
    return float(match[1]) * (1.0 if match[2] in ("ms", "") else 1000.0) * u.ms


def parser(name: str, what: str, *, lasting: str = "1s") -> argparse.ArgumentParser:
    """The arguments that every network takes."""
    made = argparse.ArgumentParser(prog=f"python -m networks.{name}", description=what)
    made.add_argument("--scale", type=float, default=1.0, help="number of neurons, as a fraction of the full network (default: 1)")
    made.add_argument("--duration", type=duration, default=lasting, help=f"biological time: 1000 (ms), 500ms, 2s (default: {lasting})")
    made.add_argument("--seed", type=int, default=42, help="seed of connections, initial values and noise (default: 42)")
    made.add_argument(
        "--plot", metavar="PATH", default=f"{name}.png", help=f'where the picture goes, "none" for no picture (default: {name}.png)'
    )
    made.add_argument("--backend", help="a kernel backend by name: xla, numba, ... (default: the fastest that serves)")
    made.add_argument("--progress", action=argparse.BooleanOptionalAction, help="a progress bar (default: on a terminal)")
    return made


def simulate(model: Model, arguments: argparse.Namespace):
    """Run a model for a command line: print its summary, rates and speed, and save its picture. Returns the `Run`."""
    net, E, I, inputs = model
    record = [*(population.spikes for population in net.populations), E[:2].V, I[:1].V]
    run = net.run(arguments.duration, dt=DT, inputs=inputs, record=record, progress=arguments.progress, backend=arguments.backend)
    print(net.summary())
    print(f"\nrate of E  {run.rate(E).to_decimal(u.Hz):.2f} Hz\nrate of I  {run.rate(I).to_decimal(u.Hz):.2f} Hz")
    if run.speed:
        print(f"speed      {run.speed:.3g} s of biological time a second ({DT.to_decimal(u.second) / run.speed * 1e6:.3g} us a step)")
    if arguments.plot != "none":
        run.plot(E, I, labels=["E", "I"], path=arguments.plot)
        print(f"picture    {arguments.plot}")
    return run


def peak_memory() -> float:
    """The most memory this process has held, in GB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e9 if sys.platform == "darwin" else 1e6)  # bytes there, kB elsewhere
