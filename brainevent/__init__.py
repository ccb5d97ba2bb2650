"""Event-driven spiking networks on JAX: only the neurons that spiked cost anything."""

__version__ = "0.4.0"
