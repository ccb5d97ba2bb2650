"""CUBA: 4,000 integrate-and-fire neurons with current-based synapses, 80 % excitatory, in irregular activity at about 6 Hz.

    python -m networks.cuba

Benchmark 2 of Brette et al., J. Comput. Neurosci. 23:349 (2007), after Vogels & Abbott, J. Neurosci. 25:10786 (2005): membrane time
constant 20 ms, rest -49 mV above the threshold of -50 mV (so that a neuron alone spikes), reset -60 mV, refractory time 5 ms,
2 % connected at random, synaptic time constants 5 ms (E) and 10 ms (I), weights of 1.62 mV (E) and -9 mV (I) times R = 100 Mohm:
16.2 pA and -90 pA, and V(0) uniform between reset and threshold. A step integrates these equations exactly. Brian2 gives 5.8 Hz,
with a standard deviation of 0.3 Hz from seed to seed.
"""

import brainunit as u

from brainevent.projections import CUBA, LIF, Expon, FixedProb, Network, Projection, Uniform

from .command_line import Model, parser, simulate


def build(scale: float = 1.0, seed: int = 42) -> Model:
    """The network.

    Args:
      scale: 1 for 4,000 neurons. A neuron gets 80 synapses on average at any scale (at least 80 neurons), so that the rate stays.
      seed: of connections and initial values.
    """
    n = round(4000 * scale)
    N = LIF(
        n,
        tau=20 * u.ms,
        V_rest=-49 * u.mV,
        V_th=-50 * u.mV,
        V_reset=-60 * u.mV,
        tau_ref=5 * u.ms,
        R=100 * u.Mohm,
        V_init=Uniform(-60 * u.mV, -50 * u.mV),
        name="N",
    )
    E, I = N[: n * 4 // 5], N[n * 4 // 5 :]
    p = 80 / n
    net = Network(
        Projection(E, FixedProb(p, weight=16.2 * u.pA), Expon(tau=5 * u.ms, output=CUBA()), N),
        Projection(I, FixedProb(p, weight=-90 * u.pA), Expon(tau=10 * u.ms, output=CUBA()), N),
        seed=seed,
    )
    return Model(net, E, I, inputs={})


def main(words=None):
    """The command line."""
    arguments = parser("cuba", __doc__.splitlines()[0]).parse_args(words)
    simulate(build(arguments.scale, arguments.seed), arguments)


if __name__ == "__main__":
    main()
