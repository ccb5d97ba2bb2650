"""`JITConnectivity`, the base of the just-in-time formats: a matrix that a seed denotes, drawn anew while it is multiplied.

Every pair is connected with probability `prob`, independently. `core/law.py` has the law, `jitc.py` the formats, one a kind of weights.
"""

import functools
from numbers import Integral
from typing import ClassVar

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np

from ..arrays import as_weights, is_concrete, numbers
from ..connectivity import Connectivity, check_entries, check_format, check_places, check_shape
from ..core import law, table
from ..events import EventArray
from .compressed import width_of_ids
from .csr import CSC, CSR


class JITConnectivity(Connectivity):
    """The abstract base: a seed, a probability, and weights `a + b * n / 2^e` of which `data` is the pair (a, b), or a alone.

    Lines are the rows of an R format and the columns of a C format, unless `corder` says otherwise: a product with events on the
    lines costs those that spiked.
    """

    parts: ClassVar = ("data", "seed", "fold")
    flags: ClassVar = (*Connectivity.flags, "prob", "major", "skip_diagonal", "precision")
    kind: ClassVar[str | None] = None  # of weights, as `law.weigh` names them; None: one weight for all
    arguments: ClassVar[tuple[str, ...]]  # what the constructor takes before the probability and the seed
    native: ClassVar[int]  # the axis of the lines if `corder` is None
    mirror: ClassVar[type["JITConnectivity"]]
    seed: jax.Array  # uint32
    fold: jax.Array | None  # (a, b) of the matrix whose signs the weights are multiplied by; abs makes it
    prob: float
    major: int  # 0: a row is a line, 1: a column is
    skip_diagonal: int | None

    def __init__(self, *parts, shape, corder: bool | None = None, skip_diagonal: int | None = None, backend: str | None = None):
        parts = list(parts[0] if len(parts) == 1 and isinstance(parts[0], (tuple, list)) else parts)
        name, wanted = type(self).__name__, (*self.arguments, "prob", "seed")
        if len(parts) != len(wanted):
            raise TypeError(f"{name} takes ({', '.join(wanted)}), {len(wanted)} values, got {len(parts)}")
        *parameters, prob, seed = parts
        if corder is not None and not isinstance(corder, (bool, np.bool_)):
            raise TypeError(f"{name}: corder is {corder!r}, expected None, True (a column is drawn at a time) or False (a row)")
        if skip_diagonal is not None and (isinstance(skip_diagonal, bool) or not isinstance(skip_diagonal, (int, np.integer))):
            raise TypeError(f"{name}: skip_diagonal is {skip_diagonal!r}, expected the offset of a diagonal, an integer, or None")
        if abs(skip_diagonal or 0) >= 1 << 31:
            raise ValueError(f"{name}: skip_diagonal is {skip_diagonal}, expected an offset of 32 bits")
        self._set(
            shape=check_shape(shape, name),
            backend=table.check_backend(backend),
            prob=_as_probability(prob, name),
            seed=_as_seed(seed, name),
            major=self.native if corder is None else int(corder),
            skip_diagonal=None if skip_diagonal is None else int(skip_diagonal),
            precision=None,
            fold=None,
        )
        if max(self.shape) >= 1 << 31:
            raise ValueError(f"{name}: shape is {self.shape}, expected sizes below 2^31: positions are 32 bits wide")
        self._set(data=self._combined(*parameters))
        self._check_finite()

    @classmethod
    def _combined(cls, *parameters):
        """`data` of checked parameters."""
        raise NotImplementedError

    # -- the law's view -----------------------------------------------------------------------------------------------------

    @property
    def corder(self) -> bool:
        """Whether a column is drawn at a time."""
        return bool(self.major)

    @property
    def n_lines(self) -> int:
        """The number of lines."""
        return self.shape[self.major]

    @property
    def n_positions(self) -> int:
        """The positions of a line."""
        return self.shape[1 - self.major]

    @property
    def n_chunks(self) -> int:
        """The chunks of a line."""
        return law.chunks(self.prob, self.n_positions)

    @property
    def skip(self) -> int | None:
        """What a line adds to its number to get the position that holds no synapse; None if there is no such position."""
        return self.skip_diagonal if self.skip_diagonal is None or self.major == 0 else -self.skip_diagonal

    def _bare(self):
        """The structure alone, with the backend that is asked for."""
        return self.replace(data=None, fold=None, precision=None, backend=table.requested(self))

    # -- what a format provides ---------------------------------------------------------------------------------------------

    @property
    def weights_shape(self):
        return (2,) if self.kind else ()

    def check_shapes(self):
        if self.seed.shape != ():
            raise ValueError(f"{type(self).__name__}: seed has shape {self.seed.shape}, expected ()")

    def _check_weights(self, data):
        shape = u.get_mantissa(data).shape
        if shape != self.weights_shape and not (self.kind is None and shape == (1,)):
            wanted = "a pair (a, b), shape (2,)" if self.kind else "one weight for all, () or (1,)"
            raise ValueError(f"{type(self).__name__}{list(self.shape)}: data of shape {shape}, expected {wanted}; use tocsr() for others")

    def promoted(self, w):
        return self.replace(data=w) if w.dtype == self.dtype else self.replace(data=w, precision=str(self.dtype))

    def check_path(self, path):
        """Drawn line by line, a matrix is delivered from where its lines are."""
        if path == ("event" if self.major else "dense"):
            lines, have = (("sources", "event"), ("targets", "dense"))[self.major]
            raise table.BackendError(
                f'path="{path}" on {self!r}: its lines are the {lines}, so "{have}" is the only path: use path="auto", '
                + ("a matrix drawn by rows (corder=False)" if self.major else 'or format="csr"')
            )

    def transpose(self, axes=None):
        new = object.__new__(self.mirror)
        kept = {name: getattr(self, name) for name in (*self.flags, *self.parts)}
        diagonal = None if self.skip_diagonal is None else -self.skip_diagonal
        new._set(**(kept | {"shape": self.shape[::-1], "major": 1 - self.major, "skip_diagonal": diagonal}))
        return new

    @property
    def nse(self) -> int:
        """The number of synapses, counted by walking all of them; the seed must be known."""
        if not is_concrete(self.seed):
            raise TypeError(f"{self!r}: the number of synapses cannot be counted while the seed is traced")
        return int(self.degrees(self.major).sum())

    def stored(self, nse: int | None = None):
        """The same matrix with its synapses stored: CSR if a row is a line, else CSC; their weights are the same to the bit.

        Args:
          nse: the number of places, needed where the seed is traced and the synapses cannot be counted; spare ones hold weight 0.
            If it is too small, all weights are NaN.

        Takes time and memory in proportion to the synapses.
        """
        nse = check_places(nse, repr(self))
        if nse is None and not is_concrete(self.seed):
            raise TypeError(f"{self!r}: the seed is traced, so the synapses cannot be counted: pass nse=, a number that is large enough")
        nse = 0 if 0 in self.shape else nse  # there is no pair that a spare place could stand at
        if not is_concrete(self.seed):
            return self._assembled(*self._structure(nse))
        with jax.ensure_compile_time_eval():  # known under jit too
            listed = self._structure(nse)
        return self._assembled(*listed)

    def _structure(self, nse: int | None):
        """`(positions, numbers, pointer, total, size)`: the synapses line by line, how many there are, and how many places."""
        if is_concrete(self.seed):
            return self._known_structure(nse)
        assert nse is not None  # `stored` has seen to it
        counts, positions, numbers = _listed(self._bare(), nse)
        starts = jnp.concatenate([jnp.zeros(1, jnp.int32), jnp.cumsum(counts, dtype=jnp.int32)])
        pointer = jnp.minimum(self._pointer(starts), nse).at[-1].set(nse)  # spare places belong to the last line
        return positions, numbers, pointer, starts[-1], nse

    def _known_structure(self, nse: int | None):
        mean = self.prob * self.n_lines * self.n_positions
        if mean > 1.1 * (1 << 31):
            raise ValueError(f"{self!r} has about {mean:.3g} synapses, beyond the 2^31 - 1 that one matrix can store: keep it as it is")
        room = _rounded(int(mean + 6 * mean**0.5) + 1)  # so that matrices of about one size share a compiled program
        counts, *listed = _listed(self._bare(), room)
        starts = np.concatenate([[0], np.cumsum(np.asarray(counts), dtype=np.int64)])
        total = int(starts[-1])
        if total >= 1 << 31:
            raise ValueError(f"{self!r} has {total} synapses, beyond the 2^31 - 1 that one matrix can store: keep it as it is")
        if nse is not None and nse < total:
            raise ValueError(f"{self!r}: nse={nse}, but there are {total} synapses: pass at least that many")
        size = total if nse is None else nse
        if total > room:  # once in a thousand million matrices
            _, *listed = _listed(self._bare(), _rounded(total))
        xp = np if jax.default_backend() == "cpu" else jnp  # they stay on the device that drew them
        positions, numbers = (xp.asarray(array)[:total] for array in listed)
        if size > total:
            positions, numbers = (xp.pad(array, (0, size - total)) for array in (positions, numbers))
        pointer = np.array(self._pointer(starts))
        pointer[-1] = size  # spare places belong to the last line
        return positions, numbers, pointer, total, size

    def _pointer(self, starts):
        """Where each line starts, and the last one ends, given the starts of the chunks."""
        return starts[:: self.n_chunks] if self.n_chunks else jnp.zeros(self.n_lines + 1, jnp.int32)

    def _assembled(self, positions, numbers, pointer, total, size):
        full, cls = is_concrete(total) and size == total, (CSR, CSC)[self.major]
        data = self._weights_of(numbers, None if full else jnp.arange(size), total, size)
        made = cls.of_ascending if full else cls
        return made(data, positions, pointer, shape=self.shape, backend=self.backend)

    def _weights_of(self, numbers, places, total, size):
        """One weight a synapse (or one for all); `places` are the numbers of the synapses where some may be spare."""
        mantissa, unit = u.split_mantissa_unit(self.data)
        if self.kind:
            fold = None if self.fold is None else tuple(self.fold)
            mantissa = _weighed(mantissa[0], mantissa[1], numbers, fold, self.kind)
        if places is not None:
            mantissa = jnp.where(places < total, mantissa.reshape(-1), 0)
            mantissa = jnp.where(total <= size, mantissa, jnp.nan)
        return u.maybe_decimal(u.Quantity(mantissa, unit=unit))

    def to(self, cls, *, nse: int | None = None):
        """The same matrix in another format, as `A.to(be.COO)`; `nse` as for `stored`."""
        check_format(cls, self)
        if type(self) is cls:
            return self
        stored = self.stored(nse)
        regrouped = is_concrete(stored.indptr, stored.indices) and cls in (CSR, CSC) and type(stored) is not cls
        return stored.regrouped() if regrouped else stored.to(cls)

    def tocoo(self, *, nse: int | None = None):
        return self.to(Connectivity.formats["COO"], nse=nse)

    def tocsr(self, *, nse: int | None = None) -> CSR:
        """The same matrix as `CSR`; `nse` as for `stored`."""
        return self.to(CSR, nse=nse)  # pyright: ignore[reportReturnType]

    def tocsc(self, *, nse: int | None = None):
        return self.to(CSC, nse=nse)

    def _traceable(self):
        """The synapses stored, with a place for every pair where their number is not known."""
        return self.stored(None if is_concrete(self.seed) else self.n_lines * self.n_positions)

    def todense(self):
        check_entries(self.shape, self.dtype)
        return self._traceable().todense()

    def coordinates(self):
        return self.stored().coordinates()

    def homogeneous(self, weight):
        """The same structure with one weight for all synapses, of the class `JITCHomoR` or `JITCHomoC`."""
        new = object.__new__(Connectivity.formats["JITCHomoC" if self.native else "JITCHomoR"])
        kept = {name: getattr(self, name) for name in (*self.flags, *self.parts)}
        new._set(**(kept | {"data": as_weights(weight, f"{self!r}: weight"), "fold": None, "precision": None}))
        new._check_weights(new.data)
        return new

    def degrees(self, axis):
        total, other = np.zeros(self.shape[axis], np.int64), np.arange(self.shape[1 - axis])
        with jax.ensure_compile_time_eval():
            ones = self.homogeneous(jnp.float32(1))
            for start in range(0, other.size, 1 << 24):  # so many ones are counted exactly in float32
                some = EventArray((other >= start) & (other < start + (1 << 24)))
                total += np.asarray(some @ ones if axis else ones @ some).astype(np.int64)
        return total

    def stored_nbytes(self, nse):
        weights = nse if self.kind else 1
        return self.dtype.itemsize * weights + width_of_ids(self.shape[1 - self.major]) * nse + 4 * (self.n_lines + 1)

    def per_synapse(self):
        return self.stored().per_synapse()

    def toscipy(self):
        return self.stored().toscipy()

    def _weigh_ends(self, y, w, *, transpose):
        if w is not None and self.kind and np.shape(u.get_mantissa(w)) == self.weights_shape:
            return self.with_data(w)._weigh_ends(y, None, transpose=transpose)  # other parameters
        return self.stored()._weigh_ends(y, w, transpose=transpose)

    @classmethod
    def from_coordinates(cls, data, row, col, *, shape, backend=None):
        raise TypeError(f"{cls.__name__} is drawn from a seed and holds no given matrix: use CSR, COO or another stored format")

    # -- arithmetic ---------------------------------------------------------------------------------------------------------

    def shifted(self, value):
        if not self.kind:
            return self.with_data(self.data + value)
        if self.fold is not None:
            raise TypeError(f"abs(...) + {value} of {type(self).__name__}: the sum is not of that format: use tocsr() first")
        return self.with_data(u.math.stack([self.data[0] + value, self.data[1]]))

    def __abs__(self):
        """The matrix of absolute values: its weights are those of this one with the sign taken off, whatever the parameters."""
        if not self.kind:
            return self.with_data(abs(self.data))
        return self.replace(fold=jax.lax.stop_gradient(u.get_mantissa(self.data)))

    def __repr__(self):
        dtype, leaf = "structure", jax.tree.leaves(self.data)
        dtype = getattr(leaf[0], "dtype", "?") if leaf else dtype
        unit = f" in {self.unit}" if leaf and hasattr(leaf[0], "shape") and not self.unit.is_unitless else ""
        known = isinstance(self.seed, (jax.Array, np.ndarray)) and is_concrete(self.seed) and self.seed.ndim == 0
        seed = f", seed={int(self.seed)}" if known else ""
        extra = f", corder={self.corder}" if self.major != self.native else ""
        extra += f", skip_diagonal={self.skip_diagonal}" if self.skip_diagonal is not None else ""
        extra += f", backend={self.backend!r}" if self.backend else ""
        return f"{type(self).__name__}({dtype}{list(self.shape)}{unit}, prob={self.prob:g}{seed}{extra})"


@functools.partial(jax.jit, static_argnames="room")
def _listed(bare, room: int):
    """Synapses of every chunk, and position and n of as many as there is room for."""
    return table.choose("list", type(bare), table.current_platform(), bare.backend, jnp.float32).run(bare, room)


_weighed = jax.jit(law.weigh, static_argnums=4)


def _rounded(size: int) -> int:
    """A size up to an eighth larger, of which there are few."""
    step = max(64, 1 << max(0, size.bit_length() - 4))
    return -(-size // step) * step


def _as_probability(prob, name: str) -> float:
    if not is_concrete(prob):
        raise TypeError(f"{name}: prob is traced, expected a number: its tables are made when the matrix is built, so make it static")
    number, unit = numbers(prob, f"{name}: prob")
    if number.shape not in ((), (1,)) or number.dtype == bool or not unit.is_unitless:
        raise TypeError(f"{name}: prob is {prob!r}, expected one plain number in [0, 1]")
    number = float(number.reshape(()))
    if not 0 <= number <= 1:
        raise ValueError(f"{name}: prob is {number}, expected a probability in [0, 1]")
    return number


def _as_seed(seed, name: str):
    """A seed as uint32: integers from -2^31 to 2^32 - 1, modulo 2^32, so that signed and unsigned words of the same bits are one seed."""
    if isinstance(seed, (Integral, np.ndarray)) and not isinstance(seed, bool) and not np.ma.is_masked(seed):
        value = np.asarray(seed)
    elif isinstance(seed, jax.Array):
        value = np.asarray(seed) if is_concrete(seed) else seed
    else:
        raise TypeError(f"{name}: seed is {seed!r}, expected an integer")
    if not (jnp.issubdtype(value.dtype, jnp.integer) or value.dtype == object) or value.shape not in ((), (1,)):
        raise TypeError(f"{name}: seed has dtype {value.dtype} and shape {value.shape}, expected one integer")
    if isinstance(value, jax.Array):  # traced: wider words lose their upper bits
        return value.reshape(()).astype(jnp.uint32)
    number = int(value.reshape(()))
    if not -(1 << 31) <= number < 1 << 32:
        raise ValueError(f"{name}: seed is {number}, expected an integer of 32 bits: take it modulo 2**32")
    with jax.ensure_compile_time_eval():  # known under jit too, so that synapses can be counted there
        return jnp.asarray(np.uint32(number % (1 << 32)))
