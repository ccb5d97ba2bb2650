"""The `xla` backend: every operation in plain jax.numpy, on any platform; the reference, and what the others fall back to."""

REQUIRES = ()
KERNELS = ("stored", "jitc", "network", "assembly")  # the modules that register kernels
