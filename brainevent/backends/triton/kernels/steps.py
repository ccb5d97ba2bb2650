"""Many steps of a network of integrate-and-fire neurons in one launch: nothing returns to the host, or to XLA, between two steps.

All populations stand one after another in one line of neurons, padded to whole blocks, each with a row of `par`; all projections are one
matrix, whose rows hold a target (channel and neuron), a weight and a delay for every synapse. A channel is a synaptic state, or the jumps
of V. Deposits wait in a ring of 64-bit integers, in units of a power of two for each channel, so that sums do not depend on the order of
the additions. A step is one pass over the neurons, the deliveries of those of a program that spiked, and one barrier across the grid.

The interpreter runs one program after another, and so this kernel with one program only.
"""

import triton
import triton.language as tl

# Columns of `par`: -dt / tau, its exponential, R, V_rest, V_th, V_reset, steps of refractoriness, whether the propagators are exact; then
# for each channel: the decay factor, what a unit of state adds to the offset, to the slope, to V (exact propagators), the unit of the ring.
OF_POPULATION, OF_CHANNEL = tl.constexpr(8), tl.constexpr(5)


@triton.jit
def barrier(arrived, goal):
    """Wait until all programs are here."""
    tl.debug_barrier()
    tl.atomic_add(arrived, 1, sem="release", scope="gpu")
    while tl.atomic_add(arrived, 0, sem="acquire", scope="gpu") < goal:
        pass
    tl.debug_barrier()


@triton.jit
def arriving(ring, place, unit, mask):
    """What waits at a place of the ring, which is empty afterwards."""
    words = ring.to(tl.pointer_type(tl.int64)) + place
    sum_ = tl.load(words, mask=mask, other=0, cache_modifier=".cg")
    tl.store(words, tl.zeros_like(sum_), mask=mask & (sum_ != 0))
    return sum_.to(tl.float32) * unit


@triton.jit
def deliver(
    ring, ids, count, starts, targets, weights, delays, due, least, size, slots, DELAYS: tl.constexpr, R: tl.constexpr, T: tl.constexpr
):
    """Deposit the rows of `count` neurons whose numbers stand at `ids`, those synapses whose delay is at least `least`, R rows at a time.

    `due` is the step in which a synapse without delay would act; `size` the places of a slot.
    """
    words = ring.to(tl.pointer_type(tl.int64))
    for start in range(0, count, R):
        r = start + tl.arange(0, R)
        row = tl.load(ids + r, mask=r < count, other=0)
        first = tl.load(starts + row, mask=r < count, other=0)
        last = tl.load(starts + row + 1, mask=r < count, other=0)
        longest = tl.max(last - first, 0)
        for at in range(0, longest, T):
            j = (first + at)[:, None] + tl.arange(0, T)[None, :]
            mask = j < last[:, None]
            target = tl.load(targets + j, mask=mask, other=0)
            weight = tl.load(weights + j, mask=mask, other=0)
            slot = due
            if DELAYS:
                delay = tl.load(delays + j, mask=mask, other=0).to(tl.int32)
                slot = due + delay
                mask = mask & (delay >= least)
            place = (slot & (slots - 1)).to(tl.int64) * size + target
            tl.atomic_add(words + place, weight.to(tl.int64), mask=mask, sem="relaxed")


@triton.jit
def run_steps(
    V,
    wait,
    spiked,
    G,
    history,
    ring,
    current,
    par,
    kinds,
    ends,
    starts,
    targets,
    weights,
    delays,
    when,
    n,
    blocks,
    slots,
    kept,
    width,
    room,
    programs,
    V_out,
    wait_out,
    spiked_out,
    G_out,
    history_out,
    ring_out,
    ids,
    rows,
    arrived,
    S: tl.constexpr,
    JUMPS: tl.constexpr,
    DELAYS: tl.constexpr,
    B: tl.constexpr,
    R: tl.constexpr,
    T: tl.constexpr,
):
    """`when` holds the number of the first step, modulo 2^32, how many there are, and whether the ring is to be filled from `history`.

    States share the memory of their inputs.
    """
    pid = tl.program_id(0)
    CHANNELS: tl.constexpr = S + JUMPS
    first_step, steps = tl.load(when), tl.load(when + 1)
    size = CHANNELS * n
    mine = ids + pid * room
    met = 0
    if DELAYS:  # spikes under way: those of the last steps, with the delays that they still have
        for back in range(1, tl.where(tl.load(when + 2) != 0, kept, 1)):
            count = 0
            for block in range(pid, blocks, programs):
                i = block * B + tl.arange(0, B)
                word = tl.load(history_out + ((first_step - back) & (kept - 1)) * (n // 32) + i // 32)
                s = (word >> (i % 32)) & 1
                tl.store(mine + count + tl.cumsum(s, 0) - s, i, mask=s != 0)
                count += tl.sum(s, 0)
            tl.debug_barrier()
            deliver(ring_out, mine, count, starts, targets, weights, delays, first_step - back, back, size, slots, DELAYS, R, T)
            tl.debug_barrier()
        met += programs
        barrier(arrived, met)
    for step in range(0, steps + 1):  # one turn more applies what the last step delivered
        now = first_step + step
        count = 0
        for block in range(pid, blocks, programs):
            i = block * B + tl.arange(0, B)
            kind = tl.load(kinds + block)
            p = par + kind * width
            here = i < tl.load(ends + block)
            v = tl.load(V_out + i)
            w = tl.load(wait_out + i)
            offset = tl.zeros([B], tl.float32)
            slope = tl.zeros([B], tl.float32)
            exact = tl.zeros([B], tl.float32)
            place = ((now - 1) & (slots - 1)).to(tl.int64) * size + i
            for c in tl.static_range(S):
                q = p + OF_POPULATION + c * OF_CHANNEL
                g = tl.load(G_out + c * n + i)
                if step > 0:
                    g = g * tl.load(q) + arriving(ring_out, place + c * n, tl.load(q + 4), here)
                    tl.store(G_out + c * n + i, g)
                offset += g * tl.load(q + 1)
                slope += g * tl.load(q + 2)
                exact += g * tl.load(q + 3)
            if JUMPS:
                if step > 0:
                    jump = arriving(ring_out, place + S * n, tl.load(p + OF_POPULATION + S * OF_CHANNEL + 4), here)
                    free = (tl.load(spiked_out + i) == 0) & (w == 0)
                    v += tl.where(free, jump, 0.0)
                    tl.store(V_out + i, v)
            if step < steps:
                resistance = tl.load(p + 2)
                drive = tl.load(p + 3) + resistance * tl.load(current + i)
                # exponential Euler, exact for a conductance that stays as it is during the step
                rate = 1.0 + resistance * slope
                rest = (drive + resistance * offset) / rate
                euler = rest + (v - rest) * tl.exp(tl.load(p) * rate)
                propagated = drive + (v - drive) * tl.load(p + 1) + exact
                moved = tl.where(tl.load(p + 7) != 0, propagated, euler)
                v = tl.where(w > 1, v, moved)
                s = ((v > tl.load(p + 4)) & here).to(tl.int32)
                v = tl.where(s != 0, tl.load(p + 5), v)
                w = tl.where(s != 0, tl.load(p + 6).to(tl.int32), tl.maximum(w - 1, 0))
                tl.store(V_out + i, v)
                tl.store(wait_out + i, w)
                tl.store(spiked_out + i, s.to(tl.int8))
                bits = tl.sum(tl.reshape(s << (i % 32), [B // 32, 32]), 1)
                word = block * (B // 32) + tl.arange(0, B // 32)
                tl.store(rows + (now - first_step).to(tl.int64) * (n // 32) + word, bits)
                if DELAYS:
                    tl.store(history_out + (now & (kept - 1)) * (n // 32) + word, bits)
                tl.store(mine + count + tl.cumsum(s, 0) - s, i, mask=s != 0)
                count += tl.sum(s, 0)
        if step < steps:
            tl.debug_barrier()
            deliver(ring_out, mine, count, starts, targets, weights, delays, now, 0, size, slots, DELAYS, R, T)
            met += programs
            barrier(arrived, met)
