"""The law of just-in-time connectivity: which synapses a seed and a probability mean, and what they weigh.

The matrix of a JIT format is never stored: whoever multiplies by it draws it again, so every backend must draw the same bits. The law
is made of 32-bit integers only; floats enter where a weight is formed, in one rounding each. `VERSION` is part of every random number:
another law is another version, and a breaking change.

**Random words.** Philox4x32 with ten rounds (Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011; it
passes BigCrush), keyed by `(seed, VERSION)`. Its counter is `(block, chunk, line, 0)` for structure, `(position, 0, line, 1)` for weights.

**Structure.** A matrix has lines (rows of an R format, columns of a C format) that are walked along their positions. Every pair is
connected with probability p, independently of all others. The gaps between the synapses of a line are then geometric,
P(gap = d) = p (1 - p)^(d - 1), and one word draws one gap by the alias method (Walker 1977; Vose 1991): its top bits choose a cell of
`gap_table(p)`, the others decide between the cell and its alias. Cell 0 stands for all gaps beyond the table: the walk moves on by as
many positions as the table has gaps and draws again, which is exact because the geometric distribution has no memory. For the same
reason a line is cut into chunks of `span(p)` positions (256 to 512 synapses on average), each with words of its own: chunks are drawn
in any order, on any thread. The table holds probabilities in units of 2^-32, rounded once, so p itself is met to 2^-32 at every
position; p = 0 and p = 1 are exact.

**Weights.** The synapse at (line, position) weighs `a + b * n / 2^e`, where n is an integer of at most 24 bits from its own two words:
- uniform: n is the upper 24 bits of the first word, e = 24: uniform on [0, 1).
- normal: the first word chooses a node k of `normal_table()`, k / 32 standard deviations from 0, by the alias method; the halves of
  the second word, as two uniform numbers, spread it over the two cells around it (a triangular density). Nodes are weighted by the
  normal density of variance 1 - h^2 / 6 and a triangle of half-width h = 1 / 32 adds h^2 / 6: the mean is exact, the variance to
  1e-7, the fourth moment to 1e-5, the distribution function to 1e-6, and nothing lies beyond 6.35 standard deviations.
n / 2^e is exact in float32, so that a weight is the same on every backend: one product and one sum, each rounded once.

**Delays**, where every synapse has its own: the third word of the two above chooses a whole number of steps, by the alias method.
"""

import decimal
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np

VERSION = 1
ROUNDS = 10
MULTIPLIERS, WEYL = (0xD2511F53, 0xCD9E8D57), (0x9E3779B9, 0xBB67AE85)  # of Philox4x32
STRUCTURE, WEIGHTS = 0, 1  # the last word of the counter
MEAN_SYNAPSES = 256  # of a chunk, at least
SPANS = (1 << 8, 1 << 24)  # positions of a chunk, at least and at most
TABLE_BITS = (4, 16)  # of a gap table, at least and at most
NODE_BITS, NODES_PER_STD = 9, 32
EXPONENTS = {"uniform": 24, "normal": 21}  # e, by kind of weight
LARGEST = {"uniform": 1.0, "normal": 8.0}  # a bound of |n| / 2^e


# -- tables, made once on the host with integers and decimals, so that no mathematical library has a say -----------------------


def _alias_table(counts: list[int], bits: int) -> np.ndarray:
    """The alias table of `2^bits` outcomes whose probabilities are `counts / 2^32`: uint32, threshold above, alias in the low bits.

    A word w means the outcome `w >> (32 - bits)` if its other bits are below the threshold, else the alias.
    """
    cells, full = 1 << bits, 1 << (32 - bits)
    left, table = list(counts), np.arange(cells, dtype=np.uint32)  # a full cell is its own alias
    small = [cell for cell in range(cells) if left[cell] < full]
    large = [cell for cell in range(cells) if left[cell] >= full]
    while small:  # counts sum to 2^32, so a cell that lacks something finds one that has more than enough
        lacking, giving = small.pop(), large[-1]
        table[lacking] = left[lacking] << bits | giving
        left[giving] -= full - left[lacking]
        if left[giving] < full:
            small.append(large.pop())
    table.flags.writeable = False
    return table


def table_bits(prob: float) -> int:
    """log2 of the cells of the gap table: enough that a gap beyond the table comes once in eight draws, up to the largest table."""
    return next((bits for bits in range(*TABLE_BITS) if 2**bits * prob >= 2), TABLE_BITS[1])


@functools.lru_cache(maxsize=256)
def gap_table(prob: float) -> np.ndarray:
    """The alias table of the gap between synapses: outcome d > 0 is the gap d, outcome 0 a gap of at least the number of cells."""
    bits = table_bits(prob)
    numerator, denominator = (1.0 - prob if prob > 0.5 else prob).as_integer_ratio()  # 1 - p is exact where p is large
    digits = 192
    q = (numerator << digits) // denominator if prob > 0.5 else (1 << digits) - (numerator << digits) // denominator
    beyond, survival = [], 1 << digits
    for _ in range(1 << bits):  # P(gap > d) in units of 2^-32, to the nearest
        beyond.append((survival + (1 << (digits - 33))) >> (digits - 32))
        survival = survival * q >> digits
    return _alias_table([beyond[-1], *(before - after for before, after in itertools.pairwise(beyond))], bits)


@functools.cache
def normal_table() -> np.ndarray:
    """The alias table of the nodes of the normal distribution: outcome c is the node c - 256, in 1/32 standard deviations."""
    middle = 1 << (NODE_BITS - 1)
    with decimal.localcontext() as context:
        context.prec = 40
        h = 1 / decimal.Decimal(NODES_PER_STD)
        density = [(-((k * h) ** 2) / (2 * (1 - h**2 / 6))).exp() for k in range(middle + 1)]
        total = 2 * sum(density) - density[0]
        half = [int((d / total * 2**32).to_integral_value()) for d in density]
    half[0] = 2**32 - 2 * sum(half[1:])  # symmetric, and 2^32 in all
    return _alias_table([half[abs(cell - middle)] for cell in range(2 * middle)], NODE_BITS)


def outcome_table(probabilities: np.ndarray) -> np.ndarray:
    """The alias table of the outcomes 0, 1, ..., at most 2^16, of these probabilities, each of which is met to 2^-32."""
    counts = np.rint(np.asarray(probabilities) * 2.0**32).astype(np.int64)
    counts[np.argmax(counts)] += (1 << 32) - counts.sum()
    bits = max(1, (counts.size - 1).bit_length())
    return _alias_table([*counts.tolist(), *[0] * ((1 << bits) - counts.size)], bits)


def span(prob: float) -> int:
    """The positions of a chunk: a power of two that holds at least 256 synapses on average, within bounds."""
    least, most = SPANS
    while least < most and least * prob < MEAN_SYNAPSES:
        least *= 2
    return least


def chunks(prob: float, n_positions: int) -> int:
    """The number of chunks of a line."""
    return -(-n_positions // span(prob))


def likely_words(prob: float, positions: int) -> int:
    """How many words so many positions are likely to need, a multiple of 16 up to 1,024: what a kernel draws at once is its own choice."""
    synapses = positions * prob
    hits = 1 - (1 - prob) ** (2 ** table_bits(prob) - 1)  # of a word
    words = (synapses + 0.5 * synapses**0.5) / hits if hits else 0
    return int(min(1024, max(16, -(-words // 16) * 16)))


# -- the generator, on arrays of uint32 ----------------------------------------------------------------------------------------


def split_high(a, m: int):
    """The upper word of the 64-bit product of uint32 `a` and the constant `m`, in 32-bit arithmetic."""
    low, high = jnp.uint32(m & 0xFFFF), jnp.uint32(m >> 16)
    a_low, a_high = a & 0xFFFF, a >> 16
    middle = a_high * low + (a_low * low >> 16)
    other = a_low * high + (middle & 0xFFFF)
    return a_high * high + (middle >> 16) + (other >> 16)


def _product(a, m: int):
    """The two words of the 64-bit product of uint32 `a` and the constant `m`: `(high, low)`."""
    native = getattr(jax.lax, "mulhi", None)  # an instruction, which jax offers from 0.10.2 on
    return native(a, jnp.full_like(a, m)) if native else split_high(a, m), a * jnp.uint32(m)


def philox(counter, key):
    """Philox4x32-10: four random words of a counter of four words (uint32 arrays that broadcast) and a key of two.

    >>> import jax.numpy as jnp
    >>> [hex(w) for w in philox((jnp.uint32(0),) * 4, (jnp.uint32(0),) * 2)]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    a, b, c, d = jnp.broadcast_arrays(*counter)
    for i in range(ROUNDS):
        (high_a, low_a), (high_c, low_c) = _product(a, MULTIPLIERS[0]), _product(c, MULTIPLIERS[1])
        keys = [k + jnp.uint32(i * w & 0xFFFFFFFF) for k, w in zip(key, WEYL)]
        a, b, c, d = high_c ^ b ^ keys[0], low_c, high_a ^ d ^ keys[1], low_a
    return a, b, c, d


def _words(seed, *counter):
    counter = tuple(jnp.asarray(part, jnp.uint32) for part in counter)
    return philox(counter, (jnp.asarray(seed, jnp.uint32), jnp.uint32(VERSION)))


def _outcome(words, table, bits: int):
    """The outcomes of an alias table for words, uint32."""
    cell, rest = words >> (32 - bits), words & ((1 << (32 - bits)) - 1)
    entry = table[cell]
    return jnp.where(rest < entry >> bits, cell, entry & ((1 << bits) - 1))


def draw_gaps(seed, line, chunk, blocks, prob: float):
    """The next steps of walks along chunks.

    Args:
      seed, line, chunk: uint32, of a shape (p,) together.
      blocks: uint32 (d,), the numbers of the blocks of four words to draw.
      prob: the probability of a synapse.

    Returns:
      `(reach, hit)`, uint32 and bool (p, 4 d): how far the walk has come after each step, and whether there is a synapse there.
    """
    table, bits = gap_table(prob), table_bits(prob)
    lanes = [_outcome(w, jnp.asarray(table), bits) for w in _words(seed, blocks, chunk[:, None], line[:, None], STRUCTURE)]
    within = list(itertools.accumulate(jnp.where(lane == 0, jnp.uint32(table.size - 1), lane) for lane in lanes))
    before = jnp.cumsum(within[-1], axis=1, dtype=jnp.uint32) - within[-1]
    shape = line.shape[0], 4 * blocks.shape[0]
    reach = jnp.stack([before + steps for steps in within], axis=-1).reshape(shape)
    return reach, jnp.stack([lane != 0 for lane in lanes], axis=-1).reshape(shape)


def draw_weights(seed, line, position, kind: str):
    """The n of the synapses at `(line, position)`, arrays that broadcast: int32, `|n| <= 2^24`. Kind: "uniform" or "normal"."""
    first, second, *_ = _words(seed, position, 0, line, WEIGHTS)
    if kind == "uniform":
        return (first >> 8).astype(jnp.int32)
    node = _outcome(first, jnp.asarray(normal_table()), NODE_BITS).astype(jnp.int32) - (1 << (NODE_BITS - 1))
    return node * 65536 + ((second & 0xFFFF) + (second >> 16)).astype(jnp.int32) - 65535


def draw_outcomes(seed, line, position, table):
    """The outcomes of a table (`outcome_table`) for the synapses at `(line, position)`, arrays that broadcast: int32."""
    word = _words(seed, position, 0, line, WEIGHTS)[2]
    return _outcome(word, table, (table.shape[0] - 1).bit_length()).astype(jnp.int32)


def scaled(n, kind: str, dtype):
    """`n / 2^e` in a float dtype, exactly."""
    return n.astype(dtype) * jnp.asarray(2.0 ** -EXPONENTS[kind], dtype)


@functools.partial(jax.custom_jvp, nondiff_argnums=(4,))
def weigh(a, b, n, fold, kind: str):
    """The weights `a + b * n / 2^e`, in the dtype of `a`.

    Args:
      a, b: floats of one dtype that broadcast against n. n: int32.
      fold: None, or `(a, b)` of a matrix whose sign each weight is multiplied by: its own a and b give the absolute value.
      kind: "uniform" or "normal".

    The product is bounded, which it is anyway: so no compiler can fuse it with the sum and round once where others round twice.
    """
    dtype = jnp.result_type(a)
    wide = jnp.promote_types(dtype, jnp.float32)

    def line(a, b):
        a, b = jnp.asarray(a, wide), jnp.asarray(b, wide)
        bound = jnp.abs(b) * LARGEST[kind]
        return a + jnp.clip(b * scaled(n, kind, wide), -bound, bound)

    value = line(a, b)
    if fold is not None:
        value = jnp.where(line(*fold) < 0, -value, value)
    if dtype != wide:  # a bare conversion to half precision and back is one that compilers leave out
        value = jax.lax.reduce_precision(value, jnp.finfo(dtype).nexp, jnp.finfo(dtype).nmant)
    return value.astype(dtype)


@weigh.defjvp
def _weigh_jvp(kind, primals, tangents):
    (a, b, n, fold), (da, db, *_) = primals, tangents
    slope = da + db * scaled(n, kind, jnp.result_type(a))
    if fold is not None:
        slope = jnp.where(weigh(*fold, n, None, kind) < 0, -slope, slope)
    return weigh(a, b, n, fold, kind), slope
