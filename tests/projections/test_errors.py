"""Bad input of the projection layer: a table of what a user may do wrong, and what the message has to say."""

import re

import brainunit as u
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse

import brainevent as be
from brainevent.projections import (
    COBA,
    CUBA,
    LIF,
    Delta,
    Expon,
    FixedOutDegree,
    FixedProb,
    FromMatrix,
    FromPairs,
    Network,
    Normal,
    OneToOne,
    Poisson,
    PoissonInput,
    Projection,
)

DT = 0.1 * u.ms
RULE = FixedProb(0.5, weight=1 * u.mV)
Unit = u.UnitMismatchError


def N(n=10, name="N", **parameters):
    return LIF(n, name=name, **parameters)


def project(*parts, post=None, build=False, **options):
    """A projection from N[:8] to M with one part replaced."""
    pre, connectivity, synapse = [
        given if given is not None else usual for given, usual in zip(parts, (N()[:8], RULE, Delta()), strict=True)
    ]
    projection = Projection(pre, connectivity, synapse, N(6, "M") if post is None else post, **options)
    return Network(projection) if build else projection


def matrix(connectivity, build=True):
    return project(None, connectivity, None, build=build)


def coba(weight):
    return project(None, FixedProb(0.5, weight=weight), Expon(tau=5 * u.ms, output=COBA(E=0 * u.mV)))


def drive(**options):
    return PoissonInput(N(), **({"n": 10, "rate": 10 * u.Hz, "weight": 1 * u.mV, "synapse": Delta()} | options))


# what: (how, error, what the message has to contain)
BUILDING = {
    "size is a fraction": (lambda: LIF(2.5), ValueError, ["LIF", "2.5", "whole number"]),
    "size is zero": (lambda: Poisson(0, rate=1 * u.Hz), ValueError, ["Poisson", "0", "at least 1"]),
    "size is a truth value": (lambda: LIF(True), ValueError, ["True", "whole number"]),
    "tau is zero": (lambda: N(tau=0 * u.ms), ValueError, ["LIF N: tau", "0 ms", "positive"]),
    "tau is negative somewhere": (lambda: N(2, tau=np.array([1.0, -2.0]) * u.ms), ValueError, ["LIF N: tau", "-2", "positive"]),
    "tau is NaN": (lambda: N(tau=np.nan * u.ms), ValueError, ["LIF N: tau", "nan", "finite"]),
    "tau has another length": (lambda: N(3, tau=np.ones(4) * u.ms), ValueError, ["LIF N: tau", "(4,)", "(3,)", "scalar"]),
    "tau is in another unit": (lambda: N(tau=5 * u.mV), Unit, ["LIF N: tau", "mV", "ms"]),
    "tau is a plain number": (lambda: N(tau=5), Unit, ["LIF N: tau", "plain number", "1 * u.ms"]),
    "R is negative": (lambda: N(R=-1 * u.Mohm), ValueError, ["LIF N: R", "-1", "positive"]),
    "tau_ref is negative": (lambda: N(tau_ref=-1 * u.ms), ValueError, ["LIF N: tau_ref", "-1 ms", "at least 0 ms"]),
    "reset above threshold": (lambda: N(V_reset=-50 * u.mV), ValueError, ["LIF N: V_reset=-50 mV", "V_th=-50 mV"]),
    "unknown method": (lambda: N(method="rk4"), ValueError, ["LIF N", "'rk4'", "exponential_euler"]),
    "V_init has another length": (lambda: N(3, V_init=np.ones(4) * u.mV), ValueError, ["LIF N: V_init", "(4,)", "(3,)"]),
    "V_init is in another unit": (lambda: N(V_init=1 * u.ms), Unit, ["LIF N: V_init", "ms", "mV"]),
    "V_init is NaN": (lambda: N(V_init=np.nan * u.mV), ValueError, ["LIF N: V_init", "nan"]),
    "V_init is distributed in another unit": (lambda: Network(N(V_init=Normal(1 * u.ms, 1 * u.ms))), Unit, ["LIF N: V_init", "ms", "mV"]),
    "rate is negative": (lambda: Poisson(3, rate=-1 * u.Hz, name="src"), ValueError, ["Poisson src: rate", "-1 Hz", "at least 0 Hz"]),
    "rate is a time": (lambda: Poisson(3, rate=1 * u.ms, name="src"), Unit, ["Poisson src: rate", "ms", "kHz"]),
    "probability above one": (
        lambda: FixedProb(20, weight=1 * u.mV),
        ValueError,
        ["FixedProb: prob=20", "between 0 and 1", "0.2 for 20 %"],
    ),
    "probability is negative": (lambda: FixedProb(-0.1, weight=1 * u.mV), ValueError, ["prob=-0.1", "between 0 and 1"]),
    "probability is NaN": (lambda: FixedProb(np.nan, weight=1 * u.mV), ValueError, ["prob is nan", "between 0 and 1", "finite"]),
    "unknown format": (lambda: FixedProb(0.1, format="list"), ValueError, ["format", "'list'", "csr", "dense"]),
    "weights of another length": (lambda: FromPairs([0, 1], [0, 1], weight=np.ones(3) * u.mV), ValueError, ["weight", "2 pairs", "scalar"]),
    "synaptic tau is negative": (lambda: Expon(tau=-5 * u.ms), ValueError, ["Expon: tau", "-5 ms", "positive"]),
    "synaptic tau is a plain number": (lambda: Expon(tau=5), Unit, ["Expon: tau", "plain number", "1 * u.ms"]),
    "output is no output": (lambda: Expon(tau=5 * u.ms, output=CUBA), TypeError, ["Expon: output", "COBA(E=0 * u.mV) or CUBA()"]),
    "E is a plain number": (lambda: COBA(E=0), Unit, ["COBA: E", "plain number", "1 * u.mV"]),
    "E is NaN": (lambda: COBA(E=np.nan * u.mV), ValueError, ["COBA: E", "nan", "finite"]),
    "E is an array": (lambda: COBA(E=np.zeros(3) * u.mV), ValueError, ["COBA: E", "array 3 mV", "one voltage for all post neurons"]),
    "bound of a view is a fraction": (lambda: N()[: 0.8 * 10], TypeError, ["N[None:8.0]", "whole number", "int(8.0)"]),
    "bound of a view is outside": (lambda: N()[5:11], ValueError, ["N[5:11]", "11", "10 neurons"]),
    "bound of a view of a view is outside": (lambda: N()[5:8][:4], ValueError, ["N[5:8]", "4", "3 neurons"]),
    "view is empty": (lambda: N()[5:5], ValueError, ["N[5:5]", "empty", "at least one"]),
    "view has a step": (lambda: N()[::2], ValueError, ["N[None:None:2]", "step 1", "FromPairs"]),
    "view is a list": (lambda: N()[[1, 2]], TypeError, ["N[[1, 2]]", "slice", "N[0:10]"]),
    "index is outside": (lambda: N()[10], ValueError, ["11", "10 neurons"]),
    "unknown state": (lambda: N().W, AttributeError, ["LIF", "'W'", "V, spikes, refractory"]),
    "unknown state of a view": (lambda: N()[:3].W, AttributeError, ["N[0:3]", "'W'", "V, spikes, refractory"]),
    "connectivity and synapse exchanged": (
        lambda: project(None, Delta(), RULE),
        TypeError,
        ["third argument", "synapse", "FixedProb", "(pre, connectivity, synapse, post)"],
    ),
    "post before synapse": (
        lambda: Projection(N(), RULE, N(), Delta()),
        TypeError,
        ["last argument", "population", "Delta()", "(pre, connectivity, synapse, post)"],
    ),
    "connectivity first": (lambda: Projection(RULE, N(), Delta(), N()), TypeError, ["first argument", "population", "FixedProb"]),
    "a synapse's class": (lambda: project(None, None, Delta), TypeError, ["third argument", "synapse", "Delta"]),
    "a rule's class": (lambda: project(None, FixedProb, None), TypeError, ["second argument", "rule or a matrix", "FixedProb"]),
    "a name for a population": (lambda: project("N", None, None), TypeError, ["first argument", "'N'", "population"]),
    "a population without synapses": (
        lambda: project(None, None, None, post=Poisson(3, rate=1 * u.Hz, name="src")),
        TypeError,
        ["N[0:8] -> src", "takes no synapses"],
    ),
    "no unit of a weight": (lambda: coba(6), Unit, ["N[0:8] -> M", "no unit", "Expon(tau=5 ms, output=COBA(E=0 mV))", "nS", "u.nS"]),
    "a current onto a conductance": (lambda: coba(6 * u.pA), Unit, ["N[0:8] -> M", "pA", "COBA", "nS"]),
    "a conductance onto a jump": (
        lambda: project(None, FixedProb(0.5, weight=1 * u.nS), None),
        Unit,
        ["N[0:8] -> M", "nS", "Delta()", "mV"],
    ),
    "a distribution in another unit": (lambda: coba(Normal(1 * u.mV, 1 * u.mV)), Unit, ["N[0:8] -> M", "mV", "nS"]),
    "a scipy matrix without unit": (
        lambda: matrix(scipy.sparse.eye_array(8, 6)),
        Unit,
        ["N[0:8] -> M", "no unit", "mV", "CSR.fromscipy(S, unit=u.mV)"],
    ),
    "tau of another length": (
        lambda: project(None, FixedProb(0.5, weight=1 * u.pA), Expon(tau=np.ones(5) * u.ms)),
        ValueError,
        ["N[0:8] -> M", "tau", "(5,)", "(6,)"],
    ),
    "matrix of another shape": (lambda: matrix(np.ones((6, 8)) * u.mV), ValueError, ["N[0:8] -> M", "(6, 8)", "(8, 6)"]),
    "matrix of one dimension": (lambda: matrix(np.ones(8) * u.mV), TypeError, ["N[0:8] -> M", "second argument", "(n_pre, n_post)"]),
    "matrix with NaN": (lambda: matrix(np.full((8, 6), np.nan) * u.mV), ValueError, ["nan", "finite"]),
    "sparse matrix with NaN": (
        lambda: matrix(be.CSR(jnp.nan, [0], np.array([0, *[1] * 8]), shape=(8, 6)) * u.mV),
        ValueError,
        ["CSR: weights", "finite", "nan"],
    ),
    "post id out of range": (lambda: matrix(FromPairs([0, 1], [2, 6], weight=1 * u.mV)), ValueError, ["post[1]=6", "below 6"]),
    "pre id out of range": (lambda: matrix(FromPairs([8], [2], weight=1 * u.mV)), ValueError, ["pre[0]=8", "below 8"]),
    "negative id": (lambda: FromPairs([-1], [2]), ValueError, ["pre[0]=-1", ">= 0"]),
    "stored id out of range": (
        lambda: be.CSR(1.0, [6], np.array([0, *[1] * 8]), shape=(8, 6)),
        ValueError,
        ["indices[0] is 6", "6 post neurons"],
    ),
    "rule that cannot be met": (
        lambda: matrix(FixedOutDegree(7, multapses=False, weight=1 * u.mV)),
        ValueError,
        ["FixedOutDegree", "7", "6"],
    ),
    "pairs of unequal sizes": (lambda: matrix(OneToOne(weight=1 * u.mV)), ValueError, ["OneToOne", "8", "6", "equal sizes"]),
    "fixed format of unequal counts": (
        lambda: matrix(FixedProb(0.5, weight=1 * u.mV, format="fixed")),
        ValueError,
        ["N[0:8] -> M", 'format="fixed"', "same number", 'format="csr"'],
    ),
    "an unknown format": (lambda: FixedProb(0.5, format="ell"), ValueError, ["FixedProb: format", "'ell'", "'csr'", "'dense'", "'jit'"]),
    "a rule that cannot be drawn anew": (
        lambda: FixedOutDegree(3, format="jit"),
        ValueError,
        ["FixedOutDegree: format='jit'", "stores synapses", "FixedProb"],
    ),
    "weights that cannot be drawn anew": (
        lambda: FixedProb(0.5, format="jit", weight=np.ones(3) * u.nS),
        ValueError,
        ["FixedProb: weight=<array 3 nS>", "one number, Normal or Uniform", "format='csr'"],
    ),
    "shape of a pattern": (lambda: matrix(FromMatrix(np.ones((6, 8), bool), weight=1 * u.mV)), ValueError, ["6x8", "8x6"]),
    "delay is a plain number": (lambda: project(None, None, None, delay=1.5), Unit, ["N[0:8] -> M: delay", "plain number", "1 * u.ms"]),
    "delay is negative": (lambda: project(None, None, None, delay=-1 * u.ms), ValueError, ["N[0:8] -> M: delay", "-1 ms", "at least 0 ms"]),
    "delay is NaN": (lambda: project(None, None, None, delay=np.nan * u.ms), ValueError, ["N[0:8] -> M: delay", "nan"]),
    "a matrix of delays": (
        lambda: project(None, None, None, delay=np.ones((3, 2)) * u.ms),
        ValueError,
        ["N[0:8] -> M: delay", "3x2", "one time, one a synapse, or one a pre neuron"],
    ),
    "unknown path": (lambda: project(None, None, None, path="sparse"), ValueError, ["N[0:8] -> M: path", "'sparse'", "'event'", "'dense'"]),
    "no whole number of trains": (lambda: drive(n=2.5), ValueError, ["PoissonInput(N", "n is 2.5", "whole number"]),
    "rate of an input is negative": (lambda: drive(rate=-1 * u.Hz), ValueError, ["PoissonInput(N", "rate", "-1 Hz", "at least 0 Hz"]),
    "rates of an input": (lambda: drive(rate=np.ones(9) * u.Hz), ValueError, ["PoissonInput(N", "rate", "(9,)", "(10,)"]),
    "weight of an input in another unit": (lambda: drive(weight=1 * u.nS), Unit, ["PoissonInput(N", "nS", "Delta()", "mV"]),
    "weights of an input": (lambda: drive(weight=np.ones(10) * u.mV), ValueError, ["PoissonInput(N", "weight", "(10,)", "scalar"]),
    "weight of an input is NaN": (lambda: drive(weight=np.nan * u.mV), ValueError, ["PoissonInput(N", "weight", "nan"]),
    "synapse of an input": (lambda: drive(synapse=3), TypeError, ["PoissonInput(N", "synapse is 3", "Delta()"]),
    "a number in a network": (lambda: Network(3), TypeError, ["3", "projections, Poisson inputs and populations"]),
    "a list in a network": (lambda: Network([N()]), TypeError, ["one by one", "Network(*parts)"]),
    "names given twice": (lambda: Network(N(), N(), N()), ValueError, ["3 populations", "'N'", "name of its own"]),
    "seed is a fraction": (lambda: Network(N(), seed=1.5), TypeError, ["seed is 1.5", "integer"]),
    "seed is missing": (lambda: Network(N(), seed=None), TypeError, ["seed is None", "integer"]),
    "dt is negative": (lambda: Network(N(), dt=-1 * u.ms), ValueError, ["dt is -1 ms", "positive"]),
    "dt is zero": (lambda: Network(N(), dt=0 * u.ms), ValueError, ["dt is 0", "positive"]),
    "dt is NaN": (lambda: Network(N(), dt=np.nan * u.ms), ValueError, ["dt is nan", "positive"]),
    "dt is a plain number": (lambda: Network(N(), dt=0.1), Unit, ["dt", "plain number", "1 * u.ms"]),
    "not built yet": (lambda: project(None, None, None).weight, RuntimeError, ["N[0:8] -> M", "not built", "Network"]),
}


def check_raises(how, error, parts):
    with pytest.raises(error) as caught:
        how()
    text = str(caught.value)
    for part in parts:
        assert part in text, f"{part!r} is not in: {text}"
    assert "Traced" not in text and "\n" not in text.strip()


@pytest.mark.parametrize("what", BUILDING)
def test_building(what):
    check_raises(*BUILDING[what])


@pytest.fixture(scope="module")
def net():
    pops = {"N": N(5), "src": Poisson(3, rate=10 * u.Hz, name="src")}
    return Network(*pops.values(), dt=DT), pops["N"], pops["src"]


STRANGER = N(5, "stranger")
RUNNING = {
    "duration is negative": (lambda net, N, src: net.run(-1 * u.ms), ValueError, ["duration", "-1 ms", "at least 0 ms"]),
    "duration is NaN": (lambda net, N, src: net.run(np.nan * u.ms), ValueError, ["duration", "nan", "at least 0 ms"]),
    "duration is endless": (lambda net, N, src: net.run(np.inf * u.ms), ValueError, ["duration", "inf"]),
    "duration is a plain number": (lambda net, N, src: net.run(100), Unit, ["duration", "plain number", "1 * u.ms"]),
    "duration is a voltage": (lambda net, N, src: net.run(100 * u.mV), Unit, ["duration", "mV", "ms"]),
    "another dt": (lambda net, N, src: net.run(1 * u.ms, dt=0.2 * u.ms), ValueError, ["dt = 0.1 ms", "0.2 ms", "anew"]),
    "unknown backend": (lambda net, N, src: net.run(1 * u.ms, backend="cuda"), ValueError, ["'cuda'", "numba", "xla"]),
    "input in another unit": (lambda net, N, src: net.run(1 * u.ms, inputs={N: 1 * u.mV}), Unit, ["inputs[N]", "mV", "pA"]),
    "input without unit": (
        lambda net, N, src: net.run(1 * u.ms, inputs={N[:2]: 200}),
        Unit,
        ["inputs[N[0:2]]", "plain number", "1 * u.pA"],
    ),
    "input of another length": (
        lambda net, N, src: net.run(1 * u.ms, inputs={N[:2]: np.ones(3) * u.pA}),
        ValueError,
        ["inputs[N[0:2]]", "(3,)", "(2,)"],
    ),
    "input is NaN": (lambda net, N, src: net.run(1 * u.ms, inputs={N: np.nan * u.pA}), ValueError, ["inputs[N]", "nan"]),
    "input of a stranger": (
        lambda net, N, src: net.run(1 * u.ms, inputs={STRANGER: 1 * u.pA}),
        ValueError,
        ["'stranger'", "not a population of this network", "'N'", "'src'"],
    ),
    "input of a name": (lambda net, N, src: net.run(1 * u.ms, inputs={"N": 1 * u.pA}), TypeError, ["'N'", "population", "{N: 200 * u.pA}"]),
    "input for nobody": (lambda net, N, src: net.run(1 * u.ms, inputs=1 * u.pA), TypeError, ["inputs", "by population", "{N: 200 * u.pA}"]),
    "input of a source": (lambda net, N, src: net.run(1 * u.ms, inputs={src: 1 * u.pA}), ValueError, ["'src'", "takes no current"]),
    "function of another unit": (
        lambda net, N, src: net.run(1 * u.ms, inputs={N: lambda t: t}),
        Unit,
        ["inputs[N]", "function returned", "unit ms", "current"],
    ),
    "function without unit": (
        lambda net, N, src: net.run(1 * u.ms, inputs={N: lambda t: 3.0}),
        Unit,
        ["inputs[N]", "no unit", "200 * u.pA"],
    ),
    "function of another shape": (
        lambda net, N, src: net.run(1 * u.ms, inputs={N: lambda t: np.ones(4) * u.pA}),
        ValueError,
        ["inputs[N]", "(4,)", "(5,)"],
    ),
    "record is no list": (lambda net, N, src: net.run(1 * u.ms, record=N.V), TypeError, ["record is N.V", "[N.spikes, N[:5].V]"]),
    "record of a view is no list": (lambda net, N, src: net.run(1 * u.ms, record=N[:2].V), TypeError, ["record is N[0:2].V", "list"]),
    "record a population": (
        lambda net, N, src: net.run(1 * u.ms, record=[N]),
        ValueError,
        ["LIF(5, name='N')", "N.spikes", "N: V, spikes, refractory; src: spikes"],
    ),
    "record a name": (lambda net, N, src: net.run(1 * u.ms, record=["V"]), ValueError, ["'V'", "N: V, spikes, refractory"]),
    "record a stranger": (
        lambda net, N, src: net.run(1 * u.ms, record=[STRANGER.V]),
        ValueError,
        ["no state of a population of this network", "N: V, spikes, refractory"],
    ),
    "record a stranger's view": (
        lambda net, N, src: net.run(1 * u.ms, record=[STRANGER[:2].V]),
        ValueError,
        ["stranger[0:2].V", "N: V, spikes, refractory"],
    ),
    "record an unknown state": (lambda net, N, src: net.run(1 * u.ms, record=[N.g]), AttributeError, ["'g'", "V, spikes, refractory"]),
}


@pytest.mark.parametrize("what", RUNNING)
def test_running(what, net):
    how, error, parts = RUNNING[what]
    check_raises(lambda: how(*net), error, parts)
    assert net[0].run(DT, progress=False).n_steps == 1  # and the network is as it was


def test_running_without_dt():
    check_raises(lambda: Network(N()).run(1 * u.ms), ValueError, ["time step", "dt=0.1 * u.ms"])


def test_sources_of_more_than_a_spike_a_step():
    net = Network(Poisson(2, rate=np.array([1.0, 20.0]) * u.kHz, name="src"))
    check_raises(lambda: net.run(1 * u.ms, dt=DT), ValueError, ["'src'", "rate * dt is 2", "smaller dt", "PoissonInput"])


def test_backend_that_cannot_serve():
    pre, post = N(3, "pre"), N(4, "post")
    A = be.CSR.fromdense(np.ones((3, 4)) * u.mV).with_backend("xla")
    net = Network(Projection(pre, A, Delta(), post, path="event"))
    check_raises(lambda: net.run(1 * u.ms, dt=DT), be.BackendError, ['path="event"', "CSR", "xla", 'path="auto"'])


def test_projections_belong_to_one_network():
    projection = project(None, None, None)
    check_raises(lambda: Network(projection, projection), ValueError, ["N[0:8] -> M", "given twice", "new Projection"])
    Network(projection)
    check_raises(lambda: Network(projection), ValueError, ["N[0:8] -> M", "another network", "new Projection"])


def test_a_network_has_one_dt():
    net = Network(N())
    net.run(0 * u.ms, dt=0.1 * u.ms, progress=False)
    check_raises(lambda: net.run(1 * u.ms, dt=0.2 * u.ms), ValueError, ["dt = 0.1 ms", "0.2 ms", "anew"])
    assert net.run(1 * u.ms, dt=100 * u.us, progress=False).n_steps == 10  # the same dt in another unit


def test_nothing_is_half_built():
    """A part that cannot be built leaves the others free for the next attempt."""
    good, bad = project(None, None, None), Projection(N(3, "a"), OneToOne(weight=1 * u.mV), Delta(), N(4, "b"))
    with pytest.raises(ValueError, match="equal sizes"):
        Network(good, bad)
    assert good.network is None
    assert Network(good).projections == [good]


def test_weights_that_do_not_fit_leave_the_old_ones():
    projection = project(None, FixedProb(0.3, weight=1 * u.mV, format="csr"), None)
    Network(projection)
    for value, error, parts in (
        (3 * u.nS, Unit, ["N[0:8] -> M", "nS", "mV"]),
        (3.0, Unit, ["N[0:8] -> M", "no unit", "mV"]),
        (np.ones(1000) * u.mV, ValueError, ["N[0:8] -> M", "(1000,)", f"({projection.n_synapses},)"]),
        (np.nan * u.mV, ValueError, ["N[0:8] -> M", "nan", "finite"]),
        (Normal(1 * u.mV, 1 * u.mV), TypeError, ["N[0:8] -> M", "Normal", "sample(rng, proj.n_synapses)"]),
    ):
        check_raises(lambda value=value: setattr(projection, "weight", value), error, parts)
    assert projection.weight == 1 * u.mV


def test_messages_are_one_kind():
    """Every message begins with what is wrong: a name, never an internal one."""
    for how, error, _ in BUILDING.values():
        with pytest.raises(error) as caught:
            how()
        assert not re.search(r"JitTracer|<locals>|0x[0-9a-f]{6}", str(caught.value))
