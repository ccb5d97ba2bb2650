"""The just-in-time formats: one weight for all synapses, normal weights, uniform weights; drawn by rows (R) or by columns (C)."""

import math
from typing import ClassVar

import brainunit as u
import jax.numpy as jnp
import numpy as np

from ..arrays import as_weights, is_concrete, with_unit
from .jit_connectivity import JITConnectivity


def _number(value, name: str, owner: str):
    """One weight for the matrix, of shape () or (1,)."""
    data = as_weights(value, f"{owner}: {name}")
    if (shape := u.get_mantissa(data).shape) not in ((), (1,)):
        raise ValueError(f"{owner}: {name} has shape {shape}, expected one number for the matrix")
    return data


def _pair(first, second, names: tuple[str, str], owner: str):
    """Two parameters as real arrays of one dtype, in the unit of the first: `(first, second, unit)`."""
    first, second = (_number(value, name, owner) for value, name in zip((first, second), names))
    units = u.get_unit(first), u.get_unit(second)
    if not units[0].has_same_dim(units[1]):
        texts = ["no unit" if unit.is_unitless else f"unit {unit}" for unit in units]
        raise u.UnitMismatchError(f"{owner}: {names[0]} has {texts[0]} and {names[1]} has {texts[1]}, expected units of one dimension")
    first, second = u.get_mantissa(first), u.Quantity(second).to_decimal(units[0])
    dtype = jnp.promote_types(first.dtype, second.dtype)
    return first.astype(dtype).reshape(()), second.astype(dtype).reshape(()), units[0]


def _joined(a, b, unit):
    return with_unit(jnp.stack([a, b]), unit)


class _Homo(JITConnectivity):
    """One weight for all synapses."""

    arguments: ClassVar = ("weight",)

    @classmethod
    def _combined(cls, weight):
        return _number(weight, "weight", cls.__name__)

    @property
    def weight(self):
        """The weight of every synapse."""
        return self.data

    def mean_size(self):
        return float(np.asarray(u.get_mantissa(self.data)).reshape(()))


class _Normal(JITConnectivity):
    """Normally distributed weights, `data` being (loc, scale) up to a sign of the scale."""

    arguments: ClassVar = ("loc", "scale")
    kind = "normal"

    @classmethod
    def _combined(cls, loc, scale):
        loc, scale, unit = _pair(loc, scale, ("loc", "scale"), cls.__name__)
        if is_concrete(scale) and not np.asarray(scale) >= 0:
            raise ValueError(f"{cls.__name__}: scale is {scale}, expected a standard deviation of at least 0")
        return _joined(loc, scale, unit)

    @property
    def loc(self):
        """The mean of the weights (of their values before `abs`)."""
        return self.data[0]

    @property
    def scale(self):
        """The standard deviation of the weights (of their values before `abs`)."""
        return abs(self.data[1])

    def mean_size(self):
        loc, scale = (float(number) for number in u.get_mantissa(self.data))
        if scale == 0:
            return abs(loc) if self.fold is not None else loc
        folded = abs(scale) * math.sqrt(2 / math.pi) * math.exp(-((loc / scale) ** 2) / 2) + loc * math.erf(loc / (abs(scale) * 2**0.5))
        return folded if self.fold is not None else math.copysign(folded, loc)


class _Uniform(JITConnectivity):
    """Uniformly distributed weights, `data` being (low, high - low), or the same from the other end."""

    arguments: ClassVar = ("low", "high")
    kind = "uniform"

    @classmethod
    def _combined(cls, low, high):
        low, high, unit = _pair(low, high, ("low", "high"), cls.__name__)
        if is_concrete(low, high) and not np.asarray(low) <= np.asarray(high):
            raise ValueError(f"{cls.__name__}: low is {low} and high is {high}, expected low <= high: swap them")
        return _joined(low, high - low, unit)

    def _ends(self):
        a, b = self.data[0], self.data[0] + self.data[1]
        return u.math.minimum(a, b), u.math.maximum(a, b)

    @property
    def low(self):
        """The lower end of the weights (of their values before `abs`)."""
        return self._ends()[0]

    @property
    def high(self):
        """The upper end of the weights (of their values before `abs`)."""
        return self._ends()[1]

    def mean_size(self):
        low, high = (float(end) for end in map(u.get_mantissa, self._ends()))
        size = abs(low) if low == high else (abs(high) * high - abs(low) * low) / (2 * (high - low))
        return size if self.fold is not None else math.copysign(size, low + high)


class JITCHomoR(_Homo):
    """One weight for all synapses; a row is drawn at a time, so `spikes @ A` costs the rows that spiked.

    Args:
      weight: a scalar or `(1,)`, of any float dtype, with or without a unit; may be traced.
      prob: the probability that a pair is connected, a number in [0, 1] that is known when the matrix is built.
      seed: an integer from -2^31 to 2^32 - 1, taken modulo 2^32; may be traced (a wider traced one loses its upper bits).
      shape: `(n_pre, n_post)`.
      corder: whether a column is drawn at a time (True) or a row (False); None, the default, is the class's own: rows for R formats,
        columns for C formats. Matrices of other `corder` are other matrices.
      skip_diagonal: the offset k of a diagonal (i, i + k) without synapses, 0 for no autapses; None for no such diagonal.
      backend: a backend asked for by name, or None.

    Raises:
      ValueError: a probability outside [0, 1] or NaN, a seed beyond 32 bits, parameters that are not one number each, low > high,
        a scale below 0.
      TypeError: a traced probability, a seed that is no integer. brainunit.UnitMismatchError: parameters whose units do not fit.

    A product takes no memory for synapses. `A.tocsr()` stores them, with the same structure and weights to the bit; the law they
    follow is documented in `brainevent.core.law`.

    >>> import brainevent as be, jax.numpy as jnp
    >>> A = be.JITCHomoR((0.5, 0.1, 42), shape=(1000, 2000))
    >>> A
    JITCHomoR(float32[1000, 2000], prob=0.1, seed=42)
    >>> y = be.EventArray(jnp.ones(1000, bool)) @ A
    >>> bool((y == A.tocsr().todense().sum(0)).all())
    True
    """

    native = 0


class JITCHomoC(_Homo):
    """`JITCHomoR` with a column drawn at a time, so `A @ spikes` costs the columns that spiked. Same arguments.

    >>> import brainevent as be
    >>> be.JITCHomoC((0.5, 0.1, 42), shape=(1000, 2000)).T
    JITCHomoR(float32[2000, 1000], prob=0.1, seed=42)
    """

    native = 1


class JITCNormalR(_Normal):
    """Normally distributed weights; a row is drawn at a time, so `spikes @ A` costs the rows that spiked.

    Args:
      loc, scale: mean and standard deviation, scalars in units of one dimension; may be traced, and have derivatives.
      prob, seed, shape, corder, skip_diagonal, backend: as in `JITCHomoR`.

    Raises:
      as in `JITCHomoR`.

    >>> import brainevent as be, brainunit as u
    >>> A = be.JITCNormalR((1.0 * u.nS, 0.1 * u.nS, 0.1, 42), shape=(1000, 2000))
    >>> (A * 2).scale
    Quantity(0.2, "nS")
    """

    native = 0


class JITCNormalC(_Normal):
    """`JITCNormalR` with a column drawn at a time, so `A @ spikes` costs the columns that spiked. Same arguments.

    >>> import brainevent as be
    >>> be.JITCNormalC((1.0, 0.1, 0.1, 42), shape=(1000, 2000)).T
    JITCNormalR(float32[2000, 1000], prob=0.1, seed=42)
    """

    native = 1


class JITCUniformR(_Uniform):
    """Uniformly distributed weights; a row is drawn at a time, so `spikes @ A` costs the rows that spiked.

    Args:
      low, high: the ends of the interval, scalars in units of one dimension; may be traced, and have derivatives.
      prob, seed, shape, corder, skip_diagonal, backend: as in `JITCHomoR`.

    Raises:
      as in `JITCHomoR`.

    >>> import brainevent as be
    >>> A = be.JITCUniformR((-1.0, 2.0, 0.1, 42), shape=(1000, 2000))
    >>> print((-A).low, (-A).high)
    -2.0 1.0
    """

    native = 0


class JITCUniformC(_Uniform):
    """`JITCUniformR` with a column drawn at a time, so `A @ spikes` costs the columns that spiked. Same arguments.

    >>> import brainevent as be
    >>> be.JITCUniformC((-1.0, 2.0, 0.1, 42), shape=(1000, 2000)).T
    JITCUniformR(float32[2000, 1000], prob=0.1, seed=42)
    """

    native = 1


for _one, _other in ((JITCHomoR, JITCHomoC), (JITCNormalR, JITCNormalC), (JITCUniformR, JITCUniformC)):
    _one.mirror, _other.mirror = _other, _one
