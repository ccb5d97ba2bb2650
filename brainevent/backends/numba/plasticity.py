"""The numba backend of plasticity: which kernel changes which weights."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np

from ...core.plastic import Resources, learned, scalar_program
from ...core.table import kernel
from ...formats.compressed import Compressed
from ...formats.dense import Dense
from .bridge.ffi import Made, call
from .kernels import plasticity as kernels
from .scalar_code import UnknownPrimitive, function_text
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


@kernel("release", object, backend="numba", platform="cpu", dtypes=SERVED)
def release_cpu(resources, sent, A, w, spikes, place, kinetics):
    """The neurons that spiked, each with one state or with one for each of its synapses."""
    structure = (np.ones(1, np.uint32),) if A is None else A.structure()
    outs = [jax.ShapeDtypeStruct(array.shape, array.dtype) for array in (*resources, sent)]
    w = None if w is None else jnp.broadcast_to(w.reshape(-1), sent.shape)
    operands = (*resources, sent, spikes, place, w, structure, *kinetics)
    *resources, sent = call(kernels.release, outs, *operands, aliases={0: 0, 1: 1, 2: 2, 3: 3})
    return Resources(*resources), sent


@kernel("learn", Compressed, backend="numba", platform="cpu", dtypes=SERVED)
def learn_lines(rule, A, w, spikes, own, other, *, axis, places, readers):
    """The synapses of the neurons that spiked, by machine code made of the rule; all of them by XLA if no code is known for it."""
    try:
        text = function_text(scalar_program(rule, w.dtype, len(own), len(other)), len(own))
    except UnknownPrimitive as error:
        warnings.warn(
            f"a learning rule takes `{error}`, which has no compiled kernel: every synapse is looked at in each step", stacklevel=2
        )
        return learned(rule, A, w, spikes, own, other, axis, places)
    size = np.array([A.shape[1 - axis]], np.int64)
    after = jax.ShapeDtypeStruct(w.shape, w.dtype)
    return call(Made(kernels.learner, text), after, w, spikes, own, other, size, A.structure(), places, readers, aliases={0: 0})
