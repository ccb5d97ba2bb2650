"""Machine instructions that numba has no spelling for, to call from kernels: eight spikes as one word, floats as their bits."""

import llvmlite.ir as ir
from numba import types
from numba.core.errors import TypingError
from numba.extending import intrinsic

from .inner import njit

__all__ = [
    "count_trailing_zeros",
    "fetch",
    "from_half",
    "load_word",
    "low_bits_as_exponent",
    "lowest_set_byte",
    "multiply_add",
    "rotate_left",
]


@intrinsic
def load_word(typingctx, array, i):
    """Bytes `8*i` to `8*i + 7` of a C-contiguous array of one-byte elements, as one uint64 (little-endian, any alignment).

    Arguments: array, uint8 or int8 or bool, any rank; i, an integer. The caller keeps `8*i + 8 <= array.size`: nothing is checked.
    Raises numba's TypingError, when the kernel is compiled, for any other type of array.
    """
    one_byte = isinstance(array, types.Array) and array.dtype in (types.uint8, types.int8, types.boolean)
    if not (one_byte and array.layout == "C" and isinstance(i, types.Integer)):
        raise TypingError(f"load_word reads a C-contiguous array of bytes at an integer index, not {array} at {i}")

    def codegen(context, builder, signature, arguments):
        word = ir.IntType(64)
        view = context.make_array(signature.args[0])(context, builder, arguments[0])
        index = context.cast(builder, arguments[1], signature.args[1], types.int64)
        words = builder.bitcast(view.data, word.as_pointer())
        return builder.load(builder.gep(words, [index]), align=1)

    return types.uint64(array, i), codegen


@intrinsic
def count_trailing_zeros(typingctx, word):
    """Number of zero bits below the lowest set bit of a uint64, as int64; 64 for zero. One instruction."""

    def codegen(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), codegen


@intrinsic
def fetch(typingctx, array, i):
    """Ask for the cache line of element i of a C-contiguous array, which may lie beyond its end: nothing is read or written."""

    def codegen(context, builder, signature, arguments):
        number, pointer = ir.IntType(32), ir.IntType(8).as_pointer()
        view = context.make_array(signature.args[0])(context, builder, arguments[0])
        place = builder.bitcast(builder.gep(view.data, [context.cast(builder, arguments[1], signature.args[1], types.int64)]), pointer)
        kind = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", [pointer], kind)
        builder.call(prefetch, [place, number(0), number(3), number(1)])  # to read, keep it near, data
        return context.get_dummy_value()

    return types.void(array, i), codegen


@intrinsic
def rotate_left(typingctx, word, count):
    """A uint32 with its bits moved up by as many places, from 0 to 31, those at the top coming in below: numba shifts in 64 bits."""

    def codegen(context, builder, signature, arguments):
        word = ir.IntType(32)
        rotate = builder.module.declare_intrinsic("llvm.fshl", [word], ir.FunctionType(word, [word] * 3))
        places = context.cast(builder, arguments[1], signature.args[1], types.uint32)
        return builder.call(rotate, [arguments[0], arguments[0], places])

    return types.uint32(types.uint32, count), codegen


@intrinsic
def multiply_add(typingctx, a, b, c):
    """`a * b + c` of three floats of one type, rounded once where the processor can, else twice."""
    if a not in (types.float32, types.float64) or not a == b == c:
        raise TypingError(f"multiply_add takes three floats of one type, not {a}, {b} and {c}")

    def codegen(context, builder, signature, arguments):
        number = arguments[0].type
        return builder.call(builder.module.declare_intrinsic("llvm.fmuladd", [number], ir.FunctionType(number, [number] * 3)), arguments)

    return a(a, b, c), codegen


@intrinsic
def low_bits_as_exponent(typingctx, x):
    """The float whose sign and exponent are the lowest bits of a float, and its fraction 0."""
    if x not in (types.float32, types.float64):
        raise TypingError(f"low_bits_as_exponent takes a float, not {x}")
    width, fraction = (32, 23) if x == types.float32 else (64, 52)

    def codegen(context, builder, signature, arguments):
        word = ir.IntType(width)
        return builder.bitcast(builder.shl(builder.bitcast(arguments[0], word), word(fraction)), arguments[0].type)

    return x(x), codegen


@intrinsic
def from_half(typingctx, bits):
    """The finite float16 of these bits, a uint16, as a float32: by the processor where it can."""
    if bits != types.uint16:
        raise TypingError(f"from_half takes a uint16, not {bits}")
    word, single = ir.IntType(32), ir.FloatType()

    def codegen(context, builder, signature, arguments):
        if "+f16c" in context.codegen().magic_tuple()[2]:
            return builder.fpext(builder.bitcast(arguments[0], ir.HalfType()), single)
        wide = builder.zext(arguments[0], word)
        size = builder.and_(wide, word(0x7FFF))
        normal = builder.bitcast(builder.add(builder.shl(size, word(13)), word(112 << 23)), single)
        below = builder.fmul(builder.uitofp(size, single), ir.Constant(single, 2.0**-24))  # a whole number of the least there is
        found = builder.select(builder.icmp_unsigned("<", size, word(0x400)), below, normal)
        sign = builder.shl(builder.and_(wide, word(0x8000)), word(16))
        return builder.bitcast(builder.or_(builder.bitcast(found, word), sign), single)

    return types.float32(types.uint16), codegen


@njit(nogil=True)
def lowest_set_byte(word):
    """Index, 0 to 7, of the lowest byte of a uint64 that is not zero (8 if the word is zero): the first spike of a `load_word`."""
    return count_trailing_zeros(word) >> 3  # pyright: ignore[reportCallIssue]
