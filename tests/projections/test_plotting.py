"""Pictures: every kind of run gives one, with the right axes; what cannot be drawn is an error."""

import contextlib
import itertools

import brainunit as u
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.text import Annotation, Text

from brainevent.projections import CUBA, LIF, Delta, Expon, FixedProb, Network, Normal, Poisson, Projection
from brainevent.projections.recording import Run


@pytest.fixture(autouse=True)
def no_window():
    before = matplotlib.get_backend()
    matplotlib.use("agg")
    plt.close("all")  # of other suites
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
    with contextlib.nullcontext() if prob else pytest.warns(UserWarning, match="pre -> post has no synapses: FixedProb"):
        Network(projection, seed=1)
    figure = projection.plot_matrix(path=str(tmp_path / "matrix.png"))
    assert (tmp_path / "matrix.png").stat().st_size > 2_000
    assert figure.axes[0].get_xlabel() == "post: post" and figure.axes[0].get_title() == f"{projection.n_synapses} synapses"


LAYERS = {"L23E": 20683, "L23I": 5834, "L4E": 21915, "L4I": 5479, "L5E": 4850, "L5I": 1065, "L6E": 14395, "L6I": 2948}
PARTS = {
    "one": {"N": 100},
    "two": {"E": 80, "I": 20},
    "layers": LAYERS,
    "uneven": {"excitatory": 4000, **{f"small {i}": 20 for i in range(7)}},
    "long names": {40 * "long ": 30, 40 * "longer ": 3000, "I": 30},
    "twelve": {f"P{i}": 10 * i + 5 for i in range(12)},
}


@pytest.mark.parametrize("traced", [0, 2])
@pytest.mark.parametrize("name", PARTS)
def test_labels_do_not_overlap_and_the_raster_fills_its_picture(name, traced):
    populations = [LIF(size, name=label) for label, size in PARTS[name].items()]
    rng = np.random.default_rng(0)
    spikes = {p.label: (np.sort(rng.integers(0, 1000, 500)), rng.integers(0, p.size, 500)) for p in populations}
    states = {f"{p.label}[0:2].V": rng.normal(-60, 5, (1000, 2)) * u.mV for p in populations[:traced]}
    figure = Run(dt=0.1, first_step=0, n_steps=1000, spikes=spikes, states=states).plot(*populations)
    figure.draw_without_rendering()
    raster = figure.axes[0]
    labels = [Text.get_window_extent(text) for text in raster.texts]  # without its line
    frame, picture = raster.get_window_extent(), figure.bbox
    for k, label in enumerate(labels):
        assert not any(label.overlaps(other) for other in labels[k + 1 :])
        assert picture.y0 <= label.y0 and label.y1 <= picture.y1 and label.x0 > frame.x1 and label.x1 <= picture.x1
        assert frame.y0 - 8 < label.y0 and label.y1 < frame.y1 + 8  # beside the raster, give or take a line's width
    assert frame.width > 0.6 * picture.width
    assert sum(ax.get_window_extent().height for ax in figure.axes) > 0.65 * picture.height
    bands = [np.ptp(line.get_ydata()) for line in raster.lines if len(line.get_xdata()) > 2]
    assert len(bands) == len(populations) and min(bands) > 0.02  # a small population can be seen
    colours = [text.get_color() for text in raster.texts]
    assert len(set(colours)) == min(len(populations), 8)


def test_the_axis_counts_neurons():
    """Where a band is larger than its share, the numbers beside it are still those of the neurons."""
    few, many = LIF(20, name="few"), LIF(4000, name="many")
    spikes = {"few": (np.array([1, 2]), np.array([0, 19])), "many": (np.array([1, 2, 3]), np.array([0, 1999, 3999]))}
    figure = Run(dt=0.1, first_step=0, n_steps=10, spikes=spikes, states={}).plot(few, many)
    raster = figure.axes[0]
    below, above = (line.get_ydata() for line in raster.lines if len(line.get_xdata()) > 1 and line.get_linestyle() == "None")
    edge = 0.04
    np.testing.assert_allclose(below, [edge / 40, edge * 39 / 40])
    np.testing.assert_allclose(above, edge + (1 - edge) * np.array([0.5, 1999.5, 3999.5]) / 4000)
    places = dict(zip((int(text.get_text()) for text in raster.get_yticklabels()), raster.get_yticks()))
    np.testing.assert_allclose(places[2000], edge + (1 - edge) * 1980 / 4000)


@pytest.mark.parametrize("path", [None, "run.png"])
def test_a_figure_that_cannot_be_drawn_is_closed(path, tmp_path, monkeypatch):
    def broken(*_):
        raise RuntimeError("no traces today")

    monkeypatch.setattr("brainevent.projections.plotting._draw_traces", broken)
    with pytest.raises(RuntimeError, match="no traces today"):
        RUNS["traces"].plot(E, I, path=path and str(tmp_path / path))
    assert plt.get_fignums() == [] and list(tmp_path.iterdir()) == []


def test_a_figure_of_the_users_own_stays_open(tmp_path):
    pre, post = LIF(30, name="pre"), LIF(20, name="post")
    projection = Projection(pre, FixedProb(0.5, weight=0.5 * u.mV), Delta(), post)
    Network(projection, seed=1)
    figure, ax = plt.subplots()
    assert projection.plot_matrix(ax=ax, path=str(tmp_path / "matrix.png")) is figure
    assert plt.get_fignums() == [figure.number]


# -- the graph of a network, and its summary in a notebook ------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, pytest.param(8, marks=pytest.mark.thorough), 16])
def test_a_graph_shows_every_population_and_projection(n, tmp_path):
    """Names and sizes stand in circles that do not overlap; each projection is an arrow, with its synapses where there is room."""
    populations = [LIF(10 + i, name=f"P{i}") for i in range(n)]
    projections = [
        Projection(pre, FixedProb(0.9, weight=(-1) ** i * u.mV), Delta(), post)
        for i, pre in enumerate(populations)
        for post in (populations[0], populations[i - 1])
    ]
    net = Network(*projections)
    figure = net.plot()
    (ax,) = figure.axes
    texts = {text.get_text() for text in ax.texts}
    assert {f"P{i}\nLIF\n{10 + i}" for i in range(n)} <= texts
    circles = [(np.array(patch.center), patch.radius) for patch in ax.patches if isinstance(patch, plt.Circle)]
    assert len(circles) == n
    for k, (at, radius) in enumerate(circles):
        assert all(np.linalg.norm(at - other) > 2 * radius for other, _ in circles[:k])
    arrows = [text for text in ax.texts if isinstance(text, Annotation) and text.arrow_patch is not None]
    assert len(arrows) == 2 * n
    assert net.plot(path=str(tmp_path / "graph.png")) is not None and (tmp_path / "graph.png").stat().st_size > 5_000
    assert plt.get_fignums() == [figure.number]


def test_a_network_shows_itself_in_a_notebook():
    A, B = LIF(3, name="A<b>"), LIF(4, name="B")
    net = Network(Projection(A, FixedProb(0.9, weight=1 * u.mV), Delta(), B))
    html = net._repr_html_()
    assert html.count("<table>") == 3 and "A&lt;b&gt; -&gt; B" in html and "<b>" not in html.replace("<b>Network", "")
    for line in net.summary().splitlines()[-1:]:
        assert line.replace("<", "&lt;").replace(">", "&gt;") in html


@pytest.mark.parametrize("parts", [1, 2, 8])
def test_histograms_stand_below(parts, tmp_path):
    """Intervals of a density of 1 for each population, weights of as many synapses as there are, in panels that do not overlap."""
    P = Poisson(50, rate=100 * u.Hz, name="P")
    layers = [LIF(30 + 5 * k, V_th=-58 * u.mV, name=f"L{k}") for k in range(parts)]
    made = FixedProb(0.3, weight=Normal(300 * u.pA, 60 * u.pA))
    projections = [Projection(P, made, Expon(tau=5 * u.ms, output=CUBA()), layer) for layer in layers]
    net = Network(*projections, seed=1)
    run = net.run(300 * u.ms, dt=0.1 * u.ms, progress=False)
    figure = run.plot(*layers, isi=True, weights=projections[:2])
    figure.canvas.draw()
    intervals, *weights = figure.axes[2:]
    assert len(weights) == min(parts, 2) and intervals.get_xlabel() == "interspike interval (ms)"
    for patch in intervals.patches:
        density, edges, _ = patch.get_data()
        assert (density * np.diff(edges)).sum() == pytest.approx(1)
    for ax, projection in zip(weights, projections):
        assert ax.patches[0].get_data().values.sum() == projection.n_synapses and ax.get_xlabel() == "weight (pA)"
    boxes = [ax.get_tightbbox() for ax in (intervals, *weights)]
    assert all(left.x1 <= right.x0 for left, right in itertools.pairwise(boxes))
    plt.close(figure)
    silent = net.run(0.5 * u.ms, progress=False, record=[layers[0].spikes])
    figure = silent.plot(layers[0], isi=True)
    assert figure.axes[2].texts[0].get_text() == "no neuron spiked twice"
    plt.close(figure)


def test_histograms_that_cannot_be_are_named():
    run = RUNS["silent"]
    P, M = Poisson(5, rate=10 * u.Hz, name="P"), LIF(5, name="M")
    one = Projection(P, FixedProb(0.5, weight=1 * u.mV, format="jit"), Delta(), M)
    Network(one)
    for options, words in (
        ({"weights": [1]}, "weights holds 1, expected"),
        ({"weights": one}, "one weight a synapse"),
        ({"isi": 2}, "isi"),
    ):
        with pytest.raises(TypeError, match=words):
            run.plot(N, **options)
