"""What a kernel that runs many steps is given of a network (`core/launch.py`): its synapses, Poisson inputs and parameters as tables."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from ..core import law
from ..core.launch import MOST_DELAY, OF_DRAWN, OF_DRIVE, WEIGHT_BITS, Layout, Model, block_size
from ..formats.compressed import Compressed
from ..formats.jit_connectivity import JITConnectivity
from .drawing import in_threads
from .inputs import PoissonInput, poisson_table
from .population import Population
from .schedule import Schedule

MOST_RING = 4 << 30  # bytes of the deposits under way
MOST_MEAN = 100  # spikes of a Poisson input in a step: a kernel compares with every entry of their table
NOWHERE = -(1 << 30)  # a hole that no line has
KINDS = {None: 0, "uniform": 1, "normal": 2}


class NotServed(Exception):
    """Why a network cannot run so."""


class Rows(NamedTuple):
    """A stored projection: synapses by row, onto the neurons of a channel from one on.

    Args:
      first: the first pre neuron of the line. channel, here: the channel, and the first post neuron.
      indptr, indices, data: as those of CSR, on the host; one weight, or one a synapse.
      delays: steps, one, or one a synapse. due: whether what is under way is due input, and not a history of spikes.
    """

    first: int
    channel: int
    here: int
    indptr: np.ndarray
    indices: np.ndarray
    data: np.ndarray
    delays: Any
    due: bool

    @property
    def lines(self) -> slice:
        return slice(self.first, self.first + self.indptr.size - 1)


class Drawn(NamedTuple):
    """A projection whose rows are drawn: the columns of `Model.drawn` but for the last four; the matrix; a bound of its weights."""

    columns: list[int]
    channel: int
    here: int
    matrix: Any
    bound: float


class Tables:
    """The tables of a network.

    Args:
      schedule: populations, synapses and projections, whose dt is known.
      matrices: a `building.Delivery` of each projection.
      backend: the name of the backend that the kernel is of.

    Attributes:
      block: neurons of a block. n: neurons of the line. offsets: where each population starts, by label.
      channel: of each synapse, by its index: the number among those of its population, None for jumps of V.
      units: float32 (channels + 1, blocks), of the deposits onto each channel.

    Raises:
      NotServed: a model, a parameter, a drive or a matrix that no kernel knows.
    """

    def __init__(self, schedule: Schedule, matrices: list, backend: str):
        self.schedule, self.backend = schedule, backend
        if jnp.result_type(float) != jnp.float32:
            raise NotServed("the network has 64 bits")
        sizes = [population.size for population in schedule.populations]
        self.block = block_size(sizes)
        self.padded = [-(-size // self.block) * self.block for size in sizes]
        self.offsets = dict(zip((p.label for p in schedule.populations), np.cumsum([0, *self.padded]).tolist()))
        self.n = sum(self.padded)
        self.channel = self._channels()
        self.channels = max((1 + c for c in self.channel.values() if c is not None), default=0)
        self.jumps = any(c is None for c in self.channel.values())
        own = [self._row(population) for population in schedule.populations]  # before any work is done
        for projection in schedule.projections:
            self._check(projection)
        parts = [self._part_of(projection, delivery) for projection, delivery in zip(schedule.projections, matrices)]
        rows, drawn = [p for p in parts if isinstance(p, Rows)], [p for p in parts if isinstance(p, Drawn)]
        if sum(part.indices.size for part in rows) >= 1 << 31 or (self.channels + 1) * self.n >= 1 << 31:
            raise NotServed("it has 2^31 synapses or states, or more")
        self.units = self._units(rows, drawn)
        synapses, most, mean = self._merged(rows)
        inputs, drives = self._inputs()
        laws, words = self._laws(drawn)
        longest = max((int(projection.longest_delay(schedule.dt)) for projection in schedule.projections), default=0)
        self.layout = Layout(
            n=self.n,
            block=self.block,
            channels=self.channels,
            jumps=self.jumps,
            delays=longest > 0,
            history=any(p.longest_delay(schedule.dt) and not p.due_later for p in schedule.projections),
            due=bool(schedule.due_keys()),
            slots=1 << (longest + 1).bit_length(),
            kept=1 << longest.bit_length(),
            most=most,
            mean=mean,
            drives=drives,
            all_drives=len(schedule.drives),
            drawn=len(drawn),
            words=words,
            drawn_weights=any(part.matrix.kind for part in drawn),
        )
        if 4 * self.layout.ring > MOST_RING:
            raise NotServed(f"a ring of {self.layout.slots} steps would take {4 * self.layout.ring / 1e9:.3g} GB")
        counts = [size // self.block for size in self.padded]
        kinds = np.repeat(np.arange(len(sizes)), counts).astype(np.int32)
        ends = np.repeat([self.offsets[p.label] + p.size for p in schedule.populations], counts).astype(np.int32)
        self.model = Model(
            par=jnp.asarray(self._parameters(own)), kinds=jnp.asarray(kinds), ends=jnp.asarray(ends), **synapses, **inputs, **laws
        )

    def first_of(self, view) -> int:
        """The place of the first neuron of a view in the line."""
        return self.offsets[view.population.label] + view.start

    def channel_of(self, part) -> int:
        """The channel that a projection or input delivers to; the last one is that of the jumps."""
        channel = self.channel[self.schedule.synapse_of(part)]
        return self.channels if channel is None else channel

    def _channels(self) -> dict[int, int | None]:
        seen: dict[int, int] = {}
        found: dict[int, int | None] = {}
        for index, (population, synapse) in enumerate(self.schedule.synapses):
            if synapse.targets() is None:
                found[index] = None
            else:
                found[index] = seen[id(population)] = seen.get(id(population), -1) + 1
        return found

    def _row(self, population):
        """`(parameters, {channel: parameters})` of a population."""
        mine = [(s, self.channel[i]) for i, (p, s) in enumerate(self.schedule.synapses) if p is population]
        row = population.kernel_row(mine, self.schedule.dt)
        if row is None:
            raise NotServed(f"no kernel knows {population!r} with its parameters and synapses")
        return row

    def _parameters(self, rows):
        """The table `par`."""
        made = []
        for population, (own, by_channel) in zip(self.schedule.populations, rows):
            full = np.zeros((self.channels + 1, 5))
            for c, values in by_channel.items():
                full[c, :4] = values
            full[:, 4] = self.units[:, self.offsets[population.label] // self.block]
            made.append(np.concatenate([own, full.reshape(-1)]))
        return np.asarray(made, np.float32)

    # -- synapses -----------------------------------------------------------------------------------------------------------

    def _check(self, projection):
        if projection.synapse.continuous:
            raise NotServed(f"{projection.name} are gap junctions")
        if projection.plasticity is not None:
            raise NotServed(f"{projection.name} is plastic")
        if (longest := projection.longest_delay(self.schedule.dt)) > MOST_DELAY:
            raise NotServed(f"a delay is {longest} steps, more than {MOST_DELAY}")

    def _part_of(self, projection, delivery) -> Rows | Drawn:
        """A projection as the kernel takes it."""
        matrix = delivery.matrix
        if matrix.backend not in (None, self.backend):
            raise NotServed(f"{projection.name} asks for the backend {matrix.backend!r}")
        by_row = isinstance(matrix, (Compressed, JITConnectivity)) and matrix.major == 0
        if projection.path == "dense" or (projection.path == "event" and not by_row):
            raise NotServed(f'{projection.name} has path="{projection.path}"')
        first, channel, here = self.first_of(projection.pre), self.channel_of(projection), self.first_of(projection.post)
        if isinstance(matrix, JITConnectivity):
            return self._drawn(projection, matrix, first, channel, here)
        delays = np.asarray(delivery.delays.steps) if projection.each_delayed else projection.delay_steps(self.schedule.dt)
        csr: Any = matrix.tocsr()
        indptr, indices, data = np.asarray(csr.indptr), np.asarray(csr.indices), np.asarray(csr.data).reshape(-1)
        if not projection.each_delayed and np.ndim(delays):
            delays = np.repeat(delays.astype(np.uint8), np.diff(indptr))
        return Rows(first, channel, here, indptr, indices, data, delays, projection.due_later)

    def _drawn(self, projection, A, first: int, channel: int, here: int) -> Drawn:
        if not projection.one_delay:
            raise NotServed(f"the synapses of {projection.name} are drawn in each step, with delays that differ")
        if A.major or A.fold is not None or A.dtype != np.float32 or A.precision is not None:
            raise NotServed(f"the synapses of {projection.name} are drawn by column, or with weights that are not plain float32")
        hole = NOWHERE if A.skip is None else A.skip
        chunk = min(law.span(A.prob), 1 << 30)
        columns = [
            first,
            A.shape[0],
            channel * self.n + here,
            A.n_positions,
            chunk,
            A.n_chunks,
            hole,
            projection.delay_steps(self.schedule.dt),
        ]
        numbers = np.abs(np.asarray(A.data, np.float64).reshape(-1))
        bound = numbers[0] + law.LARGEST[A.kind] * numbers[1] if A.kind else numbers[0]
        return Drawn(columns, channel, here, A, float(bound))

    def _units(self, rows: list[Rows], drawn: list[Drawn]):
        """The power of two that the weights onto each channel of each population are multiples of, to 2^-30 of the largest."""
        units = np.ones((self.channels + 1, self.n // self.block), np.float32)
        largest: dict[tuple[int, int], float] = {}
        bounds = [float(np.abs(part.data).max(initial=0.0)) for part in rows] + [part.bound for part in drawn]
        for part, bound in zip((*rows, *drawn), bounds):
            key = part.channel, self._block_of(part.here)
            if not np.isfinite(bound):
                raise NotServed("a weight is not finite")
            largest[key] = max(largest.get(key, 0.0), bound)
        for (channel, block), size in largest.items():
            exponent = np.frexp(size)[1] if size else 0
            units[channel, self._blocks_of(block)] = 2.0 ** (exponent - WEIGHT_BITS)
        return units

    def unit_at(self, channel: int, here: int) -> float:
        """The unit of deposits onto a channel of the population of a neuron."""
        return float(self.units[channel, here // self.block])

    def _merged(self, parts: list[Rows]):
        """All stored projections as one matrix by row, in each row those first that are under way as spikes; its longest row, and the
        mean of those that are not empty.
        """
        parts = sorted(parts, key=lambda part: part.due)
        lengths, middles = np.zeros(self.n, np.int64), np.zeros(self.n, np.int64)
        offsets = []
        for part in parts:
            offsets.append(lengths[part.lines].copy())
            lengths[part.lines] += np.diff(part.indptr)
            if not part.due:
                middles[part.lines] = lengths[part.lines]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        total = int(starts[-1])
        targets, weights, delays = np.zeros(total, np.int32), np.zeros(total, np.int32), np.zeros(total, np.uint8)

        def fill(job):
            part, offset = job
            shift = starts[:-1][part.lines] + offset - part.indptr[:-1]
            place = np.repeat(shift, np.diff(part.indptr)) + np.arange(part.indices.size)
            targets[place] = part.indices.astype(np.int32) + (part.channel * self.n + part.here)
            weights[place] = np.rint(part.data / np.float64(self.unit_at(part.channel, part.here)))
            delays[place] = part.delays

        list(in_threads(fill, zip(parts, offsets)))
        arrays = {"starts": starts.astype(np.int32), "middles": (starts[:-1] + middles).astype(np.int32)}
        arrays |= {"targets": targets, "weights": weights, "delays": delays}
        mean = -(-total // max(1, int(np.count_nonzero(lengths))))
        return {name: jnp.asarray(array) for name, array in arrays.items()}, int(lengths.max(initial=0)), mean

    def _laws(self, parts: list[Drawn]):
        """The tables of what is drawn, and the most random words, in blocks of four, that a chunk is likely to need."""
        drawn, factors = np.zeros((max(1, len(parts)), OF_DRAWN), np.int32), np.zeros((max(1, len(parts)), 3), np.float32)
        gaps, words = [np.asarray([part.matrix.seed for part in parts], np.uint32)], 1
        for q, part in enumerate(parts):
            A, unit = part.matrix, self.unit_at(part.channel, part.here)
            data = np.asarray(A.data, np.float64).reshape(-1)
            amount = 0 if A.kind else int(np.rint(data[0] / unit))
            drawn[q] = [*part.columns, law.table_bits(A.prob), sum(table.size for table in gaps), KINDS[A.kind], amount]
            if A.kind:
                factors[q] = [*data, 1 / unit]
            gaps.append(law.gap_table(A.prob))
            words = max(words, -(-law.likely_words(A.prob, min(law.span(A.prob), A.n_positions)) // 4))
        tables = {"drawn": drawn, "factors": factors, "gaps": np.concatenate([*gaps, np.zeros(1, np.uint32)]), "basis": law.normal_table()}
        return {name: jnp.asarray(array) for name, array in tables.items()}, words

    # -- Poisson inputs -----------------------------------------------------------------------------------------------------

    def _inputs(self):
        """The tables of the Poisson inputs, and how many there are onto one population at most."""
        made, weights, tables, rows = [], [], [], []
        onto: dict[int, list[int]] = {}
        for index, drive in enumerate(self.schedule.drives):
            table, which = self._table_of(drive)
            first = self.first_of(drive.post)
            row = -1 if which is None else sum(part.size for part in rows)
            made.append([self.channel_of(drive), first, first + drive.post.size, table.shape[1], sum(t.size for t in tables), row])
            weights.append(drive.weight)
            tables.append(table)
            rows += [] if which is None else [which]
            onto.setdefault(self._block_of(first), []).append(index)
        most = max(map(len, onto.values()), default=0)
        drives_of = np.full((self.n // self.block, max(1, most)), -1, np.int32)
        for block, indices in onto.items():
            drives_of[self._blocks_of(block), : len(indices)] = indices
        arrays = {
            "drives_of": drives_of,
            "drives": np.asarray(made, np.int32).reshape(-1, OF_DRIVE),
            "drive_weights": np.asarray(weights, np.float32),
            "tables": np.concatenate([t.reshape(-1) for t in tables] or [np.zeros(1, np.uint32)]),
            "table_rows": np.concatenate(rows or [np.zeros(1, np.int32)]).astype(np.int32),
        }
        return {name: jnp.asarray(array if array.size else np.zeros(1, array.dtype)) for name, array in arrays.items()}, most

    def _table_of(self, drive: PoissonInput):
        """`(table, rows)` of the numbers of spikes, and which neuron has which row; None where there is one."""
        if drive.rate_in_kHz.function is not None:
            raise NotServed(f"{drive!r} has a rate that is a function of time")
        try:
            means, rows = drive.means(self.schedule.dt)
        except ValueError as error:  # said again where it is drawn
            raise NotServed(str(error)) from error
        if means.max() > MOST_MEAN:
            raise NotServed(f"{drive!r} is {means.max():.3g} spikes a step, more than {MOST_MEAN}")
        return poisson_table(means[:, None]), rows

    # -- places -------------------------------------------------------------------------------------------------------------

    def _block_of(self, neuron: int) -> int:
        """The first block of the population of a neuron."""
        return max(offset for offset in self.offsets.values() if offset <= neuron) // self.block

    def _blocks_of(self, block: int) -> slice:
        """All blocks of the population that starts at one."""
        later = [offset // self.block for offset in self.offsets.values() if offset // self.block > block]
        return slice(block, min(later, default=self.n // self.block))

    def joined(self, parts, dtype):
        """Arrays of the populations as one line."""
        padded = [jnp.pad(jnp.asarray(part, dtype), (0, -len(part) % self.block)) for part in parts]
        return jnp.concatenate(padded) if padded else jnp.zeros(0, dtype)

    def part(self, array, population: Population):
        """What stands in a line at the neurons of a population."""
        start = self.offsets[population.label]
        return array[..., start : start + population.size]
