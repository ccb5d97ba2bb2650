"""Triton kernels of the just-in-time formats: every program draws chunks of lines again, and does something at their synapses.

Operands are (n, columns), flat in memory, and so are results; normal and uniform weights have a pair (a, b) for each column.
"""

import triton
import triton.language as tl

from .compressed import COUNT
from .law import HOMO, draw, number_at, scaled, weigh
from .sums import add_up


@triton.jit
def terms(v, seed, line, position, w, fold, basis, c, columns, WIDE: tl.constexpr, KIND: tl.constexpr, FOLD: tl.constexpr):
    """What synapses send: `v`, that has columns, times their weights, (positions, columns)."""
    if KIND == HOMO:
        sent = v.to(WIDE)
    else:
        OWN: tl.constexpr = tl.float64 if w.dtype.element_ty == tl.float64 else tl.float32
        number = scaled(number_at(seed, line, position, basis, KIND), KIND, OWN)
        a = tl.load(w + 2 * c, mask=c < columns, other=0).to(OWN)
        b = tl.load(w + 2 * c + 1, mask=c < columns, other=0).to(OWN)
        weight = weigh(a[None, :], b[None, :], number[:, None], fold, KIND, FOLD)
        weight = weight.to(w.dtype.element_ty).to(WIDE)  # rounded to the precision of the parameters
        sent = v.to(WIDE) * weight
    return sent


@triton.jit
def scatter(
    x,
    seed,
    table,
    basis,
    w,
    fold,
    tops,
    n,
    positions,
    span,
    chunks,
    hole,
    columns,
    share,
    out,
    PASS: tl.constexpr,
    SHIFT: tl.constexpr,
    WORDS: tl.constexpr,
    WIDE: tl.constexpr,
    KIND: tl.constexpr,
    FOLD: tl.constexpr,
    HOLE: tl.constexpr,
    BITS: tl.constexpr,
    NB: tl.constexpr,
    B: tl.constexpr,
    C: tl.constexpr,
):
    """Count or add up what the lines send whose operand is not zero; a program takes a block of them and every `share`-th chunk."""
    pid = tl.program_id(0)
    block, pid = pid % tl.cdiv(n, B), pid // tl.cdiv(n, B)
    part, group = pid % share, pid // share
    c = group * C + tl.arange(0, C)
    line = block * B + tl.arange(0, B)
    live = tl.load(x + line.to(tl.int64)[:, None] * columns + c[None, :], mask=(line < n)[:, None] & (c < columns)[None, :], other=0) != 0
    left = tl.where(tl.max(live.to(tl.int32), 1) != 0, line, n)
    now = tl.min(left, 0)
    key = tl.load(seed)
    top = tl.load(tops + c, mask=c < columns, other=0)[None, :]
    while now < n:
        v = tl.load(x + now.to(tl.int64) * columns + c, mask=c < columns, other=0)[None, :]
        sends = (v != 0) & (c < columns)[None, :]
        chunk = part
        while chunk < chunks:
            start = chunk * span
            length = tl.minimum(span, positions - start)
            reached = 0
            turn = 0
            while reached < length:
                end, hit, _rank, reach, _hits = draw(key, now, chunk, turn, length - reached, table, BITS, NB)
                at = start + reached + end - 1
                if HOLE:
                    hit = hit & (at != now + hole)
                place = at.to(tl.int64)[:, None] * columns + c[None, :]
                good = hit[:, None] & sends
                if PASS == COUNT:
                    tl.atomic_add(out + place, tl.full(place.shape, 1, tl.int32), mask=good, sem="relaxed")
                else:
                    sent = terms(v, key, now, at, w, fold, basis, c, columns, WIDE, KIND, FOLD)
                    sent = tl.broadcast_to(sent.to(tl.float64), [4 * NB, C])
                    add_up(out, place, sent, tl.broadcast_to(top, [4 * NB, C]), good, SHIFT, WORDS)
                reached += reach
                turn += NB
            chunk += share
        left = tl.where(left == now, n, left)
        now = tl.min(left, 0)


@triton.jit
def gather(
    x,
    seed,
    table,
    basis,
    w,
    fold,
    lines,
    positions,
    span,
    chunks,
    hole,
    columns,
    out,
    EVENT: tl.constexpr,
    WIDE: tl.constexpr,
    KIND: tl.constexpr,
    FOLD: tl.constexpr,
    HOLE: tl.constexpr,
    BITS: tl.constexpr,
    NB: tl.constexpr,
    C: tl.constexpr,
):
    """Each line sums what it reads, in one order."""
    line, group = tl.program_id(0) % lines, tl.program_id(0) // lines
    c = group * C + tl.arange(0, C)
    key = tl.load(seed)
    sums = tl.zeros([4 * NB, C], WIDE)
    chunk = 0
    while chunk < chunks:
        start = chunk * span
        length = tl.minimum(span, positions - start)
        reached = 0
        turn = 0
        while reached < length:
            end, hit, _rank, reach, _hits = draw(key, line, chunk, turn, length - reached, table, BITS, NB)
            at = start + reached + end - 1
            if HOLE:
                hit = hit & (at != line + hole)
            v = tl.load(x + at.to(tl.int64)[:, None] * columns + c[None, :], mask=hit[:, None] & (c < columns)[None, :], other=0)
            if EVENT:
                sent = terms((v != 0).to(WIDE), key, line, at, w, fold, basis, c, columns, WIDE, KIND, FOLD)
            else:
                sent = terms(v, key, line, at, w, fold, basis, c, columns, WIDE, KIND, FOLD)
            sums += tl.where(v != 0, sent, 0.0)
            reached += reach
            turn += NB
        chunk += 1
    tl.store(out + line.to(tl.int64) * columns + c, tl.sum(sums, 0).to(out.dtype.element_ty), mask=c < columns)


@triton.jit
def pull_back(
    left,
    right,
    seed,
    table,
    basis,
    fold,
    lines,
    positions,
    span,
    chunks,
    hole,
    columns,
    programs,
    out,
    KIND: tl.constexpr,
    FOLD: tl.constexpr,
    WIDE: tl.constexpr,
    HOLE: tl.constexpr,
    BITS: tl.constexpr,
    NB: tl.constexpr,
    C: tl.constexpr,
):
    """Sums of what stands at the ends of synapses, and of that times n / 2^e, over the lines of a program: (programs, columns, 2)."""
    pid, group = tl.program_id(0) % programs, tl.program_id(0) // programs
    c = group * C + tl.arange(0, C)
    key = tl.load(seed)
    ones = tl.zeros([4 * NB, C], tl.float64)
    numbers = tl.zeros([4 * NB, C], tl.float64)
    line = pid
    while line < lines:
        a = tl.load(left + line.to(tl.int64) * columns + c, mask=c < columns, other=0).to(tl.float64)
        chunk = 0
        if tl.max((a != 0).to(tl.int32), 0) == 0:
            chunk = chunks
        while chunk < chunks:
            start = chunk * span
            length = tl.minimum(span, positions - start)
            reached = 0
            turn = 0
            while reached < length:
                end, hit, _rank, reach, _hits = draw(key, line, chunk, turn, length - reached, table, BITS, NB)
                at = start + reached + end - 1
                if HOLE:
                    hit = hit & (at != line + hole)
                b = tl.load(right + at.to(tl.int64)[:, None] * columns + c[None, :], mask=hit[:, None] & (c < columns)[None, :], other=0)
                pair = a[None, :] * b.to(tl.float64)
                number = scaled(number_at(key, line, at, basis, KIND), KIND, WIDE)
                if FOLD:
                    one = tl.full(number.shape, 1.0, WIDE)
                    sign = weigh(tl.load(fold).to(WIDE) * one, tl.load(fold + 1).to(WIDE) * one, number, fold, KIND, False)
                    pair = tl.where((sign < 0)[:, None], -pair, pair)
                ones += pair
                numbers += pair * number.to(tl.float64)[:, None]
                reached += reach
                turn += NB
            chunk += 1
        line += programs
    place = out + (pid.to(tl.int64) * columns + c) * 2
    tl.store(place, tl.sum(ones, 0).to(out.dtype.element_ty), mask=c < columns)
    tl.store(place + 1, tl.sum(numbers, 0).to(out.dtype.element_ty), mask=c < columns)


@triton.jit
def tally(seed, table, positions, span, chunks, hole, counts, HOLE: tl.constexpr, BITS: tl.constexpr, NB: tl.constexpr):
    """The synapses of every chunk of every line."""
    line, chunk = tl.program_id(0) // chunks, tl.program_id(0) % chunks
    key = tl.load(seed)
    start = chunk * span
    length = tl.minimum(span, positions - start)
    reached = 0
    turn = 0
    count = 0
    while reached < length:
        end, hit, _rank, reach, hits = draw(key, line, chunk, turn, length - reached, table, BITS, NB)
        if HOLE:
            hits -= tl.sum((hit & (start + reached + end - 1 == line + hole)).to(tl.int32), 0)
        count += hits
        reached += reach
        turn += NB
    tl.store(counts + tl.program_id(0), count)


@triton.jit
def write(
    seed,
    table,
    basis,
    starts,
    positions,
    span,
    chunks,
    hole,
    room,
    at_out,
    n_out,
    KIND: tl.constexpr,
    HOLE: tl.constexpr,
    BITS: tl.constexpr,
    NB: tl.constexpr,
):
    """Position and n of every synapse, from where its chunk starts, as far as there is room."""
    line, chunk = tl.program_id(0) // chunks, tl.program_id(0) % chunks
    key = tl.load(seed)
    start = chunk * span
    length = tl.minimum(span, positions - start)
    reached = 0
    turn = 0
    filled = tl.load(starts + tl.program_id(0))
    while reached < length:
        end, hit, rank, reach, hits = draw(key, line, chunk, turn, length - reached, table, BITS, NB)
        at = start + reached + end - 1
        if HOLE:
            out = hit & (at == line + hole)
            gone = tl.max(tl.where(out, rank, -1), 0)  # whoever comes after the one that is left out moves up
            hit = hit & (out == 0)
            rank = tl.where((gone >= 0) & (rank > gone), rank - 1, rank)
            hits -= (gone >= 0).to(tl.int32)
        place = filled + rank
        tl.store(at_out + place, at, mask=hit & (place < room))
        if KIND != HOMO:
            tl.store(n_out + place, number_at(key, line, at, basis, KIND), mask=hit & (place < room))
        filled += hits
        reached += reach
        turn += NB
