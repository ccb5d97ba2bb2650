"""`Gap`: electrical synapses, which carry current between two neurons in both directions."""

from dataclasses import dataclass

import brainunit as u

from .base import Synapse


@dataclass(frozen=True, eq=False, repr=False)
class Gap(Synapse):
    """Gap junctions: `I_post = g (V_pre - V_post)`, `I_pre = g (V_post - V_pre)`, in every step, whether neurons spike or not.

    The weight is the conductance g. Each pair is given once, since current goes both ways. Both populations have a V; there is no delay. A
    step takes V of its start on the other side, and V as it changes on this one, as for any conductance; it walks all synapses.

    Bennett & Zukin, Neuron 41:495 (2004).

    >>> import brainunit as u
    >>> from brainevent.projections import Gap, LIF, Network, OneToOne, Projection
    >>> A, B = LIF(1, V_init=-55 * u.mV, name="A"), LIF(1, name="B")
    >>> net = Network(Projection(A, OneToOne(weight=10 * u.nS), Gap(), B))
    >>> _ = net.run(5 * u.ms, dt=0.1 * u.ms)
    >>> bool((A.V.value < -55 * u.mV)[0] & (B.V.value > -65 * u.mV)[0])
    True
    """

    continuous = True

    @property
    def unit(self):
        return u.nS

    @property
    def conducts(self):
        return True

    def initial(self, size):
        return {}

    def targets(self):
        return None

    def affine(self, state, V):
        return state.get("offset", 0.0), state.get("slope", 0.0)
