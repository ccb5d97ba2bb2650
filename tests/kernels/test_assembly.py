"""Putting a network together on the host: sorting in lines, drawing in blocks, arrays that jax takes over, kernels called directly."""

import itertools

import jax
import numpy as np
import pytest
from tables import HERE, build, needs_numba, thorough

import brainevent as be
from brainevent import arrays
from brainevent.core.assembly import ascend_in_lines, sort_lines
from brainevent.projections import TruncNormal, drawing


def lines(rng, counts, n):
    """`(starts, ids)`: lines of so many ids below n, ascending."""
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return starts, np.concatenate([np.sort(rng.integers(0, n, count)) for count in counts] or [np.zeros(0)])


@pytest.mark.parametrize("backend", [name for name in HERE if name != "triton"])
@pytest.mark.parametrize("n, dtype", [(9, np.int16), (5000, np.int32), (2**31 - 1, np.int32), (2**40, np.int64)])
def test_ids_ascend_in_every_line(n, dtype, backend):
    """Short and long lines, none and one, of numbers of one to six bytes: those of np.sort."""
    rng = np.random.default_rng(2)
    counts = [0, 1, 2, 47, 48, 49, 700, 0, 3, 2000]
    starts, ids = lines(rng, counts, n)
    ids = rng.permuted(ids.astype(dtype))
    want = np.concatenate([np.sort(ids[a:b]) for a, b in itertools.pairwise(starts)])
    with be.backend(backend):
        ascend_in_lines(starts, ids)
        ascend_in_lines(np.zeros(1, np.int64), np.zeros(0, dtype))
    np.testing.assert_array_equal(ids, want)


@pytest.mark.parametrize("backend", [name for name in HERE if name != "triton"])
@pytest.mark.parametrize("longest", [3, pytest.param(60, marks=thorough), pytest.param(255, marks=thorough), 40_000])
@pytest.mark.parametrize("ties", [False, True])
def test_lines_are_sorted_by_their_keys(ties, longest, backend):
    """Keys, ids, weights and places go together, stable; with `ties`, keys of one id ascend before: numpy, line by line."""
    rng = np.random.default_rng(3)
    starts, ids = lines(rng, [0, 1, 5, 300, 2, 90], 25)
    ids, keys = ids.astype(np.int16), rng.integers(0, longest + 1, ids.size).astype(np.uint8 if longest < 256 else np.uint16)
    weights, places, want = rng.normal(size=ids.size), np.arange(ids.size), []
    for a, b in itertools.pairwise(starts):
        own = keys[a:b].copy()
        for id in np.unique(ids[a:b]) if ties else ():
            own[ids[a:b] == id] = np.sort(own[ids[a:b] == id])
        order = np.argsort(own, kind="stable")
        want.append((own[order], ids[a:b][order], weights[a:b][order], places[a:b][order]))
    got = keys, ids, weights.copy(), places
    with be.backend(backend):
        sort_lines(starts, keys, ids, weights=got[2], places=places, ties=ties)
        others = np.array([2, 1, 0], np.uint8), np.array([0, 1, 2], np.int16)
        sort_lines(np.array([0, 3]), *others)
    for part, values in zip(got, zip(*want)):
        np.testing.assert_array_equal(part, np.concatenate(values))
    assert others[0].tolist() == [0, 1, 2] and others[1].tolist() == [2, 1, 0]


def test_a_matrix_sorted_within_lines_is_the_same_matrix():
    """Of 16-bit ids and of formats with and without pointers, one weight or one each, half precision too."""
    rng = np.random.default_rng(4)
    for name in ("CSR", "FixedPostNumConn"):
        for dtype in (np.float32, np.float16):
            A = build(name, (12, 30), nse=60, dtype=dtype).A
            for matrix in (A, A.narrowed(), A.narrowed().with_data(np.ones((), dtype))):
                keys = rng.integers(0, 9, A.nse).astype(np.uint8)
                before = keys.copy()
                B, order = matrix.sorted_within_lines(keys, ties=False, placed_from=True)
                np.testing.assert_array_equal(keys, before[order])
                np.testing.assert_array_equal(B.todense(), matrix.todense())
                np.testing.assert_array_equal(B.coordinates()[1], np.asarray(matrix.coordinates()[1])[order])


def test_16_bits_where_they_are_enough():
    """Ids as wide as before to whoever computes with them, also where a slice of a population starts beyond 16 bits."""
    narrow = np.int16 if jax.default_backend() == "cpu" else np.int32
    for n, dtype in ((2**15 - 1, narrow), (2**15, np.int32)):
        A = be.CSR(np.ones(3), np.array([0, 5, n - 1]), np.array([0, 1, 3]), shape=(2, n)).narrowed()
        assert A.indices.dtype == dtype and A.coordinates()[1].dtype == np.int32
        assert (A.coordinates()[1] + 2**15).max() == n - 1 + 2**15
        np.testing.assert_array_equal(be.EventArray(np.array([False, True])) @ A, np.bincount([5, n - 1], minlength=n))


def test_blocks_do_not_depend_on_threads(monkeypatch):
    """One thread and three: the same numbers; a block alone is drawn from the generator itself."""
    monkeypatch.setattr(drawing, "BLOCK", 1000)
    made = []
    for cores in (1, 3):
        monkeypatch.setattr(drawing, "cores", lambda cores=cores: cores)
        made.append(TruncNormal(1.0, 1.0, 0.0, np.inf).sample(np.random.default_rng(5), 3500, np.float32))
    np.testing.assert_array_equal(*made)
    assert made[0].dtype == np.float32 and np.unique(made[0]).size > 3480 and made[0].min() >= 0
    one = drawing.in_blocks(np.random.default_rng(6), 1000, lambda rng, n: rng.random(n), np.float64)
    np.testing.assert_array_equal(one, np.random.default_rng(6).random(1000))
    with pytest.raises(ZeroDivisionError):
        drawing.in_blocks(np.random.default_rng(6), 5000, lambda rng, n: 1 / 0, np.float64)


def test_large_arrays_are_taken_over(monkeypatch):
    """`aligned` copies once, and jax not again; what the user has is never shared."""
    monkeypatch.setattr(arrays, "LARGE", 1 << 10)
    for given in (np.arange(5000.0, dtype=np.float32), np.arange(3), np.float64(2.5), np.zeros((0, 4)), np.arange(12)[::2].reshape(2, 3)):
        copy = arrays.aligned(given)
        assert copy.ctypes.data % arrays.ALIGNMENT == 0 or not copy.size
        np.testing.assert_array_equal(copy, given)
        assert not np.shares_memory(copy, given)
    mine = arrays.aligned(np.ones(5000, np.float32))
    A = be.CSR(mine, np.arange(5000), np.array([0, 5000]), shape=(1, 5000))
    mine[:] = 7
    assert (np.asarray(A.data) == 1).all()
    if jax.default_backend() == "cpu":
        taken = arrays.aligned(np.ones(5000, np.float32))
        assert arrays.placed(taken).unsafe_buffer_pointer() == taken.ctypes.data


@needs_numba
def test_kernels_on_arrays_of_the_host():
    """Nothing is copied; a bad status raises in words; what no kernel takes is refused."""
    from brainevent.backends.numba.bridge.direct import run

    x, out = np.arange(6.0).reshape(2, 3), np.zeros((2, 3))
    run(_doubled, (out,), x, np.array([0], np.int32))
    np.testing.assert_array_equal(out, 2 * x)
    with pytest.raises(RuntimeError, match=r"_doubled failed \(status 1\): an index of the structure is out of range"):
        run(_doubled, (out,), x, np.array([1], np.int32))
    for bad in (x.T, x.astype(complex), [1.0]):
        with pytest.raises(TypeError, match="expected a C-contiguous numpy array of a dtype that kernels take"):
            run(_doubled, (out,), bad, np.array([0], np.int32))


def _doubled(x, status, out):
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            out[i, j] = 2 * x[i, j]
    return status[0]
