"""What a network refuses or says: broken states, other owners, threads, forks, transformations; and that long runs stay exact."""

import copy
import os
import pickle
import subprocess
import sys
import threading
import warnings

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from brainevent.projections import (
    COBA,
    LIF,
    AllToAll,
    Delta,
    Expon,
    FixedProb,
    FixedTotal,
    FromPairs,
    Network,
    Normal,
    OneToOne,
    Poisson,
    PoissonInput,
    Projection,
    Uniform,
    drawing,
    running,
)
from brainevent.projections.clock import ERA, Clock, in_era, root_at, root_of, step_of, words_of

DT = 0.1
TOLD = r"N.V is (nan|inf) in {} of {} neurons, {} the first of them, after step {} "


def lif(n=3, name="N", **options):
    return LIF(n, name=name, **options)


def quiet(net, ms, **options):
    return net.run(ms * u.ms, progress=False, **options)


# -- states that are not finite -------------------------------------------------------------------------------------------------


def broken(N):
    """An input that is NaN for the second neuron from step 15 on."""
    return {N: lambda t: u.math.sqrt(jnp.where((t > 1.45 * u.ms) & (jnp.arange(3) == 1), -1.0, 1.0)) * u.pA}


def test_a_state_that_is_not_finite_is_told_once_a_run(monkeypatch):
    """At the end of a chunk; the first one is short, but where steps are quick."""
    monkeypatch.setattr(running, "QUICK", running.FIRST)
    N = lif()
    net = Network(N, dt=DT * u.ms)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quiet(net, 1, inputs=broken(N))
    with pytest.warns(UserWarning, match=TOLD.format(1, 3, 1, 20)) as caught:
        quiet(net, 2, inputs=broken(N))
    assert len(caught) == 1 and caught[0].filename == __file__ and "reset()" in str(caught[0].message)
    with pytest.warns(UserWarning, match=TOLD.format(1, 3, 1, 40)):  # and again in the next run
        quiet(net, 1)
    net.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quiet(net, 1)


def test_where_warnings_are_errors_the_states_are_kept(monkeypatch):
    monkeypatch.setattr(running, "QUICK", running.FIRST)
    N = lif()
    net = Network(N, dt=DT * u.ms)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match=r"N.V is nan"):
            quiet(net, 5, inputs=broken(N))
    assert net.first_step == 20 and np.isnan(np.asarray(N.V.value.mantissa)).tolist() == [False, True, False]


def test_synapses_that_overflow_are_told():
    source, N = Poisson(20, rate=2 * u.kHz, name="source"), lif(2)
    rule = AllToAll(weight=3e38 * u.nS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a weight that strong
        net = Network(Projection(source, rule, Expon(tau=5 * u.ms, output=COBA(E=0 * u.mV)), N), dt=DT * u.ms)
    with pytest.warns(UserWarning, match=r"(N.V|g of Expon\(.*\) onto N) is (inf|nan) in"):
        quiet(net, 5)


# -- functions of time ----------------------------------------------------------------------------------------------------------


def test_what_a_function_reads_is_read_in_each_run():
    N = lif(1, V_th=1e6 * u.mV)
    net, amplitude, calls = Network(N, dt=DT * u.ms), 0.0, []

    def pulse(t):
        calls.append(t)
        return amplitude * u.pA + 0 * t / u.ms * u.pA

    quiet(net, 2, inputs={N: pulse})
    amplitude = 1000.0
    V = quiet(net, 2, inputs={N: pulse}, record=[N.V]).state(N.V)[-1]
    assert V.to_decimal(u.mV)[0] == pytest.approx(-65 + 100 * (1 - np.exp(-2 / 20)), abs=1e-3)
    assert len(calls) == 2  # traced once a run


def test_a_loop_is_kept_for_a_function_that_computes_the_same():
    N = lif(1)
    net = Network(N, dt=DT * u.ms)
    for scale in (1.0, 1.0, 2.0):
        table = scale * np.arange(3.0)
        quiet(net, 1, inputs={N: lambda t, scale=scale, table=table: scale * u.math.sin(t / u.ms) * jnp.sum(jnp.asarray(table)) * u.pA})
    assert len(net._loops) == 2 and [loop._cache_size() for loop in net._loops.values()] == [1, 1]


@pytest.mark.parametrize(
    "function",
    [lambda t: (1 if t > 1 * u.ms else 0) * u.pA, lambda t: np.sin(np.asarray(t / u.ms)) * u.pA, lambda t: float(t / u.ms) * u.pA],
    ids=["if", "numpy", "float"],
)
def test_a_function_that_cannot_be_traced(function):
    N = lif()
    net = Network(N, dt=DT * u.ms)
    with pytest.raises(TypeError, match=r"inputs\[N\[0:2\]\]: the function of time cannot be traced.*u.math.where"):
        quiet(net, 1, inputs={N[:2]: function})
    assert quiet(net, 1).n_steps == 10


# -- what is assigned to a state ------------------------------------------------------------------------------------------------

ASSIGNED = {
    "volts": (lambda: jnp.full(3, -0.06) * u.volt, None, None),
    "float64": (lambda: np.full(3, -60.0) * u.mV, None, None),
    "integers": (lambda: np.full(3, -60) * u.mV, None, None),
    "another dimension": (lambda: jnp.full(3, -60.0) * u.nS, u.UnitMismatchError, "N.V.value has unit nS.*unit mV"),
    "no unit": (lambda: jnp.full(3, -60.0), u.UnitMismatchError, "N.V.value has unit 1 .a plain number.*unit mV"),
    "another shape": (lambda: jnp.full(4, -60.0) * u.mV, ValueError, r"N.V.value has shape \(4,\), expected \(3,\)"),
    "broadcastable": (lambda: jnp.full(1, -60.0) * u.mV, ValueError, r"N.V.value has shape \(1,\), expected \(3,\)"),
    "complex": (lambda: jnp.full(3, -60.0 + 0j) * u.mV, TypeError, "N.V.value has dtype complex64, expected float32"),
}


@pytest.mark.parametrize("what", ASSIGNED)
def test_values_assigned_to_a_state(what):
    value, error, match = ASSIGNED[what]
    N = lif()
    net = Network(N, dt=DT * u.ms)
    before, N.V.value = N.V.value, value()
    if error is None:
        assert quiet(net, DT, record=[N.V]).state(N.V).to_decimal(u.mV)[-1] == pytest.approx(-65 + 5 * np.exp(-DT / 20), rel=1e-6)
        return
    for use in (lambda: quiet(net, DT), net.step):
        with pytest.raises(error, match=match):
            use()
    N.V.value = before
    assert quiet(net, DT).n_steps == 1


def test_integers_of_a_state_stay_integers():
    N = lif()
    net = Network(N, dt=DT * u.ms)
    N.refractory.value = jnp.ones(3)
    with pytest.raises(TypeError, match=r"N.refractory.value has dtype float32, expected int32"):
        quiet(net, DT)


# -- owners ---------------------------------------------------------------------------------------------------------------------


def test_a_population_has_one_network():
    N = lif(V_th=1e6 * u.mV)
    first = Network(N, dt=DT * u.ms)
    quiet(first, 2)
    with pytest.warns(UserWarning, match="population N was in a network that has run 20 steps.*cannot run any more"):
        second = Network(Projection(N, AllToAll(weight=1 * u.mV), Delta(), lif(2, "M")), dt=0.2 * u.ms)
    for use in (lambda: quiet(first, 1), first.step, first.reset):
        with pytest.raises(ValueError, match="population N is in another network now"):
            use()
    assert quiet(second, 1).n_steps == 5
    third = Network(lif(name="fresh"))  # one that has not run is left without a word
    assert quiet(Network(third.populations[0]), 1, dt=DT * u.ms).n_steps == 10


def test_a_run_knows_its_populations():
    N, other = lif(10, V_init=-49 * u.mV), lif(1000)
    run = quiet(Network(N, dt=DT * u.ms), 10, record=[N.spikes, N[:5].V, N.refractory])
    assert run.rate(N).to_decimal(u.Hz) == pytest.approx(100) and run.rate(N[:3]).to_decimal(u.Hz) == pytest.approx(100)
    for use in (run.rate, run.spikes, run.population_rate, run.plot, lambda M: run.rate(M[:3]), lambda M: run.state(M[:5].V)):
        with pytest.raises(ValueError, match=r"LIF\(1000, name='N'\) is not the population of that name in this run, LIF\(10, name='N'\)"):
            use(other)
    with pytest.raises(ValueError, match="a population that was not recorded was not recorded"):
        run.state(other.refractory)
    assert run.state(N.refractory).shape == (100, 10) and run.state("N[0:5].V").shape == (100, 5)


@pytest.mark.parametrize("name, error", [("N[0:5]", ValueError), ("a/b", ValueError), (3, TypeError), (b"N", TypeError)])
def test_names_that_slices_and_files_have(name, error):
    with pytest.raises(error, match=r"name is .*expected a (word without|name)"):
        lif(name=name)


BINS = {
    "longer than the run": (1 * u.second, 1, 10),
    "the run": (2 * u.ms, 1, 2),
    "a multiple": (0.3 * u.ms, 6, 0.3),
    "another unit": (500 * u.us, 4, 0.5),
}


@pytest.mark.parametrize("what", BINS)
def test_bins(what):
    bin, n, _ = BINS[what]
    source = Poisson(50, rate=500 * u.Hz, name="source")
    run = quiet(Network(source, dt=DT * u.ms), 2)
    times, rates = run.population_rate(source, bin=bin)
    width = min(bin.to_decimal(u.ms), 2)
    assert rates.shape == (n,)
    np.testing.assert_allclose(times.to_decimal(u.ms), (np.arange(n) + 0.5) * width)
    inside = run.spikes(source)[0].to_decimal(u.ms) <= n * width + 1e-9
    assert rates.to_decimal(u.Hz).sum() * width * 1e-3 * 50 == pytest.approx(inside.sum())


@pytest.mark.parametrize(
    "bin, error, match",
    [
        (0.25 * u.ms, ValueError, "bin is 0.25 ms, which is no multiple of dt = 0.1 ms: take 0.2 ms"),
        (0.04 * u.ms, ValueError, "bin is 0.04 ms, which is no multiple of dt = 0.1 ms: take 0.1 ms"),
        (0 * u.ms, ValueError, "bin is 0 ms, expected a positive time"),
        (-1 * u.ms, ValueError, "bin is -1 ms, expected a positive time"),
        (np.nan * u.ms, ValueError, "bin is nan, but expected one number, finite"),
        (1.0, u.UnitMismatchError, "bin is a plain number"),
        (1 * u.mV, u.UnitMismatchError, "bin is a value in mV"),
    ],
)
def test_bins_that_do_not_fit(bin, error, match):
    N = lif()
    run = quiet(Network(N, dt=DT * u.ms), 2)
    with pytest.raises(error, match=match):
        run.population_rate(N, bin=bin)


# -- long runs, seeds -----------------------------------------------------------------------------------------------------------


def ringing():
    """A noisy network with delays, whose spikes depend on rings and noise: `(net, source, N)`."""
    source, N = Poisson(20, rate=500 * u.Hz, name="source"), lif(20, V_init=Normal(-55 * u.mV, 1 * u.mV))
    parts = [
        Projection(source, OneToOne(weight=9 * u.mV), Delta(), N, delay=1 * u.ms),
        Projection(N, FixedProb(0.3, weight=3 * u.mV), Delta(), N, delay=0.7 * u.ms),
        PoissonInput(N, n=100, rate=20 * u.Hz, weight=0.5 * u.mV, synapse=Delta()),
    ]
    return Network(*parts, seed=3, dt=DT * u.ms), source, N


@pytest.mark.parametrize("around", [2**31, 2**32, 2**40], ids=["2^31", "2^32", "2^40"])
def test_steps_beyond_32_bits(around, monkeypatch):
    """A ring of a delay of 1 ms, times and recording across the step where a counter of that width would wrap."""
    source, relay = Poisson(20, rate=500 * u.Hz, name="source"), lif(20, "relay")
    net = Network(Projection(source, OneToOne(weight=50 * u.mV), Delta(), relay, delay=1 * u.ms), seed=3, dt=DT * u.ms)
    first = around - 25
    net._states["step"].value = jnp.asarray(words_of(first))
    runs = [quiet(net, ms) for ms in (2, 3)]  # the boundary lies within the second
    assert runs[0].first_step == first and runs[1].first_step == first + 20 and net.first_step == first + 50
    rasters = []
    for population in (source, relay):
        raster = np.zeros((50, 20), bool)
        for run in runs:
            times, ids = run.spikes(population)
            raster[np.rint(times.to_decimal(u.ms) / DT).astype(np.int64) - 1 - first, ids] = True
        rasters.append(raster)
    assert rasters[0].sum() > 20
    relayed = np.zeros((50, 20), bool)
    for k in range(10, 49):  # a jump at the end of step k passes the threshold in step k + 1; one in the step of a spike is lost
        relayed[k + 1] = rasters[0][k - 10] & ~relayed[k]
    np.testing.assert_array_equal(rasters[1], relayed)
    np.testing.assert_allclose(runs[1].times.to_decimal(u.ms), (first + 20 + 1 + np.arange(30)) * DT, rtol=1e-15)


def test_noise_of_each_era_is_its_own():
    def spikes(first):
        source = Poisson(200, rate=1 * u.kHz, name="source")
        net = Network(source, seed=1, dt=DT * u.ms)
        net._states["step"].value = jnp.asarray(words_of(first))
        return quiet(net, 5).spikes(source)[1].tolist()

    some = [spikes(first) for first in (0, 2**31, 2**32, 2**33)]
    assert all(a != b for i, a in enumerate(some) for b in some[:i])


def test_steps_of_ones_own_cross_the_boundary_as_a_run_does():
    def after(use, first=ERA - 3):
        net, _, N = ringing()
        net._states["step"].value = jnp.asarray(words_of(first))
        use(net)
        return np.asarray(N.V.value.mantissa), net.first_step

    stepped = after(lambda net: [net.step() for _ in range(6)])
    run = after(lambda net: quiet(net, 0.6))
    assert stepped[1] == run[1] == ERA + 3
    np.testing.assert_allclose(stepped[0], run[0], rtol=1e-6)


@pytest.mark.parametrize("step", [0, 1, 4095, 4096, 2**24 + 1, 2**31 + 5, 2**32 - 1, 2**32, 2**40 + 12345])
@pytest.mark.parametrize("wide", [False, True], ids=["float32", "float64"])
def test_time_is_rounded_once_or_twice(step, wide):
    with jax.enable_x64(wide):
        clock = Clock(tuple(jnp.asarray(words_of(step))), DT, None)
        assert float(clock.time) == pytest.approx(step * DT, rel=2 * float(jnp.finfo(jnp.result_type(float)).eps))
        assert step_of(clock.words) == step and step_of(clock.next()) == step + 1
        assert int(clock.place) % 64 == step % 64
        root = root_of(5)
        np.testing.assert_array_equal(*(jax.random.key_data(key) for key in (in_era(root, clock.words[0]), root_at(root, step))))


def test_coarse_time_is_told():
    N = lif()
    net = Network(N, dt=DT * u.ms)
    net._states["step"].value = jnp.asarray(words_of(10_000_000))
    with pytest.warns(UserWarning, match=r"inputs\[N\]: at 1e\+06 ms a function of time sees t in steps of 0.0625 ms.*jax_enable_x64"):
        quiet(net, 1, inputs={N: lambda t: 0 * t / u.ms * u.pA})


def noise(seed, n=100):
    source = Poisson(n, rate=1 * u.kHz, name="source")
    return quiet(Network(source, seed=seed, dt=DT * u.ms), 5).spikes(source)[1].tolist()


def test_every_bit_of_a_seed_counts():
    found = [noise(seed) for seed in (1, 2, 1 + 2**32, 1 + 2**63, 2**64 - 1)]
    assert all(a != b for i, a in enumerate(found) for b in found[:i])
    graphs = [
        Network(Projection(N := lif(30), FixedProb(0.3, weight=1 * u.mV), Delta(), N), seed=seed).projections[0].to_scipy().toarray()
        for seed in (1, 1 + 2**32, 1 + 2**63)
    ]
    assert not any(np.array_equal(a, b) for i, a in enumerate(graphs) for b in graphs[:i])
    for seed in (-1, 2**64):
        with pytest.raises(ValueError, match=f"seed is {seed}, expected an integer from 0 to"):
            Network(lif(), seed=seed)
    with pytest.raises(TypeError, match="seed is True"):
        Network(lif(), seed=True)


def test_noise_is_that_of_the_seed_whatever_jax_is_told():
    wanted = noise(7)
    with jax.enable_x64(True):
        assert noise(7) == wanted
    with jax.threefry_partitionable(False):
        assert noise(7) == wanted
    with jax.default_prng_impl("rbg"):
        assert noise(7) == wanted


# -- copies, processes, threads, transformations --------------------------------------------------------------------------------


def test_a_run_can_be_pickled():
    net, source, N = ringing()
    run = quiet(net, 20, record=[N.spikes, source.spikes, N[:2].V])
    back = pickle.loads(pickle.dumps(run))
    np.testing.assert_array_equal(back.spikes(source)[1], run.spikes(source)[1])
    np.testing.assert_array_equal(back.state(N[:2].V).mantissa, run.state(N[:2].V).mantissa)
    assert repr(back) == repr(run) and back.rate(lif(20)) == run.rate(N)  # by name: it may be in another process


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["deepcopy", "pickle"])
def test_a_copy_of_a_network_goes_on_alone(clone):
    net, _, N = ringing()
    quiet(net, 5)
    twin = clone(net)
    its = twin.populations[[p.label for p in net.populations].index("N")]
    assert its is not N and its.network is twin
    ours, theirs = quiet(net, 20), quiet(twin, 20)
    assert theirs.first_step == ours.first_step == 50
    for a, b in zip(ours.spikes(N), theirs.spikes(its)):
        np.testing.assert_array_equal(np.asarray(u.get_mantissa(a)), np.asarray(u.get_mantissa(b)))
    np.testing.assert_array_equal(np.asarray(N.V.value.mantissa), np.asarray(its.V.value.mantissa))


def test_two_threads_do_not_run_one_network(monkeypatch):
    net, _, _ = ringing()
    started, go, collect = threading.Event(), threading.Event(), running.Chunks._bar

    def waiting(chunks):
        started.set()
        assert go.wait(30)
        return collect(chunks)

    monkeypatch.setattr(running.Chunks, "_bar", waiting)
    results = []
    thread = threading.Thread(target=lambda: results.append(quiet(net, 1)))
    thread.start()
    assert started.wait(30)
    with pytest.raises(RuntimeError, match="run while it runs in another thread"):
        quiet(net, 1)
    go.set()
    thread.join()
    assert results[0].n_steps == 10 and quiet(net, 1).first_step == 10


@pytest.mark.parametrize("transform", [jax.jit, jax.grad, jax.vmap], ids=["jit", "grad", "vmap"])
def test_run_and_build_are_not_for_transformations(transform):
    N = lif()
    net = Network(N, dt=DT * u.ms)
    value = jnp.ones(2) if transform is jax.vmap else 1.0
    match = "is not for jit, grad or vmap.*net.step under brainstate.transform|traced"
    for use in (
        lambda x: quiet(net, x),
        lambda x: quiet(net, 1, inputs={N: x * u.pA}),
        lambda x: lif(V_th=x * u.mV),
        lambda x: Network(lif(), seed=x),
    ):
        with pytest.raises(TypeError, match=match):
            transform(lambda x, use=use: use(x) and x)(value)
    assert quiet(net, 1).n_steps == 10


CHILD = """
import os, signal, sys
import brainunit as u
from brainevent.projections import LIF, Network

signal.alarm(60)  # a child that waits for ever is ended
def simulate():
    return Network(LIF(3, name="N")).run(1 * u.ms, dt=0.1 * u.ms, progress=False).n_steps
if sys.argv[1] == "after":
    assert simulate() == 10
if os.fork() == 0:
    try:
        print(simulate(), flush=True)
    except RuntimeError as error:
        print(error, flush=True)
    os._exit(0)
os.wait()
"""


@pytest.mark.parametrize("when, said", [("before", "10"), ("after", 'start processes with multiprocessing.get_context("spawn")')])
def test_fork(when, said):
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", CHILD, when], capture_output=True, text=True, timeout=90)
    assert done.returncode == 0 and said in done.stdout, done.stderr


WIDE = """
import jax, jax.numpy as jnp
if {update}:
    jax.config.update("jax_enable_x64", True)
from brainevent.projections import LIF, Network
N = LIF(3, name="N")
Network(N)
print(N.V.value.mantissa.dtype, jnp.ones(1).dtype)
"""


@pytest.mark.parametrize("how", ["variable", "update"])
def test_importing_the_projections_leaves_float64_on(how):
    environment = {"JAX_ENABLE_X64": "1"} if how == "variable" else {}
    script = WIDE.format(update=how == "update")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=os.environ | environment)
    assert done.stdout.split() == ["float64", "float64"], done.stderr


SETTINGS = {
    "tracer leaks": lambda: jax.checking_leaks(),
    "strict promotion": lambda: jax.numpy_dtype_promotion("strict"),
    "transfer guard": lambda: jax.transfer_guard("disallow"),
}


@pytest.mark.parametrize("what", SETTINGS)
@pytest.mark.parametrize("backend", [None, "xla"])
def test_strict_settings_of_jax(what, backend, monkeypatch):
    with SETTINGS[what]():
        N = lif(40, V_init=Normal(-55 * u.mV, 3 * u.mV), tau_ref=1 * u.ms)
        coba = Expon(tau=5 * u.ms, output=COBA(E=0 * u.mV))
        parts = [
            Projection(N[:30], FixedProb(0.2, weight=3 * u.nS), coba, N, delay=0.5 * u.ms),
            Projection(N[30:], FromPairs([0, 1], [3, 4], weight=np.array([1.0, 2.0]) * u.nS), coba, N),
            Projection(N, FixedProb(0.1, weight=0.1 * u.mV, format="jit"), Delta(), N),
            Projection(N, FixedTotal(2500, weight=Uniform(0 * u.nS, 1e-3 * u.uS)), coba, N, delay=Uniform(0 * u.ms, 2e-3 * u.second)),
            Projection(N[:9], FixedProb(0.5, weight=0.1 * u.mV, format="jit"), Delta(), N, delay=Uniform(0 * u.ms, 1 * u.ms)),
            PoissonInput(N, n=10, rate=100 * u.Hz, weight=0.3 * u.nS, synapse=coba),
        ]
        monkeypatch.setattr(drawing, "BLOCK", 1000)  # numbers are drawn in threads, which have settings of their own
        net = Network(*parts)
        run = net.run(
            3 * u.ms, dt=DT * u.ms, inputs={N: lambda t: t / u.ms * 100 * u.pA}, record=[N.spikes, N.V], backend=backend, progress=False
        )
        assert parts[3].weight.shape == parts[3].delay.shape == (2500,)
        assert run.n_steps == 30 and run.rate(N).to_decimal(u.Hz) >= 0
