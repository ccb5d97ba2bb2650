"""Brunel: 12,500 sparsely connected integrate-and-fire neurons with delta synapses and Poisson input, in one of four regimes.

    python -m networks.brunel --regime AI

Model A of Brunel, J. Comput. Neurosci. 8:183 (2000), with the constants of its figure 8: 10,000 excitatory and 2,500 inhibitory
neurons; each receives 1,000 and 250 synapses from random neurons of the network and 1,000 external Poisson trains; membrane time
constant 20 ms, threshold 20 mV and reset 10 mV above rest, refractory time 2 ms, delay 1.5 ms. A spike moves V by J = 0.1 mV (E and
external) or -g J (I). An external train has eta times the rate that would just reach the threshold on average,
nu_thr = theta / (J C_E tau) = 10 Hz.

V(0) is uniform between rest and threshold.

    regime   g    eta   the network is       a neuron spikes
    SR       3    2     synchronous          regularly
    SI-fast  6    4     synchronous, fast    irregularly
    AI       5    2     asynchronous         irregularly
    SI-slow  4.5  0.9   synchronous, slow    irregularly
"""

import brainunit as u

from brainevent.projections import LIF, Delta, FixedInDegree, Network, PoissonInput, Projection, Uniform

from .command_line import Model, parser, simulate

REGIMES = {"SR": (3.0, 2.0), "SI-fast": (6.0, 4.0), "AI": (5.0, 2.0), "SI-slow": (4.5, 0.9)}  # g, eta

C_E, C_I = 1000, 250
J = 0.1 * u.mV
TAU, TAU_REF, DELAY = 20 * u.ms, 2 * u.ms, 1.5 * u.ms
THETA, V_RESET = 20 * u.mV, 10 * u.mV


def build(scale: float = 1.0, seed: int = 42, *, regime: str = "AI") -> Model:
    """The network.

    Args:
      scale: 1 for 12,500 neurons. The numbers of synapses of a neuron (1,000 and 250) and J stay, and with them the mean and the
        variance of its input and so its rate. What grows as neurons get fewer is the fraction of shared input, 10 % at scale 1,
        and so the synchrony.
      seed: of connections and noise.
      regime: a name of `REGIMES`.

    Raises:
      ValueError: an unknown regime.
    """
    if regime not in REGIMES:
        raise ValueError(f"regime is {regime!r}, expected one of {', '.join(REGIMES)}")
    g, eta = REGIMES[regime]
    nu_thr = THETA / (J * C_E * TAU)
    n = round(12_500 * scale)
    N = LIF(n, tau=TAU, V_rest=0 * u.mV, V_th=THETA, V_reset=V_RESET, tau_ref=TAU_REF, V_init=Uniform(0 * u.mV, THETA), name="N")
    E, I = N[: n * 4 // 5], N[n * 4 // 5 :]
    net = Network(
        Projection(E, FixedInDegree(C_E, weight=J), Delta(), N, delay=DELAY),
        Projection(I, FixedInDegree(C_I, weight=-g * J), Delta(), N, delay=DELAY),
        PoissonInput(N, n=C_E, rate=eta * nu_thr, weight=J, synapse=Delta()),
        seed=seed,
    )
    return Model(net, E, I, inputs={})


def main(words=None):
    """The command line."""
    arguments = parser("brunel", __doc__.splitlines()[0], lasting="300ms")
    arguments.add_argument("--regime", choices=REGIMES, default="AI", help="the regime by its name in the paper (default: AI)")
    arguments = arguments.parse_args(words)
    simulate(build(arguments.scale, arguments.seed, regime=arguments.regime), arguments)


if __name__ == "__main__":
    main()
