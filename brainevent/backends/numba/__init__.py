"""The `numba` backend: machine code for CPUs that XLA calls directly (`bridge`), and which of its `kernels` serves what."""

REQUIRES = ("numba",)  # not ours, and may be missing or broken
KERNELS = ("stored", "jitc", "network", "deposit", "one_pass", "plasticity", "assembly")  # the modules that register kernels
