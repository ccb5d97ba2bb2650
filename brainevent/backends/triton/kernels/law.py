"""The law of just-in-time connectivity in Triton: the same bits as `core/law.py`, a vector of blocks of four words at a time."""

import triton
import triton.language as tl

from ....core import law

ROUNDS, VERSION = tl.constexpr(law.ROUNDS), tl.constexpr(law.VERSION)
M0, M1 = (tl.constexpr(m) for m in law.MULTIPLIERS)
W0, W1 = (tl.constexpr(w) for w in law.WEYL)
STRUCTURE, WEIGHTS = tl.constexpr(law.STRUCTURE), tl.constexpr(law.WEIGHTS)
NODE_BITS, MIDDLE = tl.constexpr(law.NODE_BITS), tl.constexpr(1 << (law.NODE_BITS - 1))
HOMO, UNIFORM, NORMAL = (tl.constexpr(kind) for kind in (0, 1, 2))
UNIFORM_UNIT, NORMAL_UNIT = (tl.constexpr(2.0 ** -law.EXPONENTS[kind]) for kind in ("uniform", "normal"))
UNIFORM_MOST, NORMAL_MOST = (tl.constexpr(law.LARGEST[kind]) for kind in ("uniform", "normal"))


@triton.jit
def philox(a, b, c, d, seed):
    """Philox4x32-10 of four uint32 arrays of one shape, keyed by (seed, VERSION)."""
    k0 = seed.to(tl.uint32)
    k1 = tl.full(a.shape, VERSION, tl.uint32)
    for _ in tl.static_range(ROUNDS):
        m0, m1 = tl.full(a.shape, M0, tl.uint32), tl.full(a.shape, M1, tl.uint32)
        high_a, low_a = tl.umulhi(a, m0), a * m0
        high_c, low_c = tl.umulhi(c, m1), c * m1
        a, b, c, d = high_c ^ b ^ k0, low_c, high_a ^ d ^ k1, low_a
        k0 = k0 + tl.full(a.shape, W0, tl.uint32)
        k1 = k1 + tl.full(a.shape, W1, tl.uint32)
    return a, b, c, d


@triton.jit
def outcome(word, table, BITS):
    """The outcome of an alias table of 2^BITS cells for a word, uint32."""
    one = tl.full([], 1, tl.uint32)
    cell = word >> (32 - BITS)
    rest = word & ((one << (32 - BITS)) - 1)
    entry = tl.load(table + cell.to(tl.int32))
    return tl.where(rest < (entry >> BITS), cell, entry & ((one << BITS) - 1))


@triton.jit
def step_of(lane, BITS):
    """How far an outcome moves on; 0 stands for a gap beyond the table."""
    return tl.where(lane == 0, (tl.full([], 1, tl.int32) << BITS) - 1, lane.to(tl.int32))


@triton.jit
def row(a, b, c, d, SIZE: tl.constexpr):
    """Four vectors as one of `SIZE`: in one order for whatever is joined so."""
    return tl.reshape(tl.join(tl.join(a, b), tl.join(c, d)), [SIZE])


@triton.jit
def draw(seed, line, chunk, block, length, table, BITS, NB: tl.constexpr):
    """The next NB blocks of words of a chunk.

    Returns:
      `(end, hit, rank, reach, hits)`: how far the walk has come after each word, whether a synapse is there (before `length`, counted
      from `reach` by the caller), how many of these words hit before it; how far all of them go and how many of them hit.
    """
    zero = tl.zeros([NB], tl.uint32)
    counter = (block + tl.arange(0, NB)).to(tl.uint32)
    w0, w1, w2, w3 = philox(counter, zero + chunk.to(tl.uint32), zero + line.to(tl.uint32), zero + STRUCTURE, zero + seed)
    a, b, c, d = outcome(w0, table, BITS), outcome(w1, table, BITS), outcome(w2, table, BITS), outcome(w3, table, BITS)
    s0 = step_of(a, BITS)
    s1 = s0 + step_of(b, BITS)
    s2 = s1 + step_of(c, BITS)
    s3 = s2 + step_of(d, BITS)
    before = tl.cumsum(s3, 0) - s3
    e0, e1, e2, e3 = before + s0, before + s1, before + s2, before + s3
    h0, h1, h2, h3 = (a != 0) & (e0 <= length), (b != 0) & (e1 <= length), (c != 0) & (e2 <= length), (d != 0) & (e3 <= length)
    n0 = h0.to(tl.int32)
    n1 = n0 + h1.to(tl.int32)
    n2 = n1 + h2.to(tl.int32)
    n3 = n2 + h3.to(tl.int32)
    ahead = tl.cumsum(n3, 0) - n3
    end = row(e0, e1, e2, e3, 4 * NB)
    hit = row(h0.to(tl.int32), h1.to(tl.int32), h2.to(tl.int32), h3.to(tl.int32), 4 * NB) != 0
    rank = row(ahead, ahead + n0, ahead + n1, ahead + n2, 4 * NB)
    return end, hit, rank, tl.sum(s3, 0), tl.sum(n3, 0)


@triton.jit
def number_at(seed, line, position, basis, KIND: tl.constexpr):
    """The n of the synapses at (line, position), int32 for every position."""
    zero = tl.zeros(position.shape, tl.uint32)
    first, second, _c, _d = philox(position.to(tl.uint32), zero, zero + line.to(tl.uint32), zero + WEIGHTS, zero + seed)
    if KIND == UNIFORM:
        n = (first >> 8).to(tl.int32)
    else:
        node = outcome(first, basis, NODE_BITS).to(tl.int32) - MIDDLE
        n = node * 65536 + ((second & 0xFFFF) + (second >> 16)).to(tl.int32) - 65535
    return n


@triton.jit
def scaled(n, KIND: tl.constexpr, WIDE: tl.constexpr):
    """`n / 2^e`, exactly."""
    if KIND == UNIFORM:
        number = n.to(WIDE) * UNIFORM_UNIT
    else:
        number = n.to(WIDE) * NORMAL_UNIT
    return number.to(WIDE)


@triton.jit
def line_of(a, b, number, KIND: tl.constexpr):
    """`a + b * number`, product and sum rounded each: a bounded product cannot be fused with the sum."""
    if KIND == UNIFORM:
        bound = tl.abs(b) * UNIFORM_MOST
    else:
        bound = tl.abs(b) * NORMAL_MOST
    bound = bound.to(b.dtype)
    return a + tl.minimum(tl.maximum(b * number, -bound), bound)


@triton.jit
def weigh(a, b, number, fold, KIND: tl.constexpr, FOLD: tl.constexpr):
    """The weights of synapses, in the dtype of `a` and `b`; with the sign of the folded matrix's taken off."""
    value = line_of(a, b, number, KIND)
    if FOLD:
        value = tl.where(line_of(tl.load(fold).to(value.dtype), tl.load(fold + 1).to(value.dtype), number, KIND) < 0, -value, value)
    return value
