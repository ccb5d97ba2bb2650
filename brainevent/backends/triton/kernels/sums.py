"""Sums of floats that do not depend on the order in which they are added: atomic additions on a GPU come in any order.

A sum is kept in 64-bit integers, in units that fit the largest of its terms. Whoever adds knows the exponent `top` of that term (found
in a pass before, or from a bound): a term is an integer multiple of 2^(top - SHIFT), cut off below, in one word where 2^-SHIFT of the
largest term is beyond the precision of the result, or in two. Integers add up the same in any order. A sum that has an infinite or NaN
term is one of floats, since its value does not depend on the order either.
"""

import triton
import triton.language as tl

SECOND = tl.constexpr(31)  # bits that the second word is finer than the first
LEAST = tl.constexpr(64)  # exponents below are taken for it: so that powers of two are numbers


@triton.jit
def exponent_of(term):
    """The exponent of a float64 as it stands in its bits, 0 to 2,047: beyond all for infinity and NaN."""
    return ((term.to(tl.int64, bitcast=True) >> 52) & 0x7FF).to(tl.int32)


@triton.jit
def two_to(power):
    """2^power as float64, of int32 from -1,022 to 1,023."""
    return ((power + 1023).to(tl.int64) << 52).to(tl.float64, bitcast=True)


@triton.jit
def add_up(sums, place, term, top, mask, SHIFT: tl.constexpr, WORDS: tl.constexpr):
    """Add terms, float64, to the sums at some places, whose largest exponent is `top`."""
    words = sums.to(tl.pointer_type(tl.int64)) + place * WORDS
    odd = top == 0x7FF
    tl.atomic_add(words.to(tl.pointer_type(tl.float64)), term, mask=mask & odd & (exponent_of(term) == 0x7FF), sem="relaxed")
    scaled = tl.where(odd, 0.0, term) * two_to(SHIFT + 1023 - tl.maximum(tl.where(odd, LEAST, top), LEAST))
    whole = scaled.to(tl.int64)
    tl.atomic_add(words, whole, mask=mask & (odd == 0), sem="relaxed")
    if WORDS == 2:
        rest = (scaled - whole.to(tl.float64)) * two_to(tl.full(top.shape, SECOND, tl.int32))
        tl.atomic_add(words + 1, rest.to(tl.int64), mask=mask & (odd == 0), sem="relaxed")


@triton.jit
def total(sums, place, top, mask, SHIFT: tl.constexpr, WORDS: tl.constexpr):
    """The sums at some places, float64."""
    words = sums.to(tl.pointer_type(tl.int64)) + place * WORDS
    first = tl.load(words, mask=mask, other=0)
    down = tl.maximum(top, LEAST) - 1023 - SHIFT
    value = first.to(tl.float64) * two_to(tl.minimum(down, 1023))
    if WORDS == 2:
        value += tl.load(words + 1, mask=mask, other=0).to(tl.float64) * two_to(tl.minimum(down, 1023) - SECOND)
    return tl.where(top == 0x7FF, first.to(tl.float64, bitcast=True), value)


@triton.jit
def settle(sums, tops, size, period, out, SHIFT: tl.constexpr, WORDS: tl.constexpr, B: tl.constexpr):
    """All sums as floats; the exponents repeat after `period` places."""
    place = tl.program_id(0).to(tl.int64) * B + tl.arange(0, B)
    mask = place < size
    top = tl.load(tops + place % period, mask=mask, other=0)
    value = total(sums, place, top, mask, SHIFT, WORDS)
    if out.dtype.element_ty != tl.float64:
        value = value.to(tl.float32)  # half precision is made of that
    tl.store(out + place, value.to(out.dtype.element_ty), mask=mask)
