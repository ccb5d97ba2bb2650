"""Statistics of spike trains: intervals, their variation, correlations of counts, and power spectra."""

import numpy as np


def intervals(times: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`(intervals, ids)`: from each spike of a neuron to its next, by neuron, then time, and the neuron of each.

    Args:
      times: ascending, (n,). ids: the neuron of each, integers (n,).
    """
    order = np.argsort(ids, kind="stable")
    times, ids = times[order], ids[order]
    same = ids[1:] == ids[:-1]
    return np.diff(times)[same], ids[1:][same]


def variation(times: np.ndarray, ids: np.ndarray, size: int) -> np.ndarray:
    """The standard deviation of the intervals of each neuron, over their mean, (size,); NaN with fewer than two intervals."""
    gaps, of = intervals(times, ids)
    count = np.bincount(of, minlength=size)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(of, gaps, size) / count
        spread = np.bincount(of, (gaps - mean[of]) ** 2, size) / count
        return np.where(count > 1, np.sqrt(spread) / mean, np.nan)


def counts(steps: np.ndarray, ids: np.ndarray, size: int, width: int, n_bins: int) -> np.ndarray:
    """How many spikes of each neuron fall into each bin, (size, n_bins); those beyond the last bin are left out.

    Args:
      steps: from the first step on, (n,). width: of a bin, in steps.
    """
    bins = steps // width
    inside = bins < n_bins
    return np.bincount(ids[inside].astype(np.int64) * n_bins + bins[inside], minlength=size * n_bins).reshape(size, n_bins)


def correlations(binned: np.ndarray) -> np.ndarray:
    """Pearson's correlation coefficients of the rows; NaN for a row whose values are all the same."""
    centred = binned - binned.mean(1, keepdims=True)
    norms = np.sqrt((centred**2).sum(1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return centred @ centred.T / np.outer(norms, norms)


def correlations_of_sums(bins: int, sums: np.ndarray, products: np.ndarray) -> np.ndarray:
    """The same, of so many bins, of the sums of the counts of each neuron, integers (n,), and of the products of all pairs, (n, n)."""
    apart = bins * products - np.outer(sums, sums)  # integers: what is constant is exactly so
    norms = np.sqrt(np.diagonal(apart).astype(np.float64))
    with np.errstate(invalid="ignore", divide="ignore"):
        return apart / np.outer(norms, norms)
