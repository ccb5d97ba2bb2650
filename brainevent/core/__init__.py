"""The two primitives, the kernel table, and the reference kernels."""
