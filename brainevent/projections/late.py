"""Spikes that are under way when a delay is set: they arrive by the delay that they were sent with.

What static synapses will deliver is known then, and becomes input that is due at their targets. What plastic ones will deliver is not: it
depends on what happens until then. So their spikes are kept, under `late{projection}.{k}`, k counting the changes whose spikes are still
under way: as bits, one row for each step in which they arrive; or, where weights learn and every synapse has a delay of its own, one row
for each step in which they were sent, with the delays of that time in `late{projection}.{k}.steps` if these have changed.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np

from .. import EventArray
from ..core.spikes import ring_exchange
from ..core.updates import Arrivals, Delays


def under_way(schedule, kept: dict, matrices: list, changing, step: int) -> dict:
    """What the spikes that are under way before a step, of the population whose projection is to have another delay, will do yet; and the
    ring that they were read back from, empty.

    Args:
      kept: the network's own states. matrices: as for `Schedule.advance`.
    """
    population = changing.pre.population
    key = f"ring.{population.label}"
    if key not in kept:
        return {}
    slots = kept[key].shape[0]
    bits = np.unpackbits(np.asarray(kept[key]), axis=1, count=population.size, bitorder="little").astype(bool)
    made: dict[str, Any] = {key: jnp.zeros_like(kept[key])}
    for projection in schedule.read_back(population):
        pre, longest = projection.pre, projection.longest_delay(schedule.dt)
        recent = bits[(step - 1 - np.arange(longest)) % slots, pre.start : pre.stop]
        if not recent.any():
            continue
        if projection.plasticity is not None and projection.each_delayed:
            name = _free(schedule, projection, kept)
            made[name] = jnp.array(kept[key])  # a state of its own, which a step may overwrite
            if projection is changing:
                made[f"{name}.steps"] = jnp.array(projection.delays.steps)
            continue
        steps = np.broadcast_to(projection.delay_steps(schedule.dt), pre.size)
        ids = np.arange(pre.start, pre.stop)
        arriving = [bits[(step + ahead - steps) % slots, ids] & (steps > ahead) for ahead in range(longest)]
        if projection.plasticity is not None:
            made[_free(schedule, projection, kept)] = _rows(arriving, kept[key].shape, pre, step)
        else:
            made |= _deposited(schedule, kept | made, matrices, projection, arriving, step)
    return made


def late_keys(schedule, projection, kept: dict) -> list[str]:
    """The keys of the spikes of a projection that are under way by earlier delays, the earliest first."""
    prefix = f"late{schedule.projections.index(projection)}."
    found = {key for key in kept if key.startswith(prefix) and not key.endswith(".steps")}
    return sorted(found, key=lambda key: int(key.removeprefix(prefix)))


def late_delays(schedule, projection, kept: dict) -> list[str]:
    """The keys of the delays that synapses had before, in steps, as they are stored."""
    return [f"{name}.steps" for name in late_keys(schedule, projection, kept) if f"{name}.steps" in kept]


def arrived_keys(kept: dict) -> list[str]:
    """The keys of what is under way no more."""
    empty = [key for key, value in kept.items() if key.startswith("late") and not key.endswith(".steps") and not np.asarray(value).any()]
    return [key for name in empty for key in (name, f"{name}.steps") if key in kept]


def take_late(schedule, projection, kept: dict, delays, place) -> list:
    """The spikes that arrive in a step by earlier delays, the earliest first, out of `kept`: bool (population,), or `Arrivals`.

    Args:
      delays: those of the synapses now, where each has its own.
    """
    found: list = []
    for name in late_keys(schedule, projection, kept):
        pre, ring = projection.pre, kept[name]
        none = jnp.zeros(pre.population.size, bool)
        each = projection.learns and projection.each_delayed
        kept[name], rows = ring_exchange(ring, place, none, (0 if each else ring.shape[0] - 1,))
        if each:
            steps = kept.get(f"{name}.steps")
            sent_by = delays if steps is None else Delays(steps, None)
            found.append(Arrivals(none[pre.start : pre.stop], sent_by, kept[name], pre.start, place))
        else:
            found.append(rows[0])
    return found


def moved_ring(ring, slots: int, step: int):
    """A ring of what is due from a step on, in more slots (a power of two)."""
    there = step + np.arange(ring.shape[0])
    return jnp.zeros((slots, *ring.shape[1:]), ring.dtype).at[there % slots].set(ring[there % ring.shape[0]])


def _free(schedule, projection, kept: dict) -> str:
    """A key for spikes of a projection that are under way, after those that there are."""
    there = late_keys(schedule, projection, kept)
    number = 1 + int(there[-1].rpartition(".")[2]) if there else 0
    return f"late{schedule.projections.index(projection)}.{number}"


def _rows(arriving: list, shape, pre, step: int):
    """Spikes as bits, those that arrive in a step one slot after it: a ring is read there in the step that empties its slot."""
    rows = np.zeros(shape, np.uint8)
    for ahead, spikes in enumerate(arriving):
        all_of_them = np.zeros(shape[1] * 8, bool)
        all_of_them[pre.start : pre.stop] = spikes
        rows[(step + ahead + 1) % shape[0]] = np.packbits(all_of_them, bitorder="little")
    return jnp.asarray(rows)


def _deposited(schedule, kept: dict, matrices: list, projection, arriving: list, step: int) -> dict:
    """The ring of due input with what static synapses will deliver of the spikes of so many steps."""
    post, key = projection.post, schedule.due_key(projection)
    matrix = matrices[schedule.projections.index(projection)].matrix
    wide = matrix.replace(data=matrix.data.astype(jnp.result_type(float)))
    slots = 1 << len(arriving).bit_length()
    ring = kept[key] if key in kept else jnp.zeros((slots, post.population.size), jnp.result_type(float))
    ring = moved_ring(ring, max(slots, ring.shape[0]), step)
    for ahead, spikes in enumerate(arriving):
        ring = ring.at[(step + ahead) % ring.shape[0], post.start : post.stop].add(EventArray(spikes) @ wide)
    return {key: ring}
