"""Distributions of weights, delays and initial values: parameters with units, drawn on the host with numpy."""

import dataclasses
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import brainunit as u
import numpy as np

from brainevent.projections.drawing import in_blocks, truncated_normal
from brainevent.projections.parameters import describe, in_unit, same_value, with_unit
from brainevent.projections.values import Drawn, kept, numbers

__all__ = ["Constant", "Distribution", "Exponential", "Gamma", "LogNormal", "Normal", "TruncNormal", "Uniform", "sample_like"]


@dataclass(frozen=True, repr=False, eq=False)
class Distribution(Drawn, ABC):
    """A distribution of one number; a subclass is its parameters (dataclass fields), `_check` and `_draw`."""

    _pure: ClassVar[tuple[str, ...]] = ()  # the parameters that carry no unit
    _unbounded: ClassVar[tuple[str, ...]] = ()  # the parameters that may be infinite

    # A distribution is no pytree, so this never runs on tracers.
    def __post_init__(self):
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, self._number(field.name, getattr(self, field.name)))
        self._check(**self._plain())

    @property
    def unit(self):
        """The unit of a sample: that of the first parameter that carries one."""
        return u.get_unit(getattr(self, self._scaled()[0]))

    def sample(self, rng: np.random.Generator, size, dtype=np.float64):
        """Draw `size` (int or shape) independent values: an array, or a Quantity in the unit of the first parameter.

        Raises:
            ValueError: if a value is too large for `dtype`.
        """
        plain = self._plain()

        def draw(rng, size):
            with np.errstate(all="ignore"):  # what overflows is found below
                drawn = np.asarray(self._draw(rng, size, **plain)).astype(dtype, copy=False)
            if not np.isfinite(drawn).all():
                beyond = np.dtype(dtype).name
                raise ValueError(f"{self!r} draws numbers beyond {beyond}, but expected finite ones; give smaller parameters.")
            return drawn

        return with_unit(in_blocks(rng, int(size), draw, dtype) if isinstance(size, (int, np.integer)) else draw(rng, size), self.unit)

    @abstractmethod
    def _check(self, **plain) -> None:
        """Raise if the parameters, plain numbers in one unit, make no distribution."""

    def cdf(self, value) -> np.ndarray:
        """The probability of less than each of the values.

        >>> Uniform(0 * u.ms, 4 * u.ms).cdf([1, 3] * u.ms)
        array([0.25, 0.75])
        """
        values, plain = np.asarray(in_unit(value, self.unit, "value", repr(self)), np.float64), self._plain()
        if not plain.get("std", 1.0) or ("low" in plain and plain["low"] == plain["high"]):
            return np.where(values > (plain["mean"] if "mean" in plain else plain["low"]), 1.0, 0.0)
        return self._law(**plain).cdf(values)

    def _law(self, **plain):
        """The distribution as scipy.stats has it."""
        raise NotImplementedError(f"{type(self).__name__} knows no cdf: give it `_law`")

    @abstractmethod
    def _draw(self, rng, size, **plain):
        """Draw plain float64 values."""

    def _scaled(self) -> list[str]:
        return [field.name for field in dataclasses.fields(self) if field.name not in self._pure]

    def _plain(self) -> dict[str, float]:
        first = self._scaled()[0]
        plain = {name: getattr(self, name) for name in self._pure}
        for name in self._scaled():
            value = getattr(self, name)
            plain[name] = float(in_unit(value, self.unit, f"{type(self).__name__}: {name}={describe(value)}", first))
        return plain

    def _number(self, name: str, value: Any):
        number = numbers(value, f"{type(self).__name__}: {name}", "one real number", infinite=name in self._unbounded)
        if number.size != 1:
            self._refuse(name, value, "one real number", "pass an array itself, without a distribution, to give each its own value")
        if name in self._pure and not u.get_unit(value).is_unitless:
            self._refuse(name, value, "a plain number", "drop the unit")
        return with_unit(float(number.reshape(())), u.get_unit(value))

    def _require(self, ok: bool, name: str, expected: str, remedy: str) -> None:
        if not ok:
            self._refuse(name, getattr(self, name), expected, remedy)

    def _refuse(self, name: str, value: Any, expected: str, remedy: str):
        raise ValueError(f"{type(self).__name__}: {name}={describe(value)}, but expected {expected}; {remedy}.")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(describe(getattr(self, field.name)) for field in dataclasses.fields(self))})"

    def __eq__(self, other) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return all(same_value(getattr(self, field.name), getattr(other, field.name)) for field in dataclasses.fields(self))

    def __hash__(self) -> int:
        return hash(type(self))


@dataclass(frozen=True, repr=False, eq=False)
class Constant(Distribution):
    """Always `value`; as a parameter of a network it counts as one shared scalar.

    Args:
        value: a number or scalar Quantity.

    Raises:
        ValueError: if `value` is not one finite number.

    Example:
        >>> Constant(2.0).sample(np.random.default_rng(0), 3)
        array([2., 2., 2.])
    """

    value: Any

    def _check(self, value):
        pass

    def _draw(self, rng, size, value):
        return np.full(size, value)


@dataclass(frozen=True, repr=False, eq=False)
class Normal(Distribution):
    """The normal distribution.

    Args:
        mean: a number or scalar Quantity.
        std: standard deviation, >= 0, in a unit of the same dimension.

    Raises:
        ValueError: if `std` is negative or a parameter is not one finite number.
        UnitMismatchError: if the units do not fit.

    Example:
        >>> Normal(-55 * u.mV, 2 * u.mV).sample(np.random.default_rng(0), 2)
        Quantity([-54.74853956 -55.26420973], "mV")
    """

    mean: Any
    std: Any

    def _check(self, mean, std):
        _check_std(self, std)

    def _draw(self, rng, size, mean, std):
        return _scale_and_shift(rng.standard_normal(size), std, mean)

    def _law(self, mean, std):
        return _stats().norm(mean, std)


@dataclass(frozen=True, repr=False, eq=False)
class TruncNormal(Distribution):
    """The normal distribution restricted to [low, high]: what falls beyond is drawn again, or, where that is most, the cdf is inverted.

    `mean` and `std` are those of the normal before the cut. With `std` 0 every value is `mean`.

    Args:
        mean, std: as in `Normal`.
        low, high: the bounds, in units of the same dimension; may be infinite.

    Raises:
        ValueError: if `std` < 0, `low` >= `high`, or `std` is 0 and `mean` lies outside the bounds.
        UnitMismatchError: if the units do not fit.

    Example:
        >>> TruncNormal(1 * u.nS, 1 * u.nS, low=0 * u.nS, high=2 * u.nS).sample(np.random.default_rng(0), 2)
        Quantity([1.12573022 0.86789514], "nS")
    """

    _unbounded = ("low", "high")

    mean: Any
    std: Any
    low: Any
    high: Any

    def _check(self, mean, std, low, high):
        _check_std(self, std)
        self._require(low < high, "low", f"less than high={describe(self.high)}", "swap the two bounds, or use Constant")
        self._require(std > 0 or low <= mean <= high, "mean", "a value within [low, high] if std is 0", "move the bounds or give std > 0")

    def _draw(self, rng, size, mean, std, low, high):
        if std == 0:
            return np.full(size, mean)
        values = truncated_normal(rng, math.prod(np.atleast_1d(size)), (low - mean) / std, (high - mean) / std).reshape(size)
        return np.clip(_scale_and_shift(values, std, mean), low, high)

    def _law(self, mean, std, low, high):
        return _stats().truncnorm((low - mean) / std, (high - mean) / std, mean, std)


@dataclass(frozen=True, repr=False, eq=False)
class Uniform(Distribution):
    """The uniform distribution on [low, high).

    Args:
        low, high: numbers or scalar Quantities of one dimension.

    Raises:
        ValueError: if `low` > `high` or a parameter is not one finite number.
        UnitMismatchError: if the units do not fit.

    Example:
        >>> Uniform(0.0, 10.0).sample(np.random.default_rng(0), 2)
        array([6.36961687, 2.69786714])
    """

    low: Any
    high: Any

    def _check(self, low, high):
        self._require(low <= high, "low", f"at most high={describe(self.high)}", "swap the two bounds")

    def _draw(self, rng, size, low, high):
        return _scale_and_shift(rng.random(size), high - low, low)

    def _law(self, low, high):
        return _stats().uniform(low, high - low)


@dataclass(frozen=True, repr=False, eq=False)
class LogNormal(Distribution):
    """The log-normal distribution, given by the mean and standard deviation of the variable itself (not of its logarithm).

    A draw is `exp(mu + sigma * Z)`, Z standard normal, with `sigma**2 = log(1 + (std / mean)**2)` and
    `mu = log(mean) - sigma**2 / 2`. NEST's `lognormal(mean=mu, std=sigma)` is `LogNormal.from_median(exp(mu), sigma)`.

    Args:
        mean: mean of the variable, > 0, a number or scalar Quantity.
        std: standard deviation of the variable, >= 0, in a unit of the same dimension.

    Raises:
        ValueError: if `mean` <= 0, `std` < 0, or a parameter is not one finite number.
        UnitMismatchError: if the units do not fit.

    Example:
        >>> LogNormal(1.0, 0.5).sample(np.random.default_rng(0), 2)
        array([0.94915872, 0.84031743])
    """

    mean: Any
    std: Any

    @classmethod
    def from_median(cls, median, sigma: float) -> "LogNormal":
        """The log-normal with this median (with a unit) and this standard deviation `sigma` of the natural logarithm, from 0 to 26."""
        width = numbers(sigma, "LogNormal.from_median: sigma", "one real number")
        if width.size != 1 or not u.get_unit(sigma).is_unitless or not 0 <= width <= 26:  # beyond, the mean is no float64
            expected = "a plain number from 0 to 26; it is the standard deviation of the natural logarithm"
            raise ValueError(f"LogNormal.from_median: sigma={describe(sigma)}, but expected {expected}.")
        square = float(width.reshape(())) ** 2
        mean = kept(median, "LogNormal.from_median: median", "one real number") * math.exp(square / 2)
        return cls(mean, mean * math.sqrt(math.expm1(square)))

    def _check(self, mean, std):
        self._require(mean > 0, "mean", "a mean > 0 of the variable itself", "for mu and sigma of the logarithm use LogNormal.from_median")
        _check_std(self, std)
        self._require(std / mean < 1e150, "std", "less than 1e150 times the mean", "check how it was computed")

    def _draw(self, rng, size, mean, std):
        variance = math.log1p((std / mean) ** 2)
        exponents = _scale_and_shift(rng.standard_normal(size), math.sqrt(variance), math.log(mean) - variance / 2)
        return np.exp(exponents)

    def _law(self, mean, std):
        variance = math.log1p((std / mean) ** 2)
        return _stats().lognorm(math.sqrt(variance), scale=math.exp(math.log(mean) - variance / 2))


@dataclass(frozen=True, repr=False, eq=False)
class Gamma(Distribution):
    """The gamma distribution: mean `shape * scale`, variance `shape * scale**2`.

    Args:
        shape: a plain number > 0.
        scale: a number or scalar Quantity > 0; samples carry its unit.

    Raises:
        ValueError: if a parameter is not one finite number > 0, or `shape` has a unit.

    Example:
        >>> Gamma(2.0, 0.5 * u.ms).sample(np.random.default_rng(0), 2)
        Quantity([0.91715503 1.31884899], "ms")
    """

    _pure = ("shape",)

    shape: Any
    scale: Any

    def _check(self, shape, scale):
        self._require(shape > 0, "shape", "a number > 0", "use Constant for a fixed value")
        self._require(scale > 0, "scale", "a number > 0", "use Constant for a fixed value")

    def _draw(self, rng, size, shape, scale):
        return _scale_and_shift(rng.standard_gamma(shape, size), scale, 0.0)

    def _law(self, shape, scale):
        return _stats().gamma(shape, scale=scale)


@dataclass(frozen=True, repr=False, eq=False)
class Exponential(Distribution):
    """The exponential distribution.

    Args:
        mean: a number or scalar Quantity > 0.

    Raises:
        ValueError: if `mean` is not one finite number > 0.

    Example:
        >>> Exponential(2 * u.ms).sample(np.random.default_rng(0), 2)
        Quantity([1.35986381 2.0391942 ], "ms")
    """

    mean: Any

    def _check(self, mean):
        self._require(mean > 0, "mean", "a number > 0", "use Constant for a fixed value")

    def _draw(self, rng, size, mean):
        return _scale_and_shift(rng.standard_exponential(size), mean, 0.0)

    def _law(self, mean):
        return _stats().expon(scale=mean)


def sample_like(value, rng: np.random.Generator, size, dtype=np.float64):
    """One value for each of `size` elements, from whatever a user may give for a parameter.

    Args:
        value: a distribution, a scalar, an array of shape `size`, or a Quantity of either.
        rng: the generator a distribution draws from.
        size: int or shape.
        dtype: of the result.

    Returns:
        A scalar if `value` is one (or a `Constant`): a homogeneous parameter stays one number. Otherwise an array or
        Quantity of shape `size`.

    Raises:
        ValueError: if an array has another shape than `size`, or a value is not a finite real number.

    Example:
        >>> sample_like(6 * u.nS, np.random.default_rng(0), 3)
        Quantity(6., "nS")
        >>> sample_like(Uniform(0, 1), np.random.default_rng(0), 2)
        array([0.63696169, 0.26978671])
    """
    if isinstance(value, Constant):
        value = value.value
    if isinstance(value, Distribution):
        return value.sample(rng, size, dtype)
    plain = numbers(value, "the value")
    shape = (size,) if isinstance(size, (int, np.integer)) else tuple(size)
    if plain.shape not in ((), shape):
        raise ValueError(
            f"an array of shape {plain.shape} (length {plain.size}) was given for {shape} (length {math.prod(shape)}) elements; "
            "give one value for each, a scalar for all, or a distribution."
        )
    return with_unit(plain.astype(dtype)[()], u.get_unit(value))


def _stats():
    """scipy.stats, imported when a distribution function is first asked for."""
    import scipy.stats  # slow to import

    return scipy.stats


def _check_std(dist, std: float) -> None:
    dist._require(std >= 0, "std", "a standard deviation >= 0", "give its magnitude")


def _scale_and_shift(values, scale: float, shift: float):
    """`values * scale + shift` without temporaries (values is an array, or a number for shape ())."""
    values *= scale
    values += shift
    return values
