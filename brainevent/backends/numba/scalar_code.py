"""Text of a numba function that does what a traced function of numbers does: how a user's rule becomes part of a kernel."""

import numpy as np
from jax.extend.core import ClosedJaxpr, Literal

INLINED = ("jit", "pjit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call", "remat", "checkpoint")
CODE = {
    "abs": "abs({0})",
    "add": "({0} + {1})",
    "add_any": "({0} + {1})",
    "and": "({0} & {1})",
    "atan2": "math.atan2({0}, {1})",
    "broadcast_in_dim": "{0}",
    "cbrt": "np.cbrt({0})",
    "ceil": "math.ceil({0})",
    "clamp": "min(max({1}, {0}), {2})",
    "copy": "{0}",
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
    "max": "max({0}, {1})",
    "min": "min({0}, {1})",
    "mul": "({0} * {1})",
    "ne": "({0} != {1})",
    "neg": "(-{0})",
    "not": "(not {0})",
    "or": "({0} | {1})",
    "pow": "({0} ** {1})",
    "reshape": "{0}",
    "rsqrt": "({one} / math.sqrt({0}))",
    "sign": "np.sign({0})",
    "sin": "math.sin({0})",
    "sinh": "math.sinh({0})",
    "sqrt": "math.sqrt({0})",
    "square": "({0} * {0})",
    "squeeze": "{0}",
    "stop_gradient": "{0}",
    "sub": "({0} - {1})",
    "tan": "math.tan({0})",
    "tanh": "math.tanh({0})",
}
"""{primitive of jax: the expression on numbers that numba compiles}."""


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
    names, lines = [place.format(k) for place, count in zip(places, counts) for k in range(count)], []
    results = _lines(program.jaxpr, program.consts, names, lines)
    made = [f"r{k} = {_cast(result, aval.dtype)}" for k, (result, aval) in enumerate(zip(results, program.out_avals))]
    lines += [*made, *(f"{names[k]} = r{k}" for k in range(len(results)))]
    return "\n".join(["def rule(values, q, own, i, other, j, shared):", *(f"    {line}" for line in lines), ""])


def _lines(jaxpr, consts, arguments: list[str], lines: list[str]) -> list[str]:
    """Append the statements of a program, and return the names of its results."""
    known = dict(zip(jaxpr.invars, arguments))
    known |= {var: _number(value) for var, value in zip(jaxpr.constvars, consts)}

    def read(atom):
        return _number(atom.val) if isinstance(atom, Literal) else known[atom]

    for equation in jaxpr.eqns:
        inputs = [read(atom) for atom in equation.invars]
        inner = next((equation.params[key] for key in ("jaxpr", "call_jaxpr") if key in equation.params), None)
        if equation.primitive.name in INLINED and inner is not None:
            closed = isinstance(inner, ClosedJaxpr)
            results = _lines(inner.jaxpr if closed else inner, inner.consts if closed else (), inputs, lines)
        else:
            results = [f"v{len(lines)}"]
            lines.append(f"{results[0]} = {_expression(equation, inputs)}")
        known |= dict(zip(equation.outvars, results))
    return [read(atom) for atom in jaxpr.outvars]


def _expression(equation, inputs: list[str]) -> str:
    name, dtype = equation.primitive.name, equation.outvars[0].aval.dtype
    if name == "select_n" and len(inputs) == 3:
        return f"{inputs[2]} if {inputs[0]} else {inputs[1]}"
    if name == "integer_pow":
        return f"{inputs[0]} ** {equation.params['y']}"
    if name == "convert_element_type":
        return _cast(inputs[0], dtype)
    if name not in CODE or any(atom.aval.shape for atom in equation.invars):
        raise UnknownPrimitive(name)
    return CODE[name].format(*inputs, one=_cast("1", dtype))


def _cast(text: str, dtype) -> str:
    return f"bool({text})" if np.dtype(dtype).kind == "b" else f"np.{np.dtype(dtype).name}({text})"


def _number(value) -> str:
    array = np.asarray(value)
    if array.shape:
        raise UnknownPrimitive(f"an array of shape {array.shape}")
    text = repr(array.item()) if np.isfinite(array) else f"np.float64('{array.item()}')"
    return _cast(text, array.dtype)
