"""The law of just-in-time connectivity, read off its documentation and written in Python's own integers: one number after another."""

import numpy as np

from brainevent.core import law

WORD = 0xFFFFFFFF


def philox(counter, key):
    """Philox4x32-10 (Salmon et al. 2011)."""
    a, b, c, d = counter
    k0, k1 = key
    for _ in range(10):
        p, q = a * 0xD2511F53, c * 0xCD9E8D57
        a, b, c, d = (q >> 32) ^ b ^ k0, q & WORD, (p >> 32) ^ d ^ k1, p & WORD
        k0, k1 = (k0 + 0x9E3779B9) & WORD, (k1 + 0xBB67AE85) & WORD
    return a, b, c, d


def outcome(word, table):
    """What an alias table means by a word."""
    bits = len(table).bit_length() - 1
    cell, rest, entry = word >> (32 - bits), word & ((1 << (32 - bits)) - 1), int(table[word >> (32 - bits)])
    return cell if rest < entry >> bits else entry & ((1 << bits) - 1)


def probabilities(table):
    """The probability of every outcome of an alias table, in units of 2^-32."""
    bits = len(table).bit_length() - 1
    full = np.full(len(table), 1 << (32 - bits), np.int64)
    entry = table.astype(np.int64)
    counts = entry >> bits
    return counts + np.bincount(entry & (len(table) - 1), weights=full - counts, minlength=len(table)).astype(np.int64)


def line(seed, prob, number, n, hole=None):
    """The positions of the synapses of one line."""
    table, span, found = law.gap_table(prob), law.span(prob), []
    for chunk in range(-(-n // span)):
        at, draws = chunk * span - 1, 0
        while True:
            words = philox((draws // 4, chunk, number, 0), (seed, law.VERSION))
            gap = outcome(words[draws % 4], table)
            draws += 1
            at += gap or len(table) - 1
            if at >= min(n, (chunk + 1) * span):
                break
            if gap and at != hole:
                found.append(at)
    return found


def number(seed, line, position, kind):
    """n / 2^e of a synapse."""
    first, second, *_ = philox((position, 0, line, 1), (seed, law.VERSION))
    if kind == "uniform":
        return (first >> 8) * 2.0**-24
    node = outcome(first, law.normal_table()) - 256
    return (node * 65536 + (second & 0xFFFF) + (second >> 16) - 65535) * 2.0**-21


def synapses(A):
    """`(row, col, basis)` of a just-in-time matrix: weights are `data @ basis`."""
    seed, lines, positions, offset = int(A.seed), [], [], A.skip_diagonal
    if A.corder and offset is not None:  # a line is a column: of (i, i + k), the position is k less than the line
        offset = -offset
    for i in range(A.n_lines):
        found = line(seed, A.prob, i, A.n_positions, None if offset is None else i + offset)
        lines += [i] * len(found)
        positions += found
    basis = [np.ones(len(lines))]
    if A.kind:
        basis.append(np.array([number(seed, i, j, A.kind) for i, j in zip(lines, positions)]))
    ends = np.array(lines, int), np.array(positions, int)
    return *(ends[::-1] if A.major else ends), np.array(basis).reshape(len(basis), -1)
