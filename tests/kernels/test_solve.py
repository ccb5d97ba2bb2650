"""`A.solve(b)` against numpy, and `A[rows, cols]` against numpy's pairing."""

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import brainevent as be

FORMATS = [be.Dense, be.COO, be.CSR, be.CSC, be.FixedPostNumConn, be.FixedPreNumConn]
rng = np.random.default_rng(0)
MATRIX = (rng.random((6, 6)) * (rng.random((6, 6)) < 0.5) + 2 * np.eye(6)).astype(np.float32)  # diagonally dominant enough: condition < 10
B = rng.random(6).astype(np.float32)


@pytest.mark.parametrize("cls", FORMATS)
def test_solve_is_that_of_numpy(cls):
    x = cls.fromdense(MATRIX * u.nS).solve(B * u.pA)
    wanted = np.linalg.solve(MATRIX.astype(np.float64), B)
    tolerance = 10 * 6 * np.finfo(np.float32).eps  # condition number times terms
    np.testing.assert_allclose(x.to_decimal(u.mV), wanted, rtol=tolerance, atol=tolerance)


def test_solve_sums_duplicates_and_has_a_gradient():
    A = be.COO((jnp.array([1.0, 1.0, 4.0]), jnp.array([0, 0, 1]), jnp.array([0, 0, 1])), shape=(2, 2))
    np.testing.assert_allclose(A.solve(jnp.array([2.0, 8.0])), [1, 2])
    gradient = jax.grad(lambda b: A.solve(b).sum())(jnp.ones(2))
    np.testing.assert_allclose(gradient, [0.5, 0.25])


@pytest.mark.parametrize(("shape", "size"), [((3, 4), 3), ((4, 4), 3)])
def test_solve_refuses_what_has_no_solution(shape, size):
    with pytest.raises(ValueError, match=r"expected a square matrix and b of shape"):
        be.CSR.fromdense(np.ones(shape, np.float32)).solve(np.ones(size))


@pytest.mark.parametrize("cls", FORMATS)
@pytest.mark.parametrize(
    "item", [(1, 2), (np.array([0, 3]), np.array([1, -1])), (slice(1, 4), 2), (2, slice(None)), (np.array([[0], [2]]), 1)]
)
def test_pairs_of_indices_are_those_of_numpy(cls, item):
    np.testing.assert_array_equal(cls.fromdense(MATRIX)[item], MATRIX[item])
