"""Values that users have and code does not expect, at every door of the kernel layer: a clear error, or the right result.

`test_validation.py` has structures and operands that do not fit one another; here are the values themselves.
"""

import re

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
from tables import FORMATS, HERE, build

import brainevent as be

M = np.array([[0.0, 1.0, 2.0], [3.0, 0.0, 0.0]], np.float32)
A = be.CSR.fromdense(M)
S = be.CSR.fromdense(np.eye(3))
J = be.JITCHomoR((0.5, 0.5, 1), shape=(2, 3))
IDS, POINTER = [1, 2, 0], [0, 2, 3]
MASKED = np.ma.masked_greater(np.arange(3.0), 1)
DATES = np.array(["2026-01-01"] * 3, "M8[D]")
Unit = u.UnitMismatchError


def weights(data):
    return be.CSR((data, IDS, POINTER), shape=(2, 3))


def ids(indices):
    return be.CSR((1.0, indices, POINTER), shape=(2, 3))


def shape(shape):
    return be.COO((1.0, [0], [0]), shape=shape)


def drawn(weight=1.0, prob=0.5, seed=1, **options):
    return be.JITCHomoR((weight, prob, seed), shape=(2, 3), **options)


def batch():
    return jax.vmap(A.with_data)(jnp.ones((4, 3)))


# what: (how, error, what the message says)
BAD = {
    # weights
    "weights: objects": (
        lambda: weights(np.array([1, None, 2], object)),
        TypeError,
        "CSR: weights: expected real numbers, got dtype object",
    ),
    "weights: text": (lambda: weights("0.5"), TypeError, "CSR: weights: expected real numbers, got '0.5': pass a number"),
    "weights: texts": (
        lambda: weights(np.array(["1", "2", "3"])),
        TypeError,
        "weights: expected real numbers, got dtype <U1: convert it with",
    ),
    "weights: bytes": (lambda: weights(b"abc"), TypeError, "expected real numbers, got b'abc'"),
    "weights: None": (lambda: weights(None), TypeError, "CSR: weights: expected real numbers, got None"),
    "weights: dates": (lambda: weights(DATES), TypeError, "expected real numbers, got dtype datetime64[D]"),
    "weights: records": (lambda: weights(np.zeros(3, [("a", float)])), TypeError, "expected real numbers, got dtype [('a', '<f8')]"),
    "weights: a dict": (lambda: weights({"w": 1.0}), TypeError, "expected real numbers, got {'w': 1.0}"),
    "weights: a set": (lambda: weights({1.0}), TypeError, "expected real numbers, got {1.0}"),
    "weights: a function": (lambda: weights(lambda: 1.0), TypeError, "expected real numbers, got <function"),
    "weights: masked": (lambda: weights(MASKED), ValueError, "CSR: weights: some entries are masked: leave them out, or fill them"),
    "weights: masked in a list": (lambda: weights([1.0, np.ma.masked, 2.0]), ValueError, "some entries are masked"),
    "weights: ragged": (lambda: weights([[1.0, 2.0], [3.0]]), TypeError, "expected an array of real numbers, got [[1.0, 2.0], [3.0]]"),
    "weights: NaN": (lambda: weights([1.0, np.nan, 2.0]), ValueError, "CSR: weights: expected finite numbers, got nan"),
    "weights: NaN of jax": (lambda: weights(jnp.array([1.0, np.nan, 2.0])), ValueError, "CSR: weights: expected finite numbers, got nan"),
    "weights: infinite": (
        lambda: weights(-np.inf),
        ValueError,
        "expected finite numbers, got -inf: replace it, or leave such synapses out",
    ),
    "weights: beyond float32": (lambda: weights([1.0, 1e39, 2.0]), ValueError, "1e+39 does not fit float32: set jax_enable_x64"),
    "weights: beyond float32, with a unit": (lambda: weights(np.full(3, -1e39) * u.nS), ValueError, "-1e+39 does not fit float32"),
    "weights: beyond float64": (lambda: weights(np.full(3, np.longdouble("1e300"))), ValueError, "1e+300 does not fit float32"),
    "weights: complex": (lambda: weights(1j), TypeError, "got dtype complex128: take its real and imaginary parts one after the other"),
    "weights: complex of jax": (lambda: weights(jnp.ones(3) * 1j), TypeError, "CSR: weights: expected real numbers, got dtype complex64"),
    "weights: two units": (
        lambda: weights([1 * u.mV, 2 * u.nS, 3 * u.mV]),
        Unit,
        "CSR: weights: an entry has unit nS and the first unit mV",
    ),
    "with_data: NaN": (lambda: A.with_data([1.0, np.nan, 2.0]), ValueError, "expected finite numbers, got nan"),
    "with_data: masked": (lambda: A.with_data(MASKED), ValueError, "weights: some entries are masked"),
    "with_data: None": (lambda: A.with_data(None), TypeError, "weights: expected real numbers, got None"),
    # ids and pointers
    "ids: complex": (lambda: ids(np.array(IDS) * 1j), TypeError, "CSR: indices: expected real numbers, got dtype complex128"),
    "ids: text": (lambda: ids("120"), TypeError, "CSR: indices: expected real numbers, got '120'"),
    "ids: None": (lambda: ids(None), TypeError, "CSR: indices: expected real numbers, got None"),
    "ids: objects": (lambda: ids(np.array([0, None, 1], object)), TypeError, "CSR: indices: expected real numbers, got dtype object"),
    "ids: masked": (lambda: ids(np.ma.masked_equal(IDS, 2)), ValueError, "CSR: indices: some entries are masked"),
    "ids: with a unit": (lambda: ids(np.array(IDS) * u.mV), TypeError, "CSR: indices has unit mV, expected integers without one"),
    "ids: ragged": (lambda: ids([[0], [1, 2]]), TypeError, "CSR: indices: expected an array of real numbers, got [[0], [1, 2]]"),
    "ids: uint64 beyond int64": (
        lambda: ids(np.array([0, 2**63, 1], np.uint64)),
        ValueError,
        "indices holds 9223372036854775808, beyond 32",
    ),
    "ids: beyond 32 bits": (lambda: ids(np.array([0, 2**40, 1])), ValueError, "CSR: indices holds 1099511627776, beyond 32 bits"),
    "ids: below 32 bits": (lambda: ids(np.array([0, -(2**40), 1])), ValueError, "beyond 32 bits"),
    "ids: negative": (lambda: ids([0, -1, 1]), ValueError, "CSR: indices[1] is -1, out of range for 3 post neurons"),
    "ids: traced floats": (lambda: jax.jit(lambda i: ids(i).data)(jnp.ones(3)), TypeError, "indices has dtype float32, expected integers"),
    "pointer: floats": (lambda: be.CSR((1.0, IDS, [0.0, 2.0, 3.0]), shape=(2, 3)), TypeError, "CSR: indptr has dtype float64"),
    "pointer: masked": (lambda: be.CSR((1.0, IDS, np.ma.masked_equal(POINTER, 2)), shape=(2, 3)), ValueError, "CSR: indptr: some entries"),
    "parts: a string": (lambda: be.CSR("abc", shape=(2, 3)), TypeError, "CSR takes (data, indices, indptr), 3 arrays, got 1"),
    # shapes
    "shape: None": (lambda: shape(None), TypeError, "COO: shape is (n_pre, n_post), two sizes of at least 0, got None"),
    "shape: a number": (lambda: shape(6), TypeError, "two sizes of at least 0, got 6"),
    "shape: text": (lambda: shape("23"), TypeError, "two sizes of at least 0, got '23'"),
    "shape: flags": (lambda: shape((True, 3)), ValueError, "two sizes of at least 0, got (True, 3)"),
    "shape: NaN": (lambda: shape((np.nan, 3)), TypeError, "two sizes of at least 0, got (nan, 3)"),
    "shape: 10^30": (lambda: shape((3, 10**30)), ValueError, "expected sizes below 2^56"),
    "shape: 2^60": (lambda: shape((2**60, 3)), ValueError, "expected sizes below 2^56"),
    "shape: traced": (lambda: jax.jit(lambda n: shape((n, 3)).data)(2), TypeError, "COO: shape is (n_pre, n_post), two sizes"),
    "dense: of 2^80 entries": (lambda: shape((2**40, 2**40)).todense(), ValueError, "has 1.2e+24 entries: keep it in a sparse format"),
    "dense: a drawn one of 2^62": (
        lambda: be.JITCHomoR((1.0, 0.0, 1), shape=(2**31 - 1, 2**31 - 1)).todense(),
        ValueError,
        "keep it in a sparse",
    ),
    # from dense and scipy
    "Dense: a vector": (lambda: be.Dense(np.ones(3)), ValueError, "Dense: shape is (n_pre, n_post), two sizes of at least 0, got (3,)"),
    "Dense: two lists": (lambda: be.Dense([0.0, 1.0], [2.0, 3.0]), TypeError, "Dense takes one matrix of weights, got 2 values"),
    "fromdense: a cube": (lambda: be.CSR.fromdense(np.ones((2, 3, 4))), ValueError, "CSR.fromdense takes a matrix, got shape (2, 3, 4)"),
    "fromdense: texts": (
        lambda: be.CSR.fromdense([["a", "b"]]),
        TypeError,
        "CSR.fromdense: the matrix: expected real numbers, got dtype <U1",
    ),
    "fromdense: masked": (
        lambda: be.CSR.fromdense(np.ma.masked_equal(M, 3)),
        ValueError,
        "CSR.fromdense: the matrix: some entries are masked",
    ),
    "fromdense: NaN": (lambda: be.CSC.fromdense(M * np.nan), ValueError, "CSC.fromdense: the matrix: expected finite numbers, got nan"),
    "fromdense: too few places": (
        lambda: be.CSR.fromdense(M, nse=1),
        ValueError,
        "nse=1, but the matrix has 3 nonzeros: pass at least that many",
    ),
    "fromdense: half a place": (lambda: be.CSR.fromdense(M, nse=2.5), TypeError, "CSR: nse is 2.5, expected an integer, or None to count"),
    "fromdense: no places": (lambda: be.CSR.fromdense(M, nse=-1), ValueError, "nse=-1, but the matrix has 3 nonzeros"),
    "fromdense: traced": (
        lambda: jax.jit(lambda m: be.CSR.fromdense(m).data)(M),
        ValueError,
        "under jit the nonzeros cannot be counted: pass nse=",
    ),
    "fromscipy: an array": (
        lambda: be.CSR.fromscipy(np.eye(3)),
        TypeError,
        "takes a scipy.sparse matrix, got ndarray: use fromdense for arrays",
    ),
    "fromscipy: a list": (lambda: be.CSR.fromscipy([[1.0]]), TypeError, "takes a scipy.sparse matrix, got list"),
    "fromscipy: a vector": (lambda: be.CSR.fromscipy(scipy.sparse.coo_array(np.ones(3))), ValueError, "got a coo_array of shape (3,)"),
    "fromscipy: complex": (
        lambda: be.CSR.fromscipy(scipy.sparse.eye_array(3) * 1j),
        TypeError,
        "CSR.fromscipy: weights: expected real numbers",
    ),
    "fromscipy: a unit's name": (
        lambda: be.CSR.fromscipy(scipy.sparse.eye_array(3), unit="mV"),
        TypeError,
        "unit is 'mV', expected a unit like",
    ),
    "fromscipy: a quantity": (
        lambda: be.CSR.fromscipy(scipy.sparse.eye_array(3), unit=1 * u.mV),
        TypeError,
        "expected a unit like brainunit.nS",
    ),
    "to: a name": (lambda: A.to("csr"), TypeError, ".to takes a format like brainevent.COO, got 'csr'"),
    "to: a matrix": (lambda: A.to(A), TypeError, ".to takes a format like brainevent.COO, got CSR(float32[2, 3]"),
    "to: drawn": (lambda: A.to(be.JITCHomoR), TypeError, "JITCHomoR is drawn from a seed and holds no given matrix: use CSR"),
    # rows and columns
    "column beyond": (lambda: A[:, 99], IndexError, "cannot take column 99 of 3 post neurons"),
    "column below": (lambda: A[:, -4], IndexError, "cannot take column -4 of 3 post neurons"),
    "column of some rows": (lambda: A[0:1, 5], IndexError, "cannot take column 5 of 3 post neurons"),
    "columns": (lambda: A[:, [0, 3]], IndexError, "cannot take column [0, 3] of 3 post neurons"),
    "a pair": (lambda: A[0, 99], IndexError, "cannot take column 99 of 3 post neurons"),
    "row beyond": (lambda: A[2], IndexError, "cannot take row 2 of 2 pre neurons"),
    "row below": (lambda: A[-3], IndexError, "cannot take row -3 of 2 pre neurons"),
    "rows": (lambda: A[[0, 2]], IndexError, "cannot take row [0, 2] of 2 pre neurons"),
    "three indices": (lambda: A[1, 2, 3], IndexError, "cannot take (1, 2, 3): expected one or two indices, [rows] or [rows, columns]"),
    "no index": (lambda: A[()], IndexError, "cannot take (): expected one or two indices"),
    "a name as index": (lambda: A["a"], IndexError, "cannot take row 'a' of 2 pre neurons"),
    "half an index": (lambda: A[0.5], IndexError, "cannot take row 0.5 of 2 pre neurons"),
    "a complex index": (lambda: A[1j], IndexError, "cannot take row 1j of 2 pre neurons"),
    "float ids as index": (lambda: A[np.array([0.0, 1.0])], IndexError, "cannot take row array([0., 1.]) of 2 pre neurons"),
    "a long mask of rows": (lambda: A[np.ones(3, bool)], IndexError, "boolean index did not match indexed array"),
    "a short mask of columns": (lambda: A[:, np.ones(2, bool)], IndexError, "cannot take column array([ True,  True]) of 3 post neurons"),
    "a traced mask": (
        lambda: jax.jit(lambda m: A[m])(jnp.ones(2, bool)),
        IndexError,
        "traced indices are integers, got bool: use jnp.nonzero",
    ),
    "pairs of two shapes": (
        lambda: A[[0, 1], [0, 1, 2]],
        IndexError,
        "cannot pair rows of shape (2,) and columns of shape (3,), expected one",
    ),
    # arithmetic
    "A * text": (lambda: A * "a", TypeError, "the factor of CSR(float32[2, 3], nse=3, weights): expected real numbers, got 'a'"),
    "A * None": (lambda: A * None, TypeError, "expected real numbers, got None"),
    "A * masked": (lambda: A * MASKED, ValueError, "the factor of CSR(float32[2, 3], nse=3, weights): some entries are masked"),
    "A * NaN": (lambda: A * np.nan, ValueError, "the factor of CSR(float32[2, 3], nse=3, weights): expected finite numbers, got nan"),
    "A * beyond float32": (lambda: A * 1e39, ValueError, "1e+39 does not fit float32"),
    "A * infinity": (lambda: A * (np.inf * u.mV), ValueError, "expected finite numbers, got inf"),
    "A * NaN in an array": (lambda: A * np.array([1.0, np.nan, 1.0]), ValueError, "expected finite numbers, got nan"),
    "A * n_pre numbers": (lambda: A * np.ones(2), ValueError, "a factor of shape (2,) does not broadcast to the matrix, shape (2, 3)"),
    "A * another shape": (
        lambda: A * jnp.ones((4, 5)),
        ValueError,
        "a factor of shape (4, 5) does not broadcast to the matrix, shape (2, 3)",
    ),
    "A * a cube": (lambda: A * np.ones((1, 2, 3)), ValueError, "a factor of shape (1, 2, 3) does not broadcast"),
    "A * sparse": (lambda: A * A, TypeError, "entries of two sparse matrices are not multiplied here: use .todense() of one"),
    "A / 0": (lambda: A / 0, ValueError, "the divisor of CSR(float32[2, 3], nse=3, weights) holds 0, and weights are finite"),
    "A / an array with 0": (lambda: A / np.array([1.0, 0.0, 2.0]), ValueError, "holds 0, and weights are finite"),
    "1 / A": (lambda: 1 / A, TypeError, "a matrix of synapses is no divisor, most of its entries are 0"),
    "A + an array": (lambda: A + np.ones(3), ValueError, "x has shape (3,), expected one number: a sum with an array is dense"),
    "A + text": (lambda: A + "a", TypeError, "what is added to CSR(float32[2, 3], nse=3, weights): expected real numbers, got 'a'"),
    "A + NaN": (lambda: A + np.nan, ValueError, "expected finite numbers, got nan"),
    "A + another shape": (lambda: A + S, ValueError, "+ CSR(float32[3, 3], nse=3, weights): shapes differ"),
    "A + another unit": (
        lambda: A * u.nS + 1 * u.mV,
        Unit,
        "+ x: x has unit mV and the weights have unit nS, expected units of one dimension",
    ),
    "A - no unit": (lambda: A * u.nS - 1.0, Unit, "+ x: x has no unit and the weights have unit nS"),
    "A + B of another unit": (lambda: A + A * u.nS, Unit, "the second has unit nS and the first no unit"),
    "A @ sparse": (lambda: A @ A.T, TypeError, "a product of two sparse matrices is not defined here: use .todense() of one"),
    "A @ scipy": (
        lambda: A @ scipy.sparse.eye_array(3),
        TypeError,
        "the operand of CSR(float32[2, 3], nse=3, weights): expected real numbers",
    ),
    "A.data = w": (lambda: setattr(A, "data", 1), AttributeError, "CSR is immutable, data cannot be set: use with_data"),
    "diag_add: n_post numbers": (lambda: A.diag_add(np.ones(3)), ValueError, "the diagonal has shape (3,), expected a number or (2,)"),
    "diag_add: a matrix": (lambda: A.diag_add(np.ones((2, 2))), ValueError, "the diagonal has shape (2, 2), expected a number or (2,)"),
    "diag_add: text": (lambda: A.diag_add("a"), TypeError, "diag_add: the diagonal: expected real numbers, got 'a'"),
    "diag_add: another unit": (lambda: A.diag_add(1 * u.mV), Unit, "diag_add: the diagonal has unit mV and the weights have no unit"),
    "diag_add: NaN": (lambda: A.diag_add([1.0, np.nan]), ValueError, "expected finite numbers, got nan"),
    "solve: rectangular": (lambda: A.solve(np.ones(2)), ValueError, ".solve(b): expected a square matrix"),
    "solve: short": (lambda: S.solve(np.ones(2)), ValueError, "expected a square matrix and b of shape (3,), got (2,)"),
    "solve: a matrix": (lambda: S.solve(np.ones((3, 3))), ValueError, "b of shape (3,), got (3, 3)"),
    "solve: complex": (lambda: S.solve(np.ones(3) * 1j), TypeError, ".solve(b): b: expected real numbers, got dtype complex128"),
    "solve: masked": (lambda: S.solve(MASKED), ValueError, ".solve(b): b: some entries are masked"),
    "dt2t: n_post numbers": (lambda: A.dt2t(np.ones(3)), ValueError, "y has shape (3,), expected (2,)"),
    "dt2t: weights of another shape": (
        lambda: A.dt2t(np.ones(2), np.ones((3, 1))),
        ValueError,
        "weights of shape (3, 1), expected a scalar",
    ),
    "dt2t: too many weights": (lambda: A.dt2t(np.ones(2), np.ones(4)), ValueError, "weights of shape (4,), expected a scalar"),
    "dt2t: complex": (lambda: A.dt2t(np.ones(2) * 1j), TypeError, "y: expected real numbers, got dtype complex128"),
    "dt2t: text": (lambda: A.dt2t("ab"), TypeError, "y: expected real numbers, got 'ab'"),
    "dt2t_transposed: n_pre numbers": (lambda: A.dt2t_transposed(np.ones(2)), ValueError, "y has shape (2,), expected (3,)"),
    # coordinates
    "coo2csr: row": (lambda: be.coo2csr([5], [0], shape=(2, 3)), ValueError, "coo2csr: row[0] is 5, out of range for 2 pre neurons"),
    "coo2csr: column": (lambda: be.coo2csr([0], [3], shape=(2, 3)), ValueError, "coo2csr: col[0] is 3, out of range for 3 post neurons"),
    "coo2csr: negative": (lambda: be.coo2csr([-1], [0], shape=(2, 3)), ValueError, "coo2csr: row[0] is -1, out of range"),
    "coo2csr: lengths": (
        lambda: be.coo2csr([1], [0, 1], shape=(2, 3)),
        ValueError,
        "row and col are 1-D of one length, got shapes (1,) and (2,)",
    ),
    "coo2csr: floats": (lambda: be.coo2csr([0.0], [0], shape=(2, 3)), TypeError, "coo2csr: row has dtype float64, expected integers"),
    "coo2csr: shape": (
        lambda: be.coo2csr([0], [0], shape=(2,)),
        ValueError,
        "coo2csr: shape is (n_pre, n_post), two sizes of at least 0, got (2,)",
    ),
    # events and operands
    "events: masked": (lambda: be.EventArray(MASKED), ValueError, "EventArray: some entries are masked"),
    "events: complex": (lambda: be.EventArray(np.ones(2) * 1j), TypeError, "EventArray: expected real numbers, got dtype complex128"),
    "events: with a unit": (
        lambda: be.EventArray(np.ones(2) * u.mV),
        TypeError,
        "says where events are and has no unit, got mV; use MaskedFloat",
    ),
    "events: None": (lambda: be.EventArray(None), TypeError, "EventArray: expected real numbers, got None"),
    "events: text": (lambda: be.EventArray("ab"), TypeError, "EventArray: expected real numbers, got 'ab'"),
    "events: objects": (
        lambda: be.EventArray(np.array([1, None], object)),
        TypeError,
        "EventArray: expected real numbers, got dtype object",
    ),
    "events: dates": (lambda: be.EventArray(DATES), TypeError, "EventArray: expected real numbers, got dtype datetime64[D]"),
    "events: ragged": (lambda: be.EventArray([[1], [1, 2]]), TypeError, "EventArray: expected an array of real numbers, got [[1], [1, 2]]"),
    "events: set to another shape": (
        lambda: setattr(be.EventArray([1, 0]), "value", jnp.ones(3)),
        ValueError,
        "has shape (2,) and cannot be set",
    ),
    "graded: complex": (lambda: be.MaskedFloat(np.ones(2) * 1j), TypeError, "MaskedFloat: expected real numbers, got dtype complex128"),
    "graded: masked": (lambda: be.MaskedFloat(MASKED), ValueError, "MaskedFloat: some entries are masked"),
    "graded: beyond float32": (lambda: be.MaskedFloat([1e39, 0.0]), ValueError, "MaskedFloat: 1e+39 does not fit float32"),
    "operand: objects": (
        lambda: np.array([1, None], object) @ A,
        TypeError,
        "the operand of CSR(float32[2, 3], nse=3, weights): expected real",
    ),
    "operand: masked": (lambda: np.ma.masked_equal([1.0, 2.0], 1) @ A, ValueError, "some entries are masked"),
    "operand: None": (lambda: A @ None, TypeError, "expected real numbers, got None"),
    "operand: beyond float32": (lambda: np.array([1e39, 0.0]) @ A, ValueError, "1e+39 does not fit float32"),
    "operand: ragged": (lambda: A @ [[1], [1, 2], [1]], TypeError, "expected an array of real numbers"),
    "a batch outside vmap": (
        lambda: be.EventArray([1, 0]) @ batch(),
        ValueError,
        "weights of shape (4, 3) are a batch, to be used under jax.vmap",
    ),
    "a batch, dense": (lambda: batch().todense(), ValueError, "are a batch, to be used under jax.vmap"),
    "a batch, converted": (lambda: batch().tocsc(), ValueError, "are a batch, to be used under jax.vmap"),
    "a batch, a row of it": (lambda: batch()[0], ValueError, "are a batch, to be used under jax.vmap"),
    # just-in-time
    "drawn: NaN": (lambda: drawn(np.nan), ValueError, "JITCHomoR: weight: expected finite numbers, got nan"),
    "drawn: text": (lambda: drawn("a"), TypeError, "JITCHomoR: weight: expected real numbers, got 'a'"),
    "drawn: beyond float32": (lambda: drawn(1e39), ValueError, "JITCHomoR: weight: 1e+39 does not fit float32"),
    "drawn: masked": (lambda: drawn(np.ma.masked), ValueError, "JITCHomoR: weight: some entries are masked"),
    "drawn: infinite mean": (lambda: be.JITCNormalR((np.inf, 1.0, 0.5, 1), shape=(2, 3)), ValueError, "JITCNormalR: loc: expected finite"),
    "drawn: prob is text": (lambda: drawn(prob="a"), TypeError, "JITCHomoR: prob: expected real numbers, got 'a'"),
    "drawn: prob is None": (lambda: drawn(prob=None), TypeError, "JITCHomoR: prob: expected real numbers, got None"),
    "drawn: prob is a flag": (lambda: drawn(prob=True), TypeError, "JITCHomoR: prob is True, expected one plain number in [0, 1]"),
    "drawn: prob is complex": (lambda: drawn(prob=0.5j), TypeError, "JITCHomoR: prob: expected real numbers, got dtype complex128"),
    "drawn: seed is text": (lambda: drawn(seed="a"), TypeError, "JITCHomoR: seed is 'a', expected an integer"),
    "drawn: no seed": (lambda: drawn(seed=None), TypeError, "JITCHomoR: seed is None, expected an integer"),
    "drawn: corder is text": (lambda: drawn(corder="yes"), TypeError, "corder is 'yes', expected None, True (a column is drawn at a time)"),
    "drawn: corder is 1": (lambda: drawn(corder=1), TypeError, "corder is 1, expected None, True"),
    "drawn: skip_diagonal is a flag": (
        lambda: drawn(skip_diagonal=True),
        TypeError,
        "skip_diagonal is True, expected the offset of a diagonal",
    ),
    "drawn: too few places": (lambda: J.tocsr(nse=1), ValueError, "nse=1, but there are 4 synapses: pass at least that many"),
    "drawn: half a place": (lambda: J.tocsr(nse=1.5), TypeError, "nse is 1.5, expected an integer"),
    "drawn: a traced seed": (
        lambda: jax.jit(lambda s: drawn(seed=s).tocsr().data)(1),
        TypeError,
        "the seed is traced, so the synapses cannot be",
    ),
    # backends
    "explain: operation": (lambda: be.explain("product", A), ValueError, "unknown operation 'product': expected one of"),
    "explain: an array": (
        lambda: be.explain("propagate", M),
        TypeError,
        "a connectivity, got ndarray: wrap a matrix as brainevent.Dense(matrix)",
    ),
    "explain: platform": (lambda: be.explain("propagate", A, platform="gpu"), ValueError, "unknown platform 'gpu': expected one of ('cpu'"),
    "backend: a number": (lambda: be.backend(3).__enter__(), ValueError, "unknown backend 3: expected one of ['numba', 'triton', 'xla']"),
    "with_backend: a number": (lambda: A.with_backend(3), ValueError, "unknown backend 3"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_values_are_named(what):
    how, error, message = BAD[what]
    with pytest.raises(error, match=re.escape(message)) as caught:
        how()
    assert "0x" not in str(caught.value) or "function" in message


W = np.array([1.0, 2.0, 3.0])
READ_ONLY = W.copy()
READ_ONLY.flags.writeable = False
# what: (how, the matrix or product it should give)
CONTROLS = {
    "weights: a list": (lambda: weights([1.0, 2.0, 3.0]), M),
    "weights: a tuple": (lambda: weights((1, 2, 3)), M),
    "weights: big-endian": (lambda: weights(W.astype(">f4")), M),
    "weights: every other one": (lambda: weights(np.repeat(W, 2)[::2]), M),
    "weights: reversed": (lambda: weights(W[::-1].copy()[::-1]), M),
    "weights: read-only": (lambda: weights(READ_ONLY), M),
    "weights: integers": (lambda: weights(np.array([1, 2, 3], np.uint8)), M),
    "weights: flags": (lambda: weights(np.array([True, True, True])), M != 0),
    "weights: longdouble": (lambda: weights(W.astype(np.longdouble)), M),
    "weights: no entry is masked": (lambda: weights(np.ma.array(W)), M),
    "weights: events": (lambda: weights(be.MaskedFloat(W)), M),
    "weights: numpy scalars in a list": (lambda: weights([np.float32(1), np.float64(2), np.int8(3)]), M),
    "weights: quantities in a list": (lambda: weights([1 * u.mV, 2 * u.mV, 3e-3 * u.volt]), M),
    "weights: the largest": (lambda: weights(3.4e38) * 0.5, (M != 0) * np.float32(1.7e38)),
    "ids: uint64": (lambda: ids(np.array(IDS, np.uint64)), M != 0),
    "ids: big-endian": (lambda: ids(np.array(IDS, ">i8")), M != 0),
    "ids: a list of numpy": (lambda: ids([np.int64(1), np.uint8(2), 0]), M != 0),
    "ids: traced": (lambda: jax.jit(ids)(np.array(IDS)), M != 0),
    "shape: numpy": (lambda: be.CSR((W, IDS, POINTER), shape=np.array([2, 3])), M),
    "shape: large and empty": (lambda: be.COO((1.0, [], []), shape=(0, 2**40)).nse, 0),
    "a column, negative": (lambda: A[:, -1], M[:, -1]),
    "rows by a mask": (lambda: A[np.array([False, True])], M[1:]),
    "columns by a mask": (lambda: A[:, np.array([True, False, True])], M[:, [0, 2]]),
    "rows by a negative id": (lambda: A[[-1, 0]], M[[-1, 0]]),
    "pairs": (lambda: A[[0, 1], [2, 0]], M[[0, 1], [2, 0]]),
    "a traced row": (lambda: jax.jit(lambda i: A[i])(-1), M[-1]),
    "a traced row beyond": (lambda: jax.jit(lambda i: A[i])(2), np.full(3, np.nan)),
    "a traced column beyond": (lambda: jax.jit(lambda j: A[:, j])(3), np.full(2, np.nan)),
    "no rows": (lambda: A[2:2], M[2:2]),
    "no rows of a drawn one": (lambda: J[2:2], M[2:2]),
    "ellipsis": (lambda: A[..., 1], M[:, 1]),
    "diag_add": (lambda: A.diag_add([5.0, 6.0]), M + np.array([[5, 0, 0], [0, 6, 0]])),
    "diag_add of one number": (lambda: A.diag_add(5), M + np.array([[5, 0, 0], [0, 5, 0]])),
    "a list": (lambda: [1.0, 2.0] @ A, [1, 2] @ M),
    "a big-endian operand": (lambda: np.array([1.0, 2.0], ">f8") @ A, [1, 2] @ M),
    "an operand of bytes": (lambda: np.array([1, 2], np.int8) @ A, [1, 2] @ M),
    "events of 2^32": (lambda: be.EventArray(np.array([2**32, 0])) @ A, M[0]),
    "events of 1e-300": (lambda: be.EventArray(np.array([1e-300, 0.0])) @ A, M[0]),
    "events of 1e-45": (lambda: be.EventArray(np.array([1e-45, 0.0], np.float32)) @ A, M[0]),
    "events of -0.0": (lambda: be.EventArray(np.array([-0.0, 1.0])) @ A, M[1]),
    "events of NaN": (lambda: be.EventArray(np.array([np.nan, 0.0])) @ A, M[0]),
    "events big-endian": (lambda: be.EventArray(np.array([1, 0], ">i4")) @ A, M[0]),
    "no product": (lambda: np.zeros((0, 2)) @ A, np.zeros((0, 3))),
    "no pre neurons": (lambda: be.EventArray(np.zeros(0)) @ be.CSR((1.0, [], [0]), shape=(0, 3)), np.zeros(3)),
    "no post neurons": (lambda: np.ones(2) @ be.CSR((1.0, [], [0, 0, 0]), shape=(2, 0)), np.zeros(0)),
    "no neurons of a drawn one": (lambda: np.ones(2) @ be.JITCNormalR((1.0, 1.0, 0.5, 1), shape=(2, 0)), np.zeros(0)),
    "no rows of a dense one": (lambda: np.ones((0, 2)) @ be.Dense(M), np.zeros((0, 3))),
    "spare places": (lambda: be.CSR.fromdense(M, nse=9), M),
    "spare places under jit": (lambda: jax.jit(lambda m: be.CSR.fromdense(m, nse=5).todense())(M), M),
    "too few places under jit": (lambda: jax.jit(lambda m: be.CSR.fromdense(m, nse=1).todense())(M)[0, 1], np.nan),
    "infinite weights under jit": (lambda: jax.jit(lambda w: weights(w).todense())(jnp.array([1.0, np.inf, 3.0]))[0, 2], np.inf),
}


@pytest.mark.parametrize("backend", HERE)
@pytest.mark.parametrize("what", CONTROLS)
def test_odd_values_that_are_legal_give_the_right_result(what, backend):
    how, want = CONTROLS[what]
    with be.backend(backend):
        got = how()
        got = got.todense() if isinstance(got, be.Connectivity) else got
    np.testing.assert_array_equal(np.asarray(u.get_mantissa(got), np.float64), np.asarray(want, np.float64))


def test_arrays_are_copied():
    """What the user goes on to do with an array does not change what was made of it."""
    w, i, p, x = W.copy(), np.array(IDS), np.array(POINTER), np.array([True, False])
    dense = M.copy()
    made = be.CSR((w, i, p), shape=(2, 3)), be.CSR((w * u.nS, i, p), shape=(2, 3)), be.Dense(dense), be.CSR.fromdense(dense), A.with_data(w)
    events, graded = be.EventArray(x), be.MaskedFloat(w)
    w[:], i[:], p[:], x[:], dense[:] = 9, 0, 0, False, 9
    for B in made:
        np.testing.assert_array_equal(u.get_mantissa(B.todense()), M)
    np.testing.assert_array_equal(events.value, [True, False])
    np.testing.assert_array_equal(graded.value, W)


BAD_UNDER_JIT = {  # structures that cannot be seen when they are built: (ids, pointer)
    "an id beyond": ([1, 7, 0], [0, 2, 3]),
    "a negative id": ([1, -1, 0], [0, 2, 3]),
    "a pointer that falls": ([1, 2, 0], [0, 4, 3]),
    "a pointer that ends early": ([1, 2, 0], [0, 1, 2]),
}


@pytest.mark.parametrize("what", BAD_UNDER_JIT)
def test_a_bad_structure_under_jit_is_nan_on_xla(what):
    """Silence would be a synapse lost; numba's kernels raise (`test_validation.py`)."""
    structure = tuple(map(np.array, BAD_UNDER_JIT[what]))
    build = {"backend": "xla", "shape": (2, 3)}
    x, y = jnp.ones(2), jnp.ones(3)
    runs = {
        "events @ A": lambda B: be.EventArray(x) @ B,
        "floats @ A": lambda B: x @ B,
        "A @ x": lambda B: B @ y,
        "todense": lambda B: B.todense(),
        "tocsc": lambda B: B.tocsc().data,
        "a row": lambda B: B[0],
        "gradient": lambda B: jax.grad(lambda w: (x @ B.with_data(w)).sum())(B.data),
    }
    got = jax.jit(lambda i, p: {name: run(be.CSR((jnp.array([1.0, 2.0, 3.0]), i, p), **build)) for name, run in runs.items()})(*structure)
    for name, value in got.items():
        assert np.isnan(value).all(), name


FACTOR, DIAGONAL = "the factor of {A}: ", "{A}.diag_add: the diagonal"
ANY_FORMAT = {  # what: (operation on a matrix of 5 pre and 7 post neurons, error, words)
    "column beyond": (lambda A: A[:, 99], IndexError, "{A}: cannot take column 99 of 7 post neurons"),
    "column below": (lambda A: A[:, -99], IndexError, "{A}: cannot take column -99 of 7 post neurons"),
    "columns": (lambda A: A[:, [0, 99]], IndexError, "{A}: cannot take column [0, 99] of 7 post neurons"),
    "half a column": (lambda A: A[:, 1.5], IndexError, "{A}: cannot take column 1.5 of 7 post neurons"),
    "a name of a column": (lambda A: A[:, "a"], IndexError, "{A}: cannot take column 'a' of 7 post neurons"),
    "a long mask of rows": (lambda A: A[np.ones(8, bool)], IndexError, "{A}: cannot take row array([ True"),
    "a short mask of columns": (lambda A: A[:, np.ones(2, bool)], IndexError, "{A}: cannot take column array([ True,  True])"),
    "A * text": (lambda A: A * "a", TypeError, FACTOR + "expected real numbers, got 'a'"),
    "A * masked": (lambda A: A * np.ma.masked_greater(np.arange(7.0), 1), ValueError, FACTOR + "some entries are masked"),
    "A * NaN": (lambda A: A * np.nan, ValueError, FACTOR + "expected finite numbers, got nan"),
    "A * complex": (lambda A: A * 1j, TypeError, FACTOR + "expected real numbers, got dtype complex128"),
    "A * objects": (lambda A: A * np.array([None] * 7), TypeError, FACTOR + "expected real numbers, got dtype object"),
    "A * another shape": (
        lambda A: A * np.ones((4, 9)),
        ValueError,
        "a factor of shape (4, 9) does not broadcast to the matrix, shape (5, 7)",
    ),
    "A / 0": (lambda A: A / 0, ValueError, "the divisor of {A} holds 0, and weights are finite"),
    "diag_add: text": (lambda A: A.diag_add("a"), TypeError, DIAGONAL + ": expected real numbers, got 'a'"),
    "diag_add: NaN": (lambda A: A.diag_add(np.nan), ValueError, DIAGONAL + ": expected finite numbers, got nan"),
    "diag_add: complex": (lambda A: A.diag_add(1j), TypeError, DIAGONAL + ": expected real numbers, got dtype complex128"),
    "diag_add: masked": (lambda A: A.diag_add(np.ma.masked_greater(np.arange(5.0), 1)), ValueError, DIAGONAL + ": some entries are masked"),
    "diag_add: a unit": (lambda A: A.diag_add(1 * u.mV), Unit, DIAGONAL + " has unit mV and the weights have no unit"),
    "diag_add: a shape": (lambda A: A.diag_add(np.ones(99)), ValueError, DIAGONAL + " has shape (99,), expected a number or (5,)"),
}


@pytest.mark.parametrize("name", FORMATS)
def test_odd_values_are_named_by_every_format(name):
    """Columns, masks, factors and diagonals: the same error in the same words, with the matrix in it."""
    A = build(name, dtype=np.float32).A
    for what, (run, error, words) in ANY_FORMAT.items():
        with pytest.raises(error) as caught:
            run(A)
        assert words.format(A=A) in str(caught.value), what


STRICT = {
    "leaks": jax.checking_leaks,
    "promotion": lambda: jax.numpy_dtype_promotion("strict"),
    "transfers": lambda: jax.transfer_guard("disallow"),
}


@pytest.mark.parametrize("backend", HERE)
@pytest.mark.parametrize("option", STRICT)
def test_products_under_jax_settings_that_are_strict(option, backend):
    B, x, y = A.with_backend(backend), be.EventArray(jnp.array([True, False])), jnp.ones(3)
    run = jax.jit(
        lambda B, x, y: (x @ B, B @ y, jax.grad(lambda w: (x @ B.with_data(w)).sum())(B.data), jax.vmap(lambda y: B @ y)(y[None]))
    )
    with STRICT[option]():
        got = run(B, x, y)
    for value, want in zip(got, (M[0], M.sum(1), [1, 1, 0], M.sum(1)[None])):
        np.testing.assert_array_equal(value, want)
