"""Fixtures shared by the suites; `tables.py` and `oracles.py` stand beside this file and are imported by name."""

import jax
import pytest


@pytest.fixture(scope="module")
def x64():
    """float64 for a module of tests: arrays are as wide as they say, so that oracles are exact to 1e-12."""
    with jax.enable_x64(True):
        yield
