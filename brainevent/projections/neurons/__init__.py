"""Neuron models, one file a family."""
