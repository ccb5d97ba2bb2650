"""The cortical microcircuit in NEST, from the same facts as `networks/microcircuit.py`: its spikes into a file.

    python benchmarks/peers/nest_microcircuit.py OUT.npz --scale 0.1 --duration 10500 --seed 1

Needs nest-simulator, and numpy, in an environment of its own. The file holds `steps` and `ids` of all spikes (neurons counted through the
populations), `sizes`, and the seconds that building and simulating took.
"""

import argparse
import json
import time
from pathlib import Path

import nest
import numpy as np

FACTS = json.loads((Path(__file__).parents[2] / "networks" / "microcircuit.json").read_text())
NEURON = FACTS["neuron"]


def peak_current(psp: float) -> float:
    """The inverse of the closed form, as the facts state it."""
    tau, fall, C = NEURON["tau_m_ms"], NEURON["tau_syn_ms"], NEURON["C_m_pF"]
    sub = 1 / (fall - tau)
    pre, frac = tau * fall / C * sub, (tau / fall) ** sub
    return psp / (pre * (frac**tau - frac**fall))


def build(scale: float, drive: str) -> list:
    """The populations, joined and driven."""
    sizes, names = np.array(FACTS["n_neurons"]), FACTS["populations"]
    probability = np.array(FACTS["connection_probability_target_source"])
    counts = np.rint(np.log(1 - probability) / np.log(1 - 1 / np.outer(sizes, sizes)))
    weights = np.zeros((8, 8))
    for j, name in enumerate(names):
        weights[:, j] = peak_current(FACTS["psp_exc_mV"]) * (1 if name.endswith("E") else FACTS["relative_inhibitory_weight"])
    weights[0, 2] = peak_current(FACTS["psp_L4E_to_L23E_mV"])
    outside, rate, trains = peak_current(FACTS["psp_exc_mV"]), FACTS["external_rate_Hz"], np.array(FACTS["external_indegree"])
    recurrent = (counts / sizes[:, None] * weights * FACTS["mean_rates_Hz"]).sum(1)
    constant = 1e-3 * NEURON["tau_syn_ms"] * (1 - np.sqrt(scale)) * (recurrent + trains * rate * outside)
    if drive == "dc":
        constant += 1e-3 * NEURON["tau_syn_ms"] * trains * scale * rate * outside / np.sqrt(scale)
    populations = []
    for i, size in enumerate(sizes):
        mean, spread = FACTS["V0_mean_mV"][i], FACTS["V0_sd_mV"][i]
        parameters = {
            "tau_m": NEURON["tau_m_ms"], "C_m": NEURON["C_m_pF"], "E_L": NEURON["E_L_mV"], "V_th": NEURON["V_th_mV"],
            "V_reset": NEURON["V_reset_mV"], "t_ref": NEURON["t_ref_ms"], "tau_syn_ex": NEURON["tau_syn_ms"],
            "tau_syn_in": NEURON["tau_syn_ms"], "I_e": constant[i], "V_m": nest.random.normal(mean, spread),
        }  # fmt: skip
        populations.append(nest.Create("iaf_psc_exp", round(size * scale), parameters))
    for i, post in enumerate(populations):
        for j, pre in enumerate(populations):
            if number := round(counts[i, j] * scale**2):
                w, excites = weights[i, j] / np.sqrt(scale), names[j].endswith("E")
                delay = FACTS["delay_ms"]["exc_mean" if excites else "inh_mean"]
                spread = nest.random.normal(w, abs(w) * FACTS["weight_relative_sd"])
                bounded = {"min": 0.0} if excites else {"max": 0.0}
                late = nest.math.redraw(nest.random.normal(delay, delay * FACTS["delay_ms"]["relative_sd"]), min=0.05, max=np.inf)
                synapse = {"weight": nest.math.redraw(spread, **{"min": -np.inf, "max": np.inf} | bounded), "delay": late}
                nest.Connect(pre, post, {"rule": "fixed_total_number", "N": number}, synapse)
        if drive == "poisson":
            source = nest.Create("poisson_generator", 1, {"rate": rate * round(trains[i] * scale)})
            nest.Connect(source, post, "all_to_all", {"weight": outside / np.sqrt(scale), "delay": 0.1})
    return populations


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("out")
    arguments.add_argument("--scale", type=float, default=1.0)
    arguments.add_argument("--duration", type=float, default=10500.0, help="ms")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--drive", choices=("poisson", "dc"), default="poisson")
    arguments.add_argument("--threads", type=int, default=2)
    arguments = arguments.parse_args()
    nest.verbosity = nest.VerbosityLevel.ERROR
    nest.resolution, nest.local_num_threads, nest.rng_seed = 0.1, arguments.threads, arguments.seed
    started = time.perf_counter()
    populations = build(arguments.scale, arguments.drive)
    recorder = nest.Create("spike_recorder")
    for population in populations:
        nest.Connect(population, recorder)
    nest.Prepare()
    built = time.perf_counter() - started
    started = time.perf_counter()
    nest.Run(arguments.duration)
    took = time.perf_counter() - started
    events, first = recorder.get("events"), populations[0][0].global_id
    np.savez_compressed(
        arguments.out,
        steps=np.rint(events["times"] / 0.1).astype(np.int32),
        ids=(events["senders"] - first).astype(np.int32),
        sizes=np.array([len(population) for population in populations]),
        built=built,
        took=took,
    )
    print(f"built in {built:.1f} s, {took / arguments.duration * 1e3:.1f} s a second of biological time")


if __name__ == "__main__":
    main()
