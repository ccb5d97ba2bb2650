"""Integrate-and-fire neurons of a line: what arrives, a step, and where states are kept."""

import triton
import triton.language as tl

# Columns of `par`: -dt / tau, its exponential, R, V_rest, V_th, V_reset, steps of refractoriness, whether the propagators are exact; then
# for each channel: the decay factor, what a unit of state adds to the offset, to the slope, to V (exact propagators), the unit of the ring.
OF_POPULATION, OF_CHANNEL = tl.constexpr(8), tl.constexpr(5)


@triton.jit
def arriving(ring, place, unit, mask):
    """What waits at a place of the ring, which is empty afterwards."""
    words = ring + place
    sum_ = tl.load(words, mask=mask, other=0, cache_modifier=".cg")
    tl.store(words, tl.zeros_like(sum_), mask=mask & (sum_ != 0))
    return sum_.to(tl.float32) * unit


@triton.jit
def parameters(par, S: tl.constexpr):
    """A row of `par`, as numbers."""
    own = ()
    for k in tl.static_range(OF_POPULATION + (S + 1) * OF_CHANNEL):
        own = own + (tl.load(par + k),)
    return own


@triton.jit
def tensors(arrays, i, n, COUNT: tl.constexpr):
    """What stands at neurons in each of so many arrays."""
    found = ()
    for c in tl.static_range(COUNT):
        found = found + (tl.load(arrays + c * n + i),)
    return found


@triton.jit
def received(v, w, spiked, G, inflow, begun, par, ring, place, here, n, S: tl.constexpr, JUMPS: tl.constexpr, DRIVES: tl.constexpr):
    """`(v, G)` with what the last step delivered, if there was one."""
    after = ()
    for c in tl.static_range(S):
        decay, unit = par[OF_POPULATION + c * OF_CHANNEL], par[OF_POPULATION + c * OF_CHANNEL + 4]
        g = G[c] * tl.where(begun, decay, 1.0) + arriving(ring, place + c * n, unit, here & begun)
        if DRIVES:
            g += tl.where(begun, inflow[c], 0.0)
        after = after + (g,)
    if JUMPS:
        jump = arriving(ring, place + S * n, par[OF_POPULATION + S * OF_CHANNEL + 4], here & begun)
        if DRIVES:
            jump += tl.where(begun, inflow[S], 0.0)
        v += tl.where((spiked == 0) & (w == 0), jump, 0.0)
    return v, after


@triton.jit
def advanced(v, w, G, current, par, here, S: tl.constexpr):
    """`(v, w, s)` after a step: integrated, and reset where a neuron spiked."""
    offset = tl.zeros(v.shape, tl.float32)
    slope = tl.zeros(v.shape, tl.float32)
    exact = tl.zeros(v.shape, tl.float32)
    for c in tl.static_range(S):
        offset += G[c] * par[OF_POPULATION + c * OF_CHANNEL + 1]
        slope += G[c] * par[OF_POPULATION + c * OF_CHANNEL + 2]
        exact += G[c] * par[OF_POPULATION + c * OF_CHANNEL + 3]
    drive = par[3] + par[2] * current
    rate = 1.0 + par[2] * slope  # exponential Euler, exact for a conductance that stays as it is during the step
    rest = (drive + par[2] * offset) / rate
    euler = rest + (v - rest) * tl.exp(par[0] * rate)
    moved = tl.where(par[7] != 0, drive + (v - drive) * par[1] + exact, euler)
    v = tl.where(w > 1, v, moved)
    s = ((v > par[4]) & here).to(tl.int32)
    v = tl.where(s != 0, par[5], v)
    w = tl.where(s != 0, par[6].to(tl.int32), tl.maximum(w - 1, 0))
    return v, w, s


@triton.jit
def written(s, i, block, rows, history, row, place, n, exists, RECORDED: tl.constexpr, DELAYS: tl.constexpr, B: tl.constexpr):
    """The spikes of a block as bits, in the row of a step, and of the history."""
    bits = tl.sum(tl.reshape(s << (i % 32), [B // 32, 32]), 1)
    word = block * (B // 32) + tl.arange(0, B // 32)
    here = exists & (word >= 0)
    if RECORDED:
        tl.store(rows + row.to(tl.int64) * (n // 32) + word, bits, mask=here)
    if DELAYS:
        tl.store(history + place * (n // 32) + word, bits, mask=here)


@triton.jit
def stored(V, wait, spiked, G, i, v, w, s, g, n, here, S: tl.constexpr):
    """Put the states of a block where they belong."""
    tl.store(V + i, v, mask=here)
    tl.store(wait + i, w, mask=here)
    tl.store(spiked + i, s.to(tl.int8), mask=here)
    for c in tl.static_range(S):
        tl.store(G + c * n + i, g[c], mask=here)
