"""Text of a numba function that does what a traced function of numbers does: how a user's rule, or a neuron, becomes a kernel."""

from typing import Any

import numpy as np
from jax.extend.core import ClosedJaxpr, Literal

UNCHANGED = ("broadcast_in_dim", "copy", "reshape", "squeeze", "stop_gradient")  # of numbers
INLINED = ("jit", "pjit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call", "remat", "checkpoint")
CODE = {
    "abs": "abs({0})",
    "add": "({0} + {1})",
    "add_any": "({0} + {1})",
    "and": "({0} & {1})",
    "atan2": "math.atan2({0}, {1})",
    "cbrt": "np.cbrt({0})",
    "ceil": "math.ceil({0})",
    "clamp": "({2} if {1} > {2} else {0} if {1} < {0} else {1})",
    "cos": "math.cos({0})",
    "cosh": "math.cosh({0})",
    "div": "({0} / {1})",
    "eq": "({0} == {1})",
    "erf": "math.erf({0})",
    "exp": "math.exp({0})",
    "exp2": "({one} + {one}) ** {0}",
    "expm1": "math.expm1({0})",
    "floor": "math.floor({0})",
    "ge": "({0} >= {1})",
    "gt": "({0} > {1})",
    "is_finite": "math.isfinite({0})",
    "le": "({0} <= {1})",
    "log": "math.log({0})",
    "log1p": "math.log1p({0})",
    "logistic": "({one} / ({one} + math.exp(-{0})))",
    "lt": "({0} < {1})",
    "max": "({0} if ({0} > {1}) | ({0} != {0}) else {1})",
    "min": "({0} if ({0} < {1}) | ({0} != {0}) else {1})",
    "mul": "({0} * {1})",
    "ne": "({0} != {1})",
    "neg": "(-{0})",
    "not": "(not {0})",
    "or": "({0} | {1})",
    "pow": "({0} ** {1})",
    "rsqrt": "({one} / math.sqrt({0}))",
    "sign": "np.sign({0})",
    "sin": "math.sin({0})",
    "sinh": "math.sinh({0})",
    "sqrt": "math.sqrt({0})",
    "square": "({0} * {0})",
    "sub": "({0} - {1})",
    "tan": "math.tan({0})",
    "tanh": "math.tanh({0})",
}
"""{primitive of jax: the expression on numbers that numba compiles}."""


VECTORS = {
    "ceil": "np.ceil({0})",
    "exp": "exp({0})",
    "expm1": "expm1({0})",
    "floor": "np.floor({0})",
    "is_finite": "({0} - {0} == {0} - {0})",
    "logistic": "logistic({0})",
    "rsqrt": "({one} / np.sqrt({0}))",
    "sqrt": "np.sqrt({0})",
    "tanh": "tanh({0})",
} | {
    name: CODE[name]
    for name in (
        *("abs", "add", "add_any", "and", "clamp", "div", "eq", "ge", "gt", "le", "lt", "max", "min", "mul", "ne", "neg", "not", "or"),
        *("square", "sub"),
    )
}
"""The same for a loop over neurons: what LLVM makes vectors of, with the functions of `kernels.exponential`."""


class UnknownPrimitive(NotImplementedError):
    """The name of a primitive that has no text here."""


def function_text(program: ClosedJaxpr, *counts: int) -> str:
    """The text of `rule(values, q, own, i, other, j, shared)`, which writes the new `values[k][q]`.

    Args:
      program: of a function of numbers, of so many `values`, `own`, `other` and `shared`, with as many results as values.

    Raises:
      UnknownPrimitive: it takes one that has no text.
    """
    places = ("values[{}][q]", "own[{}][i]", "other[{}][j]", "shared[{}][0]")
    names = [place.format(k) for place, count in zip(places, counts) for k in range(count)]
    writer = _Writer(CODE, [()])
    results = writer.write(program.jaxpr, program.consts, names)
    made = [f"r{k} = {_cast(result, aval.dtype)}" for k, (result, aval) in enumerate(zip(results, program.out_avals))]
    lines = [*writer.lines, *made, *(f"{names[k]} = r{k}" for k in range(len(results)))]
    return "\n".join(["def rule(values, q, own, i, other, j, shared):", *(f"    {line}" for line in lines), ""])


def loop_text(jaxpr: Any, order: list[int], places: list[tuple[int, bool]], size: int, dtype) -> tuple[str, list, list]:
    """The text of `part(start, stop, after, read, floats, counts)`, which does for neurons `start` to `stop` what a program does for all.

    Args:
      jaxpr: of arrays (size,) and of scalars; its results are arrays (size,).
      order: of the results in `after`.
      places: where each of its constants and arguments is found: `(k, False)` in `read[k]`, `(k, True)` in `after[k]` until that is
        written.
      size: the number of neurons. dtype: that of its floats.

    Returns:
      The text, and the `floats` and the `counts` (int32) that it takes: constants of the program, so that one text serves any parameters.

    Raises:
      UnknownPrimitive: it takes one that has no text, or arrays of other shapes.
    """
    shapes = [(), (1,), (size,)]
    writer, once, each, names = _Writer(VECTORS, shapes, (np.dtype(dtype), np.dtype(np.int32))), [], [], []
    for a, (var, (k, replaced)) in enumerate(zip((*jaxpr.constvars, *jaxpr.invars), places)):
        if var.aval.shape not in shapes:
            raise UnknownPrimitive(f"an array of shape {var.aval.shape}")
        array, by_neuron = f"after[{k}]" if replaced else f"read[{k}]", var.aval.shape == (size,)
        (each if by_neuron else once).append(f"x{a} = {_read(f'{array}[i]' if by_neuron else f'{array}[0]', var.aval.dtype)}")
        names.append(f"x{a}")
    results = writer.write(jaxpr, [], names)
    each += writer.lines
    for k, (result, var) in enumerate(zip(results, jaxpr.outvars)):
        if var.aval.shape != (size,):
            raise UnknownPrimitive(f"a result of shape {var.aval.shape}")
        each.append(f"r{k} = {_cast(result, var.aval.dtype)}")
    each += [f"after[{k}][i] = r{result}" for k, result in enumerate(order)]
    floats, counts = (list(numbers) for numbers in writer.numbers.values())
    once += [f"f{k} = floats[{k}]" for k in range(len(floats))]
    once += [f"i{k} = counts[{k}]" for k in range(len(counts))]
    lines = [*once, "for i in range(np.uint64(start), np.uint64(stop)):", *(f"    {line}" for line in each)]
    text = "\n".join(["def part(start, stop, after, read, floats, counts):", *(f"    {line}" for line in lines), ""])
    return text, floats, counts


class _Writer:
    """Statements that do what programs do, one after another.

    Args:
      code: the text of each primitive. shapes: those that stand for a number.
      lifted: the dtypes whose constants are no text but have names, `f0` or `i0` and on; `numbers` has those, by dtype and value.
    """

    def __init__(self, code: dict[str, str], shapes: list[tuple], lifted: tuple = ()):
        self.code, self.shapes = code, shapes
        self.lines: list[str] = []
        self.numbers: dict[np.dtype, dict[Any, str]] = {dtype: {} for dtype in lifted}
        self.constants: dict[str, np.ndarray] = {}  # by their text

    def write(self, jaxpr: Any, consts, arguments: list[str]) -> list[str]:
        """Append the statements of a program, and return the names of its results."""
        variables = jaxpr.invars if consts else (*jaxpr.constvars, *jaxpr.invars)
        known: dict[Any, str] = dict(zip(variables, arguments))
        known |= {var: self._number(value) for var, value in zip(jaxpr.constvars, consts)}

        def read(atom):
            return self._number(atom.val) if isinstance(atom, Literal) else known[atom]

        for equation in jaxpr.eqns:
            inputs = [read(atom) for atom in equation.invars]
            name = equation.primitive.name
            inner = next((equation.params[key] for key in ("jaxpr", "call_jaxpr") if key in equation.params), None)
            if name in INLINED and inner is not None:
                closed = isinstance(inner, ClosedJaxpr)
                results = self.write(inner.jaxpr if closed else inner, inner.consts if closed else (), inputs)
            elif name in UNCHANGED and self._fit(equation):
                results = inputs
            elif name == "convert_element_type" and inputs[0] in self.constants:
                results = [self._number(self.constants[inputs[0]].astype(equation.outvars[0].aval.dtype))]
            else:
                results = [f"v{len(self.lines)}"]
                self.lines.append(f"{results[0]} = {self._expression(equation, inputs)}")
            known |= dict(zip(equation.outvars, results))
        return [read(atom) for atom in jaxpr.outvars]

    def _expression(self, equation: Any, inputs: list[str]) -> str:
        name, dtype = equation.primitive.name, equation.outvars[0].aval.dtype
        if not self._fit(equation):
            raise UnknownPrimitive(name)
        if name == "select_n" and len(inputs) == 3:
            return f"{inputs[2]} if {inputs[0]} else {inputs[1]}"
        if name == "integer_pow":
            y = equation.params["y"]
            return _power(inputs[0], y) if y > 0 else f"{_cast('1', dtype)} / ({_power(inputs[0], -y)})"
        if name == "convert_element_type":
            return _cast(inputs[0], dtype)
        if name == "div" and np.dtype(dtype).kind == "f" and self.numbers and inputs[1] in self.constants:
            with np.errstate(all="ignore"):
                inverse = 1 / self.constants[inputs[1]]
            if np.isfinite(inverse) and abs(inverse) >= np.finfo(inverse.dtype).tiny:
                return f"({inputs[0]} * {self._number(inverse)})"  # a division takes as long as ten products; XLA does the same
        whole = np.dtype(dtype).kind in "iu"
        if name not in self.code or (whole and name in ("div", "and", "or", "not")):
            raise UnknownPrimitive(name)
        text = self.code[name].format(*inputs, one=_cast("1", dtype))
        return _cast(text, dtype) if whole else text  # numba's whole numbers have 64 bits

    def _fit(self, equation) -> bool:
        return all(atom.aval.shape in self.shapes for atom in (*equation.invars, *equation.outvars))

    def _number(self, value) -> str:
        array = np.asarray(value)
        if array.shape:
            raise UnknownPrimitive(f"an array of shape {array.shape}")
        number, named = array.item(), self.numbers.get(array.dtype)
        if named is not None:
            text = named.setdefault(number, f"{array.dtype.kind}{len(named)}")
        else:
            text = _cast(repr(number) if np.isfinite(array) else f"np.float64('{number}')", array.dtype)
        self.constants[text] = array
        return text


def _power(text: str, y: int) -> str:
    """The product of that many, by squares: what `**` makes is no vector."""
    half = _power(text, y // 2) if y > 1 else ""
    return text if y == 1 else f"({half}) * ({half})" if y % 2 == 0 else f"({half}) * ({half}) * {text}"


def _read(text: str, dtype) -> str:
    """An element of an array, which holds a bool as a byte."""
    return f"{text} != 0" if np.dtype(dtype).kind == "b" else text


def _cast(text: str, dtype) -> str:
    return f"bool({text})" if np.dtype(dtype).kind == "b" else f"np.{np.dtype(dtype).name}({text})"
