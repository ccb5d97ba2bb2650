"""Triton kernels of coordinates in any order; operands as in `compressed.py`."""

import triton
import triton.language as tl

from .compressed import arrive


@triton.jit
def pairs(
    x,
    w,
    sources,
    targets,
    tops,
    n,
    m,
    nse,
    columns,
    out,
    EVENT: tl.constexpr,
    HOMO: tl.constexpr,
    PASS: tl.constexpr,
    SHIFT: tl.constexpr,
    WORDS: tl.constexpr,
    T: tl.constexpr,
    C: tl.constexpr,
):
    """A pass over all synapses, of which those with a silent source do nothing."""
    pid = tl.program_id(0)
    run, pid = pid % tl.cdiv(nse, T), pid // tl.cdiv(nse, T)
    group, batch = pid % tl.cdiv(columns, C), (pid // tl.cdiv(columns, C)).to(tl.int64)
    c = group * C + tl.arange(0, C)
    j = run * T + tl.arange(0, T)
    source, target = tl.load(sources + j, mask=j < nse, other=-1), tl.load(targets + j, mask=j < nse, other=-1)
    good = ((j < nse) & (source >= 0) & (source < n) & (target >= 0) & (target < m))[:, None] & (c < columns)[None, :]
    v = tl.load(x + (batch * n + source)[:, None] * columns + c[None, :], mask=good, other=0)
    if EVENT:
        term = (v != 0).to(tl.float64)
    else:
        term = v.to(tl.float64)
    if not HOMO:
        weight = tl.load(w + batch * nse + j, mask=j < nse, other=0)[:, None]
        if EVENT or w.dtype.element_ty == tl.float64:
            term = term * weight.to(tl.float64)
        else:  # rounded once, as a product of floats is
            term = (weight.to(tl.float32) * v.to(tl.float32)).to(tl.float64)
    place = (batch * m + target)[:, None] * columns + c[None, :]
    arrive(out, tops, place, term, good & (v != 0), PASS, SHIFT, WORDS)


@triton.jit
def ends(left, right, sources, targets, n, m, nse, columns, out, T: tl.constexpr, C: tl.constexpr):
    """For each synapse the product of what stands at its two ends, summed over columns."""
    run, batch = tl.program_id(0) % tl.cdiv(nse, T), (tl.program_id(0) // tl.cdiv(nse, T)).to(tl.int64)
    j = run * T + tl.arange(0, T)
    source, target = tl.load(sources + j, mask=j < nse, other=-1), tl.load(targets + j, mask=j < nse, other=-1)
    good = (j < nse) & (source >= 0) & (source < n) & (target >= 0) & (target < m)
    if out.dtype.element_ty == tl.float64:
        sums = tl.zeros([T, C], tl.float64)
    else:
        sums = tl.zeros([T, C], tl.float32)
    for group in range(0, columns, C):
        c = group + tl.arange(0, C)
        mask = good[:, None] & (c < columns)[None, :]
        a = tl.load(left + (batch * m + target)[:, None] * columns + c[None, :], mask=mask, other=0).to(sums.dtype)
        b = tl.load(right + (batch * n + source)[:, None] * columns + c[None, :], mask=mask, other=0).to(sums.dtype)
        sums += a * b
    tl.store(out + batch * nse + j, tl.sum(sums, 1).to(out.dtype.element_ty), mask=j < nse)
