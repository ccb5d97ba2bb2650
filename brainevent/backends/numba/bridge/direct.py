"""Numba kernels on arrays of the host, at once and in place: no XLA between, so that nothing is compiled for each new shape."""

import ctypes

import numpy as np

from . import ffi
from .abi import CALL_FRAME_SIZE, DTYPE_CODES

_BUFFER_SIZE, _POINTER = 48, ctypes.c_void_p
_CREATE_ERROR = ctypes.CFUNCTYPE(_POINTER, _POINTER)


def run(kernel, outs, *operands) -> None:
    """Run a kernel as `ffi.call` takes them on numpy arrays, C-contiguous; it writes into `outs`, which it may read too.

    Raises RuntimeError with the words of `ffi.FAILURES` if its status is not 0.
    """
    handler = ffi.handler_of(kernel, tuple(map(_leaf, operands)), tuple(map(_leaf, outs)))
    inputs, results = _Buffers(operands), _Buffers(outs)
    said = []

    def create_error(arguments):  # word 2 of XLA_FFI_Error_Create_Args is the message
        said.append(ctypes.string_at(ctypes.cast(arguments, ctypes.POINTER(_POINTER))[2]).decode())
        return 1

    created = _CREATE_ERROR(create_error)
    api = np.zeros(7, np.int64)
    api[6] = ctypes.cast(created, _POINTER).value or 0
    frame = np.zeros(CALL_FRAME_SIZE // 8, np.int64)
    frame[[0, 2, 7, 9, 12, 14]] = CALL_FRAME_SIZE, api.ctypes.data, len(operands), inputs.pointer, len(outs), results.pointer
    ctypes.CFUNCTYPE(_POINTER, _POINTER)(handler)(frame.ctypes.data)
    if said:
        raise RuntimeError(said[0])


class _Buffers:
    """XLA_FFI_Buffers of arrays, and where the list of them stands."""

    def __init__(self, arrays):
        self.dims = [np.array(array.shape, np.int64) for array in arrays]
        self.words = np.zeros((max(len(arrays), 1), _BUFFER_SIZE // 8), np.int64)
        for words, array, dims in zip(self.words, arrays, self.dims):
            words[:] = _BUFFER_SIZE, 0, DTYPE_CODES[array.dtype.name], array.ctypes.data, array.ndim, dims.ctypes.data
        self.list = self.words.ctypes.data + _BUFFER_SIZE * np.arange(len(self.words))

    @property
    def pointer(self) -> int:
        return self.list.ctypes.data


def _leaf(array) -> str:
    if not isinstance(array, np.ndarray) or not array.flags.c_contiguous or not ffi.serves(array.dtype):
        raise TypeError(f"expected a C-contiguous numpy array of a dtype that kernels take, got {type(array).__name__}")
    return f"{array.dtype.name}:{array.ndim}"
