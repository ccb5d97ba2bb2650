"""Importing brainstate leaves jax as wide as it was: before 0.6 it set 32 bits for the whole program."""

import jax

_wide = jax.config.read("jax_enable_x64")

import brainstate  # noqa: E402  what was read comes first

if _wide and not jax.config.read("jax_enable_x64"):
    brainstate.environ.set(precision=64)
