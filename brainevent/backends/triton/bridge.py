"""From a Triton kernel to a call inside a jax program: jax-triton on a GPU, Triton's interpreter anywhere.

With `TRITON_INTERPRET=1` in the environment a call is a callback that runs the kernel block by block in numpy: slow, and the same
arithmetic, so that every kernel can be tested where there is no GPU. Nothing else of the backend knows the difference.
"""

import functools
import importlib.metadata
import math
import threading
import warnings

import jax
import numpy as np

from ...core import table
from . import INTERPRETED

PLATFORMS = ("cuda", "cpu") if INTERPRETED else ("cuda",)
_one_at_a_time = threading.Lock()  # the interpreter keeps the place in the grid in a global


def kernel(operation: str, cls: type, **options):
    """`table.kernel` for this backend, on the platforms that it runs on."""

    def register(run):
        for platform in PLATFORMS:
            table.kernel(operation, cls, backend="triton", platform=platform, **options)(run)
        return run

    return register


@kernel("about", object)
def about_backend() -> str:
    """What runs the kernels."""
    version = importlib.metadata.version("triton")
    return f"triton {version}, interpreted" if INTERPRETED else f"triton {version}, jax-triton {importlib.metadata.version('jax-triton')}"


def call(function, out, *operands, programs: int, aliases=None, zeroed=(), warps: int = 4, **constants):
    """Run a Triton kernel.

    Args:
      function: the kernel: parameters for the operands, then one pointer for every output, then constants.
      out: ShapeDtypeStructs of the outputs.
      operands: arrays, whose pointers it gets, and Python integers, in any order.
      programs: how many run.
      aliases: `{place among the arrays: place among the outputs}` that share memory, and are updated in place.
      zeroed: places of outputs that hold zeros at the start; what is in the others must all be written.
      warps: of 32 threads, a program.
      constants: by name, compiled in.

    Returns:
      A tuple of arrays.
    """
    shared = {"programs": programs, "aliases": aliases or {}, "zeroed": tuple(zeroed), "warps": warps, "constants": constants}
    integers = [value if isinstance(value, int) else None for value in operands]

    @jax.custom_batching.sequential_vmap  # jax-triton has no rule of its own
    def run(*arrays):
        return (_interpreted if INTERPRETED else _launched)(function, tuple(out), integers, arrays, **shared)

    return run(*(jax.numpy.asarray(value) for value in operands if not isinstance(value, int)))


def _launched(function, out, integers, arrays, *, programs, aliases, zeroed, warps, constants):
    import jax_triton  # pyright: ignore[reportMissingImports]

    held = iter(arrays)
    operands = [next(held) if value is None else value for value in integers]
    fixed = {"out_shape": out, "grid": (programs,), "num_warps": warps, "input_output_aliases": aliases, "zeroed_outputs": zeroed}
    return tuple(jax_triton.triton_call(*operands, kernel=function, **fixed, **constants))


def blocks(n: int, size: int) -> int:
    """How many blocks of a size hold n."""
    return -(-n // size)


def power_of_two(n: int, most: int) -> int:
    """The smallest power of two that is at least n, up to `most`."""
    return min(most, 1 << max(0, math.ceil(math.log2(max(n, 1)))))


# -- the interpreter -----------------------------------------------------------------------------------------------------------


class _Pointer:
    """An array of the host, as the interpreter asks for one: it expects what torch calls a tensor."""

    def __init__(self, array):
        self.array, self.dtype = array, array.dtype

    def data_ptr(self):
        return self.array.ctypes.data

    def untyped_storage(self):
        return self

    def cpu(self):
        return self

    def copy_(self, other):
        assert other.data_ptr() == self.data_ptr()

    def new_empty(self, *_, **__):
        return _Pointer(self.array)

    def set_(self, storage, *_):
        assert storage.data_ptr() == self.data_ptr()

    def storage_offset(self):
        return 0

    def size(self):
        return self.array.shape

    stride = size


def _interpreted(function, out, integers, arrays, *, programs, aliases, zeroed, warps, constants):
    likes = [jax.ShapeDtypeStruct(array.shape, array.dtype) for array in arrays]
    run = functools.partial(_run, function, likes, out, integers, programs, aliases, zeroed, constants)
    results = jax.pure_callback(run, [jax.ShapeDtypeStruct(*_travelling(like)) for like in out], *map(_packed, arrays))
    return tuple(jax.lax.bitcast_convert_type(result, like.dtype) for result, like in zip(results, out))


def _travelling(like) -> tuple:
    """Shape and dtype of an array on its way through a callback: one of 64 bits goes in halves, for a callback knows nothing of x64."""
    wide = np.dtype(like.dtype).itemsize == 8
    return ((*like.shape, 2), np.uint32) if wide else (like.shape, like.dtype)


def _packed(array):
    return jax.lax.bitcast_convert_type(array, np.uint32) if array.dtype.itemsize == 8 else jax.numpy.asarray(array)


def _run(function, likes, out, integers, programs, aliases, zeroed, constants, *arrays):
    arrays = [np.array(array).view(like.dtype).reshape(like.shape) for array, like in zip(arrays, likes)]
    sources = {to: at for at, to in aliases.items()}
    outs = [arrays[sources[place]] if place in sources else _fresh(like, place not in zeroed) for place, like in enumerate(out)]
    held = iter(arrays)
    operands = [_Pointer(next(held)) if value is None else value for value in integers]
    with _one_at_a_time, np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the interpreter takes integers from arrays of one
        function[(programs,)](*operands, *map(_Pointer, outs), **constants)
    return [array.reshape(-1).view(dtype).reshape(shape) for array, (shape, dtype) in zip(outs, map(_travelling, out))]


def _fresh(like, poisoned: bool):
    """Zeros, or ones in every byte, so that what a kernel forgets to write is seen."""
    dtype = np.dtype(like.dtype)
    byte = 0xFF if poisoned and dtype.kind != "b" else 0
    return np.full(math.prod(like.shape) * dtype.itemsize, byte, np.uint8).view(dtype).reshape(like.shape)
