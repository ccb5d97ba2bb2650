"""Files of networks and runs: going on from one is as if nothing had been between; what does not fit is refused, and nothing is lost."""

import warnings

import brainunit as u
import jax
import numpy as np
import pytest

from brainevent.projections import (
    COBA,
    LIF,
    AdEx,
    Delta,
    Expon,
    FixedOutDegree,
    FixedProb,
    Network,
    Normal,
    PairSTDP,
    Poisson,
    PoissonInput,
    Projection,
    Run,
    TsodyksMarkram,
    files,
)

DRIVE = 220 * u.pA


def build(seed=1, n=60, weight=1.0, delay=2.0, name="N"):
    """A network with a bit of everything, and its populations."""
    noise = Poisson(20, rate=100 * u.Hz, name="noise")
    N = LIF(n, V_init=Normal(-55 * u.mV, 3 * u.mV), tau_ref=2 * u.ms, name=name)
    A = AdEx(30, name="A")
    fast = Expon(tau=5 * u.ms, output=COBA(E=0 * u.mV))
    spread = Normal(2 * u.ms, 0.5 * u.ms)
    net = Network(
        Projection(noise, FixedProb(0.3, weight=weight * u.nS), fast, N, delay=1.5 * u.ms, plasticity=TsodyksMarkram()),
        Projection(N, FixedOutDegree(10, weight=Normal(1 * u.nS, 0.1 * u.nS)), fast, N, delay=spread),
        Projection(N, FixedProb(0.3, weight=5 * u.nS), fast, A, delay=(np.arange(n) % 20)[:, None] * delay / 20 * u.ms),
        Projection(A, FixedProb(0.3, weight=0.5 * u.mV), Delta(), N, plasticity=PairSTDP(w_max=1 * u.mV), delay=1 * u.ms),
        PoissonInput(A, n=100, rate=30 * u.Hz, weight=0.8 * u.mV, synapse=Delta()),
        seed=seed,
    )
    return net, (noise, N, A)


def go_on(net, populations, duration=30):
    """The spikes and weights of a further run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = net.run(duration * u.ms, dt=0.1 * u.ms, inputs={populations[1]: DRIVE}, progress=False)
    spikes = [part for p in populations for part in (run.spikes(p)[0].mantissa, run.spikes(p)[1])]
    return [*spikes, *(np.asarray(p.weight.mantissa) for p in net.projections)]


def test_going_on_from_a_file_is_as_if_nothing_had_been_between(tmp_path):
    """Spikes under way by each kind of delay, resources, learned weights, refractory neurons and noise: bit for bit."""
    net, populations = build()
    go_on(net, populations)
    net.save(tmp_path / "state")
    counts = [projection.path_counts.copy() for projection in net.projections]
    want = go_on(net, populations)
    assert all(spikes.size > 20 for spikes in want[1:6:2])
    other, others = build()
    other.load(tmp_path / "state.npz")
    assert other.first_step == 300 and other.dt == 0.1 * u.ms
    assert all((a == b.path_counts).all() for a, b in zip(counts, other.projections))
    for a, b in zip(go_on(other, others), want):
        np.testing.assert_array_equal(a, b)
    net.load(tmp_path / "state.npz")  # and back, in the network itself
    for a, b in zip(go_on(net, populations), want):
        np.testing.assert_array_equal(a, b)


def test_a_delay_that_changed_goes_into_the_file(tmp_path):
    """Input that is due by a delay of before is kept, in a network that got the new delay otherwise."""
    N = LIF(40, V_init=-49 * u.mV, name="N")
    net = Network(projection := Projection(N, FixedProb(0.2, weight=1 * u.mV), Delta(), N, delay=3 * u.ms), seed=2, dt=0.1 * u.ms)
    net.run(2 * u.ms, progress=False)
    projection.delay = 1 * u.ms
    net.save(tmp_path / "state.npz")
    want = net.run(20 * u.ms, inputs={N: DRIVE}, progress=False).spikes(N)
    M = LIF(40, V_init=-49 * u.mV, name="N")
    other = Network(Projection(M, FixedProb(0.2, weight=1 * u.mV), Delta(), M, delay=1 * u.ms), seed=2)
    other.load(tmp_path / "state.npz")
    got = other.run(20 * u.ms, inputs={M: DRIVE}, progress=False).spikes(M)
    np.testing.assert_array_equal(got[1], want[1])
    np.testing.assert_array_equal(got[0].mantissa, want[0].mantissa)
    assert want[1].size > 40


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "state.npz"
    net, populations = build()
    go_on(net, populations, 2)
    net.save(path)
    return path


@pytest.mark.parametrize(
    "changes,words",
    [
        ({"seed": 2}, "seed is 1 there, 2 here"),
        ({"n": 61}, r"populations is \['Poisson noise of 20', 'LIF N of 60', 'AdEx A of 30'\] there"),
        ({"name": "M"}, "populations is"),
        ({"weight": 1.5}, r"synapses of noise -> N \(\d\) is \d+ there"),
        ({"delay": 4.0}, r"delays of N -> A \(\d\) is \d+ there"),
    ],
)
def test_a_file_of_another_network_is_refused(changes, words, saved):
    net, populations = build(**changes)
    before = go_on(net, populations, 2)
    first = net.first_step
    with pytest.raises(ValueError, match=f"state.npz is of another network: {words}"):
        net.load(saved)
    assert net.first_step == first and before[1].size


def test_another_time_step_or_precision_is_refused(saved):
    net, _ = build()
    net.run(1 * u.ms, dt=0.05 * u.ms, progress=False)
    with pytest.raises(ValueError, match=r"dt is 0.1 ms there, 0.05 ms here"):
        net.load(saved)
    with jax.enable_x64(True):
        net, _ = build()
        with pytest.raises(ValueError, match="precision is float32 there, float64 here"):
            net.load(saved)


def test_damage_and_other_files_are_told(saved, tmp_path):
    """Every file cut short, emptied, of text, of another kind or version: one kind of error, that names the file."""
    net, _ = build()
    whole, path = saved.read_bytes(), tmp_path / "file.npz"
    for n in (0, 1, 100, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:n])
        with pytest.raises(ValueError, match=r"file.npz is damaged, or no .npz file"):
            net.load(path)
    np.savez(path, a=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match=r"file.npz is damaged"):
        net.load(path)
    np.savez(path, V=np.zeros(3))
    with pytest.raises(ValueError, match="holds 'another file', expected 'brainevent network state'"):
        net.load(path)
    net.run(1 * u.ms, dt=0.1 * u.ms, progress=False).save(path)
    with pytest.raises(ValueError, match="holds 'brainevent run', expected 'brainevent network state'"):
        net.load(path)
    with pytest.raises(ValueError, match="holds 'brainevent network state', expected 'brainevent run'"):
        Run.load(saved)
    with np.load(saved) as file:
        np.savez(path, **{name: file[name] for name in file.files if name != "version"}, version=99)
    with pytest.raises(ValueError, match="has version 99, expected 1"):
        net.load(path)
    with pytest.raises(FileNotFoundError):
        net.load(tmp_path / "none.npz")


def test_a_file_is_written_whole_or_not_at_all(saved, tmp_path, monkeypatch):
    net, _ = build()
    path = tmp_path / "state.npz"
    net.save(path)
    before = path.read_bytes()

    def fails(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", fails)
    with pytest.raises(OSError, match="No space left"):
        net.save(path)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["state.npz"]


def test_a_run_comes_back_from_its_file(tmp_path):
    """Spikes, states with their units, rates and pictures, by the names of the populations."""
    net, (noise, N, A) = build()
    go_on(net, (noise, N, A), 5)
    run = net.run(20 * u.ms, inputs={N: DRIVE}, record=[noise.spikes, N.spikes, N[:3].V, A.w], progress=False)
    run.save(tmp_path / "run.npz")
    back = Run.load(tmp_path / "run.npz")
    assert repr(back) == repr(run) and back.duration == run.duration and back.speed == run.speed
    for name, population in (("N", N), ("noise", noise)):
        for a, b in zip(back.spikes(name), run.spikes(population)):
            np.testing.assert_array_equal(u.get_mantissa(a), u.get_mantissa(b))
        assert back.rate(name) == run.rate(population) and back.rate(population) == run.rate(population)
    np.testing.assert_array_equal(back.state("N[0:3].V").mantissa, run.state(N[:3].V).mantissa)
    assert back.state("A.w").unit == u.pA
    np.testing.assert_array_equal(back.population_rate("N")[1].mantissa, run.population_rate(N)[1].mantissa)
    back.plot("N", "noise", path=str(tmp_path / "run.png"))
    assert (tmp_path / "run.png").stat().st_size > 10_000
    with pytest.raises(ValueError, match="'M' is no population of this run: it has noise, N, A"):
        back.spikes("M")
    with np.load(tmp_path / "run.npz") as file:  # as numpy alone reads it
        assert float(file["dt_ms"]) == pytest.approx(0.1) and "spikes/N/step" in file.files
