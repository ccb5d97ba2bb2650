"""Equations of neurons as one pass over memory: every state is read once and written once in a step, where a backend can.

What a step does to a population is an ordinary traced function, of any model. It is looked at as a program; a backend that makes a loop
of it runs that, in place, and where none does the caller goes on without.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

from . import table
from .spikes import Listed, as_list

LEAST = 1_000  # neurons, below which a step gains less than it takes to compile a kernel


@dataclasses.dataclass(frozen=True, eq=False)
class Program:
    """What is to be done for every neuron.

    jaxpr: of the program; its constants and arguments, in this order, are the operands. size: the number of neurons. dtype: of its floats.
    replaced: for each result, which operand it takes the place of, or None. spikes: which of the results are the spikes, bool (n,).
    """

    jaxpr: Any
    size: int
    dtype: Any
    replaced: tuple[int | None, ...]
    spikes: int

    def plainly(self, operands: tuple) -> tuple:
        """The same by XLA."""
        n = len(self.jaxpr.constvars)
        return tuple(jaxpr_as_fun(ClosedJaxpr(self.jaxpr, list(operands[:n])))(*operands[n:]))


def one_pass(function: Callable, given: dict, spikes, log=None) -> tuple[dict, Any, Any] | None:
    """`function(given)` in one pass over memory, with its spikes as `as_list` gives them, and the log; None where no backend makes one of
    it, or where there are few neurons.

    Args:
      function: from a dict of arrays of neurons, (n,), and scalars, to a dict of arrays (n,); whatever it does, it does for each neuron by
        itself. What it returns under the name of a given one of the same dtype takes that one's place in memory.
      given: the dict, whose names can be sorted. Derivatives go to what is in it, and to what the function closes over.
      spikes: the name of those of the results that are the spikes, bool (n,).
    """
    names = sorted(given)
    sizes = {given[name].shape for name in names if given[name].ndim}
    size = max(sizes, default=(0,))[0]
    if len(sizes) != 1 or size < LEAST:
        return None
    dtype = jnp.result_type(float)
    if not table.serves("one_pass", dtype):
        return None
    with table.backend("xla"):  # to see what it does, not who does it
        closed, made = jax.make_jaxpr(function, return_shape=True)(given)
    operands = *map(jnp.asarray, closed.consts), *(given[name] for name in names)
    places = {name: k for k, name in enumerate(names, len(closed.consts)) if given[name].ndim}
    results = sorted(made)
    replaced = (places.get(name) if name in given and given[name].dtype == made[name].dtype else None for name in results)
    program = Program(closed.jaxpr, size, np.dtype(dtype), tuple(replaced), results.index(spikes))
    run = table.chosen("one_pass", dtype=dtype)(program)
    if run is None:
        return None
    values, (ids, count, *after) = _run(run, program, operands, log)
    found = dict(zip(results, values))
    return found, Listed(found[spikes], ids, count), after[0] if after else None


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _run(run, program: Program, operands: tuple, log):
    return run(operands, log)


@_run.defjvp
def _run_jvp(run, program: Program, primals, tangents):
    """By XLA, results and derivatives alike."""
    (operands, log), (d_operands, _) = primals, tangents
    values, d_values = jax.jvp(program.plainly, (operands,), (d_operands,))
    (_, ids, count), log = as_list(values[program.spikes], log)
    made = [ids, count] if log is None else [ids, count, log]
    return (values, made), (d_values, [np.zeros(array.shape, jax.dtypes.float0) for array in made])
