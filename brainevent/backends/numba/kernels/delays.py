"""Deliveries that are due later: every synapse adds into the slot of a ring that its own delay names."""

import numpy as np
from numba import prange

from ..bridge.inner import njit
from ..bridge.intrinsics import count_trailing_zeros, fetch, load_word
from .compressed import work_of
from .operands import BAD_POINTER, ID_OUT_OF_RANGE, OK, active_in, fade, fetch_head, first_of, flat, ids_of, span, value, weight

AHEAD = np.uint64(24)  # synapses
LONG_ROW = 4  # synapses for each delay there is, from which on walking slot by slot costs less than row by row


@njit
def add_later(lines, count, first, last, place, x, w, structure, delays, scale, targets, ring):
    """Add the synapses of the listed rows whose delay is from `first` to before `last`, slot by slot: one slot fits a near cache.

    Delays ascend within a row. `ring` has a power of two of slots; the targets stand from `targets[0]` to `targets[1]` in each.
    """
    ids, w = ids_of(structure), flat(w)
    m, mask = targets[1] - targets[0], ring.shape[0] - 1
    places, stops = np.empty(count, np.int64), np.empty(count, np.int64)
    for a in range(count):
        start, stop = span(structure, lines[a])
        if start < 0 or start > stop or stop > ids.shape[0]:
            return BAD_POINTER
        places[a], stops[a] = first_of(delays, start, stop, first), stop
    for d in range(first, last):
        slot = ring[(place + d) & mask, targets[0] : targets[1]]
        for a in range(count):
            k, stop, v = np.uint64(places[a]), np.uint64(stops[a]), scale * value(x, lines[a], ring)
            while k < stop and delays[k] == d:
                j = np.uint64(ids[k])
                if j >= np.uint64(m):
                    return ID_OUT_OF_RANGE
                slot[j] += v * weight(w, k, ring)
                k += np.uint64(1)
            places[a] = k
    return OK


@njit
def add_rows_later(lines, count, place, x, w, structure, delays, scale, targets, ring):
    """`add_later` of all delays row by row, in any order of delays: for rows that are short beside the number of slots.

    A row comes from main memory, and its first lines have to be asked for: so each row asks for those of the next; and a ring from a
    far cache, so that each synapse asks for the place of one further on.
    """
    ids, w, out = ids_of(structure), flat(w), ring.reshape(-1)
    m, mask, width = np.uint64(targets[1] - targets[0]), np.uint64(ring.shape[0] - 1), np.uint64(ring.shape[1])
    now, first = np.uint64(np.int64(place)), np.uint64(targets[0])
    for a in range(count):
        start, stop = span(structure, lines[a])
        if start < 0 or start > stop or stop > ids.shape[0]:
            return BAD_POINTER
        if a + 1 < count:
            head = span(structure, lines[a + 1])
            fetch_head(ids, head)
            fetch_head(delays, head)
            fetch_head(w, head)
        v, last = scale * value(x, lines[a], ring), np.uint64(stop)
        for k in range(np.uint64(start), last):
            later = k + AHEAD
            if later < last:
                fetch(out, ((now + np.uint64(delays[later])) & mask) * width + first + np.uint64(ids[later]))  # pyright: ignore[reportCallIssue]
            j = np.uint64(ids[k])
            if j >= m:
                return ID_OUT_OF_RANGE
            out[((now + np.uint64(delays[k])) & mask) * width + first + j] += v * weight(w, k, ring)
    return OK


@njit(parallel=True)
def add_later_threaded(lines, count, bounds, place, x, w, structure, delays, scale, targets, ring):
    """`add_later`, one thread a range of delays: no two threads write into one slot, and every slot is summed in the one order."""
    status = np.zeros(bounds.shape[0] - 1, np.int64)
    for b in prange(bounds.shape[0] - 1):
        status[b] = add_later(lines, count, bounds[b], bounds[b + 1], place, x, w, structure, delays, scale, targets, ring)
    return status.max()


@njit
def shared_out(tally, blocks):
    """Bounds of `blocks` ranges of delays that hold about as many synapses each; `tally[d]` is how many have a delay below d."""
    bounds = np.zeros(blocks + 1, np.int64)
    for b in range(1, blocks):
        bounds[b] = np.searchsorted(tally, tally[-1] * b // blocks)
    bounds[blocks] = tally.shape[0] - 1
    return bounds


def enqueue(ring, counts, place, x, scale, w, structure, delays, tally, window, after, taken):
    """All due rows; `after` shares the memory of `ring`, `taken` that of `counts`."""
    x, lines, count = active_in(x, window)
    taken[0] += 1
    slots = tally.shape[0] - 1
    if work_of(lines, count, structure) < LONG_ROW * slots * count:
        return add_rows_later(lines, count, place[0], x, w, structure, delays, scale[0], window[2:], after)
    return add_later(lines, count, 0, slots, place[0], x, w, structure, delays, scale[0], window[2:], after)


def work_of_enqueue(ring, counts, place, x, scale, w, structure, delays, tally, window, after, taken):
    """The synapses of an `enqueue`."""
    _, lines, count = active_in(x, window)
    return work_of(lines, count, structure)


def enqueue_threaded(ring, counts, place, x, scale, w, structure, delays, tally, window, split, after, taken):
    """`enqueue`; from `split[1]` synapses on in `split[0]` threads."""
    x, lines, count = active_in(x, window)
    taken[0] += 1
    work, slots = work_of(lines, count, structure), tally.shape[0] - 1
    if work < LONG_ROW * slots * count:
        return add_rows_later(lines, count, place[0], x, w, structure, delays, scale[0], window[2:], after)
    if work < split[1]:
        return add_later(lines, count, 0, slots, place[0], x, w, structure, delays, scale[0], window[2:], after)
    return add_later_threaded(lines, count, shared_out(tally, split[0]), place[0], x, w, structure, delays, scale[0], window[2:], after)


@njit
def set_bits(bits, first, ids):
    """How many neurons from `first` on have their bit set, of as many as `ids` has room for: they are `ids[:count]`, from `first`."""
    count, n = 0, ids.shape[0]
    for w in range(first // 64, (first + n + 63) // 64):
        word = load_word(bits, w)  # pyright: ignore[reportCallIssue]
        while word != 0:
            i = 64 * w + count_trailing_zeros(word) - first  # pyright: ignore[reportCallIssue]
            if 0 <= i < n:
                ids[count] = i
                count += 1
            word &= word - np.uint64(1)
    return count


@njit
def with_delay(structure, i, delays, tally, d):
    """`(k, stop)`: the first synapse of line i whose delay is at least d, and the end of the line; k = -1 if the line is not sound.

    Sought around the place where it stands if the line has its share of each delay: `tally[d]` is how many have a delay below d.
    """
    start, stop = span(structure, i)
    if start < 0 or start > stop or stop > delays.shape[0]:
        return -1, -1
    low = high = start + np.int64((stop - start) * (np.int64(tally[d]) / max(np.int64(tally[-1]), 1)))
    jump = 1
    if low < stop and delays[low] < d:
        while high < stop and delays[high] < d:
            low, high, jump = high + 1, high + jump, 2 * jump
        return first_of(delays, low, min(high, stop), d), stop
    while low > start and delays[low - 1] >= d:
        low, high, jump = max(low - jump, start), low, 2 * jump
    return first_of(delays, low, high, d), stop


def arrive(target, counts, decay, w, structure, bits, first, n, place, delays, tally, window, after, taken):
    """Add the synapses over which a spike arrives; `after` shares the memory of `target`, `taken` that of `counts`."""
    fade(after, decay)
    ids, w, lines, out = ids_of(structure), flat(w), np.empty(n[0], np.int64), after[window[0] : window[1]]
    taken[0] += 1
    for d in range(tally.shape[0] - 1):
        if tally[d] == tally[d + 1]:
            continue
        count = set_bits(bits[(np.int64(place[0]) - d) & (bits.shape[0] - 1)], first[0], lines)
        for a in range(count):
            k, stop = with_delay(structure, lines[a], delays, tally, d)
            if k < 0:
                return BAD_POINTER
            while k < stop and delays[k] == d:
                j = np.uint64(ids[k])
                if j >= np.uint64(out.shape[0]):
                    return ID_OUT_OF_RANGE
                out[j] += w[k]
                k += 1
    return OK


def collect(target, ring, place, decay, after, later):
    """Fade the target, add the slot that is due, and empty it; `after` shares the memory of `target`, `later` that of `ring`."""
    slot = later[place[0] & (later.shape[0] - 1)]
    for i in range(after.shape[0]):
        after[i] = after[i] * decay[i if decay.shape[0] > 1 else 0] + slot[i]
        slot[i] = 0
    return OK
