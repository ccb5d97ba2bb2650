"""Spike by spike against Brian2 2.9: the networks of tests/golden, in float64, every spike at the same step."""

import pathlib

import brainunit as u
import jax
import numpy as np
import pytest
from tables import needs_numba

from brainevent.core import one_pass
from brainevent.projections import COBA, CUBA, LIF, Delta, Expon, FromPairs, Network, Projection

pytestmark = pytest.mark.usefixtures("optimised")
GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
UNITS = {"coba": u.nS, "delays": u.nS, "cuba": u.pA, "delta": u.mV}


def build(kind, data):
    """The stored network, pair by pair."""
    n_E = int(data["n_exc"])
    times = {key: float(data[key]) * u.ms for key in ("tau", "tau_ref")}
    voltages = {key: float(data[key]) * u.mV for key in ("V_rest", "V_th", "V_reset")}
    N = LIF(n_E + int(data["n_inh"]), R=float(data["R"]) * u.Mohm, V_init=data["V0"] * u.mV, name="N", **times, **voltages)
    projections = []
    for index, (side, view) in enumerate((("E", N[:n_E]), ("I", N[n_E:]))):
        rule = FromPairs(data[f"{side}_pre"] - view.start, data[f"{side}_post"], weight=data[f"{side}_weight"] * UNITS[kind])
        if kind == "delta":
            synapse = Delta()
        else:
            output = COBA(E=float(data["E_syn"][index]) * u.mV) if kind in ("coba", "delays") else CUBA()
            synapse = Expon(tau=float(data["tau_syn"][index]) * u.ms, output=output)
        projections.append(Projection(view, rule, synapse, N, delay=data[f"{side}_delay"] * u.ms))
    return N, Network(*projections)


@pytest.mark.parametrize("least", [one_pass.LEAST, pytest.param(1, marks=needs_numba)], ids=["by XLA", "in one pass"])
@pytest.mark.parametrize("kind", UNITS)
def test_every_spike_of_brian2(kind, least, monkeypatch):
    """Float64 throughout: round-off is about 1e-13 mV and the closest any V comes to threshold about 1e-5 mV (golden/README.md)."""
    monkeypatch.setattr(one_pass, "LEAST", least)
    data = np.load(GOLDEN / f"{kind}.npz")
    with jax.enable_x64(True):
        N, net = build(kind, data)
        dt = float(data["dt"])
        drive = {N: float(data["drive"]) * u.pA}
        traced = [N[int(i) : int(i) + 1].V for i in data["trace_id"]]
        run = net.run(float(data["n_steps"]) * dt * u.ms, dt=dt * u.ms, inputs=drive, record=[N.spikes, *traced], progress=False)
        times, ids = run.spikes(N)
    steps = np.rint(times.to_decimal(u.ms) / dt).astype(int) - 1  # a spike is stamped at its step's end
    wanted = np.stack([data["spike_step"], data["spike_id"]])
    wanted = wanted[:, np.lexsort((wanted[1], wanted[0]))]
    assert wanted.shape[1] > 1000
    np.testing.assert_array_equal(np.stack([steps, ids]), wanted)
    for trace, wanted_V in zip(traced, data["trace_V"]):
        np.testing.assert_allclose(run.state(trace).to_decimal(u.mV)[:, 0], wanted_V, atol=1e-11, rtol=0)
