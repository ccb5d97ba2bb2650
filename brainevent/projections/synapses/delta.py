"""`Delta`: a spike makes V jump."""

from dataclasses import dataclass

import brainunit as u

from .base import Synapse


@dataclass(frozen=True, eq=False, repr=False)
class Delta(Synapse):
    """A spike adds its weight, a voltage, to V of its targets; refractory neurons ignore it.

    >>> from brainevent.projections import Delta
    >>> Delta()
    Delta()
    """

    @property
    def unit(self):
        return u.mV

    @property
    def responds_exactly(self):
        return True

    def initial(self, size):
        return {}

    def targets(self):
        return None

    def responses(self, tau, dt):
        return {}

    def affine(self, state, V):
        return 0.0, 0.0

    def peak(self, weight, own):
        return weight
