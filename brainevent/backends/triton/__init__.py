"""The `triton` backend: kernels for NVIDIA GPUs, called through jax-triton; without a GPU Triton's interpreter runs them (`bridge.py`)."""

import os

INTERPRETED = os.environ.get("TRITON_INTERPRET", "0") == "1"  # Triton's own switch, to be set before triton is imported
REQUIRES = ("triton",) if INTERPRETED else ("jax_triton",)
KERNELS = ("stored", "jitc", "network")  # the modules that register kernels
