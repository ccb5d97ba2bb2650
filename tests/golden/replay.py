"""A float64 numpy simulator of the step convention, independent of Brian2 and of brainevent; replays a golden file spike by spike."""

import sys
from pathlib import Path

import numpy as np


def replay(golden) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Spike steps, neuron ids, V of the traced neurons at the end of each step, and the closest V came to V_th (mV)."""
    p = {k: golden[k] for k in golden.files}
    model, dt, tau, n = str(p["model"]), float(p["dt"]), float(p["tau"]), len(p["V0"])
    hold, delta = round(float(p["tau_ref"]) / dt), model == "delta"
    rest = p["V_rest"] + p["R"] * p["drive"] * 1e-3
    scale = 1.0 if delta else p["R"] * 1e-3  # nS * Mohm has no dimension; pA * Mohm in mV
    decay, leak = (np.ones(2) if delta else np.exp(-dt / p["tau_syn"])), np.exp(-dt / tau)
    weights = [p[f"{k}_weight"] * scale for k in "EI"]
    starts = [np.searchsorted(p[f"{k}_pre"], np.arange(n + 1)) for k in "EI"]  # pairs are sorted by pre; none is repeated
    threshold = p["V_th"]
    v, syn, until = p["V0"].copy(), np.zeros((2, n)), np.zeros(n, int)  # until: the step that integrates again
    delays = [np.broadcast_to(p[f"{k}_delay_steps"], weights[i].shape) for i, k in enumerate("EI")]
    due: dict = {}  # step: [(which of E and I, synapses)]
    steps, ids, traces, margin = [], [], [], np.inf
    for step in range(int(p["n_steps"])):
        free = step >= until
        if model in ("coba", "delays"):
            g = 1 + syn.sum(0)
            target = (rest + p["E_syn"] @ syn) / g
            new = target + (v - target) * np.exp(-dt * g / tau)
        else:
            new = rest + (v - rest) * leak
            if not delta:
                factor = p["tau_syn"] / (tau - p["tau_syn"]) * (leak - decay)
                new = new + factor @ syn
        v = np.where(free, new, v)
        syn = syn * decay[:, None]
        spiked = np.flatnonzero(free & (v > threshold))
        margin = min(margin, np.abs(v - threshold)[free].min(initial=np.inf))
        until[spiked] = step + hold
        for k in range(2):
            for pre in spiked:
                row = np.arange(starts[k][pre], starts[k][pre + 1])
                for delay in np.unique(delays[k][row]):
                    due.setdefault(step + int(delay), []).append((k, row[delays[k][row] == delay]))
        for k, row in due.pop(step, ()):
            post = p[f"{'EI'[k]}_post"][row].astype(int)
            if delta:
                v[post] += weights[k][row] * (step >= until[post])  # until of a neuron that has just spiked is ahead
            else:
                syn[k, post] += weights[k][row]
        v[spiked] = p["V_reset"]
        steps.append(np.full(spiked.size, step))
        ids.append(spiked)
        traces.append(v[p["trace_id"]])
    return np.concatenate(steps), np.concatenate(ids), np.array(traces).T, float(margin)


def main() -> None:
    names = sys.argv[1:] or [str(path) for path in sorted(Path(__file__).parent.glob("*.npz"))]
    differ = False
    for name in names:
        golden = np.load(name)
        steps, ids, trace, margin = replay(golden)
        same = np.array_equal(steps, golden["spike_step"]) and np.array_equal(ids, golden["spike_id"])
        differ |= not same
        error = np.abs(trace - golden["trace_V"]).max()
        verdict = "every step and id the same" if same else "DIFFERENT"
        print(f"{Path(name).name}: {len(golden['spike_id'])} spikes in Brian2, {ids.size} here, {verdict}; largest difference")
        print(f"    in V {error:.1e} mV, closest approach to the threshold {margin:.1e} mV")
    sys.exit(differ)


if __name__ == "__main__":
    main()
