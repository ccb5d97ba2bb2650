"""What the suites of the kernel layer run over: a new format, backend, kind of operand, dtype or shape is one row here."""

import dataclasses
import itertools
import os
from collections.abc import Callable

import brainunit as u
import jax
import jax.numpy as jnp
import law_oracle
import numpy as np
import pytest

import brainevent as be
from brainevent.core import law, table


@dataclasses.dataclass(frozen=True)
class Case:
    """A connectivity and, found without it, the coordinates of its synapses in the order of its weights.

    A stored format has one weight a synapse, a just-in-time one has parameters, and `parameters @ basis` are its weights.
    """

    A: be.Connectivity
    row: np.ndarray
    col: np.ndarray
    basis: np.ndarray | None = None  # None: the identity

    @property
    def n_weights(self):
        """How many numbers `data` is made of."""
        return self.row.size if self.basis is None else len(self.basis)

    def with_weights(self, w):
        """The connectivity with other data, given flat."""
        return self.A.with_data(w.reshape(self.A.weights_shape))

    def pulled_back(self, per_synapse):
        """A gradient with respect to the weight of each synapse, as one with respect to the data."""
        return per_synapse if self.basis is None else self.basis @ per_synapse

    @property
    def data(self):
        """The data of the connectivity, flat, without their unit."""
        return np.asarray(u.get_mantissa(self.A.data)).reshape(-1)

    @property
    def weights(self):
        """The weight of every synapse, without its unit."""
        return self.data if self.basis is None else (self.data @ self.basis).astype(self.A.dtype)

    def scattered(self, w):
        """The matrix of one weight a synapse, by numpy in their dtype."""
        matrix = np.zeros(self.A.shape, np.asarray(w).dtype)
        np.add.at(matrix, (self.row, self.col), w)
        return matrix

    def matrix(self, data):
        """The matrix of flat data, by numpy in their dtype."""
        data = np.asarray(data)
        return self.scattered(data if self.basis is None else (data @ self.basis).astype(data.dtype))


def _lines(rng, n_lines, n_ids, nse):
    """Unsorted ids in lines of any length: one line is empty, ids repeat; `(indptr, indices, line of each synapse)`."""
    nse = nse if n_lines and n_ids else 0
    line = np.sort(rng.integers(min(1, n_lines - 1), n_lines, nse)) if nse else np.zeros(0, int)
    indptr = np.searchsorted(line, np.arange(n_lines + 1))
    return indptr, rng.integers(0, max(n_ids, 1), nse), line


def _coo(rng, shape, nse):
    nse = nse if min(shape) else 0
    row, col = (rng.integers(0, max(n, 1), nse) for n in shape)
    row[1:2], col[1:2] = row[:1], col[:1]  # a pair twice
    return (row, col), row, col


def _csr(rng, shape, nse):
    indptr, indices, line = _lines(rng, *shape, nse)
    return (indices, indptr), line, indices


def _csc(rng, shape, nse):
    indptr, indices, line = _lines(rng, *shape[::-1], nse)
    return (indices, indptr), indices, line


def _fixed(rng, n_lines, n_ids, nse):
    k = nse // max(n_lines, 1) if n_ids else 0
    indices = rng.integers(0, max(n_ids, 1), (n_lines, k))
    indices[:, 1:2] = indices[:, :1]  # an id twice in every line
    return indices, np.repeat(np.arange(n_lines), k)


def _fixed_post(rng, shape, nse):
    indices, line = _fixed(rng, *shape, nse)
    return (indices,), line, indices.reshape(-1)


def _fixed_pre(rng, shape, nse):
    indices, line = _fixed(rng, *shape[::-1], nse)
    return (indices,), indices.reshape(-1), line


def _dense(rng, shape, nse):
    row, col = np.indices(shape).reshape(2, -1)
    return (), row, col


# name: (class, (rng, shape, about how many synapses) -> (structure arrays, row, col))
STORED: dict[str, tuple[type, Callable]] = {
    "Dense": (be.Dense, _dense),
    "COO": (be.COO, _coo),
    "CSR": (be.CSR, _csr),
    "CSC": (be.CSC, _csc),
    "FixedPostNumConn": (be.FixedPostNumConn, _fixed_post),
    "FixedPreNumConn": (be.FixedPreNumConn, _fixed_pre),
}
LISTED = tuple(name for name in STORED if name != "Dense")  # those that hold structure arrays
# name: (class, parameters of the weights)
DRAWN: dict[str, tuple[type, tuple]] = {
    f"JITC{kind}{axis}": (getattr(be, f"JITC{kind}{axis}"), parameters)
    for kind, parameters in {"Homo": (1.5,), "Normal": (0.25, 1.5), "Uniform": (-1.0, 1.5)}.items()
    for axis in "RC"
}
FORMATS = (*STORED, *DRAWN)
HOMOGENEOUS = tuple(name for name in FORMATS if name != "Dense" and (name in STORED or "Homo" in name))  # that take one weight for all
PROB = 0.45  # of the just-in-time formats: no more than NSE of the pairs of MAIN

INTERPRETED = os.environ.get("TRITON_INTERPRET", "0") == "1"  # Triton's interpreter runs its kernels on a CPU
BACKENDS = {"xla": ("cpu", "cuda", "tpu"), "numba": ("cpu",), "triton": ("cuda", "cpu") if INTERPRETED else ("cuda",)}  # name: platforms
OWN_PLATFORM = jax.default_backend().replace("gpu", "cuda")
PLATFORM = os.environ.get("BRAINEVENT_TEST_PLATFORM", OWN_PLATFORM)  # "cuda" on a CPU: what `conftest.pretended` makes of it
HERE = tuple(name for name, platforms in BACKENDS.items() if PLATFORM in platforms and (name != "triton" or table._load(name) is None))

# What depends on the platform is marked here, once, and by these marks alone.
needs_numba = pytest.mark.skipif("numba" not in HERE, reason=f"numba serves the CPU, this is {PLATFORM}")
needs_own_platform = pytest.mark.skipif(PLATFORM != OWN_PLATFORM, reason=f"{PLATFORM} is pretended, by callbacks that cannot be exported")
needs_fixed_order = pytest.mark.skipif(PLATFORM != "cpu", reason=f"bit for bit: launches and steps round in other places on {PLATFORM}")
thorough = pytest.mark.thorough  # long, and of what shorter rows try too: run by `--thorough`, and where its file is named
# rows of these likewise: what stores columns is what stores rows, transposed; other just-in-time formats have weights that are drawn, and
# either order
REPEATED = ("CSC", "FixedPreNumConn", "JITCHomoC", "JITCNormalR", "JITCUniformR", "JITCUniformC")

MAIN = (5, 7)  # the shape that everything is tried on, with NSE synapses in every format (so that one compiled oracle serves all)
NSE = 35
SHAPES = ((7, 4), (1, 1), (1, 5), (5, 1), (0, 3), (3, 0), (0, 0), (20, 9))  # 20: longer than one word of events
ACTIVE = {"none": 0.0, "some": 0.4, "all": 1.0}  # fraction of entries that are events


@dataclasses.dataclass(frozen=True)
class Operand:
    """A kind of operand: how it is wrapped, whether its entries are bool, and whether an entry counts as one."""

    wrap: Callable
    bool: bool
    counted: bool


EVENTS = {
    "bool EventArray": Operand(be.EventArray, True, True),
    "float EventArray": Operand(be.EventArray, False, True),
    "MaskedFloat": Operand(be.MaskedFloat, False, False),
    "float": Operand(lambda x: x, False, False),
    "bool": Operand(lambda x: x, True, True),
}

# backends of a test that takes XLA long, where another one is here
HERE_BRIEFLY = tuple(pytest.param(name, marks=thorough if name == "xla" and len(HERE) > 1 else ()) for name in HERE)

DTYPES = {"float64": jnp.float64, "float32": jnp.float32, "float16": jnp.float16, "bfloat16": jnp.bfloat16}
SIDES = ("x @ A", "A @ x")

FORMAT_BACKENDS = [(name, backend) for name, backend in itertools.product(FORMATS, HERE)]
# XLA compiles a walk for a third of a second, and a line of a C format is a row of an R format: there one of them will do
WALKED = tuple(name for name in DRAWN if name.endswith("R") or name == "JITCNormalC")
DRAWN_BACKENDS = [(name, backend) for name, backend in itertools.product(DRAWN, HERE) if backend != "xla" or name in WALKED]


def rolled_philox(counter, key):
    """`law.philox` as a loop over its rounds."""

    def round_(i, words):
        a, b, c, d = words
        (high_a, low_a), (high_c, low_c) = law._product(a, law.MULTIPLIERS[0]), law._product(c, law.MULTIPLIERS[1])
        keys = [k + i.astype(jnp.uint32) * jnp.uint32(w) for k, w in zip(key, law.WEYL)]
        return high_c ^ b ^ keys[0], low_c, high_a ^ d ^ keys[1], low_a

    return jax.lax.fori_loop(0, law.ROUNDS, round_, tuple(jnp.broadcast_arrays(*counter)))


def build(name: str, shape=MAIN, *, nse=NSE, dtype=np.float64, backend=None, seed=0) -> Case:
    """The format of that name with random structure, and one random weight a synapse or random parameters."""
    if name in DRAWN:
        cls, parameters = DRAWN[name]
        parameters = (jnp.asarray(p + seed / 8, dtype) for p in parameters)
        A = cls((*parameters, PROB, 100 + seed), shape=shape, backend=backend)
        return Case(A, *law_oracle.synapses(A))
    rng = np.random.default_rng(seed)
    cls, structure = STORED[name]
    parts, row, col = structure(rng, shape, nse)
    w = rng.normal(size=row.size)
    if cls is be.Dense:
        data = np.zeros(shape)
        data[row, col] = w
    else:
        data = w.reshape(parts[0].shape)
    return Case(cls(jnp.asarray(data, dtype), *parts, shape=shape, backend=backend), row, col)


def operand(rng, n, kind: Operand, active=0.4, dtype=np.float64):
    """Entries of an operand of shape `n`: bool, or normal numbers of which about that fraction is not zero."""
    on = rng.random(n) < active
    return on if kind.bool else np.where(on, rng.normal(size=n), 0).astype(dtype)
