"""A million integrate-and-fire neurons with 1,000 synapses each, none of which is stored: they are drawn anew whenever a neuron spikes.

    python -m networks.million

The COBA network (`networks/coba.py`) with a thousand synapses a neuron instead of 80 and weights smaller by as much, so that the mean
input is the same and its fluctuations are those of many small synapses: irregular activity at about 2 Hz. Stored by rows, the 1e9
synapses would take 4 GB with one weight for all, 8 GB with individual ones.
"""

import time

import brainunit as u

from brainevent.projections import COBA, LIF, Expon, FixedProb, Network, Normal, Projection

from .command_line import Model, parser, peak_memory, simulate

SYNAPSES = 1000  # of a neuron, on average
SHRUNK = 80 / SYNAPSES  # the weights, against those of COBA


def build(scale: float = 1.0, seed: int = 42, *, format: str = "jit") -> Model:
    """The network.

    Args:
      scale: 1 for 1,000,000 neurons. A neuron gets 1,000 synapses on average at any scale (at least 1,000 neurons).
      seed: of connections and initial values.
      format: how synapses are stored, a word of `FixedProb(format=...)`; "jit" stores none. All give the same network and, on
        a CPU, the same spikes.
    """
    n = round(1_000_000 * scale)
    N = LIF(
        n,
        tau=20 * u.ms,
        V_rest=-60 * u.mV,
        V_th=-50 * u.mV,
        V_reset=-60 * u.mV,
        tau_ref=5 * u.ms,
        R=100 * u.Mohm,
        V_init=Normal(-55 * u.mV, 2 * u.mV),
        name="N",
    )
    E, I = N[: n * 4 // 5], N[n * 4 // 5 :]
    excite, inhibit = (FixedProb(SYNAPSES / n, weight=w * SHRUNK, format=format) for w in (6 * u.nS, 67 * u.nS))
    net = Network(
        Projection(E, excite, Expon(tau=5 * u.ms, output=COBA(E=0 * u.mV)), N),
        Projection(I, inhibit, Expon(tau=10 * u.ms, output=COBA(E=-80 * u.mV)), N),
        seed=seed,
    )
    return Model(net, E, I, inputs={N: 200 * u.pA})


def main(words=None):
    """The command line."""
    arguments = parser("million", __doc__.splitlines()[0], lasting="200ms")
    arguments.add_argument("--format", choices=("csr", "jit"), default="jit", help="how synapses are stored (default: jit, not at all)")
    arguments = arguments.parse_args(words)
    start = time.perf_counter()
    model = build(arguments.scale, arguments.seed, format=arguments.format)
    built = time.perf_counter() - start
    simulate(model, arguments)
    print(f"built in   {built:.2f} s\nall done   {time.perf_counter() - start:.1f} s\nmemory     {peak_memory():.2f} GB at its peak")


if __name__ == "__main__":
    main()
