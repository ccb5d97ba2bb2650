"""Triton kernels of row- and column-compressed formats: a product scatters from its major lines, or gathers into them.

Operands are (batch, n, columns) and results (batch, m, columns), both flat in memory; a vector is one batch of one column. Weights are
(batch, nse), or one for all of a batch. Ids and pointers are checked: those out of range are left out, and whoever calls sees to the NaN.
"""

import triton
import triton.language as tl

from .sums import add_up, exponent_of

COUNT, TOP, SUM = (tl.constexpr(value) for value in (0, 1, 2))  # what a pass over the synapses does at a target


@triton.jit
def span(starts, line, nse, width, FIXED: tl.constexpr):
    """`(first, last)`: the synapses of a line."""
    if FIXED:
        first = line * width
        last = first + width
    else:
        first = tl.load(starts + line).to(tl.int32)
        last = tl.load(starts + line + 1).to(tl.int32)
    return tl.maximum(first, 0), tl.minimum(last, nse)


@triton.jit
def arrive(sums, tops, place, term, mask, PASS: tl.constexpr, SHIFT: tl.constexpr, WORDS: tl.constexpr):
    """What a pass does with terms at their targets: count them, find the largest, or add them up."""
    if PASS == COUNT:
        tl.atomic_add(sums + place, tl.full(place.shape, 1, tl.int32), mask=mask, sem="relaxed")
    elif PASS == TOP:
        tl.atomic_max(sums + place, exponent_of(term), mask=mask, sem="relaxed")
    else:
        add_up(sums, place, term, tl.load(tops + place, mask=mask, other=0), mask, SHIFT, WORDS)


@triton.jit
def scatter(
    x,
    w,
    starts,
    ids,
    tops,
    n,
    m,
    nse,
    width,
    columns,
    share,
    delays,
    due,
    slots,
    slot,
    offset,
    out,
    EVENT: tl.constexpr,
    HOMO: tl.constexpr,
    FIXED: tl.constexpr,
    LATER: tl.constexpr,
    PASS: tl.constexpr,
    SHIFT: tl.constexpr,
    WORDS: tl.constexpr,
    B: tl.constexpr,
    T: tl.constexpr,
    C: tl.constexpr,
):
    """A pass over the synapses of the lines whose operand is not zero.

    A program takes a block of B lines, and of each every `share`-th run of T synapses. `out` is what the pass writes: counts, the
    exponents `tops`, or the sums; if they come LATER, in a ring of as many `slots` of `slot` places, in which the targets are those from
    `offset` on: that of the step `due` and the delay of the synapse.
    """
    pid = tl.program_id(0)
    block, pid = pid % tl.cdiv(n, B), pid // tl.cdiv(n, B)
    part, pid = pid % share, pid // share
    group, batch = pid % tl.cdiv(columns, C), (pid // tl.cdiv(columns, C)).to(tl.int64)
    c = group * C + tl.arange(0, C)
    line = block * B + tl.arange(0, B)
    here = x + (batch * n + line)[:, None] * columns + c[None, :]
    live = tl.load(here, mask=(line < n)[:, None] & (c < columns)[None, :], other=0) != 0
    left = tl.where(tl.max(live.to(tl.int32), 1) != 0, line, n)
    now = tl.min(left, 0)
    while now < n:
        v = tl.load(x + (batch * n + now) * columns + c, mask=c < columns, other=0)
        sends = (v != 0) & (c < columns)
        first, last = span(starts, now, nse, width, FIXED)
        for start in range(first + part * T, last, share * T):
            j = start + tl.arange(0, T)
            to = tl.load(ids + j, mask=j < last, other=-1)
            good = ((j < last) & (to >= 0) & (to < m))[:, None] & sends[None, :]
            at = to
            if LATER:
                step = tl.load(due) + tl.load(delays + j, mask=j < last, other=0).to(tl.int32)
                at = (step & (slots - 1)) * slot + offset + to
            place = (batch * m + at)[:, None] * columns + c[None, :]
            if EVENT:
                term = tl.full([T, C], 1.0, tl.float64)
            else:
                term = tl.broadcast_to(v[None, :].to(tl.float64), [T, C])
            if not HOMO:
                weight = tl.load(w + batch * nse + j, mask=j < last, other=0)[:, None]
                if EVENT:
                    term = tl.broadcast_to(weight.to(tl.float64), [T, C])
                elif w.dtype.element_ty == tl.float64:
                    term = weight * v[None, :]
                else:  # rounded once, as a product of floats is
                    term = (weight.to(tl.float32) * v[None, :].to(tl.float32)).to(tl.float64)
            arrive(out, tops, place, term, good, PASS, SHIFT, WORDS)
        left = tl.where(left == now, n, left)
        now = tl.min(left, 0)


@triton.jit
def gather(
    x,
    w,
    starts,
    ids,
    lines,
    n,
    nse,
    width,
    columns,
    out,
    EVENT: tl.constexpr,
    HOMO: tl.constexpr,
    FIXED: tl.constexpr,
    T: tl.constexpr,
    C: tl.constexpr,
):
    """Each line sums what it reads, T synapses at a time, in one order."""
    pid = tl.program_id(0)
    line, pid = pid % lines, pid // lines
    group, batch = pid % tl.cdiv(columns, C), (pid // tl.cdiv(columns, C)).to(tl.int64)
    c = group * C + tl.arange(0, C)
    if EVENT and HOMO:
        sums = tl.zeros([T, C], tl.int32)
    elif out.dtype.element_ty == tl.float64:
        sums = tl.zeros([T, C], tl.float64)
    else:
        sums = tl.zeros([T, C], tl.float32)
    first, last = span(starts, line, nse, width, FIXED)
    for start in range(first, last, T):
        j = start + tl.arange(0, T)
        at = tl.load(ids + j, mask=j < last, other=-1)
        good = ((j < last) & (at >= 0) & (at < n))[:, None] & (c < columns)[None, :]
        v = tl.load(x + (batch * n + at)[:, None] * columns + c[None, :], mask=good, other=0)
        if EVENT:
            term = (v != 0).to(sums.dtype)
        else:
            term = v.to(sums.dtype)
        if not HOMO:
            weight = tl.load(w + batch * nse + j, mask=j < last, other=0).to(sums.dtype)
            term = tl.where(v != 0, term * weight[:, None], 0.0)  # who is silent sends nothing, however large the weight
        sums += term
    place = (batch * lines + line) * columns + c
    tl.store(out + place, tl.sum(sums, 0).to(out.dtype.element_ty), mask=c < columns)


@triton.jit
def outer(left, right, starts, ids, lines, n, nse, width, columns, out, FIXED: tl.constexpr, T: tl.constexpr, C: tl.constexpr):
    """For each synapse the product of what stands at its line and at its id, summed over columns."""
    pid = tl.program_id(0)
    line, batch = pid % lines, (pid // lines).to(tl.int64)
    first, last = span(starts, line, nse, width, FIXED)
    for start in range(first, last, T):
        j = start + tl.arange(0, T)
        at = tl.load(ids + j, mask=j < last, other=-1)
        good = (j < last) & (at >= 0) & (at < n)
        if out.dtype.element_ty == tl.float64:
            sums = tl.zeros([T, C], tl.float64)
        else:
            sums = tl.zeros([T, C], tl.float32)
        for group in range(0, columns, C):
            c = group + tl.arange(0, C)
            a = tl.load(left + (batch * lines + line) * columns + c, mask=c < columns, other=0).to(sums.dtype)
            mask = good[:, None] & (c < columns)[None, :]
            b = tl.load(right + (batch * n + at)[:, None] * columns + c[None, :], mask=mask, other=0).to(sums.dtype)
            sums += a[None, :] * b
        tl.store(out + batch * nse + j, tl.sum(sums, 1).to(out.dtype.element_ty), mask=j < last)
