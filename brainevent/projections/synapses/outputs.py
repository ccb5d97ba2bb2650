"""`CUBA` and `COBA`: how a synapse drives a neuron, as a current or as a conductance."""

from dataclasses import dataclass
from typing import Any

import brainunit as u
import numpy as np

from ..parameters import describe
from ..units import plain
from .base import Output


@dataclass(frozen=True, eq=False, repr=False)
class CUBA(Output):
    """The synaptic state is a current (pA): `I = s`.

    >>> from brainevent.projections import CUBA
    >>> CUBA()
    CUBA()
    """

    unit = u.pA

    def affine(self, state, V):
        return state, 0.0

    def driving(self, own):
        return 1.0, False


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

    def __post_init__(self):
        number = np.asarray(plain(self.E, u.mV, "COBA: E"))
        if number.ndim or not np.isfinite(number):
            raise ValueError(f"COBA: E is {describe(self.E)}, expected one finite voltage for all post neurons")

    def affine(self, state, V):
        return state * float(plain(self.E, u.mV, "COBA: E")), state

    def driving(self, own):
        return float(plain(self.E, u.mV, "COBA: E")) - own["V_rest"], True
