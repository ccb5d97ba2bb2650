"""Networks of built-in models as one line of neurons, for a backend that runs many steps in one launch (`core/launch.py`)."""

import functools
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np

from ..core.launch import Line, kernel_for
from ..core.spikes import lists_spikes, packed_size
from ..core.table import Choice
from .clock import Clock
from .guards import transfers
from .launch_model import NotServed, Tables
from .record_columns import listed, unpacked
from .schedule import Schedule

RING, PLACE = "launch.ring", "launch.place"  # states of a network: the ring of a launch to the bit, and before which step it stood so


class Launches:
    """A network as a kernel takes it.

    Args:
      choice: the kernel, from `kernel_for`.
      schedule: populations, synapses and projections, whose dt is known.
      matrices: a `building.Delivery` of each projection.

    Raises:
      NotServed: a model, a parameter, a drive or a matrix that no kernel knows.
    """

    def __init__(self, choice: Choice, schedule: Schedule, matrices: list):
        self.run, self.backend, self.schedule = choice.run, choice.backend, schedule
        self.tables = Tables(schedule, matrices, choice.backend)
        self.layout, self.model = self.tables.layout, self.tables.model

    def states(self) -> dict:
        """States that a network must hold to be run so, beside its own, at the start.

        Input that is due is floats in the network, and whole numbers in the ring of a launch, which hold more bits. So that it does not
        matter where one launch ends and the next begins, the ring is kept as it was; its place tells whether anything came between.
        """
        return {RING: jnp.zeros(self.layout.ring, jnp.int32), PLACE: jnp.zeros(2, jnp.int32)} if self.layout.due else {}

    # -- states -------------------------------------------------------------------------------------------------------------

    def enter(self, tree, place) -> Line:
        """The states of a network before the step whose number is `place`, modulo 2^32."""
        tables, kept = self.tables, tree["kept"]
        states = [tree["populations"][p.label] for p in self.schedule.populations]
        G = jnp.zeros((max(1, self.layout.channels), tables.n), jnp.float32)
        for index, (population, synapse) in enumerate(self.schedule.synapses):
            channel = tables.channel[index]
            if channel is not None:
                start = tables.offsets[population.label]
                G = G.at[channel, start : start + population.size].set(kept[f"synapse{index}.{synapse.targets()}"])
        history = jnp.zeros((self.layout.kept, tables.n // 32), jnp.int32)
        for population, key, slots in self._rings(tree):
            words = jax.lax.bitcast_convert_type(kept[key].reshape(slots, -1, 4), jnp.int32)
            steps, start = place - jnp.arange(1, slots), tables.offsets[population.label] // 32
            at = steps & (self.layout.kept - 1), slice(start, start + words.shape[1])
            history = history.at[at].set(words[steps & (slots - 1)])
        V, wait, spiked = (
            tables.joined([s[n] for s in states], d) for n, d in (("V", "float32"), ("refractory", "int32"), ("spikes", "int8"))
        )
        return Line(V, wait, spiked, G, history, self._due_ring(kept, place))

    def _due_ring(self, kept, place):
        """The input that is due: as the last launch left it, if nothing came between, else from the floats of the network."""
        ring = jnp.zeros(self.layout.ring, jnp.int32)
        if not (due := self._due()):
            return ring
        places = ring.reshape(self.layout.slots, -1, self.tables.n, 2)
        for key, channel, population, unit in due:
            steps, start = place + jnp.arange(kept[key].shape[0] - 1), self.tables.offsets[population.label]
            words = _words_of(kept[key][steps & (kept[key].shape[0] - 1)] / unit)
            places = places.at[steps & (self.layout.slots - 1), channel, start : start + population.size].set(words)
        same = (kept[PLACE] == jnp.stack([place, jnp.int32(1)])).all()
        return jnp.where(same, kept[RING], places.reshape(-1))

    def _due(self):
        """`(key, channel, population, unit)` of the rings of due input."""
        parts = {self.schedule.due_key(p): p for p in self.schedule.projections if p.due_later}
        found = [(key, self.tables.channel_of(part), part.post.population) for key, part in parts.items()]
        return [(*entry, self.tables.unit_at(entry[1], self.tables.offsets[entry[2].label])) for entry in found]

    def _rings(self, tree):
        """`(population, key, slots)` of the rings of spikes under way."""
        for population in self.schedule.populations:
            key = f"ring.{population.label}"
            if key in tree["kept"]:
                yield population, key, tree["kept"][key].shape[0]

    def populations(self, line: Line) -> dict:
        """The states of the populations, by label and name."""
        part = self.tables.part
        return {
            p.label: {"V": part(line.V, p), "refractory": part(line.wait, p), "spikes": part(line.spiked, p) != 0}
            for p in self.schedule.populations
        }

    def leave(self, line: Line, tree, place) -> dict:
        """The tree of the network before the step `place`."""
        kept, tables = dict(tree["kept"]), self.tables
        for index, (population, synapse) in enumerate(self.schedule.synapses):
            channel = tables.channel[index]
            if channel is not None:
                kept[f"synapse{index}.{synapse.targets()}"] = tables.part(line.G[channel], population)
        for population, key, slots in self._rings(tree):
            steps, start = place - jnp.arange(1, slots + 1), tables.offsets[population.label] // 32
            words = line.history[steps & (self.layout.kept - 1), start : start + packed_size(population.size) // 4]
            kept[key] = kept[key].at[steps & (slots - 1)].set(_bytes(words))
        for key, channel, population, unit in self._due():
            there, slots, start = (
                line.ring.reshape(self.layout.slots, -1, tables.n, 2),
                kept[key].shape[0],
                tables.offsets[population.label],
            )
            steps = place + jnp.arange(slots - 1)
            floats = unit * _floats_of(there[steps & (self.layout.slots - 1), channel, start : start + population.size])
            kept[key] = jnp.zeros_like(kept[key]).at[steps & (slots - 1)].set(floats)
            kept |= {RING: line.ring, PLACE: jnp.stack([place, jnp.int32(1)])}
        return {"populations": self.populations(line), "kept": kept}

    # -- loops --------------------------------------------------------------------------------------------------------------

    def current(self, external, values, clock):
        """The external current into every neuron, float32 (n,)."""
        parts = []
        for population in self.schedule.populations:
            current, _ = external.current(population, values["inputs"], clock, {})
            parts.append(jnp.broadcast_to(jnp.asarray(0.0 if current is None else current, jnp.float32), (population.size,)))
        return self.tables.joined(parts, jnp.float32)

    def keys(self, start, root, rows):
        """The keys of the Poisson inputs in the steps `start + rows`, uint32 (rows, inputs, 2)."""

        def of_step(row):
            clock = Clock((start[0], start[1] + row.astype(start.dtype)), self.schedule.dt, root)
            return jnp.stack([jax.random.key_data(clock.key(words)) for words in self.schedule.drive_keys])

        return jax.vmap(of_step)(rows) if self.schedule.drives else jnp.zeros((1, 1, 2), jnp.uint32)

    @staticmethod
    def at_once(external, recorder) -> bool:
        """Whether many steps are one launch: if nothing but spikes is recorded, and no current is a function of time."""
        return not external.functions and recorder.bits is not None

    def loop(self, external, recorder):
        """As `running.step_by_step` makes one. Many steps at once leave the states they are given, and return bits."""
        at_once = self.at_once(external, recorder)

        @functools.partial(jax.jit, donate_argnums=() if at_once else (0, 1))
        def loop(tree, buffers, model, values, start, root, n):
            place = jax.lax.bitcast_convert_type(start[1], jnp.int32)
            line, n = self.enter(tree, place), jnp.asarray(n, jnp.int32)
            if at_once:
                clock, keys = Clock((start[0], start[1]), self.schedule.dt, root), self.keys(start, root, jnp.arange(recorder.rows))
                current, when = self.current(external, values, clock), jnp.stack([place, n, jnp.int32(3)])
                line, bits = self.run(self.layout, model, line, current, keys, when, recorder.rows if recorder.bits else 0)
                buffers = _bytes(bits)
            else:

                def body(row, carry):
                    line, buffers = carry
                    clock = Clock((start[0], start[1] + row.astype(start.dtype)), self.schedule.dt, root)
                    current, keys = self.current(external, values, clock), self.keys(start, root, row.reshape(1))
                    todo = jnp.where(row == 0, 1, 0) + jnp.where(row == n - 1, 2, 0)
                    when = jnp.stack([clock.place, jnp.int32(1), todo])
                    line, _ = self.run(self.layout, model, line, current, keys, when, 1)
                    return line, recorder.write(buffers, row, {"populations": self.populations(line)}, {})

                line, buffers = jax.lax.fori_loop(0, n, body, (line, recorder.emptied(buffers)))
            return self.leave(line, tree, place + n), buffers, n

        return loop


class SpikesOfLine:
    """The recorder of a run in launches of many steps: the bits of a line of neurons become the spikes of its populations, all at once.
    The host sorts those of one launch while the device is at the next.

    Args:
      recorder: that of the run. tables: of the network.
    """

    def __init__(self, recorder, tables: Tables):
        self.recorder, self.tables, self.rows, self.take = recorder, tables, recorder.rows, listed if lists_spikes() else unpacked
        self.thread = ThreadPoolExecutor(1)
        self.sorting: list = []

    def buffers(self, first: int = 0):
        """There is nothing to be filled."""
        return ()

    def collect(self, bits, first: int, rows: int):
        """Take what as many steps have recorded."""
        if self.recorder.columns:
            self.sorting.append(self.thread.submit(self._sort, self.take(bits, first, rows)))
        return ()

    def finish(self):
        """Wait until the columns of the recorder have all there is."""
        for sorted_ in self.sorting:
            sorted_.result()
        self.thread.shutdown()

    def _sort(self, spikes):
        """Give each column the spikes of its population, in the order in which they came."""
        with transfers():
            steps, ids = spikes()
        ends = np.cumsum(self.tables.padded)
        if len(ends) > 1:
            whose = np.repeat(
                np.arange(len(ends), dtype=np.min_scalar_type(len(ends))), np.asarray(self.tables.padded) // self.tables.block
            )
            whose = whose[ids >> (self.tables.block.bit_length() - 1)]
            order, counts = np.argsort(whose, kind="stable"), np.bincount(whose, minlength=len(ends))
            steps, ids, starts = steps[order], ids[order], np.concatenate([[0], np.cumsum(counts)])
        else:
            starts = np.array([0, ids.size])
        labels = list(self.tables.offsets)
        for column in self.recorder.columns.values():
            which = labels.index(column.population.label)
            part = slice(starts[which], starts[which + 1])
            column.parts.append((steps[part], ids[part] - np.int32(self.tables.offsets[column.population.label])))


def _bytes(words):
    """Words of 32 spikes as bytes of eight."""
    return jax.lax.bitcast_convert_type(words, jnp.uint8).reshape(words.shape[0], -1)


def _words_of(numbers):
    """The nearest whole numbers of 64 bits, as int32 words, low and high: (..., 2)."""
    size = jnp.round(jnp.abs(numbers))
    high = jnp.floor(size * 2.0**-32)
    low, high = (size - high * 2.0**32).astype(jnp.uint32), high.astype(jnp.uint32)
    return jax.lax.bitcast_convert_type(_signed(low, high, numbers < 0), jnp.int32)


def _floats_of(words):
    """The reverse, float32: words that are taken apart by sign, so that no digits cancel."""
    low, high = (words[..., i].astype(jnp.uint32) for i in (0, 1))
    negative = words[..., 1] < 0
    size = _signed(low, high, negative).astype(jnp.float32)
    return jnp.where(negative, -1.0, 1.0) * (size[..., 1] * 2.0**32 + size[..., 0])


def _signed(low, high, negative):
    """The two's complement of unsigned words where that is asked for: (..., 2)."""
    other = jnp.stack([~low + 1, ~high + (low == 0)], axis=-1)
    return jnp.where(negative[..., None], other, jnp.stack([low, high], axis=-1))


def launches(schedule: Schedule, matrices: list, backend: str | None):
    """`(Launches, why)`, or None and why not."""
    choice, why = kernel_for(backend)
    if choice is None:
        return None, why
    try:
        return Launches(choice, schedule, matrices), why
    except NotServed as error:
        return None, str(error)
