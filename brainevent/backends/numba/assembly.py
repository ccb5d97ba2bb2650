"""numba kernels that put a network together, on arrays of the host."""

import numpy as np

from ...core.table import kernel
from .bridge.direct import run
from .kernels import assembly

BLOCKS = 256  # of lines, for threads to share out


@kernel("sort_lines", object, backend="numba", platform="cpu", dtypes=("float32", "float64"))
def sort_lines(starts, keys, ids, weights, places, ties):
    bounds = np.linspace(0, starts.size - 1, min(BLOCKS, starts.size) + 1).astype(np.int64)
    run(assembly.sort_lines, (keys, ids, weights, places), starts, np.array([ties]), bounds)
