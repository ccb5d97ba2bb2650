"""Writes late.npz with Brian2: a delay that changes while spikes are under way to plastic synapses; run by hand, see README.md."""

import argparse
from pathlib import Path

import brian2 as b
import numpy as np

DT_MS, STEPS, CHANGE = 0.1, 600, 200
DELAYS = np.array([[90, 13], [13, 90], [60, 0]])  # in steps, before and after
PAIR = {"tau_pre": 20.0, "tau_post": 30.0, "a_pre": 0.1, "a_post": -0.08, "w_max": 2.0}  # ms and pA


def sources(spikes):
    """A population that spikes so, bool (steps, neurons)."""
    steps, ids = np.nonzero(spikes)
    return b.SpikeGeneratorGroup(spikes.shape[1], ids, steps * DT_MS * b.ms)


def simulate(pre, post, row, col, w, before, after):
    """The weights at the end, and the sum of what each synapse has delivered."""
    b.start_scope()
    b.defaultclock.dt = DT_MS * b.ms
    model = """w : 1
    delivered : 1
    dx/dt = -x / tau_pre : 1 (event-driven)
    dy/dt = -y / tau_post : 1 (event-driven)"""
    on_pre = """delivered += w
    w = clip(w + a_post * w_max * y, 0, w_max)
    x += 1"""
    on_post = """y += 1
    w = clip(w + a_pre * w_max * x, 0, w_max)"""
    units = {name: value * b.ms if name.startswith("tau") else value for name, value in PAIR.items()}
    P, Q = sources(pre), sources(post)
    synapses = b.Synapses(P, Q, model, on_pre=on_pre, on_post=on_post, namespace=units)
    synapses.connect(i=row, j=col)
    synapses.w = w
    net = b.Network(P, Q, synapses)
    for delay, steps in ((before, CHANGE), (after, STEPS - CHANGE)):
        synapses.pre.delay = int(delay) * DT_MS * b.ms
        net.run(steps * DT_MS * b.ms)
    return synapses.w[:], synapses.delivered[:]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, default=Path(__file__).resolve().parent)
    arguments = parser.parse_args()
    b.prefs.codegen.target = "cython"  # one synapse after another: two spikes may arrive over one in a step
    rng, n_pre, n_post, n = np.random.default_rng(0), 12, 9, 60
    row, col, w = rng.integers(0, n_pre, n), rng.integers(0, n_post, n), rng.uniform(0.5, 1.5, n)
    pre, post = rng.random((STEPS, n_pre)) < 0.04, rng.random((STEPS, n_post)) < 0.02
    post[1:] &= ~post[:-1]  # a spike, which is a kick of the step before, is not kicked itself
    post[0] = False
    learned, delivered = zip(*(simulate(pre, post, row, col, w, *delays) for delays in DELAYS))
    stored = PAIR | {"dt": DT_MS, "change": CHANGE, "delays": DELAYS, "simulator": f"Brian2 {b.__version__}"}
    results = {"learned": np.array(learned), "delivered": np.array(delivered)}
    np.savez_compressed(arguments.directory / "late.npz", row=row, col=col, w=w, pre=pre, post=post, **stored, **results)


if __name__ == "__main__":
    main()
