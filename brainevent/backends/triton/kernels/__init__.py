"""Triton kernels, which know arrays and no formats."""
