"""The two primitives, `propagate` and `correlate`, and every rule they have.

`y = A(w) . x` is bilinear in the weights `w` and the operand `x`. `propagate` is that product, `correlate` its pull-back to the
weights (`ct[row_k] * x[col_k]`, one number a synapse). Together they are closed under jvp, transpose and batching, so the rules
below are all there is, for every format and every backend.

Operands are `(w, x, *structure)` and `(ct, x, *structure)`; the static `skeleton` is the format's own treedef without weights.
A scalar weight never enters a primitive as anything but one: the wrapper multiplies by it outside, so its derivative and its
batching are those of an ordinary product, and no kernel has a homogeneous branch.

Shapes: `w` (*weights,), `x` (n,) or (n, k), `y` (m,) or (m, k). With `batched=True` all but the structure carry one leading axis.
Only this file uses `jax.extend.core.Primitive` and `jax.interpreters`.
"""

import functools
import math

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from . import table

propagate_p, correlate_p = Primitive("propagate"), Primitive("correlate")


def propagate(A, x, *, transpose: bool, event: bool):
    """`A @ x` (or `A.T @ x`): plain arrays, `x` of the weights' dtype unless `event`, which counts a nonzero as one."""
    w = A.data
    structure, skeleton = jax.tree.flatten(A.replace(data=None))
    static = {"skeleton": skeleton, "transpose": transpose, "event": event, "batched": False, "backend": table.requested(A)}
    if table.is_scalar(w):
        return jnp.reshape(w, ()) * propagate_p.bind(jnp.ones((), w.dtype), x, *structure, **static)
    return propagate_p.bind(w, x, *structure, **static)


def correlate(A, ct, x, *, transpose: bool, event: bool):
    """`ct[row_k] * x[col_k]` of every synapse k, summed over columns: an array of the shape of per-synapse weights."""
    structure, skeleton = jax.tree.flatten(A.replace(data=None))
    return correlate_p.bind(
        ct,
        x,
        *structure,
        wshape=A.weights_shape,
        skeleton=skeleton,
        transpose=transpose,
        event=event,
        batched=False,
        backend=table.requested(A),
    )


def _shape_of(skeleton, structure):
    return skeleton.unflatten(structure).shape


def _propagate_abstract(w, x, *structure, skeleton, transpose, batched, **_):
    m = _shape_of(skeleton, structure)[int(transpose)]
    lead = int(batched)
    return ShapedArray((*x.shape[:lead], m, *x.shape[lead + 1 :]), w.dtype)


def _correlate_abstract(ct, x, *structure, wshape, batched, **_):
    return ShapedArray((*ct.shape[: int(batched)], *wshape), ct.dtype)


def _propagate_run(w, x, *structure, skeleton, event, backend, batched, platform, **static):
    A = skeleton.unflatten(structure)
    x = x.astype(bool) if event else x
    run = table.choose("propagate", type(A), platform, backend, A.precision or w.dtype).run
    if table.is_scalar(w) and not batched:
        return w * run(A, x, dtype=w.dtype, event=event, batched=False, **static)
    return run(A.replace(data=w), x, dtype=w.dtype, event=event, batched=batched, **static)


def _correlate_run(ct, x, *structure, skeleton, event, backend, platform, wshape, **static):
    A = skeleton.unflatten(structure)
    x = x.astype(bool) if event else x
    if wshape == ():
        raise NotImplementedError("correlate gives one number a synapse; a scalar weight is multiplied outside the primitive")
    return table.choose("correlate", type(A), platform, backend, ct.dtype).run(A, ct, x, wshape=wshape, event=event, **static)


def _bilinear_jvp(primitive, primals, tangents, **static):
    (a, x, *structure), (da, dx, *_) = primals, tangents
    out = primitive.bind(a, x, *structure, **static)
    terms = []
    if type(da) is not ad.Zero:
        terms.append(primitive.bind(da, x, *structure, **static))
    if type(dx) is not ad.Zero and dx.dtype != jax.dtypes.float0:  # bool and integer events have no tangent
        terms.append(primitive.bind(a, dx.astype(a.dtype), *structure, **{**static, "event": False}))
    return out, functools.reduce(jnp.add, terms) if terms else ad.Zero.from_primal_value(out)  # pyright: ignore[reportAttributeAccessIssue]


def _propagate_transpose(ct, w, x, *structure, transpose, event, **static):
    if type(ct) is ad.Zero:
        return (None,) * (2 + len(structure))
    if ad.is_undefined_primal(w):
        wshape = w.aval.shape[int(static["batched"]) :]
        return (
            correlate_p.bind(ct, x, *structure, wshape=wshape, transpose=transpose, event=event, **static),
            *(None,) * (1 + len(structure)),
        )
    back = propagate_p.bind(w, ct, *structure, transpose=not transpose, event=False, **static)
    return None, back.astype(x.aval.dtype), *(None,) * len(structure)


def _correlate_transpose(dw, ct, x, *structure, wshape, transpose, event, **static):
    if type(dw) is ad.Zero:
        return (None,) * (2 + len(structure))
    if ad.is_undefined_primal(ct):
        return (propagate_p.bind(dw, x, *structure, transpose=transpose, event=event, **static), *(None,) * (1 + len(structure)))
    back = propagate_p.bind(dw, ct, *structure, transpose=not transpose, event=False, **static)
    return None, back.astype(x.aval.dtype), *(None,) * len(structure)


def _bilinear_batch(primitive, args, dims, *, batched, **static):
    (a, x, *structure), (da, dx, *ds) = args, dims
    if any(d is not None for d in ds):
        return _map_over_structures(primitive, args, dims, batched=batched, **static)
    if primitive is propagate_p and da is None and not batched:  # more columns of the same product
        x = jnp.moveaxis(x, dx, -1)
        y = primitive.bind(a, x.reshape(x.shape[0], math.prod(x.shape[1:])), *structure, batched=False, **static)
        return y.reshape(y.shape[:1] + x.shape[1:]), x.ndim - 1
    size = next(v.shape[d] for v, d in ((a, da), (x, dx)) if d is not None)
    a, x = (jnp.broadcast_to(v, (size, *v.shape)) if d is None else jnp.moveaxis(v, d, 0) for v, d in ((a, da), (x, dx)))
    if not batched:
        return primitive.bind(a, x, *structure, batched=True, **static), 0
    inner = a.shape[1]
    y = primitive.bind(*(v.reshape(size * inner, *v.shape[2:]) for v in (a, x)), *structure, batched=True, **static)
    return y.reshape(size, inner, *y.shape[1:]), 0


def _map_over_structures(primitive, args, dims, **static):
    """Each example has a matrix of its own: one product after another."""
    moved = [None if d is None else jnp.moveaxis(v, d, 0) for v, d in zip(args, dims)]

    def one(mine):
        return primitive.bind(*(v if own is None else own for v, own in zip(args, mine)), **static)

    return jax.lax.map(one, moved), 0


@functools.partial(jax.jit, static_argnums=(0, 1))
def _eager(primitive, static, *operands):
    return primitive.bind(*operands, **dict(static))


def _install(primitive, run, abstract, transpose):
    primitive.def_impl(lambda *operands, **static: _eager(primitive, tuple(static.items()), *operands))
    primitive.def_abstract_eval(abstract)
    ad.primitive_jvps[primitive] = functools.partial(_bilinear_jvp, primitive)
    ad.primitive_transposes[primitive] = transpose
    batching.primitive_batchers[primitive] = functools.partial(_bilinear_batch, primitive)
    for platform in table.PLATFORMS:
        lowered = mlir.lower_fun(functools.partial(run, platform=platform), multiple_results=False)
        mlir.register_lowering(primitive, lowered, platform=platform)


_install(propagate_p, _propagate_run, _propagate_abstract, _propagate_transpose)
_install(correlate_p, _correlate_run, _correlate_abstract, _correlate_transpose)
