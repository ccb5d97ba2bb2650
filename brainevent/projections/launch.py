"""Networks of built-in models as one line of neurons, for a backend that runs many steps in one launch (`core/launch.py`)."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..core.launch import LARGE, MANY, MOST_DELAY, SMALL, WEIGHT_BITS, Layout, Line, Model, kernel_for
from ..core.path_choice import TAKEN
from ..core.table import Choice
from ..core.updates import packed_size
from ..formats.compressed import Compressed
from ..formats.jit_connectivity import JITConnectivity
from .clock import Clock
from .schedule import Schedule

MOST_RING = 4 << 30  # bytes of the deposits under way


class NotServed(Exception):
    """Why a network cannot run so."""


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
        if jnp.result_type(float) != jnp.float32:
            raise NotServed("the network has 64 bits")
        if schedule.drives:
            raise NotServed(f"{schedule.drives[0]!r} is drawn in each step")
        sizes = [population.size for population in schedule.populations]
        self.block = block = LARGE if sum(sizes) > MANY else SMALL
        padded = [-(-size // block) * block for size in sizes]
        self.offsets = dict(zip((p.label for p in schedule.populations), np.cumsum([0, *padded]).tolist()))
        self.n = sum(padded)
        self.channel = self._channels()
        channels = max((1 + c for c in self.channel.values() if c is not None), default=0)
        jumps = any(c is None for c in self.channel.values())
        rows = list(zip(schedule.projections, matrices))
        for projection in schedule.projections:
            if projection.synapse.continuous:
                raise NotServed(f"{projection.name} are gap junctions")
            if projection.plasticity is not None:
                raise NotServed(f"{projection.name} is plastic")
            if not projection.one_delay:
                raise NotServed(f"{projection.name} has delays that differ")
        steps = [p.delay_steps(schedule.dt) for p in schedule.projections]
        if max(steps, default=0) > MOST_DELAY:
            raise NotServed(f"a delay is {max(steps)} steps, more than {MOST_DELAY}")
        units = np.ones((channels + 1, self.n // block), np.float32)
        synapses, most = self._merged(rows, steps, channels, units)
        longest = max(steps, default=0)
        self.layout = Layout(
            n=self.n,
            block=block,
            channels=channels,
            jumps=jumps,
            delays=longest > 0,
            slots=1 << (longest + 1).bit_length(),
            kept=1 << longest.bit_length(),
            most=most,
        )
        if 4 * self.layout.ring > MOST_RING:
            raise NotServed(f"a ring of {self.layout.slots} steps would take {4 * self.layout.ring / 1e9:.3g} GB")
        counts = [size // block for size in padded]
        kinds = np.repeat(np.arange(len(sizes)), counts)
        ends = np.repeat([self.offsets[p.label] + p.size for p in schedule.populations], counts)
        tables = self._parameters(channels, units), kinds.astype(np.int32), ends.astype(np.int32)
        self.model = Model(*map(jnp.asarray, tables), *synapses)

    def _channels(self) -> dict[int, int | None]:
        """The channel of each synapse, by its index: the number among those of its population, None for jumps of V."""
        seen: dict[int, int] = {}
        found: dict[int, int | None] = {}
        for index, (population, synapse) in enumerate(self.schedule.synapses):
            if synapse.targets() is None:
                found[index] = None
            else:
                found[index] = seen[id(population)] = seen.get(id(population), -1) + 1
        return found

    def _parameters(self, channels, units):
        """The table `par`."""
        made = []
        for population in self.schedule.populations:
            mine = [(s, self.channel[i]) for i, (p, s) in enumerate(self.schedule.synapses) if p is population]
            row = population.kernel_row(mine, self.schedule.dt)
            if row is None:
                raise NotServed(f"no kernel knows {population!r} with its parameters and synapses")
            own, by_channel = row
            full = np.zeros((channels + 1, 5))
            for c, values in by_channel.items():
                full[c, :4] = values
            full[:, 4] = units[:, self.offsets[population.label] // self.block]
            made.append(np.concatenate([own, full.reshape(-1)]))
        return np.asarray(made, np.float32)

    def _merged(self, rows, steps, channels, units):
        """All projections as one matrix by row: `(starts, targets, weights, delays)` and the length of the longest row."""
        parts, lengths = [], np.zeros(self.n, np.int64)
        for (projection, (matrix, *_)), delay in zip(rows, steps):
            if isinstance(matrix, JITConnectivity):
                raise NotServed(f"the synapses of {projection.name} are drawn in each step, not stored")
            if matrix.backend not in (None, self.backend):
                raise NotServed(f"{projection.name} asks for the backend {matrix.backend!r}")
            by_row = isinstance(matrix, Compressed) and matrix.major == 0
            if projection.path == "dense" or (projection.path == "event" and not by_row):
                raise NotServed(f'{projection.name} has path="{projection.path}"')
            csr: Any = matrix.tocsr()
            indptr, indices, data = np.asarray(csr.indptr), np.asarray(csr.indices), np.asarray(csr.data, np.float64).reshape(-1)
            channel = self.channel[self.schedule.synapse_of(projection)]
            channel = channels if channel is None else channel
            first, here = self._first(projection.pre), self._first(projection.post)
            lengths[first : first + csr.shape[0]] += np.diff(indptr)
            parts.append((first, channel, here, indptr, indices, data, delay))
        if lengths.sum() >= 1 << 31 or (channels + 1) * self.n >= 1 << 31:
            raise NotServed("it has 2^31 synapses or states, or more")
        self._find_units(parts, units)
        starts = np.concatenate([[0], np.cumsum(lengths)])
        filled, total = starts[:-1].copy(), int(starts[-1])
        targets, weights, delays = np.zeros(total, np.int32), np.zeros(total, np.int32), np.zeros(total, np.uint8)
        for first, channel, here, indptr, indices, data, delay in parts:
            lines, counts = slice(first, first + indptr.size - 1), np.diff(indptr)
            place = np.repeat(filled[lines] - indptr[:-1], counts) + np.arange(indices.size)
            targets[place] = channel * self.n + here + indices
            weights[place] = np.rint(data / units[channel, here // self.block])
            delays[place] = delay
            filled[lines] += counts
        return [jnp.asarray(array) for array in (starts.astype(np.int32), targets, weights, delays)], int(lengths.max(initial=0))

    def _find_units(self, parts, units):
        """The power of two that the weights onto each channel of each population are multiples of, to 2^-30 of the largest."""
        largest: dict[tuple[int, int], float] = {}
        for _, channel, here, _, _, data, _ in parts:
            key = channel, self._block_of(here)
            if not np.isfinite(data).all():
                raise NotServed("a weight is not finite")
            largest[key] = max(largest.get(key, 0.0), float(np.abs(data).max(initial=0.0)))
        for (channel, block), size in largest.items():
            exponent = np.frexp(size)[1] if size else 0
            units[channel, self._blocks_of(block)] = 2.0 ** (exponent - WEIGHT_BITS)

    def _block_of(self, neuron: int) -> int:
        """The first block of the population of a neuron."""
        return max(offset for offset in self.offsets.values() if offset <= neuron) // self.block

    def _blocks_of(self, block: int) -> slice:
        """All blocks of the population that starts at one."""
        later = [offset // self.block for offset in self.offsets.values() if offset // self.block > block]
        return slice(block, min(later, default=self.n // self.block))

    def _first(self, view) -> int:
        return self.offsets[view.population.label] + view.start

    # -- states -------------------------------------------------------------------------------------------------------------

    def _joined(self, parts, dtype):
        """Arrays of the populations as one line."""
        padded = [jnp.pad(jnp.asarray(part, dtype), (0, -len(part) % self.block)) for part in parts]
        return jnp.concatenate(padded) if padded else jnp.zeros(0, dtype)

    def _part(self, array, population):
        start = self.offsets[population.label]
        return array[..., start : start + population.size]

    def enter(self, tree, place) -> Line:
        """The states of a network before the step whose number is `place`, modulo 2^32."""
        states = [tree["populations"][p.label] for p in self.schedule.populations]
        G = jnp.zeros((max(1, self.layout.channels), self.n), jnp.float32)
        for index, (population, synapse) in enumerate(self.schedule.synapses):
            if self.channel[index] is not None:
                start = self.offsets[population.label]
                G = G.at[self.channel[index], start : start + population.size].set(tree["kept"][f"synapse{index}.{synapse.targets()}"])
        history = jnp.zeros((self.layout.kept, self.n // 32), jnp.int32)
        for population, key, slots in self._rings(tree):
            words = jax.lax.bitcast_convert_type(tree["kept"][key].reshape(slots, -1, 4), jnp.int32)
            steps, start = place - jnp.arange(1, slots), self.offsets[population.label] // 32
            at = steps & (self.layout.kept - 1), slice(start, start + words.shape[1])
            history = history.at[at].set(words[steps & (slots - 1)])
        V, wait, spiked = (
            self._joined([s[n] for s in states], d) for n, d in (("V", "float32"), ("refractory", "int32"), ("spikes", "int8"))
        )
        return Line(V, wait, spiked, G, history, jnp.zeros(self.layout.ring, jnp.int32))

    def _rings(self, tree):
        """`(population, key, slots)` of the rings of spikes under way."""
        for population in self.schedule.populations:
            key = f"ring.{population.label}"
            if key in tree["kept"]:
                yield population, key, tree["kept"][key].shape[0]

    def populations(self, line: Line) -> dict:
        """The states of the populations, by label and name."""
        return {
            p.label: {"V": self._part(line.V, p), "refractory": self._part(line.wait, p), "spikes": self._part(line.spiked, p) != 0}
            for p in self.schedule.populations
        }

    def leave(self, line: Line, tree, place, n) -> dict:
        """The tree of the network after n steps, before the step `place`."""
        kept = dict(tree["kept"])
        for index, (population, synapse) in enumerate(self.schedule.synapses):
            if self.channel[index] is not None:
                kept[f"synapse{index}.{synapse.targets()}"] = self._part(line.G[self.channel[index]], population)
        for population, key, slots in self._rings(tree):
            steps, start = place - jnp.arange(1, slots + 1), self.offsets[population.label] // 32
            words = line.history[steps & (self.layout.kept - 1), start : start + packed_size(population.size) // 4]
            kept[key] = kept[key].at[steps & (slots - 1)].set(_bytes(words))
        for index in range(len(self.schedule.projections)):
            kept[f"paths{index}"] = kept[f"paths{index}"].at[TAKEN.index("event")].add(n)
        return {"populations": self.populations(line), "kept": kept}

    # -- loops --------------------------------------------------------------------------------------------------------------

    def current(self, external, values, clock):
        """The external current into every neuron, float32 (n,)."""
        parts = []
        for population in self.schedule.populations:
            current, _ = external.current(population, values["inputs"], clock, {})
            parts.append(jnp.broadcast_to(jnp.asarray(0.0 if current is None else current, jnp.float32), (population.size,)))
        return self._joined(parts, jnp.float32)

    def loop(self, external, recorder):
        """As `running.loop_for` makes one: in one launch if nothing but spikes is recorded and no current is a function of time."""
        at_once = not external.functions and recorder.bits is not None

        @functools.partial(jax.jit, donate_argnums=(0, 1))
        def loop(tree, buffers, model, values, start, root, n):
            place = jax.lax.bitcast_convert_type(start[1], jnp.int32)
            line = self.enter(tree, place)
            n = jnp.asarray(n, jnp.int32)
            if at_once:
                when, clock = jnp.stack([place, n, jnp.int32(1)]), Clock((start[0], start[1]), self.schedule.dt, root)
                line, bits = self.run(
                    self.layout,
                    model,
                    line,
                    self.current(external, values, clock),
                    when,
                    recorder.rows,
                )
                buffers = {key: self._recorded(bits, population) for key, population in (recorder.bits or {}).items()}
            else:

                def body(row, carry):
                    line, buffers = carry
                    clock = Clock((start[0], start[1] + row.astype(start.dtype)), self.schedule.dt, root)
                    current = self.current(external, values, clock)
                    when = jnp.stack([clock.place, jnp.int32(1), (row == 0).astype(jnp.int32)])
                    line, _ = self.run(self.layout, model, line, current, when, 1)
                    return line, recorder.write(buffers, row, {"populations": self.populations(line)})

                line, buffers = jax.lax.fori_loop(0, n, body, (line, buffers))
            return self.leave(line, tree, place + n, n), buffers, n

        return loop

    def _recorded(self, bits, population):
        start = self.offsets[population.label] // 32
        return _bytes(bits[:, start : start + packed_size(population.size) // 4])


def _bytes(words):
    """Words of 32 spikes as bytes of eight."""
    return jax.lax.bitcast_convert_type(words, jnp.uint8).reshape(words.shape[0], -1)


def launches(schedule: Schedule, matrices: list, backend: str | None):
    """`(Launches, why)`, or None and why not."""
    choice, why = kernel_for(backend)
    if choice is None:
        return None, why
    try:
        return Launches(choice, schedule, matrices), why
    except NotServed as error:
        return None, str(error)
