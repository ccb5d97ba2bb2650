"""Numba kernels as native XLA FFI handlers on CPU: XLA calls machine code directly, no Python and no GIL when it runs.

Importing this module does not import numba; the first `call` or `threads` does.
"""

import dataclasses
import hashlib
import itertools
import os
import threading
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from . import disk_cache
from .abi import DTYPE_CODES, handler_source, jobs_source

__all__ = ["FAILURES", "Job", "Made", "call", "call_jobs", "handler_of", "serves", "threads"]

FAILURES = {
    1: "an index of the structure is out of range: every index must be at least 0 and less than the size of the axis it points into",
    2: "indptr is not monotone or runs past the indices: it must start at 0, never decrease, and end at the number of indices",
}
"""What a kernel's status means, {status: text}. Statuses are positive; a kernel module may add its own before its first call."""

_lock = threading.RLock()
_targets = {}  # (kernel, operand signature, result signature) -> target name
_handlers = {}  # target name -> compiled handler: keeps the machine code alive


@dataclasses.dataclass(frozen=True)
class Made:
    """A kernel that is made when it is compiled: `maker(text)`, of a function at the top level of a module of `brainevent`."""

    maker: Callable
    text: str


def call(kernel, outs, *operands, aliases=None) -> Any:
    """Run the numba function `kernel` on CPU arrays, as one native call of the compiled XLA program.

    Arguments:
      kernel: a function or numba dispatcher at the top level of a module, `kernel(*operands, *outs) -> int status`. It writes
        every element of every output, and returns 0, or a code of `FAILURES`. Kernels of `brainevent` are kept compiled on disk
        between processes, others compiled once a process. Or a `Made` one.
      outs: a `jax.ShapeDtypeStruct`, or a tuple or list of them.
      operands: arrays, None, and tuples of these, in any nesting. The kernel gets the same structure: None as None (so that numba
        compiles the branch away), tuples as tuples, arrays as C-contiguous numpy arrays of the same rank and dtype, but a
        rank-0 array as an array of one element, bool as uint8 and float16 as its bits, uint16. Every dtype must be one that `serves`.
      aliases: {index of an operand array, counted flat: index of an output}: the two share their memory, and the kernel gets both.

    Returns an array, or a tuple or list of arrays, as `outs` is. `jax.vmap` runs one call after another.

    Raises:
      TypeError: an operand that is no array, None or tuple; a dtype that numba does not serve.
      ImportError: numba is missing.
      RuntimeError: NUMBA_DISABLE_JIT is set, or the installed jaxlib has another FFI than the one known here.
      jax.errors.JaxRuntimeError: when it runs, if the kernel returns a nonzero status or raises; the message names the kernel.
        The same as a ValueError where JAX runs the program before it returns from the call, which it does with small ones.
    """
    arrays = []
    signature = tuple(_flatten(operand, arrays, kernel) for operand in operands)
    results = tuple(_leaf(out, kernel) for out in (outs if isinstance(outs, (tuple, list)) else (outs,)))
    target = _target(kernel, signature, results)
    return jax.ffi.ffi_call(target, outs, input_output_aliases=aliases, vmap_method="sequential")(*arrays)


@dataclasses.dataclass(frozen=True)
class Job:
    """A call `kernel(target, own, *operands, target, own)`, which updates `target` and `own` in place.

    kernel: as for `call`, of brainevent. work: a function of the same parameters that returns how much there is to do, an int; None if it
    is to be called alone. target: the number of an array that other jobs may have too. own: an array, or None. operands: at least one, as
    `call` takes them.
    """

    kernel: Callable
    work: Callable | None
    target: int
    own: Any
    operands: tuple


def call_jobs(targets, jobs, *, split=None) -> tuple[list, list]:
    """Run jobs, those onto one target one after another, in their order: as one native call where all are of one kind, the same kernel
    for operands of the same structure, dtypes and ranks; else in as many as there are kinds that follow one another.

    Arguments:
      targets: arrays.
      split: `(n, least)`: with n threads where there is that much work in all of a call; None for one thread.

    Returns the targets and what is each job's own, updated.
    """
    targets, own = list(targets), []
    kinds = [(job.kernel, job.work, _kind((targets[job.target], job.own, *job.operands))) for job in jobs]
    for (kernel, work, _), entries in itertools.groupby(zip(kinds, jobs), lambda entry: entry[0]):
        group = [job for _, job in entries]
        if work is None or (len(group) == 1 and group[0].own is not None):
            for job in group:
                updated = targets[job.target], job.own
                outs = [jax.ShapeDtypeStruct(array.shape, array.dtype) for array in updated]
                targets[job.target], made = call(kernel, outs, *updated, *job.operands, aliases={0: 0, 1: 1})
                own.append(made)
            continue
        used = list(dict.fromkeys(job.target for job in group))
        updated, made = _call_together([targets[t] for t in used], [used.index(job.target) for job in group], group, split)
        own += made
        for t, target in zip(used, updated):
            targets[t] = target
    return targets, own


def _call_together(targets, order, jobs, split):
    """The same for jobs of one kind; `order` has the place in `targets` of each job's."""
    kernel, work, arrays = jobs[0].kernel, jobs[0].work, []
    for job in jobs:
        signature = tuple(_flatten(operand, arrays, kernel) for operand in job.operands)
    own = [job.own for job in jobs if job.own is not None]
    leaves = _leaf(targets[0], kernel), _leaf(own[0], kernel) if own else None
    threaded, updated = split is not None and threads()[0] > 1, (*targets, *own)
    name = _target(kernel, signature, leaves, (work, threaded))
    head = [jnp.asarray(np.array(numbers, np.int32)) for numbers in (order, split or (1, 0))]
    outs = [jax.ShapeDtypeStruct(array.shape, array.dtype) for array in updated]
    aliases = {len(head) + i: i for i in range(len(updated))}
    results = jax.ffi.ffi_call(name, outs, input_output_aliases=aliases, vmap_method="sequential")(*head, *updated, *arrays)
    return results[: len(targets)], results[len(targets) :] if own else [None] * len(jobs)


def serves(dtype):
    """True if kernels can take arrays of this dtype: bool, integers of 8 to 64 bits with or without a sign, floats of 16 to 64."""
    return np.dtype(dtype).name in DTYPE_CODES


@cache
def threads():
    """How many threads a kernel may use, and why: `(n, "omp")` or `(n, "tbb")`, or 1 and the reason.

    XLA may run two handlers at once, so more than one needs a threading layer of numba that allows it. The number is numba's own
    (`NUMBA_NUM_THREADS`, else the cores this process may use). Starts numba's threads. Raises ImportError if numba is missing.
    """
    # OpenMP's threads spin while they wait, for milliseconds by default: on a busy machine they keep the core from the very thread
    # they wait for. After about 20 us asleep costs less. GOMP reads this when it is loaded, a value of the user's own is left alone.
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    numba = _numba()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numba warns of a tbb too old to use, then takes another layer
        try:
            numba.get_num_threads()  # launches the threads, which fixes the layer
            layer = numba.threading_layer()  # pyright: ignore[reportPrivateImportUsage]
        except ValueError as error:
            return 1, f"numba could not start its threads: {error}"
    if layer == "workqueue":
        return 1, "workqueue is not safe when XLA runs two handlers at once"
    return numba.config.NUMBA_NUM_THREADS, layer  # pyright: ignore


@cache
def _numba():
    try:
        import numba
    except Exception as error:  # missing, or there and broken: a library that it loads may raise anything
        raise ImportError(f'the numba backend needs numba: `pip install numba`, or ask for backend="xla" ({error})') from error
    if numba.config.DISABLE_JIT:  # pyright: ignore
        raise RuntimeError('NUMBA_DISABLE_JIT is set, and kernels run only compiled: unset it, or ask for backend="xla"')
    return numba


def _kind(operands):
    """The structure, dtypes and ranks of operands, nested as `call` takes them."""
    if isinstance(operands, tuple):
        return tuple(map(_kind, operands))
    return None if operands is None else f"{np.dtype(operands.dtype).name}:{len(operands.shape)}"


def _flatten(operand, arrays, kernel):
    """Append the arrays of an operand to `arrays`; return its structure, with "dtype:rank" for each array."""
    if operand is None:
        return None
    if isinstance(operand, tuple):
        return tuple(_flatten(part, arrays, kernel) for part in operand)
    if not isinstance(operand, jax.Array):
        if not isinstance(operand, (np.ndarray, np.generic)):
            raise TypeError(f"an operand of {_name(kernel)} is {operand!r}: expected an array, None, or a tuple of these")
        operand = jnp.asarray(operand)  # to the dtype JAX will pass: float32 for float64, if x64 is off
    arrays.append(operand)
    return _leaf(operand, kernel)


def _leaf(array, kernel):
    dtype = np.dtype(array.dtype).name
    if dtype not in DTYPE_CODES:
        raise TypeError(f"{_name(kernel)} got {dtype}: numba kernels take {', '.join(DTYPE_CODES)}. Convert, or use the xla backend")
    return f"{dtype}:{len(array.shape)}"


def _name(kernel):
    function = _function(kernel)
    return f"{function.__module__}.{function.__qualname__}"


def _function(kernel):
    """The Python function by whose name a kernel goes."""
    return kernel.maker if isinstance(kernel, Made) else getattr(kernel, "py_func", kernel)


def _target(kernel, operands, results, many=None):
    """The name under which the handler of this kernel and signature is registered; compiles and registers it the first time.

    `many`, for a handler of many jobs: what says how much work one is, and whether there are threads.
    """
    key = (kernel, operands, results, many)
    if key not in _targets:
        with _lock:
            if key not in _targets:
                _targets[key] = _register(kernel, operands, results, many)
    return _targets[key]


def handler_of(kernel, operands, results) -> int:
    """The address of the machine code of a kernel for operands and results in the form of `_leaf`, nested as `call` takes them."""
    return _handlers[_target(kernel, operands, results)].address


def _register(kernel, operands, results, many):
    """Load or compile the handler, hand it to XLA, and return its name, the same in every process."""
    _numba()
    from . import call_frame  # imports numba

    name = _name(kernel)
    serial = threads()[0] == 1  # asked of every kernel: machine code from disk may need the symbols that numba's threads define
    function = _function(kernel)
    made = f"{kernel.text!r}, " if isinstance(kernel, Made) else ""
    line = f"kernel = abi.{'made' if made else 'imported'}({function.__module__!r}, {function.__qualname__!r}, {made}serial={serial})"
    try:
        if many is not None:
            (work, threaded), (shared, own) = many, results
            lines = f"{line}\nwork = abi.imported({work.__module__!r}, {work.__qualname__!r})"
            source = jobs_source(name, lines, shared, own, operands, FAILURES, threaded)
            handler = disk_cache.load(source, function.__module__, name)
        elif disk_cache.keeps(function if made else kernel):
            source = handler_source(name, line, operands, results, FAILURES)
            handler = disk_cache.load(source, function.__module__, name)
        else:
            source = handler_source(name, "", operands, results, FAILURES)
            handler = disk_cache.compile_in_memory(source, call_frame.compiled(kernel, serial))
    except Exception as error:  # whatever numba raises: it goes on, and says for which kernel
        error.add_note(f"while compiling {name} for operands {operands} and outputs {results}")
        raise
    target = f"{name}:{hashlib.sha256(repr((operands, results, made, many and many[1])).encode()).hexdigest()[:16]}"
    while target in _handlers:  # another function of this name, redefined
        target += "'"
    jax.ffi.register_ffi_target(target, jax.ffi.pycapsule(handler.address), platform="cpu", api_version=1)
    _handlers[target] = handler
    return target
