"""The `numba` backend: machine code for CPUs that XLA calls directly (`bridge`), and which of its `kernels` serves what."""

KERNELS = ("stored", "jitc", "network", "deposit")  # the modules that register kernels
