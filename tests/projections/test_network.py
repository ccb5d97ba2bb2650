"""`Network`: the same result whatever the order, backend, chunks and format; steps, weights, degrees, matrices, summary."""

import itertools
import re

import brainstate
import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
from tables import needs_fixed_order

import brainevent as be
from brainevent.projections import (
    ALIF,
    AMPA,
    COBA,
    LIF,
    AllToAll,
    Constant,
    Delta,
    Expon,
    FixedInDegree,
    FixedOutDegree,
    FixedProb,
    FromPairs,
    LogNormal,
    Network,
    Normal,
    OneToOne,
    Poisson,
    PoissonInput,
    Projection,
    Uniform,
    recorder,
    running,
)

pytestmark = pytest.mark.usefixtures("x64")
DT = 0.1
VOLTAGES = {"V_rest": -60 * u.mV, "V_th": -50 * u.mV, "V_reset": -60 * u.mV}


def parts_of(format="auto"):
    """80 excitatory and 20 inhibitory neurons, a source and a Poisson drive: (neurons, source, parts)."""
    N = LIF(100, tau_ref=2 * u.ms, V_init=Normal(-55 * u.mV, 3 * u.mV), name="N", **VOLTAGES)
    source = Poisson(30, rate=100 * u.Hz, name="source")
    excite, inhibit = Expon(tau=5 * u.ms, output=COBA(E=0 * u.mV)), Expon(tau=10 * u.ms, output=COBA(E=-80 * u.mV))
    parts = [
        Projection(N[:80], FixedProb(0.1, weight=Normal(3 * u.nS, 0.3 * u.nS), format=format), excite, N, delay=1.5 * u.ms),
        Projection(N[80:], FixedProb(0.2, weight=20 * u.nS, format=format), inhibit, N),
        Projection(source, FixedProb(0.3, weight=1 * u.mV, format=format), Delta(), N[10:]),
        Projection(source, FixedProb(0.3, weight=2 * u.mV, format=format), Delta(), N[10:], delay=0.3 * u.ms),
        Projection(source, FromPairs([0, 1], [5, 6], weight=np.array([1.0, 2.0]) * u.nS), excite, N),
        Projection(source, FromPairs([2, 3], [5, 6], weight=np.array([0.1, 0.3]) * u.nS), excite, N),
        PoissonInput(N, n=100, rate=30 * u.Hz, weight=0.3 * u.nS, synapse=excite),
        PoissonInput(N, n=100, rate=30 * u.Hz, weight=0.7 * u.nS, synapse=inhibit),
    ]
    return N, source, parts


def result(order=None, seed=1, format="auto", n_steps=300, **options):
    """Spikes of both populations and V in every step, after a run of 30 ms."""
    N, source, parts = parts_of(format)
    net = Network(*(parts if order is None else [parts[i] for i in order]), seed=seed)
    run = net.run(
        n_steps * DT * u.ms, dt=DT * u.ms, inputs={N: 150 * u.pA}, record=[N.spikes, source.spikes, N.V], progress=False, **options
    )
    return *(np.stack([np.rint(t.to_decimal(u.ms) / DT), i]) for t, i in (run.spikes(N), run.spikes(source))), np.asarray(
        run.state(N.V).mantissa
    )


def assert_same(a, b, atol=0.0):
    """Spike by spike, V bit for bit (or to a tolerance)."""
    np.testing.assert_array_equal(a[0], b[0])
    np.testing.assert_array_equal(a[1], b[1])
    np.testing.assert_allclose(a[2], b[2], rtol=0, atol=atol)


@pytest.fixture(scope="module")
def reference():
    with jax.enable_x64(True):
        found = result()
    assert 50 < found[0].shape[1] < 1500  # spikes, and room for more
    return found


@needs_fixed_order
@pytest.mark.parametrize("order", [None, (7, 6, 5, 4, 3, 2, 1, 0), (4, 1, 7, 5, 0, 3, 6, 2)], ids=str)
def test_order_of_the_parts_changes_nothing(order, reference):
    assert_same(result(order), reference)


@needs_fixed_order
@pytest.mark.parametrize("chunk_seconds, buffer_bytes", [(0.0, 32 << 20), (1e-4, 32 << 20), (10.0, 5000)])
def test_chunks_change_nothing(chunk_seconds, buffer_bytes, reference, monkeypatch):
    monkeypatch.setattr(running, "CHUNK_SECONDS", chunk_seconds)
    monkeypatch.setattr(recorder, "BUFFER_BYTES", buffer_bytes)
    assert_same(result(), reference)


def test_backends_agree(reference):
    """XLA sums in another order: 300 steps of rounding, at most 100 terms of 1e-16 each on 60 mV."""
    assert_same(result(backend="xla"), reference, atol=1e-9)


@pytest.mark.parametrize("format", ["csr", "csc", "coo", "dense", "jit"])
def test_format_is_one_word_and_nothing_else(format, reference):
    assert_same(result(format=format), reference, atol=1e-9)


@needs_fixed_order
@pytest.mark.parametrize("backend", [None, "xla"])
def test_jit_and_csr_are_one_network(backend):
    """The same synapses and weights to the bit, autapses left out in both; on numba the same sums too, and so the same potentials."""
    jitted, stored = (result(format=format, backend=backend) for format in ("jit", "csr"))
    assert_same(jitted, stored, atol=0.0 if backend is None else 1e-9)


DRAWN = {
    "one": (2 * u.mV, be.JITCHomoR),
    "constant": (Constant(2 * u.mV), be.JITCHomoR),
    "normal": (Normal(2 * u.mV, 0.0005 * u.volt), be.JITCNormalR),
    "uniform": (Uniform(1 * u.mV, 2.5 * u.mV), be.JITCUniformR),
}


def drawn_projection(weight, format, autapses=True):
    pre, post = LIF(60, name="pre"), LIF(50, name="post")
    projection = Projection(pre[5:], FixedProb(0.3, weight=weight, format=format), Delta(), post[:40], delay=1 * u.ms)
    own = Projection(pre[:50], FixedProb(0.9, weight=weight, format=format, autapses=autapses), Delta(), pre[10:])
    return Network(projection, own, seed=3), projection, own


@pytest.mark.parametrize("key", DRAWN)
def test_what_a_drawn_projection_says_of_itself(key):
    weight, cls = DRAWN[key]
    (net, drawn, own), (_, stored, stored_own) = drawn_projection(weight, "jit", False), drawn_projection(weight, "csr", False)
    assert type(drawn.matrix) is type(own.matrix) is cls and type(stored.matrix) is be.CSR
    for a, b in ((drawn, stored), (own, stored_own)):
        assert np.array_equal(a.to_scipy().toarray(), b.to_scipy().toarray())
        assert a.n_synapses == b.n_synapses == b.to_scipy().nnz
        assert np.array_equal(a.indegree(), b.indegree()) and np.array_equal(a.outdegree(), b.outdegree())
        assert a.psp() == pytest.approx(b.psp(), rel=0.1)
    places = own.to_scipy().tocoo()
    assert not (places.row == places.col + 10).any() and own.n_synapses > 0.85 * 50 * 50
    text = net.summary()
    assert cls.__name__ in text and f"0 B (stored: {stored.matrix.nbytes / 1e3:.3g} kB)" in text
    assert "walks every synapse" in drawn.explain()
    assert net.nbytes(drawn) == 0


def test_weights_of_a_drawn_projection_can_be_set():
    """One number, Normal or Uniform, on the same synapses; a run sees it."""
    net, drawn, _ = drawn_projection(2 * u.mV, "jit")
    places = drawn.to_scipy().toarray() != 0
    for value in (3 * u.mV, Normal(4 * u.mV, 0.0001 * u.volt), Uniform(1 * u.mV, 2 * u.mV), Constant(0.0015 * u.volt)):
        drawn.weight = value
        weights = drawn.to_scipy().toarray()
        assert np.array_equal(weights != 0, places)
        if isinstance(value, Uniform):
            assert weights[places].min() >= 1 and weights.max() < 2 and drawn.weight == value
        elif isinstance(value, Normal):
            assert abs(weights[places].mean() - 4) < 0.05 and drawn.weight == value
        else:
            assert np.all(weights[places] == (1.5 if isinstance(value, Constant) else 3.0))
    net.run(1 * u.ms, dt=DT * u.ms)
    for bad, error, message in (
        (np.ones(drawn.n_synapses) * u.mV, ValueError, "weight is <array .*expected one number, Normal or Uniform: format='csr' stores"),
        (LogNormal(1 * u.mV, 1 * u.mV), ValueError, "expected one number, Normal or Uniform"),
        (Normal(1 * u.nS, 1 * u.nS), u.UnitMismatchError, "the weight has unit nS"),
        (np.nan * u.mV, ValueError, "nan"),
    ):
        with pytest.raises(error, match=message):
            drawn.weight = bad


@pytest.mark.parametrize("name", ["JITCNormalR", "JITCNormalC"])
def test_a_drawn_matrix_can_be_given(name):
    """R formats are delivered from the neurons that spiked, C formats by walking all targets; the spikes are those of the stored matrix."""
    runs = []
    for make in (lambda A: A, lambda A: A.tocsr(), lambda A: A.with_backend("xla")):
        N, source = LIF(30, name="N", V_init=-55 * u.mV, **VOLTAGES), Poisson(40, rate=300 * u.Hz, name="source")
        A = getattr(be, name)((2 * u.mV, 1 * u.mV, 0.4, 9), shape=(40, 30))
        projection = Projection(source, make(A), Delta(), N, delay=0.5 * u.ms)
        run = Network(projection, seed=4).run(30 * u.ms, dt=DT * u.ms, record=[N.V])
        runs.append(np.asarray(run.state(N.V).mantissa))
        if make(A) is A:
            assert ("gather" if name.endswith("C") else "event") + " 300 steps" in projection.explain()
    np.testing.assert_allclose(runs[0], runs[1], rtol=0, atol=1e-9)
    np.testing.assert_allclose(runs[0], runs[2], rtol=0, atol=1e-9)
    assert np.ptp(runs[0]) > 3


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_matrix_of_half_precision_can_be_given(dtype):
    drawn = be.JITCUniformR((jnp.asarray(1, dtype) * u.mV, jnp.asarray(2, dtype) * u.mV, 0.4, 9), shape=(40, 30))
    for A in (drawn, drawn.tocsr()):
        N, source = LIF(30, name="N", V_init=-55 * u.mV, **VOLTAGES), Poisson(40, rate=300 * u.Hz, name="source")
        projection = Projection(source, A, Delta(), N)
        run = Network(projection, seed=4).run(5 * u.ms, dt=DT * u.ms, record=[N.V])
        assert projection.matrix.dtype == jnp.result_type(float) and np.ptp(run.state(N.V).mantissa) > 1
        given = A.todense().mantissa.astype(float)
        np.testing.assert_allclose(projection.to_scipy().toarray(), given, atol=2 * float(jnp.finfo(dtype).eps))


def test_seeds(reference):
    other = result(seed=2)
    assert not np.array_equal(other[1], reference[1])
    assert not np.array_equal(other[2][0], reference[2][0])


def graphs(seed=1, **change):
    """Dense matrices of two parallel projections of one rule, and of a third, of a network built from these."""
    N, other = LIF(30, name="N"), LIF(20, name="other")
    options = {"weight": 1 * u.mV, "format": "csr", "delay": None, "name": None} | change
    rule = FixedProb(0.2, weight=options["weight"], format=options["format"])
    parts = [
        Projection(N, rule, Delta(), N, delay=options["delay"], name=options["name"]),
        Projection(N, FixedProb(0.2, weight=0.5 * u.mV), Delta(), N, delay=3 * u.ms),
        Projection(N, FixedInDegree(5, weight=0.5 * u.mV), Delta(), other),
    ]
    Network(*parts, seed=seed)
    return [part.to_scipy().toarray() != 0 for part in parts]


def test_weight_delay_and_format_leave_the_graph():
    first = graphs()
    assert not np.array_equal(first[0], first[1])
    for change in ({"format": "dense"}, {"format": "csc"}, {"format": "jit"}):
        for a, b in zip(first, graphs(**change), strict=True):
            np.testing.assert_array_equal(a, b)
    for change in ({"weight": 2 * u.mV}, {"weight": Normal(1 * u.mV, 0.1 * u.mV)}, {"delay": 1 * u.ms}):
        changed = graphs(**change)
        both = sorted(m.tobytes() for m in first[:2])
        assert sorted(m.tobytes() for m in changed[:2]) == both  # the same two graphs
        np.testing.assert_array_equal(first[2], changed[2])
    assert not np.array_equal(first[2], graphs(seed=2)[2])
    with be.backend("xla"):
        for a, b in zip(first, graphs(), strict=True):
            np.testing.assert_array_equal(a, b)


# -- a loop of your own ---------------------------------------------------------------------------------------------------------


@needs_fixed_order
def test_steps_under_for_loop_and_jit_are_the_run(reference):
    N, source, parts = parts_of()
    net = Network(*parts, seed=1, dt=DT * u.ms)

    def step(i):
        net.step({N: 150 * u.pA})
        return N.V.value.mantissa, N.spikes.value, source.spikes.value

    once = brainstate.transform.jit(step)
    eager = step(0)
    rest = brainstate.transform.for_loop(step, jnp.arange(100))
    singles = [once(0) for _ in range(199)]
    V, spikes, drive = (np.concatenate([a[None], b, np.stack(c)]) for a, b, c in zip(eager, rest, zip(*singles)))
    got = [np.stack(np.nonzero(x)) + np.array([[1], [0]]) for x in (spikes, drive)]
    assert_same((*got, V), reference, atol=1e-10)  # compiled as another program, rounded in another order
    assert "300 steps" in parts[0].explain()
    net.reset()
    np.testing.assert_allclose(once(0)[0], V[0], rtol=0, atol=1e-12)  # a compiled step holds the states that reset wrote
    run = net.run(0.5 * u.ms, inputs={N: 150 * u.pA}, record=[N.V], progress=False)  # and a run goes on from there
    np.testing.assert_allclose(run.state(N.V).mantissa, V[1:6], rtol=0, atol=1e-12)


def test_step_takes_dt_of_brainstate():
    N = LIF(2, name="N")
    net = Network(N)
    with brainstate.environ.context(dt=0.2 * u.ms):
        net.step()
    assert net.dt.to_decimal(u.ms) == pytest.approx(0.2)


@needs_fixed_order
def test_runs_go_on_and_reset(reference):
    N, source, parts = parts_of()
    net = Network(*parts, seed=1)
    pieces = []
    for i, ms in enumerate((5, 12.3, 0, 12.7)):
        run = net.run(
            ms * u.ms, **({} if i else {"dt": DT * u.ms}), inputs={N: 150 * u.pA}, record=[N.spikes, source.spikes, N.V], progress=False
        )
        pieces.append(
            (*(np.stack([np.rint(t.to_decimal(u.ms) / DT), i]) for t, i in (run.spikes(N), run.spikes(source))), run.state(N.V).mantissa)
        )
    joined = tuple(np.concatenate(part, axis) for part, axis in zip(zip(*pieces), (1, 1, 0)))
    assert_same(joined, reference)
    net.reset()
    run = net.run(30 * u.ms, inputs={N: 150 * u.pA}, record=[N.V], progress=False)
    np.testing.assert_array_equal(run.state(N.V).mantissa, reference[2])
    assert run.first_step == 0


# -- projections ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["csr", "csc", "coo", "fixed", "dense"])
def test_weights_can_be_set_without_compiling(format):
    """Scalar or one a synapse, in every format; a synapse of weight 0 stays one."""
    pre, post = LIF(2, V_init=-40 * u.mV, name="pre"), LIF(4, name="post")
    each = np.array([1.0, 2, 3, 4])
    projection = Projection(pre, FromPairs([0, 0, 1, 1], [0, 1, 2, 3], weight=each * u.mV, format=format), Delta(), post)
    net = Network(projection, dt=DT * u.ms)
    for weight in (each * u.mV, np.array([0.004, -0.005, 0.006, 0]) * u.volt, np.zeros(4) * u.mV, each[::-1] * u.mV):
        projection.weight = weight
        net.reset()
        net.run(DT * u.ms, progress=False)
        np.testing.assert_allclose(post.V.value.mantissa + 65, weight.to_decimal(u.mV), atol=1e-12)
    assert [loop._cache_size() for loop in net._loops.values()] == [1]
    projection.weight = 7 * u.mV
    net.reset()
    net.run(DT * u.ms, progress=False)
    np.testing.assert_allclose(post.V.value.mantissa + 65, 7, atol=1e-12)
    assert projection.n_synapses == 4
    projection.weight = projection.weight * 2  # in the shape that it is read in
    np.testing.assert_allclose(projection.to_scipy().toarray().sum(0), 14)


@pytest.mark.parametrize("path", ["auto", "dense"])
def test_weights_reach_the_mirror(path):
    pre, post = LIF(2, V_init=-40 * u.mV, name="pre"), LIF(2, name="post")
    projection = Projection(pre, FromPairs([0, 1, 0], [0, 1, 1], weight=np.ones(3) * u.mV, format="csr"), Delta(), post, path=path)
    net = Network(projection, dt=DT * u.ms)
    projection.weight = np.array([1.0, 2.0, 4.0]) * u.mV  # of the pairs 0-0, 0-1, 1-1
    net.run(DT * u.ms, progress=False)
    np.testing.assert_allclose(post.V.value.mantissa + 65, [1, 6], atol=1e-12)


RULES = [
    FixedProb(0.2, weight=1 * u.mV),
    FixedOutDegree(4, weight=1 * u.mV, format="fixed"),
    FixedInDegree(3, weight=1 * u.mV, format="fixed"),
]
RULES += [FixedInDegree(3, weight=1 * u.mV, format=f) for f in ("csr", "csc", "coo")] + [
    AllToAll(weight=2 * u.mV),
    OneToOne(weight=1 * u.mV),
]


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_degrees_and_scipy(rule):
    N = LIF(20, name="N")
    projection = Projection(N, rule, Delta(), N)
    Network(projection)
    sparse = projection.to_scipy()
    counts = scipy.sparse.coo_array(
        (np.ones(projection.matrix.nse), [np.asarray(ids) for ids in projection.matrix.coordinates()]), shape=(20, 20)
    ).toarray()
    np.testing.assert_allclose(sparse.toarray(), counts * float(rule.weight.mantissa))
    np.testing.assert_array_equal(projection.outdegree(), counts.sum(1))
    np.testing.assert_array_equal(projection.indegree(), counts.sum(0))
    assert projection.n_synapses == counts.sum()
    assert f"{projection.n_synapses:,}" in projection.network.summary()
    if isinstance(rule, FixedInDegree):
        assert set(projection.indegree()) == {3}
    if isinstance(rule, FixedOutDegree):
        assert set(projection.outdegree()) == {4}


MATRIX = np.array([[0, 1.5, 0], [2.0, 0, -3.0]])
MATRICES = {
    "array with unit": lambda: MATRIX * u.mV,
    "jax array": lambda: jnp.asarray(MATRIX) * u.mV,
    "other unit": lambda: MATRIX * 1e-3 * u.volt,
    "CSR": lambda: be.CSR.fromdense(MATRIX * u.mV),
    "CSC": lambda: be.CSC.fromscipy(scipy.sparse.csc_array(MATRIX), unit=u.mV),
    "COO": lambda: be.COO.fromdense(MATRIX * u.mV),
    "Dense": lambda: be.Dense(jnp.asarray(MATRIX) * u.mV),
    "transposed": lambda: be.CSR.fromdense(MATRIX.T * u.mV).T,
}


@pytest.mark.parametrize("name", MATRICES)
def test_matrices(name):
    """Rectangular; explicit entries and units kept."""
    pre, post = LIF(2, V_init=-40 * u.mV, name="pre"), LIF(3, name="post")
    projection = Projection(pre, MATRICES[name](), Delta(), post)
    Network(projection).run(DT * u.ms, dt=DT * u.ms, progress=False)
    np.testing.assert_allclose(projection.to_scipy().toarray(), MATRIX)
    np.testing.assert_allclose(post.V.value.mantissa + 65, MATRIX.sum(0), atol=1e-12)
    assert projection.n_synapses == 3
    assert projection.outdegree().tolist() == [1, 2] and projection.indegree().tolist() == [1, 1, 1]


def test_scipy_structure_with_a_weight():
    """A scipy matrix carries no unit: as a pattern it takes the weight of a rule."""
    from brainevent.projections import FromMatrix

    pre, post = LIF(2, name="pre"), LIF(3, name="post")
    projection = Projection(pre, FromMatrix(scipy.sparse.csr_array(MATRIX != 0), weight=2 * u.mV), Delta(), post)
    Network(projection)
    np.testing.assert_allclose(projection.to_scipy().toarray(), 2 * (MATRIX != 0))


def test_summary_names_everything():
    _, _, parts = parts_of()
    net = Network(*parts, seed=1, dt=DT * u.ms)
    text = net.summary()
    total = sum(p.n_synapses for p in net.projections)
    for part in (
        "130 neurons",
        f"{total:,} synapses",
        "seed 1",
        "dt 0.1 ms",
        "N  ",
        "LIF",
        "Poisson",
        "N[0:80] -> N",
        "1.5 ms",
        "CSR",
        "no step yet",
    ):
        assert part in text, part
    assert re.search(r"each step: integrate N, source > decay synapses > threshold > deliver .* > reset > record", text)
    assert "dt set by run" in Network(LIF(3)).summary()
    assert repr(Network(LIF(3), seed=2, dt=DT * u.ms)) == "Network(3 neurons, 0 synapses, seed 2, dt 0.1 ms)"
    for line in text.splitlines():
        assert line == line.rstrip()


def test_unnamed_populations_get_names():
    a, b, c = LIF(1), LIF(2), LIF(3, name="LIF1")
    Network(a, b, c)
    assert [p.label for p in (a, b, c)] == ["LIF", "LIF2", "LIF1"]


def test_a_rebuilt_network_is_the_same():
    """Populations may be used again: everything is drawn anew from the seed."""
    N = LIF(50, V_init=Normal(-60 * u.mV, 1 * u.mV), name="N")
    first, second = (
        [np.asarray(N.V.value.mantissa), p.to_scipy().toarray()]
        for p in [Projection(N, FixedProb(0.1, weight=1 * u.mV), Delta(), N) for _ in "ab"]
        if Network(p, seed=3)
    )
    for a, b in itertools.zip_longest(first, second):
        np.testing.assert_array_equal(a, b)


def test_compiled_loops_are_bounded():
    N = LIF(20, name="N")
    net = Network(N, dt=DT * u.ms)
    for i in range(1, 14):
        net.run(0 * u.ms, record=[N[:i].V], progress=False)
    assert len(net._loops) == running.MOST_LOOPS


def test_populations_that_nothing_reaches_are_named():
    """A chain without a source, one that a current, an input or a first state drives, and one that only a later run leaves alone."""

    def chain(first):
        later = [LIF(3, name=name) for name in "BC"]
        ends = [first, *later]
        return ends, Network(*(Projection(a, OneToOne(weight=1 * u.mV), Delta(), b) for a, b in itertools.pairwise(ends)), dt=0.1 * u.ms)

    (A, B, _), net = chain(LIF(3, name="A"))
    with pytest.warns(UserWarning, match="never driven: A, B, C: V_rest and V are below V_th, this run has no input there"):
        net.run(10 * u.ms, progress=False)
    net.run(10 * u.ms, inputs={A[:1]: 1 * u.nA}, progress=False)
    with pytest.warns(UserWarning, match="never driven: A: V_rest"):
        net.run(10 * u.ms, inputs={B: 1 * u.nA}, progress=False)
    net.run(1 * u.ms, progress=False)  # too short to expect spikes of
    A.V.value = -40 * u.mV * np.ones(3)
    net.run(10 * u.ms, progress=False)
    for first in (Poisson(3, rate=10 * u.Hz, name="A"), LIF(3, V_rest=-40 * u.mV, name="A"), ALIF(3, name="A")):
        chain(first)[1].run(10 * u.ms, progress=False)
    D, E = LIF(3, name="D"), LIF(3, name="E")
    drive = PoissonInput(E, n=1, rate=1 * u.Hz, weight=1 * u.mV, synapse=Delta())
    with pytest.warns(UserWarning, match="never driven: D: V_rest"):
        Network(Projection(D, OneToOne(weight=1 * u.mV), Delta(), E), drive, dt=0.1 * u.ms).run(10 * u.ms, progress=False)


def test_a_projection_without_synapses_is_named():
    A, B = LIF(3, name="A"), LIF(4, name="B")
    for made in (FixedProb(0.0, weight=1 * u.mV), FromPairs([], [], weight=1 * u.mV), be.CSR.fromdense(np.zeros((3, 4)) * u.mV)):
        with pytest.warns(UserWarning, match=r"A -> B has no synapses: (.|\n)* joins none of 3 and 4 neurons"):
            Network(Projection(A, made, Delta(), B))


def test_an_unknown_receptor_is_named():
    """What is no synapse, a state that no receptor has, a receptor on what has none."""
    A, B = LIF(3, name="A"), LIF(3, name="B")
    with pytest.raises(TypeError, match="A -> B: the third argument is a synapse, got 'AMPA'"):
        Projection(A, OneToOne(weight=1 * u.nS), "AMPA", B)
    projection = Projection(A, OneToOne(weight=1 * u.nS), AMPA(), B)
    Network(projection)
    with pytest.raises(ValueError, match=r"A -> B: AMPA\(.*\) has no state 'gNMDA': its states are"):
        projection.synapse_state("gNMDA")
    with pytest.raises(TypeError, match="takes no synapses"):
        Projection(A, OneToOne(weight=1 * u.nS), AMPA(), Poisson(3, rate=1 * u.Hz, name="P"))
