"""Synapses that learn by pairs of spikes in Brian2's C++ standalone mode, as in `benchmarks/plastic.py`; needs Brian2 alone.

What is timed, and the options, are those of `brian2_coba.py`.
"""

import argparse
import time
from pathlib import Path

from brian2_coba import finish, main, prepare


def build(arguments: argparse.Namespace, directory: Path) -> None:
    """Generate and compile the network in `directory`, and note beside it what was built."""
    import brian2 as b

    begin = time.perf_counter()
    prepare(b, arguments)
    pre = b.PoissonGroup(arguments.n, 5 * b.Hz)
    post = b.NeuronGroup(
        arguments.n,
        "dv/dt = (-60*mV - v + 100*Mohm * 115.65*pA) / (100*ms) : volt",
        threshold="v > -50*mV",
        reset="v = -60*mV",
        method="exact",
    )
    post.v = "-60*mV + 10*mV*rand()"
    synapses = b.Synapses(
        pre,
        post,
        """w : 1
           dx/dt = -x/(20*ms) : 1 (event-driven)
           dy/dt = -y/(20*ms) : 1 (event-driven)""",
        on_pre="v_post += w*mV; x += 1; w = clip(w - 0.0105*0.002*y, 0, 0.002)",
        on_post="y += 1; w = clip(w + 0.01*0.002*x, 0, 0.002)",
    )
    synapses.connect(p=0.1)
    synapses.w = "0.002*rand()"
    network = b.Network(pre, post, synapses)
    network.run(arguments.duration * b.second)
    finish(b, arguments, directory, begin, None)


if __name__ == "__main__":
    main(build, duration=0.5)
