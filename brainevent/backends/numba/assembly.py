"""numba kernels that put a network together, on arrays of the host."""

import numpy as np

from ...core.table import kernel
from .bridge.direct import run
from .kernels import assembly

BLOCKS = 256  # of lines, for threads to share out


@kernel("ascend_in_lines", object, backend="numba", platform="cpu")
def ascend_in_lines(starts, ids):
    run(assembly.ascend_in_lines, (ids,), starts, _bounds(starts))


@kernel("sort_lines", object, backend="numba", platform="cpu", dtypes=("float32", "float64"))
def sort_lines(starts, keys, ids, weights, places, ties):
    run(assembly.sort_lines, (keys, ids, weights, places), starts, np.array([ties]), _bounds(starts))


def _bounds(starts):
    """Blocks of lines that have about as many synapses each."""
    shares = np.linspace(0, starts[-1], BLOCKS + 1)
    bounds = np.searchsorted(starts, shares[1:-1])
    return np.concatenate([[0], bounds, [starts.size - 1]])
