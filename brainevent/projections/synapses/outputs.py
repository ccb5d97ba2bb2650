"""`CUBA` and `COBA`: how a synapse drives a neuron, as a current or as a conductance."""

from dataclasses import dataclass
from typing import Any

import brainunit as u

from ..units import scalar
from .base import Output


@dataclass(frozen=True, eq=False, repr=False)
class CUBA(Output):
    """The synaptic state is a current (pA): `I = s`.

    >>> from brainevent.projections import CUBA
    >>> CUBA()
    CUBA()
    """

    unit = u.pA
    conducts = False

    def affine(self, state, V):
        return state, 0.0

    def driving(self, own):
        return 1.0


@dataclass(frozen=True, eq=False, repr=False)
class COBA(Output):
    """The synaptic state is a conductance (nS): `I = g (E - V)`.

    Args:
      E: reversal potential, a voltage.

    >>> import brainunit as u
    >>> from brainevent.projections import COBA
    >>> COBA(E=0 * u.mV)
    COBA(E=0 mV)
    """

    E: Any
    unit = u.nS
    conducts = True

    def __post_init__(self):
        object.__setattr__(self, "E", scalar(self.E, u.mV, "COBA: E", "one voltage for all post neurons") * u.mV)

    def affine(self, state, V):
        return state * u.get_mantissa(self.E), state

    def driving(self, own):
        return u.get_mantissa(self.E) - own["V_rest"]
