"""Many steps of a network of integrate-and-fire neurons in one launch: nothing returns to the host, or to XLA, between two steps.

All populations stand one after another in one line of neurons, padded to whole blocks, each with a row of `par`; all stored projections
are one matrix, whose rows hold a target (channel and neuron), a weight and a delay for every synapse; those that are drawn stand beside it,
one row of `drawn` each. A channel is a synaptic state, or the jumps of V. Deposits wait in a ring of 64-bit integers, in units of a power
of two for each channel, so that sums do not depend on the order of the additions.

A step is one pass over the neurons, the deliveries of those that spiked, and a barrier across the grid. Where rows are short each program
delivers those of its own neurons. Where they are long, or drawn, spikes go to one list, and behind a second barrier all programs share out
parts of their rows: a spike of 4,000 synapses would keep one program busy while the others wait.

The interpreter runs one program after another, and so this kernel with one program only.
"""

import triton
import triton.language as tl

from .law import NORMAL, UNIFORM, draw, number_at, scaled, weigh

# Columns of `par`: -dt / tau, its exponential, R, V_rest, V_th, V_reset, steps of refractoriness, whether the propagators are exact; then
# for each channel: the decay factor, what a unit of state adds to the offset, to the slope, to V (exact propagators), the unit of the ring.
OF_POPULATION, OF_CHANNEL = tl.constexpr(8), tl.constexpr(5)
OF_DRIVE, OF_DRAWN = tl.constexpr(6), tl.constexpr(12)  # columns of `drives` and `drawn`, as `core/launch.py` has them
PARITY, LAST = tl.constexpr(0x1BD11BDA), tl.constexpr(2**32 - 2)
ENTRIES = tl.constexpr(8)  # of a table, that a random word is compared with at a time
ROUNDING = tl.constexpr(1.5 * 2.0**52)  # a float64 that this is added to and taken from is a whole number, the nearest, even if halfway


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
def add(words, place, amount, mask):
    """Add whole numbers to the ring."""
    tl.atomic_add(words + place, amount, mask=mask, sem="relaxed")


@triton.jit
def deliver(
    ids, count, starts, ends, synapses, ring, due, least, sign, size, slots, DELAYS: tl.constexpr, R: tl.constexpr, T: tl.constexpr
):
    """Deposit the rows of `count` neurons whose numbers stand at `ids`, those synapses whose delay is at least `least`, R rows at a time.

    `due` is the step in which a synapse without delay would act; `size` the places of a slot; a sign of -1 takes away.
    """
    for start in range(0, count, R):
        r = start + tl.arange(0, R)
        row = tl.load(ids + r, mask=r < count, other=0)
        first = tl.load(starts + row, mask=r < count, other=0)
        last = tl.load(ends + row, mask=r < count, other=0)
        longest = tl.max(last - first, 0)
        for at in range(0, longest, T):
            j = (first + at)[:, None] + tl.arange(0, T)[None, :]
            deposit(synapses, j, j < last[:, None], ring, due, least, sign, size, slots, DELAYS)


@triton.jit
def deliver_part(
    ids, count, pid, programs, most, starts, ends, synapses, ring, due, least, sign, size, slots, DELAYS: tl.constexpr, T: tl.constexpr
):
    """The part of a program in the deposits of rows of which the longest has `most` synapses, T of them at a time."""
    for item in range(pid, count * tl.cdiv(most, T), programs):
        row = tl.load(ids + item % count, cache_modifier=".cg")
        j = tl.load(starts + row) + item // count * T + tl.arange(0, T)
        deposit(synapses, j, j < tl.load(ends + row), ring, due, least, sign, size, slots, DELAYS)


@triton.jit
def deposit(synapses, j, mask, ring, due, least, sign, size, slots, DELAYS: tl.constexpr):
    """Deposit synapses."""
    targets, weights, delays = synapses
    target = tl.load(targets + j, mask=mask, other=0)
    weight = tl.load(weights + j, mask=mask, other=0)
    slot = due
    if DELAYS:
        delay = tl.load(delays + j, mask=mask, other=0).to(tl.int32)
        slot = due + delay
        mask = mask & (delay >= least)
    place = (slot & (slots - 1)).to(tl.int64) * size + target
    add(ring.to(tl.pointer_type(tl.int64)), place, weight.to(tl.int64) * sign, mask)


@triton.jit
def deliver_drawn(
    ids, count, pid, programs, law, ring, due, least, sign, size, slots, DRAWN: tl.constexpr, WEIGHTS: tl.constexpr, NB: tl.constexpr
):
    """The same for the projections whose rows are drawn; WEIGHTS tells whether weights are."""
    drawn, factors, gaps, basis = law
    words = ring.to(tl.pointer_type(tl.int64))
    for q in tl.static_range(DRAWN):
        own = drawn + q * OF_DRAWN
        first, n, target, positions = tl.load(own), tl.load(own + 1), tl.load(own + 2), tl.load(own + 3)
        span, chunks, hole, delay = tl.load(own + 4), tl.load(own + 5), tl.load(own + 6), tl.load(own + 7)
        bits, table, kind, amount = tl.load(own + 8), gaps + tl.load(own + 9), tl.load(own + 10), tl.load(own + 11)
        seed = tl.load(gaps + q)
        here = ((due + delay) & (slots - 1)).to(tl.int64) * size + target
        for item in range(pid, tl.where(delay >= least, count * chunks, 0), programs):
            line = tl.load(ids + item % count, cache_modifier=".cg") - first
            chunk = item // count
            start = chunk * span
            length = tl.where((line >= 0) & (line < n), tl.minimum(span, positions - start), 0)
            reached = 0
            turn = 0
            while reached < length:
                end, hit, _rank, reach, _hits = draw(seed, line, chunk, turn, length - reached, table, bits, NB)
                at = start + reached + end - 1
                hit = hit & (at != line + hole)
                term = tl.zeros([4 * NB], tl.int64) + amount
                if WEIGHTS:
                    if kind == UNIFORM:
                        term = units_of(seed, line, at, factors + 3 * q, basis, UNIFORM)
                    if kind == NORMAL:
                        term = units_of(seed, line, at, factors + 3 * q, basis, NORMAL)
                add(words, here + at, term * sign, hit)
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
def rotated(x, y, R: tl.constexpr):
    """One round of Threefry2x32: add, rotate, mix."""
    x = x + y
    return x, ((y << R) | (y >> (32 - R))) ^ x


@triton.jit
def random_word(k0, k1, counter):
    """A random word of each counter (uint32), as `backends/numba/kernels/random.py` has it: one half of Threefry2x32 xor the other."""
    k2 = k0 ^ k1 ^ tl.full([], PARITY, tl.uint32)
    x = tl.zeros(counter.shape, tl.uint32) + k0
    y = counter + k1
    for turn in tl.static_range(5):
        if turn % 2 == 0:
            x, y = rotated(x, y, 13)
            x, y = rotated(x, y, 15)
            x, y = rotated(x, y, 26)
            x, y = rotated(x, y, 6)
        else:
            x, y = rotated(x, y, 17)
            x, y = rotated(x, y, 29)
            x, y = rotated(x, y, 16)
            x, y = rotated(x, y, 24)
        if turn % 3 == 0:
            x, y = x + k1, y + k2
        elif turn % 3 == 1:
            x, y = x + k2, y + k0
        else:
            x, y = x + k0, y + k1
        y = y + tl.full([], turn + 1, tl.uint32)
    return x ^ y


@triton.jit
def counts_of(key, counter, tables, rows, entries, by_row, B: tl.constexpr):
    """How many entries of its table each random word has reached; `rows` says which is whose, if `by_row`."""
    word = random_word(tl.load(key), tl.load(key + 1), counter.to(tl.uint32))
    word = tl.minimum(word, tl.full(word.shape, LAST, tl.uint32))
    count = tl.zeros([B], tl.int32)
    if by_row != 0:
        mine = tables + tl.load(rows + counter) * entries
        for k in range(0, entries):
            count += (tl.load(mine + k) <= word).to(tl.int32)
    else:
        for start in range(0, entries, ENTRIES):
            k = start + tl.arange(0, ENTRIES)
            bound = tl.load(tables + k, mask=k < entries, other=0)
            count += tl.sum(((bound[None, :] <= word[:, None]) & (k < entries)[None, :]).to(tl.int32), 1)
    return count


@triton.jit
def driven(i, channel, step, drives_of, poisson, DRIVES: tl.constexpr, ALL: tl.constexpr, B: tl.constexpr):
    """What the Poisson trains of the step before this one add to a channel of the neurons of a block."""
    drives, weights, tables, rows, keys = poisson
    total = tl.zeros([B], tl.float32)
    for d in tl.static_range(DRIVES):
        which = tl.load(drives_of + d)
        if which >= 0:
            own = drives + which * OF_DRIVE
            if tl.load(own) == channel:
                first, stop = tl.load(own + 1), tl.load(own + 2)
                inside = (i >= first) & (i < stop)
                at = tl.where(inside, i - first, 0)
                key = keys + ((step - 1) * ALL + which) * 2
                by_row = tl.load(own + 5)
                count = counts_of(key, at, tables + tl.load(own + 4), rows + by_row, tl.load(own + 3), by_row + 1, B)
                total += tl.where(inside, tl.load(weights + which) * count.to(tl.float32), 0.0)
    return total


@triton.jit
def listed(mine, found, count, i, s, SHARED: tl.constexpr):
    """Note the neurons of a block that spiked, in the list of the program, or in one list for all; and how many there are."""
    k = tl.sum(s, 0)
    if SHARED:
        if k > 0:
            base = tl.atomic_add(found, k, sem="relaxed")
            tl.store(mine + base + tl.cumsum(s, 0) - s, i, mask=s != 0)
    else:
        tl.store(mine + count + tl.cumsum(s, 0) - s, i, mask=s != 0)
    return count + k


@triton.jit
def under_way(
    kept_steps,
    step,
    sign,
    pid,
    blocks,
    programs,
    history,
    n,
    kept,
    arrived,
    met,
    turn,
    mine,
    starts,
    middles,
    synapses,
    law,
    ring,
    most,
    size,
    slots,
    SHARED: tl.constexpr,
    DRAWN: tl.constexpr,
    WEIGHTS: tl.constexpr,
    NB: tl.constexpr,
    B: tl.constexpr,
    R: tl.constexpr,
    T: tl.constexpr,
):
    """Add to the ring, or take away, what the spikes of the last steps before `step` deliver from then on by the synapses before `middles`.

    Returns:
      `(met, turn)`, how many barriers and lists there have been.
    """
    for back in range(1, kept_steps):
        count = 0
        for block in range(pid, blocks, programs):
            i = block * B + tl.arange(0, B)
            word = tl.load(history + ((step - back) & (kept - 1)) * (n // 32) + i // 32)
            count = listed(mine, arrived + 1 + turn % 3, count, i, (word >> (i % 32)) & 1, SHARED)
        due = step - back
        if SHARED:
            met += programs
            barrier(arrived, met)
            count = tl.load(arrived + 1 + turn % 3, cache_modifier=".cg")
            if pid == 0:
                tl.store(arrived + 1 + (turn + 1) % 3, 0)
            deliver_part(mine, count, pid, programs, most, starts, middles, synapses, ring, due, back, sign, size, slots, True, T)
            if DRAWN:
                deliver_drawn(mine, count, pid, programs, law, ring, due, back, sign, size, slots, DRAWN, WEIGHTS, NB)
            met += programs
            barrier(arrived, met)
            turn += 1
        else:
            tl.debug_barrier()
            deliver(mine, count, starts, middles, synapses, ring, due, back, sign, size, slots, True, R, T)
            tl.debug_barrier()
    met += programs
    barrier(arrived, met)
    return met, turn


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
    middles,
    targets,
    weights,
    delays,
    drives_of,
    drives,
    drive_weights,
    tables,
    rows_of_tables,
    keys,
    drawn,
    factors,
    gaps,
    basis,
    when,
    n,
    blocks,
    slots,
    kept,
    width,
    room,
    most,
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
    DUE: tl.constexpr,
    SHARED: tl.constexpr,
    DRIVES: tl.constexpr,
    ALL: tl.constexpr,
    DRAWN: tl.constexpr,
    WEIGHTS: tl.constexpr,
    NB: tl.constexpr,
    B: tl.constexpr,
    R: tl.constexpr,
    T: tl.constexpr,
):
    """`when` holds the number of the first step, modulo 2^32, how many there are, and what is to be done with what spikes of the history
    deliver by the synapses before `middles`: 1 to put it into the ring before the first step, 2 to take it out again after the last.

    States share the memory of their inputs. `arrived` counts programs, and behind it the spikes of three steps.
    """
    pid = tl.program_id(0)
    CHANNELS: tl.constexpr = S + JUMPS
    first_step, steps = tl.load(when), tl.load(when + 1)
    size = CHANNELS * n
    synapses = targets, weights, delays
    law = drawn, factors, gaps, basis
    poisson = drives, drive_weights, tables, rows_of_tables, keys
    mine = ids
    if not SHARED:
        mine += pid * room
    met = 0
    turn = 0
    todo = tl.load(when + 2)
    if DELAYS:
        met, turn = under_way(
            tl.where(todo & 1 != 0, kept, 1),
            first_step,
            1,
            pid,
            blocks,
            programs,
            history_out,
            n,
            kept,
            arrived,
            met,
            turn,
            mine,
            starts,
            middles,
            synapses,
            law,
            ring_out,
            most,
            size,
            slots,
            SHARED,
            DRAWN,
            WEIGHTS,
            NB,
            B,
            R,
            T,
        )
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
                    if DRIVES:
                        g += driven(i, c, step, drives_of + block * DRIVES, poisson, DRIVES, ALL, B)
                    tl.store(G_out + c * n + i, g)
                offset += g * tl.load(q + 1)
                slope += g * tl.load(q + 2)
                exact += g * tl.load(q + 3)
            if JUMPS:
                if step > 0:
                    jump = arriving(ring_out, place + S * n, tl.load(p + OF_POPULATION + S * OF_CHANNEL + 4), here)
                    if DRIVES:
                        jump += driven(i, S, step, drives_of + block * DRIVES, poisson, DRIVES, ALL, B)
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
                count = listed(mine, arrived + 1 + turn % 3, count, i, s, SHARED)
        if step < steps:
            if SHARED:
                met += programs
                barrier(arrived, met)
                count = tl.load(arrived + 1 + turn % 3, cache_modifier=".cg")
                if pid == 0:
                    tl.store(arrived + 1 + (turn + 1) % 3, 0)
                deliver_part(mine, count, pid, programs, most, starts, starts + 1, synapses, ring_out, now, 0, 1, size, slots, DELAYS, T)
                if DRAWN:
                    deliver_drawn(mine, count, pid, programs, law, ring_out, now, 0, 1, size, slots, DRAWN, WEIGHTS, NB)
                turn += 1
            else:
                tl.debug_barrier()
                deliver(mine, count, starts, starts + 1, synapses, ring_out, now, 0, 1, size, slots, DELAYS, R, T)
            met += programs
            barrier(arrived, met)
    if DELAYS and DUE:
        met, turn = under_way(
            tl.where(todo & 2 != 0, kept, 1),
            first_step + steps,
            -1,
            pid,
            blocks,
            programs,
            history_out,
            n,
            kept,
            arrived,
            met,
            turn,
            mine,
            starts,
            middles,
            synapses,
            law,
            ring_out,
            most,
            size,
            slots,
            SHARED,
            DRAWN,
            WEIGHTS,
            NB,
            B,
            R,
            T,
        )
