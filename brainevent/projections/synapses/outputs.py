"""`CUBA`, `COBA`, `MgBlock`: how a synapse drives a neuron, as a current or as a conductance."""

from dataclasses import dataclass, field
from typing import Any

import brainunit as u
import jax.numpy as jnp

from ..units import check_sign, scalar
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
    linear = True

    def affine(self, state, V):
        return state, 0.0


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
        E = u.get_mantissa(self.E)
        return (state * E if E else 0.0), state


@dataclass(frozen=True, eq=False, repr=False)
class MgBlock(Output):
    """The synaptic state is a conductance (nS) that magnesium blocks: `I = g B(V) (E - V)`, `B(V) = 1 / (1 + Mg / 3.57 e^(-0.062 V))`.

    Args:
      E: reversal potential, a voltage.
      Mg: concentration of magnesium outside the cell, in mM, at least 0.

    Jahr & Stevens, J. Neurosci. 10:3178 (1990): V in mV, Mg in mM. The block follows V at once.

    >>> import brainunit as u
    >>> from brainevent.projections import MgBlock
    >>> round(float(MgBlock(E=0 * u.mV).open(-60.0)), 4)
    0.0796
    """

    E: Any = field(default_factory=lambda: 0 * u.mV)
    Mg: Any = 1.0
    unit = u.nS
    conducts = True

    def __post_init__(self):
        object.__setattr__(self, "E", scalar(self.E, u.mV, "MgBlock: E", "one voltage for all post neurons") * u.mV)
        what, expected = "MgBlock: Mg", "one concentration in mM, at least 0"
        number = scalar(self.Mg, u.UNITLESS, what, expected)
        check_sign(number, self.Mg, what, expected, zero=True)
        object.__setattr__(self, "Mg", number)

    def open(self, V):
        """B(V), the part of the channels that is not blocked at V (mV)."""
        return 1 / (1 + self.Mg / 3.57 * jnp.exp(-0.062 * V))

    def affine(self, state, V):
        conductance, E = state * self.open(V), u.get_mantissa(self.E)
        return (conductance * E if E else 0.0), conductance
