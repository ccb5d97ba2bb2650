"""Reading XLA's call frame from inside a numba handler: intrinsics that the generated handlers call, and nothing else does.

Offsets are in 64-bit words; `numba_abi` has checked them against the header of the installed jaxlib.
"""

import importlib
from functools import cache, reduce

import llvmlite.ir as ir
from numba import njit, types
from numba.core import cgutils
from numba.core.dispatcher import Dispatcher
from numba.core.errors import TypingError
from numba.extending import intrinsic

from brainevent.backends.numba_abi import CALL_FRAME_SIZE

_I32, _I64, _BYTES = ir.IntType(32), ir.IntType(64), ir.IntType(8).as_pointer()
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


def _word(builder, pointer, index, width=_I64):
    """Load 64 bits (or the low 32, the machine being little-endian) at word `index` from a pointer."""
    address = builder.gep(builder.bitcast(pointer, _I64.as_pointer()), [_I64(index)])
    return builder.load(builder.bitcast(address, width.as_pointer()))


def _pointer(builder, pointer, index):
    return builder.inttoptr(_word(builder, pointer, index), _BYTES)


def _literal(number):
    return getattr(number, "literal_value", None)


@intrinsic
def null(typingctx):
    """The null pointer: XLA's "no error"."""
    return types.voidptr(), lambda context, builder, signature, arguments: ir.Constant(_BYTES, None)


@intrinsic(prefer_literal=True)
def answers_probe(typingctx, call, major, minor):
    """True if XLA only asks which API version the handler was built for; the answer is then written."""

    def codegen(context, builder, signature, arguments):
        extension = _word(builder, arguments[0], 1)
        answered = cgutils.alloca_once_value(builder, ir.Constant(ir.IntType(1), 0))
        with builder.if_then(builder.icmp_unsigned("!=", extension, _I64(0)), likely=False):
            pointer = builder.inttoptr(extension, _BYTES)
            with builder.if_then(builder.icmp_unsigned("==", _word(builder, pointer, 1, _I32), _I32(1))):
                version = builder.gep(builder.bitcast(_pointer(builder, pointer, 3), _I32.as_pointer()), [_I64(6)])
                builder.store(_I32(_literal(major)), version)
                builder.store(_I32(_literal(minor)), builder.gep(version, [_I64(1)]))
                builder.store(ir.Constant(ir.IntType(1), 1), answered)
        return builder.load(answered)

    return types.boolean(_CALL, major, minor), codegen


@intrinsic(prefer_literal=True)
def frame_differs(typingctx, call, n_args, n_rets):
    """True unless the frame is at least as long as the layout read here and holds so many arguments and results."""

    def codegen(context, builder, signature, arguments):
        short = builder.icmp_unsigned("<", _word(builder, arguments[0], 0), _I64(CALL_FRAME_SIZE))
        args = builder.icmp_unsigned("!=", _word(builder, arguments[0], 7), _I64(_literal(n_args)))
        rets = builder.icmp_unsigned("!=", _word(builder, arguments[0], 12), _I64(_literal(n_rets)))
        return builder.or_(short, builder.or_(args, rets))

    return types.boolean(_CALL, n_args, n_rets), codegen


@intrinsic(prefer_literal=True)
def buffer(typingctx, call, list_word, index):
    """Pointer to buffer `index` of the list of pointers at word `list_word` of the frame (9 arguments, 14 results)."""

    def codegen(context, builder, signature, arguments):
        return _pointer(builder, _pointer(builder, arguments[0], _literal(list_word)), _literal(index))

    return types.voidptr(_CALL, list_word, index), codegen


@intrinsic(prefer_literal=True)
def buffer_differs(typingctx, pointer, dtype_code, rank):
    """True unless the buffer has this XLA data type and this rank."""

    def codegen(context, builder, signature, arguments):
        dtype = builder.icmp_unsigned("!=", _word(builder, arguments[0], 2, _I32), _I32(_literal(dtype_code)))
        ndim = builder.icmp_unsigned("!=", _word(builder, arguments[0], 4), _I64(_literal(rank)))
        return builder.or_(dtype, ndim)

    return types.boolean(types.voidptr, dtype_code, rank), codegen


@intrinsic
def data(typingctx, pointer):
    """Address of the elements of a buffer."""
    return types.voidptr(types.voidptr), lambda context, builder, signature, arguments: _pointer(builder, arguments[0], 3)


@intrinsic(prefer_literal=True)
def extent(typingctx, pointer, axis):
    """Length of a buffer along one axis."""

    def codegen(context, builder, signature, arguments):
        return _word(builder, _pointer(builder, arguments[0], 5), _literal(axis))

    return types.intp(types.voidptr, axis), codegen


def failure_of(kernel, texts):
    """An intrinsic `(call, status) -> XLA_FFI_Error*`, whose message names the kernel and says what `texts` has for the status."""

    @intrinsic
    def failure(typingctx, call, status):
        if not isinstance(status, types.Integer):
            raise TypingError(f"{kernel} must return an int, 0 for success, on every path; it returns {status}")

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
    create = builder.inttoptr(_word(builder, _pointer(builder, call, 2), 6), create_type)
    return builder.call(create, [args])
