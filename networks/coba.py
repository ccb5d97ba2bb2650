"""COBA: 4,000 integrate-and-fire neurons with conductance-based synapses, 80 % excitatory, in irregular activity at about 22 Hz.

    python -m networks.coba

The network of Vogels & Abbott, J. Neurosci. 25:10786 (2005), in the form of benchmark 1 of Brette et al., J. Comput. Neurosci.
23:349 (2007), with a constant drive of 200 pA. Brian2, NEST and GeNN give 20 to 23 Hz with these constants. From seed to seed the
rate varies by 1.3 Hz (standard deviation, here and in Brian2).
"""

import brainunit as u

from brainevent.projections import COBA, LIF, Expon, FixedProb, Network, Normal, Projection

from .command_line import Model, parser, simulate


def build(scale: float = 1.0, seed: int = 42, *, format: str = "auto") -> Model:
    """The network.

    Args:
      scale: 1 for 4,000 neurons. A neuron gets 80 synapses on average at any scale (at least 80 neurons), so that the rate stays.
      seed: of connections and initial values.
      format: how synapses are stored, a word of `brainevent.projections.FORMATS`; "jit" stores none. All give the same network and, on a
        CPU, the same spikes.
    """
    n = round(4000 * scale)
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
    p = 80 / n
    net = Network(
        Projection(E, FixedProb(p, weight=6 * u.nS, format=format), Expon(tau=5 * u.ms, output=COBA(E=0 * u.mV)), N),
        Projection(I, FixedProb(p, weight=67 * u.nS, format=format), Expon(tau=10 * u.ms, output=COBA(E=-80 * u.mV)), N),
        seed=seed,
    )
    return Model(net, E, I, inputs={N: 200 * u.pA})


def main(words=None):
    """The command line."""
    arguments = parser("coba", __doc__.splitlines()[0])
    arguments.add_argument("--format", choices=("auto", "csr", "jit"), default="auto", help="how synapses are stored; jit: they are not")
    arguments = arguments.parse_args(words)
    simulate(build(arguments.scale, arguments.seed, format=arguments.format), arguments)


if __name__ == "__main__":
    main()
