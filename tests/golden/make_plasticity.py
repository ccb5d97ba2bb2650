"""Writes plasticity.npz with Brian2: 2,000 neurons for 1 s, two plastic projections, every weight; run by hand, see README.md."""

import argparse
from pathlib import Path

import brian2 as b
import numpy as np

HERE = Path(__file__).resolve().parent
DT_MS, N_EXC, N_INH, LONGEST = 0.1, 1600, 400, 40  # LONGEST: steps of delay

# In ms, mV, Mohm, pA, Hz. Tuples are (E, I).
PARAMETERS = {"tau": 20.0, "V_rest": -60.0, "V_th": -50.0, "V_reset": -60.0, "tau_ref": 5.0, "R": 100.0, "tau_syn": (5.0, 10.0)}
PAIR = {"tau_pre": 20.0, "tau_post": 30.0, "a_pre": 0.2, "a_post": -0.13, "w_max": 30.0}
VOGELS = {"eta": -10.0, "rate": 12.0, "tau": 20.0, "w_min": -120.0, "w_max": 0.0}  # inhibitory currents are negative


def draw(seed: int) -> dict:
    """Pairs, weights, delays (in steps), drive and V0; what is stored in few bits holds them exactly."""
    rng, n = np.random.default_rng(seed), N_EXC + N_INH
    drawn = {"V0": np.round(rng.uniform(-60, -50, n) * 64) / 64, "drive": np.round(rng.uniform(80, 160, n) * 4) / 4}
    for name, pre, post, size, mean in (
        ("EE", (0, N_EXC), (0, N_EXC), 24_000, 15.0),
        ("EI", (0, N_EXC), (N_EXC, n), 8_000, 15.0),
        ("I", (N_EXC, n), (0, n), 8_000, -60.0),
    ):
        flat = np.sort(rng.choice((pre[1] - pre[0]) * (post[1] - post[0]), size, replace=False))
        rows, cols = np.divmod(flat, post[1] - post[0])
        drawn |= {f"{name}_pre": (rows + pre[0]).astype("u2"), f"{name}_post": (cols + post[0]).astype("u2")}
        drawn[f"{name}_weight"] = np.round(rng.uniform(0.5, 1.5, size) * mean * 4) / 4
    drawn["EE_delay"] = rng.integers(0, LONGEST + 1, drawn["EE_weight"].size).astype("u1")
    return drawn


def simulate(drawn: dict, steps: int) -> dict:
    """Run the network in Brian2: spikes, and the weights of the plastic synapses at the end."""
    b.start_scope()
    b.defaultclock.dt = DT_MS * b.ms
    p, pair, vogels = PARAMETERS, PAIR, VOGELS
    space = {k: p[k] * b.mV for k in ("V_rest", "V_th", "V_reset")} | {"tau": p["tau"] * b.ms, "R": p["R"] * b.Mohm}
    space |= {"tau_E": p["tau_syn"][0] * b.ms, "tau_I": p["tau_syn"][1] * b.ms}
    neurons = b.NeuronGroup(
        N_EXC + N_INH,
        """dv/dt = (V_rest - v + R*drive + R*(g_E + g_I))/tau : volt (unless refractory)
           dg_E/dt = -g_E/tau_E : amp
           dg_I/dt = -g_I/tau_I : amp
           drive : amp""",
        threshold="v > V_th",
        reset="v = V_reset",
        refractory=p["tau_ref"] * b.ms,
        method="exact",
        namespace=space,
        name="neurons",
    )
    neurons.v, neurons.drive = drawn["V0"] * b.mV, drawn["drive"] * b.pA
    own = {"tau_pre": pair["tau_pre"] * b.ms, "tau_post": pair["tau_post"] * b.ms, "w_max": pair["w_max"] * b.pA}
    learning = b.Synapses(
        neurons,
        neurons,
        """w : amp
           dx/dt = -x/tau_pre : 1 (event-driven)
           dy/dt = -y/tau_post : 1 (event-driven)""",
        on_pre="""g_E_post += w
                  w = clip(w + a_post*w_max*y, 0*amp, w_max)
                  x += 1""",
        on_post="""w = clip(w + a_pre*w_max*x, 0*amp, w_max)
                   y += 1""",
        namespace=own | {"a_pre": pair["a_pre"], "a_post": pair["a_post"]},
        name="synapses_EE",
    )
    static = b.Synapses(neurons, neurons, "w : amp", on_pre="g_E_post += w", name="synapses_EI")
    balancing = b.Synapses(
        neurons,
        neurons,
        """w : amp
           dx/dt = -x/tau_stdp : 1 (event-driven)
           dy/dt = -y/tau_stdp : 1 (event-driven)""",
        on_pre="""g_I_post += w
                  w = clip(w + eta*(y - 2*rate*tau_stdp), w_min, w_max)
                  x += 1""",
        on_post="""w = clip(w + eta*x, w_min, w_max)
                   y += 1""",
        namespace={k: vogels[k] * b.pA for k in ("eta", "w_min", "w_max")}
        | {"rate": vogels["rate"] * b.Hz, "tau_stdp": vogels["tau"] * b.ms},
        name="synapses_I",
    )
    for name, synapses in (("EE", learning), ("EI", static), ("I", balancing)):
        synapses.connect(i=drawn[f"{name}_pre"].astype(int), j=drawn[f"{name}_post"].astype(int))
        synapses.w = drawn[f"{name}_weight"] * b.pA
    learning.pre.delay = drawn["EE_delay"] * DT_MS * b.ms
    spikes = b.SpikeMonitor(neurons)
    b.Network(neurons, learning, static, balancing, spikes).run(steps * DT_MS * b.ms)
    return {
        "spike_step": np.round(np.asarray(spikes.t / b.ms) / DT_MS).astype("u2"),
        "spike_id": np.asarray(spikes.i).astype("u2"),
        "EE_learned": np.rint(np.asarray(learning.w / b.pA) / GRAIN).astype("i4"),
        "I_learned": np.rint(np.asarray(balancing.w / b.pA) / GRAIN).astype("i4"),
    }


GRAIN = 2.0**-23  # pA: the weights at the end are kept as multiples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--directory", type=Path, default=HERE)
    arguments = parser.parse_args()
    b.prefs.codegen.target = "numpy"
    drawn = draw(arguments.seed)
    result = simulate(drawn, arguments.steps)
    stored = PARAMETERS | {f"pair_{k}": v for k, v in PAIR.items()} | {f"vogels_{k}": v for k, v in VOGELS.items()}
    stored |= {
        "dt": DT_MS,
        "n_steps": arguments.steps,
        "n_exc": N_EXC,
        "n_inh": N_INH,
        "grain": GRAIN,
        "simulator": f"Brian2 {b.__version__}",
    }
    np.savez_compressed(arguments.directory / "plasticity.npz", **stored, **drawn, **result)
    seconds, exc = arguments.steps * DT_MS / 1000, int((result["spike_id"] < N_EXC).sum())
    for name in ("EE", "I"):
        w = result[f"{name}_learned"] * GRAIN
        bounds = (0, PAIR["w_max"]) if name == "EE" else (VOGELS["w_min"], VOGELS["w_max"])
        print(f"{name}: mean {drawn[f'{name}_weight'].mean():.3f} -> {w.mean():.3f} pA, {np.isin(w, bounds).mean():.1%} at a bound")
    print(f"E {exc / N_EXC / seconds:.1f} Hz, I {(result['spike_id'].size - exc) / N_INH / seconds:.1f} Hz")


if __name__ == "__main__":
    main()
