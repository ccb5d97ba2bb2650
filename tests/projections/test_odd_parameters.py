"""Values that users have and code does not expect, at every door of the projection layer: an error that names them, or the right network.

`test_errors.py` has what does not fit together; here are the values themselves: every parameter with every kind of odd value, and controls.
"""

import itertools
import warnings

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse

from brainevent.projections import (
    COBA,
    CUBA,
    LIF,
    AllToAll,
    Delta,
    Expon,
    FixedInDegree,
    FixedOutDegree,
    FixedProb,
    FromMatrix,
    FromPairs,
    LogNormal,
    Network,
    Normal,
    Poisson,
    PoissonInput,
    Projection,
    Uniform,
)

DT = 0.1 * u.ms
Unit = u.UnitMismatchError
MASKED = np.ma.masked_greater(np.arange(3.0), 1)
DATES = np.array(["2026-01-01"] * 3, "M8[D]")


def N(n=3, name="N", **parameters):
    return LIF(n, name=name, **parameters)


def built(rule, synapse=None, **options):
    projection = Projection(N(name="a"), rule, Delta() if synapse is None else synapse, N(name="b"), **options)
    Network(projection, dt=DT)
    return projection


def conductance(weight):
    return built(AllToAll(weight=weight), Expon(tau=5 * u.ms, output=COBA(E=0 * u.mV)))


def run(duration=1 * u.ms, **options):
    population = N()
    options = {name: value(population) if callable(value) else value for name, value in options.items()}
    return Network(population, dt=DT).run(duration, **({"progress": False} | options))


def fed(function):
    return run(inputs=lambda N: {N: function})


def with_state(value):
    population = N()
    net = Network(population, dt=DT)
    population.V.value = value
    return net.run(1 * u.ms, progress=False)


def reweighed(value):
    projection = conductance(6 * u.nS)
    projection.weight = value
    return projection


def binned(width):
    population = N()
    return Network(population, dt=DT).run(10 * u.ms, progress=False).population_rate(population, bin=width)


# every parameter that takes numbers: (what errors call it, its unit, how a value is given to it)
PARAMETERS = {
    **{
        name: (f"LIF N: {name}", unit, lambda value, name=name: Network(N(**{name: value}), dt=DT))
        for name, unit in {
            "tau": u.ms,
            "R": u.Mohm,
            "tau_ref": u.ms,
            **dict.fromkeys(("V_th", "V_reset", "V_rest", "V_init"), u.mV),
        }.items()
    },
    "rate": ("Poisson N: rate", u.Hz, lambda value: Network(Poisson(3, rate=value, name="N"), dt=DT)),
    "tau of a synapse": ("Expon: tau", u.ms, lambda value: built(AllToAll(weight=1 * u.pA), Expon(tau=value))),
    "weight of a rule": ("FromPairs: weight", u.mV, lambda value: built(FromPairs([0, 1, 2], [0, 1, 2], weight=value))),
    "inputs": ("inputs[N]", u.pA, lambda value: run(inputs=lambda N: {N: value})),
}
# kind of value: (the value in a unit, error, what the message has to contain beside the name of the parameter)
KINDS = {
    "complex": (lambda unit: np.ones(3) * 5j * unit, TypeError, ["pass the real part"]),
    "masked": (lambda unit: MASKED * unit, TypeError, ["masked array 3", "fill what is masked"]),
    "objects": (lambda unit: np.array([1, None, 2], object), TypeError, ["array 3", "convert it to floating point"]),
    "text": (lambda unit: "5 ms", TypeError, ["'5 ms'", "convert it to floating point"]),
    "dates": (lambda unit: DATES, TypeError, ["array 3"]),
    "a flag": (lambda unit: True, TypeError, ["True"]),
    "two units": (lambda unit: [1 * u.ms, 2 * u.mV, 3 * u.ms], TypeError, ["put the unit outside"]),
    "ragged": (lambda unit: [[1.0], [1.0, 2.0]], TypeError, ["[[1.0], [1.0, 2.0]]"]),
    "NaN": (lambda unit: np.array([1.0, np.nan, 1.0]) * unit, ValueError, ["nan at position 1", "finite"]),
    "infinite": (lambda unit: np.array([1.0, 1.0, np.inf]) * unit, ValueError, ["inf at position 2", "finite"]),
    "a column": (lambda unit: np.ones((3, 1)) * unit, ValueError, ["(3, 1)"]),
    "too many": (lambda unit: np.ones(4) * unit, ValueError, ["(4,)"]),
    "a sparse matrix": (lambda unit: scipy.sparse.eye_array(3), TypeError, ["sparse matrix"]),
}
LENGTH_KNOWN_LATER = {("weight of a rule", "a column"), ("weight of a rule", "too many"), ("tau of a synapse", "too many")}


@pytest.mark.parametrize("parameter, kind", sorted(set(itertools.product(PARAMETERS, KINDS)) - LENGTH_KNOWN_LATER))
def test_every_parameter_refuses_every_kind(parameter, kind):
    name, unit, give = PARAMETERS[parameter]
    value, error, words = KINDS[kind]
    with pytest.raises(error) as caught:
        give(value(unit))
    for word in (name.split(" N:")[0], name.split(": ")[-1], *words):
        assert word in str(caught.value), str(caught.value)


# what: (how, error, what the message has to contain)
BAD = {
    # distributions and functions where numbers belong
    "a distribution of time constants": (lambda: N(tau=Normal(20 * u.ms, 1 * u.ms)), TypeError, ["LIF N: tau", "dist.sample("]),
    "a function of time constants": (lambda: N(tau=lambda n: 20 * u.ms), TypeError, ["LIF N: tau is a function", "run(inputs=...)"]),
    "a distribution of rates": (
        lambda: Poisson(3, rate=Normal(1 * u.Hz, 1 * u.Hz), name="P"),
        TypeError,
        ["Poisson P: rate", "dist.sample("],
    ),
    "a function of weights": (lambda: AllToAll(weight=lambda: 1), TypeError, ["AllToAll: weight is a function"]),
    "traced": (
        lambda: jax.jit(lambda tau: N(tau=tau * u.ms).size)(5.0),
        TypeError,
        ["LIF is not for jit, grad or vmap", "build the network outside"],
    ),
    # beyond what the network holds
    "V_th of 1e39": (lambda: N(V_th=1e39 * u.mV), ValueError, ["LIF N: V_th holds 1e+39", "beyond the largest float32"]),
    "V_init of 1e39": (lambda: N(V_init=-1e39 * u.mV), ValueError, ["LIF N: V_init holds -1e+39", "beyond the largest float32"]),
    "weight of 1e39": (
        lambda: built(AllToAll(weight=1e39 * u.mV)),
        ValueError,
        ["a -> b: weight holds 1e+39", "beyond the largest float32"],
    ),
    "weights of 1e39, drawn": (
        lambda: built(AllToAll(weight=Normal(1 * u.mV, 1e39 * u.mV))),
        ValueError,
        ["a -> b: Normal", "draws numbers beyond float32"],
    ),
    "a current of 1e39": (lambda: fed(1e39 * u.pA), ValueError, ["inputs[N] holds 1e+39", "beyond the largest float32"]),
    "E of 1e39": (lambda: COBA(E=1e39 * u.mV), ValueError, ["COBA: E holds 1e+39"]),
    "tau_ref of 1e9 s": (lambda: Network(N(tau_ref=1e9 * u.second), dt=DT), ValueError, ["LIF N: tau_ref is 1e+12 ms", "2147483647 steps"]),
    "tau_refs of 1e9 s": (
        lambda: Network(N(tau_ref=np.full(3, 1e9) * u.second), dt=DT),
        ValueError,
        ["LIF N: tau_ref is 1e+12 ms", "dt = 0.1"],
    ),
    "delay of 1e9 s": (lambda: built(AllToAll(weight=1 * u.mV), delay=1e9 * u.second), ValueError, ["a -> b: delay is 1e+12 ms", "steps"]),
    "duration of 1e30 s": (lambda: run(1e30 * u.second), ValueError, ["duration is 1e+30 s", "fewer than 2^63 steps of dt = 0.1 ms"]),
    # conductances
    "a negative conductance": (
        lambda: conductance(-6 * u.nS),
        ValueError,
        ["a -> b: weight holds -6 nS", "at least 0", "COBA(E=-80 * u.mV)"],
    ),
    "a matrix with one": (
        lambda: built(FromMatrix(np.diag([1, -1, 1]) * u.nS), Expon(tau=5 * u.ms, output=COBA(E=0 * u.mV))),
        ValueError,
        ["a -> b: weight holds -1 nS", "a conductance is at least 0"],
    ),
    "drawn ones": (
        lambda: conductance(Normal(0 * u.nS, 1 * u.nS)),
        ValueError,
        ["a -> b: weight holds -", "TruncNormal, Gamma or LogNormal"],
    ),
    "one set later": (lambda: reweighed(-1 * u.nS), ValueError, ["a -> b: weight holds -1 nS", "a conductance is at least 0"]),
    "one from outside": (
        lambda: Network(PoissonInput(N(), n=10, rate=1 * u.Hz, weight=-1 * u.nS, synapse=Expon(tau=5 * u.ms, output=COBA(E=0 * u.mV)))),
        ValueError,
        ["-1 nS", "a conductance is at least 0"],
    ),
    # weights set later
    "weight: complex": (lambda: reweighed(1j * u.nS), TypeError, ["a -> b: weight", "pass the real part"]),
    "weight: masked": (lambda: reweighed(MASKED * u.nS), TypeError, ["a -> b: weight is <masked array 3 nS>", "fill what is masked"]),
    "weight: text": (lambda: reweighed("6 nS"), TypeError, ["a -> b: weight is '6 nS'", "real numbers"]),
    "weight: None": (lambda: reweighed(None), TypeError, ["a -> b: weight is None", "real numbers"]),
    "weight: too large": (lambda: reweighed(1e39 * u.nS), ValueError, ["a -> b: weight holds 1e+39"]),
    "weight: too many": (lambda: reweighed(np.ones(4) * u.nS), ValueError, ["a -> b: weight has shape (4,)", "(9,): one a synapse"]),
    "weight: another unit": (lambda: reweighed(1 * u.mV), Unit, ["a -> b: the weight has unit mV", "COBA(E=0 mV)"]),
    # flags and words
    "autapses='no'": (lambda: AllToAll(autapses="no"), TypeError, ["AllToAll: autapses is 'no'", "True or False"]),
    "autapses=1": (lambda: FixedProb(0.1, autapses=1), TypeError, ["FixedProb: autapses is 1", "True or False"]),
    "autapses=None": (lambda: AllToAll(autapses=None), TypeError, ["AllToAll: autapses is None", "True or False"]),
    "autapses of an array": (lambda: FixedProb(0.1, autapses=np.array([True])), TypeError, ["FixedProb: autapses is <array 1>"]),
    "multapses='no'": (lambda: FixedInDegree(2, multapses="no"), TypeError, ["FixedInDegree: multapses is 'no'", "True or False"]),
    "multapses=0": (lambda: FixedOutDegree(2, multapses=0), TypeError, ["FixedOutDegree: multapses is 0", "True or False"]),
    "progress='yes'": (lambda: run(progress="yes"), TypeError, ["progress is 'yes'", "True or False"]),
    "path=3": (lambda: built(AllToAll(weight=1 * u.mV), path=3), ValueError, ["a -> b: path is 3", "'auto', 'event', 'dense'"]),
    "backend=3": (lambda: run(backend=3), ValueError, ["unknown backend 3", "numba", "xla"]),
    # names and counts
    "name=3": (lambda: LIF(3, name=3), TypeError, ["LIF: name is 3", "text on one line"]),
    "a name with a line break": (lambda: LIF(3, name="a\nb"), TypeError, ["LIF: name is 'a\\nb'", "text on one line"]),
    "a name like a slice": (lambda: LIF(3, name="a[0:3]"), ValueError, ["LIF: name is 'a[0:3]'", "slices and files"]),
    "name of a projection": (lambda: built(AllToAll(weight=1 * u.mV), name=3), TypeError, ["Projection: name is 3"]),
    "size='3'": (lambda: LIF("3"), ValueError, ["LIF: size is '3'", "whole number of neurons, at least 1"]),
    "size=None": (lambda: LIF(None), ValueError, ["LIF: size is None", "whole number"]),
    "size=NaN": (lambda: LIF(np.nan), ValueError, ["LIF: size is nan", "whole number"]),
    "size of 2^40": (lambda: LIF(2**40), ValueError, ["LIF: size is 1.09951162778e+12", "at most 2147483647"]),
    "size of 10^30": (lambda: Poisson(10**30, rate=1 * u.Hz), ValueError, ["Poisson: size is 1", "at most 2147483647"]),
    "size with a unit": (lambda: LIF(3 * u.mV), ValueError, ["LIF: size is 3 mV", "whole number"]),
    "size of an array": (lambda: LIF(np.array([3])), ValueError, ["LIF: size is <array 1>", "whole number"]),
    "number=2.5": (lambda: FixedInDegree(2.5), ValueError, ["FixedInDegree: number is 2.5", "whole number, at least 0"]),
    "number=-1": (lambda: FixedOutDegree(-1), ValueError, ["FixedOutDegree: number is -1", "at least 0"]),
    "number=True": (lambda: FixedInDegree(True), ValueError, ["FixedInDegree: number is True", "whole number"]),
    "number of 10^30": (lambda: FixedInDegree(10**30), ValueError, ["FixedInDegree: number is 1", "at most"]),
    # probabilities
    "prob: text": (lambda: FixedProb("0.1"), TypeError, ["FixedProb: prob is '0.1'", "between 0 and 1"]),
    "prob: complex": (lambda: FixedProb(0.1j), TypeError, ["FixedProb: prob is 0.1j", "pass the real part"]),
    "prob: two": (lambda: FixedProb(np.array([0.1, 0.2])), ValueError, ["FixedProb: prob=<array 2>", "between 0 and 1"]),
    "prob: with a unit": (lambda: FixedProb(0.1 * u.mV), ValueError, ["FixedProb: prob=0.1 mV", "between 0 and 1"]),
    "prob: a flag": (lambda: FixedProb(True), TypeError, ["FixedProb: prob is True"]),
    "prob: traced": (lambda: jax.jit(lambda p: FixedProb(p).prob)(0.1), TypeError, ["FixedProb: prob is a traced value", "outside jit"]),
    "a matrix of 10^12 synapses": (
        lambda: Network(Projection(LIF(10**6, name="a"), FixedProb(1.0, weight=1 * u.mV), Delta(), LIF(10**6, name="b"))),
        ValueError,
        ["about 1e+12 synapses", "1000000 and 1000000 neurons", 'format="jit"'],
    ),
    # matrices and pairs
    "matrix: masked": (
        lambda: FromMatrix(np.ma.masked_greater(np.eye(3), 0) * u.mV),
        TypeError,
        ["FromMatrix: matrix is <masked array 3x3 mV>"],
    ),
    "matrix: complex": (lambda: FromMatrix(np.eye(3) * 1j * u.mV), TypeError, ["FromMatrix: matrix", "pass the real part"]),
    "matrix: NaN": (lambda: FromMatrix(np.full((3, 3), np.nan) * u.mV), ValueError, ["FromMatrix: matrix holds nan at position 0"]),
    "matrix: ragged": (lambda: FromMatrix([[1], [1, 2]]), TypeError, ["FromMatrix: matrix is [[1], [1, 2]]"]),
    "matrix: a vector": (
        lambda: FromMatrix(np.ones(3) * u.mV),
        ValueError,
        ["FromMatrix: matrix=<array 3 mV>", "2-D matrix (n_pre, n_post)"],
    ),
    "matrix: in a projection, masked": (
        lambda: built(np.ma.masked_equal(np.eye(3), 1) * u.mV),
        TypeError,
        ["FromMatrix: matrix is <masked"],
    ),
    "matrix: another shape": (lambda: built(np.ones((3, 4)) * u.mV), ValueError, ["a -> b: the matrix has shape (3, 4)", "(3, 3)"]),
    "pairs: masked": (lambda: FromPairs(np.ma.masked_equal([0, 1], 1), [0, 1]), TypeError, ["FromPairs: pre is <masked array 2>"]),
    "pairs: floats": (lambda: FromPairs([0.5], [0]), ValueError, ["FromPairs: pre has dtype float64", "integers"]),
    "pairs: complex": (lambda: FromPairs([1j], [0]), ValueError, ["FromPairs: pre has dtype complex128"]),
    "pairs: flags": (lambda: FromPairs([True], [0]), ValueError, ["FromPairs: pre has dtype bool"]),
    "pairs: text": (lambda: FromPairs("01", [0]), ValueError, ["FromPairs: pre has dtype <U2"]),
    "pairs: lengths": (lambda: FromPairs([0], [0, 1]), ValueError, ["FromPairs: pre has length 1 and post 2"]),
    "pairs: a matrix": (lambda: FromPairs([[0]], [[0]]), ValueError, ["FromPairs: pre has dtype int64 and shape (1, 1)"]),
    "pairs: with a unit": (lambda: FromPairs(np.array([1]) * u.mV, [0]), ValueError, ["FromPairs: pre=<array 1 mV>", "drop the unit"]),
    "pairs: 2^40": (lambda: built(FromPairs([2**40], [0], weight=1 * u.mV)), ValueError, ["FromPairs", "1099511627776", "below 3"]),
    "pairs: 2^63": (lambda: FromPairs(np.array([2**63], np.uint64), [0]), ValueError, ["FromPairs: pre[0]=9223372036854775808"]),
    "pairs: quantities in a list": (
        lambda: FromPairs([0], [0], weight=[1 * u.mV]),
        TypeError,
        ["FromPairs: weight", "put the unit outside"],
    ),
    # distributions
    "std below 0": (lambda: Normal(1 * u.mV, -1 * u.mV), ValueError, ["Normal: std=-1 mV", "standard deviation >= 0"]),
    "std in another unit": (lambda: Normal(1 * u.mV, 1 * u.ms), Unit, ["Normal: std=1 ms has unit ms", "mean has unit mV"]),
    "std infinite": (lambda: Normal(1 * u.mV, np.inf * u.mV), ValueError, ["Normal: std is inf", "finite"]),
    "mean complex": (lambda: Normal(1j * u.mV, 1 * u.mV), TypeError, ["Normal: mean", "pass the real part"]),
    "mean text": (lambda: Normal("a", 1), TypeError, ["Normal: mean is 'a'", "one real number"]),
    "mean masked": (lambda: Normal(np.ma.masked * u.mV, 1 * u.mV), TypeError, ["Normal: mean", "fill what is masked"]),
    "means": (lambda: Normal(np.ones(3) * u.mV, 1 * u.mV), ValueError, ["Normal: mean=<array 3 mV>", "one real number"]),
    "low above high": (lambda: Uniform(2 * u.mV, 1 * u.mV), ValueError, ["Uniform: low=2 mV", "at most high=1 mV", "swap"]),
    "low NaN": (lambda: Uniform(np.nan * u.mV, 1 * u.mV), ValueError, ["Uniform: low is nan"]),
    "a logarithm too wide": (lambda: LogNormal.from_median(1, 1e3), ValueError, ["LogNormal.from_median: sigma=1000", "0 to 26"]),
    "a negative median": (lambda: LogNormal.from_median(-1 * u.mV, 0.5), ValueError, ["LogNormal", "mean > 0"]),
    # synapses and delays
    "E complex": (lambda: COBA(E=1j * u.mV), TypeError, ["COBA: E", "pass the real part"]),
    "E masked": (lambda: COBA(E=np.ma.masked * u.mV), TypeError, ["COBA: E", "fill what is masked"]),
    "tau of 0": (lambda: Expon(tau=0 * u.ms), ValueError, ["Expon: tau is 0 ms", "positive"]),
    "delay complex": (lambda: built(AllToAll(weight=1 * u.mV), delay=1j * u.ms), TypeError, ["a -> b: delay", "pass the real part"]),
    "delay text": (lambda: built(AllToAll(weight=1 * u.mV), delay="1 ms"), TypeError, ["a -> b: delay is '1 ms'"]),
    # time, seeds
    "dt complex": (lambda: Network(N(), dt=0.1j * u.ms), TypeError, ["dt is", "positive time", "pass the real part"]),
    "dt text": (lambda: Network(N(), dt="0.1 ms"), TypeError, ["dt is '0.1 ms'", "positive time"]),
    "dt infinite": (lambda: Network(N(), dt=np.inf * u.ms), ValueError, ["dt is inf", "finite"]),
    "seed text": (lambda: Network(N(), seed="1"), TypeError, ["Network: seed is '1'", "integer"]),
    "seed True": (lambda: Network(N(), seed=True), TypeError, ["Network: seed is True", "integer"]),
    "seed of an array": (lambda: Network(N(), seed=np.array([1])), TypeError, ["Network: seed is array([1])", "integer"]),
    "seed with a unit": (lambda: Network(N(), seed=1 * u.ms), TypeError, ["Network: seed is", "integer"]),
    "seed of 65 bits": (lambda: Network(N(), seed=2**64), ValueError, ["seed is 18446744073709551616", "0 to 2**64 - 1"]),
    "seed below 0": (lambda: Network(N(), seed=-1), ValueError, ["seed is -1", "0 to 2**64 - 1"]),
    "duration complex": (lambda: run(1j * u.ms), TypeError, ["duration", "pass the real part"]),
    "duration text": (lambda: run("1 ms"), TypeError, ["duration is '1 ms'"]),
    "duration None": (lambda: run(None), TypeError, ["duration is None"]),
    "duration masked": (lambda: run(np.ma.masked * u.ms), TypeError, ["duration", "fill what is masked"]),
    # functions of time
    "a function with if": (
        lambda: fed(lambda t: 1 * u.nA if t > 0.5 * u.ms else 0 * u.nA),
        TypeError,
        ["inputs[N]", "no `if`", "u.math.where"],
    ),
    "a function of numpy": (lambda: fed(lambda t: np.sin(t / u.ms) * u.nA), TypeError, ["inputs[N]", "no numpy function of t", "u.math"]),
    "a complex function": (lambda: fed(lambda t: 1j * u.nA), TypeError, ["inputs[N]: the function returned complex numbers"]),
    "a function that returns None": (lambda: fed(lambda t: None), Unit, ["inputs[N]: the function returned a value with no unit"]),
    "inputs of pairs": (lambda: run(inputs=lambda N: [(N, 1 * u.nA)]), TypeError, ["inputs is [(", "by population", "{N: 200 * u.pA}"]),
    "inputs by number": (lambda: run(inputs=lambda N: {3: 1 * u.nA}), TypeError, ["inputs: 3 is neither a population"]),
    "record='V'": (lambda: run(record="V"), TypeError, ["record is 'V'", "[N.spikes, N[:5].V]"]),
    "record a dict": (lambda: run(record=lambda N: {N.V: 1}), TypeError, ["record is {", "list of states"]),
    # states
    "V in siemens": (lambda: with_state(jnp.full(3, -65.0) * u.nS), Unit, ["N.V.value has unit nS", "unit mV"]),
    "V without unit": (lambda: with_state(jnp.full(3, -65.0)), Unit, ["N.V.value has unit 1", "unit mV"]),
    "V of four": (lambda: with_state(jnp.full(4, -65.0) * u.mV), ValueError, ["N.V.value has shape (4,)", "(3,), one value a neuron"]),
    "one V": (lambda: with_state(-65 * u.mV), ValueError, ["N.V.value has shape ()", "(3,)"]),
    "V complex": (lambda: with_state(jnp.full(3, -65j) * u.mV), TypeError, ["N.V.value has dtype complex64", "float32"]),
    "V masked": (lambda: with_state(MASKED * u.mV), TypeError, ["N.V.value is <masked array 3 mV>", "fill what is masked"]),
    "V text": (lambda: with_state("a"), TypeError, ["N.V.value is 'a'", "numbers, one a neuron"]),
    "V None": (lambda: with_state(None), TypeError, ["N.V.value is None"]),
    # bins
    "bin of 0": (lambda: binned(0 * u.ms), ValueError, ["bin is 0 ms", "a multiple of dt = 0.1 ms"]),
    "bin below 0": (lambda: binned(-1 * u.ms), ValueError, ["bin is -1 ms", "positive"]),
    "bin of 0.25 ms": (lambda: binned(0.25 * u.ms), ValueError, ["bin is 0.25 ms, which is no multiple of dt = 0.1 ms", "0.2 ms"]),
    "bin below dt": (lambda: binned(0.01 * u.ms), ValueError, ["bin is 0.01 ms, which is no multiple of dt"]),
    "bin without unit": (lambda: binned(1), Unit, ["bin is a plain number", "1 * u.ms"]),
    "bin in mV": (lambda: binned(1 * u.mV), Unit, ["bin is a value in mV", "ms"]),
    "bin NaN": (lambda: binned(np.nan * u.ms), ValueError, ["bin is nan"]),
    "bin complex": (lambda: binned(1j * u.ms), TypeError, ["bin is", "pass the real part"]),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_values_are_named(what):
    how, error, words = BAD[what]
    with pytest.raises(error) as caught:
        how()
    for word in words:
        assert word in str(caught.value), str(caught.value)


# what: (how, what the warning has to contain)
ODD = {
    "a conductance of 6 S": (lambda: conductance(6 * u.siemens), ["a -> b: one spike opens 6e+08 times the conductance of the membrane"]),
    "a conductance of 6 uS": (lambda: conductance(6 * u.uS), ["opens 600 times", "check the units of weight and R"]),
    "one set later": (lambda: reweighed(6 * u.siemens), ["a -> b: one spike opens 6e+08 times"]),
    "a jump of 1 V": (lambda: built(AllToAll(weight=1 * u.volt)), ["a -> b: one spike moves V by 1e+03 mV"]),
    "a jump of 1 nV": (lambda: built(AllToAll(weight=1e-6 * u.mV)), ["a -> b: one spike moves V by 1e-06 mV"]),
    "a delay between steps": (
        lambda: built(AllToAll(weight=1 * u.mV), delay=0.25 * u.ms),
        ["delay 0.25 ms is not a multiple", "acts as 0.3 ms"],
    ),
    "a delay below a step": (lambda: built(AllToAll(weight=1 * u.mV), delay=0.04 * u.ms), ["delay 0.04 ms", "acts as 0 ms"]),
    "tau_ref below a step": (
        lambda: Network(N(tau_ref=0.04 * u.ms), dt=DT).run(0 * u.ms),
        ["tau_ref 0.04 ms is not a multiple", "acts as 0 ms"],
    ),
    "a duration between steps": (lambda: run(1.04 * u.ms), ["duration 1.04 ms is not a multiple of dt = 0.1 ms and acts as 1 ms"]),
    "a duration below a step": (lambda: run(0.04 * u.ms), ["duration 0.04 ms", "acts as 0 ms"]),
    "V of NaN": (lambda: with_state(jnp.full(3, jnp.nan) * u.mV), ["N.V is nan in 3 of 3 neurons, 0 the first of them", "net.reset()"]),
    "a current of NaN": (
        lambda: fed(lambda t: u.math.sqrt(t / u.ms - 1e9) * u.pA),
        ["N.V is nan in 3 of 3 neurons", "after step 10 (1 ms)"],
    ),
}


@pytest.mark.parametrize("what", ODD)
def test_odd_values_are_warned_of_once(what):
    how, words = ODD[what]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        how()
    (warning,) = said
    for word in words:
        assert word in str(warning.message), str(warning.message)
    assert warning.filename == __file__, warning.filename  # the user's own line


READ_ONLY = np.full(3, 20.0)
READ_ONLY.flags.writeable = False
# what: (a value that is legal, in ms, the same as 20 ms)
TWENTY = {
    "integers": np.array([20, 20, 20]) * u.ms,
    "bytes": np.full(3, 20, np.uint8) * u.ms,
    "big-endian": np.full(3, 20.0).astype(">f8") * u.ms,
    "half precision": np.full(3, 20.0, np.float16) * u.ms,
    "longdouble": np.full(3, 20.0, np.longdouble) * u.ms,
    "read-only": READ_ONLY * u.ms,
    "every other one": np.full(6, 20.0)[::2] * u.ms,
    "jax": jnp.full(3, 20.0) * u.ms,
    "a list": [20, 20, 20] * u.ms,
    "one in an array": np.array([20.0]) * u.ms,
    "no entry is masked": np.ma.array(np.full(3, 20.0)).filled() * u.ms,
    "seconds": 0.02 * u.second,
    "numpy scalar": np.float32(20) * u.ms,
}


@pytest.mark.parametrize("what", TWENTY)
def test_odd_values_that_are_legal(what):
    assert np.asarray(N(tau=TWENTY[what]).own["tau"]) == pytest.approx(20, rel=1e-6)


def test_controls_of_what_is_refused_or_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert conductance(6 * u.nS).n_synapses == 9
        assert reweighed(np.linspace(0, 5, 9) * u.nS).weight.shape == (9,)
        assert built(AllToAll(weight=-1 * u.mV)).n_synapses == 9  # inhibition by jumps
        assert built(AllToAll(weight=-1 * u.pA), Expon(tau=5 * u.ms, output=CUBA())).n_synapses == 9
        assert built(FromPairs(np.array([0, 2], ">i4"), [np.int64(1), 0], weight=[1, 2] * u.mV)).n_synapses == 2
        assert AllToAll(autapses=np.bool_(False)).autapses is False
        assert Network(N(), seed=np.int64(2**62)).seed == 2**62 and Network(N(), seed=2**64 - 1).seed == 2**64 - 1
        assert run(np.array([1.0]) * u.ms).n_steps == 10 and run(1e-3 * u.second, record=None).n_steps == 10
        assert with_state(jnp.full(3, -0.065) * u.volt).n_steps == 10
        times, rates = binned(100 * u.ms)
        assert times.shape == rates.shape == (1,)
        assert run(inputs=lambda N: {N: np.full(3, 1, np.int8) * u.nA}).n_steps == 10


def test_arrays_are_copied():
    """What the user goes on to do with an array does not change what was made of it."""
    v, w, i, m, r = np.full(3, -50.0), np.ones(3), np.array([0, 1, 2]), np.eye(3), np.full(3, 10.0)
    population = N(V_th=v * u.mV, V_init=v * u.mV, V_reset=-70 * u.mV)
    source = Poisson(3, rate=r * u.Hz, name="P")
    rules = FromPairs(i, i, weight=w * u.mV), FromMatrix(m * u.mV), FromMatrix(m != 0, weight=1 * u.mV)
    current = w * u.nA
    net = Network(population, source, dt=DT)
    before = net.run(1 * u.ms, inputs={population: current}, progress=False)
    for array in (v, w, i, m, r):
        array[:] = 0
    assert np.asarray(population.own["V_th"]).max() == -50 and source.rate.constant.max() > 0
    for rule in rules:
        projection = built(rule)
        np.testing.assert_array_equal(u.get_mantissa(projection.matrix.todense()), np.eye(3))
    assert before.n_steps == 10


def test_a_mistake_in_a_function_of_time_is_the_users_own():
    with pytest.raises(ZeroDivisionError) as caught:
        fed(lambda t: 1 / 0 * u.nA)
    assert "in the function of inputs[N]" in caught.value.__notes__[0]
