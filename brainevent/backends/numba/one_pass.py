"""The numba backend of what a step does to neurons: a loop made of any program that LLVM makes vectors of."""

import jax
import numpy as np

from ...core.one_pass import Program
from ...core.table import kernel
from .bridge.ffi import Made, call, threads
from .kernels import one_pass as kernels
from .scalar_code import UnknownPrimitive, loop_text
from .stored import SERVED

THREADED_NEURONS = 20_000  # from which on a pass of about 15 us is worth a second thread


@kernel("one_pass", object, backend="numba", platform="cpu", dtypes=SERVED)
def one_pass_cpu(program: Program):
    """What runs a program on its operands, or None if it takes a primitive or a dtype for which there is no text."""
    variables, made = (*program.jaxpr.constvars, *program.jaxpr.invars), program.jaxpr.outvars
    if not {str(var.aval.dtype) for var in (*variables, *made)} <= {str(program.dtype), "int32", "bool"}:
        return None
    order = sorted(range(len(made)), key=lambda k: program.replaced[k] is None)  # results that take the place of operands come first
    states = [program.replaced[k] for k in order if program.replaced[k] is not None]
    read = [a for a in range(len(variables)) if a not in states]
    places = [(states.index(a), True) if a in states else (read.index(a), False) for a in range(len(variables))]
    try:
        text, floats, counts = loop_text(program.jaxpr, order, places, program.size, program.dtype)
    except UnknownPrimitive:
        return None
    outs = [jax.ShapeDtypeStruct(made[k].aval.shape, made[k].aval.dtype) for k in order]
    blocks = threads()[0] if program.size >= THREADED_NEURONS else 1
    maker, more = (kernels.in_parts, (np.array([blocks], np.int64),)) if blocks > 1 else (kernels.whole, ())

    def run(operands):
        constants = np.array([*floats, 0], program.dtype), np.array([*counts, 0], np.int32)
        parts = tuple(operands[a] for a in states), tuple(operands[a] for a in read)
        results = call(Made(maker, text), outs, *parts, *constants, *more, aliases={k: k for k in range(len(states))})
        return tuple(results[order.index(k)] for k in range(len(made)))

    return run
