"""Many steps of a network of integrate-and-fire neurons in one launch: nothing returns to the host, or to XLA, between two steps.

All populations stand one after another in one line of neurons, padded to whole blocks, each with a row of `par`; all stored projections
are one matrix, whose rows hold a target (channel and neuron), a weight and a delay for every synapse; those that are drawn stand beside it,
one row of `drawn` each. A channel is a synaptic state, or the jumps of V. Deposits wait in a ring of 64-bit integers, in units of a power
of two for each channel, so that sums do not depend on the order of the additions.

A step is one pass over the neurons, the deliveries of those that spiked, and a barrier across the grid. Where rows are short each program
delivers those of its own neurons. Where they are long, or drawn, spikes go to one list, and behind a second barrier all programs share out
parts of their rows: a spike of 4,000 synapses would keep one program busy while the others wait. Where there is a program for every block,
states and parameters stay in its registers from the first step to the last. Poisson numbers are drawn while a program waits for the others.

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
def arrive(counter):
    """Tell the others that all this program wrote is there."""
    tl.debug_barrier()
    tl.atomic_add(counter, 1, sem="release", scope="gpu")


@triton.jit
def wait_for(counter, goal):
    """Wait until `goal` programs have arrived; how many spikes have been counted beside."""
    word = tl.atomic_add(counter, 0, sem="acquire", scope="gpu")
    while (word & 0xFFFFFFFF) < goal:
        word = tl.atomic_add(counter, 0, sem="acquire", scope="gpu")
    tl.debug_barrier()
    return (word >> 32).to(tl.int32)


@triton.jit
def arriving(ring, place, unit, mask):
    """What waits at a place of the ring, which is empty afterwards."""
    words = ring + place
    sum_ = tl.load(words, mask=mask, other=0, cache_modifier=".cg")
    tl.store(words, tl.zeros_like(sum_), mask=mask & (sum_ != 0))
    return sum_.to(tl.float32) * unit


# -- deliveries ----------------------------------------------------------------------------------------------------------------


@triton.jit
def listed(spikes, at, i, first, last, s, length, DRAWN: tl.constexpr):
    """Note the neurons of a block that spiked and where their synapses stand, from a place of the list on."""
    place = spikes + at + tl.cumsum(s, 0) - s
    tl.store(place, first, mask=s != 0)
    tl.store(place + length, last, mask=s != 0)
    if DRAWN:
        tl.store(place + 2 * length, i, mask=s != 0)


@triton.jit
def noted(spikes, counter, seen, mine, count, i, first, last, s, length, SHARED: tl.constexpr, DRAWN: tl.constexpr):
    """The same in one list for all programs, or at `mine` for one alone, behind `count`; how many there are."""
    k = tl.sum(s, 0)
    if SHARED:
        if k > 0:
            before = tl.atomic_add(counter, k.to(tl.int64) << 32, sem="relaxed", scope="gpu")
            listed(spikes, (before >> 32).to(tl.int32) - seen, i, first, last, s, length, DRAWN)
    else:
        listed(spikes, mine + count, i, first, last, s, length, DRAWN)
    return count + k


@triton.jit
def add(ring, place, amount, mask):
    """Add whole numbers to the ring."""
    tl.atomic_add(ring + place, amount, mask=mask, sem="relaxed")


@triton.jit
def deposit(synapses, j, mask, ring, due, least, sign, size, slots, DELAYS: tl.constexpr):
    """Deposit synapses whose delay is at least `least`.

    `due` is the step in which a synapse without delay would act; `size` the places of a slot; a sign of -1 takes away.
    """
    targets, weights, delays = synapses
    target = tl.load(targets + j, mask=mask, other=0)
    weight = tl.load(weights + j, mask=mask, other=0)
    slot = due
    if DELAYS:
        delay = tl.load(delays + j, mask=mask, other=0).to(tl.int32)
        slot = due + delay
        mask = mask & (delay >= least)
    place = (slot & (slots - 1)).to(tl.int64) * size + target
    add(ring, place, weight.to(tl.int64) * sign, mask)


@triton.jit
def deliver(
    spikes, at, count, synapses, ring, due, least, sign, size, length, slots, DELAYS: tl.constexpr, R: tl.constexpr, T: tl.constexpr
):
    """Deposit the rows of as many spikes of the list, R of them and T synapses at a time."""
    for start in range(0, count, R):
        r = start + tl.arange(0, R)
        first = tl.load(spikes + at + r, mask=r < count, other=0)
        last = tl.load(spikes + at + length + r, mask=r < count, other=0)
        longest = tl.max(last - first, 0)
        for run in range(0, longest, T):
            j = (first + run)[:, None] + tl.arange(0, T)[None, :]
            deposit(synapses, j, j < last[:, None], ring, due, least, sign, size, slots, DELAYS)


@triton.jit
def deliver_part(
    spikes, count, pid, programs, parts, synapses, ring, due, least, sign, size, length, slots, DELAYS: tl.constexpr, T: tl.constexpr
):
    """The part of a program in the deposits of all spikes: of one row every `parts`-th run of T synapses."""
    for item in range(pid, count * parts, programs):
        first = tl.load(spikes + item % count, cache_modifier=".cg")
        last = tl.load(spikes + length + item % count, cache_modifier=".cg")
        for run in range(first + item // count * T, last, parts * T):
            j = run + tl.arange(0, T)
            deposit(synapses, j, j < last, ring, due, least, sign, size, slots, DELAYS)


@triton.jit
def deliver_drawn(
    spikes,
    count,
    pid,
    programs,
    law,
    ring,
    due,
    least,
    sign,
    size,
    length,
    slots,
    DRAWN: tl.constexpr,
    WEIGHTS: tl.constexpr,
    NB: tl.constexpr,
):
    """The same for the projections whose rows are drawn, a chunk of one at a time; WEIGHTS tells whether weights are."""
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
                add(ring, here + at, term * sign, hit)
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
    kept_steps,
    step,
    sign,
    pid,
    blocks,
    programs,
    history,
    n,
    kept,
    counter,
    met,
    seen,
    spikes,
    mine,
    length,
    starts,
    middles,
    synapses,
    law,
    ring,
    parts,
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
      `(met, seen)`, how many have arrived at barriers, and how many spikes have been counted.
    """
    for back in range(1, kept_steps):
        count = 0
        for block in range(pid, blocks, programs):
            i = block * B + tl.arange(0, B)
            word = tl.load(history + ((step - back) & (kept - 1)) * (n // 32) + i // 32)
            s = (word >> (i % 32)) & 1
            count = noted(spikes, counter, seen, mine, count, i, tl.load(starts + i), tl.load(middles + i), s, length, SHARED, DRAWN)
        due = step - back
        if SHARED:
            arrive(counter)
            met += programs
            total = wait_for(counter, met)
            deliver_part(spikes, total - seen, pid, programs, parts, synapses, ring, due, back, sign, size, length, slots, True, T)
            if DRAWN:
                deliver_drawn(spikes, total - seen, pid, programs, law, ring, due, back, sign, size, length, slots, DRAWN, WEIGHTS, NB)
            seen = total
            arrive(counter)
            met += programs
            wait_for(counter, met)
        else:
            tl.debug_barrier()
            deliver(spikes, mine, count, synapses, ring, due, back, sign, size, length, slots, True, R, T)
            tl.debug_barrier()
    arrive(counter)
    met += programs
    wait_for(counter, met)
    return met, seen


# -- Poisson inputs ------------------------------------------------------------------------------------------------------------


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
def counts_of(k0, k1, counter, table, entries, B: tl.constexpr):
    """How many entries of a table, one for all or one each, the random word of each counter has reached."""
    word = random_word(k0, k1, counter.to(tl.uint32))
    word = tl.minimum(word, tl.full(word.shape, LAST, tl.uint32))
    count = tl.zeros([B], tl.int32)
    for start in range(0, entries, ENTRIES):
        for k in tl.static_range(ENTRIES):
            reached = (tl.load(table + tl.minimum(start + k, entries - 1)) <= word) & (start + k < entries)
            count += reached.to(tl.int32)
    return count


@triton.jit
def inputs_of(drives_of, poisson, DRIVES: tl.constexpr):
    """The rows of the Poisson inputs onto a block: number, channel, first and last neuron, entries, table, rows of neurons, weight."""
    drives, weights, _, _, _ = poisson
    found = ()
    for d in tl.static_range(DRIVES):
        which = tl.load(drives_of + d)
        own = drives + tl.maximum(which, 0) * OF_DRIVE
        row = (which, tl.load(own), tl.load(own + 1), tl.load(own + 2), tl.load(own + 3), tl.load(own + 4), tl.load(own + 5))
        found = found + (row + (tl.load(weights + tl.maximum(which, 0)),),)
    return found


@triton.jit
def keys_of(inputs, step, poisson, DRIVES: tl.constexpr, ALL: tl.constexpr):
    """Their random keys in a step."""
    _, _, _, _, keys = poisson
    found = ()
    for d in tl.static_range(DRIVES):
        key = keys + (step * ALL + tl.maximum(inputs[d][0], 0)) * 2
        found = found + ((tl.load(key), tl.load(key + 1)),)
    return found


@triton.jit
def driven(i, inputs, keys, poisson, DRIVES: tl.constexpr, CHANNELS: tl.constexpr, B: tl.constexpr):
    """What the Poisson trains of a step add to each channel of the neurons of a block."""
    _, _, tables, rows, _ = poisson
    totals = ()
    for c in tl.static_range(CHANNELS):
        total = tl.zeros([B], tl.float32)
        for d in tl.static_range(DRIVES):
            which, channel, first, stop, entries, table, by_row, weight = inputs[d]
            if (which >= 0) & (channel == c):
                inside = (i >= first) & (i < stop)
                at = tl.where(inside, i - first, 0)
                if by_row >= 0:
                    mine = tables + table + tl.load(rows + by_row + at) * entries
                    count = counts_of(keys[d][0], keys[d][1], at, mine, entries, B)
                else:
                    count = counts_of(keys[d][0], keys[d][1], at, tables + table, entries, B)
                total += tl.where(inside, weight * count.to(tl.float32), 0.0)
        totals = totals + (total,)
    return totals


# -- neurons -------------------------------------------------------------------------------------------------------------------


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
    parts,
    programs,
    V_out,
    wait_out,
    spiked_out,
    G_out,
    history_out,
    ring_out,
    spikes,
    rows,
    arrived,
    inflows,
    S: tl.constexpr,
    JUMPS: tl.constexpr,
    DELAYS: tl.constexpr,
    HISTORY: tl.constexpr,
    DUE: tl.constexpr,
    SHARED: tl.constexpr,
    ONE: tl.constexpr,
    RECORDED: tl.constexpr,
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

    States share the memory of their inputs. `arrived` counts programs that arrive at barriers, and in its upper word spikes. `spikes` lists
    them: where their synapses start, where they end, and who they are.
    """
    pid = tl.program_id(0)
    CHANNELS: tl.constexpr = S + JUMPS
    first_step, steps, todo = tl.load(when), tl.load(when + 1), tl.load(when + 2)
    size = CHANNELS * n
    ring64 = ring_out.to(tl.pointer_type(tl.int64))
    counter = arrived.to(tl.pointer_type(tl.int64))
    synapses = targets, weights, delays
    law = drawn, factors, gaps, basis
    poisson = drives, drive_weights, tables, rows_of_tables, keys
    mine = pid * room
    length = n  # of a part of the list
    if not SHARED:
        length = programs * room
    met = 0
    seen = 0
    if HISTORY:  # spikes under way: those of the last steps, with the delays that they still have
        met, seen = under_way(
            tl.where(todo & 1 != 0, kept, 1),
            first_step,
            1,
            pid,
            blocks,
            programs,
            history_out,
            n,
            kept,
            counter,
            met,
            seen,
            spikes,
            mine,
            length,
            starts,
            middles,
            synapses,
            law,
            ring64,
            parts,
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
    # the block of a program that has one alone; one that has none looks on at the last
    exists = pid < blocks
    block = tl.minimum(pid, blocks - 1)
    i = block * B + tl.arange(0, B)
    here = (i < tl.load(ends + block)) & exists
    p = parameters(par + tl.load(kinds + block) * width, S)
    v = tl.load(V_out + i)
    w = tl.load(wait_out + i)
    s = tl.load(spiked_out + i).to(tl.int32)
    G_own = tensors(G_out, i, n, S)
    inflow = tensors(inflows, i, n, CHANNELS * (DRIVES > 0))
    own_inputs = inputs_of(drives_of + block * DRIVES, poisson, DRIVES)
    own_current = tl.load(current + i)
    first = tl.load(starts + i)
    last = tl.load(starts + i + 1)
    for step in range(0, steps + 1):  # one turn more applies what the last step delivered
        now = first_step + step
        row = now - first_step
        begun = row > 0
        goes_on = step < steps
        before = ((now - 1) & (slots - 1)).to(tl.int64) * size
        count = 0
        if ONE:
            own_keys = keys_of(own_inputs, tl.where(goes_on, step, 0), poisson, DRIVES, ALL)  # asked for long before they are needed
            v, G_own = received(v, w, s, G_own, inflow, begun, p, ring64, before + i, here, n, S, JUMPS, DRIVES)
            if goes_on:
                v, w, s = advanced(v, w, G_own, own_current, p, here, S)
                written(s, i, block, rows, history_out, row, now & (kept - 1), n, exists, RECORDED, DELAYS, B)
                count = noted(spikes, counter, seen, mine, count, i, first, last, s, length, SHARED, DRAWN)
        else:
            for block in range(pid, blocks, programs):
                i = block * B + tl.arange(0, B)
                here = i < tl.load(ends + block)
                p = parameters(par + tl.load(kinds + block) * width, S)
                v, w, s = tl.load(V_out + i), tl.load(wait_out + i), tl.load(spiked_out + i).to(tl.int32)
                g, flow = tensors(G_out, i, n, S), tensors(inflows, i, n, CHANNELS * (DRIVES > 0))
                v, g = received(v, w, s, g, flow, begun, p, ring64, before + i, here, n, S, JUMPS, DRIVES)
                if goes_on:
                    v, w, s = advanced(v, w, g, tl.load(current + i), p, here, S)
                    written(s, i, block, rows, history_out, row, now & (kept - 1), n, True, RECORDED, DELAYS, B)
                    count = noted(
                        spikes, counter, seen, mine, count, i, tl.load(starts + i), tl.load(starts + i + 1), s, length, SHARED, DRAWN
                    )
                stored(V_out, wait_out, spiked_out, G_out, i, v, w, s, g, n, i >= 0, S)
        if goes_on:
            if SHARED:
                arrive(counter)
                met += programs
                total = wait_for(counter, met)
                deliver_part(spikes, total - seen, pid, programs, parts, synapses, ring64, now, 0, 1, size, length, slots, DELAYS, T)
                if DRAWN:
                    deliver_drawn(spikes, total - seen, pid, programs, law, ring64, now, 0, 1, size, length, slots, DRAWN, WEIGHTS, NB)
                seen = total
            else:
                tl.debug_barrier()
                deliver(spikes, mine, count, synapses, ring64, now, 0, 1, size, length, slots, DELAYS, R, T)
            arrive(counter)
            met += programs
            if DRIVES:
                if ONE:
                    inflow = driven(i, own_inputs, own_keys, poisson, DRIVES, CHANNELS, B)
                else:
                    for block in range(pid, blocks, programs):
                        i = block * B + tl.arange(0, B)
                        inputs = inputs_of(drives_of + block * DRIVES, poisson, DRIVES)
                        flow = driven(i, inputs, keys_of(inputs, step, poisson, DRIVES, ALL), poisson, DRIVES, CHANNELS, B)
                        for c in tl.static_range(CHANNELS):
                            tl.store(inflows + c * n + i, flow[c])
            wait_for(counter, met)
    if ONE:
        stored(V_out, wait_out, spiked_out, G_out, i, v, w, s, G_own, n, exists & (i >= 0), S)
    if HISTORY and DUE:
        met, seen = under_way(
            tl.where(todo & 2 != 0, kept, 1),
            first_step + steps,
            -1,
            pid,
            blocks,
            programs,
            history_out,
            n,
            kept,
            counter,
            met,
            seen,
            spikes,
            mine,
            length,
            starts,
            middles,
            synapses,
            law,
            ring64,
            parts,
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
