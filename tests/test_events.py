"""Event arrays: every numpy operator against numpy on the plain value, what keeps the event type, transformations, products."""

import copy
import doctest
import operator
import pickle

import brainunit as u
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from brainevent import Dense, events
from brainevent.events import BinaryArray, EventArray, MaskedFloat, WeightedArray, dense_product, indicator, is_event, unwrap

BOOL = np.array([[True, False, True], [False, False, True]])
INT = np.array([[1, 0, -3], [0, 0, 2]], np.int32)
FLOAT = np.array([[0.5, 0.0, -3.0], [0.0, np.nan, 2.0]], np.float32)
VALUES = {"bool": BOOL, "int": INT, "float": FLOAT}
CLASSES = [EventArray, MaskedFloat]
UNITS = MaskedFloat(np.array([[0.0, 1.0, 2.0], [3.0, 0.0, 0.0]], np.float32) * u.mV)

SMALL = np.array([[1, 2, 3], [3, 1, 2]], np.int32)  # no zeros: numpy and jax disagree on what x // 0 is
# the other operand, with numpy's version of it
OTHERS = {
    "python scalar": (2, 2),
    "numpy scalar": (np.int32(2), np.int32(2)),
    "numpy array": (np.full((2, 3), 3, np.int32), np.full((2, 3), 3, np.int32)),
    "jax array": (jnp.full(3, 3), np.full(3, 3, np.int32)),
    "events": (EventArray(SMALL), SMALL),
    "masked": (MaskedFloat(SMALL), SMALL),
}
ARITHMETIC = ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow"]
COMPARISONS = ["eq", "ne", "lt", "le", "gt", "ge"]
BITS = ["and_", "or_", "xor", "lshift", "rshift"]


def assert_plain(result, expected):
    assert not is_event(result)
    assert isinstance(result, jax.Array)
    # numpy works in float64 here, jax in float32: a few roundings of one power or division each
    np.testing.assert_allclose(np.asarray(result, np.float64), np.asarray(expected, np.float64), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", [*ARITHMETIC, *COMPARISONS, "divmod"])
@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("cls", CLASSES)
def test_operator_equals_numpy_on_the_plain_value(cls, other, name):
    values = np.array([[1, 2, 3], [4, 1.5, 2]], np.float32)
    other, plain = OTHERS[other]
    function = divmod if name == "divmod" else getattr(operator, name)
    for result, expected in [
        (function(cls(values), other), function(values, plain)),
        (function(other, cls(values)), function(plain, values)),
    ]:
        for ours, theirs in zip(result, expected) if name == "divmod" else [(result, expected)]:
            assert_plain(ours, theirs)


@pytest.mark.parametrize("name", BITS)
@pytest.mark.parametrize("other", OTHERS)
def test_bit_operator_equals_numpy_on_the_plain_value(other, name):
    other, plain = OTHERS[other]
    function = getattr(operator, name)
    assert_plain(function(EventArray(INT), other), function(INT, plain))
    assert_plain(function(other, EventArray(np.abs(INT))), function(plain, np.abs(INT)))


@pytest.mark.parametrize("function", [operator.neg, operator.pos, operator.abs, operator.invert])
def test_unary_operator(function):
    assert_plain(function(EventArray(INT)), function(INT))


def test_logic_of_bool_events():
    mask = np.array([True, True, False])
    for ours, expected in [(EventArray(BOOL) & mask, BOOL & mask), (mask & EventArray(BOOL), BOOL & mask), (~EventArray(BOOL), ~BOOL)]:
        assert ours.dtype == bool
        assert_plain(ours, expected)


@pytest.mark.parametrize("other", [u.mV, 3 * u.mV, jnp.ones(3) * u.mV, np.ones((2, 3)) * u.mV], ids=str)
def test_units_make_quantities(other):
    for result in (EventArray(INT) * other, other * EventArray(INT)):
        expected = INT * (other if isinstance(other, u.Quantity) else 1 * other)
        assert isinstance(result, u.Quantity)
        assert u.math.allclose(result, expected)
    assert u.get_unit(EventArray(INT) / u.ms) == u.kHz


@pytest.mark.parametrize(
    "name", ["iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow", "iand", "ior", "ixor", "ilshift", "irshift"]
)
def test_inplace_operator_rebinds_the_value(name):
    value = jnp.asarray(np.abs(INT))
    array = alias = EventArray(value)
    result = getattr(operator, name)(array, 2)
    assert result is alias
    assert_plain(result.value, getattr(operator, name)(np.abs(INT).astype(float if name == "itruediv" else int), 2))
    np.testing.assert_array_equal(value, np.abs(INT))  # arrays stay immutable


def test_inplace_matmul_and_numpy_inplace():
    array = EventArray(FLOAT[:1])
    array @= np.eye(3)
    assert isinstance(array, EventArray)
    np.testing.assert_array_equal(array.value, [[1, 0, 1]])
    total = same = np.zeros(3)
    total += EventArray([1, 0, 1])
    assert total is same
    np.testing.assert_array_equal(same, [1, 0, 1])


MOVES = {
    "index": lambda x: x[0],
    "all": lambda x: x[:],
    "array index": lambda x: x[np.array([1, 0])],
    "list index": lambda x: x[[1, 0]],
    "mask index": lambda x: x[:, np.array([True, False, True])],
    "new axis": lambda x: x[..., None],
    "reshape": lambda x: x.reshape(3, 2),
    "reshape tuple": lambda x: x.reshape((3, -1)),
    "ravel": lambda x: x.ravel(),
    "flatten": lambda x: x.flatten(),
    "transpose": lambda x: x.transpose(),
    "transpose axes": lambda x: x.transpose(1, 0),
    "T": lambda x: x.T,
    "swapaxes": lambda x: x.swapaxes(0, 1),
    "squeeze": lambda x: x[:1].squeeze(),
    "copy": lambda x: x.copy(),
    "take": lambda x: x.take(np.array([1]), axis=1),
    "repeat": lambda x: x.repeat(2, axis=0),
    "diagonal": lambda x: x.diagonal(),
    "astype": lambda x: x.astype(np.float16),
    "last row": lambda x: list(x)[-1],
    "np.reshape": lambda x: np.reshape(x, (3, 2)),
    "np.ravel": lambda x: np.ravel(x),
    "np.transpose": lambda x: np.transpose(x),
    "np.concatenate": lambda x: np.concatenate([x, x], axis=1),
    "np.stack": lambda x: np.stack([x, x]),
    "np.tile": lambda x: np.tile(x, (2, 1)),
    "np.expand_dims": lambda x: np.expand_dims(x, 0),
    "np.split": lambda x: np.split(x, 3, axis=1)[2],
}


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("array", [EventArray(BOOL), EventArray(INT), MaskedFloat(FLOAT), UNITS], ids=repr)
def test_moving_entries_keeps_the_event_type(array, move):
    result = MOVES[move](array)
    mantissa, unit = u.split_mantissa_unit(array.value)
    assert type(result) is type(array)
    assert u.get_unit(result.value) == unit
    np.testing.assert_array_equal(u.get_mantissa(result.value), MOVES[move](np.asarray(mantissa)))


def test_methods_without_a_numpy_method():
    array = EventArray(BOOL)
    for result, shape in [
        (array.expand_dims(0), (1, 2, 3)),
        (array.unsqueeze(1), (2, 1, 3)),
        (array.expand(4, 2, 3), (4, 2, 3)),
        (array.mT, (3, 2)),
    ]:
        assert isinstance(result, EventArray)
        assert result.shape == shape
    assert EventArray.concatenate([array, BOOL, MaskedFloat(BOOL)]).shape == (6, 3)
    assert isinstance(MaskedFloat.stack([array, array], axis=2), MaskedFloat)
    assert len(array) == 2 and len(list(array)) == 2
    with pytest.raises(TypeError, match=r"iterate over a EventArray of shape \(\)"):
        iter(array[0, 0])


@pytest.mark.parametrize(
    "index", [0, (0, 1), slice(1), np.array([1, 0]), [1, 0], EventArray([True, False]), (slice(None), EventArray([True, False, True]))]
)
@pytest.mark.parametrize("value", [True, 1, 0.25, EventArray(1)], ids=repr)
def test_setting_entries(index, value):
    array, expected = EventArray(np.zeros((2, 3), bool)), np.zeros((2, 3), bool)
    array[index] = value
    expected[_numpy_index(index)] = True
    np.testing.assert_array_equal(array.value, expected)  # 0.25 is nonzero, hence an event
    assert array.dtype == bool


def _numpy_index(index):
    return tuple(_numpy_index(i) for i in index) if isinstance(index, tuple) else np.asarray(index) if is_event(index) else index


def test_setting_entries_keeps_units_and_does_not_round():
    array = MaskedFloat(np.zeros(2, np.float32) * u.mV)
    array[0] = 2 * u.volt
    assert array.value[0] == 2000 * u.mV
    with pytest.raises(Exception, match="unit"):
        array[0] = 2 * u.nS
    with pytest.raises(TypeError, match="has no unit, got mV"):
        EventArray([0.0, 1.0])[0] = 2 * u.mV
    with pytest.raises(TypeError, match=r"entries of a EventArray of int32 to floats; cast it with .astype\(float\)"):
        EventArray(INT)[0] = 0.5


@pytest.mark.parametrize("values", VALUES)
def test_attributes(values):
    plain = VALUES[values]
    array = EventArray(plain)
    for name in ["shape", "ndim", "size", "dtype"]:
        assert getattr(array, name) == getattr(plain, name)
    for name in ["T", "real", "imag"]:
        np.testing.assert_array_equal(unwrap(getattr(array, name)), getattr(plain, name))
    assert array.data is array.value
    scalar = array[0, 0]
    assert (bool(scalar), int(scalar), float(scalar)) == (bool(plain[0, 0]), int(plain[0, 0]), float(plain[0, 0]))
    with pytest.raises(TypeError, match="unhashable"):
        hash(array)


@pytest.mark.parametrize("name", ["value", "data"])
def test_setting_the_value_checks_the_shape(name):
    array = EventArray(BOOL)
    setattr(array, name, FLOAT)
    assert array.dtype == np.float32
    with pytest.raises(ValueError, match=r"has shape \(2, 3\) and cannot be set to shape \(3,\); make a new EventArray"):
        setattr(array, name, np.zeros(3))
    with pytest.raises(TypeError, match="has no unit, got mV; use MaskedFloat"):
        setattr(array, name, FLOAT * u.mV)


def test_construction():
    assert BinaryArray is EventArray and WeightedArray is MaskedFloat
    for value in (True, 3, 0.5, [1, 0], np.zeros(3), jnp.zeros(3), u.Quantity([1.0])):
        assert isinstance(EventArray(value).value, jax.Array)
    assert isinstance(EventArray(MaskedFloat(EventArray(BOOL))).value, jax.Array)
    assert u.get_unit(MaskedFloat([1 * u.mV, 2 * u.mV]).value) == u.mV
    assert unwrap(UNITS) is UNITS.value and unwrap(3) == 3


@pytest.mark.parametrize(
    ("cls", "value", "message"),
    [
        (EventArray, [1.0] * u.mV, "An EventArray says where events are and has no unit, got mV; use MaskedFloat"),
        (EventArray, UNITS, "has no unit, got mV"),
        (EventArray, 1j, "EventArray: expected real numbers, got dtype complex128: take its real"),
        (MaskedFloat, jax.random.key(0), "MaskedFloat: expected real numbers, got dtype key"),
    ],
)
def test_construction_errors(cls, value, message):
    with pytest.raises(TypeError, match=message):
        cls(value)


def test_repr_is_one_line():
    assert repr(EventArray([True, False, True, False])) == "EventArray(bool[4], 2 events)"
    assert repr(EventArray(np.float32(1))) == "EventArray(float32[], 1 event)"
    assert repr(UNITS) == "MaskedFloat(float32[2,3] mV, 3 events)"
    assert repr(jax.tree.map(lambda x: None, EventArray(1))) == "EventArray(None)"
    seen = []
    jax.eval_shape(lambda x: seen.append(repr(x)), EventArray(BOOL))
    assert seen == ["EventArray(bool[2,3])"]


FUNCTIONS = {
    "jnp.sum": (jnp.sum, np.sum),
    "np.sum": (np.sum, np.sum),
    "u.math.sum": (u.math.sum, np.sum),
    "method sum": (lambda x: x.sum(), np.sum),
    "np.asarray": (np.asarray, np.asarray),
    "np.array": (np.array, np.array),
    "np.array without copy": (lambda x: np.array(x, copy=None, dtype=float), np.asarray),
    "jnp.asarray": (jnp.asarray, np.asarray),
    "jnp.where": (lambda x: jnp.where(x, 1, 0), lambda x: np.where(x, 1, 0)),
    "np.where": (lambda x: np.where(x, 1, 0), lambda x: np.where(x, 1, 0)),
    "np.add": (lambda x: np.add(np.ones(3), x), lambda x: np.add(np.ones(3), x)),
    "np.add.reduce": (np.add.reduce, np.add.reduce),
    "jnp.concatenate": (lambda x: jnp.concatenate([x, x]), lambda x: np.concatenate([x, x])),
    "jnp.zeros.at.set": (lambda x: jnp.zeros((2, 3)).at[:].set(x), np.asarray),
}


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("values", VALUES)
def test_functions_take_event_arrays(function, values):
    ours, expected = FUNCTIONS[function]
    result = ours(EventArray(VALUES[values]))
    assert not is_event(result)
    np.testing.assert_array_equal(result, expected(VALUES[values]))


def test_an_event_is_a_nonzero():
    np.testing.assert_array_equal(indicator(jnp.asarray(FLOAT)), [[1, 0, 1], [0, 1, 1]])  # negative and NaN too
    np.testing.assert_array_equal(EventArray(FLOAT) @ np.ones((3, 1)), [[2], [2]])
    assert float(jax.grad(indicator)(0.5)) == 1.0


MATRIX = np.arange(12, dtype=np.float32).reshape(3, 4)
ONE = (FLOAT != 0).astype(np.float32)
PRODUCTS = {
    "array": lambda e: (e @ MATRIX, ONE @ MATRIX),
    "jax array": lambda e: (e @ jnp.asarray(MATRIX), ONE @ MATRIX),
    "list": lambda e: (e @ MATRIX.tolist(), ONE @ MATRIX),
    "quantity": lambda e: (e @ (MATRIX * u.nS), ONE @ MATRIX * u.nS),
    "vector": lambda e: (e @ MATRIX[:, 1], ONE @ MATRIX[:, 1]),
    "vector vector": lambda e: (e[0] @ MATRIX[:, 1], ONE[0] @ MATRIX[:, 1]),
    "dot": lambda e: (e[1].dot(MATRIX), ONE[1] @ MATRIX),
    "numpy left": lambda e: (MATRIX.T @ e.T, MATRIX.T @ ONE.T),
    "numpy vector left": lambda e: (MATRIX[0, 1:3] @ e, MATRIX[0, 1:3] @ ONE),
    "list left": lambda e: ([1.0, 2.0] @ e, np.array([1.0, 2.0]) @ ONE),
    "np.matmul": lambda e: (np.matmul(MATRIX.T, e.T), MATRIX.T @ ONE.T),
    "dense_product": lambda e: (dense_product(jnp.asarray(MATRIX.T), e[0]), MATRIX.T @ ONE[0]),
    "quantity dense_product": lambda e: (dense_product(MATRIX.T * u.nS, e[0]), MATRIX.T @ ONE[0] * u.nS),
    "connectivity left": lambda e: (Dense(MATRIX.T) @ e[0], MATRIX.T @ ONE[0]),
    "connectivity right": lambda e: (e @ Dense(MATRIX), ONE @ MATRIX),
    "events": lambda e: (e @ e.T, ONE @ ONE.T),
    "bool events": lambda e: (EventArray(BOOL) @ EventArray(BOOL.T), BOOL.astype(int) @ BOOL.T),
    "masked": lambda e: (e @ MaskedFloat(MATRIX), ONE @ MATRIX),
    "masked left": lambda e: (MaskedFloat(INT) @ MATRIX, INT @ MATRIX),
    "masked quantity": lambda e: (UNITS @ (MATRIX * u.nS), u.get_mantissa(UNITS.value) @ MATRIX * u.pA),
}


@pytest.mark.parametrize("path", ["event-driven", "plain"])
@pytest.mark.parametrize("product", PRODUCTS)
def test_a_product_counts_events(product, path, monkeypatch):
    if path == "plain":
        monkeypatch.setattr(events, "_event_product", events._plain_product)
    result, expected = PRODUCTS[product](EventArray(FLOAT))
    assert u.get_unit(result) == u.get_unit(expected)
    np.testing.assert_allclose(u.get_mantissa(result), u.get_mantissa(expected), rtol=1e-6)


def test_the_dense_hook_sees_one_event_array_and_one_matrix(monkeypatch):
    calls = []
    monkeypatch.setattr(events, "_event_product", lambda *operands: calls.append(operands))
    for result in (EventArray(INT) @ MATRIX.tolist(), MATRIX.T @ EventArray(INT).T, EventArray(INT) @ MaskedFloat(MATRIX)):
        assert result is None
    assert [[is_event(x) for x in operands] for operands in calls] == [[True, False], [False, True], [True, False]]
    assert all(x.ndim == 2 for operands in calls for x in operands)


def test_a_left_operand_that_does_not_ask():
    # jax arrays and quantities take __jax_array__ or .data of the right operand: the plain product of the values, as documented
    graded = EventArray(np.array([0.5, 0.0], np.float32))
    np.testing.assert_array_equal(jnp.eye(2) @ graded, graded.value)
    assert u.math.allclose((jnp.eye(2) * u.nS) @ graded, graded.value * u.nS)


@pytest.mark.parametrize("cls", CLASSES)
def test_a_sparse_matrix_gets_the_event_array_itself(cls):
    class Sparse(u.sparse.SparseMatrix):
        def __matmul__(self, other):
            return "matmul", other

        def __rmatmul__(self, other):
            return "rmatmul", other

    array, matrix = cls(INT), Sparse((), shape=(3, 3))
    for (called, operand), expected in [(array @ matrix, "rmatmul"), (matrix @ array, "matmul")]:
        assert called == expected
        assert operand is array


@pytest.mark.parametrize("bad", [u.mV, "spikes", None])
def test_a_product_with_something_else_is_an_error(bad):
    for product in (lambda: EventArray(INT) @ bad, lambda: bad @ EventArray(INT)):
        with pytest.raises(TypeError, match="unsupported operand"):
            product()


def test_pytree_round_trip_accepts_anything():
    leaves, tree = jax.tree.flatten(EventArray(INT))
    assert len(leaves) == 1
    for leaf in (None, object(), jax.ShapeDtypeStruct((2,), float), "x"):
        assert jax.tree.unflatten(tree, [leaf]).value is leaf


@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x)), jax.jit(lambda x: x), jax.device_put])
@pytest.mark.parametrize("array", [EventArray(BOOL), UNITS], ids=repr)
def test_copies_keep_everything(clone, array):
    result = clone(array)
    assert type(result) is type(array)
    assert bool(u.math.all(result.value == array.value))
    result[0] = 0 * array.value[0]
    assert int(u.math.count_nonzero(array.value)) == 3  # and are independent


def test_scan_carry_vmap_and_traced_operands():
    def step(spikes, x):
        spikes = EventArray((spikes * 2 + x) > 1)
        return spikes, (np.ones(3, np.float32) @ spikes, np.sum(spikes), spikes[1:])

    last, (sums, counts, tails) = jax.lax.scan(step, EventArray([True, False, False]), jnp.array([0, 0, 2]))
    assert isinstance(last, EventArray) and isinstance(tails, EventArray)
    assert sums.tolist() == counts.tolist() == [1, 1, 3]
    assert tails.shape == (3, 2)
    batched = jax.vmap(lambda spikes: spikes @ jnp.asarray(MATRIX))(EventArray(FLOAT))
    np.testing.assert_allclose(batched, ONE @ MATRIX)


def test_gradients():
    weights = jnp.arange(3.0)
    spikes = EventArray(np.array([0.5, 0.0, 2.0], np.float32))
    assert jax.grad(lambda x: (x * weights).sum())(spikes).value.tolist() == [0, 1, 2]
    assert jax.grad(lambda x: x @ weights)(spikes).value.tolist() == [0, 1, 2]  # that of the plain product
    assert jax.grad(lambda w: spikes @ w)(weights).tolist() == [1, 0, 1]
    for dtype in (bool, int):
        with pytest.raises(TypeError, match="grad requires real"):
            jax.grad(lambda x: (x * weights).sum())(EventArray(np.ones(3, dtype)))


@pytest.mark.skipif(jax.config.jax_enable_x64, reason="the examples print float32")
def test_examples():
    assert doctest.testmod(events).failed == 0
