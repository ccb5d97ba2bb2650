"""Plasticity: what a spike releases, and weights that learn; one file a kind."""
