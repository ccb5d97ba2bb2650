"""How far the spikes of the microcircuit are from those of NEST: rates, irregularity and correlations, population by population.

    python benchmarks/peers/nest_microcircuit.py A.npz --seed 1      # where NEST is installed; another for seed 2
    python -m benchmarks.accuracy A.npz B.npz --scale 0.1 --duration 2500

Prints, for each population, the mean rate of ours, of NEST and of the paper, the mean coefficient of variation of interspike intervals of
neurons that have at least three, the mean correlation of 200 neurons in bins of 2 ms, and Kolmogorov-Smirnov distances between the
distributions of each: of ours from those of NEST, and, where there is more than one file, of these from each other, the medians of pairs.
"""

import argparse
import itertools
from typing import NamedTuple

import brainunit as u
import numpy as np
from scipy.stats import ks_2samp

from networks.command_line import DT
from networks.microcircuit import NAMES, RATES, SETTLING, build

BIN, CHOSEN = 20, 200  # steps; neurons


class Statistics(NamedTuple):
    """Of a population: one number a neuron, a neuron with enough spikes, a pair."""

    rate: np.ndarray
    cv: np.ndarray
    correlation: np.ndarray


def statistics(steps: np.ndarray, ids: np.ndarray, size: int, first: int, last: int) -> Statistics:
    """Of the spikes after step `first` up to `last`."""
    late = (steps > first) & (steps <= last)
    steps, ids = steps[late] - first - 1, ids[late]
    spikes = np.bincount(ids, minlength=size)
    order = np.lexsort((steps, ids))
    same = np.diff(ids[order]) == 0
    gaps, own = np.diff(steps[order])[same].astype(float), ids[order][1:][same]
    n, total, squares = (np.bincount(own, weights, minlength=size) for weights in (None, gaps, gaps**2))
    enough = n >= 3
    mean = total[enough] / n[enough]
    cv = np.sqrt(np.maximum(squares[enough] / n[enough] - mean**2, 0)) / mean
    active = np.flatnonzero(spikes)
    chosen = np.random.default_rng(0).permutation(active)[:CHOSEN]
    row = np.full(size, -1)
    row[chosen] = np.arange(chosen.size)
    counts, there = np.zeros((chosen.size, (last - first) // BIN)), row[ids] >= 0
    np.add.at(counts, (row[ids[there]], np.minimum(steps[there] // BIN, counts.shape[1] - 1)), 1)
    correlations = np.corrcoef(counts)[np.triu_indices(chosen.size, 1)]
    return Statistics(spikes / ((last - first) * 1e-4), cv, correlations)


def of_nest(path: str, first: int, last: int) -> list[Statistics]:
    """Of each population in a file of `peers/nest_microcircuit.py`."""
    held = np.load(path)
    steps, ids, ends = held["steps"].astype(int), held["ids"], np.concatenate([[0], np.cumsum(held["sizes"])])
    inside = [(ids >= start) & (ids < stop) for start, stop in itertools.pairwise(ends)]
    return [statistics(steps[own], ids[own] - start, int(n), first, last) for own, start, n in zip(inside, ends, held["sizes"])]


def of_ours(scale: float, seed: int, first: int, last: int) -> list[Statistics]:
    """Of each population of a run of our own."""
    net, populations, inputs = build(scale, seed)
    run = net.run(last * DT, dt=DT, inputs=inputs)
    found = [run.spikes(population) for population in populations]
    return [statistics(np.rint(times / DT).astype(int), ids, p.size, first, last) for p, (times, ids) in zip(populations, found)]


def distance(pairs, which: str) -> str:
    """The median over pairs of lists of samples of the Kolmogorov-Smirnov distance."""
    found = [ks_2samp(getattr(a, which), getattr(b, which)).statistic for a, b in pairs]
    return f"{np.median(found):.3f}" if found else "-"


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--duration", type=float, default=10_500.0, help="ms, that of the files")
    parser.add_argument("--seeds", type=int, nargs="+", default=[42])
    arguments = parser.parse_args()
    first, last = round(SETTLING.to_decimal(u.ms) * 10), round(arguments.duration * 10)
    theirs = [of_nest(path, first, last) for path in arguments.files]
    ours = [of_ours(arguments.scale, seed, first, last) for seed in arguments.seeds]
    head = "", "rate (Hz): ours, NEST, paper", "CV: ours, NEST", "correlation: ours, NEST"
    print(row(*head, "distance of rates (of NEST's)", "of CV", "of correlations"))
    print(row(*("---",) * 7))
    for i, (name, published) in enumerate(zip(NAMES, RATES)):
        rate, cv, correlation = (
            [f"{np.mean([np.nanmean(run[i][k]) for run in runs]):.{digits}f}" for runs in (ours, theirs)]
            for k, digits in enumerate((2, 2, 4))
        )
        between, among = [(a[i], b[i]) for a in ours for b in theirs], [(a[i], b[i]) for a, b in itertools.combinations(theirs, 2)]
        apart = [f"{distance(between, which)} ({distance(among, which)})" for which in Statistics._fields]
        print(row(name, ", ".join([*rate, f"{published:.2f}"]), ", ".join(cv), ", ".join(correlation), *apart))


def row(*cells: str) -> str:
    """Of a table."""
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
