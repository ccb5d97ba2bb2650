"""Deliveries of a launch of many steps: lists of spikes, and deposits of their rows, stored or drawn, into a ring of 64-bit integers.

A list is `(spikes, length)`: where the synapses of each neuron that spiked start, `length` further where they end, and again who it is,
if rows are drawn. A ring is `(ring, size, slots)`, `size` being the places of a slot. `due` is the step in which a synapse without delay
would act.
"""

import triton
import triton.language as tl

from ....core import launch
from .barrier import arrive, wait_for
from .law import NORMAL, UNIFORM, draw, number_at, scaled, weigh

OF_DRAWN = tl.constexpr(launch.OF_DRAWN)
ROUNDING = tl.constexpr(1.5 * 2.0**52)  # a float64 that this is added to and taken from is a whole number, the nearest, even if halfway


@triton.jit
def listed(list_, at, i, first, last, s, DRAWN: tl.constexpr):
    """Note the neurons of a block that spiked and where their synapses stand, from a place of the list on."""
    spikes, length = list_
    place = spikes + at + tl.cumsum(s, 0) - s
    tl.store(place, first, mask=s != 0)
    tl.store(place + length, last, mask=s != 0)
    if DRAWN:
        tl.store(place + 2 * length, i, mask=s != 0)


@triton.jit
def noted(list_, counter, seen, mine, count, i, first, last, s, SHARED: tl.constexpr, DRAWN: tl.constexpr):
    """The same in one list for all programs, or at `mine` for one alone, behind `count`; how many there are."""
    k = tl.sum(s, 0)
    if SHARED:
        if k > 0:
            before = tl.atomic_add(counter, k.to(tl.int64) << 32, sem="relaxed", scope="gpu")
            listed(list_, (before >> 32).to(tl.int32) - seen, i, first, last, s, DRAWN)
    else:
        listed(list_, mine + count, i, first, last, s, DRAWN)
    return count + k


@triton.jit
def deposit(synapses, j, mask, ring, due, least, sign, DELAYS: tl.constexpr):
    """Deposit synapses whose delay is at least `least`; a sign of -1 takes away."""
    targets, weights, delays = synapses
    words, size, slots = ring
    target = tl.load(targets + j, mask=mask, other=0)
    weight = tl.load(weights + j, mask=mask, other=0)
    slot = due
    if DELAYS:
        delay = tl.load(delays + j, mask=mask, other=0).to(tl.int32)
        slot = due + delay
        mask = mask & (delay >= least)
    place = (slot & (slots - 1)).to(tl.int64) * size + target
    tl.atomic_add(words + place, weight.to(tl.int64) * sign, mask=mask, sem="relaxed")


@triton.jit
def deliver(list_, at, count, synapses, ring, due, least, sign, DELAYS: tl.constexpr, R: tl.constexpr, T: tl.constexpr):
    """Deposit the rows of as many spikes of the list, R of them and T synapses at a time."""
    spikes, length = list_
    for start in range(0, count, R):
        r = start + tl.arange(0, R)
        first = tl.load(spikes + at + r, mask=r < count, other=0)
        last = tl.load(spikes + at + length + r, mask=r < count, other=0)
        longest = tl.max(last - first, 0)
        for run in range(0, longest, T):
            j = (first + run)[:, None] + tl.arange(0, T)[None, :]
            deposit(synapses, j, j < last[:, None], ring, due, least, sign, DELAYS)


@triton.jit
def deliver_part(list_, count, grid, parts, synapses, ring, due, least, sign, DELAYS: tl.constexpr, T: tl.constexpr):
    """The part of a program in the deposits of all spikes: of one row every `parts`-th run of T synapses."""
    spikes, length = list_
    pid, programs, _ = grid
    for item in range(pid, count * parts, programs):
        first = tl.load(spikes + item % count, cache_modifier=".cg")
        last = tl.load(spikes + length + item % count, cache_modifier=".cg")
        for run in range(first + item // count * T, last, parts * T):
            j = run + tl.arange(0, T)
            deposit(synapses, j, j < last, ring, due, least, sign, DELAYS)


@triton.jit
def deliver_drawn(list_, count, grid, law, ring, due, least, sign, DRAWN: tl.constexpr, WEIGHTS: tl.constexpr, NB: tl.constexpr):
    """The same for the projections whose rows are drawn, a chunk of one at a time; WEIGHTS tells whether weights are."""
    spikes, length = list_
    pid, programs, _ = grid
    words, size, slots = ring
    drawn, factors, gaps, basis = law
    for q in tl.static_range(DRAWN):
        own = drawn + q * OF_DRAWN
        start_of_pre, n_pre, target, positions = tl.load(own), tl.load(own + 1), tl.load(own + 2), tl.load(own + 3)
        span, chunks, hole, delay = tl.load(own + 4), tl.load(own + 5), tl.load(own + 6), tl.load(own + 7)
        bits, table, kind, amount = tl.load(own + 8), gaps + tl.load(own + 9), tl.load(own + 10), tl.load(own + 11)
        seed = tl.load(gaps + q)
        here = ((due + delay) & (slots - 1)).to(tl.int64) * size + target
        for item in range(pid, tl.where(delay >= least, count * chunks, 0), programs):
            line = tl.load(spikes + 2 * length + item % count, cache_modifier=".cg") - start_of_pre
            chunk = item // count
            start = chunk * span
            extent = tl.where((line >= 0) & (line < n_pre), tl.minimum(span, positions - start), 0)
            reached = 0
            turn = 0
            while reached < extent:
                end, hit, _rank, reach, _hits = draw(seed, line, chunk, turn, extent - reached, table, bits, NB)
                at = start + reached + end - 1
                hit = hit & (at != line + hole)
                term = tl.zeros([4 * NB], tl.int64) + amount
                if WEIGHTS:
                    if kind == UNIFORM:
                        term = units_of(seed, line, at, factors + 3 * q, basis, UNIFORM)
                    if kind == NORMAL:
                        term = units_of(seed, line, at, factors + 3 * q, basis, NORMAL)
                tl.atomic_add(words + here + at, term * sign, mask=hit, sem="relaxed")
                reached += reach
                turn += NB


@triton.jit
def units_of(seed, line, at, factors, basis, KIND: tl.constexpr):
    """The weights of drawn synapses in units of the ring, whole numbers."""
    number = scaled(number_at(seed, line, at, basis, KIND), KIND, tl.float32)
    zero = tl.zeros(number.shape, tl.float32)
    weight = weigh(zero + tl.load(factors), zero + tl.load(factors + 1), number, factors, KIND, False)
    units = weight.to(tl.float64) * tl.load(factors + 2).to(tl.float64)
    return ((units + ROUNDING) - ROUNDING).to(tl.int64)


@triton.jit
def under_way(
    reach,
    step,
    sign,
    grid,
    counter,
    met,
    seen,
    history,
    list_,
    mine,
    lines,
    parts,
    synapses,
    law,
    ring,
    SHARED: tl.constexpr,
    DRAWN: tl.constexpr,
    WEIGHTS: tl.constexpr,
    NB: tl.constexpr,
    B: tl.constexpr,
    R: tl.constexpr,
    T: tl.constexpr,
):
    """Add to the ring, or take away, what the spikes of the last steps before `step`, as far as `reach`, deliver from then on by the
    synapses of each line between the two of `lines`.

    Returns:
      `(met, seen)`, how many have arrived at barriers, and how many spikes have been counted.
    """
    pid, programs, blocks = grid
    bits, n, kept = history
    starts, ends = lines
    for back in range(1, reach):
        count = 0
        for block in range(pid, blocks, programs):
            i = block * B + tl.arange(0, B)
            word = tl.load(bits + ((step - back) & (kept - 1)) * (n // 32) + i // 32)
            s = (word >> (i % 32)) & 1
            count = noted(list_, counter, seen, mine, count, i, tl.load(starts + i), tl.load(ends + i), s, SHARED, DRAWN)
        due = step - back
        if SHARED:
            arrive(counter)
            met += programs
            total = wait_for(counter, met)
            deliver_part(list_, total - seen, grid, parts, synapses, ring, due, back, sign, True, T)
            if DRAWN:
                deliver_drawn(list_, total - seen, grid, law, ring, due, back, sign, DRAWN, WEIGHTS, NB)
            seen = total
            arrive(counter)
            met += programs
            wait_for(counter, met)
        else:
            tl.debug_barrier()
            deliver(list_, mine, count, synapses, ring, due, back, sign, True, R, T)
            tl.debug_barrier()
    arrive(counter)
    met += programs
    wait_for(counter, met)
    return met, seen
