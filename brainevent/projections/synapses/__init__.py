"""Synapses: kinetics, and the outputs by which they act on a neuron."""
