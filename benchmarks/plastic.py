"""Ten million synapses that learn by PairSTDP, 5 Hz on both sides, against Brian2's C++ standalone mode."""

import tempfile
from pathlib import Path

import brainunit as u

from brainevent.projections import LIF, Delta, FixedProb, Network, PairSTDP, Poisson, Projection, Uniform

from .coba import brian2
from .common import Row, alternating
from .environments import python_with

PEER = Path(__file__).parent / "peers" / "brian2_plastic.py"
N = 10_000


def ours():
    """A call that simulates half a second, continuing, and returns microseconds a step; nothing is recorded, as with the peer."""
    pre = Poisson(N, rate=5 * u.Hz, name="pre")
    start = Uniform(-60 * u.mV, -50 * u.mV)
    post = LIF(N, tau=100 * u.ms, V_rest=-60 * u.mV, V_th=-50 * u.mV, V_reset=-60 * u.mV, V_init=start, name="post")
    rule = PairSTDP(w_max=0.002 * u.mV, a_pre=0.01, a_post=-0.0105, tau_pre=20 * u.ms, tau_post=20 * u.ms)
    connect = FixedProb(0.1, weight=Uniform(0 * u.mV, 0.002 * u.mV))
    net = Network(Projection(pre, connect, Delta(), post, plasticity=rule), seed=1, dt=0.1 * u.ms)

    def call():
        run = net.run(500 * u.ms, inputs={post: 115.65 * u.pA}, record=[], progress=False)
        return 0.1e-3 / run.speed * 1e6

    call()
    return call


def measure(rounds: int) -> list[Row]:
    """Microseconds a step of 0.1 ms."""
    python = python_with("brian2")
    with tempfile.TemporaryDirectory() as directory:
        calls = {"ours": ours()}
        if python:
            calls["peer"] = brian2(python, N, directory, PEER)
        figures = alternating(calls, rounds)
    peer = "Brian2 2.9 C++ standalone, 1 thread" if python else "Brian2 cannot be installed"
    return [Row("11", "1e7 plastic synapses, 5 Hz, one step", figures["ours"], "us", peer, figures.get("peer"), at_least=3.0)]
