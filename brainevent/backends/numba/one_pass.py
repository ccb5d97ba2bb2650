"""The numba backend of what a step does to neurons: a loop made of any program that LLVM makes vectors of."""

import jax
import numpy as np

from ...core.one_pass import Program
from ...core.table import kernel
from .bridge.ffi import Made, call, threads
from .kernels import one_pass as kernels
from .network import listing_outs
from .scalar_code import UnknownPrimitive, loop_text
from .stored import SERVED

# From which on a second thread is worth it. At 40,000 it takes a sixth off a step of COBA where both cores are free, and makes it 2.5 times
# as long where another process has one of them
THREADED_NEURONS = 100_000


@kernel("one_pass", object, backend="numba", platform="cpu", dtypes=SERVED)
def one_pass_cpu(program: Program):
    """What runs a program on its operands, or None if it takes a primitive or a dtype for which there is no text."""
    variables, made = (*program.jaxpr.constvars, *program.jaxpr.invars), program.jaxpr.outvars
    if not {str(var.aval.dtype) for var in (*variables, *made)} <= {str(program.dtype), "int32", "bool"}:
        return None
    order = sorted(range(len(made)), key=lambda k: k == program.spikes)  # spikes come last
    states = {program.replaced[k]: at for at, k in enumerate(order) if program.replaced[k] is not None}
    read = [a for a in range(len(variables)) if a not in states]
    places = [(states[a], True) if a in states else (read.index(a), False) for a in range(len(variables))]
    try:
        text, floats, counts = loop_text(program.jaxpr, order, places, program.size, program.dtype)
    except UnknownPrimitive:
        return None
    outs = [jax.ShapeDtypeStruct(made[k].aval.shape, made[k].aval.dtype) for k in order]
    blocks = threads()[0] if program.size >= THREADED_NEURONS else 1
    maker, more = (kernels.in_parts, (np.array([blocks], np.int64),)) if blocks > 1 else (kernels.whole, ())

    def run(operands, log):
        constants = np.array([*floats, 0], program.dtype), np.array([*counts, 0], np.int32)
        parts = tuple(operands[a] for a in states), log, tuple(operands[a] for a in read)
        logged = {} if log is None else {len(states): len(outs) + 2}
        aliases = dict(enumerate(states.values())) | logged
        results = call(Made(maker, text), outs + listing_outs(program.size, log), *parts, *constants, *more, aliases=aliases)
        return tuple(results[order.index(k)] for k in range(len(made))), results[len(outs) :]

    return run
