"""Event-driven spiking networks on JAX: only the neurons that spiked cost anything.

>>> import brainevent as be, jax.numpy as jnp
>>> A = be.CSR.fromdense(jnp.array([[0., 1., 2.], [3., 0., 0.]]))
>>> be.EventArray(jnp.array([True, False])) @ A
Array([0., 1., 2.], dtype=float32)
"""

import importlib

from .connectivity import Connectivity
from .core.table import BackendError, backend, explain
from .events import BinaryArray, EventArray, MaskedFloat, WeightedArray
from .formats.coo import COO, coo2csr
from .formats.csr import CSC, CSR
from .formats.dense import Dense
from .formats.fixed import FixedPostNumConn, FixedPreNumConn
from .formats.jitc import JITCHomoC, JITCHomoR, JITCNormalC, JITCNormalR, JITCUniformC, JITCUniformR
from .plasticity import (
    csr2csc_on_post,
    csr_on_pre,
    dense_on_post,
    dense_on_pre,
    update_csr_on_binary_post,
    update_csr_on_binary_pre,
    update_dense_on_binary_post,
    update_dense_on_binary_pre,
)

__version__ = "0.4.0"

DataRepresentation = Connectivity
FixedNumPerPre, FixedNumPerPost = FixedPostNumConn, FixedPreNumConn
JITCScalarR, JITCScalarC = JITCHomoR, JITCHomoC

__all__ = [
    "COO",
    "CSC",
    "CSR",
    "BackendError",
    "BinaryArray",
    "Connectivity",
    "DataRepresentation",
    "Dense",
    "EventArray",
    "FixedNumPerPost",
    "FixedNumPerPre",
    "FixedPostNumConn",
    "FixedPreNumConn",
    "JITCHomoC",
    "JITCHomoR",
    "JITCNormalC",
    "JITCNormalR",
    "JITCScalarC",
    "JITCScalarR",
    "JITCUniformC",
    "JITCUniformR",
    "MaskedFloat",
    "WeightedArray",
    "backend",
    "coo2csr",
    "csr2csc_on_post",
    "csr_on_pre",
    "dense_on_post",
    "dense_on_pre",
    "explain",
    "projections",  # pyright: ignore[reportUnsupportedDunderAll]
    "update_csr_on_binary_post",
    "update_csr_on_binary_pre",
    "update_dense_on_binary_post",
    "update_dense_on_binary_pre",
]


def __getattr__(name):
    if name == "projections":  # lazily: brainstate imports brainevent, and the projections import brainstate
        return importlib.import_module(".projections", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
