"""A barrier across all programs of a launch, in two halves, between which a program may do what nobody waits for."""

import triton
import triton.language as tl


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
