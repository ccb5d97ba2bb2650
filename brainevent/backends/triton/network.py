"""The triton backend of a running network: deliveries, and what XLA does as well as a kernel could."""

import jax
import numpy as np

from ...core.launch import BLOCKS, Line
from ...core.path_choice import TAKEN
from ...core.spikes import LISTED_WORDS
from ...core.table import BackendError
from ...core.updates import add_arriving
from ...formats.compressed import Compressed
from ...formats.dense import Dense
from ...formats.jit_connectivity import JITConnectivity
from ..xla import jitc as drawn
from ..xla import network as plain
from ..xla import stored
from .bridge import INTERPRETED, blocks, call, kernel, power_of_two
from .kernels.spikes import list_bits
from .kernels.steps import run_steps as many_steps

WARPS = dict(zip(BLOCKS, (4, 16, 16)))  # of a program of `run_steps`, by the size of its blocks; twice as many where it has several
PART = dict(zip(BLOCKS, (256, 1024, 1024)))  # synapses of one row that it delivers at a time, where rows are shared out
MOST_WORDS = 64  # blocks of four random words, that a program draws at once
LISTING = 4096  # programs that list spikes
TILE = 512  # synapses that a program delivers at a time, of several rows

# Element by element, XLA fuses these with their neighbours; dense products are cuBLAS.
for _operation, _class, _run in (
    ("fire", object, plain.fire_xla),
    ("pack", object, plain.pack_xla),
    ("ring_exchange", object, plain.ring_exchange_xla),
    ("draw_counts", object, plain.draw_counts_xla),
    ("collect", object, plain.collect_xla),
    ("remember", object, plain.remember_xla),
    ("enqueue", JITConnectivity, drawn.enqueue_drawn),
    ("arrive", Compressed, plain.arrive_xla),
    ("deposit", object, plain.deposit_xla),
    ("deposit", JITConnectivity, plain.deposit_drawn),
    ("strengthen", Dense, plain.strengthen_dense),
    ("strengthen", Compressed, plain.strengthen_lines),
    ("release", object, plain.release_xla),
    ("learn", Compressed, plain.learn_xla),
    ("propagate", Dense, stored.propagate_dense),
    ("correlate", Dense, stored.correlate_dense),
):
    kernel(_operation, _class)(_run)


@kernel("deposit", Compressed)
def deposit_lines(target, counts, A, mirror, spikes, *, decay, window, path):
    """From the lines that spiked; into all of them if they are the targets', or if the dense path is asked for by name."""
    if A.major == 1 and path == "event":
        raise BackendError(f'path="event" on {A!r}: its synapses are grouped by target: use format="csr", or path="auto"')
    A = mirror if path == "dense" and mirror is not None else A
    return add_arriving(target, A, spikes, decay, window), counts.at[TAKEN.index("gather" if A.major else "event")].add(1)


@kernel("run_steps", object)
def run_steps(layout, model, line, current, keys, when, rows):
    """One launch, of at most one program a multiprocessor: they wait for each other, and one finds room there whatever it needs."""
    count, shared = layout.n // layout.block, layout.shared
    cores = getattr(jax.devices()[0], "core_count", 1)
    programs = 1 if INTERPRETED else cores if shared else min(count, cores)
    width, room = model.par.shape[1], blocks(count, programs) * layout.block
    states = [line.V, line.wait, line.spiked, line.G, line.history, line.ring]
    outs = [jax.ShapeDtypeStruct(state.shape, state.dtype) for state in states]
    listed = (2 + (layout.drawn > 0)) * (layout.n if shared else programs * room)
    outs += [jax.ShapeDtypeStruct(shape, np.int32) for shape in ((listed,), (max(1, rows), layout.n // 32), (2,))]
    outs += [jax.ShapeDtypeStruct((max(1, (layout.channels + layout.jumps) * layout.n * (layout.drives > 0)),), np.float32)]
    synapses = model.starts, model.middles, model.targets, model.weights, model.delays
    inputs = model.drives_of, model.drives, model.drive_weights, model.tables, model.table_rows, keys
    drawn = model.drawn, model.factors, model.gaps, model.basis
    operands = *states, current, model.par, model.kinds, model.ends, *synapses, *inputs, *drawn, when
    length = power_of_two(layout.most, PART[layout.block] if shared else 128)
    numbers = layout.n, count, layout.slots, layout.kept, width, room, blocks(layout.mean, length), programs
    *states, _, bits, _, _ = call(
        many_steps,
        outs,
        *operands,
        *numbers,
        programs=programs,
        aliases={i: i for i in range(len(states))},
        zeroed=(8,),
        warps=WARPS[layout.block] * (1 if count <= programs else 2),
        S=layout.channels,
        JUMPS=int(layout.jumps),
        DELAYS=layout.delays,
        HISTORY=layout.history,
        DUE=layout.due,
        SHARED=shared,
        ONE=count <= programs,
        RECORDED=rows > 0,
        DRIVES=layout.drives,
        ALL=layout.all_drives,
        DRAWN=layout.drawn,
        WEIGHTS=layout.drawn_weights,
        NB=power_of_two(layout.words, MOST_WORDS),
        B=layout.block,
        R=max(1, TILE // length),
        T=length,
    )
    return Line(*states), bits


@kernel("list_spikes", object)
def list_spikes(words, starts, rows, capacity):
    """Programs share out the runs of words."""
    out, programs = [jax.ShapeDtypeStruct((capacity,), np.int32)], 1 if INTERPRETED else min(starts.size, LISTING)
    operands = words, starts, rows, words.shape[1], capacity, programs
    return call(list_bits, out, *operands, programs=programs, zeroed=(0,), W=LISTED_WORDS)[0]
