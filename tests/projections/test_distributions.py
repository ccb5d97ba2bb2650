"""Distributions: exact laws, units, and errors that name the value."""

import brainunit as u
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from brainevent.projections.distributions import (
    Constant,
    Exponential,
    Gamma,
    LogNormal,
    Normal,
    TruncNormal,
    Uniform,
    sample_like,
)

SIGMA = np.sqrt(np.log1p(0.25))  # of the logarithm, for a coefficient of variation of 0.5

# (distribution, the law of its plain samples)
LAWS = [
    (Normal(-55 * u.mV, 2 * u.mV), stats.norm(-55, 2)),
    (Normal(1 * u.nS, 100 * u.psiemens), stats.norm(1, 0.1)),
    (TruncNormal(1 * u.nS, 1 * u.nS, 0 * u.nS, 2500 * u.psiemens), stats.truncnorm(-1, 1.5, 1, 1)),
    (TruncNormal(0.0, 1.0, -np.inf, np.inf), stats.norm()),
    (TruncNormal(0.0, 1.0, 3.0, np.inf), stats.truncnorm(3, np.inf)),
    (TruncNormal(0.0, 1.0, -np.inf, -12.0), stats.truncnorm(-np.inf, -12)),
    (TruncNormal(0.0, 1.0, 40.0, 40.1), stats.truncnorm(40, 40.1)),
    (TruncNormal(0.0, 1.0, -0.5, 9.0), stats.truncnorm(-0.5, 9)),
    (Uniform(-1 * u.mV, 3 * u.mV), stats.uniform(-1, 4)),
    (LogNormal(2 * u.nS, 1 * u.nS), stats.lognorm(SIGMA, scale=2 * np.exp(-(SIGMA**2) / 2))),
    (LogNormal.from_median(3 * u.nS, 0.7), stats.lognorm(0.7, scale=3)),
    (Gamma(2.5, 3 * u.ms), stats.gamma(2.5, scale=3)),
    (Exponential(4 * u.ms), stats.expon(scale=4)),
]


@pytest.mark.parametrize("dist, law", LAWS, ids=lambda case: repr(case) if not hasattr(case, "cdf") else "")
def test_samples_follow_the_law(dist, law):
    plain = u.get_mantissa(dist.sample(np.random.default_rng(7), 20_000))
    assert stats.kstest(plain, law.cdf).pvalue > 1e-3


def test_lognormal_is_parametrised_by_the_variable_itself():
    plain = LogNormal(2.0, 1.0).sample(np.random.default_rng(1), 400_000)
    # standard errors: std/sqrt(n) = 0.0016 for the mean; that of the std is below 0.005 at this kurtosis
    assert abs(plain.mean() - 2) < 5 * 0.0016
    assert abs(plain.std() - 1) < 5 * 0.005


@pytest.mark.parametrize("low, high", [(-0.5, 0.25), (2.0, 2.5), (-np.inf, -30.0), (36.0, 36.001), (-50.0, -45.0)])
def test_truncated_samples_stay_within_the_bounds(low, high):
    plain = TruncNormal(0.0, 1.0, low, high).sample(np.random.default_rng(0), 5000)
    assert np.all((low <= plain) & (plain <= high))


@pytest.mark.parametrize(
    "dist, value",
    [
        (Constant(3 * u.mV), 3.0),
        (Normal(3 * u.mV, 0 * u.mV), 3.0),
        (TruncNormal(3 * u.mV, 0 * u.mV, 0 * u.mV, 4 * u.mV), 3.0),
        (Uniform(3 * u.mV, 3 * u.mV), 3.0),
        (LogNormal(3 * u.mV, 0 * u.mV), 3.0),
    ],
)
def test_no_spread_gives_the_value(dist, value):
    plain = u.get_mantissa(dist.sample(np.random.default_rng(0), 4))
    np.testing.assert_allclose(plain, np.full(4, value), rtol=4 * np.finfo(float).eps)  # exp(log(x)): a few roundings


@pytest.mark.parametrize("size", [0, 1, 5, (2, 3), ()])
@pytest.mark.parametrize("dist", [dist for dist, _ in LAWS] + [Constant(1 * u.nS)], ids=repr)
def test_size_dtype_and_unit(dist, size):
    sample = dist.sample(np.random.default_rng(0), size, np.float32)
    plain = u.get_mantissa(sample)
    assert plain.shape == ((size,) if isinstance(size, int) else size)
    assert plain.dtype == np.float32
    assert u.get_unit(sample) == dist.unit


def test_the_first_parameter_gives_the_unit():
    assert Normal(100 * u.psiemens, 1 * u.nS).unit == u.psiemens
    assert Gamma(2.0, 1 * u.ms).unit == u.ms
    assert isinstance(Normal(0.0, 1.0).sample(np.random.default_rng(0), 2), np.ndarray)


def test_same_state_same_sample():
    first, second = (Normal(0.0, 1.0).sample(np.random.default_rng(3), 10) for _ in range(2))
    np.testing.assert_array_equal(first, second)


BAD = [
    (lambda: Normal(1.0, -2.0), ValueError, r"Normal: std=-2, but expected a standard deviation >= 0; give its magnitude"),
    (lambda: Normal(1 * u.nS, -2 * u.nS), ValueError, r"Normal: std=-2 nS, but expected a standard deviation >= 0"),
    (lambda: Normal(np.nan, 1.0), ValueError, r"Normal: mean is nan, but expected one real number, finite"),
    (lambda: Normal(0.0, np.inf), ValueError, r"Normal: std is inf, but expected one real number, finite"),
    (lambda: Normal("1", 1.0), TypeError, r"Normal: mean is '1', but expected one real number"),
    (lambda: Normal([1.0, 2.0], 1.0), ValueError, r"Normal: mean=\[1.0, 2.0\], but expected one real number; pass an array itself"),
    (lambda: Normal(np.ones(3) * u.mV, 1 * u.mV), ValueError, r"Normal: mean=<array 3 mV>, but expected one real number"),
    (lambda: Normal(1j, 1.0), TypeError, r"Normal: mean is 1j, but expected one real number"),
    (lambda: TruncNormal(0.0, 1.0, 2.0, 1.0), ValueError, r"TruncNormal: low=2, but expected less than high=1; swap"),
    (lambda: TruncNormal(0.0, 1.0, 1.0, 1.0), ValueError, r"TruncNormal: low=1, but expected less than high=1"),
    (lambda: TruncNormal(0.0, 0.0, 1.0, 2.0), ValueError, r"TruncNormal: mean=0, but expected a value within \[low, high\] if std is 0"),
    (lambda: TruncNormal(0.0, -1.0, 1.0, 2.0), ValueError, r"TruncNormal: std=-1, but expected"),
    (lambda: TruncNormal(np.inf, 1.0, 1.0, 2.0), ValueError, r"TruncNormal: mean is inf, but expected one real number, finite"),
    (lambda: Uniform(2 * u.mV, 1 * u.mV), ValueError, r"Uniform: low=2 mV, but expected at most high=1 mV; swap the two bounds"),
    (lambda: LogNormal(0.0, 1.0), ValueError, r"LogNormal: mean=0, but expected a mean > 0 of the variable itself; .*from_median"),
    (lambda: LogNormal(1.0, -1.0), ValueError, r"LogNormal: std=-1, but expected"),
    (lambda: Gamma(0.0, 1.0), ValueError, r"Gamma: shape=0, but expected a number > 0"),
    (lambda: Gamma(1.0, -1 * u.ms), ValueError, r"Gamma: scale=-1 ms, but expected a number > 0"),
    (lambda: Gamma(2 * u.ms, 1 * u.ms), ValueError, r"Gamma: shape=2 ms, but expected a plain number; drop the unit"),
    (lambda: Exponential(0.0), ValueError, r"Exponential: mean=0, but expected a number > 0; use Constant"),
    (lambda: Constant(np.nan), ValueError, r"Constant: value is nan, but expected one real number, finite"),
]


@pytest.mark.parametrize("build, error, message", BAD)
def test_bad_parameters_are_refused_when_built(build, error, message):
    with pytest.raises(error, match=message):
        build()


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: Normal(1 * u.nS, 1 * u.mV), r"Normal: std=1 mV has unit mV, but mean has unit nS"),
        (lambda: Uniform(0.0, 1 * u.mV), r"Uniform: high=1 mV has unit mV, but low has unit 1 \(a plain number\)"),
        (lambda: TruncNormal(1 * u.nS, 1 * u.nS, 0.0, 2 * u.nS), r"TruncNormal: low=0 has unit 1 \(a plain number\), but mean has unit nS"),
    ],
)
def test_units_that_do_not_fit_are_named(build, message):
    with pytest.raises(u.UnitMismatchError, match=message):
        build()


def test_equality_is_by_value_and_repr_is_short():
    assert Normal(1 * u.nS, 2 * u.nS) == Normal(1 * u.nS, 2 * u.nS)
    assert Normal(1 * u.nS, 1 * u.nS) == Normal(1000 * u.psiemens, 1 * u.nS)
    assert hash(Normal(1 * u.nS, 1 * u.nS)) == hash(Normal(1000 * u.psiemens, 1 * u.nS))
    for other in (Normal(1 * u.nS, 3 * u.nS), Normal(1 * u.mV, 2 * u.mV), Normal(1, 2), Uniform(1 * u.nS, 2 * u.nS), 1 * u.nS):
        assert Normal(1 * u.nS, 2 * u.nS) != other
    assert repr(Normal(-55 * u.mV, 2 * u.mV)) == "Normal(-55 mV, 2 mV)"
    assert repr(Gamma(2, 0.5 * u.ms)) == "Gamma(2, 0.5 ms)"


@pytest.mark.parametrize("value", [6, 6.0, np.float32(6), jnp.float32(6), np.array(6), Constant(6)])
@pytest.mark.parametrize("unit", [None, u.nS])
def test_a_scalar_stays_a_scalar(value, unit):
    if unit is not None:
        value = Constant(6 * unit) if isinstance(value, Constant) else value * unit
    result = sample_like(value, np.random.default_rng(0), 3)
    plain = u.get_mantissa(result)
    assert np.shape(plain) == () and plain == 6 and plain.dtype == np.float64
    assert u.get_unit(result) == (unit or u.UNITLESS)


@pytest.mark.parametrize("value", [[1, 2, 3], np.arange(3), jnp.arange(3.0), np.arange(3.0) * u.mV])
def test_an_array_is_taken_as_it_is(value):
    result = sample_like(value, np.random.default_rng(0), 3, np.float32)
    np.testing.assert_array_equal(u.get_mantissa(result), np.asarray(u.get_mantissa(value)))
    assert u.get_mantissa(result).dtype == np.float32
    assert u.get_unit(result) == u.get_unit(value)


def test_an_array_is_copied():
    value = np.zeros(3)
    sample_like(value, np.random.default_rng(0), 3)[0] = 1
    assert value[0] == 0


@pytest.mark.parametrize(
    "value, size, error, message",
    [
        (
            np.ones(4) * u.nS,
            3,
            ValueError,
            r"shape \(4,\) \(length 4\) was given for \(3,\) \(length 3\) elements; give one value for each",
        ),
        (np.ones(1), 3, ValueError, r"shape \(1,\)"),
        (np.ones((3, 1)), 3, ValueError, r"shape \(3, 1\)"),
        (np.array([1.0, np.nan]), 2, ValueError, r"holds nan at position 1, but expected finite numbers"),
        (np.inf * u.mV, 2, ValueError, r"is inf, but expected real numbers, finite"),
        ("ab", 2, TypeError, r"is 'ab', but expected real numbers"),
        (1j, 2, TypeError, r"is 1j, but expected real numbers"),
    ],
)
def test_a_bad_value_is_refused(value, size, error, message):
    with pytest.raises(error, match=message):
        sample_like(value, np.random.default_rng(0), size)


@settings(max_examples=60, deadline=None)
@given(
    mean=st.floats(-1e3, 1e3), std=st.floats(1e-3, 1e3), low=st.floats(-1e4, 1e4), width=st.floats(1e-3, 1e4), seed=st.integers(0, 2**32)
)
def test_any_truncated_normal_is_finite_and_bounded(mean, std, low, width, seed):
    plain = TruncNormal(mean, std, low, low + width).sample(np.random.default_rng(seed), 20)
    assert np.all(np.isfinite(plain)) and np.all((low <= plain) & (plain <= low + width))
