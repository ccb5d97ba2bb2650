"""numba kernels of the full matrix (Dense)."""

from numba import prange

from ..bridge.inner import njit
from .operands import OK, active, active_rows, value


@njit
def add_rows(rows, count, x, w, low, high, out):
    """`out[low:high] += x @ w[:, low:high]` over the listed rows, four at a time: `out` is loaded and stored a quarter as often."""
    sums = out[low:high]  # slices, not offsets: an index that starts at 0 cannot count from the end, and the loop vectorises
    for a in range(0, count - 3, 4):
        i, j, k, l = rows[a], rows[a + 1], rows[a + 2], rows[a + 3]
        p, q, r, s = value(x, i, out), value(x, j, out), value(x, k, out), value(x, l, out)
        wi, wj, wk, wl = w[i][low:high], w[j][low:high], w[k][low:high], w[l][low:high]
        for c in range(sums.shape[0]):
            sums[c] += (p * wi[c] + q * wj[c]) + (r * wk[c] + s * wl[c])
    for a in range(count // 4 * 4, count):
        p, wi = value(x, rows[a], out), w[rows[a]][low:high]
        for c in range(sums.shape[0]):
            sums[c] += p * wi[c]


@njit(parallel=True)
def add_rows_blocks(rows, count, x, w, blocks, out):
    """`add_rows`, one thread a block of targets."""
    for b in prange(blocks):
        add_rows(rows, count, x, w, out.shape[0] * b // blocks, out.shape[0] * (b + 1) // blocks, out)


def dense_rows(x, w, out):
    """The product from the side of the rows: only active rows are read."""
    out[:] = 0
    rows, count = active(x)
    add_rows(rows, count, x, w, 0, out.shape[0], out)
    return OK


def dense_rows_threaded(x, w, blocks, least, out):
    """`dense_rows`, split by blocks of targets where there are at least `least[0]` entries to add."""
    out[:] = 0
    rows, count = active(x)
    if count * out.shape[0] >= least[0]:
        add_rows_blocks(rows, count, x, w, blocks[0], out)
    else:
        add_rows(rows, count, x, w, 0, out.shape[0], out)
    return OK


@njit(fastmath={"reassoc", "contract"})
def row_products(w, i, x, out):
    """`out[i:i+4] = w[i:i+4] @ x`, in whatever order vectorises; four rows share the loads of `x`."""
    a, b, c, d = w[i], w[i + 1], w[i + 2], w[i + 3]
    p = q = r = s = out.dtype.type(0)
    for j in range(x.shape[0]):
        v = x[j]
        p += a[j] * v
        q += b[j] * v
        r += c[j] * v
        s += d[j] * v
    out[i], out[i + 1], out[i + 2], out[i + 3] = p, q, r, s


@njit(fastmath={"reassoc", "contract"})
def row_product(row, x):
    """The dot product of two arrays, in whatever order vectorises."""
    total = row.dtype.type(0)
    for j in range(row.shape[0]):
        total += row[j] * x[j]
    return total


@njit
def sum_columns(columns, count, x, w, first, last, out):
    """`out[first:last] = w[first:last] @ x`: the active columns where they are few, else whole rows, which vectorise."""
    if 12 * count < x.shape[0]:
        for i in range(first, last):
            total = out.dtype.type(0)
            for a in range(count):
                total += value(x, columns[a], out) * w[i, columns[a]]
            out[i] = total
    else:
        floats = x.astype(out.dtype)
        for i in range(first, last - 3, 4):
            row_products(w, i, floats, out)
        for i in range(first + (last - first) // 4 * 4, last):
            out[i] = row_product(w[i], floats)


@njit(parallel=True)
def sum_columns_blocks(columns, count, x, w, blocks, out):
    """`sum_columns`, one thread a block of rows."""
    for b in prange(blocks):
        sum_columns(columns, count, x, w, out.shape[0] * b // blocks, out.shape[0] * (b + 1) // blocks, out)


def dense_columns(x, w, out):
    """The product from the side of the columns."""
    columns, count = active(x)
    sum_columns(columns, count, x, w, 0, out.shape[0], out)
    return OK


def dense_columns_threaded(x, w, blocks, least, out):
    """`dense_columns`, split by blocks of rows where there are at least `least[0]` entries to add."""
    columns, count = active(x)
    if count * out.shape[0] >= least[0]:
        sum_columns_blocks(columns, count, x, w, blocks[0], out)
    else:
        sum_columns(columns, count, x, w, 0, out.shape[0], out)
    return OK


def dense_rows_batch(x, w, out):
    """`x[b].T @ w[b]` for each example, operands (b, n, k): rows without an active column are skipped."""
    for b in range(x.shape[0]):
        out[b] = 0
        rows, count = active_rows(x[b])
        matrix = w[b if w.shape[0] > 1 else 0]
        for a in range(count):
            i = rows[a]
            for c in range(x.shape[2]):
                if x[b, i, c] != 0:
                    v = value(x[b, i], c, out)
                    for j in range(out.shape[2]):
                        out[b, c, j] += v * matrix[i, j]
    return OK


def dense_outer(left, right, out):
    """`out[e, i, j] = sum(left[e, i] * right[e, j])` over columns: `correlate`; a zero on the left costs nothing."""
    for e in range(out.shape[0]):
        out[e] = 0
        for i in range(out.shape[1]):
            for c in range(left.shape[2]):
                if left[e, i, c] != 0:
                    v = value(left[e, i], c, out)
                    for j in range(out.shape[2]):
                        out[e, i, j] += v * out.dtype.type(right[e, j, c])
    return OK
