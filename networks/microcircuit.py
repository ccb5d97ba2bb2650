"""Microcircuit: the cortical microcircuit below 1 mm^2 of surface, 77,169 neurons in four layers, 299 million synapses.

    python -m networks.microcircuit --scale 0.1
    python -m networks.microcircuit

The model of Potjans & Diesmann, Cerebral Cortex 24:785 (2014): integrate-and-fire neurons with exponential currents, an excitatory
and an inhibitory population in each of the layers 2/3, 4, 5 and 6, synapses with weights and delays of their own, and background from
independent Poisson trains, or a constant current of the same mean (`--drive dc`). Its numbers are in `microcircuit.json`. At full scale it
takes about 3 GB.

`--scale` shrinks the numbers of neurons and of synapses onto each neuron. Weights grow by the root of what in-degrees lose, and a
constant current makes up for the mean of what is missing, at the published rates: so the mean and the variance of the input stay as they
are (van Albada, Helias & Diesmann, PLoS Comput. Biol. 11:e1004490, 2015), and with them, roughly, the rates.
"""

import itertools
import json
import time
from pathlib import Path
from typing import NamedTuple

import brainunit as u
import numpy as np

from brainevent.projections import LIF, Expon, FixedTotal, Network, Normal, PoissonInput, Projection, SpikeSource, TruncNormal

from .command_line import DT, parser, peak_memory

FACTS = json.loads(Path(__file__).with_name("microcircuit.json").read_text())
NAMES = FACTS["populations"]
SIZES, RATES = np.array(FACTS["n_neurons"]), np.array(FACTS["mean_rates_Hz"])
PROBABILITIES = np.array(FACTS["connection_probability_target_source"])
NEURON, THALAMUS = FACTS["neuron"], FACTS["thalamic"]
EXCITATORY = np.array([name.endswith("E") for name in NAMES])
DRIVES = ("poisson", "dc")
WEIGHT_DTYPES = ("float16", "float32")
SETTLING = 500 * u.ms  # of a run, before rates are counted


class Microcircuit(NamedTuple):
    """The network, its populations from the surface down, and the currents that `net.run(inputs=...)` takes."""

    net: Network
    populations: list[LIF]
    inputs: dict


def synapses(probability, n_post, n_pre):
    """How many synapses, drawn with replacement, join a pair with this probability."""
    return np.rint(np.log(1 - probability) / np.log(1 - 1 / (n_post * n_pre)))  # no log1p: the published number has this rounding


def current_of(psp: float) -> float:
    """The peak (pA) of the exponential current that moves V by so many mV at its peak: the inverse of the closed form."""
    tau, fall, C = NEURON["tau_m_ms"], NEURON["tau_syn_ms"], NEURON["C_m_pF"]
    at = np.log(tau / fall) / (1 / fall - 1 / tau)
    return psp / (tau * fall / (C * (tau - fall)) * (np.exp(-at / tau) - np.exp(-at / fall)))


def build(
    scale: float = 1.0, seed: int = 42, *, drive: str = "poisson", thalamus: bool = False, weight_dtype: str | None = None
) -> Microcircuit:
    """The network.

    Args:
      scale: 1 for 77,169 neurons; a fraction of neurons and of synapses onto each.
      seed: of connections, initial values and background.
      drive: "poisson" or "dc", the background.
      thalamus: whether 902 relay cells spike at 120 Hz from 700 ms on, for 10 ms.
      weight_dtype: how weights are stored, as in `Projection`: "float16" takes 0.6 GB less at full scale.

    Raises:
      ValueError: a scale that is not positive, or leaves a population without neurons; an unknown drive.
    """
    if drive not in DRIVES:
        raise ValueError(f"drive is {drive!r}, expected one of {', '.join(DRIVES)}")
    if not SIZES.min() * scale >= 0.5:
        raise ValueError(f"scale is {scale}, expected at least {0.5 / SIZES.min():.2g}, so that every population has a neuron")
    counts = synapses(PROBABILITIES, SIZES[:, None], SIZES[None, :])
    psps = np.where(EXCITATORY, FACTS["psp_exc_mV"], FACTS["psp_exc_mV"] * FACTS["relative_inhibitory_weight"]) * np.ones((8, 1))
    psps[NAMES.index("L23E"), NAMES.index("L4E")] = FACTS["psp_L4E_to_L23E_mV"]
    weights, external = current_of(psps), current_of(FACTS["psp_exc_mV"])
    tau, rate, trains = NEURON["tau_syn_ms"], FACTS["external_rate_Hz"], np.array(FACTS["external_indegree"])

    charge = tau * 1e-3  # of a spike of 1 pA, times its rate in Hz: a mean current in pA
    lost = (counts / SIZES[:, None] * weights * RATES).sum(1) + trains * rate * external
    constant = charge * lost * (1 - np.sqrt(scale))
    grown = 1 / np.sqrt(scale)
    if drive == "dc":
        constant = constant + charge * trains * scale * rate * external * grown

    synapse = Expon(tau=tau * u.ms)
    populations = [_neurons(index, scale) for index in range(8)]
    parts: list = list(populations)
    for (i, post), (j, pre) in itertools.product(enumerate(populations), repeat=2):
        if number := round(counts[i, j] * scale**2):
            rule = FixedTotal(number, weight=_spread(weights[i, j] * grown * u.pA, FACTS["weight_relative_sd"]))
            delay = _delays("exc_mean" if EXCITATORY[j] else "inh_mean")
            parts.append(Projection(pre, rule, synapse, post, delay=delay, weight_dtype=weight_dtype))
    for post, n in zip(populations, trains * scale if drive == "poisson" else ()):
        parts.append(PoissonInput(post, n=round(n), rate=rate * u.Hz, weight=external * grown * u.pA, synapse=synapse))
    if thalamus:
        parts += _thalamus(populations, scale, seed, external * grown * u.pA, synapse)
    return Microcircuit(Network(*parts, seed=seed), populations, {p: c * u.pA for p, c in zip(populations, constant)})


def _neurons(index: int, scale: float) -> LIF:
    return LIF(
        round(SIZES[index] * scale),
        tau=NEURON["tau_m_ms"] * u.ms,
        V_rest=NEURON["E_L_mV"] * u.mV,
        V_th=NEURON["V_th_mV"] * u.mV,
        V_reset=NEURON["V_reset_mV"] * u.mV,
        tau_ref=NEURON["t_ref_ms"] * u.ms,
        R=NEURON["tau_m_ms"] / NEURON["C_m_pF"] * u.Gohm,
        V_init=Normal(FACTS["V0_mean_mV"][index] * u.mV, FACTS["V0_sd_mV"][index] * u.mV),
        name=NAMES[index],
    )


def _spread(weight, relative: float):
    """Weights around one, none of which changes its sign."""
    low, high = (0, np.inf) if weight > 0 * u.pA else (-np.inf, 0)
    return TruncNormal(weight, abs(weight) * relative, low=low * u.pA, high=high * u.pA)


def _delays(kind: str):
    """Delays of at least one step of 0.1 ms."""
    mean = FACTS["delay_ms"][kind] * u.ms
    return TruncNormal(mean, mean * FACTS["delay_ms"]["relative_sd"], low=DT / 2, high=np.inf * u.ms)


def _thalamus(populations, scale: float, seed: int, weight, synapse) -> list:
    """Relay cells that spike at random for 10 ms, and their synapses."""
    n, dt = round(THALAMUS["num_th_neurons"] * scale), DT.to_decimal(u.ms)
    steps = round(THALAMUS["th_duration"] / dt)
    step, ids = np.nonzero(np.random.default_rng([seed, n]).random((steps, n)) < THALAMUS["th_rate"] * dt * 1e-3)
    cells = SpikeSource(n, times=(THALAMUS["th_start"] + (step + 1) * dt) * u.ms, ids=ids, name="thalamus")
    made = []
    for post, full, probability in zip(populations, SIZES, THALAMUS["conn_probs_th"]):
        if number := round(float(synapses(probability, full, THALAMUS["num_th_neurons"])) * scale**2):
            rule = FixedTotal(number, weight=_spread(weight, FACTS["weight_relative_sd"]))
            made.append(Projection(cells, rule, synapse, post, delay=_delays("exc_mean")))
    return made


def main(words=None):
    """The command line."""
    arguments = parser("microcircuit", __doc__.splitlines()[0])
    arguments.add_argument("--drive", choices=DRIVES, default="poisson", help="the background (default: poisson)")
    arguments.add_argument("--thalamus", action="store_true", help="a volley from the thalamus after 700 ms")
    arguments.add_argument("--weights", choices=WEIGHT_DTYPES, help="how weights are stored (default: float32)")
    arguments = arguments.parse_args(words)
    started = time.perf_counter()
    options = {"drive": arguments.drive, "thalamus": arguments.thalamus, "weight_dtype": arguments.weights}
    net, populations, inputs = build(arguments.scale, arguments.seed, **options)
    net.run(0 * u.ms, dt=DT, inputs=inputs)
    print(
        f"built in {time.perf_counter() - started:.1f} s, {sum(p.n_synapses for p in net.projections):,} synapses, {peak_memory():.2f} GB"
    )
    run = net.run(arguments.duration, inputs=inputs, progress=arguments.progress, backend=arguments.backend)
    factor = f"{1 / run.speed:.2f} s a second of biological time, " if run.speed else ""
    print(f"{factor}{peak_memory():.2f} GB\n\n       rate  published (Hz)")
    for population, published in zip(populations, RATES):
        print(f"{population.label:5} {settled_rate(run, population):6.2f} {published:10.2f}")
    if arguments.plot != "none":
        run.plot(*reversed(populations), path=arguments.plot)
        print(f"picture    {arguments.plot}")


def settled_rate(run, population) -> float:
    """The mean rate (Hz) after the start, if the run is longer than that."""
    times = run.spikes(population)[0].to_decimal(u.ms)
    start = SETTLING.to_decimal(u.ms) if run.duration > 2 * SETTLING else 0.0
    return float((times > start).sum()) / population.size / ((run.duration.to_decimal(u.ms) - start) * 1e-3)


if __name__ == "__main__":
    main()
