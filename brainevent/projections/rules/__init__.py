"""Connection rules: which pre neuron connects to which post neuron, sampled in O(synapses) time and memory."""

from brainevent.projections.rules.base import FORMATS, Rule
from brainevent.projections.rules.given import AllToAll, FromMatrix, FromPairs, OneToOne
from brainevent.projections.rules.random import FixedInDegree, FixedOutDegree, FixedProb, FixedTotal

__all__ = [
    "FORMATS",
    "AllToAll",
    "FixedInDegree",
    "FixedOutDegree",
    "FixedProb",
    "FixedTotal",
    "FromMatrix",
    "FromPairs",
    "OneToOne",
    "Rule",
]
