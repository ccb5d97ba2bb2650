"""What a run records and gives back: spikes, rates, states, files, pictures; interruption and the progress bar."""

import contextlib
import os
import signal
import threading

import brainunit as u
import jax
import numpy as np
import pytest
from tables import OWN_PLATFORM, needs_fixed_order

from brainevent import Dense
from brainevent.projections import (
    COBA,
    CUBA,
    LIF,
    Correlations,
    Counts,
    Delta,
    Every,
    Expon,
    FixedProb,
    FromPairs,
    Gap,
    MgBlock,
    Moments,
    Network,
    OneToOne,
    PairSTDP,
    Poisson,
    Projection,
    Run,
    SpikeSource,
    network,
    record_columns,
    recorder,
    running,
)
from brainevent.projections.record_columns import unpacked
from brainevent.projections.recorder import AWAY, MOST_ROWS, Recorder

DT = 0.1


@pytest.fixture(scope="module")
def simulation():
    """20 driven neurons and 30 sources; V of some and spikes of all, 50 ms."""
    N, source = LIF(20, V_init=np.linspace(-65, -51, 20) * u.mV, tau_ref=1 * u.ms, name="N"), Poisson(30, rate=200 * u.Hz, name="source")
    net = Network(N, source, seed=1, dt=DT * u.ms)
    run = net.run(
        50 * u.ms, inputs={N: np.linspace(160, 300, 20) * u.pA}, record=[N.spikes, source.spikes, N[3:6].V, N.refractory], progress=False
    )
    return net, N, source, run


def test_spikes_by_default():
    N, source = LIF(2, name="N"), Poisson(3, rate=1 * u.kHz, name="source")
    run = Network(N, source).run(2 * u.ms, dt=DT * u.ms, progress=False)
    assert run.states == {}
    for population in (N, source):
        times, ids = run.spikes(population)
        assert times.shape == ids.shape and u.get_unit(times) == u.ms
    assert repr(run).startswith("Run(2") and "N: 0 spikes, source: " in repr(run)


def test_spikes_are_sorted_and_views_count_from_their_start(simulation):
    _, N, source, run = simulation
    for population in (N, source):
        times, ids = run.spikes(population)
        order = np.lexsort((ids, times.mantissa))
        np.testing.assert_array_equal(order, np.arange(ids.size))
        assert times.mantissa.min() > 0 and times.mantissa.max() <= 50 + 1e-9
    times, ids = run.spikes(source)
    inside = (ids >= 10) & (ids < 25)
    part_times, part_ids = run.spikes(source[10:25])
    np.testing.assert_array_equal(part_ids, ids[inside] - 10)
    np.testing.assert_array_equal(part_times.mantissa, times.mantissa[inside])


def test_rates(simulation):
    _, _, source, run = simulation
    ids = run.spikes(source)[1]
    assert run.rate(source).to_decimal(u.Hz) == pytest.approx(ids.size / 30 / 0.05)
    assert run.rate(source[:7]).to_decimal(u.Hz) == pytest.approx((ids < 7).sum() / 7 / 0.05)
    times, rates = run.population_rate(source, bin=5 * u.ms)
    np.testing.assert_allclose(times.to_decimal(u.ms), np.arange(2.5, 50, 5))
    counts = np.histogram(run.spikes(source)[0].to_decimal(u.ms) - 1e-6, bins=np.arange(0, 51, 5))[0]
    np.testing.assert_allclose(rates.to_decimal(u.Hz), counts / 30 / 0.005)
    assert run.population_rate(source)[0].shape == (50,)


def test_subsets_of_states(simulation):
    _, N, _, run = simulation
    V = run.state(N[3:6].V)
    assert V.shape == (500, 3) and u.get_unit(V) == u.mV
    np.testing.assert_array_equal(V.mantissa, run.states["N[3:6].V"].mantissa)
    np.testing.assert_allclose(V.mantissa[-1], np.asarray(N.V.value.mantissa)[3:6])
    assert run.state(N.refractory).shape == (500, 20) and run.state("N.refractory").max() == 10
    times, ids = run.spikes(N[3:6])
    rows = np.rint(times.to_decimal(u.ms) / DT).astype(int) - 1
    assert rows.size and set(V.mantissa[rows, ids]) == {-65.0}  # the row of a spike holds the reset
    with pytest.raises(ValueError, match=r"N\[0:2\].V was not recorded \(recorded: N\[3:6\].V, N.refractory\): add it to record="):
        run.state(N[:2].V)


def test_only_what_was_asked_for(simulation):
    net, N, source, _ = simulation
    run = net.run(1 * u.ms, record=[N[:2].V], progress=False)
    assert list(run.states) == ["N[0:2].V"]
    with pytest.raises(ValueError, match=r"spikes of N were not recorded \(recorded: none\): add its .spikes"):
        run.spikes(N)
    run = net.run(1 * u.ms, record=[source[:5].spikes], progress=False)
    assert run.spikes(source[:5])[1].size >= 0 and run.states == {}
    assert net.run(1 * u.ms, record=[], progress=False).n_steps == 10


def test_zero_duration(simulation):
    net, N, _, _ = simulation
    before = net.first_step
    run = net.run(0 * u.ms, record=[N.spikes, N.V], progress=False)
    assert net.first_step == before
    assert run.state(N.V).shape == (0, 20) and run.spikes(N)[1].size == 0 and run.rate(N).to_decimal(u.Hz) == 0
    assert run.times.shape == (0,)
    assert run.population_rate(N)[1].to_decimal(u.Hz).sum() == 0


def test_times_go_on(simulation):
    net, _, source, _ = simulation
    net.reset()
    first, second = (net.run(5 * u.ms, progress=False) for _ in range(2))
    np.testing.assert_allclose(second.times.to_decimal(u.ms), first.times.to_decimal(u.ms) + 5)
    assert second.spikes(source)[0].mantissa.min() > 5
    counts = second.population_rate(source, bin=1 * u.ms)
    np.testing.assert_allclose(counts[0].to_decimal(u.ms), np.arange(5.5, 10))
    assert counts[1].to_decimal(u.Hz).sum() * 30 / 1000 == pytest.approx(second.spikes(source)[1].size)


def test_save(simulation, tmp_path):
    _, N, source, run = simulation
    run.save(tmp_path / "run.npz")
    with np.load(tmp_path / "run.npz") as kept:
        assert float(kept["dt_ms"]) == DT and int(kept["n_steps"]) == 500 and int(kept["first_step"]) == 0
        for population in (N, source):
            times, ids = run.spikes(population)
            np.testing.assert_array_equal(kept[f"spikes/{population.label}/id"], ids)
            np.testing.assert_allclose((kept[f"spikes/{population.label}/step"] + 1) * DT, times.to_decimal(u.ms))
        np.testing.assert_array_equal(kept["states/N[3:6].V"], run.state(N[3:6].V).mantissa)
        assert str(kept["unit/N[3:6].V"]) == "mV"


def test_plot(simulation, tmp_path):
    net, N, source, run = simulation
    run.plot(N, source[:10], labels=["driven", "sources"], path=tmp_path / "run.png")
    assert (tmp_path / "run.png").read_bytes()[:4] == b"\x89PNG"
    net.reset()
    silent = net.run(1 * u.ms, record=[N.spikes, N[:7].V], progress=False)
    assert silent.spikes(N)[1].size == 0
    silent.plot(N, path=tmp_path / "silent.svg")
    net.run(0 * u.ms, record=[N.spikes, N.V], progress=False).plot(N, path=tmp_path / "empty.pdf")
    assert all((tmp_path / name).stat().st_size > 1000 for name in ("silent.svg", "empty.pdf"))


def test_pictures_with_a_path_leave_no_figure_open(simulation, tmp_path):
    from matplotlib import pyplot

    _, N, _, run = simulation
    before = pyplot.get_fignums()
    run.plot(N, path=tmp_path / "run.png")
    with pytest.raises(FileNotFoundError):
        run.plot(N, path=tmp_path / "nowhere" / "run.png")
    assert pyplot.get_fignums() == before


@pytest.mark.parametrize(
    "arguments, message",
    [
        (lambda N: ((), {}), "at least one population"),
        (lambda N: ((N,), {}), "spikes of N were not recorded"),
        (lambda N: ((N,), {"labels": ["a", "b"]}), "2 labels for 1 populations"),
    ],
)
def test_plot_of_what_is_not_there(simulation, arguments, message):
    net, N, _, _ = simulation
    targets, options = arguments(N)
    with pytest.raises(ValueError, match=message):
        net.run(1 * u.ms, record=[N[:1].V], progress=False).plot(*targets, **options)


# -- buffers --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 63, 64, 65, 1000])
def test_packed_rows_come_back(n):
    raster = np.random.default_rng(n).random((50, n)) < 0.1
    raster[7], raster[8] = True, False
    packed = np.packbits(np.pad(raster, ((0, 0), (0, -n % 64))), axis=1, bitorder="little")
    steps, ids = unpacked(packed, 1000, len(packed))()
    np.testing.assert_array_equal(np.stack([steps - 1000, ids]), np.stack(np.nonzero(raster)))


@pytest.mark.parametrize(
    "record, most", [(lambda N: [N.spikes], 32 << 20), (lambda N: [N.V, N.spikes], 32 << 20), (lambda N: [N[:1].V], 32 << 20)]
)
def test_buffers_are_bounded(record, most):
    """The device holds some MB of recording, however long the run and wide the population; the rest streams to the host."""
    N = LIF(500_000, name="N")
    made = Recorder(record(N), [N], 0.1)
    assert 1 <= made.rows <= MOST_ROWS * AWAY
    assert sum(leaf.nbytes for leaf in jax.tree.leaves(made.buffers())) <= most * (1 if OWN_PLATFORM == "cpu" else recorder.AWAY)


@needs_fixed_order
def test_small_buffers_record_the_same(simulation, monkeypatch):
    net, N, source, _ = simulation
    results = []
    for size in (32 << 20, 100):
        monkeypatch.setattr(recorder, "BUFFER_BYTES", size)
        net.reset()
        run = net.run(20 * u.ms, record=[source.spikes, N.V], progress=False)
        results.append((run.spikes(source)[0].mantissa, run.spikes(source)[1], run.state(N.V).mantissa))
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


def plastic():
    """20 sources onto 5 neurons, by synapses that learn: (net, neurons, projection)."""
    S, N = Poisson(20, rate=100 * u.Hz, name="S"), LIF(5, V_th=-64 * u.mV, name="N")
    rule = FromPairs(np.arange(40) % 20, np.random.default_rng(0).integers(0, 5, 40), weight=np.arange(1, 41) * u.pA)
    projection = Projection(S, rule, Expon(tau=5 * u.ms), N, plasticity=PairSTDP(w_max=50 * u.pA, a_pre=0.1, a_post=-0.1))
    return Network(projection, seed=1, dt=0.1 * u.ms), N, projection


@pytest.mark.parametrize("chunk", [0.0, 0.25])
def test_every_kth_step(chunk, monkeypatch):
    """Thinned states are those of every step, at the multiples of the interval, from run to run and whatever the chunks."""
    monkeypatch.setattr(running, "CHUNK_SECONDS", chunk)
    net, N, projection = plastic()
    full, thin = [], []
    for _ in range(2):
        net.reset()
        projection.weight = np.arange(1, 41) * u.pA
        for ms in (1.7, 0.4, 12.9):
            weights = projection.weight_state
            if len(full) < 3:
                run = net.run(ms * u.ms, record=[N.V, weights, projection.synapse_state(), N.spikes], progress=False)
                full.append((run.times_of(N.V), run.state(N.V), run.state(weights), run.state(projection.synapse_state("g"))))
                np.testing.assert_allclose(run.state(weights)[-1].mantissa, projection.weight.mantissa)
                np.testing.assert_array_equal(run.times.mantissa, run.times_of(N.V).mantissa)
            else:
                record = [Every(0.5 * u.ms, N.V), Every(2 * u.ms, weights), Every(0.3 * u.ms, projection.synapse_state())]
                run = net.run(ms * u.ms, record=record, progress=False)
                thin.append([(run.times_of(s), run.state(s)) for s in (N.V, weights, projection.synapse_state())])
    times = np.concatenate([t.mantissa for t, *_ in full])
    for index, k in enumerate((5, 20, 3)):
        whole = np.concatenate([np.asarray(run[1 + index].mantissa) for run in full])
        at, values = (np.concatenate([np.asarray(run[index][part].mantissa) for run in thin]) for part in (0, 1))
        np.testing.assert_allclose(at, times[k - 1 :: k], rtol=1e-12)
        np.testing.assert_array_equal(values, whole[k - 1 :: k])
    assert thin[0][1][1].unit == u.pA and thin[0][1][1].shape == (0, 40) and np.ptp(full[2][2].mantissa[:, 0]) > 0


@pytest.mark.parametrize("output, current", [
    (CUBA(), lambda s, V: s),
    (COBA(E=-80 * u.mV), lambda s, V: s * (-80 - V)),
    (MgBlock(E=5 * u.mV, Mg=1.5), lambda s, V: s * (5 - V) / (1 + 1.5 * np.exp(-0.062 * V) / 3.57)),
])  # fmt: skip
def test_the_current_of_synapses(output, current):
    """Spikes at known times: the sum of their exponentials in numpy, and Ohm's law at the V that was recorded beside; a slice, thinned."""
    rng, times, tau = np.random.default_rng(5), np.array([1.0, 3.3, 3.4, 9.0]), 4.0
    S = SpikeSource(2, times=np.append(times, times[1:]) * u.ms, ids=[0] * 4 + [1] * 3, name="S")
    N = LIF(5, V_init=rng.uniform(-65, -55, 5) * u.mV, name="N")
    weights = rng.uniform(1, 2, (2, 3))
    projection = Projection(S, Dense(weights * output.unit), Expon(tau=tau * u.ms, output=output), N[1:4])
    net = Network(projection, dt=DT * u.ms)
    record = [N.V, Every(0.5 * u.ms, projection.current_state)]
    run = net.run(12 * u.ms, record=record, progress=False)
    t = np.arange(1, 121)[:, None] * DT
    s = sum(np.where(t > at - DT / 2, np.exp(-(t - at) / tau), 0) * w for own, w in zip((times, times[1:]), weights) for at in own)
    got = run.state(projection.current_state)
    assert got.unit == u.pA and got.shape == (24, 3)
    np.testing.assert_allclose(got.mantissa, current(s, run.state(N.V).mantissa[:, 1:4])[4::5], rtol=2e-5, atol=1e-6)


def test_a_full_buffer_ends_a_chunk_and_not_a_run(monkeypatch):
    """All neurons spike in every step: the list of spikes is emptied whenever it is full."""
    monkeypatch.setattr(record_columns, "IDS", 10)
    N = LIF(50, V_th=-66 * u.mV, V_reset=-70 * u.mV, V_rest=-65 * u.mV, tau=0.01 * u.ms, name="N")
    M = LIF(3, V_th=-66 * u.mV, V_reset=-70 * u.mV, V_rest=-65 * u.mV, tau=0.01 * u.ms, name="M")
    run = Network(N, M).run(20 * u.ms, dt=0.1 * u.ms, progress=False)
    for population in (N, M):
        times, ids = run.spikes(population)
        np.testing.assert_array_equal(ids, np.tile(np.arange(population.size), 200))
        np.testing.assert_allclose(times.mantissa, np.repeat(np.arange(1, 201) * 0.1, population.size))
    assert run.n_steps == 200


def jumps(synapse):
    """A projection in a network of its own, whose synapse has no state."""
    A, B = LIF(3, name="A"), LIF(3, name="B")
    projection = Projection(A, OneToOne(weight=1 * synapse.unit), synapse, B)
    Network(projection)
    return projection


def test_what_cannot_be_recorded_so_says_so():
    net, N, projection = plastic()
    other, _, stranger = plastic()
    static = Projection(N, OneToOne(weight=1 * u.pA), Expon(tau=5 * u.ms), N)
    for record, match in (
        (lambda: [Every(0.25 * u.ms, N.V)], r"interval is 0.25 ms, expected a positive multiple of dt = 0.1 ms: take 0.2 ms"),
        (lambda: [Every(0 * u.ms, N.V)], "interval is 0 ms, expected a positive multiple"),
        (lambda: [Every(-1 * u.ms, N.V)], "interval is -1 ms"),
        (lambda: [Every(np.nan * u.ms, N.V)], "interval is nan"),
        (lambda: [Every(1 * u.ms, N[:2].spikes)], "cannot be thinned"),
        (lambda: [N.V, Every(1 * u.ms, N.V)], "N.V is there twice, with two intervals"),
        (lambda: [stranger.weight_state], "is of a projection of another network"),
        (lambda: [static.weight_state], "weight_state is of weights that learn, in a network"),
        (lambda: [projection.synapse_state("h")], "has no state 'h': its states are g"),
        (lambda: [other.projections[0].current_state], "is of a projection of another network"),
        (
            lambda: [Projection(N, OneToOne(weight=1 * u.pA), Expon(tau=5 * u.ms), N).current_state],
            "no current_state: it is not in a network yet",
        ),
        (lambda: [jumps(Delta()).current_state], r"no current_state: Delta\(\) makes V jump"),
        (lambda: [jumps(Gap()).current_state], r"no current_state: that of Gap\(\) depends on V at both ends"),
    ):
        with pytest.raises(ValueError, match=match):
            net.run(1 * u.ms, record=record(), progress=False)
    with pytest.raises(u.UnitMismatchError, match="Every: interval is a plain number"):
        net.run(1 * u.ms, record=[Every(1, N.V)], progress=False)
    assert other.first_step == 0


def test_thinned_states_go_into_files_and_pictures(tmp_path):
    net, N, projection = plastic()
    run = net.run(20 * u.ms, record=[N.spikes, Every(2 * u.ms, N[1:3].V), Every(5 * u.ms, projection.weight_state)], progress=False)
    run.save(tmp_path / "run.npz")
    back = Run.load(tmp_path / "run.npz")
    np.testing.assert_array_equal(back.times_of("N[1:3].V").mantissa, run.times_of(N[1:3].V).mantissa)
    assert back.state("S -> N.weight").shape == (4, 40)
    back.plot("N", path=str(tmp_path / "run.png"))
    assert (tmp_path / "run.png").stat().st_size > 10_000


def test_tables_and_neo():
    """The same spikes and states in a table of pandas and in a block of neo, where these are installed."""
    net, N, projection = plastic()
    net.run(3 * u.ms, progress=False)
    run = net.run(20 * u.ms, record=[N.spikes, N.V, Every(2 * u.ms, projection.weight_state)], progress=False)
    times, ids = run.spikes(N)
    frame = pytest.importorskip("pandas") and run.to_dataframe()
    np.testing.assert_array_equal(frame["neuron"], ids)
    np.testing.assert_array_equal(frame["time (ms)"], times.mantissa)
    assert set(frame["population"]) == {"N"} and len(run.to_dataframe(N[:2])) == (ids < 2).sum() > 0
    segment = pytest.importorskip("neo") and run.to_neo().segments[0]
    assert len(segment.spiketrains) == 5
    for train in segment.spiketrains:
        np.testing.assert_allclose(train.rescale("ms").magnitude, times.mantissa[ids == train.annotations["neuron"]])
    V, weights = segment.analogsignals
    np.testing.assert_array_equal(V.magnitude, run.state(N.V).mantissa)
    np.testing.assert_allclose(weights.times.rescale("ms").magnitude, run.times_of(projection.weight_state).mantissa)
    assert str(V.dimensionality) == "mV" and weights.name == "S -> N.weight"


# -- Ctrl-C and the bar ---------------------------------------------------------------------------------------------------------


def check_interrupted(net, N, source, run):
    """What was recorded is whole, and the network goes on from there."""
    assert run.interrupted and "interrupted" in repr(run)
    assert run.n_steps > 0
    assert run.state(N[:2].V).shape == (run.n_steps, 2) and run.times.shape == (run.n_steps,)
    steps = np.rint(run.spikes(source)[0].to_decimal(u.ms) / DT).astype(int)
    assert steps.max() <= run.n_steps
    again = net.run(1 * u.ms, record=[N[:2].V, source.spikes], progress=False)
    assert again.first_step == run.n_steps and not again.interrupted
    net.reset()
    whole = net.run((run.n_steps + 10) * DT * u.ms, record=[N[:2].V, source.spikes], progress=False)
    V = np.concatenate([run.state(N[:2].V).mantissa, again.state(N[:2].V).mantissa])
    np.testing.assert_array_equal(whole.state(N[:2].V).mantissa, V)


@needs_fixed_order
def test_interrupted_between_chunks(simulation, monkeypatch, capsys):
    net, N, source, _ = simulation
    net.reset()
    collect, calls = Recorder.collect, []

    def interrupting(self, *arguments):
        calls.append(arguments)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        return collect(self, *arguments)

    monkeypatch.setattr(Recorder, "collect", interrupting)
    monkeypatch.setattr(running, "CHUNK_SECONDS", 0.0)
    run = net.run(10 * u.ms, record=[N[:2].V, source.spikes], progress=False)
    said = capsys.readouterr().err
    assert "stopping after this chunk; Ctrl-C again to stop at once" in said and "interrupted after 2.1 of 10 ms" in said
    assert run.n_steps == 21  # chunks of 10, 10 and 1 steps
    monkeypatch.undo()
    check_interrupted(net, N, source, run)


@needs_fixed_order
def test_interrupted_within_a_chunk(simulation):
    """The signal comes while the device runs, and holds the only copy of the state."""
    net, N, source, _ = simulation
    net.reset()
    handler = signal.getsignal(signal.SIGINT)
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    run = net.run(1e9 * u.ms, record=[N[:2].V, source.spikes], progress=False)
    timer.join()
    assert signal.getsignal(signal.SIGINT) is handler
    check_interrupted(net, N, source, run)


@needs_fixed_order
def test_interrupted_twice_ends_at_once(simulation, monkeypatch):
    net, _, _, _ = simulation
    net.reset()
    monkeypatch.setattr(Recorder, "collect", lambda *_: [signal.raise_signal(signal.SIGINT) for _ in range(2)])
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        net.run(10 * u.ms, progress=False)
    monkeypatch.undo()
    assert signal.getsignal(signal.SIGINT) is handler
    assert net.run(1 * u.ms, progress=False).first_step == 0  # as before the run


def test_a_second_press_that_a_callback_swallows_is_not_lost(simulation, monkeypatch):
    """As in the compiler, whose callbacks ignore exceptions: the run ends when it comes back."""
    net, _, _, _ = simulation
    net.reset()
    compiled, calls = network.kept_loop, []

    def swallowing(*arguments):
        loop = compiled(*arguments)

        def run(*operands):
            calls.append(operands)
            for _ in range(2):
                with contextlib.suppress(KeyboardInterrupt):
                    signal.raise_signal(signal.SIGINT)
            return loop(*operands)

        return run

    monkeypatch.setattr(network, "kept_loop", swallowing)
    with pytest.raises(KeyboardInterrupt):
        net.run(10 * u.ms, progress=False)
    monkeypatch.undo()
    assert len(calls) == 1 and net.run(1 * u.ms, progress=False).first_step == 0


def test_runs_in_another_thread(simulation):
    net, _, _, _ = simulation
    results = []
    thread = threading.Thread(target=lambda: results.append(net.run(1 * u.ms, progress=False)))
    thread.start()
    thread.join()
    assert results[0].n_steps == 10


@pytest.mark.parametrize("progress, shown", [(True, True), (False, False), (None, False)])
def test_progress_bar(simulation, progress, shown, capsys):
    """None shows it on a terminal only, and pytest is none."""
    net, _, _, _ = simulation
    net.run(20 * u.ms, progress=progress)
    text = capsys.readouterr().err
    assert ("biological time" in text and "100%" in text and "0.02/0.02 s" in text) if shown else text == ""


def test_speed_is_measured(simulation):
    net, _, _, _ = simulation
    run = net.run(50 * u.ms, progress=False)
    assert run.speed > 0
    assert run.duration.to_decimal(u.ms) == pytest.approx(50)


# -- statistics on the fly -----------------------------------------------------------------------------------------------------------


def busy_network():
    """30 neurons that share much of their input, so that they are correlated; weights that learn."""
    P, N = Poisson(40, rate=60 * u.Hz, name="P"), LIF(30, V_th=-58 * u.mV, name="N")
    learning = PairSTDP(w_max=400 * u.pA)
    projection = Projection(P, FixedProb(0.3, weight=200 * u.pA), Expon(tau=5 * u.ms, output=CUBA()), N, plasticity=learning)
    return N, projection, Network(projection, seed=4, dt=0.1 * u.ms)


def test_statistics_on_the_fly_are_those_of_what_is_stored(tmp_path):
    """Mean, variance, counts and correlations over many chunks: those of the rows and spikes of the same run; a file keeps them."""
    N, projection, net = busy_network()
    net.run(3.3 * u.ms, progress=False)
    weights = projection.weight_state
    asked = [Moments(N.V), Moments(weights), Counts(N), Counts(N[5:9].spikes), Correlations(N[3:20], bin=7 * u.ms), Correlations(N)]
    run = net.run(401.7 * u.ms, progress=False, record=[N.spikes, N.V, weights, *asked])
    rows, learned = (np.asarray(run.state(state).mantissa, np.float64) for state in (N.V, weights))
    run.save(tmp_path / "run.npz")
    stored = Run(dt=run.dt, first_step=run.first_step, n_steps=run.n_steps, spikes=run._spikes, states=run._states, sizes=run.sizes)
    for found in (run, Run.load(tmp_path / "run.npz")):
        assert found.mean("N.V").unit == u.mV and found.variance("N.V").unit == u.mV**2
        np.testing.assert_allclose(found.mean("N.V").mantissa, rows.mean(0), rtol=1e-6)
        np.testing.assert_allclose(found.variance("N.V").mantissa, rows.var(0), rtol=1e-4)
        np.testing.assert_allclose(found.mean(weights.label).mantissa, learned.mean(0), rtol=1e-6)
        np.testing.assert_allclose(found.variance(weights.label).mantissa, learned.var(0), rtol=1e-3, atol=1e-6)
        spikes = np.bincount(run.spikes(N)[1], minlength=30)
        np.testing.assert_allclose(found.rates(N).to_decimal(u.Hz), spikes / 0.4017, rtol=1e-12)
        want = stored.correlation("N", bin=7 * u.ms)[3:20, 3:20]
        np.testing.assert_allclose(found.correlation(N[3:20]), want, atol=1e-12)
        np.testing.assert_allclose(found.correlation(N), stored.correlation("N"), atol=1e-12)
        assert spikes.sum() > 300 and 0.1 < np.nanmean(want[~np.eye(17, dtype=bool)]) < 0.9
    np.testing.assert_allclose(stored.mean("N.V").mantissa, rows.mean(0))
    np.testing.assert_allclose(stored.variance("N.V").mantissa, rows.var(0))
    np.testing.assert_array_equal(run.rates(N[5:9]).mantissa, stored.rates("N").mantissa[5:9])


def test_statistics_without_what_they_are_of():
    N, _, net = busy_network()
    record = [Counts(N), Correlations(N[:4].spikes, bin=2 * u.ms), Moments(N[:3].V)]
    run = net.run(50 * u.ms, progress=False, record=record)
    _, _, again = busy_network()
    again_run = again.run(50 * u.ms, progress=False)
    np.testing.assert_array_equal(run.rates(N).mantissa, again_run.rates("N").mantissa)
    np.testing.assert_array_equal(run.rates(N[4:6]).mantissa, again_run.rates("N").mantissa[4:6])
    np.testing.assert_allclose(run.correlation(N[:4], bin=2 * u.ms), again_run.correlation("N", bin=2 * u.ms)[:4, :4], atol=1e-12)
    assert run.mean(N[:3].V).shape == (3,) and run.states == {}
    for ask, words in (
        (lambda: run.spikes(N), "the spikes of N were not recorded"),
        (lambda: run.correlation(N[:4], bin=3 * u.ms), "recorded in bins of 2 ms, and no spikes"),
        (lambda: run.correlation(N), "the spikes of N were not recorded"),
        (lambda: run.mean(N.V), "N.V was not recorded"),
    ):
        with pytest.raises(ValueError, match=words):
            ask()
    empty = net.run(0 * u.ms, progress=False, record=record)
    assert np.isnan(empty.mean(N[:3].V).mantissa).all() and empty.rates(N).mantissa.sum() == 0


@pytest.mark.parametrize(
    ("record", "error", "words"),
    [
        (lambda N: [Moments(N.spikes)], ValueError, "Moments of N.spikes, which holds spikes: record Counts"),
        (lambda N: [Counts(N.V)], ValueError, "N.V holds no spikes: give a population, a slice of one, or its spikes"),
        (lambda N: [Moments(N)], ValueError, "is no state of a population of this network"),
        (lambda N: [Correlations(N, bin=0.25 * u.ms)], ValueError, "Correlations: bin is 0.25 ms, expected a positive multiple of dt"),
        (lambda N: [Correlations(N, bin=5)], u.UnitMismatchError, "Correlations: bin is a plain number"),
        (lambda N: [Correlations(N), Correlations(N, bin=1 * u.ms)], ValueError, "correlations/N is there twice, with two intervals"),
        (lambda N: [Correlations(LIF(3, name="M"))], ValueError, "is no state of a population of this network"),
    ],
)
def test_statistics_that_cannot_be_are_named(record, error, words):
    N, _, net = busy_network()
    with pytest.raises(error, match=words):
        net.run(1 * u.ms, progress=False, record=record(N))


def test_correlations_of_too_many_neurons_are_refused():
    P = Poisson(20_000, rate=1 * u.Hz, name="P")
    with pytest.raises(ValueError, match=r"Correlations of 20,000 neurons of P, expected at most 16,384: take a slice"):
        Network(P).run(1 * u.ms, dt=0.1 * u.ms, record=[Correlations(P)])
