"""Random structures of one size (so that nothing compiles twice) against scipy.sparse: small integers, so that sums are exact."""

import functools

import jax
import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import HERE, LISTED, STORED

import brainevent as be

SHAPE, NSE = (6, 4), 12  # 12 synapses: 2 for each of 6 rows, 3 for each of 4 columns

ids = [st.lists(st.integers(0, n - 1), min_size=NSE, max_size=NSE).map(np.array) for n in SHAPE]
numbers = {n: st.lists(st.integers(-8, 8), min_size=n, max_size=n).map(lambda v: np.array(v, np.float32)) for n in (*SHAPE, NSE)}


@functools.cache
def products(backend):
    with be.backend(backend):
        return jax.jit(lambda A, x, y: (x @ A, A @ y, be.EventArray(x) @ A, A @ be.EventArray(y)))


def build(name, w, row, col):
    """The format, with scipy's matrix of the same synapses."""
    cls = STORED[name][0]
    if name == "FixedPostNumConn":
        row = np.repeat(np.arange(6), 2)
        A = cls(w.reshape(6, 2), col.reshape(6, 2), shape=SHAPE)
    elif name == "FixedPreNumConn":
        col = np.repeat(np.arange(4), 3)
        A = cls(w.reshape(4, 3), row.reshape(4, 3), shape=SHAPE)
    else:
        A = cls.from_coordinates(w, row, col, shape=SHAPE)
    return A, scipy.sparse.coo_array((w, (row, col)), shape=SHAPE)


@pytest.mark.parametrize("backend", HERE)
@pytest.mark.parametrize("name", LISTED)
@settings(max_examples=20, deadline=None, derandomize=True)
@given(w=numbers[NSE], row=ids[0], col=ids[1], x=numbers[6], y=numbers[4])
def test_products_equal_scipy(name, backend, w, row, col, x, y):
    A, S = build(name, w, row, col)
    with be.backend(backend):
        got = products(backend)(A, x, y)
    for value, want in zip(got, (x @ S, S @ y, (x != 0) @ S, S @ (y != 0))):
        assert np.array_equal(value, want)


@pytest.mark.parametrize("name", STORED)
@settings(max_examples=10, deadline=None, derandomize=True)
@given(w=numbers[NSE], row=ids[0], col=ids[1])
def test_conversions_equal_scipy(name, w, row, col):
    A, S = build(name, w, row, col)
    matrix = S.toarray()
    assert np.array_equal(A.todense(), matrix) and np.array_equal(A.T.todense(), matrix.T)
    assert np.array_equal(A.toscipy().toarray(), matrix)
    B = STORED[name][0].fromscipy(S)  # duplicates and explicit zeros
    assert np.array_equal(B.todense(), matrix) and (name == "Dense" or B.nse >= NSE)
    for other in (A.tocsr(), A.tocsc(), A.tocoo()):
        assert np.array_equal(other.todense(), matrix) and (name == "Dense" or other.nse == NSE)
    csr = S.tocsr()
    indptr, indices, order = be.coo2csr(S.coords[0], S.coords[1], shape=SHAPE)
    again = scipy.sparse.csr_array((S.data[order], indices, indptr), shape=SHAPE)
    assert np.array_equal(again.toarray(), csr.toarray()) and np.array_equal(
        indptr, A.tocoo().tocsr().indptr if name != "Dense" else indptr
    )
