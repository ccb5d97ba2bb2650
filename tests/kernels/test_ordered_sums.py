"""Sums on a GPU do not depend on the order of their terms; here they are taken on whatever there is."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from brainevent.core import ordered_sums, table

sums = jax.jit(ordered_sums.whole_sums, static_argnums=3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_they_are_exact_to_a_rounding_and_the_same_in_any_order(dtype):
    """Terms of many sizes onto each of 7 entries: errors are relative to the largest term, and a rounding of the result."""
    rng, n = np.random.default_rng(0), 2000
    places, terms = rng.integers(0, 7, n), (rng.normal(size=n) * 10.0 ** rng.uniform(-5, 5, n)).astype(dtype)
    with jax.enable_x64(dtype == np.float64):
        found = []
        for _ in range(3):
            order = rng.permutation(n)
            found.append(np.asarray(sums(jnp.zeros(8, dtype), jnp.asarray(places[order]), jnp.asarray(terms[order]), n)))
            assert found[-1].dtype == dtype
            np.testing.assert_array_equal(found[-1], found[0])
    for place in range(8):
        mine = terms[places == place].tolist()
        want, largest = float(sum(map(Fraction, mine))), max(map(abs, mine), default=0.0)
        assert abs(float(found[0][place]) - want) <= np.finfo(dtype).eps * (abs(want) + n * 2.0**-20 * largest)


def test_terms_that_are_not_finite():
    found = sums(jnp.zeros(4), jnp.array([0, 0, 1, 1, 2, 2]), jnp.array([np.inf, 1, np.inf, -np.inf, np.nan, 1]), 2)
    np.testing.assert_array_equal(found, [np.inf, np.nan, np.nan, 0])


def test_in_loops_and_batches():
    index, terms = jnp.array([[0, 1], [1, 2]]), jnp.array([[1.0, 2.0], [3.0, 4.0]])
    total = jax.lax.fori_loop(0, 3, lambda i, total: total + ordered_sums.whole_sums(total, index, terms, 4), jnp.zeros(3))
    np.testing.assert_array_equal(total, [3, 15, 12])
    batch = jax.vmap(lambda terms: ordered_sums.whole_sums(jnp.zeros(3), index, terms, 4))(jnp.stack([terms, -terms]))
    np.testing.assert_array_equal(batch, [[1, 5, 4], [-1, -5, -4]])


def test_only_a_gpu_takes_them(monkeypatch):
    """Elsewhere XLA adds up in one order."""
    calls = []
    monkeypatch.setattr(ordered_sums, "whole_sums", lambda target, *_: calls.append(1) or jnp.zeros_like(target))
    for platform in ("cpu", "tpu", "cuda"):
        monkeypatch.setattr(table, "current_platform", lambda platform=platform: platform)
        ordered_sums.add_at(jnp.zeros(2), jnp.array([0]), jnp.ones(1), 1)
    assert len(calls) == 1
