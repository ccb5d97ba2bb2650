"""Reading XLA's call frame from inside a numba handler: intrinsics that the generated handlers call, and nothing else does.

Offsets are in 64-bit words; `abi` has checked them against the header of the installed jaxlib.
"""

import importlib
from functools import cache, reduce
from typing import Any

import llvmlite.ir as ir
from numba import types
from numba.core import cgutils
from numba.core.dispatcher import Dispatcher
from numba.core.errors import TypingError
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array

from .abi import AS_WORDS, CALL_FRAME_SIZE, DTYPE_CODES, EXCEPTION
from .inner import njit

_I32, _I64, _BYTES = ir.IntType(32), ir.IntType(64), ir.IntType(8).as_pointer()
_FALSE, _TRUE = ir.Constant(ir.IntType(1), 0), ir.Constant(ir.IntType(1), 1)
_MESSAGE_BYTES = 1024
_INVALID_ARGUMENT = 3  # XLA_FFI_Error_Code
_ERROR_CREATE_ARGS_SIZE = 28
_CALL = types.voidptr


def compiled(kernel, serial=False):
    """`kernel` as a numba dispatcher; with `serial`, without numba's threads. Nothing is compiled yet."""
    if not isinstance(kernel, Dispatcher):
        return _jitted(kernel)
    return _serial(kernel) if serial and kernel.targetoptions.get("parallel") else kernel


@cache
def _jitted(function):
    return njit(function, error_model="numpy", boundscheck=False, nogil=True)


@cache
def _serial(kernel):
    return njit(kernel.py_func, **{**kernel.targetoptions, "parallel": False})  # pyright: ignore


def imported(module, qualname, serial=False):
    """The kernel that a handler on disk names, as a numba dispatcher."""
    return compiled(reduce(getattr, qualname.split("."), importlib.import_module(module)), serial)


def made(module, qualname, text, serial=False):
    """The kernel that a maker which a handler on disk names makes of a text."""
    maker: Any = reduce(getattr, qualname.split("."), importlib.import_module(module))
    return compiled(maker(text), serial)


def word_at(builder, pointer, index, width=_I64):
    """Load 64 bits (or the low 32, the machine being little-endian) at word `index` from a pointer."""
    address = builder.gep(builder.bitcast(pointer, _I64.as_pointer()), [_I64(index)])
    return builder.load(builder.bitcast(address, width.as_pointer()))


def pointer_at(builder, pointer, index):
    return builder.inttoptr(word_at(builder, pointer, index), _BYTES)


@intrinsic
def null(typingctx):
    """The null pointer: XLA's "no error"."""
    return types.voidptr(), lambda context, builder, signature, arguments: ir.Constant(_BYTES, None)


def probe_of(major, minor):
    """An intrinsic `(call) -> bool`: True if XLA only asks which API version the handler was built for; the answer is then written."""

    @intrinsic
    def answers_probe(typingctx, call):
        def codegen(context, builder, signature, arguments):
            extension = word_at(builder, arguments[0], 1)
            answered = cgutils.alloca_once_value(builder, _FALSE)
            with builder.if_then(builder.icmp_unsigned("!=", extension, _I64(0)), likely=False):
                pointer = builder.inttoptr(extension, _BYTES)
                with builder.if_then(builder.icmp_unsigned("==", word_at(builder, pointer, 1, _I32), _I32(1))):
                    version = builder.gep(builder.bitcast(pointer_at(builder, pointer, 3), _I32.as_pointer()), [_I64(6)])
                    builder.store(_I32(major), version)
                    builder.store(_I32(minor), builder.gep(version, [_I64(1)]))
                    builder.store(_TRUE, answered)
            return builder.load(answered)

        return types.boolean(_CALL), codegen

    return answers_probe


def readers_of(operands, results):
    """Two intrinsics for a frame of buffers "dtype:rank": `differs(call)`, and `array(call, k)`, the k-th of operands, then results."""
    specs = [(dtype, int(rank)) for dtype, _, rank in (leaf.partition(":") for leaf in (*operands, *results))]

    def buffer(builder, call, k):
        list_word, index = (9, k) if k < len(operands) else (14, k - len(operands))
        return pointer_at(builder, pointer_at(builder, call, list_word), index)

    def any_differs(builder, words):
        """True if one of (pointer, word index, integer type, value) is not as given."""
        differ = (builder.icmp_unsigned("!=", word_at(builder, pointer, i, width), width(value)) for pointer, i, width, value in words)
        return reduce(builder.or_, differ)

    @intrinsic
    def differs(typingctx, call):
        """True unless the frame is as long as the layout read here, and holds these numbers of buffers, of these dtypes and ranks."""

        def codegen(context, builder, signature, arguments):
            (call,) = arguments
            short = builder.icmp_unsigned("<", word_at(builder, call, 0), _I64(CALL_FRAME_SIZE))
            counts = any_differs(builder, [(call, 7, _I64, len(operands)), (call, 12, _I64, len(results))])
            different = cgutils.alloca_once_value(builder, _TRUE)
            with builder.if_then(builder.not_(builder.or_(short, counts)), likely=True):  # only then can the buffers be read
                words = []
                for k, (dtype, rank) in enumerate(specs):
                    pointer = buffer(builder, call, k)
                    words += [(pointer, 2, _I32, DTYPE_CODES[dtype]), (pointer, 4, _I64, rank)]
                builder.store(any_differs(builder, words), different)
            return builder.load(different)

        return types.boolean(_CALL), codegen

    @intrinsic(prefer_literal=True)
    def array(typingctx, call, k):
        """Buffer k as a C-contiguous array; a scalar as an array of one element, a bool as a byte, float16 as its bits."""
        dtype, rank = specs[k.literal_value]
        words: Any = AS_WORDS.get(dtype, dtype)
        array_type = types.Array(getattr(types, words), max(rank, 1), "C")

        def codegen(context, builder, signature, arguments):
            pointer = buffer(builder, arguments[0], k.literal_value)
            dims = pointer_at(builder, pointer, 5)
            shape = [word_at(builder, dims, axis) for axis in range(rank)] or [_I64(1)]
            return view_of(context, builder, array_type, pointer_at(builder, pointer, 3), shape)

        return array_type(_CALL, k), codegen

    return differs, array


def view_of(context, builder, array_type, data, shape):
    """A numba array over memory that XLA owns."""
    itemsize = _I64(context.get_abi_sizeof(context.get_data_type(array_type.dtype)))
    strides = [itemsize]
    for extent in reversed(shape[1:]):
        strides.insert(0, builder.mul(strides[0], extent))
    view = make_array(array_type)(context, builder)
    data = builder.bitcast(data, context.get_data_type(array_type.dtype).as_pointer())
    populate_array(view, data=data, shape=shape, strides=strides, itemsize=itemsize, meminfo=None)
    return view._getvalue()


@intrinsic
def status_of(typingctx, kernel, operands):
    """`kernel(*operands)` as int64, or EXCEPTION if it raises: half the time to compile that try and except in numba would take."""
    signature = typingctx.resolve_function_type(kernel, tuple(operands), {})
    name = kernel.dispatcher.py_func.__qualname__
    if any(isinstance(operand, types.Omitted) for operand in signature.args):
        raise TypingError(f"{name} has parameters that `call` was given no operand or output for, and no default is used for them")
    if not isinstance(signature.return_type, types.Integer):
        raise TypingError(f"{name} must return an int, 0 for success, on every path; it returns {signature.return_type}")

    def codegen(context, builder, _, arguments):
        compiled = kernel.dispatcher.get_compile_result(signature)
        context.active_code_library.add_linking_library(compiled.library)
        values = cgutils.unpack_tuple(builder, arguments[1])
        if signature.pysig and any(p.kind is p.VAR_POSITIONAL for p in signature.pysig.parameters.values()):
            fixed = len(signature.args) - 1
            values[fixed:] = [context.make_tuple(builder, signature.args[-1], values[fixed:])]
        outcome, returned = context.call_internal_no_propagate(builder, compiled.fndesc, signature, values)
        returned = context.cast(builder, returned, signature.return_type, types.int64)
        return builder.select(outcome.is_ok, returned, _I64(EXCEPTION))

    return types.int64(kernel, operands), codegen


def failure_of(kernel, texts):
    """An intrinsic `(call, status) -> XLA_FFI_Error*`, whose message names the kernel and says what `texts` has for the status."""

    @intrinsic
    def failure(typingctx, call, status):
        def codegen(context, builder, signature, arguments):
            def string(text):
                return context.insert_const_string(builder.module, text)

            status = context.cast(builder, arguments[1], signature.args[1], types.int64)
            text = cgutils.alloca_once_value(builder, string("unknown failure code"))
            for code, words in texts.items():
                with builder.if_then(builder.icmp_signed("==", status, _I64(code))):
                    builder.store(string(words), text)
            message = cgutils.alloca_once(builder, ir.ArrayType(ir.IntType(8), _MESSAGE_BYTES))
            message = builder.bitcast(message, _BYTES)
            template = f"brainevent kernel {kernel.replace('%', '%%')} failed (status %lld): %s"
            cgutils.snprintf(builder, message, context.get_constant(types.uintp, _MESSAGE_BYTES), template, status, builder.load(text))
            return _create_error(builder, arguments[0], message)

        return types.voidptr(_CALL, status), codegen

    return failure


def _create_error(builder, call, message):
    """Call XLA_FFI_Error_Create, word 6 of the API table at word 2 of the frame. XLA copies the message."""
    args_type = ir.LiteralStructType([_I64, _BYTES, _BYTES, _I32])
    args = cgutils.alloca_once(builder, args_type)
    fields = (_I64(_ERROR_CREATE_ARGS_SIZE), ir.Constant(_BYTES, None), message, _I32(_INVALID_ARGUMENT))
    for i, field in enumerate(fields):
        builder.store(field, builder.gep(args, [_I32(0), _I32(i)]))
    create_type = ir.FunctionType(_BYTES, [args_type.as_pointer()]).as_pointer()
    create = builder.inttoptr(word_at(builder, pointer_at(builder, call, 2), 6), create_type)
    return builder.call(create, [args])
