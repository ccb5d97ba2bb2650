"""Networks of populations and projections: `Projection(pre, connectivity, synapse, post)`, `Network(...).run(...)`."""

from . import precision as precision  # before anything imports brainstate
from .currents import OrnsteinUhlenbeck, RampCurrent, SineCurrent, StepCurrent, TimedArray, WhiteNoise
from .distributions import Constant, Exponential, Gamma, LogNormal, Normal, TruncNormal, Uniform
from .inputs import PoissonInput
from .network import Network
from .neurons.adex import QIF, AdEx, ExpIF
from .neurons.alif import ALIF
from .neurons.base import Neuron
from .neurons.hh import HH
from .neurons.izhikevich import Izhikevich
from .neurons.lif import LIF
from .neurons.poisson import Poisson
from .neurons.spike_source import SpikeSource
from .plasticity.learning import LearningRule
from .plasticity.reward import RewardSTDP
from .plasticity.stdp import PairSTDP, TripletSTDP, VogelsISTDP
from .plasticity.tsodyks_markram import TsodyksMarkram
from .population import Population, View
from .projection import Projection
from .recorder import Every
from .recording import Run
from .rules import AllToAll, FixedInDegree, FixedOutDegree, FixedProb, FixedTotal, FromMatrix, FromPairs, OneToOne, Rule
from .statistics import Correlations, Counts, Moments
from .synapses.base import Synapse
from .synapses.delta import Delta
from .synapses.expon import Expon
from .synapses.gap import Gap
from .synapses.kinetic import AMPA, GABAa, KineticNMDA
from .synapses.outputs import COBA, CUBA, MgBlock
from .synapses.rising import NMDA, Alpha, DualExpon

__all__ = [
    "ALIF",
    "AMPA",
    "COBA",
    "CUBA",
    "HH",
    "LIF",
    "NMDA",
    "QIF",
    "AdEx",
    "AllToAll",
    "Alpha",
    "Constant",
    "Correlations",
    "Counts",
    "Delta",
    "DualExpon",
    "Every",
    "ExpIF",
    "Expon",
    "Exponential",
    "FixedInDegree",
    "FixedOutDegree",
    "FixedProb",
    "FixedTotal",
    "FromMatrix",
    "FromPairs",
    "GABAa",
    "Gamma",
    "Gap",
    "Izhikevich",
    "KineticNMDA",
    "LearningRule",
    "LogNormal",
    "MgBlock",
    "Moments",
    "Network",
    "Neuron",
    "Normal",
    "OneToOne",
    "OrnsteinUhlenbeck",
    "PairSTDP",
    "Poisson",
    "PoissonInput",
    "Population",
    "Projection",
    "RampCurrent",
    "RewardSTDP",
    "Rule",
    "Run",
    "SineCurrent",
    "SpikeSource",
    "StepCurrent",
    "Synapse",
    "TimedArray",
    "TripletSTDP",
    "TruncNormal",
    "TsodyksMarkram",
    "Uniform",
    "View",
    "VogelsISTDP",
    "WhiteNoise",
]
