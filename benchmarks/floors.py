"""`python -m benchmarks.floors`: what this machine can do at best, and what a step of each workload would take if it did nothing else.

Rates are those of one thread, in numba: reading and writing arrays of a size in order, adding into random places of one, exponentials,
random words. A floor is the sum of what a step cannot avoid: each state of a neuron read and written once, an exponential and a division
where there are conductances, an id and a weight and a place for each delivery. It assumes nothing of overlapping one with another.
"""

import time

import numpy as np
from numba import njit

from brainevent.backends.numba.kernels.exponential import exp
from brainevent.backends.numba.kernels.random import threefry

from .common import machine

SIZES = {"160 kB": 160e3, "1.3 MB": 1.3e6, "20 MB": 20e6, "500 MB": 500e6}


@njit
def add_in_order(target, by):
    for i in range(target.shape[0]):
        target[i] += by


@njit
def add_at_random(target, places):
    for k in range(places.shape[0]):
        target[np.uint64(places[k])] += np.float32(1)


@njit
def words_of(out):
    threefry(np.uint32(1), np.uint32(2), np.uint32(0), out)


def seconds(call, *operands, rounds: int = 15) -> float:
    """The median of some runs."""
    call(*operands)
    found = []
    for _ in range(rounds):
        start = time.perf_counter()
        call(*operands)
        found.append(time.perf_counter() - start)
    return float(np.median(found))


@njit(error_model="numpy")
def logistics(x, times):
    for _ in range(times):
        for i in range(x.shape[0]):
            x[i] = np.float32(1) / (np.float32(1) + exp(-x[i]))


def exponentials(n: int) -> tuple[float, float]:
    """Nanoseconds of an exponential and a division, in an array that stays near: XLA's, and that of a pass over neurons."""
    import jax
    import jax.numpy as jnp

    x = np.linspace(0.0, 1.0, n, dtype=np.float32)
    run = jax.jit(lambda x: jax.lax.fori_loop(0, 200, lambda _, y: 1 / (1 + jnp.exp(-y)), x))
    both = seconds(lambda: run(x).block_until_ready()), seconds(logistics, x, 200)
    return both[0] / 200 / n * 1e9, both[1] / 200 / n * 1e9


def rates() -> dict:
    """Bytes a nanosecond in order, nanoseconds of a random addition, by size; nanoseconds of an exponential and of a random word."""
    rng, found = np.random.default_rng(0), {}
    for name, size in SIZES.items():
        target = np.zeros(int(size / 4), np.float32)
        places = rng.integers(0, target.size, 1 << 18).astype(np.uint32)
        in_order = 8 * target.size / seconds(add_in_order, target, np.float32(1)) * 1e-9
        found[name] = in_order, seconds(add_at_random, target, places) / places.size * 1e9
    words = np.empty(512, np.uint32)
    xla, own = exponentials(4000)
    return found | {"xla": xla, "exp": own, "word": seconds(words_of, words, rounds=500) / words.size * 1e9}


def floors(rate: dict) -> list[tuple[str, float, str]]:
    """`(workload, microseconds, of what)`, on one thread."""
    made = []
    for n, near, far in ((4_000, "160 kB", "160 kB"), (40_000, "1.3 MB", "160 kB"), (400_000, "20 MB", "1.3 MB")):
        neurons, deliveries = 33 * n / rate[near][0], n * 22e-4 * 80
        parts = neurons, n * rate["exp"], deliveries * (rate[far][1] + 2 / rate["500 MB" if n > 100_000 else near][0])
        words = "states {:.1f}, exponentials {:.1f}, deliveries {:.1f}".format(*(part * 1e-3 for part in parts))
        made.append((f"COBA {n:,}", sum(parts) * 1e-3, words))
    n, deliveries = 77_169, 94_700
    parts = 33 * n / rate["1.3 MB"][0], n * (rate["word"] + 0.5), deliveries * (rate["20 MB"][1] + 7 / rate["500 MB"][0])
    words = "states {:.0f}, Poisson numbers {:.0f}, deliveries {:.0f}".format(*(part * 1e-3 for part in parts))
    return [*made, ("microcircuit", sum(parts) * 1e-3, words)]


def main():
    """Print both tables."""
    rate = rates()
    print(", ".join(f"{key} {value}" for key, value in machine().items()), "\n")
    print("| array | in order, read and written (GB/s) | a random addition (ns) |\n|---|---|---|")
    for name in SIZES:
        print(f"| {name} | {rate[name][0]:.1f} | {rate[name][1]:.2f} |")
    print(
        f"\nAn exponential and a division {rate['exp']:.2f} ns (XLA's {rate['xla']:.2f}), a random word of 32 bits {rate['word']:.2f} ns.\n"
    )
    print("| a step of | floor on one thread (us) | of which |\n|---|---|---|")
    for workload, floor, words in floors(rate):
        print(f"| {workload} | {floor:.1f} | {words} |")


if __name__ == "__main__":
    main()
