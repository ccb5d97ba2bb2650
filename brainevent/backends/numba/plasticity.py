"""The numba backend of plasticity: which kernel changes which weights."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np

from ...core.plastic import Resources, learned, scalar_program
from ...core.table import kernel
from ...core.updates import Arrivals
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


@kernel("remember", object, backend="numba", platform="cpu", dtypes=SERVED)
def remember_cpu(ring, trace, place):
    return call(kernels.remember, jax.ShapeDtypeStruct(ring.shape, ring.dtype), ring, trace, place, aliases={0: 0})


@kernel("learn", Compressed, backend="numba", platform="cpu", dtypes=SERVED)
def learn_lines(rule, A, values, spikes, own, other, shared, *, axis, places, past, readers):
    """The synapses of the neurons that spiked, by machine code made of the rule; all of them by XLA if no code is known for it."""
    counts = len(values), len(own), len(other), len(shared)
    try:
        text = function_text(scalar_program(rule, values[0].dtype, *counts), *counts)
    except UnknownPrimitive as error:
        warnings.warn(
            f"a learning rule takes `{error}`, which has no compiled kernel: every synapse is looked at in each step", stacklevel=2
        )
        return learned(rule, A, values, spikes, own, other, shared, axis, places, past)
    after, aliases = [jax.ShapeDtypeStruct(value.shape, value.dtype) for value in values], {k: k for k in range(len(values))}
    sizes, slots = np.array(A.shape, np.int64), np.array([max((ring.shape[0] for ring in (own, other)[axis]), default=1)], np.int64)
    flat = [tuple(trace.reshape(-1) for trace in traces) for traces in (own, other)]
    if isinstance(spikes, Arrivals):
        when = spikes.bits, np.array([spikes.first], np.int64), spikes.place, *spikes.delays
        operands = values, *flat, shared, sizes, slots, A.structure(), when, readers
        return tuple(call(Made(kernels.learner_of_arrivals, text), after, *operands, aliases=aliases))
    past = None if past is None else (*past, slots)
    operands = values, spikes, *flat, shared, sizes[1 - axis : 2 - axis], A.structure(), places, past, readers
    return tuple(call(Made(kernels.learner, text), after, *operands, aliases=aliases))
