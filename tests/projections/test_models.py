"""Neuron models: against scipy's solve_ivp at tight tolerance, closed forms, and the firing patterns of their papers; spike sources."""

import warnings
from typing import ClassVar

import brainunit as u
import jax
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from brainevent.projections import (
    ALIF,
    COBA,
    CUBA,
    HH,
    LIF,
    QIF,
    AdEx,
    Delta,
    ExpIF,
    Expon,
    FromPairs,
    Izhikevich,
    Network,
    Neuron,
    Normal,
    OneToOne,
    Projection,
    SpikeSource,
    Uniform,
)

pytestmark = pytest.mark.usefixtures("optimised")


def run_of(N, duration, dt, drive, *parts, record=(), **options):
    """A run of a population in float64, spikes and some states recorded."""
    net = Network(*(parts or (N,)))
    return net.run(duration * u.ms, dt=dt * u.ms, inputs={N: drive * u.pA}, record=[N.spikes, *record], progress=False, **options)


def spike_times(run, N, neuron=0):
    times, ids = run.spikes(N)
    return times.to_decimal(u.ms)[ids == neuron]


# -- references: plain equations of the papers, written apart from the package ---------------------------------------------------


def adex(p):
    def slopes(t, y, I):
        V, w = y
        spike = p["g_L"] * p["Delta_T"] * np.exp((V - p["V_T"]) / p["Delta_T"])
        return [(-p["g_L"] * (V - p["E_L"]) + spike - w + I) / p["C"], (p["a"] * (V - p["E_L"]) - w) / p["tau_w"]]

    return slopes, lambda y: [p["V_reset"], y[1] + p["b"]], [p["E_L"], 0.0], p["V_peak"]


def izhikevich(p):
    def slopes(t, y, I):
        v, w = y
        return [0.04 * v * v + 5 * v + 140 - w + I, p["a"] * (p["b"] * v - w)]

    return slopes, lambda y: [p["c"], y[1] + p["d"]], [-65.0, -65.0 * p["b"]], 30.0


def expif(p):
    def slopes(t, y, I):
        spike = p["g_L"] * p["Delta_T"] * np.exp((y[0] - p["V_T"]) / p["Delta_T"])
        return [(-p["g_L"] * (y[0] - p["E_L"]) + spike + I) / p["C"]]

    return slopes, lambda y: [p["V_reset"]], [p["E_L"]], p["V_peak"]


def qif(p):
    def slopes(t, y, I):
        return [(p["a"] * (y[0] - p["V_rest"]) * (y[0] - p["V_c"]) + p["R"] * I) / p["tau"]]

    return slopes, lambda y: [p["V_reset"]], [p["V_rest"]], p["V_peak"]


def reference(model, I, duration, held=0.0):
    """Spike times (ms) of one neuron under a constant current, by an adaptive method of order 8."""
    slopes, reset, y, peak = model

    def over(t, y, I):
        return y[0] - peak

    over.terminal, over.direction = True, 1
    t, spikes = 0.0, []
    while t < duration and len(spikes) < 500:
        solved = solve_ivp(slopes, (t, duration), y, args=(I,), method="DOP853", rtol=1e-10, atol=1e-10, events=over)
        t, y = solved.t[-1], solved.y[:, -1]
        if solved.status == 1:
            spikes.append(t)
            y, t = reset(y), t + held
    return np.array(spikes)


NAUD = {  # Naud et al. 2008, table 1: C, g_L, E_L, V_T, Delta_T, a, tau_w, b, V_reset, and the current
    "tonic": (200, 10, -70, -50, 2, 2, 30, 0, -58, 500),
    "adaptation": (200, 12, -70, -50, 2, 2, 300, 60, -58, 500),
    "initial burst": (130, 18, -58, -50, 2, 4, 150, 120, -50, 400),
    "regular bursting": (200, 10, -58, -50, 2, 2, 120, 100, -46, 210),
    "delayed accelerating": (200, 12, -70, -50, 2, -10, 300, 0, -58, 300),
    "delayed regular bursting": (100, 10, -65, -50, 2, -10, 90, 30, -47, 110),
    "transient": (100, 10, -65, -50, 2, 10, 90, 100, -47, 180),
}
NAMES = {"C": u.pF, "g_L": u.nS, "E_L": u.mV, "V_T": u.mV, "Delta_T": u.mV, "a": u.nS, "tau_w": u.ms, "b": u.pA, "V_reset": u.mV}
CORTEX = {  # Izhikevich 2003, figure 2: a, b, c, d
    "RS": (0.02, 0.2, -65, 8),
    "IB": (0.02, 0.2, -55, 4),
    "CH": (0.02, 0.2, -50, 2),
    "FS": (0.1, 0.2, -65, 2),
    "LTS": (0.02, 0.25, -65, 2),
}


@pytest.fixture(scope="module")
def adex_spikes():
    """The spikes of a neuron of each pattern in 500 ms, all in one run at 0.005 ms."""
    values = {name: [row[i] for row in NAUD.values()] for i, name in enumerate(NAMES)}
    with jax.enable_x64(True):
        N = AdEx(len(NAUD), **{name: np.array(values[name], float) * unit for name, unit in NAMES.items()}, V_peak=0 * u.mV, name="N")
        run = run_of(N, 500, 0.005, np.array([row[-1] for row in NAUD.values()], float))
        return {kind: spike_times(run, N, i) for i, kind in enumerate(NAUD)}


@pytest.mark.parametrize("kind", NAUD)
def test_adex_fires_as_in_its_papers(kind, adex_spikes):
    """Naud et al. 2008, figure 4: every spike where solve_ivp has it, and the pattern that the figure's name says."""
    times, parameters = adex_spikes[kind], dict(zip(NAMES, NAUD[kind])) | {"V_peak": 0.0}
    want = reference(adex(parameters), NAUD[kind][-1], 500)
    assert times.size == want.size
    # each spike resets at the end of its step, 0 to 0.005 ms late, and bursts amplify what is late: so the first is held tightly
    np.testing.assert_allclose(times[:1], want[:1], atol=0.006, rtol=0)
    np.testing.assert_allclose(times, want, atol=1.5, rtol=0)
    gaps = np.diff(times)
    late = gaps[gaps.size // 2 :]
    says = {
        "tonic": lambda: times.size > 20 and np.ptp(late) < 0.02,
        "adaptation": lambda: gaps[-1] > 2 * gaps[0] and np.all(np.diff(gaps) > -0.02),
        "initial burst": lambda: gaps[0] < 0.3 * gaps[-1],
        "regular bursting": lambda: late.max() > 4 * late.min(),
        "delayed accelerating": lambda: times[0] > 20 and gaps[-1] < gaps[0],
        "delayed regular bursting": lambda: times[0] > 20 and gaps.max() > 3 * gaps.min(),
        "transient": lambda: 1 <= times.size < 5 and times[-1] < 100,
    }
    assert says[kind](), times


def test_izhikevich_fires_as_in_his_paper():
    """Figure 2 of 2003: the spikes of five kinds of neurons, those of solve_ivp one by one, bursts where the paper has them."""
    a, b, c, d = (np.array(column, float) for column in zip(*CORTEX.values()))
    with jax.enable_x64(True):
        N = Izhikevich(len(CORTEX), a=a / u.ms, b=b / u.ms, c=c * u.mV, d=d * u.mV / u.ms, name="N")
        run = run_of(N, 300, 0.005, 10.0)
    spikes = {kind: spike_times(run, N, i) for i, kind in enumerate(CORTEX)}
    for kind, row in CORTEX.items():
        want = reference(izhikevich(dict(zip("abcd", row))), 10.0, 300)
        assert abs(spikes[kind].size - want.size) <= 1 and want.size > 5
        n = min(spikes[kind].size, want.size)
        np.testing.assert_allclose(spikes[kind][:n], want[:n], atol=0.6, rtol=0, err_msg=kind)
    gaps = {kind: np.diff(times) for kind, times in spikes.items()}
    assert gaps["RS"][-1] > 1.5 * gaps["RS"][0]
    assert gaps["CH"].max() > 8 * gaps["CH"].min()
    assert gaps["IB"][0] < 0.3 * gaps["IB"][-1]
    assert np.ptp(gaps["FS"][3:]) < 0.1 and spikes["FS"].size > 1.5 * spikes["RS"].size


@pytest.mark.parametrize(
    "cls,model,currents", [(ExpIF, expif, (150, 300, 800)), (QIF, qif, (60, 150, 600)), (AdEx, adex, (800, 1500, 3000))]
)
def test_rates_at_constant_currents(cls, model, currents):
    """The f-I curve: an interval is that of solve_ivp, or up to one step longer, since a reset waits for the end of its step."""
    dt = 0.01
    with jax.enable_x64(True):
        N = cls(len(currents), name="N")
        run = run_of(N, 400, dt, np.array(currents, float))
        own = {key: float(value) for key, value in N.own.items()}
    held = np.ceil(own["tau_ref"] / dt - 1e-6) * dt
    for i, current in enumerate(currents):
        want, got = reference(model(own), current, 400, held), spike_times(run, N, i)
        assert abs(got.size - want.size) <= 1 + want.size * 2 * dt / np.diff(want).mean()
        gap, late = np.diff(want)[:5], np.diff(got)[:5]
        assert (late >= gap - 1e-3).all() and (late <= gap + 2 * dt + 0.02 * (cls is AdEx)).all(), (gap, late)


def test_hodgkin_huxley_against_solve_ivp():
    """V and all gates of the equations of Brette 2007, through two spikes; the error falls with dt, once for exponential Euler."""

    def exprel(x):
        return np.expm1(x) / x

    def slopes(t, y):
        V, m, h, n = y
        v = V + 63
        rates = {
            "m": (0.32 * 4 / exprel((13 - v) / 4), 0.28 * 5 / exprel((v - 40) / 5)),
            "h": (0.128 * np.exp((17 - v) / 18), 4 / (1 + np.exp((40 - v) / 5))),
            "n": (0.032 * 5 / exprel((15 - v) / 5), 0.5 * np.exp((10 - v) / 40)),
        }
        current = 10 * (-65 - V) + 20_000 * m**3 * h * (50 - V) + 6_000 * n**4 * (-90 - V) + 200.0
        gates = [a * (1 - x) - b * x for (a, b), x in zip(rates.values(), (m, h, n))]
        return [current / 200, *gates]

    found = {}
    with jax.enable_x64(True):
        for dt, method in ((0.02, "exponential_euler"), (0.01, "exponential_euler"), (0.01, "rk4")):
            N = HH(1, name="N", method=method)
            run = run_of(N, 60, dt, 200.0, record=[N.V, N.m, N.h, N.n])
            found[dt, method] = spike_times(run, N), [np.asarray(u.get_mantissa(run.state(s)))[:, 0] for s in (N.V, N.m, N.h, N.n)]
            start = [float(np.asarray(value).reshape(-1)[0]) for value in N.starts.values()]
    times = np.arange(1, 6001) * 0.01
    want = solve_ivp(slopes, (0, 60.001), start, method="DOP853", rtol=1e-11, atol=1e-12, t_eval=times).y
    spikes = times[1:][(want[0, :-1] <= -20) & (want[0, 1:] > -20)]
    assert spikes.size >= 2
    errors = np.abs(np.stack(found[0.01, "rk4"][1]) - want).max(1)
    assert (errors < [0.02, 1e-4, 1e-4, 1e-4]).all(), errors
    late = {dt: found[dt, "exponential_euler"][0] - spikes for dt in (0.02, 0.01)}
    assert (np.abs(late[0.01]) < 0.3).all() and (np.abs(late[0.01]) <= 0.5 * np.abs(late[0.02]) + 0.01).all(), late


@pytest.mark.parametrize("method", ["exponential_euler", "rk4", "euler"])
def test_each_method_has_its_order(method):
    """On `dx/dt = -k x^3`, `dy/dt = -y / 10`: errors fall as a power of dt; what is linear, exponential Euler has exactly."""

    class Two(Neuron):
        defaults: ClassVar = {"k": 0.01 / u.mV**2 / u.ms}
        variables: ClassVar = {"V": 1 * u.mV, "y": 1.0}

        def derivative(self, state, I):
            return {"V": -self.p.k * state["V"] ** 3, "y": -0.1 * state["y"]}

        def fire(self, state, before):
            return {}, state["V"] > 1e9

    errors = []
    with jax.enable_x64(True):
        for dt in (0.125, 0.0625):
            N = Two(1, V_init=5 * u.mV, method=method, name="N")
            run = Network(N).run(10 * u.ms, dt=dt * u.ms, record=[N.V, N.y], progress=False)
            want = 5 / np.sqrt(1 + 2 * 0.01 * 25 * 10), np.exp(-1)
            errors.append([abs(float(u.get_mantissa(run.state(s))[-1, 0]) - w) for s, w in zip((N.V, N.y), want)])
    order = np.log2(errors[0][0] / errors[1][0])
    assert order == pytest.approx({"euler": 1, "exponential_euler": 2, "rk4": 4}[method], abs=0.3)
    if method == "exponential_euler":
        assert errors[0][1] < 1e-14


def test_alif_is_lif_where_nothing_adapts_and_slows_where_it_does():
    with jax.enable_x64(True):
        drive = np.array([200.0, 400.0])
        common = {"tau": 20 * u.ms, "tau_ref": 2 * u.ms}
        A, L = ALIF(2, beta=0 * u.mV, name="A", **common), LIF(2, name="L", **common)
        adapting, plain = run_of(A, 200, 0.1, drive), run_of(L, 200, 0.1, drive)
        np.testing.assert_array_equal(adapting.spikes(A)[0].mantissa, plain.spikes(L)[0].mantissa)
        S = ALIF(1, beta=2 * u.mV, tau_a=100 * u.ms, name="S")
        run = run_of(S, 600, 0.1, 400.0, record=[S.a])
    times, a = spike_times(run, S), np.asarray(run.state(S.a).mantissa)[:, 0]
    gaps = np.diff(times)
    assert gaps[-1] > 1.3 * gaps[0]
    want = sum(2 * np.exp(-(600 - t) / 100) for t in times)
    assert a[-1] == pytest.approx(want, rel=1e-9)
    # where it has settled, the threshold before a spike is 2 / (e^(T / 100) - 1) mV up: a closed form of the interval
    T = gaps[-1]
    up = 2 / np.expm1(T / 100)
    assert pytest.approx(20 * np.log(40 / (40 - 15 - up)), abs=0.4) == T


def test_models_take_synapses_delays_jumps_and_slices():
    """A conductance, a current and a jump of V onto an AdEx neuron, against a fine integration by scipy."""
    with jax.enable_x64(True):
        S, N = SpikeSource(1, times=[5, 12] * u.ms, ids=[0, 0], name="S"), AdEx(2, name="N")
        parts = [
            Projection(S, OneToOne(weight=5 * u.nS), Expon(tau=5 * u.ms, output=COBA(E=0 * u.mV)), N[:1], delay=1 * u.ms),
            Projection(S, OneToOne(weight=100 * u.pA), Expon(tau=5 * u.ms, output=CUBA()), N[:1]),
            Projection(S, OneToOne(weight=3 * u.mV), Delta(), N[1:], delay=2 * u.ms),
        ]
        net = Network(*parts)
        V = net.run(30 * u.ms, dt=0.005 * u.ms, record=[N.V], progress=False).state(N.V).mantissa

    def slopes(t, y):
        g = sum(5 * np.exp(-(t - at - 1) / 5) for at in (5, 12) if t > at + 1)
        I = sum(100 * np.exp(-(t - at) / 5) for at in (5, 12) if t > at)
        v, w = y
        spike = 30 * 2 * np.exp((v + 50.4) / 2)
        return [(-30 * (v + 70.6) + spike - w + I - g * v) / 281, (4 * (v + 70.6) - w) / 144]

    y, want = [-70.6, 0.0], {}
    for first, last in ((0, 5), (5, 6), (6, 12), (12, 13), (13, 20)):
        y = solve_ivp(slopes, (first + 1e-9, last), y, rtol=1e-10, atol=1e-10).y[:, -1]
        want[last] = y[0]
    for t, v in want.items():
        assert V[round(t / 0.005) - 1, 0] == pytest.approx(v, abs=0.01), t
    assert V[round(7.005 / 0.005) - 1, 1] - V[round(6.99 / 0.005) - 1, 1] == pytest.approx(3, abs=0.01)


def test_starts_can_be_drawn_and_are_set_again():
    N = AdEx(2000, V_init=Normal(-60 * u.mV, 2 * u.mV), w_init=Uniform(0 * u.pA, 10 * u.pA), name="N")
    net = Network(N, seed=1)
    V, w = np.asarray(N.V.value.mantissa), np.asarray(N.w.value.mantissa)
    assert V.mean() == pytest.approx(-60, abs=0.3) and w.mean() == pytest.approx(5, abs=0.3) and w.min() >= 0
    net.run(5 * u.ms, dt=0.1 * u.ms, progress=False)
    net.reset()
    np.testing.assert_array_equal(N.V.value.mantissa, V)


@pytest.mark.parametrize("cls", [ALIF, AdEx, ExpIF, HH, Izhikevich, QIF])
def test_every_model_is_introspectable_and_pickles(cls):
    import copy
    import inspect

    names = list(inspect.signature(cls).parameters)
    assert names[0] == "size" and "V_init" in names and names[-2:] == ["method", "name"]
    N = cls(3, name="N")
    net = Network(N)
    net.run(2 * u.ms, dt=0.1 * u.ms, inputs={N: 100 * u.pA}, progress=False)
    other = copy.deepcopy(net)
    net.run(2 * u.ms, progress=False)
    other.run(2 * u.ms, progress=False)
    np.testing.assert_array_equal(other.populations[0].V.value.mantissa, N.V.value.mantissa)


@pytest.mark.parametrize(
    "make,error,words",
    [
        (lambda: AdEx(3, tau=20 * u.ms), TypeError, "AdEx has no parameter 'tau': it has C, g_L, E_L"),
        (lambda: AdEx(3, C=-1 * u.pF, name="N"), ValueError, "AdEx N: C is -1 pF, expected a positive value"),
        (lambda: AdEx(3, C=1 * u.mV), u.UnitMismatchError, "C is a value in mV, expected a unit like pF"),
        (lambda: AdEx(3, a=[1, 2] * u.nS), ValueError, "a has shape \\(2,\\), expected a scalar or \\(3,\\)"),
        (lambda: AdEx(3, E_L=np.nan * u.mV), ValueError, "E_L is nan"),
        (lambda: AdEx(3, V_reset=10 * u.mV), ValueError, "V_reset must be below V_peak"),
        (lambda: AdEx(3, tau_ref=-1 * u.ms), ValueError, "tau_ref is -1 ms, expected at least 0 ms"),
        (lambda: AdEx(3, method="rk5"), ValueError, "method is 'rk5', but expected one of 'exponential_euler', 'rk4', 'euler'"),
        (lambda: AdEx(3, V_init=Normal(1 * u.pA, 1 * u.pA)), u.UnitMismatchError, "V_init"),
        (lambda: Izhikevich(3, d=8 * u.mV), u.UnitMismatchError, "d is a value in mV, expected a unit like mV / ms"),
        (lambda: QIF(3, V_reset=0 * u.mV), ValueError, "V_reset must be below V_peak"),
        (lambda: SpikeSource(3, times=[1, -2] * u.ms, ids=[0, 1]), ValueError, "times is -2 ms at position 1, expected times above 0"),
        (lambda: SpikeSource(3, times=[1, np.nan] * u.ms, ids=[0, 1]), ValueError, "times holds nan at position 1"),
        (lambda: SpikeSource(3, times=[1, 2], ids=[0, 1]), u.UnitMismatchError, "times is a plain number"),
        (lambda: SpikeSource(3, times=[1, 2] * u.ms, ids=[0]), ValueError, "there are 2 times and 1 ids"),
        (lambda: SpikeSource(3, times=[1, 2] * u.ms, ids=[0, 3]), ValueError, "ids holds 3 at position 1, expected neurons from 0 to 2"),
        (lambda: SpikeSource(3, times=[1, 2] * u.ms, ids=[0.0, 1.0]), TypeError, "expected integers"),
        (
            lambda: Network(SpikeSource(1, times=[0.01] * u.ms, ids=[0]), dt=0.1 * u.ms),
            ValueError,
            "0.01 ms, before the first step ends: give at least dt = 0.1 ms",
        ),
        (
            lambda: Network(SpikeSource(1, times=[3e9] * u.ms, ids=[0]), dt=0.1 * u.ms),
            ValueError,
            "expected at most 2147483647 steps",
        ),
        (
            lambda: run_of(SpikeSource(1, times=[1] * u.ms, ids=[0], name="S"), 1, 0.1, 1.0),
            ValueError,
            "is a source and takes no current",
        ),
    ],
)
def test_bad_input_is_named(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_spike_sources_spike_when_they_are_told():
    """Thousands of spikes in any order, through two runs and a reset; and what is read is what was given."""
    rng = np.random.default_rng(0)
    pairs = np.unique(np.stack([rng.integers(1, 500, 4000), rng.integers(0, 1000, 4000)]), axis=1)
    shuffled = pairs[:, rng.permutation(pairs.shape[1])]
    S = SpikeSource(1000, times=shuffled[0] * 0.1 * u.ms, ids=shuffled[1], name="S")
    net = Network(S, dt=0.1 * u.ms)
    for _ in range(2):
        net.reset()
        runs = [net.run(t * u.ms, progress=False) for t in (13.7, 50)]
        steps, ids = (np.concatenate(parts) for parts in zip(*((r.spikes(S)[0].to_decimal(u.ms), r.spikes(S)[1]) for r in runs)))
        np.testing.assert_array_equal(np.stack([np.rint(steps / 0.1), ids]), pairs)
    assert Network(SpikeSource(2, times=[] * u.ms, ids=np.zeros(0, int), name="E"), dt=0.1 * u.ms).run(1 * u.ms).spikes is not None


def test_a_spike_of_a_source_arrives_as_any_other():
    S, N = SpikeSource(1, times=[1.0] * u.ms, ids=[0], name="S"), LIF(1, name="N")
    net = Network(Projection(S, FromPairs([0], [0], weight=1 * u.mV), Delta(), N))
    V = net.run(3 * u.ms, dt=0.1 * u.ms, record=[N.V], progress=False).state(N.V).mantissa[:, 0]
    assert np.argmax(V) == 9  # the step that ends at 1 ms


def test_what_rounding_does_to_spike_times_is_told():
    with pytest.warns(UserWarning, match=r"SpikeSource S: 1 spikes share a step with another of their neuron \(dt = 0.1 ms\)"):
        Network(SpikeSource(1, times=[100.01, 100.02, 200] * u.ms, ids=[0, 0, 0], name="S"), dt=0.1 * u.ms)
    with pytest.warns(UserWarning, match="SpikeSource S: times 0.26 ms is not a multiple of dt = 0.1 ms and acts as 0.3 ms"):
        Network(SpikeSource(1, times=[0.26] * u.ms, ids=[0], name="S"), dt=0.1 * u.ms)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Network(SpikeSource(1, times=[100.01, 200] * u.ms, ids=[0, 0], name="S"), dt=0.1 * u.ms)


def test_a_model_without_its_methods_says_so():
    class Half(Neuron):
        variables: ClassVar = {"V": 0 * u.mV}

    with pytest.raises(NotImplementedError):
        Network(N := Half(1, name="N")).run(1 * u.ms, dt=0.1 * u.ms, inputs={N: 1 * u.pA})
