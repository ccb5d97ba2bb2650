"""The numba backend of plasticity: which kernel changes which weights."""

import jax

from ...core.table import kernel
from ...formats.compressed import Compressed
from ...formats.dense import Dense
from .bridge.ffi import call
from .kernels import plasticity as kernels
from .stored import SERVED


@kernel("strengthen", Compressed, backend="numba", platform="cpu", dtypes=SERVED)
def strengthen_lines(A, w, spikes, trace, *, axis, places):
    """The synapses of the neurons that spiked."""
    after = jax.ShapeDtypeStruct(w.shape, w.dtype)
    return call(kernels.strengthen_lines, after, w, spikes, trace, A.structure(), places, aliases={0: 0})


@kernel("strengthen", Dense, backend="numba", platform="cpu", dtypes=SERVED)
def strengthen_dense(A, w, spikes, trace, *, axis, places):
    """The rows, or columns, of the neurons that spiked."""
    run = kernels.strengthen_columns if axis else kernels.strengthen_rows
    return call(run, jax.ShapeDtypeStruct(w.shape, w.dtype), w, spikes, trace, aliases={0: 0})
