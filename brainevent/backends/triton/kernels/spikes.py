"""The numbers of the neurons that spiked, from bits."""

import triton
import triton.language as tl


@triton.jit
def list_bits(bits, starts, rows, words, capacity, programs, ids, W: tl.constexpr):
    """Write down the bits of the first rows of `words`, ascending: W words at a time, from where each such run starts, up to `capacity`."""
    runs = tl.cdiv(words, W)
    for turn in range(tl.program_id(0), tl.load(rows) * runs, programs):
        row, run = turn // runs, turn % runs
        at = run * W + tl.arange(0, W)
        word = tl.load(bits + row * words + at, mask=at < words, other=0)
        if tl.max((word != 0).to(tl.int32), 0) != 0:
            bit = tl.reshape((word[:, None] >> tl.arange(0, 32)[None, :]) & 1, [W * 32])
            place = tl.load(starts + turn) + tl.cumsum(bit, 0) - bit
            tl.store(ids + place, run * W * 32 + tl.arange(0, W * 32), mask=(bit != 0) & (place < capacity))
