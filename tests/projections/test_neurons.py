"""`LIF` against closed forms: decay, f-I curve, currents, conductances, refractory time, threshold, initial potentials; in float64."""

import brainunit as u
import numpy as np
import pytest
from tables import HERE

from brainevent.projections import COBA, CUBA, LIF, Constant, Expon, Network, Normal, OneToOne, Projection, Uniform

pytestmark = pytest.mark.usefixtures("x64")
DT = 0.1
# About 1e3 steps of a few roundings each, of numbers up to 100 mV: 1e3 * 4 * 2^-53 * 100 = 4e-11.
ATOL = 5e-11


def run_V(net, N, n_steps, **options):
    """V (mV) of every step, (n_steps, neurons)."""
    return net.run(n_steps * DT * u.ms, dt=DT * u.ms, record=[N.V], progress=False, **options).state(N.V).to_decimal(u.mV)


def one_spike(n=1):
    """Neurons that spike in step 0 and never again."""
    return LIF(n, V_rest=-65 * u.mV, V_th=-50 * u.mV, V_reset=-65 * u.mV, V_init=-40 * u.mV, name="once")


@pytest.mark.parametrize("method", ["exact", "exponential_euler"])
def test_membrane_relaxes_exponentially(method):
    tau, R = np.array([5.0, 20.0, 33.0]), np.array([50.0, 100.0, 200.0])
    rest, start, current = np.array([-70.0, -60.0, -65.0]), np.array([-50.0, -60.0, -90.0]), np.array([10.0, -50.0, 20.0])
    N = LIF(3, tau=tau * u.ms, R=R * u.Mohm, V_rest=rest * u.mV, V_th=0 * u.mV, V_reset=-65 * u.mV, V_init=start * u.mV, method=method)
    V = run_V(Network(N), N, 300, inputs={N: current * u.pA})
    end = rest + R * current * 1e-3
    t = DT * np.arange(1, 301)[:, None]
    np.testing.assert_allclose(V, end + (start - end) * np.exp(-t / tau), rtol=0, atol=ATOL)


def intervals_of(currents, tau_ref):
    """Measured interspike intervals in steps, per neuron, of the neurons of `test_fi_curve`."""
    N = LIF(currents.size, tau=20 * u.ms, tau_ref=tau_ref, V_rest=-65 * u.mV, V_th=-50 * u.mV, V_reset=-65 * u.mV, name="N")
    run = Network(N).run(320 * u.ms, dt=DT * u.ms, inputs={N: currents * u.pA}, progress=False)
    times, ids = run.spikes(N)
    steps = np.rint(times.to_decimal(u.ms) / DT).astype(int)
    return [np.diff(steps[ids == i]) for i in range(currents.size)]


def test_fi_curve():
    """Interval = tau_ref + tau ln((RI - reset) / (RI - th)) on the grid, for no, one, some and many refractory steps."""
    currents, held = (grid.ravel() for grid in np.meshgrid([151.0, 200.0, 390.0, 1000.0], [0, 1, 2, 50]))
    free = 20 * np.log(0.1 * currents / (0.1 * currents - 15))
    for one in (0, 50):  # a scalar tau_ref takes a kernel of its own
        alike = held == one
        got = intervals_of(currents[alike], one * DT * u.ms)
        for here, there in zip(got, np.flatnonzero(alike), strict=True):
            assert set(here) == {max(one, 1) - 1 + int(free[there] / DT) + 1}
    for measured, hold, t in zip(intervals_of(currents, held * DT * u.ms), held, free, strict=True):
        assert measured.size >= 2
        assert set(measured) == {max(hold, 1) - 1 + int(t / DT) + 1}
        assert abs(measured[0] * DT - (hold * DT + t)) <= DT + 1e-9


@pytest.mark.parametrize("backend", HERE)
@pytest.mark.parametrize("held", [0, 1, 2, 7, np.array([0, 1, 2, 7])], ids=repr)
def test_refractory_neurons_hold(held, backend):
    """V stays at the reset in steps n to n + r - 1 of a spike in step n, and moves in step n + r."""
    N = LIF(4, V_rest=-65 * u.mV, V_reset=-60 * u.mV, V_th=-50 * u.mV, V_init=-40 * u.mV, tau_ref=held * DT * u.ms, name="N")
    V = run_V(Network(N), N, 12, backend=backend)
    moves = np.maximum(np.broadcast_to(held, 4), 1)
    step = np.arange(12)[:, None]
    after = np.maximum(step - moves + 1, 0)
    np.testing.assert_allclose(V, -65 + 5 * np.exp(-after * DT / 20), rtol=0, atol=ATOL)
    np.testing.assert_array_equal(V == -60, step < moves)


@pytest.mark.parametrize("backend", HERE)
@pytest.mark.parametrize("shape", [(), (3,)])
def test_threshold_is_strict(shape, backend):
    V_th = np.full(shape, -50.0) * u.mV
    N = LIF(3, V_rest=-50 * u.mV, V_th=V_th, V_reset=-60 * u.mV, V_init=np.array([-50, np.nextafter(-50, 0), -49]) * u.mV)
    run = Network(N).run(DT * u.ms, dt=DT * u.ms, progress=False, backend=backend)
    assert run.spikes(N)[1].tolist() == [1, 2]
    assert N.V.value.to_decimal(u.mV).tolist() == [-50, -60, -60]


@pytest.mark.parametrize("weight", [100.0, np.array([100.0, 50.0, -20.0, 7.0, 80.0])], ids=["one weight", "weights"])
def test_exact_current_response(weight):
    """V of a current that decays with tau_s: also for tau_s equal, or nearly equal, to tau."""
    tau, tau_s = 10.0, np.array([3.0, 10.0, 10.0 * (1 + 1e-9), 10.0 * (1 - 1e-6), 25.0])
    post = LIF(5, tau=tau * u.ms, V_rest=-65 * u.mV, V_th=50 * u.mV, method="exact", name="post")
    net = Network(Projection(one_spike(5), OneToOne(weight=weight * u.pA), Expon(tau=tau_s * u.ms, output=CUBA()), post))
    V = run_V(net, post, 400)
    t = DT * np.arange(400)[:, None]  # of row n: how long ago the jump was
    with np.errstate(invalid="ignore", divide="ignore"):
        shape = tau_s / (tau - tau_s) * (np.exp(-t / tau) - np.exp(-t / tau_s))
    near = np.abs(tau_s - tau) < 1e-3  # the difference above cancels: its series, whose next term is (1e-6 t / tau)^2 / 6
    series = t / tau * np.exp(-t / tau) * (1 - (t / 2) * (1 / tau_s - 1 / tau))
    np.testing.assert_allclose(V + 65, 0.1 * weight * np.where(near, series, shape), rtol=0, atol=1e-9)


def test_exponential_euler_replays_and_converges():
    """Euler for a current is another scheme: replayed exactly, and first order in dt against the closed form."""
    tau, tau_s, errors = 10.0, 3.0, []
    for dt in (0.1, 0.05):
        post = LIF(1, tau=tau * u.ms, V_rest=0 * u.mV, V_th=50 * u.mV, V_reset=-1 * u.mV, method="exponential_euler", name="post")
        net = Network(Projection(one_spike(), OneToOne(weight=100 * u.pA), Expon(tau=tau_s * u.ms), post), dt=dt * u.ms)
        V = net.run(20 * u.ms, record=[post.V], progress=False).state(post.V).to_decimal(u.mV)[:, 0]
        x, g, replay = 0.0, 0.0, []
        for step in range(V.size):
            x = 0.1 * g + (x - 0.1 * g) * np.exp(-dt / tau)
            g = g * np.exp(-dt / tau_s) + 100 * (step == 0)
            replay.append(x)
        np.testing.assert_allclose(V, replay, rtol=0, atol=ATOL)
        t = dt * np.arange(V.size)
        errors.append(np.abs(V - 10 * tau_s / (tau - tau_s) * (np.exp(-t / tau) - np.exp(-t / tau_s))).max())
    assert 1.8 < errors[0] / errors[1] < 2.2


@pytest.mark.parametrize("E", [0.0, -80.0])
def test_frozen_conductance_is_exact(E):
    """A conductance that does not decay: V relaxes to the weighted mean of rest and E, faster by 1 + R g."""
    R, g, tau = np.array([50.0, 100.0]), 12.0, np.array([10.0, 20.0])
    post = LIF(2, tau=tau * u.ms, R=R * u.Mohm, V_rest=-60 * u.mV, V_th=10 * u.mV, V_reset=-60 * u.mV, name="post")
    synapse = Expon(tau=1e15 * u.ms, output=COBA(E=E * u.mV))
    V = run_V(Network(Projection(one_spike(2), OneToOne(weight=g * u.nS), synapse, post)), post, 300)
    rate = 1 + R * 1e-3 * g
    end, t = (-60 + R * 1e-3 * g * E) / rate, DT * np.arange(300)[:, None]
    np.testing.assert_allclose(V, end + (-60 - end) * np.exp(-t * rate / tau), rtol=0, atol=ATOL)


def test_decaying_conductances_replay():
    """Two conductances and a current at once, every neuron with parameters of its own, against numpy."""
    tau, tau_s, pre, g = np.array([10.0, 15.0, 20.0]), np.array([2.0, 5.0, 8.0]), one_spike(3), np.array([5.0, 10.0, 20.0])
    post = LIF(3, tau=tau * u.ms, V_rest=-60 * u.mV, V_th=0 * u.mV, V_init=np.array([-60.0, -62, -58]) * u.mV, name="post")
    net = Network(
        Projection(pre, OneToOne(weight=g * u.nS), Expon(tau=tau_s * u.ms, output=COBA(E=0 * u.mV)), post),
        Projection(pre, OneToOne(weight=2 * g * u.nS), Expon(tau=10 * u.ms, output=COBA(E=-80 * u.mV)), post, delay=1 * u.ms),
        Projection(pre, OneToOne(weight=30 * u.pA), Expon(tau=4 * u.ms), post),
    )
    V = run_V(net, post, 200, inputs={post: 20 * u.pA})
    x, a, b, c, replay = np.array([-60.0, -62, -58]), 0.0, 0.0, 0.0, []
    for step in range(200):
        rate = 1 + 0.1 * (a + b)
        end = (-60 + 0.1 * (20 + c + b * -80)) / rate
        x = end + (x - end) * np.exp(-DT * rate / tau)
        a, b, c = a * np.exp(-DT / tau_s), b * np.exp(-DT / 10), c * np.exp(-DT / 4)
        a, b, c = a + g * (step == 0), b + 2 * g * (step == 10), c + 30.0 * (step == 0)
        replay.append(x)
    np.testing.assert_allclose(V, replay, rtol=0, atol=ATOL)


def test_auto_is_exact_where_it_can_be():
    assert LIF(1).exact([(Expon(tau=5 * u.ms), None)])
    assert not LIF(1).exact([(Expon(tau=5 * u.ms), None), (Expon(tau=5 * u.ms, output=COBA(E=0 * u.mV)), None)])
    assert not LIF(1, method="exponential_euler").exact([(Expon(tau=5 * u.ms), None)])


def test_exact_refuses_conductances():
    post = LIF(4, method="exact", name="post")
    net = Network(Projection(one_spike(4), OneToOne(weight=1 * u.nS), Expon(tau=5 * u.ms, output=COBA(E=0 * u.mV)), post))
    with pytest.raises(ValueError, match=r"'post'.*exact.*Expon\(tau=5 ms, output=COBA\(E=0 mV\)\).*exponential_euler"):
        net.run(1 * u.ms, dt=DT * u.ms, progress=False)


def start(V_init, seed=0, n=2000, name="N"):
    N = LIF(n, V_init=V_init, name=name)
    Network(N, LIF(3, name="other"), seed=seed)
    return np.asarray(N.V.value.to_decimal(u.mV))


def test_initial_potentials():
    V = start(Normal(-60 * u.mV, 2 * u.mV))
    assert abs(V.mean() + 60) < 4 * 2 / np.sqrt(V.size)
    assert abs(V.std() / 2 - 1) < 4 / np.sqrt(2 * V.size)
    np.testing.assert_array_equal(V, start(Normal(-60 * u.mV, 2 * u.mV)))
    assert not np.any(start(Normal(-60 * u.mV, 2 * u.mV), seed=1) == V)
    assert not np.any(start(Normal(-60 * u.mV, 2 * u.mV), name="M") == V)
    even = start(Uniform(-0.07 * u.volt, -60 * u.mV))
    assert -70 <= even.min() < -69.9 and -60.1 < even.max() <= -60
    assert set(start(None)) == {-65.0} and set(start(Constant(-61 * u.mV))) == {-61.0}
    np.testing.assert_array_equal(start(np.arange(-70.0, -60, 0.005) * u.mV), np.arange(-70.0, -60, 0.005))


def test_precision_follows_jax():
    import jax

    def width():
        N = LIF(3, name="N")
        Network(N).run(1 * u.ms, dt=DT * u.ms, progress=False)
        return N.V.value.mantissa.dtype

    assert width() == np.float64
    with jax.enable_x64(False):
        assert width() == np.float32
