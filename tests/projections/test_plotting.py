"""Pictures: every kind of run gives one, with the right axes; what cannot be drawn is an error."""

import brainunit as u
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

from brainevent.projections import LIF, Delta, FixedProb, Network, Projection
from brainevent.projections.recording import Run


@pytest.fixture(autouse=True)
def no_window():
    before = matplotlib.get_backend()
    matplotlib.use("agg")
    yield
    plt.close("all")
    matplotlib.use(before)


N = LIF(100, name="N")
E, I = N[:80], N[80:]


def made(n_steps, steps, ids, states=None):
    spikes = {"N": (np.asarray(steps, np.int64), np.asarray(ids, np.int32))}
    return Run(dt=0.1, first_step=0, n_steps=n_steps, spikes=spikes, states=states or {})


V = np.random.default_rng(0).normal(-60, 5, (1000, 8)) * u.mV
MANY = np.random.default_rng(1).integers(0, 1000, 20_000)
RUNS = {
    "silent": made(1000, [], []),
    "nothing ran": made(0, [], []),
    "one step": made(1, [0], [3]),
    "one spike": made(1000, [500], [99]),
    "start-up volley": made(1000, [0] * 100 + sorted(MANY[:300]), [*range(100), *MANY[:300] % 100]),
    "more spikes than can be shown": made(1000, np.sort(MANY), MANY % 100),
    "traces": made(1000, [10], [0], {"N[0:8].V": V, "N[80:88].V": V}),
    "a constant trace": made(1000, [], [], {"N[0:1].V": np.full((1000, 1), -60.0) * u.mV}),
    "states without unit": made(1000, [], [], {"N.refractory": np.zeros((1000, 100), np.int32)}),
}


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("targets", [(N,), (E, I), (N[:1], N[1:2], N[2:])], ids=len)
def test_every_run_has_a_picture(name, targets, tmp_path):
    figure = RUNS[name].plot(*targets, path=str(tmp_path / "run.png"))
    assert (tmp_path / "run.png").stat().st_size > 5_000
    raster, rate, *traces = figure.axes
    assert raster.get_ylabel().startswith("neuron") and rate.get_ylabel() == "rate (Hz)" and figure.axes[-1].get_xlabel() == "time (ms)"
    assert len(traces) == {"traces": 5, "a constant trace": 1, "states without unit": 5}.get(name, 0)
    texts = [text.get_text() for text in raster.texts]
    assert len(texts) == len(targets) and all(text.endswith("Hz") for text in texts)


def test_labels_name_the_populations():
    figure = RUNS["silent"].plot(E, I, labels=["excitatory", "inhibitory"])
    assert [text.get_text().splitlines()[0] for text in figure.axes[0].texts] == ["excitatory", "inhibitory"]


def test_a_start_up_volley_does_not_squash_the_rate():
    rate = RUNS["start-up volley"].plot(N).axes[1]
    assert rate.get_ylim()[1] < 300  # all spike in the first 0.5 ms (2,000 Hz), later about 30 Hz
    assert any("first peak" in text.get_text() for text in rate.texts)


@pytest.mark.parametrize("targets, labels, message", [((), None, "at least one population"), ((E, I), ["E"], "1 labels for 2 populations")])
def test_what_cannot_be_drawn(targets, labels, message):
    with pytest.raises(ValueError, match=message):
        RUNS["silent"].plot(*targets, labels=labels)


@pytest.mark.parametrize("prob", [0.0, 0.1, 1.0])
def test_matrix_picture(prob, tmp_path):
    pre, post = LIF(30, name="pre"), LIF(20, name="post")
    projection = Projection(pre, FixedProb(prob, weight=0.5 * u.mV), Delta(), post)
    Network(projection, seed=1)
    figure = projection.plot_matrix(path=str(tmp_path / "matrix.png"))
    assert (tmp_path / "matrix.png").stat().st_size > 2_000
    assert figure.axes[0].get_xlabel() == "post: post" and figure.axes[0].get_title() == f"{projection.n_synapses} synapses"
