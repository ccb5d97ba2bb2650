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

from .barrier import arrive, wait_for
from .deliveries import deliver, deliver_drawn, deliver_part, noted, under_way
from .neurons import advanced, parameters, received, stored, tensors, written
from .poisson import driven, inputs_of, keys_of


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
    counter = arrived.to(tl.pointer_type(tl.int64))
    ring64 = ring_out.to(tl.pointer_type(tl.int64))
    synapses, law, poisson = (
        (targets, weights, delays),
        (drawn, factors, gaps, basis),
        (drives, drive_weights, tables, rows_of_tables, keys),
    )
    grid, deposits, history_bits = (pid, programs, blocks), (ring64, size, slots), (history_out, n, kept)
    mine = pid * room
    if SHARED:
        list_ = (spikes, n)
    else:
        list_ = (spikes, programs * room)
    met = 0
    seen = 0
    if HISTORY:  # spikes under way: those of the last steps, with the delays that they still have
        reach = tl.where(todo & 1 != 0, kept, 1)
        met, seen = under_way(
            *(reach, first_step, 1, grid, counter, met, seen, history_bits, list_, mine, (starts, middles), parts, synapses, law, deposits),
            *(SHARED, DRAWN, WEIGHTS, NB, B, R, T),
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
                count = noted(list_, counter, seen, mine, count, i, first, last, s, SHARED, DRAWN)
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
                    ends_of = tl.load(starts + i + 1)
                    count = noted(list_, counter, seen, mine, count, i, tl.load(starts + i), ends_of, s, SHARED, DRAWN)
                stored(V_out, wait_out, spiked_out, G_out, i, v, w, s, g, n, i >= 0, S)
        if goes_on:
            if SHARED:
                arrive(counter)
                met += programs
                total = wait_for(counter, met)
                deliver_part(list_, total - seen, grid, parts, synapses, deposits, now, 0, 1, DELAYS, T)
                if DRAWN:
                    deliver_drawn(list_, total - seen, grid, law, deposits, now, 0, 1, DRAWN, WEIGHTS, NB)
                seen = total
            else:
                tl.debug_barrier()
                deliver(list_, mine, count, synapses, deposits, now, 0, 1, DELAYS, R, T)
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
        reach, end = tl.where(todo & 2 != 0, kept, 1), first_step + steps
        met, seen = under_way(
            *(reach, end, -1, grid, counter, met, seen, history_bits, list_, mine, (starts, middles), parts, synapses, law, deposits),
            *(SHARED, DRAWN, WEIGHTS, NB, B, R, T),
        )
