"""Writes the golden spike trains coba.npz, cuba.npz, delta.npz and delays.npz with Brian2; run by hand, see README.md."""

import argparse
from pathlib import Path

import brian2 as b
import numpy as np

HERE = Path(__file__).resolve().parent
N_EXC, N_INH, DT_MS, TRACED = 320, 80, 0.1, (0, 399)

# Numbers are in ms, mV, Mohm, pA and, for weights, the unit in `weight_unit`. Tuples are (E, I).
LIF = {"tau": 20.0, "V_rest": -60.0, "V_th": -50.0, "V_reset": -60.0, "tau_ref": 5.0, "R": 100.0, "drive": 200.0}
MODELS = {
    "coba": LIF | {"weight_unit": "nS", "weight": (12.0, 134.0), "delay": (1.5, 0.0), "tau_syn": (5.0, 10.0), "E_syn": (0.0, -80.0)},
    "cuba": LIF | {"weight_unit": "pA", "weight": (24.0, -120.0), "delay": (0.0, 1.5), "tau_syn": (5.0, 10.0)},
    "delays": LIF
    | {"weight_unit": "nS", "weight": (12.0, 134.0), "delay": ((0.0, 3.9), (0.1, 1.2)), "tau_syn": (5.0, 10.0), "E_syn": (0.0, -80.0)},
    "delta": LIF | {"weight_unit": "mV", "weight": (0.5, -3.0), "delay": (1.5, 1.5), "V_rest": -70.0, "tau_ref": 2.0, "drive": 260.0},
}
EQUATIONS = {
    "coba": """dv/dt = (V_rest - v + R*(drive + g_E*(E_E - v) + g_I*(E_I - v)))/tau : volt (unless refractory)
               dg_E/dt = -g_E/tau_E : siemens
               dg_I/dt = -g_I/tau_I : siemens""",
    "cuba": """dv/dt = (V_rest - v + R*drive + R*(g_E + g_I))/tau : volt (unless refractory)
               dg_E/dt = -g_E/tau_E : amp
               dg_I/dt = -g_I/tau_I : amp""",
    "delta": "dv/dt = (V_rest - v + R*drive)/tau : volt (unless refractory)",
}
EQUATIONS["delays"] = EQUATIONS["coba"]
METHOD = {"coba": "exponential_euler", "cuba": "exact", "delta": "exact", "delays": "exponential_euler"}
UNIT = {"nS": b.nS, "pA": b.pA, "mV": b.mV}
DIMENSION = {"nS": "siemens", "pA": "amp", "mV": "volt"}


def draw(parameters: dict, probability: float, seed: int) -> dict:
    """Pairs, weights and V0; weights and V0 are multiples of a power of two, so that float32 holds them exactly."""
    rng = np.random.default_rng(seed)
    n = N_EXC + N_INH
    drawn = {"V0": np.round(rng.normal(-55.0, 4.0, n) * 1024) / 1024}
    for k, (name, first, last) in enumerate((("E", 0, N_EXC), ("I", N_EXC, n))):
        pre, post = np.nonzero(rng.random((last - first, n)) < probability)
        grain = 2.0 ** (np.round(np.log2(abs(parameters["weight"][k]))) - 7)
        weight = rng.normal(1.0, 0.2, pre.size).clip(0.2) * parameters["weight"][k]
        drawn |= {f"{name}_pre": (pre + first).astype("u2"), f"{name}_post": post.astype("u2")}
        drawn[f"{name}_weight"] = np.round(weight / grain) * grain
        delay = parameters["delay"][k]
        steps = np.rint(np.array(delay) / DT_MS).astype(int)
        if steps.ndim:  # one a synapse, uniform between two bounds
            steps = rng.integers(steps[0], steps[1] + 1, pre.size)
            delay = steps * DT_MS
        drawn |= {f"{name}_delay": delay, f"{name}_delay_steps": steps}
    return drawn


def quantities(parameters: dict) -> dict:
    """The namespace of the Brian2 equations."""
    p = parameters
    space = {k: p[k] * b.mV for k in ("V_rest", "V_th", "V_reset")} | {k: p[k] * b.ms for k in ("tau", "tau_ref")}
    space |= {"R": p["R"] * b.Mohm, "drive": p["drive"] * b.pA}
    for k, name in enumerate("EI"):
        if "tau_syn" in p:
            space[f"tau_{name}"] = p["tau_syn"][k] * b.ms
        if "E_syn" in p:
            space[f"E_{name}"] = p["E_syn"][k] * b.mV
    return space


def simulate(model: str, parameters: dict, drawn: dict, steps: int) -> dict:
    """Run one network in Brian2; spikes as (step, neuron) and the V of two neurons at the end of every step."""
    b.start_scope()
    b.defaultclock.dt = DT_MS * b.ms
    unit = parameters["weight_unit"]
    space = quantities(parameters)
    group = b.NeuronGroup(
        N_EXC + N_INH,
        EQUATIONS[model],
        threshold="v > V_th",
        reset="v = V_reset",
        refractory=space["tau_ref"],
        method=METHOD[model],
        namespace=space,
        name="neurons",
    )
    group.v = drawn["V0"] * b.mV
    spikes, trace = b.SpikeMonitor(group), b.StateMonitor(group, "v", record=list(TRACED), when="end")
    network = b.Network(group, spikes, trace)
    for name in "EI":  # Brian2 delivers in order of names: E before I
        target = "v_post" if model == "delta" else f"g_{name}_post"
        synapses = b.Synapses(group, group, f"w : {DIMENSION[unit]}", on_pre=f"{target} += w", name=f"synapses_{name}")
        synapses.connect(i=drawn[f"{name}_pre"].astype(int), j=drawn[f"{name}_post"].astype(int))
        synapses.w = drawn[f"{name}_weight"] * UNIT[unit]
        synapses.pre.delay = drawn[f"{name}_delay"] * b.ms
        network.add(synapses)
    network.run(steps * DT_MS * b.ms)
    return {
        "spike_step": np.round(np.asarray(spikes.t / b.ms) / DT_MS).astype("i4"),
        "spike_id": np.asarray(spikes.i).astype("u2"),
        "trace_id": np.array(TRACED, "u2"),
        "trace_V": np.asarray(trace.v / b.mV),
    }


def edges() -> None:
    """Show the two conventions that a network cannot: what the threshold does at equality, and the refractory edge step by step."""
    b.start_scope()
    b.defaultclock.dt = DT_MS * b.ms
    resting = [b.NeuronGroup(1, "v : volt", threshold=f"v {sign} -50*mV", reset="v = -60*mV") for sign in (">", ">=")]
    counts = [b.SpikeMonitor(group) for group in resting]
    for group in resting:
        group.v = -50 * b.mV
    held, arrivals = 5, 8  # neuron k spikes in step 0 and is given a jump of 1 mV in step k
    neurons = b.NeuronGroup(
        arrivals,
        "dv/dt = (-70*mV - v)/(20*ms) : volt (unless refractory)",
        threshold="v > -50*mV",
        reset="v = -60*mV",
        refractory=held * DT_MS * b.ms,
        method="exact",
    )
    neurons.v = -40 * b.mV
    source = b.SpikeGeneratorGroup(arrivals, range(arrivals), np.arange(arrivals) * DT_MS * b.ms)
    synapses = b.Synapses(source, neurons, on_pre="v_post += 1*mV")
    synapses.connect(j="i")
    trace, spikes = b.StateMonitor(neurons, "v", record=True, when="end"), b.SpikeMonitor(neurons)
    b.Network(*resting, *counts, neurons, source, synapses, trace, spikes).run(arrivals * DT_MS * b.ms)
    print(f"V equal to the threshold: {counts[0].num_spikes} spikes with '>', {counts[1].num_spikes} with '>='")
    steps = set(np.round(spikes.t / b.ms / DT_MS).astype(int).tolist())
    print(f"spikes in step {steps}, refractory for {held} steps; V (mV) at the end of step")
    print("jump in step  " + "".join(f"{step:>9}" for step in range(arrivals)))
    for k, row in enumerate(trace.v / b.mV):
        print(f"{k:>12}  " + "".join(f"{value:9.3f}" for value in row))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=list(MODELS))
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=2024)
    parser.add_argument("--probability", type=float, default=0.1)
    parser.add_argument("--directory", type=Path, default=HERE)
    parser.add_argument(
        "--edges", action="store_true", help="print what Brian2 does at the threshold and around a refractory period; write nothing"
    )
    arguments = parser.parse_args()
    b.prefs.codegen.target = "numpy"
    if arguments.edges:
        edges()
        return
    for model in arguments.models:
        parameters = MODELS[model]
        drawn = draw(parameters, arguments.probability, arguments.seed)
        result = simulate(model, parameters, drawn, arguments.steps)
        stored = {k: v for k, v in parameters.items() if k not in ("weight", "delay")}
        stored |= {"model": model, "dt": DT_MS, "n_steps": arguments.steps, "n_exc": N_EXC, "n_inh": N_INH}
        stored |= {"simulator": f"Brian2 {b.__version__}", "method": METHOD[model]}
        np.savez_compressed(arguments.directory / f"{model}.npz", **stored, **drawn, **result)
        exc = int((result["spike_id"] < N_EXC).sum())
        seconds = arguments.steps * DT_MS / 1000
        rates = exc / N_EXC / seconds, (result["spike_id"].size - exc) / N_INH / seconds
        print(f"{model}: {result['spike_id'].size} spikes, E {rates[0]:.1f} Hz, I {rates[1]:.1f} Hz")


if __name__ == "__main__":
    main()
